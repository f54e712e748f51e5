/* A request's body, for plugins that look for something in it: forms and JSON objects. Worker thread. */
#pragma once
#include "plugin/plugin.h"

enum dp_body_kind { DP_BODY_OTHER, DP_BODY_FORM, DP_BODY_JSON, DP_BODY_MULTIPART };
struct dp_body_type {
    enum dp_body_kind kind;
    struct sp_str boundary; /* of a multipart body: what stands between its parts, from "--" on */
};
/* By Content-Type, which need not be true: JSON that is none has nothing in it. */
struct dp_body_type dp_body_type(struct sp_arena *a, const struct sp_request_head *r);
/* False: it has to come first, return DP_PAUSE. Otherwise *body is all of it, or empty when it is too large to be
 * looked at (it goes upstream all the same). */
SP_MUST bool dp_body_read(struct dp_call *call, struct sp_str *body);

/* How often an argument or part of a form, or a string that is a member of a JSON object, has this name; *value is the
 * first one's. A list or an object under that name counts as several; other JSON values are none. */
size_t dp_body_find(struct sp_arena *a, const struct dp_body_type *type, struct sp_str body, struct sp_str name,
                    struct sp_str *value);
/* The body without all of that name. */
struct sp_str dp_body_without(struct sp_arena *a, const struct dp_body_type *type, struct sp_str body,
                              struct sp_str name);
