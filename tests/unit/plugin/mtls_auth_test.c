#include "lab.h"
#include "odd_certificates.h"

#include "base/log.h"
#include "plugin/kinds.h"
#include "plugin/trace.h"

#include <unistd.h>

static const char no_certificate[] = "No required TLS certificate was sent";
static const char not_verified[] = "TLS certificate failed verification";

/* What a test sets of the config; the rest is the schema's default. */
struct setting {
    const char *cas[3], *anonymous, *fallback, *group_by, *by[2], *dirname[2], *ws;
    bool by_none, skip, partial, group_null;
};

static const void *instance(struct lab *l, struct setting s)
{
    Sallyport__V1__MtlsAuthConfig *m = SP_NEW(l->arena, Sallyport__V1__MtlsAuthConfig);
    sallyport__v1__mtls_auth_config__init(m);
    char **cas = SP_NEW_N(l->arena, char *, 3), **by = SP_NEW_N(l->arena, char *, 2),
         **dn = SP_NEW_N(l->arena, char *, 2);
    for (; m->n_ca_certificates < 3 && s.cas[m->n_ca_certificates]; m->n_ca_certificates++)
        cas[m->n_ca_certificates] = (char *)s.cas[m->n_ca_certificates];
    if (!m->n_ca_certificates)
        cas[m->n_ca_certificates++] = (char *)"ca";
    for (; m->n_consumer_by < 2 && s.by[m->n_consumer_by]; m->n_consumer_by++)
        by[m->n_consumer_by] = (char *)s.by[m->n_consumer_by];
    for (; m->n_san_dirname_matcher < 2 && s.dirname[m->n_san_dirname_matcher]; m->n_san_dirname_matcher++)
        dn[m->n_san_dirname_matcher] = (char *)s.dirname[m->n_san_dirname_matcher];
    m->ca_certificates = cas;
    m->consumer_by = by;
    m->san_dirname_matcher = dn;
    m->consumer_by_none = s.by_none;
    m->anonymous = (char *)s.anonymous;
    m->default_consumer = (char *)s.fallback;
    if (s.group_by)
        m->authenticated_group_by = (char *)s.group_by;
    m->authenticated_group_by_null = s.group_null;
    m->skip_consumer_lookup = s.skip;
    m->allow_partial_chain = s.partial;
    Sallyport__V1__Plugin p = SALLYPORT__V1__PLUGIN__INIT;
    p.config_case = SALLYPORT__V1__PLUGIN__CONFIG_MTLS_AUTH;
    p.mtls_auth = m;
    p.ws = (char *)s.ws;
    void *out;
    struct sp_error err;
    sp_result r = dp_mtls_auth.compile(l->arena, l->directory, &p, &out, &err);
    if (sp_failed(r))
        fail_msg("%s", err.text);
    return out;
}

static struct request *run(struct lab *l, const void *instance, const struct issued *const *chain)
{
    struct request *r = request_new(l, chain);
    dp_mtls_auth.access(instance, &r->call);
    return r;
}

static void replies(struct request *r, unsigned status, const char *message)
{
    assert_int_equal(r->call.reply_status, status);
    assert_string_equal(r->call.reply_message, message);
    request_free(r);
}

/* Passed, as this consumer ("" for none). */
static void passes(struct request *r, const char *username)
{
    assert_int_equal(r->call.reply_status, 0);
    assert_string_equal(sent(r, "X-Consumer-Username"), username);
    assert_true(r->call.has_credential);
    assert_int_equal(r->call.client_verify, DP_VERIFY_SUCCESS);
    request_free(r);
}

static void without_a_certificate(void **state)
{
    struct lab *l = *state;
    const void *i = instance(l, (struct setting){0});
    struct request *r = request_new(l, NULL);
    r->call.peer = NULL;
    assert_int_equal(dp_mtls_auth.access(i, &r->call), DP_REPLY);
    assert_int_equal(r->call.client_verify, DP_VERIFY_NONE);
    assert_false(r->call.wants_certificate);
    replies(r, 401, no_certificate);

    r = run(l, i,
            NULL); /* asked, and nothing was sent: whether another connection would do is for the exchange to say */
    assert_true(r->call.wants_certificate);
    replies(r, 401, no_certificate);

    r = request_new(l, NULL);
    r->peer.asked = false;
    dp_mtls_auth.access(i, &r->call);
    assert_true(r->call.wants_certificate);
    replies(r, 401, no_certificate);
}

