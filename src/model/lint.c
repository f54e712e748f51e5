/* What is allowed but surprises: said when a configuration is applied (DESIGN section 4). */
#include "model/handshake.h"

#include "base/names.h"
#include "model/build.h"
#include "model/rules.h"
#include "model/vault.h"

#include <stdarg.h>
#include <stdio.h>

struct sp_problem *sp_lint(struct sp_problems *problems, const struct sp_entity *e, enum sp_severity severity,
                           const char *code, const char *fmt, ...)
{
    char text[900];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sp_assert(n >= 0);
    struct sp_problem *p = sp_problems_add(problems, severity, code, SP_STR(""), "%s", text);
    struct sp_str name = e->key.len ? e->key : e->id;
    p->entity = sp_arena_printf(problems->arena, "%s/%.*s", sp_entity_info(e->kind)->plural, SP_FMT(name));
    p->file = sp_arena_dup(problems->arena, e->file);
    p->line = e->line;
    p->column = e->line ? 1 : 0;
    return p;
}

struct sp_str sp_pattern_sample(struct sp_arena *a, struct sp_str pattern)
{
    if (sp_str_eq(pattern, SP_STR("*")))
        return SP_STR("");
    if (sp_str_starts(pattern, SP_STR("*.")))
        return sp_arena_printf(a, "any--name.%.*s", (int)pattern.len - 2, pattern.p + 2);
    if (sp_str_ends(pattern, SP_STR(".*")))
        return sp_arena_printf(a, "%.*s.any--name", (int)pattern.len - 2, pattern.p);
    return pattern;
}

/* Names of one certificate, by what a handshake for them does. */
struct covered {
    const struct sp_entity *certificate;
    struct sp_str asked, spared;
};

static void note(struct covered *c, struct sp_str pattern, bool asked)
{
    struct sp_str *slot = asked ? &c->asked : &c->spared;
    if (!slot->len)
        *slot = pattern;
}

void sp_handshake_lint(struct sp_arena *a, const struct sp_model *m, const struct sp_handshake_map *map,
                       struct sp_problems *problems)
{
    size_t num = m->num[SP_CERTIFICATES];
    struct covered *all = SP_NEW_N(a, struct covered, num + 1);
    struct sp_map *by_id = sp_map_new(a, num);
    struct sp_name_map *asks = sp_name_map_new(a, map->num, true);
    struct sp_name_map *certificates = sp_name_map_new(a, m->num[SP_SNIS], false);
    for (size_t i = 0; i < num; i++) {
        all[i].certificate = &m->entities[SP_CERTIFICATES][i];
        sp_map_put(by_id, all[i].certificate->id, &all[i]);
    }
    for (size_t i = 0; i < map->num; i++)
        sp_name_map_put(asks, sp_str_z(map->v[i]->sni), map->v[i]);
    for (size_t i = 0; i < m->num[SP_SNIS]; i++) {
        const Sallyport__V1__Sni *s = (const Sallyport__V1__Sni *)m->entities[SP_SNIS][i].message;
        struct covered *c = sp_map_get(by_id, sp_str_z(s->certificate->id));
        struct sp_str pattern = sp_str_z(s->name);
        if (!c)
            continue;
        sp_name_map_put(certificates, pattern, c);
        bool asked = sp_name_map_exact(asks, pattern) || sp_name_map_find(asks, sp_pattern_sample(a, pattern));
        note(c, pattern, asked);
    }
    for (size_t i = 0; i < map->num; i++) {
        struct sp_str pattern = sp_str_z(map->v[i]->sni);
        struct covered *c = sp_name_map_exact(certificates, pattern);
        c = c ? c : sp_name_map_find(certificates, sp_pattern_sample(a, pattern));
        if (c)
            note(c, pattern, true);
    }
    for (size_t i = 0; i < num; i++)
        if (all[i].asked.len && all[i].spared.len)
            sp_lint(problems, all[i].certificate, SP_PROBLEM_WARNING, "mixed_policies",
                    "certificate %.*s covers names with different policies: '%.*s' is asked for a client certificate, "
                    "'%.*s' "
                    "is not; an HTTP/2 client may use one connection for both and is then answered 421",
                    SP_FMT(all[i].certificate->id), SP_FMT(all[i].asked), SP_FMT(all[i].spared));
}

/* --- what this release does not do --- */

#define SERVED "http https grpc grpcs"

static void lint_route(const struct sp_entity *e, struct sp_problems *problems)
{
    const Sallyport__V1__Route *r = (const Sallyport__V1__Route *)e->message;
    for (size_t i = 0; i < r->n_protocols; i++)
        if (!sp_words_have(SERVED, sp_str_z(r->protocols[i])))
            sp_lint(problems, e, SP_PROBLEM_WARNING, "not_served",
                    "protocol %s is not served by this release: nothing reaches the route that way", r->protocols[i]);
    if (r->path_handling && strcmp(r->path_handling, "v1") == 0)
        sp_lint(problems, e, SP_PROBLEM_WARNING, "not_served",
                "path_handling v1 is not there: paths are joined as with v0");
}

