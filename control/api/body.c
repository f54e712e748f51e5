#include "control/api/body.h"
#include "model/message.h"
#include "model/node.h"
#include "model/text.h"
#include <stdlib.h>

static struct sp_str media_type(const struct cp_call *c)
{
    const struct sp_field *f = sp_fields_find_id(&c->x->request->fields, SP_FIELD_CONTENT_TYPE);
    struct sp_str rest = f ? f->value : SP_STR("");
    return sp_str_trim(sp_str_split(&rest, ';'));
}

static bool is_form(const struct cp_call *c)
{
    return sp_str_ieq(media_type(c), SP_STR("application/x-www-form-urlencoded"));
}

bool cp_body_is_readable(const struct cp_call *c)
{
    struct sp_str type = media_type(c);
    return type.len == 0 || sp_str_ieq(type, SP_STR("application/json")) || is_form(c);
}

bool cp_words_have(const char *words, struct sp_str word)
{
    struct sp_str rest = sp_str_z(words);
    while (rest.p)
        if (sp_str_eq(sp_str_trim(sp_str_split(&rest, ',')), word))
            return true;
    return false;
}

/* --- forms: "name=x&paths[]=/a&config.anonymous=y" as a tree, then as JSON by the types of the schema */

enum { MAX_PAIRS = 1000, MAX_DEPTH = 8 };

struct item {
    struct sp_str key;
    struct item *next, *first, **last; /* children */
    struct sp_str *values;
    size_t num;
    bool list; /* written with [] */
};

static struct item *child(struct sp_arena *a, struct item *of, struct sp_str key)
{
    for (struct item *i = of->first; i; i = i->next)
        if (sp_str_eq(i->key, key))
            return i;
    struct item *i = SP_NEW(a, struct item);
    i->key = sp_arena_dup(a, key); /* NUL-terminated: it is looked up as a field */
    i->last = &i->first;
    *of->last = i;
    of->last = &i->next;
    return i;
}

static bool add_pair(struct sp_arena *a, struct item *root, struct sp_str name, struct sp_str value)
{
    struct item *at = root;
    struct sp_str rest = name;
    for (int depth = 0; rest.p; depth++) {
        struct sp_str part = sp_str_split(&rest, '.'), index = part;
        struct sp_str key = sp_str_split(&index, '[');
        if (depth == MAX_DEPTH || key.len == 0)
            return false;
        at = child(a, at, key);
        at->list = at->list || index.p != NULL;
    }
    struct sp_str *grown = SP_NEW_N(a, struct sp_str, at->num + 1);
    if (at->num)
        memcpy(grown, at->values, sizeof *grown * at->num);
    grown[at->num++] = value;
    at->values = grown;
    return true;
}

static bool is_text(const ProtobufCFieldDescriptor *f)
{
    return !f || f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_BYTES ||
           f->type == PROTOBUF_C_TYPE_MESSAGE;
}

/* What is no number or bool goes as a string: the reader tells what is wrong with it. */
static bool is_scalar(struct sp_str v)
{
    bool digits = v.len > 0 && v.len < 20;
    for (size_t i = 0; i < v.len; i++)
        digits = digits && ((v.p[i] >= '0' && v.p[i] <= '9') || (i == 0 && v.p[i] == '-' && v.len > 1));
    return (digits && (v.p[0] != '0' || v.len == 1)) || sp_str_eq(v, SP_STR("true")) || sp_str_eq(v, SP_STR("false"));
}

static void put_value(struct sp_json *j, const ProtobufCFieldDescriptor *f, struct sp_str v)
{
    if (!is_text(f) && is_scalar(v))
        sp_json_raw(j, v);
    else if (!is_text(f) && v.len == 0)
        sp_json_null(j);
    else
        sp_json_str(j, v);
}

static const ProtobufCMessageDescriptor *config_of(const ProtobufCMessageDescriptor *d, struct sp_str plugin)
{
    const ProtobufCFieldDescriptor *f = sp_plugin_config_field(d, plugin);
    return f ? f->descriptor : NULL;
}

static void put_items(struct sp_json *j, const ProtobufCMessageDescriptor *d, const struct item *of,
                      struct sp_str plugin);

