/* The Admin API as Kong's clients know it: shapes, paging, errors; and what it refuses. */
#include "fixture.h"

static void unknown_things_are_404_in_kongs_words(void **state)
{
    static const char *const paths[] = {"/nothing",           "/services/nobody", "/services/nobody/routes",
                                        "/sallyport/nothing", "/sallyport",       "/a/b/c/d/e/f/g/h/i/j",
                                        "/licenses",          "/services/%zz"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        says(get(*state, paths[i], 404), "message", "Not found");
}

static void methods_that_make_no_sense_are_405_with_allow(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *method, *path, *allow;
    } cases[] = {
        {"PUT", "/services", "GET, HEAD, OPTIONS, POST"},
        {"DELETE", "/services", "GET, HEAD, OPTIONS, POST"},
        {"POST", "/services/x", "GET, HEAD, OPTIONS, PATCH, PUT, DELETE"},
        {"GET", "/sallyport/apply", "POST, OPTIONS"},
        {"POST", "/", "GET, HEAD, OPTIONS"},
        {"POST", "/sallyport/nodes", "GET, HEAD, OPTIONS"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_http_answer a = call(f, cases[i].method, cases[i].path, SP_STR(""), NULL);
        assert_int_equal(a.status, 405);
        says(json(f, &a), "message", "Method not allowed");
        const struct sp_field *allow = sp_fields_find(&a.fields, SP_STR("Allow"));
        assert_true(allow && sp_str_eq(allow->value, sp_str_z(cases[i].allow)));
    }
    struct sp_http_answer a = call(f, "OPTIONS", "/services", SP_STR(""), NULL);
    assert_int_equal(a.status, 204);
}

static void pages_of_other_sites_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const origins[] = {"http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"};
    for (size_t i = 0; i < 4; i++) {
        struct sp_fields fields = {0};
        sp_fields_add(&fields, f->arena, SP_FIELD_OTHER, SP_STR("Origin"), sp_str_z(origins[i]));
        struct sp_http_answer a = call(f, "POST", "/sallyport/apply", sp_str_z(gateway), &fields);
        assert_int_equal(a.status, 403);
    }
    assert_int_equal(f->published, 0);
    struct sp_fields own = {0};
    sp_fields_add(&own, f->arena, SP_FIELD_OTHER, SP_STR("Origin"), sp_str_z(f->url));
    struct sp_http_answer a = call(f, "GET", "/services", SP_STR(""), &own);
    assert_int_equal(a.status, 200);
}

static void root_and_status(void **state)
{
    struct fixture *f = *state;
    const struct sp_node *root = get(f, "/", 200);
    says(root, "tagline", "Welcome to sallyport");
    says(at(root, "configuration"), "database", "memory");
    at(at(at(root, "plugins"), "available_on_server"), "mtls-auth");
    assert_true(at(at(get(f, "/status", 200), "database"), "reachable")->boolean);
    assert_int_equal(at(get(f, "/services", 200), "next")->type, SP_NODE_NULL);
    struct sp_http_answer a = call(f, "GET", "/", SP_STR(""), NULL);
    assert_non_null(sp_fields_find(&a.fields, SP_STR("X-Kong-Admin-Latency")));
    assert_non_null(sp_fields_find(&a.fields, SP_STR("Server")));
    a = call(f, "HEAD", "/services", SP_STR(""), NULL);
    assert_int_equal(a.status, 200);
}

static void entities_by_key_by_id_and_below_their_parents(void **state)
{
    struct fixture *f = *state;
    apply(f, "", gateway, 200);
    const struct sp_node *service = get(f, "/services/orders", 200);
    says(service, "host", "127.0.0.1");
    assert_int_equal(number(service, "port"), 9000);
    assert_int_equal(number(service, "retries"), 5);
    assert_true(number(service, "created_at") > 1600000000);
    struct sp_str id = at(service, "id")->text;
    says(get(f, sp_arena_printf(f->arena, "/services/%.*s", SP_FMT(id)).p, 200), "name", "orders");
    says(get(f, "/default/services/orders", 200), "name", "orders");
    assert_int_equal(at(get(f, "/services/orders/routes", 200), "data")->num, 2);
    assert_int_equal(at(get(f, "/services/stock/routes", 200), "data")->num, 0);
    says(get(f, "/services/orders/routes/api", 200), "name", "api");
    get(f, "/services/stock/routes/api", 404);
    says(get(f, "/routes/api/service", 200), "name", "orders");
    assert_int_equal(at(get(f, "/routes/api/plugins", 200), "data")->num, 1);
    assert_int_equal(at(get(f, "/consumers/alice/mtls-auth", 200), "data")->num, 0);
    assert_int_equal(at(get(f, "/consumers?custom_id=a1", 200), "data")->num, 1);
    assert_int_equal(at(get(f, "/consumers?custom_id=zz", 200), "data")->num, 0);
}

