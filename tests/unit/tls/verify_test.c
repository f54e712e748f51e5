#include "fixtures.h"
#include "issue.h"
#include "tls/verify.h"

static struct sp_error err;
static struct sp_arena *arena;
static const int64_t then = 1900000000; /* the fixtures are valid */

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

static struct sp_str der(const char *pem)
{
    struct sp_der_list list;
    assert_int_equal(sp_pem_certificates(sp_str_z(pem), arena, &list, &err).code, SP_OK);
    return list.v[0];
}

static struct sp_ca_set *set_of(const struct sp_str *cas, size_t num, bool partial)
{
    struct sp_ca_set *s = NULL;
    if (sp_failed(sp_ca_set_compile(arena, cas, num, partial, &s, &err)))
        fail_msg("%s", err.text);
    return s;
}

static struct sp_verdict judge(const struct sp_ca_set *s, int64_t now, const struct sp_str *chain, size_t num)
{
    struct sp_verdict v;
    sp_verify_chain(s, chain, num, now, &v);
    assert_non_null(v.reason);
    return v;
}

static void expect(struct sp_verdict v, const char *reason)
{
    assert_string_equal(v.reason, reason);
    assert_int_equal(v.ok, strcmp(reason, "ok") == 0);
}

static void bad_sets(void **state)
{
    (void)state;
    struct sp_ca_set *s = NULL;
    struct sp_str v[2] = {der(VROOT_PEM), der(VEE_PEM)};
    assert_int_equal(sp_ca_set_compile(arena, v, 2, false, &s, &err).code, SP_E_INVALID);
    assert_string_equal(err.text, "CA certificate 2: not a CA certificate");
    v[1].len -= 1;
    assert_int_equal(sp_ca_set_compile(arena, v, 2, false, &s, &err).code, SP_E_PARSE);
}

static void digests(void **state)
{
    (void)state;
    struct sp_str v[2] = {der(VROOT_PEM), der(VNC_PEM)}, w[2] = {v[1], v[0]};
    const uint8_t *a = sp_ca_set_digest(set_of(v, 2, false));
    assert_memory_equal(a, sp_ca_set_digest(set_of(v, 2, false)), 32);
    assert_memory_not_equal(a, sp_ca_set_digest(set_of(v, 2, true)), 32);
    assert_memory_not_equal(a, sp_ca_set_digest(set_of(v, 1, false)), 32);
    assert_memory_not_equal(a, sp_ca_set_digest(set_of(w, 2, false)), 32);
}

static void nothing_and_garbage(void **state)
{
    (void)state;
    struct sp_str root = der(VROOT_PEM), leaf = der(VEE_PEM), chain[40];
    struct sp_ca_set *s = set_of(&root, 1, false), *none = set_of(NULL, 0, false);
    expect(judge(s, then, NULL, 0), "no certificate");
    expect(judge(none, then, &leaf, 1), "unable to get local issuer certificate");
    for (size_t i = 0; i < leaf.len; i += 7) {
        chain[0] = sp_str(leaf.p, i);
        expect(judge(s, then, chain, 1), "malformed certificate");
        chain[1] = chain[0];
        chain[0] = leaf;
        expect(judge(s, then, chain, 2), "malformed certificate");
    }
    for (size_t i = 0; i < 40; i++)
        chain[i] = leaf;
    expect(judge(s, then, chain, 40), "certificate chain too long");
    expect(judge(s, then, chain, 32), "ok");
}

static void one_level(void **state)
{
    (void)state;
    struct sp_str root = der(VROOT_PEM), leaf = der(VEE_PEM), other = der(KONG_PEM);
    struct sp_ca_set *s = set_of(&root, 1, false);
    struct sp_verdict v = judge(s, then, &leaf, 1);
    struct sp_cert_info info;
    expect(v, "ok");
    assert_int_equal(v.anchor, 0);
    assert_int_equal(sp_cert_read(leaf, arena, &info, &err).code, SP_OK);
    assert_true(v.not_after == info.not_after);
    expect(judge(s, info.not_after - 1, &leaf, 1), "ok");
    expect(judge(s, info.not_after + 1, &leaf, 1), "certificate has expired");
    expect(judge(s, info.not_before - 1, &leaf, 1),
           "unable to get local issuer certificate"); /* the root is as young */
    expect(judge(s, then, &other, 1), "self signed certificate");
    /* one bit of the signature */
    struct sp_str bent = sp_arena_dup(arena, leaf);
    ((char *)bent.p)[bent.len - 1] ^= 1;
    expect(judge(s, then, &bent, 1), "certificate signature failure");
}

