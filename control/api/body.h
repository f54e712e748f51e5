/* Bodies of entity writes: JSON, or a form as curl sends it. Only for the files of this folder. */
#pragma once
#include "control/api/call.h"

/* false: neither JSON nor a form (415). */
bool cp_body_is_readable(const struct cp_call *c);
/* To a message; base not NULL: what is not named stays as there (PATCH). false: problems, in the call's arena. */
bool cp_body_message(struct cp_call *c, const ProtobufCMessageDescriptor *d, const ProtobufCMessage *base,
                     ProtobufCMessage **out, struct sp_problems *problems);
/* {"name": "x"} or {"name": ["x", "y"]}. false: neither. */
bool cp_body_names(struct cp_call *c, const char *name, struct sp_str **out, size_t *num);
/* Is the word among those of a list with commas? */
bool cp_words_have(const char *words, struct sp_str word);
