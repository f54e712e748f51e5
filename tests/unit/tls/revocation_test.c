#include "base/encoding.h"
#include "revocation_fixtures.h"
#include "test.h"
#include "tls/crl.h"
#include "tls/verify.h"

#include <stdlib.h>

#define DAY INT64_C(86400)

static struct sp_arena *arena;
static struct sp_error err;

static int setup(void **state)
{
    (void)state;
    arena = sp_arena_new(65536);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sp_arena_free(arena);
    return 0;
}

static struct sp_str der(const char *text)
{
    struct sp_str out;
    assert_true(sp_base64_decode(arena, sp_str_z(text), &out));
    return out;
}

typedef void judge_fn(struct sp_str leaf, struct sp_str issuer, struct sp_str answer, int64_t now,
                      struct sp_revocation *out);

static void judge_crl(struct sp_str leaf, struct sp_str issuer, struct sp_str answer, int64_t now,
                      struct sp_revocation *out)
{
    struct sp_crl *c;
    const char *why = sp_crl_read(answer, issuer, &c);
    *out = (struct sp_revocation){.why = why};
    if (!why)
        sp_crl_ask(c, leaf, now, out);
    sp_crl_unref(c);
}

static void expect_at(judge_fn *judge, const char *leaf, const char *issuer, const char *answer, int64_t now,
                      enum sp_revocation_status status, const char *why)
{
    struct sp_revocation r;
    judge(der(leaf), der(issuer), der(answer), now, &r);
    if (r.status != status || strcmp(r.why, why) != 0)
        fail_msg("%d \"%s\", not %d \"%s\": %s", r.status, r.why, status, why, answer);
}

static void ocsp_unknown(const char *answer, const char *why)
{
    expect_at(sp_ocsp_judge, LEAF, CA, answer, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, why);
}

static void crl_unknown(const char *answer, const char *why)
{
    expect_at(judge_crl, LEAF, CA, answer, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, why);
}

/* --- where to ask --- */

static void urls(void **state)
{
    (void)state;
    struct sp_revocation_urls u;
    assert_int_equal(sp_revocation_urls_read(SP_STR("no"), arena, &u, &err).code, SP_E_PARSE);
    assert_int_equal(sp_revocation_urls_read(der(LEAF), arena, &u, &err).code, SP_OK);
    assert_int_equal(u.num_ocsp, 2);
    assert_true(sp_str_eq(u.ocsp[0], SP_STR("http://ocsp.test:8080/a")));
    assert_true(sp_str_eq(u.ocsp[1], SP_STR("HTTPS://ocsp2.test/b")));
    assert_int_equal(u.num_crl, 1);
    assert_true(sp_str_eq(u.crl[0], SP_STR("http://crl.test/ca.crl")));
    assert_int_equal(sp_revocation_urls_read(der(PLAIN), arena, &u, &err).code, SP_OK);
    assert_int_equal(u.num_ocsp + u.num_crl, 0);
    assert_int_equal(sp_revocation_urls_read(der(SOME), arena, &u, &err).code, SP_OK);
    assert_int_equal(u.num_ocsp + u.num_crl, 0); /* for some reasons only */
}

static void keys(void **state)
{
    (void)state;
    uint8_t a[32], b[32];
    assert_false(sp_revocation_key(der(LEAF), SP_STR("x"), a));
    assert_false(sp_revocation_key(SP_STR("x"), der(CA), a));
    assert_true(sp_revocation_key(der(LEAF), der(CA), a) && sp_revocation_key(der(LEAF), der(CA), b));
    assert_memory_equal(a, b, 32);
    assert_true(sp_revocation_key(der(BAD), der(CA), b));
    assert_memory_not_equal(a, b, 32);
    assert_true(sp_revocation_key(der(LEAF), der(OTHER), b));
    assert_memory_not_equal(a, b, 32);
}

static void request(void **state)
{
    (void)state;
    struct sp_buf out = {0};
    assert_int_equal(sp_ocsp_request(SP_STR("x"), der(CA), &out, &err).code, SP_E_PARSE);
    assert_int_equal(sp_ocsp_request(der(LEAF), SP_STR("x"), &out, &err).code, SP_E_PARSE);
    assert_int_equal(sp_ocsp_request(der(LEAF), der(CA), &out, &err).code, SP_OK);
    assert_true(sp_str_eq(sp_buf_str(&out), der(OCSP_GOOD_REQUEST))); /* byte for byte what openssl asks */
    sp_buf_fini(&out);
}

/* --- OCSP --- */