static void put_item(struct sp_json *j, const ProtobufCMessageDescriptor *d, const struct item *i, struct sp_str plugin)
{
    const ProtobufCFieldDescriptor *f = d ? sp_msg_field(d, i->key.p) : NULL;
    bool map = f && sp_field_is_map(f);
    if (i->first && d == &sallyport__v1__plugin__descriptor && sp_str_eq(i->key, SP_STR("config"))) {
        put_items(j, config_of(d, plugin), i, plugin);
    } else if (i->first) {
        put_items(j, f && !map && f->type == PROTOBUF_C_TYPE_MESSAGE ? f->descriptor : NULL, i, plugin);
    } else if (i->list || i->num > 1 || (f && f->label == PROTOBUF_C_LABEL_REPEATED && !map)) {
        sp_json_array(j);
        for (size_t k = 0; k < i->num; k++)
            if (i->values[k].len || i->num > 1) /* "paths=" is no path at all */
                put_value(j, f, i->values[k]);
        sp_json_end_array(j);
    } else {
        put_value(j, f, i->values[0]);
    }
}

static void put_items(struct sp_json *j, const ProtobufCMessageDescriptor *d, const struct item *of,
                      struct sp_str plugin)
{
    sp_json_object(j);
    for (const struct item *i = of->first; i; i = i->next) {
        sp_json_key(j, i->key.p);
        put_item(j, d, i, plugin);
    }
    sp_json_end_object(j);
}

static bool form_to_json(struct cp_call *c, const ProtobufCMessageDescriptor *d, const ProtobufCMessage *base,
                         struct sp_buf *out)
{
    struct item root = {.last = &root.first};
    struct sp_str rest = c->x->body, name, value, plugin = base ? sp_msg_string(base, "name") : SP_STR("");
    struct sp_json j = sp_json(out);
    int pairs = 0;
    while (sp_query_next(c->arena, &rest, &name, &value)) {
        if (++pairs > MAX_PAIRS || !add_pair(c->arena, &root, name, value))
            return false;
        if (sp_str_eq(name, SP_STR("name")))
            plugin = value;
    }
    if (rest.len)
        return false;
    put_items(&j, d, &root, plugin);
    return true;
}

/* --- bodies */

bool cp_body_message(struct cp_call *c, const ProtobufCMessageDescriptor *d, const ProtobufCMessage *base,
                     ProtobufCMessage **out, struct sp_problems *problems)
{
    struct sp_buf form = {0};
    struct sp_str text = c->x->body.len ? c->x->body : SP_STR("{}");
    sp_problems_init(problems, c->arena);
    if (is_form(c) && !form_to_json(c, d, base, &form)) {
        sp_problems_add(problems, SP_PROBLEM_ERROR, "syntax", SP_STR(""), "the form cannot be read");
        sp_buf_wipe(&form);
        return false;
    }
    if (is_form(c))
        text = sp_arena_dup(c->arena, sp_buf_str(&form));
    sp_buf_wipe(&form);
    sp_result r = base ? sp_message_patch(c->arena, base, text, SP_STR(""), out, problems)
                       : sp_message_parse(c->arena, d, text, SP_STR(""), out, problems);
    return !sp_failed(r);
}

bool cp_body_names(struct cp_call *c, const char *name, struct sp_str **out, size_t *num)
{
    struct sp_problems problems;
    struct sp_str one = {0};
    *num = 0;
    if (is_form(c)) {
        *out = SP_NEW(c->arena, struct sp_str);
        *num = sp_query_get(c->arena, c->x->body, name, &one) && one.len ? 1 : 0;
        **out = one;
        return *num == 1;
    }
    sp_problems_init(&problems, c->arena);
    const struct sp_node *n = sp_node_read_json(c->arena, c->x->body, SP_STR(""), &problems);
    const struct sp_node *v = n ? sp_node_get(n, sp_str_z(name)) : NULL;
    bool list = v && v->type == SP_NODE_LIST;
    *out = SP_NEW_N(c->arena, struct sp_str, list ? v->num + 1 : 1);
    for (size_t i = 0; v && i < (list ? v->num : 1); i++) {
        const struct sp_node *item = list ? v->items[i] : v;
        if (item->type != SP_NODE_STRING)
            return false;
        (*out)[(*num)++] = item->text;
    }
    return *num > 0;
}
