/* GET of collections and entities in Kong's shape (kong-behaviour 5.2): /services, /services/{id or name},
 * /services/{s}/routes, /services/{s}/routes/{r}, /routes/{r}/service. What hangs below what follows from the foreign
 * keys in the schema: a child of a service is whatever has a field `service`. */
#include "control/api/call.h"
#include "control/api/tree.h"
#include "model/message.h"
#include <stdlib.h>

/* --- one entity as text */

static bool show_keys(const struct cp_call *c)
{
    return c->o->show_secrets || c->made_secret;
}

/* Kong shows a certificate's names inside of it although they are entities of their own. */
static void put_snis(struct cp_call *c, const struct sp_entity *certificate, struct sp_buf *out)
{
    const struct sp_model *m = c->config->model;
    struct sp_json j = sp_json(out);
    sp_assert(out->len && out->p[out->off + out->len - 1] == '}');
    out->len--;
    sp_buf_printf(out, ",\"snis\":");
    sp_json_array(&j);
    for (size_t i = 0; i < m->num[SP_SNIS]; i++)
        if (sp_str_eq(cp_reference_of(&m->entities[SP_SNIS][i], "certificate"), certificate->id))
            sp_json_str(&j, m->entities[SP_SNIS][i].key);
    sp_json_end_array(&j);
    sp_buf_putc(out, '}');
}

static void put_entity(struct cp_call *c, const struct sp_entity *e, struct sp_json *j)
{
    struct sp_buf one = {0};
    sp_entity_write_json(e, !show_keys(c), 0, &one);
    if (e->kind == SP_CERTIFICATES)
        put_snis(c, e, &one);
    sp_json_raw(j, sp_buf_str(&one));
    sp_buf_wipe(&one);
}

void cp_reply_entity(struct cp_call *c, unsigned status, const struct sp_entity *e)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    put_entity(c, e, &j);
    cp_reply_json(c, status, &b);
}

/* --- collections */

struct filter {
    enum sp_entity_kind kind;
    const char *field; /* NULL: no parent */
    struct sp_str parent;
    const struct sp_entity *group, *member; /* only its members; only groups that it is in */
    struct sp_str tags[8];
    size_t num_tags;
    bool any_tag;
    struct sp_str custom_id;
    struct sp_str after; /* id */
    size_t size;
};

static bool in_workspace(const struct cp_call *c, const struct sp_entity *e)
{
    return !sp_entity_info(e->kind)->workspaced || sp_str_eq(e->ws, c->workspace);
}

static bool has_tag(const struct sp_entity *e, struct sp_str tag)
{
    const ProtobufCFieldDescriptor *f = sp_msg_field(e->message->descriptor, "tags");
    if (!f)
        return false;
    char **v = *(char ***)sp_msg_at(e->message, f);
    for (size_t i = 0; i < *sp_msg_count(e->message, f); i++)
        if (sp_str_eq(sp_str_z(v[i]), tag))
            return true;
    return false;
}

static bool tags_match(const struct filter *f, const struct sp_entity *e)
{
    for (size_t i = 0; i < f->num_tags; i++)
        if (has_tag(e, f->tags[i]) == f->any_tag)
            return f->any_tag;
    return f->num_tags == 0 || !f->any_tag;
}

static bool is_member(const struct sp_entity *group, const struct sp_entity *consumer)
{
    const Sallyport__V1__ConsumerGroup *g = (const Sallyport__V1__ConsumerGroup *)group->message;
    for (size_t i = 0; i < g->n_consumers; i++)
        if (sp_str_eq(sp_str_z(g->consumers[i]->id), consumer->id))
            return true;
    return false;
}

