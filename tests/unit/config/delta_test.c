#include "test.h"

#include "config/delta.h"
#include "resources.h"

/* --- a control plane by hand --- */

static struct dp_delta *delta;
static struct sp_buf reply;
static struct sp_error err;

static enum dp_delta_event feed(const Sallyport__V1__ControlMessage *m)
{
    uint8_t bytes[65536];
    size_t n = sallyport__v1__control_message__pack(m, bytes);
    return dp_delta_receive(delta, sp_str(bytes, n), &reply, &err);
}

static enum dp_delta_event begin(int64_t revision, int64_t base, bool rollback)
{
    Sallyport__V1__Begin b = SALLYPORT__V1__BEGIN__INIT;
    b.has_revision = b.has_base_revision = b.has_rollback = true;
    b.revision = revision;
    b.base_revision = base;
    b.rollback = rollback;
    b.nonce = (char *)"n1";
    Sallyport__V1__ControlMessage m = SALLYPORT__V1__CONTROL_MESSAGE__INIT;
    m.message_case = SALLYPORT__V1__CONTROL_MESSAGE__MESSAGE_BEGIN;
    m.begin = &b;
    return feed(&m);
}

static enum dp_delta_event chunk(const struct sp_resources *upserts, Sallyport__V1__Kind kind, const char *removal)
{
    Sallyport__V1__Chunk c = SALLYPORT__V1__CHUNK__INIT;
    Sallyport__V1__Resource r[8], *pr[8];
    for (size_t i = 0; upserts && i < upserts->num; i++) {
        sallyport__v1__resource__init(&r[i]);
        r[i].has_kind = r[i].has_hash = r[i].has_body = true;
        r[i].kind = upserts->v[i].kind;
        r[i].name = (char *)upserts->v[i].name.p;
        r[i].hash = (ProtobufCBinaryData){16, upserts->v[i].hash};
        r[i].body = (ProtobufCBinaryData){upserts->v[i].body.len, (uint8_t *)upserts->v[i].body.p};
        pr[c.n_upserts++] = &r[i];
    }
    Sallyport__V1__Removal gone = SALLYPORT__V1__REMOVAL__INIT, *pg = &gone;
    gone.has_kind = true;
    gone.kind = kind;
    gone.name = (char *)removal;
    c.upserts = pr;
    c.n_removals = removal ? 1 : 0;
    c.removals = &pg;
    Sallyport__V1__ControlMessage m = SALLYPORT__V1__CONTROL_MESSAGE__INIT;
    m.message_case = SALLYPORT__V1__CONTROL_MESSAGE__MESSAGE_CHUNK;
    m.chunk = &c;
    return feed(&m);
}

static enum dp_delta_event commit(int64_t revision, uint32_t upserts, uint32_t removals)
{
    Sallyport__V1__Commit c = SALLYPORT__V1__COMMIT__INIT;
    c.has_revision = c.has_num_upserts = c.has_num_removals = true;
    c.revision = revision;
    c.num_upserts = upserts;
    c.num_removals = removals;
    Sallyport__V1__ControlMessage m = SALLYPORT__V1__CONTROL_MESSAGE__INIT;
    m.message_case = SALLYPORT__V1__CONTROL_MESSAGE__MESSAGE_COMMIT;
    m.commit = &c;
    return feed(&m);
}

static Sallyport__V1__NodeMessage *take_reply(void)
{
    Sallyport__V1__NodeMessage *m = sallyport__v1__node_message__unpack(NULL, reply.len, (uint8_t *)reply.p);
    assert_non_null(m);
    sp_buf_clear(&reply);
    return m;
}

static void expect_rejected(int64_t revision, const char *name, const char *part)
{
    Sallyport__V1__NodeMessage *m = take_reply();
    assert_int_equal(m->message_case, SALLYPORT__V1__NODE_MESSAGE__MESSAGE_REJECTED);
    assert_int_equal(m->rejected->revision, revision);
    assert_string_equal(m->rejected->nonce, "n1");
    bool found = false;
    for (size_t i = 0; i < m->rejected->n_problems; i++)
        found = found ||
                (strcmp(m->rejected->problems[i]->name, name) == 0 && strstr(m->rejected->problems[i]->reason, part));
    if (!found)
        fail_msg("no problem of '%s' with '%s', but '%s'", name, part, m->rejected->problems[0]->reason);
    sallyport__v1__node_message__free_unpacked(m, NULL);
}

