#include "test.h"

#include "cluster.h"
#include "config/snapshot.h"
#include "config/vault.h"
#include "resources.h"

#include <stdio.h>

#define SECRET "rather-secret"

struct bench {
    struct res_set set;
    struct sp_arena *secrets;
    struct sp_problems problems;
    const struct sp_resources *out;
};

static struct cert ca, other_ca, leaf;

static int start(void **state)
{
    (void)state;
    cert_make(&ca, NULL, "clients", NULL, true, 10000);
    cert_make(&other_ca, NULL, "others", NULL, true, 10000);
    cert_make(&leaf, &ca, "a.test", "DNS:a.test", false, 10000);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    cert_fini(&ca);
    cert_fini(&other_ca);
    cert_fini(&leaf);
    return 0;
}

static int setup(void **state)
{
    struct bench *b = sp_alloc(sizeof *b);
    res_init(&b->set);
    b->secrets = sp_arena_new_secret(4096);
    sp_problems_init(&b->problems, b->set.arena);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    sp_arena_free(b->secrets);
    sp_arena_free(b->set.arena);
    free(b);
    return 0;
}

static void set_buf(const char *name, const struct sp_buf *value)
{
    struct sp_arena *a = sp_arena_new(4096);
    assert_int_equal(setenv(name, sp_arena_dup(a, sp_buf_str(value)).p, 1), 0);
    sp_arena_free(a);
}

static void add_certificate(struct bench *b, const char *name, const char *cert, const char *key, const char *sni)
{
    Sallyport__V1__ServerCertificate m = SALLYPORT__V1__SERVER_CERTIFICATE__INIT;
    Sallyport__V1__Certificate c = SALLYPORT__V1__CERTIFICATE__INIT;
    char *snis[1] = {(char *)sni};
    c.id = (char *)name;
    c.cert = (char *)cert;
    c.key = (char *)key;
    m.certificate = &c;
    m.n_snis = sni ? 1 : 0;
    m.snis = snis;
    res_message(&b->set, SALLYPORT__V1__KIND__CERTIFICATE, name, &m.base);
}

static void add_vault(struct bench *b, const char *name, const char *prefix, const char *variables)
{
    Sallyport__V1__Vault m = SALLYPORT__V1__VAULT__INIT;
    Sallyport__V1__EnvVaultConfig config = SALLYPORT__V1__ENV_VAULT_CONFIG__INIT;
    m.name = (char *)name;
    m.prefix = (char *)prefix;
    config.prefix = (char *)variables;
    m.config = variables ? &config : NULL;
    res_message(&b->set, SALLYPORT__V1__KIND__VAULT, prefix, &m.base);
}

/* As they are in a snapshot: unpacked. */
static sp_result resolve(struct bench *b)
{
    res_done(&b->set);
    for (size_t i = 0; i < b->set.set.num; i++) {
        struct sp_resource *r = &b->set.set.v[i];
        r->message =
            protobuf_c_message_unpack(sp_resource_descriptor(r->kind), NULL, r->body.len, (const uint8_t *)r->body.p);
        assert_non_null(r->message);
    }
    return dp_vaults_resolve(&b->set.set, b->secrets, &b->out, &b->problems);
}

static void unpacked_free(struct bench *b)
{
    for (size_t i = 0; i < b->set.set.num; i++)
        protobuf_c_message_free_unpacked(b->set.set.v[i].message, NULL);
}

static const Sallyport__V1__Certificate *certificate(const struct sp_resources *r, const char *name)
{
    const struct sp_resource *x = sp_resources_find(r, SALLYPORT__V1__KIND__CERTIFICATE, sp_str_z(name));
    assert_non_null(x);
    return ((const Sallyport__V1__ServerCertificate *)(const void *)x->message)->certificate;
}

static void values_stand_in_a_copy(void **state)
{
    struct bench *b = *state;
    setenv("T_CERT", "the cert", 1);
    setenv("T_JSON", "{\"key\":\"" SECRET "\",\"n\":1}", 1);
    setenv("SECURE_T_KEY", "the key", 1);
    add_certificate(b, "c1", "{vault://env/t-cert}", "{vault://env/T_JSON/key}", NULL);
    add_certificate(b, "c2", "{vault://env/T-CERT}", "{vault://mine/t-key}", NULL);
    add_certificate(b, "c3", "plain", "{vault://env/key?prefix=SECURE_T_}", NULL);
    add_certificate(b, "c4", "plain", "plain", NULL);
    add_vault(b, "env", "mine", "secure_");
    assert_false(sp_failed(resolve(b)));
    assert_string_equal(certificate(b->out, "c1")->cert, "the cert");
    assert_string_equal(certificate(b->out, "c1")->key, SECRET);
    assert_string_equal(certificate(b->out, "c2")->key, "the key");
    assert_string_equal(certificate(b->out, "c3")->key, "the key");
    assert_string_equal(certificate(&b->set.set, "c1")->key, "{vault://env/T_JSON/key}");
    assert_ptr_equal(certificate(b->out, "c4"), certificate(&b->set.set, "c4"));
    unpacked_free(b);
}

