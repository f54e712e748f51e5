/* The fetcher against a server on the same loop: shared lookups, their cancelling, bounds, and a queue. */
#include "base/buf.h"
#include "net/address.h"
#include "proxy/fetch.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_PEERS = 256, PATIENCE_MS = 10000 };

struct peer {              /* a connection, at the server's end */
    struct sp_watch watch; /* first */
    struct sp_buf in;
};

static struct {
    struct sp_loop *loop;
    struct sp_wheel *wheel;
    struct sp_resolver *resolver;
    struct dp_fetcher *fetcher;
    struct sp_watch listener;
    uint16_t port;
    struct peer peers[MAX_PEERS];
    size_t num_peers, num_requests;
    const char *answer; /* NULL: none for now */
    bool close_after;
    char last[2048]; /* request */
    bool late;
} lab;

/* --- the server --- */

static void hang_up(struct peer *p)
{
    if (p->watch.fd < 0)
        return;
    sp_watch_stop(&p->watch);
    close(p->watch.fd);
    p->watch.fd = -1;
}

static void say(struct peer *p, struct sp_str bytes)
{
    while (bytes.len) {
        ssize_t n = send(p->watch.fd, bytes.p, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            continue; /* the other end is on this thread: only for answers that the socket takes */
        if (n < 0)
            break;
        bytes = sp_str_skip(bytes, (size_t)n);
    }
}

static void on_request(struct sp_watch *w, int events)
{
    struct peer *p = (struct peer *)(void *)w;
    char *to = sp_buf_reserve(&p->in, 4096);
    ssize_t n = recv(w->fd, to, 4095, 0);
    (void)events;
    if (n <= 0) {
        hang_up(p);
        return;
    }
    sp_buf_commit(&p->in, (size_t)n);
    to[n] = '\0';
    if (!strstr(p->in.p, "\r\n\r\n"))
        return;
    lab.num_requests++;
    snprintf(lab.last, sizeof lab.last, "%.*s", SP_FMT(sp_buf_str(&p->in)));
    sp_buf_clear(&p->in);
    if (!lab.answer)
        return;
    say(p, sp_str_z(lab.answer));
    if (lab.close_after)
        hang_up(p);
}

static void on_accept(struct sp_watch *w, int events)
{
    (void)events;
    int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0 && lab.num_peers < MAX_PEERS);
    sp_watch_start(&lab.peers[lab.num_peers++].watch, lab.loop, fd, SP_READ, on_request);
}

static size_t open_peers(void)
{
    size_t n = 0;
    for (size_t i = 0; i < lab.num_peers; i++)
        n += lab.peers[i].watch.fd >= 0;
    return n;
}

static void answer_all(const char *text)
{
    for (size_t i = 0; i < lab.num_peers; i++)
        if (lab.peers[i].watch.fd >= 0)
            say(&lab.peers[i], sp_str_z(text));
    lab.answer = text;
}

static int setup(void **state)
{
    struct sp_error err;
    struct sp_address at = {0};
    int fd;
    (void)state;
    memset(&lab, 0, sizeof lab);
    assert_int_equal(sp_loop_new(&lab.loop, &err).code, SP_OK);
    assert_int_equal(sp_resolver_new(lab.loop, &lab.resolver, &err).code, SP_OK);
    lab.wheel = sp_wheel_new(lab.loop);
    lab.fetcher = dp_fetcher_new(lab.loop, lab.wheel, lab.resolver);
    assert_int_equal(sp_address_parse(SP_STR("127.0.0.1:0"), &at, &err).code, SP_OK);
    assert_int_equal(sp_listen(&at, NULL, &fd, &err).code, SP_OK);
    assert_int_equal(sp_local_address(fd, &at, &err).code, SP_OK);
    lab.port = sp_address_port(&at);
    sp_watch_start(&lab.listener, lab.loop, fd, SP_READ, on_accept);
    lab.close_after = true;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dp_fetcher_free(lab.fetcher);
    for (size_t i = 0; i < lab.num_peers; i++) {
        hang_up(&lab.peers[i]);
        sp_buf_fini(&lab.peers[i].in);
    }
    sp_watch_stop(&lab.listener);
    close(lab.listener.fd);
    sp_resolver_free(lab.resolver);
    sp_wheel_free(lab.wheel);
    sp_loop_free(lab.loop);
    return 0;
}

static void on_late(struct sp_timer *t)
{
    (void)t;
    lab.late = true;
}