static void untrusted_and_out_of_date(void **state)
{
    struct lab *l = *state;
    const void *i = instance(l, (struct setting){0});
    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    struct issued foreign = issue(l, (struct leaf){.cn = "alice"}, &l->other_ca);
    struct issued expired =
        issue(l, (struct leaf){.cn = "alice", .not_before = LAB_NOW - 9 * DAY, .not_after = LAB_NOW - 1}, &l->ca);
    struct issued early = issue(l, (struct leaf){.cn = "alice", .not_before = LAB_NOW + DAY}, &l->ca);
    struct issued selfmade = issue(l, (struct leaf){.cn = "alice"}, NULL);
    struct issued broken = {.der = SP_STR("not a certificate")};
    const struct issued *bad[] = {&foreign, &expired, &early, &selfmade, &broken};
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        struct request *r = run(l, i, CHAIN(bad[n]));
        assert_int_equal(r->call.client_verify, DP_VERIFY_FAILED);
        assert_non_null(r->call.client_verify_reason);
        assert_false(r->call.wants_certificate);
        assert_null(r->call.consumer);
        replies(r, 401, not_verified);
    }
}

static void intermediates(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->inter);
    const void *i = instance(l, (struct setting){0});
    replies(run(l, i, CHAIN(&leaf)), 401, not_verified);
    passes(run(l, i, CHAIN(&leaf, &l->inter)), "alice");
    const void *part = instance(l, (struct setting){.cas = {"inter"}});
    replies(run(l, part, CHAIN(&leaf)), 401, not_verified);
    const void *allowed = instance(l, (struct setting){.cas = {"inter"}, .partial = true});
    passes(run(l, allowed, CHAIN(&leaf)), "alice");
    struct issued direct = issue(l, (struct leaf){.cn = "alice"}, &l->ca);
    replies(run(l, allowed, CHAIN(&direct)), 401, not_verified);
}

static void consumer_by(void **state)
{
    struct lab *l = *state;
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->ca);
    replies(run(l, instance(l, (struct setting){0}), CHAIN(&leaf)), 401, not_verified);
    add_consumer(l, (struct person){.id = "c1", .username = "by-custom", .custom_id = "alice"});
    passes(run(l, instance(l, (struct setting){0}), CHAIN(&leaf)), "by-custom");
    replies(run(l, instance(l, (struct setting){.by = {"username"}}), CHAIN(&leaf)), 401, not_verified);
    add_consumer(l, (struct person){.id = "c2", .username = "alice", .custom_id = "other"});
    passes(run(l, instance(l, (struct setting){0}), CHAIN(&leaf)), "alice");
    passes(run(l, instance(l, (struct setting){.by = {"custom_id", "username"}}), CHAIN(&leaf)), "by-custom");
    replies(run(l, instance(l, (struct setting){.by_none = true}), CHAIN(&leaf)), 401, not_verified);
    struct issued upper = issue(l, (struct leaf){.cn = "Alice"}, &l->ca); /* exact comparison */
    replies(run(l, instance(l, (struct setting){0}), CHAIN(&upper)), 401, not_verified);
    add_consumer(l, (struct person){.id = "c3", .username = "eve", .ws = "elsewhere"});
    struct issued eve = issue(l, (struct leaf){.cn = "eve"}, &l->ca);
    replies(run(l, instance(l, (struct setting){0}), CHAIN(&eve)), 401, not_verified);
    passes(run(l, instance(l, (struct setting){.ws = "elsewhere"}), CHAIN(&eve)), "eve");
}

