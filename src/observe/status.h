/* The status listener: health, metrics, and what this data plane runs. Loopback by default; read-only except /drain.
 * Main thread. */
#pragma once
#include "http/server.h"
#include "proxy/proxy.h"

struct dp_feed;

/* What main knows and the proxy does not. */
struct dp_status_source {
    struct dp_proxy *proxy;
    const char *mode; /* "hybrid", "db-less" */
    bool draining;
    bool stale;           /* serving the cache, the control plane has not been reached */
    bool connected;       /* hybrid: the stream stands */
    char last_error[512]; /* why the last one was refused, else why no control plane is there; empty: all is well */
    int64_t rejected_revision;
    uint64_t reloads, rejections;
    int64_t live_since;                          /* seconds since 1970; 0: no configuration yet */
    struct dp_feed *feed;                        /* where configurations come from */
    void (*refresh)(struct dp_status_source *s); /* called before anything here is read; may be NULL */
    void (*drain)(void *ctx);                    /* POST /drain */
    void *ctx;
};

struct dp_status;
SP_MUST sp_result dp_status_start(struct sp_loop *l, const struct sp_address *at, struct dp_status_source *source,
                                  struct sp_address *bound, struct dp_status **out, struct sp_error *err);
void dp_status_stop(struct dp_status *s);
