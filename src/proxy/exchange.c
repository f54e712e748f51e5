#include "proxy/exchange.h"
#include "admit/admit.h"

#include <stdlib.h>

enum { ARENA_FIRST = 8192, MAX_SPARE_EXCHANGES = 1024 };

static const struct dp_up_events upstream_events;

/* --- life --- */

static void make_request_id(struct dp_exchange *x)
{
    uint64_t r[2] = {dp_worker_random(x->worker), dp_worker_random(x->worker)};
    sp_hex(r, sizeof r, x->request_id);
}

struct dp_exchange *dp_exchange_new(struct dp_conn *c, const struct dp_down_ops *down)
{
    struct dp_worker *w = c->worker;
    struct dp_exchange *x = w->spare;
    if (x) {
        w->spare = x->next;
        w->num_spare--;
    } else {
        x = sp_alloc(sizeof *x);
        x->arena = sp_arena_new(ARENA_FIRST);
    }
    x->worker = w;
    x->conn = c;
    x->down = down;
    x->started_ms = sp_loop_now(w->loop);
    make_request_id(x);
    return x;
}

void dp_exchange_free(struct dp_exchange *x)
{
    struct dp_worker *w = x->worker;
    sp_assert(!x->up && !x->epoch);
    x->next = w->dead_exchanges;
    w->dead_exchanges = x;
    sp_loop_defer(w->loop, &w->bury);
}

static void recycle(struct dp_worker *w, struct dp_exchange *x)
{
    struct sp_arena *arena = x->arena;
    sp_h1_body_fini(&x->body);
    sp_buf_fini(&x->held);
    if (w->num_spare >= MAX_SPARE_EXCHANGES) {
        sp_arena_free(arena);
        free(x);
        return;
    }
    sp_arena_reset(arena);
    *x = (struct dp_exchange){.arena = arena, .next = w->spare};
    w->spare = x;
    w->num_spare++;
}

void dp_exchange_bury(struct dp_worker *w)
{
    while (w->dead_exchanges) {
        struct dp_exchange *x = w->dead_exchanges;
        w->dead_exchanges = x->next;
        recycle(w, x);
    }
}

/* --- log --- */

static void put_json_text(struct sp_buf *out, struct sp_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == '"' || c == '\\' || c >= 0x7f)
            sp_buf_printf(out, "\\u%04x", c);
        else
            sp_buf_putc(out, (char)c);
    }
}

static const char *verify_text(enum dp_client_verify v)
{
    static const char *const texts[] = {"", "NONE", "SUCCESS", "FAILED"};
    return texts[v];
}

static void log_access(struct dp_exchange *x)
{
    struct dp_worker *w = x->worker;
    struct sp_buf *b = &w->access_log;
    uint64_t now = sp_loop_now(w->loop);
    struct sp_str client = x->call.client_ip.len ? x->call.client_ip : sp_str_z(x->conn->ip);
    sp_buf_printf(b, "{\"time\":%lld,\"request_id\":\"%s\",\"client\":\"%.*s\"", (long long)sp_clock_wall_s(w->clock),
                  x->request_id, SP_FMT(client));
    if (!sp_str_eq(client, sp_str_z(x->conn->peer_ip)))
        sp_buf_printf(b, ",\"peer\":\"%s\"", x->conn->peer_ip);
    sp_buf_add(b, SP_STR(",\"method\":\""));
    put_json_text(b, x->request.method);
    sp_buf_printf(b, "\",\"host\":\"");
    put_json_text(b, x->request.authority);
    sp_buf_printf(b, "\",\"path\":\"");
    put_json_text(b, x->path.len ? x->path : x->request.target);
    sp_buf_printf(b, "\",\"status\":%u,\"bytes\":%llu,\"ms\":%llu", x->status, (unsigned long long)x->bytes_out,
                  (unsigned long long)(now - x->started_ms));
    if (x->route) {
        sp_buf_printf(b, ",\"route\":\"");
        put_json_text(b, x->route->name);
        sp_buf_putc(b, '"');
    }
    if (x->call.consumer) {
        sp_buf_printf(b, ",\"consumer\":\"");
        put_json_text(b, x->call.consumer->username.len ? x->call.consumer->username : x->call.consumer->id);
        sp_buf_putc(b, '"');
    }
    if (x->call.client_verify != DP_VERIFY_UNSET) {
        sp_buf_printf(b, ",\"tls\":{\"client_verify\":\"%s%s", verify_text(x->call.client_verify),
                      x->call.client_verify_reason ? ":" : "");
        put_json_text(b, sp_str_z(x->call.client_verify_reason));
        sp_buf_add(b, SP_STR("\"}"));
    }
    sp_buf_add(b, SP_STR("}\n"));
    sp_loop_defer(w->loop, &w->log_flush);
}

