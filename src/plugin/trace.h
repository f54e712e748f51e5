/* What the chain and its plugins decided about one call, and why. An explanation hangs a trace on its call; a request
 * has none, and pays for it with a look at a pointer. With a trace nothing is asked over the network, counted or
 * logged. In the call's arena, one thread. */
#pragma once
#include "base/log.h"
#include "plugin/plugin.h"

enum dp_outcome { DP_NOT_REACHED, DP_SKIPPED, DP_PASSED, DP_REPLIED, DP_WAITED /* has to ask somebody first */ };

/* One instance that may be the one of its kind. */
struct dp_trace_instance {
    const Sallyport__V1__Plugin *plugin;
    const char *unfit; /* constant: why it has no say; NULL: it is the one, or nobody came to ask it */
};

enum { DP_TRACE_NOTES = 16 };

/* One kind of plugin, when its turn comes. */
struct dp_trace_step {
    const struct dp_plugin_kind *kind;
    struct dp_trace_instance *instances; /* most specific first */
    size_t num_instances;
    const Sallyport__V1__Plugin *chosen; /* NULL: none */
    enum dp_outcome outcome;
    struct sp_str reason; /* why it refused or skipped, as the log would have it; empty: nothing to say */
    struct sp_str notes[DP_TRACE_NOTES];
    size_t num_notes;
    /* Of an authentication by certificate. */
    struct sp_str leaf;   /* what it judged, DER; empty: none */
    struct sp_str *names; /* candidates, in order */
    size_t num_names;
    struct sp_str anchor;  /* id of the CA that ended the chain; empty: not verified */
    unsigned rule;         /* of kong-behaviour 1.1.4 that gave the consumer, 1 to 5; 0: none */
    const char *rule_what; /* constant: what was compared */
    struct sp_str match;   /* the name that matched, or was configured */
};

struct dp_trace {
    struct dp_trace_step *steps; /* by priority; made by the chain */
    size_t num;
    struct dp_trace_step *now; /* whose turn it is; NULL: nobody's */
};

/* All of these do nothing without a trace. */
#define dp_note(call, ...)                                                                                             \
    do {                                                                                                               \
        if ((call)->trace)                                                                                             \
            dp_trace_note((call), __VA_ARGS__);                                                                        \
    } while (0)
void dp_trace_note(struct dp_call *call, const char *fmt, ...) SP_PRINTF(2, 3);
/* It has no say this time. Gives DP_NEXT. */
enum dp_verdict dp_skip(struct dp_call *call, const char *why);
void dp_trace_leaf(struct dp_call *call, struct sp_str leaf);
void dp_trace_names(struct dp_call *call, const struct sp_str *names, size_t num);
void dp_trace_anchor(struct dp_call *call, struct sp_str ca_id);
void dp_trace_rule(struct dp_call *call, unsigned rule, const char *what, struct sp_str match);

/* Why a plugin refuses, or would have: into the trace, else as a line of the log. reason is constant or in the arena.
 */
void dp_reason(struct dp_call *call, enum sp_log_level level, const char *event, const char *tag, const char *reason);
