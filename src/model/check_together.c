/* Entities against each other: unique constraints, and plugins against the routes they are attached to. */
#include "model/build.h"

#include "base/names.h"
#include "model/rules.h"
#include "model/vault.h"

static void unique(struct sp_builder *b, struct sp_map *seen, struct sp_entity *e, struct sp_str key, const char *field,
                   const char *shown)
{
    if (!sp_map_put(seen, key, e))
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "unique_violation", field, "UNIQUE violation detected on '{%s}'",
                          shown);
}

static const char *id_of(const Sallyport__V1__Ref *r)
{
    return r && r->id ? r->id : "";
}

static void unique_consumers(struct sp_builder *b)
{
    struct sp_entity_list *l = &b->kinds[SP_CONSUMERS];
    struct sp_map *seen = sp_map_new(b->arena, l->num);
    for (size_t i = 0; i < l->num; i++) {
        const Sallyport__V1__Consumer *c = (const Sallyport__V1__Consumer *)l->v[i]->message;
        if (c->custom_id)
            unique(b, seen, l->v[i], sp_scoped_key(b->arena, l->v[i]->ws, sp_str_z(c->custom_id)), "custom_id",
                   sp_arena_printf(b->arena, "custom_id=\"%s\"", c->custom_id).p);
    }
}

static void unique_targets(struct sp_builder *b)
{
    struct sp_entity_list *l = &b->kinds[SP_TARGETS];
    struct sp_map *seen = sp_map_new(b->arena, l->num);
    for (size_t i = 0; i < l->num; i++) {
        const Sallyport__V1__Target *t = (const Sallyport__V1__Target *)l->v[i]->message;
        if (t->target)
            unique(b, seen, l->v[i], sp_arena_printf(b->arena, "%s %s", id_of(t->upstream), t->target), "target",
                   sp_arena_printf(b->arena, "target=\"%s\",upstream={id=\"%s\"}", t->target, id_of(t->upstream)).p);
    }
}

/* Names of servers are one space for all workspaces, whatever their case. */
static void unique_snis(struct sp_builder *b)
{
    struct sp_entity_list *l = &b->kinds[SP_SNIS];
    struct sp_map *seen = sp_map_new(b->arena, l->num);
    for (size_t i = 0; i < l->num; i++) {
        char name[SP_HOST_MAX + 1];
        size_t len;
        if (!sp_pattern_normalise(l->v[i]->key, name, &len))
            continue;
        struct sp_entity *other = sp_map_get(seen, sp_str(name, len));
        if (other && sp_str_eq(other->key, l->v[i]->key) && sp_str_eq(other->ws, l->v[i]->ws))
            continue; /* said already: same key in the same workspace */
        unique(b, seen, l->v[i], sp_arena_dup(b->arena, sp_str(name, len)), "name",
               sp_arena_printf(b->arena, "name=\"%s\"", name).p);
    }
}

/* Certificates of every workspace may refer to them. */
static void unique_vaults(struct sp_builder *b)
{
    struct sp_entity_list *l = &b->kinds[SP_VAULTS];
    struct sp_map *seen = sp_map_new(b->arena, l->num);
    for (size_t i = 0; i < l->num; i++) {
        const struct sp_entity *other = sp_map_get(seen, l->v[i]->key);
        if (!l->v[i]->key.len || (other && sp_str_eq(other->ws, l->v[i]->ws)))
            continue; /* said already: same key in the same workspace */
        unique(b, seen, l->v[i], l->v[i]->key, "prefix", sp_arena_printf(b->arena, "prefix=\"%s\"", l->v[i]->key.p).p);
    }
}

static void unique_cas(struct sp_builder *b)
{
    struct sp_entity_list *l = &b->kinds[SP_CA_CERTIFICATES];
    struct sp_map *seen = sp_map_new(b->arena, l->num);
    for (size_t i = 0; i < l->num; i++) {
        const Sallyport__V1__CaCertificate *c = (const Sallyport__V1__CaCertificate *)l->v[i]->message;
        if (c->cert_digest)
            unique(b, seen, l->v[i], sp_str_z(c->cert_digest), "cert",
                   sp_arena_printf(b->arena, "cert_digest=\"%s\"", c->cert_digest).p);
        else if (sp_is_vault_reference(sp_str_z(c->cert)))
            unique(b, seen, l->v[i], sp_str_z(c->cert), "cert", sp_arena_printf(b->arena, "cert=\"%s\"", c->cert).p);
    }
}

static void unique_mappings(struct sp_builder *b, enum sp_entity_kind kind)
{
    struct sp_entity_list *l = &b->kinds[kind];
    struct sp_map *seen = sp_map_new(b->arena, l->num);
    for (size_t i = 0; i < l->num; i++) {
        const Sallyport__V1__MtlsAuthCredential *c = (const Sallyport__V1__MtlsAuthCredential *)l->v[i]->message;
        if (!c->subject_name)
            continue;
        struct sp_str key =
            sp_arena_printf(b->arena, "%.*s/%s/%s", SP_FMT(l->v[i]->ws), id_of(c->ca_certificate), c->subject_name);
        unique(b, seen, l->v[i], key, "subject_name",
               sp_arena_printf(b->arena, "subject_name=\"%s\"", c->subject_name).p);
    }
}

