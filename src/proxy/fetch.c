#include "proxy/fetch.h"

#include "base/names.h"
#include "http/h1.h"
#include "tls/client.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    MAX_RUNNING = 64, /* connections at once; the rest waits its turn, and its time runs */
    MAX_ADDRESSES = 4,
    RECV = 32768,
    ARENA_FIRST = 2048,
};

struct fetcher;
enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_TUNNEL, JOB_HANDSHAKE, JOB_ASKING, JOB_CLOSED };

/* One document on its way. Lives until the end of the turn in which it closes.
 *
 *   QUEUED -> RUNNING (name, address) [-> TUNNEL (CONNECT)] [-> HANDSHAKE] -> ASKING -> CLOSED
 * Each of them ends by the job's one deadline. */
struct job {
    struct sp_watch watch; /* first */
    struct sp_deadline deadline;
    struct sp_deferred begin;
    struct fetcher *fetcher;
    struct job *next, *prev; /* of those alive, oldest first; or dead */
    struct dp_fetch *waiters;
    struct sp_arena *arena; /* order, and the answer's head */
    struct dp_fetch_order order;
    struct sp_str authority, host, target, near; /* near: whom to connect to */
    uint16_t port, near_port;
    bool tls;
    uint8_t state; /* enum job_state */
    struct sp_query *query;
    struct sp_address addresses[MAX_ADDRESSES];
    uint8_t num_addresses, next_address;
    struct sp_tls_stream *stream;
    struct sp_buf out, in, body; /* bytes for the socket; a head that is not whole; the document */
    size_t scanned;
    bool have_head;
    unsigned status;
    struct sp_h1_body decoder;
};

struct dp_fetch { /* somebody who waits for a job */
    struct dp_fetch *next;
    struct job *job;
    dp_fetched_fn *done;
    void *ctx;
};

struct fetcher {
    struct dp_fetcher ops; /* first */
    struct sp_loop *loop;
    struct sp_wheel *wheel;
    struct sp_resolver *resolver;
    struct sp_tls_client *clients[2]; /* by `verify`; made when first needed */
    struct sp_wire wire;
    char *sealed, *plain; /* RECV bytes each; made when first needed */
    struct job *first, *last, *dead;
    unsigned running;
    struct sp_deferred bury;
};

static void on_ready(struct sp_watch *w, int events);
static void run_next(struct fetcher *f);

/* --- the end of a job --- */

static void free_job(struct job *j)
{
    sp_tls_free(j->stream);
    sp_h1_body_fini(&j->decoder);
    sp_buf_fini(&j->out);
    sp_buf_fini(&j->in);
    sp_buf_fini(&j->body);
    sp_arena_free(j->arena);
    free(j);
}

static void bury(struct sp_deferred *d)
{
    struct fetcher *f = (struct fetcher *)(void *)((char *)d - offsetof(struct fetcher, bury));
    while (f->dead) {
        struct job *j = f->dead;
        f->dead = j->next;
        free_job(j);
    }
}

static void unlink_job(struct job *j)
{
    struct fetcher *f = j->fetcher;
    *(j->prev ? &j->prev->next : &f->first) = j->next;
    *(j->next ? &j->next->prev : &f->last) = j->prev;
}

static void close_job(struct job *j)
{
    struct fetcher *f = j->fetcher;
    if (j->state == JOB_CLOSED)
        return;
    f->running -= j->state != JOB_QUEUED;
    j->state = JOB_CLOSED;
    sp_query_cancel(SP_TAKE(j->query));
    sp_deadline_clear(f->wheel, &j->deadline);
    sp_loop_undefer(f->loop, &j->begin);
    if (j->watch.fd >= 0) {
        sp_watch_stop(&j->watch);
        close(j->watch.fd);
        j->watch.fd = -1;
    }
    unlink_job(j);
    j->next = f->dead;
    f->dead = j;
    sp_loop_defer(f->loop, &f->bury);
    run_next(f);
}

