/* HTTP/1 clients: framing on the way back, pipelining, early answers, tunnels, and clients that leave. */
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static bool next(struct flow_visit *v)
{
    struct sp_buf head = {0}, body = {0};
    bool got = flow_request(&v->end, &head, &body);
    if (got) {
        v->up->bytes += body.len;
        flow_keep_text(v->up, &head);
        flow_mark(v->up);
    }
    sp_buf_fini(&head);
    sp_buf_fini(&body);
    return got;
}

static void serve_ok(struct flow_visit *v)
{
    while (next(v))
        flow_say(&v->end, ok);
}

static void say(struct flow_visit *v)
{
    while (next(v)) {
        flow_say(&v->end, v->up->ctx);
        if (!strstr(v->up->ctx, "Content-Length") && !strstr(v->up->ctx, "chunked") && !strstr(v->up->ctx, " 204") &&
            !strstr(v->up->ctx, " 304"))
            return;
    }
}

struct bench {
    struct flow f;
    struct flow_upstream u;
    struct flow_end e;
    struct flow_answer a;
};

static void set_up(struct bench *b, flow_script *script, const char *words, const struct flow_setup *setup)
{
    *b = (struct bench){0};
    flow_start(&b->f, setup);
    flow_upstream_start(&b->u, script, (void *)(uintptr_t)words);
    flow_serve(&b->f, b->u.port, NULL);
    flow_connect(&b->f, &b->e);
}

static void tear_down(struct bench *b)
{
    flow_shut(&b->e);
    flow_answer_fini(&b->a);
    flow_stop(&b->f);
    flow_upstream_stop(&b->u);
}

static unsigned ask(struct bench *b, const char *request)
{
    if (!flow_say(&b->e, request) || !flow_answer(&b->e, &b->a, strncmp(request, "HEAD ", 5) == 0))
        return 0;
    return b->a.status;
}

static void assert_body(const struct bench *b, const char *text)
{
    assert_true(b->a.whole);
    assert_int_equal(b->a.body.len, strlen(text));
    assert_memory_equal(sp_buf_str(&b->a.body).p, text, strlen(text));
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* --- framing --- */

static void a_body_until_close_becomes_chunks(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, say, "HTTP/1.0 200 OK\r\n\r\nhello", NULL);
    for (int i = 0; i < 3; i++) { /* and the client's connection goes on */
        assert_int_equal(ask(&b, GET), 200);
        assert_true(b.a.chunked);
        assert_body(&b, "hello");
    }
    tear_down(&b);
}

static void http10_clients_get_no_chunks(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"};
    for (int i = 0; i < 2; i++) {
        struct bench b;
        set_up(&b, say, answers[i], NULL);
        assert_int_equal(ask(&b, "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"), 200);
        assert_false(b.a.chunked);
        assert_null(flow_header(&b.a, "Content-Length"));
        assert_int_equal(strncmp(flow_header(&b.a, "Connection"), "close", 5), 0);
        assert_body(&b, "hello"); /* ended in order by the end of the connection */
        tear_down(&b);
    }
}

static void http10_keep_alive_works_with_a_length(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, serve_ok, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(&b, "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"), 200);
        assert_body(&b, "ok");
    }
    assert_int_equal(ask(&b, "GET / HTTP/1.0\r\nHost: a\r\n\r\n"), 200);
    assert_true(flow_until_end(&b.e));
    tear_down(&b);
}