/* The key itself is a secret: a problem does not show it. */
static void unique_keys(struct sp_builder *b)
{
    struct sp_entity_list *l = &b->kinds[SP_KEYAUTH_CREDENTIALS];
    struct sp_map *seen = sp_map_new(b->arena, l->num);
    for (size_t i = 0; i < l->num; i++) {
        const Sallyport__V1__KeyauthCredential *c = (const Sallyport__V1__KeyauthCredential *)l->v[i]->message;
        if (c->key)
            unique(b, seen, l->v[i], sp_scoped_key(b->arena, l->v[i]->ws, sp_str_z(c->key)), "key", "key");
    }
}

static void unique_acls(struct sp_builder *b)
{
    struct sp_entity_list *l = &b->kinds[SP_ACLS];
    struct sp_map *seen = sp_map_new(b->arena, l->num);
    for (size_t i = 0; i < l->num; i++) {
        const Sallyport__V1__Acl *c = (const Sallyport__V1__Acl *)l->v[i]->message;
        if (c->group)
            unique(b, seen, l->v[i], sp_arena_printf(b->arena, "%s/%s", id_of(c->consumer), c->group), "group",
                   sp_arena_printf(b->arena, "group=\"%s\",consumer={id=\"%s\"}", c->group, id_of(c->consumer)).p);
    }
}

static void unique_plugins(struct sp_builder *b)
{
    struct sp_entity_list *l = &b->kinds[SP_PLUGINS];
    struct sp_map *seen = sp_map_new(b->arena, l->num);
    for (size_t i = 0; i < l->num; i++) {
        const Sallyport__V1__Plugin *p = (const Sallyport__V1__Plugin *)l->v[i]->message;
        if (!p->name)
            continue;
        struct sp_str key =
            sp_arena_printf(b->arena, "%.*s/%s/%s/%s/%s/%s", SP_FMT(l->v[i]->ws), p->name, id_of(p->route),
                            id_of(p->service), id_of(p->consumer), id_of(p->consumer_group));
        struct sp_str shown = sp_arena_printf(b->arena, "name=\"%s\",route=\"%s\",service=\"%s\"", p->name,
                                              id_of(p->route), id_of(p->service));
        unique(b, seen, l->v[i], key, "name", shown.p);
    }
}

void sp_check_unique(struct sp_builder *b)
{
    unique_consumers(b);
    unique_targets(b);
    unique_snis(b);
    unique_vaults(b);
    unique_cas(b);
    unique_mappings(b, SP_MTLS_AUTH_CREDENTIALS);
    unique_mappings(b, SP_HEADER_CERT_AUTH_CREDENTIALS);
    unique_keys(b);
    unique_acls(b);
    unique_plugins(b);
}

/* --- plugins against routes --- */

static unsigned protocols_of(char *const *v, size_t num)
{
    static const char *const words[] = {"http", "https",           "grpc", "grpcs", "tcp", "tls",
                                        "udp",  "tls_passthrough", "ws",   "wss"};
    unsigned bits = 0;
    for (size_t i = 0; i < num; i++)
        for (unsigned w = 0; w < sizeof words / sizeof *words; w++)
            if (strcmp(v[i], words[w]) == 0)
                bits |= 1u << w;
    return bits;
}

/* Service id -> protocols of all its routes together. */
static struct sp_map *protocols_of_services(struct sp_builder *b)
{
    struct sp_map *all = sp_map_new(b->arena, b->kinds[SP_SERVICES].num);
    for (size_t i = 0; i < b->kinds[SP_ROUTES].num; i++) {
        const Sallyport__V1__Route *r = (const Sallyport__V1__Route *)b->kinds[SP_ROUTES].v[i]->message;
        unsigned *bits = sp_map_get(all, sp_str_z(id_of(r->service)));
        if (!bits) {
            bits = SP_NEW(b->arena, unsigned);
            sp_map_put(all, sp_str_z(id_of(r->service)), bits);
        }
        *bits |= protocols_of(r->protocols, r->n_protocols);
    }
    return all;
}

void sp_check_plugins(struct sp_builder *b)
{
    struct sp_map *services = protocols_of_services(b);
    for (size_t i = 0; i < b->kinds[SP_PLUGINS].num; i++) {
        const struct sp_entity *e = b->kinds[SP_PLUGINS].v[i];
        const Sallyport__V1__Plugin *p = (const Sallyport__V1__Plugin *)e->message;
        const struct sp_entity *route = sp_map_get(b->by_id[SP_ROUTES], sp_str_z(id_of(p->route)));
        const Sallyport__V1__Route *r = route ? (const Sallyport__V1__Route *)route->message : NULL;
        const unsigned *service = p->route ? NULL : sp_map_get(services, sp_str_z(id_of(p->service)));
        unsigned bits = protocols_of(p->protocols, p->n_protocols);
        if (r && !(bits & protocols_of(r->protocols, r->n_protocols)))
            sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "protocols",
                              "must match the associated route's protocols");
        else if (p->service && service && !(bits & *service))
            sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "protocols",
                              "must match the protocols of at least one route pointing to this Plugin's service");
    }
}
