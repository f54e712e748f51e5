/* The first door: who is asked, with which names, and what resumes. */
#include "ends.h"
#include "fixtures.h"

#include <stdlib.h>
#include <sys/time.h>

static struct pair ca, other_ca, leaf_a, leaf_w, leaf_default, client_pair;
static struct sp_error err;
static struct sp_arena *arena;
static const uint8_t trust1[32] = {1}, trust2[32] = {2};
static int64_t shift_s; /* of BoringSSL's clock */

static int make_all(void **state)
{
    (void)state;
    arena = sp_arena_new(4096);
    pair_ca(&ca, NULL, "CA one");
    pair_ca(&other_ca, NULL, "CA two");
    pair_leaf(&leaf_a, &ca, "a", "DNS:a.example", 86400);
    pair_leaf(&leaf_w, &ca, "w", "DNS:*.w.example", 86400);
    pair_leaf(&leaf_default, &ca, "default", "DNS:default.example", 86400);
    pair_leaf(&client_pair, &ca, "client", NULL, 86400);
    return 0;
}

static int free_all(void **state)
{
    (void)state;
    struct pair *all[] = {&ca, &other_ca, &leaf_a, &leaf_w, &leaf_default, &client_pair};
    for (size_t i = 0; i < 6; i++)
        pair_fini(all[i]);
    sp_arena_free(arena);
    return 0;
}

static void ok(sp_result r)
{
    if (sp_failed(r))
        fail_msg("%s", err.text);
}

static struct sp_str s(const struct sp_buf *b)
{
    return sp_buf_str(b);
}

static struct sp_str ca_name(const struct pair *p)
{
    struct sp_cert_info info;
    ok(sp_cert_read(pair_der(p, arena), arena, &info, &err));
    return info.subject_der;
}

static void add(struct sp_tls_names *n, const struct pair *p, const char *sni)
{
    struct sp_str name = sp_str_z(sni);
    ok(sp_tls_names_add_certificate(n, s(&p->cert), s(&p->key), SP_STR(""), SP_STR(""), &name, 1, &err));
}

/* a.example is asked with one name, *.w.example without names; with `all`, "*" too. */
static struct sp_tls_names *names_of(struct sp_arena *a, const uint8_t trust[32], bool all)
{
    struct sp_tls_names *n = sp_tls_names_new(a, 4);
    struct sp_str list[2] = {ca_name(&ca), ca_name(&other_ca)};
    add(n, &leaf_a, "a.example");
    add(n, &leaf_w, "*.w.example");
    ok(sp_tls_names_default_certificate(n, s(&leaf_default.cert), s(&leaf_default.key), &err));
    ok(sp_tls_names_ask(n, SP_STR("a.example"), list, 1, trust, &err));
    ok(sp_tls_names_ask(n, SP_STR("*.w.example"), NULL, 0, trust, &err));
    if (all)
        ok(sp_tls_names_ask(n, SP_STR("*"), list, 2, trust, &err));
    sp_tls_names_done(n);
    return n;
}

static struct sp_tls_server *server_of(uint16_t min, const char *alpn)
{
    struct sp_tls_server *v = NULL;
    ok(sp_tls_server_new(&(struct sp_tls_server_options){.min_version = min, .alpn = alpn}, &v, &err));
    return v;
}

static struct sp_tls_client *client_of(const struct pair *own)
{
    struct sp_tls_client *c = NULL;
    struct sp_tls_client_options o = {.ca_pem = s(&ca.cert), .verify = true, .verify_depth = -1};
    if (own) {
        o.cert_pem = s(&own->cert);
        o.key_pem = s(&own->key);
    }
    ok(sp_tls_client_new(&o, &c, &err));
    return c;
}

/* --- a client of plain BoringSSL, to see what the wire says --- */

struct raw {
    SSL_CTX *ctx;
    SSL *ssl;
    SSL_SESSION *session; /* the last one that came */
    size_t num_ca_names;
    bool asked;
};

static int raw_session(SSL *ssl, SSL_SESSION *session)
{
    struct raw *r = SSL_get_app_data(ssl);
    SSL_SESSION_free(r->session);
    r->session = session;
    return 1;
}

