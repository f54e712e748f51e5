/* Both ends of the control protocol over loopback with mTLS, in one process: what the control plane publishes is live
 * in the data plane, or refused by it with reasons; either end goes away and comes back. */
#include "test.h"

#include "base/log.h"
#include "cluster.h"
#include "config/agent.h"
#include "config/resource.h"
#include "control/discovery/server.h"
#include "model/problem.h"
#include "resources.h"
#include "tsan_grpc.h"

#include <stdio.h>
#include <unistd.h>

enum { MAX_NODES = 24 };

/* A data plane without a proxy: keeps a copy of what was published to it. */
struct plane {
    struct dp_agent *agent;
    struct res_set set;
    int64_t revision;
    size_t publishes;
    bool slow; /* done only when finish_slow is called */
    dp_publish_done *done;
};

static struct sp_loop *loop;
static struct cp_discovery *control;
static struct sp_address address;
static char address_text[SP_ADDRESS_TEXT];
static struct cert ca, other_ca, server, node, foreign;
static struct plane planes[MAX_NODES];
static char folder[] = "/tmp/sp-flow-XXXXXX", cache_path[64];
static size_t num_changes;

/* --- waiting --- */

static bool late;
static void on_late(struct sp_timer *t)
{
    (void)t;
    late = true;
}

static bool turn_until(bool (*reached)(const void *), const void *arg, uint64_t ms)
{
    struct sp_timer t = {0};
    late = false;
    sp_timer_start(&t, loop, ms, on_late);
    while (!late && !reached(arg))
        sp_loop_run_once(loop, true);
    sp_timer_stop(&t);
    return reached(arg);
}

struct find {
    int64_t held, rejected;
    enum cp_node_state state;
    size_t num, found;
};

static void look(void *ctx, const struct cp_node *n)
{
    struct find *f = ctx;
    f->num++;
    f->found += n->state == f->state && n->held == f->held && (!f->rejected || n->rejected == f->rejected);
}

struct wanted {
    enum cp_node_state state;
    int64_t held, rejected;
    size_t num;
};

static bool nodes_are(const void *arg)
{
    const struct wanted *w = arg;
    struct find f = {.state = w->state, .held = w->held, .rejected = w->rejected};
    cp_discovery_nodes(control, look, &f);
    return f.found == w->num;
}

static void wait_for(enum cp_node_state state, int64_t held, int64_t rejected, size_t num)
{
    struct wanted w = {state, held, rejected, num};
    if (!turn_until(nodes_are, &w, 30000))
        fail_msg("the nodes did not become %s at %lld", cp_node_state_name(state), (long long)held);
}

static bool has_published(const void *arg)
{
    const struct plane *p = arg;
    return p->publishes > 0;
}

static bool has_stalled(const void *arg)
{
    const struct plane *p = arg;
    return p->done != NULL;
}

static bool is_failing(const void *arg)
{
    const struct plane *p = arg;
    struct dp_agent_status s;
    dp_agent_status(p->agent, &s);
    return s.error.len > 0;
}

/* --- the data plane's side --- */

static void take(struct plane *p, const struct sp_resources *r, int64_t revision)
{
    sp_arena_free(p->set.arena);
    res_init(&p->set);
    for (size_t i = 0; i < r->num; i++) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", SP_FMT(r->v[i].name));
        assert_non_null(r->v[i].message);
        res_raw(&p->set, r->v[i].kind, name, r->v[i].body);
    }
    p->revision = revision;
}

static void publish(void *ctx, const struct sp_resources *r, int64_t revision, dp_publish_done *done,
                    struct dp_agent *agent)
{
    struct plane *p = ctx;
    struct sp_arena *a = sp_arena_new(256);
    struct sp_problems problems;
    sp_problems_init(&problems, a);
    p->publishes++;
    for (size_t i = 0; i < r->num; i++)
        if (sp_str_starts(r->v[i].name, SP_STR("bad"))) {
            struct sp_problem *problem =
                sp_problems_add(&problems, SP_PROBLEM_ERROR, "cannot_compile", SP_STR("hosts[0]"), "a bad one");
            problem->entity = dp_resource_label(a, &r->v[i]);
        }
    if (p->slow && !problems.num_errors) {
        take(p, r, revision);
        p->done = done;
    } else if (problems.num_errors) {
        done(agent, &problems);
    } else {
        take(p, r, revision);
        done(agent, NULL);
    }
    sp_arena_free(a);
}

static void finish_slow(struct plane *p)
{
    dp_publish_done *done = SP_TAKE(p->done);
    p->slow = false;
    done(p->agent, NULL);
}

