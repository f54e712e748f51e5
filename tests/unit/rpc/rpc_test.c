#include "test.h"

#include "cluster.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "tsan_grpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A server that echoes, and clients; everything on one owner's loop. */
struct world {
    struct cert ca, other_ca, server, node, foreign, short_lived;
    struct sp_loop *loop;
    struct sp_rpc *rpc;
    struct sp_rpc_server *srv;
    struct sp_tls_client *tls[4];
    size_t num_tls;
};
static struct world w;

struct tally {
    size_t opened, messages, bytes, closed, writable;
    char identity[128], why[256], last[64];
    int64_t not_after;
    struct sp_rpc_stream *stream;
};
static struct tally at_server, at_client;
static struct sp_bytes *owed[16];
static size_t num_owed;
static bool hold_back; /* the server closes each stream at its first message */

static void on_open(void *ctx, struct sp_rpc_stream *s, const struct sp_rpc_peer *peer)
{
    struct tally *t = ctx;
    t->opened++;
    t->stream = s;
    t->not_after = peer->not_after;
    snprintf(t->identity, sizeof t->identity, "%.*s", SP_FMT(peer->identity));
    assert_true(sp_str_starts(peer->address, SP_STR("127.0.0.1:")));
}

/* The server reads faster than the client takes back: what the queue refuses waits here. */
static void echo(struct sp_rpc_stream *s)
{
    size_t n = 0;
    while (n < num_owed && sp_rpc_send(s, owed[n]))
        n++;
    num_owed -= n;
    memmove(owed, owed + n, num_owed * sizeof *owed);
}

static void on_message(void *ctx, struct sp_rpc_stream *s, struct sp_str bytes)
{
    struct tally *t = ctx;
    t->messages++;
    t->bytes += bytes.len;
    snprintf(t->last, sizeof t->last, "%.*s", (int)(bytes.len < 60 ? bytes.len : 60), bytes.p);
    if (t == &at_server && hold_back) {
        sp_rpc_close(s, "not you");
        t->stream = NULL;
    } else if (t == &at_server) {
        assert_true(num_owed < sizeof owed / sizeof *owed);
        owed[num_owed++] = sp_bytes_copy(bytes);
        echo(s);
    }
}

static void on_writable(void *ctx, struct sp_rpc_stream *s)
{
    struct tally *t = ctx;
    t->writable++;
    if (t == &at_server)
        echo(s);
}

static void on_closed(void *ctx, struct sp_rpc_stream *s, const char *why)
{
    (void)s;
    struct tally *t = ctx;
    t->closed++;
    t->stream = NULL;
    snprintf(t->why, sizeof t->why, "%s", why);
}

static const struct sp_rpc_handlers handlers = {on_open, on_message, on_writable, on_closed};

static void late(struct sp_timer *t)
{
    (void)t;
    fail_msg(
        "timeout; client: opened %zu messages %zu closed %zu '%s'; server: opened %zu messages %zu closed %zu '%s'",
        at_client.opened, at_client.messages, at_client.closed, at_client.why, at_server.opened, at_server.messages,
        at_server.closed, at_server.why);
}

static void until(const size_t *counter, size_t n)
{
    struct sp_timer t = {0};
    sp_timer_start(&t, w.loop, 20000, late);
    while (*counter < n)
        sp_loop_run_once(w.loop, true);
    sp_timer_stop(&t);
}

static void listen_with(uint32_t burst)
{
    struct sp_error err = {0};
    struct sp_rpc_server_options o = {.cert_pem = sp_buf_str(&w.server.cert),
                                      .key_pem = sp_buf_str(&w.server.key),
                                      .ca_pem = sp_buf_str(&w.ca.cert),
                                      .admit_burst = burst,
                                      .admit_per_s = 1,
                                      .keepalive_ms = 15000};
    assert_true(sp_address_parse_ip(SP_STR("127.0.0.1"), 0, &o.listen));
    if (sp_failed(sp_rpc_listen(w.rpc, &o, w.loop, &handlers, &at_server, &w.srv, &err)))
        fail_msg("%s", err.text);
}

