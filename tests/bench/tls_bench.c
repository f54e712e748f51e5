/* What the first door costs, in memory and without sockets: the server's side of handshakes (P-256, TLS 1.3 X25519),
 * bytes, the memory of an idle connection, and a look-up among a million names. Prints a table, asserts nothing. */
#include "tls/client.h"
#include "tls/internal.h"
#include "tls/pki.h"
#include "tls/verify.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { HANDSHAKES = 2000, CONNECTIONS = 2000, MIB = 1 << 20, NAMES = 1000000, LOOKUPS = 1 << 20 };

struct end {
    struct sp_tls_stream *tls;
    struct sp_wire wire;
};

static struct sp_tls_server *server;
static struct sp_tls_names *names;
static struct sp_ca_set *cas;
static struct sp_buf ca_cert, ca_key, leaf_cert, leaf_key;
static double spent_us; /* by the server */
static bool hybrid;     /* the client offers X25519MLKEM768 */

static void ok(sp_result r, const struct sp_error *err)
{
    if (!sp_failed(r))
        return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct sp_tls_client *client_new(void)
{
    struct sp_error err;
    struct sp_tls_client *c = NULL;
    ok(sp_tls_client_new(&(struct sp_tls_client_options){.cert_pem = sp_buf_str(&leaf_cert),
                                                         .key_pem = sp_buf_str(&leaf_key),
                                                         .alpn = "http/1.1"},
                         &c, &err),
       &err);
    return c;
}

static void set_up(struct sp_arena *a)
{
    static const uint8_t trust[32] = {1};
    static const struct sp_str san[] = {{"DNS:a.example", 13}};
    struct sp_error err;
    struct sp_der_list list;
    int64_t now = time(NULL);
    struct sp_pki_request ca = {.common_name = "CA", .is_ca = true, .not_before = now - 60, .not_after = now + 86400};
    struct sp_pki_request leaf = {
        .common_name = "leaf", .sans = san, .num_sans = 1, .not_before = now - 60, .not_after = now + 86400};
    ok(sp_pki_issue(&ca, SP_STR(""), SP_STR(""), &ca_cert, &ca_key, &err), &err);
    ok(sp_pki_issue(&leaf, sp_buf_str(&ca_cert), sp_buf_str(&ca_key), &leaf_cert, &leaf_key, &err), &err);
    ok(sp_pem_certificates(sp_buf_str(&ca_cert), a, &list, &err), &err);
    ok(sp_ca_set_compile(a, list.v, list.num, false, &cas, &err), &err);
    names = sp_tls_names_new(a, 0);
    ok(sp_tls_names_default_certificate(names, sp_buf_str(&leaf_cert), sp_buf_str(&leaf_key), &err), &err);
    ok(sp_tls_names_ask(names, SP_STR("a.example"), NULL, 0, trust, &err), &err);
    sp_tls_names_done(names);
    ok(sp_tls_server_new(&(struct sp_tls_server_options){.alpn = "h2,http/1.1"}, &server, &err), &err);
}

static void give(struct end *from, struct end *to)
{
    to->wire.in = sp_buf_str(&from->wire.out);
}

static enum sp_io serve(struct end *s)
{
    double t = cpu_us();
    enum sp_io io = sp_tls_handshake(s->tls);
    spent_us += cpu_us() - t;
    return io;
}

/* A handshake, a small request and a small answer. */
static void connect_ends(struct sp_tls_client *client, struct end *c, struct end *s)
{
    char some[256];
    size_t got;
    c->tls = sp_tls_connect(client, SP_STR("a.example"), &c->wire);
    if (!hybrid)
        SSL_set1_curves_list(c->tls->ssl, "X25519");
    double t = cpu_us();
    s->tls = sp_tls_accept(server, names, 1, &s->wire);
    spent_us += cpu_us() - t;
    enum sp_io io = SP_IO_AGAIN;
    while (io == SP_IO_AGAIN) {
        enum sp_io at_client = sp_tls_handshake(c->tls);
        sp_buf_clear(&s->wire.out);
        if (at_client == SP_IO_OK)
            at_client = sp_tls_write(c->tls, SP_STR("GET / HTTP/1.1\r\n\r\n"));
        give(c, s);
        io = serve(s);
        sp_buf_clear(&c->wire.out);
        give(s, c);
    }
    sp_assert(io == SP_IO_OK);
    t = cpu_us();
    io = sp_tls_read(s->tls, some, sizeof some, &got);
    sp_assert(io == SP_IO_OK && sp_tls_peer(s->tls)->num_chain == 1);
    io = sp_tls_write(s->tls, SP_STR("HTTP/1.1 200 OK\r\n\r\n"));
    spent_us += cpu_us() - t;
    give(s, c);
    while ((io = sp_tls_read(c->tls, some, sizeof some, &got)) == SP_IO_OK) {
    }
    sp_assert(io == SP_IO_AGAIN);
    sp_buf_clear(&s->wire.out);
}

static void part(struct end *e)
{
    sp_tls_free(e->tls);
    sp_buf_fini(&e->wire.out);
    *e = (struct end){0};
}

static void handshakes(const char *what, bool resume, bool verify)
{
    struct sp_tls_client *client = client_new();
    size_t resumed = 0;
    double total = 0;
    for (int i = 0; i < HANDSHAKES + 100; i++) {
        struct end c = {0}, s = {0};
        struct sp_verdict v = {.ok = true};
        if (i == 100)
            total = 0, resumed = 0;
        spent_us = 0;
        connect_ends(client, &c, &s);
        const struct sp_peer *p = sp_tls_peer(s.tls);
        resumed += p->resumed;
        double t = cpu_us();
        if (verify)
            sp_verify_chain(cas, p->chain, p->num_chain, time(NULL), &v);
        sp_assert(v.ok);
        part(&s);
        total += spent_us + cpu_us() - t;
        part(&c);
        if (!resume) {
            sp_tls_client_free(client);
            client = client_new();
        }
    }
    sp_tls_client_free(client);
    printf("%-44s %8.1f us   (%zu of %d resumed)\n", what, total / HANDSHAKES, resumed, HANDSHAKES);
}

static void bytes(void)
{
    static char plain[MIB], got[MIB + 1];
    struct sp_tls_client *client = client_new();
    struct end c = {0}, s = {0};
    double write_us = 0, read_us = 0;
    connect_ends(client, &c, &s);
    for (int i = 0; i < 50; i++) {
        double t = cpu_us();
        enum sp_io io = sp_tls_write(s.tls, sp_str(plain, MIB));
        write_us += cpu_us() - t;
        sp_assert(io == SP_IO_OK);
        size_t n = 0, k = 0;
        t = cpu_us();
        for (give(&s, &c); (io = sp_tls_read(c.tls, got + n, sizeof got - n, &k)) == SP_IO_OK; n += k) {
        }
        read_us += cpu_us() - t;
        sp_assert(io == SP_IO_AGAIN && n == MIB);
        sp_buf_clear(&s.wire.out);
    }
    double small_write = 0, small_read = 0;
    for (int i = 0; i < HANDSHAKES; i++) {
        size_t k = 0;
        double t = cpu_us();
        for (int j = 0; j < 10; j++) {
            enum sp_io io = sp_tls_write(s.tls, sp_str(plain, 200));
            sp_assert(io == SP_IO_OK);
        }
        small_write += cpu_us() - t;
        t = cpu_us();
        for (give(&s, &c); sp_tls_read(c.tls, got, 200, &k) == SP_IO_OK;) {
        }
        small_read += cpu_us() - t;
        sp_buf_clear(&s.wire.out);
    }
    printf("%-44s %8.2f us\n", "200 bytes sealed", small_write / HANDSHAKES / 10);
    printf("%-44s %8.2f us\n", "200 bytes opened", small_read / HANDSHAKES / 10);
    printf("%-44s %8.1f us\n%-44s %8.1f us\n", "1 MiB sealed", write_us / 50, "1 MiB opened", read_us / 50);
    part(&c);
    part(&s);
    sp_tls_client_free(client);
}

static void idle(void)
{
    struct sp_tls_client *client = client_new();
    struct end *s = calloc(CONNECTIONS, sizeof *s);
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < CONNECTIONS; i++) {
        struct end c = {0};
        connect_ends(client, &c, &s[i]);
        part(&c);
        sp_buf_fini(&s[i].wire.out); /* the worker's, not the connection's */
    }
    struct mallinfo2 after = mallinfo2();
    printf("%-44s %8.0f bytes\n", "heap of an idle connection",
           (double)(after.uordblks - before.uordblks) / CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++)
        part(&s[i]);
    free(s);
    sp_tls_client_free(client);
}

