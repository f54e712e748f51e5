#include "control/api/control.h"
#include "base/digests.h"
#include "base/log.h"
#include "model/message.h"
#include <stdlib.h>

enum { PASSWORD_SETS = 4096 }; /* of four; 528 KiB once there is one */

struct cp_control {
    struct cp_control_options o;
    struct cp_config *current;
    struct sp_digests *passwords; /* fingerprints: which password each hash was made of */
};

struct cp_config *cp_control_current(const struct cp_control *c)
{
    return c->current;
}

struct cp_store *cp_control_store(const struct cp_control *c)
{
    return c->o.store;
}

const struct sp_clock *cp_control_clock(const struct cp_control *c)
{
    return c->o.clock;
}

static sp_result load(struct cp_control *c, int64_t revision, struct sp_arena *a, struct cp_config **out,
                      struct sp_error *err)
{
    struct cp_state state;
    SP_TRY(cp_store_read(c->o.store, revision, a, &state, err));
    *out = cp_config_new(state.v, state.num, state.settings, NULL);
    (*out)->revision = cp_revision_dup((*out)->arena, &state.revision);
    return sp_ok();
}

static sp_result load_newest(struct cp_control *c, struct sp_error *err)
{
    struct sp_arena *a = sp_arena_new(4096);
    sp_result r = load(c, 0, a, &c->current, err);
    sp_arena_free(a);
    if (!sp_failed(r) && !cp_config_ok(c->current)) {
        r = sp_problems_result(&c->current->problems, err);
        r = sp_fail_in(err, "revision %lld of the store", (long long)c->current->revision.revision);
    }
    return r;
}

static void publish(const struct cp_control *c)
{
    if (c->o.publish)
        c->o.publish(c->o.ctx, c->current);
}

sp_result cp_control_new(const struct cp_control_options *o, struct cp_control **out, struct sp_error *err)
{
    struct cp_control *c = sp_alloc(sizeof *c);
    c->o = *o;
    c->passwords = sp_digests_new(PASSWORD_SETS);
    if (!c->o.clock)
        c->o.clock = &sp_clock_system;
    sp_result r = load_newest(c, err);
    if (sp_failed(r)) {
        cp_control_free(c);
        return r;
    }
    if (c->current->revision.revision)
        publish(c);
    *out = c;
    return sp_ok();
}

void cp_control_free(struct cp_control *c)
{
    if (!c)
        return;
    cp_config_unref(c->current);
    sp_digests_free(c->passwords);
    free(c);
}

/* --- planning */

static void set_time(ProtobufCMessage *m, const char *name, double seconds)
{
    const ProtobufCFieldDescriptor *f = sp_msg_field(m->descriptor, name);
    if (!f)
        return;
    if (f->type == PROTOBUF_C_TYPE_DOUBLE)
        *(double *)sp_msg_at(m, f) = seconds;
    else
        *(int64_t *)sp_msg_at(m, f) = (int64_t)seconds;
    sp_msg_mark(m, f);
}

static double get_time(const ProtobufCMessage *m, const char *name, double otherwise)
{
    const ProtobufCFieldDescriptor *f = sp_msg_field(m->descriptor, name);
    if (!f || !sp_msg_has(m, f))
        return otherwise;
    return f->type == PROTOBUF_C_TYPE_DOUBLE ? *(double *)sp_msg_at(m, f) : (double)*(int64_t *)sp_msg_at(m, f);
}

/* A file says nothing of times: what stays as it was keeps them, so that it also keeps its bytes. */
static void stamp(const struct cp_control *c, struct sp_arena *a, const struct sp_model *m)
{
    double now = (double)sp_clock_wall_s(c->o.clock);
    struct sp_change *changes;
    size_t num;
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        for (size_t i = 0; i < m->num[k]; i++) {
            const struct sp_entity *e = &m->entities[k][i];
            const struct sp_entity *old = sp_model_find(c->current->model, (enum sp_entity_kind)k, SP_STR(""), e->id);
            double created = old ? get_time(old->message, "created_at", now) : now;
            set_time(e->message, "created_at", created);
            set_time(e->message, "updated_at", old ? get_time(old->message, "updated_at", created) : now);
        }
    sp_model_diff(a, c->current->model, m, &changes, &num);
    for (size_t i = 0; i < num; i++)
        if (changes[i].change == SP_UPDATED)
            set_time(changes[i].after->message, "updated_at", now);
}

