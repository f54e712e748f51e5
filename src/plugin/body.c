#include "plugin/body.h"
#include "base/json_scan.h"
#include "plugin/query.h"

enum dp_body_kind dp_body_kind(const struct sp_request_head *r)
{
    static const struct {
        struct sp_str media;
        enum dp_body_kind kind;
    } kinds[] = {{{"application/x-www-form-urlencoded", 33}, DP_BODY_FORM}, {{"application/json", 16}, DP_BODY_JSON}};
    const struct sp_field *f = sp_fields_find_id(&r->fields, SP_FIELD_CONTENT_TYPE);
    for (size_t i = 0; f && i < sizeof kinds / sizeof *kinds; i++)
        if (f->value.len >= kinds[i].media.len &&
            sp_str_ieq(sp_str(f->value.p, kinds[i].media.len), kinds[i].media)) /* Kong looks at the beginning too */
            return kinds[i].kind;
    return DP_BODY_OTHER;
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

size_t dp_body_find(struct sp_arena *a, enum dp_body_kind kind, struct sp_str body, struct sp_str name,
                    struct sp_str *value)
{
    if (kind == DP_BODY_FORM)
        return dp_arguments_find(a, body, name, value);
    return kind == DP_BODY_JSON ? find_in_json(a, body, name, value) : 0;
}

struct sp_str dp_body_without(struct sp_arena *a, enum dp_body_kind kind, struct sp_str body, struct sp_str name)
{
    if (kind == DP_BODY_FORM)
        return dp_arguments_without(a, body, name);
    return kind == DP_BODY_JSON ? without_in_json(a, body, name) : body;
}
