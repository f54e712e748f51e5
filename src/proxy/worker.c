#include "proxy/worker.h"

#include "proxy/checker.h"
#include "proxy/conn.h"
#include "proxy/crl_shelf.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ACCEPT_BATCH = 64,
    ACCEPT_REST = 4096,
    ACCEPT_PAUSE_MS = 100,
    MAX_SPARE = 256,
    MAX_STAGES = 64,
    MAX_STAGE_KEPT = 262144
};

/* --- epochs --- */

static bool judges_alike(const struct dp_snapshot *a, const struct dp_snapshot *b)
{
    return memcmp(a->identity, b->identity, sizeof a->identity) == 0;
}

static struct dp_epoch *epoch_new(struct dp_snapshot *ref_take, const struct dp_epoch *last)
{
    struct dp_epoch *e = sp_alloc(sizeof *e);
    e->snapshot = ref_take;
    if (last)
        e->identity = last->identity + !judges_alike(last->snapshot, ref_take);
    e->users = 1;
    e->cache = dp_plugin_cache_new();
    e->pools = sp_alloc(sizeof(struct dp_pool *) * ref_take->num_targets);
    e->turns = sp_alloc(sizeof(uint32_t) * ref_take->num_services);
    return e;
}

struct dp_epoch *dp_epoch_hold(struct dp_worker *w)
{
    if (w->epoch)
        w->epoch->users++;
    return w->epoch;
}

void dp_epoch_drop(struct dp_worker *w, struct dp_epoch *e)
{
    if (!e || --e->users)
        return;
    sp_assert(e != w->epoch);
    for (size_t i = 0; i < e->snapshot->num_targets; i++)
        dp_pool_unref(e->pools[i]);
    free(e->pools);
    free(e->turns);
    dp_plugin_cache_free(e->cache);
    dp_snapshot_unref(e->snapshot);
    free(e);
    w->num_old_epochs--;
}

struct dp_pool *dp_epoch_pool(struct dp_worker *w, struct dp_epoch *e, const struct dp_target *t)
{
    if (!e->pools[t->index])
        e->pools[t->index] = dp_pool_ref(w->pools, t->pool_key);
    return e->pools[t->index];
}

struct adoption {
    struct dp_worker *worker;
    struct dp_snapshot *snapshot;
    void (*done)(void *arg);
    void *arg;
};

static void adopt(void *arg)
{
    struct adoption *a = arg;
    struct dp_worker *w = a->worker;
    struct dp_epoch *old = w->epoch;
    w->epoch = epoch_new(a->snapshot, old);
    w->num_old_epochs++;
    if (old)
        dp_epoch_drop(w, old);
    else
        w->num_old_epochs--;
    a->done(a->arg);
    free(a);
}

void dp_worker_adopt(struct dp_worker *w, struct dp_snapshot *ref_take, void (*done)(void *arg), void *arg)
{
    struct adoption *a = sp_alloc(sizeof *a);
    *a = (struct adoption){w, ref_take, done, arg};
    sp_loop_post(w->loop, adopt, a);
}

/* --- listeners --- */

static void on_pause_over(struct sp_deadline *d)
{
    struct dp_listener *l = (struct dp_listener *)(void *)((char *)d - offsetof(struct dp_listener, pause));
    sp_watch_want(&l->watch, SP_READ);
}

/* False: nobody waits any more, or there is no descriptor for them: those that close make room, and the listen queue
 * waits. */
static bool accept_one(struct dp_listener *l)
{
    struct sp_address from = {.len = sizeof from.ss};
    int fd = accept4(l->watch.fd, (struct sockaddr *)&from.ss, &from.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        dp_conn_accept(l, fd, &from);
        return true;
    }
    if (errno == ECONNABORTED || errno == EINTR)
        return true;
    if (errno != EAGAIN) { /* the socket stays readable: without a pause the loop would spin */
        sp_watch_want(&l->watch, 0);
        sp_deadline_set(l->worker->wheel, &l->pause, ACCEPT_PAUSE_MS, on_pause_over);
    }
    return false;
}

static void on_accept(struct sp_watch *watch, int events)
{
    struct dp_listener *l = (struct dp_listener *)(void *)watch;
    (void)events;
    for (int i = 0; i < ACCEPT_BATCH && accept_one(l); i++)
        ;
}