static void mappings(void **state)
{
    struct lab *l = *state;
    struct issued leaf = issue(l, (struct leaf){.cn = "subject"}, &l->ca);
    add_consumer(l, (struct person){.id = "c0", .username = "subject"});
    add_consumer(l, (struct person){.id = "c1", .username = "wrong-ca", .map = {{"m1", "subject", "other"}}});
    passes(run(l, instance(l, (struct setting){0}), CHAIN(&leaf)), "subject");
    add_consumer(l, (struct person){.id = "c2", .username = "any-ca", .map = {{"m2", "subject", NULL}}});
    passes(run(l, instance(l, (struct setting){0}), CHAIN(&leaf)), "any-ca");
    add_consumer(l, (struct person){.id = "c3", .username = "our-ca", .map = {{"m3", "subject", "ca", 5}}});
    passes(run(l, instance(l, (struct setting){.by_none = true}), CHAIN(&leaf)), "our-ca");
    struct request *r = run(l, instance(l, (struct setting){0}), CHAIN(&leaf));
    assert_string_equal(sent(r, "X-Credential-Identifier"), "m3");
    assert_string_equal(sent(r, "X-Consumer-ID"), "c3");
    passes(r, "our-ca");
    add_consumer(l, (struct person){.id = "c4", .username = "older", .map = {{"m4", "subject", "ca", 4}}});
    add_consumer(l, (struct person){.id = "c5", .username = "newer", .map = {{"m5", "subject", "ca", 9}}});
    passes(run(l, instance(l, (struct setting){0}), CHAIN(&leaf)), "older");
}

/* With intermediates the CA that counts is the trust anchor. */
static void mapping_is_under_the_anchor(void **state)
{
    struct lab *l = *state;
    struct issued leaf = issue(l, (struct leaf){.cn = "subject"}, &l->inter);
    add_consumer(l, (struct person){.id = "c1", .username = "anchored", .map = {{"m1", "subject", "ca"}}});
    add_consumer(l, (struct person){.id = "c2", .username = "partial", .map = {{"m2", "subject", "inter"}}});
    passes(run(l, instance(l, (struct setting){.cas = {"other", "ca"}}), CHAIN(&leaf, &l->inter)), "anchored");
    const void *i = instance(l, (struct setting){.cas = {"inter"}, .partial = true});
    passes(run(l, i, CHAIN(&leaf)), "partial");
}

static void subject_alternative_names(void **state)
{
    struct lab *l = *state;
    const void *i = instance(l, (struct setting){0});
    add_consumer(l, (struct person){.id = "c0", .username = "shadow"});
    struct issued other = issue(l, (struct leaf){.cn = "shadow", .san = {"DNS:nobody.example"}}, &l->ca);
    replies(run(l, i, CHAIN(&other)), 401, not_verified); /* the CN does not count beside a SAN */
    const char *sans[][2] = {{"DNS:host.example.com", "host.example.com"},
                             {"email:test@example.com", "test@example.com"},
                             {"URI:spiffe://td/ns/a/sa/b", "spiffe://td/ns/a/sa/b"},
                             {"IP:10.1.2.3", "10.1.2.3"}};
    for (size_t n = 0; n < 4; n++) {
        add_consumer(l, (struct person){.id = sans[n][0], .username = sans[n][1]});
        struct issued leaf = issue(l, (struct leaf){.cn = "shadow", .san = {"DNS:first.example", sans[n][0]}}, &l->ca);
        struct request *r = run(l, i, CHAIN(&leaf));
        assert_string_equal(sent(r, "X-Credential-Identifier"), sans[n][1]);
        assert_string_equal(sent(r, "X-Client-Cert-Dn"), "");
        passes(r, sans[n][1]);
    }
    /* order of the extension decides */
    struct issued both = issue(l, (struct leaf){.san = {"IP:10.1.2.3", "DNS:host.example.com"}}, &l->ca);
    passes(run(l, i, CHAIN(&both)), "10.1.2.3");
}

static void directory_names(void **state)
{
    struct lab *l = *state;
    add_ca(l, "odd", sp_str_z(odd_ca));
    struct issued dir = from_pem(l, odd_dir);
    add_consumer(l, (struct person){.id = "c1", .username = "dir-user"});
    add_consumer(l, (struct person){.id = "c2", .username = "shadow"});
    passes(run(l, instance(l, (struct setting){.cas = {"odd"}}), CHAIN(&dir)), "dir-user");
    const char *words[] = {"CN", "commonName", "2.5.4.3"};
    for (size_t n = 0; n < 3; n++)
        passes(run(l, instance(l, (struct setting){.cas = {"odd"}, .dirname = {words[n]}}), CHAIN(&dir)), "dir-user");
    const char *others[] = {"O", "cn", "COMMONNAME"};
    for (size_t n = 0; n < 3; n++)
        replies(run(l, instance(l, (struct setting){.cas = {"odd"}, .dirname = {others[n]}}), CHAIN(&dir)), 401,
                not_verified);
}

