#include "plugin/memo.h"

#include <stdio.h>
#include <stdlib.h>

enum { WAYS = 4, SETS = 1024, ENTRIES = WAYS * SETS, MAX_BYTES = 16 << 20 };

struct entry {
    const void *instance;
    uint8_t digest[32];
    void *value;
    struct sp_arena *arena;
    size_t bytes; /* of the arena, once it is filled */
};

struct table {
    struct entry **ways; /* ENTRIES; made when the first value comes */
    unsigned next_victim, hand;
    struct entry *latest; /* still being filled: not counted yet */
    size_t bytes;
};

/* What anybody can bring never takes the place of what proven clients need. */
struct dp_plugin_cache {
    struct table tables[2]; /* by `proven` */
    uint64_t sequence;
    char uuid[37]; /* empty until it is asked for */
};

struct dp_plugin_cache *dp_plugin_cache_new(void)
{
    return sp_alloc(sizeof(struct dp_plugin_cache));
}

static void drop(struct table *t, struct entry **slot)
{
    struct entry *e = SP_TAKE(*slot);
    if (!e)
        return;
    if (e == t->latest)
        t->latest = NULL;
    t->bytes -= e->bytes;
    sp_arena_free(e->arena);
    free(e);
}

void dp_plugin_cache_free(struct dp_plugin_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < 2; i++) {
        struct table *t = &c->tables[i];
        for (size_t k = 0; t->ways && k < ENTRIES; k++)
            drop(t, &t->ways[k]);
        free(t->ways);
    }
    free(c);
}

static struct entry **set_of(const struct table *t, const void *instance, const uint8_t digest[32])
{
    uint64_t h; /* the digest is one of SHA-256: as good as a hash */
    memcpy(&h, digest, sizeof h);
    h ^= (uint64_t)(uintptr_t)instance >> 4;
    return t->ways + (h % SETS) * WAYS;
}

static bool is_key(const struct entry *e, const void *instance, const uint8_t digest[32])
{
    return e && e->instance == instance && memcmp(e->digest, digest, 32) == 0;
}

/* NULL: not there. */
static struct entry **find(const struct table *t, const void *instance, const uint8_t digest[32])
{
    if (!t->ways)
        return NULL;
    struct entry **set = set_of(t, instance, digest);
    for (size_t i = 0; i < WAYS; i++)
        if (is_key(set[i], instance, digest))
            return &set[i];
    return NULL;
}

void *dp_memo_find(const struct dp_plugin_cache *c, const void *instance, const uint8_t digest[32])
{
    struct entry **slot = find(&c->tables[true], instance, digest);
    if (!slot)
        slot = find(&c->tables[false], instance, digest);
    return slot ? (*slot)->value : NULL;
}

/* The values are as large as the certificates that clients send: their bytes are counted, too. */
static void make_room(struct table *t)
{
    if (t->latest) {
        t->latest->bytes = sp_arena_used(t->latest->arena);
        t->bytes += t->latest->bytes;
        t->latest = NULL;
    }
    for (size_t i = 0; t->bytes > MAX_BYTES && i < ENTRIES; i++)
        drop(t, &t->ways[t->hand++ % ENTRIES]);
}

static struct entry **victim(struct table *t, struct entry **set)
{
    for (size_t i = 0; i < WAYS; i++)
        if (!set[i])
            return &set[i];
    return &set[t->next_victim++ % WAYS];
}

void *dp_memo_put(struct dp_plugin_cache *c, const void *instance, const uint8_t digest[32], bool proven, size_t size,
                  struct sp_arena **arena)
{
    struct table *t = &c->tables[proven];
    for (size_t i = 0; i < 2; i++) {
        struct entry **old = find(&c->tables[i], instance, digest);
        if (old)
            drop(&c->tables[i], old);
    }
    if (!t->ways)
        t->ways = sp_alloc(sizeof(struct entry *) * ENTRIES);
    make_room(t);
    struct entry **slot = victim(t, set_of(t, instance, digest));
    drop(t, slot);
    struct entry *e = sp_alloc(sizeof *e);
    e->instance = instance;
    memcpy(e->digest, digest, 32);
    e->arena = sp_arena_new(size + 256);
    e->value = sp_arena_alloc(e->arena, size);
    *slot = t->latest = e;
    *arena = e->arena;
    return e->value;
}

size_t dp_memo_bytes(const struct dp_plugin_cache *c)
{
    return c->tables[false].bytes + c->tables[true].bytes;
}

uint64_t dp_worker_sequence(struct dp_plugin_cache *c)
{
    return ++c->sequence;
}

void dp_uuid_make(char out[37])
{
    unsigned char b[16];
    char hex[33];
    sp_random(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    sp_hex(b, sizeof b, hex);
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

const char *dp_worker_uuid(struct dp_plugin_cache *c)
{
    if (!c->uuid[0])
        dp_uuid_make(c->uuid);
    return c->uuid;
}
