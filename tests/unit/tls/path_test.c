#include "base/arena.h"
#include "base/str.h"
#include "forge.h"
#include "tls/path.h"
#include "tls/verify.h"

static struct sp_arena *arena;

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

static void forget(void *arg)
{
    struct forged *f = arg;
    forged_free(f);
}

/* Lives as long as the test. */
static const struct forged *make(struct forge f)
{
    struct forged *out = SP_NEW(arena, struct forged);
    *out = forge(&f);
    sp_arena_on_free(arena, forget, out);
    return out;
}

/* The given CAs and the given chain, both ended by NULL. */
static struct sp_verdict judge(const struct forged *const *cas, bool partial, const struct forged *const *chain)
{
    struct sp_str set[40], ders[40];
    size_t num_set = 0, num = 0;
    struct sp_ca_set *s;
    struct sp_error err;
    struct sp_verdict v;
    for (; cas[num_set]; num_set++)
        set[num_set] = forged_der(cas[num_set], arena);
    for (; chain[num]; num++)
        ders[num] = forged_der(chain[num], arena);
    if (sp_failed(sp_ca_set_compile(arena, set, num_set, partial, &s, &err)))
        fail_msg("%s", err.text);
    sp_verify_chain(s, ders, num, time(NULL), &v);
    return v;
}

#define LIST(...) ((const struct forged *const[]){__VA_ARGS__, NULL})
#define EXPECT(want, cas, partial, chain) assert_string_equal(judge(cas, partial, chain).reason, want)

static const char weak_key[] = "key is too weak, or of an unknown kind";
static const char weak_signature[] = "signature is too weak, or of an unknown kind";

