#include "http/message.h"

#include "http/chars.h"

const uint8_t sp_chars_token[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

const uint8_t sp_chars_host[256] = {
    ['-'] = 1, ['.'] = 1, ['_'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* --- names */

struct name_id {
    struct sp_str name; /* lower case */
    enum sp_field_id id;
};
#define NAME(text, field)                                                                                              \
    {                                                                                                                  \
        {text, sizeof(text) - 1}, field                                                                                \
    }

/* Names by length, at most four of one length; what the switch below picks from. */
static const struct name_id names_2[] = {NAME("te", SP_FIELD_TE)};
static const struct name_id names_3[] = {NAME("via", SP_FIELD_VIA)};
static const struct name_id names_4[] = {NAME("host", SP_FIELD_HOST), NAME("date", SP_FIELD_DATE)};
static const struct name_id names_6[] = {NAME("accept", SP_FIELD_ACCEPT), NAME("cookie", SP_FIELD_COOKIE),
                                         NAME("server", SP_FIELD_SERVER), NAME("expect", SP_FIELD_EXPECT)};
static const struct name_id names_7[] = {NAME("trailer", SP_FIELD_TRAILER), NAME("upgrade", SP_FIELD_UPGRADE)};
static const struct name_id names_9[] = {NAME("x-real-ip", SP_FIELD_X_REAL_IP)};
static const struct name_id names_10[] = {NAME("connection", SP_FIELD_CONNECTION),
                                          NAME("keep-alive", SP_FIELD_KEEP_ALIVE)};
static const struct name_id names_12[] = {NAME("content-type", SP_FIELD_CONTENT_TYPE)};
static const struct name_id names_13[] = {NAME("authorization", SP_FIELD_AUTHORIZATION)};
static const struct name_id names_14[] = {NAME("content-length", SP_FIELD_CONTENT_LENGTH),
                                          NAME("http2-settings", SP_FIELD_HTTP2_SETTINGS)};
static const struct name_id names_15[] = {NAME("x-forwarded-for", SP_FIELD_X_FORWARDED_FOR)};
static const struct name_id names_16[] = {
    NAME("x-forwarded-host", SP_FIELD_X_FORWARDED_HOST), NAME("x-forwarded-path", SP_FIELD_X_FORWARDED_PATH),
    NAME("x-forwarded-port", SP_FIELD_X_FORWARDED_PORT), NAME("proxy-connection", SP_FIELD_PROXY_CONNECTION)};
static const struct name_id names_17[] = {NAME("transfer-encoding", SP_FIELD_TRANSFER_ENCODING),
                                          NAME("x-forwarded-proto", SP_FIELD_X_FORWARDED_PROTO)};
static const struct name_id names_18[] = {NAME("x-forwarded-prefix", SP_FIELD_X_FORWARDED_PREFIX),
                                          NAME("proxy-authenticate", SP_FIELD_PROXY_AUTHENTICATE)};
static const struct name_id names_19[] = {NAME("proxy-authorization", SP_FIELD_PROXY_AUTHORIZATION)};

#define BUCKET(n) [n] = {names_##n, sizeof names_##n / sizeof *names_##n}
static const struct {
    const struct name_id *v;
    size_t num;
} by_length[] = {BUCKET(2),  BUCKET(3),  BUCKET(4),  BUCKET(6),  BUCKET(7),  BUCKET(9),  BUCKET(10), BUCKET(12),
                 BUCKET(13), BUCKET(14), BUCKET(15), BUCKET(16), BUCKET(17), BUCKET(18), BUCKET(19)};

enum sp_field_id sp_field_id_of(struct sp_str name)
{
    if (name.len < 2 || name.len >= sizeof by_length / sizeof *by_length)
        return SP_FIELD_OTHER;
    const struct name_id *n = by_length[name.len].v, *end = n + by_length[name.len].num;
    unsigned char first = sp_lower((unsigned char)name.p[0]);
    for (; n < end; n++)
        if ((unsigned char)n->name.p[0] == first && sp_str_ieq(n->name, name))
            return n->id;
    return SP_FIELD_OTHER;
}

bool sp_field_name_same(struct sp_str a, struct sp_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        unsigned char x = (unsigned char)a.p[i], y = (unsigned char)b.p[i];
        x = x == '_' ? '-' : sp_lower(x);
        y = y == '_' ? '-' : sp_lower(y);
        if (x != y)
            return false;
    }
    return true;
}

bool sp_token_valid(struct sp_str s)
{
    return s.len > 0 && sp_chars_token_span(s.p, s.len) == s.len;
}

bool sp_field_value_valid(struct sp_str s)
{
    return sp_chars_text(s.p, s.len);
}

/* --- lists */

void sp_fields_add(struct sp_fields *f, struct sp_arena *a, enum sp_field_id id, struct sp_str name,
                   struct sp_str value)
{
    if (f->len == f->cap) {
        uint32_t cap = f->cap ? f->cap * 2 : 16;
        struct sp_field *v = sp_arena_alloc_raw(a, cap * sizeof *v);
        if (f->len)
            memcpy(v, f->v, f->len * sizeof *v);
        f->v = v;
        f->cap = cap;
    }
    if (id == SP_FIELD_OTHER) /* nobody may write a framing field by not saying that it is one */
        id = sp_field_id_of(name);
    f->v[f->len++] = (struct sp_field){.name = name, .value = value, .id = (uint16_t)id};
}

struct sp_field *sp_fields_find(const struct sp_fields *f, struct sp_str name)
{
    for (uint32_t i = 0; i < f->len; i++)
        if (!f->v[i].removed && sp_str_ieq(f->v[i].name, name))
            return &f->v[i];
    return NULL;
}

struct sp_field *sp_fields_find_id(const struct sp_fields *f, enum sp_field_id id)
{
    for (uint32_t i = 0; i < f->len; i++)
        if (!f->v[i].removed && f->v[i].id == id)
            return &f->v[i];
    return NULL;
}

uint32_t sp_fields_remove(struct sp_fields *f, struct sp_str name)
{
    uint32_t num = 0;
    for (uint32_t i = 0; i < f->len; i++) {
        if (f->v[i].removed || !sp_field_name_same(f->v[i].name, name))
            continue;
        f->v[i].removed = true;
        num++;
    }
    return num;
}

static bool hop_by_hop(uint16_t id)
{
    switch (id) {
    case SP_FIELD_CONNECTION:
    case SP_FIELD_HTTP2_SETTINGS:
    case SP_FIELD_KEEP_ALIVE:
    case SP_FIELD_PROXY_AUTHENTICATE:
    case SP_FIELD_PROXY_AUTHORIZATION:
    case SP_FIELD_PROXY_CONNECTION:
    case SP_FIELD_TE:
    case SP_FIELD_TRAILER:
    case SP_FIELD_TRANSFER_ENCODING:
    case SP_FIELD_UPGRADE:
        return true;
    default:
        return false;
    }
}

static void strip_named(struct sp_fields *f, struct sp_str list)
{
    while (list.p) {
        struct sp_str name = sp_str_trim(sp_str_split(&list, ','));
        if (name.len == 0)
            continue;
        for (uint32_t i = 0; i < f->len; i++)
            if (f->v[i].id != SP_FIELD_CONNECTION && sp_str_ieq(f->v[i].name, name))
                f->v[i].removed = true;
    }
}

void sp_fields_strip_hop_by_hop(struct sp_fields *f)
{
    for (uint32_t i = 0; i < f->len; i++)
        if (f->v[i].id == SP_FIELD_CONNECTION && !f->v[i].removed)
            strip_named(f, f->v[i].value);
    for (uint32_t i = 0; i < f->len; i++)
        if (hop_by_hop(f->v[i].id))
            f->v[i].removed = true;
}

/* --- meanings */

static bool port_valid(struct sp_str s)
{
    uint64_t port;
    return s.len <= 5 && sp_str_to_u64(s, &port) && port >= 1 && port <= 65535;
}

static bool ip_literal_valid(struct sp_str s) /* what stands between the brackets; v6 only, without a zone */
{
    if (s.len < 2 || s.len > 45 || !memchr(s.p, ':', s.len))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = sp_lower((unsigned char)s.p[i]);
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.'))
            return false;
    }
    return true;
}

bool sp_authority_valid(struct sp_str s)
{
    if (s.len == 0 || s.p[0] == '.')
        return false;
    if (s.p[0] == '[') {
        const char *end = memchr(s.p, ']', s.len);
        if (!end || !ip_literal_valid(sp_str(s.p + 1, (size_t)(end - s.p) - 1)))
            return false;
        struct sp_str rest = sp_str_skip(s, (size_t)(end - s.p) + 1);
        return rest.len == 0 || (rest.p[0] == ':' && port_valid(sp_str_skip(rest, 1)));
    }
    size_t n = 0;
    while (n < s.len && sp_chars_host[(unsigned char)s.p[n]])
        n++;
    if (n == 0 || n > 254)
        return false;
    return n == s.len || (s.p[n] == ':' && port_valid(sp_str_skip(s, n + 1)));
}

bool sp_trailer_allowed(struct sp_str name)
{
    static const struct sp_str exact[] = {
        {"age", 3},
        {"cache-control", 13},
        {"content-encoding", 16},
        {"content-range", 13},
        {"expires", 7},
        {"forwarded", 9},
        {"location", 8},
        {"max-forwards", 12},
        {"pragma", 6},
        {"range", 5},
        {"retry-after", 11},
        {"set-cookie", 10},
        {"vary", 4},
        {"www-authenticate", 16},
    };
    /* whole families: conditions, identities and what says where a request came from */
    static const struct sp_str prefix[] = {
        {"client-cert", 11}, {"if-", 3},         {"x-anonymous", 11},  {"x-authenticated", 15},
        {"x-client", 8},     {"x-consumer", 10}, {"x-credential", 12}, {"x-forwarded", 11},
        {"x-real-ip", 9},    {"x-ssl", 5},       {"ssl-", 4},          {"x-kong-", 7},
    };
    if (sp_field_id_of(name) != SP_FIELD_OTHER)
        return false;
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        if (sp_field_name_same(exact[i], name))
            return false;
    for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++)
        if (name.len >= prefix[i].len && sp_field_name_same(prefix[i], sp_str(name.p, prefix[i].len)))
            return false;
    return true;
}

