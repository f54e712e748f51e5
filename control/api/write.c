/* POST, PUT, PATCH and DELETE of entities in Kong's manner (kong-behaviour 5.2). Each is a revision like any other: the
 * whole state with the change is checked and compiled before it is committed. */
#include "control/api/body.h"
#include "control/api/call.h"
#include "control/api/tree.h"
#include "model/message.h"
#include "model/rules.h"
#include <stdlib.h>

/* What a path means for a write. */
struct spot {
    enum sp_entity_kind kind;
    const struct sp_entity *parent; /* NULL: it stands at the top */
    const char *parent_field;       /* foreign key to it; NULL with a parent: membership of a group */
    bool one;                       /* names one entity, which need not exist */
    struct sp_str name;
    const struct sp_entity *old; /* NULL: it does not exist */
    bool foreign;                /* reached over another entity's foreign key: /routes/{r}/service */
};

static bool below_parent(struct cp_call *c, struct spot *s)
{
    for (const struct cp_reference *r = cp_references; r->field && c->num_segments == 3; r++)
        if (cp_is(c, 2, r->field) && sp_msg_field(s->parent->message->descriptor, r->field)) {
            s->name = cp_reference_of(s->parent, r->field);
            s->old = s->name.len ? sp_model_find(c->config->model, r->target, SP_STR(""), s->name) : NULL;
            s->kind = r->target;
            s->parent = NULL;
            s->one = s->foreign = true;
            return s->old != NULL;
        }
    const struct sp_entity_info *child = cp_child_kind(c->segments[2]);
    if (!child)
        return false;
    s->kind = child->kind;
    s->parent_field = cp_parent_field(child, s->parent->kind);
    s->one = c->num_segments == 4;
    s->name = s->one ? c->segments[3] : SP_STR("");
    s->old = s->one ? cp_find(c, s->kind, s->name) : NULL;
    if (!s->parent_field)
        return s->parent->kind == SP_CONSUMER_GROUPS && s->kind == SP_CONSUMERS;
    return !s->old || sp_str_eq(cp_reference_of(s->old, s->parent_field), s->parent->id);
}

/* false: there is no such place. */
static bool locate(struct cp_call *c, enum sp_entity_kind kind, struct spot *s)
{
    *s = (struct spot){.kind = kind, .one = c->num_segments == 2};
    if (c->num_segments == 1)
        return true;
    s->name = c->segments[1];
    const struct sp_entity *e = cp_find(c, kind, s->name);
    if (c->num_segments == 2) {
        s->old = e;
        return true;
    }
    s->parent = e;
    return e && below_parent(c, s);
}

/* --- saying what is wrong */

static struct sp_str field_of(const struct sp_problem *p) /* without an index */
{
    struct sp_str rest = p->path.len ? p->path : SP_STR("@entity");
    return sp_str_split(&rest, '[');
}

static void put_fields(struct sp_json *j, const struct sp_problems *problems)
{
    sp_json_object(j);
    for (const struct sp_problem *p = problems->first; p; p = p->next) {
        struct sp_str rest = field_of(p), top = sp_str_split(&rest, '.');
        struct sp_arena *a = problems->arena;
        if (p->severity != SP_PROBLEM_ERROR)
            continue;
        sp_json_key(j, sp_arena_dup(a, top).p);
        if (rest.p) {
            sp_json_object(j);
            sp_json_put_str(j, sp_arena_dup(a, rest).p, p->text);
            sp_json_end_object(j);
        } else {
            sp_json_str(j, p->text);
        }
    }
    sp_json_end_object(j);
}

static struct sp_str schema_message(struct cp_call *c, const struct sp_problems *problems)
{
    struct sp_buf b = {0};
    if (problems->num_errors == 1)
        sp_buf_printf(&b, "schema violation (");
    else
        sp_buf_printf(&b, "%zu schema violations (", problems->num_errors);
    bool first = true;
    for (const struct sp_problem *p = problems->first; p; p = p->next) {
        if (p->severity != SP_PROBLEM_ERROR)
            continue;
        sp_buf_printf(&b, "%s%.*s%s%.*s", first ? "" : "; ", SP_FMT(p->path), p->path.len ? ": " : "", SP_FMT(p->text));
        first = false;
    }
    sp_buf_putc(&b, ')');
    struct sp_str text = sp_arena_dup(c->arena, sp_buf_str(&b));
    sp_buf_fini(&b);
    return text;
}

