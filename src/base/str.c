#include "base/str.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/random.h>

bool sp_str_ieq(struct sp_str a, struct sp_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (sp_lower((unsigned char)a.p[i]) != sp_lower((unsigned char)b.p[i]))
            return false;
    return true;
}

bool sp_str_starts(struct sp_str s, struct sp_str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.p, prefix.p, prefix.len) == 0);
}

bool sp_str_ends(struct sp_str s, struct sp_str suffix)
{
    return s.len >= suffix.len && (suffix.len == 0 || memcmp(s.p + s.len - suffix.len, suffix.p, suffix.len) == 0);
}

int sp_str_cmp(struct sp_str a, struct sp_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct sp_str sp_str_trim(struct sp_str s)
{
    while (s.len && is_blank(s.p[0]))
        s.p++, s.len--;
    while (s.len && is_blank(s.p[s.len - 1]))
        s.len--;
    return s;
}

struct sp_str sp_str_split(struct sp_str *s, char sep)
{
    const char *at = s->len ? memchr(s->p, sep, s->len) : NULL;
    struct sp_str head = *s;
    if (!at) {
        *s = (struct sp_str){NULL, 0};
        return head;
    }
    head.len = (size_t)(at - s->p);
    *s = sp_str_skip(*s, head.len + 1);
    return head;
}

bool sp_str_to_u64(struct sp_str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.len == 0 || s.len > 20)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';
        if (d > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, d, &v))
            return false;
    }
    *out = v;
    return true;
}

static uint64_t hash_key[2];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;
static _Atomic bool hash_ready; /* read with acquire: who sees it sees both words of the key */

static void draw_hash_key(void)
{
    sp_random(hash_key, sizeof hash_key);
    atomic_store_explicit(&hash_ready, true, memory_order_release);
}

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Folded 64x64 multiplication under a secret key: collisions cannot be computed without the key. */
uint64_t sp_str_hash(struct sp_str s)
{
    if (__builtin_expect(!atomic_load_explicit(&hash_ready, memory_order_acquire), 0))
        pthread_once(&hash_once, draw_hash_key);
    uint64_t h = hash_key[0] ^ s.len, w;
    const char *p = s.p;
    size_t n = s.len;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&w, p, 8);
        h = mix(h ^ w, hash_key[1] ^ 0x9e3779b97f4a7c15u);
    }
    w = 0;
    if (n)
        memcpy(&w, p, n);
    h = mix(h ^ w, hash_key[1] ^ 0xd6e8feb86659fd93u);
    return mix(h ^ hash_key[1], 0xa0761d6478bd642fu ^ hash_key[0]);
}

void sp_hex(const void *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *b = bytes;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * n] = '\0';
}

void sp_random(void *out, size_t n)
{
    char *p = out;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        sp_assert(got > 0);
        p += got;
        n -= (size_t)got;
    }
}

void sp_wipe(void *p, size_t n)
{
    if (n)
        explicit_bzero(p, n);
}

bool sp_equal_ct(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a, *y = b;
    unsigned diff = 0;
    for (size_t i = 0; i < n; i++)
        diff |= (unsigned)(x[i] ^ y[i]);
    return diff == 0;
}
