/* request-termination: answers instead of the upstream. Often put on an anonymous consumer, to forbid what fell
 * through. */
#include "base/json.h"
#include "plugin/body.h"
#include "plugin/echo.h"
#include "plugin/kinds.h"
#include "plugin/query.h"
#include "plugin/trace.h"

static const struct sp_str json_type = {"application/json; charset=utf-8", 31};

struct request_termination {
    unsigned status;
    const char *message;        /* NULL: none */
    struct sp_str body;         /* of any request but gRPC's; empty: an answer without one */
    struct sp_str content_type; /* empty: none is told */
    struct sp_str trigger;
    bool echo; /* the body is a copy of the request */
};

/* Kong's own, for want of a message: other statuses are answered with an empty body. */
static const char *standard_message(unsigned status)
{
    switch (status) {
    case 401:
        return "Unauthorized";
    case 404:
        return "Not found";
    case 405:
        return "Method not allowed";
    case 500:
        return "An unexpected error occurred";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service unavailable";
    default:
        return NULL;
    }
}

static struct sp_str as_json(struct sp_arena *a, const char *message)
{
    struct sp_buf out = {0};
    struct sp_json j = sp_json(&out);
    sp_json_object(&j);
    sp_json_put_z(&j, "message", message);
    sp_json_end_object(&j);
    struct sp_str s = sp_arena_dup(a, sp_buf_str(&out));
    sp_buf_fini(&out);
    return s;
}

static bool has_text(const char *v) /* Kong takes an empty text for none */
{
    return v && *v;
}

static void read_answer(struct sp_arena *a, const Sallyport__V1__RequestTerminationConfig *c,
                        struct request_termination *out)
{
    out->status = (unsigned)c->status_code;
    if (has_text(c->body)) {
        out->body = sp_arena_dup(a, sp_str_z(c->body));
        out->content_type = sp_arena_dup(a, sp_str_z(c->content_type));
        out->message = out->body.p;
        return;
    }
    out->message = has_text(c->message) ? sp_arena_strdup(a, c->message) : standard_message(out->status);
    if (out->message) {
        out->body = as_json(a, out->message);
        out->content_type = json_type;
    }
}

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    (void)d;
    const Sallyport__V1__RequestTerminationConfig *c = p->request_termination;
    if (c->status_code < 200 || c->status_code > 599)
        return sp_fail(err, SP_E_INVALID, "config.status_code: expected 200 to 599");
    if (has_text(c->message) && (has_text(c->body) || has_text(c->content_type)))
        return sp_fail(err, SP_E_INVALID, "config.message: cannot be used with content_type or body");
    if (has_text(c->content_type) && !has_text(c->body))
        return sp_fail(err, SP_E_INVALID, "config.content_type: content_type requires a body");
    if (c->echo && has_text(c->body))
        return sp_fail(err, SP_E_INVALID, "config.echo: cannot be used with content_type and body");
    struct request_termination *out = SP_NEW(a, struct request_termination);
    *instance = out;
    out->echo = c->echo;
    read_answer(a, c, out);
    out->trigger = sp_arena_dup(a, sp_str_z(c->trigger));
    if (!sp_field_value_valid(out->content_type))
        return sp_fail(err, SP_E_INVALID, "config.content_type: cannot stand in a header field");
    return sp_ok();
}

static bool is_triggered(const struct request_termination *t, struct dp_call *call)
{
    struct sp_str value;
    return t->trigger.len == 0 || sp_fields_find(&call->request->fields, t->trigger) ||
           dp_query_find(call->arena, call->query, t->trigger, &value);
}

static enum dp_verdict access(const void *instance, struct dp_call *call)
{
    const struct request_termination *t = instance;
    if (!is_triggered(t, call))
        return dp_skip(call, "the request does not carry its trigger");
    struct sp_str body;
    if (t->echo && !dp_body_read(call, &body))
        return DP_PAUSE;
    call->reply_as_is = true;
    call->reply_body = t->echo ? dp_echo(call, t->message) : t->body;
    call->reply_content_type = t->echo ? json_type : t->content_type;
    return dp_reply(call, t->status, t->message);
}

const struct dp_plugin_kind dp_request_termination = {
    DP_KIND(request_termination),
    .compile = compile,
    .access = access,
};
