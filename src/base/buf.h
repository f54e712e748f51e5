/* A growable run of bytes with a read offset: what waits to be sent, and text that is being made.
 * The zero value is valid and empty. One thread at a time. It grows without bound: callers check limits first. */
#pragma once
#include "base/str.h"

struct sp_buf {
    char *p;
    size_t off, len, cap; /* live bytes are p[off .. off+len) */
};

void sp_buf_fini(struct sp_buf *b); /* frees; back to the zero value */
void sp_buf_wipe(struct sp_buf *b); /* as fini, after overwriting: for secrets */
void sp_buf_append(struct sp_buf *b, const void *p, size_t n);
void sp_buf_printf(struct sp_buf *b, const char *fmt, ...) SP_PRINTF(2, 3);
char *sp_buf_reserve(struct sp_buf *b, size_t n); /* n writable bytes at the end; finish with commit */
static inline void sp_buf_commit(struct sp_buf *b, size_t n)
{
    b->len += n;
}
void sp_buf_consume(struct sp_buf *b, size_t n); /* n <= len; an empty buffer keeps its memory */
static inline struct sp_str sp_buf_str(const struct sp_buf *b)
{
    return sp_str(b->p ? b->p + b->off : "", b->len);
}
static inline void sp_buf_clear(struct sp_buf *b)
{
    b->off = b->len = 0;
}
static inline void sp_buf_add(struct sp_buf *b, struct sp_str s)
{
    sp_buf_append(b, s.p, s.len);
}
static inline void sp_buf_putc(struct sp_buf *b, char c)
{
    *sp_buf_reserve(b, 1) = c;
    sp_buf_commit(b, 1);
}
/* Whole file into b; refuses more than `max` bytes with SP_E_LIMIT before reading them. */
SP_MUST sp_result sp_buf_read_file(struct sp_buf *b, const char *path, size_t max, struct sp_error *err);
/* Writes path atomically: temporary file in the same folder, fsync, rename, fsync of the folder. */
SP_MUST sp_result sp_write_file(const char *path, struct sp_str bytes, unsigned mode, struct sp_error *err);
