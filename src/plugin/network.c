#include "plugin/network.h"

#include <arpa/inet.h>

static bool parse_address(struct sp_str text, struct dp_network *out)
{
    char z[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof z)
        return false;
    memcpy(z, text.p, text.len);
    z[text.len] = '\0';
    if (inet_pton(AF_INET, z, out->bytes) == 1)
        out->len = 4;
    else if (inet_pton(AF_INET6, z, out->bytes) == 1)
        out->len = 16;
    else
        return false;
    return true;
}

static void unmap(struct dp_network *n)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (n->len != 16 || n->bits < 96 || memcmp(n->bytes, mapped, sizeof mapped) != 0)
        return;
    memmove(n->bytes, n->bytes + 12, 4);
    n->len = 4;
    n->bits = (uint8_t)(n->bits - 96);
}

bool dp_network_parse(struct sp_str text, struct dp_network *out)
{
    struct sp_str rest = text, address = sp_str_split(&rest, '/');
    *out = (struct dp_network){0};
    if (!parse_address(address, out))
        return false;
    uint64_t bits = out->len * 8u;
    if (rest.p && (!sp_str_to_u64(rest, &bits) || bits > out->len * 8u))
        return false;
    out->bits = (uint8_t)bits;
    unmap(out);
    return true;
}

bool dp_network_has(const struct dp_network *n, const struct dp_network *address)
{
    if (n->len != address->len)
        return false;
    size_t whole = n->bits / 8, rest = n->bits % 8;
    if (memcmp(n->bytes, address->bytes, whole) != 0)
        return false;
    return rest == 0 || ((n->bytes[whole] ^ address->bytes[whole]) >> (8 - rest)) == 0;
}
