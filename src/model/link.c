/* References to ids, ids for entities that have none, and the index of both. */
#include "model/build.h"

#include "model/rules.h"
#include "tls/certificate.h"

#include <stdlib.h>

/* Every kind after the kinds that it refers to. */
static const enum sp_entity_kind order[SP_NUM_ENTITY_KINDS] = {
    SP_WORKSPACES,
    SP_VAULTS,
    SP_CA_CERTIFICATES,
    SP_CERTIFICATES,
    SP_SERVICES,
    SP_UPSTREAMS,
    SP_CONSUMERS,
    SP_CONSUMER_GROUPS,
    SP_ROUTES,
    SP_TARGETS,
    SP_SNIS,
    SP_MTLS_AUTH_CREDENTIALS,
    SP_HEADER_CERT_AUTH_CREDENTIALS,
    SP_KEYAUTH_CREDENTIALS,
    SP_BASICAUTH_CREDENTIALS,
    SP_ACLS,
    SP_PLUGINS,
};

/* Field of a Ref -> the collection it points into. */
static const struct {
    const char *field;
    enum sp_entity_kind kind;
} targets[] = {
    {"service", SP_SERVICES},
    {"route", SP_ROUTES},
    {"upstream", SP_UPSTREAMS},
    {"consumer", SP_CONSUMERS},
    {"consumers", SP_CONSUMERS},
    {"consumer_group", SP_CONSUMER_GROUPS},
    {"certificate", SP_CERTIFICATES},
    {"client_certificate", SP_CERTIFICATES},
    {"ca_certificate", SP_CA_CERTIFICATES},
};

static enum sp_entity_kind target_of(const char *field)
{
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        if (strcmp(targets[i].field, field) == 0)
            return targets[i].kind;
    sp_assert(!"a reference that is in no table");
    return SP_NUM_ENTITY_KINDS;
}

struct sp_str sp_scoped_key(struct sp_arena *a, struct sp_str ws, struct sp_str key)
{
    return sp_arena_printf(a, "%.*s/%.*s", SP_FMT(ws), SP_FMT(key)); /* no name of a workspace has a slash */
}

const struct sp_entity *sp_builder_find(const struct sp_builder *b, enum sp_entity_kind kind, struct sp_str ws,
                                        struct sp_str id_or_key)
{
    bool scoped = sp_entity_info(kind)->workspaced;
    const struct sp_entity *e = sp_map_get(b->by_id[kind], id_or_key);
    if (e && (!scoped || sp_str_eq(e->ws, ws)))
        return e;
    return sp_map_get(b->by_key[kind], sp_scoped_key(b->arena, scoped ? ws : SP_STR(""), id_or_key));
}

/* --- CA certificates, which people name in more ways than one --- */

static bool has_tag(const Sallyport__V1__CaCertificate *ca, struct sp_str tag)
{
    for (size_t i = 0; i < ca->n_tags; i++)
        if (sp_str_eq(sp_str_z(ca->tags[i]), tag))
            return true;
    return false;
}

static struct sp_str digest_of_pem(const struct sp_builder *b, struct sp_str pem)
{
    struct sp_der_list list = {0};
    if (sp_failed(sp_pem_certificates(pem, b->arena, &list, NULL)) || list.num != 1)
        return SP_STR("");
    uint8_t digest[32];
    char *hex = sp_arena_alloc_raw(b->arena, 65);
    sp_sha256(list.v[0], digest);
    sp_hex(digest, 32, hex);
    return sp_str(hex, 64);
}

struct sp_str sp_find_ca(const struct sp_builder *b, struct sp_str text, const char **why)
{
    const struct sp_entity *e = sp_map_get(b->by_id[SP_CA_CERTIFICATES], text), *tagged = NULL;
    struct sp_str digest = sp_str_starts(text, SP_STR("-----BEGIN")) ? digest_of_pem(b, text) : text;
    size_t num = 0;
    *why = NULL;
    if (e)
        return e->id;
    for (size_t i = 0; i < b->kinds[SP_CA_CERTIFICATES].num; i++) {
        e = b->kinds[SP_CA_CERTIFICATES].v[i];
        const Sallyport__V1__CaCertificate *ca = (const Sallyport__V1__CaCertificate *)e->message;
        if (digest.len == 64 && sp_str_ieq(sp_str_z(ca->cert_digest), digest))
            return e->id;
        if (has_tag(ca, text)) {
            tagged = e;
            num++;
        }
    }
    if (num == 1)
        return tagged->id;
    *why = num ? "a tag that several CA certificates have" : "no such entry in 'ca_certificates'";
    return SP_STR("");
}