static void start_plane(size_t i, const struct cert *me, bool cached)
{
    struct sp_error err = {0};
    struct plane *p = &planes[i];
    char id[32];
    snprintf(id, sizeof id, "node-%zu", i);
    struct sp_str at = sp_str_z(address_text), label = SP_STR("zone:a");
    struct dp_agent_options o = {.addresses = &at,
                                 .num_addresses = 1,
                                 .cert_pem = sp_buf_str(&me->cert),
                                 .key_pem = sp_buf_str(&me->key),
                                 .ca_pem = sp_buf_str(&ca.cert),
                                 .node = {sp_str_z(id), SP_STR("0.1"), SP_STR("host"), &label, 1, NULL, 0},
                                 .cache_path = cached ? cache_path : NULL,
                                 .publish = publish,
                                 .ctx = p};
    *p = (struct plane){.set = p->set};
    if (sp_failed(dp_agent_start(loop, &o, &p->agent, &err)))
        fail_msg("%s", err.text);
}

static void stop_plane(size_t i)
{
    dp_agent_stop(SP_TAKE(planes[i].agent));
    sp_arena_free(SP_TAKE(planes[i].set.arena));
}

/* --- the control plane's side --- */

static void on_changed(void *ctx, const struct cp_node *n)
{
    (void)ctx;
    (void)n;
    num_changes++;
}

static void start_control(void)
{
    struct sp_error err = {0};
    struct cp_discovery_options o = {.cert_pem = sp_buf_str(&server.cert),
                                     .key_pem = sp_buf_str(&server.key),
                                     .ca_pem = sp_buf_str(&ca.cert),
                                     .control_id = SP_STR("cp-1"),
                                     .changed = on_changed};
    o.listen = address;
    if (sp_failed(cp_discovery_start(&o, loop, &control, &err)))
        fail_msg("%s", err.text);
    address = *cp_discovery_address(control);
    sp_address_text(&address, address_text);
}

static void commit(int64_t revision, const char *const *routes, size_t num, bool with_ca)
{
    struct res_set s;
    res_init(&s);
    for (size_t i = 0; i < num; i++)
        res_route(&s, routes[i], "a.example");
    if (with_ca)
        res_ca(&s, "ca", "pem");
    struct sp_resources *r = SP_NEW(s.arena, struct sp_resources);
    *r = *res_done(&s);
    struct cp_snapshot *snap = cp_snapshot_new(revision, r, s.arena);
    cp_discovery_publish(control, snap, false);
    cp_snapshot_unref(snap);
}

static int setup(void **state)
{
    (void)state;
    struct sp_error err;
    assert_false(sp_failed(sp_loop_new(&loop, &err)));
    assert_true(sp_address_parse_ip(SP_STR("127.0.0.1"), 0, &address));
    unlink(cache_path);
    num_changes = 0;
    start_control();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAX_NODES; i++)
        stop_plane(i);
    cp_discovery_stop(SP_TAKE(control));
    sp_loop_free(loop);
    return 0;
}

/* --- tests --- */

static const char *const ONE[] = {"r1"}, *const TWO[] = {"r1", "r2"}, *const BAD[] = {"bad1", "bad2", "r1"};

static void foreign_certificate(void **state)
{
    (void)state;
    commit(1, ONE, 1, true);
    start_plane(0, &foreign, false);
    assert_true(turn_until(is_failing, &planes[0], 10000));
    struct find f = {0};
    cp_discovery_nodes(control, look, &f);
    assert_int_equal(f.num, 0);
    assert_int_equal(planes[0].publishes, 0);
}

static void check_node(void *ctx, const struct cp_node *n)
{
    size_t *seen = ctx;
    ++*seen;
    assert_true(sp_str_eq(n->identity, SP_STR("spiffe://cluster/node")));
    assert_true(sp_str_eq(n->id, SP_STR("node-0")));
    assert_true(sp_str_eq(n->hostname, SP_STR("host")));
    assert_true(sp_str_eq(n->version, SP_STR("0.1")));
    assert_true(n->num_labels == 1 && sp_str_eq(n->labels[0], SP_STR("zone:a")));
    assert_true(n->connected && n->since && n->last_seen && n->certificate_not_after > n->since);
    assert_true(n->sent == n->held);
}

