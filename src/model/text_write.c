/* Messages to JSON and YAML: one walk that says what stands where, two ways to write it. */
#include "model/build.h"

#include "base/json.h"
#include "model/rules.h"
#include "model/vault.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct writer {
    struct sp_buf *out;
    bool redact, yaml;
    int indent; /* blanks a level; 0: compact (JSON only) */
};

/* --- scalars --- */

static void write_quoted(struct sp_buf *out, struct sp_str s) /* a JSON string is a YAML scalar too */
{
    struct sp_json j = sp_json(out);
    sp_json_str(&j, s);
}

static bool plain_in_yaml(struct sp_str s)
{
    static const char bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
    static const char words[] = "true false null yes no on off y n";
    char lower[8];
    if (s.len == 0 || strspn(s.p, bytes) < s.len ||
        !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/", s.p[0]))
        return false;
    if (s.len >= sizeof lower)
        return true;
    for (size_t i = 0; i < s.len; i++)
        lower[i] = (char)sp_lower((unsigned char)s.p[i]);
    return !sp_words_have(words, sp_str(lower, s.len));
}

/* PEM and the like: lines of printable ASCII with one newline at the end. */
static bool block_in_yaml(struct sp_str s)
{
    if (s.len < 2 || s.p[s.len - 1] != '\n' || s.p[s.len - 2] == '\n' || s.p[0] == ' ' || s.p[0] == '\n')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] != '\n' && (s.p[i] < 0x20 || s.p[i] > 0x7e))
            return false;
    return memchr(s.p, '\n', s.len - 1) != NULL;
}

static void write_string(const struct writer *w, struct sp_str s, int depth)
{
    if (w->yaml && plain_in_yaml(s)) {
        sp_buf_add(w->out, s);
    } else if (w->yaml && block_in_yaml(s)) {
        sp_buf_putc(w->out, '|');
        s.len--;
        while (s.p) {
            struct sp_str line = sp_str_split(&s, '\n');
            sp_buf_printf(w->out, "\n%*s%.*s", line.len ? w->indent * depth : 0, "", SP_FMT(line));
        }
    } else {
        write_quoted(w->out, s);
    }
}

static void write_double(struct sp_buf *out, double v)
{
    char text[32];
    if (!isfinite(v)) {
        sp_buf_add(out, SP_STR("null"));
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    if (fabs(v) < 9e15 && v == trunc(v))
        snprintf(text, sizeof text, "%.0f", v);
    sp_buf_add(out, sp_str_z(text));
}

static void write_enum(struct sp_buf *out, const ProtobufCFieldDescriptor *f, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, value);
    if (v)
        write_quoted(out, sp_str_z(v->name));
    else
        sp_buf_printf(out, "%d", value);
}

static void write_bytes(struct sp_buf *out, const ProtobufCBinaryData *b)
{
    sp_buf_putc(out, '"');
    for (size_t i = 0; i < b->len; i++)
        sp_buf_printf(out, "%02x", b->data[i]);
    sp_buf_putc(out, '"');
}

static void write_scalar(const struct writer *w, const ProtobufCFieldDescriptor *f, const void *at, int depth)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        write_string(w, sp_str_z(*(char *const *)at), depth);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        sp_buf_add(w->out, *(const protobuf_c_boolean *)at ? SP_STR("true") : SP_STR("false"));
        break;
    case PROTOBUF_C_TYPE_INT32:
        sp_buf_printf(w->out, "%d", *(const int32_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT32:
        sp_buf_printf(w->out, "%u", *(const uint32_t *)at);
        break;
    case PROTOBUF_C_TYPE_INT64:
        sp_buf_printf(w->out, "%lld", (long long)*(const int64_t *)at);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        write_double(w->out, *(const double *)at);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        write_enum(w->out, f, *(const int *)at);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        write_bytes(w->out, at);
        break;
    default:
        sp_assert(!"a field type that no message of ours has");
    }
}

/* --- what a message has to say --- */

static bool marked(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const char *suffix)
{
    const ProtobufCFieldDescriptor *mark = sp_field_mark(m->descriptor, f, suffix);
    return mark && *(const protobuf_c_boolean *)sp_msg_at(m, mark);
}

