/* What the request tells the upstream of its way (kong-behaviour 6.3), and plugins of the client. */
#include "admit/admit.h"

static void set(struct dp_admission *a, enum sp_field_id id, struct sp_str name, struct sp_str value)
{
    sp_fields_add(&a->request->fields, a->arena, id, name, value);
}

static void replace(struct dp_admission *a, enum sp_field_id id, struct sp_str name, struct sp_str value)
{
    sp_fields_remove(&a->request->fields, name);
    set(a, id, name, value);
}

/* A peer that the operator trusts may speak about the client; anybody else is described by what we see ourselves. */
static void believe_or_replace(struct dp_admission *a, enum sp_field_id id, struct sp_str name, struct sp_str own)
{
    struct sp_field *f = a->trusted ? sp_fields_find_id(&a->request->fields, id) : NULL;
    struct sp_str value = f ? f->value : own;
    replace(a, id, name, value);
}

static struct sp_str client_of(const struct dp_admission *a)
{
    return a->client_ip.len ? a->client_ip : sp_str_z(a->ip);
}

/* What came, whoever wrote it, and the TCP peer behind it; where nothing came, the client. */
static struct sp_str forwarded_for(struct dp_admission *a)
{
    struct sp_str all = {0};
    const struct sp_fields *fields = &a->request->fields;
    for (uint32_t i = 0; i < fields->len; i++) {
        const struct sp_field *f = &fields->v[i];
        if (f->removed || f->id != SP_FIELD_X_FORWARDED_FOR || f->value.len == 0)
            continue;
        all = all.len ? sp_arena_printf(a->arena, "%.*s, %.*s", SP_FMT(all), SP_FMT(f->value)) : f->value;
    }
    return all.len ? sp_arena_printf(a->arena, "%.*s, %s", SP_FMT(all), a->ip) : client_of(a);
}

static void add_via(struct dp_admission *a)
{
    struct sp_field *f = sp_fields_find_id(&a->request->fields, SP_FIELD_VIA);
    struct sp_str own = sp_str_z(a->via);
    if (f)
        f->value = sp_arena_printf(a->arena, "%.*s, %.*s", SP_FMT(f->value), SP_FMT(own));
    else
        set(a, SP_FIELD_VIA, SP_STR("Via"), own);
}

static bool strips_prefix(const struct dp_admission *a)
{
    return a->route->conf->strip_path && a->matched_prefix.len > 1;
}

void dp_admit_fields(struct dp_admission *a)
{
    struct sp_str host = a->request->authority, name;
    uint16_t port;
    if (sp_host_split(host, &name, &port))
        host = name;
    struct sp_str chain = forwarded_for(a); /* first: Connection must not take it away */
    sp_fields_strip_hop_by_hop(&a->request->fields);
    replace(a, SP_FIELD_X_FORWARDED_FOR, SP_STR("X-Forwarded-For"), chain);
    replace(a, SP_FIELD_X_REAL_IP, SP_STR("X-Real-IP"), client_of(a));
    believe_or_replace(a, SP_FIELD_X_FORWARDED_PROTO, SP_STR("X-Forwarded-Proto"),
                       a->peer ? SP_STR("https") : SP_STR("http"));
    believe_or_replace(a, SP_FIELD_X_FORWARDED_HOST, SP_STR("X-Forwarded-Host"), host);
    believe_or_replace(a, SP_FIELD_X_FORWARDED_PORT, SP_STR("X-Forwarded-Port"),
                       sp_arena_printf(a->arena, "%u", a->listener_port));
    struct sp_str path = sp_str(a->request->target.p, a->request->target.len - a->query.len);
    believe_or_replace(a, SP_FIELD_X_FORWARDED_PATH, SP_STR("X-Forwarded-Path"), path);
    if (strips_prefix(a))
        believe_or_replace(a, SP_FIELD_X_FORWARDED_PREFIX, SP_STR("X-Forwarded-Prefix"), a->matched_prefix);
    else if (!a->trusted)
        sp_fields_remove(&a->request->fields, SP_STR("X-Forwarded-Prefix"));
    replace(a, SP_FIELD_OTHER, SP_STR("X-Kong-Request-Id"), sp_str(a->request_id, 32));
    add_via(a);
}

void dp_admit_call(const struct dp_admission *a, struct dp_call *call)
{
    call->arena = a->arena;
    call->directory = a->snapshot->directory;
    call->request = a->request;
    call->peer = a->peer;
    call->request_id = a->request_id;
    call->ws = sp_str_z(a->route->conf->ws);
    call->route = a->route->conf;
    call->service = a->route->service ? a->route->service->conf : NULL;
    call->path = a->path;
    call->num_sent = a->num_sent;
    call->num_prepared = a->request->fields.len;
    call->server_port = a->listener_port;
    call->grpc = a->grpc;
    call->query = a->query;
    call->client_ip = client_of(a);
    call->peer_trusted = a->trusted;
}

struct sp_str dp_admit_target(struct sp_arena *a, const struct dp_route *r, struct sp_str target, struct sp_str path,
                              struct sp_str matched_prefix, struct sp_str query)
{
    if (sp_str_eq(target, SP_STR("*")))
        return target;
    struct sp_str up = dp_upstream_path(a, r->service->path, path, matched_prefix, r->conf->strip_path);
    return query.len ? sp_arena_printf(a, "%.*s%.*s", SP_FMT(up), SP_FMT(query)) : up;
}