static const struct sp_problem *with_code(const struct sp_problems *problems, const char *code)
{
    for (const struct sp_problem *p = problems->first; p; p = p->next)
        if (p->severity == SP_PROBLEM_ERROR && !strcmp(p->code, code))
            return p;
    return NULL;
}

static void reply_problems(struct cp_call *c, const struct sp_problems *problems)
{
    static const struct {
        const char *code;
        unsigned status;
        int number;
        const char *name;
    } kinds[] = {
        {"unique_violation", 409, 5, "unique constraint violation"},
        {"primary_key_violation", 400, 3, "primary key violation"},
        {"invalid_reference", 400, 4, "foreign key violation"},
    };
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    unsigned status = 400;
    int number = 2;
    const char *name = "schema violation";
    struct sp_str message = schema_message(c, problems);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct sp_problem *p = with_code(problems, kinds[i].code);
        if (!p)
            continue;
        status = kinds[i].status;
        number = kinds[i].number;
        name = kinds[i].name;
        message = p->text;
        break;
    }
    sp_json_object(&j);
    sp_json_put_int(&j, "code", number);
    sp_json_put_z(&j, "name", name);
    sp_json_put_str(&j, "message", message);
    sp_json_key(&j, "fields");
    put_fields(&j, problems);
    sp_json_end_object(&j);
    cp_reply_json(c, status, &b);
}

/* Something that stays points to what was to go. */
static void reply_held_back(struct cp_call *c, const struct spot *s, const struct sp_problems *problems)
{
    const struct sp_problem *p = with_code(problems, "invalid_reference");
    struct sp_str rest = p ? p->entity : SP_STR("");
    struct sp_str kind = sp_str_split(&rest, '/');
    if (!p)
        reply_problems(c, problems);
    else if (s->kind == SP_CA_CERTIFICATES)
        cp_reply_error(c, 400, 19, "referenced by others",
                       "ca certificate %.*s is still referenced by %.*s (id = %.*s)", SP_FMT(s->old->id), SP_FMT(kind),
                       SP_FMT(rest));
    else
        cp_reply_error(c, 400, 4, "foreign key violation", "an existing '%.*s' entity references this '%s' entity",
                       SP_FMT(kind), sp_entity_info(s->kind)->plural);
}

/* --- committing */

struct writes {
    struct cp_entity_write *v;
    size_t num, cap;
};

static void add(struct cp_call *c, struct writes *w, enum sp_entity_kind kind, struct sp_str id, ProtobufCMessage *m)
{
    if (w->num == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 16;
        struct cp_entity_write *v = SP_NEW_N(c->arena, struct cp_entity_write, cap);
        if (w->num)
            memcpy(v, w->v, sizeof *v * w->num);
        w->v = v;
        w->cap = cap;
    }
    w->v[w->num++] = (struct cp_entity_write){kind, id, m};
}

/* status 0: the caller answers a success. */
static bool commit(struct cp_call *c, const struct spot *s, const struct writes *w, unsigned status)
{
    struct cp_plan plan;
    struct sp_error err = {0};
    struct sp_str id = w->v[0].id;
    struct cp_commit_note note = {
        .author = cp_author(c),
        .comment = sp_arena_printf(c->arena, "%.*s %.*s", SP_FMT(c->method), SP_FMT(c->x->path)),
    };
    sp_result r = cp_control_plan_entities(c->o->control, c->arena, w->v, w->num, &plan, &err);
    bool planned = !sp_failed(r);
    if (planned)
        r = cp_control_commit(c->o->control, c->arena, &plan, &note, &err);
    if (sp_failed(r) && !planned && plan.problems->num_errors)
        w->v[0].message ? reply_problems(c, plan.problems) : reply_held_back(c, s, plan.problems);
    else if (sp_failed(r))
        cp_reply_failure(c, &err);
    c->config = cp_control_current(c->o->control);
    cp_plan_fini(&plan);
    if (sp_failed(r) || !status)
        return !sp_failed(r);
    const struct sp_entity *e = sp_model_find(c->config->model, w->v[0].kind, SP_STR(""), id);
    sp_assert(e);
    cp_reply_entity(c, status, e);
    return true;
}

/* --- one entity */

