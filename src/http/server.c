#include "http/server.h"

#include "http/h1.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_BYTES = 16384,
    MAX_PIPELINED = 65536 + READ_BYTES, /* bytes that may wait behind a request under way: a head at most */
    ACCEPTS_AT_ONCE = 64,
    LINGER_MS = 2000,
    ACCEPT_PAUSE_MS = 100, /* when the process has no descriptor left */
    TOO_LARGE = 494,
};

struct listener {
    struct listener *next;
    struct sp_http_server *server;
    struct sp_watch watch;
    int fd;
};

struct sp_http_server {
    struct sp_http_server_options o;
    struct listener *listeners;
    struct connection *connections;
    struct sp_timer accept_pause;
    uint32_t num_connections;
    size_t body_bytes; /* of all requests that are not answered yet */
    bool draining;
};

enum state {
    AT_HEAD,
    AT_BODY,
    HANDLING, /* the handler has it */
    WRITING,
    LINGERING, /* answered without reading all: the rest is thrown away, so that the answer is not */
    CLOSED,
};

struct connection {
    struct sp_http_server *server;
    struct connection *next, **back;
    struct sp_watch watch;
    struct sp_timer timer;
    struct sp_deferred release;
    struct sp_address peer;
    struct sp_buf in, out;
    size_t scanned;
    struct exchange *x;
    enum state state;
    int fd;
    bool close_after, eof, running; /* running: inside run(), which goes on by itself */
    bool slow_timer;                /* the timer counts a head that has begun */
};

struct exchange {
    struct sp_http_exchange pub; /* first */
    struct connection *c;        /* NULL: gone */
    struct sp_request_head head;
    struct sp_h1_body decoder;
    struct sp_buf body;
    struct sp_fields fields;
};

static void run(struct connection *c);

/* --- exchanges */

static struct exchange *exchange_new(struct connection *c)
{
    struct exchange *x = sp_alloc(sizeof *x);
    x->c = c;
    x->pub.arena = sp_arena_new(4096);
    x->pub.peer = c->peer;
    x->pub.request = &x->head;
    return x;
}

/* The exchange and its connection part. */
static void exchange_detach(struct exchange *x)
{
    x->c->server->body_bytes -= x->body.len;
    x->c->x = NULL;
    x->c = NULL;
}

static void exchange_free(struct exchange *x)
{
    if (x->c)
        exchange_detach(x);
    sp_h1_body_fini(&x->decoder);
    sp_buf_wipe(&x->body); /* the Admin API is sent private keys and passwords */
    sp_arena_free(x->pub.arena);
    free(x);
}

/* --- connections */

static void connection_release(struct sp_deferred *d)
{
    struct connection *c = (struct connection *)((char *)d - offsetof(struct connection, release));
    sp_buf_fini(&c->in);
    sp_buf_fini(&c->out);
    free(c);
}

static void connection_close(struct connection *c)
{
    if (c->state == CLOSED)
        return;
    bool handled = c->state == HANDLING;
    c->state = CLOSED;
    if (c->x && handled)
        exchange_detach(c->x); /* the handler will answer it */
    else if (c->x)
        exchange_free(c->x);
    sp_watch_stop(&c->watch);
    sp_timer_stop(&c->timer);
    close(c->fd);
    *c->back = c->next;
    if (c->next)
        c->next->back = c->back;
    c->server->num_connections--;
    c->release.fn = connection_release;
    sp_loop_defer(c->server->o.loop, &c->release);
}

static void answer_and_close(struct connection *c, unsigned status, const char *text);

static void on_timeout(struct sp_timer *t)
{
    struct connection *c = (struct connection *)((char *)t - offsetof(struct connection, timer));
    if (c->state == AT_HEAD && c->in.len)
        answer_and_close(c, 408, "Request timeout");
    else
        connection_close(c);
}

/* A head has a deadline; bodies and answers have to make progress. */
static void set_timer(struct connection *c)
{
    bool slow = c->state == AT_HEAD && c->in.len > 0;
    if (slow && c->slow_timer)
        return;
    c->slow_timer = slow;
    if (c->state == HANDLING)
        sp_timer_stop(&c->timer);
    else if (c->state != LINGERING)
        sp_timer_start(&c->timer, c->server->o.loop, slow ? c->server->o.head_timeout_ms : c->server->o.idle_timeout_ms,
                       on_timeout);
}