static void collections_are_paged_and_filtered(void **state)
{
    struct fixture *f = *state;
    apply(f, "", gateway, 200);
    const struct sp_node *page = get(f, "/services?size=1", 200);
    assert_int_equal(at(page, "data")->num, 1);
    struct sp_str next = at(page, "next")->text, offset = at(page, "offset")->text;
    assert_true(next.len > 0 && offset.len > 0);
    page = get(f, sp_arena_dup(f->arena, next).p, 200);
    assert_int_equal(at(page, "data")->num, 1);
    assert_int_equal(at(page, "next")->type, SP_NODE_NULL);
    assert_null(sp_node_get(page, SP_STR("offset")));
    assert_int_equal(at(get(f, "/services?tags=blue", 200), "data")->num, 2);
    assert_int_equal(at(get(f, "/services?tags=blue,shop", 200), "data")->num, 1);
    assert_int_equal(at(get(f, "/services?tags=red/shop", 200), "data")->num, 1);
    assert_int_equal(at(get(f, "/services?tags=red", 200), "data")->num, 0);
    assert_int_equal(number(get(f, "/services?tags=a,b/c", 400), "code"), 11);
    assert_int_equal(number(get(f, "/services?size=0", 400), "code"), 9);
    assert_int_equal(number(get(f, "/services?size=many", 400), "code"), 9);
    assert_int_equal(number(get(f, "/services?offset=zz", 400), "code"), 7);
}

static const struct sp_node *schema_field(const struct sp_node *fields, const char *name)
{
    for (size_t i = 0; i < fields->num; i++) {
        const struct sp_node *f = sp_node_get(fields->items[i], sp_str_z(name));
        if (f)
            return f;
    }
    fail_msg("no field '%s'", name);
    return NULL;
}

static void schemas_have_kongs_layout_and_defaults(void **state)
{
    struct fixture *f = *state;
    const struct sp_node *fields = at(get(f, "/schemas/services", 200), "fields");
    assert_int_equal(fields->type, SP_NODE_LIST);
    assert_int_equal(number(schema_field(fields, "retries"), "default"), 5);
    says(schema_field(fields, "retries"), "type", "integer");
    assert_true(at(schema_field(fields, "host"), "required")->boolean);
    says(schema_field(fields, "client_certificate"), "type", "foreign");
    fields = at(get(f, "/schemas/routes", 200), "fields");
    assert_int_equal(at(schema_field(fields, "protocols"), "default")->num, 2);
    says(schema_field(fields, "headers"), "type", "map");

    fields = at(get(f, "/schemas/plugins/mtls-auth", 200), "fields");
    assert_int_equal(at(schema_field(fields, "protocols"), "default")->num, 4);
    const struct sp_node *config = at(schema_field(fields, "config"), "fields");
    const struct sp_node *by = at(schema_field(config, "consumer_by"), "default");
    assert_int_equal(by->num, 2);
    assert_true(sp_str_eq(by->items[0]->text, SP_STR("username")));
    for (size_t i = 0; i < config->num; i++)
        assert_int_equal(config->items[i]->num, 1);
    fields = at(get(f, "/schemas/certificates", 200), "fields");
    assert_true(at(schema_field(fields, "key"), "referenceable")->boolean);
    assert_null(sp_node_get(schema_field(fields, "id"), SP_STR("referenceable")));
    config = at(schema_field(at(get(f, "/schemas/vaults", 200), "fields"), "config"), "fields");
    says(schema_field(config, "prefix"), "type", "string");
    fields = at(get(f, "/schemas/plugins/rate-limiting", 200), "fields");
    says(schema_field(fields, "consumer_group"), "reference", "consumer_groups");
    const struct sp_node *redis = schema_field(at(schema_field(fields, "config"), "fields"), "redis");
    says(redis, "type", "record");
    assert_true(at(redis, "required")->boolean); /* else decK takes it to be null, and always finds a difference */
    assert_int_equal(number(schema_field(at(redis, "fields"), "port"), "default"), 6379);
    config = at(schema_field(at(get(f, "/schemas/plugins/key-auth", 200), "fields"), "config"), "fields");
    says(at(schema_field(config, "identity_realms"), "elements"), "type", "record");
    config = at(schema_field(at(get(f, "/schemas/plugins/basic-auth", 200), "fields"), "config"), "fields");
    const struct sp_node *protection = at(schema_field(config, "brute_force_protection"), "fields");
    says(schema_field(protection, "strategy"), "default", "off");
    assert_true(at(schema_field(config, "brute_force_protection"), "required")->boolean);
    says(schema_field(at(schema_field(protection, "redis"), "fields"), "cloud_authentication"), "type", "record");
    const struct sp_node *key = schema_field(at(get(f, "/schemas/keyauth_credentials", 200), "fields"), "key");
    assert_null(sp_node_get(key, SP_STR("required"))); /* POST makes one */
    assert_true(at(key, "auto")->boolean);
    says(get(f, "/schemas/plugins/nothing", 404), "message", "No plugin named 'nothing'");
    says(get(f, "/schemas/nothing", 404), "message", "No entity named 'nothing'");
}

