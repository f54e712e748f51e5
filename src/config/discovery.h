/* The data plane's stream to its control planes, kept up: resolves, connects, tries the next address, backs off with
 * full jitter (base 500 ms, cap 30 s). Carries bytes; what they mean is the delta's affair. Main thread. */
#pragma once
#include "base/buf.h"
#include "net/loop.h"

struct dp_discovery;
struct dp_discovery_options {
    const struct sp_str *addresses; /* "host:port", at least one */
    size_t num_addresses;
    struct sp_str server_name; /* empty: the host of the address */
    struct sp_str cert_pem, key_pem, ca_pem;
    uint32_t keepalive_ms; /* 0: 30000 */
    void (*opened)(void *ctx);
    void (*message)(void *ctx, struct sp_str bytes); /* borrowed for the call */
    void (*lost)(void *ctx, const char *why);        /* only after opened; it tries again by itself */
    void *ctx;
};
/* Options are copied. The first try is made when the loop runs. */
SP_MUST sp_result dp_discovery_start(struct sp_loop *loop, const struct dp_discovery_options *o,
                                     struct dp_discovery **out, struct sp_error *err);
void dp_discovery_stop(struct dp_discovery *d); /* no callback after it; NULL is fine */

void dp_discovery_send(struct dp_discovery *d, struct sp_str bytes); /* dropped when there is no stream */
void dp_discovery_drop(struct dp_discovery *d, const char *why);     /* closes, without `lost`, and tries again */
/* The control plane has proved useful: a whole transaction came. The next failure is the first again. */
void dp_discovery_good(struct dp_discovery *d);

bool dp_discovery_connected(const struct dp_discovery *d);
struct sp_str dp_discovery_address(const struct dp_discovery *d); /* connected to, or tried last */
struct sp_str dp_discovery_error(const struct dp_discovery *d);   /* of the last try; empty while connected */
