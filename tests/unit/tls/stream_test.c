/* Bytes that were cut, bent or made up, and bytes that flow. */
#include "ends.h"

#include <stdlib.h>

static struct pair ca, leaf;
static struct sp_arena *arena;
static struct sp_error err;
static struct sp_tls_server *server;
static struct sp_tls_names
    *names; /* asked.example is asked, "*" is too, but with another policy; free.example is not there */
static struct sp_tls_client *client;

static int make_all(void **state)
{
    (void)state;
    static const uint8_t trust[2][32] = {{1}, {2}};
    pair_ca(&ca, NULL, "CA");
    pair_leaf(&leaf, &ca, "a", "DNS:asked.example", 86400);
    arena = sp_arena_new(4096);
    names = sp_tls_names_new(arena, 0);
    struct sp_str cert = sp_buf_str(&leaf.cert), key = sp_buf_str(&leaf.key);
    struct sp_tls_client_options o = {.cert_pem = cert, .key_pem = key};
    bool bad = sp_failed(sp_tls_names_default_certificate(names, cert, key, &err)) ||
               sp_failed(sp_tls_names_ask(names, SP_STR("asked.example"), NULL, 0, trust[0], &err)) ||
               sp_failed(sp_tls_names_ask(names, SP_STR("*"), NULL, 0, trust[1], &err)) ||
               sp_failed(sp_tls_server_new(&(struct sp_tls_server_options){.alpn = "h2"}, &server, &err)) ||
               sp_failed(sp_tls_client_new(&o, &client, &err));
    sp_tls_names_done(names);
    return bad;
}

static int free_all(void **state)
{
    (void)state;
    sp_tls_client_free(client);
    sp_tls_server_free(server);
    sp_arena_free(arena);
    pair_fini(&ca);
    pair_fini(&leaf);
    return 0;
}

static struct sp_str hello_of(const char *name)
{
    struct sp_wire wire = {0};
    struct sp_tls_stream *t = sp_tls_connect(client, sp_str_z(name), &wire);
    assert_int_equal(sp_tls_handshake(t), SP_IO_AGAIN);
    struct sp_str copy = sp_arena_dup(arena, sp_buf_str(&wire.out));
    sp_tls_free(t);
    sp_buf_fini(&wire.out);
    return copy;
}

/* What the server says to these bytes; *policy is what it decided, 0 when it did not get so far. */
static enum sp_io answer(const struct sp_str *pieces, size_t num, uint64_t *policy)
{
    struct sp_wire wire = {0};
    struct sp_tls_stream *t = sp_tls_accept(server, names, 1, &wire);
    enum sp_io io = SP_IO_AGAIN;
    for (size_t i = 0; i < num && io == SP_IO_AGAIN; i++) {
        wire.in = pieces[i];
        io = sp_tls_handshake(t);
    }
    if (io == SP_IO_ERROR) {
        assert_string_not_equal(sp_tls_fault(t), "no fault");
        assert_int_equal(sp_tls_handshake(t), SP_IO_ERROR); /* and stays so */
    }
    *policy = t->policy;
    sp_tls_free(t);
    sp_buf_fini(&wire.out);
    return io;
}

static uint64_t policy_of(const char *name)
{
    struct sp_handshake_policy p;
    sp_tls_names_policy(names, sp_str_z(name), &p);
    assert_int_not_equal(p.policy, 0);
    return p.policy;
}