/* Hidden fields, nesting and the write-only url are no part of an entity's text. */
static bool is_written(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (sp_field_is_hidden(f) || sp_field_is_nested(f))
        return false;
    const struct sp_rule *rule = sp_rule_find(m->descriptor, f->name);
    if (rule && rule->ours && !sp_msg_has(m, f))
        return false;
    return !(m->descriptor == &sallyport__v1__service__descriptor && strcmp(f->name, "url") == 0);
}

static bool is_word(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t i, struct sp_str word)
{
    const void *v = *(void *const *)sp_msg_at(m, f);
    char digits[16];
    if (f->type == PROTOBUF_C_TYPE_STRING)
        return sp_str_eq(word, sp_str_z(((char *const *)v)[i]));
    if (f->type != PROTOBUF_C_TYPE_INT32)
        return false;
    snprintf(digits, sizeof digits, "%d", ((const int32_t *)v)[i]);
    return sp_str_eq(word, sp_str_z(digits));
}

static bool is_default_list(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const struct sp_rule *rule = sp_rule_find(m->descriptor, f->name);
    const char *words = rule ? rule->defaults : NULL;
    if (m->descriptor == &sallyport__v1__plugin__descriptor && strcmp(f->name, "protocols") == 0) {
        const struct sp_plugin_info *info = sp_plugin_info(sp_msg_string(m, "name"));
        words = info ? info->protocols : NULL;
    }
    struct sp_str rest = sp_str_z(words);
    for (size_t i = 0; i < *sp_msg_count(m, f); i++)
        if (!rest.len || !is_word(m, f, i, sp_str_split(&rest, ' ')))
            return false;
    return rest.len == 0;
}

static bool says_nothing(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);

static bool is_default_record(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const struct sp_rule *rule = sp_rule_find(m->descriptor, f->name);
    const ProtobufCMessage *record = *(ProtobufCMessage *const *)sp_msg_at(m, f);
    bool nothing = rule && rule->record;
    for (unsigned i = 0; nothing && i < record->descriptor->n_fields; i++)
        nothing = says_nothing(record, &record->descriptor->fields[i]); /* as deep as the schema */
    return nothing;
}

/* A file that people read leaves out what the schema says anyway. */
static bool says_nothing(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const void *at = sp_msg_at(m, f);
    if (marked(m, f, "_none") || marked(m, f, "_null"))
        return false;
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *sp_msg_count(m, f) == 0 || is_default_list(m, f);
    if (!sp_msg_has(m, f))
        return true;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return is_default_record(m, f);
    if (!f->default_value)
        return false;
    if (f->type == PROTOBUF_C_TYPE_STRING)
        return strcmp(*(char *const *)at, f->default_value) == 0;
    if (m->descriptor == &sallyport__v1__route__descriptor && strcmp(f->name, "strip_path") == 0)
        return false; /* its default depends on the protocols */
    return memcmp(at, f->default_value, sp_msg_element_size(f)) == 0;
}

static bool has_empty_list(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const struct sp_rule *rule = sp_rule_find(m->descriptor, f->name);
    return marked(m, f, "_none") || (rule && rule->empty_list);
}

static bool is_null(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *sp_msg_count(m, f) == 0 && !has_empty_list(m, f);
    if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE)
        return *(void *const *)sp_msg_at(m, f) == NULL;
    return !sp_msg_has(m, f) && !f->default_value; /* an unset field has its default in place */
}

/* --- layout --- */

static void newline(const struct writer *w, int depth)
{
    if (w->indent)
        sp_buf_printf(w->out, "\n%*s", w->indent * depth, "");
}

static void write_key(const struct writer *w, const char *key)
{
    if (w->yaml && plain_in_yaml(sp_str_z(key)))
        sp_buf_add(w->out, sp_str_z(key));
    else
        write_quoted(w->out, sp_str_z(key));
    sp_buf_putc(w->out, ':');
}

static void write_message(const struct writer *w, const ProtobufCMessage *m, int depth, bool inline_first);
static void write_value(const struct writer *w, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                        int depth);

static bool is_block(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *sp_msg_count(m, f) > 0;
    return f->type == PROTOBUF_C_TYPE_MESSAGE && *(void *const *)sp_msg_at(m, f);
}