/* Whoever is told may cancel others that wait for the same job, or start it anew. */
static void finish(struct job *j, const struct dp_fetch_answer *a)
{
    close_job(j);
    while (j->waiters) {
        struct dp_fetch *w = j->waiters;
        j->waiters = w->next;
        dp_fetched_fn *done = w->done;
        void *ctx = w->ctx;
        free(w);
        done(ctx, a);
    }
}

static void fail(struct job *j, const char *why)
{
    finish(j, &(struct dp_fetch_answer){.why = why});
}

static void on_deadline(struct sp_deadline *d)
{
    fail((struct job *)(void *)((char *)d - offsetof(struct job, deadline)), "timed out");
}

/* --- the answer --- */

static void succeed(struct job *j)
{
    finish(j, &(struct dp_fetch_answer){.status = j->status, .body = sp_buf_str(&j->body)});
}

/* Takes a head off j->in. False: not whole yet, or the job is over. */
static bool take_head(struct job *j, struct sp_response_head *head)
{
    struct sp_h1_fault fault = {0};
    size_t consumed = 0;
    switch (sp_h1_parse_response(sp_buf_str(&j->in), &j->scanned, &sp_h1_default_limits, false, j->arena, head,
                                 &consumed, &fault)) {
    case SP_H1_BAD:
        fail(j, fault.why);
        return false;
    case SP_H1_MORE:
        return false;
    case SP_H1_DONE:
        break;
    }
    sp_buf_consume(&j->in, consumed);
    j->scanned = 0;
    return true;
}

static void take_body(struct job *j)
{
    struct sp_str in = sp_buf_str(&j->in), data;
    struct sp_h1_fault fault = {0};
    while (in.len && !j->decoder.done) {
        if (sp_h1_body_next(&j->decoder, &in, &data, &fault) == SP_H1_BAD) {
            fail(j, fault.why);
            return;
        }
        if (j->body.len + data.len > j->order.max_body) {
            fail(j, "the answer is too large");
            return;
        }
        sp_buf_add(&j->body, data);
    }
    sp_buf_clear(&j->in);
    if (j->decoder.done)
        succeed(j);
}

static void take_answer(struct job *j, struct sp_str bytes)
{
    struct sp_response_head head;
    sp_buf_add(&j->in, bytes);
    while (!j->have_head) {
        if (!take_head(j, &head))
            return;
        if (head.status == 101) {
            fail(j, "the server switches protocols");
            return;
        }
        j->have_head = head.status >= 200;
    }
    if (j->status == 0) {
        j->status = head.status;
        if (head.has_length && head.content_length > j->order.max_body) {
            fail(j, "the answer is too large");
            return;
        }
        sp_h1_body_init(&j->decoder, head.framing, head.content_length);
    }
    take_body(j);
}

static void take_eof(struct job *j)
{
    if (j->have_head && j->decoder.framing == SP_BODY_CLOSE)
        succeed(j);
    else
        fail(j, "the server closed the connection");
}

/* --- sending --- */

static bool flush(struct job *j)
{
    while (j->out.len) {
        ssize_t n = send(j->watch.fd, j->out.p + j->out.off, j->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0)
            break;
        sp_buf_consume(&j->out, (size_t)n);
    }
    sp_watch_want(&j->watch, SP_READ | (j->out.len ? SP_WRITE : 0));
    return true;
}

/* What TLS has for the socket. */
static bool flush_wire(struct job *j)
{
    struct sp_wire *wire = &j->fetcher->wire;
    sp_buf_add(&j->out, sp_buf_str(&wire->out));
    sp_buf_clear(&wire->out);
    wire->in = (struct sp_str){0};
    return flush(j);
}

