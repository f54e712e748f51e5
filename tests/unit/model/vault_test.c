#include "fixtures.h"

#include "model/handshake.h"
#include "model/vault.h"

static void forms(void **state)
{
    (void)state;
    static const struct {
        const char *text, *vault, *resource, *key, *prefix;
    } good[] = {
        {"{vault://env/TLS-KEY}", "env", "TLS-KEY", "", ""},
        {"{vault://env/tls_key/pem}", "env", "tls_key", "pem", ""},
        {"{vault://my-env-2/1/a.b$c}", "my-env-2", "1", "a.b$c", ""},
        {"{vault://env/cert/key?prefix=SSL_}", "env", "cert", "key", "SSL_"},
    };
    static const char *const bad[] = {
        "{vault://",
        "{vault://}",
        "{vault://env}",
        "{vault://env/}",
        "{vault://env//k}",
        "{vault://env/A/}",
        "{vault://env/A/b/c}",
        "{vault://env/A",
        "{vault://env/A} ",
        "{vault://ENV/A}",
        "{vault://-env/A}",
        "{vault://env-/A}",
        "{vault://env/A B}",
        "{vault://env/A.B}",
        "{vault://env/\xc3\xa4}",
        "{vault://env/A#1}",
        "{vault://env/A?ttl}",
        "{vault://env/A?ttl=1}",
        "{vault://env/A/{k}}",
        "{vault://env/A?prefix=}",
        "vault://env/A",
        "{vault:/env/A}",
        "{vault://env/A/k\n}",
        "{vault:///A}",
        "{vault://env/A?prefix=a-b}",
    };
    struct sp_vault_reference r;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_null(sp_vault_reference_parse(sp_str_z(good[i].text), &r));
        assert_true(sp_str_eq(r.vault, sp_str_z(good[i].vault)) && sp_str_eq(r.resource, sp_str_z(good[i].resource)));
        assert_true(sp_str_eq(r.key, sp_str_z(good[i].key)) && sp_str_eq(r.prefix, sp_str_z(good[i].prefix)));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!sp_vault_reference_parse(sp_str_z(bad[i]), &r))
            fail_msg("%s is taken", bad[i]);
    char name[2 * SP_VAULT_MAX_NAME];
    memset(name, 'A', sizeof name);
    memcpy(name, "{vault://env/", 13);
    name[sizeof name - 1] = '}';
    assert_non_null(sp_vault_reference_parse(sp_str(name, sizeof name), &r));
}

#define MTLS                                                                                                           \
    "services: [{name: s, host: h, routes: [{name: r, snis: [a.test]}]}]\n"                                            \
    "plugins: [{name: mtls-auth, service: s, config: {ca_certificates: [clients], send_ca_dn: true}}]\n"

/* What nobody but a data plane knows is not asked for. */
static void references_are_taken_unseen(void **state)
{
    struct world *w = *state;
    struct sp_handshake_answer answer;
    struct sp_resources *r;
    struct sp_str key;
    const char *cert = quoted(w, make_cert(w, "s.test", false, time(NULL) + 86400, &key));
    parse_good(w, sp_arena_printf(w->a,
                                  "ca_certificates: [{cert: \"{vault://env/CLIENTS}\", tags: [clients]}]\n"
                                  "certificates:\n- {cert: \"{vault://env/C}\", key: \"{vault://secure/K/pem}\", "
                                  "cert_alt: \"{vault://env/D}\", key_alt: \"{vault://env/L}\"}\n"
                                  "- {cert: %s, key: \"{vault://env/K}\"}\n"
                                  "vaults: [{name: env, prefix: secure, config: {prefix: SECURE_}}]\n" MTLS,
                                  cert)
                      .p);
    assert_int_equal(w->problems.num_warnings, 0);
    assert_false(sp_failed(sp_compile(w->a, w->model, &r, &w->problems)));
    sp_explain_handshake(w->a, r, SP_STR("a.test"), &answer);
    assert_true(answer.ask);
    assert_int_equal(answer.num_ca_names, 1);
    assert_string_equal(answer.ca_names[0].p, "the subject of {vault://env/CLIENTS}");
    assert_int_equal(answer.entry->n_ca_certificates, 1);
    const Sallyport__V1__CaCertificate *ca = (const void *)w->model->entities[SP_CA_CERTIFICATES][0].message;
    assert_null(ca->cert_digest);
    sp_vault_lint(w->model, &w->problems);
    assert_int_equal(w->problems.num_warnings, 3); /* one for each entity that refers */
    assert_non_null(strstr(problems_text(w).p, "cert is {vault://env/C}, key is {vault://secure/K/pem}, cert_alt is"));
}

/* A reference tells where a secret is; a dump that shows it can be applied. */
static void dumps_show_references_and_no_secrets(void **state)
{
    struct world *w = *state;
    struct sp_str key, cert = make_cert(w, "s.test", false, time(NULL) + 86400, &key);
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    struct sp_change *changes;
    size_t num;
    parse_good(w, "certificates: [{cert: \"{vault://env/C}\", key: \"{vault://env/K}\"}]\n"
                  "vaults: [{name: env, prefix: my-env, description: ours}]\n");
    const struct sp_model *first = w->model;
    sp_model_write_yaml(first, true, &b);
    assert_non_null(memmem(b.p, b.len, "key: \"{vault://env/K}\"", 22));
    assert_false(sp_failed(parse_str(w, sp_buf_str(&b))));
    sp_model_diff(w->a, first, w->model, &changes, &num);
    assert_int_equal(num, 0);
    parse_good(w, sp_arena_printf(w->a, "certificates: [{cert: %s, key: %s}]\n", quoted(w, cert), quoted(w, key)).p);
    sp_buf_clear(&b);
    sp_model_write_yaml(w->model, true, &b);
    assert_non_null(memmem(b.p, b.len, "key: \"[redacted]\"", 17));
}

