/* GET /schemas/..., POST /schemas/.../validate: what tools (decK) fill defaults from, in Kong's layout: an array of
 * objects with one key each, at every level. Made from the same descriptors and rules as everything else. */
#include "control/api/body.h"
#include "control/api/call.h"
#include "control/api/tree.h"
#include "model/message.h"
#include "model/rules.h"
#include "model/text.h"
#include <stdlib.h>

static bool is_set(const char *name)
{
    return cp_words_have("protocols,methods,snis,tags", sp_str_z(name));
}

static void put_items(struct sp_json *j, const char *key, const char *words, bool numbers)
{
    struct sp_str rest = sp_str_z(words);
    sp_json_key(j, key);
    sp_json_array(j);
    while (rest.p) {
        struct sp_str word = sp_str_split(&rest, ' ');
        if (word.len && numbers)
            sp_json_raw(j, word);
        else if (word.len)
            sp_json_str(j, word);
    }
    sp_json_end_array(j);
}

static void put_words(struct sp_json *j, const char *key, const char *words)
{
    put_items(j, key, words, false);
}

static const char *scalar_type(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return "boolean";
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FLOAT:
        return "number";
    case PROTOBUF_C_TYPE_STRING:
        return "string";
    default:
        return "integer";
    }
}

static void put_number(struct sp_json *j, double n)
{
    if (n == (double)(int64_t)n)
        sp_json_int(j, (int64_t)n);
    else
        sp_buf_printf(j->out, "%.17g", n);
}

static void put_default(struct sp_json *j, const ProtobufCFieldDescriptor *f)
{
    if (!f->default_value)
        return;
    sp_json_key(j, "default");
    switch (f->type) {
    case PROTOBUF_C_TYPE_BOOL:
        sp_json_bool(j, *(const protobuf_c_boolean *)f->default_value);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        put_number(j, *(const double *)f->default_value);
        break;
    case PROTOBUF_C_TYPE_STRING:
        sp_json_z(j, f->default_value);
        break;
    case PROTOBUF_C_TYPE_INT64:
        sp_json_int(j, *(const int64_t *)f->default_value);
        break;
    default:
        sp_json_int(j, *(const int32_t *)f->default_value);
    }
}

static void put_rule(struct sp_json *j, const struct sp_rule *r)
{
    if (r && r->bounded) {
        sp_json_key(j, "between");
        sp_json_array(j);
        sp_json_int(j, r->min);
        sp_json_int(j, r->max);
        sp_json_end_array(j);
    }
    if (r && r->one_of)
        put_words(j, "one_of", r->one_of);
    if (r && r->uuid)
        sp_json_put_bool(j, "uuid", true);
    if (r && r->referenceable)
        sp_json_put_bool(j, "referenceable", true);
}

static void put_record(struct sp_json *j, const ProtobufCMessageDescriptor *d);

static void put_list(struct sp_json *j, const ProtobufCFieldDescriptor *f, const struct sp_rule *r)
{
    sp_json_put_z(j, "type", is_set(f->name) ? "set" : "array");
    if (r && r->defaults)
        put_items(j, "default", r->defaults, f->type == PROTOBUF_C_TYPE_INT32);
    else if (r && r->empty_list)
        put_words(j, "default", "");
    sp_json_key(j, "elements");
    sp_json_object(j);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && !sp_field_is_ref(f))
        put_record(j, f->descriptor);
    else
        sp_json_put_z(j, "type", f->type == PROTOBUF_C_TYPE_MESSAGE ? "foreign" : scalar_type(f));
    put_rule(j, r);
    sp_json_end_object(j);
}

static void put_map(struct sp_json *j)
{
    sp_json_put_z(j, "type", "map");
    sp_json_key(j, "keys");
    sp_json_raw(j, SP_STR("{\"type\":\"string\"}"));
    sp_json_key(j, "values");
    sp_json_raw(j, SP_STR("{\"type\":\"array\",\"elements\":{\"type\":\"string\"}}"));
}

static const char *target_of(const char *field)
{
    for (const struct cp_reference *r = cp_references; r->field; r++)
        if (!strcmp(r->field, field))
            return sp_entity_info(r->target)->plural;
    return "consumers";
}

static void put_fields(struct sp_json *j, const ProtobufCMessageDescriptor *d);

static void put_record(struct sp_json *j, const ProtobufCMessageDescriptor *d)
{
    sp_json_put_z(j, "type", "record");
    sp_json_key(j, "fields");
    sp_json_array(j);
    put_fields(j, d); /* as deep as the schema */
    sp_json_end_array(j);
}

static void put_field(struct sp_json *j, const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f)
{
    const struct sp_rule *r = sp_rule_find(d, f->name);
    sp_json_object(j);
    sp_json_key(j, f->name);
    sp_json_object(j);
    if (sp_field_is_map(f)) {
        put_map(j);
    } else if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        put_list(j, f, r);
    } else if (sp_field_is_ref(f)) {
        sp_json_put_z(j, "type", "foreign");
        sp_json_put_z(j, "reference", target_of(f->name));
    } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        put_record(j, f->descriptor);
    } else {
        sp_json_put_z(j, "type", scalar_type(f));
        put_default(j, f);
        put_rule(j, r);
    }
    bool made = r && r->made;
    if (r && (r->required || r->record) && !made) /* tools fill the defaults of a record that has to be there */
        sp_json_put_bool(j, "required", true);
    if (made || !strcmp(f->name, "id") || !strcmp(f->name, "created_at") || !strcmp(f->name, "updated_at"))
        sp_json_put_bool(j, "auto", true);
    sp_json_end_object(j);
    sp_json_end_object(j);
}

