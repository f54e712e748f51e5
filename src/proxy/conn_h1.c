/* HTTP/1 from clients: one exchange at a time on a connection; what arrives early waits in c->in. */
#include "proxy/exchange.h"

#include <stddef.h>
#include <sys/socket.h>

enum {
    MAX_EARLY = 65536,   /* bytes of pipelined requests that may wait */
    MAX_AT_ONCE = 32,    /* requests that are begun before what they left behind is cleared away */
    LAST_HEAD_MS = 1000, /* at a drain: for a request that is on its way */
};

static const struct dp_down_ops ops;

static void take(struct dp_conn *c, struct sp_str *bytes);

/* --- the next request --- */

static bool wants_bytes(const struct dp_conn *c)
{
    return c->state == DP_CONN_OPEN && !c->close_after_flush;
}

static void pause_when_full(struct dp_conn *c)
{
    if ((c->x || dp_conn_blocked(c)) && c->in.len > MAX_EARLY)
        dp_conn_pause(c, true);
}

static void resume(struct sp_deferred *d)
{
    struct dp_conn *c = (struct dp_conn *)(void *)((char *)d - offsetof(struct dp_conn, resume));
    struct sp_buf early = c->in; /* taken out for the time; what is not used goes back without a copy */
    c->in = (struct sp_buf){0};
    struct sp_str bytes = sp_buf_str(&early);
    take(c, &bytes);
    if (!wants_bytes(c) || bytes.len == 0) {
        sp_buf_fini(&early);
        return;
    }
    sp_buf_consume(&early, early.len - bytes.len);
    c->in = early;
    pause_when_full(c);
}

/* Bytes that have waited get their turn, after what was to be sent before them. */
static void resume_later(struct dp_conn *c)
{
    dp_conn_pause(c, false);
    if (c->in.len)
        sp_loop_defer(c->worker->loop, &c->resume);
}

static void wait_for_request(struct dp_conn *c)
{
    dp_conn_set_deadline(c, c->worker->options->idle_ms);
    resume_later(c);
}

static void hurry(struct dp_conn *c)
{
    uint32_t ms = c->worker->options->head_ms;
    dp_conn_set_deadline(c, ms < LAST_HEAD_MS ? ms : LAST_HEAD_MS);
}

static void h1_open(struct dp_conn *c)
{
    c->resume.fn = resume;
    if (c->worker->draining)
        hurry(c);
}

/* Sends the answer and ends the connection when it has to. */
static void end_exchange(struct dp_conn *c, struct dp_exchange *x, bool keep)
{
    bool linger = !x->request_done;
    c->x = NULL;
    dp_exchange_free(x);
    dp_conn_dirty(c);
    if (keep && !dp_conn_ends(c))
        wait_for_request(c);
    else
        dp_conn_finish(c, linger);
}

/* --- what the exchange asks for --- */

static bool is_http10(const struct dp_exchange *x)
{
    return x->request.version == SP_HTTP_10;
}

static void h1_respond(struct dp_exchange *x, struct sp_response_head *head, bool end)
{
    struct dp_conn *c = x->conn;
    if (head->status >= 200) {
        x->keep = head->keep_alive && !(is_http10(x) && head->framing == SP_BODY_CHUNKED);
        x->down_chunked = !end && !x->tunnel && head->framing == SP_BODY_CHUNKED && !is_http10(x);
        x->ends_by_close = !end && head->framing == SP_BODY_CHUNKED && is_http10(x);
        if (end && head->framing == SP_BODY_CHUNKED && x->head_request)
            head->framing = SP_BODY_NONE;
    }
    if (!sp_h1_write_response(dp_conn_stage(c), head, is_http10(x)))
        dp_conn_close(c); /* something in it does not pass the gate: the client gets nothing rather than that */
    dp_conn_dirty(c);
    if (x->tunnel && c->in.len) /* bytes that came before the 101 are the tunnel's first */
        resume_later(c);
}