#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        struct sp_timer patience = {0};                                                                                \
        lab.late = false;                                                                                              \
        sp_timer_start(&patience, lab.loop, PATIENCE_MS, on_late);                                                     \
        while (!(condition) && !lab.late)                                                                              \
            sp_loop_run_once(lab.loop, true);                                                                          \
        sp_timer_stop(&patience);                                                                                      \
        if (lab.late)                                                                                                  \
            fail_msg("did not happen: %s", #condition);                                                                \
    } while (0)

/* --- those who wait --- */

struct waiter {
    struct dp_fetch *fetch;
    unsigned called, status;
    char body[256], why[128];
    struct waiter *drops, *restarts; /* what is done inside `done` */
    const char *path;
};

static void start_at(struct waiter *w, const char *path, uint32_t timeout_ms);

static void on_done(void *ctx, const struct dp_fetch_answer *a)
{
    struct waiter *w = ctx;
    w->called++;
    w->fetch = NULL;
    w->status = a->status;
    snprintf(w->body, sizeof w->body, "%.*s", SP_FMT(a->body));
    snprintf(w->why, sizeof w->why, "%s", a->why ? a->why : "");
    if (w->drops && w->drops->fetch)
        lab.fetcher->cancel(lab.fetcher, SP_TAKE(w->drops->fetch));
    if (w->restarts)
        start_at(w->restarts, w->restarts->path, 5000);
}

static void start_url(struct waiter *w, const char *url, struct dp_fetch_order o)
{
    o.url = sp_str_z(url);
    o.accept = "*/*";
    o.content_type = "text/plain";
    o.max_body = 100;
    w->fetch = lab.fetcher->start(lab.fetcher, &o, on_done, w);
    assert_non_null(w->fetch);
    assert_int_equal(w->called, 0);
}

static void start_at(struct waiter *w, const char *path, uint32_t timeout_ms)
{
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", lab.port, path);
    start_url(w, url, (struct dp_fetch_order){.timeout_ms = timeout_ms});
}

