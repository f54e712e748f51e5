/* One state of the control plane: a revision's entities and what they compile to. Read-only once made, counted; belongs
 * to the loop's thread. */
#pragma once
#include "control/store/store.h"
#include "explain/explain.h"
#include "model/compile.h"

struct cp_config {
    unsigned refs;
    struct sp_arena *arena; /* everything below lives here */
    struct cp_revision revision;
    struct sp_model *model;         /* NULL: problems has the errors */
    struct sp_resources *resources; /* NULL: problems has the errors */
    struct sp_problems problems;    /* warnings too: the lint of this state */
    struct sp_explainer *explainer; /* made when somebody asks; NULL: nobody has */
};

/* Loads and compiles stored entities. Never NULL; cp_config_ok tells whether it may be used. `places` (may be NULL) is
 * the model that the entities were made from: it lends the file and line of each to the problems. */
struct cp_config *cp_config_new(const struct sp_stored_entity *v, size_t num, struct sp_str settings,
                                const struct sp_model *places);
static inline bool cp_config_ok(const struct cp_config *c)
{
    return c->resources != NULL;
}
/* What explains requests under this state: the compile is paid once for each state that somebody asks about. NULL: err
 * says why a data plane could not run it from here. */
const struct sp_explainer *cp_config_explainer(struct cp_config *c, struct sp_error *err);
struct cp_config *cp_config_ref(struct cp_config *c);
void cp_config_unref(struct cp_config *c); /* NULL is fine */