/* Whoever stands in the listen queue has been told that it is connected. */
static void accept_the_rest(struct dp_worker *w)
{
    for (size_t i = 0; i < w->options->num_listeners; i++)
        for (int n = 0; n < ACCEPT_REST && w->listeners[i].watch.fd >= 0 && accept_one(&w->listeners[i]); n++)
            ;
}

static sp_result bind_listeners(struct dp_worker *w, struct dp_proxy_options *o, struct sp_error *err)
{
    w->listeners = sp_alloc(sizeof *w->listeners * (o->num_listeners + 1));
    for (size_t i = 0; i < o->num_listeners; i++)
        w->listeners[i].watch.fd = -1;
    for (size_t i = 0; i < o->num_listeners; i++) {
        struct dp_listener *l = &w->listeners[i];
        int fd;
        l->worker = w;
        l->conf = &o->listeners[i];
        SP_TRY(sp_listen(&o->listeners[i].address, &o->listeners[i].how, &fd, err));
        l->watch.fd = fd;
        SP_TRY(sp_local_address(fd, &o->listeners[i].address, err));
    }
    return sp_ok();
}

static void close_listeners(struct dp_worker *w)
{
    for (size_t i = 0; i < w->options->num_listeners; i++) {
        struct dp_listener *l = &w->listeners[i];
        if (l->watch.fd < 0)
            continue;
        sp_watch_stop(&l->watch);
        sp_deadline_clear(w->wheel, &l->pause);
        close(l->watch.fd);
        l->watch.fd = -1;
    }
}

/* --- recycled memory --- */

struct sp_buf dp_worker_stage_take(struct dp_worker *w)
{
    if (w->num_stages)
        return w->stages[--w->num_stages];
    return (struct sp_buf){0};
}

void dp_worker_stage_give(struct dp_worker *w, struct sp_buf *b)
{
    sp_buf_clear(b);
    if (w->num_stages < MAX_STAGES && b->cap && b->cap <= MAX_STAGE_KEPT)
        w->stages[w->num_stages++] = *b;
    else
        sp_buf_fini(b);
    *b = (struct sp_buf){0};
}

/* xoshiro256**: request ids need to be unlike each other, not unguessable. */
uint64_t dp_worker_random(struct dp_worker *w)
{
    uint64_t *s = w->random, r = s[1] * 5, t = s[1] << 17;
    r = ((r << 7) | (r >> 57)) * 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return r;
}

/* --- life --- */

static void bury(struct sp_deferred *d)
{
    struct dp_worker *w = (struct dp_worker *)(void *)((char *)d - offsetof(struct dp_worker, bury));
    dp_exchange_bury(w);
    dp_conn_free_dead(w);
}

static void flush_access_log(struct sp_deferred *d)
{
    struct dp_worker *w = (struct dp_worker *)(void *)((char *)d - offsetof(struct dp_worker, log_flush));
    struct sp_str lines = sp_buf_str(&w->access_log);
    ssize_t done = write(w->options->access_log_fd, lines.p, lines.len);
    (void)done; /* a full disk must not stop traffic */
    sp_buf_clear(&w->access_log);
}

sp_result dp_worker_new(unsigned index, struct dp_proxy_options *o, struct dp_worker **out, struct sp_error *err)
{
    struct dp_worker *w = sp_alloc(sizeof *w);
    w->index = index;
    w->options = o;
    w->clock = o->clock ? o->clock : &sp_clock_system;
    w->bury.fn = bury;
    w->log_flush.fn = flush_access_log;
    sp_random(w->random, sizeof w->random);
    w->sealed = sp_alloc(DP_RECV);
    w->plain = sp_alloc(DP_RECV);
    w->stages = sp_alloc(sizeof *w->stages * MAX_STAGES);
    *out = w;
    SP_TRY(sp_loop_new(&w->loop, err));
    SP_TRY(sp_resolver_new(w->loop, &w->resolver, err));
    w->wheel = sp_wheel_new(w->loop);
    w->up = (struct dp_up_env){.loop = w->loop,
                               .wheel = w->wheel,
                               .resolver = w->resolver,
                               .sealed = sp_alloc(DP_RECV),
                               .plain = sp_alloc(DP_RECV),
                               .size = DP_RECV};
    w->pools = dp_pools_new(&w->up);
    w->fetcher = dp_fetcher_new(w->loop, w->wheel, w->resolver);
    w->crls = dp_crl_desk_new(o->crls, w->loop, &w->counters.revocation);
    w->revocations = dp_revocations_new(&w->counters.revocation, dp_crl_desk_reader(w->crls));
    dp_crl_desk_open(w->crls, w->revocations);
    w->checker = dp_checker_new(o->checkers, w->loop);
    w->passwords = dp_passwords_new(w->checker, &w->counters.passwords);
    return bind_listeners(w, o, err);
}