static struct res_set set;

static int start(void **state)
{
    (void)state;
    delta = dp_delta_new(20000);
    res_init(&set);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    dp_delta_free(delta);
    sp_arena_free(set.arena);
    sp_buf_fini(&reply);
    reply = (struct sp_buf){0};
    return 0;
}

/* Applies the set as the whole state at this revision. */
static void hold(int64_t revision)
{
    res_done(&set);
    assert_int_equal(begin(revision, 0, false), DP_DELTA_MORE);
    assert_int_equal(chunk(&set.set, 0, NULL), DP_DELTA_MORE);
    assert_int_equal(commit(revision, (uint32_t)set.set.num, 0), DP_DELTA_CANDIDATE);
    dp_delta_applied(delta, &reply);
    sp_buf_clear(&reply);
}

static void refuses_lost_thread(void **state)
{
    (void)state;
    res_route(&set, "r", "a.example");
    assert_int_equal(dp_delta_receive(delta, SP_STR("\xff\xff"), &reply, &err), DP_DELTA_BROKEN);
    assert_int_equal(dp_delta_receive(delta, SP_STR(""), &reply, &err), DP_DELTA_BROKEN);
    assert_int_equal(chunk(&set.set, 0, NULL), DP_DELTA_BROKEN);
    assert_int_equal(commit(1, 0, 0), DP_DELTA_BROKEN);
    assert_int_equal(begin(0, 0, false), DP_DELTA_BROKEN);
    assert_int_equal(begin(2, 1, false), DP_DELTA_BROKEN); /* base that is not held */
    assert_int_equal(begin(2, 0, false), DP_DELTA_MORE);
    assert_int_equal(begin(3, 0, false), DP_DELTA_BROKEN);
    assert_true(dp_delta_idle(delta));
    assert_int_equal(begin(2, 0, false), DP_DELTA_MORE);
    assert_int_equal(commit(3, 0, 0), DP_DELTA_BROKEN);
    assert_int_equal(begin(2, 0, false), DP_DELTA_MORE);
    assert_int_equal(chunk(&set.set, 0, NULL), DP_DELTA_MORE);
    assert_int_equal(commit(2, 2, 0), DP_DELTA_BROKEN); /* a chunk was lost */
    assert_non_null(strstr(err.text, "lost"));
    assert_int_equal(reply.len, 0);
    assert_int_equal(dp_delta_revision(delta), 0);
}