static void answers_without_a_body(void **state)
{
    (void)state;
    static const struct {
        const char *request, *answer;
        unsigned status;
    } cases[] = {
        {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 200},
        {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200},
        {GET, "HTTP/1.1 204 No Content\r\n\r\n", 204},
        {GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n", 304},
        {GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200},
        {GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench b;
        set_up(&b, say, cases[i].answer, NULL);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(ask(&b, cases[i].request), cases[i].status);
            assert_body(&b, "");
        }
        if (i < 4 && i != 2 && i != 1)
            assert_int_equal(atoi(flow_header(&b.a, "Content-Length")), 1000);
        assert_int_equal(b.e.in.len, 0);
        if (i != 3 && i != 2)
            assert_int_equal(flow_visits(&b.u), 1);
        tear_down(&b);
    }
}

static void interim_answers_and_trailers_pass(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, say,
           "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           "2\r\nok\r\n0\r\nX-Sum: 2\r\nContent-Length: 9\r\n\r\n",
           NULL);
    assert_true(flow_say(&b.e, GET));
    assert_true(flow_has(&b.e, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"));
    assert_true(flow_answer(&b.e, &b.a, false));
    assert_body(&b, "ok");
    assert_string_equal(b.a.trailers, "X-Sum: 2\n");
    assert_int_equal(ask(&b, "GET / HTTP/1.0\r\nHost: a\r\n\r\n"), 200); /* knows neither */
    assert_body(&b, "ok");
    tear_down(&b);
}

static void expect_continue(struct flow_visit *v)
{
    char body[5];
    if (!flow_has(&v->end, "\r\n\r\n"))
        return;
    flow_mark(v->up);
    flow_say(&v->end, "HTTP/1.1 100 Continue\r\n\r\n");
    flow_take(&v->end, v->end.in.len);
    while (v->end.in.len < sizeof body)
        if (!flow_fill(&v->end))
            return;
    flow_say(&v->end, ok);
    flow_until_end(&v->end);
}

static void the_client_may_wait_for_100(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, expect_continue, NULL, NULL);
    assert_true(flow_say(&b.e, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"));
    assert_true(flow_has(&b.e, "100 Continue\r\n\r\n"));
    assert_int_equal(ask(&b, "hello"), 200);
    tear_down(&b);
}

/* --- what the upstream sees --- */

static void the_upstream_sees_who_asked(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, serve_ok, NULL, NULL);
    assert_int_equal(
        ask(&b, "GET /p?q=1 HTTP/1.1\r\nHost: a.test:8080\r\nX-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 6.6.6.6\r\n"
                "X-Forwarded-Proto: https\r\nConnection: X-Gone, X-Forwarded-For\r\nX-Gone: 1\r\n"
                "TE: trailers\r\nProxy-Authorization: x\r\n\r\n"),
        200);
    char expected[64];
    snprintf(expected, sizeof expected, "Host: 127.0.0.1:%u\r\n", b.u.port);
    assert_true(flow_text_has(&b.u, "GET /p?q=1 HTTP/1.1\r\n"));
    assert_true(flow_text_has(&b.u, expected));
    assert_true(flow_text_has(&b.u, "X-Real-IP: 127.0.0.1\r\n"));
    assert_true(flow_text_has(&b.u, "X-Forwarded-Proto: http\r\n"));
    assert_true(flow_text_has(&b.u, "X-Forwarded-Host: a.test\r\n"));
    assert_true(flow_text_has(&b.u, "X-Forwarded-Path: /p\r\n"));
    assert_true(flow_text_has(&b.u, "127.0.0.1\r\n"));
    assert_false(flow_text_has(&b.u, "X-Gone"));
    assert_false(flow_text_has(&b.u, "6.6.6.6"));
    assert_false(flow_text_has(&b.u, "Proxy-Authorization"));
    assert_true(flow_text_has(&b.u, "Connection: keep-alive\r\n"));
    tear_down(&b);
}

static void paths_arrive_as_they_were_meant(void **state)
{
    (void)state;
    static const char *const paths[][2] = {
        {"/caf%C3%A9?q=%C3%A9&x=a+b", "/caf%C3%A9?q=%C3%A9&x=a+b"},
        {"/a%20b/%7Euser", "/a%20b/~user"},
        {"/a/./b/../c", "/a/c"},
        {"/%00", NULL}, /* 400 */
        {"/a?", "/a?"},
        {"//double//slash", "/double/slash"},
        {"/x%2Fy", "/x%2Fy"},
        {"/;a=b,c:d@e!$&'()*", "/;a=b,c:d@e!$&'()*"},
    };
    struct bench b;
    set_up(&b, serve_ok, NULL, NULL);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char request[256], expected[256];
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i][0]);
        assert_int_equal(ask(&b, request), paths[i][1] ? 200 : 400);
        if (!paths[i][1])
            continue;
        snprintf(expected, sizeof expected, "GET %s HTTP/1.1\r\n", paths[i][1]);
        assert_true(flow_text_has(&b.u, expected));
    }
    assert_int_equal(flow_visits(&b.u), 1);
    tear_down(&b);
}

