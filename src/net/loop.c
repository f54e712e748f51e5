#include "net/loop.h"

#include <ev.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

_Static_assert(sizeof(ev_io) <= sizeof((struct sp_watch *)0)->priv, "sp_watch.priv holds an ev_io");
_Static_assert(sizeof(ev_timer) <= sizeof((struct sp_timer *)0)->priv, "sp_timer.priv holds an ev_timer");
_Static_assert(sizeof(ev_signal) <= sizeof((struct sp_signal *)0)->priv, "sp_signal.priv holds an ev_signal");
_Static_assert((int)SP_READ == (int)EV_READ && (int)SP_WRITE == (int)EV_WRITE, "events are libev's");

#define EV_OF(w, type) ((type *)(void *)(w)->priv)
#define OWNER_OF(ev, type) ((type *)(void *)((char *)(ev)-offsetof(type, priv)))

struct posted {
    struct posted *next;
    void (*fn)(void *);
    void *arg;
};

struct sp_loop {
    struct ev_loop *ev;
    ev_prepare end_of_turn;
    ev_check start_of_turn;
    uint64_t now_ms;
    ev_async wake;
    struct sp_deferred *deferred, **deferred_tail;
    pthread_mutex_t lock; /* guards posted, the only thing that other threads touch */
    struct posted *posted, **posted_tail;
};

static void run_deferred(struct sp_loop *l)
{
    while (l->deferred) {
        struct sp_deferred *d = l->deferred;
        l->deferred = d->next;
        if (!l->deferred)
            l->deferred_tail = &l->deferred;
        d->queued = false;
        d->fn(d);
    }
}

static void on_end_of_turn(struct ev_loop *ev, ev_prepare *w, int events)
{
    (void)ev;
    (void)events;
    run_deferred(w->data);
}

/* libev's own "now" is wall time, which may jump: deadlines need the monotonic clock. */
static void on_start_of_turn(struct ev_loop *ev, ev_check *w, int events)
{
    (void)ev;
    (void)events;
    ((struct sp_loop *)w->data)->now_ms = sp_clock_mono_ms(&sp_clock_system);
}

static void run_posted(struct sp_loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct posted *p = l->posted;
    l->posted = NULL;
    l->posted_tail = &l->posted;
    pthread_mutex_unlock(&l->lock);
    while (p) {
        struct posted *next = p->next;
        p->fn(p->arg);
        free(p);
        p = next;
    }
}

static void on_wake(struct ev_loop *ev, ev_async *w, int events)
{
    (void)ev;
    (void)events;
    run_posted(w->data);
}

sp_result sp_loop_new(struct sp_loop **out, struct sp_error *err)
{
    struct ev_loop *ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (!ev)
        return sp_fail(err, SP_E_IO, "cannot create an epoll event loop");
    struct sp_loop *l = sp_alloc(sizeof *l);
    l->ev = ev;
    l->deferred_tail = &l->deferred;
    l->posted_tail = &l->posted;
    pthread_mutex_init(&l->lock, NULL);
    ev_prepare_init(&l->end_of_turn, on_end_of_turn);
    l->end_of_turn.data = l;
    ev_prepare_start(ev, &l->end_of_turn);
    ev_unref(ev);
    ev_check_init(&l->start_of_turn, on_start_of_turn);
    ev_set_priority(&l->start_of_turn, EV_MAXPRI);
    l->start_of_turn.data = l;
    ev_check_start(ev, &l->start_of_turn);
    ev_unref(ev);
    l->now_ms = sp_clock_mono_ms(&sp_clock_system);
    ev_async_init(&l->wake, on_wake);
    l->wake.data = l;
    ev_async_start(ev, &l->wake);
    *out = l;
    return sp_ok();
}

