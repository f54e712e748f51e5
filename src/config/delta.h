/* The data plane's half of the control protocol (DESIGN section 6), sans I/O: control messages in, candidates and node
 * messages out. It holds the set of resources that is current, stages a transaction beside it, and swaps only when it
 * is told that the candidate is live. Main thread. */
#pragma once
#include "base/buf.h"
#include "model/compile.h"
#include "sallyport/v1/discovery.pb-c.h"

/* What is wrong with one resource; kind 0 and an empty name: with the transaction. */
struct dp_problem {
    Sallyport__V1__Kind kind;
    struct sp_str name, field, reason;
};

struct dp_node { /* what Hello says; all borrowed for the call */
    struct sp_str id, version, hostname;
    const struct sp_str *labels; /* "key:value" */
    size_t num_labels;
    const struct sp_str *plugins; /* names this build can run */
    size_t num_plugins;
};

struct dp_delta;
/* max_bytes bounds a whole state: names, bodies and 256 bytes for each resource; 0: 256 MiB. */
struct dp_delta *dp_delta_new(size_t max_bytes);
void dp_delta_free(struct dp_delta *d); /* NULL is fine */

/* Takes a state from elsewhere (the last-good cache) as the current one; everything is copied and checked as if it came
 * over the wire. On failure the current state is what it was. Not while a candidate is open. */
SP_MUST sp_result dp_delta_seed(struct dp_delta *d, int64_t revision, const struct sp_resource *v, size_t num,
                                struct sp_error *err);
void dp_delta_forget(struct dp_delta *d); /* back to holding nothing, at revision 0 */

/* The current state; valid until the next call that changes it. */
const struct sp_resources *dp_delta_current(const struct dp_delta *d);
int64_t dp_delta_revision(const struct dp_delta *d);

/* First message of a stream, serialised. Drops a half-received transaction of an earlier stream; a candidate that is
 * still open must be answered first. */
void dp_delta_hello(struct dp_delta *d, const struct dp_node *node, struct sp_buf *out);

enum dp_delta_event {
    DP_DELTA_MORE,      /* taken in; nothing to do */
    DP_DELTA_CANDIDATE, /* a whole transaction stands: try it, then say applied or rejected */
    DP_DELTA_REFUSED,   /* its contents are bad: *reply holds REJECTED with every reason */
    DP_DELTA_BROKEN, /* the peer lost the thread (lost chunk, wrong base, no grammar): close the stream, start anew */
};
/* One ControlMessage. reply is appended to on REFUSED only, err filled on BROKEN and REFUSED (first reason). */
enum dp_delta_event dp_delta_receive(struct dp_delta *d, struct sp_str message, struct sp_buf *reply,
                                     struct sp_error *err);
int64_t dp_delta_refused_revision(const struct dp_delta *d); /* of the last DP_DELTA_REFUSED; 0: none */
/* Between transactions: not even a BEGIN has come. */
bool dp_delta_idle(const struct dp_delta *d);

struct dp_candidate {
    int64_t revision;
    const struct sp_resources *resources; /* valid until applied or rejected */
    size_t num_changes;                   /* upserts and removals that the transaction carried */
};
const struct dp_candidate *dp_delta_candidate(const struct dp_delta *d); /* NULL: none open */
/* The candidate is live everywhere and becomes the current state. reply: the serialised APPLIED. */
void dp_delta_applied(struct dp_delta *d, struct sp_buf *reply);
/* The candidate is dropped. reply: the serialised REJECTED. At least one problem. */
void dp_delta_rejected(struct dp_delta *d, const struct dp_problem *problems, size_t num, struct sp_buf *reply);
