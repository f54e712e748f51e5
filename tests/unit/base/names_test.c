#include "base/names.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct sp_str z(const char *s)
{
    return sp_str_z(s);
}

static void host_refuses(void **state)
{
    (void)state;
    char out[SP_HOST_MAX + 1], longest[300];
    size_t len;
    static const char *const bad[] = {"",     ".",     "..",  "a..b",        ".a",       "a b",
                                      "a:80", "a/b",   "*.a", "caf\xc3\xa9", "10.0.0.1", "1.2.3.4.",
                                      "::1",  "[::1]", "a\n", "a..",         "a,b",      "a@b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sp_host_normalise(z(bad[i]), out, &len));
    assert_false(sp_host_normalise(sp_str("a\0b", 3), out, &len));
    memset(longest, 'a', sizeof longest);
    assert_false(sp_host_normalise(sp_str(longest, 64), out, &len)); /* label */
    for (size_t i = 50; i < sizeof longest; i += 50)
        longest[i] = '.';
    assert_false(sp_host_normalise(sp_str(longest, 254), out, &len));
    assert_true(sp_host_normalise(sp_str(longest, 253), out, &len));
    assert_int_equal(len, 253);
}

static void host_normal_form(void **state)
{
    (void)state;
    char out[SP_HOST_MAX + 1];
    size_t len;
    static const char *const pairs[][2] = {
        {"Example.COM", "example.com"}, {"a.b.", "a.b"},    {"localhost", "localhost"},
        {"my_host-1.X", "my_host-1.x"}, {"1.2.3", "1.2.3"}, {"xn--CAF-dma.example", "xn--caf-dma.example"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_true(sp_host_normalise(z(pairs[i][0]), out, &len));
        assert_string_equal(out, pairs[i][1]);
        assert_int_equal(len, strlen(pairs[i][1]));
    }
}

static void split(void **state)
{
    (void)state;
    struct sp_str host;
    uint16_t port;
    static const char *const bad[] = {"",      ":80",    "a:b",   "a:0",   "a:65536", "a:1:2", "[::1",  "[]:1",
                                      "[a]:1", "[::1]x", "a b:1", "u@h:1", "a/b",     "a:+80", "a:80 ", "::1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sp_host_split(z(bad[i]), &host, &port));
    static const struct {
        const char *in, *host;
        uint16_t port;
    } good[] = {{"a.b", "a.b", 0},   {"a:80", "a", 80},
                {"a:", "a", 0},      {"10.0.0.1:65535", "10.0.0.1", 65535},
                {"[::1]", "::1", 0}, {"[2001:db8::1]:443", "2001:db8::1", 443}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(sp_host_split(z(good[i].in), &host, &port));
        assert_true(sp_str_eq(host, z(good[i].host)));
        assert_int_equal(port, good[i].port);
    }
}

static void patterns(void **state)
{
    (void)state;
    char out[SP_HOST_MAX + 1];
    size_t len;
    static const char *const bad[] = {"",    "**",   "*.",   ".*",       "a*",    "*a",  "a.*.b", "*.a.*",
                                      "*.*", "*..a", "a..*", "10.0.0.1", "*.a b", "a:1", "*.a..", "*:80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(sp_pattern_valid(z(bad[i])));
        assert_false(sp_pattern_normalise(z(bad[i]), out, &len));
    }
    static const char *const good[][2] = {
        {"*", "*"}, {"*.Example.com.", "*.example.com"}, {"Example.*", "example.*"}, {"A", "a"}, {"a.b.", "a.b"}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(sp_pattern_valid(z(good[i][0])));
        assert_true(sp_pattern_normalise(z(good[i][0]), out, &len));
        assert_string_equal(out, good[i][1]);
        assert_int_equal(len, strlen(good[i][1]));
    }
}

static const char *found(const struct sp_name_map *m, const char *name)
{
    const char *v = sp_name_map_find(m, z(name));
    return v ? v : "none";
}

static struct sp_name_map *fill(struct sp_arena *a, bool multi, const char *const *v, size_t n)
{
    struct sp_name_map *m = sp_name_map_new(a, 0, multi);
    for (size_t i = 0; i < n; i++)
        assert_true(sp_name_map_put(m, z(v[i]), (void *)v[i]));
    return m;
}

static const char *const some[] = {"a.example.com", "*.example.com", "*.b.example.com", "example.*", "www.example.*"};

static void map_multi_label(void **state)
{
    (void)state;
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_name_map *m = fill(a, true, some, 5);
    assert_string_equal(found(m, ""), "none");
    assert_string_equal(found(m, "other.org"), "none");
    assert_string_equal(found(m, "com"), "none");
    assert_string_equal(found(m, "a.example.com"), "a.example.com");
    assert_string_equal(found(m, "x.example.com"), "*.example.com");
    assert_string_equal(found(m, "y.x.example.com"), "*.example.com");
    assert_string_equal(found(m, "y.x.b.example.com"), "*.b.example.com");
    assert_string_equal(found(m, "b.example.com"), "*.example.com");
    assert_string_equal(found(m, "example.com"), "example.*");
    assert_string_equal(found(m, "example.co.uk"), "example.*");
    assert_string_equal(found(m, "www.example.co.uk"), "www.example.*");
    assert_string_equal(found(m, "xexample.com"), "none");
    assert_string_equal(found(m, "www.example"), "none");
    assert_true(sp_name_map_put(m, z("*"), (void *)"*"));
    assert_false(sp_name_map_put(m, z("*"), (void *)"again"));
    assert_string_equal(found(m, ""), "*");
    assert_string_equal(found(m, "other.org"), "*");
    assert_false(sp_name_map_put(m, z("A.Example.com."), (void *)"again"));
    assert_false(sp_name_map_put(m, z("no pattern"), (void *)"x"));
    assert_string_equal(sp_name_map_exact(m, z("*.EXAMPLE.com")), "*.example.com");
    assert_null(sp_name_map_exact(m, z("x.example.com")));
    sp_arena_free(a);
}

static void map_one_label(void **state)
{
    (void)state;
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_name_map *m = fill(a, false, some, 5);
    assert_string_equal(found(m, "x.example.com"), "*.example.com");
    assert_string_equal(found(m, "y.x.example.com"), "none");
    assert_string_equal(found(m, "y.b.example.com"), "*.b.example.com");
    assert_string_equal(found(m, "example.org"), "example.*");
    assert_string_equal(found(m, "example.co.uk"), "none");
    assert_string_equal(found(m, "www.example.org"), "www.example.*");
    sp_arena_free(a);
}

static void map_many(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_name_map *m = sp_name_map_new(a, 16, true);
    char name[64];
    for (uintptr_t i = 0; i < N; i++) {
        snprintf(name, sizeof name, i % 3 ? "h%zu.example.com" : "*.h%zu.example.com", (size_t)i);
        assert_true(sp_name_map_put(m, z(name), (void *)(i + 1)));
    }
    for (uintptr_t i = 0; i < N; i++) {
        snprintf(name, sizeof name, i % 3 ? "h%zu.example.com" : "x.y.h%zu.example.com", (size_t)i);
        assert_ptr_equal(sp_name_map_find(m, z(name)), (void *)(i + 1));
    }
    assert_null(sp_name_map_find(m, z("h3.example.com")));
    sp_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_refuses), cmocka_unit_test(host_normal_form), cmocka_unit_test(split),
        cmocka_unit_test(patterns),     cmocka_unit_test(map_multi_label),  cmocka_unit_test(map_one_label),
        cmocka_unit_test(map_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
