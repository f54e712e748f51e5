/* What plugins ask of the world: one document over HTTP, without waiting for it. The worker makes it happen; a test
 * puts something of its own in its place. Worker thread. */
#pragma once
#include "base/str.h"

struct dp_fetch_order {                /* copied */
    struct sp_str url;                 /* http or https, visible ASCII */
    struct sp_str body;                /* is POSTed; empty: GET */
    const char *content_type, *accept; /* constant */
    struct sp_str proxy_host;          /* empty: none */
    uint16_t proxy_port;
    bool verify;         /* https: the server's certificate, by the system's bundle */
    uint32_t timeout_ms; /* of everything, from the name to the last byte */
    size_t max_body;
};

struct dp_fetch_answer {
    unsigned status;    /* of HTTP, redirections too; 0: no answer came */
    struct sp_str body; /* borrowed for the call */
    const char *why;    /* status 0: constant, for the log */
};

struct dp_fetch;
typedef void dp_fetched_fn(void *ctx, const struct dp_fetch_answer *a);
struct dp_fetcher {
    /* `done` comes exactly once, never inside start, unless the fetch is cancelled before. Equal orders that are under
     * way at the same time are one. */
    struct dp_fetch *(*start)(struct dp_fetcher *f, const struct dp_fetch_order *o, dp_fetched_fn *done, void *ctx);
    void (*cancel)(struct dp_fetcher *f, struct dp_fetch *fetch);
};
