/* The plugins that identity is used with, and the credentials of consumers. */
#include "fixtures.h"

static void configs_are_checked(void **state)
{
    struct world *w = *state;
    const struct {
        const char *plugin, *problem;
    } rows[] = {
        {"{name: header-cert-auth, config: {ca_certificates: [], certificate_header_name: x, "
         "certificate_header_format: xfcc}}",
         "plugins[0].config.ca_certificates: required field missing"},
        {"{name: acl, config: {}}", "exactly one of these fields must be non-empty: 'config.allow', 'config.deny'"},
        {"{name: acl, config: {allow: [a], deny: [b]}}", "exactly one of these fields must be non-empty"},
        {"{name: ip-restriction, config: {}}", "at least one of these fields must be non-empty"},
        {"{name: ip-restriction, config: {allow: [10.0.0.0/33]}}", "config.allow[0]: invalid ip or cidr range"},
        {"{name: ip-restriction, config: {deny: [\"::1\", \"nonsense\"]}}", "config.deny[1]: invalid ip or cidr range"},
        {"{name: key-auth, config: {key_names: [\"a b\"]}}", "config.key_names[0]: not a header name"},
        {"{name: key-auth, config: {realm: 'a\"b'}}", "config.realm: must be printable"},
        {"{name: request-termination, config: {message: a, body: b}}",
         "message cannot be used with content_type or body"},
        {"{name: request-termination, config: {content_type: a}}", "content_type requires a body"},
        {"{name: request-termination, config: {status_code: 99}}",
         "config.status_code: value should be between 200 and 599"},
        {"{name: correlation-id, config: {generator: tracker}}",
         "config.generator: expected one of: uuid, uuid#counter"},
        {"{name: rate-limiting, config: {}}", "at least one of these fields must be non-empty: 'config.second'"},
        {"{name: rate-limiting, config: {minute: 5, hour: 4}}",
         "The limit for hour(4) cannot be lower than the limit for minute(5)"},
        {"{name: rate-limiting, config: {minute: 5, limit_by: header}}", "config.header_name: required field missing"},
        {"{name: rate-limiting, config: {minute: 5, policy: redis}}", "config.policy: expected one of: local"},
        {"{name: tls-metadata-headers, config: {format: xml}}", "config.format: expected one of: kong, rfc9440"},
        {"{name: tls-metadata-headers, protocols: [http]}", "protocols[0]: expected one of: grpcs, https, tls"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        parse_bad(w, 1, sp_arena_printf(w->a, "plugins:\n- %s\n", rows[i].plugin).p, rows[i].problem);
    parse_bad(w, 3, "plugins:\n- {name: header-cert-auth}\n", "config.certificate_header_name: required field missing",
              "config.certificate_header_format: required field missing",
              "config.ca_certificates: required field missing");
    parse_bad(w, 1, "consumers:\n- {username: a, plugins: [{name: key-auth}]}\n",
              "consumers[0].plugins[0].consumer: value must be null");
}

static void credentials_are_checked(void **state)
{
    struct world *w = *state;
    parse_bad(w, 1, "consumers:\n- {username: a, keyauth_credentials: [{}]}\n",
              "consumers[0].keyauth_credentials[0].key: required field missing");
    parse_bad(w, 1, "consumers:\n- {username: a, acls: [{group: g}, {group: g}]}\n",
              "UNIQUE violation detected on '{group=\"g\"");
    parse_bad(w, 1,
              "consumers:\n- {username: a, keyauth_credentials: [{key: topsecret}]}\n"
              "- {username: b, keyauth_credentials: [{key: topsecret}]}\n",
              "keyauth_credentials[0].key: UNIQUE violation detected on '{key}'");
    assert_null(strstr(problems_text(w).p, "topsecret"));
    parse_bad(w, 1, "acls:\n- {group: g, consumer: nobody}\n", "invalid reference 'consumer: nobody'");
}

static const Sallyport__V1__Plugin *plugin(struct world *w, const char *name)
{
    for (size_t i = 0; i < w->model->num[SP_PLUGINS]; i++) {
        const Sallyport__V1__Plugin *p = (const Sallyport__V1__Plugin *)w->model->entities[SP_PLUGINS][i].message;
        if (strcmp(p->name, name) == 0)
            return p;
    }
    fail_msg("no plugin %s", name);
    return NULL;
}

static void a_whole_file_is_read(void **state)
{
    struct world *w = *state;
    parse_good(w, "consumers:\n"
                  "- username: alice\n"
                  "  keyauth_credentials: [{key: s3cret, ttl: 60}]\n"
                  "  acls: [{group: admins}, {group: users}]\n"
                  "  header_cert_auth_credentials: [{subject_name: alice.test}]\n"
                  "- username: nobody\n"
                  "  plugins: [{name: request-termination, config: {status_code: 401}}, {name: ip-restriction, config: "
                  "{deny: [10.0.0.1]}}]\n"
                  "keyauth_credentials:\n- {key: other, consumer: nobody}\n"
                  "plugins:\n"
                  "- name: key-auth\n"
                  "- {name: acl, config: {allow: [admins]}}\n"
                  "- {name: correlation-id, config: {echo_downstream: true}}\n"
                  "- {name: tls-metadata-headers, config: {inject_client_cert_details: true}}\n");
    assert_int_equal(w->problems.num_errors, 0);
    assert_int_equal(w->model->num[SP_KEYAUTH_CREDENTIALS], 2);
    assert_int_equal(w->model->num[SP_ACLS], 2);
    assert_int_equal(w->model->num[SP_HEADER_CERT_AUTH_CREDENTIALS], 1);
    const Sallyport__V1__Plugin *p = plugin(w, "key-auth");
    assert_int_equal(p->key_auth->n_key_names, 1);
    assert_string_equal(p->key_auth->key_names[0], "apikey");
    assert_true(p->key_auth->key_in_query);
    assert_int_equal(p->n_protocols, 4);
    assert_string_equal(plugin(w, "correlation-id")->correlation_id->generator, "uuid#counter");
    assert_string_equal(plugin(w, "tls-metadata-headers")->tls_metadata_headers->client_cert_header_name,
                        "X-Client-Cert");
    assert_int_equal(plugin(w, "request-termination")->request_termination->status_code, 401);
    assert_non_null(plugin(w, "request-termination")->consumer->id);
    struct sp_buf text = {0};
    for (size_t i = 0; i < 2; i++)
        sp_entity_write_json(&w->model->entities[SP_KEYAUTH_CREDENTIALS][i], true, 0, &text);
    sp_buf_putc(&text, '\0');
    assert_null(strstr(text.p, "s3cret"));
    assert_non_null(strstr(text.p, "[redacted]"));
    sp_buf_fini(&text);
}

static const ProtobufCMessage *resource(const struct sp_resources *r, Sallyport__V1__Kind kind, size_t nth)
{
    for (size_t i = 0; i < r->num; i++)
        if (r->v[i].kind == kind && nth-- == 0)
            return r->v[i].message;
    fail_msg("no resource of kind %d", (int)kind);
    return NULL;
}

/* A data plane gets with a consumer what belongs to it, and the groups of plugins by name. */
static void resources_carry_credentials(void **state)
{
    struct world *w = *state;
    parse_good(w, "consumer_groups:\n- {name: gold, plugins: [{name: correlation-id}]}\n"
                  "consumers:\n"
                  "- username: alice\n"
                  "  groups: [{name: gold}]\n"
                  "  keyauth_credentials: [{key: s3cret}]\n"
                  "  acls: [{group: users}, {group: admins}]\n"
                  "  header_cert_auth_credentials: [{subject_name: a.test}]\n"
                  "  mtls_auth_credentials: [{subject_name: b.test}]\n");
    struct sp_resources *r;
    if (sp_failed(sp_compile(w->a, w->model, &r, &w->problems)))
        fail_msg("%s", problems_text(w).p);
    const Sallyport__V1__ConsumerResource *c = (const void *)resource(r, SALLYPORT__V1__KIND__CONSUMER, 0);
    assert_int_equal(c->n_keyauth_credentials, 1);
    assert_string_equal(c->keyauth_credentials[0]->key, "s3cret");
    assert_int_equal(c->n_acl_groups, 2);
    assert_string_equal(c->acl_groups[0], "admins");
    assert_string_equal(c->acl_groups[1], "users");
    assert_int_equal(c->n_header_cert_auth_credentials, 1);
    assert_string_equal(c->header_cert_auth_credentials[0]->subject_name, "a.test");
    assert_int_equal(c->n_mtls_auth_credentials, 1);
    assert_string_equal(c->mtls_auth_credentials[0]->subject_name, "b.test");
    assert_string_equal(c->groups[0], "gold");
    const Sallyport__V1__Plugin *p = (const void *)resource(r, SALLYPORT__V1__KIND__PLUGIN, 0);
    assert_string_equal(p->consumer_group->name, "gold");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        model_test(configs_are_checked),
        model_test(credentials_are_checked),
        model_test(a_whole_file_is_read),
        model_test(resources_carry_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
