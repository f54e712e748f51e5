/* The immutable half of the upstream side: where a service's requests go and how. Compiled into a snapshot's arena,
 * used by all workers at once. The mutable half (connections) is upstream/pool.h, per worker. */
#pragma once
#include "net/address.h"
#include "sallyport/v1/resources.pb-c.h"
#include "tls/client.h"

/* One place to connect to. */
struct dp_target {
    struct sp_str host; /* name or IP literal */
    uint16_t port;
    uint32_t weight;
    struct sp_str
        pool_key; /* equal for connections that may serve each other's requests: address, TLS name and trust */
    size_t index; /* among all targets of the snapshot: a worker hangs its pool there */
};

struct dp_service {
    const Sallyport__V1__Service *conf;
    struct sp_str name; /* name or id, for logs */
    struct dp_target *targets;
    size_t num_targets;
    uint16_t *ring;            /* indexes into targets, each as often as its weight says, evenly mixed */
    size_t num_ring;           /* 0: no target has weight */
    size_t index;              /* among all services of the snapshot: a worker hangs its round-robin turn there */
    struct sp_tls_client *tls; /* NULL: plain TCP */
    struct sp_str tls_name;    /* SNI and name to verify; empty: the target's host */
    struct sp_str host_header; /* Host towards the upstream unless preserve_host */
    struct sp_str path;        /* service.path or "/" */
    uint32_t connect_ms, write_ms, read_ms;
    uint32_t retries;
};

/* What a service refers to, found by the snapshot. */
struct dp_service_refs {
    const Sallyport__V1__UpstreamResource *upstream;      /* whose name is service.host; NULL: host is an address */
    const Sallyport__V1__Certificate *client_certificate; /* NULL: none */
    struct sp_str ca_pem;                                 /* concatenated; empty: the system's bundle */
    size_t index;                                         /* of the service */
};
/* next_target: counter of the snapshot's targets, advanced. */
SP_MUST sp_result dp_service_compile(struct sp_arena *a, const Sallyport__V1__Service *conf,
                                     const struct dp_service_refs *refs, size_t *next_target, struct dp_service *out,
                                     struct sp_error *err);
/* Weighted round-robin; `turn` is the worker's counter for this service. NULL: no target has weight. */
const struct dp_target *dp_service_pick(const struct dp_service *s, uint32_t *turn);
