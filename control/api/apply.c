/* POST /sallyport/apply: a whole declarative file becomes the state. POST /sallyport/rollback?revision=N: an old state
 * becomes the newest. Both answer what changes, also with dry_run=1. */
#include "control/api/call.h"
#include "model/message.h"

static const char *const change_words[] = {[SP_CREATED] = "create", [SP_UPDATED] = "update", [SP_DELETED] = "delete"};
static const char *const effect_words[] = {
    [SP_EFFECT_STARTS] = "starts", [SP_EFFECT_STOPS] = "stops", [SP_EFFECT_CA_NAMES] = "ca_names"};

/* What people call an entity that has no endpoint key. */
static struct sp_str label(struct cp_call *c, const struct cp_plan *plan, const struct sp_change *change,
                           const struct sp_entity *e)
{
    static const char *const names[] = {"subject_name", "target", "group", "name"};
    static const struct {
        const char *field;
        enum sp_entity_kind kind;
    } scopes[] = {{"route", SP_ROUTES}, {"service", SP_SERVICES}, {"consumer", SP_CONSUMERS}};
    const struct sp_model *m = (change->after ? plan->after : plan->before)->model;
    struct sp_str text = e->key;
    for (size_t i = 0; i < 4 && text.len == 0; i++)
        if (sp_msg_field(e->message->descriptor, names[i]))
            text = sp_msg_string(e->message, names[i]);
    for (size_t i = 0; e->key.len == 0 && i < 3; i++) {
        const ProtobufCMessage *ref =
            sp_msg_field(e->message->descriptor, scopes[i].field) ? sp_msg_child(e->message, scopes[i].field) : NULL;
        const struct sp_entity *on =
            ref ? sp_model_find(m, scopes[i].kind, SP_STR(""), sp_msg_string(ref, "id")) : NULL;
        if (on)
            return sp_arena_printf(c->arena, "%.*s (%s %.*s)", SP_FMT(text), scopes[i].field,
                                   SP_FMT(on->key.len ? on->key : on->id));
    }
    return text;
}

static void put_change(struct cp_call *c, struct sp_json *j, const struct cp_plan *plan, const struct sp_change *change)
{
    const struct sp_entity *e = change->after ? change->after : change->before;
    sp_json_object(j);
    sp_json_put_z(j, "change", change_words[change->change]);
    sp_json_put_z(j, "kind", sp_entity_info(e->kind)->plural);
    sp_json_put_str(j, "id", e->id);
    sp_json_put_str(j, "key", e->key);
    sp_json_put_str(j, "label", label(c, plan, change, e));
    sp_json_put_str(j, "workspace", e->ws);
    sp_json_key(j, "fields");
    sp_json_array(j);
    for (size_t i = 0; i < change->num_fields; i++)
        sp_json_str(j, change->fields[i]);
    sp_json_end_array(j);
    sp_json_end_object(j);
}

static void put_changes(struct cp_call *c, struct sp_json *j, const struct cp_plan *plan)
{
    sp_json_key(j, "changes");
    sp_json_array(j);
    for (size_t i = 0; i < plan->num_changes; i++)
        put_change(c, j, plan, &plan->changes[i]);
    if (plan->settings_changed) {
        sp_json_object(j);
        sp_json_put_z(j, "change", "update");
        sp_json_put_z(j, "kind", "settings");
        sp_json_put_z(j, "key", "_sallyport");
        sp_json_end_object(j);
    }
    sp_json_end_array(j);
    sp_json_key(j, "effects");
    sp_json_array(j);
    for (size_t i = 0; i < plan->num_effects; i++) {
        sp_json_object(j);
        sp_json_put_z(j, "effect", effect_words[plan->effects[i].effect]);
        sp_json_put_str(j, "sni", plan->effects[i].sni);
        sp_json_put_str(j, "why", plan->effects[i].why);
        sp_json_end_object(j);
    }
    sp_json_end_array(j);
}

static void reply_plan(struct cp_call *c, const struct cp_plan *plan, bool dry_run)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    sp_json_object(&j);
    sp_json_put_bool(&j, "dry_run", dry_run);
    sp_json_put_bool(&j, "changed", plan->num_changes || plan->settings_changed);
    sp_json_put_int(&j, "base_revision", plan->before->revision.revision);
    sp_json_put_int(&j, "revision", cp_control_current(c->o->control)->revision.revision);
    put_changes(c, &j, plan);
    sp_json_key(&j, "warnings");
    cp_json_problems(&j, plan->problems, SP_PROBLEM_WARNING);
    sp_json_end_object(&j);
    cp_reply_json(c, 200, &b);
}

