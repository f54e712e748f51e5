/* Inside of src/rpc: moves bytes between a TCP socket under TLS and gRPC's end of a socket pair. Bounded both ways: it
 * reads from one side only when the other has taken everything. The pump's thread. */
#pragma once
#include "net/loop.h"
#include "tls/client.h"

enum { SP_PUMP_BYTES = 64 << 10 };

/* What all pumps of a thread share. */
struct sp_pump_room {
    struct sp_loop *loop;
    struct sp_wire wire;
    char bytes[SP_PUMP_BYTES];
};

enum sp_pump_state {
    SP_PUMP_IDLE,
    SP_PUMP_CONNECT,
    SP_PUMP_HANDSHAKE,
    SP_PUMP_OPEN,
    SP_PUMP_FLUSH, /* gRPC has closed: what it wrote goes out, until the peer closes */
    SP_PUMP_DRAIN, /* the peer has closed: what it wrote goes to gRPC, until that closes */
    SP_PUMP_DEAD
};

struct sp_pump {
    struct sp_pump_room *room;
    enum sp_pump_state state;
    struct sp_tls_stream *tls;
    int tcp, local; /* -1: none */
    struct sp_watch tcp_watch, local_watch;
    struct sp_timer deadline;
    struct sp_buf to_tcp, to_local; /* empty, or what the last read could not pass on */
    /* The peer is verified: start gRPC on the descriptor sp_pump_open gives, or close. */
    void (*ready)(struct sp_pump *p);
    /* Everything is closed; not called for sp_pump_close. */
    void (*dead)(struct sp_pump *p, const char *why);
    char why[160];
};

/* fd: accepted, or with a connect under way; owned from here on. tls: of this room's wire; owned from here on. */
void sp_pump_start(struct sp_pump *p, struct sp_pump_room *room, int fd, bool connecting, struct sp_tls_stream *tls,
                   uint32_t timeout_ms);
/* In `ready`: makes the socket pair. The caller gives *fd to gRPC, which owns it. The deadline stays until opened. */
SP_MUST sp_result sp_pump_open(struct sp_pump *p, int *fd, struct sp_error *err);
void sp_pump_opened(struct sp_pump *p); /* the stream stands: no more deadline */
void sp_pump_linger(struct sp_pump *p); /* gRPC is about to close its end: not for ever */
void sp_pump_close(struct sp_pump *p);  /* idempotent */
