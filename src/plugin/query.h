/* Arguments as forms and query strings encode them: name=value&name=value. */
#pragma once
#include "base/arena.h"

/* How often the argument is there; *value is the first, decoded; its p is NULL where no '=' follows the name. */
size_t dp_arguments_find(struct sp_arena *a, struct sp_str arguments, struct sp_str name, struct sp_str *value);
/* What is left without that argument. */
struct sp_str dp_arguments_without(struct sp_arena *a, struct sp_str arguments, struct sp_str name);

/* The same for a query, which begins with '?' or is empty, and is empty when nothing is left. */
size_t dp_query_find(struct sp_arena *a, struct sp_str query, struct sp_str name, struct sp_str *value);
struct sp_str dp_query_without(struct sp_arena *a, struct sp_str query, struct sp_str name);
