/* What the directory is to the plugin room itself: it also holds what several chains share, so that five thousand
 * routes under one plugin hold one instance and one CA set. One thread until the snapshot is complete. */
#pragma once
#include "plugin/chain.h"
#include "tls/crl.h"

/* A CA set and the ids of its members, in the order of the set. */
struct dp_trust {
    struct sp_ca_set *set;
    const struct sp_str *ids;
    size_t num;
};
/* SP_E_NOT_FOUND: one of the ids is not there; nothing is made of the others. */
SP_MUST sp_result dp_directory_trust(const struct dp_directory *d, char *const *ids, size_t num,
                                     bool allow_partial_chain, const struct dp_trust **out, struct sp_error *err);

/* The CRLs of the configuration of one issuer: of all CA certificates with its key. */
struct dp_crls {
    struct sp_crl **v;
    size_t num;
};
const struct dp_crls *dp_directory_crls(const struct dp_directory *d, struct sp_str issuer_der); /* NULL: none */
bool dp_directory_has_crls(const struct dp_directory *d);

/* A plugin resource made ready to run. */
struct dp_instance {
    const struct dp_instance *next; /* in the list of its scope */
    const Sallyport__V1__Plugin *plugin;
    const struct dp_plugin_kind *kind;
    void *config;
    unsigned protocols; /* bits of enum dp_protocol */
};
enum dp_protocol { DP_HTTP = 1, DP_HTTPS = 2, DP_GRPC = 4, DP_GRPCS = 8 };
/* The instances that may apply to a route: those of its own scope, of its service's, and the workspace's. */
const struct dp_instance *dp_directory_of_route(const struct dp_directory *d, struct sp_str id);
const struct dp_instance *dp_directory_of_service(const struct dp_directory *d, struct sp_str id);
const struct dp_instance *dp_directory_of_workspace(const struct dp_directory *d, struct sp_str ws);

/* `name` as `anonymous` and `default_consumer` mean it: an id, then a username. */
const struct dp_consumer *dp_directory_consumer(const struct dp_directory *d, struct sp_str ws, struct sp_str name);
/* Workspace of a resource; "default" where none is set. */
struct sp_str dp_workspace(const char *ws);
