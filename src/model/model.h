/* The entities of a whole store or file: parsed, defaulted, validated, references resolved, ids given. Read-only once
 * made; the messages live in the arena. Any thread. DESIGN section 1 rule 3: one schema, one walk. */
#pragma once
#include "base/map.h"
#include "model/problem.h"
#include "sallyport/v1/entities.pb-c.h"

enum sp_entity_kind {
    SP_WORKSPACES,
    SP_SERVICES,
    SP_ROUTES,
    SP_UPSTREAMS,
    SP_TARGETS,
    SP_CONSUMERS,
    SP_CONSUMER_GROUPS,
    SP_MTLS_AUTH_CREDENTIALS,
    SP_CERTIFICATES,
    SP_SNIS,
    SP_CA_CERTIFICATES,
    SP_PLUGINS,
    SP_KEYAUTH_CREDENTIALS,
    SP_ACLS,
    SP_HEADER_CERT_AUTH_CREDENTIALS,
    SP_VAULTS,
    SP_BASICAUTH_CREDENTIALS,
    SP_NUM_ENTITY_KINDS
};

/* One row per kind: everything that differs between collections. */
struct sp_entity_info {
    enum sp_entity_kind kind;
    const char *plural;       /* "mtls_auth_credentials": in files */
    const char *rest;         /* "mtls-auths": in the Admin API */
    const char *endpoint_key; /* "name", "username"; NULL: id only */
    const ProtobufCMessageDescriptor *descriptor;
    bool workspaced;
};
const struct sp_entity_info *sp_entity_info(enum sp_entity_kind kind);
const struct sp_entity_info *sp_entity_by_plural(struct sp_str plural); /* NULL: no such collection */
const struct sp_entity_info *sp_entity_by_rest(struct sp_str rest);

struct sp_entity {
    enum sp_entity_kind kind;
    struct sp_str id, key; /* key: endpoint key value, may be empty */
    struct sp_str ws;      /* workspace name; empty for kinds without one */
    ProtobufCMessage *message;
    struct sp_str file; /* where it was written, for problems that are found later; may be empty */
    unsigned line;
};

struct sp_model {
    struct sp_arena *arena;
    struct sp_entity *entities[SP_NUM_ENTITY_KINDS]; /* sorted by id: a model of the same content is the same bytes */
    size_t num[SP_NUM_ENTITY_KINDS];
    Sallyport__V1__Settings *settings; /* never NULL */
    /* Names of the workspaces that a text has a document for (values are not NULL): it says nothing of others. NULL:
     * not from a text. */
    const struct sp_map *spoken_for;
};

enum { SP_MODEL_MAX_FILE = 64 << 20 }; /* bytes of a declarative file; more is refused before it is read */

/* A declarative file, YAML or JSON, to a model. All problems are reported, not only the first. Deterministic ids for
 * entities without one (kong-behaviour 5.1). On any error *out is NULL. Time is given: expiry of CA certificates is
 * judged at `now` (seconds since 1970). */
SP_MUST sp_result sp_model_parse(struct sp_arena *a, struct sp_str text, struct sp_str file, int64_t now,
                                 struct sp_model **out, struct sp_problems *problems);
/* The same checks for a model that comes from the store (list of entities in their serialised form). */
struct sp_stored_entity {
    enum sp_entity_kind kind;
    struct sp_str bytes; /* protobuf */
};
SP_MUST sp_result sp_model_load(struct sp_arena *a, const struct sp_stored_entity *v, size_t num,
                                struct sp_str settings_bytes, struct sp_model **out, struct sp_problems *problems);
/* Finds by id or endpoint key. ws empty: any. NULL: none. */
const struct sp_entity *sp_model_find(const struct sp_model *m, enum sp_entity_kind kind, struct sp_str ws,
                                      struct sp_str id_or_key);

/* By id alone, in time that grows with the logarithm. */
const struct sp_entity *sp_model_by_id(const struct sp_model *m, enum sp_entity_kind kind, struct sp_str id);

/* --- text forms: one descriptor walk for files, the Admin API and dumps --- */
/* Secrets (private keys, passwords) are written as "[redacted]" when redact is on; a vault reference is none. Unset
 * fields are null. indent 0: compact. */
void sp_entity_write_json(const struct sp_entity *e, bool redact, int indent, struct sp_buf *out);
void sp_model_write_yaml(const struct sp_model *m, bool redact,
                         struct sp_buf *out); /* a declarative file that applies to the same model */
void sp_message_write_json(const ProtobufCMessage *msg, bool redact, int indent, struct sp_buf *out);
/* JSON text to a message of this type, strict; used for Admin API bodies. */
SP_MUST sp_result sp_message_parse(struct sp_arena *a, const ProtobufCMessageDescriptor *d, struct sp_str text,
                                   struct sp_str file, ProtobufCMessage **out, struct sp_problems *problems);

/* The same over a copy of `base` (PATCH): what the text names is replaced, null resets to the default, records merge,
 * lists are replaced. Neither fills defaults: sp_model_load does. Paths in problems are relative to the message
 * ("config.ca_certificates"). */
SP_MUST sp_result sp_message_patch(struct sp_arena *a, const ProtobufCMessage *base, struct sp_str text,
                                   struct sp_str file, ProtobufCMessage **out, struct sp_problems *problems);

/* --- passwords of basicauth_credentials: hashed before a model is compiled, stored or shown; sp_compile refuses others
 * --- */
struct sp_digests;
/* Each password becomes a hash that may be stored (tls/password.h). A credential whose hash in `current` (may be NULL)
 * belongs to the same password keeps that hash: what is applied twice changes nothing. Costs tens of milliseconds for
 * each password, on as many threads as there are processors; not for those of which `known` remembers that the hash
 * belongs to them. The arena of `m` is overwritten when it is freed. */
void sp_model_hash_passwords(struct sp_model *m, const struct sp_model *current, struct sp_digests *known);
/* The same for one message of any kind; `a` is where it lives. */
void sp_message_hash_password(struct sp_arena *a, ProtobufCMessage *m, const ProtobufCMessage *current,
                              struct sp_digests *known);
/* For a process that stores nothing: the cheap form, equal as long as the process lives. */
void sp_model_seal_passwords(struct sp_model *m);
/* The message's password is said to be a hash already. NULL when it is one, of Kong's form too; else why not. */
const char *sp_message_take_hash(struct sp_arena *a, ProtobufCMessage *m);

/* --- difference of two models --- */
enum sp_change_kind { SP_CREATED, SP_UPDATED, SP_DELETED };
struct sp_change {
    enum sp_change_kind change;
    const struct sp_entity *before, *after; /* one may be NULL */
    struct sp_str *fields;                  /* paths of what differs in an update */
    size_t num_fields;
};
/* In the arena; timestamps (created_at, updated_at) do not count. before may be NULL (everything is new). */
void sp_model_diff(struct sp_arena *a, const struct sp_model *before, const struct sp_model *after,
                   struct sp_change **out, size_t *num);