static void set_watch(struct connection *c)
{
    bool full = c->in.len >= MAX_PIPELINED;
    bool reads = !c->eof && !full && c->state != WRITING;
    sp_watch_want(&c->watch, (reads ? SP_READ : 0) | (c->out.len ? SP_WRITE : 0));
}

/* --- answers */

static void add_date(struct exchange *x)
{
    char text[40];
    struct tm tm;
    time_t now = (time_t)sp_clock_wall_s(&sp_clock_system);
    size_t n = strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    sp_http_reply_field(&x->pub, SP_STR("Date"), sp_str(text, n));
}

static void write_answer(struct exchange *x, unsigned status, struct sp_str body)
{
    struct connection *c = x->c;
    bool no_body = status < 200 || status == 204 || status == 304;
    bool head_only = sp_str_eq(x->head.method, SP_STR("HEAD"));
    struct sp_response_head h = {.status = status,
                                 .framing = no_body || head_only ? SP_BODY_NONE : SP_BODY_LENGTH,
                                 .has_length = !no_body,
                                 .content_length = body.len,
                                 .keep_alive = !c->close_after,
                                 .fields = x->fields};
    bool old = x->head.version == SP_HTTP_10;
    if (!sp_h1_write_response(&c->out, &h, old)) {
        h = (struct sp_response_head){.status = 500, .framing = SP_BODY_LENGTH};
        c->close_after = true;
        bool ok = sp_h1_write_response(&c->out, &h, old);
        sp_assert(ok);
        return;
    }
    if (h.framing == SP_BODY_LENGTH)
        sp_buf_add(&c->out, body);
}

void sp_http_reply_field(struct sp_http_exchange *pub, struct sp_str name, struct sp_str value)
{
    struct exchange *x = (struct exchange *)pub;
    sp_fields_add(&x->fields, pub->arena, SP_FIELD_OTHER, sp_arena_dup(pub->arena, name),
                  sp_arena_dup(pub->arena, value));
}

void sp_http_reply(struct sp_http_exchange *pub, unsigned status, const char *content_type, struct sp_str body)
{
    struct exchange *x = (struct exchange *)pub;
    struct connection *c = x->c;
    if (!c) {
        exchange_free(x);
        return;
    }
    if (content_type)
        sp_http_reply_field(pub, SP_STR("Content-Type"), sp_str_z(content_type));
    add_date(x);
    c->close_after |= !x->head.keep_alive || c->server->draining;
    write_answer(x, status, body);
    exchange_free(x);
    c->state = WRITING;
    if (!c->running)
        run(c);
}

bool sp_http_gone(const struct sp_http_exchange *pub)
{
    const struct exchange *x = (const struct exchange *)pub;
    return !x->c || x->c->eof;
}

/* For what never reaches the handler. Kong's body, since the Admin API is read by Kong's tools. */
static void answer_and_close(struct connection *c, unsigned status, const char *text)
{
    struct exchange *x = c->x ? c->x : exchange_new(c);
    c->x = x;
    c->close_after = true;
    struct sp_str body = sp_arena_printf(x->pub.arena, "{\"message\":\"%s\"}", text);
    sp_http_reply(&x->pub, status, "application/json; charset=utf-8", body);
}

/* --- what a connection does next; each step returns whether there may be another */

static bool refuse(struct connection *c, const struct sp_h1_fault *fault)
{
    if (fault->status == TOO_LARGE)
        answer_and_close(c, 431, "Request header or cookie too large");
    else
        answer_and_close(c, fault->status, sp_status_phrase(fault->status));
    return true;
}

static void split_target(struct exchange *x)
{
    struct sp_str rest = x->head.target;
    x->pub.path = sp_str_split(&rest, '?');
    x->pub.query = rest;
}

