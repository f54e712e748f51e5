#include "control/api/call.h"
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static const char json_type[] = "application/json; charset=utf-8";

void cp_reply_text(struct cp_call *c, unsigned status, const char *type, struct sp_str body)
{
    char ms[24];
    uint64_t took = sp_clock_mono_ms(cp_control_clock(c->o->control)) - c->started_ms;
    snprintf(ms, sizeof ms, "%llu", (unsigned long long)took);
    sp_http_reply_field(c->x, SP_STR("Server"), SP_STR("sallyport/" SP_VERSION));
    sp_http_reply_field(c->x, SP_STR("X-Kong-Admin-Latency"), sp_str_z(ms));
    sp_http_reply_field(c->x, SP_STR("Cache-Control"), SP_STR("no-store"));
    sp_http_reply_field(c->x, SP_STR("X-Content-Type-Options"), SP_STR("nosniff"));
    sp_http_reply(c->x, status, type, body);
}

void cp_reply_json(struct cp_call *c, unsigned status, struct sp_buf *json)
{
    cp_reply_text(c, status, json_type, sp_buf_str(json));
    sp_buf_wipe(json); /* may have held a key */
}

static void reply_fields(struct cp_call *c, unsigned status, int code, const char *name, struct sp_str message)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    sp_json_object(&j);
    if (name) {
        sp_json_put_int(&j, "code", code);
        sp_json_put_z(&j, "name", name);
    }
    sp_json_put_str(&j, "message", message);
    sp_json_end_object(&j);
    cp_reply_json(c, status, &b);
}

void cp_reply_message(struct cp_call *c, unsigned status, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    reply_fields(c, status, 0, NULL, sp_str_z(text));
}

void cp_reply_error(struct cp_call *c, unsigned status, int code, const char *name, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    reply_fields(c, status, code, name, sp_str_z(text));
}

void cp_reply_failure(struct cp_call *c, const struct sp_error *err)
{
    switch (err->code) {
    case SP_E_NOT_FOUND:
        cp_reply_message(c, 404, "%s", err->text);
        return;
    case SP_E_CONFLICT:
        cp_reply_error(c, 409, 5, "conflict", "%s", err->text);
        return;
    case SP_E_INVALID:
    case SP_E_PARSE:
    case SP_E_LIMIT:
        cp_reply_error(c, 400, 2, "schema violation", "%s", err->text);
        return;
    default:
        cp_reply_error(c, 503, 8, "database error", "%s", err->text);
    }
}

void cp_reply_not_found(struct cp_call *c)
{
    cp_reply_message(c, 404, "Not found");
}

void cp_reply_not_allowed(struct cp_call *c, const char *allow)
{
    sp_http_reply_field(c->x, SP_STR("Allow"), sp_str_z(allow));
    if (cp_method(c, "OPTIONS"))
        cp_reply_text(c, 204, NULL, SP_STR(""));
    else
        cp_reply_message(c, 405, "Method not allowed");
}

struct sp_str cp_query(struct cp_call *c, const char *name)
{
    struct sp_str value = {0};
    if (!sp_query_get(c->arena, c->x->query, name, &value))
        return SP_STR("");
    return value;
}

bool cp_query_on(struct cp_call *c, const char *name)
{
    struct sp_str value;
    if (!sp_query_get(c->arena, c->x->query, name, &value))
        return false;
    return !sp_str_eq(value, SP_STR("0")) && !sp_str_ieq(value, SP_STR("false")) && !sp_str_ieq(value, SP_STR("off"));
}

struct sp_str cp_author(struct cp_call *c)
{
    char ip[SP_ADDRESS_TEXT];
    struct sp_str given = cp_query(c, "author");
    if (given.len)
        return given;
    size_t n = sp_address_ip(&c->x->peer, ip);
    return sp_arena_printf(c->arena, "admin-api@%.*s", (int)n, ip);
}

bool cp_query_size(struct cp_call *c, size_t otherwise, size_t max, size_t *out)
{
    struct sp_str value = cp_query(c, "size");
    uint64_t n = otherwise;
    if (value.len && !sp_str_to_u64(value, &n)) {
        cp_reply_error(c, 400, 9, "invalid size", "size must be a number");
        return false;
    }
    if (n < 1 || n > max) {
        cp_reply_error(c, 400, 9, "invalid size", "size must be an integer between 1 and %zu", max);
        return false;
    }
    *out = (size_t)n;
    return true;
}

void cp_json_problems(struct sp_json *j, const struct sp_problems *p, enum sp_severity severity)
{
    sp_json_array(j);
    for (const struct sp_problem *one = p->first; one; one = one->next) {
        if (one->severity != severity)
            continue;
        sp_json_object(j);
        sp_json_put_z(j, "severity", severity == SP_PROBLEM_ERROR ? "error" : "warning");
        sp_json_put_z(j, "code", one->code);
        sp_json_put_str(j, "file", one->file);
        sp_json_put_int(j, "line", one->line);
        sp_json_put_int(j, "column", one->column);
        sp_json_put_str(j, "path", one->path);
        sp_json_put_str(j, "entity", one->entity);
        sp_json_put_str(j, "text", one->text);
        sp_json_end_object(j);
    }
    sp_json_end_array(j);
}

void cp_json_revision(struct sp_json *j, const struct cp_revision *r)
{
    char when[32] = "";
    time_t seconds = (time_t)(r->time_ms / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm))
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    sp_json_object(j);
    sp_json_put_int(j, "revision", r->revision);
    sp_json_put_z(j, "time", when);
    sp_json_put_str(j, "author", r->author);
    sp_json_put_str(j, "comment", r->comment);
    sp_json_put_bool(j, "rollback", r->rollback);
    sp_json_put_int(j, "created", r->created);
    sp_json_put_int(j, "updated", r->updated);
    sp_json_put_int(j, "deleted", r->deleted);
    sp_json_end_object(j);
}
