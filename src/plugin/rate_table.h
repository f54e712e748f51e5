/* How often something happened in a stretch of time, for the whole process: workers share one limit, and a new
 * configuration does not forget. Bounded and without locks: a table of counters, the oldest make room. Any thread. */
#pragma once
#include <stdint.h>

/* key names who and which period; window_end (seconds since 1970) the stretch that is counted in. now is for finding
 * stale ones. */
uint32_t dp_rate_count(uint64_t key, int64_t window_end);
void dp_rate_add(uint64_t key, int64_t window_end, int64_t now);
