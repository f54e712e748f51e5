/* The discovery service: data planes connect over mTLS, get the newest snapshot and say when it is live. Control
 * plane's main thread; the network runs on threads of its own (rpc/rpc.h). DESIGN section 6. */
#pragma once
#include "control/discovery/session.h"
#include "net/address.h"
#include "net/loop.h"

/* A data plane as the Admin API shows it. Borrowed for the call that gives it. */
struct cp_node {
    struct sp_str identity;              /* from its certificate: SPIFFE URI or name */
    struct sp_str address;               /* where it connected from */
    struct sp_str id, hostname, version; /* what it says of itself */
    const struct sp_str *labels;
    size_t num_labels;
    enum cp_node_state state;
    bool connected;
    int64_t since, last_seen; /* of this or its last stream: opened, last message; seconds since 1970 */
    int64_t certificate_not_after;
    int64_t held, sent,
        rejected; /* revisions: live in it, last sent, refused and not followed by a live one; 0: none */
    const struct cp_problem *problems; /* why refused */
    size_t num_problems;
};
typedef void cp_node_fn(void *ctx, const struct cp_node *n);

struct cp_discovery_options {
    struct sp_address listen;
    struct sp_str cert_pem, key_pem, ca_pem;         /* own certificate; whose data planes are let in */
    struct sp_str control_id;                        /* names this replica in every transaction */
    uint32_t admit_per_s, admit_burst, keepalive_ms; /* 0: rpc/server.h's defaults */
    cp_node_fn *changed;                             /* a node came, went, went live or refused; may be NULL */
    void *ctx;
};
struct cp_discovery;
/* Listens when it returns. Options are copied. */
SP_MUST sp_result cp_discovery_start(const struct cp_discovery_options *o, struct sp_loop *loop,
                                     struct cp_discovery **out, struct sp_error *err);
const struct sp_address *cp_discovery_address(const struct cp_discovery *d);
/* Takes a reference of its own. The first change goes out at once, those that follow within 100 ms (doubling to 1 s
 * while they keep coming) together. urgent, or a snapshot that takes something away from trust, waits for nothing. */
void cp_discovery_publish(struct cp_discovery *d, struct cp_snapshot *s, bool urgent);
/* Every node that is connected or was in the last day, the oldest first. */
void cp_discovery_nodes(const struct cp_discovery *d, cp_node_fn *fn, void *ctx);
void cp_discovery_stop(struct cp_discovery *d); /* NULL is fine */
