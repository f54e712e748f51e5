#include "base/digests.h"
#include "base/str.h"
#include "test.h"

static void number(uint8_t out[32], uint64_t n)
{
    uint64_t words[4] = {n * 0x9e3779b97f4a7c15u, n, n, n};
    memcpy(out, words, 32);
}

static void remembers_and_forgets(void **state)
{
    (void)state;
    enum { SETS = 16, MANY = 10000 };
    struct sp_digests *d = sp_digests_new(SETS);
    uint8_t digest[32], last[32];
    size_t held = 0;
    number(digest, 1);
    assert_false(sp_digests_has(d, digest));
    sp_digests_add(d, digest);
    sp_digests_add(d, digest);
    assert_true(sp_digests_has(d, digest));
    digest[31] ^= 1; /* same place, another one */
    assert_false(sp_digests_has(d, digest));
    for (uint64_t i = 2; i < MANY; i++) {
        number(last, i);
        sp_digests_add(d, last);
        assert_true(sp_digests_has(d, last));
    }
    for (uint64_t i = 1; i < MANY; i++) {
        number(digest, i);
        held += sp_digests_has(d, digest);
    }
    assert_true(held <= 4 * SETS && held > 0);
    sp_digests_free(d);
    sp_digests_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(remembers_and_forgets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
