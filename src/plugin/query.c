#include "plugin/query.h"
#include "base/encoding.h"

static struct sp_str arguments(struct sp_str query)
{
    return query.len ? sp_str_skip(query, 1) : query;
}

static bool is_named(struct sp_arena *a, struct sp_str argument, struct sp_str name, struct sp_str *raw_value)
{
    *raw_value = argument;
    struct sp_str raw = sp_str_split(raw_value, '='), decoded;
    return sp_percent_decode(a, raw, true, &decoded) && sp_str_eq(decoded, name);
}

size_t dp_query_find(struct sp_arena *a, struct sp_str query, struct sp_str name, struct sp_str *value)
{
    size_t num = 0;
    struct sp_str rest = arguments(query), raw;
    while (rest.len) {
        if (!is_named(a, sp_str_split(&rest, '&'), name, &raw))
            continue;
        if (num++ == 0 && !sp_percent_decode(a, raw, true, value))
            *value = raw; /* as it stands: it is no key then, but it was there */
    }
    return num;
}

struct sp_str dp_query_without(struct sp_arena *a, struct sp_str query, struct sp_str name)
{
    char *p = sp_arena_alloc_raw(a, query.len + 1), *at = p;
    struct sp_str rest = arguments(query), raw;
    while (rest.len) {
        struct sp_str argument = sp_str_split(&rest, '&');
        if (argument.len == 0 || is_named(a, argument, name, &raw))
            continue;
        char mark = at == p ? '?' : '&';
        *at++ = mark;
        memcpy(at, argument.p, argument.len);
        at += argument.len;
    }
    return sp_str(p, (size_t)(at - p));
}
