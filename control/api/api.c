#include "control/api/api.h"
#include "base/log.h"
#include "control/api/call.h"
#include <stdlib.h>

struct cp_api {
    struct cp_api_options o;
    struct sp_http_server *server;
};

/* --- where it goes */

static bool split_path(struct cp_call *c)
{
    struct sp_str rest = c->x->path, segment;
    while (sp_url_next_segment(c->arena, &rest, &segment)) {
        if (c->num_segments == CP_MAX_SEGMENTS)
            return false;
        c->segments[c->num_segments++] = segment;
    }
    return rest.len == 0;
}

/* A first segment that is no word of ours but a workspace's name belongs to the address, not to the path. */
static void take_workspace(struct cp_call *c)
{
    c->workspace = SP_STR("default");
    if (c->num_segments == 0 || sp_entity_by_rest(c->segments[0]) || cp_is(c, 0, "sallyport"))
        return;
    bool known = sp_str_eq(c->segments[0], SP_STR("default")) ||
                 sp_model_find(c->config->model, SP_WORKSPACES, SP_STR(""), c->segments[0]);
    if (!known)
        return;
    const struct sp_entity *ws = sp_model_find(c->config->model, SP_WORKSPACES, SP_STR(""), c->segments[0]);
    c->workspace = ws ? ws->key : c->segments[0];
    c->has_workspace = true;
    c->num_segments--;
    memmove(c->segments, c->segments + 1, sizeof *c->segments * c->num_segments);
}

static void dispatch(struct cp_call *c)
{
    static bool (*const families[])(struct cp_call *) = {
        cp_api_root, cp_api_tags, cp_api_schemas, cp_api_entities, cp_api_apply, cp_api_revisions, cp_api_explain};
    if (!sp_http_own_site(c->x)) {
        cp_reply_message(c, 403, "this API does not answer pages of other sites");
        return;
    }
    if (!split_path(c)) {
        cp_reply_not_found(c);
        return;
    }
    take_workspace(c);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (families[i](c))
            return;
    cp_reply_not_found(c);
}

static void handle(void *ctx, struct sp_http_exchange *x)
{
    struct cp_api *api = ctx;
    struct cp_config *pinned = cp_config_ref(cp_control_current(api->o.control)); /* a write replaces it on the way */
    struct cp_call c = {
        .api = api,
        .o = &api->o,
        .config = pinned,
        .x = x,
        .arena = x->arena,
        .method = x->request->method,
        .started_ms = sp_clock_mono_ms(cp_control_clock(api->o.control)),
    };
    if (sp_str_eq(c.method, SP_STR("HEAD")))
        c.method = SP_STR("GET");
    dispatch(&c);
    cp_config_unref(pinned);
}

/* --- life */

struct cp_api *cp_api_new(const struct cp_api_options *o)
{
    struct cp_api *api = sp_alloc(sizeof *api);
    struct sp_http_server_options server = {
        .loop = o->loop,
        .handle = handle,
        .ctx = api,
        .max_body = SP_MODEL_MAX_FILE,
    };
    api->o = *o;
    api->server = sp_http_server_new(&server);
    return api;
}

sp_result cp_api_listen(struct cp_api *api, const struct sp_address *at, struct sp_address *bound, struct sp_error *err)
{
    struct sp_address where;
    char text[SP_ADDRESS_TEXT];
    SP_TRY(sp_http_server_listen(api->server, at, &where, err));
    sp_address_text(&where, text);
    sp_log(SP_NOTICE, "admin_listening", "address=%s", text);
    if (!sp_address_is_loopback(&where))
        sp_log(
            SP_WARN, "admin_open",
            "address=%s message=\"the Admin API has no authentication: whoever reaches this address owns the gateway\"",
            text);
    if (bound)
        *bound = where;
    return sp_ok();
}

void cp_api_drain(struct cp_api *api)
{
    sp_http_server_drain(api->server);
}

bool cp_api_drained(const struct cp_api *api)
{
    return sp_http_server_connections(api->server) == 0;
}

void cp_api_free(struct cp_api *api)
{
    if (!api)
        return;
    sp_http_server_free(api->server);
    free(api);
}
