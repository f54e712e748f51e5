#include "plugin/chain.h"
#include "plugin/directory.h"
#include "plugin/identity.h"
#include "plugin/trace.h"

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

/* A list stands under the route, the service or the workspace already; what is left is the service of a plugin with
 * both. */
static bool applies(const struct dp_instance *i, const Sallyport__V1__Route *route,
                    const Sallyport__V1__Service *service)
{
    const Sallyport__V1__Plugin *p = i->plugin;
    if (!sp_str_eq(dp_workspace(p->ws), dp_workspace(route->ws)))
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

static struct option make_option(const struct dp_instance *i)
{
    const Sallyport__V1__Plugin *p = i->plugin;
    return (struct option){.instance = i,
                           .consumer = p->consumer ? sp_str_z(p->consumer->id) : sp_str("", 0),
                           .group = p->consumer_group ? sp_str_z(p->consumer_group->name) : sp_str("", 0),
                           .precedence = precedence_of(p)};
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

struct dp_chain *dp_chain_compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Route *route,
                                  const Sallyport__V1__Service *service)
{
    const struct dp_instance *lists[] = {
        dp_directory_of_route(d, sp_str_z(route->id)),
        service ? dp_directory_of_service(d, sp_str_z(service->id)) : NULL,
        dp_directory_of_workspace(d, dp_workspace(route->ws)),
    };
    struct dp_chain *c = SP_NEW(a, struct dp_chain);
    c->grpc = is_grpc(route);
    uint32_t num = 0;
    for (size_t l = 0; l < 3; l++)
        for (const struct dp_instance *i = lists[l]; i; i = i->next)
            num += applies(i, route, service);
    if (num == 0)
        return c;
    struct option *v = SP_NEW_N(a, struct option, num);
    uint32_t n = 0;
    for (size_t l = 0; l < 3; l++)
        for (const struct dp_instance *i = lists[l]; i; i = i->next)
            if (applies(i, route, service))
                v[n++] = make_option(i);
    qsort(v, n, sizeof *v, by_kind_and_precedence);
    fill_slots(a, c, v, n);
    return c;
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

/* Why an instance has no say; NULL: it may. */
static const char *unfit(const struct option *o, const struct dp_call *call, unsigned protocol)
{
    if (!(o->instance->protocols & protocol))
        return "it does not speak the request's protocol";
    if (o->consumer.len && !(call->consumer && sp_str_eq(o->consumer, call->consumer->id)))
        return "it is for another consumer";
    if (o->group.len && !(call->consumer && in_group(call->consumer, o->group)))
        return "it is for a group that the consumer is not in";
    return NULL;
}

/* The instance of a kind that has its say. One that does not speak the request's protocol leaves the place to a less
 * specific one: never to none. */
static const struct option *choose(const struct slot *s, const struct dp_call *call, unsigned protocol)
{
    for (uint32_t o = 0; o < s->num; o++)
        if (!unfit(&s->options[o], call, protocol))
            return &s->options[o];
    return NULL;
}

static unsigned protocol_of(const struct dp_chain *c, bool tls)
{
    return c->grpc ? (tls ? DP_GRPCS : DP_GRPC) : tls ? DP_HTTPS : DP_HTTP;
}

static enum dp_verdict run(const struct slot *s, struct dp_call *call, unsigned protocol)
{
    const struct option *o = choose(s, call, protocol);
    return o ? s->kind->access(o->instance->config, call) : DP_NEXT;
}

/* --- the same, explained --- */

static void trace_slots(const struct dp_chain *c, struct dp_call *call)
{
    struct dp_trace *t = call->trace;
    t->num = c->num;
    t->steps = SP_NEW_N(call->arena, struct dp_trace_step, c->num + 1);
    for (size_t i = 0; i < c->num; i++) {
        const struct slot *s = &c->slots[i];
        t->steps[i].kind = s->kind;
        t->steps[i].num_instances = s->num;
        t->steps[i].instances = SP_NEW_N(call->arena, struct dp_trace_instance, s->num);
        for (uint32_t o = 0; o < s->num; o++)
            t->steps[i].instances[o].plugin = s->options[o].instance->plugin;
    }
}

static void trace_choice(const struct slot *s, const struct dp_call *call, unsigned protocol,
                         struct dp_trace_step *step)
{
    step->chosen = NULL; /* a plugin that has waited comes again */
    for (uint32_t o = 0; o < s->num; o++) {
        const char *why = unfit(&s->options[o], call, protocol);
        if (why)
            step->instances[o].unfit = why;
        else if (step->chosen)
            step->instances[o].unfit = "a more specific instance has the say";
        else
            step->chosen = s->options[o].instance->plugin;
    }
}

static enum dp_verdict run_traced(const struct slot *s, struct dp_call *call, unsigned protocol)
{
    static const enum dp_outcome outcomes[] = {[DP_NEXT] = DP_PASSED, [DP_REPLY] = DP_REPLIED, [DP_PAUSE] = DP_WAITED};
    struct dp_trace_step *step = call->trace->now = &call->trace->steps[call->slot];
    trace_choice(s, call, protocol, step);
    if (!step->chosen)
        dp_skip(call, "no instance is for this request");
    enum dp_verdict v = run(s, call, protocol);
    if (step->outcome != DP_SKIPPED || v != DP_NEXT)
        step->outcome = outcomes[v];
    call->trace->now = NULL;
    return v;
}

/* --- walking --- */

/* Scopes are looked at when the kind's turn comes, because authentication has run by then. */
enum dp_verdict dp_chain_resume(const struct dp_chain *c, struct dp_call *call, bool tls)
{
    unsigned protocol = protocol_of(c, tls);
    for (; call->slot < c->num; call->slot++) {
        const struct slot *s = &c->slots[call->slot];
        enum dp_verdict v = call->trace ? run_traced(s, call, protocol) : run(s, call, protocol);
        if (v != DP_NEXT)
            return v;
    }
    dp_identity_settle(call);
    return DP_NEXT;
}

enum dp_verdict dp_chain_access(const struct dp_chain *c, struct dp_call *call, bool tls)
{
    if (!call->peer_trusted) /* with or without an authentication here: nobody says who he is by himself */
        dp_identity_clear(&call->request->fields);
    call->slot = 0;
    if (call->trace)
        trace_slots(c, call);
    return dp_chain_resume(c, call, tls);
}

/* --- between requests --- */

bool dp_chain_identifies(const struct dp_chain *c)
{
    for (uint32_t i = 0; i < c->num; i++)
        if (c->slots[i].kind->stands)
            return true;
    return false;
}

bool dp_chain_stands(const struct dp_chain *c, struct dp_call *call)
{
    for (uint32_t i = 0; i < c->num; i++) {
        const struct slot *s = &c->slots[i];
        const struct option *o = s->kind->stands ? choose(s, call, protocol_of(c, true)) : NULL;
        if (o && !s->kind->stands(o->instance->config, call))
            return false;
    }
    return true;
}