static void *run(void *arg)
{
    struct dp_worker *w = arg;
    for (size_t i = 0; i < w->options->num_listeners; i++)
        sp_watch_start(&w->listeners[i].watch, w->loop, w->listeners[i].watch.fd, SP_READ, on_accept);
    sp_loop_run(w->loop);
    return NULL;
}

sp_result dp_worker_start(struct dp_worker *w, struct sp_error *err)
{
    sigset_t all, old; /* signals belong to the main thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc)
        return sp_fail_errno(err, rc, "cannot start worker %u", w->index);
    return sp_ok();
}

/* --- the end --- */

static void stop_now(struct dp_worker *w)
{
    if (w->stopping)
        return;
    w->stopping = true;
    close_listeners(w);
    sp_timer_stop(&w->drain_timer);
    while (w->conns)
        dp_conn_close(w->conns);
    sp_loop_stop(w->loop);
}

static void on_grace_over(struct sp_timer *t)
{
    struct dp_worker *w = (struct dp_worker *)(void *)((char *)t - offsetof(struct dp_worker, drain_timer));
    if (w->num_conns)
        sp_log(SP_WARN, "drain_cut", "worker=%u connections=%zu", w->index, w->num_conns);
    stop_now(w);
}

void dp_worker_conn_gone(struct dp_worker *w)
{
    if (w->draining && w->num_conns == 0 && !w->stopping)
        stop_now(w);
}

struct drain_order {
    struct dp_worker *worker;
    uint32_t grace_ms;
};

static void drain(void *arg)
{
    struct drain_order *o = arg;
    struct dp_worker *w = o->worker;
    w->draining = true;
    accept_the_rest(w);
    close_listeners(w);
    sp_timer_start(&w->drain_timer, w->loop, o->grace_ms, on_grace_over);
    for (struct dp_conn *c = w->conns, *next; c; c = next) {
        next = c->next;
        dp_conn_drain(c);
    }
    dp_worker_conn_gone(w);
    free(o);
}

void dp_worker_drain(struct dp_worker *w, uint32_t grace_ms)
{
    struct drain_order *o = sp_alloc(sizeof *o);
    *o = (struct drain_order){w, grace_ms};
    sp_loop_post(w->loop, drain, o);
}

static void free_spares(struct dp_worker *w)
{
    while (w->spare) {
        struct dp_exchange *x = w->spare;
        w->spare = x->next;
        sp_arena_free(x->arena);
        free(x);
    }
    while (w->num_stages)
        sp_buf_fini(&w->stages[--w->num_stages]);
    free(w->stages);
}

void dp_worker_join(struct dp_worker *w)
{
    pthread_join(w->thread, NULL);
    dp_crl_desk_close(w->crls);
    sp_loop_run_once(w->loop, false); /* what was posted after the last turn, and what was left to its end */
    bury(&w->bury);
    struct dp_epoch *e = w->epoch;
    w->epoch = NULL;
    w->num_old_epochs++;
    dp_epoch_drop(w, e);
    dp_pools_free(w->pools);
    dp_fetcher_free(w->fetcher);
    dp_crl_desk_free(w->crls);
    dp_revocations_free(w->revocations);
    dp_passwords_free(w->passwords);
    dp_checker_free(w->checker);
    sp_resolver_free(w->resolver);
    sp_wheel_free(w->wheel);
    sp_loop_free(w->loop);
    free_spares(w);
    sp_buf_fini(&w->access_log);
    sp_buf_fini(&w->wire.out);
    sp_buf_fini(&w->up.wire.out);
    free(w->up.sealed);
    free(w->up.plain);
    free(w->sealed);
    free(w->plain);
    free(w->listeners);
    free(w);
}
