#include "plugin/cert_auth.h"
#include "base/log.h"
#include "plugin/cert_names.h"
#include "plugin/identity.h"
#include "plugin/listed.h"
#include "plugin/memo.h"
#include "plugin/trace.h"

enum { FAILURE_TTL_S = 1 }; /* why a chain failed may pass (not yet valid), so it is remembered for a moment only */

static const char no_certificate[] = "No required TLS certificate was sent";
static const char not_verified[] = "TLS certificate failed verification";

/* What an instance thought of a chain. */
struct result {
    int64_t from, until;     /* seconds since 1970: outside of these the chain is judged again */
    struct sp_signer issuer; /* whose word counts when revocation is asked about */
    bool has_issuer;
    bool listed_good;                   /* by a CRL of the configuration */
    int64_t checked_until;              /* revocation: `refused` is known until then */
    const char *refused;                /* constant; NULL: not revoked, or accepted without knowing */
    const char *failed;                 /* why not, in the memo or constant; NULL: the chain is good */
    const struct dp_consumer *consumer; /* found by mapping or by name; NULL: none */
    struct sp_str credential_id;        /* in the snapshot: the mapping's id or the name that matched */
    struct sp_str dn, san, cn;          /* in the memo: copied before they go into a request */
};

/* --- compile --- */

static sp_result read_consumer_by(const struct dp_cert_auth_config *c, struct dp_cert_auth *out, struct sp_error *err)
{
    if (c->num_consumer_by == 0 && !c->match_none) {
        out->by[0] = DP_BY_USERNAME;
        out->by[1] = DP_BY_CUSTOM_ID;
        out->num_by = 2;
    }
    for (size_t i = 0; i < c->num_consumer_by; i++) {
        if (out->num_by == 2)
            return sp_fail(err, SP_E_INVALID, "config.consumer_by: more than two entries");
        if (strcmp(c->consumer_by[i], "username") == 0)
            out->by[out->num_by++] = DP_BY_USERNAME;
        else if (strcmp(c->consumer_by[i], "custom_id") == 0)
            out->by[out->num_by++] = DP_BY_CUSTOM_ID;
        else
            return sp_fail(err, SP_E_INVALID, "config.consumer_by[%zu]: expected one of: username, custom_id", i);
    }
    return sp_ok();
}

static sp_result read_group_by(const char *word, enum dp_group_by *out, struct sp_error *err)
{
    if (!word)
        *out = DP_GROUP_NONE;
    else if (strcmp(word, "CN") == 0)
        *out = DP_GROUP_CN;
    else if (strcmp(word, "DN") == 0)
        *out = DP_GROUP_DN;
    else
        return sp_fail(err, SP_E_INVALID, "config.authenticated_group_by: expected one of: CN, DN");
    return sp_ok();
}

static sp_result read_mode(const char *word, enum dp_revocation_mode *out, struct sp_error *err)
{
    if (!word || strcmp(word, "IGNORE_CA_ERROR") == 0)
        *out = DP_REVOCATION_IGNORE_CA_ERROR;
    else if (strcmp(word, "STRICT") == 0)
        *out = DP_REVOCATION_STRICT;
    else if (strcmp(word, "SKIP") == 0)
        *out = DP_REVOCATION_SKIP;
    else
        return sp_fail(err, SP_E_INVALID,
                       "config.revocation_check_mode: expected one of: SKIP, IGNORE_CA_ERROR, STRICT");
    return sp_ok();
}

static uint32_t whole_ms(double ms)
{
    return ms >= UINT32_MAX ? UINT32_MAX : ms > 0 ? (uint32_t)ms : 0;
}

static sp_result read_revocation(struct sp_arena *a, const struct dp_cert_auth_config *c, struct dp_cert_auth *out,
                                 struct sp_error *err)
{
    struct dp_revocation_conf *r = &out->revocation;
    if (c->http_proxy_port < 0 || c->http_proxy_port > UINT16_MAX || c->https_proxy_port < 0 ||
        c->https_proxy_port > UINT16_MAX)
        return sp_fail(err, SP_E_INVALID, "config: a proxy's port is not a port");
    r->tag = out->tag;
    r->timeout_ms = whole_ms(c->http_timeout);
    r->cache_s = whole_ms(c->cert_cache_ttl) / 1000;
    r->http_proxy = sp_arena_dup(a, sp_str_z(c->http_proxy_host));
    r->https_proxy = sp_arena_dup(a, sp_str_z(c->https_proxy_host));
    r->http_proxy_port = (uint16_t)c->http_proxy_port;
    r->https_proxy_port = (uint16_t)c->https_proxy_port;
    r->verify = c->ssl_verify;
    return read_mode(c->revocation, &r->mode, err);
}

