#include "plugin/revocation.h"
#include "base/counter.h"
#include "base/log.h"
#include "plugin/revocation_memory.h"
#include "plugin/trace.h"

enum { OCSP_MAX = 65536 };

/* --- what follows --- */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What a lookup came to. */
struct outcome {
    struct dp_remembered what;
    bool heard;        /* somebody has answered, be it with nonsense */
    struct sp_str url; /* who was asked last, as the certificate has it: printable; empty: nobody */
};

static void conclude(const struct dp_revocation_conf *c, struct dp_call *call, const struct outcome *o,
                     bool listed_good, struct dp_revocation_result *out)
{
    const struct sp_revocation *answer = &o->what.answer;
    *out = (struct dp_revocation_result){.until = sooner(o->what.at + c->cache_s, answer->until)};
    if (answer->status == SP_REVOCATION_REVOKED)
        out->refused = "certificate is revoked";
    if (answer->status != SP_REVOCATION_UNKNOWN)
        return;
    out->until = INT64_MIN;
    sp_count(&call->revocations->counters->failures, 1);
    if (c->mode == DP_REVOCATION_STRICT && (o->heard || !listed_good))
        out->refused = "revocation could not be checked";
    dp_note(call, "revocation could not be checked: %s", answer->why);
    if (!call->trace)
        sp_log(SP_NOTICE, "revocation_failed", "[%s] request_id=%s mode=%s reason=\"%s\"%s%.*s", c->tag,
               call->request_id, c->mode == DP_REVOCATION_STRICT ? "STRICT" : "IGNORE_CA_ERROR", answer->why,
               o->url.len ? " url=" : "", SP_FMT(o->url));
}

/* --- looking up --- */

/* Lives in the call's arena while the call waits. */
struct lookup {
    struct dp_call *call;
    const struct dp_revocation_conf *conf;
    uint8_t key[32], crl_key[32]; /* of the certificate; of the CRL that is looked at */
    struct dp_revocation_subject subject;
    struct sp_revocation_urls urls;
    struct sp_str request;
    size_t step;            /* into the responders, then into the CRLs */
    struct dp_fetch *fetch; /* of both at most one */
    struct dp_crl_wait *wait;
    bool done;
    struct outcome outcome;
};

static void on_fetched(void *ctx, const struct dp_fetch_answer *a);
static void on_crl(void *ctx, const struct sp_crl *crl, int64_t at, const char *why);

static void cancel(struct dp_call *call)
{
    struct lookup *l = call->waiting;
    struct dp_crl_reader *reader = call->revocations->reader;
    if (l->fetch)
        call->fetcher->cancel(call->fetcher, SP_TAKE(l->fetch));
    if (l->wait)
        reader->cancel(reader, SP_TAKE(l->wait));
}

static bool is_ocsp(const struct lookup *l)
{
    return l->step < l->urls.num_ocsp;
}

static struct sp_str crl_url(const struct lookup *l)
{
    return l->urls.crl[l->step - l->urls.num_ocsp];
}

static void fetch(struct lookup *l)
{
    const struct dp_revocation_conf *c = l->conf;
    struct dp_fetch_order o = {.timeout_ms = c->timeout_ms, .verify = c->verify};
    if (is_ocsp(l)) {
        o.url = l->urls.ocsp[l->step];
        o.body = l->request;
        o.content_type = "application/ocsp-request";
        o.accept = "application/ocsp-response";
        o.max_body = OCSP_MAX;
    } else {
        o.url = crl_url(l);
        o.accept = "application/pkix-crl, */*";
        o.max_body = SP_CRL_MAX;
    }
    l->outcome.url = o.url;
    bool tls = sp_lower((unsigned char)o.url.p[4]) == 's';
    o.proxy_host = tls ? c->https_proxy : c->http_proxy;
    o.proxy_port = tls ? c->https_proxy_port : c->http_proxy_port;
    l->fetch = l->call->fetcher->start(l->call->fetcher, &o, on_fetched, l);
}

