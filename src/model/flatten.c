/* Nesting of the declarative file to lists of entities that refer to each other. */
#include "model/build.h"

#include "model/rules.h"

struct sp_membership {
    struct sp_membership *next;
    const struct sp_entity *consumer;
    const Sallyport__V1__Ref *ref;
    size_t index;
    const struct sp_entity *group;
};

static char *z(const char *s) /* protobuf-c's strings are not const; nobody writes to them */
{
    return (char *)(uintptr_t)s;
}

static struct sp_entity *add_entity(struct sp_builder *b, enum sp_entity_kind kind, ProtobufCMessage *m, const char *ws)
{
    struct sp_entity_list *l = &b->kinds[kind];
    if (l->num == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        struct sp_entity **v = SP_NEW_N(b->arena, struct sp_entity *, cap);
        if (l->num)
            memcpy(v, l->v, l->num * sizeof *v);
        l->v = v;
        l->cap = cap;
    }
    const struct sp_entity_info *info = sp_entity_info(kind);
    const struct sp_origin *o = b->reader ? sp_reader_origin(b->reader, m) : NULL;
    struct sp_entity *e = SP_NEW(b->arena, struct sp_entity);
    e->kind = kind;
    e->message = m;
    e->id = sp_msg_string(m, "id");
    e->key = info->endpoint_key ? sp_msg_string(m, info->endpoint_key) : SP_STR("");
    e->ws = info->workspaced ? sp_str_z(ws) : SP_STR("");
    e->file = b->file;
    e->line = o ? o->node->line : 0;
    const ProtobufCFieldDescriptor *f = info->workspaced ? sp_msg_field(m->descriptor, "ws") : NULL;
    if (f)
        *(char **)sp_msg_at(m, f) = z(ws);
    sp_msg_fill_defaults(b->arena, m);
    return l->v[l->num++] = e;
}

/* A nested entity refers to what it stands in by a Ref like any other. The parent may have no id yet, so the Ref is
 * remembered by its address until ids are given. */
static Sallyport__V1__Ref *ref_to(struct sp_builder *b, const struct sp_entity *e)
{
    struct parent_ref {
        Sallyport__V1__Ref *address;
    } *key = SP_NEW(b->arena, struct parent_ref);
    key->address = (Sallyport__V1__Ref *)sp_msg_new(b->arena, &sallyport__v1__ref__descriptor);
    sp_map_put(b->parents, sp_str(&key->address, sizeof key->address), (void *)(uintptr_t)e);
    return key->address;
}

static void set_parent(struct sp_builder *b, const struct sp_entity *child, const char *field,
                       const struct sp_entity *parent)
{
    const ProtobufCFieldDescriptor *f = sp_msg_field(child->message->descriptor, field);
    sp_assert(f && sp_field_is_ref(f));
    Sallyport__V1__Ref **at = sp_msg_at(child->message, f);
    if (*at)
        sp_entity_problem(b, child, SP_PROBLEM_ERROR, "invalid_value", field,
                          "must not be set here: it is given by where this stands");
    *at = ref_to(b, parent);
}

static void remember_groups(struct sp_builder *b, const struct sp_entity *consumer)
{
    Sallyport__V1__Consumer *c = (Sallyport__V1__Consumer *)consumer->message;
    for (size_t i = 0; i < c->n_groups; i++) {
        struct sp_membership *m = SP_NEW(b->arena, struct sp_membership);
        *m = (struct sp_membership){.next = b->memberships, .consumer = consumer, .ref = c->groups[i], .index = i};
        b->memberships = m;
    }
    c->n_groups = 0;
    c->groups = NULL;
}

/* Which collection a nested field holds, and by which field its entities refer to what they stand in. */
static const struct nesting {
    enum sp_entity_kind parent, child;
    const char *field, *ref;
} nestings[] = {
    {SP_SERVICES, SP_ROUTES, "routes", "service"},
    {SP_SERVICES, SP_PLUGINS, "plugins", "service"},
    {SP_ROUTES, SP_PLUGINS, "plugins", "route"},
    {SP_UPSTREAMS, SP_TARGETS, "targets", "upstream"},
    {SP_CONSUMERS, SP_MTLS_AUTH_CREDENTIALS, "mtls_auth_credentials", "consumer"},
    {SP_CONSUMERS, SP_KEYAUTH_CREDENTIALS, "keyauth_credentials", "consumer"},
    {SP_CONSUMERS, SP_BASICAUTH_CREDENTIALS, "basicauth_credentials", "consumer"},
    {SP_CONSUMERS, SP_ACLS, "acls", "consumer"},
    {SP_CONSUMERS, SP_HEADER_CERT_AUTH_CREDENTIALS, "header_cert_auth_credentials", "consumer"},
    {SP_CONSUMERS, SP_PLUGINS, "plugins", "consumer"},
    {SP_CONSUMER_GROUPS, SP_PLUGINS, "plugins", "consumer_group"},
    {SP_CERTIFICATES, SP_SNIS, "snis", "certificate"},
};

