/* The decision of kong-behaviour 1.1.5: what responders and fetched CRLs say. */
#include "revocation_lab.h"

static void bad_modes(void **state)
{
    (void)state;
    Sallyport__V1__MtlsAuthConfig m = SALLYPORT__V1__MTLS_AUTH_CONFIG__INIT;
    Sallyport__V1__Plugin p = SALLYPORT__V1__PLUGIN__INIT;
    char ca[] = "fixture", *cas[] = {ca}, mode[] = "strict";
    void *out;
    struct sp_error err;
    m.ca_certificates = cas;
    m.n_ca_certificates = 1;
    m.revocation_check_mode = mode;
    p.mtls_auth = &m;
    assert_true(sp_failed(dp_mtls_auth.compile(world->lab->arena, world->lab->directory, &p, &out, &err)));
    assert_non_null(strstr(err.text, "config.revocation_check_mode"));
}

static void nowhere_to_ask(void **state)
{
    (void)state;
    expect_at_once(instance((struct setting){"SKIP"}), PLAIN, true);
    expect_at_once(instance((struct setting){"IGNORE_CA_ERROR"}), PLAIN, true);
    expect_at_once(instance((struct setting){"STRICT"}), PLAIN, false);
    expect_at_once(instance((struct setting){"STRICT"}), SOME, false);
}

static void skip_asks_nobody(void **state)
{
    (void)state;
    expect_at_once(instance((struct setting){"SKIP"}), LEAF, true);
    expect_at_once(instance((struct setting){"SKIP"}), BAD, true);
}

static void definite_answers_are_remembered(void **state)
{
    (void)state;
    static const char *const modes[] = {"IGNORE_CA_ERROR", "STRICT"};
    const void *in[2];
    for (size_t i = 0; i < 2; i++)
        in[i] = instance((struct setting){modes[i], .ttl = 60500});
    struct request *r = expect_pause(in[0], LEAF);
    asked(OCSP_1);
    assert_string_equal(world->fetches[0].order.content_type, "application/ocsp-request");
    assert_int_equal(world->fetches[0].order.timeout_ms, 1234);
    assert_true(world->fetches[0].order.verify);
    assert_true(sp_str_eq(sp_buf_str(&world->fetches[0].body), der(OCSP_GOOD_REQUEST)));
    answer(200, OCSP_GOOD, NULL);
    assert_int_equal(world->resumed, 1);
    expect(in[0], r, true);
    r = expect_pause(in[0], BAD);
    answer(200, OCSP_REVOKED, NULL);
    expect(in[0], r, false);
    for (size_t i = 0; i < 2; i++) { /* by every instance of the worker */
        expect_at_once(in[i], LEAF, true);
        expect_at_once(in[i], BAD, false);
    }
    for (size_t i = 0; i < 2; i++) { /* nor does a connection stand between its requests */
        struct request *good = present(LEAF), *bad = present(BAD);
        assert_true(dp_mtls_auth.stands(in[i], &good->call));
        assert_false(dp_mtls_auth.stands(in[i], &bad->call));
        request_free(good);
        request_free(bad);
    }
    dp_plugin_cache_free(world->lab->cache); /* the next snapshot */
    world->lab->cache = dp_plugin_cache_new();
    world->lab->now += 59;
    for (size_t i = 0; i < 2; i++) {
        expect_at_once(in[i], LEAF, true);
        expect_at_once(in[i], BAD, false);
    }
    world->lab->now += 1;
    r = expect_pause(in[0], LEAF);
    answer(200, OCSP_GOOD, NULL);
    expect(in[0], r, true);
}

static void next_update_ends_what_is_remembered(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT", .ttl = 1e12});
    world->lab->now = REVOCATION_NOW + 7 * DAY - 120;
    struct request *r = expect_pause(in, LEAF);
    answer(200, OCSP_GOOD, NULL);
    expect(in, r, true);
    expect_at_once(in, LEAF, true);
    world->lab->now += 120;
    request_free(expect_pause(in, LEAF));
}

static void no_memory_without_a_ttl(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT", .ttl = 1});
    for (int i = 0; i < 2; i++) {
        struct request *r = expect_pause(in, LEAF);
        answer(200, OCSP_GOOD, NULL);
        expect(in, r, true);
    }
}

