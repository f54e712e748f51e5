#include "fixtures.h"

static const char *everything(struct world *w)
{
    struct sp_str key, cert = make_cert(w, "s.test", false, time(NULL) + 86400, &key);
    return with_cas(
        w, sp_arena_printf(
               w->a,
               "_sallyport: {handshake: {merge_default_names: true}}\n"
               "certificates: [{cert: %s, key: %s, tags: [t], snis: [b.test, \"*.a.test\"]}]\n"
               "services:\n- {name: s, url: \"https://u.test/x\", tags: [a, \"123\", \"true\"]}\n"
               "routes:\n"
               "- {name: r, service: s, snis: [a.test], headers: {x-a: [\"1\", \"~*^b\"]}}\n"
               "- {service: s, paths: [\"~/x(?<n>a|b)\"], strip_path: false, regex_priority: -2}\n"
               "- {service: s, protocols: [grpcs], hosts: [\"*.g.test\"]}\n"
               "upstreams: [{name: u, targets: [{target: \"h:1\", weight: 0}, {target: \"h:2\", created_at: 1.5}]}]\n"
               "consumer_groups: [{name: z}, {name: g, consumers: [alice]}]\n"
               "consumers:\n- {username: \"alice \\\"x\\\" \\u00e4\", custom_id: \"0\"}\n"
               "- {username: alice, groups: [z, g], mtls_auth_credentials: [{subject_name: \"a b\"}, "
               "{subject_name: x, ca_certificate: partners}]}\n"
               "plugins:\n- {name: mtls-auth, service: s, config: {ca_certificates: [" CA_A "], consumer_by: [], "
               "authenticated_group_by: null, http_timeout: 12.5}}\n"
               "---\n_format_version: \"3.0\"\n_workspace: other\nservices: [{name: s, host: h}]\n",
               quoted(w, cert), quoted(w, key))
               .p);
}

static void assert_same_model(struct world *w, const struct sp_model *x, const struct sp_model *y)
{
    struct sp_change *v;
    size_t num;
    sp_model_diff(w->a, x, y, &v, &num);
    for (size_t i = 0; i < num; i++) {
        const struct sp_entity *e = v[i].after ? v[i].after : v[i].before;
        print_message("%d %s %.*s", v[i].change, sp_entity_info(e->kind)->plural, SP_FMT(e->id));
        for (size_t j = 0; j < v[i].num_fields; j++)
            print_message(" %s", v[i].fields[j].p);
        print_message("\n");
    }
    assert_int_equal(num, 0);
}

static void a_dump_applies_to_the_same_model(void **state)
{
    struct world *w = *state;
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0}, again = {0};
    parse_good(w, everything(w));
    struct sp_model *first = w->model;
    sp_model_write_yaml(first, false, &b);
    if (sp_failed(parse_str(w, sp_buf_str(&b))))
        fail_msg("%s\n%.*s", problems_text(w).p, SP_FMT(sp_buf_str(&b)));
    assert_same_model(w, first, w->model);
    assert_true(w->model->settings->handshake->merge_default_names);
    sp_model_write_yaml(w->model, false, &again);
    assert_true(sp_str_eq(sp_buf_str(&b), sp_buf_str(&again)));
    /* nothing that the schema says anyway */
    assert_null(memmem(b.p, b.len, "retries", 7));
    assert_non_null(memmem(b.p, b.len, "consumer_by: []", 15));
    assert_non_null(memmem(b.p, b.len, "authenticated_group_by: null", 28));
}

static struct sp_stored_entity *stored(struct world *w, const struct sp_model *m, size_t *num)
{
    size_t n = 0;
    struct sp_stored_entity *v;
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        n += m->num[k];
    v = SP_NEW_N(w->a, struct sp_stored_entity, n);
    *num = 0;
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        for (size_t i = 0; i < m->num[k]; i++) {
            const ProtobufCMessage *msg = m->entities[k][i].message;
            uint8_t *bytes = sp_arena_alloc(w->a, protobuf_c_message_get_packed_size(msg) + 1);
            v[(*num)++] = (struct sp_stored_entity){k, sp_str(bytes, protobuf_c_message_pack(msg, bytes))};
        }
    return v;
}

