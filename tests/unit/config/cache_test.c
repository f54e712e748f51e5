#include "test.h"

#include "cluster.h"
#include "config/cache.h"
#include "resources.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/sp-cache-XXXXXX", path[64];
static struct cert node, other;
static struct res_set set;
static struct sp_error err;

static int start(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/last-good", folder);
    cert_make(&node, NULL, "node", NULL, false, 1000);
    cert_make(&other, NULL, "other", NULL, false, 1000);
    res_init(&set);
    res_ca(&set, "ca", "a very recognisable text");
    res_route(&set, "r1", "a.example");
    res_done(&set);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    unlink(path);
    rmdir(folder);
    cert_fini(&node);
    cert_fini(&other);
    sp_arena_free(set.arena);
    return 0;
}

static sp_result load(const struct cert *who, size_t max, struct dp_cached *out)
{
    return dp_cache_load(path, sp_buf_str(&who->key), max, out, &err);
}

static void nothing_there(void **state)
{
    (void)state;
    struct dp_cached c;
    assert_int_equal(load(&node, 1 << 20, &c).code, SP_E_NOT_FOUND);
    assert_true(sp_failed(dp_cache_save("/nonexistent/x", sp_buf_str(&node.key), 1, &set.set, &err)));
}

static void round_trip(void **state)
{
    (void)state;
    struct dp_cached c;
    struct stat st;
    assert_false(sp_failed(dp_cache_save(path, sp_buf_str(&node.key), 42, &set.set, &err)));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_false(sp_failed(load(&node, 1 << 20, &c)));
    assert_int_equal(c.revision, 42);
    struct sp_resources r = {c.v, c.num};
    assert_true(res_same(&r, &set.set));
    dp_cached_fini(&c);
    sp_result r2 = load(&other, 1 << 20, &c); /* another node's */
    assert_true(sp_failed(r2) && r2.code != SP_E_NOT_FOUND);
    assert_int_equal(c.num, 0);
}

static void says_nothing_without_the_key(void **state)
{
    (void)state;
    struct sp_buf b = {0};
    assert_false(sp_failed(sp_buf_read_file(&b, path, 1 << 20, &err)));
    assert_null(memmem(b.p, b.len, "recognisable", 12));
    sp_buf_fini(&b);
}

static void refuses_any_damage(void **state)
{
    (void)state;
    struct sp_buf b = {0};
    struct dp_cached c;
    assert_false(sp_failed(sp_buf_read_file(&b, path, 1 << 20, &err)));
    for (size_t i = 0; i < b.len; i += 7) {
        b.p[i] ^= 0x20;
        assert_false(sp_failed(sp_write_file(path, sp_buf_str(&b), 0600, &err)));
        assert_true(sp_failed(load(&node, 1 << 20, &c)));
        b.p[i] ^= 0x20;
        assert_false(sp_failed(sp_write_file(path, sp_str(b.p, i), 0600, &err)));
        assert_true(sp_failed(load(&node, 1 << 20, &c)));
    }
    sp_buf_fini(&b);
    struct sp_buf large = {0};
    memset(sp_buf_reserve(&large, 3 << 20), 'x', 3 << 20);
    sp_buf_commit(&large, 3 << 20);
    assert_false(sp_failed(sp_write_file(path, sp_buf_str(&large), 0600, &err)));
    assert_int_equal(load(&node, 1 << 20, &c).code, SP_E_LIMIT);
    sp_buf_fini(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_there),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(says_nothing_without_the_key),
        cmocka_unit_test(refuses_any_damage),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