static bool matches(const struct cp_call *c, const struct filter *f, const struct sp_entity *e)
{
    if (!in_workspace(c, e) || !tags_match(f, e))
        return false;
    if (f->field && !sp_str_eq(cp_reference_of(e, f->field), f->parent))
        return false;
    if (f->group && !is_member(f->group, e))
        return false;
    if (f->member && !is_member(e, f->member))
        return false;
    return f->custom_id.len == 0 || sp_str_eq(sp_msg_string(e->message, "custom_id"), f->custom_id);
}

/* false: answered. "a,b" is both, "a/b" is one of them; a mix is an error as in Kong. */
static bool read_tags(struct cp_call *c, struct filter *f)
{
    struct sp_str rest = cp_query(c, "tags");
    if (rest.len == 0)
        return true;
    bool all = memchr(rest.p, ',', rest.len) != NULL;
    f->any_tag = memchr(rest.p, '/', rest.len) != NULL;
    while (rest.p && f->num_tags < 8)
        f->tags[f->num_tags++] = sp_str_split(&rest, f->any_tag ? '/' : ',');
    if (rest.p || (all && f->any_tag)) {
        cp_reply_error(c, 400, 11, "invalid options",
                       "invalid option (tags: take up to 8, either all of them 'a,b' or any of them 'a/b')");
        return false;
    }
    return true;
}

static bool read_page(struct cp_call *c, struct filter *f)
{
    f->after = cp_query(c, "offset");
    bool good = f->after.len <= 36;
    for (size_t i = 0; good && i < f->after.len; i++)
        good = strchr("0123456789abcdefABCDEF-", f->after.p[i]) != NULL;
    if (!good) {
        cp_reply_error(c, 400, 7, "invalid offset", "'%.*s' is not a valid offset", SP_FMT(f->after));
        return false;
    }
    return cp_query_size(c, 100, 1000, &f->size) && read_tags(c, f);
}

static void put_next(struct cp_call *c, const struct filter *f, struct sp_str last, struct sp_json *j)
{
    struct sp_buf next = {0};
    struct sp_str tags = cp_query(c, "tags");
    sp_buf_printf(&next, "%.*s?offset=%.*s", SP_FMT(c->x->path), SP_FMT(last));
    if (tags.len) {
        sp_buf_printf(&next, "&tags=");
        sp_url_encode(&next, tags);
    }
    sp_buf_printf(&next, "&size=%zu", f->size);
    sp_json_put_str(j, "next", sp_buf_str(&next));
    sp_json_put_str(j, "offset", last);
    sp_buf_fini(&next);
}

static void reply_list(struct cp_call *c, struct filter *f)
{
    const struct sp_model *m = c->config->model;
    const struct sp_entity *last = NULL;
    bool more = false;
    size_t n = 0;
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    if (!read_page(c, f))
        return;
    sp_json_object(&j);
    sp_json_key(&j, "data");
    sp_json_array(&j);
    for (size_t i = 0; i < m->num[f->kind] && !more; i++) {
        const struct sp_entity *e = &m->entities[f->kind][i];
        if ((f->after.len && sp_str_cmp(e->id, f->after) <= 0) || !matches(c, f, e))
            continue;
        more = n == f->size;
        if (more)
            break;
        put_entity(c, e, &j);
        last = e;
        n++;
    }
    sp_json_end_array(&j);
    if (more) {
        put_next(c, f, last->id, &j);
    } else {
        sp_json_key(&j, "next");
        sp_json_null(&j);
    }
    sp_json_end_object(&j);
    cp_reply_json(c, 200, &b);
}

