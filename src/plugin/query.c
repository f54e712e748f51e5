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

size_t dp_arguments_find(struct sp_arena *a, struct sp_str rest, struct sp_str name, struct sp_str *value)
{
    size_t num = 0;
    struct sp_str raw;
    while (rest.len) {
        if (!is_named(a, sp_str_split(&rest, '&'), name, &raw) || num++)
            continue;
        if (!raw.p || !sp_percent_decode(a, raw, true, value))
            *value = raw; /* as it stands: it is no key then, but it was there */
    }
    return num;
}

/* Each argument that stays is written after `mark`, and that after the first one is '&'. */
static struct sp_str without(struct sp_arena *a, struct sp_str rest, struct sp_str name, char mark)
{
    char *p = sp_arena_alloc_raw(a, rest.len + 2), *at = p;
    struct sp_str raw;
    while (rest.len) {
        struct sp_str argument = sp_str_split(&rest, '&');
        if (argument.len == 0 || is_named(a, argument, name, &raw))
            continue;
        *at = at == p ? mark : '&';
        memcpy(++at, argument.p, argument.len);
        at += argument.len;
    }
    return sp_str(p, (size_t)(at - p));
}

struct sp_str dp_arguments_without(struct sp_arena *a, struct sp_str arguments, struct sp_str name)
{
    struct sp_str s = without(a, arguments, name, '&');
    return s.len ? sp_str_skip(s, 1) : s;
}

size_t dp_query_find(struct sp_arena *a, struct sp_str query, struct sp_str name, struct sp_str *value)
{
    return dp_arguments_find(a, arguments(query), name, value);
}

struct sp_str dp_query_without(struct sp_arena *a, struct sp_str query, struct sp_str name)
{
    return without(a, arguments(query), name, '?');
}
