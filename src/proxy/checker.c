#include "proxy/checker.h"
#include "base/digests.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* A check takes some 50 ms, so a full queue is some ten seconds; one client has a quarter of it at most. Wrong answers
 * are remembered apart: whoever guesses pushes out his own guesses only. */
enum { MAX_WAITING = 256, MAX_OF_CLIENT = MAX_WAITING / 4, MAX_THREADS = 4, RIGHT_SETS = 4096, WRONG_SETS = 256 };

struct checker {
    struct dp_password_checker pub; /* first */
    struct dp_checker_pool *pool;
    struct sp_loop *loop;
};

enum state { WAITING, RUNNING, POSTED };

/* One password. The pool's lock guards `state` and `abandoned`; done and ctx belong to the worker. */
struct dp_password_check {
    struct dp_password_check *next; /* while WAITING */
    struct checker *from;
    struct sp_password password;
    uint8_t fingerprint[32];
    uint64_t client;
    enum state state;
    bool abandoned; /* the worker has gone on without it */
    bool right;
    dp_password_checked_fn *done; /* NULL: cancelled */
    void *ctx;
    size_t len;
    char secret[];
};

struct dp_checker_pool {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct dp_password_check *first, **last; /* waiting */
    size_t num_waiting;
    unsigned num_threads, num_started;
    bool stopping;
    pthread_t threads[MAX_THREADS];
    struct sp_digests *right, *wrong;
};

static void check_free(struct dp_password_check *c)
{
    sp_wipe(c->secret, c->len);
    free(c);
}

/* --- the pool's threads --- */

static void on_done(void *arg) /* the worker's thread */
{
    struct dp_password_check *c = arg;
    if (c->done)
        c->done(c->ctx, c->right);
    check_free(c);
}

/* Under the lock: a worker that lets go of a check does so before or after, never while it is posted. */
static void hand_back(struct dp_checker_pool *p, struct dp_password_check *c)
{
    sp_digests_add(c->right ? p->right : p->wrong, c->fingerprint);
    if (c->abandoned) {
        check_free(c);
        return;
    }
    c->state = POSTED;
    sp_loop_post(c->from->loop, on_done, c);
}

static struct dp_password_check *take(struct dp_checker_pool *p)
{
    struct dp_password_check *c = p->first;
    p->first = c->next;
    if (!p->first)
        p->last = &p->first;
    p->num_waiting--;
    c->state = RUNNING;
    return c;
}

static void *run(void *arg)
{
    struct dp_checker_pool *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        if (!p->first) {
            pthread_cond_wait(&p->changed, &p->lock);
            continue;
        }
        struct dp_password_check *c = take(p);
        c->right = sp_digests_has(p->right, c->fingerprint);
        if (!c->right && !sp_digests_has(p->wrong, c->fingerprint)) {
            pthread_mutex_unlock(&p->lock);
            c->right = sp_password_matches(&c->password, sp_str(c->secret, c->len));
            pthread_mutex_lock(&p->lock);
        }
        hand_back(p, c);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Under the lock. Signals belong to the main thread. */
static void start_threads(struct dp_checker_pool *p)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (p->num_started < p->num_threads && pthread_create(&p->threads[p->num_started], NULL, run, p) == 0)
        p->num_started++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* --- the workers' side --- */

static bool has_room(const struct dp_checker_pool *p, uint64_t client)
{
    size_t num = 0;
    for (const struct dp_password_check *c = p->first; c; c = c->next)
        num += c->client == client;
    return p->num_waiting < MAX_WAITING && num < MAX_OF_CLIENT;
}

static bool enqueue(struct dp_checker_pool *p, struct dp_password_check *c)
{
    pthread_mutex_lock(&p->lock);
    if (p->num_started == 0)
        start_threads(p);
    bool taken = p->num_started && has_room(p, c->client);
    if (taken) {
        *p->last = c;
        p->last = &c->next;
        p->num_waiting++;
        pthread_cond_signal(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return taken;
}

static struct dp_password_check *start(struct dp_password_checker *pub, const struct dp_password_order *o,
                                       dp_password_checked_fn *done, void *ctx)
{
    struct checker *from = (struct checker *)(void *)pub;
    sp_assert(o->secret.len <= SP_PASSWORD_MAX);
    struct dp_password_check *c = sp_alloc(sizeof *c + o->secret.len);
    c->from = from;
    c->password = *o->password;
    memcpy(c->fingerprint, o->fingerprint, sizeof c->fingerprint);
    c->client = o->client;
    c->done = done;
    c->ctx = ctx;
    c->len = o->secret.len;
    if (c->len)
        memcpy(c->secret, o->secret.p, c->len);
    if (enqueue(from->pool, c))
        return c;
    check_free(c);
    return NULL;
}

static void unlink_waiting(struct dp_checker_pool *p, struct dp_password_check *c)
{
    struct dp_password_check **at = &p->first;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (!c->next)
        p->last = at;
    p->num_waiting--;
}

static void cancel(struct dp_password_checker *pub, struct dp_password_check *c)
{
    struct dp_checker_pool *p = ((struct checker *)(void *)pub)->pool;
    pthread_mutex_lock(&p->lock);
    bool waiting = c->state == WAITING;
    c->done = NULL;
    c->abandoned = true;
    if (waiting)
        unlink_waiting(p, c);
    pthread_mutex_unlock(&p->lock);
    if (waiting)
        check_free(c);
}

/* --- life --- */

struct dp_checker_pool *dp_checker_pool_new(unsigned num_threads)
{
    struct dp_checker_pool *p = sp_alloc(sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    p->last = &p->first;
    p->num_threads = num_threads < 1 ? 1 : num_threads > MAX_THREADS ? MAX_THREADS : num_threads;
    p->right = sp_digests_new(RIGHT_SETS);
    p->wrong = sp_digests_new(WRONG_SETS);
    return p;
}

void dp_checker_pool_free(struct dp_checker_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    while (p->num_started)
        pthread_join(p->threads[--p->num_started], NULL);
    sp_assert(!p->first);
    sp_digests_free(p->right);
    sp_digests_free(p->wrong);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

struct dp_password_checker *dp_checker_new(struct dp_checker_pool *p, struct sp_loop *loop)
{
    struct checker *c = sp_alloc(sizeof *c);
    *c = (struct checker){.pub = {start, cancel}, .pool = p, .loop = loop};
    return &c->pub;
}

void dp_checker_free(struct dp_password_checker *c)
{
    free(c);
}
