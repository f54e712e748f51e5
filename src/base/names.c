#include "base/names.h"

#include <arpa/inet.h>

enum { LABEL_MAX = 63 };

static bool host_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Labels of 1 to 63 host bytes between dots, lower-cased into out. */
static bool copy_labels(struct sp_str s, char *out)
{
    size_t label = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = sp_lower((unsigned char)s.p[i]);
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!host_byte(c) || ++label > LABEL_MAX) {
            return false;
        }
        out[i] = (char)c;
    }
    out[s.len] = '\0';
    return label > 0;
}

bool sp_host_normalise(struct sp_str name, char out[SP_HOST_MAX + 1], size_t *len)
{
    if (name.len && name.p[name.len - 1] == '.')
        name.len--;
    struct in_addr v4;
    if (name.len == 0 || name.len > SP_HOST_MAX || !copy_labels(name, out) || inet_pton(AF_INET, out, &v4) == 1)
        return false;
    *len = name.len;
    return true;
}

static bool parse_port(struct sp_str text, uint16_t *port)
{
    uint64_t v = 0;
    *port = 0;
    if (text.len == 0) /* "host:" is allowed by RFC 3986 section 3.2.3 */
        return true;
    if (text.len > 5 || !sp_str_to_u64(text, &v) || v == 0 || v > 65535)
        return false;
    *port = (uint16_t)v;
    return true;
}

static bool split_v6(struct sp_str s, struct sp_str *host, uint16_t *port)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    const char *end = memchr(s.p, ']', s.len);
    if (!end)
        return false;
    *host = sp_str(s.p + 1, (size_t)(end - s.p - 1));
    if (host->len == 0 || host->len >= sizeof text)
        return false;
    memcpy(text, host->p, host->len);
    text[host->len] = '\0';
    if (inet_pton(AF_INET6, text, &v6) != 1)
        return false;
    struct sp_str rest = sp_str_skip(s, host->len + 2);
    return rest.len == 0 || (rest.p[0] == ':' && parse_port(sp_str_skip(rest, 1), port));
}

bool sp_host_split(struct sp_str authority, struct sp_str *host, uint16_t *port)
{
    *port = 0;
    if (authority.len == 0)
        return false;
    if (authority.p[0] == '[')
        return split_v6(authority, host, port);
    struct sp_str rest = authority;
    *host = sp_str_split(&rest, ':');
    if (host->len == 0)
        return false;
    for (size_t i = 0; i < host->len; i++)
        if (!host_byte(sp_lower((unsigned char)host->p[i])) && host->p[i] != '.')
            return false;
    return !rest.p || parse_port(rest, port);
}

/* --- patterns --- */

enum kind { KIND_EXACT, KIND_SUFFIX, KIND_PREFIX, KIND_ALL, KIND_BAD };

/* The kind of a pattern, and what is left of it without the star and its dot. */
static enum kind classify(struct sp_str pattern, struct sp_str *fixed)
{
    *fixed = pattern;
    if (sp_str_eq(pattern, SP_STR("*")))
        return KIND_ALL;
    if (sp_str_starts(pattern, SP_STR("*."))) {
        *fixed = sp_str_skip(pattern, 2);
        return KIND_SUFFIX;
    }
    if (sp_str_ends(pattern, SP_STR(".*"))) {
        fixed->len -= 2;
        return KIND_PREFIX;
    }
    return KIND_EXACT;
}

/* As classify, with the fixed part in normal form in out. */
static enum kind classify_normal(struct sp_str pattern, char out[SP_HOST_MAX + 1], struct sp_str *fixed)
{
    enum kind k = classify(pattern, fixed);
    size_t len = 0;
    if (k == KIND_ALL) {
        *fixed = SP_STR("");
        return k;
    }
    if (k == KIND_PREFIX && fixed->len && fixed->p[fixed->len - 1] == '.') /* "a..*": the last dot is not a root dot */
        return KIND_BAD;
    if (!sp_host_normalise(*fixed, out, &len) || (k != KIND_EXACT && len + 2 > SP_HOST_MAX))
        return KIND_BAD;
    *fixed = sp_str(out, len);
    return k;
}

bool sp_pattern_normalise(struct sp_str pattern, char out[SP_HOST_MAX + 1], size_t *len)
{
    char text[SP_HOST_MAX + 1];
    struct sp_str fixed;
    enum kind k = classify_normal(pattern, text, &fixed);
    if (k == KIND_BAD)
        return false;
    char *p = out;
    if (k == KIND_ALL || k == KIND_SUFFIX)
        *p++ = '*';
    if (k == KIND_SUFFIX)
        *p++ = '.';
    memcpy(p, fixed.p, fixed.len);
    p += fixed.len;
    if (k == KIND_PREFIX)
        *p++ = '.', *p++ = '*';
    *p = '\0';
    *len = (size_t)(p - out);
    return true;
}

bool sp_pattern_valid(struct sp_str pattern)
{
    char text[SP_HOST_MAX + 1];
    struct sp_str fixed;
    return classify_normal(pattern, text, &fixed) != KIND_BAD;
}

/* --- the map --- */

/* 24 bytes a slot and at most three quarters full: a lookup that misses touches one cache line, one that hits two. */
struct slot {
    const char *key; /* the fixed part; NULL: free */
    void *value;
    uint32_t tag; /* upper half of the hash */
    uint16_t len;
    uint16_t kind;
};

