/* Time. Monotonic milliseconds for timers, wall seconds for certificates and tokens; tests replace both. Any thread. */
#pragma once
#include <stdint.h>

struct sp_clock {
    uint64_t (*mono_ms)(void *ctx);
    int64_t (*wall_s)(void *ctx); /* seconds since 1970-01-01 UTC */
    void *ctx;
};
extern const struct sp_clock sp_clock_system;

static inline uint64_t sp_clock_mono_ms(const struct sp_clock *c)
{
    return c->mono_ms(c->ctx);
}
static inline int64_t sp_clock_wall_s(const struct sp_clock *c)
{
    return c->wall_s(c->ctx);
}
