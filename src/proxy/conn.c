#include "proxy/conn.h"

#include "net/proxy_protocol.h"
#include "proxy/exchange.h"
#include "proxy/life.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RECORD = 16384, LINGER_MS = 2000, MAX_PRODUCE = 65536 };

static void on_ready(struct sp_watch *w, int events);

/* --- birth and death --- */

static void on_deadline(struct sp_deadline *d)
{
    struct dp_conn *c = (struct dp_conn *)(void *)((char *)d - offsetof(struct dp_conn, deadline));
    if (c->state == DP_CONN_OPEN && !c->close_after_flush)
        c->protocol->deadline(c);
    else
        dp_conn_close(c);
}

void dp_conn_set_deadline(struct dp_conn *c, uint32_t after_ms)
{
    sp_deadline_set(c->worker->wheel, &c->deadline, after_ms, on_deadline);
}

static void flush_deferred(struct sp_deferred *d);

static void link_conn(struct dp_worker *w, struct dp_conn *c)
{
    c->next = w->conns;
    if (c->next)
        c->next->prev = c;
    w->conns = c;
    w->num_conns++;
    sp_count(&w->counters.connections_total, 1);
    c->number = sp_counter_get(&w->counters.connections_total);
    sp_count(&w->counters.connections_active, 1);
}

static void open_up(struct dp_conn *c)
{
    c->state = DP_CONN_OPEN;
    dp_epoch_drop(c->worker, SP_TAKE(c->epoch));
    const struct sp_peer *peer = c->tls ? sp_tls_peer(c->tls) : NULL;
    if (c->tls)
        c->not_after = sp_tls_peer_not_after(c->tls);
    c->protocol = peer && sp_str_eq(peer->alpn, SP_STR("h2")) ? &dp_protocol_h2 : &dp_protocol_h1;
    dp_conn_set_deadline(c, c->worker->options->head_ms);
    c->protocol->open(c);
    dp_life_begin(c);
}

/* The client's own bytes come from here on. */
static void begin(struct dp_conn *c)
{
    struct dp_worker *w = c->worker;
    if (!c->listener->tls) {
        open_up(c);
        return;
    }
    c->state = DP_CONN_HANDSHAKE;
    c->epoch = dp_epoch_hold(w);
    c->tls = sp_tls_accept(w->options->tls, c->epoch->snapshot->names, c->listener->id, &w->wire);
}

void dp_conn_accept(struct dp_listener *l, int fd, const struct sp_address *from)
{
    struct dp_worker *w = l->worker;
    if (w->num_conns >= w->options->max_connections || (l->conf->tls && !w->epoch)) {
        close(fd);
        return;
    }
    struct dp_conn *c = sp_alloc(sizeof *c);
    c->worker = w;
    c->listener = l->conf;
    c->trusted = dp_real_ip_trusts(&w->options->real_ip, from);
    sp_address_ip(from, c->peer_ip);
    c->ip = c->peer_ip;
    c->flush.fn = flush_deferred;
    link_conn(w, c);
    sp_watch_start(&c->watch, w->loop, fd, SP_READ, on_ready);
    dp_conn_set_deadline(c, w->options->handshake_ms);
    if (!l->conf->proxy_protocol)
        begin(c);
    if (l->conf->tls)
        on_ready(&c->watch, SP_READ); /* with TCP Fast Open or a quick client the ClientHello is here already */
}

static void free_conn(struct dp_conn *c)
{
    sp_tls_free(c->tls);
    sp_buf_fini(&c->pending);
    sp_buf_fini(&c->in);
    free(c);
}

void dp_conn_free_dead(struct dp_worker *w)
{
    while (w->dead) {
        struct dp_conn *c = w->dead;
        w->dead = c->next;
        free_conn(c);
    }
}

static void unlink_conn(struct dp_worker *w, struct dp_conn *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        w->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    w->num_conns--;
    sp_count(&w->counters.connections_active, -1);
}

