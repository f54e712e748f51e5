#include "control/discovery/debounce.h"

static void open_window(struct cp_debounce *d, uint64_t now_ms, uint64_t window_ms)
{
    d->window_ms = window_ms < CP_DEBOUNCE_MAX_MS ? window_ms : CP_DEBOUNCE_MAX_MS;
    d->until_ms = now_ms + d->window_ms;
    d->waiting = false;
}

bool cp_debounce_change(struct cp_debounce *d, uint64_t now_ms, bool urgent)
{
    if (!d->until_ms) {
        open_window(d, now_ms, CP_DEBOUNCE_MIN_MS);
        return true;
    }
    d->waiting = !urgent;
    return urgent;
}

bool cp_debounce_due(struct cp_debounce *d, uint64_t now_ms)
{
    if (!d->until_ms || now_ms < d->until_ms)
        return false;
    bool waited = d->waiting;
    if (waited)
        open_window(d, now_ms, 2 * d->window_ms);
    else
        *d = (struct cp_debounce){0};
    return waited;
}
