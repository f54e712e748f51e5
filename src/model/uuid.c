#include "model/build.h"

#include "model/rules.h"
#include "tls/certificate.h"

static int hex_digit(char c)
{
    unsigned char l = sp_lower((unsigned char)c);
    return l >= '0' && l <= '9' ? l - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

bool sp_uuid_bytes(struct sp_str text, uint8_t out[16])
{
    size_t n = 0;
    if (text.len != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text.p[i] != '-')
                return false;
            continue;
        }
        int d = hex_digit(text.p[i]);
        if (d < 0)
            return false;
        out[n / 2] = (uint8_t)(n % 2 ? out[n / 2] | d : d << 4);
        n++;
    }
    return true;
}

bool sp_is_uuid(struct sp_str s)
{
    uint8_t bytes[16];
    return sp_uuid_bytes(s, bytes);
}

void sp_uuid5(const uint8_t space[16], struct sp_str name, char out[37])
{
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    uint8_t h[20];
    char hex[33];
    sp_buf_append(&b, space, 16);
    sp_buf_add(&b, name);
    sp_sha1(sp_buf_str(&b), h);
    h[6] = (h[6] & 0x0f) | 0x50;
    h[8] = (h[8] & 0x3f) | 0x80;
    sp_hex(h, 16, hex);
    for (size_t i = 0, at = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            out[at++] = '-';
        out[at++] = hex[i];
        out[at] = '\0';
    }
}
