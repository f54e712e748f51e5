/* The plugins that identity is used with, and the credentials of consumers. */
#include "fixtures.h"

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
        {"{name: tls-metadata-headers, config: {client_cert_header_name: transfer-encoding}}",
         "config.client_cert_header_name: HTTP itself needs this header"},
        {"{name: key-auth, config: {realm: 'a\"b'}}", "config.realm: must be printable"},
        {"{name: request-termination, config: {message: a, body: b}}",
         "message cannot be used with content_type or body"},
        {"{name: request-termination, config: {echo: true, body: b}}",
         "echo cannot be used with content_type and body"},
        {"{name: request-termination, config: {content_type: a}}", "content_type requires a body"},
        {"{name: request-termination, config: {status_code: 99}}",
         "config.status_code: value should be between 200 and 599"},
        {"{name: correlation-id, config: {generator: moon}}",
         "config.generator: expected one of: tracker, uuid, uuid#counter"},
        {"{name: key-auth, config: {identity_realms: [{scope: realm, id: x, region: eu}]}}",
         "config.identity_realms: only {scope: cp} is supported"},
        {"{name: key-auth, config: {identity_realms: [{}]}}", "config.identity_realms: only {scope: cp} is supported"},
        {"{name: rate-limiting, config: {}}", "at least one of these fields must be non-empty: 'config.second'"},
        {"{name: rate-limiting, config: {minute: 5, hour: 4}}",
         "config: The limit for hour(4.0) cannot be lower than the limit for minute(5.0)"},
        {"{name: rate-limiting, config: {second: 5, minute: 6, hour: 4}}",
         "The limit for hour(4.0) cannot be lower than the limit for second(5.0)"},
        {"{name: rate-limiting, config: {minute: 5, limit_by: header}}", "config.header_name: required field missing"},
        {"{name: rate-limiting, config: {minute: 5, policy: redis}}", "config.policy: policy 'redis' is not supported"},
        {"{name: rate-limiting, config: {minute: 5, policy: cluster}}",
         "config.policy: policy 'cluster' is not supported"},
        {"{name: rate-limiting, config: {minute: 5, policy: moon}}",
         "config.policy: expected one of: cluster, local, redis"},
        {"{name: rate-limiting, config: {minute: 5, sync_rate: 1}}",
         "sync_rate can only be used with the redis policy"},
        {"{name: rate-limiting, config: {minute: 5, redis: {port: 65536}}}",
         "config.redis.port: value should be between 0 and 65535"},
        {"{name: rate-limiting, config: {minute: 5, redis: {hosts: x}}}", "unknown field"},
        {"{name: basic-auth, config: {brute_force_protection: {strategy: memory}}}",
         "config.brute_force_protection.strategy: strategy 'memory' is not supported"},
        {"{name: basic-auth, config: {brute_force_protection: {strategy: redis, redis: {host: a}}}}",
         "config.brute_force_protection.strategy: strategy 'redis' is not supported"},
        {"{name: basic-auth, config: {brute_force_protection: {strategy: on}}}",
         "config.brute_force_protection.strategy: expected one of: cluster, memory, off, redis"},
        {"{name: basic-auth, config: {brute_force_protection: {redis: {cloud_authentication: {auth_provider: aws}}}}}",
         "config.brute_force_protection.redis.cloud_authentication: not supported: nothing here asks Redis"},
        {"{name: acl, config: {allow: [a]}, ordering: {before: {access: [key-auth]}}}",
         "plugins[0].ordering: not supported: plugins run in the order of their priorities"},
        {"{name: acl, config: {allow: [a]}, condition: 'http.path == \"/\"'}", "plugins[0].condition: not supported"},
        {"{name: acl, config: {allow: [a]}, partials: [{id: x}]}", "plugins[0].partials: not supported"},
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

