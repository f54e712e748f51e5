#include "admit/real_ip.h"

enum { MAX_HOPS = 64 };

bool dp_real_ip_trusts(const struct dp_real_ip *r, const struct sp_address *a)
{
    for (size_t i = 0; i < r->num_trusted; i++)
        if (sp_network_has(&r->trusted[i], a))
            return true;
    return false;
}

/* "1.2.3.4", "1.2.3.4:80", "::1", "[::1]", "[::1]:80" */
static bool read_address(struct sp_str text, struct sp_address *out)
{
    uint64_t port;
    if (sp_address_parse_ip(text, 0, out))
        return true;
    struct sp_str rest = text, ip = sp_str_split(&rest, ':');
    if (text.len && text.p[0] == '[') {
        const char *end = memchr(text.p, ']', text.len);
        if (!end)
            return false;
        ip = sp_str(text.p, (size_t)(end - text.p) + 1);
        rest = sp_str_skip(text, ip.len);
        if (rest.len == 0 || rest.p[0] != ':')
            return false;
        rest = sp_str_skip(rest, 1);
    }
    return sp_str_to_u64(rest, &port) && port > 0 && port <= UINT16_MAX && sp_address_parse_ip(ip, 0, out);
}

static bool separates(char c)
{
    return c == ',' || c == ' ' || c == '\t';
}

/* The last word of a list, taken off it. */
static struct sp_str last_word(struct sp_str *list)
{
    size_t end = list->len;
    while (end && separates(list->p[end - 1]))
        end--;
    size_t begin = end;
    while (begin && !separates(list->p[begin - 1]))
        begin--;
    list->len = begin;
    return sp_str(list->p + begin, end - begin);
}

/* Words of one field, from the end. True: go on with the field before it. */
static bool read_value(const struct dp_real_ip *r, struct sp_str list, unsigned *hops, bool *found,
                       struct sp_address *out)
{
    do {
        struct sp_address a;
        if (++*hops > MAX_HOPS || !read_address(last_word(&list), &a))
            return false;
        *out = a;
        *found = true;
        if (!r->recursive || !dp_real_ip_trusts(r, &a))
            return false;
    } while (list.len);
    return true;
}

static bool is_ours(const struct dp_real_ip *r, const struct sp_field *f)
{
    if (f->removed || f->id != r->id)
        return false;
    return r->id != SP_FIELD_OTHER || sp_str_ieq(f->name, r->header);
}

bool dp_real_ip_read(const struct dp_real_ip *r, const struct sp_fields *fields, struct sp_address *out)
{
    unsigned hops = 0;
    bool found = false;
    if (r->header.len == 0)
        return false;
    for (uint32_t i = fields->len; i-- > 0;)
        if (is_ours(r, &fields->v[i]) && !read_value(r, fields->v[i].value, &hops, &found, out))
            break;
    return found;
}

struct sp_str dp_real_ip_text(struct sp_arena *a, const struct dp_real_ip *r, const struct sp_fields *fields)
{
    struct sp_address client;
    if (!dp_real_ip_read(r, fields, &client))
        return SP_STR("");
    char *text = sp_arena_alloc_raw(a, SP_ADDRESS_TEXT);
    return sp_str(text, sp_address_ip(&client, text));
}
