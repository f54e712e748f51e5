#include "base/map.h"

struct entry {
    struct sp_str key;
    void *value;
    uint64_t hash;
};

struct sp_map {
    struct sp_arena *arena;
    struct entry *entries; /* insertion order */
    uint32_t *slots;       /* 0 is empty, else index + 1 */
    size_t len, cap, mask;
};

static size_t slots_for(size_t entries)
{
    size_t n = 8;
    while (n < entries * 2)
        n *= 2;
    return n;
}

struct sp_map *sp_map_new(struct sp_arena *a, size_t expected)
{
    struct sp_map *m = SP_NEW(a, struct sp_map);
    m->arena = a;
    m->cap = expected < 4 ? 4 : expected;
    m->entries = SP_NEW_N(a, struct entry, m->cap);
    size_t n = slots_for(m->cap);
    m->slots = SP_NEW_N(a, uint32_t, n);
    m->mask = n - 1;
    return m;
}

static uint32_t *find_slot(const struct sp_map *m, struct sp_str key, uint64_t hash)
{
    size_t i = hash & m->mask;
    for (; m->slots[i]; i = (i + 1) & m->mask) {
        const struct entry *e = &m->entries[m->slots[i] - 1];
        if (e->hash == hash && sp_str_eq(e->key, key))
            break;
    }
    return &m->slots[i];
}

static void grow(struct sp_map *m)
{
    struct entry *old = m->entries;
    m->cap *= 2;
    m->entries = SP_NEW_N(m->arena, struct entry, m->cap);
    memcpy(m->entries, old, m->len * sizeof *old);
    size_t n = slots_for(m->cap);
    m->slots = SP_NEW_N(m->arena, uint32_t, n);
    m->mask = n - 1;
    for (size_t i = 0; i < m->len; i++)
        *find_slot(m, m->entries[i].key, m->entries[i].hash) = (uint32_t)i + 1;
}

bool sp_map_put(struct sp_map *m, struct sp_str key, void *value)
{
    uint64_t hash = sp_str_hash(key);
    uint32_t *slot = find_slot(m, key, hash);
    if (*slot)
        return false;
    if (m->len == m->cap) {
        grow(m);
        slot = find_slot(m, key, hash);
    }
    m->entries[m->len] = (struct entry){key, value, hash};
    *slot = (uint32_t)++m->len;
    return true;
}

void *sp_map_get(const struct sp_map *m, struct sp_str key)
{
    uint32_t slot = *find_slot(m, key, sp_str_hash(key));
    return slot ? m->entries[slot - 1].value : NULL;
}

size_t sp_map_len(const struct sp_map *m)
{
    return m->len;
}

void sp_map_at(const struct sp_map *m, size_t i, struct sp_str *key, void **value)
{
    sp_assert(i < m->len);
    if (key)
        *key = m->entries[i].key;
    if (value)
        *value = m->entries[i].value;
}
