#include "explain/answer.h"
#include "explain/wait.h"
#include "http/h1.h"
#include "plugin/revocation.h"

#include <stdlib.h>

struct sp_explainer {
    struct dp_snapshot *snapshot;
};

/* In bytes: something that only looks like a reference costs an answer, and nothing more. */
static bool has_references(const struct sp_resources *r)
{
    const struct sp_str mark = SP_STR("{vault://");
    for (size_t i = 0; i < r->num; i++)
        if (r->v[i].body.len && memmem(r->v[i].body.p, r->v[i].body.len, mark.p, mark.len))
            return true;
    return false;
}

sp_result sp_explainer_new(const struct sp_resources *r, int64_t revision, bool vaults, struct sp_explainer **out,
                           struct sp_problems *problems)
{
    const struct dp_snapshot_options o = {0};
    struct dp_snapshot *snapshot;
    *out = NULL;
    if (!vaults && has_references(r)) {
        sp_problems_add(problems, SP_PROBLEM_ERROR, "vault_reference", SP_STR(""),
                        "it has vault references, which only data planes resolve: ask the status listener of one");
        return (sp_result){SP_E_INVALID};
    }
    SP_TRY(dp_snapshot_compile(r, revision, &o, &snapshot, problems));
    *out = sp_alloc(sizeof **out);
    (*out)->snapshot = snapshot;
    return sp_ok();
}

void sp_explainer_free(struct sp_explainer *e)
{
    if (!e)
        return;
    dp_snapshot_unref(e->snapshot);
    free(e);
}

void sp_explain_request(const struct sp_explainer *e, const struct sp_explain_question *q, struct sp_arena *a,
                        struct sp_buf *json)
{
    dp_explain(e->snapshot, NULL, q, a, json);
}

/* --- the connection */

static void shake_hands(struct dp_explanation *e)
{
    const struct sp_explain_question *q = e->q;
    if (q->plain)
        return;
    sp_tls_names_policy(e->snapshot->names, q->sni, &e->policy);
    sp_explain_handshake(e->arena, e->snapshot->resolved, q->sni, &e->handshake);
    e->presented = e->policy.ask && q->num_chain;
    e->peer = (struct sp_peer){.sni = q->sni, .asked = e->policy.ask, .policy = e->policy.policy};
    e->peer.alpn = q->http2 ? SP_STR("h2") : SP_STR("http/1.1");
    if (!e->presented)
        return;
    e->peer.chain = q->chain;
    e->peer.num_chain = q->num_chain;
    struct sp_buf all = {0};
    for (size_t i = 0; i < q->num_chain; i++)
        sp_buf_add(&all, q->chain[i]);
    sp_sha256(sp_buf_str(&all), e->peer.digest);
    sp_buf_fini(&all);
}

/* --- the head, through the parser that reads those of clients */

static void answered(struct dp_explanation *e, unsigned status, const char *message, struct sp_str reason)
{
    e->end = DP_END_ANSWERED;
    e->status = status;
    e->message = message;
    e->reason = reason;
}

static void keep_values(struct dp_explanation *e)
{
    const struct sp_fields *f = &e->head.fields;
    e->sent = SP_NEW_N(e->arena, struct sp_str, f->len + 1);
    for (e->num_sent = 0; e->num_sent < f->len; e->num_sent++)
        e->sent[e->num_sent] = f->v[e->num_sent].value;
}

