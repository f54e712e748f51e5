#include "rpc/pump.h"

#include "net/address.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { FLUSH_MS = 3000 };

static void close_fd(struct sp_watch *w, int *fd)
{
    sp_watch_stop(w);
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void sp_pump_close(struct sp_pump *p)
{
    if (p->state == SP_PUMP_IDLE || p->state == SP_PUMP_DEAD)
        return;
    p->state = SP_PUMP_DEAD;
    sp_timer_stop(&p->deadline);
    close_fd(&p->tcp_watch, &p->tcp);
    close_fd(&p->local_watch, &p->local);
    sp_tls_free(SP_TAKE(p->tls));
    sp_buf_wipe(&p->to_local);
    sp_buf_fini(&p->to_tcp);
}

static void die(struct sp_pump *p, const char *why)
{
    if (!p->why[0])
        snprintf(p->why, sizeof p->why, "%s", why);
    sp_pump_close(p);
    p->dead(p, p->why);
}

static void die_errno(struct sp_pump *p, const char *what, int errnum)
{
    char text[128];
    struct sp_error err;
    (void)sp_fail_errno(&err, errnum, "%s", what);
    snprintf(text, sizeof text, "%s", err.text);
    die(p, text);
}

/* What each side waits for follows from what is stuck. */
static void set_watches(struct sp_pump *p)
{
    if (p->state == SP_PUMP_DEAD)
        return;
    if (p->tcp >= 0) {
        bool reads = p->to_local.len == 0 && p->state != SP_PUMP_CONNECT;
        bool writes = p->to_tcp.len || p->state == SP_PUMP_CONNECT;
        sp_watch_want(&p->tcp_watch, (reads ? SP_READ : 0) | (writes ? SP_WRITE : 0));
    }
    if (p->local >= 0) {
        bool reads = p->to_tcp.len == 0 || p->state == SP_PUMP_DRAIN;
        sp_watch_want(&p->local_watch, (reads ? SP_READ : 0) | (p->to_local.len ? SP_WRITE : 0));
    }
}

/* --- towards the TCP socket --- */

/* false: the pump is dead. */
static bool send_tcp(struct sp_pump *p, struct sp_str bytes, size_t *sent)
{
    *sent = 0;
    while (*sent < bytes.len) {
        ssize_t n = send(p->tcp, bytes.p + *sent, bytes.len - *sent, MSG_NOSIGNAL);
        if (n > 0) {
            *sent += (size_t)n;
        } else if (errno == EAGAIN) {
            return true;
        } else if (errno != EINTR) {
            die_errno(p, "send", errno);
            return false;
        }
    }
    return true;
}

/* The shared wire is empty afterwards; what the socket does not take stays with the pump. */
static bool flush_wire(struct sp_pump *p)
{
    struct sp_buf *wire = &p->room->wire.out;
    size_t sent = 0;
    bool alive = p->to_tcp.len > 0 || wire->len == 0 || send_tcp(p, sp_buf_str(wire), &sent);
    if (alive)
        sp_buf_add(&p->to_tcp, sp_str_skip(sp_buf_str(wire), sent));
    sp_buf_clear(wire);
    return alive;
}

static bool flush_tcp(struct sp_pump *p)
{
    size_t sent;
    if (p->to_tcp.len == 0)
        return true;
    if (!send_tcp(p, sp_buf_str(&p->to_tcp), &sent))
        return false;
    sp_buf_consume(&p->to_tcp, sent);
    if (p->to_tcp.len == 0)
        sp_buf_fini(&p->to_tcp);
    return true;
}

static void on_deadline(struct sp_timer *t)
{
    struct sp_pump *p = (struct sp_pump *)(void *)((char *)t - offsetof(struct sp_pump, deadline));
    die(p, p->state == SP_PUMP_HANDSHAKE || p->state == SP_PUMP_CONNECT ? "timeout while connecting" : "closed");
}

/* gRPC has closed its end: what it wrote still goes out. Then we wait for the peer to close, because a socket that is
 * closed with bytes unread takes back those that are still under way. */
static void finish(struct sp_pump *p)
{
    if (p->state == SP_PUMP_DRAIN) {
        die(p, "the peer closed the connection");
        return;
    }
    p->state = SP_PUMP_FLUSH;
    close_fd(&p->local_watch, &p->local);
    sp_buf_wipe(&p->to_local);
    sp_tls_close(p->tls);
    if (!flush_wire(p))
        return;
    if (p->to_tcp.len == 0)
        shutdown(p->tcp, SHUT_WR);
    sp_timer_start(&p->deadline, p->room->loop, FLUSH_MS, on_deadline);
}

static void on_tcp_flushing(struct sp_pump *p, int events)
{
    if (events & SP_READ) {
        ssize_t n = recv(p->tcp, p->room->bytes, sizeof p->room->bytes, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            die(p, "closed");
            return;
        }
    }
    if ((events & SP_WRITE) && flush_tcp(p) && p->to_tcp.len == 0)
        shutdown(p->tcp, SHUT_WR);
}

static void read_local(struct sp_pump *p)
{
    ssize_t n = read(p->local, p->room->bytes, sizeof p->room->bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        finish(p);
        return;
    }
    if (p->state == SP_PUMP_DRAIN)
        return; /* nobody is there to read it */
    enum sp_io io = sp_tls_write(p->tls, sp_str(p->room->bytes, (size_t)n));
    sp_wipe(p->room->bytes, (size_t)n);
    if (!flush_wire(p))
        return;
    if (io != SP_IO_OK)
        die(p, sp_tls_fault(p->tls));
}

/* --- towards gRPC --- */

static bool flush_local(struct sp_pump *p)
{
    while (p->to_local.len) {
        struct sp_str s = sp_buf_str(&p->to_local);
        ssize_t n = send(p->local, s.p, s.len, MSG_NOSIGNAL);
        if (n > 0) {
            sp_buf_consume(&p->to_local, (size_t)n);
        } else if (errno == EAGAIN) {
            return true;
        } else if (errno != EINTR) {
            finish(p);
            return false;
        }
    }
    sp_buf_wipe(&p->to_local);
    return true;
}

/* Opens every record that is there; what comes out is bounded by what was received. */
static enum sp_io decrypt(struct sp_pump *p)
{
    enum { RECORD = 16 << 10 };
    for (;;) {
        size_t got = 0;
        char *to = sp_buf_reserve(&p->to_local, RECORD);
        enum sp_io io = sp_tls_read(p->tls, to, RECORD, &got);
        sp_buf_commit(&p->to_local, got);
        if (io != SP_IO_OK)
            return io;
    }
}

/* true: the handshake is done and the caller goes on reading. */
static bool handshake(struct sp_pump *p)
{
    enum sp_io io = sp_tls_handshake(p->tls);
    if (!flush_wire(p))
        return false;
    if (io == SP_IO_ERROR) {
        die(p, sp_tls_fault(p->tls));
        return false;
    }
    if (io == SP_IO_AGAIN)
        return false;
    p->ready(p);
    return p->state == SP_PUMP_OPEN;
}

/* The peer has closed in order: gRPC reads what is left, then the end. */
static void drain(struct sp_pump *p)
{
    p->state = SP_PUMP_DRAIN;
    close_fd(&p->tcp_watch, &p->tcp);
    sp_buf_fini(&p->to_tcp);
    sp_timer_start(&p->deadline, p->room->loop, FLUSH_MS, on_deadline);
    if (p->to_local.len == 0)
        shutdown(p->local, SHUT_WR);
}

static void deliver(struct sp_pump *p)
{
    enum sp_io io = decrypt(p);
    char fault[128];
    snprintf(fault, sizeof fault, "%s", io == SP_IO_ERROR ? sp_tls_fault(p->tls) : "");
    if (!flush_wire(p) || !flush_local(p) || p->state != SP_PUMP_OPEN)
        return;
    if (io == SP_IO_EOF)
        drain(p);
    else if (io == SP_IO_ERROR)
        die(p, fault);
}

static void read_tcp(struct sp_pump *p)
{
    struct sp_wire *w = &p->room->wire;
    ssize_t n = recv(p->tcp, p->room->bytes, sizeof p->room->bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        die_errno(p, "receive", errno);
        return;
    }
    if (n == 0) {
        die(p, "the peer cut the connection"); /* without a close_notify */
        return;
    }
    w->in = sp_str(p->room->bytes, (size_t)n);
    if (p->state == SP_PUMP_OPEN || handshake(p))
        deliver(p);
    w->in = SP_STR("");
    sp_buf_clear(&w->out);
}

/* --- events --- */

static void connected(struct sp_pump *p)
{
    int failed = sp_connect_result(p->tcp);
    if (failed) {
        die_errno(p, "connect", failed);
        return;
    }
    p->state = SP_PUMP_HANDSHAKE;
    (void)handshake(p);
}

static void on_tcp(struct sp_watch *w, int events)
{
    struct sp_pump *p = (struct sp_pump *)(void *)((char *)w - offsetof(struct sp_pump, tcp_watch));
    if (p->state == SP_PUMP_CONNECT) {
        connected(p);
        set_watches(p);
        return;
    }
    if (p->state == SP_PUMP_FLUSH)
        on_tcp_flushing(p, events);
    else if ((!(events & SP_WRITE) || flush_tcp(p)) && (events & SP_READ) && p->to_local.len == 0)
        read_tcp(p);
    set_watches(p);
}

static void on_local(struct sp_watch *w, int events)
{
    struct sp_pump *p = (struct sp_pump *)(void *)((char *)w - offsetof(struct sp_pump, local_watch));
    if ((events & SP_WRITE) && !flush_local(p)) {
        set_watches(p);
        return;
    }
    if (p->state == SP_PUMP_DRAIN && (events & SP_WRITE) && p->to_local.len == 0)
        shutdown(p->local, SHUT_WR);
    if ((events & SP_READ) && (p->to_tcp.len == 0 || p->state == SP_PUMP_DRAIN))
        read_local(p);
    set_watches(p);
}

void sp_pump_start(struct sp_pump *p, struct sp_pump_room *room, int fd, bool connecting, struct sp_tls_stream *tls,
                   uint32_t timeout_ms)
{
    p->room = room;
    p->tcp = fd;
    p->local = -1;
    p->tls = tls;
    p->state = connecting ? SP_PUMP_CONNECT : SP_PUMP_HANDSHAKE;
    sp_watch_start(&p->tcp_watch, room->loop, fd, connecting ? SP_WRITE : SP_READ, on_tcp);
    sp_timer_start(&p->deadline, room->loop, timeout_ms, on_deadline);
}

sp_result sp_pump_open(struct sp_pump *p, int *fd, struct sp_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return sp_fail_errno(err, errno, "socketpair");
    p->local = pair[0];
    *fd = pair[1];
    p->state = SP_PUMP_OPEN;
    sp_watch_start(&p->local_watch, p->room->loop, p->local, SP_READ, on_local);
    return sp_ok();
}

void sp_pump_opened(struct sp_pump *p)
{
    if (p->state == SP_PUMP_OPEN)
        sp_timer_stop(&p->deadline);
}

void sp_pump_linger(struct sp_pump *p)
{
    if (p->state == SP_PUMP_OPEN)
        sp_timer_start(&p->deadline, p->room->loop, FLUSH_MS, on_deadline);
}
