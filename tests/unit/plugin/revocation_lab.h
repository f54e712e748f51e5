/* A world for tests of revocation: a fetcher and a reader of CRLs that answer what a test says. */
#pragma once
#include "lab.h"

#include "../tls/revocation_fixtures.h"
#include "base/encoding.h"
#include "base/log.h"
#include "plugin/directory.h"
#include "plugin/kinds.h"
#include "plugin/revocation.h"

enum { MAX_FETCHES = 32 };

struct dp_fetch { /* an order that was given */
    struct dp_fetch_order order;
    char url[128];
    struct sp_buf body;
    dp_fetched_fn *done; /* NULL: answered or cancelled */
    void *ctx;
};

struct dp_crl_wait { /* a CRL that is being read */
    uint8_t key[32];
    struct sp_crl *crl;
    const char *why;
    int64_t at;
    dp_crl_done_fn *done; /* NULL: told or cancelled */
    void *ctx;
};

struct world {
    struct lab *lab;
    struct dp_crl_reader reader;
    struct dp_crl_wait waits[MAX_FETCHES];
    size_t num_waits, num_reads;
    bool full;
    struct dp_fetcher fetcher; /* finds the world back by offset */
    struct dp_fetch fetches[MAX_FETCHES];
    size_t num, cancelled;
    struct dp_revocations *revocations;
    int resumed;
    struct dp_revocation_counters counters;
};

static struct world *world;

static inline struct dp_fetch *start(struct dp_fetcher *f, const struct dp_fetch_order *o, dp_fetched_fn *done,
                                     void *ctx)
{
    (void)f;
    assert_true(world->num < MAX_FETCHES);
    struct dp_fetch *t = &world->fetches[world->num++];
    *t = (struct dp_fetch){.order = *o, .done = done, .ctx = ctx};
    snprintf(t->url, sizeof t->url, "%.*s", SP_FMT(o->url));
    sp_buf_add(&t->body, o->body);
    return t;
}

static inline void cancel(struct dp_fetcher *f, struct dp_fetch *t)
{
    (void)f;
    assert_non_null(t->done);
    t->done = NULL;
    world->cancelled++;
}

static inline struct dp_crl_wait *add_wait(const uint8_t key[32], dp_crl_done_fn *done, void *ctx)
{
    assert_true(world->num_waits < MAX_FETCHES);
    struct dp_crl_wait *w = &world->waits[world->num_waits++];
    *w = (struct dp_crl_wait){.done = done, .ctx = ctx};
    memcpy(w->key, key, 32);
    return w;
}

/* Reads at once, but tells later. */
static inline struct dp_crl_wait *read_crl(struct dp_crl_reader *r, const struct dp_crl_order *o, dp_crl_done_fn *done,
                                           void *ctx)
{
    (void)r;
    if (world->full)
        return NULL;
    struct dp_crl_wait *w = add_wait(o->key, done, ctx);
    w->why = sp_crl_read(o->der, o->issuer, &w->crl);
    w->at = o->at;
    world->num_reads++;
    return w;
}

static inline struct dp_crl_wait *join(struct dp_crl_reader *r, const uint8_t key[32], dp_crl_done_fn *done, void *ctx)
{
    (void)r;
    for (size_t i = 0; i < world->num_waits; i++)
        if (world->waits[i].done && memcmp(world->waits[i].key, key, 32) == 0)
            return add_wait(key, done, ctx);
    return NULL;
}

static inline void cancel_wait(struct dp_crl_reader *r, struct dp_crl_wait *w)
{
    (void)r;
    assert_non_null(w->done);
    w->done = NULL;
    world->cancelled++;
}

/* All that is read is told to those who wait for it. */
static inline void tell(void)
{
    for (size_t i = 0; i < world->num_waits; i++) {
        struct dp_crl_wait *of = &world->waits[i];
        if (of->crl)
            dp_revocations_keep_crl(world->revocations, of->key, of->crl, of->at);
        for (size_t k = i; (of->crl || of->why) && k < world->num_waits; k++) {
            struct dp_crl_wait *w = &world->waits[k];
            if (!w->done || memcmp(w->key, of->key, 32) != 0)
                continue;
            dp_crl_done_fn *done = w->done;
            w->done = NULL;
            done(w->ctx, of->crl, of->at, of->why);
        }
    }
    for (size_t i = 0; i < world->num_waits; i++)
        sp_crl_unref(world->waits[i].crl);
    world->num_waits = 0;
}

static inline void resume(struct dp_call *call)
{
    (void)call;
    world->resumed++;
}

static inline struct sp_str der(const char *text)
{
    struct sp_str out;
    assert_true(sp_base64_decode(world->lab->arena, sp_str_z(text), &out));
    return out;
}

/* The last order is answered; a CRL is not read yet. */
static inline void hand_over(unsigned status, const char *text, const char *why)
{
    struct dp_fetch *t = &world->fetches[world->num - 1];
    assert_non_null(t->done);
    dp_fetched_fn *done = t->done;
    t->done = NULL;
    done(t->ctx, &(struct dp_fetch_answer){.status = status, .body = text ? der(text) : sp_str("", 0), .why = why});
}

