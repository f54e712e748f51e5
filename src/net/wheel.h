/* Deadlines by the thousand: a hashed wheel with ticks of 100 ms, one per worker. Setting a deadline again to a later
 * time (what every request does) costs one store: the entry is looked at again when its old slot comes round. Loop
 * thread only. */
#pragma once
#include "net/loop.h"

struct sp_wheel;
struct sp_wheel *sp_wheel_new(struct sp_loop *l);
void sp_wheel_free(struct sp_wheel *w); /* nothing may be linked any more */

struct sp_deadline { /* embedded; zero is "not set" */
    struct sp_deadline *prev, *next;
    void (*passed)(struct sp_deadline *d); /* called once, up to 200 ms late */
    uint64_t at_ms;                        /* loop time */
    uint32_t slot;
};
void sp_deadline_set(struct sp_wheel *w, struct sp_deadline *d, uint64_t after_ms,
                     void (*passed)(struct sp_deadline *));
void sp_deadline_clear(struct sp_wheel *w, struct sp_deadline *d); /* idempotent */
