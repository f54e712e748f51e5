#include "plugin/rate_table.h"
#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SLOTS = 1 << 16, PROBES = 8 }; /* 1 MiB, taken when the first counter is */

struct slot {
    _Atomic uint64_t key;   /* 0: free */
    _Atomic uint64_t state; /* end of the window in the upper half, count in the lower */
};

static struct slot *table;
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
    table = sp_alloc(sizeof *table * SLOTS);
}

static struct slot *slot_at(uint64_t key, unsigned probe)
{
    return &table[((key >> 7) + probe) % SLOTS];
}

static uint64_t state_of(int64_t window_end, uint32_t count)
{
    return (uint64_t)(uint32_t)window_end << 32 | count;
}

static struct slot *find(uint64_t key)
{
    pthread_once(&table_once, make_table);
    for (unsigned i = 0; i < PROBES; i++)
        if (atomic_load_explicit(&slot_at(key, i)->key, memory_order_acquire) == key)
            return slot_at(key, i);
    return NULL;
}

/* A free slot, or the one whose window ends first: what is over goes before what is not. */
static struct slot *claim(uint64_t key, int64_t now)
{
    struct slot *best = NULL;
    uint64_t best_key = 0, best_end = UINT64_MAX;
    for (unsigned i = 0; i < PROBES; i++) {
        struct slot *s = slot_at(key, i);
        uint64_t k = atomic_load_explicit(&s->key, memory_order_acquire);
        uint64_t end = k ? atomic_load_explicit(&s->state, memory_order_relaxed) >> 32 : 0;
        if (end < best_end) {
            best = s;
            best_key = k;
            best_end = end;
        }
        if (k == 0 || (int64_t)end <= now)
            break;
    }
    /* who loses the race for it counts in whatever is there: one request too few, once */
    if (!atomic_compare_exchange_strong(&best->key, &best_key, key))
        return NULL;
    atomic_store_explicit(&best->state, 0, memory_order_release);
    return best;
}

uint32_t dp_rate_count(uint64_t key, int64_t window_end)
{
    key |= 1; /* never the free one */
    struct slot *s = find(key);
    uint64_t state = s ? atomic_load_explicit(&s->state, memory_order_relaxed) : 0;
    return state >> 32 == (uint32_t)window_end ? (uint32_t)state : 0;
}

void dp_rate_add(uint64_t key, int64_t window_end, int64_t now)
{
    key |= 1;
    struct slot *s = find(key);
    if (!s)
        s = claim(key, now);
    if (!s)
        return;
    uint64_t had = atomic_load_explicit(&s->state, memory_order_relaxed), next;
    do {
        bool same = had >> 32 == (uint32_t)window_end;
        next = state_of(window_end, same ? (uint32_t)had + ((uint32_t)had != UINT32_MAX) : 1);
    } while (!atomic_compare_exchange_weak_explicit(&s->state, &had, next, memory_order_relaxed, memory_order_relaxed));
}
