#include "config/agent.h"

#include "base/log.h"
#include "config/cache.h"
#include "config/discovery.h"

#include <stdlib.h>

/* What main is publishing for us. */
enum publishing { NOTHING, FROM_CACHE, CANDIDATE };

enum { CACHE_EVERY_MS = 1000, DEFAULT_MAX_BYTES = 256 << 20 };

struct dp_agent {
    struct sp_loop *loop;
    struct sp_arena *arena;
    struct dp_agent_options o; /* strings in the arena */
    struct dp_delta *delta;
    struct dp_discovery *discovery;
    struct sp_buf key_pem;
    struct sp_timer begin, cache_later;
    enum publishing publishing;
    uint64_t stream, candidate_stream; /* number of the stream, and of the one that brought the candidate */
    bool hello_waits;                  /* until what is being published is decided */
    bool live;                         /* the delta's current state is what the workers run */
    bool stale;
    uint64_t cache_written_ms;
    int64_t rejected;
    struct sp_buf rejected_why;
    uint64_t connects, applied, rejects;
};

/* --- the cache --- */

static void write_cache(struct dp_agent *a)
{
    struct sp_error err;
    a->cache_written_ms = sp_loop_now(a->loop);
    if (sp_failed(dp_cache_save(a->o.cache_path, sp_buf_str(&a->key_pem), dp_delta_revision(a->delta),
                                dp_delta_current(a->delta), &err)))
        sp_log(SP_WARN, "cache_not_written", "path=\"%s\" reason=\"%s\"", a->o.cache_path, err.text);
}

static void on_cache_later(struct sp_timer *t)
{
    write_cache((struct dp_agent *)(void *)((char *)t - offsetof(struct dp_agent, cache_later)));
}

/* At once, but not more often than once a second: a stream of changes is not a stream of fsyncs. */
static void keep(struct dp_agent *a)
{
    uint64_t now = sp_loop_now(a->loop), next = a->cache_written_ms + CACHE_EVERY_MS;
    if (!a->o.cache_path || a->cache_later.loop)
        return;
    if (!a->cache_written_ms || now >= next)
        write_cache(a);
    else
        sp_timer_start(&a->cache_later, a->loop, next - now, on_cache_later);
}

/* --- publishing --- */

static void send_hello(struct dp_agent *a)
{
    struct sp_buf out = {0};
    a->hello_waits = false;
    dp_delta_hello(a->delta, &a->o.node, &out);
    dp_discovery_send(a->discovery, sp_buf_str(&out));
    sp_buf_fini(&out);
}

/* dp_resource_label of the snapshot's compiler, or a name of the model's. */
static struct dp_problem to_problem(const struct sp_problem *p)
{
    struct sp_str rest = p->entity, head = sp_str_split(&rest, '/');
    const ProtobufCEnumValue *kind = NULL;
    for (unsigned i = 0; rest.p && !kind && i < sallyport__v1__kind__descriptor.n_values; i++)
        if (sp_str_eq(head, sp_str_z(sallyport__v1__kind__descriptor.values[i].name)))
            kind = &sallyport__v1__kind__descriptor.values[i];
    return (struct dp_problem){.kind = kind ? (Sallyport__V1__Kind)kind->value : SALLYPORT__V1__KIND__KIND_UNSPECIFIED,
                               .name = kind ? rest : p->entity,
                               .field = p->path,
                               .reason = p->text};
}

static void remember_refusal(struct dp_agent *a, int64_t revision, struct sp_str why)
{
    a->rejected = revision;
    a->rejects++;
    sp_buf_clear(&a->rejected_why);
    sp_buf_add(&a->rejected_why, why);
    sp_log(SP_ERROR, "config_rejected", "revision=%lld reason=\"%.*s\"", (long long)revision, SP_FMT(why));
}

static void candidate_refused(struct dp_agent *a, const struct sp_problems *problems, struct sp_buf *reply)
{
    struct dp_problem *v = sp_alloc((problems->num_errors + 1) * sizeof *v);
    size_t n = 0;
    for (const struct sp_problem *p = problems->first; p && n < problems->num_errors; p = p->next)
        if (p->severity == SP_PROBLEM_ERROR)
            v[n++] = to_problem(p);
    if (n == 0)
        v[n++] = (struct dp_problem){.reason = SP_STR("refused without a reason")};
    remember_refusal(a, dp_delta_candidate(a->delta)->revision, v[0].reason);
    dp_delta_rejected(a->delta, v, n, reply);
    free(v);
}

