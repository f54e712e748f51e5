#include "model/node.h"

static size_t utf8_length(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return p[0] ? 1 : 0;
    size_t n = p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool outside = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90); /* surrogates; above U+10FFFF */
    return overlong || outside ? 0 : n;
}

size_t sp_utf8_check(struct sp_str text)
{
    size_t i = 0;
    while (i < text.len) {
        size_t n = utf8_length((const unsigned char *)text.p + i, text.len - i);
        if (n == 0)
            return i;
        i += n;
    }
    return i;
}

struct sp_node *sp_node_get(const struct sp_node *map, struct sp_str key)
{
    if (!map || map->type != SP_NODE_MAP)
        return NULL;
    for (size_t i = 0; i < map->num; i++)
        if (sp_str_eq(map->items[2 * i]->text, key))
            return map->items[2 * i + 1];
    return NULL;
}

struct sp_str sp_node_describe(struct sp_arena *a, const struct sp_node *n)
{
    enum { SHOWN = 40 };
    size_t len = n->text.len <= SHOWN ? n->text.len : SHOWN;
    while (len < n->text.len && len > 0 && ((unsigned char)n->text.p[len] & 0xc0) == 0x80)
        len--; /* not inside a character */
    const char *more = len < n->text.len ? "..." : "";
    switch (n->type) {
    case SP_NODE_NULL:
        return SP_STR("null");
    case SP_NODE_BOOL:
        return n->boolean ? SP_STR("the boolean true") : SP_STR("the boolean false");
    case SP_NODE_INTEGER:
    case SP_NODE_NUMBER:
        return sp_arena_printf(a, "the number %.*s%s", (int)len, n->text.p, more);
    case SP_NODE_STRING:
        return sp_arena_printf(a, "the string '%.*s%s'", (int)len, n->text.p, more);
    case SP_NODE_LIST:
        return SP_STR("a list");
    case SP_NODE_MAP:
        return SP_STR("a map");
    }
    return SP_STR("something else");
}
