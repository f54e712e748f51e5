/* What the directory is to the plugin room itself: while chains are compiled it also remembers what several of them
 * share, so that five thousand routes under one plugin hold one instance and one CA set. One thread until the snapshot
 * is complete. */
#pragma once
#include "plugin/chain.h"

/* A CA set and the ids of its members, in the order of the set. */
struct dp_trust {
    struct sp_ca_set *set;
    const struct sp_str *ids;
    size_t num;
};
/* SP_E_NOT_FOUND: one of the ids is not there; nothing is made of the others. */
SP_MUST sp_result dp_directory_trust(const struct dp_directory *d, char *const *ids, size_t num,
                                     bool allow_partial_chain, const struct dp_trust **out, struct sp_error *err);

/* A plugin resource made ready to run. */
struct dp_instance {
    const Sallyport__V1__Plugin *plugin;
    const struct dp_plugin_kind *kind;
    void *config;
    unsigned protocols; /* bits of enum dp_protocol */
};
enum dp_protocol { DP_HTTP = 1, DP_HTTPS = 2, DP_GRPC = 4, DP_GRPCS = 8 };
SP_MUST sp_result dp_directory_instance(const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                                        const struct dp_instance **out, struct sp_error *err);

/* `name` as `anonymous` and `default_consumer` mean it: an id, then a username. */
const struct dp_consumer *dp_directory_consumer(const struct dp_directory *d, struct sp_str ws, struct sp_str name);
/* Workspace of a resource; "default" where none is set. */
struct sp_str dp_workspace(const char *ws);