static struct sp_rpc_stream *connect_as(const struct cert *me, const struct cert *trust, const char *name)
{
    struct sp_error err = {0};
    struct sp_tls_client_options o = {
        .ca_pem = sp_buf_str(&trust->cert), .verify = true, .verify_depth = -1, .alpn = "h2"};
    if (me) {
        o.cert_pem = sp_buf_str(&me->cert);
        o.key_pem = sp_buf_str(&me->key);
    }
    if (sp_failed(sp_tls_client_new(&o, &w.tls[w.num_tls], &err)))
        fail_msg("%s", err.text);
    struct sp_rpc_connect_options c = {.to = *sp_rpc_server_address(w.srv),
                                       .server_name = sp_str_z(name),
                                       .tls = w.tls[w.num_tls++],
                                       .keepalive_ms = 15000,
                                       .timeout_ms = 5000};
    return sp_rpc_connect(w.rpc, &c, w.loop, &handlers, &at_client);
}

static int start(void **state)
{
    (void)state;
    struct sp_error err;
    memset(&at_server, 0, sizeof at_server);
    memset(&at_client, 0, sizeof at_client);
    hold_back = false;
    assert_false(sp_failed(sp_loop_new(&w.loop, &err)));
    assert_false(sp_failed(sp_rpc_new(&w.rpc, &err)));
    return 0;
}

static int finish(void **state)
{
    (void)state;
    sp_rpc_server_stop(w.srv);
    sp_rpc_free(w.rpc);
    sp_loop_free(w.loop);
    for (size_t i = 0; i < w.num_tls; i++)
        sp_tls_client_free(w.tls[i]);
    w.num_tls = 0;
    w.srv = NULL;
    return 0;
}

static void refuses_strangers(void **state)
{
    (void)state;
    listen_with(0);
    connect_as(&w.foreign, &w.ca, "127.0.0.1"); /* a certificate of another CA */
    until(&at_client.closed, 1);
    connect_as(NULL, &w.ca, "127.0.0.1");
    until(&at_client.closed, 2);
    connect_as(&w.node, &w.other_ca, "127.0.0.1"); /* does not trust the server */
    until(&at_client.closed, 3);
    connect_as(&w.node, &w.ca, "elsewhere.example");
    until(&at_client.closed, 4);
    assert_non_null(strstr(at_client.why, "server name"));
    assert_int_equal(at_client.opened, 0);
    assert_int_equal(at_server.opened, 0);
    assert_int_equal(at_server.closed, 0);
}

static void refuses_too_many(void **state)
{
    (void)state;
    listen_with(2);
    struct sp_rpc_stream *s[3];
    for (int i = 0; i < 3; i++)
        s[i] = connect_as(&w.node, &w.ca, "127.0.0.1");
    until(&at_client.closed, 1);
    until(&at_client.opened, 2);
    assert_int_equal(at_client.closed, 1);
    (void)s;
}

static void nobody_listens(void **state)
{
    (void)state;
    listen_with(0);
    struct sp_address gone = *sp_rpc_server_address(w.srv);
    sp_rpc_server_stop(SP_TAKE(w.srv));
    struct sp_rpc_connect_options c = {.to = gone, .server_name = SP_STR("127.0.0.1")};
    struct sp_error err;
    struct sp_tls_client_options o = {.ca_pem = sp_buf_str(&w.ca.cert), .verify = true, .alpn = "h2"};
    assert_false(sp_failed(sp_tls_client_new(&o, &w.tls[w.num_tls++], &err)));
    c.tls = w.tls[0];
    usleep(50000);
    sp_rpc_connect(w.rpc, &c, w.loop, &handlers, &at_client);
    until(&at_client.closed, 1);
    assert_int_equal(at_client.opened, 0);
}