static void reply_problems(struct cp_call *c, const struct cp_plan *plan, const struct sp_error *err)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    sp_json_object(&j);
    sp_json_put_int(&j, "code", 14);
    sp_json_put_z(&j, "name", "invalid declarative configuration");
    sp_json_put_z(&j, "message", err->text);
    sp_json_key(&j, "errors");
    cp_json_problems(&j, plan->problems, SP_PROBLEM_ERROR);
    sp_json_key(&j, "warnings");
    cp_json_problems(&j, plan->problems, SP_PROBLEM_WARNING);
    sp_json_end_object(&j);
    cp_reply_json(c, 400, &b);
}

/* base_revision: the writer's own idea of what is current. false: answered. */
static bool base_is_current(struct cp_call *c)
{
    struct sp_str text = cp_query(c, "base_revision");
    uint64_t base;
    if (text.len == 0)
        return true;
    if (!sp_str_to_u64(text, &base)) {
        cp_reply_error(c, 400, 2, "schema violation", "schema violation (base_revision: expected an integer)");
        return false;
    }
    if ((int64_t)base == c->config->revision.revision)
        return true;
    cp_reply_error(c, 409, 5, "conflict", "based on revision %llu, but revision %lld is current",
                   (unsigned long long)base, (long long)c->config->revision.revision);
    return false;
}

static void finish(struct cp_call *c, struct cp_plan *plan, sp_result planned, struct sp_error *err, bool rollback)
{
    bool dry_run = cp_query_on(c, "dry_run");
    struct cp_commit_note note = {cp_author(c), cp_query(c, "comment"), rollback};
    if (sp_failed(planned) && plan->problems && plan->problems->num_errors)
        reply_problems(c, plan, err);
    else if (sp_failed(planned))
        cp_reply_failure(c, err);
    else if (!dry_run && sp_failed(cp_control_commit(c->o->control, c->arena, plan, &note, err)))
        cp_reply_failure(c, err);
    else
        reply_plan(c, plan, dry_run);
    cp_plan_fini(plan);
}

enum { MAX_NOTE = 1000 }; /* bytes of an author or a comment */

static bool notes_fit(struct cp_call *c)
{
    static const char *const names[] = {"author", "comment"};
    for (size_t i = 0; i < 2; i++)
        if (cp_query(c, names[i]).len > MAX_NOTE) {
            cp_reply_error(c, 400, 2, "schema violation", "schema violation (%s: length must be at most %d)", names[i],
                           MAX_NOTE);
            return false;
        }
    return true;
}

static void post_apply(struct cp_call *c)
{
    struct cp_plan plan;
    struct sp_error err = {0};
    struct sp_str file = cp_query(c, "file"); /* what the client calls it: only for messages */
    if (!base_is_current(c) || !notes_fit(c))
        return;
    if (c->x->body.len == 0) {
        cp_reply_error(c, 400, 14, "invalid declarative configuration",
                       "the body is empty: send a declarative file, YAML or JSON");
        return;
    }
    sp_result r = cp_control_plan_file(c->o->control, c->arena, c->x->body, file, &plan, &err);
    finish(c, &plan, r, &err, false);
}

static void post_rollback(struct cp_call *c)
{
    struct cp_plan plan;
    struct sp_error err = {0};
    uint64_t revision;
    if (!base_is_current(c) || !notes_fit(c))
        return;
    if (!sp_str_to_u64(cp_query(c, "revision"), &revision) || revision > INT64_MAX) {
        cp_reply_error(c, 400, 2, "schema violation", "schema violation (revision: expected an integer)");
        return;
    }
    sp_result r = cp_control_plan_rollback(c->o->control, c->arena, (int64_t)revision, &plan, &err);
    finish(c, &plan, r, &err, true);
}

bool cp_api_apply(struct cp_call *c)
{
    if (!cp_is(c, 0, "sallyport") || c->num_segments != 2)
        return false;
    void (*post)(struct cp_call *) = cp_is(c, 1, "apply") ? post_apply : cp_is(c, 1, "rollback") ? post_rollback : NULL;
    if (!post)
        return false;
    if (cp_method(c, "POST"))
        post(c);
    else
        cp_reply_not_allowed(c, "POST, OPTIONS");
    return true;
}
