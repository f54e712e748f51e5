#include "plugin/chain.h"
#include "plugin/directory.h"

#include <stdlib.h>

/* One instance that may be the one of its kind for a request. */
struct option {
    const struct dp_instance *instance;
    struct sp_str consumer, group; /* id and name it is bound to; empty: any */
    int precedence;                /* kong-behaviour 4.6: 1 is the most specific */
};

/* One kind of plugin, with its instances, most specific first. */
struct slot {
    const struct dp_plugin_kind *kind;
    const struct option *options;
    uint32_t num;
};

struct dp_chain {
    const struct slot *slots; /* by priority */
    uint32_t num;
    bool grpc; /* the route's protocols are grpc and grpcs: what a request says of itself does not count */
};

/* --- compile --- */

static bool is_ref_to(const Sallyport__V1__Ref *ref, const char *id)
{
    return ref && ref->id && id && strcmp(ref->id, id) == 0;
}

static bool applies(const Sallyport__V1__Plugin *p, const Sallyport__V1__Route *route,
                    const Sallyport__V1__Service *service)
{
    if (!p->enabled || !sp_str_eq(dp_workspace(p->ws), dp_workspace(route->ws)))
        return false;
    if (p->route && !is_ref_to(p->route, route->id))
        return false;
    return !p->service || (service && is_ref_to(p->service, service->id));
}

static int precedence_of(const Sallyport__V1__Plugin *p)
{
    static const struct {
        bool consumer, group, route, service;
    } table[] = {
        {1, 0, 1, 1}, {0, 1, 1, 1}, {1, 0, 1, 0}, {1, 0, 0, 1}, {0, 1, 1, 0}, {0, 1, 0, 1},
        {0, 0, 1, 1}, {1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}, {0, 0, 0, 0},
    };
    int num = sizeof table / sizeof *table;
    for (int i = 0; i < num; i++)
        if (table[i].consumer == (p->consumer != NULL) && table[i].group == (p->consumer_group != NULL) &&
            table[i].route == (p->route != NULL) && table[i].service == (p->service != NULL))
            return i + 1;
    return 0; /* consumer and group at once: as specific as it gets */
}

static int by_kind_and_precedence(const void *x, const void *y)
{
    const struct option *a = x, *b = y;
    const struct dp_plugin_kind *ka = a->instance->kind, *kb = b->instance->kind;
    if (ka->priority != kb->priority)
        return ka->priority > kb->priority ? -1 : 1;
    int c = strcmp(kb->name, ka->name); /* equal priority: the later name runs first */
    if (c)
        return c;
    if (a->precedence != b->precedence)
        return a->precedence < b->precedence ? -1 : 1;
    c = sp_str_cmp(a->group, b->group);
    return c ? c : sp_str_cmp(sp_str_z(a->instance->plugin->id), sp_str_z(b->instance->plugin->id));
}

static sp_result make_option(const struct dp_directory *d, const Sallyport__V1__Plugin *p, struct option *out,
                             struct sp_error *err)
{
    *out = (struct option){.precedence = precedence_of(p)};
    if (p->consumer)
        out->consumer = sp_str_z(p->consumer->id);
    if (p->consumer_group)
        out->group = sp_str_z(p->consumer_group->name);
    if ((p->consumer && !out->consumer.len) || (p->consumer_group && !out->group.len))
        return sp_fail(err, SP_E_INVALID, "plugin %s: a scope without a name", p->id ? p->id : "?");
    if (sp_failed(dp_directory_instance(d, p, &out->instance, err)))
        return sp_fail_in(err, "plugin %s", p->id ? p->id : "?");
    return sp_ok();
}

static void fill_slots(struct sp_arena *a, struct dp_chain *c, const struct option *v, uint32_t num)
{
    struct slot *slots = SP_NEW_N(a, struct slot, num);
    for (uint32_t i = 0; i < num; i++) {
        if (c->num && slots[c->num - 1].kind == v[i].instance->kind)
            slots[c->num - 1].num++;
        else
            slots[c->num++] = (struct slot){v[i].instance->kind, &v[i], 1};
    }
    c->slots = slots;
}

static bool is_grpc(const Sallyport__V1__Route *route)
{
    for (size_t i = 0; i < route->n_protocols; i++)
        if (strncmp(route->protocols[i], "grpc", 4) == 0)
            return true;
    return false;
}

sp_result dp_chain_compile(struct sp_arena *a, const struct dp_directory *d, Sallyport__V1__Plugin *const *plugins,
                           size_t num, const Sallyport__V1__Route *route, const Sallyport__V1__Service *service,
                           struct dp_chain **out, struct sp_error *err)
{
    size_t matching = 0;
    for (size_t i = 0; i < num; i++)
        matching += applies(plugins[i], route, service);
    struct dp_chain *c = SP_NEW(a, struct dp_chain);
    *out = c;
    c->grpc = is_grpc(route);
    if (matching == 0)
        return sp_ok();
    struct option *v = SP_NEW_N(a, struct option, matching);
    uint32_t n = 0;
    for (size_t i = 0; i < num; i++) {
        if (!applies(plugins[i], route, service))
            continue;
        SP_TRY(make_option(d, plugins[i], &v[n], err));
        n += v[n].instance->kind->access != NULL; /* others have done their part in the handshake */
    }
    qsort(v, n, sizeof *v, by_kind_and_precedence);
    if (n)
        fill_slots(a, c, v, n);
    return sp_ok();
}

size_t dp_chain_len(const struct dp_chain *c)
{
    return c->num;
}

/* --- access --- */

static bool in_group(const struct dp_consumer *c, struct sp_str group)
{
    for (size_t i = 0; i < c->num_groups; i++)
        if (sp_str_eq(c->groups[i], group))
            return true;
    return false;
}

static bool is_for(const struct option *o, const struct dp_call *call, unsigned protocol)
{
    if (!(o->instance->protocols & protocol))
        return false;
    if (o->consumer.len && !(call->consumer && sp_str_eq(o->consumer, call->consumer->id)))
        return false;
    return !o->group.len || (call->consumer && in_group(call->consumer, o->group));
}

/* Scopes are looked at when the kind's turn comes, because authentication has run by then. An instance that does not
 * speak the request's protocol leaves the place to a less specific one: never to none. */
enum dp_verdict dp_chain_access(const struct dp_chain *c, struct dp_call *call, bool tls)
{
    unsigned protocol = c->grpc ? (tls ? DP_GRPCS : DP_GRPC) : tls ? DP_HTTPS : DP_HTTP;
    for (uint32_t i = 0; i < c->num; i++) {
        const struct slot *s = &c->slots[i];
        for (uint32_t o = 0; o < s->num; o++) {
            if (!is_for(&s->options[o], call, protocol))
                continue;
            if (s->kind->access(s->options[o].instance->config, call) == DP_REPLY)
                return DP_REPLY;
            break;
        }
    }
    return DP_NEXT;
}