static void refuses_bad_contents(void **state)
{
    (void)state;
    res_route(&set, "bad-hash", "a.example");
    set.set.v[0].hash[3] ^= 1;
    res_raw(&set, (Sallyport__V1__Kind)99, "new-kind", SP_STR(""));
    res_raw(&set, SALLYPORT__V1__KIND__ROUTE, "garbage", SP_STR("\xff\xff\xff"));
    res_raw(&set, SALLYPORT__V1__KIND__ROUTE, "future", SP_STR("\xf2\x7f\x01x")); /* field 2046 */
    res_raw(&set, SALLYPORT__V1__KIND__ROUTE, "nul",
            SP_STR("\x0a\x03"
                   "a\0b"));                                                              /* id with a NUL in it */
    res_raw(&set, SALLYPORT__V1__KIND__SERVICE, "deep", SP_STR("\x5a\x04\xf2\x7f\x01x")); /* inside Ref */
    res_raw(&set, SALLYPORT__V1__KIND__ROUTE, "", SP_STR(""));
    assert_int_equal(begin(5, 0, false), DP_DELTA_MORE);
    assert_int_equal(chunk(&set.set, 0, NULL), DP_DELTA_MORE);
    assert_int_equal(commit(5, 7, 0), DP_DELTA_REFUSED);
    struct sp_buf all = {0};
    sp_buf_add(&all, sp_buf_str(&reply));
    static const char *const rows[][2] = {{"bad-hash", "hash"},
                                          {"new-kind", "kind 99"},
                                          {"garbage", "not a Route"},
                                          {"future", "field 2046"},
                                          {"nul", "canonical"},
                                          {"deep", "field 2046"},
                                          {"", "name"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sp_buf_clear(&reply);
        sp_buf_add(&reply, sp_buf_str(&all));
        expect_rejected(5, rows[i][0], rows[i][1]);
    }
    sp_buf_fini(&all);
    assert_int_equal(dp_delta_current(delta)->num, 0);
    assert_true(dp_delta_idle(delta));
}

static void refuses_duplicates(void **state)
{
    (void)state;
    res_route(&set, "r", "a.example");
    assert_int_equal(begin(1, 0, false), DP_DELTA_MORE);
    assert_int_equal(chunk(&set.set, 0, NULL), DP_DELTA_MORE);
    assert_int_equal(chunk(&set.set, 0, NULL), DP_DELTA_MORE);
    assert_int_equal(commit(1, 2, 0), DP_DELTA_REFUSED);
    expect_rejected(1, "r", "twice");
    assert_int_equal(begin(1, 0, false), DP_DELTA_MORE);
    assert_int_equal(chunk(&set.set, SALLYPORT__V1__KIND__ROUTE, "r"), DP_DELTA_MORE);
    assert_int_equal(commit(1, 1, 1), DP_DELTA_REFUSED);
    expect_rejected(1, "r", "twice");
    /* the same name under another kind is another resource */
    assert_int_equal(begin(1, 0, false), DP_DELTA_MORE);
    assert_int_equal(chunk(&set.set, SALLYPORT__V1__KIND__SERVICE, "r"), DP_DELTA_MORE);
    assert_int_equal(commit(1, 1, 1), DP_DELTA_CANDIDATE);
}

static void refuses_too_much(void **state)
{
    (void)state;
    char pem[8001];
    memset(pem, 'x', sizeof pem);
    pem[8000] = 0;
    res_ca(&set, "a", pem);
    res_ca(&set, "b", pem);
    hold(1);
    struct res_set more;
    res_init(&more);
    res_ca(&more, "c", pem);
    assert_int_equal(begin(2, 1, false), DP_DELTA_MORE);
    assert_int_equal(chunk(&more.set, 0, NULL), DP_DELTA_MORE);
    assert_int_equal(commit(2, 1, 0), DP_DELTA_REFUSED);
    expect_rejected(2, "", "whole state");
    res_ca(&more, "d", pem);
    res_ca(&more, "e", pem);
    res_ca(&more, "f", pem);
    assert_int_equal(begin(2, 1, false), DP_DELTA_MORE);
    assert_int_equal(chunk(&more.set, 0, NULL), DP_DELTA_MORE);
    assert_int_equal(commit(2, 4, 0), DP_DELTA_REFUSED);
    expect_rejected(2, "", "transaction is larger");
    assert_true(res_same(dp_delta_current(delta), &set.set));
    sp_arena_free(more.arena);
}

static void refuses_the_past(void **state)
{
    (void)state;
    res_route(&set, "r", "a.example");
    hold(7);
    assert_int_equal(begin(6, 7, false), DP_DELTA_MORE);
    assert_int_equal(commit(6, 0, 0), DP_DELTA_REFUSED);
    expect_rejected(6, "", "older");
    assert_int_equal(begin(6, 7, true), DP_DELTA_MORE);
    assert_int_equal(commit(6, 0, 0), DP_DELTA_CANDIDATE);
    assert_int_equal(dp_delta_candidate(delta)->num_changes, 0);
    dp_delta_applied(delta, &reply);
    assert_int_equal(dp_delta_revision(delta), 6);
}

static void applies_and_removes(void **state)
{
    (void)state;
    res_route(&set, "r1", "a.example");
    res_route(&set, "r2", "b.example");
    res_ca(&set, "z", "pem");
    hold(1);
    assert_true(res_same(dp_delta_current(delta), &set.set));
    const Sallyport__V1__Route *r = (const void *)dp_delta_current(delta)->v[1].message;
    assert_string_equal(r->hosts[0], "a.example");

    struct res_set change;
    res_init(&change);
    res_route(&change, "r2", "c.example");
    res_route(&change, "r0", "d.example");
    assert_int_equal(begin(2, 1, false), DP_DELTA_MORE);
    assert_int_equal(chunk(&change.set, SALLYPORT__V1__KIND__CA_CERTIFICATE, "z"), DP_DELTA_MORE);
    assert_int_equal(commit(2, 2, 1), DP_DELTA_CANDIDATE);
    assert_int_equal(commit(2, 2, 1), DP_DELTA_BROKEN); /* one at a time; the candidate stands */
    assert_int_equal(dp_delta_revision(delta), 1);
    assert_int_equal(dp_delta_current(delta)->num, 3);
    assert_int_equal(dp_delta_candidate(delta)->num_changes, 3);
    res_route(&change, "r1", "a.example");
    assert_true(res_same(dp_delta_candidate(delta)->resources, res_done(&change)));

    struct dp_problem no = {SALLYPORT__V1__KIND__ROUTE, SP_STR("r0"), SP_STR("hosts[0]"), SP_STR("not today")};
    dp_delta_rejected(delta, &no, 1, &reply);
    expect_rejected(2, "r0", "not today");
    assert_true(res_same(dp_delta_current(delta), &set.set));
    sp_arena_free(change.arena);
}

static void greets_with_what_it_holds(void **state)
{
    (void)state;
    struct sp_str labels[] = {SP_STR("zone:a")}, plugins[] = {SP_STR("mtls-auth")};
    struct dp_node node = {SP_STR("id-1"), SP_STR("0.1"), SP_STR("host"), labels, 1, plugins, 1};
    res_route(&set, "r1", "a.example");
    hold(3);
    assert_int_equal(begin(4, 3, false), DP_DELTA_MORE); /* half a transaction when the stream ends */
    dp_delta_hello(delta, &node, &reply);
    assert_true(dp_delta_idle(delta));
    Sallyport__V1__NodeMessage *m = take_reply();
    assert_string_equal(m->hello->node_id, "id-1");
    assert_string_equal(m->hello->labels[0], "zone:a");
    assert_string_equal(m->hello->plugins[0], "mtls-auth");
    assert_int_equal(m->hello->n_kinds, SP_LAST_KIND);
    assert_int_equal(m->hello->revision, 3);
    assert_int_equal(m->hello->n_held, 1);
    assert_string_equal(m->hello->held[0]->name, "r1");
    assert_memory_equal(m->hello->held[0]->hash.data, set.set.v[0].hash, 16);
    sallyport__v1__node_message__free_unpacked(m, NULL);
    dp_delta_forget(delta);
    dp_delta_hello(delta, &node, &reply);
    m = take_reply();
    assert_int_equal(m->hello->revision, 0);
    assert_int_equal(m->hello->n_held, 0);
    sallyport__v1__node_message__free_unpacked(m, NULL);
}

static void seeds_only_what_is_sound(void **state)
{
    (void)state;
    res_route(&set, "r1", "a.example");
    res_route(&set, "r2", "a.example");
    assert_true(sp_failed(dp_delta_seed(delta, 0, set.set.v, 2, &err)));
    set.set.v[1].hash[0] ^= 1;
    assert_true(sp_failed(dp_delta_seed(delta, 4, set.set.v, 2, &err)));
    set.set.v[1].hash[0] ^= 1;
    struct sp_resource wrong[2] = {set.set.v[1], set.set.v[0]};
    assert_true(sp_failed(dp_delta_seed(delta, 4, wrong, 2, &err)));
    assert_int_equal(dp_delta_revision(delta), 0);
    assert_false(sp_failed(dp_delta_seed(delta, 4, set.set.v, 2, &err)));
    assert_int_equal(dp_delta_revision(delta), 4);
    assert_true(res_same(dp_delta_current(delta), &set.set));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(refuses_lost_thread, start, finish),
        cmocka_unit_test_setup_teardown(refuses_bad_contents, start, finish),
        cmocka_unit_test_setup_teardown(refuses_duplicates, start, finish),
        cmocka_unit_test_setup_teardown(refuses_too_much, start, finish),
        cmocka_unit_test_setup_teardown(refuses_the_past, start, finish),
        cmocka_unit_test_setup_teardown(applies_and_removes, start, finish),
        cmocka_unit_test_setup_teardown(greets_with_what_it_holds, start, finish),
        cmocka_unit_test_setup_teardown(seeds_only_what_is_sound, start, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