static char *const *dup_words(struct sp_arena *a, char *const *v, size_t num)
{
    char **out = SP_NEW_N(a, char *, num + 1);
    for (size_t i = 0; i < num; i++)
        out[i] = sp_arena_strdup(a, v[i]);
    return out;
}

/* A CA that is not there breaks the instance, not the revision: it answers 500 until the CA comes (kong-behaviour D13).
 */
static sp_result read_trust(const struct dp_directory *d, const struct dp_cert_auth_config *c, struct dp_cert_auth *out,
                            struct sp_error *err)
{
    if (c->num_ca_certificates == 0)
        return sp_fail(err, SP_E_INVALID, "config.ca_certificates: required field missing");
    struct sp_error why;
    sp_result r =
        dp_directory_trust(d, c->ca_certificates, c->num_ca_certificates, c->allow_partial_chain, &out->trust, &why);
    if (r.code == SP_E_NOT_FOUND) {
        out->trust = NULL;
        sp_log(SP_ERROR, "plugin_broken", "[%s] reason=\"%s\": every request that it guards is answered with 500",
               out->tag, why.text);
        return sp_ok();
    }
    return sp_failed(r) ? sp_fail(err, r.code, "config.ca_certificates: %s", why.text) : r;
}

sp_result dp_cert_auth_compile(struct sp_arena *a, const struct dp_directory *d, const struct dp_cert_auth_config *c,
                               struct dp_cert_auth *out, struct sp_error *err)
{
    out->ws = sp_arena_dup(a, dp_workspace(c->ws));
    SP_TRY(read_revocation(a, c, out, err));
    SP_TRY(read_trust(d, c, out, err));
    SP_TRY(read_consumer_by(c, out, err));
    SP_TRY(read_group_by(c->authenticated_group_by, &out->group_by, err));
    out->skip_lookup = c->skip_consumer_lookup;
    out->anonymous_name = sp_arena_dup(a, sp_str_z(c->anonymous));
    out->default_name = sp_arena_dup(a, sp_str_z(c->default_consumer));
    if (out->anonymous_name.len)
        out->anonymous = dp_directory_consumer(d, out->ws, out->anonymous_name);
    if (out->default_name.len)
        out->default_consumer = dp_directory_consumer(d, out->ws, out->default_name);
    out->num_dirname = c->num_san_dirname_matcher;
    out->dirname = dup_words(a, c->san_dirname_matcher, c->num_san_dirname_matcher);
    return sp_ok();
}

/* --- judging a chain, once --- */

/* kong-behaviour 1.1.4, steps 1 to 3. */
static void find_consumer(const struct dp_cert_auth *c, struct dp_call *call, const struct sp_str *names, size_t num,
                          struct sp_str anchor, struct result *out)
{
    const struct dp_directory *d = call->directory;
    const struct sp_str cas[] = {anchor, sp_str("", 0)};
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; i < num; i++) {
            const struct dp_mapping *m = dp_directory_mapping(d, c->mappings, c->ws, names[i], cas[s]);
            if (!m)
                continue;
            out->consumer = m->consumer;
            out->credential_id = m->id;
            dp_trace_rule(call, (unsigned)s + 1, s ? "mapping under any CA" : "mapping under the CA of the chain",
                          names[i]);
            return;
        }
    for (size_t b = 0; b < c->num_by; b++)
        for (size_t i = 0; i < num; i++) {
            bool by_name = c->by[b] == DP_BY_USERNAME;
            const struct dp_consumer *found = by_name ? dp_directory_consumer_username(d, c->ws, names[i])
                                                      : dp_directory_consumer_custom_id(d, c->ws, names[i]);
            if (!found)
                continue;
            out->consumer = found;
            out->credential_id = by_name ? found->username : found->custom_id; /* equal to the name that matched */
            dp_trace_rule(call, 3, by_name ? "consumer_by username" : "consumer_by custom_id", names[i]);
            return;
        }
}

/* Blanks at the ends of a field's value are lost on the way (RFC 9110 section 5.5): who is not alice would arrive as
 * alice. */
static bool can_travel(struct sp_str s)
{
    return s.len == 0 || (sp_field_value_valid(s) && sp_str_trim(s).len == s.len);
}