static void odd_certificates(void **state)
{
    struct lab *l = *state;
    add_ca(l, "odd", sp_str_z(odd_ca));
    add_consumer(l, (struct person){.id = "c1", .username = "admin"});
    add_consumer(l, (struct person){.id = "c2", .username = "shadow"});
    add_consumer(l, (struct person){.id = "c3", .username = "first"});
    add_consumer(l, (struct person){.id = "c4", .username = "alice"});
    const void *i = instance(l, (struct setting){.cas = {"odd"}});
    struct issued nul = from_pem(l, odd_nul), cns = from_pem(l, odd_cns), eku = from_pem(l, odd_eku);
    struct issued crlf = from_pem(l, odd_crlf);
    struct dp_trace_step step = {0};
    struct dp_trace trace = {.now = &step};
    struct request *told = request_new(l, CHAIN(&nul));
    told->call.trace = &trace;
    dp_mtls_auth.access(i, &told->call);
    assert_string_equal(step.reason.p, "certificate holds a malformed name: NUL byte in a dNSName");
    replies(told, 401, not_verified);
    replies(run(l, i, CHAIN(&nul)), 401, not_verified);
    replies(run(l, i, CHAIN(&eku)), 401, not_verified);
    passes(run(l, i, CHAIN(&cns)), "first");
    struct request *r = run(l, instance(l, (struct setting){.cas = {"odd"}, .skip = true}), CHAIN(&crlf));
    assert_int_equal(r->head.fields.len, 0);
    replies(r, 401, not_verified);
}

/* An upstream would read them as other names. */
static void names_that_end_in_blanks(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "alice "});
    add_consumer(l, (struct person){.id = "c2", .username = "someone"});
    struct issued cn = issue(l, (struct leaf){.cn = "alice "}, &l->ca);
    struct issued group = issue(l, (struct leaf){.cn = "admin ", .san = {"DNS:a.test"}}, &l->ca);
    replies(run(l, instance(l, (struct setting){.skip = true}), CHAIN(&cn)), 401, not_verified);
    replies(run(l, instance(l, (struct setting){.skip = true}), CHAIN(&group)), 401, not_verified);
    replies(run(l, instance(l, (struct setting){.by_none = true, .fallback = "someone"}), CHAIN(&cn)), 401,
            not_verified);
    passes(run(l, instance(l, (struct setting){0}), CHAIN(&cn)), "alice "); /* the config's own name is sent */
}

static void empty_names(void **state)
{
    struct lab *l = *state;
    struct issued nobody = issue(l, (struct leaf){0}, &l->ca);
    add_consumer(l, (struct person){.id = "c1", .username = "someone"});
    replies(run(l, instance(l, (struct setting){0}), CHAIN(&nobody)), 401, not_verified);
    struct request *r = run(l, instance(l, (struct setting){.skip = true}), CHAIN(&nobody));
    assert_string_equal(sent(r, "X-Client-Cert-Dn"), "");
    assert_string_equal(sent(r, "X-Client-Cert-San"), "");
    assert_int_equal(r->call.num_authenticated_groups, 0);
    passes(r, "");
    r = run(l, instance(l, (struct setting){.fallback = "someone"}), CHAIN(&nobody));
    passes(r, "someone");
}

static void default_consumer(void **state)
{
    struct lab *l = *state;
    struct issued leaf = issue(l, (struct leaf){.cn = "stranger", .o = "Lab"}, &l->ca);
    struct issued foreign = issue(l, (struct leaf){.cn = "stranger"}, &l->other_ca);
    add_consumer(l, (struct person){.id = "d-id", .username = "d-name", .custom_id = "d-custom"});
    add_consumer(l, (struct person){.id = "a-id", .username = "anon"});
    const char *names[] = {"d-id", "d-name"};
    for (size_t n = 0; n < 2; n++) {
        const void *i = instance(l, (struct setting){.fallback = names[n], .anonymous = "anon"});
        struct request *r = run(l, i, CHAIN(&leaf));
        assert_string_equal(sent(r, "X-Consumer-ID"), "d-id");
        assert_string_equal(sent(r, "X-Consumer-Custom-ID"), "d-custom");
        assert_string_equal(sent(r, "X-Client-Cert-Dn"), "CN=stranger,O=Lab");
        assert_string_equal(sent(r, "X-Client-Cert-San"), "stranger");
        assert_string_equal(sent(r, "X-Anonymous-Consumer"), "");
        passes(r, "d-name");
        r = run(l, i, CHAIN(&foreign)); /* only for a valid certificate */
        assert_string_equal(sent(r, "X-Consumer-Username"), "anon");
        request_free(r);
    }
    replies(run(l, instance(l, (struct setting){.fallback = "d-custom"}), CHAIN(&leaf)), 401, "Unauthorized");
    const void *gone = instance(l, (struct setting){.fallback = "gone", .anonymous = "anon"});
    replies(run(l, gone, CHAIN(&leaf)), 401, "Unauthorized"); /* not rescued */
}