void sp_loop_free(struct sp_loop *l)
{
    if (!l)
        return;
    run_posted(l);
    run_deferred(l);
    ev_ref(l->ev);
    ev_prepare_stop(l->ev, &l->end_of_turn);
    ev_ref(l->ev);
    ev_check_stop(l->ev, &l->start_of_turn);
    ev_async_stop(l->ev, &l->wake);
    ev_loop_destroy(l->ev);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void sp_loop_run(struct sp_loop *l)
{
    ev_run(l->ev, 0);
}

void sp_loop_run_once(struct sp_loop *l, bool wait)
{
    ev_run(l->ev, wait ? EVRUN_ONCE : EVRUN_NOWAIT);
    run_deferred(l);
}

void sp_loop_stop(struct sp_loop *l)
{
    ev_break(l->ev, EVBREAK_ALL);
}

uint64_t sp_loop_now(const struct sp_loop *l)
{
    return l->now_ms;
}

void sp_loop_post(struct sp_loop *l, void (*fn)(void *), void *arg)
{
    struct posted *p = sp_alloc(sizeof *p);
    p->fn = fn;
    p->arg = arg;
    pthread_mutex_lock(&l->lock);
    *l->posted_tail = p;
    l->posted_tail = &p->next;
    pthread_mutex_unlock(&l->lock);
    ev_async_send(l->ev, &l->wake);
}

void sp_loop_defer(struct sp_loop *l, struct sp_deferred *d)
{
    if (d->queued)
        return;
    d->queued = true;
    d->next = NULL;
    if (!l->deferred)
        l->deferred_tail = &l->deferred;
    *l->deferred_tail = d;
    l->deferred_tail = &d->next;
}

void sp_loop_undefer(struct sp_loop *l, struct sp_deferred *d)
{
    if (!d->queued)
        return;
    struct sp_deferred **at = &l->deferred;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    if (!d->next)
        l->deferred_tail = at;
    d->queued = false;
}

static void on_ready(struct ev_loop *ev, ev_io *io, int events)
{
    (void)ev;
    struct sp_watch *w = OWNER_OF(io, struct sp_watch);
    w->ready(w, events & (EV_READ | EV_WRITE));
}

void sp_watch_start(struct sp_watch *w, struct sp_loop *l, int fd, int want, void (*ready)(struct sp_watch *, int))
{
    ev_io *io = EV_OF(w, ev_io);
    w->loop = l;
    w->fd = fd;
    w->want = want;
    w->ready = ready;
    ev_io_init(io, on_ready, fd, want);
    if (want)
        ev_io_start(l->ev, io);
}

void sp_watch_want(struct sp_watch *w, int want)
{
    if (want == w->want)
        return;
    ev_io *io = EV_OF(w, ev_io);
    ev_io_stop(w->loop->ev, io);
    w->want = want;
    if (!want)
        return;
    ev_io_set(io, w->fd, want);
    ev_io_start(w->loop->ev, io);
}

void sp_watch_stop(struct sp_watch *w)
{
    if (!w->loop)
        return;
    ev_io_stop(w->loop->ev, EV_OF(w, ev_io));
    w->loop = NULL;
    w->want = 0;
}

static void on_timer(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev;
    (void)events;
    struct sp_timer *timer = OWNER_OF(t, struct sp_timer);
    timer->loop = NULL;
    timer->fire(timer);
}

void sp_timer_start(struct sp_timer *t, struct sp_loop *l, uint64_t after_ms, void (*fire)(struct sp_timer *))
{
    sp_timer_stop(t);
    t->loop = l;
    t->fire = fire;
    ev_timer *timer = EV_OF(t, ev_timer);
    /* ev_timer counts from the start of this turn: correct for the time that the turn has already taken. */
    ev_timer_init(timer, on_timer, (double)after_ms / 1000 + (ev_time() - ev_now(l->ev)), 0.);
    ev_timer_start(l->ev, timer);
}

void sp_timer_stop(struct sp_timer *t)
{
    if (!t->loop)
        return;
    ev_timer_stop(t->loop->ev, EV_OF(t, ev_timer));
    t->loop = NULL;
}

static void on_signal(struct ev_loop *ev, ev_signal *s, int events)
{
    (void)ev;
    (void)events;
    struct sp_signal *sig = OWNER_OF(s, struct sp_signal);
    sig->caught(sig);
}

void sp_signal_start(struct sp_signal *s, struct sp_loop *l, int signum, void (*caught)(struct sp_signal *))
{
    s->loop = l;
    s->signum = signum;
    s->caught = caught;
    ev_signal *sig = EV_OF(s, ev_signal);
    ev_signal_init(sig, on_signal, signum);
    ev_signal_start(l->ev, sig);
}

void sp_signal_stop(struct sp_signal *s)
{
    if (!s->loop)
        return;
    ev_signal_stop(s->loop->ev, EV_OF(s, ev_signal));
    s->loop = NULL;
}
