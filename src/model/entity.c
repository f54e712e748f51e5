#include "model/build.h"

#include <stdarg.h>
#include <stdio.h>

#define INFO(k, p, r, key, desc, w) [k] = {k, p, r, key, &sallyport__v1__##desc##__descriptor, w}
static const struct sp_entity_info infos[SP_NUM_ENTITY_KINDS] = {
    INFO(SP_WORKSPACES, "workspaces", "workspaces", "name", workspace, false),
    INFO(SP_SERVICES, "services", "services", "name", service, true),
    INFO(SP_ROUTES, "routes", "routes", "name", route, true),
    INFO(SP_UPSTREAMS, "upstreams", "upstreams", "name", upstream, true),
    INFO(SP_TARGETS, "targets", "targets", NULL, target, true),
    INFO(SP_CONSUMERS, "consumers", "consumers", "username", consumer, true),
    INFO(SP_CONSUMER_GROUPS, "consumer_groups", "consumer_groups", "name", consumer_group, true),
    INFO(SP_MTLS_AUTH_CREDENTIALS, "mtls_auth_credentials", "mtls-auths", NULL, mtls_auth_credential, true),
    INFO(SP_CERTIFICATES, "certificates", "certificates", NULL, certificate, true),
    INFO(SP_SNIS, "snis", "snis", "name", sni, true),
    INFO(SP_CA_CERTIFICATES, "ca_certificates", "ca_certificates", NULL, ca_certificate, false),
    INFO(SP_PLUGINS, "plugins", "plugins", "instance_name", plugin, true),
    INFO(SP_KEYAUTH_CREDENTIALS, "keyauth_credentials", "key-auths", NULL, keyauth_credential, true),
    INFO(SP_ACLS, "acls", "acls", NULL, acl, true),
    INFO(SP_HEADER_CERT_AUTH_CREDENTIALS, "header_cert_auth_credentials", "header-cert-auths", NULL,
         mtls_auth_credential, true),
    INFO(SP_VAULTS, "vaults", "vaults", "prefix", vault, true),
    INFO(SP_BASICAUTH_CREDENTIALS, "basicauth_credentials", "basic-auths", "username", basicauth_credential, true),
};

const struct sp_entity_info *sp_entity_info(enum sp_entity_kind kind)
{
    sp_assert(kind < SP_NUM_ENTITY_KINDS);
    return &infos[kind];
}

const struct sp_entity_info *sp_entity_by_plural(struct sp_str plural)
{
    for (int i = 0; i < SP_NUM_ENTITY_KINDS; i++)
        if (sp_str_eq(sp_str_z(infos[i].plural), plural))
            return &infos[i];
    return NULL;
}

const struct sp_entity_info *sp_entity_by_rest(struct sp_str rest)
{
    for (int i = 0; i < SP_NUM_ENTITY_KINDS; i++)
        if (sp_str_eq(sp_str_z(infos[i].rest), rest))
            return &infos[i];
    return NULL;
}

/* --- finding --- */

const struct sp_entity *sp_model_by_id(const struct sp_model *m, enum sp_entity_kind kind, struct sp_str id)
{
    size_t low = 0, high = m->num[kind];
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct sp_entity *e = &m->entities[kind][mid];
        int c = sp_str_cmp(e->id, id);
        if (c == 0)
            return e;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct sp_entity *sp_model_find(const struct sp_model *m, enum sp_entity_kind kind, struct sp_str ws,
                                      struct sp_str id_or_key)
{
    const struct sp_entity *e = sp_model_by_id(m, kind, id_or_key);
    bool any = ws.len == 0 || !infos[kind].workspaced;
    if (e && (any || sp_str_eq(e->ws, ws)))
        return e;
    for (size_t i = 0; i < m->num[kind]; i++) {
        e = &m->entities[kind][i];
        if (id_or_key.len && sp_str_eq(e->key, id_or_key) && (any || sp_str_eq(e->ws, ws)))
            return e;
    }
    return NULL;
}

/* --- problems with a place --- */

struct sp_str sp_entity_label(struct sp_arena *a, const struct sp_entity *e)
{
    struct sp_str name = e->key.len ? e->key : e->id;
    if (name.len == 0)
        return sp_str_z(infos[e->kind].plural);
    return sp_arena_printf(a, "%s/%.*s", infos[e->kind].plural, SP_FMT(name));
}

struct sp_problem *sp_entity_problem(struct sp_builder *b, const struct sp_entity *e, enum sp_severity severity,
                                     const char *code, const char *field, const char *fmt, ...)
{
    char text[900];
    va_list ap;
    if (sp_problems_full(b->problems, severity))
        return sp_problems_add(b->problems, severity, code, SP_STR(""), "%s", code);
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sp_assert(n >= 0);
    const struct sp_origin *o = b->reader ? sp_reader_origin(b->reader, e->message) : NULL;
    struct sp_str path = sp_origin_path(b->arena, o);
    if (*field)
        path = sp_arena_printf(b->arena, "%.*s%s%s", SP_FMT(path), path.len ? "." : "", field);
    struct sp_problem *p = sp_problems_add(b->problems, severity, code, path, "%s", text);
    p->entity = sp_entity_label(b->arena, e);
    p->file = e->file;
    if (o) {
        const struct sp_node *at = sp_node_walk(o->node, sp_str_z(field));
        p->line = at->line;
        p->column = at->column;
    }
    return p;
}