static void skip_consumer_lookup(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "alice", .map = {{"m1", "alice", NULL}}});
    struct issued leaf = issue(l, (struct leaf){.cn = "alice", .o = "Lab", .san = {"DNS:a.example", "IP:::1"}}, &l->ca);
    struct request *r = request_new(l, CHAIN(&leaf));
    client_sends(r, "x-consumer-username", "root");
    r->call.consumer = dp_directory_consumer_id(l->directory, SP_STR("c1"));
    dp_mtls_auth.access(instance(l, (struct setting){.skip = true}), &r->call);
    assert_string_equal(sent(r, "X-Client-Cert-Dn"), "CN=alice,O=Lab");
    assert_string_equal(sent(r, "X-Client-Cert-San"), "a.example,::1");
    assert_string_equal(sent(r, "X-Consumer-ID"), "");
    assert_string_equal(sent(r, "X-Credential-Identifier"), "");
    assert_null(r->call.consumer);
    assert_int_equal(r->call.num_authenticated_groups, 1);
    assert_true(sp_str_eq(r->call.authenticated_groups[0], SP_STR("alice")));
    passes(r, "");
    r = run(l, instance(l, (struct setting){.skip = true, .group_by = "DN"}), CHAIN(&leaf));
    assert_true(sp_str_eq(r->call.authenticated_groups[0], SP_STR("CN=alice,O=Lab")));
    passes(r, "");
    r = run(l, instance(l, (struct setting){.skip = true, .group_null = true}), CHAIN(&leaf));
    assert_int_equal(r->call.num_authenticated_groups, 0);
    passes(r, "");
    struct issued foreign = issue(l, (struct leaf){.cn = "alice"}, &l->other_ca);
    replies(run(l, instance(l, (struct setting){.skip = true}), CHAIN(&foreign)), 401, not_verified);
}

static void anonymous(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "a-id", .username = "anon", .custom_id = "a-custom"});
    struct issued foreign = issue(l, (struct leaf){.cn = "x"}, &l->other_ca);
    const char *names[] = {"a-id", "anon"};
    for (size_t n = 0; n < 2; n++) {
        const void *i = instance(l, (struct setting){.anonymous = names[n]});
        for (size_t with = 0; with < 2; with++) {
            struct request *r = request_new(l, with ? CHAIN(&foreign) : NULL);
            r->peer.asked = with;
            client_sends(r, "X-Credential-Identifier", "forged");
            client_sends(r, "X-Client-Cert-Dn", "CN=forged");
            assert_int_equal(dp_mtls_auth.access(i, &r->call), DP_NEXT);
            assert_string_equal(sent(r, "X-Consumer-ID"), "a-id");
            assert_string_equal(sent(r, "X-Consumer-Custom-ID"), "a-custom");
            assert_string_equal(sent(r, "X-Consumer-Username"), "anon");
            assert_string_equal(sent(r, "X-Anonymous-Consumer"), "true");
            assert_string_equal(sent(r, "X-Credential-Identifier"), "");
            assert_string_equal(sent(r, "X-Client-Cert-Dn"), "");
            assert_false(r->call.has_credential);
            assert_false(r->call.wants_certificate);
            assert_int_equal(r->call.client_verify, with ? DP_VERIFY_FAILED : DP_VERIFY_NONE);
            request_free(r);
        }
    }
    const char *missing[] = {"gone", "a-custom"};
    for (size_t n = 0; n < 2; n++) {
        char want[96];
        snprintf(want, sizeof want, "anonymous consumer %s is configured but doesn't exist", missing[n]);
        replies(run(l, instance(l, (struct setting){.anonymous = missing[n]}), NULL), 500, want);
    }
}

