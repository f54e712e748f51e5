#include "plugin/revocation.h"
#include "base/log.h"

#include <stdlib.h>

enum { WAYS = 4, SETS = 1024, OCSP_MAX = 65536, CRL_MAX = 10 << 20 };

/* --- what is known --- */

struct known {
    uint8_t key[32];
    int64_t at, until; /* seconds since 1970: learnt, and the answer's own end; until 0: free */
    bool revoked;
};

struct dp_revocations {
    struct known *ways; /* SETS * WAYS; made when the first answer comes */
    unsigned next_victim;
    struct dp_revocation_counters *counters;
};

struct dp_revocations *dp_revocations_new(struct dp_revocation_counters *counters)
{
    struct dp_revocations *r = sp_alloc(sizeof *r);
    r->counters = counters;
    return r;
}

static void count(uint64_t *n)
{
    __atomic_store_n(n, *n + 1, __ATOMIC_RELAXED);
}

void dp_revocations_free(struct dp_revocations *r)
{
    if (!r)
        return;
    free(r->ways);
    free(r);
}

static struct known *set_of(const struct dp_revocations *r, const uint8_t key[32])
{
    uint64_t h; /* the key is a SHA-256 */
    memcpy(&h, key, sizeof h);
    return r->ways + (h % SETS) * WAYS;
}

static const struct known *find(const struct dp_revocations *r, const uint8_t key[32], uint32_t cache_s, int64_t now)
{
    if (!r->ways)
        return NULL;
    const struct known *set = set_of(r, key);
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].until > now && set[i].at <= now && now - set[i].at < (int64_t)cache_s &&
            memcmp(set[i].key, key, 32) == 0)
            return &set[i];
    return NULL;
}

static struct sp_revocation as_answer(const struct known *k)
{
    return (struct sp_revocation){.status = k->revoked ? SP_REVOCATION_REVOKED : SP_REVOCATION_GOOD, .until = k->until};
}

static void learn(struct dp_revocations *r, const uint8_t key[32], const struct sp_revocation *answer, int64_t now)
{
    if (answer->status == SP_REVOCATION_UNKNOWN || answer->until <= now)
        return;
    if (!r->ways)
        r->ways = sp_alloc(sizeof(struct known) * SETS * WAYS);
    struct known *set = set_of(r, key), *to = NULL;
    for (size_t i = 0; i < WAYS; i++) {
        if (memcmp(set[i].key, key, 32) == 0) {
            to = &set[i];
            break;
        }
        if (set[i].until <= now)
            to = &set[i];
    }
    if (!to)
        to = &set[r->next_victim++ % WAYS];
    *to = (struct known){.at = now, .until = answer->until, .revoked = answer->status == SP_REVOCATION_REVOKED};
    memcpy(to->key, key, 32);
}

/* --- what follows --- */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void conclude(const struct dp_revocation_conf *c, const struct dp_call *call, const struct sp_revocation *answer,
                     int64_t at, struct dp_revocation_result *out)
{
    *out = (struct dp_revocation_result){.until = sooner(at + c->cache_s, answer->until)};
    if (answer->status == SP_REVOCATION_REVOKED)
        out->refused = "certificate is revoked";
    if (answer->status != SP_REVOCATION_UNKNOWN)
        return;
    out->until = INT64_MIN;
    count(&call->revocations->counters->failures);
    if (c->mode == DP_REVOCATION_STRICT)
        out->refused = "revocation could not be checked";
    sp_log(SP_NOTICE, "revocation_failed", "[%s] request_id=%s mode=%s reason=\"%s\"", c->tag, call->request_id,
           out->refused ? "STRICT" : "IGNORE_CA_ERROR", answer->why);
}

/* --- looking up --- */

/* Lives in the call's arena while the call waits. */
struct lookup {
    struct dp_call *call;
    const struct dp_revocation_conf *conf;
    uint8_t key[32];
    struct sp_str leaf, issuer;
    struct sp_revocation_urls urls;
    struct sp_str request;
    size_t step; /* into the responders, then into the CRLs */
    struct dp_fetch *fetch;
    bool done;
    struct sp_revocation answer;
};

static void on_fetched(void *ctx, const struct dp_fetch_answer *a);

static void cancel(struct dp_call *call)
{
    struct lookup *l = call->waiting;
    if (l->fetch)
        call->fetcher->cancel(call->fetcher, SP_TAKE(l->fetch));
}

static bool is_ocsp(const struct lookup *l)
{
    return l->step < l->urls.num_ocsp;
}

/* False: nobody is left to ask. */
static bool ask(struct lookup *l)
{
    const struct dp_revocation_conf *c = l->conf;
    if (l->step >= l->urls.num_ocsp + l->urls.num_crl)
        return false;
    struct dp_fetch_order o = {.timeout_ms = c->timeout_ms, .verify = c->verify};
    if (is_ocsp(l)) {
        o.url = l->urls.ocsp[l->step];
        o.body = l->request;
        o.content_type = "application/ocsp-request";
        o.accept = "application/ocsp-response";
        o.max_body = OCSP_MAX;
    } else {
        o.url = l->urls.crl[l->step - l->urls.num_ocsp];
        o.accept = "application/pkix-crl, */*";
        o.max_body = CRL_MAX;
    }
    bool tls = sp_lower((unsigned char)o.url.p[4]) == 's';
    o.proxy_host = tls ? c->https_proxy : c->http_proxy;
    o.proxy_port = tls ? c->https_proxy_port : c->http_proxy_port;
    l->fetch = l->call->fetcher->start(l->call->fetcher, &o, on_fetched, l);
    return true;
}

