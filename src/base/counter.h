/* Counters that one thread writes and others read at any time (metrics): never torn, and no locked instruction. */
#pragma once
#include <stdint.h>

static inline void sp_count(uint64_t *counter, int64_t n)
{
    __atomic_store_n(counter, *counter + (uint64_t)n, __ATOMIC_RELAXED);
}
static inline uint64_t sp_counter_get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}
