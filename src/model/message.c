#include "model/message.h"

static void *arena_alloc(void *a, size_t size)
{
    return sp_arena_alloc_raw(a, size);
}

static void arena_free(void *a, void *p)
{
    (void)a;
    (void)p; /* everything dies with the arena */
}

ProtobufCMessage *sp_msg_new(struct sp_arena *a, const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = sp_arena_alloc(a, d->sizeof_message);
    protobuf_c_message_init(d, m);
    return m;
}

struct sp_str sp_msg_pack(struct sp_arena *a, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *p = sp_arena_alloc_raw(a, n + 1);
    size_t written = protobuf_c_message_pack(m, p);
    sp_assert(written == n);
    return sp_str(p, n);
}

ProtobufCMessage *sp_msg_unpack(struct sp_arena *a, const ProtobufCMessageDescriptor *d, struct sp_str bytes)
{
    ProtobufCAllocator allocator = {.alloc = arena_alloc, .free = arena_free, .allocator_data = a};
    return protobuf_c_message_unpack(d, &allocator, bytes.len, (const uint8_t *)bytes.p);
}

ProtobufCMessage *sp_msg_copy(struct sp_arena *a, const ProtobufCMessage *m)
{
    ProtobufCMessage *copy = sp_msg_unpack(a, m->descriptor, sp_msg_pack(a, m));
    sp_assert(copy);
    return copy;
}

const ProtobufCFieldDescriptor *sp_msg_field(const ProtobufCMessageDescriptor *d, const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(d, name);
}

size_t sp_msg_element_size(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    default:
        break;
    }
    sp_assert(!"a field type that no message of ours has");
    return 0;
}

static bool is_pointer(const ProtobufCFieldDescriptor *f)
{
    return f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE;
}

bool sp_msg_has(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *sp_msg_count(m, f) > 0;
    if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)sp_msg_count(m, f) == f->id;
    if (is_pointer(f)) {
        const void *p = *(void *const *)sp_msg_at(m, f);
        return p && p != f->default_value;
    }
    return *(const protobuf_c_boolean *)sp_msg_count(m, f);
}

void sp_msg_mark(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        *(uint32_t *)sp_msg_count(m, f) = f->id;
    else if (f->label == PROTOBUF_C_LABEL_OPTIONAL && !is_pointer(f))
        *(protobuf_c_boolean *)sp_msg_count(m, f) = true;
}

void sp_msg_clear(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        *sp_msg_count(m, f) = 0;
        *(void **)sp_msg_at(m, f) = NULL;
    } else if (is_pointer(f)) {
        *(const void **)sp_msg_at(m, f) = f->type == PROTOBUF_C_TYPE_STRING ? f->default_value : NULL;
        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            *(uint32_t *)sp_msg_count(m, f) = 0;
    } else {
        memset(sp_msg_at(m, f), 0, sp_msg_element_size(f));
        if (f->default_value)
            memcpy(sp_msg_at(m, f), f->default_value, sp_msg_element_size(f));
        *(protobuf_c_boolean *)sp_msg_count(m, f) = false;
    }
}

void *sp_msg_append(struct sp_arena *a, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    size_t *num = sp_msg_count(m, f), size = sp_msg_element_size(f);
    char **v = sp_msg_at(m, f);
    if ((*num & (*num - 1)) == 0) { /* full at every power of two */
        char *more = sp_arena_alloc(a, (*num ? 2 * *num : 1) * size);
        if (*num)
            memcpy(more, *v, *num * size);
        *v = more;
    }
    return *v + (*num)++ * size;
}

struct sp_str sp_msg_string(const ProtobufCMessage *m, const char *field)
{
    const ProtobufCFieldDescriptor *f = sp_msg_field(m->descriptor, field);
    if (!f || f->type != PROTOBUF_C_TYPE_STRING || f->label == PROTOBUF_C_LABEL_REPEATED)
        return SP_STR("");
    return sp_str_z(*(char *const *)sp_msg_at(m, f));
}

ProtobufCMessage *sp_msg_child(const ProtobufCMessage *m, const char *field)
{
    const ProtobufCFieldDescriptor *f = sp_msg_field(m->descriptor, field);
    return f && f->type == PROTOBUF_C_TYPE_MESSAGE ? *(ProtobufCMessage *const *)sp_msg_at(m, f) : NULL;
}

const ProtobufCFieldDescriptor *sp_msg_oneof(const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && sp_msg_has(m, f))
            return f;
    }
    return NULL;
}

/* --- strings --- */

static void each_string(ProtobufCMessage *m, const struct sp_string *in,
                        void (*fn)(void *ctx, const struct sp_string *s), void *ctx)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        bool string = f->type == PROTOBUF_C_TYPE_STRING, list = f->label == PROTOBUF_C_LABEL_REPEATED;
        if ((!string && f->type != PROTOBUF_C_TYPE_MESSAGE) || !sp_msg_has(m, f))
            continue;
        void **v = list ? *(void ***)sp_msg_at(m, f) : sp_msg_at(m, f);
        for (size_t k = 0; k < (list ? *sp_msg_count(m, f) : 1); k++) {
            struct sp_string s = {in, m->descriptor, f, k, (char **)&v[k]};
            if (string)
                fn(ctx, &s);
            else
                each_string(v[k], &s, fn, ctx); /* as deep as the schema */
        }
    }
}

void sp_msg_each_string(ProtobufCMessage *m, void (*fn)(void *ctx, const struct sp_string *s), void *ctx)
{
    each_string(m, NULL, fn, ctx);
}

struct sp_str sp_string_path(struct sp_arena *a, const struct sp_string *s)
{
    struct sp_str above = s->in ? sp_string_path(a, s->in) : SP_STR("");
    const char *name = s->field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF ? "config" : s->field->name;
    struct sp_str path = sp_arena_printf(a, "%.*s%s%s", SP_FMT(above), above.len ? "." : "", name);
    return s->field->label == PROTOBUF_C_LABEL_REPEATED ? sp_arena_printf(a, "%.*s[%zu]", SP_FMT(path), s->index)
                                                        : path;
}

bool sp_field_is_hidden(const ProtobufCFieldDescriptor *f)
{
    struct sp_str name = sp_str_z(f->name);
    return sp_str_eq(name, SP_STR("ws")) || (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
           (f->type == PROTOBUF_C_TYPE_BOOL && f->id >= 100 &&
            (sp_str_ends(name, SP_STR("_none")) || sp_str_ends(name, SP_STR("_null"))));
}

static const ProtobufCMessageDescriptor *type_of(const ProtobufCFieldDescriptor *f)
{
    return f->type == PROTOBUF_C_TYPE_MESSAGE ? f->descriptor : NULL;
}

bool sp_field_is_map(const ProtobufCFieldDescriptor *f)
{
    return f->label == PROTOBUF_C_LABEL_REPEATED && type_of(f) &&
           sp_str_ends(sp_str_z(type_of(f)->short_name), SP_STR("Entry")) && sp_msg_field(type_of(f), "key");
}

bool sp_field_is_ref(const ProtobufCFieldDescriptor *f)
{
    return type_of(f) && sp_str_eq(sp_str_z(type_of(f)->short_name), SP_STR("Ref"));
}

const ProtobufCFieldDescriptor *sp_field_mark(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f,
                                              const char *suffix)
{
    char name[128];
    size_t n = strlen(f->name), m = strlen(suffix);
    if (n + m >= sizeof name)
        return NULL;
    memcpy(name, f->name, n);
    memcpy(name + n, suffix, m + 1);
    return sp_msg_field(d, name);
}
