/* The conductor of a data plane in hybrid mode: last-good cache, discovery stream, and the publishing of what they
 * bring. Start: what the cache holds is published at once, marked stale; then every revision of the control plane is
 * published, and answered APPLIED when it is live in every worker or REJECTED with every reason. Main thread. DESIGN
 * section 6. */
#pragma once
#include "config/delta.h"
#include "net/loop.h"

struct sp_problems;
struct dp_agent;

/* Says how a publish ended. problems NULL: live in every worker; else nothing changed, and these are the reasons.
 * Called exactly once for each publish, possibly before publish returns; problems are borrowed for the call. */
typedef void dp_publish_done(struct dp_agent *agent, const struct sp_problems *problems);

struct dp_agent_options {
    const struct sp_str *addresses; /* "host:port" of the control planes, tried in turn */
    size_t num_addresses;
    struct sp_str server_name;               /* checked against their certificate; empty: the host of the address */
    struct sp_str cert_pem, key_pem, ca_pem; /* the node's own certificate and what it trusts */
    struct dp_node node;                     /* what it says of itself; identity is the certificate's */
    const char *cache_path;                  /* NULL: no cache */
    size_t max_bytes;                        /* of a whole state; 0: 256 MiB */
    /* Compile r and swap it in everywhere. r is valid until done is called. Not called again before that. */
    void (*publish)(void *ctx, const struct sp_resources *r, int64_t revision, dp_publish_done *done,
                    struct dp_agent *agent);
    void *ctx;
};
/* Everything in options is copied except ctx. Nothing is published before the loop runs. */
SP_MUST sp_result dp_agent_start(struct sp_loop *loop, const struct dp_agent_options *o, struct dp_agent **out,
                                 struct sp_error *err);
/* Ends the stream; done of a publish under way must not be called any more. NULL is fine. */
void dp_agent_stop(struct dp_agent *a);

struct dp_agent_status {
    bool connected;             /* the stream is open */
    bool stale;                 /* serves from the cache, and no control plane has confirmed or replaced it yet */
    int64_t revision;           /* live; 0: none */
    int64_t rejected;           /* last revision that was refused and not followed by a live one; 0: none */
    struct sp_str rejected_why; /* first reason */
    struct sp_str address;      /* control plane that is connected or was tried last; may be empty */
    struct sp_str error;        /* last error of the stream; empty: none since it was connected */
    uint64_t connects, applied, rejects; /* counters since start */
};
/* Strings are valid until the loop turns. */
void dp_agent_status(const struct dp_agent *a, struct dp_agent_status *out);