/* A proxy is asked for the whole URL, the server itself for its part (RFC 9112 3.2). */
static void write_request(struct job *j, struct sp_buf *out)
{
    const struct dp_fetch_order *o = &j->order;
    bool proxied = o->proxy_host.len && !j->tls;
    sp_buf_printf(out, "%s %.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: sallyport/" SP_VERSION "\r\nAccept: %s\r\n",
                  o->body.len ? "POST" : "GET", SP_FMT(proxied ? o->url : j->target), SP_FMT(j->authority), o->accept);
    if (o->body.len)
        sp_buf_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", o->content_type, o->body.len);
    sp_buf_printf(out, "Connection: close\r\n\r\n");
    sp_buf_add(out, o->body);
}

static void ask(struct job *j)
{
    struct sp_buf text = {0};
    j->state = JOB_ASKING;
    if (!j->tls) {
        write_request(j, &j->out);
        if (!flush(j))
            fail(j, "cannot send");
        return;
    }
    write_request(j, &text);
    bool sent = sp_tls_write(j->stream, sp_buf_str(&text)) == SP_IO_OK;
    sp_buf_fini(&text);
    if (!flush_wire(j) || !sent)
        fail(j, "cannot send");
}

/* --- TLS --- */

static struct sp_tls_client *client(struct fetcher *f, bool verify)
{
    struct sp_tls_client_options o = {.verify = verify, .verify_depth = -1, .alpn = "http/1.1"};
    struct sp_error err;
    if (!f->clients[verify] && sp_failed(sp_tls_client_new(&o, &f->clients[verify], &err)))
        f->clients[verify] = NULL; /* no bundle: said by the caller, tried again next time */
    return f->clients[verify];
}

static void shake(struct job *j, struct sp_str received)
{
    j->fetcher->wire.in = received;
    enum sp_io io = sp_tls_handshake(j->stream);
    bool sent = flush_wire(j);
    if (io == SP_IO_OK && sent)
        ask(j);
    else if (io != SP_IO_AGAIN || !sent)
        fail(j, "the TLS handshake failed");
}

static void start_tls(struct job *j)
{
    struct sp_tls_client *c = client(j->fetcher, j->order.verify);
    if (!c) {
        fail(j, "the system's certificate bundle cannot be read");
        return;
    }
    j->stream = sp_tls_connect(c, j->host, &j->fetcher->wire);
    j->state = JOB_HANDSHAKE;
    shake(j, (struct sp_str){0});
}

static void read_tls(struct job *j, struct sp_str received)
{
    struct fetcher *f = j->fetcher;
    enum sp_io io;
    size_t got;
    f->wire.in = received;
    while ((io = sp_tls_read(j->stream, f->plain, RECV, &got)) == SP_IO_OK) {
        take_answer(j, sp_str(f->plain, got));
        if (j->state == JOB_CLOSED) {
            f->wire.in = (struct sp_str){0};
            sp_buf_clear(&f->wire.out);
            return;
        }
    }
    bool sent = flush_wire(j);
    if (io == SP_IO_EOF)
        take_eof(j);
    else if (io != SP_IO_AGAIN || !sent)
        fail(j, "TLS error");
}

/* --- connecting --- */

static void take_tunnel(struct job *j, struct sp_str bytes)
{
    struct sp_response_head head;
    sp_buf_add(&j->in, bytes);
    do
        if (!take_head(j, &head))
            return;
    while (head.status < 200);
    if (head.status >= 300 || j->in.len) /* a TLS server does not speak first */
        fail(j, "the proxy refuses the tunnel");
    else
        start_tls(j);
}

static void on_connected(struct job *j)
{
    if (j->tls && j->order.proxy_host.len) {
        j->state = JOB_TUNNEL;
        bool v6 = memchr(j->host.p, ':', j->host.len) != NULL;
        const char *open = v6 ? "[" : "", *shut = v6 ? "]" : "";
        sp_buf_printf(&j->out, "CONNECT %s%.*s%s:%u HTTP/1.1\r\nHost: %s%.*s%s:%u\r\n\r\n", open, SP_FMT(j->host), shut,
                      j->port, open, SP_FMT(j->host), shut, j->port);
        if (!flush(j))
            fail(j, "cannot send");
    } else if (j->tls) {
        start_tls(j);
    } else {
        ask(j);
    }
}

