#include "upstream/pool.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    IDLE_MS = 60000,     /* an idle connection is closed after this */
    MAX_IDLE = 512,      /* per pool and worker, as Kong keeps; fewer than are in use at once is a connect a request */
    MAX_WAITING = 65536, /* bytes of a request that may wait in a connection */
    NUM_BUCKETS = 256,
    MAX_ADDRESSES = 4,
    IDLE_BUFFER = 4096,
    MAX_INTERIM = 32, /* 1xx heads before an answer: each costs memory of the exchange */
};

enum up_state { UP_RESOLVING, UP_CONNECTING, UP_HANDSHAKE, UP_OPEN, UP_IDLE, UP_CLOSED };

struct dp_pools {
    struct dp_up_env *env;
    struct dp_pool *buckets[NUM_BUCKETS];
    struct dp_upconn *dead; /* freed at the end of the turn, never inside an event */
    struct sp_deferred bury;
    size_t idle;
};

struct dp_pool {
    struct dp_pool *next; /* in its bucket */
    struct dp_pools *pools;
    struct sp_str key;      /* owned */
    struct dp_upconn *idle; /* most recently used first */
    size_t num_idle, refs;  /* epochs and connections */
};

struct dp_upconn {
    struct sp_watch watch; /* first: events come back to the connection */
    struct sp_deadline deadline;
    struct sp_deferred flush;
    struct dp_pools *pools;
    struct dp_pool *pool;
    struct dp_upconn *next, *prev; /* idle list, or dead list */
    const struct dp_service *service;
    const struct dp_target *target;
    const struct dp_up_events *events;
    void *owner; /* NULL: no lease */
    struct sp_arena *arena;
    struct sp_tls_stream *tls;
    struct sp_query *query;
    struct sp_address addresses[MAX_ADDRESSES]; /* what is left to try is addresses[next_address..] */
    uint8_t num_addresses, next_address;
    uint8_t state;   /* enum up_state */
    uint8_t interim; /* heads so far */
    bool reused, answered, head_request, have_head, complete, keep, paused, blocked, was_full, ending;
    uint32_t lease; /* which one this is: a lease can end and the next begin inside an event */
    struct sp_h1_body body;
    struct sp_buf in; /* the start of a head that has not come whole */
    size_t scanned;
    struct sp_buf out;    /* plaintext that waits */
    struct sp_buf sealed; /* ciphertext that waits */
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

/* --- pools --- */

static void bury_dead(struct sp_deferred *d);

struct dp_pools *dp_pools_new(struct dp_up_env *env)
{
    struct dp_pools *p = sp_alloc(sizeof *p);
    p->env = env;
    p->bury.fn = bury_dead;
    return p;
}

static struct dp_pool **pool_slot(struct dp_pools *ps, struct sp_str key)
{
    struct dp_pool **at = &ps->buckets[sp_str_hash(key) % NUM_BUCKETS];
    while (*at && !sp_str_eq((*at)->key, key))
        at = &(*at)->next;
    return at;
}

struct dp_pool *dp_pool_ref(struct dp_pools *ps, struct sp_str key)
{
    struct dp_pool **slot = pool_slot(ps, key);
    if (!*slot) {
        struct dp_pool *p = sp_alloc(sizeof *p);
        p->pools = ps;
        p->key = sp_str(memcpy(sp_alloc(key.len + 1), key.p, key.len), key.len);
        *slot = p;
    }
    (*slot)->refs++;
    return *slot;
}

void dp_pool_unref(struct dp_pool *p)
{
    if (!p || --p->refs)
        return;
    struct dp_pool **slot = pool_slot(p->pools, p->key);
    *slot = p->next;
    free((char *)(uintptr_t)p->key.p);
    free(p);
}

size_t dp_pools_idle(const struct dp_pools *p)
{
    return p->idle;
}

static void take_from_idle(struct dp_upconn *u)
{
    struct dp_pool *p = u->pool;
    if (u->prev)
        u->prev->next = u->next;
    else
        p->idle = u->next;
    if (u->next)
        u->next->prev = u->prev;
    u->next = u->prev = NULL;
    p->num_idle--;
    p->pools->idle--;
}

static void free_conn(struct dp_upconn *u)
{
    sp_h1_body_fini(&u->body);
    sp_buf_fini(&u->in);
    sp_buf_fini(&u->out);
    sp_buf_fini(&u->sealed);
    sp_tls_free(u->tls);
    dp_pool_unref(u->pool);
    free(u);
}

static void bury_dead(struct sp_deferred *d)
{
    struct dp_pools *ps = (struct dp_pools *)(void *)((char *)d - offsetof(struct dp_pools, bury));
    while (ps->dead) {
        struct dp_upconn *u = ps->dead;
        ps->dead = u->next;
        free_conn(u);
    }
}

static void close_conn(struct dp_upconn *u)
{
    if (u->state == UP_CLOSED)
        return;
    if (u->state == UP_IDLE)
        take_from_idle(u);
    struct dp_up_env *env = u->pools->env;
    sp_query_cancel(u->query);
    u->query = NULL;
    sp_deadline_clear(env->wheel, &u->deadline);
    sp_loop_undefer(env->loop, &u->flush);
    if (u->watch.fd >= 0) {
        sp_watch_stop(&u->watch);
        close(u->watch.fd);
        u->watch.fd = -1;
    }
    u->state = UP_CLOSED;
    u->next = u->pools->dead;
    u->pools->dead = u;
    sp_loop_defer(env->loop, &u->pools->bury);
}

void dp_pools_free(struct dp_pools *ps)
{
    if (!ps)
        return;
    for (size_t i = 0; i < NUM_BUCKETS; i++)
        for (struct dp_pool *p = ps->buckets[i], *next; p; p = next) {
            next = p->next;
            p->refs++; /* the pool must outlive its last connection while we look at it */
            while (p->idle)
                close_conn(p->idle);
            bury_dead(&ps->bury);
            dp_pool_unref(p);
        }
    sp_loop_undefer(ps->env->loop, &ps->bury);
    bury_dead(&ps->bury);
    free(ps);
}

/* --- failure --- */

static void fail(struct dp_upconn *u, enum dp_up_failure why, const char *text)
{
    const struct dp_up_events *events = u->events;
    void *owner = SP_TAKE(u->owner);
    close_conn(u);
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

static void set_deadline(struct dp_upconn *u, uint64_t after_ms)
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
    u->num_addresses = (uint8_t)(num < MAX_ADDRESSES ? num : MAX_ADDRESSES);
    memcpy(u->addresses, v, u->num_addresses * sizeof *v);
    if (num == 0)
        fail(u, DP_UP_DNS, NULL);
    else
        try_next_address(u);
}

static void on_flush(struct sp_deferred *d);

/* Deferred from the lease, because everything here may fail at once and events never come inside the lease. */
static void start_connecting(struct sp_deferred *d)
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

static void set_want(struct dp_upconn *u)
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
        set_deadline(u, u->service->write_ms);
    else if (was_blocked)
        set_deadline(u, u->service->read_ms);
    if (u->ending && !u->blocked)
        send_end(u);
    set_want(u);
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
        set_deadline(u, u->service->read_ms);
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
            set_want(u);
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
        close_conn(u);
        return;
    }
    if (n <= 0) {
        take_eof(u, n == 0 && !u->tls);
        return;
    }
    set_deadline(u, u->service->read_ms);
    if (u->tls)
        read_tls(u, sp_str(to, (size_t)n));
    else
        feed(u, sp_str(to, (size_t)n));
}

