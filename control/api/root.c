/* GET /, /status, /endpoints: what a tool asks first to learn whom it speaks to. */
#include "control/api/call.h"
#include "model/rules.h"
#include <unistd.h>

/* The Admin API that this one follows. Tools (decK among them) read `version` to choose their dialect, so it is Kong's;
 * our own is beside it. */
#define KONG_VERSION "3.9.1"

static void put_available(struct sp_json *j)
{
    size_t num;
    const struct sp_plugin_info *v = sp_plugin_infos(&num);
    sp_json_object(j);
    for (size_t i = 0; i < num; i++) {
        sp_json_key(j, v[i].name);
        sp_json_object(j);
        sp_json_put_z(j, "version", KONG_VERSION);
        sp_json_put_int(j, "priority", v[i].priority);
        sp_json_end_object(j);
    }
    sp_json_end_object(j);
}

static void put_enabled(struct cp_call *c, struct sp_json *j)
{
    const struct sp_model *m = c->config->model;
    struct sp_map *seen = sp_map_new(c->arena, 16);
    sp_json_array(j);
    for (size_t i = 0; i < m->num[SP_PLUGINS]; i++) {
        const Sallyport__V1__Plugin *p = (const Sallyport__V1__Plugin *)m->entities[SP_PLUGINS][i].message;
        if (p->name && sp_map_put(seen, sp_str_z(p->name), seen))
            sp_json_z(j, p->name);
    }
    sp_json_end_array(j);
}

static void put_plugins(struct cp_call *c, struct sp_json *j)
{
    sp_json_key(j, "plugins");
    sp_json_object(j);
    sp_json_key(j, "available_on_server");
    put_available(j);
    sp_json_key(j, "enabled_in_cluster");
    put_enabled(c, j);
    sp_json_end_object(j);
}

static void get_root(struct cp_call *c)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    sp_json_object(&j);
    sp_json_put_z(&j, "version", KONG_VERSION);
    sp_json_put_z(&j, "tagline", "Welcome to sallyport");
    sp_json_put_z(&j, "hostname", host);
    sp_json_key(&j, "sallyport");
    sp_json_object(&j);
    sp_json_put_z(&j, "version", SP_VERSION);
    sp_json_put_int(&j, "revision", c->config->revision.revision);
    sp_json_end_object(&j);
    sp_json_key(&j, "configuration");
    sp_json_object(&j);
    sp_json_put_z(&j, "database", c->o->database);
    sp_json_put_z(&j, "role", "control_plane");
    sp_json_put_z(&j, "router_flavor", "traditional_compatible");
    sp_json_end_object(&j);
    put_plugins(c, &j);
    sp_json_key(&j, "pids");
    sp_json_object(&j);
    sp_json_put_int(&j, "master", getpid());
    sp_json_end_object(&j);
    sp_json_end_object(&j);
    cp_reply_json(c, 200, &b);
}

static void get_status(struct cp_call *c)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    struct cp_revision newest;
    struct sp_error err;
    bool reachable = !sp_failed(cp_store_newest(cp_control_store(c->o->control), c->arena, &newest, &err));
    sp_json_object(&j);
    sp_json_key(&j, "database");
    sp_json_object(&j);
    sp_json_put_bool(&j, "reachable", reachable);
    sp_json_end_object(&j);
    sp_json_key(&j, "sallyport");
    sp_json_object(&j);
    sp_json_put_int(&j, "revision", c->config->revision.revision);
    sp_json_put_int(&j, "resources", (int64_t)c->config->resources->num);
    sp_json_put_int(&j, "warnings", (int64_t)c->config->problems.num_warnings);
    sp_json_end_object(&j);
    sp_json_end_object(&j);
    cp_reply_json(c, reachable ? 200 : 503, &b);
}

static void get_endpoints(struct cp_call *c)
{
    static const char *const ours[] = {"/",
                                       "/endpoints",
                                       "/plugins/enabled",
                                       "/sallyport/apply",
                                       "/sallyport/explain/handshake",
                                       "/sallyport/export",
                                       "/sallyport/lint",
                                       "/sallyport/nodes",
                                       "/sallyport/revisions",
                                       "/sallyport/rollback",
                                       "/schemas/{entity}",
                                       "/schemas/{entity}/validate",
                                       "/schemas/plugins/{plugin}",
                                       "/status",
                                       "/tags",
                                       "/tags/{tag}"};
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    sp_json_object(&j);
    sp_json_key(&j, "data");
    sp_json_array(&j);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        sp_json_z(&j, ours[i]);
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++) {
        const char *rest = sp_entity_info((enum sp_entity_kind)k)->rest;
        sp_json_str(&j, sp_arena_printf(c->arena, "/%s", rest));
        sp_json_str(&j, sp_arena_printf(c->arena, "/%s/{%s}", rest, rest));
    }
    sp_json_end_array(&j);
    sp_json_end_object(&j);
    cp_reply_json(c, 200, &b);
}

bool cp_api_root(struct cp_call *c)
{
    static const struct {
        const char *word; /* NULL: the root */
        void (*get)(struct cp_call *);
    } table[] = {{NULL, get_root}, {"status", get_status}, {"endpoints", get_endpoints}, {"kong", get_root}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        bool here = table[i].word ? c->num_segments == 1 && cp_is(c, 0, table[i].word) : c->num_segments == 0;
        if (!here)
            continue;
        if (cp_method(c, "GET"))
            table[i].get(c);
        else
            cp_reply_not_allowed(c, "GET, HEAD, OPTIONS");
        return true;
    }
    return false;
}