static void resolve_cas(struct sp_builder *b, const struct sp_entity *e, ProtobufCMessage *m, const char *prefix)
{
    const ProtobufCFieldDescriptor *f = sp_msg_field(m->descriptor, "ca_certificates");
    if (!f || f->type != PROTOBUF_C_TYPE_STRING)
        return;
    char **v = *(char ***)sp_msg_at(m, f);
    for (size_t i = 0; i < *sp_msg_count(m, f); i++) {
        const char *why;
        struct sp_str id = sp_find_ca(b, sp_str_z(v[i]), &why);
        struct sp_str field = sp_arena_printf(b->arena, "%sca_certificates[%zu]", prefix, i);
        if (id.len)
            v[i] = (char *)(uintptr_t)id.p;
        else
            sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_reference", field.p,
                              "CA Certificate '%.100s' does not exist (%s)", v[i], why);
    }
}

/* --- references --- */

static void bad_reference(struct sp_builder *b, const struct sp_entity *e, const char *field, size_t i, bool list,
                          const char *text, const char *why)
{
    const char *plural = sp_entity_info(target_of(field))->plural;
    struct sp_str at = list ? sp_arena_printf(b->arena, "%s[%zu]", field, i) : sp_str_z(field);
    sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_reference", at.p, "invalid reference '%s: %.100s' (%s%s%s%s)",
                      field, text, why ? why : "no such entry in ", why ? "" : "'", why ? "" : plural, why ? "" : "'");
}

/* The id stays, the name goes: a stored reference has one meaning only. */
static void resolve_ref(struct sp_builder *b, const struct sp_entity *e, const ProtobufCFieldDescriptor *f, size_t i,
                        Sallyport__V1__Ref *r)
{
    bool list = f->label == PROTOBUF_C_LABEL_REPEATED;
    const struct sp_entity *to = sp_map_get(b->parents, sp_str(&r, sizeof r));
    struct sp_str text = sp_str_z(r->id ? r->id : r->name);
    enum sp_entity_kind kind = target_of(f->name);
    const char *why = NULL;
    if (!to && kind == SP_CA_CERTIFICATES) {
        struct sp_str id = sp_find_ca(b, text, &why);
        if (id.len) {
            r->id = (char *)(uintptr_t)id.p;
            r->name = NULL;
            return;
        }
    } else if (!to) {
        to = sp_builder_find(b, kind, e->ws, text);
    }
    if (!to) {
        bad_reference(b, e, f->name, i, list, text.p ? text.p : "", why);
        return;
    }
    r->id = (char *)(uintptr_t)to->id.p;
    r->name = NULL;
}

static void resolve_entity(struct sp_builder *b, const struct sp_entity *e)
{
    ProtobufCMessage *m = e->message;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (!sp_field_is_ref(f) || !sp_msg_has(m, f) || sp_field_is_nested(f))
            continue;
        if (f->label != PROTOBUF_C_LABEL_REPEATED) {
            resolve_ref(b, e, f, 0, *(Sallyport__V1__Ref **)sp_msg_at(m, f));
            continue;
        }
        Sallyport__V1__Ref **v = *(Sallyport__V1__Ref ***)sp_msg_at(m, f);
        for (size_t j = 0; j < *sp_msg_count(m, f); j++)
            resolve_ref(b, e, f, j, v[j]);
    }
    resolve_cas(b, e, m, "");
    const ProtobufCFieldDescriptor *config = sp_msg_oneof(m);
    if (config)
        resolve_cas(b, e, *(ProtobufCMessage **)sp_msg_at(m, config), "config.");
}

static int compare_refs(const void *a, const void *b)
{
    const Sallyport__V1__Ref *const *x = a, *const *y = b;
    return sp_str_cmp(sp_str_z((*x)->id), sp_str_z((*y)->id));
}

/* Members of a group by id, each once: from whichever side they were named. */
static void sort_members(const struct sp_entity *e)
{
    Sallyport__V1__ConsumerGroup *g = (Sallyport__V1__ConsumerGroup *)e->message;
    size_t num = 0;
    if (g->n_consumers)
        qsort(g->consumers, g->n_consumers, sizeof(void *), compare_refs);
    for (size_t i = 0; i < g->n_consumers; i++)
        if (num == 0 || compare_refs(&g->consumers[num - 1], &g->consumers[i]) != 0)
            g->consumers[num++] = g->consumers[i];
    g->n_consumers = num;
}

