/* correlation-id: gives a request a name that the upstream, and the client if it wants to, also sees. */
#include "plugin/kinds.h"
#include "plugin/memo.h"

enum generator { UUID, COUNTER, TRACKER }; /* COUNTER: one UUID for each worker, and a number */

struct correlation_id {
    struct sp_str header;
    enum generator generator;
    bool echo;
};

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    (void)d;
    const Sallyport__V1__CorrelationIdConfig *c = p->correlation_id;
    struct correlation_id *out = SP_NEW(a, struct correlation_id);
    *instance = out;
    out->header = sp_arena_dup(a, sp_str_z(c->header_name));
    out->echo = c->echo_downstream;
    if (!sp_token_valid(out->header))
        return sp_fail(err, SP_E_INVALID, "config.header_name: not a header field name");
    static const char *const words[] = {[UUID] = "uuid", [COUNTER] = "uuid#counter", [TRACKER] = "tracker"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(c->generator, words[i]) == 0) {
            out->generator = (enum generator)i;
            return sp_ok();
        }
    return sp_fail(err, SP_E_INVALID, "config.generator: expected one of: tracker, uuid, uuid#counter");
}

/* Kong's: address, port and worker of ours, connection, request on it, time. */
static struct sp_str make_tracker(const struct dp_call *call)
{
    struct dp_place at = {.ip = "0.0.0.0"};
    if (call->locate)
        call->locate(call, &at);
    return sp_arena_printf(call->arena, "%s-%u-%d-%llu-%llu-%lld.%03d", at.ip, at.port, at.worker,
                           (unsigned long long)at.connection, (unsigned long long)at.request, (long long)at.ms / 1000,
                           (int)(at.ms % 1000));
}

static struct sp_str make_id(const struct correlation_id *i, struct dp_call *call)
{
    if (i->generator == TRACKER)
        return make_tracker(call);
    if (i->generator == COUNTER)
        return sp_arena_printf(call->arena, "%s#%llu", dp_worker_uuid(call->cache),
                               (unsigned long long)dp_worker_sequence(call->cache));
    char *uuid = sp_arena_alloc_raw(call->arena, 37);
    dp_uuid_make(uuid);
    return sp_str(uuid, 36);
}

static enum dp_verdict access(const void *instance, struct dp_call *call)
{
    const struct correlation_id *i = instance;
    struct sp_fields *fields = &call->request->fields;
    const struct sp_field *had = sp_fields_find(fields, i->header);
    struct sp_str id = had && had->value.len ? had->value : make_id(i, call);
    sp_fields_remove(fields, i->header); /* one name, once */
    sp_fields_add(fields, call->arena, SP_FIELD_OTHER, i->header, id);
    if (i->echo)
        sp_fields_add(&call->response_fields, call->arena, SP_FIELD_OTHER, i->header, id);
    return DP_NEXT;
}

const struct dp_plugin_kind dp_correlation_id = {
    DP_KIND(correlation_id),
    .compile = compile,
    .access = access,
};
