#include "plugin/trace.h"

#include <stdarg.h>
#include <stdio.h>

static struct dp_trace_step *step_of(const struct dp_call *call)
{
    return call->trace ? call->trace->now : NULL;
}

void dp_trace_note(struct dp_call *call, const char *fmt, ...)
{
    struct dp_trace_step *s = step_of(call);
    char text[512];
    va_list args;
    if (!s || s->num_notes == DP_TRACE_NOTES)
        return;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    s->notes[s->num_notes++] = sp_arena_dup(call->arena, sp_str(text, len));
}

enum dp_verdict dp_skip(struct dp_call *call, const char *why)
{
    struct dp_trace_step *s = step_of(call);
    if (s) {
        s->outcome = DP_SKIPPED;
        s->reason = sp_str_z(why);
    }
    return DP_NEXT;
}

void dp_trace_leaf(struct dp_call *call, struct sp_str leaf)
{
    struct dp_trace_step *s = step_of(call);
    if (s)
        s->leaf = leaf;
}

/* A copy: the certificate that they were read from goes. */
void dp_trace_names(struct dp_call *call, const struct sp_str *names, size_t num)
{
    struct dp_trace_step *s = step_of(call);
    if (!s)
        return;
    s->names = SP_NEW_N(call->arena, struct sp_str, num + 1);
    for (s->num_names = 0; s->num_names < num; s->num_names++)
        s->names[s->num_names] = sp_arena_dup(call->arena, names[s->num_names]);
}

void dp_trace_anchor(struct dp_call *call, struct sp_str ca_id)
{
    struct dp_trace_step *s = step_of(call);
    if (s)
        s->anchor = ca_id;
}

void dp_trace_rule(struct dp_call *call, unsigned rule, const char *what, struct sp_str match)
{
    struct dp_trace_step *s = step_of(call);
    if (!s)
        return;
    s->rule = rule;
    s->rule_what = what;
    s->match = sp_arena_dup(call->arena, match);
}

void dp_reason(struct dp_call *call, enum sp_log_level level, const char *event, const char *tag, const char *reason)
{
    struct dp_trace_step *s = step_of(call);
    if (s)
        s->reason = sp_str_z(reason);
    else if (!call->trace)
        sp_log(level, event, "[%s] request_id=%s reason=\"%s\"", tag, call->request_id, reason);
}
