/* The control plane's end: listens, demands a certificate that verifies under its CA, gives a stream for each peer. */
#pragma once
#include "net/address.h"
#include "rpc/rpc.h"

struct sp_rpc_server_options {
    struct sp_address listen;
    struct sp_str cert_pem, key_pem;   /* own certificate */
    struct sp_str ca_pem;              /* whose certificates are let in */
    uint32_t admit_per_s, admit_burst; /* new connections; refused before any work is done for them. 0: 100, 200 */
    uint32_t max_streams;              /* at once; 0: 20000 */
    uint32_t keepalive_ms;             /* ping after so much silence, dead after a third of it more; 0: 30000 */
};
struct sp_rpc_server;
/* Listens when it returns. Options and handlers are copied; handlers run on `owner`. */
SP_MUST sp_result sp_rpc_listen(struct sp_rpc *r, const struct sp_rpc_server_options *o, struct sp_loop *owner,
                                const struct sp_rpc_handlers *handlers, void *ctx, struct sp_rpc_server **out,
                                struct sp_error *err);
const struct sp_address *sp_rpc_server_address(const struct sp_rpc_server *s);
/* Stops listening and ends its streams; no handler is called after it, all its handles are invalid. NULL is fine. */
void sp_rpc_server_stop(struct sp_rpc_server *s);
