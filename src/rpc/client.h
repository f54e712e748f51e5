/* The data plane's end: one connection with one stream. Whoever wants another try calls again. */
#pragma once
#include "net/address.h"
#include "rpc/rpc.h"
#include "tls/client.h"

struct sp_rpc_connect_options {
    struct sp_address to;
    struct sp_str server_name; /* what the server's certificate must be for */
    struct sp_tls_client *tls; /* with the node's certificate, verify on, ALPN "h2"; outlives the runtime */
    uint32_t keepalive_ms;     /* 0: 30000 */
    uint32_t timeout_ms;       /* until open; 0: 10000 */
};
/* Never fails at once: `closed` comes instead, without an `open` before it. */
struct sp_rpc_stream *sp_rpc_connect(struct sp_rpc *r, const struct sp_rpc_connect_options *o, struct sp_loop *owner,
                                     const struct sp_rpc_handlers *handlers, void *ctx);
