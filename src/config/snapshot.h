/* Everything the data path needs, compiled from one revision's resources, immutable, in one arena. Built on the main
 * thread, read by all workers at once, freed by the last one that lets go. */
#pragma once
#include "model/compile.h"
#include "plugin/chain.h"
#include "route/router.h"
#include "tls/server.h"
#include "upstream/service.h"

/* A compiled route: what a match gives back. */
struct dp_route {
    const Sallyport__V1__Route *conf;
    struct sp_str name;         /* name or id, for logs */
    struct dp_service *service; /* NULL: the route has none */
    struct dp_chain *chain;
    uint64_t key; /* the same in every snapshot that has it; 0: it knows nobody by the certificate of a connection */
};

struct dp_snapshot {
    struct sp_arena *arena;
    _Atomic uint32_t refs;
    int64_t revision;
    const struct sp_resources *resources; /* a copy of what it was made from: the status listener shows it */
    const struct sp_resources *resolved;  /* the same with the values of vault references: never shown */
    struct sp_tls_names *names;
    struct dp_router *router;
    struct dp_directory *directory;
    struct dp_service *services;
    size_t num_services, num_targets;
    uint8_t trust[32];    /* digest over CA certificates: when it changes, nothing issued before resumes */
    uint8_t identity[32]; /* and over what else a verdict depends on: when it changes, open connections are looked at */
    struct sp_map *known_at; /* dp_route.key to dp_route, of those that have one */
};

/* What does not come from the configuration. */
struct dp_snapshot_options {
    struct sp_str default_cert_pem, default_key_pem; /* empty: a self-signed certificate, as Kong does */
    const struct dp_snapshot *previous;              /* what it has read and this one repeats is shared; NULL: none */
};
/* Refused as a whole; every bad resource is named in problems. *out has one reference. */
SP_MUST sp_result dp_snapshot_compile(const struct sp_resources *r, int64_t revision,
                                      const struct dp_snapshot_options *o, struct dp_snapshot **out,
                                      struct sp_problems *problems);
const struct dp_route *dp_snapshot_known_at(const struct dp_snapshot *s, uint64_t key); /* NULL: there is none */
struct dp_snapshot *dp_snapshot_ref(struct dp_snapshot *s); /* once per worker, never per request */
void dp_snapshot_unref(struct dp_snapshot *s);
