/* Private to src/upstream: what the pools (pool.c) and a connection's life (connection.c) share. Worker thread. */
#pragma once
#include "upstream/pool.h"

enum { DP_UP_BUCKETS = 256, DP_UP_ADDRESSES = 4 };

enum up_state { UP_RESOLVING, UP_CONNECTING, UP_HANDSHAKE, UP_OPEN, UP_IDLE, UP_CLOSED };

struct dp_pools {
    struct dp_up_env *env;
    struct dp_pool *buckets[DP_UP_BUCKETS];
    struct dp_upconn *dead; /* freed at the end of the turn, never inside an event */
    struct sp_deferred bury;
    size_t idle;
};

struct dp_pool {
    struct dp_pool *next; /* in its bucket */
    struct dp_pools *pools;
    struct sp_str key;      /* owned */
    struct dp_upconn *idle; /* most recently used first */
    size_t num_idle, refs;  /* epochs and connections */
};

struct dp_upconn {
    struct sp_watch watch; /* first: events come back to the connection */
    struct sp_deadline deadline;
    struct sp_deferred flush;
    struct dp_pools *pools;
    struct dp_pool *pool;
    struct dp_upconn *next, *prev; /* idle list, or dead list */
    const struct dp_service *service;
    const struct dp_target *target;
    const struct dp_up_events *events;
    void *owner; /* NULL: no lease */
    struct sp_arena *arena;
    struct sp_tls_stream *tls;
    struct sp_query *query;
    struct sp_address addresses[DP_UP_ADDRESSES]; /* what is left to try is addresses[next_address..] */
    uint8_t num_addresses, next_address;
    uint8_t state;   /* enum up_state */
    uint8_t interim; /* heads so far */
    bool reused, answered, head_request, have_head, complete, keep, paused, blocked, was_full, ending;
    uint32_t lease; /* which one this is: a lease can end and the next begin inside an event */
    struct sp_h1_body body;
    struct sp_buf in; /* the start of a head that has not come whole */
    size_t scanned;
    struct sp_buf out;    /* plaintext that waits */
    struct sp_buf sealed; /* ciphertext that waits */
};

void dp_upconn_close(struct dp_upconn *u);       /* now; freed at the end of the turn */
void dp_upconn_start(struct sp_deferred *flush); /* resolve and connect; events may come at once */
void dp_upconn_set_deadline(struct dp_upconn *u, uint64_t after_ms);
void dp_upconn_set_want(struct dp_upconn *u); /* what the loop is asked to watch follows from the state */