static void ocsp_not_signed_by_those_who_may(void **state)
{
    (void)state;
    static const char nobody[] = "the OCSP response is not signed by anybody who may";
    ocsp_unknown(OCSP_NO_EKU, nobody);
    ocsp_unknown(OCSP_ANY_EKU, nobody);
    ocsp_unknown(OCSP_FOREIGN, nobody);
    ocsp_unknown(OCSP_LATE, nobody);
    ocsp_unknown(OCSP_OTHER, nobody);
    ocsp_unknown(OCSP_SHA1, nobody);
    ocsp_unknown(OCSP_DELEGATE_NO_CERT, nobody);
    expect_at(sp_ocsp_judge, LEAF, OTHER, OCSP_GOOD, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, nobody);
    expect_at(sp_ocsp_judge, RSALEAF, RSA, OCSP_PSS_SHA1, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, nobody);
    expect_at(sp_ocsp_judge, RSALEAF, RSA, OCSP_PSS_SHORT_SALT, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, nobody);
    expect_at(sp_ocsp_judge, RSALEAF, RSA, OCSP_PSS_TWO_HASHES, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, nobody);
}

static void ocsp_says_nothing(void **state)
{
    (void)state;
    ocsp_unknown(OCSP_TRY_LATER, "the OCSP responder refused to answer");
    ocsp_unknown(OCSP_UNKNOWN, "the responder does not know the certificate");
    ocsp_unknown("", "the OCSP response is malformed");
    ocsp_unknown("MAMKAQA=", "the OCSP response is malformed"); /* successful, but nothing in it */
    ocsp_unknown(CRL, "the OCSP response is malformed");
    struct sp_revocation r;
    struct sp_str big = sp_str(sp_arena_alloc(arena, 65537), 65537);
    sp_ocsp_judge(der(LEAF), der(CA), big, REVOCATION_NOW, &r);
    assert_string_equal(r.why, "the OCSP response is too large");
    expect_at(sp_ocsp_judge, "", CA, OCSP_GOOD, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, "not a certificate");
    expect_at(sp_ocsp_judge, LEAF, "", OCSP_GOOD, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, "not a certificate");
}

static void ocsp_of_another_certificate(void **state)
{
    (void)state;
    static const char another[] = "the OCSP response is about another certificate";
    expect_at(sp_ocsp_judge, BAD, CA, OCSP_GOOD, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, another);
    ocsp_unknown(OCSP_REVOKED, another);
}

static void ocsp_times(void **state)
{
    (void)state;
    static const char old[] = "the OCSP response is out of date", early[] = "the OCSP response is from the future";
    int64_t end = REVOCATION_NOW + 7 * DAY;
    expect_at(sp_ocsp_judge, LEAF, CA, OCSP_GOOD, end + 200, SP_REVOCATION_GOOD, "good"); /* clocks differ a little */
    expect_at(sp_ocsp_judge, LEAF, CA, OCSP_GOOD, end + 400, SP_REVOCATION_UNKNOWN, old);
    expect_at(sp_ocsp_judge, LEAF, CA, OCSP_GOOD, REVOCATION_NOW - 200, SP_REVOCATION_GOOD, "good");
    expect_at(sp_ocsp_judge, LEAF, CA, OCSP_GOOD, REVOCATION_NOW - 400, SP_REVOCATION_UNKNOWN, early);
    expect_at(sp_ocsp_judge, LEAF, CA, OCSP_NO_NEXT, REVOCATION_NOW + DAY, SP_REVOCATION_GOOD, "good");
    expect_at(sp_ocsp_judge, LEAF, CA, OCSP_NO_NEXT, REVOCATION_NOW + DAY + 400, SP_REVOCATION_UNKNOWN, old);
    expect_at(sp_ocsp_judge, BAD, CA, OCSP_REVOKED, end + 400, SP_REVOCATION_REVOKED, "revoked (OCSP)");
    expect_at(sp_ocsp_judge, BAD, CA, OCSP_REVOKED, REVOCATION_NOW - 400, SP_REVOCATION_UNKNOWN, early);
}