static void the_store_gives_back_what_it_took(void **state)
{
    struct world *w = *state;
    struct sp_model *loaded = NULL;
    size_t num;
    parse_good(w, everything(w));
    struct sp_stored_entity *v = stored(w, w->model, &num);
    uint8_t settings[64];
    size_t n = protobuf_c_message_pack(&w->model->settings->base, settings);
    sp_problems_init(&w->problems, w->a);
    if (sp_failed(sp_model_load(w->a, v, num, sp_str(settings, n), &loaded, &w->problems)))
        fail_msg("%s", problems_text(w).p);
    assert_same_model(w, w->model, loaded);
    assert_true(loaded->settings->handshake->merge_default_names);
    /* without the services the rest is refused, all of it at once */
    size_t kept = 0;
    for (size_t i = 0; i < num; i++)
        if (v[i].kind != SP_SERVICES)
            v[kept++] = v[i];
    sp_problems_init(&w->problems, w->a);
    assert_true(sp_failed(sp_model_load(w->a, v, kept, SP_STR(""), &loaded, &w->problems)));
    assert_null(loaded);
    assert_int_equal(w->problems.num_errors, 4); /* three routes and a plugin */
    assert_non_null(strstr(problems_text(w).p, "routes/r: service: invalid reference 'service: "));
    v[0].bytes = SP_STR("\xff\xff");
    assert_true(sp_failed(sp_model_load(w->a, v, 1, SP_STR(""), &loaded, &w->problems)));
}

static void an_empty_store_has_the_default_workspace(void **state)
{
    struct world *w = *state;
    struct sp_model *m;
    sp_problems_init(&w->problems, w->a);
    assert_false(sp_failed(sp_model_load(w->a, NULL, 0, SP_STR(""), &m, &w->problems)));
    assert_int_equal(m->num[SP_WORKSPACES], 1);
    assert_true(sp_str_eq(m->entities[SP_WORKSPACES][0].id, SP_STR("0dc6f45b-8f8d-40d2-a504-473544ee190b")));
    assert_string_equal(m->settings->handshake->request_scope, "affected_routes");
}

/* --- ids --- */

static struct sp_str id_of(struct world *w, enum sp_entity_kind kind, const char *key)
{
    const struct sp_entity *e = sp_model_find(w->model, kind, SP_STR("default"), sp_str_z(key));
    assert_non_null(e);
    return e->id;
}

static void ids_do_not_depend_on_place_or_time(void **state)
{
    struct world *w = *state;
    parse_good(w, "services: [{name: s, host: h, routes: [{paths: [/a]}, {paths: [/b]}], plugins: [{name: "
                  "tls-handshake-modifier}]}]\n"
                  "consumers: [{username: u, mtls_auth_credentials: [{subject_name: x}]}]\n");
    struct sp_model *first = w->model;
    /* version 5 of (version 5 of (root, "services"), "s"), computed elsewhere */
    assert_string_equal(id_of(w, SP_SERVICES, "s").p, "b268827a-8f7f-551f-8769-e6bceb2f3ec6");
    parse_good(w, "consumers: [{username: u}]\nmtls_auth_credentials: [{consumer: u, subject_name: x}]\n"
                  "routes: [{service: s, paths: [/b]}, {service: {name: s}, paths: [/a]}]\n"
                  "services: [{name: s, host: h}]\nplugins: [{name: tls-handshake-modifier, service: s}]\n");
    assert_same_model(w, first, w->model);
    /* the same name in another workspace is somebody else; two equal nameless routes are two */
    parse_good(w, "services: [{name: s, host: h}]\nroutes: [{paths: [/a]}, {paths: [/a]}]\n---\n_format_version: "
                  "\"3.0\"\n_workspace: other\nservices: [{name: s, host: h}]\n");
    assert_int_equal(w->model->num[SP_SERVICES], 2);
    assert_int_equal(w->model->num[SP_ROUTES], 2);
    assert_false(sp_str_eq(w->model->entities[SP_SERVICES][0].id, w->model->entities[SP_SERVICES][1].id));
}

/* --- JSON --- */

static struct sp_str json_of(struct world *w, enum sp_entity_kind kind, const char *key, bool redact)
{
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    const struct sp_entity *e = sp_model_find(w->model, kind, SP_STR(""), sp_str_z(key));
    assert_non_null(e);
    sp_entity_write_json(e, redact, 0, &b);
    return sp_arena_dup(w->a, sp_buf_str(&b));
}

