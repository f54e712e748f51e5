/* A connection to an upstream: connecting, TLS, writing a request, reading its answer. */
#include "upstream/internal.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

enum {
    MAX_WAITING = 65536, /* bytes of a request that may wait in a connection */
    MAX_INTERIM = 32,    /* 1xx heads before an answer: each costs memory of the exchange */
};

static const char *const failure_texts[] = {
    [DP_UP_DNS] = "name resolution failed",
    [DP_UP_CONNECT] = "connect failed",
    [DP_UP_CONNECT_TIMEOUT] = "connect timed out",
    [DP_UP_TLS] = "TLS failed",
    [DP_UP_CLOSED] = "upstream closed the connection",
    [DP_UP_BAD] = "invalid response",
    [DP_UP_TIMEOUT] = "timed out",
};

static void on_ready(struct sp_watch *w, int events);

/* --- failure --- */

static void fail(struct dp_upconn *u, enum dp_up_failure why, const char *text)
{
    const struct dp_up_events *events = u->events;
    void *owner = SP_TAKE(u->owner);
    dp_upconn_close(u);
    if (owner)
        events->failed(owner, why, text ? text : failure_texts[why]);
}

static void on_deadline(struct sp_deadline *d)
{
    struct dp_upconn *u = (struct dp_upconn *)(void *)((char *)d - offsetof(struct dp_upconn, deadline));
    if (u->paused) { /* we are the ones who do not read: the client is slow, not the upstream */
        sp_deadline_set(u->pools->env->wheel, d, u->service->read_ms, on_deadline);
        return;
    }
    fail(u, u->state < UP_OPEN ? DP_UP_CONNECT_TIMEOUT : DP_UP_TIMEOUT, NULL);
}

void dp_upconn_set_deadline(struct dp_upconn *u, uint64_t after_ms)
{
    sp_deadline_set(u->pools->env->wheel, &u->deadline, after_ms, on_deadline);
}

/* --- connecting --- */

static void try_next_address(struct dp_upconn *u)
{
    struct sp_error err = {0};
    while (u->next_address < u->num_addresses) {
        int fd;
        if (sp_failed(sp_connect_start(&u->addresses[u->next_address++], &fd, &err)))
            continue;
        u->state = UP_CONNECTING;
        sp_watch_start(&u->watch, u->pools->env->loop, fd, SP_WRITE, on_ready);
        return;
    }
    fail(u, DP_UP_CONNECT, NULL);
}

static void on_resolved(void *ctx, const struct sp_address *v, size_t num, const char *why)
{
    struct dp_upconn *u = ctx;
    (void)why;
    u->query = NULL;
    u->num_addresses = (uint8_t)(num < DP_UP_ADDRESSES ? num : DP_UP_ADDRESSES);
    memcpy(u->addresses, v, u->num_addresses * sizeof *v);
    if (num == 0)
        fail(u, DP_UP_DNS, NULL);
    else
        try_next_address(u);
}

static void on_flush(struct sp_deferred *d);

/* Deferred from the lease, because everything here may fail at once and events never come inside the lease. */
void dp_upconn_start(struct sp_deferred *d)
{
    struct dp_upconn *u = (struct dp_upconn *)(void *)((char *)d - offsetof(struct dp_upconn, flush));
    d->fn = on_flush;
    struct sp_query *q = sp_resolve(u->pools->env->resolver, u->target->host, u->target->port, on_resolved, u);
    if (q)
        u->query = q;
}

static struct sp_str tls_name(const struct dp_upconn *u)
{
    return u->service->tls_name.len ? u->service->tls_name : u->target->host;
}

/* --- writing --- */