static void candidate_live(struct dp_agent *a, struct sp_buf *reply)
{
    dp_delta_applied(a->delta, reply);
    a->live = true;
    a->stale = false;
    a->rejected = 0;
    a->applied++;
    sp_log(SP_NOTICE, "config_live", "revision=%lld resources=%zu", (long long)dp_delta_revision(a->delta),
           dp_delta_current(a->delta)->num);
}

static void on_candidate_done(struct dp_agent *a, const struct sp_problems *problems)
{
    struct sp_buf reply = {0};
    if (problems)
        candidate_refused(a, problems, &reply);
    else
        candidate_live(a, &reply);
    if (a->candidate_stream == a->stream)
        dp_discovery_send(a->discovery, sp_buf_str(&reply));
    sp_buf_fini(&reply);
    if (!problems)
        keep(a);
}

static void on_cache_done(struct dp_agent *a, const struct sp_problems *problems)
{
    a->live = a->stale = !problems;
    if (!problems)
        return;
    sp_log(SP_WARN, "cache_ignored", "path=\"%s\" reason=\"%.*s\"", a->o.cache_path,
           SP_FMT(problems->first ? problems->first->text : SP_STR("it does not compile")));
    dp_delta_forget(a->delta);
}

static void on_done(struct dp_agent *a, const struct sp_problems *problems)
{
    enum publishing was = a->publishing;
    sp_assert(was != NOTHING);
    a->publishing = NOTHING;
    if (was == CANDIDATE)
        on_candidate_done(a, problems);
    else
        on_cache_done(a, problems);
    if (a->hello_waits)
        send_hello(a);
}

static void publish(struct dp_agent *a, enum publishing what, const struct sp_resources *r, int64_t revision)
{
    a->publishing = what;
    a->o.publish(a->o.ctx, r, revision, on_done, a);
}

/* --- the stream --- */

static void on_opened(void *ctx)
{
    struct dp_agent *a = ctx;
    a->stream++;
    a->connects++;
    if (a->publishing != NOTHING)
        a->hello_waits = true;
    else
        send_hello(a);
}

static void on_lost(void *ctx, const char *why)
{
    struct dp_agent *a = ctx;
    (void)why;
    a->hello_waits = false;
    a->stream++;
}

static void on_candidate(struct dp_agent *a)
{
    const struct dp_candidate *c = dp_delta_candidate(a->delta);
    dp_discovery_good(a->discovery);
    a->candidate_stream = a->stream;
    if (a->live && c->num_changes == 0 && c->revision == dp_delta_revision(a->delta)) {
        a->publishing = CANDIDATE;
        on_done(a, NULL); /* what runs already is confirmed */
        return;
    }
    publish(a, CANDIDATE, c->resources, c->revision);
}

static void on_message(void *ctx, struct sp_str bytes)
{
    struct dp_agent *a = ctx;
    struct sp_buf reply = {0};
    struct sp_error err = {0};
    switch (dp_delta_receive(a->delta, bytes, &reply, &err)) {
    case DP_DELTA_MORE:
        break;
    case DP_DELTA_CANDIDATE:
        on_candidate(a);
        break;
    case DP_DELTA_REFUSED:
        dp_discovery_good(a->discovery);
        remember_refusal(a, dp_delta_refused_revision(a->delta), sp_str_z(err.text));
        dp_discovery_send(a->discovery, sp_buf_str(&reply));
        break;
    case DP_DELTA_BROKEN:
        a->stream++;
        dp_discovery_drop(a->discovery, err.text);
        break;
    }
    sp_buf_fini(&reply);
}

/* --- life --- */

