/* Bump allocation: everything in an arena dies together. One thread at a time; read-only sharing is fine afterwards.
 * A snapshot has one, an exchange has one, a parse has one. */
#pragma once
#include "base/str.h"

struct sp_arena;
struct sp_arena *sp_arena_new(size_t first_chunk);        /* bytes of the first chunk; later ones double up to 1 MiB */
struct sp_arena *sp_arena_new_secret(size_t first_chunk); /* the same, for keys: what it held is overwritten */
void sp_arena_free(struct sp_arena *a);                   /* NULL is fine; runs the on_free list backwards */
/* Forgets all allocations but keeps the first chunk; runs the on_free list. For objects that are recycled. */
void sp_arena_reset(struct sp_arena *a);
void *sp_arena_alloc(struct sp_arena *a, size_t size);     /* zeroed, aligned for any type; aborts when out of memory */
void *sp_arena_alloc_raw(struct sp_arena *a, size_t size); /* as above, not zeroed */
struct sp_str sp_arena_dup(struct sp_arena *a, struct sp_str s); /* the copy is NUL-terminated beyond its length */
char *sp_arena_strdup(struct sp_arena *a, const char *z);
struct sp_str sp_arena_printf(struct sp_arena *a, const char *fmt, ...) SP_PRINTF(2, 3); /* NUL-terminated too */
void sp_arena_on_free(struct sp_arena *a, void (*fn)(void *), void *arg);
void sp_arena_mark_secret(struct sp_arena *a);  /* from now on as if made by sp_arena_new_secret */
size_t sp_arena_used(const struct sp_arena *a); /* bytes taken from the heap */

#define SP_NEW(a, T) ((T *)sp_arena_alloc((a), sizeof(T)))
#define SP_NEW_N(a, T, n) ((T *)sp_arena_alloc((a), sizeof(T) * (n)))