/* Everything that the exchange held of others is given back; what is left is memory. */
static void settle(struct dp_exchange *x)
{
    struct dp_worker *w = x->worker;
    if (x->state == DP_EX_DONE)
        return;
    x->state = DP_EX_DONE;
    if (x->call.cancel)
        SP_TAKE(x->call.cancel)(&x->call);
    if (x->up)
        dp_up_finish(SP_TAKE(x->up), x->request_done);
    if (!x->counted)
        return;
    sp_count(&w->counters.requests_active, -1);
    sp_count(&w->counters.responses[x->status / 100 < 6 ? x->status / 100 : 0], 1);
    if (w->options->access_log)
        log_access(x);
    dp_epoch_drop(w, SP_TAKE(x->epoch));
}

/* --- answering ourselves --- */

static struct sp_str milliseconds(struct dp_exchange *x, uint64_t ms)
{
    if (ms < 10) /* most are */
        return sp_str(&"0123456789"[ms], 1);
    return sp_arena_printf(x->arena, "%llu", (unsigned long long)ms);
}

static void add_all(struct dp_exchange *x, struct sp_response_head *h, const struct sp_fields *from)
{
    for (uint32_t i = 0; i < from->len; i++)
        sp_fields_add(&h->fields, x->arena, from->v[i].id, from->v[i].name, from->v[i].value);
}

static void add_reply_fields(struct dp_exchange *x, struct sp_response_head *h, struct sp_str content_type)
{
    struct sp_arena *a = x->arena;
    if (content_type.len)
        sp_fields_add(&h->fields, a, SP_FIELD_CONTENT_TYPE, SP_STR("Content-Type"), content_type);
    add_all(x, h, &x->call.reply_fields);
    add_all(x, h, &x->call.response_fields);
    sp_fields_add(&h->fields, a, SP_FIELD_SERVER, SP_STR("Server"), SP_STR("sallyport/" SP_VERSION));
    sp_fields_add(&h->fields, a, SP_FIELD_OTHER, SP_STR("X-Kong-Response-Latency"),
                  milliseconds(x, sp_loop_now(x->worker->loop) - x->started_ms));
    sp_fields_add(&h->fields, a, SP_FIELD_OTHER, SP_STR("X-Kong-Request-Id"), sp_str(x->request_id, 32));
}

/* gRPC clients read trailers, not bodies: the answer is a head with grpc-status in it. The message of an error is its
 * code's name, as Kong's is: the text stands in the log. */
static void reply_grpc(struct dp_exchange *x, struct sp_response_head *h, unsigned status, const char *message)
{
    unsigned code = dp_reply_grpc_status(status);
    if (status == 499) /* no status of HTTP: only its code in gRPC is meant (kong-behaviour 6.4) */
        h->status = x->status = 200;
    bool told = message && (x->call.reply_as_is || status == 499);
    sp_fields_add(&h->fields, x->arena, SP_FIELD_OTHER, SP_STR("grpc-status"), sp_arena_printf(x->arena, "%u", code));
    sp_fields_add(&h->fields, x->arena, SP_FIELD_OTHER, SP_STR("grpc-message"),
                  told ? dp_reply_grpc_text(x->arena, sp_str_z(message)) : sp_str_z(dp_reply_grpc_name(code)));
    add_reply_fields(x, h, SP_STR("application/grpc"));
}

/* Kong answers in gRPC's way where it is possible at all: over HTTP/2. */
static bool is_answered_in_grpc(const struct dp_exchange *x)
{
    return x->grpc && x->request.version == SP_HTTP_2;
}

static struct sp_str reply_body(struct dp_exchange *x, unsigned status, const char *message,
                                struct sp_str *content_type)
{
    if (x->call.reply_as_is) {
        *content_type = x->call.reply_content_type;
        return x->call.reply_body;
    }
    if (!message)
        message = dp_reply_text(status);
    if (!message)
        message = sp_arena_printf(x->arena, "The upstream server responded with %u", status).p;
    return dp_reply_body(x, message, content_type);
}

static bool forbids_body(unsigned status)
{
    return status == 204 || status == 304;
}

