#include "plugin/body.h"
#include "base/json_scan.h"
#include "plugin/query.h"

static bool begins(struct sp_str s, struct sp_str word) /* Kong looks at the beginning only, too */
{
    return s.len >= word.len && sp_str_ieq(sp_str(s.p, word.len), word);
}

/* The value of a parameter; its quotes do not belong to it. Empty: it is not there. */
static struct sp_str parameter(struct sp_str params, struct sp_str name)
{
    while (params.p) {
        struct sp_str value = sp_str_trim(sp_str_split(&params, ';')), key = sp_str_split(&value, '=');
        if (!value.p || !sp_str_ieq(sp_str_trim(key), name))
            continue;
        value = sp_str_trim(value);
        bool quoted = value.len > 1 && value.p[0] == '"' && value.p[value.len - 1] == '"';
        return quoted ? sp_str(value.p + 1, value.len - 2) : value;
    }
    return sp_str("", 0);
}

struct dp_body_type dp_body_type(struct sp_arena *a, const struct sp_request_head *r)
{
    const struct sp_field *f = sp_fields_find_id(&r->fields, SP_FIELD_CONTENT_TYPE);
    struct dp_body_type t = {.kind = DP_BODY_OTHER};
    struct sp_str boundary;
    if (!f)
        return t;
    if (begins(f->value, SP_STR("application/x-www-form-urlencoded")))
        t.kind = DP_BODY_FORM;
    else if (begins(f->value, SP_STR("application/json")))
        t.kind = DP_BODY_JSON;
    else if (begins(f->value, SP_STR("multipart/form-data")) &&
             (boundary = parameter(f->value, SP_STR("boundary"))).len)
        t = (struct dp_body_type){DP_BODY_MULTIPART, sp_arena_printf(a, "--%.*s", SP_FMT(boundary))};
    return t;
}

bool dp_body_read(struct dp_call *call, struct sp_str *body)
{
    *body = sp_str("", 0);
    const struct sp_request_head *r = call->request;
    if (call->body_state == DP_BODY_UNREAD && r->has_length && r->content_length > DP_BODY_MAX)
        call->body_state = DP_BODY_TOO_LARGE;
    if (call->body_state == DP_BODY_WHOLE)
        *body = call->body;
    call->wants_body = call->body_state == DP_BODY_UNREAD;
    return !call->wants_body;
}

/* --- JSON --- */

static bool is_named(struct sp_arena *a, const struct sp_json_member *m, struct sp_str name)
{
    struct sp_str text;
    return sp_json_decode(a, m->name, &text) && sp_str_eq(text, name);
}

static size_t find_in_json(struct sp_arena *a, struct sp_str body, struct sp_str name, struct sp_str *value)
{
    struct sp_json_member m;
    struct sp_str text;
    size_t num = 0;
    if (!sp_json_valid(body))
        return 0;
    while (sp_json_next(&body, &m)) {
        if (!is_named(a, &m, name))
            continue;
        if (*m.value.p == '[' || *m.value.p == '{')
            num += 2;
        else if (sp_json_decode(a, m.value, &text) && num++ == 0)
            *value = text;
    }
    return num;
}

static struct sp_str without_in_json(struct sp_arena *a, struct sp_str body, struct sp_str name)
{
    struct sp_json_member m;
    struct sp_str rest = body;
    char *start = sp_arena_alloc_raw(a, body.len + 2), *at = start;
    if (!sp_json_valid(body) || !sp_json_next(&rest, &m))
        return body;
    rest = body;
    while (sp_json_next(&rest, &m)) {
        if (is_named(a, &m, name))
            continue;
        *at = at == start ? '{' : ',';
        memcpy(++at, m.name.p, m.name.len);
        at += m.name.len;
        *at++ = ':';
        memcpy(at, m.value.p, m.value.len);
        at += m.value.len;
    }
    if (at == start)
        *at++ = '{';
    *at++ = '}';
    return sp_str(start, (size_t)(at - start));
}

