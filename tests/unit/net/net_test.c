#include "test.h"

#include "net/address.h"
#include "net/loop.h"
#include "net/resolver.h"
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void parses_addresses(void **state)
{
    struct sp_address a, b;
    char text[SP_ADDRESS_TEXT];
    struct sp_error err;
    (void)state;
    assert_false(sp_failed(sp_address_parse(SP_STR("127.0.0.1:80"), &a, &err)));
    assert_int_equal(sp_address_port(&a), 80);
    sp_address_text(&a, text);
    assert_string_equal(text, "127.0.0.1:80");
    assert_false(sp_failed(sp_address_parse(SP_STR("[::1]:8443"), &a, &err)));
    sp_address_text(&a, text);
    assert_string_equal(text, "[::1]:8443");
    assert_false(sp_failed(sp_address_parse(SP_STR(":0"), &a, &err)));
    assert_true(sp_failed(sp_address_parse(SP_STR("127.0.0.1"), &a, &err)));
    assert_true(sp_failed(sp_address_parse(SP_STR("127.0.0.1:65536"), &a, &err)));
    assert_true(sp_failed(sp_address_parse(SP_STR("example.test:80"), &a, &err)));
    assert_true(sp_address_parse_ip(SP_STR("::ffff:10.1.2.3"), 1, &a));
    assert_true(sp_address_parse_ip(SP_STR("10.1.2.3"), 1, &b));
    assert_true(sp_address_eq(&a, &b));
    assert_false(sp_address_parse_ip(sp_str("10.1.2.3\0x", 10), 1, &b));
}

static void networks_match_by_prefix(void **state)
{
    struct sp_network n;
    struct sp_address a;
    (void)state;
    assert_true(sp_network_parse(SP_STR("10.0.0.0/9"), &n));
    assert_true(sp_address_parse_ip(SP_STR("10.127.255.255"), 0, &a) && sp_network_has(&n, &a));
    assert_true(sp_address_parse_ip(SP_STR("10.128.0.0"), 0, &a) && !sp_network_has(&n, &a));
    assert_true(sp_network_parse(SP_STR("::1"), &n));
    assert_true(sp_address_parse_ip(SP_STR("::1"), 0, &a) && sp_network_has(&n, &a));
    assert_true(sp_address_parse_ip(SP_STR("::2"), 0, &a) && !sp_network_has(&n, &a));
    assert_false(sp_network_parse(SP_STR("10.0.0.0/33"), &n));
    assert_false(sp_network_parse(SP_STR("10.0.0.0/"), &n));
}

struct probe {
    struct sp_watch watch;
    struct sp_timer timer;
    struct sp_deferred deferred;
    struct sp_loop *loop;
    int reads, fires, deferrals, posts;
};

static void on_read(struct sp_watch *w, int events)
{
    struct probe *p = (struct probe *)(void *)w;
    char c;
    assert_int_equal(events, SP_READ);
    assert_int_equal(read(w->fd, &c, 1), 1);
    p->reads++;
    sp_loop_defer(p->loop, &p->deferred);
    sp_loop_defer(p->loop, &p->deferred);
}

static void on_deferred(struct sp_deferred *d)
{
    struct probe *p = (struct probe *)(void *)((char *)d - offsetof(struct probe, deferred));
    p->deferrals++;
}

static void on_fire(struct sp_timer *t)
{
    struct probe *p = (struct probe *)(void *)((char *)t - offsetof(struct probe, timer));
    if (++p->fires < 2)
        sp_timer_start(t, p->loop, 1, on_fire);
    else
        sp_loop_stop(p->loop);
}

static void on_post(void *arg)
{
    ((struct probe *)arg)->posts++;
}

static void *post_thread(void *arg)
{
    struct probe *p = arg;
    for (int i = 0; i < 100; i++)
        sp_loop_post(p->loop, on_post, p);
    return NULL;
}

static void loop_runs_watches_timers_posts_and_deferred_work(void **state)
{
    struct probe p = {.deferred = {.fn = on_deferred}};
    struct sp_error err;
    int fds[2];
    pthread_t thread;
    (void)state;
    assert_false(sp_failed(sp_loop_new(&p.loop, &err)));
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    sp_watch_start(&p.watch, p.loop, fds[0], SP_READ, on_read);
    sp_timer_start(&p.timer, p.loop, 20, on_fire);
    pthread_create(&thread, NULL, post_thread, &p);
    sp_loop_run(p.loop);
    pthread_join(thread, NULL);
    sp_loop_run_once(p.loop, false);
    assert_int_equal(p.reads, 1);
    assert_int_equal(p.deferrals, 1);
    assert_int_equal(p.fires, 2);
    assert_int_equal(p.posts, 100);
    sp_watch_want(&p.watch, 0);
    assert_int_equal(write(fds[1], "y", 1), 1);
    sp_loop_run_once(p.loop, false);
    assert_int_equal(p.reads, 1);
    sp_watch_want(&p.watch, SP_READ);
    sp_loop_run_once(p.loop, false);
    assert_int_equal(p.reads, 2);
    sp_watch_stop(&p.watch);
    sp_watch_stop(&p.watch);
    sp_timer_stop(&p.timer);
    sp_loop_free(p.loop);
    close(fds[0]);
    close(fds[1]);
}

struct resolved {
    int calls;
    size_t num;
    struct sp_address first;
    char why[128];
    struct sp_loop *loop;
};

static void on_resolved(void *ctx, const struct sp_address *v, size_t num, const char *why)
{
    struct resolved *r = ctx;
    r->calls++;
    r->num = num;
    if (num)
        r->first = v[0];
    snprintf(r->why, sizeof r->why, "%s", why ? why : "");
}

static void resolves_literals_and_localhost_at_once(void **state)
{
    struct sp_resolver *r;
    struct sp_error err;
    struct resolved got = {0};
    char text[SP_ADDRESS_TEXT];
    (void)state;
    assert_false(sp_failed(sp_loop_new(&got.loop, &err)));
    assert_false(sp_failed(sp_resolver_new(got.loop, &r, &err)));
    assert_null(sp_resolve(r, SP_STR("localhost"), 81, on_resolved, &got));
    assert_int_equal(got.calls, 1);
    sp_address_text(&got.first, text);
    assert_string_equal(text, "127.0.0.1:81");
    assert_null(sp_resolve(r, SP_STR("::1"), 82, on_resolved, &got));
    assert_int_equal(got.calls, 2);
    struct sp_query *q = sp_resolve(r, SP_STR("no-such-host.invalid"), 83, on_resolved, &got);
    sp_query_cancel(q);
    sp_resolver_free(r); /* a cancelled query under way is harmless */
    sp_loop_free(got.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_addresses),
        cmocka_unit_test(networks_match_by_prefix),
        cmocka_unit_test(loop_runs_watches_timers_posts_and_deferred_work),
        cmocka_unit_test(resolves_literals_and_localhost_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
