#include "test.h"

#include "control/discovery/session.h"
#include "resources.h"

#include <stdio.h>

static struct cp_session *session;
static struct sp_error err;
static uint64_t now;

static struct cp_snapshot *snapshot(int64_t revision, const char *const *routes, size_t num)
{
    struct res_set s;
    res_init(&s);
    for (size_t i = 0; i < num; i++)
        res_route(&s, routes[i], "a.example");
    res_done(&s);
    struct sp_resources *r = SP_NEW(s.arena, struct sp_resources);
    *r = s.set;
    return cp_snapshot_new(revision, r, s.arena);
}

static void target(int64_t revision, const char *const *routes, size_t num)
{
    struct cp_snapshot *s = snapshot(revision, routes, num);
    cp_session_target(session, s);
    cp_snapshot_unref(s);
}

static sp_result say(const Sallyport__V1__NodeMessage *m)
{
    uint8_t bytes[65536];
    return cp_session_receive(session, sp_str(bytes, sallyport__v1__node_message__pack(m, bytes)), now, &err);
}

static sp_result hello(int64_t revision, const struct sp_resources *held)
{
    Sallyport__V1__Hello h = SALLYPORT__V1__HELLO__INIT;
    Sallyport__V1__Held v[8], *pv[8];
    h.node_id = (char *)"node\x01\xff";
    h.has_revision = true;
    h.revision = revision;
    for (size_t i = 0; held && i < held->num; i++) {
        sallyport__v1__held__init(&v[i]);
        v[i].has_kind = v[i].has_hash = true;
        v[i].kind = held->v[i].kind;
        v[i].name = (char *)held->v[i].name.p;
        v[i].hash = (ProtobufCBinaryData){16, held->v[i].hash};
        pv[h.n_held++] = &v[i];
    }
    h.held = pv;
    Sallyport__V1__NodeMessage m = SALLYPORT__V1__NODE_MESSAGE__INIT;
    m.message_case = SALLYPORT__V1__NODE_MESSAGE__MESSAGE_HELLO;
    m.hello = &h;
    return say(&m);
}

static sp_result applied(int64_t revision, const char *nonce)
{
    Sallyport__V1__Applied a = SALLYPORT__V1__APPLIED__INIT;
    a.has_revision = true;
    a.revision = revision;
    a.nonce = (char *)nonce;
    Sallyport__V1__NodeMessage m = SALLYPORT__V1__NODE_MESSAGE__INIT;
    m.message_case = SALLYPORT__V1__NODE_MESSAGE__MESSAGE_APPLIED;
    m.applied = &a;
    return say(&m);
}

static sp_result rejected(int64_t revision, const char *nonce)
{
    Sallyport__V1__Problem p = SALLYPORT__V1__PROBLEM__INIT, *pp = &p;
    p.has_kind = true;
    p.kind = SALLYPORT__V1__KIND__ROUTE;
    p.name = (char *)"r1";
    p.reason = (char *)"no good";
    Sallyport__V1__Rejected a = SALLYPORT__V1__REJECTED__INIT;
    a.has_revision = true;
    a.revision = revision;
    a.nonce = (char *)nonce;
    a.n_problems = 1;
    a.problems = &pp;
    Sallyport__V1__NodeMessage m = SALLYPORT__V1__NODE_MESSAGE__INIT;
    m.message_case = SALLYPORT__V1__NODE_MESSAGE__MESSAGE_REJECTED;
    m.rejected = &a;
    return say(&m);
}

/* Takes the frames of one transaction; the names of its upserts ("+r1") and removals ("-r1") in order. */
struct sent {
    int64_t revision, base;
    char nonce[32], names[256];
    size_t frames;
};

static void take_chunk(struct sent *s, const Sallyport__V1__Chunk *c)
{
    size_t n = strlen(s->names);
    for (size_t i = 0; i < c->n_upserts; i++)
        n += (size_t)snprintf(s->names + n, sizeof s->names - n, "+%.20s", c->upserts[i]->name);
    for (size_t i = 0; i < c->n_removals; i++)
        n += (size_t)snprintf(s->names + n, sizeof s->names - n, "-%.20s", c->removals[i]->name);
}

static struct sent take(void)
{
    struct sent s = {0};
    struct sp_bytes *b;
    while ((b = cp_session_next(session, now))) {
        Sallyport__V1__ControlMessage *m = sallyport__v1__control_message__unpack(NULL, b->len, (uint8_t *)b->p);
        assert_non_null(m);
        if (m->message_case == SALLYPORT__V1__CONTROL_MESSAGE__MESSAGE_BEGIN) {
            s.revision = m->begin->revision;
            s.base = m->begin->base_revision;
            snprintf(s.nonce, sizeof s.nonce, "%s", m->begin->nonce);
            assert_string_equal(m->begin->control_id, "cp-1");
        } else if (m->message_case == SALLYPORT__V1__CONTROL_MESSAGE__MESSAGE_CHUNK) {
            assert_true(b->len < CP_CHUNK_BYTES);
            take_chunk(&s, m->chunk);
        }
        s.frames++;
        sallyport__v1__control_message__free_unpacked(m, NULL);
        sp_bytes_unref(b);
    }
    return s;
}