/* False: answered. */
static bool parse_head(struct dp_explanation *e)
{
    const struct sp_explain_question *q = e->q;
    struct sp_h1_fault fault = {400, "the head has no end"};
    struct sp_buf text = {0};
    size_t scanned = 0, consumed;
    sp_buf_printf(&text, "%.*s %.*s HTTP/1.1\r\nHost: %.*s\r\n", SP_FMT(q->method), SP_FMT(q->path), SP_FMT(q->host));
    for (size_t i = 0; i < q->num_fields; i++)
        sp_buf_printf(&text, "%.*s\r\n", SP_FMT(q->fields[i]));
    sp_buf_printf(&text, "\r\n");
    enum sp_h1_parse done =
        sp_h1_parse_request(sp_buf_str(&text), &scanned, &sp_h1_default_limits, e->arena, &e->head, &consumed, &fault);
    sp_buf_fini(&text);
    if (done == SP_H1_DONE) {
        e->head.version = q->http2 ? SP_HTTP_2 : SP_HTTP_11;
        keep_values(e);
        return true;
    }
    bool too_large = fault.status == 494 || fault.status == 431;
    answered(e, too_large ? 400 : fault.status, too_large ? "Request header or cookie too large" : NULL,
             sp_str_z(fault.why));
    return false;
}

/* --- the route */

static struct sp_str name_of(const Sallyport__V1__Route *r)
{
    return sp_str_z(r->name ? r->name : r->id);
}

static struct sp_str why_not_admitted(struct dp_explanation *e)
{
    const struct dp_admission *a = &e->admission;
    if (a->status == 400)
        return a->path.len ? SP_STR("the Host is malformed") : SP_STR("the path is malformed");
    if (a->status == 421)
        return sp_arena_printf(e->arena,
                               "this connection named '%.*s'; a new one that names '%.*s' would be asked for a "
                               "certificate in another way, and find a route",
                               SP_FMT(e->peer.sni), SP_FMT(a->host));
    if (e->why.undecided.route)
        return sp_arena_printf(e->arena,
                               "a regex of route %.*s cannot be decided within its limit, and a route behind it may "
                               "be a laxer one",
                               SP_FMT(name_of(e->why.undecided.route)));
    if (a->status == 404 && e->why.all_near)
        return sp_arena_printf(e->arena, "no route matches; %zu %s one criterion only", e->why.all_near,
                               e->why.all_near == 1 ? "lacks" : "lack");
    if (a->status == 404)
        return SP_STR("no route matches, and none comes close");
    return sp_arena_printf(e->arena, "the protocols of route %.*s do not have this request's", SP_FMT(a->route->name));
}

/* X-Forwarded-Port: the client's way to name the listener is the port in its Host. */
static uint16_t listener_port(const struct dp_explanation *e)
{
    struct sp_str name;
    uint16_t port = 0;
    bool split = sp_host_split(e->q->host, &name, &port);
    return split && port ? port : e->q->plain ? 80 : 443;
}

/* False: answered. */
static bool admit(struct dp_explanation *e)
{
    struct dp_admission *a = &e->admission;
    *a = (struct dp_admission){
        .arena = e->arena,
        .snapshot = e->snapshot,
        .request = &e->head,
        .peer = e->q->plain ? NULL : &e->peer,
        .ip = sp_arena_dup(e->arena, e->q->client_ip).p,
        .trusted = e->trusted,
        .client_ip = e->trusted ? dp_real_ip_text(e->arena, e->real_ip, &e->head.fields) : SP_STR(""),
        .listener_port = listener_port(e),
        .via = "1.1 sallyport/" SP_VERSION,
        .request_id = "00000000000000000000000000000000",
    };
    bool in = dp_admit(a);
    if (in || a->status != 400) {
        struct dp_match_input input = dp_admit_match_input(a, e->peer.sni);
        e->parsed = true;
        dp_router_why(e->snapshot->router, &input, e->arena, &e->why);
    }
    if (!in) /* 499 is no status of HTTP: only its code in gRPC is meant */
        answered(e, a->status == 499 ? 200 : a->status, a->message, why_not_admitted(e));
    return in;
}

/* --- the plugins */

static int64_t judged_at(void *ctx)
{
    return *(const int64_t *)ctx;
}

static uint64_t no_time(void *ctx)
{
    (void)ctx;
    return 0;
}

