/* What proto2 cannot say about a field: one row per field that needs more. The checks, the defaults of lists, redaction
 * and docs/configuration.md are made from these rows. Inside of src/model, and the Admin API's /schemas. Any thread. */
#pragma once
#include "base/arena.h"
#include <protobuf-c/protobuf-c.h>

struct sp_rule {
    const char *field;
    bool required;
    bool made;          /* the Admin API makes one where none is given: its schema does not require it */
    bool secret;        /* redacted in dumps and never in a problem's text */
    bool referenceable; /* may be a vault reference instead of a value */
    bool uuid;          /* the text form of a UUID */
    bool empty_list;    /* unset is written as [] and not as null */
    bool ours;          /* unset is not written at all: tools made for Kong do not know it */
    bool record;        /* a message that is there with its own defaults when it is unset */
    bool bounded;       /* min <= value <= max; of every element of a list */
    int64_t min, max;
    unsigned min_items;   /* of a list */
    const char *one_of;   /* words, separated by blanks; of every element of a list */
    const char *defaults; /* of a list: words, separated by blanks */
    /* NULL when the value is good, else why not. */
    const char *(*check)(const char *value);
    const char *says; /* what `check` wants, for the page */
};

/* Rows of a message; *num may be 0. */
const struct sp_rule *sp_rules_of(const ProtobufCMessageDescriptor *d, size_t *num);
const struct sp_rule *sp_rule_find(const ProtobufCMessageDescriptor *d, const char *field); /* NULL: none */
static inline bool sp_field_is_secret(const ProtobufCMessageDescriptor *d, const char *field)
{
    const struct sp_rule *r = sp_rule_find(d, field);
    return r && r->secret;
}

/* Kinds of plugin that a configuration may name. */
struct sp_plugin_info {
    const char *name;
    int priority;
    const char *protocols; /* default, in Kong's order */
    const char *allowed;   /* protocols it may be told */
    bool on_consumer;      /* may be attached to a consumer or a consumer group */
    bool asks;             /* for a client certificate in the handshake */
};
const struct sp_plugin_info *sp_plugin_info(struct sp_str name); /* NULL: not known */
const struct sp_plugin_info *sp_plugin_infos(size_t *num);

bool sp_words_have(const char *words, struct sp_str word);
bool sp_is_uuid(struct sp_str s);
/* Sets every unset field that has a default, of the message and of its config; has_x is true afterwards. */
void sp_msg_fill_defaults(struct sp_arena *a, ProtobufCMessage *m);