static int raw_asked(SSL *ssl, void *arg)
{
    struct raw *r = arg;
    const STACK_OF(CRYPTO_BUFFER) *names = SSL_get0_server_requested_CAs(ssl);
    r->asked = true;
    r->num_ca_names = names ? sk_CRYPTO_BUFFER_num(names) : 0;
    return 1;
}

static enum ssl_verify_result_t raw_verify(SSL *ssl, uint8_t *alert)
{
    (void)ssl, (void)alert;
    return ssl_verify_ok;
}

static void raw_init(struct raw *r, uint16_t version, bool tickets, const struct pair *own)
{
    *r = (struct raw){.ctx = SSL_CTX_new(TLS_with_buffers_method())};
    SSL_CTX_set_min_proto_version(r->ctx, version);
    SSL_CTX_set_max_proto_version(r->ctx, version);
    SSL_CTX_set_custom_verify(r->ctx, SSL_VERIFY_PEER, raw_verify);
    SSL_CTX_set_session_cache_mode(r->ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(r->ctx, raw_session);
    SSL_CTX_set_cert_cb(r->ctx, raw_asked, r);
    if (!tickets)
        SSL_CTX_set_options(r->ctx, SSL_OP_NO_TICKET);
    if (own) {
        struct sp_credential c;
        enum sp_key_type type;
        ok(sp_tls_credential(s(&own->cert), s(&own->key), &c, &type, &err));
        assert_true(sp_credential_use_ctx(r->ctx, &c));
        sp_credential_fini(&c);
    }
}

static void raw_fini(struct raw *r)
{
    SSL_free(r->ssl);
    SSL_SESSION_free(r->session);
    SSL_CTX_free(r->ctx);
}

static void move(BIO *from, struct sp_buf *to)
{
    char some[4096];
    for (int n; (n = BIO_read(from, some, sizeof some)) > 0;)
        sp_buf_append(to, some, (size_t)n);
}

/* One handshake and one byte each way. true: both ends are done. */
static bool raw_connect(struct raw *r, struct sp_tls_server *v, const struct sp_tls_names *n, uint64_t listener,
                        const char *sni, struct end *server, SSL_SESSION *resume)
{
    SSL_free(r->ssl);
    r->ssl = SSL_new(r->ctx);
    r->asked = false;
    SSL_set_app_data(r->ssl, r);
    SSL_set_connect_state(r->ssl);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(r->ssl, in, out);
    if (sni)
        SSL_set_tlsext_host_name(r->ssl, sni);
    if (resume)
        SSL_set_session(r->ssl, resume);
    *server = (struct end){.state = SP_IO_AGAIN};
    server->tls = sp_tls_accept(v, n, listener, &server->wire);
    bool done = false;
    for (int i = 0; i < 6; i++) {
        done = SSL_do_handshake(r->ssl) == 1;
        move(out, &server->inbox);
        step(server, SIZE_MAX);
        struct sp_str reply = s(&server->wire.out);
        BIO_write(in, reply.p, (int)reply.len);
        sp_buf_clear(&server->wire.out);
    }
    if (!done || server->state != SP_IO_OK)
        return false;
    char byte;
    assert_int_equal(sp_tls_write(server->tls, SP_STR("x")), SP_IO_OK); /* carries the TLS 1.3 ticket */
    BIO_write(in, s(&server->wire.out).p, (int)server->wire.out.len);
    assert_int_equal(SSL_read(r->ssl, &byte, 1), 1);
    return true;
}

/* --- who is asked --- */

static const uint16_t versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static void asked_where_the_map_says(void **state)
{
    (void)state;
    static const struct {
        const char *sni, *seen;
        bool all, asked;
        size_t names;
    } cases[] = {{"a.example", "a.example", false, true, 1},
                 {"A.EXAMPLE", "a.example", false, true, 1},
                 {"x.w.example", "x.w.example", false, true, 0},
                 {"y.x.w.example", "y.x.w.example", false, true, 0},
                 {"b.example", "b.example", false, false, 0},
                 {NULL, "", false, false, 0},
                 {"b.example", "b.example", true, true, 2},
                 {NULL, "", true, true, 2},
                 {"a.example", "a.example", true, true, 1},
                 {"bad name", "", true, true, 2},
                 {"10.0.0.1", "", true, true, 2}};
    for (size_t v = 0; v < 2; v++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct sp_tls_server *server = server_of(0, NULL);
            struct sp_arena *a = sp_arena_new(4096);
            struct sp_tls_names *n = names_of(a, trust1, cases[i].all);
            struct raw r;
            struct end e;
            raw_init(&r, versions[v], true, &client_pair);
            assert_true(raw_connect(&r, server, n, 1, cases[i].sni, &e, NULL));
            const struct sp_peer *p = sp_tls_peer(e.tls);
            assert_int_equal(r.asked, cases[i].asked);
            assert_int_equal(p->asked, cases[i].asked);
            assert_int_equal(p->policy != 0, cases[i].asked);
            assert_int_equal(p->num_chain, cases[i].asked ? 1 : 0);
            assert_true(sp_str_eq(p->sni, sp_str_z(cases[i].seen)));
            if (cases[i].asked)
                assert_int_equal(r.num_ca_names, cases[i].names);
            assert_string_equal(p->version, v ? "TLSv1.3" : "TLSv1.2");
            end_fini(&e);
            raw_fini(&r);
            sp_arena_free(a);
            sp_tls_server_free(server);
        }
}

static void asked_but_none_or_unknown(void **state)
{
    (void)state;
    struct pair stranger, expired;
    pair_leaf(&stranger, &other_ca, "stranger", NULL, 60);
    pair_leaf(&expired, &ca, "expired", NULL, -30);
    const struct pair *who[] = {NULL, &stranger, &expired};
    struct sp_tls_server *server = server_of(0, NULL);
    struct sp_tls_names *n = names_of(arena, trust1, false);
    for (size_t v = 0; v < 2; v++)
        for (size_t i = 0; i < 3; i++) {
            struct raw r;
            struct end e;
            raw_init(&r, versions[v], true, who[i]);
            assert_true(raw_connect(&r, server, n, 1, "a.example", &e, NULL));
            assert_true(sp_tls_peer(e.tls)->asked);
            assert_int_equal(sp_tls_peer(e.tls)->num_chain, i > 0);
            end_fini(&e);
            raw_fini(&r);
        }
    sp_tls_server_free(server);
    pair_fini(&stranger);
    pair_fini(&expired);
}

static void right_certificate(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"a.example", "a"},
                                           {"x.w.example", "w"},
                                           {"y.x.w.example", "default"},
                                           {"b.example", "default"},
                                           {NULL, "default"}};
    struct sp_tls_server *server = server_of(0, NULL);
    struct sp_tls_names *n = names_of(arena, trust1, false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct raw r;
        struct end e;
        struct sp_cert_info info;
        raw_init(&r, TLS1_3_VERSION, true, NULL);
        assert_true(raw_connect(&r, server, n, 1, cases[i][0], &e, NULL));
        const CRYPTO_BUFFER *b = sk_CRYPTO_BUFFER_value(SSL_get0_peer_certificates(r.ssl), 0);
        ok(sp_cert_read(sp_str(CRYPTO_BUFFER_data(b), CRYPTO_BUFFER_len(b)), arena, &info, &err));
        assert_true(sp_str_eq(info.cn, sp_str_z(cases[i][1])));
        end_fini(&e);
        raw_fini(&r);
    }
    sp_tls_server_free(server);
}

