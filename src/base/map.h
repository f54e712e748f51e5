/* String to pointer, open addressing, in an arena: built by one thread, then read by any. Keys are borrowed: they must
 * live as long as the map. Iteration follows insertion order. */
#pragma once
#include "base/arena.h"

struct sp_map;
struct sp_map *sp_map_new(struct sp_arena *a, size_t expected);
bool sp_map_put(struct sp_map *m, struct sp_str key,
                void *value);                                /* false, and nothing changed: key was there already */
void *sp_map_get(const struct sp_map *m, struct sp_str key); /* NULL when absent */
size_t sp_map_len(const struct sp_map *m);
void sp_map_at(const struct sp_map *m, size_t i, struct sp_str *key, void **value); /* i < len, insertion order */