static void ocsp_definite(void **state)
{
    (void)state;
    expect_at(sp_ocsp_judge, LEAF, CA, OCSP_GOOD, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(sp_ocsp_judge, LEAF, CA, OCSP_KEYID, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(sp_ocsp_judge, LEAF, CA, OCSP_DELEGATE, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(sp_ocsp_judge, RSALEAF, RSA, OCSP_RSA, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(sp_ocsp_judge, RSALEAF, RSA, OCSP_PSS, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(sp_ocsp_judge, RSALEAF, RSA, OCSP_PSS_LONG_SALT, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(sp_ocsp_judge, P384LEAF, P384, OCSP_P384, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(sp_ocsp_judge, P521LEAF, P521, OCSP_P521, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(sp_ocsp_judge, BAD, CA, OCSP_REVOKED, REVOCATION_NOW, SP_REVOCATION_REVOKED, "revoked (OCSP)");
    struct sp_revocation r;
    sp_ocsp_judge(der(LEAF), der(CA), der(OCSP_GOOD), REVOCATION_NOW, &r);
    assert_in_range(r.until, REVOCATION_NOW + 7 * DAY - 60, REVOCATION_NOW + 7 * DAY);
}

/* --- CRL --- */

static void crl_not_ours(void **state)
{
    (void)state;
    static const char unsigned_[] = "the CRL is not signed by the certificate's issuer";
    static const char cover[] = "the CRL does not cover the certificate";
    static const char limited[] = "the CRL is a delta, indirect, or limited in an unknown way";
    crl_unknown(CRL_OTHER, "the CRL is of another issuer");
    crl_unknown(CRL_SHA1, unsigned_);
    expect_at(judge_crl, RSALEAF, RSA, CRL_PSS_SHA1, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, unsigned_);
    expect_at(judge_crl, RSALEAF, RSA, CRL_PSS_SHORT_SALT, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, unsigned_);
    expect_at(judge_crl, RSALEAF, RSA, CRL_PSS_TWO_HASHES, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, unsigned_);
    expect_at(judge_crl, NOCRLLEAF, NOCRL, CRL_NOCRL, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, unsigned_);
    crl_unknown(CRL_DELTA, limited);
    crl_unknown(CRL_ELSEWHERE, cover);
    crl_unknown(CRL_CAS, cover);
    crl_unknown(CRL_INDIRECT, limited);
    crl_unknown(CRL_SOME, limited);
    crl_unknown("", "the CRL is malformed");
    crl_unknown(OCSP_GOOD, "the CRL is malformed");

    expect_at(judge_crl, "", CA, CRL, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, "not a certificate");
    expect_at(judge_crl, LEAF, "", CRL, REVOCATION_NOW, SP_REVOCATION_UNKNOWN, "not a certificate");
}

static void crl_times(void **state)
{
    (void)state;
    int64_t end = REVOCATION_NOW + 7 * DAY;
    expect_at(judge_crl, LEAF, CA, CRL, end + 200, SP_REVOCATION_GOOD, "good");
    expect_at(judge_crl, LEAF, CA, CRL, end + 400, SP_REVOCATION_UNKNOWN, "the CRL is out of date");
    expect_at(judge_crl, BAD, CA, CRL, end + 400, SP_REVOCATION_REVOKED, "revoked (CRL)");
    expect_at(judge_crl, LEAF, CA, CRL, REVOCATION_NOW - 400, SP_REVOCATION_UNKNOWN, "the CRL is from the future");
}

static void crl_definite(void **state)
{
    (void)state;
    expect_at(judge_crl, LEAF, CA, CRL, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(judge_crl, BAD, CA, CRL_EMPTY, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(judge_crl, BAD, CA, CRL, REVOCATION_NOW, SP_REVOCATION_REVOKED, "revoked (CRL)");
    expect_at(judge_crl, LEAF, CA, CRL_HERE, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(judge_crl, LEAF, CA, CRL_USERS, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(judge_crl, RSALEAF, RSA, CRL_RSA, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(judge_crl, RSALEAF, RSA, CRL_PSS, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(judge_crl, RSALEAF, RSA, CRL_PSS_LONG_SALT, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(judge_crl, P384LEAF, P384, CRL_P384, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(judge_crl, P521LEAF, P521, CRL_P521, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
    expect_at(judge_crl, EDLEAF, ED, CRL_ED, REVOCATION_NOW, SP_REVOCATION_GOOD, "good");
}

/* What a CRL says by itself, for those who keep it. */
static void crl_read_once(void **state)
{
    (void)state;
    struct sp_crl *c, *empty, *elsewhere;
    assert_null(sp_crl_read(der(CRL), der(CA), &c));
    assert_null(sp_crl_read(der(CRL_EMPTY), der(CA), &empty));
    assert_null(sp_crl_read(der(CRL_ELSEWHERE), der(CA), &elsewhere));
    assert_int_equal(sp_crl_num(c), 1);
    assert_int_equal(sp_crl_num(empty), 0);
    assert_in_range(sp_crl_bytes(c), 1, 4096);
    assert_in_range(sp_crl_until(c), REVOCATION_NOW + 7 * DAY - 60, REVOCATION_NOW + 7 * DAY);
    assert_true(sp_crl_lists(c, der(BAD)) && !sp_crl_lists(c, der(LEAF)) && !sp_crl_lists(empty, der(BAD)));
    assert_true(sp_crl_lists(elsewhere, der(BAD)) && !sp_crl_covers(elsewhere, der(BAD)));
    assert_true(sp_crl_covers(c, der(BAD)));
    assert_null(sp_crl_stale(c, REVOCATION_NOW));
    assert_string_equal(sp_crl_stale(c, REVOCATION_NOW + 8 * DAY), "the CRL is out of date");
    sp_crl_unref(sp_crl_ref(c));
    sp_crl_unref(c);
    sp_crl_unref(empty);
    sp_crl_unref(elsewhere);
    sp_crl_unref(NULL);
}

/* --- damage --- */

static void truncated(judge_fn *judge, const char *leaf, const char *answer)
{
    struct sp_str whole = der(answer);
    for (size_t len = 0; len < whole.len; len++) {
        struct sp_revocation r;
        char *exact = sp_alloc(len + 1); /* so that a sanitizer sees what is read beyond the end */
        memcpy(exact, whole.p, len);
        judge(der(leaf), der(CA), sp_str(exact, len), REVOCATION_NOW, &r);
        free(exact);
        if (r.status != SP_REVOCATION_UNKNOWN)
            fail_msg("%zu of %zu bytes: %s", len, whole.len, r.why);
    }
    struct sp_revocation r;
    char *longer = sp_arena_alloc(arena, whole.len + 1);
    memcpy(longer, whole.p, whole.len);
    judge(der(leaf), der(CA), sp_str(longer, whole.len + 1), REVOCATION_NOW, &r);
    assert_int_equal(r.status, SP_REVOCATION_UNKNOWN);
}

static void flipped(judge_fn *judge, const char *leaf, const char *answer)
{
    struct sp_str whole = der(answer);
    struct sp_revocation sound;
    char *p = (char *)(uintptr_t)whole.p;
    judge(der(leaf), der(CA), whole, REVOCATION_NOW, &sound);
    assert_int_not_equal(sound.status, SP_REVOCATION_UNKNOWN);
    for (size_t i = 0; i < whole.len; i++) {
        struct sp_revocation r;
        p[i] ^= (char)(1 << i % 8);
        judge(der(leaf), der(CA), whole, REVOCATION_NOW, &r);
        p[i] ^= (char)(1 << i % 8);
        if (r.status != SP_REVOCATION_UNKNOWN)
            fail_msg("byte %zu of %zu: %s", i, whole.len, r.why);
    }
}

static void damaged(void **state)
{
    (void)state;
    truncated(sp_ocsp_judge, LEAF, OCSP_GOOD);
    truncated(sp_ocsp_judge, LEAF, OCSP_DELEGATE);
    truncated(sp_ocsp_judge, BAD, OCSP_REVOKED);
    truncated(judge_crl, LEAF, CRL_HERE);
    truncated(judge_crl, BAD, CRL);
    flipped(sp_ocsp_judge, LEAF, OCSP_GOOD);
    flipped(sp_ocsp_judge, LEAF, OCSP_DELEGATE);
    flipped(judge_crl, LEAF, CRL_HERE);
    flipped(judge_crl, BAD, CRL);
}

static void truncated_certificates(void **state)
{
    (void)state;
    struct sp_str leaf = der(LEAF), ca = der(CA);
    for (size_t len = 0; len < leaf.len; len++) {
        struct sp_revocation_urls u;
        struct sp_revocation r;
        assert_true(sp_failed(sp_revocation_urls_read(sp_str(leaf.p, len), arena, &u, &err)));
        judge_crl(sp_str(leaf.p, len), ca, der(CRL), REVOCATION_NOW, &r);
        assert_int_equal(r.status, SP_REVOCATION_UNKNOWN);
    }
}

/* --- whose certificate signed the leaf --- */

static void issuer_of_a_verified_chain(void **state)
{
    (void)state;
    struct sp_str cas[] = {der(OTHER), der(CA)}, chain[] = {der(LEAF), der(CA)};
    struct sp_ca_set *set;
    struct sp_verdict v;
    assert_int_equal(sp_ca_set_compile(arena, cas, 2, false, &set, &err).code, SP_OK);
    sp_verify_chain(set, chain, 1, REVOCATION_NOW, &v);
    assert_string_equal(v.reason, "ok");
    assert_int_equal(v.num_signers, 1);
    assert_true(v.signers[0].in_set);
    assert_int_equal(v.signers[0].index, 1);
    sp_verify_chain(set, chain, 2, REVOCATION_NOW, &v);
    assert_true(v.ok);
    assert_int_equal(v.num_signers, 1);
    assert_int_equal(v.signers[0].index, 1); /* the same bytes in either */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(urls),
        TEST(keys),
        TEST(request),
        TEST(ocsp_not_signed_by_those_who_may),
        TEST(ocsp_says_nothing),
        TEST(ocsp_of_another_certificate),
        TEST(ocsp_times),
        TEST(ocsp_definite),
        TEST(crl_not_ours),
        TEST(crl_times),
        TEST(crl_definite),
        TEST(crl_read_once),
        TEST(damaged),
        TEST(truncated_certificates),
        TEST(issuer_of_a_verified_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