static void rsa_and_ecdsa(void **state)
{
    (void)state;
    struct sp_str sni = SP_STR("two.example");
    struct sp_tls_names *n = sp_tls_names_new(arena, 0);
    assert_int_equal(
        sp_tls_names_add_certificate(n, s(&leaf_a.cert), s(&leaf_a.key), s(&leaf_w.cert), s(&leaf_w.key), &sni, 1, &err)
            .code,
        SP_E_INVALID);
    assert_int_equal(
        sp_tls_names_add_certificate(n, s(&leaf_a.cert), s(&leaf_w.key), SP_STR(""), SP_STR(""), &sni, 1, &err).code,
        SP_E_INVALID);
    ok(sp_tls_names_add_certificate(n, sp_str_z(RSA_PEM), sp_str_z(RSA_KEY), s(&leaf_a.cert), s(&leaf_a.key), &sni, 1,
                                    &err));
    assert_int_equal(
        sp_tls_names_add_certificate(n, s(&leaf_a.cert), s(&leaf_a.key), SP_STR(""), SP_STR(""), &sni, 1, &err).code,
        SP_E_CONFLICT);
    sp_tls_names_done(n);
    struct sp_tls_server *server = server_of(0, NULL);
    static const uint16_t only[2] = {SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_RSA_PSS_RSAE_SHA256};
    for (size_t i = 0; i < (SP_BSSL_NEW ? 2 : 1); i++) { /* the BoringSSL of 2022 takes one certificate */
        struct raw r;
        struct end e;
        raw_init(&r, TLS1_3_VERSION, true, NULL);
        SSL_CTX_set_verify_algorithm_prefs(r.ctx, &only[i], 1);
        assert_true(raw_connect(&r, server, n, 1, "two.example", &e, NULL));
        assert_int_equal(SSL_get_peer_signature_algorithm(r.ssl), only[i]);
        end_fini(&e);
        raw_fini(&r);
    }
    sp_tls_server_free(server);
}

