/* The decision of kong-behaviour 1.1.5 with a fetcher that answers what a test says. */
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

static struct dp_fetch *start(struct dp_fetcher *f, const struct dp_fetch_order *o, dp_fetched_fn *done, void *ctx)
{
    (void)f;
    assert_true(world->num < MAX_FETCHES);
    struct dp_fetch *t = &world->fetches[world->num++];
    *t = (struct dp_fetch){.order = *o, .done = done, .ctx = ctx};
    snprintf(t->url, sizeof t->url, "%.*s", SP_FMT(o->url));
    sp_buf_add(&t->body, o->body);
    return t;
}

static void cancel(struct dp_fetcher *f, struct dp_fetch *t)
{
    (void)f;
    assert_non_null(t->done);
    t->done = NULL;
    world->cancelled++;
}

static struct dp_crl_wait *add_wait(const uint8_t key[32], dp_crl_done_fn *done, void *ctx)
{
    assert_true(world->num_waits < MAX_FETCHES);
    struct dp_crl_wait *w = &world->waits[world->num_waits++];
    *w = (struct dp_crl_wait){.done = done, .ctx = ctx};
    memcpy(w->key, key, 32);
    return w;
}

/* Reads at once, but tells later. */
static struct dp_crl_wait *read_crl(struct dp_crl_reader *r, const struct dp_crl_order *o, dp_crl_done_fn *done,
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

static struct dp_crl_wait *join(struct dp_crl_reader *r, const uint8_t key[32], dp_crl_done_fn *done, void *ctx)
{
    (void)r;
    for (size_t i = 0; i < world->num_waits; i++)
        if (world->waits[i].done && memcmp(world->waits[i].key, key, 32) == 0)
            return add_wait(key, done, ctx);
    return NULL;
}

static void cancel_wait(struct dp_crl_reader *r, struct dp_crl_wait *w)
{
    (void)r;
    assert_non_null(w->done);
    w->done = NULL;
    world->cancelled++;
}

/* All that is read is told to those who wait for it. */
static void tell(void)
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

static void resume(struct dp_call *call)
{
    (void)call;
    world->resumed++;
}

static struct sp_str der(const char *text)
{
    struct sp_str out;
    assert_true(sp_base64_decode(world->lab->arena, sp_str_z(text), &out));
    return out;
}

/* The last order is answered; a CRL is not read yet. */
static void hand_over(unsigned status, const char *text, const char *why)
{
    struct dp_fetch *t = &world->fetches[world->num - 1];
    assert_non_null(t->done);
    dp_fetched_fn *done = t->done;
    t->done = NULL;
    done(t->ctx, &(struct dp_fetch_answer){.status = status, .body = text ? der(text) : sp_str("", 0), .why = why});
}

/* The last order is answered, and what is in it is read. */
static void answer(unsigned status, const char *text, const char *why)
{
    hand_over(status, text, why);
    tell();
}

struct setting {
    const char *mode;
    double ttl; /* ms; 0: a minute */
    bool proxies;
};

static const void *instance(struct setting s)
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

static void add_fixture_ca(const char *id, const char *text)
{
    struct sp_buf pem = {0};
    sp_pem_write_certificate(&pem, der(text));
    add_ca(world->lab, id, sp_arena_dup(world->lab->arena, sp_buf_str(&pem)));
    sp_buf_fini(&pem);
}

static int setup(void **state)
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

static int teardown(void **state)
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

static struct request *present(const char *leaf)
{
    struct issued cert = {.der = der(leaf)};
    struct request *r = request_new(world->lab, CHAIN(&cert));
    r->call.fetcher = &world->fetcher;
    r->call.revocations = world->revocations;
    r->call.resume = resume;
    return r;
}

/* As the exchange: a pause is over before the next begins. */
static enum dp_verdict access(const void *in, struct request *r)
{
    r->call.cancel = NULL;
    return dp_mtls_auth.access(in, &r->call);
}

static void expect(const void *in, struct request *r, bool passes)
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

static void expect_at_once(const void *in, const char *leaf, bool passes)
{
    size_t before = world->num;
    expect(in, present(leaf), passes);
    assert_int_equal(world->num, before);
}

static struct request *expect_pause(const void *in, const char *leaf)
{
    struct request *r = present(leaf);
    assert_int_equal(access(in, r), DP_PAUSE);
    assert_non_null(r->call.cancel);
    assert_int_equal(r->call.client_verify, DP_VERIFY_UNSET);
    return r;
}

static void asked(const char *url)
{
    assert_string_equal(world->fetches[world->num - 1].url, url);
}

#define OCSP_1 "http://ocsp.test:8080/a"
#define OCSP_2 "HTTPS://ocsp2.test/b"
#define CRL_1 "http://crl.test/ca.crl"

/* --- tests --- */

static void bad_modes(void **state)
{
    (void)state;
    Sallyport__V1__MtlsAuthConfig m = SALLYPORT__V1__MTLS_AUTH_CONFIG__INIT;
    Sallyport__V1__Plugin p = SALLYPORT__V1__PLUGIN__INIT;
    char ca[] = "fixture", *cas[] = {ca}, mode[] = "strict";
    void *out;
    struct sp_error err;
    m.ca_certificates = cas;
    m.n_ca_certificates = 1;
    m.revocation_check_mode = mode;
    p.mtls_auth = &m;
    assert_true(sp_failed(dp_mtls_auth.compile(world->lab->arena, world->lab->directory, &p, &out, &err)));
    assert_non_null(strstr(err.text, "config.revocation_check_mode"));
}

static void nowhere_to_ask(void **state)
{
    (void)state;
    expect_at_once(instance((struct setting){"SKIP"}), PLAIN, true);
    expect_at_once(instance((struct setting){"IGNORE_CA_ERROR"}), PLAIN, true);
    expect_at_once(instance((struct setting){"STRICT"}), PLAIN, false);
    expect_at_once(instance((struct setting){"STRICT"}), SOME, false);
}

static void skip_asks_nobody(void **state)
{
    (void)state;
    expect_at_once(instance((struct setting){"SKIP"}), LEAF, true);
    expect_at_once(instance((struct setting){"SKIP"}), BAD, true);
}

static void definite_answers_are_remembered(void **state)
{
    (void)state;
    static const char *const modes[] = {"IGNORE_CA_ERROR", "STRICT"};
    const void *in[2];
    for (size_t i = 0; i < 2; i++)
        in[i] = instance((struct setting){modes[i], .ttl = 60500});
    struct request *r = expect_pause(in[0], LEAF);
    asked(OCSP_1);
    assert_string_equal(world->fetches[0].order.content_type, "application/ocsp-request");
    assert_int_equal(world->fetches[0].order.timeout_ms, 1234);
    assert_true(world->fetches[0].order.verify);
    assert_true(sp_str_eq(sp_buf_str(&world->fetches[0].body), der(OCSP_GOOD_REQUEST)));
    answer(200, OCSP_GOOD, NULL);
    assert_int_equal(world->resumed, 1);
    expect(in[0], r, true);
    r = expect_pause(in[0], BAD);
    answer(200, OCSP_REVOKED, NULL);
    expect(in[0], r, false);
    for (size_t i = 0; i < 2; i++) { /* by every instance of the worker */
        expect_at_once(in[i], LEAF, true);
        expect_at_once(in[i], BAD, false);
    }
    for (size_t i = 0; i < 2; i++) { /* nor does a connection stand between its requests */
        struct request *good = present(LEAF), *bad = present(BAD);
        assert_true(dp_mtls_auth.stands(in[i], &good->call));
        assert_false(dp_mtls_auth.stands(in[i], &bad->call));
        request_free(good);
        request_free(bad);
    }
    dp_plugin_cache_free(world->lab->cache); /* the next snapshot */
    world->lab->cache = dp_plugin_cache_new();
    world->lab->now += 59;
    for (size_t i = 0; i < 2; i++) {
        expect_at_once(in[i], LEAF, true);
        expect_at_once(in[i], BAD, false);
    }
    world->lab->now += 1;
    r = expect_pause(in[0], LEAF);
    answer(200, OCSP_GOOD, NULL);
    expect(in[0], r, true);
}

static void next_update_ends_what_is_remembered(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT", .ttl = 1e12});
    world->lab->now = REVOCATION_NOW + 7 * DAY - 120;
    struct request *r = expect_pause(in, LEAF);
    answer(200, OCSP_GOOD, NULL);
    expect(in, r, true);
    expect_at_once(in, LEAF, true);
    world->lab->now += 120;
    request_free(expect_pause(in, LEAF));
}

static void no_memory_without_a_ttl(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT", .ttl = 1});
    for (int i = 0; i < 2; i++) {
        struct request *r = expect_pause(in, LEAF);
        answer(200, OCSP_GOOD, NULL);
        expect(in, r, true);
    }
}

/* A responder that answers has the last word; nothing of it is remembered. */
static void answers_that_are_none(void **state)
{
    (void)state;
    static const char *const none[] = {OCSP_UNKNOWN, OCSP_FOREIGN, OCSP_REVOKED, OCSP_TRY_LATER, CRL};
    const void *ignore = instance((struct setting){"IGNORE_CA_ERROR"}), *strict = instance((struct setting){"STRICT"});
    for (size_t i = 0; i < 5; i++) {
        struct request *r = expect_pause(ignore, LEAF);
        answer(200, none[i], NULL);
        expect(ignore, r, true);
        r = expect_pause(strict, LEAF);
        answer(200, none[i], NULL);
        expect(strict, r, false);
    }
    assert_int_equal(world->counters.failures, 10);
}

static void crl_after_all_responders(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT", .proxies = true});
    struct request *r = expect_pause(in, LEAF);
    assert_true(sp_str_eq(world->fetches[0].order.proxy_host, SP_STR("proxy.test")));
    assert_int_equal(world->fetches[0].order.proxy_port, 3128);
    assert_false(world->fetches[0].order.verify);
    answer(0, NULL, "timed out");
    asked(OCSP_2);
    assert_true(sp_str_eq(world->fetches[1].order.proxy_host, SP_STR("proxys.test")));
    assert_int_equal(world->fetches[1].order.proxy_port, 3129);
    answer(500, NULL, NULL);
    asked(CRL_1);
    assert_int_equal(world->fetches[2].order.body.len, 0);
    assert_int_equal(world->resumed, 0);
    answer(200, CRL, NULL);
    assert_int_equal(world->resumed, 1);
    expect(in, r, true);
    r = expect_pause(in, BAD);
    answer(503, NULL, NULL);
    answer(0, NULL, "connect failed");
    assert_int_equal(world->num, 5); /* the CRL is there */
    expect(in, r, false);
    expect_at_once(in, LEAF, true);
    expect_at_once(in, BAD, false);
}

static void nobody_answers(void **state)
{
    (void)state;
    static const char *const crls[] = {CRL_OTHER, CRL_DELTA, "", OCSP_GOOD};
    const void *ignore = instance((struct setting){"IGNORE_CA_ERROR"}), *strict = instance((struct setting){"STRICT"});
    for (size_t i = 0; i < 6; i++) {
        for (int mode = 0; mode < 2; mode++) {
            struct request *r = expect_pause(mode ? strict : ignore, LEAF);
            answer(0, NULL, "timed out");
            answer(0, NULL, "timed out");
            answer(i < 4 ? 200 : i == 4 ? 500 : 0, i < 4 ? crls[i] : NULL, "timed out");
            expect(mode ? strict : ignore, r, mode == 0);
        }
        world->num = 0; /* make room */
        for (size_t f = 0; f < MAX_FETCHES; f++)
            sp_buf_fini(&world->fetches[f].body);
    }
}

static void nothing_can_be_fetched(void **state)
{
    (void)state;
    for (int mode = 0; mode < 2; mode++) {
        struct request *r = present(LEAF);
        r->call.fetcher = NULL;
        expect(instance((struct setting){mode ? "STRICT" : "IGNORE_CA_ERROR"}), r, mode == 0);
    }
}

static void the_client_leaves(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT"});
    struct request *r = expect_pause(in, LEAF);
    assert_int_equal(world->counters.lookups, 1);
    r->call.cancel(&r->call);
    assert_int_equal(world->cancelled, 1);
    request_free(r);
    r = expect_pause(in, LEAF); /* after the first responder */
    answer(0, NULL, "timed out");
    r->call.cancel(&r->call);
    assert_int_equal(world->cancelled, 2);
    assert_int_equal(world->resumed, 0);
    request_free(r);
}

/* What one plugin waited for is never the answer for another one, or for another certificate. */
static void an_answer_is_for_one_question(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"IGNORE_CA_ERROR", .ttl = 1}),
               *other = instance((struct setting){"STRICT", .ttl = 1});
    struct request *r = expect_pause(in, LEAF);
    answer(200, OCSP_GOOD, NULL);
    assert_int_equal(access(other, r), DP_PAUSE);
    r->call.cancel(&r->call);
    request_free(r);
    r = expect_pause(in, LEAF);
    answer(200, OCSP_GOOD, NULL);
    r->chain[0] = der(BAD);
    memset(r->peer.digest, 7, 32);
    assert_int_equal(access(in, r), DP_PAUSE);
    r->call.cancel(&r->call);
    request_free(r);
}

