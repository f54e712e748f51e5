/* A thread, its loop, its listeners, its pools and its current epoch. Everything here belongs to the worker's thread,
 * except where a function says otherwise. DESIGN section 9. */
#pragma once
#include "admit/real_ip.h"
#include "base/counter.h"
#include "base/log.h"
#include "config/snapshot.h"
#include "http/h2.h"
#include "net/wheel.h"
#include "plugin/passwords.h"
#include "plugin/revocation.h"
#include "upstream/pool.h"
#include <pthread.h>

/* A worker's view of one snapshot: what changes per worker lives here and dies with it. */
struct dp_epoch {
    struct dp_snapshot *snapshot;
    uint32_t users;    /* exchanges and handshakes under way, and 1 while current; one thread only */
    uint64_t identity; /* another number than the last one's: a certificate may be judged in another way */
    struct dp_plugin_cache *cache;
    struct dp_pool **pools; /* by dp_target.index, found at first use */
    uint32_t *turns;        /* by dp_service.index */
};

/* Written by the worker, read by anyone (base/counter.h). */
struct dp_counters {
    uint64_t connections_total, connections_active, handshakes_total, handshakes_failed, handshakes_resumed,
        handshakes_asked, handshakes_with_certificate, requests_total, requests_active,
        responses[6] /* by class, 0: none */, unauthorized_total, misdirected_total, upstream_connects, upstream_reuses,
        upstream_failures, bytes_in, bytes_out, idle_closed, proxy_headers_refused, identity_gone, certificate_ended;
    struct dp_revocation_counters revocation;
    struct dp_password_counters passwords;
};

/* One address to listen on; the same for all workers. */
struct dp_listener_conf {
    struct sp_address address; /* with the real port once bound */
    struct sp_listen_how how;
    bool tls;
    bool proxy_protocol; /* every connection begins with a PROXY header */
    uint64_t id;         /* binds resumption */
};

struct dp_crl_shelf;
struct dp_checker_pool;

/* The same for all workers, for the life of the process. */
struct dp_proxy_options {
    struct dp_listener_conf *listeners;
    size_t num_listeners;
    struct sp_tls_server *tls;
    struct dp_real_ip real_ip;
    uint32_t max_connections, max_requests; /* per worker; requests under way, whatever connections they are on */
    uint32_t idle_ms, head_ms, body_ms, handshake_ms;
    uint32_t look_ms;  /* between two looks at a connection with a client certificate (life.h) */
    uint32_t grace_ms; /* for what runs on one whose certificate is not accepted any more */
    struct sp_h1_limits h1;
    struct sp_h2_limits h2;
    bool access_log;
    int access_log_fd;
    const char *via;              /* "1.1 sallyport/0.1.0" */
    const struct sp_clock *clock; /* NULL: the system's */
    struct dp_crl_shelf *crls;    /* the proxy's */
    struct dp_checker_pool *checkers;
};

struct dp_fetcher;
struct dp_crl_desk;
struct dp_revocations;
struct dp_listener;
struct dp_conn;
struct dp_exchange;

struct dp_worker {
    pthread_t thread;
    unsigned index;
    const struct dp_proxy_options *options;
    struct sp_loop *loop;
    struct sp_wheel *wheel;
    struct sp_resolver *resolver;
    struct dp_up_env up;
    struct dp_pools *pools;
    struct dp_fetcher *fetcher; /* what plugins look up */
    struct dp_crl_desk *crls;
    struct dp_revocations *revocations;  /* and what came of it */
    struct dp_epoch *epoch;              /* NULL until the first snapshot */
    struct sp_wire wire;                 /* of the downstream side */
    char *sealed, *plain;                /* receive buffers of DP_RECV bytes each, downstream side */
    struct dp_password_checker *checker; /* of passwords, and what came of it */
    struct dp_passwords *passwords;
    struct dp_listener *listeners;
    struct dp_conn *conns; /* all, for drain */
    size_t num_conns, num_old_epochs;
    struct dp_conn *dead; /* freed at the end of the turn */
    uint64_t looked_ms;   /* life.c: the turn in which connections were last judged anew, and how many */
    uint32_t num_looks;
    struct sp_deferred bury;
    struct dp_exchange *dead_exchanges, *spare; /* freed in this turn; recycled, with their arenas */
    size_t num_spare;
    struct sp_buf *stages; /* recycled output buffers */
    size_t num_stages;
    struct sp_buf access_log; /* lines that wait for the end of the turn */
    struct sp_deferred log_flush;
    uint64_t random[4];
    const struct sp_clock *clock;
    bool draining, stopping;
    struct sp_timer drain_timer;
    void (*drained)(void *ctx); /* called once on the worker's thread */
    void *drained_ctx;
    struct dp_counters counters;
};

enum { DP_RECV = 262144 };

/* Main thread: binds this worker's sockets (port 0 becomes a real port in options->listeners for the next workers). */
SP_MUST sp_result dp_worker_new(unsigned index, struct dp_proxy_options *options, struct dp_worker **out,
                                struct sp_error *err);
SP_MUST sp_result dp_worker_start(struct dp_worker *w, struct sp_error *err);
/* Any thread: takes the snapshot's reference; done(arg) runs on the worker after the switch. */
void dp_worker_adopt(struct dp_worker *w, struct dp_snapshot *ref_take, void (*done)(void *arg), void *arg);
/* Any thread: readiness is off already; stop keep-alive, GOAWAY, finish what runs; after grace_ms close what is left.
 * Then the thread ends. */
void dp_worker_drain(struct dp_worker *w, uint32_t grace_ms);
void dp_worker_join(struct dp_worker *w); /* main thread, after drain; frees */

/* --- for the rooms inside proxy/ --- */
struct dp_epoch *dp_epoch_hold(struct dp_worker *w); /* +1 on the current one; NULL: no configuration yet */
void dp_epoch_drop(struct dp_worker *w, struct dp_epoch *e);
struct dp_pool *dp_epoch_pool(struct dp_worker *w, struct dp_epoch *e, const struct dp_target *t);
uint64_t dp_worker_random(struct dp_worker *w); /* fast, not for secrets */
struct sp_buf dp_worker_stage_take(struct dp_worker *w);
void dp_worker_stage_give(struct dp_worker *w, struct sp_buf *b);
void dp_worker_conn_gone(struct dp_worker *w); /* the last one ends a drain */