static void take(struct lookup *l, const struct sp_revocation *answer, int64_t at)
{
    struct dp_revocations *r = l->call->revocations;
    l->outcome.what = (struct dp_remembered){*answer, at};
    dp_revocations_learn(r, l->key, &l->outcome.what, sp_clock_wall_s(l->call->clock));
}

static void fail(struct lookup *l, const char *why)
{
    l->outcome.what = (struct dp_remembered){.answer.why = why};
}

static void ask_crl(struct lookup *l, const struct sp_crl *crl, int64_t at)
{
    int64_t now = sp_clock_wall_s(l->call->clock);
    struct sp_revocation answer;
    sp_crl_ask(crl, l->subject.leaf, now, &answer);
    if (sp_crl_stale(crl, now))
        sp_count(&l->call->revocations->counters->crls_stale, 1);
    take(l, &answer, at);
}

static bool is_answered(const struct lookup *l)
{
    return l->outcome.heard || l->outcome.what.answer.status != SP_REVOCATION_UNKNOWN;
}

/* Asks whoever is next. False: there is an answer, or nobody is left. */
static bool go_on(struct lookup *l)
{
    struct dp_revocations *r = l->call->revocations;
    for (; !is_answered(l) && l->step < l->urls.num_ocsp + l->urls.num_crl; l->step++) {
        const struct sp_crl *crl = NULL;
        int64_t at;
        if (!is_ocsp(l)) {
            dp_crl_key(crl_url(l), l->subject.issuer, l->crl_key);
            crl = dp_revocations_find_crl(r, l->crl_key, l->conf->cache_s, sp_clock_wall_s(l->call->clock), &at);
            if (!crl && (l->wait = r->reader->join(r->reader, l->crl_key, on_crl, l)))
                return true;
        }
        if (!crl) {
            fetch(l);
            return true;
        }
        ask_crl(l, crl, at);
    }
    return false;
}

static void next(struct lookup *l)
{
    l->step++;
    if (go_on(l))
        return;
    l->done = true;
    l->call->resume(l->call);
}

static void on_crl(void *ctx, const struct sp_crl *crl, int64_t at, const char *why)
{
    struct lookup *l = ctx;
    l->wait = NULL;
    if (crl)
        ask_crl(l, crl, at);
    else
        fail(l, why);
    next(l);
}

/* True: it is being read. */
static bool read_crl(struct lookup *l, struct sp_str der, int64_t now)
{
    struct dp_crl_reader *reader = l->call->revocations->reader;
    struct dp_crl_order o = {.key = l->crl_key, .der = der, .issuer = l->subject.issuer, .at = now};
    l->wait = reader->read(reader, &o, on_crl, l);
    return l->wait != NULL;
}

/* A responder that answered has the last word, whatever it said; the next is asked, and the CRLs in the end, only where
 * there was no communication (kong-behaviour 1.1.5). */
static void on_fetched(void *ctx, const struct dp_fetch_answer *a)
{
    struct lookup *l = ctx;
    int64_t now = sp_clock_wall_s(l->call->clock);
    bool ocsp = is_ocsp(l);
    struct sp_revocation answer;
    l->fetch = NULL;
    if (dp_revocations_find(l->call->revocations, l->key, l->conf->cache_s, now, &l->outcome.what)) {
        /* somebody who waited for the same has judged it already */
    } else if (a->status != 200) {
        const char *answered =
            ocsp ? "the OCSP responder answers with an HTTP error" : "the CRL server answers with an HTTP error";
        fail(l, a->status ? answered : a->why);
    } else if (ocsp) {
        sp_ocsp_judge(l->subject.leaf, l->subject.issuer, a->body, now, &answer);
        take(l, &answer, now);
        l->outcome.heard = true;
    } else if (read_crl(l, a->body, now)) {
        return;
    } else {
        fail(l, "too many CRLs are being read");
    }
    next(l);
}

