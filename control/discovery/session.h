/* The control plane's half of the control protocol (DESIGN section 6) for one stream, sans I/O: node messages in,
 * frames out. Level-triggered: it is told the newest snapshot and sends what the node lacks; one transaction at a time,
 * newer states coalesce. A refused revision is not sent again until something changes. Control plane's main thread. */
#pragma once
#include "control/discovery/snapshot.h"

enum cp_node_state {
    CP_NODE_DISCONNECTED,
    CP_NODE_SENDING, /* connected, not known to have the newest yet */
    CP_NODE_LIVE,    /* has applied the newest in every worker */
    CP_NODE_REJECTED /* has refused the newest; serves the one before */
};
const char *cp_node_state_name(enum cp_node_state s);

struct cp_problem {
    Sallyport__V1__Kind kind; /* 0: the transaction as a whole */
    struct sp_str name, field, reason;
};

/* What a node says of itself, bounded; strings live as long as the session. Labels, not identity. */
struct cp_hello {
    struct sp_str node_id, version, hostname;
    struct sp_str *labels;
    size_t num_labels;
};

struct cp_session;
struct cp_session *cp_session_new(struct sp_str control_id); /* which replica speaks; copied */
void cp_session_free(struct cp_session *s);                  /* NULL is fine */
/* The stream is gone: lets go of the snapshots, keeps what others may ask. Nothing but questions and free after it. */
void cp_session_close(struct cp_session *s);
/* One NodeMessage. Failure: the node broke the protocol; close the stream with the text. */
SP_MUST sp_result cp_session_receive(struct cp_session *s, struct sp_str message, uint64_t now_ms,
                                     struct sp_error *err);
/* The newest state: takes a reference of its own. */
void cp_session_target(struct cp_session *s, struct cp_snapshot *newest);
/* The next frame to write, one reference for the caller; NULL: nothing now. */
struct sp_bytes *cp_session_next(struct cp_session *s, uint64_t now_ms);
/* When cp_session_next may have something without a new event: after refusals in a row. 0: no such time. */
uint64_t cp_session_wake(const struct cp_session *s);

const struct cp_hello *cp_session_hello(const struct cp_session *s); /* NULL: has not come yet */
enum cp_node_state cp_session_state(const struct cp_session *s);
int64_t cp_session_held(const struct cp_session *s); /* revision that is live in the node; 0: none */
int64_t cp_session_sent(const struct cp_session *s); /* last revision that was wholly sent; 0: none */
int64_t cp_session_rejected(
    const struct cp_session *s); /* last revision that was refused and not followed by a live one; 0: none */
/* Why; valid until the next receive. */
const struct cp_problem *cp_session_problems(const struct cp_session *s, size_t *num);