static void policy_numbers(void **state)
{
    (void)state;
    struct sp_tls_names *n = sp_tls_names_new(arena, 0);
    struct sp_str list[2] = {ca_name(&ca), ca_name(&other_ca)};
    struct sp_handshake_policy a, b, c, d, e;
    ok(sp_tls_names_ask(n, SP_STR("a.x"), list, 1, trust1, &err));
    ok(sp_tls_names_ask(n, SP_STR("b.x"), list, 1, trust1, &err));
    ok(sp_tls_names_ask(n, SP_STR("c.x"), list, 2, trust1, &err));
    ok(sp_tls_names_ask(n, SP_STR("*.d.x"), list, 1, trust2, &err));
    assert_int_equal(sp_tls_names_ask(n, SP_STR("A.X"), list, 1, trust1, &err).code, SP_E_CONFLICT);
    assert_int_equal(sp_tls_names_ask(n, SP_STR("no name"), list, 1, trust1, &err).code, SP_E_INVALID);
    sp_tls_names_done(n);
    sp_tls_names_policy(n, SP_STR("a.x"), &a);
    sp_tls_names_policy(n, SP_STR("b.x"), &b);
    sp_tls_names_policy(n, SP_STR("c.x"), &c);
    sp_tls_names_policy(n, SP_STR("y.z.d.x"), &d);
    sp_tls_names_policy(n, SP_STR("other"), &e);
    assert_true(a.ask && a.policy && a.policy == b.policy);
    assert_true(c.policy != a.policy && d.policy != a.policy && d.policy != c.policy);
    assert_true(!e.ask && e.policy == 0 && e.pattern.len == 0);
    assert_true(sp_str_eq(d.pattern, SP_STR("*.d.x")));
    assert_int_equal(c.num_ca_names, 2);
    assert_int_equal(c.ca_names_bytes, list[0].len + list[1].len + 4);
    sp_tls_names_policy(n, SP_STR(""), &e);
    assert_false(e.ask);
}

static void too_many_ca_names(void **state)
{
    (void)state;
    static char big[32768];
    struct sp_tls_names *n = sp_tls_names_new(arena, 0);
    struct sp_str list[2] = {{big, 32764}, {big, 32767}};
    assert_int_equal(sp_tls_names_ask(n, SP_STR("a"), list, 2, trust1, &err).code, SP_OK);
    list[0].len++;
    assert_int_equal(sp_tls_names_ask(n, SP_STR("b"), list, 2, trust1, &err).code, SP_E_LIMIT);
    list[0].len = 0;
    assert_int_equal(sp_tls_names_ask(n, SP_STR("c"), list, 2, trust1, &err).code, SP_E_LIMIT);
}

/* --- resumption --- */

