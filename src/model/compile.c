#include "model/compile.h"

#include "base/names.h"
#include "model/build.h"
#include "model/handshake.h"
#include "tls/certificate.h"
#include "tls/password.h"

#include <stdlib.h>

struct output {
    struct sp_arena *a;
    const struct sp_model *m;
    struct sp_resource *v;
    size_t num, cap;
};

const ProtobufCMessageDescriptor *sp_resource_descriptor(Sallyport__V1__Kind kind)
{
    switch (kind) {
    case SALLYPORT__V1__KIND__CA_CERTIFICATE:
        return &sallyport__v1__ca_certificate__descriptor;
    case SALLYPORT__V1__KIND__CERTIFICATE:
        return &sallyport__v1__server_certificate__descriptor;
    case SALLYPORT__V1__KIND__CONSUMER:
        return &sallyport__v1__consumer_resource__descriptor;
    case SALLYPORT__V1__KIND__UPSTREAM:
        return &sallyport__v1__upstream_resource__descriptor;
    case SALLYPORT__V1__KIND__SERVICE:
        return &sallyport__v1__service__descriptor;
    case SALLYPORT__V1__KIND__PLUGIN:
        return &sallyport__v1__plugin__descriptor;
    case SALLYPORT__V1__KIND__ROUTE:
        return &sallyport__v1__route__descriptor;
    case SALLYPORT__V1__KIND__HANDSHAKE:
        return &sallyport__v1__handshake_entry__descriptor;
    case SALLYPORT__V1__KIND__VAULT:
        return &sallyport__v1__vault__descriptor;
    default:
        return NULL;
    }
}

/* Copied: a snapshot outlives the model that it was made from. */
static void emit(struct output *o, Sallyport__V1__Kind kind, struct sp_str name, const ProtobufCMessage *m)
{
    uint8_t digest[32];
    if (o->num == o->cap) {
        size_t cap = o->cap ? 2 * o->cap : 64;
        struct sp_resource *v = SP_NEW_N(o->a, struct sp_resource, cap);
        if (o->num)
            memcpy(v, o->v, o->num * sizeof *v);
        o->v = v;
        o->cap = cap;
    }
    struct sp_resource *r = &o->v[o->num++];
    r->kind = kind;
    r->name = sp_arena_dup(o->a, name);
    r->body = sp_msg_pack(o->a, m);
    sp_sha256(r->body, digest);
    memcpy(r->hash, digest, sizeof r->hash);
    r->message = sp_msg_unpack(o->a, sp_resource_descriptor(kind), r->body);
    sp_assert(r->message);
}

/* --- what belongs together --- */

struct list {
    void **v;
    size_t num, cap;
};

/* Children by their parent's id, in the order of the children's ids. */
static struct sp_map *group_by(struct output *o, enum sp_entity_kind kind, const char *field)
{
    struct sp_map *groups = sp_map_new(o->a, o->m->num[kind]);
    for (size_t i = 0; i < o->m->num[kind]; i++) {
        ProtobufCMessage *m = o->m->entities[kind][i].message;
        const Sallyport__V1__Ref *r = (const Sallyport__V1__Ref *)sp_msg_child(m, field);
        if (!r || !r->id)
            continue;
        struct list *l = sp_map_get(groups, sp_str_z(r->id));
        if (!l) {
            l = SP_NEW(o->a, struct list);
            sp_map_put(groups, sp_str_z(r->id), l);
        }
        if (l->num == l->cap) {
            l->cap = l->cap ? 2 * l->cap : 4;
            void **v = SP_NEW_N(o->a, void *, l->cap);
            if (l->num)
                memcpy(v, l->v, l->num * sizeof *v);
            l->v = v;
        }
        l->v[l->num++] = m;
    }
    return groups;
}

