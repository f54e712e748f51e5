#include "fixtures.h"
#include "issue.h"
#include "tls/seal.h"

static struct sp_error err;

static void every_byte_counts(void **state)
{
    (void)state;
    struct sp_buf sealed = {0}, plain = {0};
    assert_int_equal(sp_seal(sp_str_z(K_KEY), SP_STR("cache"), SP_STR("secret words"), &sealed, &err).code, SP_OK);
    assert_null(memmem(sealed.p, sealed.len, "secret", 6));
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.p[i] ^= 1;
        assert_true(sp_failed(sp_unseal(sp_str_z(K_KEY), SP_STR("cache"), sp_buf_str(&sealed), &plain, &err)));
        sealed.p[i] ^= 1;
        assert_true(sp_failed(sp_unseal(sp_str_z(K_KEY), SP_STR("cache"), sp_str(sealed.p, i), &plain, &err)));
    }
    assert_int_equal(sp_unseal(sp_str_z(RSA_KEY), SP_STR("cache"), sp_buf_str(&sealed), &plain, &err).code,
                     SP_E_INVALID);
    assert_int_equal(sp_unseal(sp_str_z(K_KEY), SP_STR("other"), sp_buf_str(&sealed), &plain, &err).code, SP_E_INVALID);
    assert_true(sp_failed(sp_unseal(SP_STR("no key"), SP_STR("cache"), sp_buf_str(&sealed), &plain, &err)));
    assert_true(sp_failed(sp_seal(SP_STR("no key"), SP_STR("cache"), SP_STR("x"), &plain, &err)));
    assert_int_equal(plain.len, 0);
    assert_int_equal(sp_unseal(sp_str_z(K_KEY), SP_STR("cache"), sp_buf_str(&sealed), &plain, &err).code, SP_OK);
    assert_true(sp_str_eq(sp_buf_str(&plain), SP_STR("secret words")));
    sp_buf_fini(&sealed);
    sp_buf_fini(&plain);
}

static void empty_and_never_the_same(void **state)
{
    (void)state;
    struct sp_buf a = {0}, b = {0}, plain = {0};
    assert_int_equal(sp_seal(sp_str_z(ED_KEY), SP_STR(""), SP_STR(""), &a, &err).code, SP_OK);
    assert_int_equal(sp_seal(sp_str_z(ED_KEY), SP_STR(""), SP_STR(""), &b, &err).code, SP_OK);
    assert_false(sp_str_eq(sp_buf_str(&a), sp_buf_str(&b)));
    assert_int_equal(sp_unseal(sp_str_z(ED_KEY), SP_STR(""), sp_buf_str(&a), &plain, &err).code, SP_OK);
    assert_int_equal(plain.len, 0);
    sp_buf_fini(&a);
    sp_buf_fini(&b);
    sp_buf_fini(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_byte_counts), cmocka_unit_test(empty_and_never_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