static void json_is_kongs(void **state)
{
    struct world *w = *state;
    parse_good(w, "services: [{id: " CA_A ", name: s, host: h, tags: [a]}]\nroutes: [{id: " CA_B
                  ", name: r, service: s, paths: [/]}]\n");
    assert_string_equal(
        json_of(w, SP_SERVICES, "s", false).p,
        "{\"id\":\"" CA_A
        "\",\"name\":\"s\",\"protocol\":\"http\",\"host\":\"h\",\"port\":80,\"path\":null,\"retries\":5,"
        "\"connect_timeout\":60000,\"write_timeout\":60000,\"read_timeout\":60000,\"client_certificate\":null,"
        "\"tls_verify\":null,\"tls_verify_depth\":null,\"ca_certificates\":null,\"enabled\":true,\"tags\":[\"a\"],"
        "\"created_at\":null,\"updated_at\":null}");
    struct sp_str r = json_of(w, SP_ROUTES, "r", false);
    assert_non_null(strstr(r.p, "\"service\":{\"id\":\"" CA_A "\"}"));
    assert_non_null(strstr(r.p, "\"protocols\":[\"http\",\"https\"],\"hosts\":null,\"paths\":[\"/\"],"));
    parse_good(w,
               with_cas(w, "plugins: [{name: mtls-auth, instance_name: m, config: {ca_certificates: [" CA_A "]}}]\n"));
    struct sp_str p = json_of(w, SP_PLUGINS, "m", false);
    assert_non_null(strstr(p.p, "\"config\":{\"ca_certificates\":[\"" CA_A "\"],\"anonymous\":null,"));
    assert_non_null(strstr(p.p, "\"consumer_by\":[\"username\",\"custom_id\"]"));
    assert_non_null(strstr(p.p, "\"http_timeout\":30000,\"cert_cache_ttl\":60000,\"cache_ttl\":60,"));
    assert_non_null(strstr(p.p, "\"san_dirname_matcher\":[]}"));
    assert_null(strstr(p.p, "_none"));
}

static void keys_are_redacted(void **state)
{
    struct world *w = *state;
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0}, open = {0};
    struct sp_str key, cert = make_cert(w, "s.test", false, time(NULL) + 86400, &key);
    parse_good(
        w, sp_arena_printf(w->a, "certificates: [{id: " CA_A ", cert: %s, key: %s}]\n", quoted(w, cert), quoted(w, key))
               .p);
    struct sp_str json = json_of(w, SP_CERTIFICATES, CA_A, true);
    assert_null(strstr(json.p, "PRIVATE"));
    assert_non_null(strstr(json.p, "\"key\":\"[redacted]\",\"cert_alt\":null,\"key_alt\":null"));
    sp_model_write_yaml(w->model, true, &b);
    assert_null(memmem(b.p, b.len, "PRIVATE", 7));
    sp_model_write_yaml(w->model, false, &open);
    assert_non_null(memmem(open.p, open.len, "  key: |\n    -----BEGIN", 23));
    /* the secret is in no problem either */
    sp_problems_init(&w->problems, w->a);
    assert_true(sp_failed(parse(w, "certificates: [{cert: x, key: 12345}]\n")));
    assert_null(strstr(problems_text(w).p, "12345"));
}

/* --- bodies of the Admin API --- */

static ProtobufCMessage *body(struct world *w, enum sp_entity_kind kind, const char *json)
{
    ProtobufCMessage *m = NULL;
    sp_problems_init(&w->problems, w->a);
    (void)!sp_failed(
        sp_message_parse(w->a, sp_entity_info(kind)->descriptor, sp_str_z(json), SP_STR(""), &m, &w->problems));
    return m;
}

static void bodies_are_strict(void **state)
{
    struct world *w = *state;
    assert_null(body(w, SP_SERVICES, "{host: h}")); /* YAML, not JSON */
    assert_null(body(w, SP_SERVICES, "{\"host\":\"h\"} x"));
    assert_null(body(w, SP_SERVICES, "[]"));
    assert_null(body(w, SP_SERVICES, "{\"host\":\"a\",\"host\":\"b\"}"));
    assert_null(body(w, SP_SERVICES, "{\"host\":\"a\\u0000b\"}"));
    assert_null(body(w, SP_SERVICES, "{\"routes\":[]}")); /* nesting is for files */
    assert_non_null(strstr(problems_text(w).p, "routes: unknown field 'routes'"));
    assert_null(body(w, SP_PLUGINS, "{\"name\":\"mtls-auth\",\"config\":{\"ca_certificates\":\"x\"}}"));
    assert_non_null(strstr(problems_text(w).p, "config.ca_certificates: expected a list"));
    char deep[400];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_null(body(w, SP_SERVICES, deep));
    assert_string_equal(w->problems.first->code, "limit");
    assert_non_null(body(w, SP_PLUGINS, "{\"name\":\"mtls-auth\",\"config\":{\"revocation_check_mode\":\"STRICT\"}}"));
    assert_non_null(body(w, SP_CERTIFICATES, "{\"cert\":\"x\",\"key\":\"y\",\"snis\":[\"a.test\"]}"));
    Sallyport__V1__Service *s = (Sallyport__V1__Service *)body(w, SP_SERVICES, "{\"url\":\"http://h.test:81\"}");
    assert_non_null(s);
    assert_int_equal(s->port, 81);
}

