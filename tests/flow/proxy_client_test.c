/* Who the client is, through a whole data plane: the table of kong-behaviour 6.3 row by row, and PROXY headers before
 * plain HTTP and before TLS, at every split. */
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>

static void serve(struct flow_visit *v)
{
    struct sp_buf head = {0}, body = {0};
    while (flow_request(&v->end, &head, &body)) {
        flow_keep_text(v->up, &head);
        flow_say(&v->end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    sp_buf_fini(&head);
    sp_buf_fini(&body);
}

struct bench {
    struct flow f;
    struct flow_upstream u;
    struct flow_end e;
    struct flow_answer a;
};

static void set_up(struct bench *b, const struct flow_setup *setup)
{
    *b = (struct bench){0};
    flow_start(&b->f, setup);
    flow_upstream_start(&b->u, serve, NULL);
    flow_config(&b->f,
                "services:\n- {name: s, host: 127.0.0.1, port: %u, routes: [{name: r, paths: [/stripped]}, "
                "{name: all, paths: [/]}]}\n",
                b->u.port);
}

static void tear_down(struct bench *b)
{
    flow_answer_fini(&b->a);
    flow_stop(&b->f);
    flow_upstream_stop(&b->u);
}

/* One request on a connection of its own; what it had to say is in b->u.text. */
static void ask(struct bench *b, const char *path, const char *fields)
{
    char request[1024];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a.test:81\r\n%s\r\n", path, fields);
    flow_connect(&b->f, &b->e);
    assert_true(flow_say(&b->e, request));
    assert_true(flow_answer(&b->e, &b->a, false));
    assert_int_equal(b->a.status, 200);
    flow_shut(&b->e);
}

/* value NULL: the field is not there; it is never there twice. */
static void arrived(struct bench *b, const char *name, const char *value)
{
    char line[256], prefix[64];
    snprintf(prefix, sizeof prefix, "\r\n%s: ", name);
    snprintf(line, sizeof line, "\r\n%s: %s\r\n", name, value ? value : "");
    const char *first = strcasestr(b->u.text, prefix);
    if (!value) {
        assert_null(first);
        return;
    }
    if (!first || !strstr(b->u.text, line))
        fail_msg("expected%sin %s", line, b->u.text);
    assert_null(strcasestr(first + 2, prefix));
}

#define ROWS 2 /* untrusted, trusted */
static const struct flow_setup peers[ROWS] = {{.real_ip_header = "X-Real-IP"},
                                              {.real_ip_header = "X-Real-IP", .trusted = "127.0.0.0/8"}};

static void nothing_came(void **state)
{
    (void)state;
    for (int trusted = 0; trusted < ROWS; trusted++) {
        struct bench b;
        char port[8];
        set_up(&b, &peers[trusted]);
        snprintf(port, sizeof port, "%u", sp_address_port(&b.f.listeners[0].address));
        ask(&b, "/stripped/x?y=1", "");
        arrived(&b, "X-Real-IP", "127.0.0.1");
        arrived(&b, "X-Forwarded-For", "127.0.0.1");
        arrived(&b, "X-Forwarded-Proto", "http");
        arrived(&b, "X-Forwarded-Host", "a.test");
        arrived(&b, "X-Forwarded-Port", port);
        arrived(&b, "X-Forwarded-Path", "/stripped/x");
        arrived(&b, "X-Forwarded-Prefix", "/stripped");
        arrived(&b, "Via", "1.1 sallyport/test");
        ask(&b, "/x", "");
        arrived(&b, "X-Forwarded-Path", "/x");
        arrived(&b, "X-Forwarded-Prefix", NULL);
        tear_down(&b);
    }
}

static void all_of_it_came(void **state)
{
    (void)state;
    static const char fields[] =
        "X-Real-IP: 9.9.9.9\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nX-Forwarded-Proto: https\r\n"
        "X-Forwarded-Host: outside.test\r\nX-Forwarded-Port: 443\r\n"
        "X-Forwarded-Path: /outside\r\nX-Forwarded-Prefix: /out\r\nVia: 2 edge\r\n"
        "X_Real_IP: 6.6.6.6\r\nx_forwarded_for: 6.6.6.6\r\n";
    for (int trusted = 0; trusted < ROWS; trusted++) {
        struct bench b;
        char port[8];
        set_up(&b, &peers[trusted]);
        snprintf(port, sizeof port, "%u", sp_address_port(&b.f.listeners[0].address));
        ask(&b, "/stripped/x", fields);
        arrived(&b, "X-Real-IP", trusted ? "9.9.9.9" : "127.0.0.1");
        arrived(&b, "X-Forwarded-For", "1.1.1.1, 2.2.2.2, 127.0.0.1"); /* appended, believed or not */
        arrived(&b, "X-Forwarded-Proto", trusted ? "https" : "http");
        arrived(&b, "X-Forwarded-Host", trusted ? "outside.test" : "a.test");
        arrived(&b, "X-Forwarded-Port", trusted ? "443" : port);
        arrived(&b, "X-Forwarded-Path", trusted ? "/outside" : "/stripped/x");
        arrived(&b, "X-Forwarded-Prefix", trusted ? "/out" : "/stripped");
        arrived(&b, "Via", "2 edge, 1.1 sallyport/test");
        arrived(&b, "X_Real_IP", NULL);
        arrived(&b, "x_forwarded_for", NULL);
        tear_down(&b);
    }
}

static void only_the_client_came(void **state)
{
    (void)state;
    for (int trusted = 0; trusted < ROWS; trusted++) {
        struct bench b;
        set_up(&b, &peers[trusted]);
        ask(&b, "/", "X-Real-IP: 9.9.9.9\r\n");
        arrived(&b, "X-Real-IP", trusted ? "9.9.9.9" : "127.0.0.1");
        arrived(&b, "X-Forwarded-For", trusted ? "9.9.9.9" : "127.0.0.1"); /* nothing came: the client */
        ask(&b, "/", "X-Real-IP: 9.9.9.9:80, nonsense\r\n");
        arrived(&b, "X-Real-IP", "127.0.0.1");
        arrived(&b, "X-Forwarded-For", "127.0.0.1");
        tear_down(&b);
    }
}

/* Who may name a field in Connection could otherwise take his own address away, and be the balancer. */
static void connection_takes_nothing_away(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, &peers[1]);
    ask(&b, "/", "Connection: X-Real-IP, X-Forwarded-For\r\nX-Real-IP: 9.9.9.9\r\nX-Forwarded-For: 1.1.1.1\r\n");
    arrived(&b, "X-Real-IP", "9.9.9.9");
    arrived(&b, "X-Forwarded-For", "1.1.1.1, 127.0.0.1");
    tear_down(&b);
}

static void a_list_may_tell(void **state)
{
    (void)state;
    for (int recursive = 0; recursive < 2; recursive++) {
        struct flow_setup setup = {
            .real_ip_header = "X-Forwarded-For", .trusted = "127.0.0.0/8", .real_ip_recursive = recursive};
        struct bench b;
        set_up(&b, &setup);
        ask(&b, "/", "X-Forwarded-For: 1.1.1.1, 9.9.9.9, 127.0.0.7\r\nX-Real-IP: 6.6.6.6\r\n");
        arrived(&b, "X-Real-IP", recursive ? "9.9.9.9" : "127.0.0.7");
        arrived(&b, "X-Forwarded-For", "1.1.1.1, 9.9.9.9, 127.0.0.7, 127.0.0.1");
        tear_down(&b);
    }
}

/* --- PROXY headers --- */

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define B(lit) ((struct sp_str){(lit), sizeof(lit) - 1})
static const char request[] = "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n";

/* Everything in one piece, cut once at `cut`. */
static void send_cut(struct bench *b, struct sp_str header, size_t cut)
{
    char all[512];
    size_t len = header.len + sizeof request - 1;
    memcpy(all, header.p, header.len);
    memcpy(all + header.len, request, sizeof request - 1);
    uint64_t before = flow_count(&b->f, bytes_in);
    flow_connect(&b->f, &b->e);
    if (cut) { /* the first piece must have been read before the second comes */
        assert_true(flow_send(&b->e, all, cut));
        assert_true(flow_until_count(&b->f, bytes_in, before + cut));
    }
    assert_true(flow_send(&b->e, all + cut, len - cut));
}

static void at_every_split(void **state)
{
    (void)state;
    static const struct {
        struct sp_str header;
        const char *client;
    } rows[] = {
        {{"PROXY TCP4 9.9.9.9 127.0.0.1 1 2\r\n", 34}, "9.9.9.9"},
        {{V2 "\x21\x11\0\x13\x09\x09\x09\x09\x7f\0\0\1\x1f\x90\x20\xfb\4\0\4skip", 35}, "9.9.9.9"},
        {{"PROXY UNKNOWN\r\n", 15}, "127.0.0.1"},
        {{V2 "\x20\0\0\0", 16}, "127.0.0.1"},
    };
    struct flow_setup setup = {.trusted = "127.0.0.1", .proxy_protocol = true};
    struct bench b;
    set_up(&b, &setup);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t cut = 0; cut <= rows[i].header.len + 1; cut++) {
            send_cut(&b, rows[i].header, cut);
            assert_true(flow_answer(&b.e, &b.a, false));
            assert_int_equal(b.a.status, 200);
            arrived(&b, "X-Real-IP", rows[i].client);
            arrived(&b, "X-Forwarded-For", "1.1.1.1, 127.0.0.1"); /* the TCP peer, not the client */
            flow_shut(&b.e);
        }
    assert_int_equal(flow_count(&b.f, proxy_headers_refused), 0);
    tear_down(&b);
}

