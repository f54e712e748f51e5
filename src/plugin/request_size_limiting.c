/* request-size-limiting: bodies have a measure. What a head announces is judged at once, what comes without being
 * announced is counted while it comes (the exchange does). */
#include "plugin/kinds.h"
#include "plugin/trace.h"

static const char too_large[] = "Request size limit exceeded";

struct size_limit {
    uint64_t bytes;
    bool announced; /* Content-Length is a must, unless the body says by chunks where it ends */
};

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    (void)d;
    static const struct {
        const char *word;
        uint64_t bytes;
    } units[] = {{"megabytes", 1 << 20}, {"kilobytes", 1 << 10}, {"bytes", 1}};
    const Sallyport__V1__RequestSizeLimitingConfig *c = p->request_size_limiting;
    struct size_limit *out = SP_NEW(a, struct size_limit);
    *instance = out;
    out->announced = c->require_content_length;
    if (c->allowed_payload_size < 0)
        return sp_fail(err, SP_E_INVALID, "config.allowed_payload_size: expected 0 or more");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(c->size_unit, units[i].word) == 0) {
            out->bytes = (uint64_t)c->allowed_payload_size * units[i].bytes;
            return sp_ok();
        }
    return sp_fail(err, SP_E_INVALID, "config.size_unit: expected one of: megabytes, kilobytes, bytes");
}

static enum dp_verdict access(const void *instance, struct dp_call *call)
{
    const struct size_limit *l = instance;
    const struct sp_request_head *r = call->request;
    if (!r->has_length && l->announced && r->framing != SP_BODY_CHUNKED)
        return dp_reply(call, 411, "A valid Content-Length header is required");
    if (r->has_length && r->content_length > l->bytes)
        return dp_reply(call, r->expect_continue ? 417 : 413, too_large);
    if (call->body_state == DP_BODY_WHOLE && call->body.len > l->bytes) /* another plugin has waited for it */
        return dp_reply(call, 413, too_large);
    dp_note(call, "a body of more than %llu bytes would be answered with 413", (unsigned long long)l->bytes);
    call->limits_body = true;
    call->body_limit = l->bytes;
    return DP_NEXT;
}

const struct dp_plugin_kind dp_request_size_limiting = {
    DP_KIND(request_size_limiting),
    .compile = compile,
    .access = access,
};
