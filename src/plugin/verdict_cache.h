/* What a plugin instance thought of a certificate chain. One worker's, inside one snapshot (struct dp_plugin_cache), so
 * a changed config never meets an old verdict. Bounded: old entries make room for new ones. */
#pragma once
#include "plugin/plugin.h"

struct dp_cert_result {
    int64_t from, until;                /* seconds since 1970: outside of these the chain is judged again */
    const char *failed;                 /* why not; NULL: the chain is good */
    const struct dp_consumer *consumer; /* found by mapping or by name; NULL: none */
    struct sp_str credential_id;        /* in the snapshot: the mapping's id or the name that matched */
    struct sp_str dn, san, cn;          /* in the entry: copy before use beyond the next lookup */
};

/* NULL: not there, or not valid at `now`. */
const struct dp_cert_result *dp_verdict_find(const struct dp_plugin_cache *c, const void *instance,
                                             const uint8_t digest[32], int64_t now);
/* A fresh, empty result for the key; *arena holds its strings and dies with it. */
struct dp_cert_result *dp_verdict_put(struct dp_plugin_cache *c, const void *instance, const uint8_t digest[32],
                                      struct sp_arena **arena);