/* The header is taken away from the front, and changes nothing. */
static void of_a_stranger(void **state)
{
    (void)state;
    struct flow_setup setup = {.proxy_protocol = true};
    struct bench b;
    set_up(&b, &setup);
    send_cut(&b, SP_STR("PROXY TCP4 9.9.9.9 127.0.0.1 1 2\r\n"), 0);
    assert_true(flow_answer(&b.e, &b.a, false));
    arrived(&b, "X-Real-IP", "127.0.0.1");
    flow_shut(&b.e);
    tear_down(&b);
}

static void not_behind_another_header(void **state)
{
    (void)state;
    struct flow_setup setup = {.trusted = "127.0.0.1", .proxy_protocol = true};
    struct bench b;
    set_up(&b, &setup);
    send_cut(&b, SP_STR("PROXY TCP4 9.9.9.9 127.0.0.1 1 2\r\nPROXY TCP4 6.6.6.6 127.0.0.1 1 2\r\n"), 0);
    assert_true(flow_answer(&b.e, &b.a, false)); /* the second one is HTTP, and bad */
    assert_int_equal(b.a.status, 400);
    flow_shut(&b.e);
    tear_down(&b);
}

static void who_does_not_speak_it_is_closed(void **state)
{
    (void)state;
    static const struct sp_str greetings[] = {
        {"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 32},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24},
        {"\x16\x03\x01\x00\x05", 5},
        {"PROXY TCP4 nonsense\r\n", 21},
        {V2 "\x21\x11\xff\xff", 16},
    };
    enum { N = sizeof greetings / sizeof *greetings };
    struct flow_setup setup = {.trusted = "127.0.0.1", .proxy_protocol = true};
    struct bench b;
    set_up(&b, &setup);
    for (size_t i = 0; i < N; i++)
        for (int tls = 0; tls < 2; tls++) {
            struct flow_end e;
            flow_connect_to(&b.f, &e, tls);
            assert_true(flow_send(&e, greetings[i].p, greetings[i].len));
            assert_true(flow_until_end(&e));
            assert_int_equal(e.in.len, 0);
            flow_shut(&e);
        }
    assert_int_equal(flow_count(&b.f, proxy_headers_refused), 2 * N);
    assert_int_equal(flow_count(&b.f, requests_total), 0);
    tear_down(&b);
}

static void who_says_nothing_is_closed_in_time(void **state)
{
    (void)state;
    struct flow_setup setup = {.trusted = "127.0.0.1", .proxy_protocol = true, .handshake_ms = 50};
    struct bench b;
    set_up(&b, &setup);
    for (int tls = 0; tls < 2; tls++) {
        struct flow_end e;
        flow_connect_to(&b.f, &e, tls);
        assert_true(flow_say(&e, "PROXY TCP4 9.9.9.9"));
        assert_true(flow_until_end(&e));
        flow_shut(&e);
    }
    assert_true(flow_until_count(&b.f, connections_active, 0));
    tear_down(&b);
}

static void before_tls(void **state)
{
    (void)state;
    struct flow_setup setup = {.trusted = "127.0.0.1", .proxy_protocol = true};
    static const char header[] = "PROXY TCP6 2001:db8::9 ::1 1 2\r\n";
    struct bench b;
    set_up(&b, &setup);
    for (size_t cut = 0; cut < sizeof header; cut += 5) {
        uint64_t before = flow_count(&b.f, bytes_in);
        flow_connect_to(&b.f, &b.e, true);
        assert_true(flow_send(&b.e, header, cut));
        assert_true(flow_until_count(&b.f, bytes_in, before + cut));
        flow_begin_tls(&b.f, &b.e, "a.test", sp_str(header + cut, sizeof header - 1 - cut));
        assert_true(flow_say(&b.e, request));
        assert_true(flow_answer(&b.e, &b.a, false));
        assert_int_equal(b.a.status, 200);
        arrived(&b, "X-Real-IP", "2001:db8::9");
        flow_shut(&b.e);
        assert_true(flow_until_count(&b.f, connections_active, 0)); /* its last bytes are counted, too */
    }
    tear_down(&b);
}

/* A client of ours that leaves before it has said anything: a TCP health check is no fault. */
static void a_look_at_the_port(void **state)
{
    (void)state;
    struct flow_setup setup = {.trusted = "127.0.0.1", .proxy_protocol = true};
    struct bench b;
    set_up(&b, &setup);
    for (int tls = 0; tls < 2; tls++) {
        struct flow_end e;
        flow_connect_to(&b.f, &e, tls);
        flow_shut(&e);
    }
    assert_true(flow_until_count(&b.f, connections_total, 2));
    assert_true(flow_until_count(&b.f, connections_active, 0));
    assert_int_equal(flow_count(&b.f, proxy_headers_refused) + flow_count(&b.f, handshakes_failed), 0);
    tear_down(&b);
}

int main(void)
{
    sp_log_min = SP_ERROR;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_came),
        cmocka_unit_test(all_of_it_came),
        cmocka_unit_test(only_the_client_came),
        cmocka_unit_test(connection_takes_nothing_away),
        cmocka_unit_test(a_list_may_tell),
        cmocka_unit_test(at_every_split),
        cmocka_unit_test(of_a_stranger),
        cmocka_unit_test(not_behind_another_header),
        cmocka_unit_test(who_does_not_speak_it_is_closed),
        cmocka_unit_test(who_says_nothing_is_closed_in_time),
        cmocka_unit_test(before_tls),
        cmocka_unit_test(a_look_at_the_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
