/* One request to the Admin API: what every handler is given, and how it answers. Only for the files of this folder. */
#pragma once
#include "control/api/api.h"
#include "http/server.h"

enum { CP_MAX_SEGMENTS = 8 };

struct cp_call {
    struct cp_api *api;
    const struct cp_api_options *o;
    struct cp_config *config; /* the current one; that of the beginning stays valid to the end of the call */
    struct sp_http_exchange *x;
    struct sp_arena *arena;
    struct sp_str method;                    /* HEAD is told as GET */
    struct sp_str segments[CP_MAX_SEGMENTS]; /* decoded, without the workspace */
    size_t num_segments;
    struct sp_str workspace; /* "default" when the path does not begin with one */
    bool has_workspace;      /* it did */
    bool made_secret;        /* the entity that it answers with holds one that nobody else knows: it is shown */
    uint64_t started_ms;
};

/* Each ends the call. */
void cp_reply_json(struct cp_call *c, unsigned status, struct sp_buf *json); /* frees the buffer */
void cp_reply_message(struct cp_call *c, unsigned status, const char *fmt, ...) SP_PRINTF(3, 4);
void cp_reply_error(struct cp_call *c, unsigned status, int code, const char *name, const char *fmt, ...)
    SP_PRINTF(5, 6);                                                  /* Kong's {code, name, message} */
void cp_reply_failure(struct cp_call *c, const struct sp_error *err); /* status and shape from the code */
void cp_reply_not_found(struct cp_call *c);
void cp_reply_not_allowed(struct cp_call *c, const char *allow);
void cp_reply_text(struct cp_call *c, unsigned status, const char *type, struct sp_str body);

/* Query parameters: decoded; empty where there is none. */
struct sp_str cp_query(struct cp_call *c, const char *name);
bool cp_query_on(struct cp_call *c, const char *name); /* there, and neither 0, false nor off */
/* false: answered already (400, invalid size). */
bool cp_query_size(struct cp_call *c, size_t otherwise, size_t max, size_t *out);

/* The entity as Kong shows it. */
void cp_reply_entity(struct cp_call *c, unsigned status, const struct sp_entity *e);
void cp_reply_group(struct cp_call *c, unsigned status, const struct sp_entity *group); /* with its members */
/* By id or endpoint key, in the call's workspace; NULL: none. */
const struct sp_entity *cp_find(const struct cp_call *c, enum sp_entity_kind kind, struct sp_str id_or_key);
/* POST, PUT, PATCH, DELETE and OPTIONS of an entity path. */
void cp_api_write(struct cp_call *c, enum sp_entity_kind kind);
/* POST of an entity, but nothing is stored: /schemas/{entity}/validate. */
void cp_validate_entity(struct cp_call *c, enum sp_entity_kind kind);
/* Who asks: ?author=, or where from. */
struct sp_str cp_author(struct cp_call *c);

/* Families. A family answers the call, or leaves it alone and gives false: then it is 404. */
bool cp_api_root(struct cp_call *c);      /* /, /status, /endpoints */
bool cp_api_tags(struct cp_call *c);      /* /tags, /plugins/enabled */
bool cp_api_schemas(struct cp_call *c);   /* /schemas/... */
bool cp_api_entities(struct cp_call *c);  /* /services ... and what hangs below them */
bool cp_api_apply(struct cp_call *c);     /* /sallyport/apply, rollback */
bool cp_api_revisions(struct cp_call *c); /* /sallyport/revisions, export */
bool cp_api_explain(struct cp_call *c);   /* /sallyport/explain/..., lint, nodes */

static inline bool cp_is(const struct cp_call *c, size_t at, const char *word)
{
    return at < c->num_segments && sp_str_eq(c->segments[at], sp_str_z(word));
}
static inline bool cp_method(const struct cp_call *c, const char *method)
{
    return sp_str_eq(c->method, sp_str_z(method));
}
/* Writes {file, line, column, severity, code, path, entity, text} of each problem of that severity as a JSON array. */
void cp_json_problems(struct sp_json *j, const struct sp_problems *p, enum sp_severity severity);
/* {revision, time, author ...} */
void cp_json_revision(struct sp_json *j, const struct cp_revision *r);