static void lookups(void)
{
    static char text[NAMES][28];
    struct sp_arena *a = sp_arena_new(1 << 20);
    struct sp_tls_names *n = sp_tls_names_new(a, NAMES);
    struct sp_error err;
    static const uint8_t trust[32] = {1};
    size_t total = 0;
    for (int i = 0; i < NAMES; i++) {
        total += (size_t)snprintf(text[i], sizeof text[i], "h%d.example.com", i);
        ok(sp_tls_names_ask(n, sp_str_z(text[i]), NULL, 0, trust, &err), &err);
    }
    struct sp_handshake_policy p;
    uint64_t x = 88172645463325252u, asked = 0;
    for (int i = 0; i < NAMES; i++) { /* the questions in another order, and themselves in the cache */
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        snprintf(text[i], sizeof text[i], "h%d.example.com", (int)(x % NAMES));
    }
    double t = cpu_us();
    for (int i = 0; i < LOOKUPS; i++) {
        sp_tls_names_policy(n, sp_str_z(text[i % NAMES]), &p);
        asked += p.ask;
    }
    t = cpu_us() - t;
    sp_assert(asked == LOOKUPS);
    printf("%-44s %8.0f ns\n", "look-up among 1,000,000 names", t * 1e3 / LOOKUPS);
    printf("%-44s %8.0f bytes (and %.0f of the name)\n", "heap of an entry beside its name",
           ((double)sp_arena_used(a) - (double)total) / NAMES, (double)total / NAMES);
    sp_arena_free(a);
}

int main(void)
{
    struct sp_arena *a = sp_arena_new(4096);
    set_up(a);
    handshakes("full mTLS handshake, request, answer", false, true);
    handshakes("  with the verdict remembered", false, false);
    handshakes("resumed mTLS handshake, request, answer", true, false);
    hybrid = true;
    handshakes("full, with X25519MLKEM768", false, false);
    handshakes("resumed, with X25519MLKEM768", true, false);
    bytes();
    idle();
    lookups();
    sp_tls_server_free(server);
    sp_arena_free(a);
    struct sp_buf *all[] = {&ca_cert, &leaf_cert, &ca_key, &leaf_key};
    for (int i = 0; i < 4; i++)
        sp_buf_wipe(all[i]);
    return 0;
}
