/* One request and its response: the only place where downstream, plugins and upstream meet. Worker thread.
 *
 *   HEAD -> PAUSED | FORWARD | REPLY | DONE  (a plugin waits | routed and admitted | answered by us | client gone)
 *   PAUSED -> the same                  (the plugin went on; what came of the body meanwhile is held)
 *   FORWARD -> RESPOND | REPLY | DONE   (head from upstream | upstream failed | client gone)
 *   RESPOND -> DONE    REPLY -> DONE    DONE = the downstream side may free it
 * FORWARD cannot hang: the upstream lease has a deadline in each of its states. RESPOND: the same, or the client's. */
#pragma once
#include "proxy/conn.h"

enum dp_exchange_state { DP_EX_HEAD, DP_EX_PAUSED, DP_EX_FORWARD, DP_EX_RESPOND, DP_EX_REPLY, DP_EX_DONE };

/* What the downstream protocol does for an exchange. */
struct dp_down_ops {
    void (*respond)(struct dp_exchange *x, struct sp_response_head *head, bool end);
    bool (*data)(struct dp_exchange *x, struct sp_str bytes); /* false: blocked, wait for dp_exchange_unblocked */
    void (*end)(struct dp_exchange *x, const struct sp_fields *trailers); /* trailers may be NULL */
    void (*pause)(struct dp_exchange *x, bool paused); /* request body: back-pressure from upstream */
    void (*abort)(struct dp_exchange *x);            /* the response cannot be finished: tell the client by breaking */
    void (*credit)(struct dp_exchange *x, size_t n); /* n bytes of request body are disposed of; may be NULL */
};

struct dp_exchange {
    struct dp_call call;      /* what plugins see; first */
    struct dp_exchange *next; /* free list */
    struct dp_worker *worker;
    struct dp_epoch *epoch;
    struct dp_conn *conn;
    const struct dp_down_ops *down;
    struct sp_h2_stream *stream;         /* h2; NULL when it is closed */
    struct dp_exchange *sibling, *elder; /* h2: the connection's list */
    struct sp_arena *arena;              /* first chunk is kept when the exchange is recycled */
    struct sp_request_head request;
    struct sp_h1_body body; /* h1: request body decoder */
    struct sp_buf held;     /* PAUSED: body that has come already */
    size_t held_owed;       /* of it, bytes that the client has no credit for yet */
    uint64_t waits_ms;      /* PAUSED for the body: loop time when something of it came last */
    struct sp_fields held_trailers;
    bool held_any, held_end; /* PAUSED: something of the body came; its end too, without trailers */
    const struct dp_route *route;
    struct sp_str matched_prefix, path, query; /* normalised path; query with its "?" */
    struct dp_upconn *up;
    uint8_t state; /* enum dp_exchange_state */
    bool request_done, head_request, up_chunked, response_started, body_forwarded, grpc, down_blocked, counted;
    bool tunnel;                            /* 101: bytes both ways from here on */
    bool response_ended;                    /* h2: END_STREAM is sent or on its way */
    bool keep, down_chunked, ends_by_close; /* h1: the connection goes on afterwards; how the body is framed */
    uint32_t tries;
    uint64_t number; /* among the requests of its connection, counted from 1 */
    size_t up_head;  /* bytes of the request head in the upstream's buffer */
    unsigned status;
    uint64_t started_ms, forwarded_ms, answered_ms; /* loop time */
    uint64_t uncredited;                            /* request body bytes that wait upstream */
    uint64_t bytes_out, body_in;                    /* response body sent; request body received */
    struct sp_str upgrade_offer;                    /* of our own 426 */
    char request_id[33];
};

struct dp_exchange *dp_exchange_new(struct dp_conn *c, const struct dp_down_ops *down);
void dp_exchange_free(
    struct dp_exchange *x);                 /* only in DONE or HEAD; its memory stays valid until the end of the turn */
void dp_exchange_bury(struct dp_worker *w); /* the end of the turn: freed exchanges go back to the worker */
/* The head stands in x->request. end: no body. */
void dp_exchange_start(struct dp_exchange *x, bool end);
void dp_exchange_data(struct dp_exchange *x, struct sp_str bytes, bool end);
void dp_exchange_trailers(struct dp_exchange *x, const struct sp_fields *trailers);
void dp_exchange_eof(struct dp_exchange *x);       /* a tunnel's client sends no more, and still takes */
void dp_exchange_unblocked(struct dp_exchange *x); /* the client takes more */
void dp_exchange_abort(struct dp_exchange *x);     /* the client is gone; ends in DONE */
/* Our own answer; message may be NULL for the standard text of the status. Ends in DONE. */
void dp_exchange_reply(struct dp_exchange *x, unsigned status, const char *message);

/* admit.c: finds the route and runs its plugins. False: answered, or PAUSED. */
SP_MUST bool dp_exchange_admit(struct dp_exchange *x);
SP_MUST bool dp_exchange_readmit(struct dp_exchange *x); /* the plugin that paused goes on */
void dp_exchange_go_on(struct dp_exchange *x);           /* admitted: towards the upstream */
/* pause.c: the body of a request that a plugin holds up. */
void dp_exchange_hold(struct dp_exchange *x, struct sp_str bytes, bool end);
void dp_exchange_hold_trailers(struct dp_exchange *x, const struct sp_fields *trailers);
void dp_exchange_await_body(struct dp_exchange *x); /* PAUSED, and it is the body that is waited for */
/* Nothing of a body that is waited for came in this time. */
bool dp_exchange_is_slow(const struct dp_exchange *x, uint64_t now, uint32_t max_ms);
/* FORWARD: towards the upstream; `owed` of the bytes are without credit. */
void dp_exchange_forward_body(struct dp_exchange *x, struct sp_str bytes, bool end, size_t owed);
void dp_exchange_resume(struct dp_call *call); /* dp_call.resume */
/* reply.c: the body of an error as the client wants it (kong-behaviour 1.0): Accept decides. */
struct sp_str dp_reply_body(struct dp_exchange *x, const char *message, struct sp_str *content_type);
const char *dp_reply_text(unsigned status); /* default texts of kong-behaviour 1.0; NULL: it has none of its own */
unsigned dp_reply_grpc_status(unsigned status);
const char *dp_reply_grpc_name(unsigned grpc_status); /* 0 to 16 */
struct sp_str dp_reply_grpc_text(struct sp_arena *a, struct sp_str message);
/* forward.c: the request as the upstream sees it (kong-behaviour 6.3), serialised. False: something in it is invalid.
 */
SP_MUST bool dp_forward_head(struct dp_exchange *x, const struct dp_service *s, struct sp_buf *out);
