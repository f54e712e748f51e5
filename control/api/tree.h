/* How entities hang together, from the foreign keys of the schema. Only for the files of this folder. */
#pragma once
#include "model/model.h"

struct cp_reference {
    const char *field; /* foreign key */
    enum sp_entity_kind target;
};
extern const struct cp_reference cp_references[]; /* field NULL at the end */

/* Id that a foreign key of the entity holds; empty: none, or it has no such field. */
struct sp_str cp_reference_of(const struct sp_entity *e, const char *field);
/* The field of the child's schema that points to the parent; NULL: it does not hang there. */
const char *cp_parent_field(const struct sp_entity_info *child, enum sp_entity_kind parent);
/* "routes", "mtls-auth": the collection's word, or without its last letter, as Kong writes credentials. NULL: none. */
const struct sp_entity_info *cp_child_kind(struct sp_str word);
/* Does the child go when what this foreign key points to goes? Otherwise it holds it back. */
bool cp_goes_with(enum sp_entity_kind child, const char *field);