static void set_string(ProtobufCMessage *m, const char *field, struct sp_str value, struct sp_arena *a)
{
    const ProtobufCFieldDescriptor *f = sp_msg_field(m->descriptor, field);
    if (f)
        *(char **)sp_msg_at(m, f) = (char *)(uintptr_t)sp_arena_dup(a, value).p;
}

static void set_reference(ProtobufCMessage *m, const char *field, struct sp_str id, struct sp_arena *a)
{
    const ProtobufCFieldDescriptor *f = sp_msg_field(m->descriptor, field);
    ProtobufCMessage *ref = sp_msg_new(a, &sallyport__v1__ref__descriptor);
    set_string(ref, "id", id, a);
    *(ProtobufCMessage **)sp_msg_at(m, f) = ref;
}

static struct sp_str new_id(struct sp_arena *a)
{
    uint8_t b[16];
    char hex[33];
    sp_random(b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    sp_hex(b, sizeof b, hex);
    return sp_arena_printf(a, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* Names given with a certificate replace those it had, and are taken from others that had them. */
static void move_snis(struct cp_call *c, struct writes *w, const ProtobufCMessage *m, struct sp_str id)
{
    const Sallyport__V1__Certificate *cert = (const Sallyport__V1__Certificate *)m;
    const struct sp_model *model = c->config->model;
    for (size_t i = 0; cert->n_snis && i < model->num[SP_SNIS]; i++) {
        const struct sp_entity *sni = &model->entities[SP_SNIS][i];
        bool goes = sp_str_eq(cp_reference_of(sni, "certificate"), id);
        for (size_t k = 0; k < cert->n_snis; k++)
            goes = goes || sp_str_ieq(sp_str_z(cert->snis[k]->name), sni->key);
        if (goes)
            add(c, w, SP_SNIS, sni->id, NULL);
    }
}

static void store(struct cp_call *c, const struct spot *s, ProtobufCMessage *m, struct sp_str id, unsigned status)
{
    struct writes w = {0};
    set_string(m, "id", id, c->arena);
    set_string(m, "ws", s->old && s->foreign ? s->old->ws : c->workspace, c->arena);
    if (s->parent)
        set_reference(m, s->parent_field, s->parent->id, c->arena);
    add(c, &w, s->kind, id, m);
    if (s->kind == SP_CERTIFICATES)
        move_snis(c, &w, m, id);
    commit(c, s, &w, status);
}

/* An API key that nobody has written is made here, as by Kong. */
static void make_key(struct cp_call *c, ProtobufCMessage *m)
{
    uint8_t b[16];
    char hex[2 * sizeof b + 1];
    sp_random(b, sizeof b);
    sp_hex(b, sizeof b, hex);
    set_string(m, "key", sp_str_z(hex), c->arena);
    sp_wipe(b, sizeof b);
    sp_wipe(hex, sizeof hex);
    c->made_secret = true;
}

/* skip_hash=1, as Kong has it: the password that comes is a hash already. */
static bool read_entity(struct cp_call *c, enum sp_entity_kind kind, const ProtobufCMessage *base,
                        ProtobufCMessage **out, struct sp_problems *problems)
{
    if (!cp_body_message(c, sp_entity_info(kind)->descriptor, base, out, problems))
        return false;
    if (kind == SP_KEYAUTH_CREDENTIALS && !base && !((const Sallyport__V1__KeyauthCredential *)*out)->key)
        make_key(c, *out);
    const char *why =
        kind == SP_BASICAUTH_CREDENTIALS && cp_query_on(c, "skip_hash") ? sp_message_take_hash(c->arena, *out) : NULL;
    if (why)
        sp_problems_add(problems, SP_PROBLEM_ERROR, "invalid_value", SP_STR("password"), "%s", why);
    return !why;
}

static void post(struct cp_call *c, const struct spot *s)
{
    ProtobufCMessage *m;
    struct sp_problems problems;
    if (!read_entity(c, s->kind, NULL, &m, &problems)) {
        reply_problems(c, &problems);
        return;
    }
    struct sp_str id = sp_msg_string(m, "id");
    if (id.len && sp_model_find(c->config->model, s->kind, SP_STR(""), id))
        cp_reply_error(c, 400, 3, "primary key violation", "primary key violation on key '{id=\"%.*s\"}'", SP_FMT(id));
    else
        store(c, s, m, id.len ? id : new_id(c->arena), 201);
}

/* What is wrong with the entity itself. Whether others exist is not asked, as with Kong: decK validates a file before
 * any of it is there, or all of it. */
static void own_problems(struct cp_call *c, const struct sp_problems *problems, struct sp_problems *own)
{
    sp_problems_init(own, c->arena);
    for (const struct sp_problem *p = problems->first; p; p = p->next)
        if (p->severity == SP_PROBLEM_ERROR && strcmp(p->code, "invalid_reference") != 0 &&
            strcmp(p->code, "unique_violation") != 0)
            sp_problems_add(own, p->severity, p->code, p->path, "%.*s", SP_FMT(p->text));
}

void cp_validate_entity(struct cp_call *c, enum sp_entity_kind kind)
{
    ProtobufCMessage *m;
    struct sp_problems problems;
    struct writes w = {0};
    struct cp_plan plan;
    struct sp_error err = {0};
    if (!cp_body_is_readable(c)) {
        cp_reply_message(c, 415, "Unsupported media type");
        return;
    }
    if (!read_entity(c, kind, NULL, &m, &problems)) {
        reply_problems(c, &problems);
        return;
    }
    struct sp_str id = sp_msg_string(m, "id");
    id = id.len ? id : new_id(c->arena);
    set_string(m, "id", id, c->arena);
    set_string(m, "ws", c->workspace, c->arena);
    add(c, &w, kind, id, m);
    bool failed = sp_failed(cp_control_plan_entities(c->o->control, c->arena, w.v, w.num, &plan, &err));
    bool told = failed && plan.problems->num_errors;
    own_problems(c, plan.problems, &problems);
    if (failed && !told)
        cp_reply_failure(c, &err);
    else if (problems.num_errors)
        reply_problems(c, &problems);
    else
        cp_reply_message(c, 200, "schema validation successful");
    cp_plan_fini(&plan);
}

static void put(struct cp_call *c, const struct spot *s)
{
    ProtobufCMessage *m;
    struct sp_problems problems;
    const struct sp_entity_info *info = sp_entity_info(s->kind);
    bool by_id = sp_is_uuid(s->name);
    if (!by_id && !info->endpoint_key) {
        cp_reply_not_found(c);
        return;
    }
    if (!read_entity(c, s->kind, NULL, &m, &problems)) {
        reply_problems(c, &problems);
        return;
    }
    if (!by_id && sp_msg_string(m, info->endpoint_key).len == 0)
        set_string(m, info->endpoint_key, s->name, c->arena);
    store(c, s, m, s->old ? s->old->id : by_id ? s->name : new_id(c->arena), 200);
}

static void patch(struct cp_call *c, const struct spot *s)
{
    ProtobufCMessage *m;
    struct sp_problems problems;
    if (!s->old)
        cp_reply_not_found(c);
    else if (!read_entity(c, s->kind, s->old->message, &m, &problems))
        reply_problems(c, &problems);
    else
        store(c, s, m, s->old->id, 200);
}

/* --- deleting */

static const struct sp_entity *is_going(struct cp_call *c, const struct writes *w, const struct sp_entity *e)
{
    for (const struct cp_reference *r = cp_references; r->field; r++) {
        struct sp_str id = cp_reference_of(e, r->field);
        for (size_t i = 0; id.len && cp_goes_with(e->kind, r->field) && i < w->num; i++)
            if (w->v[i].kind == r->target && !w->v[i].message && sp_str_eq(w->v[i].id, id))
                return sp_model_find(c->config->model, r->target, SP_STR(""), id);
    }
    return NULL;
}

/* The group without one member, or without all (id empty). */
static ProtobufCMessage *group_without(struct cp_call *c, const struct sp_entity *group, struct sp_str id)
{
    Sallyport__V1__ConsumerGroup *g = (Sallyport__V1__ConsumerGroup *)sp_msg_copy(c->arena, group->message);
    size_t kept = 0;
    for (size_t i = 0; i < g->n_consumers; i++)
        if (id.len && !sp_str_eq(sp_str_z(g->consumers[i]->id), id))
            g->consumers[kept++] = g->consumers[i];
    bool changed = kept != g->n_consumers;
    g->n_consumers = kept;
    return changed ? &g->base : NULL;
}

static void delete (struct cp_call *c, const struct spot *s)
{
    const struct sp_model *m = c->config->model;
    struct writes w = {0};
    if (!s->old) {
        cp_reply_text(c, 204, NULL, SP_STR(""));
        return;
    }
    add(c, &w, s->kind, s->old->id, NULL);
    for (int k = 0; k < SP_NUM_ENTITY_KINDS;
         k++) /* no chain is longer than one: what goes along has nothing below it */
        for (size_t i = 0; i < m->num[k]; i++)
            if (is_going(c, &w, &m->entities[k][i]))
                add(c, &w, (enum sp_entity_kind)k, m->entities[k][i].id, NULL);
    for (size_t i = 0; s->kind == SP_CONSUMERS && i < m->num[SP_CONSUMER_GROUPS]; i++) {
        const struct sp_entity *group = &m->entities[SP_CONSUMER_GROUPS][i];
        ProtobufCMessage *without = group_without(c, group, s->old->id);
        if (without)
            add(c, &w, SP_CONSUMER_GROUPS, group->id, without);
    }
    if (commit(c, s, &w, 0))
        cp_reply_text(c, 204, NULL, SP_STR(""));
}

/* --- members of a group */

static void add_members(struct cp_call *c, const struct spot *s)
{
    ProtobufCMessage *m = sp_msg_copy(c->arena, s->parent->message);
    struct sp_str *names;
    size_t num;
    struct writes w = {0};
    if (!cp_body_names(c, "consumer", &names, &num)) {
        cp_reply_error(c, 400, 2, "schema violation", "schema violation (consumer: required field missing)");
        return;
    }
    const ProtobufCFieldDescriptor *f = sp_msg_field(m->descriptor, "consumers");
    for (size_t i = 0; i < num; i++) {
        Sallyport__V1__Ref **slot = sp_msg_append(c->arena, m, f);
        *slot = (Sallyport__V1__Ref *)sp_msg_new(c->arena, &sallyport__v1__ref__descriptor);
        set_string(&(*slot)->base, "id", names[i], c->arena);
    }
    add(c, &w, SP_CONSUMER_GROUPS, s->parent->id, m);
    struct sp_str id = s->parent->id;
    if (commit(c, s, &w, 0))
        cp_reply_group(c, 201, sp_model_find(c->config->model, SP_CONSUMER_GROUPS, SP_STR(""), id));
}

static void drop_members(struct cp_call *c, const struct spot *s)
{
    struct writes w = {0};
    if (s->one && !s->old) {
        cp_reply_not_found(c);
        return;
    }
    ProtobufCMessage *without = group_without(c, s->parent, s->one ? s->old->id : SP_STR(""));
    if (!without) {
        s->one ? cp_reply_not_found(c) : cp_reply_text(c, 204, NULL, SP_STR(""));
        return;
    }
    add(c, &w, SP_CONSUMER_GROUPS, s->parent->id, without);
    if (commit(c, s, &w, 0))
        cp_reply_text(c, 204, NULL, SP_STR(""));
}

/* --- which of them */

void cp_api_write(struct cp_call *c, enum sp_entity_kind kind)
{
    struct spot s;
    if (!locate(c, kind, &s)) {
        cp_reply_not_found(c);
        return;
    }
    bool members = s.parent && !s.parent_field;
    const char *allow = members     ? (s.one ? "GET, HEAD, OPTIONS, DELETE" : "GET, HEAD, OPTIONS, POST, DELETE")
                        : s.foreign ? "GET, HEAD, OPTIONS, PATCH, PUT"
                        : s.one     ? "GET, HEAD, OPTIONS, PATCH, PUT, DELETE"
                                    : "GET, HEAD, OPTIONS, POST";
    if (cp_method(c, "OPTIONS") || !cp_words_have(allow, c->method))
        cp_reply_not_allowed(c, allow);
    else if (!cp_method(c, "DELETE") && !cp_body_is_readable(c))
        cp_reply_message(c, 415, "Unsupported media type: send application/json or application/x-www-form-urlencoded");
    else if (members)
        cp_method(c, "POST") ? add_members(c, &s) : drop_members(c, &s);
    else if (cp_method(c, "POST"))
        post(c, &s);
    else if (cp_method(c, "PUT"))
        put(c, &s);
    else if (cp_method(c, "PATCH"))
        patch(c, &s);
    else
        delete (c, &s);
}
