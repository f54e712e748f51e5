#include "net/wheel.h"

#include <stddef.h>
#include <stdlib.h>

enum { TICK_MS = 100, SLOTS = 256 };

struct sp_wheel {
    struct sp_loop *loop;
    struct sp_timer timer;
    struct sp_deadline slots[SLOTS]; /* list heads */
    uint64_t tick;                   /* the last one that was run */
    size_t num;
};

static void on_tick(struct sp_timer *t);

struct sp_wheel *sp_wheel_new(struct sp_loop *l)
{
    struct sp_wheel *w = sp_alloc(sizeof *w);
    w->loop = l;
    for (size_t i = 0; i < SLOTS; i++)
        w->slots[i].prev = w->slots[i].next = &w->slots[i];
    return w;
}

void sp_wheel_free(struct sp_wheel *w)
{
    if (!w)
        return;
    sp_timer_stop(&w->timer);
    free(w);
}

static void take_out(struct sp_wheel *w, struct sp_deadline *d)
{
    d->prev->next = d->next;
    d->next->prev = d->prev;
    d->prev = d->next = NULL;
    w->num--;
}

static void put_in(struct sp_wheel *w, struct sp_deadline *d)
{
    uint64_t tick = d->at_ms / TICK_MS + 1;
    if (tick <= w->tick)
        tick = w->tick + 1;
    if (tick > w->tick + SLOTS - 1) /* beyond the horizon: looked at once a round */
        tick = w->tick + SLOTS - 1;
    struct sp_deadline *head = &w->slots[tick % SLOTS];
    d->slot = (uint32_t)(tick % SLOTS);
    d->prev = head->prev;
    d->next = head;
    head->prev->next = d;
    head->prev = d;
    w->num++;
}

static void arm(struct sp_wheel *w)
{
    if (w->num && !w->timer.loop)
        sp_timer_start(&w->timer, w->loop, TICK_MS, on_tick);
}

void sp_deadline_set(struct sp_wheel *w, struct sp_deadline *d, uint64_t after_ms, void (*passed)(struct sp_deadline *))
{
    uint64_t at = sp_loop_now(w->loop) + after_ms;
    d->passed = passed;
    if (d->next) {
        bool later = at >= d->at_ms;
        d->at_ms = at;
        if (later)
            return;
        take_out(w, d);
    }
    d->at_ms = at;
    if (w->num == 0)
        w->tick = sp_loop_now(w->loop) / TICK_MS;
    put_in(w, d);
    arm(w);
}

void sp_deadline_clear(struct sp_wheel *w, struct sp_deadline *d)
{
    if (d->next)
        take_out(w, d);
}

static void run_slot(struct sp_wheel *w, struct sp_deadline *head, uint64_t now)
{
    struct sp_deadline list = {.prev = &list, .next = &list};
    if (head->next == head)
        return;
    list = *head; /* move the whole list aside: callbacks may set and clear freely */
    list.next->prev = list.prev->next = &list;
    head->prev = head->next = head;
    while (list.next != &list) {
        struct sp_deadline *d = list.next;
        take_out(w, d);
        if (d->at_ms > now)
            put_in(w, d);
        else
            d->passed(d);
    }
}

static void on_tick(struct sp_timer *t)
{
    struct sp_wheel *w = (struct sp_wheel *)(void *)((char *)t - offsetof(struct sp_wheel, timer));
    uint64_t now = sp_loop_now(w->loop), until = now / TICK_MS;
    if (until > w->tick + SLOTS) /* the process slept: one round sees everything */
        w->tick = until - SLOTS;
    while (w->tick < until) {
        w->tick++;
        run_slot(w, &w->slots[w->tick % SLOTS], now);
    }
    arm(w);
}
