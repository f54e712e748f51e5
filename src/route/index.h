/* From (host, path) to the rules that may match, in the router's arena. A bucket is one host pattern; in it the literal
 * prefixes of all rules stand sorted, each knowing the next shorter one that is a prefix of it, so that one binary
 * search finds every prefix of a path. Rules are known by rank: 0 is tried first. */
#pragma once
#include "base/map.h"

enum { DP_NO_NODE = UINT32_MAX };

struct dp_index_entry {
    uint32_t rank;
    uint16_t port; /* the request's port must be this; 0: any */
};

struct dp_index_node {
    struct sp_str prefix;
    uint32_t parent;     /* node with the longest proper prefix of this one; DP_NO_NODE: none */
    uint32_t first, num; /* entries, by rank */
};

struct dp_bucket {
    const struct dp_index_node *nodes; /* by prefix */
    const uint64_t *keys; /* first bytes of each prefix behind the common ones: the search stays in cache */
    uint32_t num, common; /* common: length of what all prefixes but the empty one begin with */
    bool has_root;        /* nodes[0] is the empty prefix */
};

struct dp_index {
    struct dp_index_entry *entries;
    struct sp_map *exact, *suffix,
        *prefix;                /* to struct dp_bucket; suffix and prefix with their dot, without the star */
    struct dp_bucket *any_host; /* rules without hosts; NULL: none */
    struct dp_bucket *star;     /* host "*": some host */
};

/* The deepest node whose prefix `path` begins with; follow parents for the rest. */
uint32_t dp_bucket_find(const struct dp_bucket *b, struct sp_str path);

/* Collects while the router compiles; heap memory, gone when the index is built. */
struct dp_index_builder;
struct dp_index_builder *dp_index_builder_new(struct sp_arena *a);
void dp_index_builder_free(struct dp_index_builder *b);
/* host as in a route: plain, "*.x", "x.*", each with an optional port; empty: no host asked for. */
void dp_index_add(struct dp_index_builder *b, struct sp_str host, struct sp_str prefix, uint32_t rank);
void dp_index_build(struct dp_index_builder *b, struct dp_index *out);
