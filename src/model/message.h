/* Protobuf messages by their descriptors: what the walks (read, write, check, compare, copy) have in common.
 * Inside of src/model. Messages live in the arena and are never freed one by one. Any thread. */
#pragma once
#include "base/arena.h"
#include <protobuf-c/protobuf-c.h>

ProtobufCMessage *sp_msg_new(struct sp_arena *a, const ProtobufCMessageDescriptor *d);
/* The serialised form, in the arena. */
struct sp_str sp_msg_pack(struct sp_arena *a, const ProtobufCMessage *m);
/* NULL: not a message of this type. */
ProtobufCMessage *sp_msg_unpack(struct sp_arena *a, const ProtobufCMessageDescriptor *d, struct sp_str bytes);
ProtobufCMessage *sp_msg_copy(struct sp_arena *a, const ProtobufCMessage *m);

const ProtobufCFieldDescriptor *sp_msg_field(const ProtobufCMessageDescriptor *d, const char *name); /* NULL: none */
static inline void *sp_msg_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (char *)(uintptr_t)m + f->offset;
}
static inline size_t *sp_msg_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f) /* repeated fields */
{
    return (size_t *)((char *)(uintptr_t)m + f->quantifier_offset);
}
size_t sp_msg_element_size(const ProtobufCFieldDescriptor *f);
bool sp_msg_has(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
void sp_msg_mark(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f); /* has_x = true, or the oneof's case */
void sp_msg_clear(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
/* Room for one more element at the end of a repeated field; the caller fills it. */
void *sp_msg_append(struct sp_arena *a, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);

/* Shorthands for what checks ask. */
struct sp_str sp_msg_string(const ProtobufCMessage *m, const char *field); /* empty when unset */
ProtobufCMessage *sp_msg_child(const ProtobufCMessage *m, const char *field);
/* The oneof member that is set, as a field; NULL: none. */
const ProtobufCFieldDescriptor *sp_msg_oneof(const ProtobufCMessage *m);

/* A string of a message, or of one below it. */
struct sp_string {
    const struct sp_string *in; /* the message that holds it, as the walk came to it; NULL: the first one */
    const ProtobufCMessageDescriptor *of;
    const ProtobufCFieldDescriptor *field;
    size_t index; /* in a list */
    char **at;    /* may be changed */
};
/* All that are set, in the order of the schema. */
void sp_msg_each_string(ProtobufCMessage *m, void (*fn)(void *ctx, const struct sp_string *s), void *ctx);
struct sp_str sp_string_path(struct sp_arena *a, const struct sp_string *s); /* "config.allow[2]" */

/* Never in text: `ws`, and the marks `..._none` and `..._null`; a oneof member is reached by the oneof's name. */
bool sp_field_is_hidden(const ProtobufCFieldDescriptor *f);
static inline bool sp_field_is_nested(const ProtobufCFieldDescriptor *f) /* nesting of the declarative file */
{
    return f->id >= 90 && f->id < 100;
}
bool sp_field_is_map(const ProtobufCFieldDescriptor *f); /* repeated ...Entry */
bool sp_field_is_ref(const ProtobufCFieldDescriptor *f);
/* The bool beside a field that says "written as [] / null": `suffix` is "_none" or "_null". NULL: none. */
const ProtobufCFieldDescriptor *sp_field_mark(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f,
                                              const char *suffix);