/* Logical OR: who is authenticated already is left alone. Logical AND: the last plugin's consumer counts. */
static void after_another_plugin(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "k-id", .username = "by-key"});
    add_consumer(l, (struct person){.id = "c-id", .username = "by-cert"});
    struct issued leaf = issue(l, (struct leaf){.cn = "by-cert"}, &l->ca);
    const struct dp_consumer *key = dp_directory_consumer_id(l->directory, SP_STR("k-id"));
    struct request *r = request_new(l, CHAIN(&leaf));
    r->call.consumer = key;
    r->call.has_credential = true;
    assert_int_equal(dp_mtls_auth.access(instance(l, (struct setting){.anonymous = "gone"}), &r->call), DP_NEXT);
    assert_ptr_equal(r->call.consumer, key);
    assert_int_equal(r->head.fields.len, 0);
    assert_int_equal(r->call.client_verify, DP_VERIFY_UNSET);
    dp_mtls_auth.access(instance(l, (struct setting){0}), &r->call);
    passes(r, "by-cert");
}

static void spoofed_fields_are_removed(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->ca);
    const char *forged[] = {"X-Consumer-ID",           "x_consumer_id",           "X-CONSUMER_Username",
                            "x-consumer-custom-id",    "X_Consumer_Custom_ID",    "x-anonymous-consumer",
                            "X-Credential-Identifier", "X_CREDENTIAL-identifier", "x-client-cert-dn",
                            "X_Client_Cert_San",       "X-Consumer-Groups",       "x-authenticated_groups",
                            "X-Credential-Username"};
    struct request *r = request_new(l, CHAIN(&leaf));
    for (size_t n = 0; n < sizeof forged / sizeof *forged; n++)
        client_sends(r, forged[n], "root");
    client_sends(r, "X-Consumer-Idea", "kept");
    client_sends(r, "x-other", "kept");
    assert_int_equal(dp_mtls_auth.access(instance(l, (struct setting){0}), &r->call), DP_NEXT);
    for (uint32_t n = 0; n < r->head.fields.len; n++)
        assert_true(r->head.fields.v[n].removed || !sp_str_eq(r->head.fields.v[n].value, SP_STR("root")));
    assert_string_equal(sent(r, "X-Consumer-ID"), "c1");
    assert_string_equal(sent(r, "X-Consumer-Custom-ID"), "");
    assert_string_equal(sent(r, "X-Anonymous-Consumer"), "");
    assert_string_equal(sent(r, "X-Consumer-Idea"), "kept");
    assert_string_equal(sent(r, "x-other"), "kept");
    passes(r, "alice");
}

/* A remembered verdict ends with the certificate, and a failure is not remembered for long. */
static void time_moves(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    const void *i = instance(l, (struct setting){0});
    struct issued leaf =
        issue(l, (struct leaf){.cn = "alice", .not_before = LAB_NOW + 100, .not_after = LAB_NOW + 200}, &l->ca);
    replies(run(l, i, CHAIN(&leaf)), 401, not_verified);
    l->now = LAB_NOW + 150;
    passes(run(l, i, CHAIN(&leaf)), "alice");
    passes(run(l, i, CHAIN(&leaf)), "alice");
    l->now = LAB_NOW + 201;
    replies(run(l, i, CHAIN(&leaf)), 401, not_verified);
    l->now = LAB_NOW + 50; /* and a clock that is set back */
    replies(run(l, i, CHAIN(&leaf)), 401, not_verified);
}

static void verdicts_belong_to_an_instance(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->ca);
    const void *good = instance(l, (struct setting){0}), *bad = instance(l, (struct setting){.cas = {"other"}});
    for (int n = 0; n < 3; n++) {
        passes(run(l, good, CHAIN(&leaf)), "alice");
        replies(run(l, bad, CHAIN(&leaf)), 401, not_verified);
    }
}