/* Kong writes every default out (a dump, deck file): such files are taken as they are. */
static void files_with_all_of_kongs_defaults(void **state)
{
    struct world *w = *state;
    parse_good(
        w,
        "plugins:\n"
        "- name: key-auth\n"
        "  protocols: [grpc, grpcs, http, https, ws, wss]\n"
        "  config: {anonymous: null, hide_credentials: false, key_in_body: false, key_in_header: true,\n"
        "    key_in_query: true, key_names: [apikey], realm: null, run_on_preflight: true,\n"
        "    identity_realms: [{scope: cp, id: null, region: null}]}\n"
        "- name: basic-auth\n"
        "  protocols: [grpc, grpcs, http, https, ws, wss]\n"
        "  ordering: null\n"
        "  condition: null\n"
        "  partials: null\n"
        "  config: {anonymous: null, hide_credentials: false, realm: service, brute_force_protection: {strategy: off,\n"
        "    redis: {cloud_authentication: null, database: 0, host: null, password: null, port: 6379,\n"
        "      server_name: null, ssl: false, ssl_verify: false, timeout: 2000, username: null}}}\n"
        "- name: acl\n"
        "  protocols: [grpc, grpcs, http, https]\n"
        "  config: {allow: [a], deny: null, always_use_authenticated_groups: false, hide_groups_header: false,\n"
        "    include_consumer_groups: false}\n"
        "- name: ip-restriction\n"
        "  protocols: [grpc, grpcs, http, https, tcp, tls]\n"
        "  config: {allow: null, deny: [10.0.0.1], message: null, status: null}\n"
        "- name: request-termination\n"
        "  protocols: [grpc, grpcs, http, https]\n"
        "  config: {body: null, content_type: null, echo: false, message: null, status_code: 503, trigger: null}\n"
        "- name: correlation-id\n"
        "  protocols: [grpc, grpcs, http, https]\n"
        "  config: {echo_downstream: false, generator: uuid#counter, header_name: Kong-Request-ID}\n"
        "- name: request-size-limiting\n"
        "  protocols: [grpc, grpcs, http, https]\n"
        "  config: {allowed_payload_size: 128, require_content_length: false, size_unit: megabytes}\n"
        "- name: tls-handshake-modifier\n"
        "  protocols: [grpcs, https, tls]\n"
        "  config: {tls_client_certificate: REQUEST}\n"
        "- name: tls-metadata-headers\n"
        "  protocols: [grpcs, https, tls]\n"
        "  config: {client_cert_fingerprint_header_name: X-Client-Cert-Fingerprint,\n"
        "    client_cert_header_name: X-Client-Cert, client_cert_issuer_dn_header_name: X-Client-Cert-Issuer-DN,\n"
        "    client_cert_subject_dn_header_name: X-Client-Cert-Subject-DN,\n"
        "    client_serial_header_name: X-Client-Cert-Serial, inject_client_cert_details: false}\n"
        "- name: rate-limiting\n"
        "  protocols: [grpc, grpcs, http, https]\n"
        "  config: {day: null, error_code: 429, error_message: API rate limit exceeded, fault_tolerant: true,\n"
        "    header_name: null, hide_client_headers: false, hour: null, limit_by: consumer, minute: 5, month: null,\n"
        "    path: null, policy: local, redis_database: 0, redis_host: null, redis_password: null,\n"
        "    redis_port: 6379, redis_server_name: null, redis_ssl: false, redis_ssl_verify: false,\n"
        "    redis_timeout: 2000, redis_username: null, second: null, sync_rate: -1, year: null,\n"
        "    redis: {database: 0, host: null, password: null, port: 6379, server_name: null, ssl: false,\n"
        "      ssl_verify: false, timeout: 2000, username: null}}\n");
}

/* As Kong shows it, so that a second sync has nothing to do. */
static void a_record_is_there_with_its_defaults(void **state)
{
    struct world *w = *state;
    parse_good(w, "plugins:\n- {name: rate-limiting, config: {minute: 5}}\n");
    const Sallyport__V1__RedisConfig *redis = plugin(w, "rate-limiting")->rate_limiting->redis;
    assert_non_null(redis);
    assert_int_equal(redis->port, 6379);
    assert_true(redis->has_timeout);
    assert_null(redis->host);
    parse_good(w, "plugins:\n- {name: rate-limiting, config: {minute: 5, redis: {password: topsecret, port: 7}, "
                  "redis_password: topsecret}}\n");
    assert_int_equal(plugin(w, "rate-limiting")->rate_limiting->redis->port, 7);
    struct sp_buf SP_AUTO(sp_buf_fini) shown = {0};
    sp_model_write_yaml(w->model, true, &shown);
    sp_buf_putc(&shown, '\0');
    assert_null(strstr(shown.p, "topsecret"));
    assert_non_null(strstr(shown.p, "[redacted]"));
}

static const ProtobufCMessage *resource(const struct sp_resources *r, Sallyport__V1__Kind kind, size_t nth)
{
    for (size_t i = 0; i < r->num; i++)
        if (r->v[i].kind == kind && nth-- == 0)
            return r->v[i].message;
    fail_msg("no resource of kind %d", (int)kind);
    return NULL;
}

static void protection_that_is_off_is_shown_and_not_sent(void **state)
{
    struct world *w = *state;
    struct sp_resources *r;
    parse_good(w,
               "plugins:\n- name: basic-auth\n  config: {realm: x, brute_force_protection: {redis: {password: p}}}\n");
    const Sallyport__V1__BruteForceProtection *b = plugin(w, "basic-auth")->basic_auth->brute_force_protection;
    assert_string_equal(b->strategy, "off");
    assert_string_equal(b->redis->password, "p");
    if (sp_failed(sp_compile(w->a, w->model, &r, &w->problems)))
        fail_msg("%s", problems_text(w).p);
    const Sallyport__V1__Plugin *p = (const void *)resource(r, SALLYPORT__V1__KIND__PLUGIN, 0);
    assert_string_equal(p->basic_auth->realm, "x");
    assert_null(p->basic_auth->brute_force_protection);
    parse_good(w, "plugins: [{name: basic-auth}]\n");
    assert_int_equal(plugin(w, "basic-auth")->basic_auth->brute_force_protection->redis->port, 6379);
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
        model_test(files_with_all_of_kongs_defaults),
        model_test(a_record_is_there_with_its_defaults),
        model_test(protection_that_is_off_is_shown_and_not_sent),
        model_test(credentials_are_checked),
        model_test(a_whole_file_is_read),
        model_test(resources_carry_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