static void echoes(void **state)
{
    (void)state;
    listen_with(0);
    struct sp_rpc_stream *s = connect_as(&w.node, &w.ca, "127.0.0.1");
    until(&at_client.opened, 1);
    until(&at_server.opened, 1);
    assert_string_equal(at_server.identity, "spiffe://cluster/node-1");
    assert_string_equal(at_client.identity, "127.0.0.1");
    assert_true(at_server.not_after > time(NULL));
    assert_true(sp_rpc_send(s, sp_bytes_copy(SP_STR("hello"))));
    assert_true(sp_rpc_send(s, sp_bytes_copy(SP_STR(""))));
    assert_true(sp_rpc_send(s, sp_bytes_copy(SP_STR("again"))));
    until(&at_client.messages, 3);
    assert_string_equal(at_client.last, "again");
    sp_rpc_close(s, "done");
    until(&at_server.closed, 1);
    assert_int_equal(at_client.closed, 0);
}

static void moves_large_messages(void **state)
{
    (void)state;
    listen_with(0);
    struct sp_rpc_stream *s = connect_as(&w.node, &w.ca, "127.0.0.1");
    until(&at_client.opened, 1);
    size_t sent = 0, refused = 0;
    struct sp_bytes *big = sp_bytes_new(1 << 20);
    memset(big->p, 'x', big->len);
    while (sent < 12) {
        if (sp_rpc_send(s, sp_bytes_ref(big))) {
            sent++;
            continue;
        }
        sp_bytes_unref(big); /* not taken */
        refused++;
        until(&at_client.writable, at_client.writable + 1);
    }
    sp_bytes_unref(big);
    until(&at_client.messages, 12);
    assert_int_equal(at_client.bytes, 12 << 20);
    assert_true(refused > 0);
}

static void server_says_why(void **state)
{
    (void)state;
    hold_back = true;
    listen_with(0);
    struct sp_rpc_stream *s = connect_as(&w.node, &w.ca, "127.0.0.1");
    until(&at_client.opened, 1);
    assert_true(sp_rpc_send(s, sp_bytes_copy(SP_STR("hello"))));
    until(&at_client.closed, 1);
    if (!strstr(at_client.why, "not you"))
        fail_msg("%s", at_client.why);
    assert_int_equal(at_server.closed, 0);
}

static void server_stops(void **state)
{
    (void)state;
    listen_with(0);
    connect_as(&w.node, &w.ca, "127.0.0.1");
    until(&at_client.opened, 1);
    sp_rpc_server_stop(SP_TAKE(w.srv));
    until(&at_client.closed, 1);
    assert_int_equal(at_server.closed, 0);
}

static void certificate_runs_out(void **state)
{
    (void)state;
    cert_make(&w.short_lived, &w.ca, "brief", NULL, false, 2);
    listen_with(0);
    connect_as(&w.short_lived, &w.ca, "127.0.0.1");
    until(&at_server.opened, 1);
    assert_string_equal(at_server.identity, "brief");
    until(&at_server.closed, 1);
    assert_non_null(strstr(at_server.why, "expired"));
    cert_fini(&w.short_lived);
}

static int make_certs(void **state)
{
    (void)state;
    cert_make(&w.ca, NULL, "cluster CA", NULL, true, 86400);
    cert_make(&w.other_ca, NULL, "other CA", NULL, true, 86400);
    cert_make(&w.server, &w.ca, "control", "IP:127.0.0.1", false, 86400);
    cert_make(&w.node, &w.ca, "node", "URI:spiffe://cluster/node-1", false, 86400);
    cert_make(&w.foreign, &w.other_ca, "node", "URI:spiffe://cluster/node-1", false, 86400);
    return 0;
}

static int free_certs(void **state)
{
    (void)state;
    cert_fini(&w.ca);
    cert_fini(&w.other_ca);
    cert_fini(&w.server);
    cert_fini(&w.node);
    cert_fini(&w.foreign);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(refuses_strangers, start, finish),
        cmocka_unit_test_setup_teardown(refuses_too_many, start, finish),
        cmocka_unit_test_setup_teardown(nobody_listens, start, finish),
        cmocka_unit_test_setup_teardown(echoes, start, finish),
        cmocka_unit_test_setup_teardown(moves_large_messages, start, finish),
        cmocka_unit_test_setup_teardown(server_says_why, start, finish),
        cmocka_unit_test_setup_teardown(server_stops, start, finish),
        cmocka_unit_test_setup_teardown(certificate_runs_out, start, finish),
    };
    return cmocka_run_group_tests(tests, make_certs, free_certs);
}
