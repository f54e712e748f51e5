#include "route/index.h"
#include "route/criteria.h"

#include <stdlib.h>

struct pending {
    uint32_t bucket, rank;
    uint16_t port;
    struct sp_str prefix;
};

struct dp_index_builder {
    struct sp_arena *arena;
    struct dp_index index;
    struct pending *v;
    size_t num, cap;
    struct dp_bucket **buckets; /* by number */
    struct sp_map *numbers[3];  /* host to number + 1, beside the maps of the index */
    uint32_t num_buckets, cap_buckets, any_host, star;
    struct sp_arena *scratch;
};

struct dp_index_builder *dp_index_builder_new(struct sp_arena *a)
{
    struct dp_index_builder *b = sp_alloc(sizeof *b);
    b->arena = a;
    b->scratch = sp_arena_new(4096);
    b->any_host = b->star = UINT32_MAX;
    struct sp_map **maps[] = {&b->index.exact, &b->index.suffix, &b->index.prefix};
    for (size_t i = 0; i < 3; i++) {
        *maps[i] = sp_map_new(a, 8);
        b->numbers[i] = sp_map_new(b->scratch, 8);
    }
    return b;
}

void dp_index_builder_free(struct dp_index_builder *b)
{
    if (!b)
        return;
    sp_arena_free(b->scratch);
    free(b->v);
    free(b->buckets);
    free(b);
}

static uint32_t new_bucket(struct dp_index_builder *b)
{
    if (b->num_buckets == b->cap_buckets) {
        b->cap_buckets = b->cap_buckets ? b->cap_buckets * 2 : 64;
        b->buckets = sp_realloc(b->buckets, b->cap_buckets * sizeof *b->buckets);
    }
    b->buckets[b->num_buckets] = SP_NEW(b->arena, struct dp_bucket);
    return b->num_buckets++;
}

static uint32_t single_bucket(struct dp_index_builder *b, uint32_t *number, struct dp_bucket **slot)
{
    if (*number == UINT32_MAX) {
        *number = new_bucket(b);
        *slot = b->buckets[*number];
    }
    return *number;
}

static uint32_t map_bucket(struct dp_index_builder *b, size_t which, struct sp_map *m, struct sp_str key)
{
    uintptr_t number = (uintptr_t)sp_map_get(b->numbers[which], key);
    if (number)
        return (uint32_t)(number - 1);
    uint32_t made = new_bucket(b);
    sp_map_put(b->numbers[which], key, (void *)((uintptr_t)made + 1));
    sp_map_put(m, key, b->buckets[made]);
    return made;
}

/* Takes ":port" off, and the brackets of an IPv6 literal: requests come without them. */
static uint16_t split_port(struct sp_str *host)
{
    const char *end = host->len && host->p[0] == '[' ? memchr(host->p, ']', host->len) : NULL;
    if (end) {
        struct sp_str rest = sp_str_skip(*host, (size_t)(end - host->p) + 1);
        uint64_t port = 0;
        *host = sp_str(host->p + 1, (size_t)(end - host->p) - 1);
        return rest.len > 1 && sp_str_to_u64(sp_str_skip(rest, 1), &port) && port <= 65535 ? (uint16_t)port : 0;
    }
    const char *first = host->len ? memchr(host->p, ':', host->len) : NULL;
    if (first && memchr(first + 1, ':', host->len - (size_t)(first - host->p) - 1))
        return 0; /* an IPv6 literal by itself */
    size_t colon = host->len;
    while (colon && host->p[colon - 1] >= '0' && host->p[colon - 1] <= '9')
        colon--;
    uint64_t port;
    if (colon < 2 || host->p[colon - 1] != ':' || !sp_str_to_u64(sp_str_skip(*host, colon), &port) || port > 65535)
        return 0;
    host->len = colon - 1;
    return (uint16_t)port;
}

static uint32_t bucket_of(struct dp_index_builder *b, struct sp_str host)
{
    if (host.len == 0)
        return single_bucket(b, &b->any_host, &b->index.any_host);
    if (host.len == 1 && host.p[0] == '*')
        return single_bucket(b, &b->star, &b->index.star);
    if (host.p[0] == '*')
        return map_bucket(b, 1, b->index.suffix, sp_str_skip(host, 1));
    if (host.p[host.len - 1] == '*')
        return map_bucket(b, 2, b->index.prefix, sp_str(host.p, host.len - 1));
    if (host.p[host.len - 1] == '.' && host.len > 1)
        host.len--;
    return map_bucket(b, 0, b->index.exact, host);
}

