#include "base/bytes.h"

#include <stdatomic.h>
#include <stdlib.h>

struct sp_bytes *sp_bytes_new(size_t len)
{
    struct sp_bytes *b = sp_realloc(NULL, sizeof *b + len);
    atomic_init(&b->refs, 1);
    b->len = len;
    return b;
}

struct sp_bytes *sp_bytes_copy(struct sp_str s)
{
    struct sp_bytes *b = sp_bytes_new(s.len);
    if (s.len)
        memcpy(b->p, s.p, s.len);
    return b;
}

struct sp_bytes *sp_bytes_ref(struct sp_bytes *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void sp_bytes_unref(struct sp_bytes *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    sp_wipe(b->p, b->len);
    free(b);
}
