#include "fixtures.h"
#include "issue.h"

static struct sp_arena *arena;
static struct sp_error err;

static int setup(void **state)
{
    (void)state;
    arena = sp_arena_new(4096);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sp_arena_free(arena);
    return 0;
}

static struct sp_str der_of(const char *pem)
{
    struct sp_der_list list;
    assert_int_equal(sp_pem_certificates(sp_str_z(pem), arena, &list, &err).code, SP_OK);
    assert_int_equal(list.num, 1);
    return list.v[0];
}

static void assert_str(struct sp_str s, const char *want)
{
    if (!sp_str_eq(s, sp_str_z(want)))
        fail_msg("\"%.*s\" is not \"%s\"", SP_FMT(s), want);
}

static void pem_refuses(void **state)
{
    (void)state;
    struct sp_der_list list;
    static const char *const bad[] = {"", "nothing", "-----BEGIN CERTIFICATE-----\n",
                                      "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
                                      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END OTHER-----\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sp_pem_certificates(sp_str_z(bad[i]), arena, &list, &err).code, SP_E_PARSE);
    assert_int_equal(sp_pem_certificates(sp_str_z(K_KEY), arena, &list, &err).code, SP_E_PARSE);
    /* one good block does not excuse a broken one */
    struct sp_str text =
        sp_arena_printf(arena, "%s-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n", KONG_PEM);
    assert_int_equal(sp_pem_certificates(text, arena, &list, &err).code, SP_E_PARSE);
}

static void pem_reads_all(void **state)
{
    (void)state;
    struct sp_der_list list;
    struct sp_str text = sp_arena_printf(arena, "junk\n%s words %s\n%s\r\ntail", KONG_PEM, K_KEY, SANS_PEM);
    assert_int_equal(sp_pem_certificates(text, arena, &list, &err).code, SP_OK);
    assert_int_equal(list.num, 2);
    struct sp_buf out = {0};
    sp_pem_write_certificate(&out, list.v[0]);
    assert_true(sp_str_eq(sp_buf_str(&out), sp_str_z(KONG_PEM)));
    sp_buf_fini(&out);
}

static void keys(void **state)
{
    (void)state;
    enum sp_key_type type;
    assert_int_equal(sp_pem_key_type(sp_str_z(""), &type, &err).code, SP_E_PARSE);
    assert_int_equal(sp_pem_key_type(sp_str_z(KONG_PEM), &type, &err).code, SP_E_PARSE);
    assert_int_equal(sp_pem_key_type(sp_str_z(ENC_KEY), &type, &err).code, SP_E_PARSE);
    assert_int_equal(sp_pem_key_type(sp_str_z(K_KEY), &type, &err).code, SP_OK);
    assert_int_equal(type, SP_KEY_EC);
    assert_int_equal(sp_pem_key_type(sp_str_z(RSA_KEY), &type, &err).code, SP_OK);
    assert_int_equal(type, SP_KEY_RSA);
    assert_int_equal(sp_pem_key_type(sp_str_z(ED_KEY), &type, &err).code, SP_OK);
    assert_int_equal(type, SP_KEY_ED25519);
    assert_int_equal(sp_pem_key_matches(sp_str_z(KONG_PEM), sp_str_z(K_KEY), &err).code, SP_OK);
    assert_int_equal(sp_pem_key_matches(sp_str_z(KONG_PEM), sp_str_z(RSA_KEY), &err).code, SP_E_INVALID);
    assert_string_equal(err.text, "certificate does not match key");
}

static void truncated(void **state)
{
    (void)state;
    struct sp_cert_info info;
    struct sp_str der = der_of(SANS_PEM);
    for (size_t n = 0; n < der.len; n++)
        assert_true(sp_failed(sp_cert_read(sp_str(der.p, n), arena, &info, &err)));
    struct sp_str more = sp_arena_dup(arena, der); /* its NUL is the byte too much */
    assert_int_equal(sp_cert_read(sp_str(more.p, more.len + 1), arena, &info, &err).code, SP_E_PARSE);
}

/* Every single byte changed: an error or an answer, never a crash, and no control byte in any name. */
static void flipped(void **state)
{
    (void)state;
    struct sp_str der = der_of(SANS_PEM);
    char *copy = (char *)sp_arena_dup(arena, der).p;
    for (size_t i = 0; i < der.len; i++) {
        struct sp_arena *a = sp_arena_new(4096);
        struct sp_cert_info info;
        copy[i] = (char)(der.p[i] ^ 0x41);
        if (!sp_failed(sp_cert_read(sp_str(copy, der.len), a, &info, &err)))
            for (size_t k = 0; k < info.num_names; k++)
                for (size_t j = 0; j < info.names[k].text.len; j++)
                    assert_true((unsigned char)info.names[k].text.p[j] >= 0x20);
        copy[i] = der.p[i];
        sp_arena_free(a);
    }
}