void dp_index_add(struct dp_index_builder *b, struct sp_str host, struct sp_str prefix, uint32_t rank)
{
    if (b->num == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 256;
        b->v = sp_realloc(b->v, b->cap * sizeof *b->v);
    }
    host = dp_lower(b->arena, host);
    uint16_t port = split_port(&host);
    b->v[b->num++] = (struct pending){bucket_of(b, host), rank, port, prefix};
}

static int by_bucket_prefix_rank(const void *x, const void *y)
{
    const struct pending *a = x, *b = y;
    if (a->bucket != b->bucket)
        return a->bucket < b->bucket ? -1 : 1;
    int c = sp_str_cmp(a->prefix, b->prefix);
    return c ? c : (a->rank > b->rank) - (a->rank < b->rank);
}

static uint64_t key_of(struct sp_str s, uint32_t skip)
{
    uint64_t k = 0;
    if (s.len > skip) /* big-endian: compares as the bytes do; a shorter one comes first */
        memcpy(&k, s.p + skip, s.len - skip < 8 ? s.len - skip : 8);
    return __builtin_bswap64(k);
}

static uint32_t common_length(struct sp_str a, struct sp_str b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.p[n] == b.p[n])
        n++;
    return (uint32_t)n;
}

static void link_nodes(struct dp_index_node *nodes, uint32_t num)
{
    for (uint32_t i = 0; i < num; i++) {
        uint32_t p = i ? i - 1 : DP_NO_NODE;
        while (p != DP_NO_NODE && !sp_str_starts(nodes[i].prefix, nodes[p].prefix))
            p = nodes[p].parent;
        nodes[i].parent = p;
    }
}

/* v[0 .. num) is one bucket, sorted; entries are numbered from `first`. */
static void fill_bucket(struct sp_arena *a, struct dp_bucket *b, const struct pending *v, size_t num, uint32_t first)
{
    uint32_t n = 0;
    for (size_t i = 0; i < num; i++)
        n += i == 0 || !sp_str_eq(v[i].prefix, v[i - 1].prefix);
    struct dp_index_node *nodes = SP_NEW_N(a, struct dp_index_node, n);
    uint32_t at = 0;
    for (size_t i = 0; i < num; i++) {
        if (i == 0 || !sp_str_eq(v[i].prefix, v[i - 1].prefix))
            nodes[at++] = (struct dp_index_node){.prefix = v[i].prefix, .first = first + (uint32_t)i};
        nodes[at - 1].num++;
    }
    link_nodes(nodes, n);
    b->nodes = nodes;
    b->num = n;
    b->has_root = nodes[0].prefix.len == 0;
    if (n > b->has_root) /* sorted: what the first and the last share, all share */
        b->common = common_length(nodes[b->has_root].prefix, nodes[n - 1].prefix);
    uint64_t *keys = SP_NEW_N(a, uint64_t, n);
    for (uint32_t i = 0; i < n; i++)
        keys[i] = key_of(nodes[i].prefix, b->common);
    b->keys = keys;
}

void dp_index_build(struct dp_index_builder *b, struct dp_index *out)
{
    sp_assert(b->num < UINT32_MAX);
    if (b->num)
        qsort(b->v, b->num, sizeof *b->v, by_bucket_prefix_rank);
    b->index.entries = SP_NEW_N(b->arena, struct dp_index_entry, b->num ? b->num : 1);
    for (size_t i = 0; i < b->num;) {
        size_t end = i;
        for (; end < b->num && b->v[end].bucket == b->v[i].bucket; end++)
            b->index.entries[end] = (struct dp_index_entry){b->v[end].rank, b->v[end].port};
        fill_bucket(b->arena, b->buckets[b->v[i].bucket], b->v + i, end - i, (uint32_t)i);
        i = end;
    }
    *out = b->index;
}

static int compare(const struct dp_bucket *b, uint32_t i, uint64_t key, struct sp_str path)
{
    if (b->keys[i] != key)
        return b->keys[i] < key ? -1 : 1;
    return sp_str_cmp(b->nodes[i].prefix, path);
}

uint32_t dp_bucket_find(const struct dp_bucket *b, struct sp_str path)
{
    uint32_t lo = b->has_root, hi = b->num, root = b->has_root ? 0 : DP_NO_NODE;
    if (lo == hi || path.len < b->common || memcmp(path.p, b->nodes[lo].prefix.p, b->common) != 0)
        return root;
    uint64_t key = key_of(path, b->common);
    while (lo < hi) { /* the first that is greater than path */
        uint32_t mid = lo + (hi - lo) / 2;
        if (compare(b, mid, key, path) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    /* Whatever stands between a prefix of path and path begins with that prefix, so it is an ancestor. */
    uint32_t i = lo == b->has_root ? root : lo - 1;
    while (i != DP_NO_NODE && !sp_str_starts(path, b->nodes[i].prefix))
        i = b->nodes[i].parent;
    return i;
}