static bool h1_data(struct dp_exchange *x, struct sp_str bytes)
{
    struct dp_conn *c = x->conn;
    if (c->state == DP_CONN_CLOSED)
        return true;
    if (x->down_chunked)
        sp_h1_write_chunk_head(dp_conn_stage(c), bytes.len);
    dp_conn_write(c, bytes);
    if (x->down_chunked)
        dp_conn_write(c, SP_STR("\r\n"));
    return c->state == DP_CONN_CLOSED || !dp_conn_blocked(c);
}

static void h1_end(struct dp_exchange *x, const struct sp_fields *trailers)
{
    struct dp_conn *c = x->conn;
    if (c->state == DP_CONN_CLOSED) /* `gone` has freed it */
        return;
    if (x->down_chunked && !sp_h1_write_last_chunk(dp_conn_stage(c), trailers))
        x->keep = false;
    end_exchange(c, x, x->keep && !x->tunnel && x->request_done);
}

static void h1_pause(struct dp_exchange *x, bool paused)
{
    dp_conn_pause(x->conn, paused);
}

/* The client must see that the body is not whole: no last chunk, no close_notify in order, just the end. A body that
 * ends by closing needs more than that. */
static void h1_abort(struct dp_exchange *x)
{
    struct linger reset = {.l_onoff = 1};
    if (x->ends_by_close)
        setsockopt(x->conn->watch.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    dp_conn_close(x->conn);
}

static const struct dp_down_ops ops = {
    .respond = h1_respond, .data = h1_data, .end = h1_end, .pause = h1_pause, .abort = h1_abort};

/* --- bytes from the client --- */

static void refuse_head(struct dp_conn *c, struct dp_exchange *x, const struct sp_h1_fault *fault)
{
    c->x = x;
    sp_log(SP_DEBUG, "bad_request", "client=%s reason=\"%s\"", c->ip, fault->why);
    x->request.keep_alive = false;
    x->request.version = SP_HTTP_11;
    dp_exchange_reply(x, fault->status, NULL);
}

/* False: stop for now. */
static bool take_head(struct dp_conn *c, struct sp_str *bytes)
{
    struct dp_exchange *x = dp_exchange_new(c, &ops);
    struct sp_h1_fault fault = {0};
    size_t consumed = 0;
    bool first = c->scanned == 0;
    switch (
        sp_h1_parse_request(*bytes, &c->scanned, &c->worker->options->h1, x->arena, &x->request, &consumed, &fault)) {
    case SP_H1_BAD:
        *bytes = sp_str_skip(*bytes, bytes->len);
        refuse_head(c, x, &fault);
        return false;
    case SP_H1_MORE:
        dp_exchange_free(x);
        if (first) /* from the first byte on the whole head has this long, however it trickles */
            dp_conn_set_deadline(c, c->worker->options->head_ms);
        return false;
    case SP_H1_DONE:
        break;
    }
    c->scanned = 0;
    c->x = x;
    *bytes = sp_str_skip(*bytes, consumed);
    dp_conn_set_deadline(c, c->worker->options->body_ms);
    sp_h1_body_init(&x->body, x->request.framing, x->request.content_length);
    dp_exchange_start(x, x->body.done);
    return c->state == DP_CONN_OPEN;
}

static void take_trailers(struct dp_conn *c, struct dp_exchange *x)
{
    struct sp_fields trailers = {0};
    struct sp_h1_fault fault = {0};
    if (x->body.trailers.len == 0) {
        dp_exchange_data(x, (struct sp_str){0}, true);
        return;
    }
    if (sp_h1_body_trailers(&x->body, x->arena, &trailers, &fault) != SP_H1_DONE)
        dp_conn_close(c);
    else
        dp_exchange_trailers(x, &trailers);
}

static bool take_body(struct dp_conn *c, struct dp_exchange *x, struct sp_str *bytes)
{
    struct sp_h1_fault fault = {0};
    struct sp_str data;
    if (sp_h1_body_next(&x->body, bytes, &data, &fault) == SP_H1_BAD) {
        sp_log(SP_DEBUG, "bad_request", "client=%s reason=\"%s\"", c->ip, fault.why);
        *bytes = sp_str_skip(*bytes, bytes->len);
        x->request.keep_alive = false;
        if (x->response_started)
            dp_conn_close(c);
        else
            dp_exchange_reply(x, 400, NULL);
        return false;
    }
    dp_conn_set_deadline(c, c->worker->options->body_ms);
    bool chunked = x->body.framing == SP_BODY_CHUNKED;
    if (data.len)
        dp_exchange_data(x, data, x->body.done && !chunked);
    if (c->x == x && x->body.done && chunked)
        take_trailers(c, x);
    return c->state == DP_CONN_OPEN;
}

/* No new request for a client that does not take the answers to the last ones; and not more at a time than can be
 * cleared away (answers of our own come at once, so a pipeline would run through in one turn). */
static bool may_begin(struct dp_conn *c, unsigned *begun)
{
    if (dp_conn_blocked(c))
        return false;
    if (++*begun <= MAX_AT_ONCE)
        return true;
    sp_loop_defer(c->worker->loop, &c->resume);
    return false;
}

/* Uses what it can; what is left in *bytes belongs to a head that is not whole or to a request whose turn has not come.
 */
static void take(struct dp_conn *c, struct sp_str *bytes)
{
    unsigned begun = 0;
    while (bytes->len && wants_bytes(c)) {
        struct dp_exchange *x = c->x;
        if (x && x->tunnel) {
            dp_exchange_data(x, *bytes, false);
            *bytes = sp_str_skip(*bytes, bytes->len);
            return;
        }
        if (x ? x->request_done : !may_begin(c, &begun))
            break;
        if (!(x ? take_body(c, x, bytes) : take_head(c, bytes)))
            break;
    }
}

static void h1_recv(struct dp_conn *c, struct sp_str bytes)
{
    if (c->in.len == 0)
        take(c, &bytes);
    if (!wants_bytes(c))
        return;
    bool begun = c->in.len > 0;
    sp_buf_add(&c->in, bytes);
    if (begun && !c->x)
        resume(&c->resume);
    else
        pause_when_full(c);
}

/* --- the rest of a connection's life --- */

static void h1_eof(struct dp_conn *c)
{
    if (c->x && c->x->tunnel) {
        if (c->in.len)
            resume(&c->resume);
        dp_conn_pause(c, true);
        if (c->x)
            dp_exchange_eof(c->x);
        return;
    }
    if (c->close_after_flush) { /* the answer is made: it still leaves */
        dp_conn_pause(c, true);
        return;
    }
    dp_conn_close(c); /* whoever does not wait for the answer gets none */
}

static void h1_unblocked(struct dp_conn *c)
{
    if (c->x)
        dp_exchange_unblocked(c->x);
    else
        resume_later(c);
}

static void h1_deadline(struct dp_conn *c)
{
    struct dp_exchange *x = c->x;
    if (x && (x->request_done || x->tunnel || c->read_paused) &&
        !dp_conn_blocked(c)) { /* the upstream's turn, with deadlines of its own */
        dp_conn_set_deadline(c, c->worker->options->body_ms);
        return;
    }
    if (x && !x->response_started) {
        x->request.keep_alive = false;
        dp_exchange_reply(x, 408, NULL);
        return;
    }
    if (x || dp_conn_blocked(c)) {
        dp_conn_close(c);
        return;
    }
    sp_count(&c->worker->counters.idle_closed, 1);
    dp_conn_finish(c, false);
}

/* A request may be on its way already: closing at once would lose it. */
static void h1_drain(struct dp_conn *c)
{
    if (!c->x && !c->in.len)
        hurry(c);
}

static void h1_gone(struct dp_conn *c)
{
    struct dp_exchange *x = SP_TAKE(c->x);
    if (!x)
        return;
    dp_exchange_abort(x);
    dp_exchange_free(x);
}

const struct dp_protocol dp_protocol_h1 = {
    .name = "http/1.1",
    .open = h1_open,
    .recv = h1_recv,
    .eof = h1_eof,
    .unblocked = h1_unblocked,
    .deadline = h1_deadline,
    .drain = h1_drain,
    .gone = h1_gone,
};