static void take_reply(struct dp_explanation *e)
{
    struct dp_trace_step *s = &e->trace.steps[e->call.slot];
    struct dp_admission *a = &e->admission;
    e->plugin = s->kind->name;
    answered(e, e->call.reply_status, e->call.reply_message, s->reason);
    if (!dp_admit_misdirected(a, &e->call))
        return;
    answered(e, a->status, a->message,
             sp_arena_printf(e->arena,
                             "%s wants a certificate, and this connection named '%.*s': a new one that names '%.*s' "
                             "would be asked in another way",
                             e->plugin, SP_FMT(e->peer.sni), SP_FMT(a->host)));
}

/* False: answered, or nobody knows. */
static bool run_plugins(struct dp_explanation *e)
{
    struct dp_revocation_counters counters = {0};
    int64_t at = e->q->at ? e->q->at : sp_clock_wall_s(&sp_clock_system);
    struct sp_clock clock = {no_time, judged_at, &at};
    struct dp_explain_wait wait;
    struct dp_call *call = &e->call;
    dp_admit_fields(&e->admission);
    dp_admit_call(&e->admission, call);
    call->trace = &e->trace;
    call->clock = &clock;
    call->cache = dp_plugin_cache_new();
    call->revocations = dp_revocations_new(&counters, NULL);
    call->body_state = e->head.framing == SP_BODY_NONE ? DP_BODY_WHOLE : DP_BODY_UNREAD;
    dp_explain_wait_init(&wait, call);
    enum dp_verdict v = dp_chain_access(e->admission.route->chain, call, !e->q->plain);
    while (v == DP_PAUSE && dp_explain_wait_over(&wait, call))
        v = dp_chain_resume(e->admission.route->chain, call, !e->q->plain);
    e->assumed_body = wait.assumed_body;
    e->ran = true;
    if (v == DP_REPLY)
        take_reply(e);
    if (v == DP_PAUSE) {
        e->end = DP_END_UNDECIDED;
        e->plugin = e->trace.steps[call->slot].kind->name;
        e->reason = SP_STR("it has to ask somebody first, and an explanation asks nobody");
        if (call->cancel)
            SP_TAKE(call->cancel)(call);
    }
    dp_explain_wait_fini(&wait, call);
    dp_plugin_cache_free(SP_TAKE(call->cache));
    dp_revocations_free(SP_TAKE(call->revocations));
    call->clock = NULL;
    return v == DP_NEXT;
}

/* --- the upstream */

static void go_on(struct dp_explanation *e)
{
    const struct dp_service *s = e->admission.route->service;
    e->end = DP_END_FORWARDED;
    if (!s)
        answered(e, 503, dp_admit_no_service, SP_STR("the route has no service"));
    else if (s->num_ring == 0)
        answered(e, 503, dp_admit_no_target, SP_STR("no target of the upstream has weight"));
}

static bool is_trusted(const struct dp_real_ip *r, const struct sp_explain_question *q)
{
    struct sp_address peer;
    if (q->says_trusted)
        return q->peer_trusted;
    return sp_address_parse_ip(q->client_ip, 0, &peer) && dp_real_ip_trusts(r, &peer);
}

void dp_explain(const struct dp_snapshot *s, const struct dp_real_ip *real_ip, const struct sp_explain_question *q,
                struct sp_arena *a, struct sp_buf *json)
{
    static const struct dp_real_ip defaults = {.header = {"X-Real-IP", 9}, .id = SP_FIELD_X_REAL_IP};
    struct dp_explanation e = {.q = q, .arena = a, .snapshot = s, .real_ip = real_ip ? real_ip : &defaults};
    e.trusted = is_trusted(e.real_ip, q);
    shake_hands(&e);
    if (parse_head(&e) && admit(&e) && run_plugins(&e))
        go_on(&e);
    dp_explain_hints(&e);
    dp_explain_write(&e, json);
}
