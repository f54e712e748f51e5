/* Which route takes a request: Kong's traditional_compatible (kong-behaviour 4.2). Compiled into a snapshot's arena,
 * immutable, used by all workers at once. Knows nothing of plugins or upstreams: a route carries the caller's pointer.
 */
#pragma once
#include "base/names.h"
#include "http/message.h"
#include "sallyport/v1/entities.pb-c.h"

struct dp_router;

/* One route and what its owner hangs on it. */
struct dp_route_spec {
    const Sallyport__V1__Route *route; /* borrowed: lives as long as the router */
    void *target;                      /* what a match gives back: the snapshot's compiled route */
};
SP_MUST sp_result dp_router_compile(struct sp_arena *a, const struct dp_route_spec *v, size_t num,
                                    struct dp_router **out, struct sp_error *err);

/* What is matched. path is normalised (dp_path_normalise), without query. */
struct dp_match_input {
    struct sp_str method, host /* normalised, without port */, path, sni /* normalised */;
    uint16_t port; /* port of the Host, or the scheme's default */
    bool tls;      /* the downstream connection is TLS */
    bool grpc;     /* content-type application/grpc */
    const struct sp_fields *fields;
};
struct dp_match {
    void *target;
    struct sp_str matched_prefix; /* of path: what strip_path removes; empty when the route has no paths */
};
bool dp_router_match(const struct dp_router *r, const struct dp_match_input *in, struct dp_match *out);

/* RFC 3986 normal form as Kong's router sees and forwards it: upper-case triplets, unreserved decoded, dot segments
 * removed, slashes merged. out is in the arena. false: malformed (bad triplet, NUL, '#'). Returns `path` itself when
 * nothing changes. */
SP_MUST bool dp_path_normalise(struct sp_arena *a, struct sp_str path, struct sp_str *out);
/* The upstream path of kong-behaviour 4.2's table (path_handling v0), without query; in the arena. */
struct sp_str dp_upstream_path(struct sp_arena *a, struct sp_str service_path, struct sp_str request_path,
                               struct sp_str matched_prefix, bool strip_path);
