/* One shelf, two desks: who is told what, on the loops of both. */
#include "../tls/revocation_fixtures.h"
#include "base/encoding.h"
#include "plugin/revocation_memory.h"
#include "proxy/crl_shelf.h"
#include "test.h"

#include <stdlib.h>

struct desk {
    struct sp_loop *loop;
    struct dp_crl_desk *desk;
    struct dp_crl_reader *reader;
    struct dp_revocations *memory;
    struct dp_revocation_counters counters;
};

static struct sp_arena *arena;
static struct dp_crl_shelf *shelf;
static struct desk desks[2];
static uint8_t key[32];

struct heard {
    int times;
    bool crl;
    int64_t at;
    const char *why;
};

static void on_done(void *ctx, const struct sp_crl *crl, int64_t at, const char *why)
{
    struct heard *h = ctx;
    *h = (struct heard){.times = h->times + 1, .crl = crl != NULL, .at = at, .why = why};
}

static struct sp_str der(const char *text)
{
    struct sp_str out;
    assert_true(sp_base64_decode(arena, sp_str_z(text), &out));
    return out;
}

static int setup(void **state)
{
    struct sp_error err;
    (void)state;
    arena = sp_arena_new(4096);
    shelf = dp_crl_shelf_new();
    for (int i = 0; i < 2; i++) {
        struct desk *d = &desks[i];
        *d = (struct desk){0};
        assert_false(sp_failed(sp_loop_new(&d->loop, &err)));
        d->desk = dp_crl_desk_new(shelf, d->loop, &d->counters);
        d->reader = dp_crl_desk_reader(d->desk);
        d->memory = dp_revocations_new(&d->counters, d->reader);
        dp_crl_desk_open(d->desk, d->memory);
    }
    dp_crl_key(SP_STR("http://crl.test/ca.crl"), der(CA), key);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        dp_crl_desk_close(desks[i].desk);
        sp_loop_run_once(desks[i].loop, false);
        dp_crl_desk_free(desks[i].desk);
        dp_revocations_free(desks[i].memory);
        sp_loop_free(desks[i].loop);
    }
    dp_crl_shelf_free(shelf);
    sp_arena_free(arena);
    return 0;
}

static struct dp_crl_wait *order(struct desk *d, struct sp_str crl, struct heard *h)
{
    struct dp_crl_order o = {.key = key, .der = crl, .issuer = der(CA), .at = REVOCATION_NOW};
    return d->reader->read(d->reader, &o, on_done, h);
}

/* Too large to be read in place, and no CRL. */
static struct sp_str large(void)
{
    char *p = sp_arena_alloc(arena, 100000);
    return sp_str(p, 100000);
}

static void run_until(struct desk *d, const struct heard *h)
{
    for (int i = 0; i < 100 && h->times == 0; i++)
        sp_loop_run_once(d->loop, true);
}

static const struct sp_crl *kept(struct desk *d, int64_t *at)
{
    return dp_revocations_find_crl(d->memory, key, 60, REVOCATION_NOW + 1, at);
}

static void what_one_reads_all_have(void **state)
{
    (void)state;
    struct heard h = {0};
    int64_t at;
    assert_non_null(order(&desks[0], der(CRL), &h));
    assert_int_equal(h.times, 0); /* never inside */
    run_until(&desks[0], &h);
    assert_true(h.crl && !h.why && h.at == REVOCATION_NOW);
    sp_loop_run_once(desks[1].loop, false);
    assert_ptr_equal(kept(&desks[0], &at), kept(&desks[1], &at));
    assert_non_null(kept(&desks[0], &at));
    assert_int_equal(at, REVOCATION_NOW);
    assert_int_equal(desks[0].counters.crls_read, 1);
    assert_int_equal(desks[1].counters.crls_read, 0);
}

static void what_is_none_concerns_one(void **state)
{
    (void)state;
    struct heard small = {0}, big = {0};
    int64_t at;
    assert_non_null(order(&desks[0], der(CRL_OTHER), &small));
    run_until(&desks[0], &small);
    assert_string_equal(small.why, "the CRL is of another issuer");
    assert_non_null(order(&desks[1], large(), &big));
    run_until(&desks[1], &big);
    assert_string_equal(big.why, "the CRL is malformed");
    for (int i = 0; i < 2; i++) {
        sp_loop_run_once(desks[i].loop, false);
        assert_null(kept(&desks[i], &at));
    }
    assert_int_equal(small.times + big.times, 2);
}

static void those_who_join_and_leave(void **state)
{
    (void)state;
    struct heard a = {0}, b = {0}, c = {0};
    struct dp_crl_reader *r = desks[0].reader;
    assert_null(r->join(r, key, on_done, &a)); /* nothing is being read */
    assert_non_null(order(&desks[0], large(), &a));
    struct dp_crl_wait *joined = r->join(r, key, on_done, &b), *again = order(&desks[0], der(CRL), &c);
    assert_true(joined && again);
    r->cancel(r, joined);
    run_until(&desks[0], &a);
    assert_int_equal(a.times, 1);
    assert_int_equal(b.times, 0);
    assert_string_equal(c.why, "the CRL is malformed"); /* the first order's */
    assert_null(r->join(r, key, on_done, &a));
}

/* The desk is closed while the shelf still reads for it. */
static void the_end_comes_meanwhile(void **state)
{
    (void)state;
    static struct heard h[8];
    for (int i = 0; i < 8; i++) {
        key[0] = (uint8_t)i;
        assert_non_null(order(&desks[i % 2], large(), &h[i]));
    }
}

static void bounds(void **state)
{
    (void)state;
    struct dp_revocations *m = desks[0].memory;
    struct sp_crl *crl;
    int64_t at;
    assert_null(sp_crl_read(der(CRL), der(CA), &crl));
    for (int i = 0; i < 300; i++) {
        memcpy(key, &i, sizeof i);
        dp_revocations_keep_crl(m, key, crl, REVOCATION_NOW + i / 100);
    }
    assert_int_equal(m->num_crls, 256);
    assert_int_equal(m->crl_bytes, 256 * sp_crl_bytes(crl));
    assert_int_equal(m->crls[0].at, REVOCATION_NOW);          /* the oldest went first */
    dp_revocations_keep_crl(m, key, crl, REVOCATION_NOW + 4); /* anew */
    assert_int_equal(m->num_crls, 256);
    assert_ptr_equal(dp_revocations_find_crl(m, key, 60, REVOCATION_NOW + 5, &at), crl);
    assert_int_equal(at, REVOCATION_NOW + 4);
    assert_null(dp_revocations_find_crl(m, key, 60, REVOCATION_NOW + 64, &at));
    assert_null(dp_revocations_find_crl(m, key, 60, REVOCATION_NOW + 3, &at)); /* a clock that went back */
    key[31] ^= 1;
    dp_revocations_keep_crl(m, key, crl, REVOCATION_NOW + 8 * INT64_C(86400)); /* all are out of date */
    assert_int_equal(m->num_crls, 0);
    assert_int_equal(m->crl_bytes, 0);
    sp_crl_unref(crl);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_one_reads_all_have),
        TEST(what_is_none_concerns_one),
        TEST(those_who_join_and_leave),
        TEST(the_end_comes_meanwhile),
        TEST(bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
