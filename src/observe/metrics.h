/* Prometheus text of the data plane's counters. Main thread. */
#pragma once
#include "observe/status.h"

void dp_metrics_write(const struct dp_status_source *s, struct sp_buf *out);