static void only_https_is_said_so(void **state)
{
    (void)state;
    struct flow_setup trusting = {.trusted = "127.0.0.1"};
    for (int trusted = 0; trusted < 2; trusted++) {
        struct bench b;
        set_up(&b, serve_ok, NULL, trusted ? &trusting : NULL);
        flow_config(&b.f,
                    "services:\n- {name: s, host: 127.0.0.1, port: %u, routes: ["
                    "{name: r, paths: [/], protocols: [https]},"
                    "{name: m, paths: [/moved], protocols: [https], https_redirect_status_code: 301}]}\n",
                    b.u.port);
        assert_int_equal(ask(&b, "GET /moved/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n"), 301);
        assert_non_null(strstr(b.a.head, "Location: https://a.test/moved/x?y\r\n"));
        assert_int_equal(ask(&b, "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\n\r\n"),
                         trusted ? 200 : 426);
        if (!trusted) {
            assert_non_null(strstr(b.a.head, "Upgrade: TLS/1.2, HTTP/1.1\r\n"));
            assert_non_null(strstr(flow_header(&b.a, "Connection"), "Upgrade"));
            flow_shut(&b.e);
            flow_connect(&b.f, &b.e);
        }
        assert_int_equal(
            ask(&b, "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n\r\n"),
            426);
        tear_down(&b);
    }
}

static void nobody_there(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, serve_ok, NULL, NULL);
    flow_config(&b.f, "services:\n- {name: s, host: 127.0.0.1, port: %u, routes: [{name: r, paths: [/only]}]}\n",
                b.u.port);
    assert_int_equal(ask(&b, GET), 404);
    assert_non_null(memmem(sp_buf_str(&b.a.body).p, b.a.body.len, "no Route matched", 16));
    assert_int_equal(ask(&b, "GET /only HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    tear_down(&b);
}

static void without_a_configuration(void **state)
{
    (void)state;
    struct flow f;
    struct flow_answer a = {0};
    struct flow_end e;
    flow_start(&f, NULL);
    assert_int_equal(flow_get(&f, "/", &a), 503);
    flow_connect_tls(&f, &e, "a.test");
    assert_true(e.broken);
    flow_shut(&e);
    flow_answer_fini(&a);
    flow_stop(&f);
}

/* --- pipelining --- */

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct bench b;
    struct sp_buf all = {0};
    set_up(&b, serve_ok, NULL, NULL);
    for (int i = 0; i < 300; i++)
        sp_buf_printf(&all,
                      i % 3 == 0 ? "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
                      : i % 3 == 1
                          ? "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                          : "POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
                      i);
    assert_true(flow_send(&b.e, sp_buf_str(&all).p, all.len));
    for (int i = 0; i < 300; i++) {
        assert_true(flow_answer(&b.e, &b.a, false));
        assert_int_equal(b.a.status, 200);
    }
    assert_int_equal(flow_count(&b.f, requests_total), 300);
    assert_int_equal(b.u.bytes, 100 * 3 + 100);
    sp_buf_fini(&all);
    tear_down(&b);
}