static int start(void **state)
{
    (void)state;
    now = 1000;
    session = cp_session_new(SP_STR("cp-1"));
    return 0;
}

static int finish(void **state)
{
    (void)state;
    cp_session_free(session);
    return 0;
}

static const char *const ONE[] = {"r1"}, *const TWO[] = {"r1", "r2"};

static void refuses_what_breaks_the_order(void **state)
{
    (void)state;
    target(1, ONE, 1);
    assert_null(cp_session_next(session, now)); /* nothing before HELLO */
    assert_true(sp_failed(cp_session_receive(session, SP_STR("\xff"), now, &err)));
    assert_true(sp_failed(cp_session_receive(session, SP_STR(""), now, &err)));
    assert_true(sp_failed(applied(1, "1")));
    assert_false(sp_failed(hello(0, NULL)));
    assert_true(sp_failed(hello(0, NULL)));
    assert_true(sp_failed(applied(1, "1"))); /* nothing was sent */
    struct sp_bytes *b = cp_session_next(session, now);
    sp_bytes_unref(b);
    assert_true(sp_failed(applied(1, "1"))); /* not wholly sent */
    take();
    assert_true(sp_failed(applied(2, "1")));
    assert_true(sp_failed(applied(1, "2")));
    assert_true(sp_failed(applied(1, NULL)));
    assert_false(sp_failed(applied(1, "1")));
    assert_true(sp_failed(applied(1, "1"))); /* answered already */
    assert_memory_equal(cp_session_hello(session)->node_id.p, "node??", 6);
}

static void refuses_a_hello_that_lies(void **state)
{
    (void)state;
    struct res_set s;
    res_init(&s);
    res_route(&s, "r1", "a");
    res_route(&s, "r1", "b");
    assert_true(sp_failed(hello(4, &s.set)));
    sp_arena_free(s.arena);
}

static void sends_what_differs(void **state)
{
    (void)state;
    struct res_set s;
    res_init(&s);
    res_route(&s, "r0", "a.example");
    res_route(&s, "r1", "a.example");
    res_route(&s, "r2", "other.example");
    assert_false(sp_failed(hello(4, &s.set)));
    assert_int_equal(take().frames, 0);
    target(9, TWO, 2);
    assert_int_equal(cp_session_state(session), CP_NODE_SENDING);
    struct sent t = take();
    assert_int_equal(t.revision, 9);
    assert_int_equal(t.base, 4);
    assert_string_equal(t.names, "+r2-r0");
    assert_int_equal(t.frames, 3);
    assert_int_equal(cp_session_sent(session), 9);
    assert_int_equal(cp_session_held(session), 4);
    assert_false(sp_failed(applied(9, t.nonce)));
    assert_int_equal(cp_session_state(session), CP_NODE_LIVE);
    assert_int_equal(cp_session_held(session), 9);
    assert_int_equal(take().frames, 0);
    sp_arena_free(s.arena);
}

static void coalesces(void **state)
{
    (void)state;
    assert_false(sp_failed(hello(0, NULL)));
    target(1, ONE, 1);
    struct sent first = take();
    target(2, TWO, 2);
    target(3, NULL, 0);
    target(4, TWO, 2);
    assert_int_equal(take().frames, 0); /* one in flight */
    assert_false(sp_failed(applied(1, first.nonce)));
    assert_int_equal(cp_session_state(session), CP_NODE_SENDING);
    struct sent second = take();
    assert_int_equal(second.revision, 4);
    assert_int_equal(second.base, 1);
    assert_string_equal(second.names, "+r2");
    assert_string_not_equal(first.nonce, second.nonce);
    assert_false(sp_failed(applied(4, second.nonce)));
    /* the same contents under a new revision: an empty transaction moves the node on */
    target(5, TWO, 2);
    struct sent third = take();
    assert_int_equal(third.frames, 2);
    assert_int_equal(third.revision, 5);
}