enum how { TICKET_12, ID_12, TICKET_13 };

struct world {
    struct sp_tls_server *server;
    struct sp_tls_names *names;
    uint64_t listener;
    const char *sni;
};

/* Handshakes once in `first`, then again in `second` with that session: did it resume, with its chain? */
static bool resumes(enum how how, const struct pair *own, struct world first, struct world second)
{
    struct raw r;
    struct end e;
    raw_init(&r, how == TICKET_13 ? TLS1_3_VERSION : TLS1_2_VERSION, how != ID_12, own);
    assert_true(raw_connect(&r, first.server, first.names, first.listener, first.sni, &e, NULL));
    assert_false(sp_tls_peer(e.tls)->resumed);
    struct sp_peer before = *sp_tls_peer(e.tls);
    end_fini(&e);
    assert_non_null(r.session);
    SSL_SESSION *session = r.session;
    r.session = NULL;
    assert_true(raw_connect(&r, second.server, second.names, second.listener, second.sni, &e, session));
    const struct sp_peer *p = sp_tls_peer(e.tls);
    bool resumed = p->resumed;
    assert_int_equal(resumed, SSL_session_reused(r.ssl));
    if (resumed) { /* the chain came along, and what it means */
        assert_int_equal(p->num_chain, before.num_chain);
        assert_memory_equal(p->digest, before.digest, 32);
        assert_true(p->policy == before.policy && p->asked == before.asked);
    } else {
        sp_tls_server_reset_tickets(second.server);
    }
    SSL_SESSION_free(session);
    end_fini(&e);
    raw_fini(&r);
    return resumed;
}

static void resumption(void **state)
{
    (void)state;
    struct sp_tls_names *n1 = names_of(arena, trust1, false), *n2 = names_of(arena, trust2, false);
    struct sp_tls_names *again = names_of(arena, trust1, false), *all = names_of(arena, trust1, true);
    for (enum how how = TICKET_12; how <= TICKET_13; how++) {
        struct sp_tls_server *v = server_of(0, NULL);
        struct world a = {v, n1, 1, "a.example"}, b = {v, n1, 1, "b.example"};
        assert_true(resumes(how, &client_pair, a, a));
        assert_true(resumes(how, &client_pair, a, (struct world){v, n1, 1, "A.example"}));
        assert_true(resumes(how, &client_pair, a, (struct world){v, again, 1, "a.example"})); /* equal configuration */
        assert_true(resumes(how, NULL, b, b));
        /* another name, asked or not; none; another listener; other trust; asked since */
        assert_false(resumes(how, &client_pair, a, (struct world){v, n1, 1, "x.w.example"}));
        assert_false(resumes(how, &client_pair, a, b));
        assert_false(resumes(how, NULL, b, a));
        assert_false(resumes(how, NULL, b, (struct world){v, n1, 1, "c.example"}));
        assert_false(resumes(how, NULL, b, (struct world){v, n1, 1, NULL}));
        assert_false(resumes(how, &client_pair, a, (struct world){v, n1, 2, "a.example"}));
        assert_false(resumes(how, &client_pair, a, (struct world){v, n2, 1, "a.example"}));
        assert_false(resumes(how, NULL, b, (struct world){v, all, 1, "b.example"}));
        sp_tls_server_free(v);
    }
}

static void ticket_keys(void **state)
{
    (void)state;
    struct sp_tls_names *n = names_of(arena, trust1, false);
    for (enum how how = TICKET_12; how <= TICKET_13; how++) {
        struct sp_tls_server *v = server_of(0, NULL), *stranger = server_of(0, NULL);
        struct raw r;
        struct end e;
        raw_init(&r, how == TICKET_13 ? TLS1_3_VERSION : TLS1_2_VERSION, how != ID_12, &client_pair);
        for (int rotations = 0; rotations < 4; rotations++) { /* 0, 1: resumes; 2: gone; 3: reset */
            assert_true(raw_connect(&r, v, n, 1, "a.example", &e, NULL));
            end_fini(&e);
            SSL_SESSION *session = r.session;
            r.session = NULL;
            for (int i = 0; i < rotations && rotations < 3; i++)
                sp_tls_server_rotate_tickets(v);
            if (rotations == 3)
                sp_tls_server_reset_tickets(v);
            assert_true(raw_connect(&r, v, n, 1, "a.example", &e, session));
            bool expected = rotations < (how == ID_12 ? 3 : 2); /* ids do not depend on ticket keys */
            assert_int_equal(sp_tls_peer(e.tls)->resumed, expected);
            end_fini(&e);
            assert_true(raw_connect(&r, stranger, n, 1, "a.example", &e, session)); /* keys of another process */
            assert_false(sp_tls_peer(e.tls)->resumed);
            end_fini(&e);
            SSL_SESSION_free(session);
        }
        raw_fini(&r);
        sp_tls_server_free(v);
        sp_tls_server_free(stranger);
    }
}

