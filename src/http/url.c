/* Paths and queries of the admin server: splitting first, decoding after, so that an encoded separator separates
 * nothing. */
#include "http/server.h"

static int hex_value(char ch)
{
    unsigned char c = sp_lower((unsigned char)ch);
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sp_url_decode(struct sp_arena *a, struct sp_str s, bool form, struct sp_str *out)
{
    char *to = sp_arena_alloc_raw(a, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == '%') {
            bool whole = s.len - i > 2;
            int high = whole ? hex_value(s.p[i + 1]) : -1;
            int low = whole ? hex_value(s.p[i + 2]) : -1;
            if (high < 0 || low < 0 || (high | low) == 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && form) {
            c = ' ';
        }
        to[n++] = c;
    }
    to[n] = '\0';
    *out = sp_str(to, n);
    return true;
}

void sp_url_encode(struct sp_buf *out, struct sp_str s)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i], l = sp_lower(c);
        bool plain = (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            sp_buf_putc(out, (char)c);
        } else {
            const char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
            sp_buf_append(out, escape, 3);
        }
    }
}

bool sp_url_next_segment(struct sp_arena *a, struct sp_str *path, struct sp_str *segment)
{
    while (path->len && path->p[0] == '/')
        *path = sp_str_skip(*path, 1);
    if (path->len == 0)
        return false;
    const char *slash = memchr(path->p, '/', path->len);
    size_t n = slash ? (size_t)(slash - path->p) : path->len;
    if (!sp_url_decode(a, sp_str(path->p, n), false, segment))
        return false;
    *path = sp_str_skip(*path, n);
    return true;
}

bool sp_query_next(struct sp_arena *a, struct sp_str *query, struct sp_str *name, struct sp_str *value)
{
    while (query->len && query->p[0] == '&')
        *query = sp_str_skip(*query, 1);
    if (query->len == 0)
        return false;
    const char *end = memchr(query->p, '&', query->len);
    struct sp_str pair = {query->p, end ? (size_t)(end - query->p) : query->len};
    struct sp_str rest = sp_str_skip(*query, pair.len);
    struct sp_str key = sp_str_split(&pair, '=');
    if (!sp_url_decode(a, key, true, name) || !sp_url_decode(a, pair, true, value))
        return false;
    *query = rest;
    return true;
}

bool sp_query_get(struct sp_arena *a, struct sp_str query, const char *name, struct sp_str *value)
{
    struct sp_str key, wanted = sp_str_z(name);
    while (sp_query_next(a, &query, &key, value))
        if (sp_str_eq(key, wanted))
            return true;
    return false;
}
