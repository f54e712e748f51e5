/* Arguments of a query string, as forms encode them. */
#pragma once
#include "base/arena.h"

/* How often the argument is there; *value is the first, decoded. query begins with '?' or is empty. */
size_t dp_query_find(struct sp_arena *a, struct sp_str query, struct sp_str name, struct sp_str *value);
/* The query without that argument; empty when nothing is left. */
struct sp_str dp_query_without(struct sp_arena *a, struct sp_str query, struct sp_str name);
