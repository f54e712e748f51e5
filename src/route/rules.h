/* Inside of src/route: what a router is made of. Immutable, in the router's arena. */
#pragma once
#include "route/criteria.h"
#include "route/index.h"

/* One path of one route (or the route itself when it has none). */
struct dp_rule {
    const struct dp_criteria *criteria;
    const struct dp_regex *regex; /* NULL: a plain prefix, which the index has compared already */
    uint32_t path_len;            /* of the plain prefix */
    uint32_t order;               /* of the path within its route */
};

struct dp_router {
    struct dp_rule *rules; /* by rank */
    uint32_t num_rules;
    struct dp_index index;
};

/* What makes one rule rank before another, in this order; then age, then id. */
struct dp_weight {
    unsigned kinds; /* of criteria */
    bool plain_hosts;
    unsigned headers;
    bool regex;
    int32_t regex_priority;
    size_t length; /* of the plain path */
};
/* path: one of the route's, as it is written; NULL: it has none. */
struct dp_weight dp_weigh(const Sallyport__V1__Route *r, const char *path);

/* Calls `visit` with every bucket whose host pattern takes this host. Inlined together with what it calls. */
static inline __attribute__((always_inline)) void dp_router_visit(const struct dp_index *x, struct sp_str host,
                                                                  void (*visit)(void *ctx, const struct dp_bucket *b),
                                                                  void *ctx)
{
    const struct dp_bucket *b = host.len ? sp_map_get(x->exact, host) : NULL;
    if (b)
        visit(ctx, b);
    bool suffixes = sp_map_len(x->suffix) != 0, prefixes = sp_map_len(x->prefix) != 0;
    for (size_t i = 1; (suffixes || prefixes) && i + 1 < host.len; i++) { /* the star stands for at least one byte */
        if (host.p[i] != '.')
            continue;
        if (suffixes && (b = sp_map_get(x->suffix, sp_str_skip(host, i))))
            visit(ctx, b);
        if (prefixes && (b = sp_map_get(x->prefix, sp_str(host.p, i + 1))))
            visit(ctx, b);
    }
    if (host.len && x->star)
        visit(ctx, x->star);
    if (x->any_host)
        visit(ctx, x->any_host);
}