static void write_element(const struct writer *w, const ProtobufCFieldDescriptor *f, const void *at, int depth)
{
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        write_message(w, *(ProtobufCMessage *const *)at, depth, true);
    else
        write_scalar(w, f, at, depth);
}

static void write_list(const struct writer *w, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, int depth)
{
    size_t num = *sp_msg_count(m, f), size = sp_msg_element_size(f);
    const char *v = *(char *const *)sp_msg_at(m, f);
    if (num == 0) {
        sp_buf_add(w->out, SP_STR("[]"));
        return;
    }
    if (!w->yaml)
        sp_buf_putc(w->out, '[');
    for (size_t i = 0; i < num; i++) {
        newline(w, depth + 1);
        if (w->yaml)
            sp_buf_add(w->out, SP_STR("- "));
        write_element(w, f, v + i * size, depth + 1 + w->yaml);
        if (!w->yaml && i + 1 < num)
            sp_buf_putc(w->out, ',');
    }
    if (!w->yaml) {
        newline(w, depth);
        sp_buf_putc(w->out, ']');
    }
}

static void write_entries(const struct writer *w, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                          int depth)
{
    size_t num = *sp_msg_count(m, f);
    ProtobufCMessage *const *v = *(ProtobufCMessage * *const *)sp_msg_at(m, f);
    if (!w->yaml)
        sp_buf_putc(w->out, '{');
    for (size_t i = 0; i < num; i++) {
        const ProtobufCFieldDescriptor *values = sp_msg_field(v[i]->descriptor, "values");
        const ProtobufCFieldDescriptor *value = values ? values : sp_msg_field(v[i]->descriptor, "value");
        newline(w, depth + 1);
        write_key(w, sp_msg_string(v[i], "key").p);
        if (w->indent && !(w->yaml && is_block(v[i], value)))
            sp_buf_putc(w->out, ' ');
        write_value(w, v[i], value, depth + 1);
        if (!w->yaml && i + 1 < num)
            sp_buf_putc(w->out, ',');
    }
    if (!w->yaml) {
        newline(w, depth);
        sp_buf_putc(w->out, '}');
    }
}

static void write_ref(const struct writer *w, const ProtobufCMessage *m)
{
    const Sallyport__V1__Ref *r = (const Sallyport__V1__Ref *)m;
    const char *key = r->id ? "id" : "name", *value = r->id ? r->id : r->name;
    sp_buf_printf(w->out, w->yaml ? "{%s: " : "{\"%s\":%s", key, !w->yaml && w->indent ? " " : "");
    write_quoted(w->out, sp_str_z(value));
    sp_buf_putc(w->out, '}');
}

/* A reference tells where a secret is, not what it is. */
static bool is_secret(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const struct sp_rule *rule = sp_rule_find(m->descriptor, f->name);
    return rule && rule->secret && !(rule->referenceable && sp_is_vault_reference(sp_msg_string(m, f->name)));
}

static void write_value(const struct writer *w, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, int depth)
{
    if (marked(m, f, "_null") || is_null(m, f))
        sp_buf_add(w->out, SP_STR("null"));
    else if (sp_field_is_map(f))
        write_entries(w, m, f, depth);
    else if (f->label == PROTOBUF_C_LABEL_REPEATED)
        write_list(w, m, f, depth);
    else if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        write_message(w, *(ProtobufCMessage *const *)sp_msg_at(m, f), depth, false);
    else if (w->redact && is_secret(m, f))
        write_quoted(w->out, SP_STR("[redacted]"));
    else
        write_scalar(w, f, sp_msg_at(m, f), depth + 1);
}

static void write_pair(const struct writer *w, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                       const char *key, int depth, bool first, bool inline_first)
{
    bool ref = f->type == PROTOBUF_C_TYPE_MESSAGE && f->label != PROTOBUF_C_LABEL_REPEATED && sp_field_is_ref(f);
    if (!first && !w->yaml)
        sp_buf_putc(w->out, ',');
    if (!(first && inline_first && w->yaml))
        newline(w, depth);
    write_key(w, key);
    if (w->indent && !(w->yaml && is_block(m, f) && !ref))
        sp_buf_putc(w->out, ' ');
    write_value(w, m, f, depth);
}