/* --- ids (kong-behaviour 5.1) --- */

static void entity_namespace(const char *plural, uint8_t out[16])
{
    static const uint8_t root[16] = {0xfd, 0x02, 0x80, 0x1f, 0x09, 0x57, 0x4a, 0x15,
                                     0xa5, 0x5a, 0xc8, 0xd9, 0x60, 0x6f, 0x30, 0xb5};
    char text[37];
    sp_uuid5(root, sp_str_z(plural), text);
    sp_assert(sp_uuid_bytes(sp_str(text, 36), out));
}

static const char *ref_id(const ProtobufCMessage *m, const char *field)
{
    const Sallyport__V1__Ref *r = (const Sallyport__V1__Ref *)sp_msg_child(m, field);
    return r && r->id ? r->id : "";
}

/* What has no name is known by what it says: the same text gives the same id, wherever in the file it stands. */
static struct sp_str content_key(struct sp_builder *b, const struct sp_entity *e)
{
    uint8_t digest[32];
    char hex[65];
    sp_sha256(sp_msg_pack(b->arena, e->message), digest);
    sp_hex(digest, 32, hex);
    return sp_arena_printf(b->arena, "content:%s", hex);
}

static struct sp_str id_key(struct sp_builder *b, const struct sp_entity *e)
{
    const ProtobufCMessage *m = e->message;
    switch (e->kind) {
    case SP_PLUGINS:
        return sp_arena_printf(b->arena, "plugins:%.*s:%s:%s:%s:%s", SP_FMT(sp_msg_string(m, "name")),
                               ref_id(m, "route"), ref_id(m, "service"), ref_id(m, "consumer"),
                               ref_id(m, "consumer_group"));
    case SP_TARGETS:
        return sp_arena_printf(b->arena, "targets:%s:%.*s", ref_id(m, "upstream"), SP_FMT(sp_msg_string(m, "target")));
    case SP_KEYAUTH_CREDENTIALS:
        return sp_arena_printf(b->arena, "keyauth_credentials:%.*s", SP_FMT(sp_msg_string(m, "key")));
    case SP_BASICAUTH_CREDENTIALS:
        return sp_arena_printf(b->arena, "basicauth_credentials:%.*s", SP_FMT(e->key));
    case SP_ACLS:
        return sp_arena_printf(b->arena, "acls:%s:%.*s", ref_id(m, "consumer"), SP_FMT(sp_msg_string(m, "group")));
    case SP_MTLS_AUTH_CREDENTIALS:
    case SP_HEADER_CERT_AUTH_CREDENTIALS: /* apart from each other by the namespace of their collection */
        return sp_arena_printf(b->arena, "mtls_auth_credentials:%s:%.*s:%s", ref_id(m, "consumer"),
                               SP_FMT(sp_msg_string(m, "subject_name")), ref_id(m, "ca_certificate"));
    case SP_CA_CERTIFICATES:
        return sp_msg_string(m, "cert_digest").len ? sp_msg_string(m, "cert_digest") : content_key(b, e);
    case SP_CONSUMERS:
        return e->key.len ? e->key : sp_arena_printf(b->arena, "custom_id:%.*s", SP_FMT(sp_msg_string(m, "custom_id")));
    case SP_CERTIFICATES:
        return content_key(b, e);
    default:
        return e->key.len ? e->key : content_key(b, e);
    }
}

/* Two nameless entities that say the same are two: the second is counted. */
static struct sp_str count_copies(struct sp_builder *b, const struct sp_entity *e, struct sp_str key)
{
    struct sp_str whole = sp_arena_printf(b->arena, "%s:%.*s", sp_entity_info(e->kind)->plural, SP_FMT(key));
    unsigned *num = sp_map_get(b->copies, whole);
    if (!num) {
        num = SP_NEW(b->arena, unsigned);
        sp_map_put(b->copies, whole, num);
    }
    return ++*num == 1 ? key : sp_arena_printf(b->arena, "%.*s:%u", SP_FMT(key), *num);
}

