#include "route/router.h"

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = sp_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_unreserved(unsigned char c)
{
    unsigned char l = sp_lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

/* Bytes that no path holds raw. '\' is among them because some servers read it as '/'. */
static bool is_forbidden(unsigned char c)
{
    return c <= 0x20 || c == 0x7f || c == '#' || c == '?' || c == '\\';
}

/* Malformed: -1. Normal already: 0. Needs work: 1. */
static int survey(struct sp_str path)
{
    int work = 0;
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.p[i];
        if (is_forbidden(c))
            return -1;
        if (c == '/' && i + 1 < path.len && (path.p[i + 1] == '/' || path.p[i + 1] == '.'))
            work = 1; /* perhaps only "/.hidden", which comes out unchanged */
        if (c != '%')
            continue;
        int hi = i + 2 < path.len ? hex_value((unsigned char)path.p[i + 1]) : -1;
        int lo = hi < 0 ? -1 : hex_value((unsigned char)path.p[i + 2]);
        if (lo < 0 || (hi == 0 && lo == 0)) /* %00 ends the string for somebody behind us */
            return -1;
        work = 1;
    }
    return work;
}

/* Triplets: unreserved ones decoded, others in upper case. Returns the new length. */
static size_t decode(struct sp_str path, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < path.len; i++) {
        if (path.p[i] != '%') {
            out[n++] = path.p[i];
            continue;
        }
        int byte = hex_value((unsigned char)path.p[i + 1]) << 4 | hex_value((unsigned char)path.p[i + 2]);
        i += 2;
        if (is_unreserved((unsigned char)byte)) {
            out[n++] = (char)byte;
            continue;
        }
        out[n++] = '%';
        out[n++] = digits[byte >> 4];
        out[n++] = digits[byte & 15];
    }
    return n;
}

/* Merges slashes and removes dot segments in place (RFC 3986 5.2.4, after merging). p begins with '/'. */
static size_t remove_dots(char *p, size_t len)
{
    size_t out = 0, i = 0;
    while (i < len) { /* p[i] is a slash and p[0 .. out) is done, without a slash at its end */
        while (i < len && p[i] == '/')
            i++;
        size_t start = i;
        while (i < len && p[i] != '/')
            i++;
        size_t seg = i - start;
        bool last = i == len, one = seg == 1 && p[start] == '.';
        bool two = seg == 2 && p[start] == '.' && p[start + 1] == '.';
        if (two)
            while (out && p[--out] != '/')
                ;
        if (one || two || seg == 0) {
            if (last)
                p[out++] = '/';
            continue;
        }
        p[out++] = '/';
        memmove(p + out, p + start, seg);
        out += seg;
    }
    return out;
}

bool dp_path_normalise(struct sp_arena *a, struct sp_str path, struct sp_str *out)
{
    if (path.len == 0 || path.p[0] != '/')
        return false;
    int work = survey(path);
    if (work < 0)
        return false;
    *out = path;
    if (work == 0)
        return true;
    char *p = sp_arena_alloc_raw(a, path.len + 1);
    size_t n = remove_dots(p, decode(path, p));
    p[n] = '\0';
    *out = sp_str(p, n);
    return true;
}

static struct sp_str join3(struct sp_arena *a, struct sp_str x, struct sp_str y, struct sp_str z)
{
    if (x.len == 0 && y.len == 0)
        return z;
    char *p = sp_arena_alloc_raw(a, x.len + y.len + z.len + 1);
    memcpy(p, x.p, x.len);
    if (y.len)
        memcpy(p + x.len, y.p, y.len);
    if (z.len)
        memcpy(p + x.len + y.len, z.p, z.len);
    p[x.len + y.len + z.len] = '\0';
    return sp_str(p, x.len + y.len + z.len);
}

/* A prefix that ends inside a segment can leave "../x" of "/foo../x". Such a rest must not climb out of the service. */
static struct sp_str drop_leading_dots(struct sp_str rest)
{
    for (;;) {
        size_t dots = 0;
        while (dots < rest.len && dots < 3 && rest.p[dots] == '.')
            dots++;
        if (dots == 0 || dots > 2 || (dots < rest.len && rest.p[dots] != '/'))
            return rest;
        rest = sp_str_skip(rest, dots < rest.len ? dots + 1 : dots);
    }
}

static struct sp_str stripped_path(struct sp_arena *a, struct sp_str base, struct sp_str request, struct sp_str rest)
{
    bool slash = base.p[base.len - 1] == '/';
    struct sp_str none = sp_str("", 0), trimmed = sp_str(base.p, base.len - slash);
    bool request_slash = request.len && request.p[request.len - 1] == '/';
    if (rest.len && rest.p[0] == '/')
        return join3(a, trimmed, none, rest);
    if (rest.len)
        return join3(a, trimmed, SP_STR("/"), rest);
    if (slash)
        return base.len == 1 || request_slash ? base : trimmed;
    return request_slash && request.len > 1 ? join3(a, base, none, SP_STR("/")) : base;
}

struct sp_str dp_upstream_path(struct sp_arena *a, struct sp_str service_path, struct sp_str request_path,
                               struct sp_str matched_prefix, bool strip_path)
{
    struct sp_str base = service_path.len ? service_path : SP_STR("/");
    if (strip_path) {
        sp_assert(matched_prefix.len <= request_path.len);
        struct sp_str rest = sp_str_skip(request_path, matched_prefix.len);
        return stripped_path(a, base, request_path, drop_leading_dots(rest));
    }
    if (base.p[base.len - 1] == '/')
        return join3(a, sp_str(base.p, base.len - 1), sp_str("", 0), request_path);
    if (request_path.len == 1 && request_path.p[0] == '/')
        return base;
    return join3(a, base, sp_str("", 0), request_path);
}
