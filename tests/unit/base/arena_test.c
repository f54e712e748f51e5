#include "test.h"

#include "base/arena.h"

/* The first chunk is kept by a reset, so that what is left in it can be seen. */
static void what_was_secret_is_overwritten(void **state)
{
    (void)state;
    for (int secret = 0; secret < 2; secret++) {
        struct sp_arena *a = secret ? sp_arena_new_secret(4096) : sp_arena_new(4096);
        const char *p = sp_arena_dup(a, SP_STR("a private key")).p;
        char *large = sp_arena_alloc(a, 1 << 20); /* a chunk of its own */
        memset(large, 'x', 1 << 20);
        sp_arena_reset(a);
        assert_int_equal(p[0] == 'a', !secret);
        assert_int_equal(memcmp(p, "\0\0\0\0\0\0\0\0\0\0\0\0", 13) == 0, secret);
        sp_arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_secret_is_overwritten)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