/* The last order is answered, and what is in it is read. */
static inline void answer(unsigned status, const char *text, const char *why)
{
    hand_over(status, text, why);
    tell();
}

struct setting {
    const char *mode;
    double ttl; /* ms; 0: a minute */
    bool proxies;
};

static inline const void *instance(struct setting s)
{
    struct lab *l = world->lab;
    Sallyport__V1__MtlsAuthConfig *m = SP_NEW(l->arena, Sallyport__V1__MtlsAuthConfig);
    sallyport__v1__mtls_auth_config__init(m);
    static char ca[] = "fixture", rsa[] = "rsa", proxy[] = "proxy.test", proxys[] = "proxys.test";
    static char *cas[] = {ca, rsa};
    m->ca_certificates = cas;
    m->n_ca_certificates = 2;
    m->skip_consumer_lookup = true;
    m->revocation_check_mode = (char *)s.mode;
    m->http_timeout = 1234;
    m->cert_cache_ttl = s.ttl ? s.ttl : 60000;
    if (s.proxies) {
        m->http_proxy_host = proxy;
        m->http_proxy_port = 3128;
        m->https_proxy_host = proxys;
        m->https_proxy_port = 3129;
        m->ssl_verify = false;
    }
    Sallyport__V1__Plugin p = SALLYPORT__V1__PLUGIN__INIT;
    p.config_case = SALLYPORT__V1__PLUGIN__CONFIG_MTLS_AUTH;
    p.mtls_auth = m;
    void *out;
    struct sp_error err;
    if (sp_failed(dp_mtls_auth.compile(l->arena, l->directory, &p, &out, &err)))
        fail_msg("%s", err.text);
    return out;
}

static inline void add_fixture_ca(const char *id, const char *text)
{
    struct sp_buf pem = {0};
    sp_pem_write_certificate(&pem, der(text));
    add_ca(world->lab, id, sp_arena_dup(world->lab->arena, sp_buf_str(&pem)));
    sp_buf_fini(&pem);
}

static inline int setup(void **state)
{
    (void)state;
    world = sp_alloc(sizeof *world);
    world->lab = lab_new();
    world->lab->now = REVOCATION_NOW;
    world->fetcher = (struct dp_fetcher){start, cancel};
    world->reader = (struct dp_crl_reader){read_crl, join, cancel_wait};
    world->revocations = dp_revocations_new(&world->counters, &world->reader);
    add_fixture_ca("fixture", CA);
    add_fixture_ca("rsa", RSA);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < world->num; i++)
        sp_buf_fini(&world->fetches[i].body);
    tell();
    dp_revocations_free(world->revocations);
    lab_free(world->lab);
    free(world);
    return 0;
}

static inline struct request *present(const char *leaf)
{
    struct issued cert = {.der = der(leaf)};
    struct request *r = request_new(world->lab, CHAIN(&cert));
    r->call.fetcher = &world->fetcher;
    r->call.revocations = world->revocations;
    r->call.resume = resume;
    return r;
}

/* As the exchange: a pause is over before the next begins. */
static inline enum dp_verdict access(const void *in, struct request *r)
{
    r->call.cancel = NULL;
    return dp_mtls_auth.access(in, &r->call);
}

static inline void expect(const void *in, struct request *r, bool passes)
{
    enum dp_verdict v = access(in, r);
    assert_int_equal(v, passes ? DP_NEXT : DP_REPLY);
    assert_int_equal(r->call.client_verify, passes ? DP_VERIFY_SUCCESS : DP_VERIFY_FAILED);
    if (!passes) {
        assert_int_equal(r->call.reply_status, 401);
        assert_string_equal(r->call.reply_message, "TLS certificate failed verification");
    }
    assert_int_equal(strlen(sent(r, "X-Client-Cert-Dn")) > 0, passes);
    request_free(r);
}

static inline void expect_at_once(const void *in, const char *leaf, bool passes)
{
    size_t before = world->num;
    expect(in, present(leaf), passes);
    assert_int_equal(world->num, before);
}

static inline struct request *expect_pause(const void *in, const char *leaf)
{
    struct request *r = present(leaf);
    assert_int_equal(access(in, r), DP_PAUSE);
    assert_non_null(r->call.cancel);
    assert_int_equal(r->call.client_verify, DP_VERIFY_UNSET);
    return r;
}

static inline void asked(const char *url)
{
    assert_string_equal(world->fetches[world->num - 1].url, url);
}

#define OCSP_1 "http://ocsp.test:8080/a"
#define OCSP_2 "HTTPS://ocsp2.test/b"
#define CRL_1 "http://crl.test/ca.crl"

/* To the CRL, past the responders. */
static inline struct request *expect_crl_pause(const void *in, const char *leaf)
{
    struct request *r = expect_pause(in, leaf);
    answer(0, NULL, "timed out");
    answer(0, NULL, "timed out");
    return r;
}
