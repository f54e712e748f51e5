#include "fixtures.h"
#include "issue.h"

static struct sp_error err;

static void refuses(void **state)
{
    (void)state;
    struct sp_buf cert = {0}, key = {0};
    static const char *const bad[] = {"a.example", "DNS:", "DNS:a b", "IP:300.1.1.1", "IP:", "URI:\n", "other:x", ""};
    struct sp_pki_request r = {.common_name = "x", .not_before = 1000, .not_after = 2000};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sp_str san = sp_str_z(bad[i]);
        r.sans = &san;
        r.num_sans = 1;
        assert_int_equal(sp_pki_issue(&r, SP_STR(""), SP_STR(""), &cert, &key, &err).code, SP_E_INVALID);
    }
    r.num_sans = 0;
    r.not_after = 1000;
    assert_int_equal(sp_pki_issue(&r, SP_STR(""), SP_STR(""), &cert, &key, &err).code, SP_E_INVALID);
    r.not_after = 2000;
    assert_true(sp_failed(sp_pki_issue(&r, SP_STR("no"), SP_STR("no"), &cert, &key, &err)));
    /* a key of another certificate, and an issuer that is no CA */
    assert_int_equal(sp_pki_issue(&r, sp_str_z(KONG_PEM), sp_str_z(RSA_KEY), &cert, &key, &err).code, SP_E_INVALID);
    assert_int_equal(sp_pki_issue(&r, sp_str_z(EMPTY_PEM), sp_str_z(K_KEY), &cert, &key, &err).code, SP_E_INVALID);
    assert_int_equal(cert.len, 0);
    assert_int_equal(key.len, 0);
    sp_buf_fini(&cert);
    sp_buf_fini(&key);
}

static void ca_and_leaf(void **state)
{
    (void)state;
    struct sp_arena *a = sp_arena_new(4096);
    struct pair ca, leaf;
    struct sp_cert_info c, l;
    pair_ca(&ca, NULL, "Test CA");
    static const struct sp_str sans[] = {
        {"DNS:a.example", 13}, {"IP:::1", 6}, {"URI:spiffe://td/node", 20}, {"email:a@b", 9}};
    pair_request(&leaf, &ca,
                 &(struct sp_pki_request){.common_name = "node",
                                          .organization = "Org",
                                          .sans = sans,
                                          .num_sans = 4,
                                          .client_auth = true,
                                          .not_before = 1700000000,
                                          .not_after = 4102444800});
    assert_int_equal(sp_cert_read(pair_der(&ca, a), a, &c, &err).code, SP_OK);
    assert_int_equal(sp_cert_read(pair_der(&leaf, a), a, &l, &err).code, SP_OK);
    assert_true(c.is_ca && c.self_signed && !l.is_ca && !l.self_signed);
    assert_true(sp_str_eq(l.issuer_der, c.subject_der));
    assert_true(sp_str_eq(l.subject_dn, SP_STR("CN=node,O=Org")));
    assert_int_equal(l.num_names, 4);
    assert_true(sp_str_eq(l.names[1].text, SP_STR("::1")));
    assert_int_equal(l.serial_hex.len, 32);
    assert_false(sp_str_eq(l.serial_hex, c.serial_hex));
    assert_true(l.not_before == 1700000000 && l.not_after == 4102444800);
    assert_int_equal(sp_pem_key_matches(sp_buf_str(&leaf.cert), sp_buf_str(&leaf.key), &err).code, SP_OK);
    assert_int_equal(sp_pem_key_matches(sp_buf_str(&leaf.cert), sp_buf_str(&ca.key), &err).code, SP_E_INVALID);
    pair_fini(&ca);
    pair_fini(&leaf);
    sp_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(refuses), cmocka_unit_test(ca_and_leaf)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