/* What is said of a connection between its requests is what a request on it would be told. */
static void a_connection_stands_while_a_request_would_pass(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->ca),
                  nobody = issue(l, (struct leaf){.cn = "x"}, &l->ca),
                  forged = issue(l, (struct leaf){.cn = "alice"}, &l->other_ca);
    const struct setting settings[] = {{.skip = false},         {.skip = true},         {.fallback = "alice"},
                                       {.fallback = "missing"}, {.anonymous = "alice"}, {.cas = {"ca", "missing"}},
                                       {.by_none = true}};
    static const bool passes[][3] = {{true}, {true, true}, {true, true}, {true}, {true}, {0}, {0}};
    const struct issued *who[] = {&leaf, &nobody, &forged};
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++)
        for (size_t w = 0; w < 3; w++) {
            const void *i = instance(l, settings[s]);
            struct request *r = run(l, i, CHAIN(who[w]));
            struct dp_call between = {
                .clock = &l->clock, .cache = l->cache, .directory = l->directory, .peer = &r->peer};
            assert_int_equal(dp_mtls_auth.stands(i, &between), passes[s][w]);
            assert_int_equal(between.accepted_until, passes[s][w] ? LAB_NOW + 180 * DAY : 0);
            assert_int_equal(r->call.accepted_until, between.accepted_until);
            l->now += 181 * DAY;
            assert_false(dp_mtls_auth.stands(i, &between));
            l->now -= 181 * DAY;
            request_free(r);
        }
    struct request *none = request_new(l, NULL);
    assert_false(dp_mtls_auth.stands(instance(l, (struct setting){.skip = true}), &none->call));
    request_free(none);
}

/* More certificates than the cache holds: still the right answers, and what a request got stays valid. */
static void cache_is_bounded(void **state)
{
    struct lab *l = *state;
    struct issued leaf = issue(l, (struct leaf){.cn = "first", .o = "Lab"}, &l->ca);
    const void *i = instance(l, (struct setting){.skip = true});
    struct request *held = run(l, i, CHAIN(&leaf));
    for (uint32_t n = 0; n < 20000; n++) {
        struct request *r = request_new(l, NULL);
        r->chain[0] = SP_STR("junk");
        r->peer.num_chain = 1;
        memcpy(r->peer.digest, &n, sizeof n);
        dp_mtls_auth.access(i, &r->call);
        replies(r, 401, not_verified);
    }
    assert_string_equal(sent(held, "X-Client-Cert-Dn"), "CN=first,O=Lab");
    passes(held, "");
    passes(run(l, i, CHAIN(&leaf)), "");
}

static void missing_ca_answers_500(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->ca);
    const void *i = instance(l, (struct setting){.cas = {"ca", "gone"}, .anonymous = "alice"});
    replies(run(l, i, CHAIN(&leaf)), 500, "An unexpected error occurred");
}

static void reasons_are_for_the_log(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "a-id", .username = "anon"});
    char path[] = "/tmp/sallyport-log-XXXXXX";
    int fd = mkstemp(path);
    struct sp_error err;
    assert_false(sp_failed(sp_log_open(path, SP_NOTICE, &err)));
    replies(run(l, instance(l, (struct setting){0}), NULL), 401, no_certificate);
    struct sp_buf text = {0};
    assert_false(sp_failed(sp_buf_read_file(&text, path, 4096, &err)));
    sp_buf_putc(&text, '\0');
    assert_non_null(strstr(text.p, " notice mtls_auth_failed [mtls-auth] request_id=0123456789abcdef0123456789abcdef "
                                   "reason=\"no certificate\"\n"));
    size_t before = text.len - 1;
    request_free(run(l, instance(l, (struct setting){.anonymous = "anon"}), NULL));
    sp_buf_fini(&text);
    assert_false(sp_failed(sp_buf_read_file(&text, path, 4096, &err)));
    assert_int_equal(text.len, before); /* who is let in as anonymous has not failed */
    sp_buf_fini(&text);
    close(fd);
    unlink(path);
}

static void bad_configs(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__MtlsAuthConfig m = SALLYPORT__V1__MTLS_AUTH_CONFIG__INIT;
    Sallyport__V1__Plugin p = SALLYPORT__V1__PLUGIN__INIT;
    void *out;
    struct sp_error err;
    assert_true(sp_failed(dp_mtls_auth.compile(l->arena, l->directory, &p, &out, &err)));
    p.mtls_auth = &m;
    assert_true(sp_failed(dp_mtls_auth.compile(l->arena, l->directory, &p, &out, &err)));
    assert_string_equal(err.text, "config.ca_certificates: required field missing");
    char ca[] = "ca", *cas[] = {ca}, bad[] = "email", *by[] = {bad};
    m.n_ca_certificates = 1;
    m.ca_certificates = cas;
    m.n_consumer_by = 1;
    m.consumer_by = by;
    assert_true(sp_failed(dp_mtls_auth.compile(l->arena, l->directory, &p, &out, &err)));
    assert_non_null(strstr(err.text, "config.consumer_by[0]"));
}

