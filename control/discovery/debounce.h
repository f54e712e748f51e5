/* When a change goes out: the first at once, then those that come within a window together; the window doubles while
 * they keep coming. Sans I/O. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { CP_DEBOUNCE_MIN_MS = 100, CP_DEBOUNCE_MAX_MS = 1000 };

struct cp_debounce {              /* zero is "nothing has come lately" */
    uint64_t window_ms, until_ms; /* 0: no window is open */
    bool waiting;
};
/* A change has come. true: it goes out now; false: when cp_debounce_due says so. */
bool cp_debounce_change(struct cp_debounce *d, uint64_t now_ms, bool urgent);
/* The window is over. true: what has waited goes out now. Ask again at until_ms while that is not 0. */
bool cp_debounce_due(struct cp_debounce *d, uint64_t now_ms);
