/* Entities to resources: what a data plane runs. The control plane calls it in hybrid mode, the data plane itself in
 * db-less mode; the same input gives the same bytes. Also the handshake map for people: effect of a change, lint,
 * explain. */
#pragma once
#include "model/model.h"
#include "sallyport/v1/resources.pb-c.h"

struct sp_resource {
    Sallyport__V1__Kind kind;
    struct sp_str name;
    struct sp_str body;        /* serialised message of that kind */
    uint8_t hash[16];          /* first 16 bytes of SHA-256 of body */
    ProtobufCMessage *message; /* the same, unpacked; in the arena */
};

struct sp_resources {
    struct sp_resource *v; /* sorted by (kind, name); no duplicates */
    size_t num;
};

/* Warnings (lint) go to problems too: a global or SNI-less instance that makes every handshake ask, a certificate that
 * covers names with different policies, a CA list over 8 KiB, an expired CA. Errors: a CA list over 65,535 bytes
 * encoded. */
SP_MUST sp_result sp_compile(struct sp_arena *a, const struct sp_model *m, struct sp_resources **out,
                             struct sp_problems *problems);

enum { SP_LAST_KIND = SALLYPORT__V1__KIND__VAULT };
/* The message type that a kind of resource carries; NULL: not a kind. */
const ProtobufCMessageDescriptor *sp_resource_descriptor(Sallyport__V1__Kind kind);
/* NULL: none. */
const struct sp_resource *sp_resources_find(const struct sp_resources *r, Sallyport__V1__Kind kind, struct sp_str name);

/* --- the handshake map, explained --- */
struct sp_handshake_answer {
    bool ask;
    struct sp_str matched;                      /* pattern of the entry that answered; empty: none */
    const Sallyport__V1__HandshakeEntry *entry; /* NULL: none */
    struct sp_str *ca_names;                    /* subject DNs in text, in the order sent */
    size_t num_ca_names, ca_names_bytes;        /* bytes: of those that are known here */
    struct sp_str certificate_id;               /* server certificate that answers this name; empty: the default one */
    struct sp_str certificate_pattern;
};
/* sni as a client would send it; empty: none. */
void sp_explain_handshake(struct sp_arena *a, const struct sp_resources *r, struct sp_str sni,
                          struct sp_handshake_answer *out);
void sp_handshake_answer_json(const struct sp_handshake_answer *h, struct sp_str sni, struct sp_buf *out);

/* Which names change between two sets of resources: "will start to ask", "will stop to ask", "CA names change". */
enum sp_effect_kind { SP_EFFECT_STARTS, SP_EFFECT_STOPS, SP_EFFECT_CA_NAMES };
struct sp_effect {
    enum sp_effect_kind effect;
    struct sp_str sni;
    struct sp_str why; /* from the provenance */
};
void sp_handshake_effects(struct sp_arena *a, const struct sp_resources *before, const struct sp_resources *after,
                          struct sp_effect **out, size_t *num); /* before may be NULL */
