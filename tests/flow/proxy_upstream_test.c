/* Upstreams that misbehave, and what the client must see of it. */
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/* Reads a request; false: no more. */
static bool next(struct flow_visit *v)
{
    struct sp_buf head = {0}, body = {0};
    bool got = flow_request(&v->end, &head, &body);
    if (got) {
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

/* Says v->up->ctx to the first request and then keeps the connection open until the other side ends it. */
static void say_and_stay(struct flow_visit *v)
{
    while (next(v))
        flow_say(&v->end, v->up->ctx);
}

static void say_and_close(struct flow_visit *v)
{
    if (next(v))
        flow_say(&v->end, v->up->ctx);
}

/* One GET through a proxy of its own. */
static void ask(flow_script *script, const char *words, const char *extra, struct flow_answer *a)
{
    struct flow f;
    struct flow_upstream u;
    flow_start(&f, NULL);
    flow_upstream_start(&u, script, (void *)(uintptr_t)words);
    flow_serve(&f, u.port, extra);
    flow_get(&f, "/", a);
    flow_stop(&f);
    flow_upstream_stop(&u);
}

static void assert_body(const struct flow_answer *a, const char *text)
{
    assert_true(a->whole);
    assert_int_equal(a->body.len, strlen(text));
    assert_memory_equal(sp_buf_str(&a->body).p, text, strlen(text));
}

static void refused_connections_are_tried_again_and_then_502(void **state)
{
    (void)state;
    struct flow f;
    struct flow_answer a = {0};
    int fd;
    flow_start(&f, NULL);
    flow_serve(&f, flow_dead_port(&fd), "retries: 2");
    assert_int_equal(flow_get(&f, "/", &a), 502);
    assert_int_equal(sp_counter_get(&f.proxy.workers[0]->up.connects), 3);
    flow_answer_fini(&a);
    flow_stop(&f);
    close(fd);
}

static void the_next_target_gets_what_the_first_refused(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u;
    struct flow_end e;
    struct flow_answer a = {0};
    int fd;
    flow_start(&f, NULL);
    flow_upstream_start(&u, serve_ok, NULL);
    unsigned dead = flow_dead_port(&fd);
    flow_config(&f,
                "upstreams:\n- {name: pair, targets: [{target: \"127.0.0.1:%u\"}, {target: \"127.0.0.1:%u\"}]}\n"
                "services:\n- {name: s, host: pair, retries: 2, routes: [{name: r, paths: [/]}]}\n",
                dead, u.port);
    for (int i = 0; i < 4; i++) { /* a body is no obstacle as long as nothing of it has left */
        flow_connect(&f, &e);
        assert_true(flow_say(&e, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"));
        assert_true(flow_answer(&e, &a, false));
        assert_int_equal(a.status, 200);
        flow_shut(&e);
        flow_connect(&f, &e);
        assert_true(
            flow_say(&e, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
        assert_true(flow_answer(&e, &a, false));
        assert_int_equal(a.status, 200);
        flow_shut(&e);
    }
    flow_answer_fini(&a);
    flow_stop(&f);
    flow_upstream_stop(&u);
    close(fd);
}

static void nothing_said_is_502(void **state)
{
    (void)state;
    struct flow_answer a = {0};
    ask(say_and_close, "", NULL, &a);
    assert_int_equal(a.status, 502);
    assert_true(a.whole);
    ask(say_and_close, "HTTP/1.1 200 OK\r\nContent-Le", NULL, &a);
    assert_int_equal(a.status, 502);
    flow_answer_fini(&a);
}

static void nonsense_is_502(void **state)
{
    (void)state;
    static const char *const words[] = {
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
    };
    struct flow_answer a = {0};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        ask(say_and_stay, words[i], NULL, &a);
        if (a.status != 502)
            fail_msg("answer %zu gives %u", i, a.status);
    }
    flow_answer_fini(&a);
}

static void too_large_a_head_is_502(void **state)
{
    (void)state;
    struct flow_answer a = {0};
    struct sp_buf words = {0};
    sp_buf_printf(&words, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 100; i++)
        sp_buf_printf(&words, "X-%d: %01000d\r\n", i, 0);
    sp_buf_append(&words, "\r\n", 3);
    ask(say_and_stay, sp_buf_str(&words).p, NULL, &a);
    assert_int_equal(a.status, 502);
    sp_buf_fini(&words);
    flow_answer_fini(&a);
}

static void many_fields_are_still_whole(void **state)
{
    (void)state;
    struct flow_answer a = {0};
    ask(say_and_stay,
        "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Empty:\r\n"
        "Connection: keep-alive, X-Hop\r\nX-Hop: secret\r\nKeep-Alive: timeout=5\r\nServer: origin\r\n\r\n",
        NULL, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.head, "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"));
    assert_null(flow_header(&a, "X-Hop"));
    assert_null(flow_header(&a, "Keep-Alive"));
    assert_non_null(strstr(a.head, "Server: origin\r\n"));
    assert_non_null(flow_header(&a, "X-Kong-Request-Id"));
    flow_answer_fini(&a);
}

/* --- where an answer may be cut --- */

static const char chunked_answer[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                                     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                                     "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n";
static const char length_answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world";

struct cut {
    const char *words;
    unsigned at; /* 0: every byte by itself */
};

/* Two sends with a read of nothing between would be a sleep; TCP_NODELAY and two sends split them well enough, and the
 * byte-wise case covers the rest. */
static void say_in_pieces(struct flow_visit *v)
{
    const struct cut *c = v->up->ctx;
    size_t len = strlen(c->words);
    while (next(v)) {
        if (c->at && c->at < len) {
            flow_send(&v->end, c->words, c->at);
            flow_send(&v->end, c->words + c->at, len - c->at);
            continue;
        }
        for (size_t i = 0; i < len; i++)
            flow_send(&v->end, c->words + i, 1);
    }
}

static void answers_are_whole_wherever_they_are_cut(void **state)
{
    (void)state;
    static const char *const answers[] = {chunked_answer, length_answer};
    for (int which = 0; which < 2; which++) {
        struct flow f;
        struct flow_upstream u;
        struct flow_end e;
        struct flow_answer a = {0};
        struct cut c = {answers[which], 0};
        flow_start(&f, NULL);
        flow_upstream_start(&u, say_in_pieces, &c);
        flow_serve(&f, u.port, NULL);
        flow_connect(&f, &e);
        for (c.at = 0; c.at < strlen(c.words); c.at++) {
            assert_true(flow_say(&e, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_true(flow_answer(&e, &a, false));
            assert_int_equal(a.status, 200);
            assert_body(&a, "hello world");
            if (which == 0)
                assert_string_equal(a.trailers, "X-Sum: 11\n");
        }
        assert_int_equal(flow_visits(&u), 1); /* all on one upstream connection */
        flow_answer_fini(&a);
        flow_shut(&e);
        flow_stop(&f);
        flow_upstream_stop(&u);
    }
}

/* --- answers that end too early --- */

static void cut_bodies_are_seen_as_cut(void **state)
{
    (void)state;
    struct flow_answer a = {0};
    ask(say_and_close, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", NULL, &a);
    assert_int_equal(a.status, 200);
    assert_false(a.whole);
    ask(say_and_close, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", NULL, &a);
    assert_int_equal(a.status, 200);
    assert_false(a.whole);
    ask(say_and_close, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1", NULL, &a);
    assert_false(a.whole);
    ask(say_and_stay, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", NULL, &a);
    assert_false(a.whole);
    flow_answer_fini(&a);
}

/* Half an answer that ends by closing, and then a reset instead of an end. */
static void reset_after_words(struct flow_visit *v)
{
    if (!next(v))
        return;
    flow_say(&v->end, v->up->ctx);
    if (!flow_marked(v->up, 2)) /* the test has seen the beginning */
        return;
    flow_reset(&v->end);
}

static void resets_are_not_ends(void **state)
{
    (void)state;
    static const char *const requests[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\n\r\n"};
    static const char *const words[] = {"HTTP/1.1 200 OK\r\n\r\nhello",
                                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"};
    for (int i = 0; i < 8; i++) {
        struct flow f;
        struct flow_upstream u;
        struct flow_end e;
        flow_start(&f, NULL);
        flow_upstream_start(&u, reset_after_words, (void *)(uintptr_t)words[i / 2 % 2]);
        flow_serve(&f, u.port, NULL);
        if (i < 4)
            flow_connect(&f, &e);
        else
            flow_connect_tls(&f, &e, "a.test");
        assert_true(flow_say(&e, requests[i % 2]));
        assert_true(flow_has(&e, "hello"));
        flow_mark(&u);
        bool in_order = flow_until_end(&e);
        assert_false(flow_has(&e, "0\r\n\r\n"));
        if (i % 2 || i >= 4) /* an HTTP/1.0 client has nothing else to tell it; nobody gets a close_notify */
            assert_false(in_order);
        flow_shut(&e);
        flow_stop(&f);
        flow_upstream_stop(&u);
    }
}

/* --- kept connections --- */

static void close_when_reused(struct flow_visit *v)
{
    if (!next(v))
        return;
    flow_say(&v->end, ok);
    if (v->number == 0) { /* the second request on the first connection gets no answer */
        next(v);
        return;
    }
    while (next(v))
        flow_say(&v->end, ok);
}

static void a_reused_connection_that_dies_is_tried_again(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        unsigned status;
    } cases[] = {
        {"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n", 200},
        {"PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200},
        {"DELETE /2 HTTP/1.1\r\nHost: a\r\n\r\n", 200},
        {"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 502},
        {"PATCH /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 502},
        {"PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 502}, /* part of it is gone: we kept no copy */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct flow f;
        struct flow_upstream u;
        struct flow_end e;
        struct flow_answer a = {0};
        flow_start(&f, NULL);
        flow_upstream_start(&u, close_when_reused, NULL);
        flow_serve(&f, u.port, "retries: 0");
        flow_connect(&f, &e);
        assert_true(flow_say(&e, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n") && flow_answer(&e, &a, false));
        assert_int_equal(a.status, 200);
        assert_true(flow_say(&e, cases[i].request) && flow_answer(&e, &a, false));
        assert_int_equal(a.status, cases[i].status);
        assert_int_equal(flow_visits(&u), cases[i].status == 200 ? 2 : 1);
        flow_answer_fini(&a);
        flow_shut(&e);
        flow_stop(&f);
        flow_upstream_stop(&u);
    }
}

static void what_must_not_be_reused_is_not(void **state)
{
    (void)state;
    static const char *const words[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct flow f;
        struct flow_upstream u;
        struct flow_answer a = {0};
        struct flow_end e;
        flow_start(&f, NULL);
        flow_upstream_start(&u, say_and_stay, (void *)(uintptr_t)words[i]);
        flow_serve(&f, u.port, NULL);
        flow_connect(&f, &e);
        for (unsigned k = 1; k <= 3; k++) {
            assert_true(flow_say(&e, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") && flow_answer(&e, &a, false));
            assert_true(a.status == 200 || a.status == 204 || a.status == 304);
            assert_null(memmem(sp_buf_str(&a.body).p, a.body.len, "evil", 4));
            assert_int_equal(flow_visits(&u), k);
        }
        flow_answer_fini(&a);
        flow_shut(&e);
        flow_stop(&f);
        flow_upstream_stop(&u);
    }
}

static void say_late_surplus(struct flow_visit *v)
{
    if (!next(v))
        return;
    flow_say(&v->end, ok);
    if (v->number == 0 && flow_marked(v->up, 2)) /* the client has the answer: the connection is idle */
        flow_say(&v->end, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    serve_ok(v);
}

static void bytes_on_an_idle_connection_end_it(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u;
    struct flow_end e;
    struct flow_answer a = {0};
    flow_start(&f, NULL);
    flow_upstream_start(&u, say_late_surplus, NULL);
    flow_serve(&f, u.port, NULL);
    flow_connect(&f, &e);
    for (int i = 0; i < 20; i++) {
        assert_true(flow_say(&e, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") && flow_answer(&e, &a, false));
        flow_mark(&u);
        if (i > 1) /* before, the surplus and the second request may race, as on any connection */
            assert_body(&a, "ok");
    }
    flow_answer_fini(&a);
    flow_shut(&e);
    flow_stop(&f);
    flow_upstream_stop(&u);
}

/* --- time --- */

static void a_slow_answer_is_504(void **state)
{
    (void)state;
    struct flow_answer a = {0};
    ask(say_and_stay, "", "read_timeout: 200", &a);
    assert_int_equal(a.status, 504);
    ask(say_and_stay, "HTTP/1.1 200 OK\r\nConte", "read_timeout: 200", &a);
    assert_int_equal(a.status, 504);
    ask(say_and_stay, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", "read_timeout: 200", &a);
    assert_int_equal(a.status, 200);
    assert_false(a.whole);
    flow_answer_fini(&a);
}

static void a_connect_that_hangs_is_504(void **state)
{
    (void)state;
    struct flow f;
    struct flow_answer a = {0};
    flow_start(&f, NULL);
    /* TEST-NET-1 is no one's; where the network refuses it at once, that is 502 and no test of this */
    flow_config(&f, "services:\n- {name: s, host: 192.0.2.1, port: 81, connect_timeout: 200, retries: 0,"
                    " routes: [{name: r, paths: [/]}]}\n");
    uint64_t before = flow_now_ms();
    unsigned status = flow_get(&f, "/", &a);
    if (flow_now_ms() - before >= 200)
        assert_int_equal(status, 504);
    else
        assert_int_equal(status, 502);
    flow_answer_fini(&a);
    flow_stop(&f);
}

/* An upload that takes longer than read_timeout, but never stands still for that long. */
static void slow_uploads_are_no_timeout(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u;
    struct flow_end e;
    struct flow_answer a = {0};
    flow_start(&f, NULL);
    flow_upstream_start(&u, serve_ok, NULL);
    flow_serve(&f, u.port, "read_timeout: 500");
    flow_connect(&f, &e);
    assert_true(flow_say(&e, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n"));
    uint64_t began = flow_now_ms();
    for (int i = 0; i < 12; i++) { /* each byte waits for the clock, which is what is tested here */
        while (flow_now_ms() < began + (uint64_t)i * 100)
            usleep(1000);
        assert_true(flow_say(&e, "x"));
    }
    assert_true(flow_answer(&e, &a, false));
    assert_int_equal(a.status, 200);
    flow_answer_fini(&a);
    flow_shut(&e);
    flow_stop(&f);
    flow_upstream_stop(&u);
}

/* --- TLS towards the upstream --- */

static void issue(const char *san, struct sp_buf *cert, struct sp_buf *key, const struct sp_buf *ca,
                  const struct sp_buf *ca_key)
{
    struct sp_error err;
    struct sp_str sans[1] = {sp_str_z(san)};
    int64_t now = sp_clock_wall_s(&sp_clock_system);
    struct sp_pki_request r = {.common_name = san,
                               .sans = sans,
                               .num_sans = ca ? 1 : 0,
                               .is_ca = !ca,
                               .server_auth = ca,
                               .not_before = now - 60,
                               .not_after = now + 3600};
    if (sp_failed(
            sp_pki_issue(&r, ca ? sp_buf_str(ca) : SP_STR(""), ca ? sp_buf_str(ca_key) : SP_STR(""), cert, key, &err)))
        fail_msg("%s", err.text);
}

static void put_indented(struct sp_buf *out, struct sp_str pem)
{
    while (pem.len) {
        struct sp_str line = sp_str_split(&pem, '\n');
        sp_buf_printf(out, "    %.*s\n", SP_FMT(line));
        if (!pem.p)
            break;
    }
}

static void tls_upstreams_are_verified_when_told(void **state)
{
    (void)state;
    struct sp_buf ca = {0}, ca_key = {0}, other = {0}, other_key = {0}, cert = {0}, key = {0}, pems = {0};
    struct flow f;
    struct flow_upstream u;
    struct flow_answer a = {0};
    issue("ca", &ca, &ca_key, NULL, NULL);
    issue("other", &other, &other_key, NULL, NULL);
    issue("IP:127.0.0.1", &cert, &key, &ca, &ca_key);
    flow_start(&f, NULL);
    flow_upstream_start_tls(&u, serve_ok, sp_buf_str(&cert), sp_buf_str(&key));
    sp_buf_printf(&pems, "ca_certificates:\n- id: 11111111-1111-4111-8111-111111111111\n  cert: |\n");
    put_indented(&pems, sp_buf_str(&ca));
    sp_buf_printf(&pems, "- id: 22222222-2222-4222-8222-222222222222\n  cert: |\n");
    put_indented(&pems, sp_buf_str(&other));
    static const char *const trusts[] = {
        "tls_verify: false", "tls_verify: true, ca_certificates: [11111111-1111-4111-8111-111111111111]",
        "tls_verify: true, ca_certificates: [22222222-2222-4222-8222-222222222222]", "tls_verify: true"};
    static const unsigned statuses[] = {200, 200, 502, 502};
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 4; i++) {
            flow_config(&f,
                        "%.*sservices:\n- {name: s, protocol: https, host: 127.0.0.1, port: %u, retries: 1, %s,"
                        " routes: [{name: r, paths: [/]}]}\n",
                        SP_FMT(sp_buf_str(&pems)), u.port, trusts[i]);
            for (int k = 0; k < 2; k++)
                if (flow_get(&f, "/", &a) != statuses[i])
                    fail_msg("%s gives %u", trusts[i], a.status);
        }
    flow_answer_fini(&a);
    flow_stop(&f);
    flow_upstream_stop(&u);
    struct sp_buf *all[] = {&ca, &ca_key, &other, &other_key, &cert, &key, &pems};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        sp_buf_fini(all[i]);
}

/* 0: close_notify first; 1: only FIN */
static void body_until_close(struct flow_visit *v)
{
    if (!next(v))
        return;
    flow_say(&v->end, "HTTP/1.1 200 OK\r\n\r\nhello");
    if (flow_text_has(v->up, "/cut"))
        flow_half_close(&v->end);
    else
        return;
    flow_until_end(&v->end);
}

static void tls_bodies_that_end_by_closing_need_close_notify(void **state)
{
    (void)state;
    struct sp_buf ca = {0}, ca_key = {0}, cert = {0}, key = {0};
    struct flow f;
    struct flow_upstream u;
    struct flow_answer a = {0};
    issue("ca", &ca, &ca_key, NULL, NULL);
    issue("DNS:a.test", &cert, &key, &ca, &ca_key);
    flow_start(&f, NULL);
    flow_upstream_start_tls(&u, body_until_close, sp_buf_str(&cert), sp_buf_str(&key));
    flow_config(&f,
                "services:\n- {name: s, protocol: https, host: 127.0.0.1, port: %u, tls_verify: false,"
                " routes: [{name: r, paths: [/], strip_path: false}]}\n",
                u.port);
    assert_int_equal(flow_get(&f, "/whole", &a), 200);
    assert_body(&a, "hello");
    assert_int_equal(flow_get(&f, "/cut", &a), 200); /* RFC 9112 9.8 */
    assert_false(a.whole);
    flow_answer_fini(&a);
    flow_stop(&f);
    flow_upstream_stop(&u);
    struct sp_buf *all[] = {&ca, &ca_key, &cert, &key};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        sp_buf_fini(all[i]);
}

static void plain_text_where_tls_should_be_is_502(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u;
    struct flow_answer a = {0};
    flow_start(&f, NULL);
    flow_upstream_start(&u, say_and_close, (void *)(uintptr_t)ok);
    flow_config(&f,
                "services:\n- {name: s, protocol: https, host: 127.0.0.1, port: %u, connect_timeout: 300, retries: 0,"
                " routes: [{name: r, paths: [/]}]}\n",
                u.port);
    unsigned status = flow_get(&f, "/", &a);
    assert_true(status == 502 || status == 504); /* it waits for a request that never comes */
    flow_answer_fini(&a);
    flow_stop(&f);
    flow_upstream_stop(&u);
}

/* --- names --- */

static void names_that_do_not_resolve_are_503(void **state)
{
    (void)state;
    struct flow f;
    struct flow_answer a = {0};
    flow_start(&f, NULL);
    /* RFC 7686: no resolver asks for it, so the answer comes inside the question, and then from memory */
    flow_config(&f, "services:\n- {name: s, host: nowhere.onion, routes: [{name: r, paths: [/]}]}\n");
    for (int i = 0; i < 20; i++) {
        assert_int_equal(flow_get(&f, "/", &a), 503);
        assert_non_null(memmem(sp_buf_str(&a.body).p, a.body.len, "name resolution failed", 22));
    }
    flow_answer_fini(&a);
    flow_stop(&f);
}

static void names_resolve(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u;
    struct flow_answer a = {0};
    flow_start(&f, NULL);
    flow_upstream_start(&u, serve_ok, NULL);
    flow_config(&f, "services:\n- {name: s, host: localhost, port: %u, routes: [{name: r, paths: [/]}]}\n", u.port);
    assert_int_equal(flow_get(&f, "/", &a), 200);
    flow_answer_fini(&a);
    flow_stop(&f);
    flow_upstream_stop(&u);
}

/* Whatever name server there is, or none: a question that is open when its asker leaves, or when the worker ends, calls
 * nobody. */
static void open_questions_end_with_their_askers(void **state)
{
    (void)state;
    struct flow f;
    struct flow_answer a = {0};
    struct flow_end e[10];
    flow_start(&f, NULL);
    flow_config(&f, "services:\n"
                    "- {name: s, host: slow.test, connect_timeout: 300, retries: 0, routes: [{name: r, paths: [/]}]}\n"
                    "- {name: t, host: later.test, routes: [{name: q, paths: [/later]}]}\n");
    unsigned status = flow_get(&f, "/", &a);
    assert_true(status == 503 || status == 504);
    for (int i = 0; i < 10; i++) {
        flow_connect(&f, &e[i]);
        assert_true(flow_say(&e[i], "GET /later HTTP/1.1\r\nHost: a\r\n\r\n"));
        if (i % 2)
            flow_reset(&e[i]);
    }
    flow_answer_fini(&a);
    flow_stop(&f);
    for (int i = 0; i < 10; i += 2)
        flow_shut(&e[i]);
}

static void endless_interim_answers_are_502(void **state)
{
    (void)state;
    struct flow_answer a = {0};
    struct sp_buf words = {0};
    for (int i = 0; i < 1000; i++)
        sp_buf_printf(&words, "HTTP/1.1 103 Early Hints\r\nLink: </%d>\r\n\r\n", i);
    sp_buf_append(&words, ok, sizeof ok);
    ask(say_and_stay, sp_buf_str(&words).p, NULL, &a);
    assert_int_equal(a.status, 502);
    sp_buf_fini(&words);
    flow_answer_fini(&a);
}

int main(void)
{
    sp_log_min = SP_ERROR; /* what upstreams do wrong here is meant */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_connections_are_tried_again_and_then_502),
        cmocka_unit_test(the_next_target_gets_what_the_first_refused),
        cmocka_unit_test(nothing_said_is_502),
        cmocka_unit_test(nonsense_is_502),
        cmocka_unit_test(too_large_a_head_is_502),
        cmocka_unit_test(many_fields_are_still_whole),
        cmocka_unit_test(answers_are_whole_wherever_they_are_cut),
        cmocka_unit_test(cut_bodies_are_seen_as_cut),
        cmocka_unit_test(resets_are_not_ends),
        cmocka_unit_test(a_reused_connection_that_dies_is_tried_again),
        cmocka_unit_test(what_must_not_be_reused_is_not),
        cmocka_unit_test(bytes_on_an_idle_connection_end_it),
        cmocka_unit_test(a_slow_answer_is_504),
        cmocka_unit_test(a_connect_that_hangs_is_504),
        cmocka_unit_test(slow_uploads_are_no_timeout),
        cmocka_unit_test(tls_upstreams_are_verified_when_told),
        cmocka_unit_test(tls_bodies_that_end_by_closing_need_close_notify),
        cmocka_unit_test(plain_text_where_tls_should_be_is_502),
        cmocka_unit_test(names_that_do_not_resolve_are_503),
        cmocka_unit_test(names_resolve),
        cmocka_unit_test(open_questions_end_with_their_askers),
        cmocka_unit_test(endless_interim_answers_are_502),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
