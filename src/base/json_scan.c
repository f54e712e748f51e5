#include "base/json_scan.h"
#include "base/json.h"

struct scan {
    const char *p, *end;
};

static bool at(const struct scan *s, char c)
{
    return s->p < s->end && *s->p == c;
}

static bool eat(struct scan *s, char c)
{
    bool there = at(s, c);
    s->p += there;
    return there;
}

static void skip_blanks(struct scan *s)
{
    while (at(s, ' ') || at(s, '\t') || at(s, '\n') || at(s, '\r'))
        s->p++;
}

static bool is_digit(const struct scan *s)
{
    return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

static int hex_digit(char c)
{
    c = (char)sp_lower((unsigned char)c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits; -1: no. */
static int32_t hex4(const char *p, size_t left)
{
    int32_t n = 0;
    for (size_t i = 0; i < 4; i++) {
        int d = i < left ? hex_digit(p[i]) : -1;
        if (d < 0)
            return -1;
        n = n << 4 | d;
    }
    return n;
}

static bool skip_escape(struct scan *s)
{
    if (s->p == s->end)
        return false;
    char c = *s->p++;
    if (c != 'u')
        return c && strchr("\"\\/bfnrt", c) != NULL;
    if (hex4(s->p, (size_t)(s->end - s->p)) < 0)
        return false;
    s->p += 4;
    return true;
}

static bool skip_string(struct scan *s)
{
    if (!eat(s, '"'))
        return false;
    while (s->p < s->end && *s->p != '"') {
        size_t n = sp_json_utf8(s->p, (size_t)(s->end - s->p));
        bool escape = *s->p == '\\';
        if (n == 0 || (unsigned char)*s->p < 0x20)
            return false;
        s->p += n;
        if (escape && !skip_escape(s))
            return false;
    }
    return eat(s, '"');
}

static bool skip_digits(struct scan *s)
{
    bool any = is_digit(s);
    while (is_digit(s))
        s->p++;
    return any;
}

static bool skip_number(struct scan *s)
{
    (void)eat(s, '-');
    if (!eat(s, '0') && !skip_digits(s))
        return false;
    if (eat(s, '.') && !skip_digits(s))
        return false;
    if (!eat(s, 'e') && !eat(s, 'E'))
        return true;
    if (!eat(s, '+'))
        (void)eat(s, '-');
    return skip_digits(s);
}

static bool skip_word(struct scan *s, struct sp_str word)
{
    if ((size_t)(s->end - s->p) < word.len || memcmp(s->p, word.p, word.len) != 0)
        return false;
    s->p += word.len;
    return true;
}

static bool skip_value(struct scan *s, unsigned depth);

static bool skip_member(struct scan *s, unsigned depth)
{
    skip_blanks(s);
    if (!skip_string(s))
        return false;
    skip_blanks(s);
    return eat(s, ':') && skip_value(s, depth);
}

static bool skip_container(struct scan *s, unsigned depth, bool object)
{
    char close = object ? '}' : ']';
    s->p++;
    skip_blanks(s);
    if (eat(s, close))
        return true;
    do
        if (!(object ? skip_member(s, depth + 1) : skip_value(s, depth + 1)))
            return false;
    while (eat(s, ','));
    return eat(s, close);
}

/* With the blanks on both sides. Recursion ends at SP_JSON_DEPTH. */
static bool skip_value(struct scan *s, unsigned depth)
{
    bool good;
    skip_blanks(s);
    if (depth >= SP_JSON_DEPTH || s->p == s->end)
        return false;
    switch (*s->p) {
    case '{':
    case '[':
        good = skip_container(s, depth, *s->p == '{');
        break;
    case '"':
        good = skip_string(s);
        break;
    case 't':
        good = skip_word(s, SP_STR("true"));
        break;
    case 'f':
        good = skip_word(s, SP_STR("false"));
        break;
    case 'n':
        good = skip_word(s, SP_STR("null"));
        break;
    default:
        good = skip_number(s);
    }
    skip_blanks(s);
    return good;
}

bool sp_json_valid(struct sp_str text)
{
    struct scan s = {text.p, text.p + text.len};
    return text.len && skip_value(&s, 0) && s.p == s.end;
}

static struct sp_str trim(const char *from, const char *to)
{
    while (from < to && strchr(" \t\r\n", *from))
        from++;
    while (from < to && strchr(" \t\r\n", to[-1]))
        to--;
    return sp_str(from, (size_t)(to - from));
}

bool sp_json_next(struct sp_str *rest, struct sp_json_member *out)
{
    struct scan s = {rest->p, rest->p + rest->len};
    if (rest->len == 0)
        return false;
    skip_blanks(&s);
    if (!eat(&s, '{') && !eat(&s, ','))
        return false;
    skip_blanks(&s);
    const char *name = s.p;
    if (!skip_string(&s))
        return false;
    out->name = trim(name, s.p);
    skip_blanks(&s);
    (void)eat(&s, ':');
    const char *value = s.p;
    if (!skip_value(&s, 1))
        return false;
    out->value = trim(value, s.p);
    *rest = sp_str(s.p, (size_t)(s.end - s.p));
    return true;
}

/* --- the text of a string --- */

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

/* After "\u": one UTF-16 unit, or two that are a pair. NULL: half of one. */
static char *put_unicode(struct scan *s, char *to)
{
    int32_t c = hex4(s->p, (size_t)(s->end - s->p));
    s->p += 4;
    if (c < 0 || (c >= 0xdc00 && c <= 0xdfff))
        return NULL;
    if (c < 0xd800 || c > 0xdfff)
        return put_utf8(to, (uint32_t)c);
    if (s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u')
        return NULL;
    int32_t low = hex4(s->p + 2, 4);
    if (low < 0xdc00 || low > 0xdfff)
        return NULL;
    s->p += 6;
    return put_utf8(to, 0x10000u + ((uint32_t)(c - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
}

bool sp_json_decode(struct sp_arena *a, struct sp_str string, struct sp_str *out)
{
    static const char from[] = "bfnrt", is[] = "\b\f\n\r\t";
    struct scan s = {string.p, string.p + string.len};
    if (string.len < 2 || !skip_string(&s) || s.p != s.end)
        return false;
    s = (struct scan){string.p + 1, string.p + string.len - 1};
    char *start = sp_arena_alloc_raw(a, string.len), *to = start;
    while (s.p < s.end) {
        char c = *s.p++;
        if (c != '\\') {
            *to++ = c;
            continue;
        }
        c = *s.p++;
        const char *short_form = c ? strchr(from, c) : NULL;
        if (c == 'u')
            to = put_unicode(&s, to);
        else
            *to++ = short_form ? is[short_form - from] : c;
        if (!to)
            return false;
    }
    *out = sp_str(start, (size_t)(to - start));
    return true;
}
