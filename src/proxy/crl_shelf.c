#include "proxy/crl_shelf.h"
#include "base/bytes.h"
#include "base/counter.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    SMALL = 65536,         /* bytes that are read in place: well under a millisecond */
    MAX_QUEUED = 64 << 20, /* bytes that wait to be read */
};

/* A CRL that is to be read. */
struct job {
    struct job *next;
    struct dp_crl_desk *desk; /* who ordered it; compared only, once it is read */
    uint8_t key[32];
    struct sp_bytes *der, *issuer;
    int64_t at;
};

struct dp_crl_shelf {
    pthread_mutex_t lock; /* of everything below; never held while something is read */
    pthread_cond_t more;
    pthread_t thread;
    bool running, stopping;
    struct job *first, **last;
    size_t queued; /* bytes */
    struct dp_crl_desk *desks;
};

/* What a desk waits for. */
struct reading {
    struct reading *next;
    uint8_t key[32];
    struct dp_crl_wait *waits;
};

struct dp_crl_wait {
    struct dp_crl_wait *next;
    struct reading *reading;
    dp_crl_done_fn *done;
    void *ctx;
};

struct dp_crl_desk {
    struct dp_crl_reader ops; /* first */
    struct dp_crl_desk *next; /* at the shelf */
    struct dp_crl_shelf *shelf;
    struct sp_loop *loop;
    struct dp_revocations *memory;
    struct dp_revocation_counters *counters;
    struct reading *readings;
};

/* --- handing out, on the loops --- */

struct note {
    struct dp_crl_desk *desk;
    uint8_t key[32];
    struct sp_crl *crl; /* owned; NULL: why not */
    const char *why;
    int64_t at;
};

static struct reading **find_reading(struct dp_crl_desk *d, const uint8_t key[32])
{
    struct reading **at = &d->readings;
    while (*at && memcmp((*at)->key, key, 32) != 0)
        at = &(*at)->next;
    return at;
}

/* Whoever is told may cancel others that wait for the same, or order it anew. */
static void tell(struct dp_crl_desk *d, const struct note *n)
{
    struct reading **at = find_reading(d, n->key), *r = *at;
    if (!r)
        return;
    *at = r->next;
    if (n->crl)
        sp_count(&d->counters->crls_read, 1);
    while (r->waits) {
        struct dp_crl_wait *w = r->waits;
        r->waits = w->next;
        dp_crl_done_fn *done = w->done;
        void *ctx = w->ctx;
        free(w);
        done(ctx, n->crl, n->at, n->why);
    }
    free(r);
}

static void take_note(void *arg)
{
    struct note *n = arg;
    if (n->crl)
        dp_revocations_keep_crl(n->desk->memory, n->key, n->crl, n->at);
    tell(n->desk, n);
    sp_crl_unref(n->crl);
    free(n);
}

static void post(struct dp_crl_desk *d, const struct job *j, struct sp_crl *crl, const char *why)
{
    struct note *n = sp_alloc(sizeof *n);
    *n = (struct note){.desk = d, .crl = crl ? sp_crl_ref(crl) : NULL, .why = why, .at = j->at};
    memcpy(n->key, j->key, 32);
    sp_loop_post(d->loop, take_note, n);
}

/* --- reading, on any thread --- */

static void free_job(struct job *j)
{
    sp_bytes_unref(j->der);
    sp_bytes_unref(j->issuer);
    free(j);
}

/* What is good is for every worker; what is not concerns the one that fetched it. */
static void read_job(struct dp_crl_shelf *s, struct job *j)
{
    struct sp_crl *crl;
    const char *why = sp_crl_read(sp_bytes_str(j->der), sp_bytes_str(j->issuer), &crl);
    pthread_mutex_lock(&s->lock);
    for (struct dp_crl_desk *d = s->desks; d; d = d->next)
        if (crl || d == j->desk)
            post(d, j, crl, why);
    pthread_mutex_unlock(&s->lock);
    sp_crl_unref(crl);
    free_job(j);
}

static struct job *take_job(struct dp_crl_shelf *s)
{
    struct job *j = s->first;
    s->first = j->next;
    if (!s->first)
        s->last = &s->first;
    s->queued -= j->der->len;
    return j;
}

