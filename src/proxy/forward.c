/* The request as the upstream sees it: kong-behaviour 6.3. */
#include "proxy/exchange.h"

#include <stdio.h>

static void set(struct dp_exchange *x, enum sp_field_id id, struct sp_str name, struct sp_str value)
{
    sp_fields_add(&x->request.fields, x->arena, id, name, value);
}

static void replace(struct dp_exchange *x, enum sp_field_id id, struct sp_str name, struct sp_str value)
{
    sp_fields_remove(&x->request.fields, name);
    set(x, id, name, value);
}

/* A peer that the operator trusts may speak about the client; anybody else is described by what we see ourselves. */
static void believe_or_replace(struct dp_exchange *x, enum sp_field_id id, struct sp_str name, struct sp_str own)
{
    struct sp_field *f = x->conn->trusted ? sp_fields_find_id(&x->request.fields, id) : NULL;
    struct sp_str value = f ? f->value : own;
    replace(x, id, name, value);
}

static struct sp_str forwarded_for(struct dp_exchange *x)
{
    struct sp_str peer = sp_str_z(x->conn->ip), all = {0};
    const struct sp_fields *fields = &x->request.fields;
    for (uint32_t i = 0; i < fields->len; i++) {
        const struct sp_field *f = &fields->v[i];
        if (f->removed || f->id != SP_FIELD_X_FORWARDED_FOR || f->value.len == 0)
            continue;
        all = all.len ? sp_arena_printf(x->arena, "%.*s, %.*s", SP_FMT(all), SP_FMT(f->value)) : f->value;
    }
    return all.len ? sp_arena_printf(x->arena, "%.*s, %.*s", SP_FMT(all), SP_FMT(peer)) : peer;
}

static struct sp_str port_text(struct dp_exchange *x)
{
    return sp_arena_printf(x->arena, "%u", sp_address_port(&x->conn->listener->address));
}

static void add_via(struct dp_exchange *x)
{
    struct sp_field *f = sp_fields_find_id(&x->request.fields, SP_FIELD_VIA);
    struct sp_str own = sp_str_z(x->worker->options->via);
    if (f)
        f->value = sp_arena_printf(x->arena, "%.*s, %.*s", SP_FMT(f->value), SP_FMT(own));
    else
        set(x, SP_FIELD_VIA, SP_STR("Via"), own);
}

static bool strips_prefix(const struct dp_exchange *x)
{
    return x->route->conf->strip_path && x->matched_prefix.len > 1;
}

void dp_forward_prepare(struct dp_exchange *x)
{
    struct sp_str peer = sp_str_z(x->conn->ip), host = x->request.authority, name;
    uint16_t port;
    if (sp_host_split(host, &name, &port))
        host = name;
    sp_fields_strip_hop_by_hop(&x->request.fields);
    struct sp_str chain = forwarded_for(x);
    replace(x, SP_FIELD_X_FORWARDED_FOR, SP_STR("X-Forwarded-For"), chain);
    believe_or_replace(x, SP_FIELD_X_REAL_IP, SP_STR("X-Real-IP"), peer);
    believe_or_replace(x, SP_FIELD_X_FORWARDED_PROTO, SP_STR("X-Forwarded-Proto"),
                       x->conn->tls ? SP_STR("https") : SP_STR("http"));
    believe_or_replace(x, SP_FIELD_X_FORWARDED_HOST, SP_STR("X-Forwarded-Host"), host);
    believe_or_replace(x, SP_FIELD_X_FORWARDED_PORT, SP_STR("X-Forwarded-Port"), port_text(x));
    struct sp_str path = sp_str(x->request.target.p, x->request.target.len - x->query.len);
    believe_or_replace(x, SP_FIELD_X_FORWARDED_PATH, SP_STR("X-Forwarded-Path"), path);
    if (strips_prefix(x))
        believe_or_replace(x, SP_FIELD_X_FORWARDED_PREFIX, SP_STR("X-Forwarded-Prefix"), x->matched_prefix);
    else if (!x->conn->trusted)
        sp_fields_remove(&x->request.fields, SP_STR("X-Forwarded-Prefix"));
    replace(x, SP_FIELD_OTHER, SP_STR("X-Kong-Request-Id"), sp_str(x->request_id, 32));
    add_via(x);
}

static struct sp_str target_for(struct dp_exchange *x, const struct dp_service *s)
{
    if (sp_str_eq(x->request.target, SP_STR("*")))
        return x->request.target;
    struct sp_str path = dp_upstream_path(x->arena, s->path, x->path, x->matched_prefix, x->route->conf->strip_path);
    if (x->call.query.len == 0)
        return path;
    return sp_arena_printf(x->arena, "%.*s%.*s", SP_FMT(path), SP_FMT(x->call.query));
}

bool dp_forward_head(struct dp_exchange *x, const struct dp_service *s, struct sp_buf *out)
{
    struct sp_request_head up = x->request;
    up.target = target_for(x, s);
    up.authority = x->route->conf->preserve_host ? x->request.authority : s->host_header;
    up.version = SP_HTTP_11;
    up.keep_alive = true;
    x->up_chunked = up.framing == SP_BODY_CHUNKED || (up.framing == SP_BODY_STREAM && !up.has_length);
    return sp_h1_write_request(out, &up);
}
