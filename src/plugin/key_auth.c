/* key-auth: a key in a header field, a query argument or the body names the consumer. kong-behaviour 4.4. */
#include "plugin/body.h"
#include "plugin/directory.h"
#include "plugin/identity.h"
#include "plugin/kinds.h"
#include "plugin/query.h"
#include "plugin/trace.h"

struct key_auth {
    struct sp_str ws, anonymous_name, challenge;
    const struct dp_consumer *anonymous;
    const struct sp_str *names;
    size_t num_names;
    bool in_header, in_query, in_body, hide, on_preflight;
};

static void read_names(struct sp_arena *a, const Sallyport__V1__KeyAuthConfig *c, struct key_auth *out)
{
    struct sp_str *names = SP_NEW_N(a, struct sp_str, c->n_key_names + 1);
    for (size_t i = 0; i < c->n_key_names; i++)
        names[i] = sp_arena_dup(a, sp_str_z(c->key_names[i]));
    out->num_names = c->n_key_names;
    if (c->n_key_names == 0)
        names[out->num_names++] = SP_STR("apikey");
    out->names = names;
}

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    const Sallyport__V1__KeyAuthConfig *c = p->key_auth;
    struct key_auth *out = SP_NEW(a, struct key_auth);
    *instance = out;
    out->ws = sp_arena_dup(a, dp_workspace(p->ws));
    out->in_header = c->key_in_header;
    out->in_query = c->key_in_query;
    out->in_body = c->key_in_body;
    out->hide = c->hide_credentials;
    out->on_preflight = c->run_on_preflight;
    out->challenge = c->realm && *c->realm ? sp_arena_printf(a, "Key realm=\"%s\"", c->realm) : SP_STR("Key");
    if (!sp_field_value_valid(out->challenge))
        return sp_fail(err, SP_E_INVALID, "config.realm: cannot stand in a header field");
    out->anonymous_name = sp_arena_dup(a, sp_str_z(c->anonymous));
    if (out->anonymous_name.len)
        out->anonymous = dp_directory_consumer(d, out->ws, out->anonymous_name);
    read_names(a, c, out);
    return sp_ok();
}

struct body {
    struct dp_body_type type; /* DP_BODY_OTHER: nobody looks into it */
    struct sp_str text;
};

/* The exact spelling first; a name with '_' is then also met by one with '-', as Kong has it. */
static size_t find_in_fields(struct dp_call *call, struct sp_str name, struct sp_str *key)
{
    const struct sp_fields *fields = &call->request->fields;
    struct sp_str dashed = sp_arena_dup(call->arena, name);
    for (size_t i = 0; i < dashed.len; i++)
        if (dashed.p[i] == '_')
            ((char *)(uintptr_t)dashed.p)[i] = '-';
    size_t num = 0;
    for (int pass = 0; pass < 2 && num == 0; pass++)
        for (uint32_t i = 0; i < fields->len; i++)
            if (!fields->v[i].removed && sp_str_ieq(fields->v[i].name, pass ? dashed : name) && num++ == 0)
                *key = fields->v[i].value;
    return num;
}

/* How often the key is there, in the first place where it is. An argument without a value is not one, unless there are
 * several. */
static size_t find_key(const struct key_auth *k, struct dp_call *call, const struct body *body, struct sp_str name,
                       struct sp_str *key)
{
    size_t num = k->in_header ? find_in_fields(call, name, key) : 0;
    if (num == 0 && k->in_query)
        num = dp_query_find(call->arena, call->query, name, key);
    if (num == 0)
        num = dp_body_find(call->arena, &body->type, body->text, name, key);
    return num == 1 && !key->p ? 0 : num;
}

/* The upstream must not see it anywhere, wherever it was found. */
static void hide(const struct key_auth *k, struct dp_call *call, const struct body *body, struct sp_str name)
{
    struct sp_str value;
    sp_fields_remove(&call->request->fields, name);
    if (dp_query_find(call->arena, call->query, name, &value))
        call->query = dp_query_without(call->arena, call->query, name);
    if (!k->in_body || !dp_body_find(call->arena, &body->type, body->text, name, &value))
        return;
    call->body = dp_body_without(call->arena, &body->type, body->text, name);
    call->body_changed = true;
}

/* False: the body has to come first. */
static bool read_body(const struct key_auth *k, struct dp_call *call, struct body *body)
{
    struct dp_body_type type = {0};
    struct sp_str key;
    size_t num = 0;
    for (size_t i = 0; i < k->num_names && num == 0; i++)
        num = find_key(k, call, body, k->names[i], &key);
    if (k->in_body)
        type = dp_body_type(call->arena, call->request);
    if (type.kind == DP_BODY_OTHER || (num && !k->hide))
        return true;
    body->type = type;
    return dp_body_read(call, &body->text);
}

static enum dp_verdict fail(const struct key_auth *k, struct dp_call *call, const char *message)
{
    dp_reason(call, SP_DEBUG, "key_auth_failed", "key-auth", message);
    if (k->anonymous_name.len)
        return dp_identity_fall_back(call, k->anonymous_name, k->anonymous);
    sp_fields_add(&call->reply_fields, call->arena, SP_FIELD_OTHER, SP_STR("WWW-Authenticate"), k->challenge);
    return dp_reply(call, 401, message);
}

static enum dp_verdict access(const void *instance, struct dp_call *call)
{
    const struct key_auth *k = instance;
    if (!k->on_preflight && sp_str_eq(call->request->method, SP_STR("OPTIONS")))
        return dp_skip(call, "run_on_preflight is off");
    if (k->anonymous_name.len && call->has_credential)
        return dp_skip(call, dp_already_authenticated);
    struct body body = {0};
    if (!read_body(k, call, &body))
        return DP_PAUSE;
    struct sp_str text = {0};
    size_t num = 0, i = 0;
    while (i < k->num_names && (num = find_key(k, call, &body, k->names[i], &text)) == 0)
        i++;
    if (num > 1)
        return fail(k, call, "Duplicate API key found");
    if (num && k->hide)
        hide(k, call, &body, k->names[i]);
    if (num == 0 || text.len == 0)
        return fail(k, call, "No API key found in request");
    const struct dp_key *key = dp_directory_key(call->directory, k->ws, text);
    if (!key || (key->expires && sp_clock_wall_s(call->clock) >= key->expires))
        return fail(k, call, "Unauthorized");
    dp_identity_authenticated(call, key->consumer, key->id);
    dp_identity_publish(call, sp_str("", 0), sp_str("", 0));
    return DP_NEXT;
}

const struct dp_plugin_kind dp_key_auth = {
    DP_KIND(key_auth),
    .compile = compile,
    .access = access,
};
