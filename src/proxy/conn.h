/* A downstream connection: socket, TLS, and which protocol speaks on it. Knows nothing of routes. It borrows an epoch
 * for its handshake only: each request asks for the epoch of its own moment. Worker thread; frees itself at the end of
 * a turn.
 *
 *   PREFACE -> HANDSHAKE | OPEN | CLOSED   (a PROXY header is awaited; only where the listener takes one)
 *   HANDSHAKE -> OPEN | CLOSED     OPEN -> LINGER | CLOSED     LINGER -> CLOSED
 *   PREFACE and HANDSHAKE together end by options.handshake_ms, OPEN by idle, head and body deadlines, LINGER by 2 s.
 */
#pragma once
#include "http/h2.h"
#include "proxy/worker.h"

enum dp_conn_state { DP_CONN_PREFACE, DP_CONN_HANDSHAKE, DP_CONN_OPEN, DP_CONN_LINGER, DP_CONN_CLOSED };

struct dp_conn;
/* What speaks on an open connection. */
struct dp_protocol {
    const char *name; /* "http/1.1", "h2" */
    void (*open)(struct dp_conn *c);
    void (*recv)(struct dp_conn *c, struct sp_str bytes);     /* borrowed for the call; all of it is taken */
    void (*eof)(struct dp_conn *c);                           /* the client sends no more */
    void (*produce)(struct dp_conn *c, struct sp_buf *stage); /* at flush: put in what is ready; may be NULL */
    void (*unblocked)(struct dp_conn *c);                     /* all that waited is sent */
    void (*deadline)(struct dp_conn *c);
    void (*drain)(struct dp_conn *c); /* finish what runs, take no more */
    void (*gone)(struct dp_conn *c);  /* last call: the socket is closed */
};
extern const struct dp_protocol dp_protocol_h1, dp_protocol_h2;

struct dp_listener {
    struct sp_watch watch;
    struct sp_deadline pause; /* out of descriptors: looks again when it passes */
    struct dp_worker *worker;
    const struct dp_listener_conf *conf;
};

struct dp_conn {
    struct sp_watch watch; /* first */
    struct sp_deadline deadline;
    struct sp_deferred flush;
    struct dp_worker *worker;
    struct dp_conn *next, *prev;
    const struct dp_listener_conf *listener;
    struct dp_epoch *epoch;    /* during the handshake */
    struct sp_tls_stream *tls; /* NULL: plain */
    const struct dp_protocol *protocol;
    char peer_ip[SP_ADDRESS_TEXT]; /* the other end of the TCP connection; `trusted` is about this one and no other */
    char told_ip[SP_ADDRESS_TEXT]; /* whom the PROXY header of a trusted peer names; else empty */
    const char *ip;                /* the client's, as far as the connection knows: one of the two */
    uint8_t state;                 /* enum dp_conn_state */
    uint64_t number, requests;     /* of all of this worker's, counted from 1; begun on it so far */
    int64_t not_after; /* wall seconds: the client certificate's end, which the connection does not outlive; 0: none */
    bool read_paused, close_after_flush, close_notified, linger, trusted;
    /* life.c */
    bool ending;             /* no more requests; what runs will be cut */
    struct sp_deadline life; /* of connections with a client certificate: the next look, or the cut */
    uint64_t known_at;       /* key of the route that accepted the certificate last; 0: none has */
    uint64_t identity;       /* dp_epoch.identity under which that was so */
    int64_t accepted_until;  /* wall seconds: and would be until then */
    struct sp_buf stage;     /* plaintext of this turn; its memory is borrowed from the worker */
    struct sp_buf pending;   /* bytes for the socket that it did not take */
    /* h1 */
    struct dp_exchange *x;
    struct sp_buf
        in; /* bytes that wait for their turn: part of a head, pipelined requests; before: of a PROXY header */
    size_t scanned;
    struct sp_deferred resume;
    /* h2 */
    struct sp_h2 *h2;
    struct dp_exchange *streams;
    bool in_recv, going_away, gone_away; /* GOAWAY: first, final */
    uint64_t heard_ms;                   /* loop time of the last bytes from the client */
    uint64_t stalled_ms, stalled_at;     /* since when, and after how many body bytes; 0: something moves */
};

void dp_conn_accept(struct dp_listener *l, int fd_take, const struct sp_address *from);
/* For protocols: plaintext towards the client. Small writes gather until the end of the turn, large ones are sealed at
 * once. */
struct sp_buf *dp_conn_stage(struct dp_conn *c); /* append here, then dp_conn_dirty */
void dp_conn_dirty(struct dp_conn *c);
void dp_conn_write(struct dp_conn *c, struct sp_str bytes);
bool dp_conn_blocked(const struct dp_conn *c); /* the socket does not take more: stop producing until `unblocked` */
void dp_conn_pause(struct dp_conn *c, bool paused); /* stop or go on reading */
void dp_conn_set_deadline(struct dp_conn *c, uint32_t after_ms);
void dp_conn_finish(struct dp_conn *c,
                    bool linger);      /* flush, then close; linger: read and drop what the client still sends */
void dp_conn_close(struct dp_conn *c); /* now */
void dp_conn_drain(struct dp_conn *c);
bool dp_conn_ends(const struct dp_conn *c); /* what is answered now is the last */
void dp_conn_free_dead(struct dp_worker *w);