static const char *const phrases[] = {
    [100] = "Continue",
    [101] = "Switching Protocols",
    [102] = "Processing",
    [103] = "Early Hints",
    [200] = "OK",
    [201] = "Created",
    [202] = "Accepted",
    [203] = "Non-Authoritative Information",
    [204] = "No Content",
    [205] = "Reset Content",
    [206] = "Partial Content",
    [207] = "Multi-Status",
    [208] = "Already Reported",
    [226] = "IM Used",
    [300] = "Multiple Choices",
    [301] = "Moved Permanently",
    [302] = "Found",
    [303] = "See Other",
    [304] = "Not Modified",
    [305] = "Use Proxy",
    [307] = "Temporary Redirect",
    [308] = "Permanent Redirect",
    [400] = "Bad Request",
    [401] = "Unauthorized",
    [402] = "Payment Required",
    [403] = "Forbidden",
    [404] = "Not Found",
    [405] = "Method Not Allowed",
    [406] = "Not Acceptable",
    [407] = "Proxy Authentication Required",
    [408] = "Request Timeout",
    [409] = "Conflict",
    [410] = "Gone",
    [411] = "Length Required",
    [412] = "Precondition Failed",
    [413] = "Content Too Large",
    [414] = "URI Too Long",
    [415] = "Unsupported Media Type",
    [416] = "Range Not Satisfiable",
    [417] = "Expectation Failed",
    [421] = "Misdirected Request",
    [422] = "Unprocessable Content",
    [423] = "Locked",
    [424] = "Failed Dependency",
    [425] = "Too Early",
    [426] = "Upgrade Required",
    [428] = "Precondition Required",
    [429] = "Too Many Requests",
    [431] = "Request Header Fields Too Large",
    [451] = "Unavailable For Legal Reasons",
    [500] = "Internal Server Error",
    [501] = "Not Implemented",
    [502] = "Bad Gateway",
    [503] = "Service Unavailable",
    [504] = "Gateway Timeout",
    [505] = "HTTP Version Not Supported",
    [506] = "Variant Also Negotiates",
    [507] = "Insufficient Storage",
    [508] = "Loop Detected",
    [511] = "Network Authentication Required",
};

const char *sp_status_phrase(unsigned status)
{
    if (status < sizeof phrases / sizeof *phrases && phrases[status])
        return phrases[status];
    return "Unknown";
}
