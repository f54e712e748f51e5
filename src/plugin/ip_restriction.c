/* ip-restriction: addresses that may or may not pass. deny is looked at first, then allow. kong-behaviour 4.4. */
#include "plugin/kinds.h"
#include "plugin/network.h"

static const char no_address[] = "Cannot identify the client IP address, unix domain sockets are not supported.";

struct list {
    const struct dp_network *v;
    size_t num;
};

struct ip_restriction {
    struct list allow, deny;
    unsigned status;
    const char *message; /* NULL: the one with the address */
};

static sp_result read_list(struct sp_arena *a, char *const *words, size_t num, const char *field, struct list *out,
                           struct sp_error *err)
{
    struct dp_network *v = SP_NEW_N(a, struct dp_network, num + 1);
    for (size_t i = 0; i < num; i++)
        if (!dp_network_parse(sp_str_z(words[i]), &v[i]))
            return sp_fail(err, SP_E_INVALID, "config.%s[%zu]: invalid ip or cidr range: '%s'", field, i, words[i]);
    *out = (struct list){v, num};
    return sp_ok();
}

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    (void)d;
    const Sallyport__V1__IpRestrictionConfig *c = p->ip_restriction;
    if (c->n_allow == 0 && c->n_deny == 0)
        return sp_fail(err, SP_E_INVALID, "config: at least one of allow and deny must be set");
    if (c->status < 200 || c->status > 599)
        return sp_fail(err, SP_E_INVALID, "config.status: expected 200 to 599");
    struct ip_restriction *out = SP_NEW(a, struct ip_restriction);
    *instance = out;
    out->status = (unsigned)c->status;
    out->message = c->message && *c->message ? sp_arena_strdup(a, c->message) : NULL;
    SP_TRY(read_list(a, c->allow, c->n_allow, "allow", &out->allow, err));
    return read_list(a, c->deny, c->n_deny, "deny", &out->deny, err);
}

static bool has(const struct list *l, const struct dp_network *address)
{
    for (size_t i = 0; i < l->num; i++)
        if (dp_network_has(&l->v[i], address))
            return true;
    return false;
}

static enum dp_verdict access(const void *instance, struct dp_call *call)
{
    const struct ip_restriction *r = instance;
    struct dp_network address;
    if (!dp_network_parse(call->client_ip, &address)) /* on no allow list, and denied */
        return dp_reply(call, 403, no_address);
    if (!has(&r->deny, &address) && (r->allow.num == 0 || has(&r->allow, &address)))
        return DP_NEXT;
    const char *message = r->message;
    if (!message)
        message = sp_arena_printf(call->arena, "IP address not allowed: %.*s", SP_FMT(call->client_ip)).p;
    return dp_reply(call, r->status, message);
}

const struct dp_plugin_kind dp_ip_restriction = {
    DP_KIND(ip_restriction),
    .compile = compile,
    .access = access,
};