/* --- readiness --- */

static void open_up(struct dp_upconn *u)
{
    u->state = UP_OPEN;
    set_deadline(u, u->service->read_ms);
    set_want(u);
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

/* --- the lease --- */

/* Written here, read by the metrics on another thread. */
static void count(uint64_t *n)
{
    __atomic_store_n(n, *n + 1, __ATOMIC_RELAXED);
}

static struct dp_upconn *new_conn(struct dp_pools *ps, struct dp_pool *p)
{
    struct dp_upconn *u = sp_alloc(sizeof *u);
    u->pools = ps;
    u->pool = p;
    p->refs++;
    u->watch.fd = -1;
    count(&ps->env->connects);
    return u;
}

struct dp_upconn *dp_up_lease(struct dp_pools *ps, struct dp_pool *p, const struct dp_service *service,
                              const struct dp_target *target, bool fresh, const struct dp_up_events *events,
                              void *owner, struct sp_arena *arena)
{
    struct dp_upconn *u = fresh ? NULL : p->idle;
    if (u) {
        take_from_idle(u);
        u->state = UP_OPEN;
        u->reused = true;
        count(&ps->env->reuses);
    } else {
        u = new_conn(ps, p);
    }
    u->service = service;
    u->target = target;
    u->events = events;
    u->owner = owner;
    u->arena = arena;
    u->lease++;
    if (u->reused) {
        set_deadline(u, service->read_ms);
    } else {
        set_deadline(u, service->connect_ms);
        u->flush.fn = start_connecting; /* events never come inside the lease */
        sp_loop_defer(ps->env->loop, &u->flush);
    }
    return u;
}

void dp_up_expect(struct dp_upconn *u, bool head_request)
{
    u->head_request = head_request;
    u->answered = u->have_head = u->complete = u->blocked = u->was_full = u->ending = false;
    u->keep = true;
    u->scanned = 0;
    u->interim = 0;
    u->body = (struct sp_h1_body){0};
}

void dp_up_pause(struct dp_upconn *u, bool paused)
{
    if (u->paused == paused)
        return;
    u->paused = paused;
    if (u->state == UP_OPEN) {
        set_deadline(u, u->service->read_ms);
        set_want(u);
    }
}

void dp_up_hand_over(struct dp_upconn *from, size_t skip, struct dp_upconn *to)
{
    sp_assert(skip <= from->out.len);
    sp_buf_add(&to->out, sp_str_skip(sp_buf_str(&from->out), skip));
    to->was_full |= from->was_full;
}

bool dp_up_reused(const struct dp_upconn *u)
{
    return u->reused;
}

bool dp_up_answered(const struct dp_upconn *u)
{
    return u->answered;
}

/* An idle connection owns next to nothing; what is small stays for the next request. */
static void shed(struct sp_buf *b)
{
    if (b->cap > IDLE_BUFFER)
        sp_buf_fini(b);
}

void dp_up_finish(struct dp_upconn *u, bool request_complete)
{
    u->owner = NULL;
    if (u->state == UP_CLOSED)
        return;
    bool clean = u->state == UP_OPEN && u->complete && u->keep && request_complete && !u->out.len && !u->sealed.len;
    if (!clean || u->pool->num_idle >= MAX_IDLE) {
        close_conn(u);
        return;
    }
    sp_h1_body_fini(&u->body);
    u->body = (struct sp_h1_body){0};
    shed(&u->out);
    shed(&u->sealed);
    u->paused = false;
    u->state = UP_IDLE;
    u->service = NULL; /* its snapshot may go while the connection stays */
    u->target = NULL;
    set_want(u);
    u->next = u->pool->idle;
    u->prev = NULL;
    if (u->next)
        u->next->prev = u;
    u->pool->idle = u;
    u->pool->num_idle++;
    u->pools->idle++;
    set_deadline(u, IDLE_MS);
}