static void *run(void *arg)
{
    struct dp_crl_shelf *s = arg;
    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        if (!s->first) {
            pthread_cond_wait(&s->more, &s->lock);
            continue;
        }
        struct job *j = take_job(s);
        pthread_mutex_unlock(&s->lock);
        read_job(s, j);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* False: there is no room, or no thread. */
static bool queue_job(struct dp_crl_shelf *s, struct job *j)
{
    pthread_mutex_lock(&s->lock);
    if (!s->running) /* made by a worker, so signals are blocked in it too */
        s->running = pthread_create(&s->thread, NULL, run, s) == 0;
    bool good = s->running && s->queued + j->der->len <= MAX_QUEUED;
    if (good) {
        *s->last = j;
        s->last = &j->next;
        s->queued += j->der->len;
        pthread_cond_signal(&s->more);
    }
    pthread_mutex_unlock(&s->lock);
    return good;
}

/* --- ordering, on a worker --- */

static struct dp_crl_wait *wait_for(struct reading *r, dp_crl_done_fn *done, void *ctx)
{
    struct dp_crl_wait *w = sp_alloc(sizeof *w);
    *w = (struct dp_crl_wait){.next = r->waits, .reading = r, .done = done, .ctx = ctx};
    r->waits = w;
    return w;
}

static struct dp_crl_wait *join_reading(struct dp_crl_reader *ops, const uint8_t key[32], dp_crl_done_fn *done,
                                        void *ctx)
{
    struct reading *r = *find_reading((struct dp_crl_desk *)(void *)ops, key);
    return r ? wait_for(r, done, ctx) : NULL;
}

static struct dp_crl_wait *read_crl(struct dp_crl_reader *ops, const struct dp_crl_order *o, dp_crl_done_fn *done,
                                    void *ctx)
{
    struct dp_crl_desk *d = (struct dp_crl_desk *)(void *)ops;
    struct dp_crl_wait *w = join_reading(ops, o->key, done, ctx);
    if (w)
        return w;
    struct job *j = sp_alloc(sizeof *j);
    *j = (struct job){.desk = d, .der = sp_bytes_copy(o->der), .issuer = sp_bytes_copy(o->issuer), .at = o->at};
    memcpy(j->key, o->key, 32);
    struct reading *r = sp_alloc(sizeof *r);
    memcpy(r->key, o->key, 32);
    w = wait_for(r, done, ctx);
    if (o->der.len <= SMALL) {
        read_job(d->shelf, j);
    } else if (!queue_job(d->shelf, j)) {
        free_job(j);
        free(w);
        free(r);
        return NULL;
    }
    r->next = d->readings;
    d->readings = r;
    return w;
}

/* The reading goes on: others will ask for what comes of it. */
static void cancel(struct dp_crl_reader *ops, struct dp_crl_wait *w)
{
    struct dp_crl_wait **at = &w->reading->waits;
    (void)ops;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    free(w);
}

/* --- life --- */

struct dp_crl_shelf *dp_crl_shelf_new(void)
{
    struct dp_crl_shelf *s = sp_alloc(sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->more, NULL);
    s->last = &s->first;
    return s;
}

void dp_crl_shelf_free(struct dp_crl_shelf *s)
{
    if (!s)
        return;
    sp_assert(!s->desks);
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->lock);
    if (s->running)
        pthread_join(s->thread, NULL);
    while (s->first)
        free_job(take_job(s));
    pthread_cond_destroy(&s->more);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct dp_crl_desk *dp_crl_desk_new(struct dp_crl_shelf *s, struct sp_loop *loop,
                                    struct dp_revocation_counters *counters)
{
    struct dp_crl_desk *d = sp_alloc(sizeof *d);
    d->ops = (struct dp_crl_reader){.read = read_crl, .join = join_reading, .cancel = cancel};
    d->shelf = s;
    d->loop = loop;
    d->counters = counters;
    return d;
}

struct dp_crl_reader *dp_crl_desk_reader(struct dp_crl_desk *d)
{
    return &d->ops;
}

void dp_crl_desk_open(struct dp_crl_desk *d, struct dp_revocations *memory)
{
    d->memory = memory;
    pthread_mutex_lock(&d->shelf->lock);
    d->next = d->shelf->desks;
    d->shelf->desks = d;
    pthread_mutex_unlock(&d->shelf->lock);
}

void dp_crl_desk_close(struct dp_crl_desk *d)
{
    pthread_mutex_lock(&d->shelf->lock);
    struct dp_crl_desk **at = &d->shelf->desks;
    while (*at && *at != d)
        at = &(*at)->next;
    if (*at)
        *at = d->next;
    pthread_mutex_unlock(&d->shelf->lock);
}

void dp_crl_desk_free(struct dp_crl_desk *d)
{
    while (d && d->readings) {
        struct reading *r = d->readings;
        d->readings = r->next;
        while (r->waits)
            cancel(&d->ops, r->waits);
        free(r);
    }
    free(d);
}