void dp_exchange_reply(struct dp_exchange *x, unsigned status, const char *message)
{
    struct sp_str content_type = {0}, body = {0};
    if (x->up)
        dp_up_finish(SP_TAKE(x->up), false);
    if (x->response_started) { /* one answer is enough: a second would be the next request's */
        settle(x);
        x->down->abort(x);
        return;
    }
    x->status = status == 494 || status == 431 ? 400 : status; /* as nginx and so Kong answer too large a head */
    struct sp_response_head h = {
        .status = x->status, .version = SP_HTTP_11, .framing = SP_BODY_LENGTH, .has_length = true};
    h.keep_alive = x->request.keep_alive && x->request_done && !dp_conn_ends(x->conn);
    h.upgrade = x->upgrade_offer;
    if (is_answered_in_grpc(x)) {
        reply_grpc(x, &h, status, message);
    } else {
        body = reply_body(x, status, message, &content_type);
        add_reply_fields(x, &h, content_type);
    }
    if (forbids_body(x->status)) {
        body.len = 0;
        h.framing = SP_BODY_NONE;
        h.has_length = false;
    }
    h.content_length = body.len;
    bool end = x->head_request || body.len == 0;
    x->state = DP_EX_REPLY;
    x->response_started = true;
    x->down->respond(x, &h, end);
    if (!end && x->state == DP_EX_REPLY) {
        x->bytes_out += body.len;
        (void)x->down->data(x, body); /* small: whatever the window, it is kept below */
    }
    settle(x);
    x->down->end(x, NULL);
}

/* --- towards the upstream --- */

static void forward(struct dp_exchange *x, bool fresh)
{
    struct dp_worker *w = x->worker;
    const struct dp_service *s = x->route->service;
    const struct dp_target *t = dp_service_pick(s, &x->epoch->turns[s->index]);
    if (!t) {
        dp_exchange_reply(x, 503, dp_admit_no_target);
        return;
    }
    x->tries++;
    x->forwarded_ms = sp_loop_now(w->loop);
    x->up = dp_up_lease(w->pools, dp_epoch_pool(w, x->epoch, t), s, t, fresh, &upstream_events, x, x->arena);
    dp_up_expect(x->up, x->head_request);
    if (!dp_forward_head(x, s, dp_up_out(x->up))) {
        dp_exchange_reply(x, 400, NULL);
        return;
    }
    x->up_head = dp_up_out(x->up)->len;
    dp_up_flush(x->up, !x->request_done);
}

void dp_exchange_go_on(struct dp_exchange *x)
{
    if (!x->route->service)
        dp_exchange_reply(x, 503, dp_admit_no_service);
    else
        forward(x, false);
}

void dp_exchange_start(struct dp_exchange *x, bool end)
{
    struct dp_worker *w = x->worker;
    x->counted = true;
    x->number = ++x->conn->requests;
    sp_count(&w->counters.requests_total, 1);
    sp_count(&w->counters.requests_active, 1);
    x->request_done = end;
    x->head_request = sp_str_eq(x->request.method, SP_STR("HEAD"));
    x->state = DP_EX_FORWARD;
    x->epoch = dp_epoch_hold(w);
    if (!x->epoch) {
        dp_exchange_reply(x, 503, "no configuration available");
        return;
    }
    if (w->counters.requests_active > w->options->max_requests) {
        dp_exchange_reply(x, 503, "too many requests under way");
        return;
    }
    if (dp_exchange_admit(x))
        dp_exchange_go_on(x);
}

/* --- request body --- */

static void put_body(struct dp_exchange *x, struct sp_str bytes)
{
    struct sp_buf *out = dp_up_out(x->up);
    if (!x->up_chunked || x->tunnel) {
        sp_buf_add(out, bytes);
        return;
    }
    sp_h1_write_chunk_head(out, bytes.len);
    sp_buf_add(out, bytes);
    sp_buf_append(out, "\r\n", 2);
}

static void put_last_chunk(struct dp_exchange *x)
{
    bool written = sp_h1_write_last_chunk(dp_up_out(x->up), NULL);
    sp_assert(written); /* only trailers can be invalid */
}

static void credit(struct dp_exchange *x, size_t n)
{
    if (x->down->credit && n)
        x->down->credit(x, n);
}

static void after_body_write(struct dp_exchange *x, size_t n)
{
    if (!dp_up_full(x->up)) {
        credit(x, n);
        return;
    }
    x->uncredited += n;
    if (!x->request_done)
        x->down->pause(x, true);
}

/* A plugin's measure for bodies whose length nobody announced. */
static void refuse_body(struct dp_exchange *x)
{
    x->request_done = false;
    if (!x->response_started) {
        dp_exchange_reply(x, x->request.expect_continue ? 417 : 413, "Request size limit exceeded");
        return;
    }
    settle(x);
    x->down->abort(x);
}

