/* GET /sallyport/revisions: who changed what when. GET /sallyport/export: the state as a declarative file. */
#include "control/api/call.h"
#include <stdio.h>

static void get_revisions(struct cp_call *c)
{
    struct cp_revision *v;
    struct sp_error err;
    size_t size, num;
    uint64_t before = 0;
    struct sp_str offset = cp_query(c, "offset");
    if (!cp_query_size(c, 100, 1000, &size))
        return;
    if (offset.len && (!sp_str_to_u64(offset, &before) || before > INT64_MAX)) {
        cp_reply_error(c, 400, 7, "invalid offset", "'%.*s' is not a valid offset", SP_FMT(offset));
        return;
    }
    if (sp_failed(cp_store_history(cp_control_store(c->o->control), (int64_t)before, size, c->arena, &v, &num, &err))) {
        cp_reply_failure(c, &err);
        return;
    }
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    sp_json_object(&j);
    sp_json_key(&j, "data");
    sp_json_array(&j);
    for (size_t i = 0; i < num; i++)
        cp_json_revision(&j, &v[i]);
    sp_json_end_array(&j);
    sp_json_key(&j, "next");
    if (num == size && v[num - 1].revision > 1) {
        struct sp_str at = sp_arena_printf(c->arena, "%lld", (long long)v[num - 1].revision);
        sp_json_str(&j, sp_arena_printf(c->arena, "/sallyport/revisions?offset=%.*s&size=%zu", SP_FMT(at), size));
        sp_json_put_str(&j, "offset", at);
    } else {
        sp_json_null(&j);
    }
    sp_json_end_object(&j);
    cp_reply_json(c, 200, &b);
}

static void get_export(struct cp_call *c)
{
    struct sp_buf b = {0};
    char revision[24];
    bool secrets = cp_query_on(c, "secrets");
    if (secrets && !c->o->show_secrets) {
        cp_reply_message(c, 403, "private keys are shown only by a control plane that runs with --show-secrets");
        return;
    }
    sp_model_write_yaml(c->config->model, !secrets, &b);
    snprintf(revision, sizeof revision, "%lld", (long long)c->config->revision.revision);
    sp_http_reply_field(c->x, SP_STR("X-Sallyport-Revision"), sp_str_z(revision));
    cp_reply_text(c, 200, "application/yaml; charset=utf-8", sp_buf_str(&b));
    sp_buf_wipe(&b);
}

bool cp_api_revisions(struct cp_call *c)
{
    if (!cp_is(c, 0, "sallyport") || c->num_segments != 2)
        return false;
    void (*get)(struct cp_call *) = cp_is(c, 1, "revisions") ? get_revisions
                                    : cp_is(c, 1, "export")  ? get_export
                                                             : NULL;
    if (!get)
        return false;
    if (cp_method(c, "GET"))
        get(c);
    else
        cp_reply_not_allowed(c, "GET, HEAD, OPTIONS");
    return true;
}