/* --- parts of a form (RFC 7578) --- */

struct part {
    struct sp_str all; /* from its boundary to the next one */
    struct sp_str name, value;
};

static struct sp_str until(struct sp_str *rest, struct sp_str mark) /* as sp_str_split, with a longer separator */
{
    const char *at = rest->len ? memmem(rest->p, rest->len, mark.p, mark.len) : NULL;
    struct sp_str before = at ? sp_str(rest->p, (size_t)(at - rest->p)) : *rest;
    *rest = at ? sp_str_skip(*rest, before.len + mark.len) : (struct sp_str){0};
    return before;
}

static struct sp_str name_of_part(struct sp_str head)
{
    while (head.len) {
        struct sp_str line = until(&head, SP_STR("\r\n"));
        if (begins(line, SP_STR("content-disposition:")))
            return parameter(line, SP_STR("name"));
    }
    return sp_str("", 0);
}

/* *rest stands at a boundary; what does not end at one is no part. */
static bool next_part(struct sp_str *rest, struct sp_str boundary, struct part *out)
{
    struct sp_str s = *rest;
    if (!sp_str_starts(s, boundary))
        return false;
    s = sp_str_skip(s, boundary.len);
    if (!sp_str_starts(s, SP_STR("\r\n")))
        return false;
    const char *end = memmem(s.p, s.len, boundary.p, boundary.len);
    while (end && (end - s.p < 2 || end[-1] != '\n' || end[-2] != '\r'))
        end = memmem(end + 1, (size_t)(s.p + s.len - end - 1), boundary.p, boundary.len);
    if (!end)
        return false;
    out->all = sp_str(rest->p, (size_t)(end - rest->p));
    struct sp_str content = sp_str(s.p, (size_t)(end - s.p)), head = until(&content, SP_STR("\r\n\r\n"));
    out->name = content.p ? name_of_part(head) : sp_str("", 0);
    out->value = content.len >= 2 ? sp_str(content.p, content.len - 2) : sp_str("", 0);
    *rest = sp_str_skip(*rest, out->all.len);
    return true;
}

static size_t find_in_parts(struct sp_str body, struct sp_str boundary, struct sp_str name, struct sp_str *value)
{
    struct part p;
    size_t num = 0;
    while (next_part(&body, boundary, &p))
        if (sp_str_eq(p.name, name) && num++ == 0)
            *value = p.value;
    return num;
}

static struct sp_str without_parts(struct sp_arena *a, struct sp_str body, struct sp_str boundary, struct sp_str name)
{
    struct part p;
    char *start = sp_arena_alloc_raw(a, body.len + 1), *at = start;
    while (next_part(&body, boundary, &p))
        if (!sp_str_eq(p.name, name)) {
            memcpy(at, p.all.p, p.all.len);
            at += p.all.len;
        }
    if (body.len)
        memcpy(at, body.p, body.len); /* the last boundary */
    return sp_str(start, (size_t)(at - start) + body.len);
}

/* --- whatever it is --- */

size_t dp_body_find(struct sp_arena *a, const struct dp_body_type *type, struct sp_str body, struct sp_str name,
                    struct sp_str *value)
{
    switch (type->kind) {
    case DP_BODY_FORM:
        return dp_arguments_find(a, body, name, value);
    case DP_BODY_JSON:
        return find_in_json(a, body, name, value);
    case DP_BODY_MULTIPART:
        return find_in_parts(body, type->boundary, name, value);
    default:
        return 0;
    }
}

struct sp_str dp_body_without(struct sp_arena *a, const struct dp_body_type *type, struct sp_str body,
                              struct sp_str name)
{
    switch (type->kind) {
    case DP_BODY_FORM:
        return dp_arguments_without(a, body, name);
    case DP_BODY_JSON:
        return without_in_json(a, body, name);
    case DP_BODY_MULTIPART:
        return without_parts(a, body, type->boundary, name);
    default:
        return body;
    }
}
