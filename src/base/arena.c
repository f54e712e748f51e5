#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALIGN = 16, MAX_CHUNK = 1 << 20 };

struct chunk {
    struct chunk *next;
    size_t size; /* bytes after this header */
    _Alignas(ALIGN) char bytes[];
};

struct on_free {
    struct on_free *next;
    void (*fn)(void *);
    void *arg;
};

struct sp_arena {
    char *at, *end;
    struct chunk *newest, *first;
    struct on_free *on_free;
    size_t used, next_size;
    bool secret;
};

static struct chunk *add_chunk(struct sp_arena *a, size_t size)
{
    struct chunk *c = malloc(sizeof *c + size);
    if (!c)
        sp_panic(__FILE__, __LINE__, "out of memory");
    c->next = a->newest;
    c->size = size;
    a->newest = c;
    a->used += sizeof *c + size;
    a->at = c->bytes;
    a->end = c->bytes + size;
    return c;
}

struct sp_arena *sp_arena_new(size_t first_chunk)
{
    struct sp_arena *a = sp_alloc(sizeof *a);
    a->next_size = first_chunk < 256 ? 256 : first_chunk;
    a->first = add_chunk(a, a->next_size);
    return a;
}

struct sp_arena *sp_arena_new_secret(size_t first_chunk)
{
    struct sp_arena *a = sp_arena_new(first_chunk);
    a->secret = true;
    return a;
}

void sp_arena_mark_secret(struct sp_arena *a)
{
    a->secret = true;
}

static void wipe(const struct sp_arena *a, struct chunk *c)
{
    if (a->secret)
        sp_wipe(c->bytes, c->size);
}

static void run_on_free(struct sp_arena *a)
{
    struct on_free *f = a->on_free;
    a->on_free = NULL;
    for (; f; f = f->next)
        f->fn(f->arg);
}

void sp_arena_reset(struct sp_arena *a)
{
    run_on_free(a);
    while (a->newest != a->first) {
        struct chunk *c = a->newest;
        a->newest = c->next;
        a->used -= sizeof *c + c->size;
        wipe(a, c);
        free(c);
    }
    wipe(a, a->first);
    a->at = a->first->bytes;
    a->end = a->first->bytes + a->first->size;
    a->next_size = a->first->size;
}

void sp_arena_free(struct sp_arena *a)
{
    if (!a)
        return;
    sp_arena_reset(a);
    free(a->first);
    free(a);
}

static void *take_new_chunk(struct sp_arena *a, size_t size)
{
    if (a->next_size < MAX_CHUNK)
        a->next_size *= 2;
    if (size > a->next_size / 4) { /* a big one gets a chunk of its own; the current one goes on serving small ones */
        char *at = a->at, *end = a->end;
        struct chunk *c = add_chunk(a, size);
        a->at = at;
        a->end = end;
        return c->bytes;
    }
    add_chunk(a, a->next_size);
    void *p = a->at;
    a->at += size;
    return p;
}

void *sp_arena_alloc_raw(struct sp_arena *a, size_t size)
{
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (__builtin_expect((size_t)(a->end - a->at) < size, 0))
        return take_new_chunk(a, size);
    void *p = a->at;
    a->at += size;
    return p;
}

void *sp_arena_alloc(struct sp_arena *a, size_t size)
{
    return memset(sp_arena_alloc_raw(a, size), 0, size);
}

struct sp_str sp_arena_dup(struct sp_arena *a, struct sp_str s)
{
    char *p = sp_arena_alloc_raw(a, s.len + 1);
    if (s.len)
        memcpy(p, s.p, s.len);
    p[s.len] = '\0';
    return (struct sp_str){p, s.len};
}

char *sp_arena_strdup(struct sp_arena *a, const char *z)
{
    size_t n = strlen(z) + 1;
    return memcpy(sp_arena_alloc_raw(a, n), z, n);
}

struct sp_str sp_arena_printf(struct sp_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    sp_assert(n >= 0);
    char *p = sp_arena_alloc_raw(a, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return (struct sp_str){p, (size_t)n};
}

void sp_arena_on_free(struct sp_arena *a, void (*fn)(void *), void *arg)
{
    struct on_free *f = SP_NEW(a, struct on_free);
    *f = (struct on_free){a->on_free, fn, arg};
    a->on_free = f;
}

size_t sp_arena_used(const struct sp_arena *a)
{
    return a->used;
}
