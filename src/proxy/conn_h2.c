/* HTTP/2 from clients: many exchanges on a connection. Frames are made at the flush at the end of a turn, so what
 * several upstreams answered in one turn leaves in one send. */
#include "proxy/exchange.h"

enum {
    SLICE = 2 * 16375,      /* body bytes framed at a time: full records, few enough to stay in the cache until sent */
    STAGE_MAX = 4 * SLICE,  /* plaintext that is made before the socket is tried */
    FINAL_GOAWAY_MS = 1000, /* after the first GOAWAY: more than a round trip */
};

static const struct dp_down_ops ops;

static void h2_drain(struct dp_conn *c);

/* --- what the exchange asks for --- */

static void h2_respond(struct dp_exchange *x, struct sp_response_head *head, bool end)
{
    if (!x->stream)
        return;
    x->response_ended = end && head->status >= 200;
    if (!sp_h2_respond(x->stream, head, end && head->status >= 200))
        sp_h2_reset(x->stream, 2 /* INTERNAL_ERROR, RFC 9113 7 */);
    dp_conn_dirty(x->conn);
}

/* Seals and sends what is staged: a large body does not wait for the end of the turn. Never inside the session's own
 * events. */
static void push_stage(struct dp_conn *c)
{
    if (c->stage.len >= SLICE && !c->in_recv && !dp_conn_blocked(c))
        dp_conn_write(c, (struct sp_str){0});
}

static bool h2_data(struct dp_exchange *x, struct sp_str bytes)
{
    struct dp_conn *c = x->conn;
    bool all = true;
    while (all && bytes.len && x->stream && c->state == DP_CONN_OPEN) {
        struct sp_str slice = sp_str(bytes.p, bytes.len < SLICE ? bytes.len : SLICE);
        all = sp_h2_data(x->stream, slice, false, dp_conn_stage(c), dp_conn_blocked(c) ? 0 : STAGE_MAX);
        bytes = sp_str_skip(bytes, slice.len);
        push_stage(c);
    }
    if (!x->stream || c->state != DP_CONN_OPEN)
        return true;
    if (bytes.len)
        all = sp_h2_data(x->stream, bytes, false, dp_conn_stage(c), 0); /* kept behind what is kept already */
    dp_conn_dirty(c);
    return all;
}

static void h2_end(struct dp_exchange *x, const struct sp_fields *trailers)
{
    struct dp_conn *c = x->conn;
    if (!x->stream || x->response_ended || c->state != DP_CONN_OPEN)
        return;
    x->response_ended = true;
    if (trailers) {
        sp_h2_trailers(x->stream, trailers);
    } else {
        size_t max = dp_conn_blocked(c) ? 0 : STAGE_MAX;
        bool all = sp_h2_data(x->stream, (struct sp_str){"", 0}, true, dp_conn_stage(c), max);
        (void)all; /* nobody waits any more: what is kept leaves when the window opens */
    }
    dp_conn_dirty(c);
}

/* How often a connection with streams is looked at. */
static uint32_t check_after(const struct dp_conn *c)
{
    const struct dp_proxy_options *o = c->worker->options;
    uint32_t ms = o->idle_ms < o->body_ms ? o->idle_ms : o->body_ms;
    return ms < o->head_ms ? ms : o->head_ms;
}

/* Withheld credit is the pause. A body that is waited for has a deadline, sooner than an idle connection's. */
static void h2_pause(struct dp_exchange *x, bool paused)
{
    struct dp_conn *c = x->conn;
    uint32_t ms = check_after(c);
    if (!paused && x->call.wants_body && c->deadline.at_ms > sp_loop_now(c->worker->loop) + ms)
        dp_conn_set_deadline(c, ms);
}

static void h2_abort(struct dp_exchange *x)
{
    if (x->stream)
        sp_h2_reset(x->stream, 2 /* INTERNAL_ERROR */);
    dp_conn_dirty(x->conn);
}

static void h2_credit(struct dp_exchange *x, size_t n)
{
    if (!x->stream)
        return;
    sp_h2_credit(x->stream, n);
    dp_conn_dirty(x->conn);
}

static const struct dp_down_ops ops = {
    .respond = h2_respond, .data = h2_data, .end = h2_end, .pause = h2_pause, .abort = h2_abort, .credit = h2_credit};

/* --- what the session tells --- */

static void *on_open(void *conn, struct sp_h2_stream *s, struct sp_arena **arena)
{
    struct dp_conn *c = conn;
    if (c->close_after_flush)
        return NULL;
    struct dp_exchange *x = dp_exchange_new(c, &ops);
    x->stream = s;
    x->sibling = c->streams;
    if (x->sibling)
        x->sibling->elder = x;
    c->streams = x;
    *arena = x->arena;
    return x;
}

static void on_request(void *owner, struct sp_request_head *head, bool end)
{
    struct dp_exchange *x = owner;
    struct dp_conn *c = x->conn;
    if (dp_conn_ends(c) && !c->going_away)
        h2_drain(c); /* this request still gets its answer */
    x->request = *head;
    x->request.keep_alive = true;
    dp_exchange_start(x, end);
}

static void on_refused(void *owner, unsigned status, const char *why)
{
    struct dp_exchange *x = owner;
    sp_log(SP_DEBUG, "bad_request", "client=%s reason=\"%s\"", x->conn->ip, why);
    x->request.version = SP_HTTP_2;
    dp_exchange_reply(x, status, NULL);
}

static void on_data(void *owner, struct sp_str bytes, bool end)
{
    dp_exchange_data(owner, bytes, end);
}

static void on_trailers(void *owner, const struct sp_fields *trailers)
{
    dp_exchange_trailers(owner, trailers);
}