static void emit_certificates(struct output *o)
{
    struct sp_map *names = group_by(o, SP_SNIS, "certificate");
    for (size_t i = 0; i < o->m->num[SP_CERTIFICATES]; i++) {
        const struct sp_entity *e = &o->m->entities[SP_CERTIFICATES][i];
        Sallyport__V1__ServerCertificate body = SALLYPORT__V1__SERVER_CERTIFICATE__INIT;
        const struct list *l = sp_map_get(names, e->id);
        body.certificate = (Sallyport__V1__Certificate *)e->message;
        body.snis = SP_NEW_N(o->a, char *, (l ? l->num : 0) + 1);
        for (size_t j = 0; l && j < l->num; j++) {
            char name[SP_HOST_MAX + 1];
            size_t len;
            if (sp_pattern_normalise(sp_str_z(((const Sallyport__V1__Sni *)l->v[j])->name), name, &len))
                body.snis[body.n_snis++] = sp_arena_strdup(o->a, name);
        }
        emit(o, SALLYPORT__V1__KIND__CERTIFICATE, e->id, &body.base);
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Consumer id -> names of its groups. */
static struct sp_map *groups_of_consumers(struct output *o)
{
    struct sp_map *groups = sp_map_new(o->a, 64);
    for (size_t i = 0; i < o->m->num[SP_CONSUMER_GROUPS]; i++) {
        const Sallyport__V1__ConsumerGroup *g =
            (const Sallyport__V1__ConsumerGroup *)o->m->entities[SP_CONSUMER_GROUPS][i].message;
        for (size_t j = 0; j < g->n_consumers; j++) {
            struct list *l = sp_map_get(groups, sp_str_z(g->consumers[j]->id));
            if (!l) {
                l = SP_NEW(o->a, struct list);
                sp_map_put(groups, sp_str_z(g->consumers[j]->id), l);
            }
            void **v = SP_NEW_N(o->a, void *, l->num + 1); /* a consumer is in a few */
            if (l->num)
                memcpy(v, l->v, l->num * sizeof *v);
            v[l->num++] = g->name;
            l->v = v;
        }
    }
    return groups;
}

static char **acl_groups(struct output *o, const struct list *acls)
{
    char **v = SP_NEW_N(o->a, char *, acls->num);
    for (size_t i = 0; i < acls->num; i++)
        v[i] = ((const Sallyport__V1__Acl *)acls->v[i])->group;
    qsort(v, acls->num, sizeof *v, by_text);
    return v;
}

/* What other entities give a consumer: by consumer id. */
struct belongings {
    struct sp_map *mappings, *header_mappings, *keys, *passwords, *acls, *groups;
};

static void add_credentials(struct output *o, const struct belongings *from, struct sp_str id,
                            Sallyport__V1__ConsumerResource *body)
{
    const struct list *m = sp_map_get(from->mappings, id), *h = sp_map_get(from->header_mappings, id);
    const struct list *k = sp_map_get(from->keys, id), *b = sp_map_get(from->passwords, id);
    const struct list *acls = sp_map_get(from->acls, id);
    body->n_mtls_auth_credentials = m ? m->num : 0;
    body->mtls_auth_credentials = m ? (Sallyport__V1__MtlsAuthCredential **)m->v : NULL;
    body->n_header_cert_auth_credentials = h ? h->num : 0;
    body->header_cert_auth_credentials = h ? (Sallyport__V1__MtlsAuthCredential **)h->v : NULL;
    body->n_keyauth_credentials = k ? k->num : 0;
    body->keyauth_credentials = k ? (Sallyport__V1__KeyauthCredential **)k->v : NULL;
    body->n_basicauth_credentials = b ? b->num : 0;
    body->basicauth_credentials = b ? (Sallyport__V1__BasicauthCredential **)b->v : NULL;
    body->n_acl_groups = acls ? acls->num : 0;
    body->acl_groups = acls ? acl_groups(o, acls) : NULL;
}

static void emit_consumers(struct output *o)
{
    const struct belongings from = {.mappings = group_by(o, SP_MTLS_AUTH_CREDENTIALS, "consumer"),
                                    .header_mappings = group_by(o, SP_HEADER_CERT_AUTH_CREDENTIALS, "consumer"),
                                    .keys = group_by(o, SP_KEYAUTH_CREDENTIALS, "consumer"),
                                    .passwords = group_by(o, SP_BASICAUTH_CREDENTIALS, "consumer"),
                                    .acls = group_by(o, SP_ACLS, "consumer"),
                                    .groups = groups_of_consumers(o)};
    for (size_t i = 0; i < o->m->num[SP_CONSUMERS]; i++) {
        const struct sp_entity *e = &o->m->entities[SP_CONSUMERS][i];
        Sallyport__V1__ConsumerResource body = SALLYPORT__V1__CONSUMER_RESOURCE__INIT;
        const struct list *g = sp_map_get(from.groups, e->id);
        body.consumer = (Sallyport__V1__Consumer *)e->message;
        add_credentials(o, &from, e->id, &body);
        body.n_groups = g ? g->num : 0;
        body.groups = g ? (char **)g->v : NULL;
        if (g)
            qsort(g->v, g->num, sizeof(char *), by_text);
        emit(o, SALLYPORT__V1__KIND__CONSUMER, e->id, &body.base);
    }
}

/* Without what no data plane looks at. */
static Sallyport__V1__Upstream sent_upstream(const ProtobufCMessage *m)
{
    Sallyport__V1__Upstream u = *(const Sallyport__V1__Upstream *)m;
    u.healthchecks = NULL;
    u.hash_on = u.hash_fallback = u.hash_on_cookie = u.hash_on_cookie_path = NULL;
    u.hash_on_header = u.hash_on_query_arg = u.hash_on_uri_capture = NULL;
    u.hash_fallback_header = u.hash_fallback_query_arg = u.hash_fallback_uri_capture = NULL;
    u.has_use_srv_name = false;
    return u;
}

static void emit_upstreams(struct output *o)
{
    struct sp_map *targets = group_by(o, SP_TARGETS, "upstream");
    for (size_t i = 0; i < o->m->num[SP_UPSTREAMS]; i++) {
        const struct sp_entity *e = &o->m->entities[SP_UPSTREAMS][i];
        Sallyport__V1__UpstreamResource body = SALLYPORT__V1__UPSTREAM_RESOURCE__INIT;
        const struct list *l = sp_map_get(targets, e->id);
        bool plain = sp_str_eq(e->ws, SP_STR("default"));
        Sallyport__V1__Upstream sent = sent_upstream(e->message);
        body.upstream = &sent;
        body.n_targets = l ? l->num : 0;
        body.targets = l ? (Sallyport__V1__Target **)l->v : NULL;
        emit(o, SALLYPORT__V1__KIND__UPSTREAM,
             plain ? e->key : sp_arena_printf(o->a, "%.*s/%.*s", SP_FMT(e->ws), SP_FMT(e->key)), &body.base);
    }
}

/* --- what travels as it is --- */

static void emit_all(struct output *o, enum sp_entity_kind kind, Sallyport__V1__Kind as)
{
    for (size_t i = 0; i < o->m->num[kind]; i++) {
        const struct sp_entity *e = &o->m->entities[kind][i];
        bool runs = true;
        if (kind == SP_SERVICES)
            runs = ((const Sallyport__V1__Service *)e->message)->enabled;
        else if (kind == SP_ROUTES)
            runs = sp_route_runs(o->m, (const Sallyport__V1__Route *)e->message);
        if (runs)
            emit(o, as, e->id, e->message);
    }
}

/* A data plane knows the groups of consumers by name, and decides between several by name. */
static void emit_plugins(struct output *o)
{
    for (size_t i = 0; i < o->m->num[SP_PLUGINS]; i++) {
        const struct sp_entity *e = &o->m->entities[SP_PLUGINS][i];
        Sallyport__V1__Plugin p = *(const Sallyport__V1__Plugin *)e->message;
        Sallyport__V1__Ref group = SALLYPORT__V1__REF__INIT;
        Sallyport__V1__BasicAuthConfig basic_auth;
        if (!sp_plugin_runs(o->m, &p))
            continue;
        if (p.config_case == SALLYPORT__V1__PLUGIN__CONFIG_BASIC_AUTH) {
            basic_auth = *p.basic_auth;
            basic_auth.brute_force_protection = NULL; /* off: nothing that a data plane looks at */
            p.basic_auth = &basic_auth;
        }
        if (p.consumer_group) {
            const struct sp_entity *g = sp_model_find(o->m, SP_CONSUMER_GROUPS, e->ws, sp_str_z(p.consumer_group->id));
            group.id = p.consumer_group->id;
            group.name = g ? ((const Sallyport__V1__ConsumerGroup *)g->message)->name : NULL;
            p.consumer_group = &group;
        }
        emit(o, SALLYPORT__V1__KIND__PLUGIN, e->id, &p.base);
    }
}

/* The last gate before the store and the wire: nothing that a person could type as it stands. */
static void check_passwords(const struct sp_model *m, struct sp_problems *problems)
{
    for (size_t i = 0; i < m->num[SP_BASICAUTH_CREDENTIALS]; i++) {
        const struct sp_entity *e = &m->entities[SP_BASICAUTH_CREDENTIALS][i];
        struct sp_password hash;
        if (sp_password_read(sp_msg_string(e->message, "password"), &hash))
            continue;
        struct sp_problem *p =
            sp_problems_add(problems, SP_PROBLEM_ERROR, "plain_password", SP_STR("password"), "not hashed");
        p->entity = sp_entity_label(problems->arena, e);
    }
}

static int by_kind_and_name(const void *a, const void *b)
{
    const struct sp_resource *x = a, *y = b;
    return x->kind != y->kind ? (x->kind > y->kind) - (x->kind < y->kind) : sp_str_cmp(x->name, y->name);
}

sp_result sp_compile(struct sp_arena *a, const struct sp_model *m, struct sp_resources **out,
                     struct sp_problems *problems)
{
    struct output o = {.a = a, .m = m};
    struct sp_handshake_map map;
    size_t errors = problems->num_errors;
    *out = NULL;
    sp_handshake_compile(a, m, &map, problems);
    sp_handshake_lint(a, m, &map, problems);
    sp_config_lint(a, m, problems);
    check_passwords(m, problems);
    if (problems->num_errors > errors)
        return (sp_result){SP_E_LIMIT};
    emit_all(&o, SP_CA_CERTIFICATES, SALLYPORT__V1__KIND__CA_CERTIFICATE);
    emit_certificates(&o);
    emit_consumers(&o);
    emit_upstreams(&o);
    emit_all(&o, SP_SERVICES, SALLYPORT__V1__KIND__SERVICE);
    emit_plugins(&o);
    emit_all(&o, SP_ROUTES, SALLYPORT__V1__KIND__ROUTE);
    emit_all(&o, SP_VAULTS, SALLYPORT__V1__KIND__VAULT);
    for (size_t i = 0; i < map.num; i++)
        emit(&o, SALLYPORT__V1__KIND__HANDSHAKE, sp_str_z(map.v[i]->sni), &map.v[i]->base);
    if (o.num)
        qsort(o.v, o.num, sizeof *o.v, by_kind_and_name);
    *out = SP_NEW(a, struct sp_resources);
    **out = (struct sp_resources){o.v, o.num};
    return sp_ok();
}
