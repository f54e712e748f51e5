#include "plugin/verdict_cache.h"

#include <stdlib.h>

enum { WAYS = 4, SETS = 1024 };

struct entry {
    const void *instance;
    uint8_t digest[32];
    struct dp_cert_result result;
    struct sp_arena *arena;
};

struct dp_plugin_cache {
    struct entry **ways; /* SETS * WAYS; made when the first verdict comes */
    unsigned next_victim;
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

const struct dp_cert_result *dp_verdict_find(const struct dp_plugin_cache *c, const void *instance,
                                             const uint8_t digest[32], int64_t now)
{
    if (!c->ways)
        return NULL;
    struct entry **set = set_of(c, instance, digest);
    for (size_t i = 0; i < WAYS; i++)
        if (is_key(set[i], instance, digest))
            return now >= set[i]->result.from && now <= set[i]->result.until ? &set[i]->result : NULL;
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

struct dp_cert_result *dp_verdict_put(struct dp_plugin_cache *c, const void *instance, const uint8_t digest[32],
                                      struct sp_arena **arena)
{
    if (!c->ways)
        c->ways = sp_alloc(sizeof(struct entry *) * SETS * WAYS);
    struct entry **slot = victim(c, set_of(c, instance, digest), instance, digest);
    entry_free(*slot);
    struct entry *e = sp_alloc(sizeof *e);
    e->instance = instance;
    memcpy(e->digest, digest, 32);
    e->arena = sp_arena_new(256);
    *slot = e;
    *arena = e->arena;
    return &e->result;
}
