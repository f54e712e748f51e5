/* The two halves of the control protocol against each other, without a network: random edits, a stream that breaks at
 * any frame, deletions while the node is away, lost and doubled chunks, refusals, rollback. The seed is printed;
 * SALLYPORT_TEST_SEED repeats a run. */
#include "test.h"

#include "config/delta.h"
#include "control/discovery/session.h"
#include "resources.h"

#include <stdio.h>

enum { NAMES = 60, STEPS = 600 };

static uint64_t seed;
static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

struct world {
    int version[NAMES]; /* 0: not there */
    int64_t revision, highest;
    bool rollback; /* below what a node may hold already */
    bool faulty;   /* this stream has lost or doubled a frame */
    struct cp_snapshot *newest;
    struct cp_session *session; /* NULL: disconnected */
    struct dp_delta *node;
    uint64_t now;
    size_t num_applied, num_rejected, num_broken;
};

static void publish(struct world *w)
{
    struct res_set s;
    res_init(&s);
    for (int i = 0; i < NAMES; i++) {
        char name[16], host[32];
        snprintf(name, sizeof name, "n%d", i);
        snprintf(host, sizeof host, "v%d.example", w->version[i]);
        if (w->version[i] && i % 3)
            res_route(&s, name, host);
        else if (w->version[i])
            res_ca(&s, name, host);
    }
    res_done(&s);
    struct sp_resources *r = SP_NEW(s.arena, struct sp_resources);
    *r = s.set;
    cp_snapshot_unref(w->newest);
    w->newest = cp_snapshot_new(w->revision, r, s.arena);
    w->newest->rollback = w->rollback;
    if (w->session)
        cp_session_target(w->session, w->newest);
}

static void edit(struct world *w)
{
    for (uint32_t n = rnd(5); n > 0; n--)
        w->version[rnd(NAMES)] = rnd(3) ? (int)rnd(1000) + 1 : 0;
    w->revision += rnd(20) == 0 && w->revision > 5 ? -3 : 1;
    w->rollback = w->revision <= w->highest;
    w->highest = w->rollback ? w->highest : w->revision;
    publish(w);
}

static void disconnect(struct world *w)
{
    cp_session_free(SP_TAKE(w->session));
}

static void answer(struct world *w, struct sp_buf *out)
{
    struct sp_error err = {0};
    if (out->len && w->session && sp_failed(cp_session_receive(w->session, sp_buf_str(out), w->now, &err)))
        fail_msg("the session refused an answer: %s", err.text);
    sp_buf_clear(out);
}

static void connect_node(struct world *w)
{
    struct sp_buf out = {0};
    disconnect(w);
    w->faulty = false;
    w->session = cp_session_new(SP_STR("cp"));
    cp_session_target(w->session, w->newest);
    dp_delta_hello(w->node, &(struct dp_node){.id = SP_STR("n")}, &out);
    answer(w, &out);
    sp_buf_fini(&out);
}

static void judge(struct world *w, struct sp_buf *out, bool may_refuse)
{
    const struct dp_candidate *c = dp_delta_candidate(w->node);
    if (may_refuse && rnd(4) == 0) {
        struct dp_problem p = {.kind = SALLYPORT__V1__KIND__ROUTE, .name = SP_STR("n1"), .reason = SP_STR("random")};
        dp_delta_rejected(w->node, &p, 1, out);
        w->num_rejected++;
        return;
    }
    for (size_t i = 0; i < c->resources->num; i++)
        assert_non_null(c->resources->v[i].message);
    dp_delta_applied(w->node, out);
    w->num_applied++;
}

/* Moves up to max frames; faults: chunks get lost or doubled, which the node must see. */
static void move_frames(struct world *w, uint32_t max, bool faults, bool may_refuse)
{
    struct sp_buf out = {0};
    struct sp_error err = {0};
    struct sp_bytes *b;
    for (uint32_t i = 0; i < max && w->session && (b = cp_session_next(w->session, w->now)); i++) {
        uint32_t times = !faults || rnd(10) ? 1 : 2 * rnd(2);
        enum dp_delta_event e = DP_DELTA_MORE;
        w->faulty = w->faulty || times != 1;
        for (; times > 0 && e == DP_DELTA_MORE; times--)
            e = dp_delta_receive(w->node, sp_bytes_str(b), &out, &err);
        sp_bytes_unref(b);
        if (e == DP_DELTA_CANDIDATE)
            judge(w, &out, may_refuse);
        if (e == DP_DELTA_BROKEN) {
            assert_true(w->faulty);
            w->num_broken++;
            sp_buf_clear(&out);
            disconnect(w);
        }
        answer(w, &out);
    }
    sp_buf_fini(&out);
}