/* Everything that is kept lives in `keep`; the certificate's own structures are gone afterwards. */
static const char *identify(const struct dp_cert_auth *c, struct dp_call *call, struct sp_str leaf,
                            struct sp_str anchor, struct sp_arena *keep, struct result *out)
{
    struct sp_arena *scratch = sp_arena_new(4096);
    struct sp_cert_info info;
    struct sp_error err;
    const char *failed = NULL;
    if (sp_failed(sp_cert_read(leaf, scratch, &info, &err))) {
        failed = sp_arena_printf(keep, "certificate holds a malformed name: %s", err.text).p;
        goto out;
    }
    struct sp_str *names;
    size_t num = dp_cert_names(scratch, &info, c->dirname, c->skip_lookup ? 0 : c->num_dirname, &names);
    dp_trace_names(call, names, num);
    if (!c->skip_lookup)
        find_consumer(c, call, names, num, anchor, out);
    if (out->consumer || (!c->skip_lookup && !c->default_consumer))
        goto out; /* nobody will be shown the certificate's names */
    out->dn = sp_arena_dup(keep, info.subject_dn);
    out->san = dp_cert_names_join(keep, names, num);
    out->cn = sp_arena_dup(keep, info.cn);
    if ((out->dn.len && !sp_field_value_valid(out->dn)) || !can_travel(out->san) || !can_travel(out->cn))
        failed = "certificate holds a name that no header field can carry";
out:
    sp_arena_free(scratch);
    return failed;
}

static struct result *judge(const struct dp_cert_auth *c, struct dp_call *call, const struct dp_presented *p,
                            int64_t now)
{
    struct sp_arena *keep;
    struct sp_verdict v;
    sp_verify_chain(c->trust->set, p->chain, p->num, now, &v);
    struct result *r = dp_memo_put(call->cache, c, p->digest, v.ok, sizeof *r, &keep);
    r->from = now;
    r->failed = v.reason;
    r->has_issuer = v.num_signers > 0;
    r->issuer = v.signers[0];
    int64_t until = v.not_after;
    dp_trace_leaf(call, p->chain[0]);
    if (v.ok) {
        struct dp_listed listed;
        dp_trace_anchor(call, c->trust->ids[v.anchor]);
        dp_listed_check(call->directory, c->trust, p->chain, &v, c->revocation.mode == DP_REVOCATION_STRICT, now,
                        &listed);
        r->listed_good = listed.good;
        until = listed.until < until ? listed.until : until;
        r->failed = listed.refused;
        if (!r->failed)
            r->failed = identify(c, call, p->chain[0], c->trust->ids[v.anchor], keep, r);
    }
    r->until = r->failed ? now + FAILURE_TTL_S : until;
    return r;
}

static struct result *recall(const struct dp_cert_auth *c, struct dp_call *call, const struct dp_presented *p,
                             int64_t now)
{
    struct result *r = dp_memo_find(call->cache, c, p->digest);
    return r && now >= r->from && now <= r->until ? r : judge(c, call, p, now);
}

/* Whose word counts. Empty: nobody signed the leaf but itself. */
static struct sp_str issuer_of(const struct dp_cert_auth *c, const struct dp_call *call, const struct dp_presented *p,
                               const struct result *r)
{
    if (!r->has_issuer)
        return (struct sp_str){0};
    return r->issuer.in_set ? dp_directory_ca(call->directory, c->trust->ids[r->issuer.index])->der
                            : p->chain[r->issuer.index];
}

/* DP_NEXT: r->refused says it. DP_PAUSE: it is being asked. */
static enum dp_verdict check_revocation(const struct dp_cert_auth *c, struct dp_call *call,
                                        const struct dp_presented *p, int64_t now, struct result *r)
{
    struct dp_revocation_result out;
    struct dp_revocation_subject s = {p->chain[0], issuer_of(c, call, p, r), r->listed_good};
    if (dp_revocation_check(&c->revocation, call, &s, now, &out) == DP_PAUSE)
        return DP_PAUSE;
    r->refused = out.refused;
    r->checked_until = out.until;
    return DP_NEXT;
}

/* --- access --- */

static enum dp_verdict fail(const struct dp_cert_auth *c, struct dp_call *call, const char *message, const char *reason)
{
    bool rescued = c->anonymous_name.len != 0;
    dp_reason(call, rescued ? SP_DEBUG : SP_NOTICE, c->event, c->tag, reason);
    if (!rescued)
        return dp_reply(call, 401, message);
    dp_trace_rule(call, 5, "anonymous", c->anonymous_name);
    return dp_identity_fall_back(call, c->anonymous_name, c->anonymous);
}

static enum dp_verdict fail_verification(const struct dp_cert_auth *c, struct dp_call *call, const char *reason)
{
    call->client_verify = DP_VERIFY_FAILED;
    call->client_verify_reason = reason;
    return fail(c, call, not_verified, reason);
}