static size_t count(const struct sp_model *m)
{
    size_t all = 0;
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        all += m->num[k];
    return all;
}

/* Whether the text has a document for every workspace that there is: then what it leaves out is to go. */
static bool speaks_for_all(const struct sp_model *text, const struct sp_model *current)
{
    for (size_t i = 0; i < current->num[SP_WORKSPACES]; i++)
        if (!sp_map_get(text->spoken_for, current->entities[SP_WORKSPACES][i].key))
            return false;
    return true;
}

/* A file of one team must not delete what the others have: entities of workspaces that the text does not speak for
 * stay, and so does what belongs to no workspace (CA certificates), unless it speaks for all. */
static bool stays(const struct sp_model *text, const struct sp_entity *e)
{
    if (sp_model_find(text, e->kind, SP_STR(""), e->id))
        return false;
    return e->ws.len == 0 || !sp_map_get(text->spoken_for, e->ws);
}

static struct sp_stored_entity *pack(struct sp_arena *a, const struct sp_model *text, const struct sp_model *current,
                                     bool all, size_t *num)
{
    struct sp_stored_entity *v = SP_NEW_N(a, struct sp_stored_entity, count(text) + count(current) + 1);
    *num = 0;
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++) {
        const enum sp_entity_kind kind = (enum sp_entity_kind)k;
        for (size_t i = 0; i < text->num[k]; i++)
            v[(*num)++] = (struct sp_stored_entity){kind, sp_msg_pack(a, text->entities[k][i].message)};
        for (size_t i = 0; !all && i < current->num[k]; i++)
            if (stays(text, &current->entities[k][i]))
                v[(*num)++] = (struct sp_stored_entity){kind, sp_msg_pack(a, current->entities[k][i].message)};
    }
    return v;
}

static struct sp_str settings_of(struct sp_arena *a, const struct sp_model *m)
{
    return sp_msg_pack(a, &m->settings->base);
}

/* plan->after is there: what it means beside the current state. */
static sp_result compare(struct cp_control *c, struct sp_arena *a, struct cp_plan *plan, struct sp_error *err)
{
    plan->problems = &plan->after->problems;
    if (!cp_config_ok(plan->after))
        return sp_problems_result(plan->problems, err);
    sp_model_diff(a, c->current->model, plan->after->model, &plan->changes, &plan->num_changes);
    plan->settings_changed = !sp_str_eq(settings_of(a, c->current->model), settings_of(a, plan->after->model));
    sp_handshake_effects(a, c->current->resources, plan->after->resources, &plan->effects, &plan->num_effects);
    return sp_ok();
}

sp_result cp_control_plan_file(struct cp_control *c, struct sp_arena *a, struct sp_str text, struct sp_str file,
                               struct cp_plan *plan, struct sp_error *err)
{
    struct sp_model *m;
    size_t num;
    *plan = (struct cp_plan){.before = cp_config_ref(c->current), .problems = SP_NEW(a, struct sp_problems)};
    sp_problems_init(plan->problems, a);
    if (sp_failed(sp_model_parse(a, text, file, sp_clock_wall_s(c->o.clock), &m, plan->problems)))
        return sp_problems_result(plan->problems, err);
    struct sp_problems parsed = *plan->problems;
    sp_model_hash_passwords(m, c->current->model, c->passwords);
    stamp(c, a, m);
    bool all = speaks_for_all(m, c->current->model);
    struct sp_stored_entity *v = pack(a, m, c->current->model, all, &num);
    plan->after = cp_config_new(v, num, settings_of(a, all ? m : c->current->model), m);
    sp_result r = compare(c, a, plan, err);
    if (parsed.first) { /* warnings of the text itself (an expired CA) come before those of the whole */
        sp_problems_merge(&parsed, &plan->after->problems);
        plan->problems = SP_NEW(a, struct sp_problems);
        *plan->problems = parsed;
    }
    return r;
}

static struct sp_str write_key(struct sp_arena *a, enum sp_entity_kind kind, struct sp_str id)
{
    return sp_arena_printf(a, "%d/%.*s", (int)kind, SP_FMT(id));
}

static void stamp_one(const struct cp_control *c, const struct cp_entity_write *w)
{
    double now = (double)sp_clock_wall_s(c->o.clock);
    const struct sp_entity *old = sp_model_find(c->current->model, w->kind, SP_STR(""), w->id);
    set_time(w->message, "created_at", old ? get_time(old->message, "created_at", now) : now);
    set_time(w->message, "updated_at", now);
}

