/* acl: groups of the consumer, or of the authentication itself, that may or may not pass. kong-behaviour 4.4. */
#include "plugin/kinds.h"
#include "plugin/trace.h"

static const char refused[] = "You cannot consume this service";

struct acl {
    const struct sp_str *groups;
    size_t num;
    bool allow, hide, prefer_authenticated, with_consumer_groups;
};

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    (void)d;
    const Sallyport__V1__AclConfig *c = p->acl;
    if ((c->n_allow == 0) == (c->n_deny == 0))
        return sp_fail(err, SP_E_INVALID, "config: exactly one of allow and deny must be set");
    struct acl *out = SP_NEW(a, struct acl);
    *instance = out;
    out->allow = c->n_allow != 0;
    out->hide = c->hide_groups_header;
    out->prefer_authenticated = c->always_use_authenticated_groups;
    out->with_consumer_groups = c->include_consumer_groups;
    out->num = out->allow ? c->n_allow : c->n_deny;
    char *const *words = out->allow ? c->allow : c->deny;
    struct sp_str *groups = SP_NEW_N(a, struct sp_str, out->num);
    for (size_t i = 0; i < out->num; i++)
        groups[i] = sp_arena_dup(a, sp_str_z(words[i]));
    out->groups = groups;
    return sp_ok();
}

struct groups {
    const struct sp_str *v;
    size_t num;
    bool authenticated; /* of the authentication, not of a consumer */
};

static struct groups groups_of_consumer(const struct acl *l, struct dp_call *call)
{
    const struct dp_consumer *c = call->consumer;
    if (!l->with_consumer_groups || c->num_groups == 0)
        return (struct groups){c->acl_groups, c->num_acl_groups, false};
    struct sp_str *v = SP_NEW_N(call->arena, struct sp_str, c->num_acl_groups + c->num_groups);
    for (size_t i = 0; i < c->num_acl_groups; i++)
        v[i] = c->acl_groups[i];
    for (size_t i = 0; i < c->num_groups; i++)
        v[c->num_acl_groups + i] = c->groups[i];
    return (struct groups){v, c->num_acl_groups + c->num_groups, false};
}

static struct groups groups_of(const struct acl *l, struct dp_call *call)
{
    bool prefer = !call->consumer || !call->has_credential || l->prefer_authenticated;
    if (prefer && call->authenticated_groups)
        return (struct groups){call->authenticated_groups, call->num_authenticated_groups, true};
    return call->consumer ? groups_of_consumer(l, call) : (struct groups){0};
}

static bool any_listed(const struct acl *l, const struct groups *g)
{
    for (size_t i = 0; i < g->num; i++)
        for (size_t k = 0; k < l->num; k++)
            if (sp_str_eq(g->v[i], l->groups[k]))
                return true;
    return false;
}

static void publish(struct dp_call *call, const struct groups *g)
{
    struct sp_str all = g->v[0];
    for (size_t i = 1; i < g->num; i++)
        all = sp_arena_printf(call->arena, "%.*s, %.*s", SP_FMT(all), SP_FMT(g->v[i]));
    struct sp_str name = g->authenticated ? SP_STR("X-Authenticated-Groups") : SP_STR("X-Consumer-Groups");
    if (sp_field_value_valid(all))
        sp_fields_add(&call->request->fields, call->arena, SP_FIELD_OTHER, name, all);
}

static void note_groups(struct dp_call *call, const struct groups *g)
{
    struct sp_str all = SP_STR("none");
    for (size_t i = 0; i < g->num && call->trace; i++)
        all = i ? sp_arena_printf(call->arena, "%.*s, %.*s", SP_FMT(all), SP_FMT(g->v[i])) : g->v[0];
    dp_note(call, "groups of the %s: %.*s", g->authenticated ? "certificate" : "consumer", SP_FMT(all));
}

static enum dp_verdict refuse(struct dp_call *call)
{
    if (call->has_credential)
        return dp_reply(call, 403, refused);
    return dp_reply(call, 401, "Unauthorized");
}

static enum dp_verdict access(const void *instance, struct dp_call *call)
{
    const struct acl *l = instance;
    struct groups g = groups_of(l, call);
    note_groups(call, &g);
    sp_fields_remove(&call->request->fields, SP_STR("X-Consumer-Groups"));
    sp_fields_remove(&call->request->fields, SP_STR("X-Authenticated-Groups"));
    if (g.num == 0 && (l->allow || !call->consumer))
        return refuse(call);
    if (any_listed(l, &g) != l->allow)
        return dp_reply(call, 403, refused);
    if (g.num && !l->hide)
        publish(call, &g);
    return DP_NEXT;
}

const struct dp_plugin_kind dp_acl = {
    DP_KIND(acl),
    .compile = compile,
    .access = access,
};
