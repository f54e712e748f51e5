/* Reading a CRL that was fetched: megabytes of DER and a signature, too long for a worker that has others to serve. The
 * worker makes it happen aside (proxy/crl_shelf.h); a test puts something of its own in its place. Worker thread. */
#pragma once
#include "tls/crl.h"

struct dp_crl_order {
    const uint8_t *key;   /* 32 bytes: names URL and issuer (dp_crl_key) */
    struct sp_str der;    /* copied */
    struct sp_str issuer; /* DER of the certificate that must have signed it; copied */
    int64_t at;           /* when it was fetched, seconds since 1970 */
};

struct dp_crl_wait;
/* crl NULL: why not, constant. Borrowed for the call. at: when it was fetched. */
typedef void dp_crl_done_fn(void *ctx, const struct sp_crl *crl, int64_t at, const char *why);
struct dp_crl_reader {
    /* `done` comes exactly once, never inside read or join, unless the wait is cancelled before. What was read is in
     * every worker's memory from then on (dp_revocations_keep_crl). One that is being read for this key is not read
     * twice. */
    struct dp_crl_wait *(*read)(struct dp_crl_reader *r, const struct dp_crl_order *o, dp_crl_done_fn *done, void *ctx);
    /* Waits for one that is being read already. NULL: there is none. */
    struct dp_crl_wait *(*join)(struct dp_crl_reader *r, const uint8_t key[32], dp_crl_done_fn *done, void *ctx);
    void (*cancel)(struct dp_crl_reader *r, struct dp_crl_wait *w);
};
