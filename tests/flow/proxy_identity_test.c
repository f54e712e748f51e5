/* Connections whose client certificate is not accepted any more, or ends: all of them end, those of others stay. */
#include "flow_h2.h"

#include <stdio.h>
#include <unistd.h>

#define CA_ID "c0000000-0000-4000-8000-00000000000a"
#define OTHER_ID "c0000000-0000-4000-8000-00000000000b"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: a.test\r\n\r\n"
#define UPGRADE GET_WITH("/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n")
#define GET_WITH(path, fields) "GET " path " HTTP/1.1\r\nHost: a.test\r\n" fields "\r\n"

/* --- time --- */

static _Atomic int64_t shift_s; /* what the data plane's wall clock is ahead of ours */

static int64_t shifted_wall(void *ctx)
{
    (void)ctx;
    return time(NULL) + shift_s;
}

static uint64_t true_mono(void *ctx)
{
    (void)ctx;
    return sp_clock_mono_ms(&sp_clock_system);
}

static const struct sp_clock shifted = {true_mono, shifted_wall, NULL};

/* --- certificates --- */

struct pair {
    struct sp_buf cert, key;
};

static struct pair issue(const char *name, bool is_ca, int64_t seconds, const struct pair *by)
{
    struct pair p = {{0}, {0}};
    struct sp_error err;
    struct sp_pki_request r = {.common_name = name,
                               .is_ca = is_ca,
                               .client_auth = !is_ca,
                               .not_before = time(NULL) - 600,
                               .not_after = time(NULL) + seconds};
    struct sp_str none = SP_STR("");
    sp_result made =
        sp_pki_issue(&r, by ? sp_buf_str(&by->cert) : none, by ? sp_buf_str(&by->key) : none, &p.cert, &p.key, &err);
    assert_false(sp_failed(made));
    return p;
}

static void pair_fini(struct pair *p)
{
    sp_buf_fini(&p->cert);
    sp_buf_wipe(&p->key);
}

static void put_pem(struct sp_buf *out, const struct pair *p)
{
    struct sp_str pem = sp_buf_str(&p->cert);
    for (size_t i = 0; i < pem.len; i++)
        if (pem.p[i] == '\n')
            sp_buf_add(out, SP_STR("\\n"));
        else
            sp_buf_putc(out, pem.p[i]);
}

/* --- an application --- */

static bool has_path(const struct sp_buf *head, const char *path)
{
    return strstr(sp_buf_str(head).p, path) != NULL;
}