static bool is_shown(const ProtobufCFieldDescriptor *f)
{
    bool config = (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    return !config && !sp_field_is_hidden(f) && !sp_field_is_nested(f);
}

/* The fields of a message as the elements of the array that is open. */
static void put_fields(struct sp_json *j, const ProtobufCMessageDescriptor *d)
{
    for (unsigned i = 0; i < d->n_fields; i++)
        if (is_shown(&d->fields[i]))
            put_field(j, d, &d->fields[i]);
}

static void put_entity_schema(struct sp_json *j, const struct sp_entity_info *info)
{
    put_fields(j, info->descriptor);
    if (info->kind == SP_PLUGINS)
        sp_json_raw(j, SP_STR("{\"config\":{\"type\":\"record\",\"abstract\":true}}"));
    if (info->kind == SP_CERTIFICATES)
        sp_json_raw(j, SP_STR("{\"snis\":{\"type\":\"array\",\"elements\":{\"type\":\"string\"}}}"));
}

static void put_plugin_schema(struct sp_json *j, const struct sp_plugin_info *plugin)
{
    const ProtobufCFieldDescriptor *config =
        sp_plugin_config_field(sp_entity_info(SP_PLUGINS)->descriptor, sp_str_z(plugin->name));
    if (plugin->on_consumer) {
        sp_json_raw(j, SP_STR("{\"consumer\":{\"type\":\"foreign\",\"reference\":\"consumers\"}}"));
        sp_json_raw(j, SP_STR("{\"consumer_group\":{\"type\":\"foreign\",\"reference\":\"consumer_groups\"}}"));
    }
    sp_json_object(j);
    sp_json_key(j, "protocols");
    sp_json_object(j);
    sp_json_put_z(j, "type", "set");
    sp_json_put_bool(j, "required", true);
    put_words(j, "default", plugin->protocols);
    sp_json_key(j, "elements");
    sp_json_object(j);
    sp_json_put_z(j, "type", "string");
    put_words(j, "one_of", plugin->allowed);
    sp_json_end_object(j);
    sp_json_end_object(j);
    sp_json_end_object(j);
    sp_json_object(j);
    sp_json_key(j, "config");
    sp_json_object(j);
    sp_json_put_z(j, "type", "record");
    sp_json_put_bool(j, "required", true);
    sp_json_key(j, "fields");
    sp_json_array(j);
    if (config)
        put_fields(j, config->descriptor);
    sp_json_end_array(j);
    sp_json_end_object(j);
    sp_json_end_object(j);
}

static void reply_schema(struct cp_call *c, const struct sp_entity_info *info, const struct sp_plugin_info *plugin)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    sp_json_object(&j);
    sp_json_key(&j, "fields");
    sp_json_array(&j);
    if (plugin)
        put_plugin_schema(&j, plugin);
    else
        put_entity_schema(&j, info);
    sp_json_end_array(&j);
    sp_json_end_object(&j);
    cp_reply_json(c, 200, &b);
}

static bool must_be(struct cp_call *c, const char *method)
{
    if (cp_method(c, method))
        return true;
    cp_reply_not_allowed(c, strcmp(method, "GET") ? "POST, OPTIONS" : "GET, HEAD, OPTIONS");
    return false;
}

static void plugin_schema(struct cp_call *c, struct sp_str name)
{
    const struct sp_plugin_info *plugin = sp_plugin_info(name);
    if (!plugin)
        cp_reply_message(c, 404, "No plugin named '%.*s'", SP_FMT(name));
    else if (must_be(c, "GET"))
        reply_schema(c, NULL, plugin);
}

bool cp_api_schemas(struct cp_call *c)
{
    if (!cp_is(c, 0, "schemas") || c->num_segments < 2 || c->num_segments > 3)
        return false;
    const struct sp_entity_info *info = sp_entity_by_plural(c->segments[1]);
    if (!info)
        info = sp_entity_by_rest(c->segments[1]);
    if (!info)
        cp_reply_message(c, 404, "No entity named '%.*s'", SP_FMT(c->segments[1]));
    else if (c->num_segments == 2 && must_be(c, "GET"))
        reply_schema(c, info, NULL);
    else if (c->num_segments == 3 && cp_is(c, 2, "validate") && must_be(c, "POST"))
        cp_validate_entity(c, info->kind);
    else if (c->num_segments == 3 && !cp_is(c, 2, "validate") && info->kind == SP_PLUGINS)
        plugin_schema(c, c->segments[2]);
    else if (c->num_segments == 3 && !cp_is(c, 2, "validate"))
        return false;
    return true;
}