static void settle(struct world *w)
{
    for (int i = 0; i < 10 && (!w->session || cp_session_state(w->session) != CP_NODE_LIVE); i++) {
        /* A stream that lost a BEGIN or COMMIT stands still, as behind a dead peer: the keepalive ends it. */
        if (i > 0 || !w->session)
            connect_node(w);
        w->now += 60000;
        move_frames(w, UINT32_MAX, false, false);
    }
    assert_int_equal(cp_session_state(w->session), CP_NODE_LIVE);
    assert_int_equal(dp_delta_revision(w->node), w->revision);
    assert_true(res_same(dp_delta_current(w->node), w->newest->resources));
}

static void random_walk(void **state)
{
    (void)state;
    struct world w = {.revision = 1, .node = dp_delta_new(0), .now = 1000};
    publish(&w);
    for (int step = 0; step < STEPS; step++) {
        uint32_t dice = rnd(10);
        w.now += rnd(2000);
        if (dice < 4)
            edit(&w);
        else if (dice == 4)
            disconnect(&w);
        else if (!w.session)
            connect_node(&w);
        else
            move_frames(&w, rnd(6), rnd(3) == 0, true);
        if (step % 20 == 19)
            settle(&w);
    }
    print_message("applied %zu, rejected %zu, broken %zu\n", w.num_applied, w.num_rejected, w.num_broken);
    assert_true(w.num_applied > 20 && w.num_rejected > 0 && w.num_broken > 0);
    disconnect(&w);
    cp_snapshot_unref(w.newest);
    dp_delta_free(w.node);
}

static void deleted_while_away(void **state)
{
    (void)state;
    struct world w = {.revision = 1, .node = dp_delta_new(0), .now = 1000};
    for (int i = 0; i < NAMES; i++)
        w.version[i] = 1;
    publish(&w);
    settle(&w);
    assert_int_equal(dp_delta_current(w.node)->num, NAMES);
    disconnect(&w);
    w.version[3] = w.version[4] = 0;
    w.revision++;
    publish(&w);
    settle(&w);
    assert_int_equal(dp_delta_current(w.node)->num, NAMES - 2);
    disconnect(&w);
    memset(w.version, 0, sizeof w.version);
    w.revision++;
    publish(&w);
    settle(&w);
    assert_int_equal(dp_delta_current(w.node)->num, 0);
    disconnect(&w);
    cp_snapshot_unref(w.newest);
    dp_delta_free(w.node);
}

/* A replica that lags behind must not take a node back. */
static void stale_replica(void **state)
{
    (void)state;
    struct world w = {.revision = 9, .node = dp_delta_new(0), .now = 1000};
    w.version[1] = 7;
    publish(&w);
    settle(&w);
    disconnect(&w);
    w.revision = 8;
    w.version[1] = 6;
    publish(&w);
    connect_node(&w);
    move_frames(&w, UINT32_MAX, false, false);
    assert_int_equal(cp_session_state(w.session), CP_NODE_REJECTED);
    assert_int_equal(dp_delta_revision(w.node), 9);
    w.rollback = true;
    w.revision = 7;
    publish(&w);
    move_frames(&w, UINT32_MAX, false, false);
    assert_int_equal(cp_session_state(w.session), CP_NODE_LIVE);
    assert_int_equal(dp_delta_revision(w.node), 7);
    disconnect(&w);
    cp_snapshot_unref(w.newest);
    dp_delta_free(w.node);
}

int main(void)
{
    const char *given = getenv("SALLYPORT_TEST_SEED");
    if (given)
        seed = strtoull(given, NULL, 10);
    else
        sp_random(&seed, sizeof seed);
    print_message("SALLYPORT_TEST_SEED=%llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deleted_while_away),
        cmocka_unit_test(stale_replica),
        cmocka_unit_test(random_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