static void two_wait_for_one(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT"});
    struct request *a = expect_pause(in, BAD), *b = expect_pause(in, BAD);
    answer(200, OCSP_REVOKED, NULL);
    world->num--;
    answer(0, NULL, "timed out"); /* what is known meanwhile counts */
    expect(in, a, false);
    expect(in, b, false);
    world->num++;
}

/* To the CRL, past the responders. */
static struct request *expect_crl_pause(const void *in, const char *leaf)
{
    struct request *r = expect_pause(in, leaf);
    answer(0, NULL, "timed out");
    answer(0, NULL, "timed out");
    return r;
}

/* A CRL is fetched and read once for all certificates of its issuer, until its age or its nextUpdate ends that. */
static void a_crl_is_remembered(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT", .ttl = 60000});
    struct request *r = expect_crl_pause(in, LEAF);
    answer(200, CRL, NULL);
    expect(in, r, true);
    world->lab->now += 30;
    expect(in, expect_crl_pause(in, BAD), false);
    assert_int_equal(world->num_reads, 1);
    world->lab->now += 29;
    expect_at_once(in, BAD, false);
    world->lab->now += 1; /* what came of the CRL is not younger than the CRL */
    r = expect_crl_pause(in, BAD);
    asked(CRL_1);
    answer(200, CRL, NULL);
    expect(in, r, false);
    assert_int_equal(world->num_reads, 2);
}

