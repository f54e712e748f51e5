#include "proxy/proxy.h"
#include "proxy/crl_shelf.h"

#include "proxy/checker.h"

#include <stdlib.h>

struct publication {
    struct dp_proxy *proxy;
    struct dp_snapshot *snapshot;
    unsigned left;
    void (*live)(void *ctx, int64_t revision);
    void *ctx;
};

sp_result dp_proxy_start(struct dp_proxy *p, unsigned num_workers, struct sp_error *err)
{
    p->options->checkers = dp_checker_pool_new((num_workers + 1) / 2); /* requests come before passwords */
    p->workers = sp_alloc(sizeof *p->workers * num_workers);
    p->options->crls = dp_crl_shelf_new();
    for (unsigned i = 0; i < num_workers; i++)
        SP_TRY(dp_worker_new(i, p->options, &p->workers[i], err));
    for (; p->num_workers < num_workers; p->num_workers++)
        SP_TRY(dp_worker_start(p->workers[p->num_workers], err));
    return sp_ok();
}

static void all_switched(struct publication *pub)
{
    struct dp_proxy *p = pub->proxy;
    struct dp_snapshot *old = p->current;
    p->current = pub->snapshot; /* our own reference moves here */
    p->publications--;
    if (old && memcmp(old->trust, p->current->trust, sizeof old->trust) != 0)
        sp_tls_server_reset_tickets(p->options->tls);
    dp_snapshot_unref(old);
    if (pub->live && !p->joined)
        pub->live(pub->ctx, p->current->revision);
    free(pub);
}

static void one_switched(void *arg)
{
    struct publication *pub = arg;
    if (--pub->left == 0)
        all_switched(pub);
}

static void switched(void *arg) /* on the worker's thread */
{
    struct publication *pub = arg;
    sp_loop_post(pub->proxy->loop, one_switched, pub);
}

sp_result dp_proxy_publish(struct dp_proxy *p, const struct sp_resources *r, int64_t revision,
                           struct sp_problems *problems, void (*live)(void *ctx, int64_t revision), void *ctx)
{
    struct dp_snapshot *s;
    struct dp_snapshot_options o = p->snapshot_options;
    o.previous = p->current;
    SP_TRY(dp_snapshot_compile(r, revision, &o, &s, problems));
    struct publication *pub = sp_alloc(sizeof *pub);
    *pub = (struct publication){p, s, p->num_workers, live, ctx};
    p->publications++;
    for (unsigned i = 0; i < p->num_workers; i++)
        dp_worker_adopt(p->workers[i], dp_snapshot_ref(s), switched, pub);
    return sp_ok();
}

void dp_proxy_drain(struct dp_proxy *p, uint32_t grace_ms)
{
    for (unsigned i = 0; i < p->num_workers; i++)
        dp_worker_drain(p->workers[i], grace_ms);
}

void dp_proxy_join(struct dp_proxy *p)
{
    for (unsigned i = 0; i < p->num_workers; i++)
        dp_worker_join(p->workers[i]);
    dp_checker_pool_free(SP_TAKE(p->options->checkers));
    p->joined = true;       /* nobody waits for `live` any more */
    while (p->publications) /* every worker has switched, and has posted it */
        sp_loop_run_once(p->loop, true);
    dp_crl_shelf_free(SP_TAKE(p->options->crls));
    free(p->workers);
    dp_snapshot_unref(p->current);
    p->current = NULL;
    p->num_workers = 0;
}

uint64_t dp_proxy_count(const struct dp_proxy *p, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < p->num_workers; i++)
        sum += sp_counter_get((const uint64_t *)(const void *)((const char *)&p->workers[i]->counters + offset));
    return sum;
}