void dp_conn_close(struct dp_conn *c)
{
    struct dp_worker *w = c->worker;
    if (c->state == DP_CONN_CLOSED)
        return;
    bool was_open = c->state >= DP_CONN_OPEN;
    c->state = DP_CONN_CLOSED;
    sp_deadline_clear(w->wheel, &c->deadline);
    sp_deadline_clear(w->wheel, &c->life);
    sp_loop_undefer(w->loop, &c->flush);
    sp_loop_undefer(w->loop, &c->resume);
    sp_watch_stop(&c->watch);
    close(c->watch.fd);
    dp_epoch_drop(w, SP_TAKE(c->epoch));
    if (was_open)
        c->protocol->gone(c);
    dp_worker_stage_give(w, &c->stage);
    unlink_conn(w, c);
    c->next = w->dead;
    w->dead = c;
    sp_loop_defer(w->loop, &w->bury);
    dp_worker_conn_gone(w);
}

/* --- writing --- */

static void set_want(struct dp_conn *c)
{
    sp_watch_want(&c->watch, (c->read_paused ? 0 : SP_READ) | (c->pending.len ? SP_WRITE : 0));
}

bool dp_conn_blocked(const struct dp_conn *c)
{
    return c->pending.len > 0;
}

/* Sends two runs of bytes in one system call where it can; what the socket does not take goes to pending. False:
 * broken. */