static void finish(struct lookup *l)
{
    l->done = true;
    l->call->resume(l->call);
}

/* A responder that answered has the last word, whatever it said; the next is asked, and the CRLs in the end, only where
 * there was no communication (kong-behaviour 1.1.5). */
static void on_fetched(void *ctx, const struct dp_fetch_answer *a)
{
    struct lookup *l = ctx;
    int64_t now = sp_clock_wall_s(l->call->clock);
    const struct known *k = find(l->call->revocations, l->key, l->conf->cache_s, now);
    bool ocsp = is_ocsp(l);
    l->fetch = NULL;
    if (k) { /* somebody who waited for the same has judged it already */
        l->answer = as_answer(k);
    } else if (a->status == 200) {
        (ocsp ? sp_ocsp_judge : sp_crl_judge)(l->leaf, l->issuer, a->body, now, &l->answer);
        learn(l->call->revocations, l->key, &l->answer, now);
    } else {
        const char *answered =
            ocsp ? "the OCSP responder answers with an HTTP error" : "the CRL server answers with an HTTP error";
        l->answer = (struct sp_revocation){.why = a->status ? answered : a->why};
    }
    bool last_word = l->answer.status != SP_REVOCATION_UNKNOWN || (ocsp && a->status == 200);
    l->step++;
    if (last_word || !ask(l))
        finish(l);
}

static struct lookup *prepare(const struct dp_revocation_conf *c, struct dp_call *call, const uint8_t key[32],
                              struct sp_str leaf, struct sp_str issuer, const struct sp_revocation_urls *urls)
{
    struct lookup *l = SP_NEW(call->arena, struct lookup);
    struct sp_buf request = {0};
    l->call = call;
    l->conf = c;
    memcpy(l->key, key, 32);
    l->leaf = sp_arena_dup(call->arena, leaf);
    l->issuer = sp_arena_dup(call->arena, issuer);
    l->urls = *urls;
    bool good = !sp_failed(sp_ocsp_request(leaf, issuer, &request, NULL));
    sp_assert(good); /* there is a key: they are certificates */
    l->request = sp_arena_dup(call->arena, sp_buf_str(&request));
    sp_buf_fini(&request);
    return l;
}

/* What can be said without asking anybody. */
static enum dp_verdict say(const struct dp_revocation_conf *c, const struct dp_call *call, const char *why,
                           struct dp_revocation_result *out)
{
    conclude(c, call, &(struct sp_revocation){.why = why}, 0, out);
    return DP_NEXT;
}

/* A certificate that names neither a responder nor a CRL stays like that. */
static enum dp_verdict say_nowhere(const struct dp_revocation_conf *c, struct dp_revocation_result *out)
{
    *out = (struct dp_revocation_result){.until = INT64_MAX};
    if (c->mode == DP_REVOCATION_STRICT)
        out->refused = "certificate names neither an OCSP responder nor a CRL";
    return DP_NEXT;
}

/* What the call has waited for, if it was about this. */
static bool take_result(const struct dp_revocation_conf *c, struct dp_call *call, struct sp_str leaf,
                        struct sp_str issuer, int64_t now, struct dp_revocation_result *out)
{
    struct lookup *l = SP_TAKE(call->waiting);
    if (!l || !l->done || l->conf != c || !sp_str_eq(l->leaf, leaf) || !sp_str_eq(l->issuer, issuer))
        return false;
    conclude(c, call, &l->answer, now, out);
    return true;
}

enum dp_verdict dp_revocation_check(const struct dp_revocation_conf *c, struct dp_call *call, struct sp_str leaf,
                                    struct sp_str issuer, int64_t now, struct dp_revocation_result *out)
{
    uint8_t key[32];
    struct sp_revocation_urls urls;
    if (take_result(c, call, leaf, issuer, now, out))
        return DP_NEXT;
    if (sp_failed(sp_revocation_urls_read(leaf, call->arena, &urls, NULL)))
        return say(c, call, "the certificate's list of responders or CRLs is malformed", out);
    if (urls.num_ocsp + urls.num_crl == 0)
        return say_nowhere(c, out);
    if (!issuer.len || !sp_revocation_key(leaf, issuer, key))
        return say(c, call, "no issuer certificate in the chain", out);
    const struct known *k = find(call->revocations, key, c->cache_s, now);
    if (k) {
        struct sp_revocation r = as_answer(k);
        conclude(c, call, &r, k->at, out);
        return DP_NEXT;
    }
    struct lookup *l = call->fetcher ? prepare(c, call, key, leaf, issuer, &urls) : NULL;
    if (!l || !ask(l))
        return say(c, call, "nothing can be fetched", out);
    count(&call->revocations->counters->lookups);
    call->waiting = l;
    call->cancel = cancel;
    return DP_PAUSE;
}