static void without_references_nothing_is_copied(void **state)
{
    struct bench *b = *state;
    add_certificate(b, "c1", "plain", "plain", NULL);
    assert_false(sp_failed(resolve(b)));
    assert_ptr_equal(b->out, &b->set.set);
    unpacked_free(b);
}

static void assert_said(struct bench *b, const char *entity, const char *path, const char *text)
{
    for (const struct sp_problem *p = b->problems.first; p; p = p->next)
        if (sp_str_eq(p->entity, sp_str_z(entity)) && sp_str_eq(p->path, sp_str_z(path)) && strstr(p->text.p, text))
            return;
    struct sp_buf all = {0};
    sp_problems_print(&b->problems, &all);
    fail_msg("wanted %s %s: %s\nbut:\n%.*s", entity, path, text, SP_FMT(sp_buf_str(&all)));
}

static void what_cannot_be_resolved_is_named_and_not_shown(void **state)
{
    struct bench *b = *state;
    char *large = malloc((1 << 20) + 2);
    memset(large, 'x', (1 << 20) + 1);
    large[(1 << 20) + 1] = '\0';
    setenv("T_LARGE", large, 1);
    free(large);
    unsetenv("T_ABSENT");
    setenv("T_EMPTY", "", 1);
    setenv("T_TEXT", SECRET, 1);
    setenv("T_BROKEN", "{\"" SECRET "\": " SECRET "}", 1);
    setenv("T_JSON", "{\"number\":1,\"empty\":\"\",\"nul\":\"a\\u0000" SECRET "\"}", 1);
    add_certificate(b, "c1", "{vault://env/T-ABSENT}", "{vault://env/T-EMPTY}", NULL);
    add_certificate(b, "c2", "{vault://env/T-LARGE}", "{vault://env/T-TEXT/key}", NULL);
    add_certificate(b, "c3", "{vault://env/T-BROKEN/key}", "{vault://env/T-JSON/key}", NULL);
    add_certificate(b, "c4", "{vault://other/A}", "{vault://env/}", NULL);
    add_certificate(b, "c5", "{vault://theirs/A}", "{vault://env/T-ABSENT/k}", NULL);
    add_certificate(b, "c6", "x", "x", "{vault://env/T-TEXT}");
    add_vault(b, "hcv", "theirs", NULL);
    assert_true(sp_failed(resolve(b)));
    assert_int_equal(b->problems.num_errors, 11);
    assert_said(b, "CERTIFICATE/c1", "certificate.cert",
                "{vault://env/T-ABSENT}: the environment variable T_ABSENT is not set");
    assert_said(b, "CERTIFICATE/c1", "certificate.key", "T_EMPTY is empty");
    assert_said(b, "CERTIFICATE/c2", "certificate.cert", "T_LARGE has more than");
    assert_said(b, "CERTIFICATE/c2", "certificate.key", "T_TEXT holds no JSON object");
    assert_said(b, "CERTIFICATE/c3", "certificate.cert", "T_BROKEN holds no JSON object");
    assert_said(b, "CERTIFICATE/c3", "certificate.key", "T_JSON holds no JSON object"); /* a NUL in a string */
    assert_said(b, "CERTIFICATE/c4", "certificate.cert", "there is no vault 'other'");
    assert_said(b, "CERTIFICATE/c4", "certificate.key", "malformed");
    assert_said(b, "CERTIFICATE/c5", "certificate.cert", "no vaults of kind 'hcv'");
    assert_said(b, "CERTIFICATE/c5", "certificate.key", "T_ABSENT is not set");
    assert_said(b, "CERTIFICATE/c6", "snis[0]", "takes no vault reference");
    for (const struct sp_problem *p = b->problems.first; p; p = p->next)
        assert_null(strstr(p->text.p, SECRET));
    unpacked_free(b);
}

static void json_keys(void **state)
{
    struct bench *b = *state;
    setenv("T_JSON", "{\"number\":1,\"empty\":\"\"}", 1);
    setenv("T_LIST", "[\"" SECRET "\"]", 1);
    add_certificate(b, "c1", "{vault://env/T-JSON/number}", "{vault://env/T-JSON/empty}", NULL);
    add_certificate(b, "c2", "{vault://env/T-JSON/absent}", "{vault://env/T-LIST/0}", NULL);
    assert_true(sp_failed(resolve(b)));
    assert_said(b, "CERTIFICATE/c1", "certificate.cert",
                "key 'number' of the environment variable T_JSON is no string");
    assert_said(b, "CERTIFICATE/c1", "certificate.key", "key 'empty' of the environment variable T_JSON is no string");
    assert_said(b, "CERTIFICATE/c2", "certificate.cert", "T_JSON has no key 'absent'");
    assert_said(b, "CERTIFICATE/c2", "certificate.key", "T_LIST holds no JSON object");
    unpacked_free(b);
}

