/* GET /tags, /tags/{tag}: who carries which tag. GET /plugins/enabled: which kinds of plugin there are. */
#include "control/api/call.h"
#include "model/message.h"
#include "model/rules.h"

static void put_tags(struct cp_call *c, struct sp_json *j, const struct sp_entity *e, struct sp_str only)
{
    const ProtobufCFieldDescriptor *f = sp_msg_field(e->message->descriptor, "tags");
    bool here = !sp_entity_info(e->kind)->workspaced || sp_str_eq(e->ws, c->workspace);
    char **v = f ? *(char ***)sp_msg_at(e->message, f) : NULL;
    for (size_t i = 0; here && f && i < *sp_msg_count(e->message, f); i++) {
        if (only.p && !sp_str_eq(only, sp_str_z(v[i])))
            continue;
        sp_json_object(j);
        sp_json_put_z(j, "entity_name", sp_entity_info(e->kind)->plural);
        sp_json_put_str(j, "entity_id", e->id);
        sp_json_put_z(j, "tag", v[i]);
        sp_json_end_object(j);
    }
}

static void get_tags(struct cp_call *c, struct sp_str only)
{
    const struct sp_model *m = c->config->model;
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    sp_json_object(&j);
    sp_json_key(&j, "data");
    sp_json_array(&j);
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        for (size_t i = 0; i < m->num[k]; i++)
            put_tags(c, &j, &m->entities[k][i], only);
    sp_json_end_array(&j);
    sp_json_key(&j, "next");
    sp_json_null(&j);
    sp_json_end_object(&j);
    cp_reply_json(c, 200, &b);
}

static void get_enabled(struct cp_call *c)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    size_t num;
    const struct sp_plugin_info *v = sp_plugin_infos(&num);
    sp_json_object(&j);
    sp_json_key(&j, "enabled_plugins");
    sp_json_array(&j);
    for (size_t i = 0; i < num; i++)
        sp_json_z(&j, v[i].name);
    sp_json_end_array(&j);
    sp_json_end_object(&j);
    cp_reply_json(c, 200, &b);
}

bool cp_api_tags(struct cp_call *c)
{
    bool tags = cp_is(c, 0, "tags") && c->num_segments <= 2;
    bool enabled = c->num_segments == 2 && cp_is(c, 0, "plugins") && cp_is(c, 1, "enabled");
    if (!tags && !enabled)
        return false;
    if (!cp_method(c, "GET"))
        cp_reply_not_allowed(c, "GET, HEAD, OPTIONS");
    else if (enabled)
        get_enabled(c);
    else
        get_tags(c, c->num_segments == 2 ? c->segments[1] : (struct sp_str){0});
    return true;
}