static void live(void **state)
{
    (void)state;
    start_plane(0, &node, false);
    commit(1, ONE, 1, true);
    wait_for(CP_NODE_LIVE, 1, 0, 1);
    assert_int_equal(planes[0].set.set.num, 2);
    size_t seen = 0, changes = num_changes;
    cp_discovery_nodes(control, check_node, &seen);
    assert_int_equal(seen, 1);
    uint64_t before = sp_clock_mono_ms(&sp_clock_system);
    commit(2, TWO, 2, false); /* takes a CA away: not debounced */
    wait_for(CP_NODE_LIVE, 2, 0, 1);
    print_message("committed to live: %llu ms\n", (unsigned long long)(sp_clock_mono_ms(&sp_clock_system) - before));
    assert_true(num_changes > changes);
    assert_int_equal(planes[0].revision, 2);
    assert_int_equal(planes[0].set.set.num, 2);
    struct dp_agent_status s;
    dp_agent_status(planes[0].agent, &s);
    assert_true(s.connected && !s.stale && s.revision == 2 && s.applied == 2 && s.error.len == 0);
}

static void check_problems(void *ctx, const struct cp_node *n)
{
    (void)ctx;
    assert_int_equal(n->num_problems, 2);
    assert_int_equal(n->problems[0].kind, SALLYPORT__V1__KIND__ROUTE);
    assert_true(sp_str_eq(n->problems[0].name, SP_STR("bad1")));
    assert_true(sp_str_eq(n->problems[1].name, SP_STR("bad2")));
    assert_true(sp_str_eq(n->problems[0].field, SP_STR("hosts[0]")));
    assert_true(sp_str_eq(n->problems[0].reason, SP_STR("a bad one")));
}

static void rejected_and_mended(void **state)
{
    (void)state;
    start_plane(0, &node, false);
    commit(1, ONE, 1, false);
    wait_for(CP_NODE_LIVE, 1, 0, 1);
    commit(2, BAD, 3, false);
    wait_for(CP_NODE_REJECTED, 1, 2, 1);
    cp_discovery_nodes(control, check_problems, NULL);
    assert_int_equal(planes[0].revision, 1); /* the last good one serves on */
    struct dp_agent_status s;
    dp_agent_status(planes[0].agent, &s);
    assert_true(s.rejected == 2 && s.revision == 1 && sp_str_eq(s.rejected_why, SP_STR("a bad one")));
    commit(3, TWO, 2, false);
    wait_for(CP_NODE_LIVE, 3, 0, 1);
    assert_int_equal(planes[0].set.set.num, 2);
}

static void deleted_while_away(void **state)
{
    (void)state;
    start_plane(0, &node, true);
    commit(1, TWO, 2, true);
    wait_for(CP_NODE_LIVE, 1, 0, 1);
    stop_plane(0);
    wait_for(CP_NODE_DISCONNECTED, 1, 0, 1);
    commit(2, ONE, 1, false);
    start_plane(0, &node, true);
    assert_true(turn_until(has_published, &planes[0], 10000));
    assert_int_equal(planes[0].revision, 1); /* from the cache, before anything came over the wire */
    wait_for(CP_NODE_LIVE, 2, 0, 1);
    assert_int_equal(planes[0].set.set.num, 1);
    assert_int_equal(planes[0].publishes, 2);
    wait_for(CP_NODE_DISCONNECTED, 1, 0, 0); /* the new stream stands for the node */
}

static void control_plane_restarts(void **state)
{
    (void)state;
    start_plane(0, &node, false);
    commit(1, ONE, 1, false);
    wait_for(CP_NODE_LIVE, 1, 0, 1);
    cp_discovery_stop(SP_TAKE(control));
    assert_true(turn_until(is_failing, &planes[0], 10000));
    start_control();
    commit(1, ONE, 1, false);
    wait_for(CP_NODE_LIVE, 1, 0, 1);
    assert_int_equal(planes[0].publishes, 1); /* nothing had changed: nothing was compiled again */
    commit(2, TWO, 2, false);
    wait_for(CP_NODE_LIVE, 2, 0, 1);
}

static void control_plane_away(void **state)
{
    (void)state;
    start_plane(0, &node, true);
    commit(1, ONE, 1, true);
    wait_for(CP_NODE_LIVE, 1, 0, 1);
    stop_plane(0);
    cp_discovery_stop(SP_TAKE(control));
    start_plane(0, &node, true);
    assert_true(turn_until(has_published, &planes[0], 10000));
    struct dp_agent_status s;
    dp_agent_status(planes[0].agent, &s);
    assert_true(!s.connected && s.stale && s.revision == 1);
    assert_int_equal(planes[0].set.set.num, 2);
    stop_plane(0);
    start_plane(1, &server, true); /* another key: the file says nothing to it */
    assert_true(turn_until(is_failing, &planes[1], 10000));
    assert_int_equal(planes[1].publishes, 0);
}