/* A responder that answers has the last word; nothing of it is remembered. */
static void answers_that_are_none(void **state)
{
    (void)state;
    static const char *const none[] = {OCSP_UNKNOWN, OCSP_FOREIGN, OCSP_REVOKED, OCSP_TRY_LATER, CRL};
    const void *ignore = instance((struct setting){"IGNORE_CA_ERROR"}), *strict = instance((struct setting){"STRICT"});
    for (size_t i = 0; i < 5; i++) {
        struct request *r = expect_pause(ignore, LEAF);
        answer(200, none[i], NULL);
        expect(ignore, r, true);
        r = expect_pause(strict, LEAF);
        answer(200, none[i], NULL);
        expect(strict, r, false);
    }
    assert_int_equal(world->counters.failures, 10);
}

static void crl_after_all_responders(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT", .proxies = true});
    struct request *r = expect_pause(in, LEAF);
    assert_true(sp_str_eq(world->fetches[0].order.proxy_host, SP_STR("proxy.test")));
    assert_int_equal(world->fetches[0].order.proxy_port, 3128);
    assert_false(world->fetches[0].order.verify);
    answer(0, NULL, "timed out");
    asked(OCSP_2);
    assert_true(sp_str_eq(world->fetches[1].order.proxy_host, SP_STR("proxys.test")));
    assert_int_equal(world->fetches[1].order.proxy_port, 3129);
    answer(500, NULL, NULL);
    asked(CRL_1);
    assert_int_equal(world->fetches[2].order.body.len, 0);
    assert_int_equal(world->resumed, 0);
    answer(200, CRL, NULL);
    assert_int_equal(world->resumed, 1);
    expect(in, r, true);
    r = expect_pause(in, BAD);
    answer(503, NULL, NULL);
    answer(0, NULL, "connect failed");
    assert_int_equal(world->num, 5); /* the CRL is there */
    expect(in, r, false);
    expect_at_once(in, LEAF, true);
    expect_at_once(in, BAD, false);
}

static void nobody_answers(void **state)
{
    (void)state;
    static const char *const crls[] = {CRL_OTHER, CRL_DELTA, "", OCSP_GOOD};
    const void *ignore = instance((struct setting){"IGNORE_CA_ERROR"}), *strict = instance((struct setting){"STRICT"});
    for (size_t i = 0; i < 6; i++) {
        for (int mode = 0; mode < 2; mode++) {
            struct request *r = expect_pause(mode ? strict : ignore, LEAF);
            answer(0, NULL, "timed out");
            answer(0, NULL, "timed out");
            answer(i < 4 ? 200 : i == 4 ? 500 : 0, i < 4 ? crls[i] : NULL, "timed out");
            expect(mode ? strict : ignore, r, mode == 0);
        }
        world->num = 0; /* make room */
        for (size_t f = 0; f < MAX_FETCHES; f++)
            sp_buf_fini(&world->fetches[f].body);
    }
}

static void nothing_can_be_fetched(void **state)
{
    (void)state;
    for (int mode = 0; mode < 2; mode++) {
        struct request *r = present(LEAF);
        r->call.fetcher = NULL;
        expect(instance((struct setting){mode ? "STRICT" : "IGNORE_CA_ERROR"}), r, mode == 0);
    }
}

static void the_client_leaves(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT"});
    struct request *r = expect_pause(in, LEAF);
    assert_int_equal(world->counters.lookups, 1);
    r->call.cancel(&r->call);
    assert_int_equal(world->cancelled, 1);
    request_free(r);
    r = expect_pause(in, LEAF); /* after the first responder */
    answer(0, NULL, "timed out");
    r->call.cancel(&r->call);
    assert_int_equal(world->cancelled, 2);
    assert_int_equal(world->resumed, 0);
    request_free(r);
}

/* What one plugin waited for is never the answer for another one, or for another certificate. */
static void an_answer_is_for_one_question(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"IGNORE_CA_ERROR", .ttl = 1}),
               *other = instance((struct setting){"STRICT", .ttl = 1});
    struct request *r = expect_pause(in, LEAF);
    answer(200, OCSP_GOOD, NULL);
    assert_int_equal(access(other, r), DP_PAUSE);
    r->call.cancel(&r->call);
    request_free(r);
    r = expect_pause(in, LEAF);
    answer(200, OCSP_GOOD, NULL);
    r->chain[0] = der(BAD);
    memset(r->peer.digest, 7, 32);
    assert_int_equal(access(in, r), DP_PAUSE);
    r->call.cancel(&r->call);
    request_free(r);
}

static void two_wait_for_one(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT"});
    struct request *a = expect_pause(in, BAD), *b = expect_pause(in, BAD);
    answer(200, OCSP_REVOKED, NULL);
    world->num--;
    answer(0, NULL, "timed out"); /* what is known meanwhile counts */
    expect(in, a, false);
    expect(in, b, false);
    world->num++;
}