/* decK fills an upstream's health checks from here: what it fills is what it is then shown. */
static void schema_of_health_checks(void **state)
{
    struct fixture *f = *state;
    const struct sp_node *fields = at(get(f, "/schemas/upstreams", 200), "fields");
    says(schema_field(fields, "hash_on"), "default", "none");
    const struct sp_node *checks = schema_field(fields, "healthchecks");
    says(checks, "type", "record");
    assert_true(at(checks, "required")->boolean);
    says(schema_field(at(checks, "fields"), "threshold"), "type", "number");
    const struct sp_node *active = at(schema_field(at(checks, "fields"), "active"), "fields");
    says(schema_field(active, "type"), "default", "http");
    says(schema_field(active, "headers"), "type", "map");
    const struct sp_node *healthy = schema_field(active, "healthy");
    assert_true(at(healthy, "required")->boolean);
    const struct sp_node *statuses = schema_field(at(healthy, "fields"), "http_statuses");
    assert_int_equal(at(statuses, "default")->num, 2);
    assert_int_equal(at(statuses, "default")->items[1]->type, SP_NODE_INTEGER);
    assert_int_equal(at(statuses, "default")->items[1]->integer, 302);
    says(at(statuses, "elements"), "type", "integer");
    for (size_t i = 0; i < at(healthy, "fields")->num; i++)
        assert_null(sp_node_get(at(healthy, "fields")->items[i], SP_STR("http_statuses_none")));
    struct sp_http_answer a =
        call(f, "POST", "/upstreams", SP_STR("{\"name\":\"u\",\"healthchecks\":{\"threshold\":50}}"), NULL);
    assert_int_equal(a.status, 201);
    checks = at(get(f, "/upstreams/u", 200), "healthchecks");
    assert_int_equal(number(checks, "threshold"), 50);
    assert_int_equal(number(at(checks, "active"), "timeout"), 1);
    assert_int_equal(at(at(at(checks, "passive"), "unhealthy"), "http_statuses")->num, 3);
    a = call(f, "PATCH", "/upstreams/u", SP_STR("{\"healthchecks\":{\"active\":{\"healthy\":{\"interval\":5}}}}"),
             NULL);
    assert_int_equal(a.status, 200);
    checks = at(get(f, "/upstreams/u", 200), "healthchecks");
    assert_int_equal(number(checks, "threshold"), 50);
    assert_int_equal(number(at(at(checks, "active"), "healthy"), "interval"), 5);
}

static void validation_stores_nothing(void **state)
{
    struct fixture *f = *state;
    struct sp_http_answer a =
        call(f, "POST", "/schemas/services/validate", SP_STR("{\"name\":\"a\",\"host\":\"h\"}"), NULL);
    assert_int_equal(a.status, 200);
    says(json(f, &a), "message", "schema validation successful");
    a = call(f, "POST", "/schemas/plugins/validate", SP_STR("{\"name\":\"mtls-auth\"}"), NULL);
    assert_int_equal(a.status, 400);
    /* what exists is not looked at, as with Kong: decK asks before it makes what is referred to, and about what is
     * there */
    a = call(f, "POST", "/schemas/targets/validate",
             SP_STR("{\"target\":\"a:1\",\"upstream\":{\"id\":\"00000000-0000-4000-8000-000000000001\"}}"), NULL);
    assert_int_equal(a.status, 200);
    a = call(
        f, "POST", "/schemas/targets/validate",
        SP_STR("{\"target\":\"a:1\",\"weight\":-1,\"upstream\":{\"id\":\"00000000-0000-4000-8000-000000000001\"}}"),
        NULL);
    assert_int_equal(a.status, 400);
    assert_null(strstr(at(json(f, &a), "message")->text.p, "reference"));
    assert_int_equal(f->published, 0);
    get(f, "/services/a", 404);
    a = call(f, "POST", "/consumers", SP_STR("{\"username\":\"alice\"}"), NULL);
    assert_int_equal(a.status, 201);
    a = call(f, "POST", "/schemas/consumers/validate", SP_STR("{\"username\":\"alice\"}"), NULL);
    assert_int_equal(a.status, 200);
}

static void tags_and_enabled_plugins(void **state)
{
    struct fixture *f = *state;
    apply(f, "", gateway, 200);
    assert_int_equal(at(get(f, "/tags", 200), "data")->num, 3);
    const struct sp_node *data = at(get(f, "/tags/shop", 200), "data");
    assert_int_equal(data->num, 1);
    says(data->items[0], "entity_name", "services");
    assert_true(at(get(f, "/plugins/enabled", 200), "enabled_plugins")->num >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unknown_things_are_404_in_kongs_words),
        TEST(methods_that_make_no_sense_are_405_with_allow),
        TEST(pages_of_other_sites_are_refused),
        TEST(root_and_status),
        TEST(entities_by_key_by_id_and_below_their_parents),
        TEST(collections_are_paged_and_filtered),
        TEST(schemas_have_kongs_layout_and_defaults),
        TEST(schema_of_health_checks),
        TEST(validation_stores_nothing),
        TEST(tags_and_enabled_plugins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
