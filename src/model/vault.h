/* Vault references: {vault://NAME/RESOURCE[/KEY]} in a field that may hold one stands for a secret that only data
 * planes know (kong-behaviour 5.1). Here is their form; src/config/vault.h puts values in their place. Inside of
 * src/model and of src/config. Any thread. */
#pragma once
#include "base/arena.h"

struct sp_vault_reference {
    struct sp_str vault;    /* env, or the prefix of a vault entity */
    struct sp_str resource; /* letters, digits, - and _ */
    struct sp_str key;      /* in the JSON object that the resource holds; empty: the whole of it */
    struct sp_str prefix;   /* of ?prefix=NAME; empty: none */
};

enum { SP_VAULT_MAX_NAME = 256 }; /* bytes of each of these */

/* Meant as one, well-formed or not. */
static inline bool sp_is_vault_reference(struct sp_str text)
{
    return sp_str_starts(text, SP_STR("{vault://"));
}
/* What it says, borrowed from the text. NULL when it is well-formed, else why not. */
const char *sp_vault_reference_parse(struct sp_str text, struct sp_vault_reference *out);

/* Kinds of vault that Kong has and data planes of ours do not; NULL: not such a word. */
const char *sp_vault_not_served(struct sp_str name);