static struct lookup *prepare(const struct dp_revocation_conf *c, struct dp_call *call, const uint8_t key[32],
                              const struct dp_revocation_subject *s, const struct sp_revocation_urls *urls)
{
    struct lookup *l = SP_NEW(call->arena, struct lookup);
    struct sp_buf request = {0};
    l->call = call;
    l->conf = c;
    memcpy(l->key, key, 32);
    l->subject.leaf = sp_arena_dup(call->arena, s->leaf);
    l->subject.issuer = sp_arena_dup(call->arena, s->issuer);
    l->urls = *urls;
    bool good = !sp_failed(sp_ocsp_request(s->leaf, s->issuer, &request, NULL));
    sp_assert(good); /* there is a key: they are certificates */
    l->request = sp_arena_dup(call->arena, sp_buf_str(&request));
    sp_buf_fini(&request);
    return l;
}

/* What can be said without asking anybody. */
static enum dp_verdict say(const struct dp_revocation_conf *c, struct dp_call *call, const char *why,
                           struct dp_revocation_result *out)
{
    conclude(c, call, &(struct outcome){.what.answer.why = why, .heard = true}, false, out);
    return DP_NEXT;
}

/* A certificate that names neither a responder nor a CRL stays like that. */
static enum dp_verdict say_nowhere(const struct dp_revocation_conf *c, bool listed_good,
                                   struct dp_revocation_result *out)
{
    *out = (struct dp_revocation_result){.until = INT64_MAX};
    if (c->mode == DP_REVOCATION_STRICT && !listed_good)
        out->refused = "certificate names neither an OCSP responder nor a CRL, by http or https";
    return DP_NEXT;
}

/* An explanation asks nobody. */
static enum dp_verdict say_whom_to_ask(struct dp_call *call, const struct sp_revocation_urls *urls,
                                       struct dp_revocation_result *out)
{
    *out = (struct dp_revocation_result){.until = INT64_MIN};
    for (size_t i = 0; i < urls->num_ocsp; i++)
        dp_note(call, "revocation would be asked of OCSP %.*s; not checked here", SP_FMT(urls->ocsp[i]));
    for (size_t i = 0; i < urls->num_crl; i++)
        dp_note(call, "revocation would be asked of CRL %.*s; not checked here", SP_FMT(urls->crl[i]));
    return DP_NEXT;
}

/* What the call has waited for, if it was about this. */
static bool take_result(const struct dp_revocation_conf *c, struct dp_call *call, const struct dp_revocation_subject *s,
                        struct dp_revocation_result *out)
{
    struct lookup *l = SP_TAKE(call->waiting);
    if (!l || !l->done || l->conf != c || !sp_str_eq(l->subject.leaf, s->leaf) ||
        !sp_str_eq(l->subject.issuer, s->issuer))
        return false;
    conclude(c, call, &l->outcome, s->listed_good, out);
    return true;
}

enum dp_verdict dp_revocation_check(const struct dp_revocation_conf *c, struct dp_call *call,
                                    const struct dp_revocation_subject *s, int64_t now,
                                    struct dp_revocation_result *out)
{
    uint8_t key[32];
    struct sp_revocation_urls urls;
    struct outcome known = {0};
    if (take_result(c, call, s, out))
        return DP_NEXT;
    if (sp_failed(sp_revocation_urls_read(s->leaf, call->arena, &urls, NULL)))
        return say(c, call, "the certificate's list of responders or CRLs is malformed", out);
    if (urls.num_ocsp + urls.num_crl == 0)
        return say_nowhere(c, s->listed_good, out);
    if (!s->issuer.len || !sp_revocation_key(s->leaf, s->issuer, key))
        return say(c, call, "no issuer certificate in the chain", out);
    if (call->trace)
        return say_whom_to_ask(call, &urls, out);
    if (!dp_revocations_find(call->revocations, key, c->cache_s, now, &known.what)) {
        struct lookup *l = call->fetcher ? prepare(c, call, key, s, &urls) : NULL;
        if (!l)
            return say(c, call, "nothing can be fetched", out);
        if (go_on(l)) {
            sp_count(&call->revocations->counters->lookups, 1);
            call->waiting = l;
            call->cancel = cancel;
            return DP_PAUSE;
        }
        known = l->outcome;
    }
    conclude(c, call, &known, s->listed_good, out);
    return DP_NEXT;
}
