/* Large bodies and time: back-pressure both ways with bounded memory, and the deadlines of a client's connection. */
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BIG = 64 << 20, BLOCK = 65536, BOUND = 16 << 20 };

static char block[BLOCK];

struct bench {
    struct flow f;
    struct flow_upstream u;
    struct flow_end e;
    struct flow_answer a;
};

static void set_up(struct bench *b, flow_script *script, const struct flow_setup *setup, const char *extra)
{
    *b = (struct bench){0};
    flow_start(&b->f, setup);
    flow_upstream_start(&b->u, script, NULL);
    flow_serve(&b->f, b->u.port, extra);
    flow_connect(&b->f, &b->e);
}

static void tear_down(struct bench *b)
{
    flow_shut(&b->e);
    flow_answer_fini(&b->a);
    flow_stop(&b->f);
    flow_upstream_stop(&b->u);
}

/* Sends BIG bytes and counts them. */
static void send_much(struct flow_visit *v)
{
    if (!flow_has(&v->end, "\r\n\r\n"))
        return;
    bool chunked = memmem(sp_buf_str(&v->end.in).p, v->end.in.len, "/chunked", 8);
    char head[128];
    snprintf(head, sizeof head,
             chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     : "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
             BIG);
    flow_say(&v->end, head);
    for (size_t sent = 0; sent < BIG; sent += BLOCK) {
        if (chunked && !flow_say(&v->end, "10000\r\n"))
            return;
        if (!flow_send(&v->end, block, BLOCK))
            return;
        if (chunked)
            flow_say(&v->end, "\r\n");
        v->up->bytes += BLOCK;
    }
    if (chunked)
        flow_say(&v->end, "0\r\n\r\n");
    flow_mark(v->up);
    flow_until_end(&v->end);
}

/* Until a number that others change stands still: bounded, and no fixed sleep. */
static size_t settled(_Atomic size_t *n)
{
    size_t last = *n;
    uint64_t since = flow_now_ms(), until = since + FLOW_PATIENCE_MS;
    while (flow_now_ms() < since + 300 && flow_now_ms() < until) {
        usleep(10000);
        if (*n != last || last == 0) {
            last = *n;
            since = flow_now_ms();
        }
    }
    return last;
}

static void read_exactly(struct flow_end *e, size_t n)
{
    while (n) {
        if (e->in.len == 0)
            assert_true(flow_fill(e));
        size_t part = e->in.len < n ? e->in.len : n;
        flow_take(e, part);
        n -= part;
    }
}

