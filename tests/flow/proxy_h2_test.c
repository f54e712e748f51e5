/* HTTP/2 clients: streams side by side, flow control as back-pressure, resets, and the end of a connection. */
#include "flow_h2.h"

#include <stdio.h>
#include <unistd.h>

enum { BIG = 32 << 20 };

struct bench {
    struct flow f;
    struct flow_upstream u;
    struct flow_h2 h;
};

static char block[65536];

/* What the path asks for. */
static void answer(struct flow_visit *v)
{
    struct sp_buf head = {0}, body = {0};
    while (flow_request(&v->end, &head, &body)) {
        const char *line = sp_buf_str(&head).p;
        const char *words = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        char text[128];
        flow_keep_text(v->up, &head);
        if (strstr(line, " /count ")) {
            snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%08zu", 8, body.len);
            words = text;
        } else if (strstr(line, " /cut ")) {
            flow_say(&v->end, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
            break;
        } else if (strstr(line, " /none ")) {
            words = "HTTP/1.1 204 No Content\r\n\r\n";
        } else if (strstr(line, " /trailers ")) {
            words =
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                "2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n";
        } else if (strstr(line, " /switch ")) {
            words = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        } else if (strstr(line, " /wait ")) {
            flow_mark(v->up);
            flow_until_end(&v->end);
            flow_mark(v->up);
            break;
        } else if (strstr(line, " /gate ")) {
            flow_mark(v->up);
            flow_marked(v->up, 1000);
        } else if (strstr(line, " /big ")) {
            snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BIG);
            flow_say(&v->end, text);
            for (size_t sent = 0; sent < BIG && flow_send(&v->end, block, sizeof block); sent += sizeof block)
                v->up->bytes += sizeof block;
            continue;
        }
        flow_say(&v->end, words);
    }
    sp_buf_fini(&head);
    sp_buf_fini(&body);
}

static void set_up(struct bench *b, const struct flow_setup *setup, bool hold)
{
    *b = (struct bench){0};
    flow_start(&b->f, setup);
    flow_upstream_start(&b->u, answer, NULL);
    flow_config(&b->f,
                "services:\n- {name: s, host: 127.0.0.1, port: %u, routes: "
                "[{name: r, hosts: [a.test], paths: [/], strip_path: false}]}\n",
                b->u.port);
    flow_h2_open(&b->f, &b->h, hold);
}

static void tear_down(struct bench *b)
{
    flow_h2_shut(&b->h);
    flow_stop(&b->f);
    flow_upstream_stop(&b->u);
}

static void many_streams(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, NULL, false);
    for (unsigned total = 0; total < 1000; total += 100) {
        for (int i = 0; i < 100; i++)
            flow_h2_ask(&b.h, i % 4 ? "GET" : "POST", "/", i % 4 ? 0 : 1000, false);
        assert_true(flow_h2_until(&b.h, b.h.closed == total + 100));
    }
    assert_int_equal(b.h.ok, 1000);
    assert_int_equal(b.h.goaways, 0);
    assert_true(flow_until_count(&b.f, requests_active, 0));
    tear_down(&b);
}

static void all_shapes_of_answers(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, NULL, false);
    struct flow_h2_stream *head = flow_h2_ask(&b.h, "HEAD", "/", 0, false);
    struct flow_h2_stream *none = flow_h2_ask(&b.h, "GET", "/none", 0, false);
    struct flow_h2_stream *trailers = flow_h2_ask(&b.h, "GET", "/trailers", 0, false);
    struct flow_h2_stream *switched = flow_h2_ask(&b.h, "GET", "/switch", 0, false);
    struct flow_h2_stream *cut = flow_h2_ask(&b.h, "GET", "/cut", 0, false);
    struct flow_h2_stream *count = flow_h2_ask(&b.h, "POST", "/count", 3 << 20, false);
    assert_true(flow_h2_until(&b.h, b.h.closed == 6));
    assert_true(head->whole && head->status == 200 && head->body == 0);
    assert_true(none->whole && none->status == 204 && none->body == 0);
    assert_true(trailers->whole && trailers->status == 200 && trailers->body == 2 && trailers->interim == 1);
    assert_string_equal(trailers->trailer, "x-sum=2");
    assert_int_equal(switched->status, 502);
    assert_true(cut->status == 200 && !cut->whole && cut->error == NGHTTP2_INTERNAL_ERROR);
    assert_true(count->whole && count->body == 8);
    assert_int_equal(b.h.goaways, 0); /* one stream's trouble is not the connection's */
    tear_down(&b);
}