void dp_exchange_forward_body(struct dp_exchange *x, struct sp_str bytes, bool end, size_t owed)
{
    x->body_in += bytes.len;
    if (x->call.limits_body && x->body_in > x->call.body_limit && !x->tunnel) {
        refuse_body(x);
        return;
    }
    if (bytes.len) {
        x->body_forwarded = true;
        put_body(x, bytes);
    }
    if (end && x->up_chunked)
        put_last_chunk(x);
    dp_up_flush(x->up, !end);
    after_body_write(x, owed);
}

void dp_exchange_data(struct dp_exchange *x, struct sp_str bytes, bool end)
{
    x->request_done = end;
    if (x->state == DP_EX_PAUSED)
        dp_exchange_hold(x, bytes, end);
    else if (!x->up) /* answered already: the rest is read and dropped */
        credit(x, bytes.len);
    else
        dp_exchange_forward_body(x, bytes, end, bytes.len);
}

void dp_exchange_eof(struct dp_exchange *x)
{
    x->request_done = true;
    if (x->up)
        dp_up_end(x->up);
}

/* An upstream that merges trailers into the head must not be told there who the client is. */
static struct sp_fields allowed_trailers(struct dp_exchange *x, const struct sp_fields *trailers)
{
    struct sp_fields out = {0};
    for (uint32_t i = 0; trailers && i < trailers->len; i++) {
        const struct sp_field *f = &trailers->v[i];
        if (!f->removed && dp_identity_allows_trailer(&x->call, f->name))
            sp_fields_add(&out, x->arena, f->id, f->name, f->value);
    }
    return out;
}

void dp_exchange_trailers(struct dp_exchange *x, const struct sp_fields *trailers)
{
    x->request_done = true;
    if (x->state == DP_EX_PAUSED) {
        dp_exchange_hold_trailers(x, trailers);
        return;
    }
    if (!x->up)
        return;
    struct sp_fields allowed = allowed_trailers(x, trailers);
    x->body_forwarded = true;
    if (x->up_chunked && !sp_h1_write_last_chunk(dp_up_out(x->up), &allowed)) {
        dp_exchange_reply(x, 400, NULL);
        return;
    }
    dp_up_flush(x->up, false);
}

static void on_up_writable(void *owner)
{
    struct dp_exchange *x = owner;
    credit(x, x->uncredited);
    x->uncredited = 0;
    if (!x->request_done)
        x->down->pause(x, false);
}

/* --- response --- */

static void add_response_fields(struct dp_exchange *x, struct sp_response_head *h)
{
    struct sp_arena *a = x->arena;
    sp_fields_add(&h->fields, a, SP_FIELD_VIA, SP_STR("Via"), sp_str_z(x->worker->options->via));
    sp_fields_add(&h->fields, a, SP_FIELD_OTHER, SP_STR("X-Kong-Upstream-Latency"),
                  milliseconds(x, x->answered_ms - x->forwarded_ms));
    sp_fields_add(&h->fields, a, SP_FIELD_OTHER, SP_STR("X-Kong-Proxy-Latency"),
                  milliseconds(x, x->forwarded_ms - x->started_ms));
    sp_fields_remove(&h->fields, SP_STR("X-Kong-Request-Id"));
    sp_fields_add(&h->fields, a, SP_FIELD_OTHER, SP_STR("X-Kong-Request-Id"), sp_str(x->request_id, 32));
    for (uint32_t i = 0; i < x->call.response_fields.len; i++)
        sp_fields_remove(&h->fields, x->call.response_fields.v[i].name);
    add_all(x, h, &x->call.response_fields);
}

static bool has_no_body(const struct dp_exchange *x, const struct sp_response_head *h)
{
    return x->head_request || h->status == 204 || h->status == 304 ||
           (h->framing == SP_BODY_LENGTH && h->content_length == 0);
}

static void respond_interim(struct dp_exchange *x, struct sp_response_head *h)
{
    if (x->request.version == SP_HTTP_10 || x->response_started)
        return;
    sp_fields_strip_hop_by_hop(&h->fields);
    x->down->respond(x, h, false);
}

/* Only what the client asked for, and only when its request is whole: the rest of a body is not the tunnel's. */
static bool may_tunnel(const struct dp_exchange *x, const struct sp_response_head *h)
{
    return x->request.upgrade.len && x->request.version == SP_HTTP_11 && x->request_done && h->upgrade.len;
}