static void a_slow_reader_holds_the_upstream(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct bench b;
        int small = 32768;
        set_up(&b, send_much, NULL, NULL);
        if (tls) {
            flow_shut(&b.e);
            flow_connect_tls(&b.f, &b.e, "a.test");
        }
        setsockopt(b.e.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        size_t before = flow_memory();
        assert_true(flow_say(&b.e, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        size_t sent = settled(&b.u.bytes);
        assert_true(sent < BIG); /* what is on its way stands in sockets, not in us */
        assert_true(flow_memory() < before + BOUND);
        assert_true(flow_has(&b.e, "\r\n\r\n"));
        struct sp_str in = sp_buf_str(&b.e.in);
        flow_take(&b.e, (size_t)((const char *)memmem(in.p, in.len, "\r\n\r\n", 4) - in.p) + 4);
        read_exactly(&b.e, BIG);
        assert_true(flow_marked(&b.u, 1));
        assert_true(flow_memory() < before + BOUND);
        tear_down(&b);
    }
}

static void chunks_arrive_whole(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, send_much, NULL, NULL);
    assert_true(flow_say(&b.e, "GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(flow_answer(&b.e, &b.a, false));
    assert_true(b.a.whole);
    assert_int_equal(b.a.body.len, BIG);
    tear_down(&b);
}

/* Reads nothing of the body until the test says so. */
static void read_late(struct flow_visit *v)
{
    int small = 32768;
    setsockopt(v->end.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (!flow_has(&v->end, "\r\n\r\n") || !flow_marked(v->up, 1))
        return;
    char all[BLOCK];
    size_t got = v->end.in.len;
    flow_take(&v->end, got);
    while (got < BIG) {
        ssize_t n = recv(v->end.fd, all, sizeof all, 0);
        if (n <= 0)
            return;
        got += (size_t)n;
        v->up->bytes = got;
    }
    flow_say(&v->end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    flow_until_end(&v->end);
}

static void *upload(void *arg)
{
    struct bench *b = arg;
    char head[128];
    snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", BIG);
    flow_say(&b->e, head);
    _Atomic size_t *sent = b->u.ctx;
    for (; *sent < BIG; *sent += BLOCK)
        if (!flow_send(&b->e, block, BLOCK))
            break;
    return NULL;
}

static void a_slow_upstream_holds_the_client(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct bench b;
        pthread_t thread;
        _Atomic size_t sent = 0;
        set_up(&b, read_late, NULL, NULL);
        b.u.ctx = &sent;
        if (tls) {
            flow_shut(&b.e);
            flow_connect_tls(&b.f, &b.e, "a.test");
        }
        size_t before = flow_memory();
        pthread_create(&thread, NULL, upload, &b);
        assert_true(settled(&sent) < BIG);
        assert_true(flow_memory() < before + BOUND);
        flow_mark(&b.u);
        pthread_join(thread, NULL);
        assert_int_equal(sent, BIG);
        assert_true(flow_answer(&b.e, &b.a, false));
        assert_int_equal(b.a.status, 200);
        assert_true(flow_memory() < before + BOUND);
        tear_down(&b);
    }
}

/* write_timeout is for writes: after them the upstream has its read_timeout, and the other way round. */
static void think(struct flow_visit *v)
{
    struct sp_buf head = {0}, body = {0};
    if (flow_marked(v->up, 1) && flow_request(&v->end, &head, &body)) {
        uint64_t until = flow_now_ms() + 800; /* longer than write_timeout: the clock is what is tested */
        while (flow_now_ms() < until)
            usleep(10000);
        flow_say(&v->end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    sp_buf_fini(&head);
    sp_buf_fini(&body);
    flow_until_end(&v->end);
}

static void the_write_timeout_ends_with_the_write(void **state)
{
    (void)state;
    struct bench b;
    pthread_t thread;
    _Atomic size_t sent = 0;
    set_up(&b, think, NULL, "write_timeout: 300");
    b.u.ctx = &sent;
    pthread_create(&thread, NULL, upload, &b);
    uint64_t until = flow_now_ms() + FLOW_PATIENCE_MS;
    while (sent < (1 << 20) && flow_now_ms() < until) /* more than we hold ourselves */
        usleep(1000);
    flow_mark(&b.u);
    pthread_join(thread, NULL);
    assert_true(flow_answer(&b.e, &b.a, false));
    assert_int_equal(b.a.status, 200);
    tear_down(&b);
}

static void an_upstream_that_does_not_read_is_504(void **state)
{
    (void)state;
    struct bench b;
    pthread_t thread;
    _Atomic size_t sent = 0;
    set_up(&b, read_late, NULL, "write_timeout: 300");
    b.u.ctx = &sent;
    pthread_create(&thread, NULL, upload, &b);
    assert_true(flow_answer(&b.e, &b.a, false));
    assert_int_equal(b.a.status, 504);
    pthread_join(thread, NULL);
    flow_mark(&b.u);
    tear_down(&b);
}

/* --- deadlines --- */

static void wait_for_ever(struct flow_visit *v)
{
    flow_until_end(&v->end);
}

static void serve_ok(struct flow_visit *v)
{
    struct sp_buf head = {0}, body = {0};
    while (flow_request(&v->end, &head, &body))
        flow_say(&v->end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    sp_buf_fini(&head);
    sp_buf_fini(&body);
}

static void idle_connections_end(void **state)
{
    (void)state;
    struct bench b;
    struct flow_setup setup = {.idle_ms = 300};
    set_up(&b, serve_ok, &setup, NULL);
    assert_true(flow_say(&b.e, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") && flow_answer(&b.e, &b.a, false));
    uint64_t began = flow_now_ms();
    assert_true(flow_until_end(&b.e));
    assert_true(flow_now_ms() - began >= 250 && flow_now_ms() - began < 5000);
    assert_int_equal(flow_count(&b.f, idle_closed), 1);
    tear_down(&b);
}

/* However it trickles. */
static void slow_heads_end(void **state)
{
    (void)state;
    struct bench b;
    struct flow_setup setup = {.head_ms = 400};
    set_up(&b, serve_ok, &setup, NULL);
    uint64_t began = flow_now_ms();
    assert_true(flow_say(&b.e, "GET / HTTP/1.1\r\nHost: a\r\nX: "));
    while (flow_count(&b.f, connections_active) && flow_now_ms() < began + FLOW_PATIENCE_MS) {
        flow_say(&b.e, "x");
        usleep(20000);
    }
    assert_true(flow_now_ms() - began < 5000);
    tear_down(&b);
}

static void silent_clients_end(void **state)
{
    (void)state;
    struct flow_setup setup = {.head_ms = 200, .handshake_ms = 200};
    struct bench b;
    struct flow_end e = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    set_up(&b, serve_ok, &setup, NULL);
    const struct sp_address *to = &b.f.listeners[1].address;
    assert_int_equal(connect(e.fd, (const struct sockaddr *)&to->ss, to->len), 0); /* never says ClientHello */
    assert_true(flow_until_end(&b.e));
    assert_true(flow_until_end(&e));
    flow_shut(&e);
    tear_down(&b);
}

static void slow_bodies_are_408(void **state)
{
    (void)state;
    struct bench b;
    struct flow_setup setup = {.body_ms = 300};
    set_up(&b, wait_for_ever, &setup, NULL);
    assert_true(flow_say(&b.e, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe"));
    assert_true(flow_answer(&b.e, &b.a, false));
    assert_int_equal(b.a.status, 408);
    assert_true(flow_until_end(&b.e));
    tear_down(&b);
}

/* A long wait for the upstream is none of the client's deadlines' business. */
static void patient_clients_are_served(void **state)
{
    (void)state;
    struct bench b;
    struct flow_setup setup = {.body_ms = 200, .head_ms = 200, .idle_ms = 200};
    set_up(&b, wait_for_ever, &setup, "read_timeout: 1000");
    assert_true(flow_say(&b.e, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(flow_answer(&b.e, &b.a, false));
    assert_int_equal(b.a.status, 504); /* the upstream's own deadline */
    tear_down(&b);
}

static void readers_that_stop_are_left(void **state)
{
    (void)state;
    static const char *const requests[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"};
    for (int i = 0; i < 2; i++) {
        struct bench b;
        struct flow_setup setup = {.body_ms = 400};
        int small = 4096;
        set_up(&b, send_much, &setup, NULL);
        setsockopt(b.e.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        assert_true(flow_say(&b.e, requests[i]));
        assert_true(flow_has(&b.e, "\r\n\r\n"));
        assert_true(flow_until_count(&b.f, connections_active, 0));
        assert_int_equal(flow_count(&b.f, requests_active), 0);
        tear_down(&b);
    }
}

/* The upstream is done and gone; what is left is in our hands and the client does not take it. */
static void a_rest_that_nobody_takes_is_dropped(void **state)
{
    (void)state;
    struct flow_setup setup = {.body_ms = 400, .idle_ms = 400};
    struct bench b;
    set_up(&b, serve_ok, &setup, NULL);
    int small = 4096;
    setsockopt(b.e.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    struct sp_buf all = {0};
    for (int i = 0; i < 2000; i++)
        sp_buf_add(&all, SP_STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    while (flow_count(&b.f, connections_active)) { /* the answers fill every buffer on the way */
        ssize_t n = send(b.e.fd, sp_buf_str(&all).p, all.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            usleep(1000);
    }
    assert_int_equal(flow_count(&b.f, requests_active), 0);
    sp_buf_fini(&all);
    tear_down(&b);
}

int main(void)
{
    memset(block, 'x', sizeof block);
    sp_log_min = SP_ERROR; /* what upstreams do wrong here is meant */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_reader_holds_the_upstream),
        cmocka_unit_test(chunks_arrive_whole),
        cmocka_unit_test(a_slow_upstream_holds_the_client),
        cmocka_unit_test(the_write_timeout_ends_with_the_write),
        cmocka_unit_test(an_upstream_that_does_not_read_is_504),
        cmocka_unit_test(idle_connections_end),
        cmocka_unit_test(slow_heads_end),
        cmocka_unit_test(silent_clients_end),
        cmocka_unit_test(slow_bodies_are_408),
        cmocka_unit_test(patient_clients_are_served),
        cmocka_unit_test(readers_that_stop_are_left),
        cmocka_unit_test(a_rest_that_nobody_takes_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