static void an_answer_before_the_body(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, NULL, false);
    flow_config(&b.f, "services:\n- {name: s, host: 127.0.0.1, port: %u, routes: [{name: r, paths: [/only]}]}\n",
                b.u.port);
    for (int i = 0; i < 50; i++) {
        struct flow_h2_stream *s = flow_h2_ask(&b.h, "POST", "/", 1 << 20, false);
        assert_true(flow_h2_until(&b.h, s->closed));
        assert_int_equal(s->status, 404);
        assert_true(s->whole && s->error == NGHTTP2_NO_ERROR);
    }
    struct flow_h2_stream *s = flow_h2_ask(&b.h, "POST", "/only", 3 << 20, false); /* no window was lost */
    assert_true(flow_h2_until(&b.h, s->closed));
    assert_int_equal(s->status, 200);
    tear_down(&b);
}

static void resets_end_their_stream_only(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, NULL, false);
    struct flow_h2_stream *gate = flow_h2_ask(&b.h, "GET", "/gate", 0, false);
    struct flow_h2_stream *wait = flow_h2_ask(&b.h, "GET", "/wait", 0, false);
    struct flow_h2_stream *body = flow_h2_ask(&b.h, "POST", "/wait", 10, true);
    assert_true(flow_h2_flush(&b.h));
    assert_true(flow_marked(&b.u, 2));
    flow_h2_reset(&b.h, wait);
    flow_h2_reset(&b.h, body);
    assert_true(flow_h2_flush(&b.h));
    assert_true(flow_marked(&b.u, 3)); /* the upstream is left alone with it */
    assert_true(flow_until_count(&b.f, requests_active, 1));
    for (int i = 0; i < 1000; i++)
        flow_mark(&b.u);
    assert_true(flow_h2_until(&b.h, gate->closed));
    assert_true(gate->whole && gate->status == 200);
    tear_down(&b);
}

static void work_in_flight_is_bounded(void **state)
{
    (void)state;
    struct bench b;
    struct flow_setup setup = {.max_requests = 10};
    set_up(&b, &setup, false);
    for (int i = 0; i < 10; i++)
        flow_h2_ask(&b.h, "GET", "/gate", 0, false);
    assert_true(flow_h2_flush(&b.h));
    assert_true(flow_marked(&b.u, 10));
    struct flow_h2_stream *more = flow_h2_ask(&b.h, "POST", "/", 100, false);
    assert_true(flow_h2_until(&b.h, more->closed));
    assert_int_equal(more->status, 503);
    for (int i = 0; i < 1000; i++)
        flow_mark(&b.u);
    assert_true(flow_h2_until(&b.h, b.h.ok == 10));
    more = flow_h2_ask(&b.h, "GET", "/", 0, false);
    assert_true(flow_h2_until(&b.h, more->closed));
    assert_int_equal(more->status, 200);
    tear_down(&b);
}

static void a_flood_of_resets_ends_the_connection(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, NULL, false);
    for (int i = 0; i < 400; i++) {
        struct flow_h2_stream *s = flow_h2_ask(&b.h, "GET", "/wait", 0, false);
        if (!flow_h2_flush(&b.h))
            break;
        flow_h2_reset(&b.h, s);
        if (!flow_h2_flush(&b.h))
            break;
    }
    while (flow_h2_turn(&b.h))
        ;
    assert_int_equal(b.h.goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(flow_until_count(&b.f, connections_active, 0));
    assert_int_equal(flow_count(&b.f, requests_active), 0);
    tear_down(&b);
}