static void garbage(void **state)
{
    (void)state;
    uint64_t policy;
    static const struct sp_str some[] = {{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27},   {"\x16\x03\x01\xff\xff", 5},
                                         {"\x15\x03\x01\x00\x02\x02\x28", 7},         {"\x17\x03\x03\x00\x01x", 6},
                                         {"\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9}, {"SSH-2.0-x\r\n", 11}};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        assert_int_equal(answer(&some[i], 1, &policy), SP_IO_ERROR);
        assert_int_equal(policy, 0);
    }
}

static void hello_cut_anywhere(void **state)
{
    (void)state;
    struct sp_str hello = hello_of("asked.example");
    uint64_t policy, want = policy_of("asked.example");
    for (size_t n = 0; n < hello.len; n++) {
        struct sp_str pieces[2] = {{hello.p, n}, {hello.p + n, hello.len - n}};
        assert_int_equal(answer(pieces, 1, &policy), SP_IO_AGAIN);
        assert_int_equal(policy, 0);
        if (n % 8 == 0 || n < 256) {
            assert_int_equal(answer(pieces, 2, &policy), SP_IO_AGAIN);
            assert_true(policy == want);
        }
    }
}

/* The same ClientHello in two records, cut anywhere: CVE-2026-32305. */
static void hello_in_two_records(void **state)
{
    (void)state;
    struct sp_str hello = hello_of("asked.example"), body = sp_str_skip(hello, 5);
    uint64_t policy, want = policy_of("asked.example");
    char *two = sp_arena_alloc(arena, hello.len + 5);
    for (size_t n = 1; n < body.len; n += n < 256 ? 1 : 16) {
        size_t rest = body.len - n;
        memcpy(two, hello.p, 3);
        two[3] = (char)(n >> 8), two[4] = (char)n;
        memcpy(two + 5, body.p, n);
        memcpy(two + 5 + n, hello.p, 3);
        two[8 + n] = (char)(rest >> 8), two[9 + n] = (char)rest;
        memcpy(two + 10 + n, body.p + n, rest);
        struct sp_str all = sp_str(two, hello.len + 5);
        assert_int_equal(answer(&all, 1, &policy), SP_IO_AGAIN);
        assert_true(policy == want);
    }
}

/* One byte bent: an error, or a policy that some name really has; while the name is whole, that name's. */
static void hello_bent(void **state)
{
    (void)state;
    struct sp_str hello = hello_of("asked.example"), bent = sp_arena_dup(arena, hello);
    char *at = (char *)bent.p, *name = memmem(at, bent.len, "asked.example", 13);
    uint64_t policy, asked = policy_of("asked.example"), all = policy_of("other");
    assert_non_null(name);
    for (size_t i = 0; i < bent.len; i += at + i >= name - 16 && at + i < name + 16 ? 1 : 3) {
        at[i] ^= 0x15;
        enum sp_io io = answer(&bent, 1, &policy);
        assert_true(io == SP_IO_ERROR || io == SP_IO_AGAIN);
        assert_true(policy == 0 || policy == asked || policy == all);
        at[i] ^= 0x15;
    }
    name[3] = '\0'; /* a NUL in the name: refused, not cut off */
    assert_int_equal(answer(&bent, 1, &policy), SP_IO_ERROR);
    assert_int_equal(policy, 0);
    name[3] = '/'; /* no host name: as none at all */
    assert_int_equal(answer(&bent, 1, &policy), SP_IO_AGAIN);
    assert_true(policy == all);
}

static void longest_names(void **state)
{
    (void)state;
    char name[256];
    uint64_t policy;
    memset(name, 'a', sizeof name);
    for (size_t i = 50; i < 250; i += 50)
        name[i] = '.';
    name[253] = '\0';
    struct sp_str hello = hello_of(name);
    assert_non_null(memmem(hello.p, hello.len, name, 253));
    assert_int_equal(answer(&hello, 1, &policy), SP_IO_AGAIN);
    assert_true(policy == policy_of("other"));
    char *at = memmem(hello.p, hello.len, name, 253);
    at[0] = '.'; /* an empty label */
    assert_int_equal(answer(&hello, 1, &policy), SP_IO_AGAIN);
    assert_true(policy == policy_of("other"));
}

/* --- after the handshake --- */

static void join(struct end *c, struct end *s)
{
    *c = *s = (struct end){0};
    c->tls = sp_tls_connect(client, SP_STR("asked.example"), &c->wire);
    s->tls = sp_tls_accept(server, names, 1, &s->wire);
    shake(c, s, SIZE_MAX);
    assert_int_equal(c->state, SP_IO_OK);
    assert_int_equal(s->state, SP_IO_OK);
    struct sp_buf none = {0};
    carry(s, c);
    assert_int_equal(drain(c, &none), SP_IO_AGAIN); /* tickets */
    assert_int_equal(none.len, 0);
}

static void part(struct end *c, struct end *s)
{
    end_fini(c);
    end_fini(s);
}

static struct sp_str pattern_of(size_t len)
{
    char *p = sp_arena_alloc(arena, len);
    for (size_t i = 0; i < len; i++)
        p[i] = (char)(i * 31 + i / 251);
    return sp_str(p, len);
}

static void large_both_ways(void **state)
{
    (void)state;
    struct end c, s;
    struct sp_str data = pattern_of(300000);
    join(&c, &s);
    struct end *ends[2] = {&c, &s};
    for (int i = 0; i < 2; i++) {
        struct sp_buf got = {0};
        assert_int_equal(sp_tls_write(ends[i]->tls, SP_STR("")), SP_IO_OK);
        assert_int_equal(ends[i]->wire.out.len, 0);
        assert_int_equal(sp_tls_write(ends[i]->tls, data), SP_IO_OK);
        assert_in_range(ends[i]->wire.out.len, data.len, data.len + 2000); /* records of 16 KiB, and a ticket */
        carry(ends[i], ends[1 - i]);
        assert_int_equal(drain(ends[1 - i], &got), SP_IO_AGAIN);
        assert_true(sp_str_eq(sp_buf_str(&got), data));
        sp_buf_fini(&got);
    }
    part(&c, &s);
}

/* A reader stops before the wire is used up, another stream uses the wire, and nothing is lost. */
static void kept(void **state)
{
    (void)state;
    struct end c, s;
    struct sp_str data = pattern_of(50000);
    struct sp_buf got = {0};
    char some[700];
    size_t n;
    enum sp_io io = SP_IO_OK;
    join(&c, &s);
    assert_int_equal(sp_tls_write(c.tls, data), SP_IO_OK);
    s.wire.in = sp_buf_str(&c.wire.out);
    for (int i = 0; io == SP_IO_OK; i++) {
        io = sp_tls_read(s.tls, some, sizeof some, &n);
        sp_buf_append(&got, some, n);
        if (i % 7 == 0) {
            sp_tls_keep(s.tls);
            assert_int_equal(s.wire.in.len, 0);
        }
    }
    assert_int_equal(io, SP_IO_AGAIN);
    assert_true(sp_str_eq(sp_buf_str(&got), data));
    sp_buf_fini(&got);
    part(&c, &s);
}

static void request_in_the_last_flight(void **state)
{
    (void)state;
    struct end c = {.state = SP_IO_AGAIN}, s = {.state = SP_IO_AGAIN};
    struct sp_buf got = {0};
    c.tls = sp_tls_connect(client, SP_STR("fresh.example"), &c.wire);
    s.tls = sp_tls_accept(server, names, 1, &s.wire);
    step(&c, 0);
    carry(&c, &s);
    step(&s, SIZE_MAX);
    carry(&s, &c);
    step(&c, SIZE_MAX);
    assert_int_equal(c.state, SP_IO_OK);
    assert_int_equal(sp_tls_write(c.tls, SP_STR("GET /")), SP_IO_OK);
    carry(&c, &s);
    step(&s, SIZE_MAX);
    assert_int_equal(s.state, SP_IO_OK);
    assert_int_equal(drain(&s, &got), SP_IO_AGAIN);
    assert_true(sp_str_eq(sp_buf_str(&got), SP_STR("GET /")));
    sp_buf_fini(&got);
    part(&c, &s);
}

static void bent_record(void **state)
{
    (void)state;
    struct end c, s;
    struct sp_buf got = {0};
    join(&c, &s);
    assert_int_equal(sp_tls_write(c.tls, SP_STR("hello")), SP_IO_OK);
    c.wire.out.p[c.wire.out.len - 1] ^= 1;
    carry(&c, &s);
    assert_int_equal(drain(&s, &got), SP_IO_ERROR);
    assert_int_equal(got.len, 0);
    assert_true(s.wire.out.len > 0); /* the alert */
    assert_string_equal(sp_tls_fault(s.tls), "DECRYPTION_FAILED_OR_BAD_RECORD_MAC");
    carry(&s, &c);
    assert_int_equal(drain(&c, &got), SP_IO_ERROR);
    part(&c, &s);
}

/* Plain text before the handshake never becomes data: CVE-2026-1642. */
static void injected_plaintext(void **state)
{
    (void)state;
    struct sp_wire wire = {0};
    static const char *const some[] = {"HTTP/1.1 200 OK\r\n\r\n", "\x17\x03\x03\x00\x05hello"};
    for (size_t i = 0; i < 2; i++) {
        struct sp_tls_stream *t = sp_tls_connect(client, SP_STR("up.example"), &wire);
        wire.in = sp_str_z(some[i]);
        if (i == 1)
            wire.in.len = 10;
        assert_int_equal(sp_tls_handshake(t), SP_IO_ERROR);
        sp_tls_free(t);
        sp_buf_clear(&wire.out);
    }
    sp_buf_fini(&wire.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage),
        cmocka_unit_test(hello_cut_anywhere),
        cmocka_unit_test(hello_in_two_records),
        cmocka_unit_test(hello_bent),
        cmocka_unit_test(longest_names),
        cmocka_unit_test(large_both_ways),
        cmocka_unit_test(kept),
        cmocka_unit_test(request_in_the_last_flight),
        cmocka_unit_test(bent_record),
        cmocka_unit_test(injected_plaintext),
    };
    return cmocka_run_group_tests(tests, make_all, free_all);
}