/* --check may run where the variables are not; what is there and wrong is wrong everywhere. */
static void a_check_only_warns_of_what_is_not_there(void **state)
{
    struct bench *b = *state;
    setenv("T_EMPTY", "", 1);
    unsetenv("T_ABSENT");
    add_certificate(b, "c1", "{vault://env/T-ABSENT}", "{vault://env/T-EMPTY}", NULL);
    assert_true(sp_failed(resolve(b)));
    struct sp_problems found;
    sp_problems_init(&found, b->set.arena);
    assert_false(dp_vaults_check(&b->set.set, &found));
    assert_int_equal(found.num_errors, 1);
    assert_int_equal(found.num_warnings, 1);
    unpacked_free(b);
}

/* --- the snapshot --- */

static struct dp_snapshot *compile(struct bench *b)
{
    struct dp_snapshot *s;
    const struct dp_snapshot_options o = {.default_cert_pem = sp_buf_str(&leaf.cert),
                                          .default_key_pem = sp_buf_str(&leaf.key)};
    res_done(&b->set);
    if (sp_failed(dp_snapshot_compile(&b->set.set, 1, &o, &s, &b->problems)))
        return NULL;
    return s;
}

static void a_snapshot_runs_values_and_shows_references(void **state)
{
    struct bench *b = *state;
    struct sp_buf SP_AUTO(sp_buf_fini) shown = {0};
    set_buf("T_CERT", &leaf.cert);
    set_buf("T_KEY", &leaf.key);
    set_buf("T_CA", &ca.cert);
    add_certificate(b, "c1", "{vault://env/T-CERT}", "{vault://env/T-KEY}", "a.test");
    res_ca(&b->set, "ca1", "{vault://env/T-CA}");
    struct dp_snapshot *s = compile(b);
    assert_non_null(s);
    for (size_t i = 0; i < s->resources->num; i++)
        sp_message_write_json(s->resources->v[i].message, true, 0, &shown);
    assert_non_null(memmem(shown.p, shown.len, "\"key\":\"{vault://env/T-KEY}\"", 27));
    assert_null(memmem(shown.p, shown.len, "-----BEGIN", 10));
    assert_string_equal(certificate(s->resources, "c1")->key, "{vault://env/T-KEY}");
    assert_memory_equal(certificate(s->resolved, "c1")->key, sp_buf_str(&leaf.key).p, leaf.key.len);
    dp_snapshot_unref(s);
}

/* Nothing that was issued under another CA resumes (CVE-2022-21654), whatever the reference is called. */
static void trust_covers_what_a_reference_means(void **state)
{
    struct bench *b = *state;
    uint8_t before[32];
    res_ca(&b->set, "ca1", "{vault://env/T-CA}");
    set_buf("T_CA", &ca.cert);
    struct dp_snapshot *s = compile(b);
    assert_non_null(s);
    memcpy(before, s->trust, sizeof before);
    dp_snapshot_unref(s);
    s = compile(b);
    assert_memory_equal(before, s->trust, sizeof before); /* the same again */
    dp_snapshot_unref(s);
    set_buf("T_CA", &other_ca.cert);
    s = compile(b);
    assert_memory_not_equal(before, s->trust, sizeof before);
    dp_snapshot_unref(s);
}

static void a_snapshot_asks_what_the_control_plane_could_not(void **state)
{
    struct bench *b = *state;
    set_buf("T_CERT", &leaf.cert);
    set_buf("T_KEY", &ca.key);
    set_buf("T_CA", &leaf.cert);
    res_ca(&b->set, "ca1", "{vault://env/T-CA}");
    assert_null(compile(b));
    assert_said(b, "CA_CERTIFICATE/ca1", "cert", "missing the \"CA\" basic constraint");
    set_buf("T_CA", &ca.cert);
    add_certificate(b, "c1", "{vault://env/T-CERT}", "{vault://env/T-KEY}", "a.test");
    assert_null(compile(b));
    assert_said(b, "CERTIFICATE/c1", "", "certificate does not match key");
    for (const struct sp_problem *p = b->problems.first; p; p = p->next)
        assert_null(strstr(p->text.p, "-----BEGIN"));
}

#define vault_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        vault_test(values_stand_in_a_copy),
        vault_test(without_references_nothing_is_copied),
        vault_test(what_cannot_be_resolved_is_named_and_not_shown),
        vault_test(json_keys),
        vault_test(a_check_only_warns_of_what_is_not_there),
        vault_test(a_snapshot_runs_values_and_shows_references),
        vault_test(trust_covers_what_a_reference_means),
        vault_test(a_snapshot_asks_what_the_control_plane_could_not),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
