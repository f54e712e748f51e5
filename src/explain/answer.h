/* The explanation of one request before it is JSON, and for whoever has a snapshot already: the data plane explains
 * what it runs. Any thread; the snapshot is only read. */
#pragma once
#include "admit/admit.h"
#include "admit/real_ip.h"
#include "explain/explain.h"
#include "plugin/trace.h"
#include "route/why.h"

enum dp_end { DP_END_ANSWERED, DP_END_FORWARDED, DP_END_UNDECIDED /* a plugin has to ask somebody first */ };

struct dp_explanation {
    const struct sp_explain_question *q;
    struct sp_arena *arena;
    const struct dp_snapshot *snapshot;
    const struct dp_real_ip *real_ip;
    bool trusted; /* the TCP peer */
    /* the connection */
    struct sp_peer peer;
    struct sp_handshake_policy policy;
    struct sp_handshake_answer handshake;
    bool presented; /* the client showed its certificate */
    /* the request */
    struct sp_request_head head;
    struct sp_str *sent; /* values of the fields as the client sent them */
    size_t num_sent;
    bool parsed; /* the head was let through to the router */
    struct dp_admission admission;
    struct dp_why why;
    struct dp_trace trace;
    struct dp_call call;
    bool ran;          /* the plugins were asked */
    bool assumed_body; /* one of them looked into the body, which is taken to be empty */
    /* what came of it */
    enum dp_end end;
    unsigned status;        /* of the answer; 0 where it is the upstream's */
    const char *message;    /* NULL: the status's own text */
    const char *plugin;     /* who answered; NULL: none of them */
    struct sp_str reason;   /* exact: what the log would say, or what the text of the answer hides */
    struct sp_str hints[8]; /* what people trip over */
    size_t num_hints;
};

/* real_ip: the data plane's own rules; NULL: the defaults. */
void dp_explain(const struct dp_snapshot *s, const struct dp_real_ip *real_ip, const struct sp_explain_question *q,
                struct sp_arena *a, struct sp_buf *json);
/* hints.c: everything else is found. */
void dp_explain_hints(struct dp_explanation *e);
/* json.c */
void dp_explain_write(const struct dp_explanation *e, struct sp_buf *json);
