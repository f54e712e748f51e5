/* What is remembered of certificates is bounded, and strangers do not push out those who are known. */
#include "plugin/memo.h"
#include "test.h"

enum { PLACES = 4096, MANY = 100000 };

static const int instance, other;

static void make_digest(uint8_t out[32], unsigned n)
{
    sp_sha256(sp_str(&n, sizeof n), out);
}

static void put(struct dp_plugin_cache *c, unsigned n, bool proven, size_t more)
{
    uint8_t digest[32];
    struct sp_arena *arena;
    make_digest(digest, n);
    unsigned *v = dp_memo_put(c, &instance, digest, proven, sizeof *v, &arena);
    assert_int_equal(*v, 0);
    *v = n;
    if (more)
        memset(sp_arena_alloc(arena, more), 1, more);
}

static bool has(const struct dp_plugin_cache *c, unsigned n)
{
    uint8_t digest[32];
    make_digest(digest, n);
    const unsigned *v = dp_memo_find(c, &instance, digest);
    assert_true(!v || *v == n);
    return v != NULL;
}

static unsigned count(const struct dp_plugin_cache *c, unsigned from, unsigned to)
{
    unsigned found = 0;
    for (unsigned n = from; n < to; n++)
        found += has(c, n);
    return found;
}

static void what_is_put_is_found(void **state)
{
    (void)state;
    struct dp_plugin_cache *c = dp_plugin_cache_new();
    uint8_t digest[32];
    make_digest(digest, 1);
    assert_false(has(c, 1));
    put(c, 1, true, 0);
    put(c, 2, false, 0);
    assert_true(has(c, 1) && has(c, 2));
    assert_null(dp_memo_find(c, &other, digest));
    put(c, 1, true, 0); /* again: one value, the new one */
    assert_true(has(c, 1));
    dp_plugin_cache_free(c);
    dp_plugin_cache_free(NULL);
}

static void a_changed_verdict_leaves_no_old_one(void **state)
{
    (void)state;
    struct dp_plugin_cache *c = dp_plugin_cache_new();
    uint8_t digest[32];
    struct sp_arena *arena;
    make_digest(digest, 7);
    for (unsigned i = 0; i < 6; i++) {
        unsigned *v = dp_memo_put(c, &instance, digest, i % 2, sizeof *v, &arena);
        *v = i;
        assert_ptr_equal(dp_memo_find(c, &instance, digest), v);
    }
    dp_plugin_cache_free(c);
}

static void strangers_do_not_push_out_the_known(void **state)
{
    (void)state;
    struct dp_plugin_cache *c = dp_plugin_cache_new();
    for (unsigned n = 0; n < 1000; n++)
        put(c, n, true, 0);
    unsigned known = count(c, 0, 1000);
    assert_true(known > 900);
    for (unsigned n = 1000; n < MANY; n++)
        put(c, n, false, n % 8 ? 0 : 5000);
    assert_int_equal(count(c, 0, 1000), known);
    assert_true(count(c, 1000, MANY) <= PLACES);
    dp_plugin_cache_free(c);
}

static void it_does_not_grow_without_bound(void **state)
{
    (void)state;
    struct dp_plugin_cache *c = dp_plugin_cache_new();
    for (unsigned proven = 0; proven < 2; proven++)
        for (unsigned n = 0; n < 1000; n++) {
            put(c, proven * MANY + n, proven, 200000); /* texts of a chain of 64 KiB */
            assert_true(dp_memo_bytes(c) < 40 << 20);
            assert_true(has(c, proven * MANY + n));
        }
    put(c, 2 * MANY, true, 0);
    assert_true(has(c, 2 * MANY));
    dp_plugin_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_found),
        cmocka_unit_test(a_changed_verdict_leaves_no_old_one),
        cmocka_unit_test(strangers_do_not_push_out_the_known),
        cmocka_unit_test(it_does_not_grow_without_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