/* A full disk, a folder that is gone: the node serves on without a cache. */
static void cache_cannot_be_written(void **state)
{
    (void)state;
    char good[sizeof cache_path];
    memcpy(good, cache_path, sizeof good);
    snprintf(cache_path, sizeof cache_path, "%s/none/last-good", folder);
    start_plane(0, &node, true);
    memcpy(cache_path, good, sizeof good);
    commit(1, ONE, 1, false);
    wait_for(CP_NODE_LIVE, 1, 0, 1);
    commit(2, TWO, 2, false);
    wait_for(CP_NODE_LIVE, 2, 0, 1);
}

/* The stream ends while the workers are still switching: the node greets anew when that is decided. */
static void lost_while_switching(void **state)
{
    (void)state;
    start_plane(0, &node, false);
    planes[0].slow = true;
    commit(1, ONE, 1, false);
    assert_true(turn_until(has_stalled, &planes[0], 10000));
    cp_discovery_stop(SP_TAKE(control));
    start_control();
    commit(2, TWO, 2, false);
    struct dp_agent_status s;
    do {
        sp_loop_run_once(loop, true);
        dp_agent_status(planes[0].agent, &s);
    } while (s.connects < 2);
    finish_slow(&planes[0]);
    wait_for(CP_NODE_LIVE, 2, 0, 1);
    assert_int_equal(planes[0].publishes, 2);
}

static void many_nodes_many_changes(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAX_NODES; i++)
        start_plane(i, &node, false);
    char names[600][8];
    const char *routes[600];
    for (size_t i = 0; i < 600; i++) {
        snprintf(names[i], sizeof names[i], "r%zu", i);
        routes[i] = names[i];
    }
    commit(1, routes, 600, true);
    wait_for(CP_NODE_LIVE, 1, 0, MAX_NODES);
    uint64_t before = sp_clock_mono_ms(&sp_clock_system);
    for (int64_t r = 2; r <= 50; r++)
        commit(r, routes, (size_t)(600 - r), true);
    wait_for(CP_NODE_LIVE, 50, 0, MAX_NODES);
    print_message("50 revisions to %d nodes: %llu ms\n", MAX_NODES,
                  (unsigned long long)(sp_clock_mono_ms(&sp_clock_system) - before));
    for (size_t i = 0; i < MAX_NODES; i++) {
        assert_int_equal(planes[i].set.set.num, 551);
        assert_true(planes[i].publishes < 10); /* what came meanwhile was one change */
    }
}

static void large_state(void **state)
{
    (void)state;
    struct res_set s;
    res_init(&s);
    char *pem = sp_alloc(700001), name[8];
    memset(pem, 'x', 700000);
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "c%d", i);
        res_ca(&s, name, pem);
    }
    struct sp_resources *r = SP_NEW(s.arena, struct sp_resources);
    *r = *res_done(&s);
    struct cp_snapshot *snap = cp_snapshot_new(1, r, s.arena);
    start_plane(0, &node, false);
    cp_discovery_publish(control, snap, false);
    wait_for(CP_NODE_LIVE, 1, 0, 1);
    assert_true(res_same(&planes[0].set.set, snap->resources));
    cp_snapshot_unref(snap);
    free(pem);
}

static int make_world(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(cache_path, sizeof cache_path, "%s/last-good", folder);
    cert_make(&ca, NULL, "cluster CA", NULL, true, 86400);
    cert_make(&other_ca, NULL, "other CA", NULL, true, 86400);
    cert_make(&server, &ca, "control", "IP:127.0.0.1", false, 86400);
    cert_make(&node, &ca, "node", "URI:spiffe://cluster/node", false, 86400);
    cert_make(&foreign, &other_ca, "node", "URI:spiffe://cluster/node", false, 86400);
    return 0;
}

static int end_world(void **state)
{
    (void)state;
    unlink(cache_path);
    rmdir(folder);
    cert_fini(&ca);
    cert_fini(&other_ca);
    cert_fini(&server);
    cert_fini(&node);
    cert_fini(&foreign);
    return 0;
}

int main(void)
{
    sp_log_min = SP_ERROR;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(foreign_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(live, setup, teardown),
        cmocka_unit_test_setup_teardown(rejected_and_mended, setup, teardown),
        cmocka_unit_test_setup_teardown(deleted_while_away, setup, teardown),
        cmocka_unit_test_setup_teardown(control_plane_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(control_plane_away, setup, teardown),
        cmocka_unit_test_setup_teardown(cache_cannot_be_written, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_while_switching, setup, teardown),
        cmocka_unit_test_setup_teardown(many_nodes_many_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(large_state, setup, teardown),
    };
    return cmocka_run_group_tests(tests, make_world, end_world);
}
