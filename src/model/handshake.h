/* The handshake map while it is compiled: which names ask for a client certificate, with which CA names, and why
 * (DESIGN section 4, kong-behaviour 2). Inside of src/model. One thread. */
#pragma once
#include "model/compile.h"
#include "model/message.h"

struct sp_handshake_map {
    Sallyport__V1__HandshakeEntry **v; /* sorted by pattern */
    size_t num;
};

void sp_handshake_compile(struct sp_arena *a, const struct sp_model *m, struct sp_handshake_map *out,
                          struct sp_problems *problems);
/* Certificates that cover names with different policies. */
void sp_handshake_lint(struct sp_arena *a, const struct sp_model *m, const struct sp_handshake_map *map,
                       struct sp_problems *problems);

/* What is accepted because Kong knows it, and not done by this release; consumers that plugins name and that are not
 * there.
 */
void sp_config_lint(struct sp_arena *a, const struct sp_model *m, struct sp_problems *problems);

/* Entities with vault references: nobody but a data plane knows what they hold. */
void sp_vault_lint(const struct sp_model *m, struct sp_problems *problems);

/* Whether a data plane runs it: itself enabled, and what it is attached to. */
bool sp_route_runs(const struct sp_model *m, const Sallyport__V1__Route *r);
bool sp_plugin_runs(const struct sp_model *m, const Sallyport__V1__Plugin *p);
const ProtobufCMessage *sp_model_message(const struct sp_model *m, enum sp_entity_kind kind,
                                         const Sallyport__V1__Ref *r);
/* A name that the pattern matches and that nobody uses: "*.a" -> "any--name.a", "*" -> "". out holds 1 + SP_HOST_MAX.
 */
struct sp_str sp_pattern_sample(struct sp_arena *a, struct sp_str pattern);
/* Bytes of the list on the wire: two of length for each name. */
size_t sp_ca_names_size(const struct sp_str *subjects, size_t num);
/* Encoded subject of a CA certificate; empty when it cannot be read. */
struct sp_str sp_ca_subject(struct sp_arena *a, const Sallyport__V1__CaCertificate *ca, struct sp_str *dn);
/* A problem at the place where an entity was written. */
struct sp_problem *sp_lint(struct sp_problems *problems, const struct sp_entity *e, enum sp_severity severity,
                           const char *code, const char *fmt, ...) SP_PRINTF(5, 6);
