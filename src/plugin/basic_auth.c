/* basic-auth: username and password in Proxy-Authorization or Authorization name the consumer. kong-behaviour 4.4. */
#include "base/encoding.h"
#include "plugin/directory.h"
#include "plugin/identity.h"
#include "plugin/kinds.h"
#include "plugin/passwords.h"
#include "plugin/trace.h"

struct basic_auth {
    struct sp_str ws, anonymous_name, challenge;
    const struct dp_consumer *anonymous;
    bool hide;
};

/* What the client says of itself. */
struct given {
    struct sp_str decoded; /* "username:password" in the call's arena; wiped when nobody needs it any more */
    struct sp_str username, password;
    const struct dp_login *login; /* NULL: nobody has that name */
};

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    const Sallyport__V1__BasicAuthConfig *c = p->basic_auth;
    struct basic_auth *out = SP_NEW(a, struct basic_auth);
    *instance = out;
    out->ws = sp_arena_dup(a, dp_workspace(p->ws));
    out->hide = c->hide_credentials;
    out->challenge = sp_arena_printf(a, "Basic realm=\"%s\"", c->realm ? c->realm : "service");
    if (!sp_field_value_valid(out->challenge))
        return sp_fail(err, SP_E_INVALID, "config.realm: cannot stand in a header field");
    out->anonymous_name = sp_arena_dup(a, sp_str_z(c->anonymous));
    if (out->anonymous_name.len)
        out->anonymous = dp_directory_consumer(d, out->ws, out->anonymous_name);
    return sp_ok();
}

/* --- what the client sent --- */

/* The only field of that kind; empty: none, or several, of which the upstream might believe another one. Proxy-
 * Authorization is meant for us, so that it was removed as a hop-by-hop field does not matter. */
static struct sp_str only_field(const struct dp_call *call, enum sp_field_id id)
{
    const struct sp_fields *fields = &call->request->fields;
    struct sp_str value = {0};
    size_t num = 0;
    for (uint32_t i = 0; i < fields->len; i++)
        if (fields->v[i].id == id && (!fields->v[i].removed || id == SP_FIELD_PROXY_AUTHORIZATION) && num++ == 0)
            value = fields->v[i].value;
    return num == 1 ? value : (struct sp_str){0};
}

static void forget(struct given *g)
{
    if (g->decoded.len)
        sp_wipe((char *)(uintptr_t)g->decoded.p, g->decoded.len);
    *g = (struct given){0};
}

/* False: no credentials of the scheme Basic (RFC 7617) are there. */
static bool read_field(const struct basic_auth *b, const struct dp_call *call, enum sp_field_id id, struct given *g)
{
    struct sp_str rest = only_field(call, id), scheme = sp_str_split(&rest, ' ');
    *g = (struct given){0};
    if (!rest.p || !sp_str_ieq(scheme, SP_STR("Basic")) || !sp_base64_decode(call->arena, rest, &g->decoded))
        return false;
    struct sp_str password = g->decoded, username = sp_str_split(&password, ':');
    if (!password.p || username.len == 0) {
        forget(g);
        return false;
    }
    g->username = username;
    g->password = password;
    g->login = dp_directory_login(call->directory, b->ws, username);
    return true;
}

/* Proxy-Authorization first, where it names somebody; Kong does the same. False: nothing is there. */
static bool find_given(const struct basic_auth *b, const struct dp_call *call, struct given *g)
{
    struct given other;
    bool found = read_field(b, call, SP_FIELD_PROXY_AUTHORIZATION, g);
    if (g->login || !read_field(b, call, SP_FIELD_AUTHORIZATION, &other))
        return found;
    forget(g);
    *g = other;
    return true;
}

/* --- is it right --- */

static enum dp_verdict check(const struct basic_auth *b, struct dp_call *call, const struct sp_password *p,
                             const struct given *g, enum dp_password_answer *out)
{
    char digits[SP_KONG_HASH + 1];
    struct sp_str secret = g->password;
    if (p->sha1) {
        sp_kong_hash(g->password, g->login ? g->login->consumer->id : g->username, digits);
        secret = sp_str(digits, SP_KONG_HASH);
    }
    enum dp_verdict v = DP_NEXT;
    if (p->local)
        *out = sp_password_matches(p, secret) ? DP_PASSWORD_RIGHT : DP_PASSWORD_WRONG;
    else
        v = dp_password_check(call, b, g->username, p, secret, out);
    sp_wipe(digits, sizeof digits);
    return v;
}

/* A wrong name takes as long as a wrong password: time must not tell who exists. So where hashes are dear, everything
 * that fails has cost one. */
static enum dp_verdict judge(const struct basic_auth *b, struct dp_call *call, const struct given *g,
                             enum dp_password_answer *out)
{
    const struct sp_password *decoy = dp_directory_decoy(call->directory, b->ws);
    *out = DP_PASSWORD_WRONG;
    if (g->password.len > SP_PASSWORD_MAX)
        return DP_NEXT;
    if (g->login) {
        enum dp_verdict v = check(b, call, &g->login->password, g, out);
        if (v == DP_PAUSE || *out != DP_PASSWORD_WRONG || !g->login->password.local)
            return v;
    }
    if (!decoy)
        return DP_NEXT;
    enum dp_verdict v = check(b, call, decoy, g, out);
    if (v == DP_NEXT && *out == DP_PASSWORD_RIGHT)
        *out = DP_PASSWORD_WRONG;
    return v;
}

/* --- access --- */

static enum dp_verdict fail(const struct basic_auth *b, struct dp_call *call, const char *reason)
{
    bool rescued = b->anonymous_name.len != 0;
    dp_reason(call, rescued ? SP_DEBUG : SP_NOTICE, "basic_auth_failed", "basic-auth", reason);
    if (rescued)
        return dp_identity_fall_back(call, b->anonymous_name, b->anonymous);
    sp_fields_add(&call->reply_fields, call->arena, SP_FIELD_OTHER, SP_STR("WWW-Authenticate"), b->challenge);
    return dp_reply(call, 401, "Unauthorized");
}

/* Neither right nor wrong, so not for `anonymous` either. */
static enum dp_verdict fail_busy(struct dp_call *call)
{
    sp_fields_add(&call->reply_fields, call->arena, SP_FIELD_OTHER, SP_STR("Retry-After"), SP_STR("1"));
    return dp_reply(call, 503, "Too many passwords wait to be checked");
}

static enum dp_verdict access(const void *instance, struct dp_call *call)
{
    const struct basic_auth *b = instance;
    struct given g;
    enum dp_password_answer answer;
    if (b->anonymous_name.len && call->has_credential)
        return dp_skip(call, dp_already_authenticated);
    if (!find_given(b, call, &g))
        return fail(b, call, "no credentials");
    const struct dp_login *login = g.login;
    enum dp_verdict v = judge(b, call, &g, &answer);
    forget(&g);
    if (v == DP_PAUSE)
        return v;
    if (answer == DP_PASSWORD_BUSY)
        return fail_busy(call);
    if (b->hide)
        sp_fields_remove(&call->request->fields, SP_STR("Authorization"));
    if (answer != DP_PASSWORD_RIGHT)
        return fail(b, call, "no such user, or another password");
    dp_identity_authenticated(call, login->consumer, login->username);
    dp_identity_publish(call, sp_str("", 0), sp_str("", 0));
    return DP_NEXT;
}

const struct dp_plugin_kind dp_basic_auth = {
    DP_KIND(basic_auth),
    .compile = compile,
    .access = access,
};
