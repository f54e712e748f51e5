/* Why a route takes a request, or why none does: for people, off the request path (it looks at every rule). The winner
 * is whom dp_router_match gives, found by the same criteria and the same index. Any thread. */
#pragma once
#include "route/router.h"

enum dp_miss {                       /* bits */
               DP_MISS_PROTOCOL = 1, /* the connection is TLS, and the route is for plain http only */
               DP_MISS_HOST = 2,
               DP_MISS_PATH = 4,
               DP_MISS_METHOD = 8,
               DP_MISS_HEADER = 16,
               DP_MISS_SNI = 32,
};

/* A route, by the best of its paths. */
struct dp_candidate {
    const Sallyport__V1__Route *route;
    void *target;
    const char *path;   /* that path as it is written; NULL: the route has none */
    unsigned missed;    /* 0: the route matches */
    bool gave_up;       /* a regex hit its limit: whether it matches is not known */
    struct sp_str lost; /* matches, but the winner comes first: by what */
};

enum { DP_WHY_MAX = 8 };
struct dp_why {
    struct dp_candidate winner; /* route NULL: none */
    /* No winner because of a regex that could not be decided: a route behind it could be a laxer one. */
    struct dp_candidate undecided;          /* route NULL: no */
    struct dp_candidate others[DP_WHY_MAX]; /* they match too, in the order in which they would win */
    size_t num_others, all_others;          /* kept, and counted */
    /* They lack one criterion and would win otherwise. Those that lack the host come last, and only without a winner.
     */
    struct dp_candidate near[DP_WHY_MAX];
    size_t num_near, all_near;
};
void dp_router_why(const struct dp_router *r, const struct dp_match_input *in, struct sp_arena *a, struct dp_why *out);
