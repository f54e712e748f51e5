/* CRLs of the configuration: looked up in memory, in every mode. */
#include "revocation_lab.h"

static char *crl_pem(const char *text)
{
    return (char *)sp_arena_printf(world->lab->arena, "-----BEGIN X509 CRL-----\n%s\n-----END X509 CRL-----\n", text).p;
}

static sp_result configure(struct dp_directory *d, const char *ca, char **crls, size_t num, struct sp_error *err)
{
    struct sp_buf pem = {0};
    sp_pem_write_certificate(&pem, der(ca));
    Sallyport__V1__CaCertificate m = SALLYPORT__V1__CA_CERTIFICATE__INIT;
    char id[] = "fixture";
    m.id = id;
    m.cert = sp_arena_strdup(world->lab->arena, sp_arena_dup(world->lab->arena, sp_buf_str(&pem)).p);
    m.crls = crls;
    m.n_crls = num;
    sp_result r = dp_directory_add_ca(d, &m, err);
    sp_buf_fini(&pem);
    return r;
}

/* Starts anew with a directory in which the fixtures' CA has these CRLs. */
static void use_crls(char **crls, size_t num)
{
    struct lab *l = world->lab;
    struct sp_error err;
    l->directory = dp_directory_new(l->arena);
    dp_plugin_cache_free(l->cache);
    l->cache = dp_plugin_cache_new();
    if (sp_failed(configure(l->directory, CA, crls, num, &err)))
        fail_msg("%s", err.text);
    add_fixture_ca("rsa", RSA);
}

static const char *const modes[] = {"SKIP", "IGNORE_CA_ERROR", "STRICT"};

static void whom_the_configuration_lists(void **state)
{
    (void)state;
    char *crls[] = {crl_pem(CRL_EMPTY), crl_pem(CRL)}, *empty[] = {crl_pem(CRL_EMPTY)};
    use_crls(crls, 2);
    for (size_t i = 0; i < 3; i++) {
        expect_at_once(instance((struct setting){modes[i]}), BAD, false);  /* nobody is asked */
        expect_at_once(instance((struct setting){modes[i]}), PLAIN, true); /* also STRICT: there is an answer */
    }
    use_crls(empty, 1);
    expect_at_once(instance((struct setting){"SKIP"}), BAD, true);
    const void *strict = instance((struct setting){"STRICT"});
    struct request *r = expect_pause(strict, BAD);
    answer(200, OCSP_REVOKED, NULL);
    expect(strict, r, false);
}

static void a_stale_crl_of_the_configuration(void **state)
{
    (void)state;
    char *crls[] = {crl_pem(CRL)}, *elsewhere[] = {crl_pem(CRL_ELSEWHERE)};
    use_crls(crls, 1);
    const void *in[3];
    for (size_t i = 0; i < 3; i++)
        in[i] = instance((struct setting){modes[i]});
    expect_at_once(in[2], PLAIN, true);
    world->lab->now += 8 * DAY; /* what was found out before is found out again */
    for (size_t i = 0; i < 3; i++) {
        expect_at_once(in[i], BAD, false);
        expect_at_once(in[i], PLAIN, i < 2);
    }
    use_crls(elsewhere, 1); /* for other certificates: it neither answers for this one nor holds it up */
    expect_at_once(instance((struct setting){"STRICT"}), PLAIN, false);
    expect_at_once(instance((struct setting){"IGNORE_CA_ERROR"}), PLAIN, true);
    expect_at_once(instance((struct setting){"SKIP"}), BAD, false);
    size_t num, stale;
    dp_directory_count_crls(world->lab->directory, world->lab->now, &num, &stale);
    assert_int_equal(num, 1);
    assert_int_equal(stale, 1);
    dp_directory_count_crls(world->lab->directory, REVOCATION_NOW, &num, &stale);
    assert_int_equal(stale, 0);
}

static void a_crl_stands_in_for_those_who_are_silent(void **state)
{
    (void)state;
    char *crls[] = {crl_pem(CRL)};
    use_crls(crls, 1);
    const void *in = instance((struct setting){"STRICT"});
    for (int i = 0; i < 2; i++) { /* nothing is remembered of it */
        struct request *r = expect_crl_pause(in, LEAF);
        answer(0, NULL, "timed out");
        expect(in, r, true);
    }
    struct request *r = expect_pause(in, LEAF);
    answer(200, OCSP_UNKNOWN, NULL); /* somebody has answered */
    expect(in, r, false);
    assert_int_equal(world->counters.failures, 3);
}

static void crls_of_the_configuration_are_shared(void **state)
{
    (void)state;
    char *crls[] = {crl_pem(CRL)}, *again[] = {crl_pem(CRL)}, *other[] = {crl_pem(CRL_EMPTY)},
         *bad[] = {crl_pem(CRL), crl_pem(CRL_OTHER)};
    use_crls(crls, 1);
    struct dp_directory *first = world->lab->directory, *second = dp_directory_new(world->lab->arena),
                        *third = dp_directory_new(world->lab->arena), *fourth = dp_directory_new(world->lab->arena);
    struct sp_error err;
    dp_directory_reuse(second, first);
    dp_directory_reuse(third, second);
    assert_false(sp_failed(configure(second, CA, again, 1, &err)));
    assert_false(sp_failed(configure(third, CA, other, 1, &err)));
    assert_ptr_equal(dp_directory_crls(first, der(CA))->v[0], dp_directory_crls(second, der(CA))->v[0]);
    assert_ptr_not_equal(dp_directory_crls(first, der(CA))->v[0], dp_directory_crls(third, der(CA))->v[0]);
    assert_true(sp_failed(configure(fourth, CA, bad, 2, &err)));
    assert_string_equal(err.text, "crls[1]: the CRL is of another issuer");
}

int main(void)
{
    sp_log_min = SP_ERROR;
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(whom_the_configuration_lists),
        TEST(a_stale_crl_of_the_configuration),
        TEST(a_crl_stands_in_for_those_who_are_silent),
        TEST(crls_of_the_configuration_are_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