static bool step_head(struct connection *c)
{
    struct sp_h1_fault fault;
    size_t consumed;
    if (c->in.len == 0)
        return false;
    if (!c->x)
        c->x = exchange_new(c);
    struct exchange *x = c->x;
    enum sp_h1_parse r = sp_h1_parse_request(sp_buf_str(&c->in), &c->scanned, &sp_h1_default_limits, x->pub.arena,
                                             &x->head, &consumed, &fault);
    if (r == SP_H1_MORE)
        return false;
    if (r == SP_H1_BAD)
        return refuse(c, &fault);
    sp_buf_consume(&c->in, consumed);
    split_target(x);
    sp_h1_body_init(&x->decoder, x->head.framing, x->head.content_length);
    c->state = AT_BODY;
    if (x->head.has_length && x->head.content_length > c->server->o.max_body)
        return refuse(c, &(struct sp_h1_fault){413, ""});
    if (x->head.expect_continue && !x->decoder.done && c->in.len == 0)
        sp_buf_add(&c->out, SP_STR("HTTP/1.1 100 Continue\r\n\r\n"));
    return true;
}

static bool step_body(struct connection *c)
{
    struct exchange *x = c->x;
    struct sp_http_server *server = c->server;
    while (!x->decoder.done && c->in.len) {
        struct sp_str in = sp_buf_str(&c->in), data;
        struct sp_h1_fault fault;
        enum sp_h1_parse r = sp_h1_body_next(&x->decoder, &in, &data, &fault);
        if (r == SP_H1_BAD)
            return refuse(c, &fault);
        if (x->body.len + data.len > server->o.max_body)
            return refuse(c, &(struct sp_h1_fault){413, ""});
        if (server->body_bytes + data.len > server->o.max_bodies)
            return refuse(c, &(struct sp_h1_fault){503, ""});
        sp_buf_add(&x->body, data);
        server->body_bytes += data.len;
        sp_buf_consume(&c->in, c->in.len - in.len);
    }
    if (!x->decoder.done)
        return false;
    c->state = HANDLING;
    x->pub.body = sp_buf_str(&x->body);
    server->o.handle(server->o.ctx, &x->pub);
    return c->state != HANDLING;
}

static void flush(struct connection *c)
{
    while (c->out.len) {
        ssize_t n = send(c->fd, c->out.p + c->out.off, c->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0) {
            connection_close(c);
            return;
        }
        sp_buf_consume(&c->out, (size_t)n);
    }
}

static bool step_writing(struct connection *c)
{
    flush(c);
    if (c->state == CLOSED || c->out.len)
        return false;
    if (c->close_after && !c->eof) {
        shutdown(c->fd, SHUT_WR);
        c->state = LINGERING;
        sp_timer_start(&c->timer, c->server->o.loop, LINGER_MS, on_timeout);
        sp_buf_fini(&c->in);
        return false;
    }
    if (c->close_after) {
        connection_close(c);
        return false;
    }
    sp_buf_fini(&c->out);
    c->state = AT_HEAD;
    return true;
}

static void run(struct connection *c)
{
    bool more = true;
    c->running = true;
    while (more) {
        more = c->state == AT_HEAD   ? step_head(c)
               : c->state == AT_BODY ? step_body(c)
               : c->state == WRITING ? step_writing(c)
                                     : false;
    }
    c->running = false;
    bool cannot_go_on = c->eof && (c->state == AT_HEAD || c->state == AT_BODY);
    bool idle = c->state == AT_HEAD && c->in.len == 0;
    if (cannot_go_on || (idle && c->server->draining))
        connection_close(c);
    if (c->state != CLOSED && c->state != WRITING)
        flush(c); /* 100 Continue */
    if (c->state == CLOSED)
        return;
    set_timer(c);
    set_watch(c);
}

/* --- events of sockets */

static void read_some(struct connection *c)
{
    for (;;) {
        ssize_t n = recv(c->fd, sp_buf_reserve(&c->in, READ_BYTES), READ_BYTES, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n > 0)
            sp_buf_commit(&c->in, (size_t)n);
        else if (n == 0)
            c->eof = true;
        else if (errno != EAGAIN && errno != EWOULDBLOCK)
            connection_close(c);
        return;
    }
}

