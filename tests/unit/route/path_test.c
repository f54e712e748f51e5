#include "route/router.h"
#include "test.h"

static void normalise(const char *in, const char *want)
{
    struct sp_arena *a = sp_arena_new(1024);
    struct sp_str out;
    bool ok = dp_path_normalise(a, sp_str_z(in), &out);
    if (!want)
        assert_false(ok);
    else {
        assert_true(ok);
        assert_string_equal(sp_arena_dup(a, out).p, want);
    }
    sp_arena_free(a);
}

static void refuses_malformed_paths(void **state)
{
    (void)state;
    const char *bad[] = {"",     "x",    "*",    "/%",    "/%1",   "/%zz",   "/%2",  "/a%g0",
                         "/a#b", "/a?b", "/a b", "/\x01", "/\x7f", "/a%00b", "/a\\b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        normalise(bad[i], NULL);
    struct sp_arena *a = sp_arena_new(1024);
    struct sp_str out;
    assert_false(dp_path_normalise(a, sp_str("/a\0b", 4), &out));
    sp_arena_free(a);
}

static void normal_forms(void **state)
{
    (void)state;
    const char *pairs[][2] = {
        {"/", "/"},
        {"/a/b", "/a/b"},
        {"/a/", "/a/"},
        {"//", "/"},
        {"/a//b///c", "/a/b/c"},
        {"/.", "/"},
        {"/..", "/"},
        {"/../../etc/passwd", "/etc/passwd"},
        {"/a/./b", "/a/b"},
        {"/a/../b", "/b"},
        {"/a/b/..", "/a/"},
        {"/a/b/.", "/a/b/"},
        {"/a/b/../../..", "/"},
        {"/a//../b", "/b"},
        {"/.hidden/..x/x..", "/.hidden/..x/x.."},
        {"/...", "/..."},
        {"/%2e%2e/secret", "/secret"},
        {"/a/%2E%2e%2fb", "/a/..%2Fb"}, /* an encoded slash is data, so this is one segment */
        {"/a%2fb", "/a%2Fb"},
        {"/%41%7e%2d", "/A~-"},
        {"/%c3%a9", "/%C3%A9"},
        {"/%25%32%65", "/%252e"}, /* decoded once */
        {"/a;x=1/b", "/a;x=1/b"},
        {"/%5c..%5c", "/%5C..%5C"},
        {"/\xc3\xa9", "/\xc3\xa9"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        normalise(pairs[i][0], pairs[i][1]);
}

static void unchanged_is_not_copied(void **state)
{
    (void)state;
    struct sp_arena *a = sp_arena_new(1024);
    const char *path = "/a/b.c/d-e";
    struct sp_str out;
    assert_true(dp_path_normalise(a, sp_str_z(path), &out));
    assert_ptr_equal(out.p, path);
    sp_arena_free(a);
}

static void upstream(const char *service, const char *request, const char *matched, bool strip, const char *want)
{
    struct sp_arena *a = sp_arena_new(1024);
    struct sp_str s = dp_upstream_path(a, sp_str_z(service), sp_str_z(request), sp_str_z(matched), strip);
    assert_string_equal(sp_arena_dup(a, s).p, want);
    sp_arena_free(a);
}

/* kong-behaviour 4.2, the table of path_handling v0, row by row. */
static void upstream_path_table(void **state)
{
    (void)state;
    /* service path ends with '/', strip, nothing left */
    upstream("/", "/foo", "/foo", true, "/");
    upstream("", "/foo", "/foo", true, "/");
    upstream("/", "/foo/", "/foo/", true, "/");
    upstream("/base/", "/foo/", "/foo/", true, "/base/");
    upstream("/base/", "/foo", "/foo", true, "/base");
    /* ... rest with and without a slash */
    upstream("/base/", "/foo/bar", "/foo", true, "/base/bar");
    upstream("/", "/foo/bar", "/foo", true, "/bar");
    upstream("/base/", "/foobar", "/foo", true, "/base/bar");
    upstream("/", "/foobar", "/foo", true, "/bar");
    /* ... no strip */
    upstream("/base/", "/foo/bar", "/foo", false, "/base/foo/bar");
    upstream("/", "/foo", "/foo", false, "/foo");
    upstream("/", "/", "", false, "/");
    /* service path without '/' at its end, strip, nothing left */
    upstream("/base", "/foo", "/foo", true, "/base");
    upstream("/base", "/foo/", "/foo/", true, "/base/");
    upstream("/base", "/", "/", true, "/base");
    /* ... rest */
    upstream("/base", "/foo/bar", "/foo", true, "/base/bar");
    upstream("/base", "/foobar", "/foo", true, "/base/bar");
    /* ... no strip */
    upstream("/base", "/", "/", false, "/base");
    upstream("/base", "/foo/", "/foo", false, "/base/foo/");
    /* nothing matched by path: nothing to strip */
    upstream("/base", "/foo", "", true, "/base/foo");
}

static void stripping_never_climbs(void **state)
{
    (void)state;
    upstream("/base", "/foo../secret", "/foo", true, "/base/secret");
    upstream("/base/", "/foo../x", "/foo", true, "/base/x");
    upstream("/base", "/foo..", "/foo", true, "/base");
    upstream("/", "/foo./x", "/foo", true, "/x");
    upstream("/", "/foo...x", "/foo", true, "/...x");
    upstream("/", "/foo.hidden", "/foo", true, "/.hidden");
}

static void root_costs_no_copy(void **state)
{
    (void)state;
    struct sp_arena *a = sp_arena_new(1024);
    const char *path = "/foo/bar";
    struct sp_str s = dp_upstream_path(a, SP_STR("/"), sp_str_z(path), SP_STR("/foo"), true);
    assert_ptr_equal(s.p, path + 4);
    sp_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_malformed_paths), cmocka_unit_test(normal_forms),
        cmocka_unit_test(unchanged_is_not_copied), cmocka_unit_test(upstream_path_table),
        cmocka_unit_test(stripping_never_climbs),  cmocka_unit_test(root_costs_no_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
