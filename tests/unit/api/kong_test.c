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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unknown_things_are_404_in_kongs_words),
        TEST(methods_that_make_no_sense_are_405_with_allow),
        TEST(pages_of_other_sites_are_refused),
        TEST(root_and_status),
        TEST(entities_by_key_by_id_and_below_their_parents),
        TEST(collections_are_paged_and_filtered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
