#include "net/resolver.h"

#include "base/map.h"

#include <ares.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>

enum { MAX_SOCKETS = 16, MAX_ADDRESSES = 16, CACHE_SLOTS = 256, MIN_TTL_S = 1, MAX_TTL_S = 60 };

struct cached {
    char *host; /* NULL: free */
    uint64_t expires_ms;
    size_t num;
    struct sp_address v[MAX_ADDRESSES]; /* port 0 */
};

struct sp_query {
    struct sp_resolver *resolver;
    sp_resolved_fn *done; /* NULL: cancelled */
    void *ctx;
    char *host;
    uint16_t port;
};

struct socket_watch {
    struct sp_watch watch;
    struct sp_resolver *resolver;
    bool used;
};

struct sp_resolver {
    struct sp_loop *loop;
    ares_channel channel;
    struct socket_watch sockets[MAX_SOCKETS];
    struct sp_timer timer;
    struct cached *cache[CACHE_SLOTS]; /* one entry a slot: a new name pushes an old one out */
};

static pthread_once_t ares_once = PTHREAD_ONCE_INIT;

static void init_ares(void)
{
    ares_library_init(ARES_LIB_INIT_ALL);
}

static void arm_timer(struct sp_resolver *r);

static void on_timeout(struct sp_timer *t)
{
    struct sp_resolver *r = (struct sp_resolver *)(void *)((char *)t - offsetof(struct sp_resolver, timer));
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_timer(r);
}

static void arm_timer(struct sp_resolver *r)
{
    struct timeval tv;
    if (!ares_timeout(r->channel, NULL, &tv)) {
        sp_timer_stop(&r->timer);
        return;
    }
    sp_timer_start(&r->timer, r->loop, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1, on_timeout);
}

static void on_socket(struct sp_watch *w, int events)
{
    struct sp_resolver *r = ((struct socket_watch *)(void *)w)->resolver; /* watch is the first member */
    ares_process_fd(r->channel, events & SP_READ ? w->fd : ARES_SOCKET_BAD,
                    events & SP_WRITE ? w->fd : ARES_SOCKET_BAD);
    arm_timer(r);
}

/* c-ares tells which of its descriptors it wants watched. */
static void on_socket_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct sp_resolver *r = ctx;
    int want = (readable ? SP_READ : 0) | (writable ? SP_WRITE : 0);
    struct socket_watch *unused = NULL;
    for (size_t i = 0; i < MAX_SOCKETS; i++) {
        struct socket_watch *s = &r->sockets[i];
        if (s->used && s->watch.fd == fd) {
            sp_watch_stop(&s->watch);
            s->used = false;
        }
        if (!s->used && !unused)
            unused = s;
    }
    if (!want || !unused) /* without a free slot the query times out: a clear failure, not a hang */
        return;
    unused->used = true;
    unused->resolver = r;
    sp_watch_start(&unused->watch, r->loop, fd, want, on_socket);
}

sp_result sp_resolver_new(struct sp_loop *l, struct sp_resolver **out, struct sp_error *err)
{
    pthread_once(&ares_once, init_ares);
    struct sp_resolver *r = sp_alloc(sizeof *r);
    r->loop = l;
    struct ares_options o = {.timeout = 2000, .tries = 2, .sock_state_cb = on_socket_state, .sock_state_cb_data = r};
    int rc = ares_init_options(&r->channel, &o, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (rc != ARES_SUCCESS) {
        free(r);
        return sp_fail(err, SP_E_IO, "cannot start the DNS resolver: %s", ares_strerror(rc));
    }
    *out = r;
    return sp_ok();
}

static void free_cached(struct cached *c)
{
    if (!c)
        return;
    free(c->host);
    free(c);
}

void sp_resolver_free(struct sp_resolver *r)
{
    if (!r)
        return;
    ares_destroy(r->channel); /* calls every pending on_answer with ARES_EDESTRUCTION */
    sp_timer_stop(&r->timer);
    for (size_t i = 0; i < MAX_SOCKETS; i++)
        if (r->sockets[i].used)
            sp_watch_stop(&r->sockets[i].watch);
    for (size_t i = 0; i < CACHE_SLOTS; i++)
        free_cached(r->cache[i]);
    free(r);
}

static struct cached **slot_of(struct sp_resolver *r, struct sp_str host)
{
    return &r->cache[sp_str_hash(host) % CACHE_SLOTS];
}

static void set_port(struct sp_address *a, uint16_t port)
{
    if (a->ss.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&a->ss)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)(void *)&a->ss)->sin6_port = htons(port);
}