static void shifted(const SSL *ssl, struct timeval *out)
{
    (void)ssl;
    gettimeofday(out, NULL);
    out->tv_sec += shift_s;
}

/* A session ends with the client's certificate, however often it was renewed. */
static void session_ends_with_the_certificate(void **state)
{
    (void)state;
    struct pair brief;
    pair_leaf(&brief, &ca, "brief", NULL, 100);
    struct sp_tls_names *n = names_of(arena, trust1, false);
    for (enum how how = TICKET_12; how <= TICKET_13; how++)
        for (int is_brief = 0; is_brief < 2; is_brief++) {
            struct sp_tls_server *v = server_of(0, NULL);
            struct raw r;
            struct end e;
            SSL_CTX_set_current_time_cb(sp_tls_server_ctx(v), shifted);
            raw_init(&r, how == TICKET_13 ? TLS1_3_VERSION : TLS1_2_VERSION, how != ID_12,
                     is_brief ? &brief : &client_pair);
            SSL_CTX_set_current_time_cb(r.ctx, shifted);
            assert_true(raw_connect(&r, v, n, 1, "a.example", &e, NULL));
            end_fini(&e);
            for (shift_s = 60; shift_s <= 120; shift_s += 60) {
                SSL_SESSION *session = r.session;
                SSL_SESSION_up_ref(session);
                SSL_SESSION_set_timeout(session, 86400); /* a client that does not mind lifetimes */
                assert_true(raw_connect(&r, v, n, 1, "a.example", &e, session));
                assert_int_equal(sp_tls_peer(e.tls)->resumed, !is_brief || shift_s < 100);
                end_fini(&e);
                SSL_SESSION_free(session);
            }
            shift_s = 0;
            raw_fini(&r);
            sp_tls_server_free(v);
        }
    pair_fini(&brief);
}

/* --- our own client against our own server --- */

static void both_ends(void **state)
{
    (void)state;
    struct sp_tls_names *n = names_of(arena, trust1, false);
    struct sp_tls_server *v = server_of(0, "h2,http/1.1");
    struct sp_tls_client *c = NULL;
    struct sp_tls_client_options o = {.ca_pem = s(&ca.cert),
                                      .verify = true,
                                      .verify_depth = -1,
                                      .alpn = "http/1.1,h2",
                                      .cert_pem = s(&client_pair.cert),
                                      .key_pem = s(&client_pair.key)};
    ok(sp_tls_client_new(&o, &c, &err));
    for (int i = 0; i < 3; i++) {
        struct end client = {0}, server = {0};
        struct sp_buf plain = {0};
        client.tls = sp_tls_connect(c, SP_STR("A.example"), &client.wire);
        server.tls = sp_tls_accept(v, n, 7, &server.wire);
        shake(&client, &server, i == 1 ? 1 : SIZE_MAX);
        assert_int_equal(client.state, SP_IO_OK);
        assert_int_equal(server.state, SP_IO_OK);
        assert_int_equal(sp_tls_peer(server.tls)->resumed, i > 0);
        assert_int_equal(sp_tls_peer(client.tls)->resumed, i > 0);
        assert_int_equal(sp_tls_peer(server.tls)->num_chain, 1);
        assert_true(sp_str_eq(sp_tls_peer(server.tls)->chain[0], pair_der(&client_pair, arena)));
        assert_true(sp_str_eq(sp_tls_peer(client.tls)->chain[0], pair_der(&leaf_a, arena)));
        assert_true(sp_str_eq(sp_tls_peer(server.tls)->alpn, SP_STR("h2")));
        assert_true(sp_str_eq(sp_tls_peer(client.tls)->alpn, SP_STR("h2")));
        assert_true(sp_str_eq(sp_tls_peer(client.tls)->sni, SP_STR("a.example")));
        assert_true(sp_tls_peer_not_after(server.tls) > time(NULL));
        assert_int_equal(sp_tls_write(server.tls, SP_STR("hello")), SP_IO_OK);
        sp_tls_close(server.tls);
        carry(&server, &client);
        assert_int_equal(drain(&client, &plain), SP_IO_EOF);
        assert_true(sp_str_eq(s(&plain), SP_STR("hello")));
        sp_buf_fini(&plain);
        end_fini(&client);
        end_fini(&server);
    }
    sp_tls_client_free(c);
    sp_tls_server_free(v);
}