static void expect(const char *answer, unsigned status, const char *text)
{
    struct waiter w = {0};
    lab.answer = answer;
    start_at(&w, "/x?y=1#z", 5000);
    UNTIL(w.called);
    assert_int_equal(w.called, 1);
    assert_int_equal(w.status, status);
    assert_string_equal(status ? w.body : w.why, text);
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

/* --- tests --- */

static void answers(void **state)
{
    (void)state;
    expect(OK, 200, "hi");
    assert_non_null(strstr(lab.last, "GET /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
    assert_non_null(strstr(lab.last, "\r\nConnection: close\r\n"));
    expect("HTTP/1.1 100 Continue\r\n\r\n" OK, 200, "hi");
    expect("HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, "until the end");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", 200, "abc");
    expect("HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", 302, "");
    expect("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", 500, "");
}

static void answers_that_are_none(void **state)
{
    (void)state;
    expect("", 0, "the server closed the connection");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", 0, "the server closed the connection");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", 0, "the answer is too large");
    expect("HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 0, "the server switches protocols");
    char long_text[400];
    snprintf(long_text, sizeof long_text, "HTTP/1.0 200 OK\r\n\r\n%0101d", 0);
    expect(long_text, 0, "the answer is too large");
    struct waiter w = {0};
    lab.answer = "SSH-2.0-x\r\n\r\n";
    start_at(&w, "/", 5000);
    UNTIL(w.called);
    assert_int_equal(w.status, 0);
}

static void bad_urls(void **state)
{
    (void)state;
    static const char *const bad[] = {"ftp://a/",        "http://",        "http://user@a/", "http://a b/",
                                      "http://a:99999/", "http://a:0x50/", "http://a\r\nb/", "http:///x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct waiter w = {0};
        start_url(&w, bad[i], (struct dp_fetch_order){.timeout_ms = 5000});
        UNTIL(w.called);
        assert_string_equal(w.why, "not a URL that can be asked");
    }
    assert_int_equal(lab.num_peers, 0);
}

static void bodies_and_proxies(void **state)
{
    (void)state;
    struct waiter w = {0};
    lab.answer = OK;
    start_url(
        &w, "http://far.test/x",
        (struct dp_fetch_order){
            .timeout_ms = 5000, .body = SP_STR("question"), .proxy_host = SP_STR("127.0.0.1"), .proxy_port = lab.port});
    UNTIL(w.called);
    assert_string_equal(w.body, "hi");
    assert_non_null(strstr(lab.last, "POST http://far.test/x HTTP/1.1\r\nHost: far.test\r\n"));
    assert_non_null(strstr(lab.last, "Content-Type: text/plain\r\nContent-Length: 8\r\n"));
    assert_non_null(strstr(lab.last, "\r\n\r\nquestion"));
    struct waiter t = {0};
    lab.answer = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    start_url(&t, "https://[::1]:444/x",
              (struct dp_fetch_order){.timeout_ms = 5000, .proxy_host = SP_STR("127.0.0.1"), .proxy_port = lab.port});
    UNTIL(t.called);
    assert_string_equal(t.why, "the proxy refuses the tunnel");
    assert_non_null(strstr(lab.last, "CONNECT [::1]:444 HTTP/1.1\r\nHost: [::1]:444\r\n"));
    struct waiter s = {0}; /* a proxy that talks before the server can */
    lab.answer = "HTTP/1.1 200 OK\r\n\r\nsurprise";
    start_url(&s, "https://far.test/",
              (struct dp_fetch_order){.timeout_ms = 5000, .proxy_host = SP_STR("127.0.0.1"), .proxy_port = lab.port});
    UNTIL(s.called);
    assert_int_equal(s.status, 0);
}

static void equal_orders_are_one(void **state)
{
    (void)state;
    struct waiter w[4] = {0}, other = {0};
    for (int i = 0; i < 4; i++)
        start_at(&w[i], "/same", 5000);
    start_at(&other, "/other", 5000);
    UNTIL(lab.num_requests == 2);
    lab.fetcher->cancel(lab.fetcher, SP_TAKE(w[1].fetch));
    answer_all(OK);
    UNTIL(w[0].called && w[2].called && w[3].called && other.called);
    assert_int_equal(w[1].called, 0);
    assert_int_equal(lab.num_requests, 2);
}

static void the_last_who_leaves_ends_it(void **state)
{
    (void)state;
    struct waiter w[2] = {0};
    start_at(&w[0], "/", 5000);
    start_at(&w[1], "/", 5000);
    UNTIL(lab.num_requests == 1);
    lab.fetcher->cancel(lab.fetcher, SP_TAKE(w[0].fetch));
    assert_int_equal(open_peers(), 1);
    lab.fetcher->cancel(lab.fetcher, SP_TAKE(w[1].fetch));
    UNTIL(open_peers() == 0);
    start_at(&w[0], "/", 5000); /* before anything has begun */
    lab.fetcher->cancel(lab.fetcher, SP_TAKE(w[0].fetch));
    assert_int_equal(w[0].called + w[1].called, 0);
}

static void things_done_inside_done(void **state)
{
    (void)state;
    struct waiter a = {0}, b = {0}, again = {.path = "/same"};
    a.drops = &b;
    b.drops = &a;
    a.restarts = b.restarts = &again;
    start_at(&a, "/same", 5000);
    start_at(&b, "/same", 5000);
    lab.answer = OK;
    UNTIL(again.called);
    assert_int_equal(a.called + b.called, 1); /* whoever came first dropped the other */
    assert_int_equal(lab.num_requests, 2);
}

static void time_is_bounded_as_a_whole(void **state)
{
    (void)state;
    struct waiter w = {0};
    lab.close_after = false;
    lab.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh"; /* and the rest never */
    start_at(&w, "/", 300);
    UNTIL(w.called);
    assert_string_equal(w.why, "timed out");
    UNTIL(open_peers() == 0);
}

static void a_queue_when_there_are_too_many(void **state)
{
    (void)state;
    struct waiter w[100] = {0};
    char path[16];
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof path, "/%d", i);
        start_at(&w[i], path, i < 90 ? 8000 : 300);
    }
    UNTIL(lab.num_requests == 64);
    UNTIL(w[99].called && w[90].called); /* time runs in the queue, too */
    assert_string_equal(w[99].why, "timed out");
    assert_int_equal(lab.num_peers, 64);
    answer_all(OK);
    for (int i = 0; i < 90; i++)
        UNTIL(w[i].called);
    for (int i = 0; i < 90; i++)
        assert_int_equal(w[i].status, 200);
    assert_int_equal(lab.num_requests, 90);
}

static void freed_while_under_way(void **state)
{
    (void)state;
    static struct waiter w[70];
    char path[16];
    for (int i = 0; i < 70; i++) {
        w[i] = (struct waiter){0};
        snprintf(path, sizeof path, "/%d", i);
        start_at(&w[i], path, 8000);
    }
    UNTIL(lab.num_requests == 64); /* the rest is teardown's, under a sanitizer */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answers),
        TEST(answers_that_are_none),
        TEST(bad_urls),
        TEST(bodies_and_proxies),
        TEST(equal_orders_are_one),
        TEST(the_last_who_leaves_ends_it),
        TEST(things_done_inside_done),
        TEST(time_is_bounded_as_a_whole),
        TEST(a_queue_when_there_are_too_many),
        TEST(freed_while_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
