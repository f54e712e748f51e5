#include "base/encoding.h"

void sp_base64_encode(struct sp_buf *out, struct sp_str bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = (bytes.len + 2) / 3 * 4;
    char *to = sp_buf_reserve(out, len);
    for (size_t i = 0; i < bytes.len; i += 3, to += 4) {
        size_t left = bytes.len - i;
        uint32_t v = (uint32_t)(unsigned char)bytes.p[i] << 16;
        if (left > 1)
            v |= (uint32_t)(unsigned char)bytes.p[i + 1] << 8;
        if (left > 2)
            v |= (unsigned char)bytes.p[i + 2];
        to[0] = digits[v >> 18];
        to[1] = digits[v >> 12 & 63];
        to[2] = left > 1 ? digits[v >> 6 & 63] : '=';
        to[3] = left > 2 ? digits[v & 63] : '=';
    }
    sp_buf_commit(out, len);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool sp_base64_decode(struct sp_arena *a, struct sp_str text, struct sp_str *out)
{
    char *p = sp_arena_alloc_raw(a, text.len / 4 * 3 + 4);
    size_t n = 0, digits = 0, pads = 0;
    uint32_t v = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (is_space(c))
            continue;
        int value = base64_value(c);
        if (c == '=' && ++pads <= 2)
            continue;
        if (value < 0 || pads)
            return false;
        v = v << 6 | (uint32_t)value;
        digits++;
        if (digits % 4 == 0) {
            p[n++] = (char)(v >> 16);
            p[n++] = (char)(v >> 8);
            p[n++] = (char)v;
        }
    }
    size_t rest = digits % 4;
    if (rest == 1 || (pads && pads != (4 - rest) % 4))
        return false;
    if ((rest == 2 && (v & 15)) || (rest == 3 && (v & 3)))
        return false; /* two texts for one value would be two digests for one certificate */
    if (rest == 2)
        p[n++] = (char)(v >> 4);
    if (rest == 3) {
        p[n++] = (char)(v >> 10);
        p[n++] = (char)(v >> 2);
    }
    *out = sp_str(p, n);
    return true;
}

static bool is_unreserved(unsigned char c)
{
    unsigned char l = sp_lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

void sp_percent_encode(struct sp_buf *out, struct sp_str bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.p[i];
        if (is_unreserved(c)) {
            sp_buf_putc(out, (char)c);
            continue;
        }
        char *to = sp_buf_reserve(out, 3);
        to[0] = '%';
        to[1] = digits[c >> 4];
        to[2] = digits[c & 15];
        sp_buf_commit(out, 3);
    }
}

static int hex_value(char ch)
{
    unsigned char c = sp_lower((unsigned char)ch);
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sp_percent_decode(struct sp_arena *a, struct sp_str text, bool plus, struct sp_str *out)
{
    char *p = sp_arena_alloc_raw(a, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (c == '%') {
            int hi = i + 2 < text.len ? hex_value(text.p[i + 1]) : -1, lo = hi < 0 ? -1 : hex_value(text.p[i + 2]);
            if (lo < 0)
                return false;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        p[n++] = c;
    }
    p[n] = '\0';
    *out = sp_str(p, n);
    return true;
}
