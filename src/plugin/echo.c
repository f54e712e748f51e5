#include "plugin/echo.h"
#include "base/encoding.h"
#include "base/json.h"
#include "base/json_scan.h"
#include "base/names.h"
#include "plugin/body.h"
#include "plugin/memo.h"

#include <unistd.h>

enum { MAX_ARGUMENTS = 100 }; /* Kong's; what comes behind is not shown */

/* --- names with one or several values --- */

struct pairs {
    struct pair {
        struct sp_str name, value;
        bool bare, done; /* without a value; written already, with one of its name */
    } * v;
    size_t num;
};

static void put_one(struct sp_json *j, const struct pair *p)
{
    if (p->bare)
        sp_json_bool(j, true);
    else
        sp_json_str(j, p->value);
}

/* An object: a name that is there several times has a list. */
static void put_pairs(struct sp_json *j, struct sp_arena *a, const char *key, struct pairs *p)
{
    sp_json_key(j, key);
    sp_json_object(j);
    for (size_t i = 0; i < p->num; i++) {
        if (p->v[i].done)
            continue;
        size_t same = 0;
        for (size_t k = i; k < p->num; k++)
            same += sp_str_eq(p->v[i].name, p->v[k].name);
        sp_json_key(j, sp_arena_dup(a, p->v[i].name).p);
        if (same > 1)
            sp_json_array(j);
        for (size_t k = i; k < p->num; k++)
            if (!p->v[k].done && sp_str_eq(p->v[i].name, p->v[k].name)) {
                put_one(j, &p->v[k]);
                p->v[k].done = true;
            }
        if (same > 1)
            sp_json_end_array(j);
    }
    sp_json_end_object(j);
}

static void add_pair(struct pairs *p, struct sp_str name, struct sp_str value, bool bare)
{
    p->v[p->num++] = (struct pair){name, value, bare, false};
}

static struct pairs arguments_of(struct sp_arena *a, struct sp_str rest)
{
    struct pairs p = {.v = SP_NEW_N(a, struct pair, MAX_ARGUMENTS)};
    while (rest.len && p.num < MAX_ARGUMENTS) {
        struct sp_str value = sp_str_split(&rest, '&'), name = sp_str_split(&value, '='), text;
        if (name.len == 0)
            continue;
        if (sp_percent_decode(a, name, true, &text))
            name = text;
        if (value.p && sp_percent_decode(a, value, true, &text))
            add_pair(&p, name, text, false);
        else
            add_pair(&p, name, value, !value.p);
    }
    return p;
}

/* --- the request --- */

static struct sp_str lower(struct sp_arena *a, struct sp_str s)
{
    struct sp_str out = sp_arena_dup(a, s);
    for (size_t i = 0; i < out.len; i++)
        ((char *)(uintptr_t)out.p)[i] = (char)sp_lower((unsigned char)out.p[i]);
    return out;
}

static bool is_set_by_a_plugin(const struct dp_call *call, struct sp_str name)
{
    const struct sp_fields *f = &call->request->fields;
    for (uint32_t i = call->num_prepared; i < f->len; i++)
        if (!f->v[i].removed && sp_field_name_same(f->v[i].name, name))
            return true;
    return false;
}

/* What the client sent, also what has been taken out since (it is his), and what plugins have put in: not what the
 * proxy adds for the upstream. */
static struct pairs fields_of(const struct dp_call *call)
{
    const struct sp_request_head *r = call->request;
    struct pairs p = {.v = SP_NEW_N(call->arena, struct pair, r->fields.len + 2)};
    bool length = false;
    if (r->authority.len)
        add_pair(&p, SP_STR("host"), r->authority, false);
    for (uint32_t i = 0; i < r->fields.len; i++) {
        const struct sp_field *f = &r->fields.v[i];
        bool sent = i < call->num_sent && f->id != SP_FIELD_HOST && !is_set_by_a_plugin(call, f->name);
        if (!sent && (i < call->num_prepared || f->removed))
            continue;
        length |= f->id == SP_FIELD_CONTENT_LENGTH;
        add_pair(&p, lower(call->arena, f->name), f->value, false);
    }
    if (r->has_length && !length)
        add_pair(&p, SP_STR("content-length"),
                 sp_arena_printf(call->arena, "%llu", (unsigned long long)r->content_length), false);
    return p;
}

static void put_body(struct sp_json *j, struct dp_call *call)
{
    if (call->body_state != DP_BODY_WHOLE)
        return;
    enum dp_body_kind kind = dp_body_type(call->arena, call->request).kind;
    struct pairs form;
    if (kind == DP_BODY_JSON && sp_json_valid(call->body)) {
        sp_json_key(j, "body");
        sp_json_raw(j, call->body);
    } else if (kind == DP_BODY_FORM) {
        form = arguments_of(call->arena, call->body);
        put_pairs(j, call->arena, "body", &form);
    }
    sp_json_put_str(j, "raw_body", call->body);
}