static void on_writable(void *owner)
{
    dp_exchange_unblocked(owner);
}

static void unlink_stream(struct dp_exchange *x)
{
    if (x->elder)
        x->elder->sibling = x->sibling;
    else
        x->conn->streams = x->sibling;
    if (x->sibling)
        x->sibling->elder = x->elder;
    x->stream = NULL;
}

static void on_closed(void *owner, bool clean)
{
    struct dp_exchange *x = owner;
    (void)clean;
    unlink_stream(x);
    dp_exchange_abort(x); /* nothing to do when it was done */
    dp_exchange_free(x);
}

static const struct sp_h2_events events = {.request = on_request,
                                           .refused = on_refused,
                                           .data = on_data,
                                           .trailers = on_trailers,
                                           .writable = on_writable,
                                           .closed = on_closed,
                                           .open = on_open};

/* --- the connection --- */

static void h2_open(struct dp_conn *c)
{
    c->h2 = sp_h2_new(&events, &c->worker->options->h2, c);
    c->heard_ms = sp_loop_now(c->worker->loop);
    dp_conn_set_deadline(c, c->worker->options->idle_ms);
    dp_conn_dirty(c);
    if (c->worker->draining)
        h2_drain(c);
}

static void h2_recv(struct dp_conn *c, struct sp_str bytes)
{
    struct sp_error err;
    if (c->close_after_flush)
        return;
    c->heard_ms = sp_loop_now(c->worker->loop); /* the deadline looks at it when it passes */
    c->in_recv = true;                          /* nothing may close the connection under the session's feet */
    sp_result r = sp_h2_recv(c->h2, bytes, &err);
    c->in_recv = false;
    if (sp_failed(r)) {
        sp_log(SP_DEBUG, "h2_failed", "client=%s reason=\"%s\"", c->ip, err.text);
        dp_conn_finish(c, true);
        return;
    }
    dp_conn_dirty(c);
}

static void h2_produce(struct dp_conn *c, struct sp_buf *stage)
{
    sp_h2_send(c->h2, stage, STAGE_MAX);
    if (stage->len == 0 && sp_h2_finished(c->h2) && !c->close_after_flush)
        dp_conn_finish(c, true); /* a reset for what it still sends must not overtake the GOAWAY */
}

static void h2_eof(struct dp_conn *c)
{
    dp_conn_close(c);
}

static void h2_unblocked(struct dp_conn *c)
{
    dp_conn_dirty(c); /* produce moves what the streams have kept */
}

/* GOAWAY in two steps (RFC 9113 6.8): what the client has already sent when it reads the first is still served. */
static void h2_drain(struct dp_conn *c)
{
    if (c->gone_away)
        return;
    sp_h2_drain(c->h2, c->going_away);
    dp_conn_set_deadline(c, c->going_away ? check_after(c) : FINAL_GOAWAY_MS);
    c->gone_away = c->going_away;
    c->going_away = true;
    dp_conn_dirty(c);
}

/* A client that opens streams and then gives no window would hold upstream connections and memory for ever. Only body
 * bytes count as movement: pings do not keep it alive. */
static bool is_stalled(struct dp_conn *c, uint64_t now)
{
    bool waits = dp_conn_blocked(c);
    for (const struct dp_exchange *x = c->streams; x && !waits; x = x->sibling)
        waits = x->down_blocked || x->response_ended;
    uint64_t sent = sp_h2_data_sent(c->h2);
    if (!waits || !c->stalled_ms || sent != c->stalled_at)
        c->stalled_ms = waits ? now : 0;
    c->stalled_at = sent;
    return waits && now - c->stalled_ms >= c->worker->options->body_ms;
}

/* A head that was begun and does not become whole. */
static bool has_slow_head(const struct dp_conn *c, uint64_t now)
{
    for (const struct dp_exchange *x = c->streams; x; x = x->sibling)
        if (x->state == DP_EX_HEAD && now - x->started_ms >= c->worker->options->head_ms)
            return true;
    return false;
}

/* Streams whose body is waited for, and does not come. */
static void refuse_slow_bodies(struct dp_conn *c, uint64_t now)
{
    for (struct dp_exchange *x = c->streams, *next; x; x = next) {
        next = x->sibling;
        if (dp_exchange_is_slow(x, now, c->worker->options->body_ms))
            dp_exchange_reply(x, 408, NULL);
    }
}

static void h2_deadline(struct dp_conn *c)
{
    uint64_t now = sp_loop_now(c->worker->loop), quiet = now - c->heard_ms;
    refuse_slow_bodies(c, now);
    if (c->going_away && !c->gone_away) {
        h2_drain(c);
        return;
    }
    if (is_stalled(c, now) || has_slow_head(c, now)) {
        dp_conn_close(c);
        return;
    }
    bool busy = sp_h2_num_streams(c->h2) > 0;
    if (busy || quiet < c->worker->options->idle_ms) {
        dp_conn_set_deadline(c, busy ? check_after(c) : c->worker->options->idle_ms - (uint32_t)quiet);
        return;
    }
    sp_count(&c->worker->counters.idle_closed, 1);
    sp_h2_drain(c->h2, true);
    dp_conn_finish(c, false);
}

static void h2_gone(struct dp_conn *c)
{
    while (c->streams)
        on_closed(c->streams, false);
    sp_h2_free(SP_TAKE(c->h2));
}

const struct dp_protocol dp_protocol_h2 = {
    .name = "h2",
    .open = h2_open,
    .recv = h2_recv,
    .eof = h2_eof,
    .produce = h2_produce,
    .unblocked = h2_unblocked,
    .deadline = h2_deadline,
    .drain = h2_drain,
    .gone = h2_gone,
};