static void does_not_insist(void **state)
{
    (void)state;
    assert_false(sp_failed(hello(0, NULL)));
    target(1, ONE, 1);
    struct sent t = take();
    assert_false(sp_failed(rejected(1, t.nonce)));
    assert_int_equal(cp_session_state(session), CP_NODE_REJECTED);
    size_t n;
    const struct cp_problem *p = cp_session_problems(session, &n);
    assert_int_equal(n, 1);
    assert_true(sp_str_eq(p->name, SP_STR("r1")) && sp_str_eq(p->reason, SP_STR("no good")));
    assert_int_equal(cp_session_rejected(session), 1);
    now += 1000000;
    assert_int_equal(take().frames, 0);
    target(1, ONE, 1); /* the same again, as another object */
    assert_int_equal(take().frames, 0);
    assert_int_equal(cp_session_wake(session), 0);

    target(2, TWO, 2); /* the first correction goes at once, later ones wait */
    t = take();
    assert_int_equal(t.revision, 2);
    assert_false(sp_failed(rejected(2, t.nonce)));
    target(3, ONE, 1);
    assert_int_equal(take().frames, 0);
    assert_int_equal(cp_session_wake(session), now + 500);
    now += 500;
    t = take();
    assert_int_equal(t.revision, 3);
    assert_false(sp_failed(applied(3, t.nonce)));
    assert_int_equal(cp_session_state(session), CP_NODE_LIVE);
    cp_session_problems(session, &n);
    assert_int_equal(n, 0);
}

static void shares_what_is_encoded(void **state)
{
    (void)state;
    struct cp_session *other = cp_session_new(SP_STR("cp-1")), *mine = session;
    target(1, TWO, 2);
    struct cp_snapshot *s = snapshot(2, TWO, 2);
    cp_session_target(mine, s);
    cp_session_target(other, s);
    struct sp_bytes *chunk[2];
    for (int i = 0; i < 2; i++) {
        session = i ? other : mine;
        assert_false(sp_failed(hello(0, NULL)));
        sp_bytes_unref(cp_session_next(session, now));
        chunk[i] = cp_session_next(session, now);
    }
    assert_ptr_equal(chunk[0], chunk[1]);
    sp_bytes_unref(chunk[0]);
    cp_snapshot_superseded(s);
    cp_snapshot_unref(s);
    cp_session_free(other);
    cp_session_free(mine);
    session = NULL;
    assert_memory_not_equal(chunk[1]->p, "", 1); /* outlives them all */
    sp_bytes_unref(chunk[1]);
}

static void chunks_and_bounds(void **state)
{
    (void)state;
    struct res_set s;
    res_init(&s);
    char *pem = sp_alloc(CP_MAX_BODY + 2);
    memset(pem, 'x', 400000);
    for (char name[2] = "a"; name[0] < 'f'; name[0]++)
        res_ca(&s, name, pem);
    struct sp_resources *r = SP_NEW(s.arena, struct sp_resources);
    *r = *res_done(&s);
    struct cp_snapshot *snap = cp_snapshot_new(1, r, s.arena);
    cp_session_target(session, snap);
    cp_snapshot_unref(snap);
    assert_false(sp_failed(hello(0, NULL)));
    struct sent t = take();
    assert_string_equal(t.names, "+a+b+c+d+e");
    assert_int_equal(t.frames, 5); /* two of them in a chunk */
    assert_false(sp_failed(applied(1, t.nonce)));

    struct res_set big;
    res_init(&big);
    memset(pem, 'x', CP_MAX_BODY + 1);
    res_ca(&big, "huge", pem);
    r = SP_NEW(big.arena, struct sp_resources);
    *r = *res_done(&big);
    snap = cp_snapshot_new(2, r, big.arena);
    cp_session_target(session, snap);
    cp_snapshot_unref(snap);
    assert_int_equal(take().frames, 0);
    assert_int_equal(cp_session_state(session), CP_NODE_REJECTED);
    size_t n;
    assert_true(sp_str_eq(cp_session_problems(session, &n)->name, SP_STR("huge")));
    free(pem);
}

static void tightening(void **state)
{
    (void)state;
    struct res_set s[3];
    struct cp_snapshot *v[3];
    for (int i = 0; i < 3; i++) {
        res_init(&s[i]);
        if (i < 2)
            res_ca(&s[i], "ca", "pem");
        if (i > 0)
            res_route(&s[i], "r", "a");
        struct sp_resources *r = SP_NEW(s[i].arena, struct sp_resources);
        *r = *res_done(&s[i]);
        v[i] = cp_snapshot_new(i + 1, r, s[i].arena);
    }
    assert_false(cp_snapshot_tightens(NULL, v[0]));
    assert_false(cp_snapshot_tightens(v[0], v[1])); /* a route more */
    assert_true(cp_snapshot_tightens(v[1], v[2]));  /* a CA less */
    assert_false(cp_snapshot_tightens(v[2], v[1])); /* a CA more */
    for (int i = 0; i < 3; i++)
        cp_snapshot_unref(v[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(refuses_what_breaks_the_order, start, finish),
        cmocka_unit_test_setup_teardown(refuses_a_hello_that_lies, start, finish),
        cmocka_unit_test_setup_teardown(sends_what_differs, start, finish),
        cmocka_unit_test_setup_teardown(coalesces, start, finish),
        cmocka_unit_test_setup_teardown(does_not_insist, start, finish),
        cmocka_unit_test_setup_teardown(shares_what_is_encoded, start, finish),
        cmocka_unit_test_setup_teardown(chunks_and_bounds, start, finish),
        cmocka_unit_test(tightening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
