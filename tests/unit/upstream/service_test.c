#include "test.h"

#include "upstream/service.h"

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

static Sallyport__V1__Service service(const char *host, int port)
{
    Sallyport__V1__Service s = SALLYPORT__V1__SERVICE__INIT;
    s.id = (char *)(uintptr_t) "s";
    s.host = (char *)(uintptr_t)host;
    s.has_port = 1;
    s.port = port;
    return s;
}

static void one_host_is_one_target(void **state)
{
    Sallyport__V1__Service conf = service("app.internal", 8081);
    struct dp_service_refs refs = {0};
    struct dp_service s;
    struct sp_error err;
    size_t next = 7;
    uint32_t turn = 0;
    (void)state;
    assert_false(sp_failed(dp_service_compile(arena, &conf, &refs, &next, &s, &err)));
    const struct dp_target *t = dp_service_pick(&s, &turn);
    assert_non_null(t);
    assert_int_equal(t->port, 8081);
    assert_int_equal(t->index, 7);
    assert_int_equal(next, 8);
    assert_true(sp_str_eq(s.host_header, SP_STR("app.internal:8081")));
    assert_true(sp_str_eq(t->pool_key, SP_STR("tcp|app.internal:8081")));
}

static void weights_share_turns_evenly_mixed(void **state)
{
    Sallyport__V1__Service conf = service("pool", 80);
    Sallyport__V1__Target heavy = SALLYPORT__V1__TARGET__INIT, light = heavy, none = heavy;
    Sallyport__V1__Target *targets[] = {&heavy, &light, &none};
    Sallyport__V1__Upstream up = SALLYPORT__V1__UPSTREAM__INIT;
    Sallyport__V1__UpstreamResource resource = SALLYPORT__V1__UPSTREAM_RESOURCE__INIT;
    struct dp_service s;
    struct sp_error err;
    size_t next = 0, picked[3] = {0}, run = 0, longest = 0;
    uint32_t turn = 0;
    (void)state;
    heavy.target = (char *)(uintptr_t) "10.0.0.1:1";
    light.target = (char *)(uintptr_t) "10.0.0.2";
    none.target = (char *)(uintptr_t) "[::1]:3";
    heavy.weight = 300;
    light.weight = 100;
    none.weight = 0;
    resource.upstream = &up;
    resource.targets = targets;
    resource.n_targets = 3;
    struct dp_service_refs refs = {.upstream = &resource};
    heavy.has_weight = light.has_weight = none.has_weight = 1;
    assert_false(sp_failed(dp_service_compile(arena, &conf, &refs, &next, &s, &err)));
    for (int i = 0; i < 400; i++) {
        const struct dp_target *t = dp_service_pick(&s, &turn);
        picked[t->index]++;
        run = t->index == 0 ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    assert_int_equal(picked[0], 300);
    assert_int_equal(picked[1], 100);
    assert_int_equal(picked[2], 0);
    assert_true(longest <= 3);
    assert_int_equal(s.targets[1].port, 8000);
}

static void no_weight_means_no_target(void **state)
{
    Sallyport__V1__Service conf = service("pool", 80);
    Sallyport__V1__Upstream up = SALLYPORT__V1__UPSTREAM__INIT;
    Sallyport__V1__UpstreamResource resource = SALLYPORT__V1__UPSTREAM_RESOURCE__INIT;
    struct dp_service s;
    struct sp_error err;
    size_t next = 0;
    uint32_t turn = 0;
    (void)state;
    resource.upstream = &up;
    struct dp_service_refs refs = {.upstream = &resource};
    assert_false(sp_failed(dp_service_compile(arena, &conf, &refs, &next, &s, &err)));
    assert_null(dp_service_pick(&s, &turn));
}

static void malformed_targets_are_refused(void **state)
{
    Sallyport__V1__Service conf = service("pool", 80);
    Sallyport__V1__Target bad = SALLYPORT__V1__TARGET__INIT;
    Sallyport__V1__Target *targets[] = {&bad};
    Sallyport__V1__Upstream up = SALLYPORT__V1__UPSTREAM__INIT;
    Sallyport__V1__UpstreamResource resource = SALLYPORT__V1__UPSTREAM_RESOURCE__INIT;
    struct dp_service s;
    struct sp_error err;
    size_t next = 0;
    (void)state;
    bad.target = (char *)(uintptr_t) "host:99999";
    resource.upstream = &up;
    resource.targets = targets;
    resource.n_targets = 1;
    struct dp_service_refs refs = {.upstream = &resource};
    assert_true(sp_failed(dp_service_compile(arena, &conf, &refs, &next, &s, &err)));
    assert_non_null(strstr(err.text, "host:99999"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_host_is_one_target, setup, teardown),
        cmocka_unit_test_setup_teardown(weights_share_turns_evenly_mixed, setup, teardown),
        cmocka_unit_test_setup_teardown(no_weight_means_no_target, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_targets_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
