/* The last-good cache: what was live last, in one file that only this node can read: sealed with a key that follows
 * from its private key, mode 0600. Main thread. DESIGN section 6. */
#pragma once
#include "model/compile.h"

SP_MUST sp_result dp_cache_save(const char *path, struct sp_str key_pem, int64_t revision, const struct sp_resources *r,
                                struct sp_error *err);
struct dp_cached {
    int64_t revision;
    struct sp_resource *v; /* kind, name, hash and body; not unpacked, not checked */
    size_t num;
    struct sp_buf bytes; /* what v stands on */
};
/* SP_E_NOT_FOUND: there is no file. Anything else: it is corrupt, another node's, or larger than max_bytes. */
SP_MUST sp_result dp_cache_load(const char *path, struct sp_str key_pem, size_t max_bytes, struct dp_cached *out,
                                struct sp_error *err);
void dp_cached_fini(struct dp_cached *c);