static void weak_keys(void **state)
{
    (void)state;
    const struct forged *root = make((struct forge){.name = "root", .extensions = {FORGE_CA}});
    struct {
        EVP_PKEY *key;
        const char *reason;
    } cases[] = {{forge_rsa(1024), weak_key},         {forge_rsa(2048), "ok"},
                 {forge_ec(NID_secp224r1), weak_key}, {forge_ec(NID_X9_62_prime256v1), "ok"},
                 {forge_ec(NID_secp384r1), "ok"},     {forge_ed25519(), "ok"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct forged *leaf = make((struct forge){.name = "leaf", .issuer = root, .key = cases[i].key});
        const struct forged *ca = make((struct forge){.name = "ca", .key = cases[i].key, .extensions = {FORGE_CA}});
        const struct forged *below = make((struct forge){.name = "leaf", .issuer = ca});
        EXPECT(cases[i].reason, LIST(root), false, LIST(leaf));
        EXPECT(cases[i].reason, LIST(ca), false, LIST(below));
        EVP_PKEY_free(cases[i].key);
    }
}

static void weak_signatures(void **state)
{
    (void)state;
    const struct forged *root = make((struct forge){.name = "root", .digest = EVP_sha1(), .extensions = {FORGE_CA}});
    const struct forged *bad =
        make((struct forge){.name = "middle", .issuer = root, .digest = EVP_sha1(), .extensions = {FORGE_CA}});
    const struct forged *good = make((struct forge){.name = "middle", .issuer = root, .extensions = {FORGE_CA}});
    const struct forged *leaf = make((struct forge){.name = "leaf", .issuer = root});
    const struct forged *sha1 = make((struct forge){.name = "leaf", .issuer = root, .digest = EVP_sha1()});
    EXPECT("ok", LIST(root), false, LIST(leaf)); /* nobody relies on what a root says of itself */
    EXPECT(weak_signature, LIST(root), false, LIST(sha1));
    EXPECT("ok", LIST(root), false, LIST(make((struct forge){.name = "leaf", .issuer = good}), good));
    const struct forged *below = make((struct forge){.name = "leaf", .issuer = bad});
    EXPECT(weak_signature, LIST(root), false, LIST(below, bad));
    EXPECT("ok", LIST(bad), true, LIST(below)); /* nor on who signed what is trusted as it is */
}

/* What a CA forbids counts also where it is the anchor. */
static void anchors_have_limits(void **state)
{
    (void)state;
    static const struct extension unknown = {NID_netscape_ca_policy_url, "critical,https://ca.example"};
    const struct forged *root = make((struct forge){.name = "root", .extensions = {FORGE_CA}});
    const struct forged *narrow =
        make((struct forge){.name = "narrow", .extensions = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"}}});
    const struct forged *odd = make((struct forge){.name = "odd", .extensions = {FORGE_CA, unknown}});
    const struct forged *middle = make((struct forge){.name = "middle", .issuer = narrow, .extensions = {FORGE_CA}});
    const struct forged *leaf = make((struct forge){.name = "leaf", .issuer = middle});
    EXPECT("ok", LIST(narrow), false, LIST(make((struct forge){.name = "leaf", .issuer = narrow})));
    EXPECT("path length constraint exceeded", LIST(narrow), false, LIST(leaf, middle));
    EXPECT("path length constraint exceeded", LIST(narrow, middle), false, LIST(leaf));
    EXPECT("ok", LIST(middle), true, LIST(leaf)); /* the path ends below the one with the limit */
    EXPECT("ok", LIST(narrow, middle), true, LIST(leaf));
    EXPECT("unhandled critical extension", LIST(odd), false, LIST(make((struct forge){.name = "leaf", .issuer = odd})));
    EXPECT("unhandled critical extension", LIST(root), false,
           LIST(make((struct forge){.name = "leaf", .issuer = root, .extensions = {unknown}})));
}

static const char *under(const char *constraints, const char *names)
{
    const struct forged *root =
        make((struct forge){.name = "root", .extensions = {FORGE_CA, {NID_name_constraints, constraints}}});
    const struct forged *leaf =
        make((struct forge){.name = "leaf", .issuer = root, .extensions = {{NID_subject_alt_name, names}}});
    return judge(LIST(root), false, LIST(leaf)).reason;
}

static void names_under_constraints(void **state)
{
    (void)state;
    static const char ten[] = "critical,permitted;IP:10.1.0.0/255.255.0.0",
                      not_ten[] = "critical,excluded;IP:10.1.0.0/255.255.0.0",
                      six[] = "critical,permitted;IP:2001:db8::/ffff:ffff::",
                      both[] = "critical,permitted;IP:10.1.0.0/255.255.0.0,permitted;DNS:good.example",
                      holes[] = "critical,permitted;IP:10.1.0.0/255.0.255.0",
                      other[] = "critical,permitted;otherName:1.2.3.4;UTF8:a";
    static const char permitted[] = "permitted subtree violation", excluded[] = "excluded subtree violation";
    assert_string_equal(under(ten, "IP:10.1.2.3"), "ok");
    assert_string_equal(under(ten, "IP:10.2.2.3"), permitted);
    assert_string_equal(under(ten, "IP:10.1.2.3,IP:11.1.2.3"), permitted);
    assert_string_equal(under(ten, "IP:2001:db8::1"), permitted);
    assert_string_equal(under(ten, "DNS:10.9.9.9"), "ok"); /* no address: of another kind of name */
    assert_string_equal(under(not_ten, "IP:10.2.2.3"), "ok");
    assert_string_equal(under(not_ten, "IP:10.1.255.255"), excluded);
    assert_string_equal(under(not_ten, "IP:::ffff:10.1.0.1"), "ok"); /* sixteen bytes are no IPv4 address */
    assert_string_equal(under(six, "IP:2001:db8:1::1"), "ok");
    assert_string_equal(under(six, "IP:2001:db9::1"), permitted);
    assert_string_equal(under(holes, "IP:10.1.0.1"), "unsupported or invalid name constraint syntax");
    assert_string_equal(under(both, "IP:10.1.2.3,DNS:a.good.example"), "ok");
    assert_string_equal(under(both, "IP:10.1.2.3,DNS:bad.example"), permitted); /* behind what BoringSSL stops at */
    assert_string_equal(under(both, "DNS:bad.example,IP:10.1.2.3"), permitted);
    assert_string_equal(under(other, "otherName:1.2.3.4;UTF8:a"), "unsupported name constraint type");
    assert_string_equal(under(other, "DNS:a.example"), "ok");
    assert_string_equal(under("critical,DER:3000", "DNS:a.example"), "malformed name constraints");
    assert_string_equal(under("critical,DER:3004A000A100", "DNS:a.example"), "malformed name constraints");
}

/* Constraints high up hold for everything below, and not for what is issued to oneself. */
static void addresses_under_an_intermediate(void **state)
{
    (void)state;
    const struct forged *root = make((struct forge){.name = "root", .extensions = {FORGE_CA}});
    const struct extension ski = {NID_subject_key_identifier, "hash"},
                           aki = {NID_authority_key_identifier, "keyid:always"},
                           not_ten = {NID_name_constraints, "critical,excluded;IP:10.0.0.0/255.0.0.0"},
                           ten = {NID_subject_alt_name, "IP:10.0.0.1"};
    const struct forged *middle =
        make((struct forge){.name = "middle", .issuer = root, .extensions = {FORGE_CA, ski, not_ten}});
    const struct forged *same =
        make((struct forge){.name = "middle", .issuer = middle, .extensions = {FORGE_CA, ski, aki, ten}});
    const struct forged *low = make((struct forge){.name = "low", .issuer = middle, .extensions = {FORGE_CA, ten}});
    const struct extension san = {NID_subject_alt_name, "IP:11.0.0.1"};
    EXPECT("ok", LIST(root), false,
           LIST(make((struct forge){.name = "leaf", .issuer = same, .extensions = {san}}), same, middle));
    EXPECT("excluded subtree violation", LIST(root), false,
           LIST(make((struct forge){.name = "leaf", .issuer = low, .extensions = {san}}), low, middle));
}

static void roots_of_one_name(void **state)
{
    (void)state;
    const struct forged *old = make((struct forge){.name = "root", .extensions = {FORGE_CA}});
    const struct forged *new = make((struct forge){.name = "root", .extensions = {FORGE_CA}});
    const struct forged *third = make((struct forge){.name = "root", .extensions = {FORGE_CA}});
    const struct forged *a = make((struct forge){.name = "leaf", .issuer = old});
    const struct forged *b = make((struct forge){.name = "leaf", .issuer = new});
    EXPECT("ok", LIST(old, new), false, LIST(a));
    struct sp_verdict v = judge(LIST(old, new), false, LIST(b));
    assert_string_equal(v.reason, "ok");
    assert_int_equal(v.anchor, 1);
    assert_int_equal(v.num_signers, 1);
    assert_true(v.signers[0].in_set);
    assert_int_equal(v.signers[0].index, 1);
    EXPECT("ok", LIST(old, new), true, LIST(b));
    EXPECT("certificate signature failure", LIST(old, new), false,
           LIST(make((struct forge){.name = "leaf", .issuer = third})));
}

/* The same intermediate with several certificates: whichever leads to an anchor will do, in whatever order they come.
 */
static void intermediates_of_one_name(void **state)
{
    (void)state;
    const struct forged *root = make((struct forge){.name = "root", .extensions = {FORGE_CA}});
    const struct forged *gone = make((struct forge){.name = "gone", .extensions = {FORGE_CA}});
    const struct forged *good = make((struct forge){.name = "middle", .issuer = root, .extensions = {FORGE_CA}});
    struct forge again = {.name = "middle", .issuer = root, .key = good->key, .extensions = {FORGE_CA}};
    struct forge late = again, sha1 = again, orphan = again, not_ca = again;
    late.days = -1;
    sha1.digest = EVP_sha1();
    orphan.issuer = gone;
    not_ca.extensions[0] = (struct extension){NID_basic_constraints, "CA:FALSE"};
    const struct forged *leaf = make((struct forge){.name = "leaf", .issuer = good});
    const struct forge *const others[] = {&late, &sha1, &orphan, &not_ca};
    for (size_t i = 0; i < 4; i++) {
        const struct forged *other = make(*others[i]);
        assert_false(judge(LIST(root), false, LIST(leaf, other)).ok);
        struct sp_verdict v = judge(LIST(root), false, LIST(leaf, other, good));
        assert_string_equal(v.reason, "ok");
        assert_int_equal(v.num_signers, 2);
        assert_true(!v.signers[0].in_set && v.signers[1].in_set);
        assert_int_equal(v.signers[0].index, 2);
        assert_int_equal(v.signers[1].index, 0);
        EXPECT("ok", LIST(root), false, LIST(leaf, good, other));
        EXPECT("ok", LIST(root, good), false, LIST(leaf, other));
    }
}

/* What a stranger can make us do is bounded: in tries, and in steps where certificates issue each other in circles. */
static void a_search_ends(void **state)
{
    (void)state;
    enum { N = 30 };
    const struct forged *chain[N + 2] = {0}, *circle[N + 2] = {0};
    const struct forged *root = make((struct forge){.name = "root", .extensions = {FORGE_CA}});
    const struct forged *last = make((struct forge){.name = "even", .extensions = {FORGE_CA}});
    for (size_t i = 1; i <= N; i++) {
        chain[i] = make((struct forge){.name = "middle", .issuer = root, .extensions = {FORGE_CA}});
        circle[i] = last =
            make((struct forge){.name = i % 2 ? "odd" : "even", .issuer = last, .extensions = {FORGE_CA}});
    }
    for (size_t i = 1; i <= N; i++) {
        chain[0] = make((struct forge){.name = "leaf", .issuer = chain[i]});
        assert_int_equal(judge(LIST(root), false, chain).ok, i <= SP_PATH_TRIES);
    }
    circle[0] = make((struct forge){.name = "leaf", .issuer = last});
    assert_false(judge(LIST(root), false, circle).ok);
}

static bool is_named(const char *sans, const char *name)
{
    struct forge f = {.name = "cn.example", .extensions = {{NID_subject_alt_name, sans}}};
    return sp_path_is_named(make(f)->x, name);
}

/* RFC 9525: by type, as a whole, and never the common name. */
static void servers_by_name(void **state)
{
    (void)state;
    assert_true(is_named("DNS:a.example,DNS:b.example", "b.example"));
    assert_true(is_named("DNS:A.Example", "a.example"));
    assert_false(is_named("DNS:a.example", "cn.example"));
    assert_false(is_named(NULL, "cn.example"));
    assert_false(is_named("email:cn.example", "cn.example"));
    assert_false(is_named("URI:https://cn.example", "cn.example"));
    assert_true(is_named("DNS:*.example.com", "a.example.com"));
    assert_false(is_named("DNS:*.example.com", "a.b.example.com"));
    assert_false(is_named("DNS:*.example.com", "example.com"));
    assert_false(is_named("DNS:a*.example.com", "ab.example.com"));
    assert_false(is_named("DNS:a.*.example.com", "a.b.example.com"));
    assert_true(is_named("IP:10.1.2.3", "10.1.2.3"));
    assert_false(is_named("DNS:10.1.2.3", "10.1.2.3"));
    assert_true(is_named("IP:2001:db8::1", "2001:db8:0::1"));
    assert_false(is_named("IP:2001:db8::1", "2001:db8::2"));
    assert_false(is_named("DNS:a.example", ""));
}

/* CVE-2025-66220: what stands before a NUL is not the name. */
static void nul_in_a_server_name(void **state)
{
    (void)state;
    struct sp_str der = forged_der(
        make((struct forge){.name = "x", .extensions = {{NID_subject_alt_name, "DNS:good.exampleX.evil.example"}}}),
        arena);
    char *at = memmem(der.p, der.len, "exampleX", 8);
    assert_non_null(at);
    at[7] = '\0';
    const uint8_t *p = (const uint8_t *)der.p;
    X509 *x = d2i_X509(NULL, &p, (long)der.len);
    assert_false(x && sp_path_is_named(x, "good.example"));
    X509_free(x);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(weak_keys),
                                       T(weak_signatures),
                                       T(anchors_have_limits),
                                       T(names_under_constraints),
                                       T(addresses_under_an_intermediate),
                                       T(roots_of_one_name),
                                       T(intermediates_of_one_name),
                                       T(a_search_ends),
                                       T(servers_by_name),
                                       T(nul_in_a_server_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