static void what_rfc5280_forbids(void **state)
{
    (void)state;
    struct sp_str root = der(VROOT_PEM);
    struct sp_ca_set *s = set_of(&root, 1, true);
    static const struct {
        const char *chain[4], *reason;
    } cases[] = {
        {{VEVIL_PEM, VEE_PEM}, "unable to get local issuer certificate"}, /* its key usage does not allow it */
        {{VWICKED_PEM, VANY_PEM}, "invalid CA certificate"},
        {{VNCGOOD_PEM, VNC_PEM}, "ok"},
        {{VNCBAD_PEM, VNC_PEM}, "permitted subtree violation"},
        {{VCRIT_PEM}, "unhandled critical extension"},
        {{VKE_PEM}, "key usage does not allow signing"},
        {{VANY_PEM}, "ok"},
        {{VSRV_PEM}, "certificate is not for client authentication"},
        {{VDEEP_PEM, VCA_PEM, VPL0_PEM}, "path length constraint exceeded"},
        {{VEVIL_PEM}, "unable to get local issuer certificate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_str chain[4];
        size_t n = 0;
        for (; cases[i].chain[n]; n++)
            chain[n] = der(cases[i].chain[n]);
        expect(judge(s, then, chain, n), cases[i].reason);
    }
}

static void intermediates_and_partial_chains(void **state)
{
    (void)state;
    struct pair root, middle, leaf;
    int64_t now = time(NULL);
    pair_ca(&root, NULL, "Root");
    pair_ca(&middle, &root, "Middle");
    pair_leaf(&leaf, &middle, "leaf", NULL, 60);
    struct sp_str r = pair_der(&root, arena), chain[3] = {pair_der(&leaf, arena), pair_der(&middle, arena), r};
    struct sp_str both[2] = {chain[1], r}, swapped[2] = {r, chain[1]};
    expect(judge(set_of(&r, 1, false), now, chain, 1), "unable to get local issuer certificate");
    expect(judge(set_of(&r, 1, false), now, chain, 2), "ok");
    expect(judge(set_of(&r, 1, false), now, chain, 3), "ok");
    expect(judge(set_of(&chain[1], 1, false), now, chain, 1), "unable to get issuer certificate");
    expect(judge(set_of(&chain[1], 1, false), now, chain, 3), "unable to get issuer certificate");
    expect(judge(set_of(&chain[1], 1, true), now, chain, 1), "ok");
    assert_int_equal(judge(set_of(both, 2, false), now, chain, 1).anchor, 1);
    assert_int_equal(judge(set_of(swapped, 2, true), now, chain, 1).anchor, 0);
    assert_true(judge(set_of(both, 2, false), now, chain, 1).not_after == now + 60);
    pair_fini(&root);
    pair_fini(&middle);
    pair_fini(&leaf);
}

static void expired_cas_anchor_nothing(void **state)
{
    (void)state;
    struct pair old, fresh, old_leaf, leaf;
    int64_t now = time(NULL);
    struct sp_pki_request r = {.common_name = "Same CA", .is_ca = true, .not_before = now - 100, .not_after = now - 1};
    pair_request(&old, NULL, &r);
    pair_ca(&fresh, NULL, "Same CA");
    pair_leaf(&old_leaf, &old, "leaf", NULL, 60);
    pair_leaf(&leaf, &fresh, "leaf", NULL, 60);
    struct sp_str cas[2] = {pair_der(&old, arena), pair_der(&fresh, arena)}, a = pair_der(&old_leaf, arena),
                  b = pair_der(&leaf, arena);
    struct sp_ca_set *s = set_of(cas, 2, true);
    assert_false(judge(s, now, &a, 1).ok);
    struct sp_verdict v = judge(s, now, &b, 1);
    expect(v, "ok");
    assert_int_equal(v.anchor, 1);
    expect(judge(set_of(cas, 1, true), now, &a, 1), "unable to get local issuer certificate");
    pair_fini(&old);
    pair_fini(&fresh);
    pair_fini(&old_leaf);
    pair_fini(&leaf);
}

static void too_deep(void **state)
{
    (void)state;
    enum { N = 13 };
    struct pair cas[N], leaf;
    struct sp_str chain[N];
    for (int i = 0; i < N; i++)
        pair_ca(&cas[i], i ? &cas[i - 1] : NULL, (const char *)sp_arena_printf(arena, "CA %d", i).p);
    struct sp_str root = pair_der(&cas[0], arena);
    struct sp_ca_set *s = set_of(&root, 1, false);
    for (int depth = 9; depth < N; depth++) {
        pair_leaf(&leaf, &cas[depth], "leaf", NULL, 60);
        chain[0] = pair_der(&leaf, arena);
        for (int i = 0; i < depth; i++)
            chain[1 + i] = pair_der(&cas[depth - i], arena);
        if (depth != 10) /* where the BoringSSL of 2022 counts differently */
            assert_int_equal(judge(s, time(NULL), chain, (size_t)depth + 1).ok, depth < 10);
        if (depth > 10)
            expect(judge(s, time(NULL), chain, (size_t)depth + 1), "certificate chain too long");
        pair_fini(&leaf);
    }
    for (int i = 0; i < N; i++)
        pair_fini(&cas[i]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(bad_sets),
                                       T(digests),
                                       T(nothing_and_garbage),
                                       T(one_level),
                                       T(what_rfc5280_forbids),
                                       T(intermediates_and_partial_chains),
                                       T(expired_cas_anchor_nothing),
                                       T(too_deep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
