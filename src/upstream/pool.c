/* The pools and the lease; what happens on a connection stands in connection.c. */
#include "base/counter.h"
#include "upstream/internal.h"

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    IDLE_MS = 60000, /* an idle connection is closed after this */
    MAX_IDLE = 512,  /* per pool and worker, as Kong keeps; fewer than are in use at once is a connect a request */
    IDLE_BUFFER = 4096,
};

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
    struct dp_pool **at = &ps->buckets[sp_str_hash(key) % DP_UP_BUCKETS];
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

void dp_upconn_close(struct dp_upconn *u)
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
    for (size_t i = 0; i < DP_UP_BUCKETS; i++)
        for (struct dp_pool *p = ps->buckets[i], *next; p; p = next) {
            next = p->next;
            p->refs++; /* the pool must outlive its last connection while we look at it */
            while (p->idle)
                dp_upconn_close(p->idle);
            bury_dead(&ps->bury);
            dp_pool_unref(p);
        }
    sp_loop_undefer(ps->env->loop, &ps->bury);
    bury_dead(&ps->bury);
    free(ps);
}

/* --- the lease --- */

static struct dp_upconn *new_conn(struct dp_pools *ps, struct dp_pool *p)
{
    struct dp_upconn *u = sp_alloc(sizeof *u);
    u->pools = ps;
    u->pool = p;
    p->refs++;
    u->watch.fd = -1;
    sp_count(&ps->env->connects, 1);
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
        sp_count(&ps->env->reuses, 1);
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
        dp_upconn_set_deadline(u, service->read_ms);
    } else {
        dp_upconn_set_deadline(u, service->connect_ms);
        u->flush.fn = dp_upconn_start; /* events never come inside the lease */
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
        dp_upconn_set_deadline(u, u->service->read_ms);
        dp_upconn_set_want(u);
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
        dp_upconn_close(u);
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
    dp_upconn_set_want(u);
    u->next = u->pool->idle;
    u->prev = NULL;
    if (u->next)
        u->next->prev = u;
    u->pool->idle = u;
    u->pool->num_idle++;
    u->pools->idle++;
    dp_upconn_set_deadline(u, IDLE_MS);
}