static void nul_in_a_name(void **state)
{
    (void)state;
    static const char *const names[] = {"DNS:aXb.example", "email:aXb@example.com", "URI:spiffe://td/aXb"};
    struct sp_cert_info info;
    for (size_t i = 0; i < 3; i++) {
        struct pair p;
        pair_leaf(&p, NULL, "cn", names[i], 60);
        struct sp_str der = pair_der(&p, arena);
        char *at = memmem(der.p, der.len, "aXb", 3);
        assert_non_null(at);
        at[1] = '\0';
        assert_int_equal(sp_cert_read(der, arena, &info, &err).code, SP_E_INVALID);
        assert_non_null(strstr(err.text, "NUL"));
        at[1] = '\n';
        assert_int_equal(sp_cert_read(der, arena, &info, &err).code, SP_E_INVALID);
        pair_fini(&p);
    }
    struct pair p;
    pair_leaf(&p, NULL, "aXb", NULL, 60);
    struct sp_str der = pair_der(&p, arena);
    for (char *at; (at = memmem(der.p, der.len, "aXb", 3));)
        at[1] = '\0';
    assert_int_equal(sp_cert_read(der, arena, &info, &err).code, SP_E_INVALID);
    pair_fini(&p);
}

static void kong_dn(void **state)
{
    (void)state;
    struct sp_cert_info i;
    assert_int_equal(sp_cert_read(der_of(KONG_PEM), arena, &i, &err).code, SP_OK);
    assert_str(i.subject_dn, "emailAddress=kong@konghq.com,CN=KongSDET,OU=Gateway,O=Kong,L=Toronto,ST=ON,C=CA");
    assert_true(sp_str_eq(i.subject_dn, i.issuer_dn));
    assert_true(sp_str_eq(i.subject_der, i.issuer_der));
    assert_str(i.serial_hex, "0A1B");
    assert_str(i.cn, "KongSDET");
    assert_true(i.self_signed);
    assert_false(i.has_san);
    assert_int_equal(i.num_names, 1);
    assert_int_equal(i.names[0].type, SP_NAME_CN);
    assert_str(i.names[0].text, "KongSDET");
    assert_true(i.not_after - i.not_before == 36500ll * 86400);
}

static void all_sans(void **state)
{
    (void)state;
    struct sp_cert_info i;
    static const struct {
        enum sp_name_type type;
        const char *text, *attribute, *oid;
    } want[] = {{SP_NAME_DNS, "a.example", "", ""},
                {SP_NAME_EMAIL, "test@example.com", "", ""},
                {SP_NAME_URI, "spiffe://td/ns/x", "", ""},
                {SP_NAME_IP, "10.1.2.3", "", ""},
                {SP_NAME_IP, "2001:db8::1", "", ""},
                {SP_NAME_DIRECTORY, "dir name", "CN", "2.5.4.3"},
                {SP_NAME_DIRECTORY, "unit", "OU", "2.5.4.11"},
                {SP_NAME_DIRECTORY, "odd", "2.3.4.5", "2.3.4.5"}};
    assert_int_equal(sp_cert_read(der_of(SANS_PEM), arena, &i, &err).code, SP_OK);
    assert_str(i.subject_dn, "CN=\\#Zo\\C3\\AB,O=A\\, B \\<C\\>\\; D=E\\+F");
    assert_str(i.cn, "#Zo\xc3\xab");
    assert_true(i.has_san);
    assert_int_equal(i.num_names, sizeof want / sizeof *want);
    for (size_t k = 0; k < i.num_names; k++) {
        assert_int_equal(i.names[k].type, want[k].type);
        assert_str(i.names[k].text, want[k].text);
        assert_str(i.names[k].attribute, want[k].attribute);
        assert_str(i.names[k].oid, want[k].oid);
    }
}

static void empty_dn(void **state)
{
    (void)state;
    struct sp_cert_info i;
    assert_int_equal(sp_cert_read(der_of(EMPTY_PEM), arena, &i, &err).code, SP_OK);
    assert_int_equal(i.subject_dn.len, 0);
    assert_int_equal(i.subject_der.len, 2);
    assert_int_equal(i.cn.len, 0);
    assert_int_equal(i.num_names, 0);
    assert_false(i.is_ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pem_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(pem_reads_all, setup, teardown),
        cmocka_unit_test_setup_teardown(keys, setup, teardown),
        cmocka_unit_test_setup_teardown(truncated, setup, teardown),
        cmocka_unit_test_setup_teardown(flipped, setup, teardown),
        cmocka_unit_test_setup_teardown(nul_in_a_name, setup, teardown),
        cmocka_unit_test_setup_teardown(kong_dn, setup, teardown),
        cmocka_unit_test_setup_teardown(all_sans, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_dn, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