static void no_common_protocol(void **state)
{
    (void)state;
    struct sp_tls_names *n = names_of(arena, trust1, false);
    struct sp_tls_server *v = server_of(0, "h2,http/1.1");
    struct sp_tls_client *c = NULL;
    ok(sp_tls_client_new(&(struct sp_tls_client_options){.alpn = "smtp"}, &c, &err));
    struct end client = {0}, server = {0};
    client.tls = sp_tls_connect(c, SP_STR("a.example"), &client.wire);
    server.tls = sp_tls_accept(v, n, 7, &server.wire);
    shake(&client, &server, SIZE_MAX);
    assert_int_equal(server.state, SP_IO_ERROR);
    assert_int_equal(client.state, SP_IO_ERROR);
    assert_string_equal(sp_tls_fault(client.tls), "TLSV1_ALERT_NO_APPLICATION_PROTOCOL");
    end_fini(&client);
    end_fini(&server);
    sp_tls_client_free(c);
    sp_tls_server_free(v);
    assert_true(sp_failed(sp_tls_client_new(&(struct sp_tls_client_options){.alpn = "h2,,x"}, &c, &err)));
}

static const char *client_fault(struct sp_tls_client *c, const struct sp_tls_names *n, const char *name)
{
    struct sp_tls_server *v = server_of(0, NULL);
    struct end client = {0}, server = {0};
    client.tls = sp_tls_connect(c, sp_str_z(name), &client.wire);
    server.tls = sp_tls_accept(v, n, 7, &server.wire);
    shake(&client, &server, SIZE_MAX);
    const char *fault = client.state == SP_IO_OK ? "" : sp_tls_fault(client.tls);
    if (client.state != SP_IO_OK)
        assert_int_equal(server.state, SP_IO_ERROR);
    end_fini(&client);
    end_fini(&server);
    sp_tls_server_free(v);
    return fault;
}

