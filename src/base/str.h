/* Borrowed bytes: a pointer and a length. Never NUL-dependent, never owning. Any thread. */
#pragma once
#include "base/error.h"
#include <string.h>

struct sp_str {
    const char *p; /* may be NULL only when len is 0 */
    size_t len;
};

#define SP_STR(lit) ((struct sp_str){(lit), sizeof(lit) - 1})
/* Arguments for a "%.*s" conversion. */
#define SP_FMT(s) (int)(s).len, (s).p ? (s).p : ""

static inline struct sp_str sp_str(const void *p, size_t len)
{
    return (struct sp_str){p, len};
}

static inline struct sp_str sp_str_z(const char *z) /* NULL gives the empty string */
{
    return (struct sp_str){z, z ? strlen(z) : 0};
}

static inline bool sp_str_eq(struct sp_str a, struct sp_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline unsigned char sp_lower(unsigned char c) /* ASCII only */
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

static inline struct sp_str sp_str_skip(struct sp_str s, size_t n) /* n <= s.len */
{
    return (struct sp_str){s.p + n, s.len - n};
}

bool sp_str_ieq(struct sp_str a, struct sp_str b); /* ASCII case-insensitive */
bool sp_str_starts(struct sp_str s, struct sp_str prefix);
bool sp_str_ends(struct sp_str s, struct sp_str suffix);
int sp_str_cmp(struct sp_str a, struct sp_str b); /* bytewise, shorter first */
struct sp_str sp_str_trim(struct sp_str s);       /* SP and HTAB at both ends */
/* Splits s at the first sep: returns what stands before it and leaves the rest in *s; *s.p is NULL when there was no
 * sep. */
struct sp_str sp_str_split(struct sp_str *s, char sep);
/* Decimal digits only: no sign, no blank, no overflow. */
SP_MUST bool sp_str_to_u64(struct sp_str s, uint64_t *out);
/* Keyed hash for tables whose keys come from outside; the seed is drawn once per process (sp_hash_seed). */
uint64_t sp_str_hash(struct sp_str s);
/* Lower-case hex of n bytes into out, which holds 2 * n + 1. */
void sp_hex(const void *bytes, size_t n, char *out);
/* Fills with the kernel's randomness; cannot fail. */
void sp_random(void *out, size_t n);
/* Wipes memory that held a secret; the compiler may not drop it. */
void sp_wipe(void *p, size_t n);
/* Equality in time that depends on n only. */
bool sp_equal_ct(const void *a, const void *b, size_t n);
