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

/* What a pattern stands for, with its text behind it: a look-up that hits reads one cache line of the table and one
 * here. */
struct node {
    void *value;
    uint16_t len;
    uint8_t kind;
    char pattern[];
};

/* A slot is a pointer to a node with 16 bits of the hash above it; 0 is free. At most three quarters are taken. */
typedef uint64_t slot;
enum { POINTER_BITS = 48 };

struct sp_name_map {
    struct sp_arena *arena;
    slot *slots;
    size_t len, mask;
    struct node *all; /* "*" */
    bool multi_label;
    /* Bit n: there is a pattern whose fixed part has n labels (63: or more). Spares look-ups that cannot hit. */
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

static struct node *node_of(slot s)
{
    return (struct node *)(uintptr_t)(s & ((1ull << POINTER_BITS) - 1));
}

static struct sp_str fixed_of(const struct node *n)
{
    struct sp_str fixed;
    classify(sp_str(n->pattern, n->len), &fixed);
    return fixed;
}

static bool node_is(const struct node *n, struct sp_str fixed, enum kind k)
{
    size_t around = k == KIND_EXACT ? 0 : 2;
    return n->kind == k && n->len == fixed.len + around &&
           memcmp(n->pattern + (k == KIND_SUFFIX ? 2 : 0), fixed.p, fixed.len) == 0;
}

static slot *slots_new(struct sp_arena *a, size_t entries, size_t *mask)
{
    size_t n = 8;
    while (n / 4 * 3 < entries)
        n *= 2;
    *mask = n - 1;
    return SP_NEW_N(a, slot, n);
}

struct sp_name_map *sp_name_map_new(struct sp_arena *a, size_t expected, bool multi_label)
{
    struct sp_name_map *m = SP_NEW(a, struct sp_name_map);
    m->arena = a;
    m->multi_label = multi_label;
    m->slots = slots_new(a, expected, &m->mask);
    return m;
}

/* The slot of the pattern, or the free one where it would stand. */
static slot *find_slot(const struct sp_name_map *m, struct sp_str fixed, enum kind k, uint64_t hash)
{
    for (size_t i = hash & m->mask;; i = (i + 1) & m->mask) {
        slot *s = &m->slots[i];
        if (!*s || ((*s ^ hash) >> POINTER_BITS == 0 && node_is(node_of(*s), fixed, k)))
            return s;
    }
}

static struct node *find_node(const struct sp_name_map *m, struct sp_str fixed, enum kind k)
{
    return node_of(*find_slot(m, fixed, k, hash_of(fixed, k)));
}

static void grow(struct sp_name_map *m)
{
    slot *old = m->slots;
    size_t old_num = m->mask + 1;
    m->slots = slots_new(m->arena, old_num, &m->mask);
    for (size_t i = 0; i < old_num; i++) {
        if (!old[i])
            continue;
        struct sp_str fixed = fixed_of(node_of(old[i]));
        enum kind k = (enum kind)node_of(old[i])->kind;
        *find_slot(m, fixed, k, hash_of(fixed, k)) = old[i];
    }
}

static struct node *node_new(struct sp_arena *a, struct sp_str pattern, enum kind k, void *value)
{
    struct node *n = sp_arena_alloc_raw(a, sizeof *n + pattern.len);
    n->value = value;
    n->len = (uint16_t)pattern.len;
    n->kind = (uint8_t)k;
    memcpy(n->pattern, pattern.p, pattern.len);
    sp_assert((uintptr_t)n >> POINTER_BITS == 0);
    return n;
}

bool sp_name_map_put(struct sp_name_map *m, struct sp_str pattern, void *value)
{
    char text[SP_HOST_MAX + 1];
    size_t len;
    struct sp_str fixed;
    if (!sp_pattern_normalise(pattern, text, &len))
        return false;
    pattern = sp_str(text, len);
    enum kind k = classify(pattern, &fixed);
    if (k == KIND_ALL) {
        if (m->all)
            return false;
        m->all = node_new(m->arena, pattern, k, value);
        return true;
    }
    if (m->len >= (m->mask + 1) / 4 * 3)
        grow(m);
    uint64_t hash = hash_of(fixed, k);
    slot *s = find_slot(m, fixed, k, hash);
    if (*s)
        return false;
    *s = (uint64_t)(uintptr_t)node_new(m->arena, pattern, k, value) | hash >> POINTER_BITS << POINTER_BITS;
    m->len++;
    if (k == KIND_SUFFIX)
        m->suffix_labels |= label_bit(count_labels(fixed));
    if (k == KIND_PREFIX)
        m->prefix_labels |= label_bit(count_labels(fixed));
    return true;
}

/* The longest suffix that starts after a dot; only the first one when '*' is one label. */
static struct node *find_suffix(const struct sp_name_map *m, struct sp_str name, size_t labels)
{
    struct sp_str rest = name;
    while (labels > 1) {
        sp_str_split(&rest, '.');
        labels--;
        struct node *n = m->suffix_labels & label_bit(labels) ? find_node(m, rest, KIND_SUFFIX) : NULL;
        if (n || !m->multi_label)
            return n;
    }
    return NULL;
}

static struct node *find_prefix(const struct sp_name_map *m, struct sp_str name, size_t labels)
{
    while (labels > 1) {
        const char *dot = memrchr(name.p, '.', name.len);
        name.len = (size_t)(dot - name.p);
        labels--;
        struct node *n = m->prefix_labels & label_bit(labels) ? find_node(m, name, KIND_PREFIX) : NULL;
        if (n || !m->multi_label)
            return n;
    }
    return NULL;
}

static const struct node *find(const struct sp_name_map *m, struct sp_str name)
{
    if (name.len == 0)
        return m->all;
    struct node *n = find_node(m, name, KIND_EXACT);
    if (!n && (m->suffix_labels | m->prefix_labels)) {
        size_t labels = count_labels(name);
        n = m->suffix_labels ? find_suffix(m, name, labels) : NULL;
        if (!n && m->prefix_labels)
            n = find_prefix(m, name, labels);
    }
    return n ? n : m->all;
}

void *sp_name_map_match(const struct sp_name_map *m, struct sp_str name, struct sp_str *pattern)
{
    const struct node *n = find(m, name);
    if (pattern)
        *pattern = n ? sp_str(n->pattern, n->len) : SP_STR("");
    return n ? n->value : NULL;
}

void *sp_name_map_find(const struct sp_name_map *m, struct sp_str name)
{
    return sp_name_map_match(m, name, NULL);
}

void *sp_name_map_exact(const struct sp_name_map *m, struct sp_str pattern)
{
    char text[SP_HOST_MAX + 1];
    struct sp_str fixed;
    enum kind k = classify_normal(pattern, text, &fixed);
    if (k == KIND_BAD)
        return NULL;
    const struct node *n = k == KIND_ALL ? m->all : find_node(m, fixed, k);
    return n ? n->value : NULL;
}