struct sp_name_map {
    struct sp_arena *arena;
    struct slot *slots;
    size_t len, mask;
    void *all; /* of "*" */
    bool multi_label;
    /* Bit n: there is a pattern whose fixed part has n labels (63: or more). Spares lookups that cannot hit. */
    uint64_t suffix_labels, prefix_labels;
};

static uint64_t hash_of(struct sp_str fixed, enum kind k)
{
    return sp_str_hash(fixed) ^ ((uint64_t)k * 0x9e3779b97f4a7c15u);
}

static uint64_t label_bit(size_t labels)
{
    return 1ull << (labels < 63 ? labels : 63);
}

static size_t count_labels(struct sp_str s)
{
    size_t n = s.len > 0;
    for (size_t i = 0; i < s.len; i++)
        n += s.p[i] == '.';
    return n;
}

static struct slot *slots_new(struct sp_arena *a, size_t entries, size_t *mask)
{
    size_t n = 8;
    while (n / 4 * 3 < entries)
        n *= 2;
    *mask = n - 1;
    return SP_NEW_N(a, struct slot, n);
}

struct sp_name_map *sp_name_map_new(struct sp_arena *a, size_t expected, bool multi_label)
{
    struct sp_name_map *m = SP_NEW(a, struct sp_name_map);
    m->arena = a;
    m->multi_label = multi_label;
    m->slots = slots_new(a, expected, &m->mask);
    return m;
}

static struct slot *find_slot(const struct sp_name_map *m, struct sp_str fixed, enum kind k)
{
    uint64_t h = hash_of(fixed, k);
    uint32_t tag = (uint32_t)(h >> 32);
    for (size_t i = h & m->mask;; i = (i + 1) & m->mask) {
        struct slot *s = &m->slots[i];
        if (!s->key ||
            (s->tag == tag && s->kind == k && s->len == fixed.len && memcmp(s->key, fixed.p, fixed.len) == 0))
            return s;
    }
}

static void grow(struct sp_name_map *m)
{
    struct slot *old = m->slots;
    size_t old_num = m->mask + 1;
    m->slots = slots_new(m->arena, old_num, &m->mask);
    for (size_t i = 0; i < old_num; i++)
        if (old[i].key)
            *find_slot(m, sp_str(old[i].key, old[i].len), (enum kind)old[i].kind) = old[i];
}

bool sp_name_map_put(struct sp_name_map *m, struct sp_str pattern, void *value)
{
    char text[SP_HOST_MAX + 1];
    struct sp_str fixed;
    enum kind k = classify_normal(pattern, text, &fixed);
    if (k == KIND_BAD)
        return false;
    if (k == KIND_ALL) {
        if (m->all)
            return false;
        m->all = value;
        return true;
    }
    if (m->len >= (m->mask + 1) / 4 * 3)
        grow(m);
    struct slot *s = find_slot(m, fixed, k);
    if (s->key)
        return false;
    *s = (struct slot){.key = sp_arena_dup(m->arena, fixed).p,
                       .value = value,
                       .tag = (uint32_t)(hash_of(fixed, k) >> 32),
                       .len = (uint16_t)fixed.len,
                       .kind = (uint16_t)k};
    m->len++;
    if (k == KIND_SUFFIX)
        m->suffix_labels |= label_bit(count_labels(fixed));
    if (k == KIND_PREFIX)
        m->prefix_labels |= label_bit(count_labels(fixed));
    return true;
}

/* The longest suffix that starts after a dot; only the first one when '*' is one label. */
static void *find_suffix(const struct sp_name_map *m, struct sp_str name, size_t labels)
{
    struct sp_str rest = name;
    while (labels > 1) {
        sp_str_split(&rest, '.');
        labels--;
        if (m->suffix_labels & label_bit(labels)) {
            void *v = find_slot(m, rest, KIND_SUFFIX)->value;
            if (v)
                return v;
        }
        if (!m->multi_label)
            break;
    }
    return NULL;
}

static void *find_prefix(const struct sp_name_map *m, struct sp_str name, size_t labels)
{
    while (labels > 1) {
        const char *dot = memrchr(name.p, '.', name.len);
        name.len = (size_t)(dot - name.p);
        labels--;
        if (m->prefix_labels & label_bit(labels)) {
            void *v = find_slot(m, name, KIND_PREFIX)->value;
            if (v)
                return v;
        }
        if (!m->multi_label)
            break;
    }
    return NULL;
}

void *sp_name_map_find(const struct sp_name_map *m, struct sp_str name)
{
    if (name.len == 0)
        return m->all;
    void *v = find_slot(m, name, KIND_EXACT)->value;
    if (!v && (m->suffix_labels | m->prefix_labels)) {
        size_t labels = count_labels(name);
        v = m->suffix_labels ? find_suffix(m, name, labels) : NULL;
        if (!v && m->prefix_labels)
            v = find_prefix(m, name, labels);
    }
    return v ? v : m->all;
}

void *sp_name_map_exact(const struct sp_name_map *m, struct sp_str pattern)
{
    char text[SP_HOST_MAX + 1];
    struct sp_str fixed;
    enum kind k = classify_normal(pattern, text, &fixed);
    if (k == KIND_BAD)
        return NULL;
    return k == KIND_ALL ? m->all : find_slot(m, fixed, k)->value;
}