static void put_request(struct sp_json *j, struct dp_call *call)
{
    const struct sp_request_head *r = call->request;
    struct sp_str host = r->authority, name;
    uint16_t port;
    if (sp_host_split(host, &name, &port))
        host = name;
    struct pairs fields = fields_of(call);
    struct pairs query = arguments_of(call->arena, call->query.len ? sp_str_skip(call->query, 1) : call->query);
    sp_json_key(j, "request");
    sp_json_object(j);
    sp_json_put_z(j, "scheme", call->peer ? "https" : "http");
    sp_json_put_str(j, "host", lower(call->arena, host));
    sp_json_put_int(j, "port", call->server_port);
    put_pairs(j, call->arena, "headers", &fields);
    put_pairs(j, call->arena, "query", &query);
    put_body(j, call);
    sp_json_put_str(j, "method", r->method);
    sp_json_put_str(j, "path", call->path);
    sp_json_end_object(j);
}

/* --- what it met --- */

static void put_list(struct sp_json *j, const char *key, char *const *v, size_t num)
{
    if (num == 0)
        return;
    sp_json_key(j, key);
    sp_json_array(j);
    for (size_t i = 0; i < num; i++)
        sp_json_z(j, v[i]);
    sp_json_end_array(j);
}

static void put_text(struct sp_json *j, const char *key, const char *text)
{
    if (text && *text)
        sp_json_put_z(j, key, text);
}

static void put_route(struct sp_json *j, const Sallyport__V1__Route *r)
{
    sp_json_key(j, "matched_route");
    sp_json_object(j);
    put_text(j, "id", r->id);
    put_text(j, "name", r->name);
    put_list(j, "protocols", r->protocols, r->n_protocols);
    put_list(j, "hosts", r->hosts, r->n_hosts);
    put_list(j, "paths", r->paths, r->n_paths);
    put_list(j, "methods", r->methods, r->n_methods);
    put_list(j, "snis", r->snis, r->n_snis);
    put_list(j, "tags", r->tags, r->n_tags);
    sp_json_put_bool(j, "strip_path", r->strip_path);
    sp_json_put_bool(j, "preserve_host", r->preserve_host);
    sp_json_put_z(j, "path_handling", r->path_handling);
    sp_json_put_int(j, "regex_priority", r->regex_priority);
    sp_json_put_int(j, "https_redirect_status_code", r->https_redirect_status_code);
    sp_json_end_object(j);
}

static void put_service(struct sp_json *j, const Sallyport__V1__Service *s)
{
    sp_json_key(j, "matched_service");
    sp_json_object(j);
    put_text(j, "id", s->id);
    put_text(j, "name", s->name);
    sp_json_put_z(j, "protocol", s->protocol);
    put_text(j, "host", s->host);
    sp_json_put_int(j, "port", s->port);
    put_text(j, "path", s->path);
    sp_json_put_int(j, "retries", s->retries);
    sp_json_put_int(j, "connect_timeout", s->connect_timeout);
    sp_json_put_int(j, "write_timeout", s->write_timeout);
    sp_json_put_int(j, "read_timeout", s->read_timeout);
    put_list(j, "tags", s->tags, s->n_tags);
    sp_json_end_object(j);
}

static void put_node(struct sp_json *j, const struct dp_call *call)
{
    struct dp_place at = {.port = 0};
    char name[256] = "";
    if (call->locate)
        call->locate(call, &at);
    if (gethostname(name, sizeof name - 1) != 0)
        name[0] = '\0';
    sp_json_key(j, "kong");
    sp_json_object(j);
    sp_json_put_z(j, "node_id", dp_worker_uuid(call->cache));
    sp_json_put_int(j, "worker_pid", at.worker);
    sp_json_put_z(j, "hostname", name);
    sp_json_end_object(j);
}

struct sp_str dp_echo(struct dp_call *call, const char *message)
{
    struct sp_buf out = {0};
    struct sp_json j = sp_json(&out);
    sp_json_object(&j);
    if (message)
        sp_json_put_z(&j, "message", message);
    put_node(&j, call);
    put_request(&j, call);
    if (call->route)
        put_route(&j, call->route);
    if (call->service)
        put_service(&j, call->service);
    sp_json_end_object(&j);
    struct sp_str s = sp_arena_dup(call->arena, sp_buf_str(&out));
    sp_buf_fini(&out);
    return s;
}