static void give_id(struct sp_builder *b, struct sp_entity *e)
{
    const ProtobufCFieldDescriptor *f = sp_msg_field(e->message->descriptor, "id");
    char id[37];
    if (e->id.len)
        return;
    if (e->kind == SP_WORKSPACES && sp_str_eq(e->key, SP_STR(SP_DEFAULT_WORKSPACE))) {
        memcpy(id, SP_DEFAULT_WORKSPACE_ID, sizeof id);
    } else {
        uint8_t space[16];
        struct sp_str key = id_key(b, e);
        if (e->ws.len && !sp_str_eq(e->ws, SP_STR(SP_DEFAULT_WORKSPACE))) {
            const struct sp_entity *w = sp_builder_find(b, SP_WORKSPACES, SP_STR(""), e->ws);
            key = sp_arena_printf(b->arena, "%.*s:%.*s", SP_FMT(key), SP_FMT(w ? w->id : e->ws));
        }
        if (!e->key.len && (e->kind == SP_ROUTES || e->kind == SP_SERVICES))
            key = count_copies(b, e, key);
        entity_namespace(sp_entity_info(e->kind)->plural, space);
        sp_uuid5(space, key, id);
    }
    e->id = sp_arena_dup(b->arena, sp_str(id, 36));
    *(char **)sp_msg_at(e->message, f) = (char *)(uintptr_t)e->id.p;
}

/* --- index --- */

static void lower_id(struct sp_builder *b, struct sp_entity *e)
{
    char *p = sp_arena_strdup(b->arena, e->id.p);
    const ProtobufCFieldDescriptor *f = sp_msg_field(e->message->descriptor, "id");
    for (char *c = p; *c; c++)
        *c = (char)sp_lower((unsigned char)*c);
    e->id = sp_str(p, e->id.len);
    *(char **)sp_msg_at(e->message, f) = p;
}

static void same_key(struct sp_builder *b, const struct sp_entity *e)
{
    const char *field = sp_entity_info(e->kind)->endpoint_key;
    sp_entity_problem(b, e, SP_PROBLEM_ERROR, "unique_violation", field, "UNIQUE violation detected on '{%s=\"%.*s\"}'",
                      field, SP_FMT(e->key));
}

static bool is_compared(const struct sp_entity *e)
{
    switch (e->kind) {
    case SP_PLUGINS:
    case SP_TARGETS:
    case SP_MTLS_AUTH_CREDENTIALS:
    case SP_HEADER_CERT_AUTH_CREDENTIALS:
    case SP_KEYAUTH_CREDENTIALS:
    case SP_ACLS:
    case SP_CA_CERTIFICATES:
        return true;
    default:
        return e->kind == SP_CONSUMERS && !e->key.len;
    }
}

/* Equal ids that were derived follow from equal keys; most kinds of key are compared in check_together.c. */
static void same_id(struct sp_builder *b, const struct sp_entity *e, bool derived)
{
    const struct sp_entity *other = sp_map_get(b->by_id[e->kind], e->id);
    if (derived && is_compared(e))
        return;
    if (derived && e->key.len) {
        same_key(b, e);
        return;
    }
    sp_entity_problem(b, e, SP_PROBLEM_ERROR, "primary_key_violation", "id",
                      "primary key violation on key '{id=\"%.*s\"}'%s", SP_FMT(e->id),
                      other->line ? sp_arena_printf(b->arena, " (the first is in line %u)", other->line).p : "");
}

static void index_entity(struct sp_builder *b, struct sp_entity *e, bool derived)
{
    if (!sp_map_put(b->by_id[e->kind], e->id, e))
        same_id(b, e, derived);
    else if (e->key.len && !sp_map_put(b->by_key[e->kind], sp_scoped_key(b->arena, e->ws, e->key), e))
        same_key(b, e);
}

void sp_link(struct sp_builder *b)
{
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++) {
        struct sp_entity_list *l = &b->kinds[order[k]];
        b->by_id[order[k]] = sp_map_new(b->arena, l->num);
        b->by_key[order[k]] = sp_map_new(b->arena, l->num);
    }
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++) {
        struct sp_entity_list *l = &b->kinds[order[k]];
        for (size_t i = 0; i < l->num; i++) { /* what is written goes before what is derived */
            if (l->v[i]->id.len) {
                lower_id(b, l->v[i]);
                resolve_entity(b, l->v[i]);
                index_entity(b, l->v[i], false);
            }
        }
        for (size_t i = 0; i < l->num; i++) {
            struct sp_entity *e = l->v[i];
            if (!e->id.len) {
                resolve_entity(b, e);
                give_id(b, e);
                index_entity(b, e, true);
            }
            if (e->kind == SP_CONSUMER_GROUPS)
                sort_members(e);
        }
    }
}