static void a_patch_replaces_resets_and_merges(void **state)
{
    struct world *w = *state;
    ProtobufCMessage *m =
        body(w, SP_PLUGINS,
             "{\"name\":\"mtls-auth\",\"tags\":[\"a\",\"b\"],\"enabled\":false,\"config\":{\"ca_certificates\":["
             "\"x\"],\"consumer_by\":[],\"anonymous\":\"nobody\",\"send_ca_dn\":true}}");
    ProtobufCMessage *out = NULL;
    assert_non_null(m);
    struct sp_str patch =
        SP_STR("{\"tags\":[\"c\"],\"enabled\":null,\"config\":{\"anonymous\":null,\"consumer_by\":[\"username\"]}}");
    assert_false(sp_failed(sp_message_patch(w->a, m, patch, SP_STR(""), &out, &w->problems)));
    const Sallyport__V1__Plugin *p = (const Sallyport__V1__Plugin *)out;
    assert_int_equal(p->n_tags, 1);
    assert_string_equal(p->tags[0], "c");
    assert_true(!p->has_enabled && p->enabled);
    assert_null(p->mtls_auth->anonymous);
    assert_true(p->mtls_auth->send_ca_dn);
    assert_int_equal(p->mtls_auth->n_ca_certificates, 1);
    assert_int_equal(p->mtls_auth->n_consumer_by, 1);
    assert_false(p->mtls_auth->consumer_by_none);
    assert_true(sp_failed(sp_message_patch(w->a, m, SP_STR("{\"nam\":1}"), SP_STR(""), &out, &w->problems)));
}

/* --- differences --- */

static void differences_are_named(void **state)
{
    struct world *w = *state;
    struct sp_change *v;
    size_t num;
    const char *cas = with_cas(w, "");
    parse_good(
        w,
        sp_arena_printf(
            w->a,
            "%sservices: [{name: a, host: h, created_at: 1}, {name: b, host: h}]\nplugins: [{name: mtls-auth, config: "
            "{ca_certificates: [" CA_A "]}}]\n",
            cas)
            .p);
    struct sp_model *before = w->model;
    parse_good(w,
               sp_arena_printf(
                   w->a,
                   "%sservices: [{name: a, host: h2, port: 81, created_at: 2}, {name: c, host: h}]\nplugins: [{name: "
                   "mtls-auth, config: {ca_certificates: [" CA_A "], consumer_by: [], send_ca_dn: true}}]\n",
                   cas)
                   .p);
    sp_model_diff(w->a, before, w->model, &v, &num);
    assert_int_equal(num, 4);
    for (size_t i = 0; i < num; i++) {
        if (v[i].change == SP_CREATED)
            assert_true(sp_str_eq(v[i].after->key, SP_STR("c")) && !v[i].before);
        else if (v[i].change == SP_DELETED)
            assert_true(sp_str_eq(v[i].before->key, SP_STR("b")) && !v[i].after);
        else if (v[i].after->kind == SP_SERVICES)
            assert_true(v[i].num_fields == 2 && sp_str_eq(v[i].fields[0], SP_STR("host")) &&
                        sp_str_eq(v[i].fields[1], SP_STR("port")));
        else
            assert_true(v[i].num_fields == 2 && sp_str_eq(v[i].fields[0], SP_STR("config.consumer_by")) &&
                        sp_str_eq(v[i].fields[1], SP_STR("config.send_ca_dn")));
    }
    sp_model_diff(w->a, NULL, w->model, &v, &num);
    assert_int_equal(num, 6); /* with the workspace and two CAs */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        model_test(a_dump_applies_to_the_same_model),
        model_test(the_store_gives_back_what_it_took),
        model_test(an_empty_store_has_the_default_workspace),
        model_test(ids_do_not_depend_on_place_or_time),
        model_test(json_is_kongs),
        model_test(keys_are_redacted),
        model_test(bodies_are_strict),
        model_test(a_patch_replaces_resets_and_merges),
        model_test(differences_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
