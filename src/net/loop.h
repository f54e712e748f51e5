/* The event loop: one per thread; everything here except sp_loop_post belongs to the loop's own thread. Hides libev: no
 * other room includes it. Readiness style: a callback says that a descriptor may be read or written. */
#pragma once
#include "base/clock.h"
#include "base/error.h"

struct sp_loop;
SP_MUST sp_result sp_loop_new(struct sp_loop **out, struct sp_error *err);
void sp_loop_free(struct sp_loop *l);                /* NULL is fine; runs what is still deferred */
void sp_loop_run(struct sp_loop *l);                 /* until sp_loop_stop */
void sp_loop_run_once(struct sp_loop *l, bool wait); /* one turn: for tests */
void sp_loop_stop(struct sp_loop *l);
uint64_t sp_loop_now(const struct sp_loop *l); /* monotonic ms at the start of this turn; costs nothing */
/* Any thread: runs fn(arg) on the loop's thread, in the order of posting. Wakes the loop. */
void sp_loop_post(struct sp_loop *l, void (*fn)(void *), void *arg);

/* Work for the end of this turn, after all callbacks and before the loop sleeps: flushing what callbacks have written,
 * and freeing what they may still stand on. Embedded; queueing twice is one call. Deferred work may defer again: it
 * runs in the same end. */
struct sp_deferred {
    struct sp_deferred *next;
    void (*fn)(struct sp_deferred *);
    bool queued;
};
void sp_loop_defer(struct sp_loop *l, struct sp_deferred *d);
void sp_loop_undefer(struct sp_loop *l, struct sp_deferred *d);

enum { SP_READ = 1, SP_WRITE = 2 };
struct sp_watch { /* embedded; zero is "not started" */
    void (*ready)(struct sp_watch *w, int events);
    struct sp_loop *loop;
    int fd, want;
    _Alignas(8) unsigned char priv[48];
};
/* Level-triggered interest in fd; want 0 stops watching but keeps the descriptor known. Does not own fd. */
void sp_watch_start(struct sp_watch *w, struct sp_loop *l, int fd, int want, void (*ready)(struct sp_watch *, int));
void sp_watch_want(struct sp_watch *w, int want);
void sp_watch_stop(struct sp_watch *w); /* idempotent; before close(fd) */

struct sp_timer { /* embedded; zero is "not started" */
    void (*fire)(struct sp_timer *t);
    struct sp_loop *loop;
    _Alignas(8) unsigned char priv[64];
};
void sp_timer_start(struct sp_timer *t, struct sp_loop *l, uint64_t after_ms, void (*fire)(struct sp_timer *));
void sp_timer_stop(struct sp_timer *t); /* idempotent */

/* Signals arrive on the loop that watches them (the main thread's). */
struct sp_signal {
    void (*caught)(struct sp_signal *s);
    struct sp_loop *loop;
    int signum;
    _Alignas(8) unsigned char priv[48];
};
void sp_signal_start(struct sp_signal *s, struct sp_loop *l, int signum, void (*caught)(struct sp_signal *));
void sp_signal_stop(struct sp_signal *s);
