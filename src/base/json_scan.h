/* Reading JSON (RFC 8259) where it stands: a strict check, and the members of an object as pieces of the text. No tree,
 * and no memory but for texts that are decoded. For bytes that clients sent; a model is read by src/model. Any thread.
 */
#pragma once
#include "base/arena.h"

/* One value with nothing but blanks around it, valid UTF-8, no deeper than SP_JSON_DEPTH. */
SP_MUST bool sp_json_valid(struct sp_str text);

struct sp_json_member {
    struct sp_str name, value; /* as they stand in the text: the name with its quotes */
};
/* The next member of an object; *rest is the whole valid text at first. false: there is no more, or it is no object. */
bool sp_json_next(struct sp_str *rest, struct sp_json_member *out);
/* What a string with its quotes says. false: it is no string, or half of a surrogate pair. */
SP_MUST bool sp_json_decode(struct sp_arena *a, struct sp_str string, struct sp_str *out);