static void lint_service(const struct sp_entity *e, struct sp_problems *problems)
{
    const Sallyport__V1__Service *s = (const Sallyport__V1__Service *)e->message;
    if (!sp_words_have(SERVED, sp_str_z(s->protocol)))
        sp_lint(problems, e, SP_PROBLEM_WARNING, "not_served", "protocol %s is not served by this release",
                s->protocol);
}

static bool checks_health(const Sallyport__V1__Healthchecks *h)
{
    const Sallyport__V1__PassiveUnhealthy *passive = h->passive->unhealthy;
    return h->threshold > 0 || h->active->healthy->interval > 0 || h->active->unhealthy->interval > 0 ||
           h->passive->healthy->successes > 0 || passive->tcp_failures > 0 || passive->timeouts > 0 ||
           passive->http_failures > 0;
}

static void lint_upstream(const struct sp_entity *e, struct sp_problems *problems)
{
    const Sallyport__V1__Upstream *u = (const Sallyport__V1__Upstream *)e->message;
    if (u->algorithm && strcmp(u->algorithm, "round-robin") != 0)
        sp_lint(problems, e, SP_PROBLEM_WARNING, "not_served",
                "algorithm %s is not there yet: targets are picked round-robin", u->algorithm);
    if (strcmp(u->hash_on, "none") != 0)
        sp_lint(problems, e, SP_PROBLEM_WARNING, "not_served",
                "hash_on %s is not there yet: targets are picked round-robin", u->hash_on);
    if (checks_health(u->healthchecks))
        sp_lint(problems, e, SP_PROBLEM_WARNING, "not_served",
                "health checks are not there yet: every target is taken to be healthy");
    if (u->use_srv_name)
        sp_lint(problems, e, SP_PROBLEM_WARNING, "not_served",
                "use_srv_name is not there yet: Host is what it is without it");
}

/* Ids, and names with their workspace. */
static struct sp_map *known_consumers(struct sp_arena *a, const struct sp_model *m)
{
    struct sp_map *known = sp_map_new(a, 2 * m->num[SP_CONSUMERS]);
    for (size_t i = 0; i < m->num[SP_CONSUMERS]; i++) {
        struct sp_entity *e = &m->entities[SP_CONSUMERS][i];
        sp_map_put(known, sp_scoped_key(a, e->ws, e->id), e);
        if (e->key.len)
            sp_map_put(known, sp_scoped_key(a, e->ws, e->key), e);
    }
    return known;
}

static void lint_consumer(struct sp_arena *a, const struct sp_entity *e, const struct sp_map *known, const char *field,
                          const char *then, struct sp_problems *problems)
{
    const ProtobufCFieldDescriptor *f = sp_msg_oneof(e->message);
    struct sp_str name = f ? sp_msg_string(*(ProtobufCMessage **)sp_msg_at(e->message, f), field) : SP_STR("");
    if (name.len && !sp_map_get(known, sp_scoped_key(a, e->ws, name)))
        sp_lint(problems, e, SP_PROBLEM_WARNING, "unknown_consumer", "%s '%.*s' is no consumer: %s", field,
                SP_FMT(name), then);
}

void sp_config_lint(struct sp_arena *a, const struct sp_model *m, struct sp_problems *problems)
{
    const struct sp_map *known = known_consumers(a, m);
    for (size_t i = 0; i < m->num[SP_ROUTES]; i++)
        lint_route(&m->entities[SP_ROUTES][i], problems);
    for (size_t i = 0; i < m->num[SP_SERVICES]; i++)
        lint_service(&m->entities[SP_SERVICES][i], problems);
    for (size_t i = 0; i < m->num[SP_UPSTREAMS]; i++)
        lint_upstream(&m->entities[SP_UPSTREAMS][i], problems);
    for (size_t i = 0; i < m->num[SP_PLUGINS]; i++) {
        const struct sp_entity *e = &m->entities[SP_PLUGINS][i];
        lint_consumer(a, e, known, "anonymous", "requests that would be its own are answered 500", problems);
        lint_consumer(a, e, known, "default_consumer", "requests that would be its own are answered 401", problems);
    }
}

/* --- what the control plane cannot see --- */

static void note_reference(void *ctx, const struct sp_string *s)
{
    struct sp_buf *fields = ctx;
    if (sp_is_vault_reference(sp_str_z(*s->at)))
        sp_buf_printf(fields, "%s%s is %s", fields->len ? ", " : "", s->field->name, *s->at);
}

void sp_vault_lint(const struct sp_model *m, struct sp_problems *problems)
{
    struct sp_buf SP_AUTO(sp_buf_fini) fields = {0};
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        for (size_t i = 0; i < m->num[k]; i++) {
            sp_buf_clear(&fields);
            sp_msg_each_string(m->entities[k][i].message, note_reference, &fields);
            if (fields.len)
                sp_lint(problems, &m->entities[k][i], SP_PROBLEM_WARNING, "vault_reference",
                        "%.*s: each data plane reads that from its own environment; nobody else can check it",
                        SP_FMT(sp_buf_str(&fields)));
        }
}
