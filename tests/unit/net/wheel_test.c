#include "test.h"

#include "net/wheel.h"
#include <stddef.h>
#include <time.h>

struct probe {
    struct sp_deadline deadline; /* first */
    int passed;
    uint64_t at;
};

static struct sp_loop *loop;
static struct sp_wheel *wheel;
static int total;

static void on_passed(struct sp_deadline *d)
{
    struct probe *p = (struct probe *)(void *)d;
    p->passed++;
    p->at = sp_loop_now(loop);
    total++;
}

static int setup(void **state)
{
    struct sp_error err;
    (void)state;
    total = 0;
    assert_false(sp_failed(sp_loop_new(&loop, &err)));
    wheel = sp_wheel_new(loop);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sp_wheel_free(wheel);
    sp_loop_free(loop);
    return 0;
}

static void run_until(int wanted)
{
    while (total < wanted)
        sp_loop_run_once(loop, true);
}

static void deadlines_pass_once_and_never_early(void **state)
{
    struct probe a = {0}, b = {0};
    uint64_t start = sp_loop_now(loop);
    (void)state;
    sp_deadline_set(wheel, &a.deadline, 300, on_passed);
    sp_deadline_set(wheel, &b.deadline, 0, on_passed);
    run_until(2);
    assert_int_equal(a.passed, 1);
    assert_int_equal(b.passed, 1);
    assert_true(a.at >= start + 300);
    assert_true(b.at <= a.at);
}

static void setting_again_moves_a_deadline_both_ways(void **state)
{
    struct probe later = {0}, sooner = {0};
    uint64_t start = sp_loop_now(loop);
    (void)state;
    sp_deadline_set(wheel, &later.deadline, 0, on_passed);
    sp_deadline_set(wheel, &later.deadline, 400, on_passed);
    sp_deadline_set(wheel, &sooner.deadline, 3600000, on_passed);
    sp_deadline_set(wheel, &sooner.deadline, 100, on_passed);
    run_until(2);
    assert_true(later.at >= start + 400);
    assert_true(sooner.at >= start + 100 && sooner.at <= later.at);
}

static void cleared_deadlines_never_pass(void **state)
{
    struct probe cleared = {0}, other = {0};
    (void)state;
    sp_deadline_set(wheel, &cleared.deadline, 50, on_passed);
    sp_deadline_set(wheel, &other.deadline, 250, on_passed);
    sp_deadline_clear(wheel, &cleared.deadline);
    sp_deadline_clear(wheel, &cleared.deadline);
    run_until(1);
    assert_int_equal(cleared.passed, 0);
    assert_int_equal(other.passed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(deadlines_pass_once_and_never_early, setup, teardown),
        cmocka_unit_test_setup_teardown(setting_again_moves_a_deadline_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(cleared_deadlines_never_pass, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