static void client_verifies(void **state)
{
    (void)state;
    struct pair ip, cn_only, partial, old;
    pair_leaf(&ip, &ca, "ip", "IP:10.0.0.1", 60);
    pair_leaf(&cn_only, &ca, "cn.example", NULL, 60);
    pair_leaf(&partial, &ca, "p", "DNS:f*.p.example", 60);
    pair_leaf(&old, &ca, "old", "DNS:old.example", -1);
    struct sp_tls_names *n = sp_tls_names_new(arena, 0);
    add(n, &leaf_a, "a.example");
    add(n, &leaf_w, "*.w.example");
    add(n, &leaf_w, "w.example");
    add(n, &leaf_w, "*.x.w.example");
    add(n, &cn_only, "cn.example");
    add(n, &partial, "foo.p.example");
    add(n, &old, "old.example");
    ok(sp_tls_names_default_certificate(n, s(&ip.cert), s(&ip.key), &err));
    sp_tls_names_done(n);
    static const char wrong[] = "certificate is not for this server name";
    struct sp_tls_client *c = client_of(NULL), *all = NULL, *system = NULL;
    assert_string_equal(client_fault(c, n, "a.example"), "");
    assert_string_equal(client_fault(c, n, "x.w.example"), "");
    assert_string_equal(client_fault(c, n, "10.0.0.1"), "");
    assert_string_equal(client_fault(c, n, "10.0.0.2"), wrong);
    assert_string_equal(client_fault(c, n, "::1"), wrong);
    assert_string_equal(client_fault(c, n, "b.example"), wrong);
    assert_string_equal(client_fault(c, n, ""), wrong);
    assert_string_equal(client_fault(c, n, "not a name"), wrong);
    assert_string_equal(client_fault(c, n, "w.example"), wrong);
    assert_string_equal(client_fault(c, n, "y.x.w.example"), wrong);
    assert_string_equal(client_fault(c, n, "cn.example"), wrong);
    assert_string_equal(client_fault(c, n, "foo.p.example"), wrong);
    assert_string_equal(client_fault(c, n, "old.example"), "certificate has expired");
    ok(sp_tls_client_new(&(struct sp_tls_client_options){.verify = false}, &all, &err));
    assert_string_equal(client_fault(all, n, "old.example"), "");
    ok(sp_tls_client_new(&(struct sp_tls_client_options){.verify = true, .verify_depth = -1}, &system, &err));
    assert_string_not_equal(client_fault(system, n, "a.example"), "");
    assert_true(sp_failed(
        sp_tls_client_new(&(struct sp_tls_client_options){.verify = true, .ca_pem = sp_str_z("junk")}, &system, &err)));
    assert_true(sp_failed(sp_tls_client_new(
        &(struct sp_tls_client_options){.cert_pem = s(&leaf_a.cert), .key_pem = s(&leaf_w.key)}, &system, &err)));
    sp_tls_client_free(c);
    sp_tls_client_free(all);
    sp_tls_client_free(system);
    pair_fini(&ip);
    pair_fini(&cn_only);
    pair_fini(&partial);
    pair_fini(&old);
}

static void required_peer(void **state)
{
    (void)state;
    struct pair stranger;
    pair_leaf(&stranger, &other_ca, "stranger", NULL, 60);
    struct sp_tls_names *n = names_of(arena, trust1, true);
    struct sp_tls_server *v = NULL;
    struct sp_tls_server_options o = {.require_peer = true, .peer_ca_pem = SP_STR("junk")};
    assert_true(sp_failed(sp_tls_server_new(&o, &v, &err)));
    o.peer_ca_pem = s(&ca.cert);
    ok(sp_tls_server_new(&o, &v, &err));
    const struct pair *who[] = {NULL, &stranger, &client_pair, &client_pair};
    for (size_t ver = 0; ver < 2; ver++) {
        SSL_SESSION *session = NULL;
        for (size_t i = 0; i < 4; i++) {
            struct raw r;
            struct end e;
            raw_init(&r, versions[ver], true, who[i]);
            assert_int_equal(raw_connect(&r, v, n, 1, "a.example", &e, session), i >= 2);
            assert_int_equal(e.state, i >= 2 ? SP_IO_OK : SP_IO_ERROR);
            if (i >= 2)
                assert_false(sp_tls_peer(e.tls)->resumed);
            SSL_SESSION_free(session);
            session = r.session;
            r.session = NULL;
            end_fini(&e);
            raw_fini(&r);
        }
        SSL_SESSION_free(session);
    }
    sp_tls_server_free(v);
    pair_fini(&stranger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asked_where_the_map_says),
        cmocka_unit_test(asked_but_none_or_unknown),
        cmocka_unit_test(right_certificate),
        cmocka_unit_test(rsa_and_ecdsa),
        cmocka_unit_test(policy_numbers),
        cmocka_unit_test(too_many_ca_names),
        cmocka_unit_test(resumption),
        cmocka_unit_test(ticket_keys),
        cmocka_unit_test(session_ends_with_the_certificate),
        cmocka_unit_test(both_ends),
        cmocka_unit_test(no_common_protocol),
        cmocka_unit_test(client_verifies),
        cmocka_unit_test(required_peer),
    };
    return cmocka_run_group_tests(tests, make_all, free_all);
}