/* JSON shows every field, YAML those that say something. `depth` is that of the braces in JSON, of the keys' parent in
 * YAML; inline_first: the first key follows a "- ". */
static void write_message(const struct writer *w, const ProtobufCMessage *m, int depth, bool inline_first)
{
    const ProtobufCFieldDescriptor *config = sp_msg_oneof(m);
    int inner = w->yaml && inline_first ? depth : depth + 1;
    bool first = true;
    if (m->descriptor == &sallyport__v1__ref__descriptor) {
        write_ref(w, m);
        return;
    }
    if (!w->yaml)
        sp_buf_putc(w->out, '{');
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        bool is_config = f == config;
        if (!is_config && (!is_written(m, f) || (w->yaml && says_nothing(m, f))))
            continue;
        write_pair(w, m, f, is_config ? "config" : f->name, inner, first, inline_first);
        first = false;
    }
    if (w->yaml && first)
        sp_buf_add(w->out, inline_first ? SP_STR("{}") : SP_STR(" {}"));
    if (!w->yaml) {
        newline(w, depth);
        sp_buf_putc(w->out, '}');
    }
}

void sp_message_write_json(const ProtobufCMessage *msg, bool redact, int indent, struct sp_buf *out)
{
    struct writer w = {.out = out, .redact = redact, .indent = indent};
    write_message(&w, msg, 0, false);
}

void sp_entity_write_json(const struct sp_entity *e, bool redact, int indent, struct sp_buf *out)
{
    sp_message_write_json(e->message, redact, indent, out);
}

/* --- a declarative file --- */

static void write_kind(const struct writer *w, const struct sp_model *m, enum sp_entity_kind kind, struct sp_str ws)
{
    bool first = true;
    for (size_t i = 0; i < m->num[kind]; i++) {
        const struct sp_entity *e = &m->entities[kind][i];
        if (!sp_str_eq(e->ws, ws))
            continue;
        if (first)
            sp_buf_printf(w->out, "%s:\n", sp_entity_info(kind)->plural);
        first = false;
        sp_buf_add(w->out, SP_STR("- "));
        write_message(w, e->message, 1, true);
        sp_buf_putc(w->out, '\n');
    }
}

static void write_settings(const struct writer *w, const struct sp_model *m)
{
    const Sallyport__V1__HandshakeSettings *h = m->settings->handshake;
    bool plain = true;
    for (unsigned i = 0; h && i < h->base.descriptor->n_fields; i++)
        plain = plain && says_nothing(&h->base, &h->base.descriptor->fields[i]);
    if (plain)
        return;
    sp_buf_add(w->out, SP_STR("_sallyport:"));
    write_message(w, &m->settings->base, 0, false);
    sp_buf_putc(w->out, '\n');
}

static bool has_entities(const struct sp_model *m, struct sp_str ws)
{
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        for (size_t i = 0; i < m->num[k]; i++)
            if (sp_str_eq(m->entities[k][i].ws, ws))
                return true;
    return false;
}

/* One document for each workspace; what belongs to none stands in the first. */
void sp_model_write_yaml(const struct sp_model *m, bool redact, struct sp_buf *out)
{
    struct writer w = {.out = out, .redact = redact, .yaml = true, .indent = 2};
    bool first = true;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < m->num[SP_WORKSPACES]; i++) {
            struct sp_str ws = m->entities[SP_WORKSPACES][i].key;
            bool is_default = sp_str_eq(ws, SP_STR(SP_DEFAULT_WORKSPACE));
            if (is_default != (pass == 0) || (!is_default && !has_entities(m, ws)))
                continue;
            sp_buf_printf(out, "%s_format_version: \"3.0\"\n", first ? "" : "---\n");
            if (!is_default)
                sp_buf_printf(out, "_workspace: %.*s\n", SP_FMT(ws));
            if (first) {
                write_settings(&w, m);
                write_kind(&w, m, SP_WORKSPACES, SP_STR(""));
                write_kind(&w, m, SP_CA_CERTIFICATES, SP_STR(""));
            }
            for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
                if (sp_entity_info(k)->workspaced)
                    write_kind(&w, m, k, ws);
            first = false;
        }
}