static void clients_vanish(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        struct bench b;
        set_up(&b, NULL, false);
        for (int i = 0; i < 50; i++)
            flow_h2_ask(&b.h, "GET", i % 2 ? "/wait" : "/big", 0, false);
        assert_true(flow_h2_flush(&b.h));
        assert_true(flow_marked(&b.u, 25));
        if (reset)
            flow_reset(&b.h.e);
        else
            flow_shut(&b.h.e);
        assert_true(flow_marked(&b.u, 50));
        assert_true(flow_until_count(&b.f, connections_active, 0));
        assert_int_equal(flow_count(&b.f, requests_active), 0);
        tear_down(&b);
    }
}

/* --- flow control --- */

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

static void closed_windows_hold_the_upstream(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, NULL, true);
    size_t before = flow_memory();
    struct flow_h2_stream *big = flow_h2_ask(&b.h, "GET", "/big", 0, false);
    assert_true(flow_h2_until(&b.h, big->body >= 65535));
    assert_true(settled(&b.u.bytes) < BIG);
    assert_true(flow_memory() < before + (16 << 20));
    assert_int_equal(big->body, 65535);
    flow_h2_release(&b.h);
    assert_true(flow_h2_until(&b.h, big->closed));
    assert_true(big->whole && big->body == BIG);
    tear_down(&b);
}

static void streams_share_a_connection_fairly(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, NULL, false);
    for (int i = 0; i < 4; i++)
        flow_h2_ask(&b.h, "GET", "/big", 0, false);
    for (int i = 0; i < 50; i++)
        flow_h2_ask(&b.h, "POST", "/count", 100000, false);
    assert_true(flow_h2_until(&b.h, b.h.closed == 54));
    assert_int_equal(b.h.ok, 54);
    for (int i = 0; i < 4; i++)
        assert_int_equal(b.h.streams[i].body, BIG);
    tear_down(&b);
}

/* RFC 9113 10.5: a window of nothing, kept alive by pings, must not pin streams for ever. */
static void closed_windows_end_by_their_deadline(void **state)
{
    (void)state;
    struct bench b;
    struct flow_setup setup = {.body_ms = 400, .idle_ms = 500};
    set_up(&b, &setup, true);
    flow_h2_ask(&b.h, "GET", "/big", 0, false);
    uint64_t began = flow_now_ms();
    while (flow_count(&b.f, connections_active) && flow_now_ms() < began + 8000) {
        if (nghttp2_submit_ping(b.h.ng, 0, NULL) != 0 || !flow_h2_flush(&b.h))
            break;
        usleep(20000);
    }
    assert_true(flow_until_count(&b.f, connections_active, 0));
    assert_true(flow_now_ms() - began < 8000);
    assert_int_equal(flow_count(&b.f, requests_active), 0);
    tear_down(&b);
}

static void begun_heads_end_by_their_deadline(void **state)
{
    (void)state;
    for (int pings = 0; pings < 2; pings++) {
        struct bench b;
        struct flow_setup setup = {.head_ms = 400, .idle_ms = 500};
        static const char headers[] = "\0\0\1\1\0\0\0\0\1\x82"; /* :method GET, no END_HEADERS, no END_STREAM */
        static const char ping[] = "\0\0\x8\x6\0\0\0\0\0abcdefgh";
        set_up(&b, &setup, false);
        assert_true(flow_h2_flush(&b.h));
        if (pings) /* between frames of a head nothing else may come, so the pings come before */
            for (int i = 0; i < 20; i++)
                flow_send(&b.h.e, ping, sizeof ping - 1);
        assert_true(flow_send(&b.h.e, headers, sizeof headers - 1));
        uint64_t began = flow_now_ms();
        assert_true(flow_until_count(&b.f, connections_active, 0));
        assert_true(flow_now_ms() - began < 8000);
        tear_down(&b);
    }
}

