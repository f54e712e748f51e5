/* All workers together, as the main thread sees them: start, publish a configuration, drain. Main thread only. */
#pragma once
#include "proxy/worker.h"

struct dp_proxy {
    struct dp_proxy_options *options;
    struct dp_snapshot_options snapshot_options;
    struct sp_loop *loop; /* the main thread's */
    struct dp_worker **workers;
    unsigned num_workers;
    struct dp_snapshot *current; /* live in every worker; NULL until the first */
    unsigned publications;       /* under way */
    bool joined;
};

/* Binds every listener for every worker, so that a busy port is an error here; starts the threads. The proxy serves 503
 * on plain listeners and closes TLS ones until the first configuration. */
SP_MUST sp_result dp_proxy_start(struct dp_proxy *p, unsigned num_workers, struct sp_error *err);

/* Compiles and switches every worker. Refused: returns at once with every bad resource in problems, the last good one
 * serves on. Accepted: `live` comes later on the main loop, when the last worker has switched. */
SP_MUST sp_result dp_proxy_publish(struct dp_proxy *p, const struct sp_resources *r, int64_t revision,
                                   struct sp_problems *problems, void (*live)(void *ctx, int64_t revision), void *ctx);
void dp_proxy_drain(struct dp_proxy *p, uint32_t grace_ms);
void dp_proxy_join(struct dp_proxy *p); /* after drain: waits for the threads, frees what they held */
/* Sum of one counter over all workers; offset is offsetof(struct dp_counters, ...). */
uint64_t dp_proxy_count(const struct dp_proxy *p, size_t offset);