static void try_next_address(struct job *j)
{
    while (j->next_address < j->num_addresses) {
        int fd;
        if (sp_failed(sp_connect_start(&j->addresses[j->next_address++], &fd, NULL)))
            continue;
        sp_watch_start(&j->watch, j->fetcher->loop, fd, SP_WRITE, on_ready);
        return;
    }
    fail(j, "connect failed");
}

static void on_resolved(void *ctx, const struct sp_address *v, size_t num, const char *why)
{
    struct job *j = ctx;
    (void)why;
    j->query = NULL;
    j->num_addresses = (uint8_t)(num < MAX_ADDRESSES ? num : MAX_ADDRESSES);
    memcpy(j->addresses, v, j->num_addresses * sizeof *v);
    if (num == 0)
        fail(j, "name resolution failed");
    else
        try_next_address(j);
}

static void begin(struct sp_deferred *d)
{
    struct job *j = (struct job *)(void *)((char *)d - offsetof(struct job, begin));
    struct sp_query *q = sp_resolve(j->fetcher->resolver, j->near, j->near_port, on_resolved, j);
    if (q)
        j->query = q;
}

static void run_next(struct fetcher *f)
{
    for (struct job *j = f->first; j && f->running < MAX_RUNNING; j = j->next) {
        if (j->state != JOB_QUEUED)
            continue;
        j->state = JOB_RUNNING;
        f->running++;
        sp_loop_defer(f->loop, &j->begin);
    }
}

/* --- readiness --- */