static void idle_connections_say_goodbye(void **state)
{
    (void)state;
    struct bench b;
    struct flow_setup setup = {.idle_ms = 300};
    set_up(&b, &setup, false);
    struct flow_h2_stream *s = flow_h2_ask(&b.h, "GET", "/", 0, false);
    assert_true(flow_h2_until(&b.h, s->closed));
    assert_false(flow_h2_until(&b.h, false));
    assert_true(b.h.e.eof);
    assert_int_equal(b.h.goaways, 1);
    assert_int_equal(b.h.last_id, 1);
    assert_int_equal(flow_count(&b.f, idle_closed), 1);
    tear_down(&b);
}

/* --- drain --- */

static void what_runs_is_finished_at_a_drain(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, NULL, false);
    for (int i = 0; i < 20; i++)
        flow_h2_ask(&b.h, "GET", "/gate", 0, false);
    struct flow_h2_stream *upload = flow_h2_ask(&b.h, "POST", "/count", 1000, true);
    assert_true(flow_h2_flush(&b.h));
    assert_true(flow_marked(&b.u, 20));
    flow_drain(&b.f, FLOW_PATIENCE_MS);
    assert_true(flow_h2_until(&b.h, b.h.goaways == 1));
    assert_int_equal(b.h.last_id, 0x7fffffff);
    flow_h2_go(&b.h, upload, 1000);
    for (int i = 0; i < 1000; i++)
        flow_mark(&b.u);
    assert_true(flow_h2_until(&b.h, b.h.closed == 21));
    assert_int_equal(b.h.ok, 21);
    assert_false(flow_h2_until(&b.h, false));
    assert_true(b.h.e.eof);
    assert_int_equal(b.h.goaways, 2);
    assert_int_equal(b.h.last_id, 41); /* it says what was served: the rest may be asked again elsewhere */
    tear_down(&b);
}

/* What was sent before the client could know is served. */
static void requests_that_cross_the_goodbye_are_served(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, NULL, false);
    struct flow_h2_stream *first = flow_h2_ask(&b.h, "GET", "/", 0, false);
    assert_true(flow_h2_until(&b.h, first->closed));
    flow_drain(&b.f, FLOW_PATIENCE_MS);
    assert_true(flow_fill(&b.h.e)); /* the first GOAWAY has come; the client has not looked at it yet */
    struct flow_h2_stream *late = flow_h2_ask(&b.h, "POST", "/count", 10, false);
    assert_true(flow_h2_flush(&b.h));
    assert_true(flow_h2_until(&b.h, late->closed));
    assert_true(late->whole && late->status == 200);
    assert_false(flow_h2_until(&b.h, false));
    assert_int_equal(b.h.last_id, 3);
    tear_down(&b);
}

static void the_grace_of_a_drain_ends(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, NULL, false);
    flow_h2_ask(&b.h, "GET", "/wait", 0, false);
    assert_true(flow_h2_flush(&b.h));
    assert_true(flow_marked(&b.u, 1));
    flow_drain(&b.f, 200);
    dp_proxy_join(&b.f.proxy);
    flow_h2_shut(&b.h);
    sp_loop_free(b.f.loop);
    sp_tls_client_free(b.f.client);
    sp_tls_server_free(b.f.options.tls);
    flow_upstream_stop(&b.u);
}

int main(void)
{
    memset(block, 'x', sizeof block);
    sp_log_min = SP_ERROR; /* what upstreams do wrong here is meant */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_streams),
        cmocka_unit_test(all_shapes_of_answers),
        cmocka_unit_test(an_answer_before_the_body),
        cmocka_unit_test(resets_end_their_stream_only),
        cmocka_unit_test(work_in_flight_is_bounded),
        cmocka_unit_test(a_flood_of_resets_ends_the_connection),
        cmocka_unit_test(clients_vanish),
        cmocka_unit_test(closed_windows_hold_the_upstream),
        cmocka_unit_test(streams_share_a_connection_fairly),
        cmocka_unit_test(closed_windows_end_by_their_deadline),
        cmocka_unit_test(begun_heads_end_by_their_deadline),
        cmocka_unit_test(idle_connections_say_goodbye),
        cmocka_unit_test(what_runs_is_finished_at_a_drain),
        cmocka_unit_test(requests_that_cross_the_goodbye_are_served),
        cmocka_unit_test(the_grace_of_a_drain_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