static enum dp_verdict fail_without_certificate(const struct dp_cert_auth *c, struct dp_call *call,
                                                const struct dp_presented *p)
{
    call->client_verify = DP_VERIFY_NONE;
    enum dp_verdict v = fail(c, call, no_certificate, p->why_none ? p->why_none : "no certificate");
    call->wants_certificate = v == DP_REPLY && call->reply_status == 401 && p->of_connection;
    return v;
}

/* The certificate itself is the identity: its names go to the upstream. */
static void publish_certificate(struct dp_call *call, const struct result *r)
{
    dp_identity_publish(call, sp_arena_dup(call->arena, r->dn), sp_arena_dup(call->arena, r->san));
}

static enum dp_verdict accept_any(const struct dp_cert_auth *c, struct dp_call *call, const struct result *r)
{
    dp_identity_authenticated(call, NULL, sp_str("", 0));
    struct sp_str group = c->group_by == DP_GROUP_CN ? r->cn : c->group_by == DP_GROUP_DN ? r->dn : sp_str("", 0);
    call->num_authenticated_groups = 0; /* those of another certificate say nothing of this one */
    call->authenticated_groups = NULL;
    if (group.len) {
        call->authenticated_groups = SP_NEW(call->arena, struct sp_str);
        call->authenticated_groups[0] = sp_arena_dup(call->arena, group);
        call->num_authenticated_groups = 1;
    }
    publish_certificate(call, r);
    return DP_NEXT;
}

/* A valid certificate that is nobody's. A default consumer that is missing is a fault of the config, so `anonymous`
 * does not cover it up (kong-behaviour 1.1.3 step 6). */
static enum dp_verdict accept_default(const struct dp_cert_auth *c, struct dp_call *call, const struct result *r)
{
    if (!c->default_consumer) {
        struct sp_str why =
            sp_arena_printf(call->arena, "default consumer %.*s does not exist", SP_FMT(c->default_name));
        dp_reason(call, SP_NOTICE, c->event, c->tag, why.p);
        return dp_reply(call, 401, "Unauthorized");
    }
    dp_trace_rule(call, 4, "default_consumer", c->default_name);
    dp_identity_authenticated(call, c->default_consumer, sp_str("", 0));
    publish_certificate(call, r);
    return DP_NEXT;
}

static bool is_somebody(const struct dp_cert_auth *c, const struct result *r)
{
    return c->skip_lookup || r->consumer || c->default_consumer;
}

enum dp_verdict dp_cert_auth_access(const struct dp_cert_auth *c, struct dp_call *call, const struct dp_presented *p)
{
    if (c->anonymous_name.len && call->has_credential)
        return dp_skip(call, dp_already_authenticated);
    if (!c->trust) {
        dp_reason(call, SP_DEBUG, c->event, c->tag, "broken: one of its ca_certificates does not exist");
        return dp_reply(call, 500, "An unexpected error occurred");
    }
    if (p->malformed)
        return fail_verification(c, call, p->malformed);
    if (p->num == 0)
        return fail_without_certificate(c, call, p);
    int64_t now = sp_clock_wall_s(call->clock);
    struct result *r = recall(c, call, p, now);
    if (r->failed)
        return fail_verification(c, call, sp_arena_strdup(call->arena, r->failed));
    if (c->revocation.mode != DP_REVOCATION_SKIP && now >= r->checked_until &&
        check_revocation(c, call, p, now, r) == DP_PAUSE)
        return DP_PAUSE;
    if (r->refused)
        return fail_verification(c, call, r->refused);
    call->client_verify = DP_VERIFY_SUCCESS;
    if (p->of_connection && is_somebody(c, r))
        call->accepted_until = r->until;
    if (c->skip_lookup)
        return accept_any(c, call, r);
    if (r->consumer) {
        dp_identity_authenticated(call, r->consumer, r->credential_id);
        dp_identity_publish(call, sp_str("", 0), sp_str("", 0));
        return DP_NEXT;
    }
    if (c->default_name.len)
        return accept_default(c, call, r);
    return fail_verification(c, call, "no consumer has a name of this certificate");
}

/* --- and afterwards --- */

bool dp_cert_auth_stands(const struct dp_cert_auth *c, struct dp_call *call, const struct dp_presented *p)
{
    if (!c->trust || p->num == 0)
        return false;
    int64_t now = sp_clock_wall_s(call->clock);
    const struct result *r = recall(c, call, p, now);
    bool refused = c->revocation.mode != DP_REVOCATION_SKIP && r->refused && now < r->checked_until;
    if (r->failed || refused || !is_somebody(c, r))
        return false;
    call->accepted_until = r->until;
    return true;
}