/* A CRL is fetched and read once for all certificates of its issuer, until its age or its nextUpdate ends that. */
static void a_crl_is_remembered(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT", .ttl = 60000});
    struct request *r = expect_crl_pause(in, LEAF);
    answer(200, CRL, NULL);
    expect(in, r, true);
    world->lab->now += 30;
    expect(in, expect_crl_pause(in, BAD), false);
    assert_int_equal(world->num_reads, 1);
    world->lab->now += 29;
    expect_at_once(in, BAD, false);
    world->lab->now += 1; /* what came of the CRL is not younger than the CRL */
    r = expect_crl_pause(in, BAD);
    asked(CRL_1);
    answer(200, CRL, NULL);
    expect(in, r, false);
    assert_int_equal(world->num_reads, 2);
}

static void a_crl_ends_with_its_next_update(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT", .ttl = 1e12});
    world->lab->now = REVOCATION_NOW + 7 * DAY - 60;
    struct request *r = expect_crl_pause(in, LEAF);
    answer(200, CRL, NULL);
    expect(in, r, true);
    expect(in, expect_crl_pause(in, BAD), false);
    assert_int_equal(world->counters.crls_stale, 0);
    world->lab->now += 60;
    r = expect_crl_pause(in, LEAF);
    answer(200, CRL, NULL); /* clocks may differ */
    expect(in, r, true);
    world->lab->now += 400;
    for (int i = 0; i < 2; i++) { /* out of date: what it lists counts, and nothing is remembered */
        r = expect_crl_pause(in, LEAF);
        answer(200, CRL, NULL);
        expect(in, r, false);
        r = expect_crl_pause(in, BAD);
        answer(200, CRL, NULL);
        expect(in, r, false);
    }
    assert_int_equal(world->num_reads, 6);
    assert_int_equal(world->counters.crls_stale, 4);
}

/* The same place under another issuer is another CRL; what is not signed by it is not kept. */
static void a_crl_is_of_its_issuer(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT"});
    struct request *r = expect_crl_pause(in, LEAF);
    answer(200, CRL, NULL);
    expect(in, r, true);
    for (int i = 0; i < 2; i++) {
        r = expect_crl_pause(in, RSALEAF);
        asked(CRL_1);
        answer(200, CRL, NULL);
        expect(in, r, false);
    }
    r = expect_crl_pause(in, RSALEAF);
    answer(200, CRL_RSA, NULL);
    expect(in, r, true);
}

static void one_reading_for_all(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT"});
    struct request *a = expect_crl_pause(in, LEAF);
    hand_over(200, CRL, NULL);
    struct request *b = expect_pause(in, BAD);
    hand_over(0, NULL, "timed out");
    hand_over(0, NULL, "timed out");
    struct request *c = expect_pause(in, LEAF);
    hand_over(0, NULL, "timed out");
    hand_over(0, NULL, "timed out");
    assert_int_equal(world->num, 7); /* nobody fetches it again */
    assert_int_equal(world->resumed, 0);
    c->call.cancel(&c->call);
    assert_int_equal(world->cancelled, 1);
    request_free(c);
    tell();
    assert_int_equal(world->num_reads, 1);
    assert_int_equal(world->resumed, 2);
    expect(in, a, true);
    expect(in, b, false);
}

static void no_room_for_reading(void **state)
{
    (void)state;
    const void *strict = instance((struct setting){"STRICT"}), *ignore = instance((struct setting){"IGNORE_CA_ERROR"});
    world->full = true;
    struct request *r = expect_crl_pause(strict, LEAF);
    answer(200, CRL, NULL);
    expect(strict, r, false);
    r = expect_crl_pause(ignore, LEAF);
    answer(200, CRL, NULL);
    expect(ignore, r, true);
}

int main(void)
{
    sp_log_min = SP_ERROR;
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(bad_modes),
        TEST(nowhere_to_ask),
        TEST(skip_asks_nobody),
        TEST(definite_answers_are_remembered),
        TEST(next_update_ends_what_is_remembered),
        TEST(no_memory_without_a_ttl),
        TEST(answers_that_are_none),
        TEST(crl_after_all_responders),
        TEST(nobody_answers),
        TEST(nothing_can_be_fetched),
        TEST(the_client_leaves),
        TEST(an_answer_is_for_one_question),
        TEST(two_wait_for_one),
        TEST(a_crl_is_remembered),
        TEST(a_crl_ends_with_its_next_update),
        TEST(a_crl_is_of_its_issuer),
        TEST(one_reading_for_all),
        TEST(no_room_for_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
