#include "net/proxy_protocol.h"

enum {
    V1_MAX = 107, /* with CRLF */
    V2_FIXED = 16,
    V2_LOCAL = 0,
    V2_PROXY = 1,
    V2_STREAM = 1,
    TLV_HEAD = 3,
    TLV_CRC32C = 3,
    CRC_LEN = 4
};

static const char v2_signature[12] = {'\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

static enum sp_proxy_parse bad(const char **why, const char *text)
{
    *why = text;
    return SP_PROXY_BAD;
}

/* --- version 1 --- */

static bool read_port(struct sp_str text, uint16_t *out)
{
    uint64_t n;
    if (text.len == 0 || (text.p[0] == '0' && text.len > 1) || !sp_str_to_u64(text, &n) || n > UINT16_MAX)
        return false;
    *out = (uint16_t)n;
    return true;
}

static bool read_ip(struct sp_str text, uint16_t port, sa_family_t family, struct sp_address *out)
{
    return text.len && text.p[0] != '[' && sp_address_parse_ip(text, port, out) && out->ss.ss_family == family;
}

/* The line behind "PROXY ", without its CRLF. */
static bool read_v1(struct sp_str line, struct sp_proxy_header *out)
{
    struct sp_str family = sp_str_split(&line, ' '), part[4];
    struct sp_address destination;
    uint16_t port[2];
    if (sp_str_eq(family, SP_STR("UNKNOWN")))
        return true;
    sa_family_t expected = sp_str_eq(family, SP_STR("TCP4")) ? AF_INET : AF_INET6;
    if (expected == AF_INET6 && !sp_str_eq(family, SP_STR("TCP6")))
        return false;
    for (size_t i = 0; i < 4; i++) {
        if (!line.p)
            return false;
        part[i] = sp_str_split(&line, ' ');
    }
    out->known = !line.p && read_port(part[2], &port[0]) && read_port(part[3], &port[1]) &&
                 read_ip(part[0], port[0], expected, &out->source) && read_ip(part[1], port[1], expected, &destination);
    return out->known;
}

static enum sp_proxy_parse parse_v1(struct sp_str in, struct sp_proxy_header *out, const char **why)
{
    static const struct sp_str word = {"PROXY ", 6};
    if (memcmp(in.p, word.p, in.len < word.len ? in.len : word.len) != 0)
        return bad(why, "no PROXY header");
    const char *end = memchr(in.p, '\n', in.len < V1_MAX ? in.len : V1_MAX);
    if (!end)
        return in.len < V1_MAX ? SP_PROXY_MORE : bad(why, "PROXY line too long");
    size_t len = (size_t)(end - in.p) + 1;
    if (end[-1] != '\r' || !read_v1(sp_str(in.p + word.len, len - word.len - 2), out))
        return bad(why, "bad PROXY line");
    out->len = len;
    return SP_PROXY_DONE;
}

/* --- version 2 --- */

/* Castagnoli's polynomial, four bits at a time. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t len)
{
    static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
                                       0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                       0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    for (size_t i = 0; i < len; i++) {
        crc = (crc >> 4) ^ table[(crc ^ p[i]) & 15];
        crc = (crc >> 4) ^ table[(crc ^ (p[i] >> 4)) & 15];
    }
    return crc;
}

/* Over the whole header, with zeros where the sum itself stands. */
static bool sum_is_right(const uint8_t *head, size_t len, size_t at)
{
    static const uint8_t zeros[CRC_LEN];
    const uint8_t *sum = head + at;
    uint32_t said = (uint32_t)sum[0] << 24 | (uint32_t)sum[1] << 16 | (uint32_t)sum[2] << 8 | sum[3];
    uint32_t crc = crc32c(UINT32_MAX, head, at);
    crc = crc32c(crc, zeros, sizeof zeros);
    crc = crc32c(crc, sum + CRC_LEN, len - at - CRC_LEN);
    return ~crc == said;
}

static const char *check_tlvs(const uint8_t *head, size_t len, size_t at)
{
    bool summed = false;
    while (at < len) {
        if (len - at < TLV_HEAD)
            return "PROXY TLV cut off";
        size_t value = (size_t)head[at + 1] << 8 | head[at + 2];
        if (len - at - TLV_HEAD < value)
            return "PROXY TLV cut off";
        if (head[at] == TLV_CRC32C) {
            if (value != CRC_LEN || summed || !sum_is_right(head, len, at + TLV_HEAD))
                return "PROXY checksum is wrong";
            summed = true;
        }
        at += TLV_HEAD + value;
    }
    return NULL;
}

/* The whole header is there. */
static enum sp_proxy_parse read_v2(const uint8_t *head, struct sp_proxy_header *out, const char **why)
{
    enum { UNSPECIFIED, IPV4, IPV6, UNIX };
    static const uint8_t addresses[] = {[UNSPECIFIED] = 0, [IPV4] = 12, [IPV6] = 36, [UNIX] = 216};
    unsigned family = head[13] >> 4, transport = head[13] & 15;
    if ((head[12] & 15) == V2_LOCAL || family == UNSPECIFIED)
        return SP_PROXY_DONE;
    size_t at = V2_FIXED + addresses[family];
    if (out->len < at)
        return bad(why, "PROXY header too short for its addresses");
    const char *fault = check_tlvs(head, out->len, at);
    if (fault)
        return bad(why, fault);
    if (transport != V2_STREAM || family == UNIX)
        return SP_PROXY_DONE;
    size_t ip = family == IPV4 ? 4 : 16;
    const uint8_t *port = head + V2_FIXED + 2 * ip;
    sp_address_from_bytes(head + V2_FIXED, ip, (uint16_t)(port[0] << 8 | port[1]), &out->source);
    out->known = true;
    return SP_PROXY_DONE;
}

static enum sp_proxy_parse parse_v2(struct sp_str in, struct sp_proxy_header *out, const char **why)
{
    enum { LAST_FAMILY = 3, LAST_TRANSPORT = 2 };
    const uint8_t *b = (const uint8_t *)in.p;
    if (memcmp(in.p, v2_signature, in.len < sizeof v2_signature ? in.len : sizeof v2_signature) != 0)
        return bad(why, "no PROXY header");
    if (in.len > 12 && (b[12] >> 4 != 2 || (b[12] & 15) > V2_PROXY))
        return bad(why, "PROXY version or command unknown");
    if (in.len > 13 && (b[13] >> 4 > LAST_FAMILY || (b[13] & 15) > LAST_TRANSPORT))
        return bad(why, "PROXY address family unknown");
    if (in.len < V2_FIXED)
        return SP_PROXY_MORE;
    out->len = V2_FIXED + ((size_t)b[14] << 8 | b[15]);
    if (out->len > SP_PROXY_HEADER_MAX)
        return bad(why, "PROXY header too long");
    return in.len < out->len ? SP_PROXY_MORE : read_v2(b, out, why);
}

enum sp_proxy_parse sp_proxy_header_parse(struct sp_str in, struct sp_proxy_header *out, const char **why)
{
    *out = (struct sp_proxy_header){0};
    if (in.len == 0)
        return SP_PROXY_MORE;
    return in.p[0] == v2_signature[0] ? parse_v2(in, out, why) : parse_v1(in, out, why);
}
