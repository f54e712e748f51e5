/* The pool of threads that checks passwords: answers, bounds, and workers that lose interest. */
#include "test.h"

#include "proxy/checker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHEAP "$scrypt$ln=10,r=8,p=1$MTIzNDU2Nzg$8dnX/yuxrxutNDx0smRETeFQ6FQvY4DdpvWf/OFkhDA" /* "pw" */
/* Takes about eight times as long as ours: nothing else gets done meanwhile, where there is one thread. */
#define SLOW "$scrypt$ln=16,r=8,p=2$MTIzNDU2Nzg$8dnX/yuxrxutNDx0smRETeFQ6FQvY4DdpvWf/OFkhDA"

struct world {
    struct sp_loop *loop;
    struct dp_checker_pool *pool;
    struct dp_password_checker *checker;
    int right, wrong;
};

static int setup(void **state)
{
    struct world *w = sp_alloc(sizeof *w);
    struct sp_error err;
    assert_false(sp_failed(sp_loop_new(&w->loop, &err)));
    w->pool = dp_checker_pool_new(1);
    w->checker = dp_checker_new(w->pool, w->loop);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    dp_checker_free(w->checker);
    dp_checker_pool_free(w->pool);
    sp_loop_free(w->loop);
    free(w);
    return 0;
}

static void on_checked(void *ctx, bool right)
{
    struct world *w = ctx;
    *(right ? &w->right : &w->wrong) += 1;
}

static struct dp_password_check *order(struct world *w, const char *hash, const char *secret, uint64_t client)
{
    struct sp_password p;
    assert_true(sp_password_read(sp_str_z(hash), &p));
    struct dp_password_order o = {.password = &p, .secret = sp_str_z(secret), .client = client};
    sp_password_fingerprint(SP_STR("al"), &p, o.secret, o.fingerprint);
    return w->checker->start(w->checker, &o, on_checked, w);
}

static void wait_for(struct world *w, int right, int wrong)
{
    while (w->right + w->wrong < right + wrong)
        sp_loop_run_once(w->loop, true);
    assert_int_equal(w->right, right);
    assert_int_equal(w->wrong, wrong);
}

static void answers(void **state)
{
    struct world *w = *state;
    assert_non_null(order(w, CHEAP, "pw", 1));
    assert_non_null(order(w, CHEAP, "pv", 1));
    wait_for(w, 1, 1);
    assert_non_null(order(w, CHEAP, "pw", 1)); /* remembered */
    assert_non_null(order(w, CHEAP, "pv", 1));
    assert_non_null(order(w, CHEAP, "", 1));
    wait_for(w, 2, 3);
}

/* Orders until one is not taken; gives how many were. */
static size_t order_many(struct world *w, uint64_t client, struct dp_password_check **taken, size_t max)
{
    char secret[32];
    size_t num = 0;
    for (; num < max; num++) {
        snprintf(secret, sizeof secret, "%d/%zu", (int)client, num);
        if (!(taken[num] = order(w, CHEAP, secret, client)))
            return num;
    }
    fail_msg("never refused");
    return num;
}

/* One client takes a part of the queue, all of them together the whole, and nothing more. */
static void bounds(void **state)
{
    struct world *w = *state;
    enum { CLIENTS = 6, MAX = 2000 };
    struct dp_password_check **taken = sp_alloc(sizeof *taken * MAX * CLIENTS);
    size_t num = 0;
    taken[num++] = order(w, SLOW, "x", 0); /* keeps the only thread busy */
    for (uint64_t client = 1; client <= CLIENTS; client++) {
        size_t more = order_many(w, client, taken + num, MAX);
        assert_true(more >= 64 || num + more >= 256); /* the share of one, unless the whole is taken */
        num += more;
    }
    assert_true(num >= 256);
    assert_null(order(w, CHEAP, "pw", CLIENTS));
    while (num)
        w->checker->cancel(w->checker, taken[--num]); /* makes room at once */
    assert_non_null(order(w, CHEAP, "pw", 1));
    wait_for(w, 1, 0);
    free(taken);
}

/* While it waits, while it is checked, and when the answer is on its way. */
static void cancelled(void **state)
{
    struct world *w = *state;
    struct sp_error err;
    struct sp_loop *other_loop;
    assert_false(sp_failed(sp_loop_new(&other_loop, &err)));
    struct world other = {.loop = other_loop, .checker = dp_checker_new(w->pool, other_loop)};
    struct dp_password_check *slow = order(w, SLOW, "x", 1), *waiting = order(w, CHEAP, "pw", 1);
    w->checker->cancel(w->checker, waiting);
    w->checker->cancel(w->checker, slow);
    struct dp_password_check *posted = order(w, CHEAP, "pv", 1);
    assert_non_null(order(&other, CHEAP, "pw", 1)); /* one thread: when this answer is here, the other one was sent */
    wait_for(&other, 1, 0);
    w->checker->cancel(w->checker, posted);
    assert_non_null(order(w, CHEAP, "pw", 1));
    wait_for(w, 1, 0);
    w->checker->cancel(w->checker, order(w, SLOW, "y", 1)); /* may be under way when everything ends */
    dp_checker_free(other.checker);
    sp_loop_free(other_loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers, setup, teardown),
        cmocka_unit_test_setup_teardown(bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelled, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
