/* One meaning, one place: the normal form of a host name and the match of a wildcard, for SNI, Host and certificate
 * names, for the handshake map, the router and the 421 check alike (security.md S6). Any thread. */
#pragma once
#include "base/arena.h"

enum { SP_HOST_MAX = 253 };

/* Lower-cases ASCII, drops one trailing dot. false: empty, too long, an IP literal, or a byte that no host name has
 * (letters, digits, '-', '_', '.'). out holds SP_HOST_MAX + 1 and is NUL-terminated. */
SP_MUST bool sp_host_normalise(struct sp_str name, char out[SP_HOST_MAX + 1], size_t *len);
/* Splits "host:port", "[v6]:port"; host comes without the brackets, port is 0 when there is none. false: malformed. */
SP_MUST bool sp_host_split(struct sp_str authority, struct sp_str *host, uint16_t *port);
/* A pattern is a plain name, "*.suffix", "prefix.*" or "*". */
SP_MUST bool sp_pattern_valid(struct sp_str pattern);
/* The normal form of a pattern; false: not one. */
SP_MUST bool sp_pattern_normalise(struct sp_str pattern, char out[SP_HOST_MAX + 1], size_t *len);

/* Patterns to values: exact first, then the longest "*.suffix", then the longest "prefix.*", then "*". Immutable once
 * built. multi_label: '*' stands for one or more labels (handshake map, router), else for exactly one (certificates).
 */
struct sp_name_map;
struct sp_name_map *sp_name_map_new(struct sp_arena *a, size_t expected, bool multi_label);
/* The pattern is normalised and copied; value is not NULL. false, and nothing changed: was there already, or no
 * pattern. */
bool sp_name_map_put(struct sp_name_map *m, struct sp_str pattern, void *value);
void *sp_name_map_find(const struct sp_name_map *m, struct sp_str name); /* normalised name; empty finds "*" only */
/* As find, with the pattern that answered (normal form; NULL: not wanted). */
void *sp_name_map_match(const struct sp_name_map *m, struct sp_str name, struct sp_str *pattern);
void *sp_name_map_exact(const struct sp_name_map *m, struct sp_str pattern); /* the entry of that very pattern */