static void on_up_response(void *owner, struct sp_response_head *h)
{
    struct dp_exchange *x = owner;
    if (h->status < 200 && h->status != 101) {
        respond_interim(x, h);
        return;
    }
    if (h->status == 101 && !may_tunnel(x, h)) {
        dp_exchange_reply(x, 502, NULL);
        return;
    }
    x->state = DP_EX_RESPOND;
    x->status = h->status;
    x->answered_ms = sp_loop_now(x->worker->loop);
    x->response_started = true;
    x->tunnel = h->status == 101;
    if (x->tunnel)
        x->request_done = false;
    bool end = !x->tunnel && has_no_body(x, h);
    sp_fields_strip_hop_by_hop(&h->fields);
    add_response_fields(x, h);
    h->keep_alive = x->request.keep_alive && (x->request_done || x->tunnel) && !dp_conn_ends(x->conn);
    if (!end && h->framing == SP_BODY_CLOSE && !x->tunnel)
        h->framing = SP_BODY_CHUNKED; /* the client's side need not end with the connection */
    x->down->respond(x, h, end);
}

static void on_up_data(void *owner, struct sp_str bytes)
{
    struct dp_exchange *x = owner;
    x->bytes_out += bytes.len;
    if (!x->down->data(x, bytes) && x->state != DP_EX_DONE) {
        x->down_blocked = true;
        if (x->up)
            dp_up_pause(x->up, true);
    }
}

static void on_up_end(void *owner, struct sp_fields *trailers)
{
    struct dp_exchange *x = owner;
    settle(x);
    x->down->end(x, trailers);
}

void dp_exchange_unblocked(struct dp_exchange *x)
{
    if (!x->down_blocked)
        return;
    x->down_blocked = false;
    if (x->up)
        dp_up_pause(x->up, false);
}

/* --- failure --- */

static bool is_idempotent(struct sp_str method)
{
    return sp_str_eq(method, SP_STR("GET")) || sp_str_eq(method, SP_STR("HEAD")) || sp_str_eq(method, SP_STR("PUT")) ||
           sp_str_eq(method, SP_STR("DELETE")) || sp_str_eq(method, SP_STR("OPTIONS")) ||
           sp_str_eq(method, SP_STR("TRACE"));
}

/* Nothing of the request has left: all that came of it waits in the connection that was to be. */
static bool never_stood(enum dp_up_failure why)
{
    return why == DP_UP_CONNECT || why == DP_UP_CONNECT_TIMEOUT || why == DP_UP_TLS || why == DP_UP_DNS;
}

/* Again only where the upstream cannot have seen the request, or may see it twice; and where we still have all of it.
 */
static bool may_retry(const struct dp_exchange *x, enum dp_up_failure why, bool reused, bool answered)
{
    if (never_stood(why))
        return x->tries <= x->route->service->retries && (why != DP_UP_DNS || x->route->service->num_targets > 1);
    return why == DP_UP_CLOSED && reused && !answered && !x->body_forwarded &&
           x->tries <= x->route->service->retries + 1 && is_idempotent(x->request.method);
}

static void reply_failure(struct dp_exchange *x, enum dp_up_failure why)
{
    switch (why) {
    case DP_UP_DNS:
        dp_exchange_reply(x, 503, "name resolution failed");
        break;
    case DP_UP_TIMEOUT:
    case DP_UP_CONNECT_TIMEOUT:
        dp_exchange_reply(x, 504, NULL);
        break;
    default:
        dp_exchange_reply(x, 502, NULL);
        break;
    }
}

static void on_up_failed(void *owner, enum dp_up_failure why, const char *text)
{
    struct dp_exchange *x = owner;
    struct dp_upconn *old = SP_TAKE(x->up); /* it buries itself */
    x->down_blocked = false;
    if (!x->response_started && may_retry(x, why, dp_up_reused(old), dp_up_answered(old))) {
        size_t head = x->up_head;
        forward(x, true);
        if (x->up && never_stood(why))
            dp_up_hand_over(old, head, x->up);
        else if (x->up && x->request_done && x->up_chunked)
            put_last_chunk(x);
        return;
    }
    sp_count(&x->worker->counters.upstream_failures, 1);
    sp_log(SP_WARN, "upstream_failed", "request_id=%s service=%.*s reason=\"%s\"", x->request_id,
           SP_FMT(x->route->service->name), text);
    if (!x->response_started) {
        reply_failure(x, why);
        return;
    }
    settle(x);
    x->down->abort(x);
}

void dp_exchange_abort(struct dp_exchange *x)
{
    if (x->state == DP_EX_DONE || (x->state == DP_EX_HEAD && !x->epoch))
        return;
    if (!x->response_started)
        x->status = 499;
    x->request_done = false; /* whatever came back, this upstream connection is in the middle of something */
    settle(x);
}

static const struct dp_up_events upstream_events = {
    .response = on_up_response,
    .data = on_up_data,
    .end = on_up_end,
    .failed = on_up_failed,
    .writable = on_up_writable,
};
