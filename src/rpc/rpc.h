/* One bidirectional stream of messages over gRPC, for both planes: /sallyport.v1.Discovery/Stream. gRPC Core speaks
 * HTTP/2 over one end of a socket pair; we move the bytes between the other end and the TCP socket through our own mTLS
 * (DESIGN section 3). gRPC's completion queue and the byte pump have a thread each, in here; everything a user of this
 * room sees happens on the loop of its owner. */
#pragma once
#include "base/bytes.h"
#include "net/loop.h"

enum {
    SP_RPC_MAX_MESSAGE = 16 << 20,    /* what a server sends */
    SP_RPC_MAX_FROM_CLIENT = 4 << 20, /* what a client sends: a server hears many of them */
    SP_RPC_MAX_QUEUED = 4 << 20,
    SP_RPC_MAX_QUEUED_NUM = 256
};

/* The runtime: gRPC and the two threads. One per process is enough. */
struct sp_rpc;
SP_MUST sp_result sp_rpc_new(struct sp_rpc **out, struct sp_error *err);
/* Ends every stream, joins both threads. No handler is called after it; all handles are invalid. On the owner's thread,
 * after its servers were stopped and before its loop is freed. NULL is fine. */
void sp_rpc_free(struct sp_rpc *r);

/* Who is at the other end, from its certificate. */
struct sp_rpc_peer {
    struct sp_str identity; /* SPIFFE URI, else the first subject alternative name, else the common name */
    struct sp_str address;  /* with port */
    int64_t not_after;      /* of the certificate, seconds since 1970 */
};

struct sp_rpc_stream;
struct sp_rpc_handlers {
    /* Server: a peer has opened a stream. Client: the server has taken it. peer lives as long as the handle. */
    void (*open)(void *ctx, struct sp_rpc_stream *s, const struct sp_rpc_peer *peer);
    /* bytes are borrowed for the call. The next message is read after this returns: that is the back-pressure. */
    void (*message)(void *ctx, struct sp_rpc_stream *s, struct sp_str bytes);
    /* After sp_rpc_send has said false: there is room again. May be NULL. */
    void (*writable)(void *ctx, struct sp_rpc_stream *s);
    /* The last event; the handle is invalid when this returns. */
    void (*closed)(void *ctx, struct sp_rpc_stream *s, const char *why);
};

/* All on the owner's thread, while the handle is valid: from open (server) or connect (client) to closed or
 * sp_rpc_close. */
/* Takes over one reference of b. false: the queue is full, nothing was taken; `writable` comes when there is room. */
SP_MUST bool sp_rpc_send(struct sp_rpc_stream *s, struct sp_bytes *b);
/* Ends the stream, telling the peer why if there is still a way; what is queued is dropped. No further event. */
void sp_rpc_close(struct sp_rpc_stream *s, const char *why);
void sp_rpc_set_user(struct sp_rpc_stream *s, void *user);
void *sp_rpc_user(const struct sp_rpc_stream *s);