static void on_readable(struct job *j)
{
    struct fetcher *f = j->fetcher;
    char *to = j->stream ? f->sealed : f->plain;
    ssize_t n = recv(j->watch.fd, to, RECV, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    struct sp_str bytes = sp_str(to, n > 0 ? (size_t)n : 0);
    if (n < 0)
        fail(j, "the connection broke");
    else if (n == 0)
        take_eof(j);
    else if (j->state == JOB_TUNNEL)
        take_tunnel(j, bytes);
    else if (j->state == JOB_HANDSHAKE)
        shake(j, bytes);
    else if (j->stream)
        read_tls(j, bytes);
    else
        take_answer(j, bytes);
}

static void on_ready(struct sp_watch *w, int events)
{
    struct job *j = (struct job *)(void *)w;
    if (j->state == JOB_RUNNING) {
        if (sp_connect_result(w->fd) == 0) {
            on_connected(j);
            return;
        }
        sp_watch_stop(w);
        close(w->fd);
        w->fd = -1;
        try_next_address(j);
        return;
    }
    if (events & SP_WRITE && !flush(j)) {
        fail(j, "cannot send");
        return;
    }
    if (events & SP_READ)
        on_readable(j);
}

/* --- orders --- */

/* "http://host[:port][/path]"; a fragment is not for servers. False: not of that form. */
static bool split_url(struct job *j)
{
    struct sp_str rest = j->order.url, name;
    j->tls = rest.len > 8 && sp_str_ieq(sp_str(rest.p, 8), SP_STR("https://"));
    if (!j->tls && !(rest.len > 7 && sp_str_ieq(sp_str(rest.p, 7), SP_STR("http://"))))
        return false;
    for (size_t i = 0; i < rest.len; i++)
        if (rest.p[i] <= 0x20 || rest.p[i] >= 0x7f)
            return false;
    rest = sp_str_skip(rest, j->tls ? 8 : 7);
    const char *hash = memchr(rest.p, '#', rest.len);
    rest.len = hash ? (size_t)(hash - rest.p) : rest.len;
    size_t end = 0;
    while (end < rest.len && rest.p[end] != '/' && rest.p[end] != '?')
        end++;
    j->authority = sp_str(rest.p, end);
    rest = sp_str_skip(rest, end);
    j->target = rest.len && rest.p[0] == '/' ? rest : sp_arena_printf(j->arena, "/%.*s", SP_FMT(rest));
    if (!sp_authority_valid(j->authority) || !sp_host_split(j->authority, &name, &j->port))
        return false;
    j->host = name;
    j->port = j->port ? j->port : j->tls ? 443 : 80;
    return true;
}

static bool same_order(const struct dp_fetch_order *a, const struct dp_fetch_order *b)
{
    return sp_str_eq(a->url, b->url) && sp_str_eq(a->body, b->body) && sp_str_eq(a->proxy_host, b->proxy_host) &&
           a->proxy_port == b->proxy_port && a->verify == b->verify && a->timeout_ms == b->timeout_ms &&
           a->max_body == b->max_body;
}

static void fail_url(struct sp_deferred *d)
{
    fail((struct job *)(void *)((char *)d - offsetof(struct job, begin)), "not a URL that can be asked");
}

static struct job *new_job(struct fetcher *f, const struct dp_fetch_order *o)
{
    struct job *j = sp_alloc(sizeof *j);
    j->fetcher = f;
    j->watch.fd = -1;
    j->arena = sp_arena_new(ARENA_FIRST);
    j->order = *o;
    j->order.url = sp_arena_dup(j->arena, o->url);
    j->order.body = sp_arena_dup(j->arena, o->body);
    j->order.proxy_host = sp_arena_dup(j->arena, o->proxy_host);
    j->begin.fn = split_url(j) ? begin : fail_url;
    j->near = o->proxy_host.len ? j->order.proxy_host : j->host;
    j->near_port = o->proxy_host.len ? o->proxy_port : j->port;
    j->prev = f->last;
    *(f->last ? &f->last->next : &f->first) = j;
    f->last = j;
    sp_deadline_set(f->wheel, &j->deadline, o->timeout_ms, on_deadline);
    return j;
}

static struct dp_fetch *start(struct dp_fetcher *ops, const struct dp_fetch_order *o, dp_fetched_fn *done, void *ctx)
{
    struct fetcher *f = (struct fetcher *)(void *)ops;
    struct job *j = f->first;
    while (j && !same_order(&j->order, o))
        j = j->next;
    if (!f->plain) {
        f->plain = sp_alloc(RECV);
        f->sealed = sp_alloc(RECV);
    }
    if (!j)
        j = new_job(f, o);
    struct dp_fetch *w = sp_alloc(sizeof *w);
    *w = (struct dp_fetch){.next = j->waiters, .job = j, .done = done, .ctx = ctx};
    j->waiters = w;
    run_next(f);
    return w;
}

static void cancel(struct dp_fetcher *ops, struct dp_fetch *w)
{
    struct job *j = w->job;
    (void)ops;
    struct dp_fetch **at = &j->waiters;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    free(w);
    if (!j->waiters)
        close_job(j);
}

struct dp_fetcher *dp_fetcher_new(struct sp_loop *loop, struct sp_wheel *wheel, struct sp_resolver *resolver)
{
    struct fetcher *f = sp_alloc(sizeof *f);
    f->ops = (struct dp_fetcher){.start = start, .cancel = cancel};
    f->loop = loop;
    f->wheel = wheel;
    f->resolver = resolver;
    f->bury.fn = bury;
    return &f->ops;
}

void dp_fetcher_free(struct dp_fetcher *ops)
{
    struct fetcher *f = (struct fetcher *)(void *)ops;
    if (!f)
        return;
    while (f->first) {
        struct job *j = f->first;
        while (j->waiters) {
            struct dp_fetch *w = j->waiters;
            j->waiters = w->next;
            free(w);
        }
        close_job(j);
    }
    sp_loop_undefer(f->loop, &f->bury);
    bury(&f->bury);
    sp_tls_client_free(f->clients[0]);
    sp_tls_client_free(f->clients[1]);
    sp_buf_fini(&f->wire.out);
    free(f->sealed);
    free(f->plain);
    free(f);
}