static void only_where_they_are_resolved(void **state)
{
    struct world *w = *state;
    parse_bad(
        w, 6,
        "consumers: [{username: alice, keyauth_credentials: [{key: \"{vault://env/KEY}\"}], tags: [\"{vault:\"]}]\n"
        "services: [{name: s, host: h, path: \"{vault://env/P}\"}]\n"
        "routes: [{name: r, service: s, paths: [/], headers: {x: [a, \"{vault://env/H}\"]}}]\n"
        "plugins: [{name: key-auth, config: {key_names: [a, \"{vault://env/N}\"], realm: \"{vault://env/R}\"}}]\n"
        "vaults: [{name: env, prefix: x1, config: {prefix: \"{vault://env/P}\"}}]\n",
        "consumers[0].keyauth_credentials[0].key: a vault reference is not resolved in this field",
        "services[0].path: a vault reference", "routes[0].headers[0].values[1]: a vault reference",
        "plugins[0].config.key_names[1]: a vault", "plugins[0].config.realm: a vault reference",
        "vaults[0].config.prefix: a vault reference");
}

/* As decK has them; a key that is the template would be one that anybody can guess. */
static void variables_that_were_not_put_in(void **state)
{
    struct world *w = *state;
    parse_bad(w, 1, "consumers: [{username: a, keyauth_credentials: [{key: '${{ env \"DECK_KEY\" }}'}]}]\n",
              "consumers[0].keyauth_credentials[0].key: a variable of decK that was not put in");
    parse_good(w,
               "plugins: [{name: request-termination, config: {body: '${{ env.X }} ${{ environment \"DECK_\" }}'}}]\n");
}

static void malformed_and_unknown(void **state)
{
    struct world *w = *state;
    parse_bad(
        w, 5,
        "certificates:\n- {cert: \"{vault://env/C\", key: \"{vault://env}\"}\n"
        "- {cert: \"{vault://aws/C}\", key: \"{vault://mine/K}\"}\n"
        "ca_certificates: [{cert: \"{vault://env/A#2}\"}]\n",
        "certificates[0].cert: a malformed vault reference: write {vault://env/NAME}", "certificates[0].key: a malf",
        "certificates[1].cert: vault 'aws': this kind of vault is not served: only env is",
        "certificates[1].key: vault 'mine': no such entry in 'vaults'", "ca_certificates[0].cert: secrets have no v");
    parse_bad(w, 1,
              "ca_certificates: [{cert: \"{vault://env/A}\", tags: [a]}, {cert: \"{vault://env/A}\", tags: [b]}]\n",
              "UNIQUE violation detected on '{cert=\"{vault://env/A}\"}'");
    parse_bad(w, 1, "certificates: [{cert: \"{vault://env/A}\"}]\n", "certificates[0].key: required field missing");
    parse_bad(w, 1,
              "certificates: [{cert: \"{vault://env/A}\", key: \"{vault://env/B}\", cert_alt: \"{vault://env/A}\"}]\n",
              "certificates[0].key_alt");
}

static void vaults(void **state)
{
    struct world *w = *state;
    parse_bad(w, 8,
              "vaults:\n- {name: aws, prefix: one}\n- {name: evn, prefix: two}\n- {prefix: three}\n- {name: env}\n"
              "- {name: env, prefix: env}\n- {name: env, prefix: hcv}\n- {name: env, prefix: Caps}\n"
              "- {name: env, prefix: four, config: {prefix: 1A}}\n",
              "vaults[0].name: this kind of vault is not served: only env is", "vaults[1].name: expected one of: env",
              "vaults[2].name: required field missing", "vaults[3].prefix: required field missing",
              "vaults[4].prefix: must not be a kind of vault", "vaults[5].prefix: must not be",
              "vaults[6].prefix: invalid", "vaults[7].config.prefix: must not begin with a digit");
    parse_bad(w, 1, "vaults: [{name: env, prefix: mine}, {name: env, prefix: mine}]\n", "'{prefix=\"mine\"}'");
    parse_bad(w, 1,
              "vaults: [{name: env, prefix: mine}]\n---\n_format_version: \"3.0\"\n_workspace: other\n"
              "vaults: [{name: env, prefix: mine}]\n",
              "'{prefix=\"mine\"}'");
    parse_good(w, "vaults: [{name: env, prefix: mine}]\n---\n_format_version: \"3.0\"\n_workspace: other\n"
                  "certificates: [{cert: \"{vault://mine/C}\", key: \"{vault://mine/K}\"}]\n");
    struct sp_resources *r;
    assert_false(sp_failed(sp_compile(w->a, w->model, &r, &w->problems)));
    const struct sp_entity *v = &w->model->entities[SP_VAULTS][0];
    assert_true(sp_str_eq(v->key, SP_STR("mine")));
    assert_non_null(sp_resources_find(r, SALLYPORT__V1__KIND__VAULT, v->id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        model_test(references_are_taken_unseen),
        model_test(dumps_show_references_and_no_secrets),
        model_test(only_where_they_are_resolved),
        model_test(variables_that_were_not_put_in),
        model_test(malformed_and_unknown),
        model_test(vaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