sp_result cp_control_plan_entities(struct cp_control *c, struct sp_arena *a, const struct cp_entity_write *v,
                                   size_t num, struct cp_plan *plan, struct sp_error *err)
{
    const struct sp_model *m = c->current->model;
    struct sp_map *written = sp_map_new(a, num);
    struct sp_stored_entity *all = SP_NEW_N(a, struct sp_stored_entity, count(m) + num + 1);
    size_t n = 0;
    *plan = (struct cp_plan){.before = cp_config_ref(c->current), .problems = SP_NEW(a, struct sp_problems)};
    sp_problems_init(plan->problems, a);
    for (size_t i = 0; i < num; i++) {
        sp_map_put(written, write_key(a, v[i].kind, v[i].id), written);
        if (!v[i].message)
            continue;
        const struct sp_entity *old = sp_model_by_id(m, v[i].kind, v[i].id);
        sp_message_hash_password(a, v[i].message, old ? old->message : NULL, c->passwords);
        stamp_one(c, &v[i]);
        all[n++] = (struct sp_stored_entity){v[i].kind, sp_msg_pack(a, v[i].message)};
    }
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        for (size_t i = 0; i < m->num[k]; i++) {
            const struct sp_entity *e = &m->entities[k][i];
            if (!sp_map_get(written, write_key(a, e->kind, e->id)))
                all[n++] = (struct sp_stored_entity){e->kind, sp_msg_pack(a, e->message)};
        }
    plan->after = cp_config_new(all, n, settings_of(a, m), NULL);
    return compare(c, a, plan, err);
}

sp_result cp_control_plan_rollback(struct cp_control *c, struct sp_arena *a, int64_t revision, struct cp_plan *plan,
                                   struct sp_error *err)
{
    *plan = (struct cp_plan){.before = cp_config_ref(c->current), .problems = SP_NEW(a, struct sp_problems)};
    sp_problems_init(plan->problems, a);
    if (revision <= 0)
        return sp_fail(err, SP_E_NOT_FOUND, "there is no revision %lld", (long long)revision);
    SP_TRY(load(c, revision, a, &plan->after, err));
    return compare(c, a, plan, err);
}

void cp_plan_fini(struct cp_plan *plan)
{
    cp_config_unref(plan->before);
    cp_config_unref(plan->after);
    *plan = (struct cp_plan){0};
}

/* --- committing */

static struct cp_write *writes(struct sp_arena *a, const struct cp_plan *plan)
{
    struct cp_write *v = SP_NEW_N(a, struct cp_write, plan->num_changes + 1);
    for (size_t i = 0; i < plan->num_changes; i++) {
        const struct sp_change *change = &plan->changes[i];
        const struct sp_entity *e = change->after ? change->after : change->before;
        v[i] = (struct cp_write){e->kind, e->id, {NULL, 0}};
        if (change->after)
            v[i].body = sp_msg_pack(a, change->after->message);
    }
    return v;
}

sp_result cp_control_commit(struct cp_control *c, struct sp_arena *a, struct cp_plan *plan,
                            const struct cp_commit_note *note, struct sp_error *err)
{
    struct cp_revision made;
    struct sp_str settings = settings_of(a, plan->after->model);
    if (plan->before != c->current)
        return sp_fail(err, SP_E_CONFLICT, "revision %lld has become current meanwhile",
                       (long long)c->current->revision.revision);
    if (plan->num_changes == 0 && !plan->settings_changed)
        return sp_ok();
    struct cp_commit commit = {
        .base = c->current->revision.revision,
        .time_ms = sp_clock_wall_s(c->o.clock) * 1000,
        .author = note->author,
        .comment = note->comment,
        .rollback = note->rollback,
        .v = writes(a, plan),
        .num = plan->num_changes,
        .settings = &settings,
    };
    SP_TRY(cp_store_commit(c->o.store, &commit, a, &made, err));
    plan->after->revision = cp_revision_dup(plan->after->arena, &made);
    cp_config_unref(c->current);
    c->current = cp_config_ref(plan->after);
    sp_log(SP_NOTICE, "revision_committed",
           "revision=%lld created=%u updated=%u deleted=%u author=\"%.*s\" comment=\"%.*s\"", (long long)made.revision,
           made.created, made.updated, made.deleted, SP_FMT(made.author), SP_FMT(made.comment));
    publish(c);
    return sp_ok();
}