static void a_crl_ends_with_its_next_update(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT", .ttl = 1e12});
    world->lab->now = REVOCATION_NOW + 7 * DAY - 60;
    struct request *r = expect_crl_pause(in, LEAF);
    answer(200, CRL, NULL);
    expect(in, r, true);
    expect(in, expect_crl_pause(in, BAD), false);
    assert_int_equal(world->counters.crls_stale, 0);
    world->lab->now += 60;
    r = expect_crl_pause(in, LEAF);
    answer(200, CRL, NULL); /* clocks may differ */
    expect(in, r, true);
    world->lab->now += 400;
    for (int i = 0; i < 2; i++) { /* out of date: what it lists counts, and nothing is remembered */
        r = expect_crl_pause(in, LEAF);
        answer(200, CRL, NULL);
        expect(in, r, false);
        r = expect_crl_pause(in, BAD);
        answer(200, CRL, NULL);
        expect(in, r, false);
    }
    assert_int_equal(world->num_reads, 6);
    assert_int_equal(world->counters.crls_stale, 4);
}

/* The same place under another issuer is another CRL; what is not signed by it is not kept. */
static void a_crl_is_of_its_issuer(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT"});
    struct request *r = expect_crl_pause(in, LEAF);
    answer(200, CRL, NULL);
    expect(in, r, true);
    for (int i = 0; i < 2; i++) {
        r = expect_crl_pause(in, RSALEAF);
        asked(CRL_1);
        answer(200, CRL, NULL);
        expect(in, r, false);
    }
    r = expect_crl_pause(in, RSALEAF);
    answer(200, CRL_RSA, NULL);
    expect(in, r, true);
}

