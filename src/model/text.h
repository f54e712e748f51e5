/* The descriptor walk: nodes to messages and back. Inside of src/model. One thread at a time per reader. */
#pragma once
#include "base/map.h"
#include "model/message.h"
#include "model/node.h"

/* Where a message was written, for problems that are found after reading. */
struct sp_origin {
    const ProtobufCMessage *message;
    const struct sp_node *node;
    const struct sp_origin *parent; /* NULL: the root */
    const char *field;              /* in the parent */
    size_t index;                   /* in a list */
    bool in_list;
    struct sp_str file;
};

struct sp_reader {
    struct sp_arena *arena;
    struct sp_problems *problems;
    struct sp_str file;
    struct sp_map *origins; /* message's address -> struct sp_origin */
    bool nested;            /* fields 90 and up may stand here (declarative file); else only Certificate.snis */
};

void sp_reader_init(struct sp_reader *r, struct sp_arena *a, struct sp_str file, struct sp_problems *problems);
/* Into a message that may hold values already (PATCH): what the text names is replaced, null resets, records merge. */
void sp_reader_read(struct sp_reader *r, ProtobufCMessage *m, const struct sp_node *n, const struct sp_origin *parent,
                    const char *field, size_t index, bool in_list);
const struct sp_origin *sp_reader_origin(const struct sp_reader *r, const ProtobufCMessage *m); /* NULL: none */
/* "services[0].routes[1]" */
struct sp_str sp_origin_path(struct sp_arena *a, const struct sp_origin *o);
/* "a.b[1]" below a node; the deepest node that is there. */
const struct sp_node *sp_node_walk(const struct sp_node *n, struct sp_str path);

/* "https://host:port/path" into protocol, host, port and path; NULL or why not. */
const char *sp_service_expand_url(struct sp_arena *a, ProtobufCMessage *service);
/* The oneof member for a plugin's name: '-' is written as '_'. NULL: no such plugin. */
const ProtobufCFieldDescriptor *sp_plugin_config_field(const ProtobufCMessageDescriptor *d, struct sp_str name);
/* The nearest of the words that the callback gives until NULL; empty when none is near. */
struct sp_str sp_did_you_mean(struct sp_str word, const char *(*next)(const void *ctx, size_t i), const void *ctx);
