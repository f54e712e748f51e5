#include "base/digests.h"

#include <stdlib.h>
#include <string.h>

enum { WAYS = 4 };

struct slot {
    bool taken;
    uint8_t digest[32];
};

struct sp_digests {
    struct slot *slots; /* sets * WAYS */
    size_t sets;
    unsigned next_victim;
};

struct sp_digests *sp_digests_new(size_t sets)
{
    struct sp_digests *d = sp_alloc(sizeof *d);
    d->sets = sets;
    return d;
}

void sp_digests_free(struct sp_digests *d)
{
    if (!d)
        return;
    free(d->slots);
    free(d);
}

static struct slot *set_of(const struct sp_digests *d, const uint8_t digest[32])
{
    uint64_t h;
    memcpy(&h, digest, sizeof h);
    return d->slots + (h % d->sets) * WAYS;
}

bool sp_digests_has(const struct sp_digests *d, const uint8_t digest[32])
{
    if (!d->slots)
        return false;
    const struct slot *set = set_of(d, digest);
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].taken && memcmp(set[i].digest, digest, 32) == 0)
            return true;
    return false;
}

void sp_digests_add(struct sp_digests *d, const uint8_t digest[32])
{
    if (sp_digests_has(d, digest))
        return;
    if (!d->slots)
        d->slots = sp_alloc(sizeof(struct slot) * d->sets * WAYS);
    struct slot *set = set_of(d, digest), *to = NULL;
    for (size_t i = 0; i < WAYS && !to; i++)
        to = set[i].taken ? NULL : &set[i];
    if (!to)
        to = &set[d->next_victim++ % WAYS];
    to->taken = true;
    memcpy(to->digest, digest, 32);
}