static void one_reading_for_all(void **state)
{
    (void)state;
    const void *in = instance((struct setting){"STRICT"});
    struct request *a = expect_crl_pause(in, LEAF);
    hand_over(200, CRL, NULL);
    struct request *b = expect_pause(in, BAD);
    hand_over(0, NULL, "timed out");
    hand_over(0, NULL, "timed out");
    struct request *c = expect_pause(in, LEAF);
    hand_over(0, NULL, "timed out");
    hand_over(0, NULL, "timed out");
    assert_int_equal(world->num, 7); /* nobody fetches it again */
    assert_int_equal(world->resumed, 0);
    c->call.cancel(&c->call);
    assert_int_equal(world->cancelled, 1);
    request_free(c);
    tell();
    assert_int_equal(world->num_reads, 1);
    assert_int_equal(world->resumed, 2);
    expect(in, a, true);
    expect(in, b, false);
}

static void no_room_for_reading(void **state)
{
    (void)state;
    const void *strict = instance((struct setting){"STRICT"}), *ignore = instance((struct setting){"IGNORE_CA_ERROR"});
    world->full = true;
    struct request *r = expect_crl_pause(strict, LEAF);
    answer(200, CRL, NULL);
    expect(strict, r, false);
    r = expect_crl_pause(ignore, LEAF);
    answer(200, CRL, NULL);
    expect(ignore, r, true);
}

