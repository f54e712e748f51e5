/* Immutable bytes shared by reference: what is encoded once and sent on many streams. Any thread. */
#pragma once
#include "base/str.h"

struct sp_bytes {
    _Atomic uint32_t refs;
    size_t len;
    char p[]; /* written by the maker only, before the first sharing */
};

struct sp_bytes *sp_bytes_new(size_t len); /* one reference; contents undefined */
struct sp_bytes *sp_bytes_copy(struct sp_str s);
struct sp_bytes *sp_bytes_ref(struct sp_bytes *b);
void sp_bytes_unref(struct sp_bytes *b); /* NULL is fine; the last one wipes and frees: it may hold keys */
static inline struct sp_str sp_bytes_str(const struct sp_bytes *b)
{
    return sp_str(b->p, b->len);
}