static void load_cache(struct dp_agent *a)
{
    struct dp_cached c = {0};
    struct sp_error err;
    if (!a->o.cache_path)
        return;
    sp_result r = dp_cache_load(a->o.cache_path, sp_buf_str(&a->key_pem), a->o.max_bytes, &c, &err);
    if (!sp_failed(r))
        r = dp_delta_seed(a->delta, c.revision, c.v, c.num, &err);
    dp_cached_fini(&c);
    if (sp_failed(r) && r.code != SP_E_NOT_FOUND)
        sp_log(SP_WARN, "cache_ignored", "path=\"%s\" reason=\"%s\"", a->o.cache_path, err.text);
    if (sp_failed(r))
        return;
    sp_log(SP_NOTICE, "cache_loaded", "path=\"%s\" revision=%lld", a->o.cache_path,
           (long long)dp_delta_revision(a->delta));
    publish(a, FROM_CACHE, dp_delta_current(a->delta), dp_delta_revision(a->delta));
}

static void on_begin(struct sp_timer *t)
{
    load_cache((struct dp_agent *)(void *)((char *)t - offsetof(struct dp_agent, begin)));
}

static const struct sp_str *copy_texts(struct sp_arena *arena, const struct sp_str *v, size_t num)
{
    struct sp_str *out = SP_NEW_N(arena, struct sp_str, num + 1);
    for (size_t i = 0; i < num; i++)
        out[i] = sp_arena_dup(arena, v[i]);
    return out;
}

static void copy_options(struct dp_agent *a, const struct dp_agent_options *o)
{
    a->o = *o;
    a->o.addresses = NULL;
    a->o.cert_pem = a->o.key_pem = a->o.ca_pem = SP_STR("");
    a->o.node.id = sp_arena_dup(a->arena, o->node.id);
    a->o.node.version = sp_arena_dup(a->arena, o->node.version);
    a->o.node.hostname = sp_arena_dup(a->arena, o->node.hostname);
    a->o.node.labels = copy_texts(a->arena, o->node.labels, o->node.num_labels);
    a->o.node.plugins = copy_texts(a->arena, o->node.plugins, o->node.num_plugins);
    a->o.cache_path = o->cache_path ? sp_arena_strdup(a->arena, o->cache_path) : NULL;
    a->o.max_bytes = o->max_bytes ? o->max_bytes : DEFAULT_MAX_BYTES;
    sp_buf_add(&a->key_pem, o->key_pem);
}

sp_result dp_agent_start(struct sp_loop *loop, const struct dp_agent_options *o, struct dp_agent **out,
                         struct sp_error *err)
{
    struct dp_agent *a = sp_alloc(sizeof *a);
    a->loop = loop;
    a->arena = sp_arena_new(1024);
    copy_options(a, o);
    a->delta = dp_delta_new(a->o.max_bytes);
    struct dp_discovery_options d = {.addresses = o->addresses,
                                     .num_addresses = o->num_addresses,
                                     .server_name = o->server_name,
                                     .cert_pem = o->cert_pem,
                                     .key_pem = o->key_pem,
                                     .ca_pem = o->ca_pem,
                                     .opened = on_opened,
                                     .message = on_message,
                                     .lost = on_lost,
                                     .ctx = a};
    sp_timer_start(&a->begin, loop, 0, on_begin); /* before the first try to connect, which also waits for the loop */
    sp_result r = dp_discovery_start(loop, &d, &a->discovery, err);
    if (sp_failed(r)) {
        dp_agent_stop(a);
        return r;
    }
    *out = a;
    return r;
}

void dp_agent_stop(struct dp_agent *a)
{
    if (!a)
        return;
    sp_timer_stop(&a->begin);
    dp_discovery_stop(a->discovery);
    if (a->cache_later.loop) {
        sp_timer_stop(&a->cache_later);
        write_cache(a);
    }
    dp_delta_free(a->delta);
    sp_buf_wipe(&a->key_pem);
    sp_buf_fini(&a->rejected_why);
    sp_arena_free(a->arena);
    free(a);
}

void dp_agent_status(const struct dp_agent *a, struct dp_agent_status *out)
{
    *out = (struct dp_agent_status){.connected = dp_discovery_connected(a->discovery),
                                    .stale = a->stale,
                                    .revision = a->live ? dp_delta_revision(a->delta) : 0,
                                    .rejected = a->rejected,
                                    .rejected_why = a->rejected ? sp_buf_str(&a->rejected_why) : SP_STR(""),
                                    .address = dp_discovery_address(a->discovery),
                                    .error = dp_discovery_error(a->discovery),
                                    .connects = a->connects,
                                    .applied = a->applied,
                                    .rejects = a->rejects};
}
