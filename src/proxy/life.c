#include "proxy/life.h"

#include <stddef.h>

enum {
    JUDGED_AT_ONCE = 128, /* in one turn of the loop: each may cost the verification of a chain */
    EARLY_S = 5,          /* so long before its certificate ends, a connection takes no more requests */
};

static void on_look(struct sp_deadline *d);

static void look_after(struct dp_conn *c, uint64_t ms)
{
    sp_deadline_set(c->worker->wheel, &c->life, ms, on_look);
}

/* --- the certificate's own end --- */

/* Negative: it has ended. */
static int64_t seconds_left(const struct dp_conn *c)
{
    return c->not_after ? c->not_after - sp_clock_wall_s(c->worker->clock) : INT64_MAX;
}

/* ms, or what is left to the certificate's end, but enough for an answer that is being made. */
static uint64_t within(uint64_t ms, int64_t left_s)
{
    if (left_s < 1)
        left_s = 1;
    return left_s < (int64_t)(ms / 1000) ? (uint64_t)left_s * 1000 : ms;
}

bool dp_life_is_over(const struct dp_conn *c)
{
    return seconds_left(c) < 0;
}

/* Whoever comes with a certificate at its end may still ask: the answer says what is wrong with it. Looks begin at any
 * moment, so that those who came together are not looked at together. */
void dp_life_begin(struct dp_conn *c)
{
    const struct dp_proxy_options *o = c->worker->options;
    if (!c->tls || sp_tls_peer(c->tls)->num_chain == 0)
        return;
    int64_t left = seconds_left(c);
    c->ending = left <= EARLY_S;
    if (left < 0)
        look_after(c, o->head_ms);
    else if (c->ending)
        look_after(c, within(UINT32_MAX, left));
    else
        look_after(c, within(dp_worker_random(c->worker) % o->look_ms, left - EARLY_S));
}

/* --- what the configuration says of it --- */

/* False: the route that accepted the certificate does not any more. A route that is gone, or is open to all, refuses
 * nobody. */
static bool is_accepted_at(struct dp_conn *c, uint64_t key, int64_t *until)
{
    const struct dp_epoch *e = c->worker->epoch;
    const struct dp_route *r = dp_snapshot_known_at(e->snapshot, key);
    struct dp_call call = {.clock = c->worker->clock,
                           .cache = e->cache,
                           .directory = e->snapshot->directory,
                           .peer = sp_tls_peer(c->tls),
                           .accepted_until = INT64_MAX};
    if (r && !dp_chain_stands(r->chain, &call))
        return false;
    *until = call.accepted_until < *until ? call.accepted_until : *until;
    return true;
}

/* Where it was accepted last, and wherever a request still runs. */
static bool is_accepted(struct dp_conn *c)
{
    int64_t until = INT64_MAX;
    if (!is_accepted_at(c, c->known_at, &until))
        return false;
    for (const struct dp_exchange *x = c->streams; x; x = x->sibling)
        if (x->epoch && x->call.accepted_until && x->route->key != c->known_at &&
            !is_accepted_at(c, x->route->key, &until))
            return false;
    c->identity = c->worker->epoch->identity;
    c->accepted_until = until;
    return true;
}

static bool is_judged(const struct dp_conn *c)
{
    return !c->known_at ||
           (c->identity == c->worker->epoch->identity && sp_clock_wall_s(c->worker->clock) <= c->accepted_until);
}

static bool may_judge(struct dp_worker *w)
{
    uint64_t turn = sp_loop_now(w->loop);
    if (turn != w->looked_ms)
        w->num_looks = 0;
    w->looked_ms = turn;
    return w->num_looks++ < JUDGED_AT_ONCE;
}

/* --- the end --- */

static void end(struct dp_conn *c, uint64_t grace_ms)
{
    c->ending = true;
    look_after(c, within(grace_ms, seconds_left(c)));
    dp_conn_drain(c);
}

static void end_without_identity(struct dp_conn *c)
{
    sp_count(&c->worker->counters.identity_gone, 1);
    sp_log(SP_NOTICE, "identity_gone", "client=%s reason=\"its certificate is not accepted any more\"", c->ip);
    end(c, c->worker->options->grace_ms);
}

static void end_with_certificate(struct dp_conn *c)
{
    sp_count(&c->worker->counters.certificate_ended, 1);
    sp_log(SP_INFO, "certificate_ends", "client=%s", c->ip);
    end(c, UINT32_MAX);
}

static void cut(struct dp_conn *c)
{
    sp_log(SP_INFO, "connection_cut", "client=%s", c->ip);
    dp_conn_close(c);
}

static void on_look(struct sp_deadline *d)
{
    struct dp_conn *c = (struct dp_conn *)(void *)((char *)d - offsetof(struct dp_conn, life));
    int64_t left = seconds_left(c);
    if (c->state != DP_CONN_OPEN) /* it ends by itself */
        return;
    if (c->ending)
        cut(c);
    else if (left <= EARLY_S)
        end_with_certificate(c);
    else if (!is_judged(c) && !may_judge(c->worker))
        look_after(c, 0);
    else if (!is_judged(c) && !is_accepted(c))
        end_without_identity(c);
    else
        look_after(c, within(c->worker->options->look_ms, left - EARLY_S));
}

/* A certificate that was accepted here and is not now has lost its place: the answer is the connection's last. */
void dp_life_judged(struct dp_exchange *x)
{
    struct dp_conn *c = x->conn;
    if (x->call.accepted_until) {
        c->known_at = x->route->key;
        c->identity = x->epoch->identity;
        c->accepted_until = x->call.accepted_until;
        return;
    }
    bool judged = x->call.client_verify != DP_VERIFY_UNSET && x->route->key;
    if (judged && c->known_at == x->route->key && !c->ending)
        end_without_identity(c);
}