static void flatten(struct sp_builder *b, enum sp_entity_kind kind, ProtobufCMessage *m, const char *ws,
                    const struct nesting *in, const struct sp_entity *parent)
{
    struct sp_entity *e = add_entity(b, kind, m, ws);
    if (parent)
        set_parent(b, e, in->ref, parent);
    for (size_t i = 0; i < sizeof nestings / sizeof *nestings; i++) {
        const struct nesting *n = &nestings[i];
        if (n->parent != kind)
            continue;
        const ProtobufCFieldDescriptor *f = sp_msg_field(m->descriptor, n->field);
        sp_assert(f);
        size_t num = *sp_msg_count(m, f);
        ProtobufCMessage **v = *(ProtobufCMessage ***)sp_msg_at(m, f);
        sp_msg_clear(m, f);
        for (size_t j = 0; j < num; j++)
            flatten(b, n->child, v[j], ws, n, e); /* as deep as the schema: three levels */
    }
    if (kind == SP_CONSUMERS)
        remember_groups(b, e);
}

void sp_flatten_entity(struct sp_builder *b, enum sp_entity_kind kind, ProtobufCMessage *m, const char *ws)
{
    flatten(b, kind, m, ws, NULL, NULL);
}

static void take_settings(struct sp_builder *b, Sallyport__V1__Document *doc)
{
    if (doc->_sallyport)
        b->settings = doc->_sallyport;
}

/* _transform: false. */
static void take_hashes(struct sp_builder *b, size_t from)
{
    for (size_t i = from; i < b->kinds[SP_BASICAUTH_CREDENTIALS].num; i++) {
        const struct sp_entity *e = b->kinds[SP_BASICAUTH_CREDENTIALS].v[i];
        const char *why = sp_message_take_hash(b->arena, e->message);
        if (why)
            sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "password", "%s", why);
    }
}

void sp_flatten_document(struct sp_builder *b, Sallyport__V1__Document *doc)
{
    const char *ws = doc->_workspace && *doc->_workspace ? doc->_workspace : SP_DEFAULT_WORKSPACE;
    size_t credentials = b->kinds[SP_BASICAUTH_CREDENTIALS].num;
    take_settings(b, doc);
    sp_map_put(b->spoken_for, sp_str_z(ws), b->spoken_for);
    for (int kind = 0; kind < SP_NUM_ENTITY_KINDS; kind++) {
        const ProtobufCFieldDescriptor *f =
            sp_msg_field(&sallyport__v1__document__descriptor, sp_entity_info(kind)->plural);
        sp_assert(f);
        ProtobufCMessage **v = *(ProtobufCMessage ***)sp_msg_at(&doc->base, f);
        for (size_t i = 0; i < *sp_msg_count(&doc->base, f); i++)
            sp_flatten_entity(b, kind, v[i], ws);
    }
    if (!doc->_transform)
        take_hashes(b, credentials);
    sp_name_workspace(b, ws);
}

/* --- workspaces that are named, and groups from the consumers' side --- */

void sp_name_workspace(struct sp_builder *b, const char *name)
{
    for (size_t i = 0; i < b->kinds[SP_WORKSPACES].num; i++)
        if (sp_str_eq(b->kinds[SP_WORKSPACES].v[i]->key, sp_str_z(name)))
            return;
    Sallyport__V1__Workspace *w =
        (Sallyport__V1__Workspace *)sp_msg_new(b->arena, &sallyport__v1__workspace__descriptor);
    w->name = sp_arena_strdup(b->arena, name);
    add_entity(b, SP_WORKSPACES, &w->base, "");
}

static const struct sp_entity *find_group(struct sp_builder *b, struct sp_str ws, const Sallyport__V1__Ref *ref)
{
    struct sp_str wanted = sp_str_z(ref->id ? ref->id : ref->name);
    for (size_t i = 0; i < b->kinds[SP_CONSUMER_GROUPS].num; i++) {
        const struct sp_entity *g = b->kinds[SP_CONSUMER_GROUPS].v[i];
        if (sp_str_eq(g->ws, ws) && (sp_str_eq(g->id, wanted) || sp_str_eq(g->key, wanted)))
            return g;
    }
    return NULL;
}

/* In one go for each group: appending one by one would be quadratic for a large group. */
static void join_group(struct sp_builder *b, const struct sp_entity *group)
{
    Sallyport__V1__ConsumerGroup *g = (Sallyport__V1__ConsumerGroup *)group->message;
    size_t num = 0;
    for (const struct sp_membership *m = b->memberships; m; m = m->next)
        num += m->group == group;
    if (num == 0)
        return;
    Sallyport__V1__Ref **v = SP_NEW_N(b->arena, Sallyport__V1__Ref *, g->n_consumers + num);
    if (g->n_consumers)
        memcpy(v, g->consumers, g->n_consumers * sizeof *v);
    for (const struct sp_membership *m = b->memberships; m; m = m->next)
        if (m->group == group)
            v[g->n_consumers++] = ref_to(b, m->consumer);
    g->consumers = v;
}

void sp_flatten_end(struct sp_builder *b)
{
    sp_name_workspace(b, SP_DEFAULT_WORKSPACE);
    for (struct sp_membership *m = b->memberships; m; m = m->next) {
        struct sp_str field = sp_arena_printf(b->arena, "groups[%zu]", m->index);
        m->group = find_group(b, m->consumer->ws, m->ref);
        if (!m->group)
            sp_entity_problem(b, m->consumer, SP_PROBLEM_ERROR, "invalid_reference", field.p,
                              "invalid reference 'consumer_group: %s' (no such entry in 'consumer_groups')",
                              m->ref->id     ? m->ref->id
                              : m->ref->name ? m->ref->name
                                             : "");
    }
    for (size_t i = 0; i < b->kinds[SP_CONSUMER_GROUPS].num; i++)
        join_group(b, b->kinds[SP_CONSUMER_GROUPS].v[i]);
}