static bool send_or_keep(struct dp_conn *c, struct sp_str a, struct sp_str b)
{
    size_t total = a.len + b.len;
    sp_count(&c->worker->counters.bytes_out, (int64_t)total);
    size_t sent = 0;
    while (c->pending.len == 0 && sent < total) {
        struct iovec v[2] = {{(void *)(uintptr_t)a.p, a.len}, {(void *)(uintptr_t)b.p, b.len}};
        struct msghdr m = {.msg_iov = a.len ? v : v + 1, .msg_iovlen = a.len && b.len ? 2 : 1};
        ssize_t n = sendmsg(c->watch.fd, &m, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return false;
        size_t got = n < 0 ? 0 : (size_t)n;
        sent += got;
        size_t from_a = got < a.len ? got : a.len;
        a = sp_str_skip(a, from_a);
        b = sp_str_skip(b, got - from_a);
        if (sent < total)
            break; /* a short send means that the socket is full */
    }
    sp_buf_add(&c->pending, a);
    sp_buf_add(&c->pending, b);
    if (c->pending.len)
        set_want(c);
    return true;
}

static bool push_wire(struct dp_conn *c)
{
    struct sp_wire *wire = &c->worker->wire;
    bool fine = wire->out.len == 0 || send_or_keep(c, sp_buf_str(&wire->out), (struct sp_str){0});
    sp_buf_clear(&wire->out);
    return fine;
}

static bool push(struct dp_conn *c, struct sp_str first, struct sp_str second)
{
    if (!c->tls)
        return send_or_keep(c, first, second);
    if (first.len && sp_tls_write(c->tls, first) != SP_IO_OK)
        return false;
    if (second.len && sp_tls_write(c->tls, second) != SP_IO_OK)
        return false;
    return push_wire(c);
}

struct sp_buf *dp_conn_stage(struct dp_conn *c)
{
    if (!c->stage.cap)
        c->stage = dp_worker_stage_take(c->worker);
    return &c->stage;
}

void dp_conn_dirty(struct dp_conn *c)
{
    if (c->state != DP_CONN_CLOSED)
        sp_loop_defer(c->worker->loop, &c->flush);
}

void dp_conn_write(struct dp_conn *c, struct sp_str bytes)
{
    if (c->state == DP_CONN_CLOSED)
        return;
    struct sp_buf *stage = dp_conn_stage(c);
    if (stage->len + bytes.len < RECORD) {
        sp_buf_add(stage, bytes);
        dp_conn_dirty(c);
        return;
    }
    if (c->tls && stage->len && stage->len < RECORD) { /* fill the record that is begun: one record less */
        size_t n = RECORD - stage->len;
        if (n > bytes.len)
            n = bytes.len;
        sp_buf_append(stage, bytes.p, n);
        bytes = sp_str_skip(bytes, n);
    }
    bool fine = push(c, sp_buf_str(stage), bytes);
    sp_buf_clear(stage);
    if (!fine)
        dp_conn_close(c);
}

static void begin_linger(struct dp_conn *c)
{
    c->state = DP_CONN_LINGER;
    c->read_paused = false;
    shutdown(c->watch.fd, SHUT_WR);
    set_want(c);
    dp_conn_set_deadline(c, LINGER_MS);
}

/* Called once nothing waits; close_notify itself may have to wait, then the flush after it comes here again. */
static void finish_now(struct dp_conn *c)
{
    if (c->tls && !c->close_notified) {
        c->close_notified = true;
        sp_tls_close(c->tls);
        if (!push_wire(c)) {
            dp_conn_close(c);
            return;
        }
        if (c->pending.len)
            return;
    }
    if (c->linger)
        begin_linger(c);
    else
        dp_conn_close(c);
}

static void flush_deferred(struct sp_deferred *d)
{
    struct dp_conn *c = (struct dp_conn *)(void *)((char *)d - offsetof(struct dp_conn, flush));
    if (c->state != DP_CONN_OPEN)
        return;
    for (;;) {
        if (c->protocol->produce && !dp_conn_blocked(c))
            c->protocol->produce(c, dp_conn_stage(c));
        if (c->state != DP_CONN_OPEN)
            return;
        if (c->stage.len == 0)
            break;
        bool fine = push(c, sp_buf_str(&c->stage), (struct sp_str){0});
        sp_buf_clear(&c->stage);
        if (!fine) {
            dp_conn_close(c);
            return;
        }
        if (!c->protocol->produce)
            break;
    }
    dp_worker_stage_give(c->worker, &c->stage);
    if (c->close_after_flush && !c->pending.len)
        finish_now(c);
}

void dp_conn_finish(struct dp_conn *c, bool linger)
{
    if (c->state != DP_CONN_OPEN)
        return;
    c->close_after_flush = true;
    c->linger = linger;
    dp_conn_set_deadline(c, c->worker->options->body_ms);
    dp_conn_dirty(c);
}

static void on_writable(struct dp_conn *c)
{
    struct sp_str bytes = sp_buf_str(&c->pending);
    ssize_t n = send(c->watch.fd, bytes.p, bytes.len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        dp_conn_close(c);
        return;
    }
    sp_buf_consume(&c->pending, (size_t)n);
    c->stalled_ms = 0;
    if (c->state == DP_CONN_OPEN && (!c->h2 || c->close_after_flush)) /* HTTP/2 keeps its own time */
        dp_conn_set_deadline(c, c->worker->options->body_ms);         /* slow is fine, stalled is not */
    if (c->pending.len)
        return;
    sp_buf_fini(&c->pending); /* an idle connection owns no buffers */
    set_want(c);
    if (c->state == DP_CONN_HANDSHAKE)
        return;
    c->protocol->unblocked(c);
    dp_conn_dirty(c);
}

/* --- reading --- */

void dp_conn_pause(struct dp_conn *c, bool paused)
{
    if (c->state != DP_CONN_OPEN || c->read_paused == paused)
        return;
    c->read_paused = paused;
    set_want(c);
}

static void refuse_preface(struct dp_conn *c, const char *why)
{
    sp_count(&c->worker->counters.proxy_headers_refused, 1);
    sp_log(SP_DEBUG, "proxy_header_refused", "peer=%s reason=\"%s\"", c->peer_ip, why);
    dp_conn_close(c);
}

/* What a stranger writes into the header changes nothing. */
static void believe(struct dp_conn *c, const struct sp_proxy_header *h)
{
    if (!h->known || !c->trusted || !c->worker->options->real_ip.proxy_protocol)
        return;
    sp_address_ip(&h->source, c->told_ip);
    c->ip = c->told_ip;
}

/* True: the PROXY header is through, and *bytes is what came behind it. Usually it comes whole, and is read where it
 * lies. */
static bool take_preface(struct dp_conn *c, struct sp_str *bytes)
{
    struct sp_proxy_header h;
    const char *why;
    size_t before = c->in.len, room = SP_PROXY_HEADER_MAX - before;
    if (before)
        sp_buf_append(&c->in, bytes->p, bytes->len < room ? bytes->len : room);
    switch (sp_proxy_header_parse(before ? sp_buf_str(&c->in) : *bytes, &h, &why)) {
    case SP_PROXY_BAD:
        refuse_preface(c, why);
        return false;
    case SP_PROXY_MORE:
        if (!before)
            sp_buf_add(&c->in, *bytes);
        return false;
    case SP_PROXY_DONE:
        break;
    }
    *bytes = sp_str_skip(*bytes, h.len - before);
    sp_buf_fini(&c->in);
    believe(c, &h);
    begin(c);
    return bytes->len > 0;
}

static void count_handshake(struct dp_conn *c)
{
    struct dp_counters *n = &c->worker->counters;
    const struct sp_peer *p = sp_tls_peer(c->tls);
    sp_count(&n->handshakes_total, 1);
    sp_count(&n->handshakes_resumed, p->resumed);
    sp_count(&n->handshakes_asked, p->asked);
    sp_count(&n->handshakes_with_certificate, p->num_chain > 0);
}

/* True when the handshake is done and there may be plaintext behind it. */
static bool drive_handshake(struct dp_conn *c)
{
    enum sp_io io = sp_tls_handshake(c->tls);
    bool sent = push_wire(c);
    if (io == SP_IO_AGAIN && sent)
        return false;
    if (io == SP_IO_OK && sent) {
        count_handshake(c);
        open_up(c);
        return true;
    }
    sp_count(&c->worker->counters.handshakes_failed, 1);
    sp_log(SP_DEBUG, "handshake_failed", "client=%s reason=\"%s\"", c->ip, sp_tls_fault(c->tls));
    dp_conn_close(c);
    return false;
}

static void read_tls(struct dp_conn *c)
{
    struct dp_worker *w = c->worker;
    enum sp_io io;
    do {
        size_t len = 0, got;
        while ((io = sp_tls_read(c->tls, w->plain + len, DP_RECV - len, &got)) == SP_IO_OK) {
            len += got;
            if (DP_RECV - len < RECORD)
                break;
        }
        if (w->wire.out.len && !push_wire(c))
            io = SP_IO_ERROR;
        if (len && c->state == DP_CONN_OPEN)
            c->protocol->recv(c, sp_str(w->plain, len));
    } while (io == SP_IO_OK && c->state == DP_CONN_OPEN);
    if (c->state != DP_CONN_OPEN)
        return;
    if (io == SP_IO_EOF)
        c->protocol->eof(c);
    else if (io == SP_IO_ERROR)
        dp_conn_close(c);
}

static void on_bytes(struct dp_conn *c, struct sp_str bytes)
{
    struct dp_worker *w = c->worker;
    sp_count(&w->counters.bytes_in, (int64_t)bytes.len);
    if (c->state == DP_CONN_LINGER)
        return;
    if (c->state == DP_CONN_PREFACE && !take_preface(c, &bytes))
        return;
    if (!c->tls) {
        c->protocol->recv(c, bytes);
        return;
    }
    w->wire.in = bytes;
    if (c->state == DP_CONN_OPEN || drive_handshake(c))
        read_tls(c);
    w->wire.in = (struct sp_str){0};
    sp_buf_clear(&w->wire.out);
}

static void on_readable(struct dp_conn *c)
{
    char *to = c->listener->tls ? c->worker->sealed : c->worker->plain;
    ssize_t n = recv(c->watch.fd, to, DP_RECV, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        on_bytes(c, sp_str(to, (size_t)n));
    else if (c->state == DP_CONN_OPEN && n == 0)
        c->protocol->eof(c);
    else
        dp_conn_close(c);
}

static void on_ready(struct sp_watch *watch, int events)
{
    struct dp_conn *c = (struct dp_conn *)(void *)watch;
    if (events & SP_WRITE && c->pending.len)
        on_writable(c);
    if (events & SP_READ && c->state != DP_CONN_CLOSED && !c->read_paused)
        on_readable(c);
}

bool dp_conn_ends(const struct dp_conn *c)
{
    return c->ending || c->worker->draining || dp_life_is_over(c);
}

void dp_conn_drain(struct dp_conn *c)
{
    if (c->state == DP_CONN_OPEN)
        c->protocol->drain(c);
}
