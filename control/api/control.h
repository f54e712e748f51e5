/* The control plane without its listeners: the current state, and the one way to change it. A change is parsed, checked
 * and compiled as a whole before anything is stored, so nothing that cannot run is ever committed; then it is one store
 * transaction; then it is current and published. Belongs to the loop's thread. */
#pragma once
#include "base/clock.h"
#include "control/api/config.h"

struct cp_control_options {
    struct cp_store *store;       /* borrowed */
    const struct sp_clock *clock; /* NULL: the system's */
    /* A new state is current, also once at the start when there is one. */
    void (*publish)(void *ctx, const struct cp_config *c);
    void *ctx;
};

struct cp_control;
/* Loads, compiles and publishes the newest revision. */
SP_MUST sp_result cp_control_new(const struct cp_control_options *o, struct cp_control **out, struct sp_error *err);
void cp_control_free(struct cp_control *c);                       /* NULL is fine */
struct cp_config *cp_control_current(const struct cp_control *c); /* borrowed; never NULL */
struct cp_store *cp_control_store(const struct cp_control *c);
const struct sp_clock *cp_control_clock(const struct cp_control *c);

/* What a change would do. In the arena that it was made with; ends with cp_plan_fini. */
struct cp_plan {
    struct cp_config *before, *after; /* references; after may be NULL when the text could not be read */
    struct sp_change *changes;
    size_t num_changes;
    bool settings_changed;
    struct sp_effect *effects; /* on the handshake map */
    size_t num_effects;
    struct sp_problems *problems; /* errors and warnings */
};

/* A declarative file that is to be the whole state of the workspaces it has documents for; it is that of all of them,
 * with CA certificates and settings, when it speaks for every workspace there is. SP_E_INVALID: plan->problems tells
 * everything. */
SP_MUST sp_result cp_control_plan_file(struct cp_control *c, struct sp_arena *a, struct sp_str text, struct sp_str file,
                                       struct cp_plan *plan, struct sp_error *err);
/* Single entities: each replaces the one with its id, is new, or goes. Times are set here. */
struct cp_entity_write {
    enum sp_entity_kind kind;
    struct sp_str id;
    ProtobufCMessage *message; /* with id and workspace; NULL: remove it */
};
SP_MUST sp_result cp_control_plan_entities(struct cp_control *c, struct sp_arena *a, const struct cp_entity_write *v,
                                           size_t num, struct cp_plan *plan, struct sp_error *err);
/* An old revision that is to be the newest again. Also SP_E_NOT_FOUND. */
SP_MUST sp_result cp_control_plan_rollback(struct cp_control *c, struct sp_arena *a, int64_t revision,
                                           struct cp_plan *plan, struct sp_error *err);
void cp_plan_fini(struct cp_plan *plan);

struct cp_commit_note {
    struct sp_str author, comment;
    bool rollback;
};
/* Commits a plan that has no errors, makes it current and publishes it; nothing when it changes nothing. SP_E_CONFLICT:
 * another state has become current since it was planned. */
SP_MUST sp_result cp_control_commit(struct cp_control *c, struct sp_arena *a, struct cp_plan *plan,
                                    const struct cp_commit_note *note, struct sp_error *err);