/* Answers that nobody reads must not pile up, and whoever does not read is not kept. */
static void clients_that_ask_and_never_read(void **state)
{
    (void)state;
    struct flow_setup setup = {.body_ms = 1000, .idle_ms = 1000};
    struct bench b;
    struct sp_buf all = {0};
    set_up(&b, serve_ok, NULL, &setup);
    flow_config(&b.f, "services:\n- {name: s, host: 127.0.0.1, port: %u, routes: [{name: r, paths: [/only]}]}\n",
                b.u.port);
    for (int i = 0; i < 4000; i++)
        sp_buf_add(&all, SP_STR(GET));
    size_t before = flow_memory(), sent = 0;
    uint64_t until = flow_now_ms() + FLOW_PATIENCE_MS;
    while (flow_now_ms() < until && sent < 512 * all.len && flow_count(&b.f, connections_active)) {
        size_t off = sent % all.len;
        ssize_t n = send(b.e.fd, sp_buf_str(&all).p + off, all.len - off, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
    }
    size_t after = flow_memory();
    assert_true(after < before + (48 << 20));
    assert_true(flow_until_count(&b.f, connections_active, 0));
    sp_buf_fini(&all);
    tear_down(&b);
}

/* --- early answers --- */

static void an_answer_before_the_body_arrives_whole(void **state)
{
    (void)state;
    for (int kept = 0; kept < 2; kept++) {
        struct bench b;
        char block[65536];
        memset(block, 'x', sizeof block);
        set_up(&b, serve_ok, NULL, NULL);
        flow_config(&b.f, "services:\n- {name: s, host: 127.0.0.1, port: %u, routes: [{name: r, paths: [/only]}]}\n",
                    b.u.port);
        assert_true(flow_say(&b.e, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n"));
        if (kept)
            assert_true(flow_has(&b.e, "404"));
        for (int i = 0; i < 128; i++)
            if (!flow_send(&b.e, block, sizeof block))
                break;
        assert_true(flow_answer(&b.e, &b.a, false));
        assert_int_equal(b.a.status, 404);
        assert_true(b.a.whole);
        tear_down(&b);
    }
}

static void answer_early(struct flow_visit *v)
{
    if (!flow_has(&v->end, "\r\n\r\n"))
        return;
    flow_say(&v->end, "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge");
}

static void an_upstream_that_answers_early_and_closes(void **state)
{
    (void)state;
    struct bench b;
    char block[65536];
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 20; i++) {
        set_up(&b, answer_early, NULL, NULL);
        assert_true(flow_say(&b.e, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n"));
        for (int k = 0; k < 128; k++)
            if (!flow_send(&b.e, block, sizeof block))
                break;
        assert_true(flow_answer(&b.e, &b.a, false));
        /* the upstream closes with bytes unread, so its own reset may overtake its answer */
        assert_true(b.a.status == 413 || b.a.status == 502);
        tear_down(&b);
    }
}

/* --- tunnels --- */

#define UPGRADE "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

static void echo_tunnel(struct flow_visit *v)
{
    struct sp_buf head = {0}, body = {0};
    bool got = flow_request(&v->end, &head, &body);
    sp_buf_fini(&body);
    if (got) {
        flow_keep_text(v->up, &head);
        flow_mark(v->up);
        flow_say(&v->end, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello");
        while (v->end.in.len || flow_fill(&v->end)) {
            flow_send(&v->end, sp_buf_str(&v->end.in).p, v->end.in.len);
            flow_take(&v->end, v->end.in.len);
        }
    }
    sp_buf_fini(&head);
    flow_mark(v->up);
}

static void tunnels_carry_both_ways(void **state)
{
    (void)state;
    struct bench b;
    char block[65536];
    memset(block, 'x', sizeof block);
    set_up(&b, echo_tunnel, NULL, NULL);
    assert_int_equal(ask(&b, UPGRADE), 101);
    assert_true(flow_text_has(&b.u, "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"));
    assert_non_null(strstr(b.a.head, "Connection: Upgrade\r\n"));
    assert_true(flow_has(&b.e, "hello"));
    flow_take(&b.e, 5);
    for (int i = 0; i < 100; i++) {
        assert_true(flow_send(&b.e, block, sizeof block));
        while (b.e.in.len < sizeof block)
            assert_true(flow_fill(&b.e));
        assert_memory_equal(sp_buf_str(&b.e.in).p, block, sizeof block);
        flow_take(&b.e, sizeof block);
    }
    flow_half_close(&b.e);
    assert_true(flow_marked(&b.u, 2)); /* the upstream has seen the end */
    assert_true(flow_until_end(&b.e));
    tear_down(&b);
}

enum { MUCH = 8 << 20 };

/* Takes the tunnel and reads nothing of it until the client has sent all and said that it is done. */
static void drink_late(struct flow_visit *v)
{
    int small = 16384;
    setsockopt(v->end.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (!flow_has(&v->end, "\r\n\r\n"))
        return;
    flow_take(&v->end, v->end.in.len);
    flow_say(&v->end, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    while (v->end.in.len || flow_fill(&v->end)) {
        v->up->bytes += v->end.in.len;
        flow_take(&v->end, v->end.in.len);
    }
    char text[32];
    snprintf(text, sizeof text, "got %zu.", (size_t)v->up->bytes);
    flow_say(&v->end, text);
}

/* The end of one direction is not the end of the other. */
static void tunnels_end_one_way_at_a_time(void **state)
{
    (void)state;
    char block[65536], expected[32];
    memset(block, 'x', sizeof block);
    snprintf(expected, sizeof expected, "got %d.", MUCH);
    for (int tls = 0; tls < 2; tls++) {
        struct bench b;
        set_up(&b, drink_late, NULL, NULL);
        if (tls) {
            flow_shut(&b.e);
            flow_connect_tls(&b.f, &b.e, "a.test");
        }
        assert_int_equal(ask(&b, UPGRADE), 101);
        for (int i = 0; i < MUCH / (int)sizeof block; i++)
            assert_true(flow_send(&b.e, block, sizeof block));
        flow_half_close(&b.e);
        assert_true(flow_has(&b.e, expected));
        assert_true(flow_until_end(&b.e));
        assert_true(flow_until_count(&b.f, connections_active, 0));
        tear_down(&b);
    }
}

/* RFC 9931: what a client sends too early waits for the 101, and is lost without one. */
static void early_bytes_wait_for_101(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, echo_tunnel, NULL, NULL);
    assert_int_equal(ask(&b, UPGRADE "early"), 101);
    assert_true(flow_has(&b.e, "helloearly"));
    assert_true(flow_say(&b.e, "late"));
    assert_true(flow_has(&b.e, "earlylate"));
    tear_down(&b);
}

static void a_refused_upgrade_is_an_ordinary_answer(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, serve_ok, NULL, NULL);
    assert_int_equal(ask(&b, UPGRADE), 200);
    assert_body(&b, "ok");
    assert_int_equal(ask(&b, GET), 200);
    tear_down(&b);
}

static void say_101_at_once(struct flow_visit *v)
{
    if (flow_has(&v->end, "\r\n\r\n"))
        flow_say(&v->end, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    flow_until_end(&v->end);
}

static void a_tunnel_does_not_begin_inside_a_body(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, say_101_at_once, NULL, NULL);
    assert_int_equal(ask(&b, "POST /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                             "Content-Length: 100\r\n\r\nhello"),
                     502);
    tear_down(&b);
}

static void a_tunnel_to_another_protocol_is_502(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, say_101_at_once, NULL, NULL);
    assert_int_equal(ask(&b, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), 502);
    tear_down(&b);
    set_up(&b, say_101_at_once, NULL, NULL);
    assert_int_equal(ask(&b, "GET /ws HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), 502);
    tear_down(&b);
}

static void close_tunnel(struct flow_visit *v)
{
    if (flow_has(&v->end, "\r\n\r\n"))
        flow_say(&v->end, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbye");
}

static void the_end_of_the_upstream_ends_the_tunnel(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, close_tunnel, NULL, NULL);
    assert_int_equal(ask(&b, UPGRADE), 101);
    assert_true(flow_has(&b.e, "bye"));
    assert_true(flow_until_end(&b.e));
    assert_true(flow_until_count(&b.f, connections_active, 0));
    tear_down(&b);
}

/* --- clients that leave --- */

static void wait_then_answer(struct flow_visit *v)
{
    if (!flow_has(&v->end, "\r\n\r\n"))
        return;
    flow_mark(v->up);
    flow_until_end(&v->end); /* the proxy gives up this connection */
    flow_mark(v->up);
}

static void begin_answer(struct flow_visit *v)
{
    if (!flow_has(&v->end, "\r\n\r\n"))
        return;
    flow_say(&v->end, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello");
    flow_mark(v->up);
    flow_until_end(&v->end);
    flow_mark(v->up);
}

static void clients_leave_at_every_stage(void **state)
{
    (void)state;
    static const struct {
        const char *said;
        flow_script *script;
        const char *seen;
        unsigned marks;
    } cases[] = {
        {"", serve_ok, NULL, 0},
        {"GET / HT", serve_ok, NULL, 0},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", wait_then_answer, NULL, 1},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", wait_then_answer, NULL, 1},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", wait_then_answer, NULL, 1},
        {GET, wait_then_answer, NULL, 1},
        {GET GET, wait_then_answer, NULL, 1},
        {GET, begin_answer, "hello", 1},
        {UPGRADE, echo_tunnel, "hello", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int reset = 0; reset < 2; reset++) {
            struct bench b;
            set_up(&b, cases[i].script, NULL, NULL);
            assert_true(flow_say(&b.e, cases[i].said));
            if (cases[i].marks)
                assert_true(flow_marked(&b.u, 1));
            if (cases[i].seen)
                assert_true(flow_has(&b.e, cases[i].seen));
            if (reset)
                flow_reset(&b.e);
            else
                flow_shut(&b.e);
            if (cases[i].marks)
                assert_true(flow_marked(&b.u, 2)); /* what ran upstream for nobody is given up */
            assert_true(flow_until_count(&b.f, connections_active, 0));
            assert_int_equal(flow_count(&b.f, requests_active), 0);
            b.e.fd = -1;
            tear_down(&b);
        }
}

static void tls_clients_get_the_same(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, serve_ok, NULL, NULL);
    flow_shut(&b.e);
    flow_connect_tls(&b.f, &b.e, "a.test");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(&b, GET), 200);
        assert_body(&b, "ok");
    }
    assert_true(flow_text_has(&b.u, "X-Forwarded-Proto: https\r\n"));
    assert_int_equal(ask(&b, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 200);
    assert_true(flow_until_end(&b.e)); /* close_notify */
    tear_down(&b);
}

int main(void)
{
    sp_log_min = SP_ERROR; /* what upstreams do wrong here is meant */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_until_close_becomes_chunks),
        cmocka_unit_test(http10_clients_get_no_chunks),
        cmocka_unit_test(http10_keep_alive_works_with_a_length),
        cmocka_unit_test(answers_without_a_body),
        cmocka_unit_test(interim_answers_and_trailers_pass),
        cmocka_unit_test(the_client_may_wait_for_100),
        cmocka_unit_test(the_upstream_sees_who_asked),
        cmocka_unit_test(paths_arrive_as_they_were_meant),
        cmocka_unit_test(only_https_is_said_so),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(without_a_configuration),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(clients_that_ask_and_never_read),
        cmocka_unit_test(an_answer_before_the_body_arrives_whole),
        cmocka_unit_test(an_upstream_that_answers_early_and_closes),
        cmocka_unit_test(tunnels_carry_both_ways),
        cmocka_unit_test(tunnels_end_one_way_at_a_time),
        cmocka_unit_test(early_bytes_wait_for_101),
        cmocka_unit_test(a_refused_upgrade_is_an_ordinary_answer),
        cmocka_unit_test(a_tunnel_does_not_begin_inside_a_body),
        cmocka_unit_test(a_tunnel_to_another_protocol_is_502),
        cmocka_unit_test(the_end_of_the_upstream_ends_the_tunnel),
        cmocka_unit_test(clients_leave_at_every_stage),
        cmocka_unit_test(tls_clients_get_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