/* --- what a trace says of it */

static struct dp_trace_step traced(struct lab *l, const void *instance, const struct issued *const *chain)
{
    struct dp_trace_step step = {0};
    struct dp_trace t = {.now = &step};
    struct request *r = request_new(l, chain);
    r->call.arena = l->arena;
    r->call.trace = &t;
    dp_mtls_auth.access(instance, &r->call);
    request_free(r);
    return step;
}

static void a_trace_names_the_rule(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1",
                                    .username = "alice",
                                    .custom_id = "a-1",
                                    .map = {{"m1", "strict.test", "ca"}, {"m2", "any.test", NULL}}});
    add_consumer(l, (struct person){.id = "c2", .username = "guest"});
    struct {
        const char *san;
        struct setting s;
        unsigned rule;
        const char *what, *match, *reason;
    } rows[] = {
        {"DNS:strict.test", {.skip = false}, 1, "mapping under the CA of the chain", "strict.test", ""},
        {"DNS:any.test", {.skip = false}, 2, "mapping under any CA", "any.test", ""},
        {"DNS:alice", {.skip = false}, 3, "consumer_by username", "alice", ""},
        {"DNS:a-1", {.skip = false}, 3, "consumer_by custom_id", "a-1", ""},
        {"DNS:nobody", {.fallback = "guest"}, 4, "default_consumer", "guest", ""},
        {"DNS:nobody", {.anonymous = "guest"}, 5, "anonymous", "guest", "no consumer has a name of this certificate"},
        {"DNS:nobody", {.skip = false}, 0, NULL, "", "no consumer has a name of this certificate"},
        {"DNS:nobody", {.fallback = "gone"}, 0, NULL, "", "default consumer gone does not exist"},
        {"DNS:alice", {.cas = {"ca", "missing"}}, 0, NULL, "", "broken: one of its ca_certificates does not exist"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct issued leaf = issue(l, (struct leaf){.cn = "x", .san = {rows[i].san}}, &l->ca);
        struct dp_trace_step s = traced(l, instance(l, rows[i].s), CHAIN(&leaf));
        assert_int_equal(s.rule, rows[i].rule);
        assert_true(sp_str_eq(s.match, sp_str_z(rows[i].match)));
        assert_true(sp_str_eq(sp_str_z(s.rule_what), sp_str_z(rows[i].what)));
        assert_true(sp_str_eq(s.reason, sp_str_z(rows[i].reason)));
        if (i + 1 == sizeof rows / sizeof *rows)
            break; /* nothing was judged */
        assert_true(sp_str_eq(s.anchor, SP_STR("ca")));
        assert_int_equal(s.num_names, 1);
        assert_string_equal(s.names[0].p, rows[i].san + 4);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, lab_setup, lab_teardown)

int main(void)
{
    sp_log_min = SP_ERROR;
    const struct CMUnitTest tests[] = {
        TEST(without_a_certificate),
        TEST(untrusted_and_out_of_date),
        TEST(intermediates),
        TEST(consumer_by),
        TEST(mappings),
        TEST(mapping_is_under_the_anchor),
        TEST(subject_alternative_names),
        TEST(directory_names),
        TEST(odd_certificates),
        TEST(empty_names),
        TEST(names_that_end_in_blanks),
        TEST(default_consumer),
        TEST(skip_consumer_lookup),
        TEST(anonymous),
        TEST(after_another_plugin),
        TEST(spoofed_fields_are_removed),
        TEST(time_moves),
        TEST(a_connection_stands_while_a_request_would_pass),
        TEST(verdicts_belong_to_an_instance),
        TEST(cache_is_bounded),
        TEST(missing_ca_answers_500),
        TEST(bad_configs),
        TEST(reasons_are_for_the_log),
        TEST(a_trace_names_the_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