static void answer(const struct cached *c, uint16_t port, sp_resolved_fn *done, void *ctx, const char *why)
{
    struct sp_address v[MAX_ADDRESSES];
    memcpy(v, c->v, c->num * sizeof *v);
    for (size_t i = 0; i < c->num; i++)
        set_port(&v[i], port);
    done(ctx, v, c->num, why);
}

static int take_family(struct cached *c, const struct ares_addrinfo *info, int family, int ttl)
{
    for (const struct ares_addrinfo_node *n = info ? info->nodes : NULL; n && c->num < MAX_ADDRESSES; n = n->ai_next) {
        if (n->ai_family != family || n->ai_addrlen > sizeof c->v[0].ss)
            continue;
        memcpy(&c->v[c->num].ss, n->ai_addr, n->ai_addrlen);
        c->v[c->num++].len = n->ai_addrlen;
        if (n->ai_ttl < ttl)
            ttl = n->ai_ttl;
    }
    return ttl;
}

static void on_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
    struct sp_query *q = ctx;
    struct sp_resolver *r = q->resolver;
    (void)timeouts;
    struct cached *c = sp_alloc(sizeof *c);
    c->host = SP_TAKE(q->host);
    int ttl = take_family(c, info, AF_INET, MAX_TTL_S);
    ttl = take_family(c, info, AF_INET6, ttl);
    if (info)
        ares_freeaddrinfo(info);
    if (c->num == 0 || ttl < MIN_TTL_S)
        ttl = MIN_TTL_S;
    c->expires_ms = sp_loop_now(r->loop) + (uint64_t)ttl * 1000;
    if (q->done)
        answer(c, q->port, q->done, q->ctx,
               c->num                   ? NULL
               : status == ARES_SUCCESS ? "no address"
                                        : ares_strerror(status));
    free(q);
    if (status == ARES_EDESTRUCTION) {
        free_cached(c);
        return;
    }
    struct cached **slot = slot_of(r, sp_str_z(c->host));
    free_cached(*slot);
    *slot = c;
}

static const struct cached *find_cached(struct sp_resolver *r, struct sp_str host)
{
    const struct cached *c = *slot_of(r, host);
    if (!c || c->expires_ms <= sp_loop_now(r->loop) || !sp_str_eq(sp_str_z(c->host), host))
        return NULL;
    return c;
}

struct sp_query *sp_resolve(struct sp_resolver *r, struct sp_str host, uint16_t port, sp_resolved_fn *done, void *ctx)
{
    struct sp_address literal;
    if (sp_address_parse_ip(sp_str_ieq(host, SP_STR("localhost")) ? SP_STR("127.0.0.1") : host, port, &literal)) {
        done(ctx, &literal, 1, NULL);
        return NULL;
    }
    const struct cached *c = find_cached(r, host);
    if (c) {
        answer(c, port, done, ctx, c->num ? NULL : "no address (remembered)");
        return NULL;
    }
    struct sp_query *q = sp_alloc(sizeof *q);
    *q = (struct sp_query){.resolver = r, .done = done, .ctx = ctx, .port = port};
    q->host = memcpy(sp_alloc(host.len + 1), host.p, host.len);
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_flags = ARES_AI_NOSORT};
    char *name = sp_strdup(q->host); /* q may be gone when the call comes back */
    ares_getaddrinfo(r->channel, name, NULL, &hints, on_answer, q);
    free(name);
    arm_timer(r);
    return find_cached(r, host) ? NULL : q; /* cached already: the answer came inside the call (hosts file) */
}

void sp_query_cancel(struct sp_query *q)
{
    if (q)
        q->done = NULL;
}