/* --- CRLs of the configuration --- */

static char *crl_pem(const char *text)
{
    return (char *)sp_arena_printf(world->lab->arena, "-----BEGIN X509 CRL-----\n%s\n-----END X509 CRL-----\n", text).p;
}

static sp_result configure(struct dp_directory *d, const char *ca, char **crls, size_t num, struct sp_error *err)
{
    struct sp_buf pem = {0};
    sp_pem_write_certificate(&pem, der(ca));
    Sallyport__V1__CaCertificate m = SALLYPORT__V1__CA_CERTIFICATE__INIT;
    char id[] = "fixture";
    m.id = id;
    m.cert = sp_arena_strdup(world->lab->arena, sp_arena_dup(world->lab->arena, sp_buf_str(&pem)).p);
    m.crls = crls;
    m.n_crls = num;
    sp_result r = dp_directory_add_ca(d, &m, err);
    sp_buf_fini(&pem);
    return r;
}

/* Starts anew with a directory in which the fixtures' CA has these CRLs. */
static void use_crls(char **crls, size_t num)
{
    struct lab *l = world->lab;
    struct sp_error err;
    l->directory = dp_directory_new(l->arena);
    dp_plugin_cache_free(l->cache);
    l->cache = dp_plugin_cache_new();
    if (sp_failed(configure(l->directory, CA, crls, num, &err)))
        fail_msg("%s", err.text);
    add_fixture_ca("rsa", RSA);
}

static const char *const modes[] = {"SKIP", "IGNORE_CA_ERROR", "STRICT"};

static void whom_the_configuration_lists(void **state)
{
    (void)state;
    char *crls[] = {crl_pem(CRL_EMPTY), crl_pem(CRL)}, *empty[] = {crl_pem(CRL_EMPTY)};
    use_crls(crls, 2);
    for (size_t i = 0; i < 3; i++) {
        expect_at_once(instance((struct setting){modes[i]}), BAD, false);  /* nobody is asked */
        expect_at_once(instance((struct setting){modes[i]}), PLAIN, true); /* also STRICT: there is an answer */
    }
    use_crls(empty, 1);
    expect_at_once(instance((struct setting){"SKIP"}), BAD, true);
    const void *strict = instance((struct setting){"STRICT"});
    struct request *r = expect_pause(strict, BAD);
    answer(200, OCSP_REVOKED, NULL);
    expect(strict, r, false);
}

