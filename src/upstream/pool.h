/* The mutable half of the upstream side: connections, kept open between requests. One set of pools per worker, keyed by
 * what decides about a connection, so that it outlives snapshots. Worker thread only.
 *
 * A lease (struct dp_upconn) is one HTTP/1.1 exchange on one connection: serialise a request into dp_up_out, flush, get
 * events. Bytes written before the connection stands wait in it. */
#pragma once
#include "http/h1.h"
#include "net/resolver.h"
#include "net/wheel.h"
#include "upstream/service.h"

/* What all upstream connections of a worker share. */
struct dp_up_env {
    struct sp_loop *loop;
    struct sp_wheel *wheel;
    struct sp_resolver *resolver;
    struct sp_wire wire;  /* upstream's own: the downstream side has another, both are in use at once */
    char *sealed, *plain; /* receive buffers of `size` bytes each */
    size_t size;
    uint64_t connects, reuses; /* metrics */
};

enum dp_up_failure {
    DP_UP_DNS,     /* name resolution failed */
    DP_UP_CONNECT, /* refused or unreachable */
    DP_UP_CONNECT_TIMEOUT,
    DP_UP_TLS,     /* handshake or verification failed */
    DP_UP_CLOSED,  /* the upstream went away before its answer was complete */
    DP_UP_BAD,     /* not HTTP, or framing that smuggles */
    DP_UP_TIMEOUT, /* read_timeout or write_timeout */
};

/* After `end` or `failed` nothing more comes. Inside any event the owner may call dp_up_finish or dp_up_abort. */
struct dp_up_events {
    void (*response)(void *owner, struct sp_response_head *head); /* interim heads (1xx) too; borrowed for the call */
    void (*data)(void *owner, struct sp_str bytes);               /* borrowed for the call */
    void (*end)(void *owner, struct sp_fields *trailers);         /* NULL: none; borrowed for the call */
    /* The lease is over; it may still be looked at until the event returns. */
    void (*failed)(void *owner, enum dp_up_failure why, const char *text);
    void (*writable)(void *owner); /* after dp_up_full was true: all is sent */
};

struct dp_pools;
struct dp_pools *dp_pools_new(struct dp_up_env *env);
void dp_pools_free(struct dp_pools *p); /* closes idle connections; no lease may be left */
size_t dp_pools_idle(const struct dp_pools *p);

/* Pools of the targets of one snapshot, found once: an epoch keeps an array of these, indexed by dp_target.index. */
struct dp_pool;
struct dp_pool *dp_pool_ref(struct dp_pools *p, struct sp_str key);
void dp_pool_unref(struct dp_pool *p); /* NULL is fine */

struct dp_upconn;
/* An idle connection, or a new one that is being made (fresh: always a new one). `arena` is the owner's: response
 * fields are put there. service must live until the lease ends. */
struct dp_upconn *dp_up_lease(struct dp_pools *ps, struct dp_pool *p, const struct dp_service *service,
                              const struct dp_target *target, bool fresh, const struct dp_up_events *events,
                              void *owner, struct sp_arena *arena);
void dp_up_expect(struct dp_upconn *u, bool head_request); /* before the request is written: how to read the answer */
struct sp_buf *dp_up_out(struct dp_upconn *u);             /* append request bytes here */
void dp_up_flush(struct dp_upconn *u, bool more_follows);  /* send now, or at the end of this turn when more follows */
void dp_up_end(struct dp_upconn *u);  /* tunnels: no more bytes follow; the upstream is told when all are sent */
bool dp_up_full(struct dp_upconn *u); /* stop producing; `writable` will come */
void dp_up_pause(struct dp_upconn *u, bool paused); /* back-pressure: stop or go on reading the answer */
/* Inside `failed`, when the connection never stood: what waits in it, without its first `skip` bytes, waits in another.
 */
void dp_up_hand_over(struct dp_upconn *from, size_t skip, struct dp_upconn *to);
bool dp_up_reused(const struct dp_upconn *u);   /* it was idle in the pool before this lease */
bool dp_up_answered(const struct dp_upconn *u); /* at least one byte of the answer has come */
/* Ends the lease. The connection goes back to its pool when the answer is complete, the request is sent, and both sides
 * want to keep it; else it is closed. */
void dp_up_finish(struct dp_upconn *u, bool request_complete);
