#include "plugin/memo.h"

#include <stdio.h>
#include <stdlib.h>

enum { WAYS = 4, SETS = 1024 };

struct entry {
    const void *instance;
    uint8_t digest[32];
    void *value;
    struct sp_arena *arena;
};

struct dp_plugin_cache {
    struct entry **ways; /* SETS * WAYS; made when the first value comes */
    unsigned next_victim;
    uint64_t sequence;
    char uuid[37]; /* empty until it is asked for */
};

struct dp_plugin_cache *dp_plugin_cache_new(void)
{
    return sp_alloc(sizeof(struct dp_plugin_cache));
}

static void entry_free(struct entry *e)
{
    if (!e)
        return;
    sp_arena_free(e->arena);
    free(e);
}

void dp_plugin_cache_free(struct dp_plugin_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; c->ways && i < (size_t)SETS * WAYS; i++)
        entry_free(c->ways[i]);
    free(c->ways);
    free(c);
}

static struct entry **set_of(const struct dp_plugin_cache *c, const void *instance, const uint8_t digest[32])
{
    uint64_t h; /* the digest is one of SHA-256: as good as a hash */
    memcpy(&h, digest, sizeof h);
    h ^= (uint64_t)(uintptr_t)instance >> 4;
    return c->ways + (h % SETS) * WAYS;
}

static bool is_key(const struct entry *e, const void *instance, const uint8_t digest[32])
{
    return e && e->instance == instance && memcmp(e->digest, digest, 32) == 0;
}

void *dp_memo_find(const struct dp_plugin_cache *c, const void *instance, const uint8_t digest[32])
{
    if (!c->ways)
        return NULL;
    struct entry **set = set_of(c, instance, digest);
    for (size_t i = 0; i < WAYS; i++)
        if (is_key(set[i], instance, digest))
            return set[i]->value;
    return NULL;
}

static struct entry **victim(struct dp_plugin_cache *c, struct entry **set, const void *instance,
                             const uint8_t digest[32])
{
    struct entry **empty = NULL;
    for (size_t i = 0; i < WAYS; i++) {
        if (is_key(set[i], instance, digest))
            return &set[i];
        if (!set[i])
            empty = &set[i];
    }
    return empty ? empty : &set[c->next_victim++ % WAYS];
}

void *dp_memo_put(struct dp_plugin_cache *c, const void *instance, const uint8_t digest[32], size_t size,
                  struct sp_arena **arena)
{
    if (!c->ways)
        c->ways = sp_alloc(sizeof(struct entry *) * SETS * WAYS);
    struct entry **slot = victim(c, set_of(c, instance, digest), instance, digest);
    entry_free(*slot);
    struct entry *e = sp_alloc(sizeof *e);
    e->instance = instance;
    memcpy(e->digest, digest, 32);
    e->arena = sp_arena_new(size + 256);
    e->value = sp_arena_alloc(e->arena, size);
    *slot = e;
    *arena = e->arena;
    return e->value;
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