/* Sends and reports how much went; -1: the connection is broken. */
static ssize_t send_some(struct dp_upconn *u, struct sp_str bytes)
{
    size_t done = 0;
    while (done < bytes.len) {
        ssize_t n = send(u->watch.fd, bytes.p + done, bytes.len - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? (ssize_t)done : -1;
        done += (size_t)n;
        if (done < bytes.len && n > 0)
            continue;
    }
    return (ssize_t)done;
}

/* What stands in the wire goes out; what does not fit waits. False: broken. */
static bool push_wire(struct dp_upconn *u)
{
    struct sp_wire *wire = &u->pools->env->wire;
    if (u->sealed.len) {
        sp_buf_add(&u->sealed, sp_buf_str(&wire->out));
    } else if (wire->out.len) {
        ssize_t n = send_some(u, sp_buf_str(&wire->out));
        if (n < 0) {
            sp_buf_clear(&wire->out);
            return false;
        }
        sp_buf_consume(&wire->out, (size_t)n);
        sp_buf_add(&u->sealed, sp_buf_str(&wire->out));
    }
    sp_buf_clear(&wire->out);
    return true;
}

static bool push_sealed(struct dp_upconn *u)
{
    if (!u->sealed.len)
        return true;
    ssize_t n = send_some(u, sp_buf_str(&u->sealed));
    if (n < 0)
        return false;
    sp_buf_consume(&u->sealed, (size_t)n);
    return true;
}

static bool push_tls(struct dp_upconn *u)
{
    if (!push_sealed(u))
        return false;
    if (u->sealed.len || !u->out.len)
        return true;
    if (sp_tls_write(u->tls, sp_buf_str(&u->out)) != SP_IO_OK)
        return false;
    sp_buf_clear(&u->out);
    return push_wire(u);
}

static bool push_plain(struct dp_upconn *u)
{
    ssize_t n = send_some(u, sp_buf_str(&u->out));
    if (n < 0)
        return false;
    sp_buf_consume(&u->out, (size_t)n);
    return true;
}

void dp_upconn_set_want(struct dp_upconn *u)
{
    int want = (u->paused ? 0 : SP_READ) | (u->out.len || u->sealed.len ? SP_WRITE : 0);
    sp_watch_want(&u->watch, want);
}

/* The end of our direction. TLS says it with close_notify; the connection itself ends when the other side has too. */
static void send_end(struct dp_upconn *u)
{
    u->ending = false;
    if (!u->tls) {
        shutdown(u->watch.fd, SHUT_WR);
        return;
    }
    sp_tls_close(u->tls);
    if (!push_wire(u))
        sp_buf_clear(&u->sealed); /* reading decides */
}

static void push(struct dp_upconn *u)
{
    if (u->state != UP_OPEN)
        return;
    /* A broken write is not told here: the answer may have come already (a 413 and a reset), so reading decides. */
    if (!(u->tls ? push_tls(u) : push_plain(u))) {
        sp_buf_clear(&u->out);
        sp_buf_clear(&u->sealed);
        u->keep = u->paused = u->blocked = false;
        sp_watch_want(&u->watch, SP_READ);
        return;
    }
    bool was_blocked = u->blocked;
    u->blocked = u->out.len || u->sealed.len;
    if (u->blocked)
        dp_upconn_set_deadline(u, u->service->write_ms);
    else if (was_blocked)
        dp_upconn_set_deadline(u, u->service->read_ms);
    if (u->ending && !u->blocked)
        send_end(u);
    dp_upconn_set_want(u);
    if (u->was_full && !u->blocked) {
        u->was_full = false;
        if (u->owner)
            u->events->writable(u->owner);
    }
}

static void on_flush(struct sp_deferred *d)
{
    push((struct dp_upconn *)(void *)((char *)d - offsetof(struct dp_upconn, flush)));
}

void dp_up_flush(struct dp_upconn *u, bool more_follows)
{
    if (u->state != UP_OPEN)
        return;      /* goes out when the connection stands */
    if (!u->blocked) /* a request that goes on is no silence of the upstream */
        dp_upconn_set_deadline(u, u->service->read_ms);
    if (more_follows && u->out.len < MAX_WAITING / 4)
        sp_loop_defer(u->pools->env->loop, &u->flush);
    else
        push(u);
}

void dp_up_end(struct dp_upconn *u)
{
    u->ending = true;
    push(u);
}

bool dp_up_full(struct dp_upconn *u)
{
    bool full = u->blocked || u->out.len > MAX_WAITING;
    u->was_full |= full;
    return full;
}

struct sp_buf *dp_up_out(struct dp_upconn *u)
{
    return &u->out;
}

/* --- reading --- */

static void take_complete(struct dp_upconn *u)
{
    struct sp_fields trailers = {0};
    struct sp_h1_fault fault;
    u->complete = true;
    if (u->body.framing == SP_BODY_CHUNKED && u->body.trailers.len &&
        sp_h1_body_trailers(&u->body, u->arena, &trailers, &fault) != SP_H1_DONE) {
        fail(u, DP_UP_BAD, fault.why);
        return;
    }
    u->events->end(u->owner, trailers.len ? &trailers : NULL);
}

/* The head is whole: tell it and get ready for what follows. */
static void take_head(struct dp_upconn *u, struct sp_response_head *head, bool surplus)
{
    if (head->status >= 100 && head->status < 200 && head->status != 101) {
        if (++u->interim > MAX_INTERIM)
            fail(u, DP_UP_BAD, "too many interim answers");
        else
            u->events->response(u->owner, head);
        return;
    }
    u->have_head = true;
    bool tunnel = head->status == 101;
    u->keep = head->keep_alive && !tunnel;
    sp_h1_body_init(&u->body, tunnel ? SP_BODY_CLOSE : head->framing, head->content_length);
    if (u->body.done && surplus)
        u->keep = false; /* whatever follows, it must not become the next answer */
    u->events->response(u->owner, head);
    if (u->owner && u->body.done)
        take_complete(u);
}

/* Returns false when it needs more bytes or the lease is over. */
static bool feed_head(struct dp_upconn *u, struct sp_str *bytes)
{
    struct sp_response_head head;
    struct sp_h1_fault fault = {0};
    size_t consumed = 0;
    bool stashed = u->in.len > 0;
    if (stashed)
        sp_buf_add(&u->in, *bytes);
    struct sp_str in = stashed ? sp_buf_str(&u->in) : *bytes;
    switch (sp_h1_parse_response(in, &u->scanned, &sp_h1_default_limits, u->head_request, u->arena, &head, &consumed,
                                 &fault)) {
    case SP_H1_BAD:
        fail(u, DP_UP_BAD, fault.why);
        return false;
    case SP_H1_MORE:
        if (!stashed)
            sp_buf_add(&u->in, *bytes);
        *bytes = sp_str_skip(*bytes, bytes->len);
        return false;
    case SP_H1_DONE:
        break;
    }
    u->scanned = 0;
    /* `head` borrows from in: with a stash, use it up before the stash is dropped. */
    size_t before = stashed ? in.len - bytes->len : 0;
    uint32_t lease = u->lease;
    struct sp_str rest = sp_str_skip(*bytes, consumed - before);
    take_head(u, &head, rest.len > 0);
    *bytes = rest;
    sp_buf_clear(&u->in);
    return u->owner && u->lease == lease;
}

static bool feed_body(struct dp_upconn *u, struct sp_str *bytes)
{
    struct sp_str data;
    struct sp_h1_fault fault = {0};
    if (sp_h1_body_next(&u->body, bytes, &data, &fault) == SP_H1_BAD) {
        fail(u, DP_UP_BAD, fault.why);
        return false;
    }
    uint32_t lease = u->lease;
    if (u->body.done && bytes->len)
        u->keep = false;
    if (data.len)
        u->events->data(u->owner, data);
    if (u->owner && u->lease == lease && u->body.done)
        take_complete(u);
    return u->owner && u->lease == lease;
}

static void feed(struct dp_upconn *u, struct sp_str bytes)
{
    u->answered = true;
    while (bytes.len && u->owner && !u->complete)
        if (!(u->have_head ? feed_body(u, &bytes) : feed_head(u, &bytes)))
            break;
}

/* Only an end in order ends a body that is delimited by it: a reset, or TLS without close_notify (RFC 9112 9.8), cuts
 * it. */
static void take_eof(struct dp_upconn *u, bool in_order)
{
    u->keep = false;
    if (in_order && u->owner && u->have_head && !u->complete && u->body.framing == SP_BODY_CLOSE) {
        take_complete(u);
        return;
    }
    fail(u, DP_UP_CLOSED, NULL);
}

static void read_tls(struct dp_upconn *u, struct sp_str sealed)
{
    struct dp_up_env *env = u->pools->env;
    uint32_t lease = u->lease;
    enum sp_io io;
    env->wire.in = sealed;
    do {
        size_t len = 0, got;
        while ((io = sp_tls_read(u->tls, env->plain + len, env->size - len, &got)) == SP_IO_OK) {
            len += got;
            if (env->size - len < 16384)
                break;
        }
        if (len)
            feed(u, sp_str(env->plain, len));
    } while (io == SP_IO_OK && u->owner && u->lease == lease);
    bool sent = true;
    if (u->state != UP_CLOSED) {
        if (io == SP_IO_OK) { /* the lease is over: more plaintext would be an answer nobody asked for */
            size_t got;
            io = sp_tls_read(u->tls, env->plain, env->size, &got);
        }
        sent = push_wire(u);
        if (u->sealed.len)
            dp_upconn_set_want(u);
    }
    env->wire.in = (struct sp_str){0};
    sp_buf_clear(&env->wire.out);
    if (io == SP_IO_EOF)
        take_eof(u, true);
    else if (io != SP_IO_AGAIN || !sent)
        fail(u, DP_UP_CLOSED, "TLS error while reading");
}

static void read_answer(struct dp_upconn *u)
{
    struct dp_up_env *env = u->pools->env;
    char *to = u->tls ? env->sealed : env->plain;
    ssize_t n;
    do
        n = recv(u->watch.fd, to, env->size, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return;
    if (u->state == UP_IDLE) { /* nothing may come now: an end, or bytes nobody asked for */
        dp_upconn_close(u);
        return;
    }
    if (n <= 0) {
        take_eof(u, n == 0 && !u->tls);
        return;
    }
    dp_upconn_set_deadline(u, u->service->read_ms);
    if (u->tls)
        read_tls(u, sp_str(to, (size_t)n));
    else
        feed(u, sp_str(to, (size_t)n));
}

/* --- readiness --- */

static void open_up(struct dp_upconn *u)
{
    u->state = UP_OPEN;
    dp_upconn_set_deadline(u, u->service->read_ms);
    dp_upconn_set_want(u);
    push(u);
}

static void drive_handshake(struct dp_upconn *u, struct sp_str received)
{
    struct dp_up_env *env = u->pools->env;
    env->wire.in = received;
    enum sp_io io = sp_tls_handshake(u->tls);
    struct sp_str rest = env->wire.in; /* records that came with the last of the handshake */
    env->wire.in = (struct sp_str){0};
    bool sent = push_wire(u);
    if (io == SP_IO_AGAIN && sent) {
        sp_watch_want(&u->watch, SP_READ | (u->sealed.len ? SP_WRITE : 0));
    } else if (io == SP_IO_OK && sent) {
        open_up(u);
        if (rest.len && u->state == UP_OPEN)
            read_tls(u, rest);
    } else {
        fail(u, DP_UP_TLS, sp_tls_fault(u->tls));
    }
}

static void on_connected(struct dp_upconn *u)
{
    if (sp_connect_result(u->watch.fd) != 0) {
        sp_watch_stop(&u->watch);
        close(u->watch.fd);
        u->watch.fd = -1;
        try_next_address(u);
        return;
    }
    if (!u->service->tls) {
        open_up(u);
        return;
    }
    u->tls = sp_tls_connect(u->service->tls, tls_name(u), &u->pools->env->wire);
    u->state = UP_HANDSHAKE;
    drive_handshake(u, (struct sp_str){0});
}

static void on_handshake(struct dp_upconn *u, int events)
{
    struct dp_up_env *env = u->pools->env;
    if (events & SP_WRITE && !push_sealed(u)) {
        fail(u, DP_UP_TLS, NULL);
        return;
    }
    if (!(events & SP_READ))
        return;
    ssize_t n = recv(u->watch.fd, env->sealed, env->size, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        fail(u, DP_UP_TLS, "upstream closed the connection in the handshake");
    else
        drive_handshake(u, sp_str(env->sealed, (size_t)n));
}

static void on_ready(struct sp_watch *w, int events)
{
    struct dp_upconn *u = (struct dp_upconn *)(void *)w;
    switch ((enum up_state)u->state) {
    case UP_CONNECTING:
        on_connected(u);
        break;
    case UP_HANDSHAKE:
        on_handshake(u, events);
        break;
    case UP_OPEN:
        if (events & SP_WRITE)
            push(u);
        if (events & SP_READ && u->state == UP_OPEN && !u->paused)
            read_answer(u);
        break;
    case UP_IDLE:
        read_answer(u);
        break;
    case UP_RESOLVING:
    case UP_CLOSED:
        break;
    }
}