static void on_ready(struct sp_watch *w, int events)
{
    struct connection *c = (struct connection *)((char *)w - offsetof(struct connection, watch));
    if (events & SP_READ)
        read_some(c);
    if (c->state == LINGERING) {
        sp_buf_clear(&c->in);
        if (c->eof)
            connection_close(c);
        return;
    }
    if (c->state != CLOSED)
        run(c);
}

static void connection_open(struct sp_http_server *server, int fd, const struct sp_address *peer)
{
    struct connection *c = sp_alloc(sizeof *c);
    c->server = server;
    c->fd = fd;
    c->peer = *peer;
    c->next = server->connections;
    c->back = &server->connections;
    if (c->next)
        c->next->back = &c->next;
    server->connections = c;
    server->num_connections++;
    sp_watch_start(&c->watch, server->o.loop, fd, SP_READ, on_ready);
    set_timer(c);
}

static void on_accept_pause(struct sp_timer *t)
{
    struct sp_http_server *s = (struct sp_http_server *)((char *)t - offsetof(struct sp_http_server, accept_pause));
    for (struct listener *l = s->listeners; l; l = l->next)
        sp_watch_want(&l->watch, SP_READ);
}

static void pause_accepting(struct sp_http_server *s)
{
    for (struct listener *l = s->listeners; l; l = l->next)
        sp_watch_want(&l->watch, 0);
    sp_timer_start(&s->accept_pause, s->o.loop, ACCEPT_PAUSE_MS, on_accept_pause);
}

static void on_connection(struct sp_watch *w, int events)
{
    struct listener *l = (struct listener *)((char *)w - offsetof(struct listener, watch));
    struct sp_http_server *s = l->server;
    (void)events;
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        struct sp_address peer = {.len = sizeof peer.ss};
        int fd = accept4(l->fd, (struct sockaddr *)&peer.ss, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                pause_accepting(s);
            return;
        }
        if (s->num_connections >= s->o.max_connections)
            close(fd);
        else
            connection_open(s, fd, &peer);
    }
}

/* --- the server */

struct sp_http_server *sp_http_server_new(const struct sp_http_server_options *o)
{
    struct sp_http_server *s = sp_alloc(sizeof *s);
    s->o = *o;
    if (!s->o.max_body)
        s->o.max_body = 64u << 20;
    if (!s->o.max_bodies)
        s->o.max_bodies = 256u << 20;
    if (!s->o.max_connections)
        s->o.max_connections = 256;
    if (!s->o.head_timeout_ms)
        s->o.head_timeout_ms = 10000;
    if (!s->o.idle_timeout_ms)
        s->o.idle_timeout_ms = 60000;
    return s;
}

sp_result sp_http_server_listen(struct sp_http_server *s, const struct sp_address *at, struct sp_address *bound,
                                struct sp_error *err)
{
    int fd;
    SP_TRY(sp_listen(at, NULL, &fd, err));
    if (bound) {
        sp_result r = sp_local_address(fd, bound, err);
        if (sp_failed(r)) {
            close(fd);
            return r;
        }
    }
    struct listener *l = sp_alloc(sizeof *l);
    l->server = s;
    l->fd = fd;
    l->next = s->listeners;
    s->listeners = l;
    sp_watch_start(&l->watch, s->o.loop, fd, SP_READ, on_connection);
    return sp_ok();
}

static void stop_listening(struct sp_http_server *s)
{
    sp_timer_stop(&s->accept_pause);
    while (s->listeners) {
        struct listener *l = s->listeners;
        s->listeners = l->next;
        sp_watch_stop(&l->watch);
        close(l->fd);
        free(l);
    }
}

void sp_http_server_drain(struct sp_http_server *s)
{
    s->draining = true;
    stop_listening(s);
    for (struct connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        if (c->state == AT_HEAD && c->in.len == 0 && !c->running)
            connection_close(c);
    }
}

uint32_t sp_http_server_connections(const struct sp_http_server *s)
{
    return s->num_connections;
}

void sp_http_server_free(struct sp_http_server *s)
{
    if (!s)
        return;
    stop_listening(s);
    while (s->connections)
        connection_close(s->connections);
    free(s);
}
