#include "test.h"

#include "control/discovery/debounce.h"

static void first_at_once(void **state)
{
    (void)state;
    struct cp_debounce d = {0};
    assert_false(cp_debounce_due(&d, 5));
    assert_true(cp_debounce_change(&d, 1000, false));
    assert_false(cp_debounce_change(&d, 1001, false));
    assert_false(cp_debounce_change(&d, 1099, false));
    assert_false(cp_debounce_due(&d, 1099));
    assert_true(cp_debounce_due(&d, 1100));
    assert_false(cp_debounce_due(&d, 1200)); /* the window has doubled */
    assert_false(cp_debounce_due(&d, 1300)); /* nothing waited: it closes */
    assert_int_equal(d.until_ms, 0);
    assert_true(cp_debounce_change(&d, 1301, false));
}

static void doubles_to_a_bound(void **state)
{
    (void)state;
    struct cp_debounce d = {0};
    uint64_t now = 1, widest = 0;
    assert_true(cp_debounce_change(&d, now, false));
    for (int i = 0; i < 8; i++) {
        assert_false(cp_debounce_change(&d, now, false));
        widest = d.until_ms - now;
        now = d.until_ms;
        assert_true(cp_debounce_due(&d, now));
    }
    assert_int_equal(widest, CP_DEBOUNCE_MAX_MS);
}

static void urgent_waits_for_nothing(void **state)
{
    (void)state;
    struct cp_debounce d = {0};
    assert_true(cp_debounce_change(&d, 1, false));
    assert_false(cp_debounce_change(&d, 2, false));
    assert_true(cp_debounce_change(&d, 3, true)); /* what waited is older than this: it goes with it */
    assert_false(cp_debounce_due(&d, 101));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_at_once),
        cmocka_unit_test(doubles_to_a_bound),
        cmocka_unit_test(urgent_waits_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