/* Kong's own shape for a group: with its members and plugins. */
void cp_reply_group(struct cp_call *c, unsigned status, const struct sp_entity *group)
{
    static const struct {
        const char *key;
        enum sp_entity_kind kind;
    } lists[] = {{"consumers", SP_CONSUMERS}, {"plugins", SP_PLUGINS}};
    const struct sp_model *m = c->config->model;
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    bool members = !cp_query(c, "list_consumers").len || cp_query_on(c, "list_consumers");
    sp_json_object(&j);
    sp_json_key(&j, "consumer_group");
    put_entity(c, group, &j);
    for (size_t l = 0; l < 2; l++) {
        if (l == 0 && !members)
            continue;
        struct filter f = {.kind = lists[l].kind};
        if (f.kind == SP_CONSUMERS)
            f.group = group;
        else
            f.field = "consumer_group", f.parent = group->id;
        sp_json_key(&j, lists[l].key);
        sp_json_array(&j);
        for (size_t i = 0; i < m->num[f.kind]; i++)
            if (matches(c, &f, &m->entities[f.kind][i]))
                put_entity(c, &m->entities[f.kind][i], &j);
        sp_json_end_array(&j);
    }
    sp_json_end_object(&j);
    cp_reply_json(c, status, &b);
}

/* --- below an entity */

const struct sp_entity *cp_find(const struct cp_call *c, enum sp_entity_kind kind, struct sp_str id_or_key)
{
    bool workspaced = sp_entity_info(kind)->workspaced;
    return sp_model_find(c->config->model, kind, workspaced ? c->workspace : SP_STR(""), id_or_key);
}

static bool is_group_members(const struct sp_entity *parent, const struct sp_entity_info *child)
{
    return parent->kind == SP_CONSUMER_GROUPS && child->kind == SP_CONSUMERS;
}

static bool is_groups_of_member(const struct sp_entity *parent, const struct sp_entity_info *child)
{
    return parent->kind == SP_CONSUMERS && child->kind == SP_CONSUMER_GROUPS;
}

static void below(struct cp_call *c, const struct sp_entity *parent)
{
    const struct sp_entity_info *child = cp_child_kind(c->segments[2]);
    for (const struct cp_reference *r = cp_references; r->field && c->num_segments == 3; r++)
        if (cp_is(c, 2, r->field) && sp_msg_field(parent->message->descriptor, r->field)) {
            struct sp_str id = cp_reference_of(parent, r->field);
            const struct sp_entity *e = id.len ? sp_model_find(c->config->model, r->target, SP_STR(""), id) : NULL;
            e ? cp_reply_entity(c, 200, e) : cp_reply_not_found(c);
            return;
        }
    const char *field = child ? cp_parent_field(child, parent->kind) : NULL;
    bool members = child && is_group_members(parent, child), groups = child && is_groups_of_member(parent, child);
    if (!field && !members && !groups) {
        cp_reply_not_found(c);
        return;
    }
    struct filter f = {.kind = child->kind, .field = members || groups ? NULL : field, .parent = parent->id};
    f.group = members ? parent : NULL;
    f.member = groups ? parent : NULL;
    if (c->num_segments == 3) {
        reply_list(c, &f);
        return;
    }
    const struct sp_entity *e = cp_find(c, child->kind, c->segments[3]);
    e &&matches(c, &f, e) ? cp_reply_entity(c, 200, e) : cp_reply_not_found(c);
}

static void get(struct cp_call *c, enum sp_entity_kind kind)
{
    if (c->num_segments == 1) {
        struct filter f = {.kind = kind};
        if (kind == SP_CONSUMERS)
            f.custom_id = cp_query(c, "custom_id");
        reply_list(c, &f);
        return;
    }
    const struct sp_entity *e = cp_find(c, kind, c->segments[1]);
    if (!e)
        cp_reply_not_found(c);
    else if (c->num_segments > 2)
        below(c, e);
    else if (kind == SP_CONSUMER_GROUPS)
        cp_reply_group(c, 200, e);
    else
        cp_reply_entity(c, 200, e);
}

bool cp_api_entities(struct cp_call *c)
{
    const struct sp_entity_info *info = c->num_segments ? sp_entity_by_rest(c->segments[0]) : NULL;
    if (!info || c->num_segments > 4)
        return false;
    if (cp_method(c, "GET")) {
        get(c, info->kind);
    } else {
        cp_api_write(c, info->kind);
    }
    return true;
}
