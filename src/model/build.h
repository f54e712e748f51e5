/* A model while it is made: entities of all kinds in growing lists, and where each was written. Inside of src/model. */
#pragma once
#include "model/model.h"
#include "model/text.h"

struct sp_entity_list {
    struct sp_entity **v;
    size_t num, cap;
};

struct sp_builder {
    struct sp_arena *arena;
    struct sp_problems *problems;
    struct sp_reader *reader; /* NULL: the entities come from the store */
    struct sp_str file;
    int64_t now; /* seconds since 1970 */
    struct sp_entity_list kinds[SP_NUM_ENTITY_KINDS];
    struct sp_map *by_id[SP_NUM_ENTITY_KINDS];  /* id -> struct sp_entity */
    struct sp_map *by_key[SP_NUM_ENTITY_KINDS]; /* workspace, NUL, endpoint key -> struct sp_entity */
    struct sp_map *copies;                      /* content of nameless entities -> how many say that */
    Sallyport__V1__Settings *settings;
    struct sp_map
        *parents; /* address of a Ref -> the struct sp_entity it means, for nested entities without an id yet */
    struct sp_map *spoken_for;         /* workspaces that have a document */
    struct sp_membership *memberships; /* consumers' groups, while flattening */
};

void sp_builder_init(struct sp_builder *b, struct sp_arena *a, struct sp_str file, int64_t now,
                     struct sp_problems *problems);

/* Takes over one entity and everything nested in it. */
void sp_flatten_document(struct sp_builder *b, Sallyport__V1__Document *doc);
void sp_flatten_entity(struct sp_builder *b, enum sp_entity_kind kind, ProtobufCMessage *m, const char *ws);
void sp_name_workspace(struct sp_builder *b, const char *name); /* makes it when it is not there */
void sp_flatten_end(struct sp_builder *b); /* consumers' groups into the groups; the workspaces that are named */

/* In this order; each works on what the one before left, and adds problems. */
void sp_check_certificates(struct sp_builder *b);
void sp_link(
    struct sp_builder *b); /* references to ids, ids for entities without one, index; duplicates are problems */
void sp_check_references(struct sp_builder *b); /* vault references */
/* A vault reference or a variable, which is not the value itself: sp_check_references says what it may be. */
bool sp_stands_for_another(const char *text);
void sp_check_fields(struct sp_builder *b); /* each message by itself: rules.c, and what several fields say together */
void sp_check_unique(struct sp_builder *b);
/* What several fields of a plugin's config say together. */
void sp_check_config(struct sp_builder *b, const struct sp_entity *e, const Sallyport__V1__Plugin *p);
void sp_check_plugins(struct sp_builder *b); /* protocols against routes, scopes, what a kind wants */

/* A problem with `field` ("paths[0]", "config.ca_certificates", "" for the entity as a whole). */
struct sp_problem *sp_entity_problem(struct sp_builder *b, const struct sp_entity *e, enum sp_severity severity,
                                     const char *code, const char *field, const char *fmt, ...) SP_PRINTF(6, 7);
struct sp_str sp_entity_label(struct sp_arena *a, const struct sp_entity *e); /* "routes/<name or id>" */
const struct sp_entity *sp_builder_find(const struct sp_builder *b, enum sp_entity_kind kind, struct sp_str ws,
                                        struct sp_str id_or_key);
struct sp_str sp_scoped_key(struct sp_arena *a, struct sp_str ws, struct sp_str key);

/* RFC 9562 version 5: SHA-1 of namespace and name; out holds 37. */
void sp_uuid5(const uint8_t space[16], struct sp_str name, char out[37]);
SP_MUST bool sp_uuid_bytes(struct sp_str text, uint8_t out[16]);

/* Id of the CA that an id, a digest, a PEM text or a tag of exactly one CA means; empty and *why otherwise. */
struct sp_str sp_find_ca(const struct sp_builder *b, struct sp_str text, const char **why);

#define SP_DEFAULT_WORKSPACE "default"
#define SP_DEFAULT_WORKSPACE_ID "0dc6f45b-8f8d-40d2-a504-473544ee190b"