static bool tunnel(struct flow_visit *v)
{
    flow_say(&v->end, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello");
    while (v->end.in.len || flow_fill(&v->end)) {
        flow_send(&v->end, sp_buf_str(&v->end.in).p, v->end.in.len);
        flow_take(&v->end, v->end.in.len);
    }
    v->up->bytes++; /* it has seen the end */
    return false;
}

/* /ws is a tunnel, /stream ends when the test has marked it, /slow begins then. */
static void serve(struct flow_visit *v)
{
    struct sp_buf head = {0}, body = {0};
    bool more = true;
    while (more && flow_request(&v->end, &head, &body)) {
        flow_keep_text(v->up, &head);
        if (has_path(&head, " /ws "))
            more = tunnel(v);
        else if (has_path(&head, " /stream "))
            more = flow_say(&v->end, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n") &&
                   flow_marked(v->up, 1) && flow_say(&v->end, "0\r\n\r\n");
        else
            more = (!has_path(&head, " /slow ") || flow_marked(v->up, 1)) &&
                   flow_say(&v->end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    sp_buf_fini(&head);
    sp_buf_fini(&body);
}

/* --- the bench --- */

struct bench {
    struct flow f;
    struct flow_upstream u;
    struct flow_answer a;
    struct pair ca, other, alice, bob;
    struct sp_tls_client *client[2], *client_h2; /* alice's, bob's; alice's */
};

static struct sp_tls_client *client_new(const struct pair *p, const char *alpn)
{
    struct sp_error err;
    struct sp_tls_client *c = NULL;
    struct sp_tls_client_options o = {.alpn = alpn};
    if (p) {
        o.cert_pem = sp_buf_str(&p->cert);
        o.key_pem = sp_buf_str(&p->key);
    }
    assert_false(sp_failed(sp_tls_client_new(&o, &c, &err)));
    return c;
}

/* consumers: YAML of a list; routes: of one, too; config: what the service's mtls-auth has beside its CA. */
static void configure_routes(struct bench *b, const char *consumers, const char *routes, const char *ca_id,
                             const char *config)
{
    struct sp_buf text = {0};
    sp_buf_printf(&text, "ca_certificates:\n- {id: %s, cert: \"", CA_ID);
    put_pem(&text, &b->ca);
    sp_buf_printf(&text, "\"}\n- {id: %s, cert: \"", OTHER_ID);
    put_pem(&text, &b->other);
    sp_buf_printf(&text, "\"}\nconsumers: %s\n", consumers);
    sp_buf_printf(&text,
                  "services:\n- {name: up, host: 127.0.0.1, port: %u, routes: %s, plugins: [{name: mtls-auth, config: "
                  "{ca_certificates: [%s], revocation_check_mode: SKIP%s}}]}\n",
                  b->u.port, routes, ca_id, config);
    flow_config(&b->f, "%.*s", SP_FMT(sp_buf_str(&text)));
    sp_buf_fini(&text);
}

static void configure(struct bench *b, const char *consumers)
{
    configure_routes(b, consumers, "[{name: all, paths: [/]}]", CA_ID, "");
}

#define BOTH "[{username: alice}, {username: bob}]"
#define BOB "[{username: bob}]"

static void set_up_with(struct bench *b, uint32_t grace_ms, int64_t seconds, const struct pair *above)
{
    struct flow_setup setup = {.grace_ms = grace_ms, .clock = &shifted};
    *b = (struct bench){0};
    shift_s = 0;
    b->ca = issue("CA", true, 864000, NULL);
    b->other = issue("Other CA", true, 864000, NULL);
    b->alice = issue("alice", false, seconds, above ? above : &b->ca);
    b->bob = issue("bob", false, 864000, &b->ca);
    if (above) /* sent along */
        sp_buf_add(&b->alice.cert, sp_buf_str(&above->cert));
    flow_start(&b->f, &setup);
    flow_upstream_start(&b->u, serve, NULL);
    b->client[0] = client_new(&b->alice, "http/1.1");
    b->client[1] = client_new(&b->bob, "http/1.1");
    b->client_h2 = client_new(&b->alice, "h2");
    configure(b, BOTH);
}

static void set_up(struct bench *b)
{
    set_up_with(b, 60000, 86400, NULL);
}

static void tear_down(struct bench *b)
{
    flow_answer_fini(&b->a);
    flow_stop(&b->f);
    flow_upstream_stop(&b->u);
    for (int i = 0; i < 2; i++)
        sp_tls_client_free(b->client[i]);
    sp_tls_client_free(b->client_h2);
    struct pair *all[] = {&b->ca, &b->other, &b->alice, &b->bob};
    for (int i = 0; i < 4; i++)
        pair_fini(all[i]);
}

static unsigned ask(struct bench *b, struct flow_end *e, const char *request)
{
    if (!flow_say(e, request) || !flow_answer(e, &b->a, false))
        return 0;
    return b->a.status;
}

static bool says_close(const struct bench *b)
{
    const char *v = flow_header(&b->a, "Connection");
    return v && strncmp(v, "close", 5) == 0;
}

static void open_as(struct bench *b, int who, struct flow_end *e, const char *request, unsigned status)
{
    flow_connect_tls_with(&b->f, e, b->client[who], "a.test");
    assert_int_equal(ask(b, e, request), status);
}

/* --- identities that are gone --- */

static void idle_connections_end_by_themselves(void **state)
{
    (void)state;
    struct bench b;
    struct flow_end alice, bob, nobody;
    set_up(&b);
    open_as(&b, 0, &alice, GET("/"), 200);
    open_as(&b, 1, &bob, GET("/"), 200);
    flow_connect_tls(&b.f, &nobody, "a.test");
    assert_int_equal(ask(&b, &nobody, GET("/")), 401);
    configure(&b, BOB);
    assert_true(flow_until_end(&alice)); /* in order, and alice has done nothing */
    assert_int_equal(flow_count(&b.f, identity_gone), 1);
    assert_int_equal(ask(&b, &bob, GET("/")), 200);
    assert_false(says_close(&b));
    assert_int_equal(ask(&b, &nobody, GET("/")), 401);
    assert_false(says_close(&b));
    flow_shut(&alice);
    flow_shut(&bob);
    flow_shut(&nobody);
    tear_down(&b);
}

static void idle_h2_gets_goaway(void **state)
{
    (void)state;
    struct bench b;
    static struct flow_h2 h;
    set_up(&b);
    assert_true(flow_h2_open_with(&b.f, &h, b.client_h2, false));
    struct flow_h2_stream *s = flow_h2_ask(&h, "GET", "/", 0, false);
    assert_true(flow_h2_until(&h, s->closed));
    assert_int_equal(s->status, 200);
    configure(&b, BOB);
    while (flow_h2_turn(&h))
        ;
    assert_true(h.e.eof);
    assert_int_equal(h.goaways, 2);
    assert_int_equal(h.goaway_error, 0);
    flow_h2_shut(&h);
    tear_down(&b);
}

static void the_next_answer_is_the_last(void **state)
{
    (void)state;
    struct bench b;
    struct flow_end e;
    set_up(&b);
    open_as(&b, 0, &e, GET("/"), 200);
    assert_true(flow_say(&e, GET("/slow")) && flow_until_count(&b.f, requests_active, 1));
    configure(&b, BOB);
    flow_mark(&b.u); /* begun under the old configuration: it is finished, and in order */
    assert_true(flow_until_count(&b.f, identity_gone, 1));
    assert_true(flow_answer(&e, &b.a, false));
    assert_true(b.a.status == 200 && b.a.whole);
    assert_true(flow_until_end(&e));
    flow_shut(&e);
    configure(&b, BOTH);
    open_as(&b, 0, &e, GET("/"), 200);
    configure(&b, BOB);
    unsigned status = ask(&b, &e, GET("/")); /* before a look or after it; long after it, there is nobody to answer */
    assert_true((status == 401 && says_close(&b)) || status == 0);
    assert_true(flow_until_end(&e));
    assert_true(flow_until_count(&b.f, identity_gone, 2));
    flow_shut(&e);
    tear_down(&b);
}

static void another_consumer_is_no_end(void **state)
{
    (void)state;
    struct bench b;
    struct flow_end e;
    set_up(&b);
    open_as(&b, 0, &e, GET("/"), 200);
    assert_true(flow_text_has(&b.u, "X-Consumer-Username: alice\r\n"));
    static const struct {
        const char *consumers, *config, *who;
    } steps[] = {
        {"[{username: carol, mtls_auth_credentials: [{subject_name: alice}]}]", "", "carol"},
        {"[{username: x, custom_id: alice}]", ", consumer_by: [custom_id]", "x"},
        {"[{username: guest}]", ", default_consumer: guest", "guest"},
        {"[{username: alice}]", ", default_consumer: nobody", "alice"},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct flow_end late;
        char field[64];
        configure_routes(&b, steps[i].consumers, "[{name: all, paths: [/]}]", CA_ID, steps[i].config);
        assert_int_equal(ask(&b, &e, GET("/")), 200);
        snprintf(field, sizeof field, "X-Consumer-Username: %s\r\n", steps[i].who);
        assert_true(flow_text_has(&b.u, field));
        open_as(&b, 1, &late, GET("/"), i == 2 ? 200 : 401); /* bob is nobody but a guest */
        flow_shut(&late);
    }
    configure_routes(&b, BOB, "[{name: other, paths: [/]}]", CA_ID, ""); /* the route has gone, nobody was refused */
    assert_int_equal(flow_count(&b.f, identity_gone), 0);
    flow_shut(&e);
    tear_down(&b);
}

/* Everything that takes the verdict away, and each time the connection ends. */
static void whatever_takes_it_away(void **state)
{
    (void)state;
    static const struct {
        const char *consumers, *ca, *config;
    } steps[] = {
        {BOB, CA_ID, ""},
        {BOTH, OTHER_ID, ""},
        {BOTH, CA_ID, ", consumer_by: [custom_id]"},
        {"[{username: bob}, {username: anon}]", CA_ID, ", anonymous: anon"},
        {BOB, CA_ID, ", default_consumer: nobody"},
    };
    struct bench b;
    set_up(&b);
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct flow_end e;
        configure(&b, BOTH);
        open_as(&b, 0, &e, GET("/"), 200);
        configure_routes(&b, steps[i].consumers, "[{name: all, paths: [/]}]", steps[i].ca, steps[i].config);
        assert_true(flow_until_end(&e));
        assert_int_equal(flow_count(&b.f, identity_gone), i + 1);
        flow_shut(&e);
    }
    tear_down(&b);
}

static void tunnels_are_cut_after_the_grace(void **state)
{
    (void)state;
    struct bench b;
    struct flow_end alice, bob;
    set_up_with(&b, 300, 86400, NULL);
    open_as(&b, 0, &alice, UPGRADE, 101);
    open_as(&b, 1, &bob, UPGRADE, 101);
    assert_true(flow_has(&alice, "hello") && flow_has(&bob, "hello"));
    configure(&b, BOB);
    assert_false(flow_until_end(&alice)); /* cut: no close_notify */
    assert_false(alice.late);
    uint64_t until = flow_now_ms() + FLOW_PATIENCE_MS;
    while (b.u.bytes == 0 && flow_now_ms() < until)
        usleep(1000);
    assert_int_equal(b.u.bytes, 1); /* the application sees it end, too */
    assert_true(flow_say(&bob, "still there"));
    assert_true(flow_has(&bob, "still there"));
    assert_int_equal(flow_count(&b.f, identity_gone), 1);
    flow_shut(&alice);
    flow_shut(&bob);
    tear_down(&b);
}

static void streams_have_the_grace(void **state)
{
    (void)state;
    struct bench b;
    struct flow_end e;
    static struct flow_h2 h;
    set_up(&b);
    flow_connect_tls_with(&b.f, &e, b.client[0], "a.test");
    assert_true(flow_say(&e, GET("/stream")) && flow_has(&e, "hello"));
    assert_true(flow_h2_open_with(&b.f, &h, b.client_h2, false));
    struct flow_h2_stream *s = flow_h2_ask(&h, "GET", "/stream", 0, false);
    assert_true(flow_h2_until(&h, s->body == 5));
    configure(&b, BOB);
    assert_true(flow_until_count(&b.f, identity_gone, 2));
    assert_true(flow_h2_until(&h, h.goaways == 2));
    assert_false(s->closed);
    flow_mark(&b.u);
    assert_true(flow_answer(&e, &b.a, false));
    assert_true(b.a.whole && flow_until_end(&e));
    while (flow_h2_turn(&h))
        ;
    assert_true(s->whole && h.e.eof);
    flow_shut(&e);
    flow_h2_shut(&h);
    tear_down(&b);
}

/* A stream runs where the certificate has lost its place, while the connection was accepted elsewhere since. */
static void a_stream_elsewhere_counts(void **state)
{
    (void)state;
    struct bench b;
    static struct flow_h2 h;
    static const char then[] = "[{name: one, paths: [/stream], strip_path: false}, {name: two, paths: [/two]}]";
    static const char now[] =
        "[{name: one, paths: [/stream], strip_path: false, plugins: [{name: mtls-auth, config: {ca_certificates: "
        "[" OTHER_ID "], revocation_check_mode: SKIP}}]}, {name: two, paths: [/two]}]";
    set_up_with(&b, 300, 86400, NULL);
    configure_routes(&b, BOTH, then, CA_ID, "");
    assert_true(flow_h2_open_with(&b.f, &h, b.client_h2, false));
    struct flow_h2_stream *s = flow_h2_ask(&h, "GET", "/stream", 0, false);
    assert_true(flow_h2_until(&h, s->body == 5));
    struct flow_h2_stream *two = flow_h2_ask(&h, "GET", "/two", 0, false);
    assert_true(flow_h2_until(&h, two->closed));
    assert_int_equal(two->status, 200);
    configure_routes(&b, BOTH, now, CA_ID, "");
    while (flow_h2_turn(&h))
        ;
    assert_true(!s->whole && !h.e.late); /* never marked: it was cut */
    assert_int_equal(flow_count(&b.f, identity_gone), 1);
    flow_h2_shut(&h);
    tear_down(&b);
}

enum { MANY = 400 };

static void many_at_once(void **state)
{
    (void)state;
    struct bench b;
    struct flow_end bob;
    struct flow_end *e = calloc(MANY, sizeof *e);
    set_up(&b);
    open_as(&b, 1, &bob, GET("/"), 200);
    for (int i = 0; i < MANY; i++)
        open_as(&b, 0, &e[i], GET("/"), 200);
    configure(&b, BOB);
    for (int i = 0; i < MANY; i++) {
        assert_true(flow_until_end(&e[i]));
        flow_shut(&e[i]);
    }
    assert_int_equal(flow_count(&b.f, identity_gone), MANY);
    assert_int_equal(ask(&b, &bob, GET("/")), 200);
    flow_shut(&bob);
    free(e);
    tear_down(&b);
}

/* --- certificates that end --- */

static void nothing_outlives_its_certificate(void **state)
{
    (void)state;
    struct bench b;
    struct flow_end idle, busy, ws, bob;
    static struct flow_h2 h, streaming;
    set_up(&b);
    open_as(&b, 0, &idle, GET("/"), 200);
    open_as(&b, 0, &ws, UPGRADE, 101);
    open_as(&b, 1, &bob, GET("/"), 200);
    flow_connect_tls_with(&b.f, &busy, b.client[0], "a.test");
    assert_true(flow_say(&busy, GET("/stream")) && flow_has(&busy, "hello"));
    assert_true(flow_h2_open_with(&b.f, &h, b.client_h2, false));
    assert_true(flow_h2_open_with(&b.f, &streaming, b.client_h2, false));
    struct flow_h2_stream *s = flow_h2_ask(&streaming, "GET", "/stream", 0, false);
    assert_true(flow_h2_until(&streaming, s->body == 5));
    flow_h2_turn(&h); /* its settings */
    shift_s = 86400 - 4;
    assert_true(flow_until_end(&idle)); /* in order, and so does the idle one of HTTP/2 */
    while (flow_h2_turn(&h))
        ;
    assert_true(h.e.eof && h.goaways == 2);
    assert_false(flow_until_end(&ws) || ws.late); /* what runs is cut in the end */
    assert_false(flow_until_end(&busy) || busy.late);
    while (flow_h2_turn(&streaming))
        ;
    assert_true(!s->whole && !streaming.e.late && streaming.goaways == 2);
    assert_int_equal(flow_count(&b.f, certificate_ended), 5);
    assert_int_equal(flow_count(&b.f, identity_gone), 0);
    assert_int_equal(ask(&b, &bob, GET("/")), 200);
    struct flow_end *all[] = {&idle, &busy, &ws, &bob};
    for (int i = 0; i < 4; i++)
        flow_shut(all[i]);
    flow_h2_shut(&h);
    flow_h2_shut(&streaming);
    tear_down(&b);
}

/* The clock is set, or a machine was asleep: nobody has seen the end come. */
static void a_clock_that_jumps(void **state)
{
    (void)state;
    struct bench b;
    struct flow_end e, ws;
    set_up(&b);
    open_as(&b, 0, &e, GET("/"), 200);
    open_as(&b, 0, &ws, UPGRADE, 101);
    shift_s = 3 * 86400;
    unsigned status = ask(&b, &e, GET("/"));
    assert_true((status == 401 && says_close(&b)) || status == 0); /* after a look it is closed at once */
    assert_false(flow_until_end(&ws) || ws.late);
    shift_s = 0;
    flow_shut(&e);
    flow_shut(&ws);
    open_as(&b, 0, &e, GET("/"), 200);
    shift_s = -3600; /* back before its beginning: not judged until it asks */
    assert_int_equal(ask(&b, &e, GET("/")), 401);
    assert_true(says_close(&b) && flow_until_end(&e));
    flow_shut(&e);
    tear_down(&b);
}

static void whoever_comes_late_gets_an_answer(void **state)
{
    (void)state;
    struct bench b;
    struct flow_end e;
    static struct flow_h2 h;
    set_up(&b);
    shift_s = 86400 - 4; /* the last seconds: one request is served */
    open_as(&b, 0, &e, GET("/"), 200);
    assert_true(says_close(&b) && flow_until_end(&e));
    flow_shut(&e);
    shift_s = 2 * 86400; /* over: the answer says so */
    open_as(&b, 0, &e, GET("/"), 401);
    assert_true(says_close(&b) && flow_until_end(&e));
    flow_shut(&e);
    assert_true(flow_h2_open_with(&b.f, &h, b.client_h2, false));
    struct flow_h2_stream *s = flow_h2_ask(&h, "GET", "/", 0, false);
    assert_true(flow_h2_until(&h, s->closed));
    assert_int_equal(s->status, 401);
    while (flow_h2_turn(&h))
        ;
    assert_true(h.e.eof && h.goaways == 2);
    flow_h2_shut(&h);
    tear_down(&b);
}

/* What is above the certificate ends earlier. The connection goes on while there is another way up. */
static void a_chain_that_ends(void **state)
{
    (void)state;
    struct bench b;
    struct flow_end e;
    struct pair root = issue("CA", true, 864000, NULL), above = issue("Intermediate", true, 3600, &root);
    set_up_with(&b, 60000, 86400, &above);
    pair_fini(&b.ca);
    b.ca = root;
    configure(&b, BOTH);
    open_as(&b, 0, &e, GET("/"), 200);
    shift_s = 1800;
    assert_int_equal(ask(&b, &e, GET("/")), 200);
    assert_false(says_close(&b));
    shift_s = 7200;
    assert_true(flow_until_end(&e));
    assert_int_equal(flow_count(&b.f, identity_gone), 1);
    assert_int_equal(flow_count(&b.f, certificate_ended), 0);
    flow_shut(&e);
    pair_fini(&above);
    tear_down(&b);
}

int main(void)
{
    sp_log_min = SP_ERROR;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_connections_end_by_themselves),
        cmocka_unit_test(idle_h2_gets_goaway),
        cmocka_unit_test(the_next_answer_is_the_last),
        cmocka_unit_test(another_consumer_is_no_end),
        cmocka_unit_test(whatever_takes_it_away),
        cmocka_unit_test(tunnels_are_cut_after_the_grace),
        cmocka_unit_test(streams_have_the_grace),
        cmocka_unit_test(a_stream_elsewhere_counts),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(nothing_outlives_its_certificate),
        cmocka_unit_test(a_clock_that_jumps),
        cmocka_unit_test(whoever_comes_late_gets_an_answer),
        cmocka_unit_test(a_chain_that_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