static void a_stale_crl_of_the_configuration(void **state)
{
    (void)state;
    char *crls[] = {crl_pem(CRL)}, *elsewhere[] = {crl_pem(CRL_ELSEWHERE)};
    use_crls(crls, 1);
    const void *in[3];
    for (size_t i = 0; i < 3; i++)
        in[i] = instance((struct setting){modes[i]});
    expect_at_once(in[2], PLAIN, true);
    world->lab->now += 8 * DAY; /* what was found out before is found out again */
    for (size_t i = 0; i < 3; i++) {
        expect_at_once(in[i], BAD, false);
        expect_at_once(in[i], PLAIN, i < 2);
    }
    use_crls(elsewhere, 1); /* for other certificates: it neither answers for this one nor holds it up */
    expect_at_once(instance((struct setting){"STRICT"}), PLAIN, false);
    expect_at_once(instance((struct setting){"IGNORE_CA_ERROR"}), PLAIN, true);
    expect_at_once(instance((struct setting){"SKIP"}), BAD, false);
    size_t num, stale;
    dp_directory_count_crls(world->lab->directory, world->lab->now, &num, &stale);
    assert_int_equal(num, 1);
    assert_int_equal(stale, 1);
    dp_directory_count_crls(world->lab->directory, REVOCATION_NOW, &num, &stale);
    assert_int_equal(stale, 0);
}

static void a_crl_stands_in_for_those_who_are_silent(void **state)
{
    (void)state;
    char *crls[] = {crl_pem(CRL)};
    use_crls(crls, 1);
    const void *in = instance((struct setting){"STRICT"});
    for (int i = 0; i < 2; i++) { /* nothing is remembered of it */
        struct request *r = expect_crl_pause(in, LEAF);
        answer(0, NULL, "timed out");
        expect(in, r, true);
    }
    struct request *r = expect_pause(in, LEAF);
    answer(200, OCSP_UNKNOWN, NULL); /* somebody has answered */
    expect(in, r, false);
    assert_int_equal(world->counters.failures, 3);
}

static void crls_of_the_configuration_are_shared(void **state)
{
    (void)state;
    char *crls[] = {crl_pem(CRL)}, *again[] = {crl_pem(CRL)}, *other[] = {crl_pem(CRL_EMPTY)},
         *bad[] = {crl_pem(CRL), crl_pem(CRL_OTHER)};
    use_crls(crls, 1);
    struct dp_directory *first = world->lab->directory, *second = dp_directory_new(world->lab->arena),
                        *third = dp_directory_new(world->lab->arena), *fourth = dp_directory_new(world->lab->arena);
    struct sp_error err;
    dp_directory_reuse(second, first);
    dp_directory_reuse(third, second);
    assert_false(sp_failed(configure(second, CA, again, 1, &err)));
    assert_false(sp_failed(configure(third, CA, other, 1, &err)));
    assert_ptr_equal(dp_directory_crls(first, der(CA))->v[0], dp_directory_crls(second, der(CA))->v[0]);
    assert_ptr_not_equal(dp_directory_crls(first, der(CA))->v[0], dp_directory_crls(third, der(CA))->v[0]);
    assert_true(sp_failed(configure(fourth, CA, bad, 2, &err)));
    assert_string_equal(err.text, "crls[1]: the CRL is of another issuer");
}

int main(void)
{
    sp_log_min = SP_ERROR;
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(bad_modes),
        TEST(nowhere_to_ask),
        TEST(skip_asks_nobody),
        TEST(definite_answers_are_remembered),
        TEST(next_update_ends_what_is_remembered),
        TEST(no_memory_without_a_ttl),
        TEST(answers_that_are_none),
        TEST(crl_after_all_responders),
        TEST(nobody_answers),
        TEST(nothing_can_be_fetched),
        TEST(the_client_leaves),
        TEST(an_answer_is_for_one_question),
        TEST(two_wait_for_one),
        TEST(a_crl_is_remembered),
        TEST(a_crl_ends_with_its_next_update),
        TEST(a_crl_is_of_its_issuer),
        TEST(one_reading_for_all),
        TEST(no_room_for_reading),
        TEST(whom_the_configuration_lists),
        TEST(a_stale_crl_of_the_configuration),
        TEST(a_crl_stands_in_for_those_who_are_silent),
        TEST(crls_of_the_configuration_are_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
