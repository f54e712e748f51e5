/* request-termination: answers instead of the upstream. Often put on an anonymous consumer, to forbid what fell
 * through. */
#include "plugin/kinds.h"
#include "plugin/query.h"
#include "plugin/trace.h"

struct request_termination {
    unsigned status;
    const char *message; /* NULL: the standard text */
    struct sp_str body, content_type, trigger;
};

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    (void)d;
    const Sallyport__V1__RequestTerminationConfig *c = p->request_termination;
    if (c->status_code < 200 || c->status_code > 599)
        return sp_fail(err, SP_E_INVALID, "config.status_code: expected 200 to 599");
    if (c->echo)
        return sp_fail(err, SP_E_INVALID, "config.echo: not supported");
    if (c->message && (c->body || c->content_type))
        return sp_fail(err, SP_E_INVALID, "config.message: cannot be used with content_type or body");
    if (c->content_type && !c->body)
        return sp_fail(err, SP_E_INVALID, "config.content_type: content_type requires a body");
    struct request_termination *out = SP_NEW(a, struct request_termination);
    *instance = out;
    out->status = (unsigned)c->status_code;
    out->message = c->message ? sp_arena_strdup(a, c->message) : NULL;
    out->body = sp_arena_dup(a, sp_str_z(c->body));
    out->content_type =
        sp_arena_dup(a, c->content_type ? sp_str_z(c->content_type) : SP_STR("application/json; charset=utf-8"));
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
    call->reply_body = t->body;
    call->reply_content_type = t->content_type;
    return dp_reply(call, t->status, t->message);
}

const struct dp_plugin_kind dp_request_termination = {
    .name = "request-termination",
    .priority = 2,
    .config_case = SALLYPORT__V1__PLUGIN__CONFIG_REQUEST_TERMINATION,
    .compile = compile,
    .access = access,
};
