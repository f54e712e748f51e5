#include "base/json.h"

static void separate(struct sp_json *j)
{
    uint32_t bit = UINT32_C(1) << j->depth;
    if (j->after_key)
        j->after_key = false;
    else if (j->filled & bit)
        sp_buf_putc(j->out, ',');
    j->filled |= bit;
}

static void open_level(struct sp_json *j, char c)
{
    separate(j);
    sp_buf_putc(j->out, c);
    sp_assert(j->depth + 1 < SP_JSON_DEPTH);
    j->depth++;
    j->filled &= ~(UINT32_C(1) << j->depth);
}

static void close_level(struct sp_json *j, char c)
{
    sp_assert(j->depth > 0 && !j->after_key);
    j->depth--;
    sp_buf_putc(j->out, c);
}

void sp_json_object(struct sp_json *j)
{
    open_level(j, '{');
}

void sp_json_array(struct sp_json *j)
{
    open_level(j, '[');
}

void sp_json_end_object(struct sp_json *j)
{
    close_level(j, '}');
}

void sp_json_end_array(struct sp_json *j)
{
    close_level(j, ']');
}

size_t sp_json_utf8(const char *text, size_t left)
{
    const unsigned char *p = (const unsigned char *)text;
    static const struct {
        unsigned char first, last, low, high; /* of the first byte; of the second */
        size_t len;
    } forms[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
                 {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                 {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    if (p[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (p[0] < forms[i].first || p[0] > forms[i].last)
            continue;
        if (left < forms[i].len || p[1] < forms[i].low || p[1] > forms[i].high)
            return 0;
        for (size_t k = 2; k < forms[i].len; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return forms[i].len;
    }
    return 0;
}

static void put_byte(struct sp_buf *out, unsigned char c)
{
    static const char short_forms[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    if (c == '"' || c == '\\')
        sp_buf_printf(out, "\\%c", c);
    else if (c < sizeof short_forms && short_forms[c])
        sp_buf_printf(out, "\\%c", short_forms[c]);
    else if (c < 0x20 || c == 0x7f)
        sp_buf_printf(out, "\\u%04x", c);
    else
        sp_buf_putc(out, (char)c);
}

void sp_json_str(struct sp_json *j, struct sp_str s)
{
    separate(j);
    sp_buf_putc(j->out, '"');
    for (size_t i = 0; i < s.len;) {
        size_t n = sp_json_utf8(s.p + i, s.len - i);
        if (n == 1)
            put_byte(j->out, (unsigned char)s.p[i]);
        else
            sp_buf_add(j->out, n ? sp_str(s.p + i, n) : SP_STR("\xef\xbf\xbd"));
        i += n ? n : 1;
    }
    sp_buf_putc(j->out, '"');
}

void sp_json_z(struct sp_json *j, const char *z)
{
    if (z)
        sp_json_str(j, sp_str_z(z));
    else
        sp_json_null(j);
}

void sp_json_key(struct sp_json *j, const char *key)
{
    sp_json_z(j, key);
    sp_buf_putc(j->out, ':');
    j->after_key = true;
}

void sp_json_int(struct sp_json *j, int64_t n)
{
    separate(j);
    sp_buf_printf(j->out, "%lld", (long long)n);
}

void sp_json_bool(struct sp_json *j, bool b)
{
    sp_json_raw(j, b ? SP_STR("true") : SP_STR("false"));
}

void sp_json_null(struct sp_json *j)
{
    sp_json_raw(j, SP_STR("null"));
}

void sp_json_raw(struct sp_json *j, struct sp_str json)
{
    separate(j);
    sp_buf_add(j->out, json);
}

void sp_json_put_str(struct sp_json *j, const char *key, struct sp_str s)
{
    sp_json_key(j, key);
    sp_json_str(j, s);
}

void sp_json_put_z(struct sp_json *j, const char *key, const char *z)
{
    sp_json_key(j, key);
    sp_json_z(j, z);
}

void sp_json_put_int(struct sp_json *j, const char *key, int64_t n)
{
    sp_json_key(j, key);
    sp_json_int(j, n);
}

void sp_json_put_bool(struct sp_json *j, const char *key, bool b)
{
    sp_json_key(j, key);
    sp_json_bool(j, b);
}
