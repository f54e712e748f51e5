/* Each entity by itself: its rows in rules.c, and what several of its fields say together (kong-behaviour 4.1 to 4.6).
 */
#include "model/build.h"

#include "base/names.h"
#include "model/rules.h"
#include "model/vault.h"

#include <stdio.h>

/* --- rows --- */

struct field_check {
    struct sp_builder *b;
    const struct sp_entity *e;
    const char *prefix; /* "" or "config." */
    const ProtobufCMessage *m;
    const ProtobufCFieldDescriptor *f;
    const struct sp_rule *rule;
};

static void say(const struct field_check *c, const char *code, const char *index, const char *text)
{
    struct sp_str field = sp_arena_printf(c->b->arena, "%s%s%s", c->prefix, c->f->name, index);
    sp_entity_problem(c->b, c->e, SP_PROBLEM_ERROR, code, field.p, "%s", text);
}

static struct sp_str list_of(struct sp_arena *a, const char *words)
{
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    struct sp_str rest = sp_str_z(words);
    while (rest.p) {
        struct sp_str word = sp_str_split(&rest, ' ');
        sp_buf_printf(&b, "%s%.*s", b.len ? ", " : "", SP_FMT(word));
    }
    return sp_arena_dup(a, sp_buf_str(&b));
}

static void check_string(const struct field_check *c, const char *v, const char *index)
{
    if (sp_is_vault_reference(sp_str_z(v)))
        return; /* sp_check_references sees to it */
    const char *why = c->rule->check ? c->rule->check(v) : NULL;
    if (c->rule->secret && strcmp(v, "[redacted]") == 0)
        why = "a redacted secret: this is a dump without secrets; put it back";
    if (c->rule->uuid && !sp_is_uuid(sp_str_z(v)))
        why = "expected a valid UUID";
    if (why)
        say(c, "invalid_value", index, why);
    if (c->rule->one_of && !sp_words_have(c->rule->one_of, sp_str_z(v))) {
        struct sp_str text =
            sp_arena_printf(c->b->arena, "expected one of: %s", list_of(c->b->arena, c->rule->one_of).p);
        say(c, "invalid_value", index, text.p);
    }
}

static void check_number(const struct field_check *c, double v, const char *index)
{
    const struct sp_rule *r = c->rule;
    char word[32];
    if (r->bounded && !(v >= (double)r->min && v <= (double)r->max))
        say(c, "invalid_value", index,
            sp_arena_printf(c->b->arena, "value should be between %lld and %lld", (long long)r->min, (long long)r->max)
                .p);
    snprintf(word, sizeof word, "%.0f", v);
    if (r->one_of && !sp_words_have(r->one_of, sp_str_z(word)))
        say(c, "invalid_value", index,
            sp_arena_printf(c->b->arena, "expected one of: %s", list_of(c->b->arena, r->one_of).p).p);
}

static void check_list(const struct field_check *c)
{
    size_t num = *sp_msg_count(c->m, c->f);
    const void *v = *(void *const *)sp_msg_at(c->m, c->f);
    if (num < c->rule->min_items && !(c->rule->required && num == 0))
        say(c, "invalid_value", "", "length must be at least 1");
    for (size_t i = 0; i < num; i++) {
        char index[32];
        snprintf(index, sizeof index, "[%zu]", i);
        if (c->f->type == PROTOBUF_C_TYPE_STRING)
            check_string(c, ((char *const *)v)[i], index);
        else if (c->f->type == PROTOBUF_C_TYPE_INT32)
            check_number(c, ((const int32_t *)v)[i], index);
    }
}

/* It stands there with a wrong type: that was said when it was read. */
static bool was_misread(const struct field_check *c)
{
    const struct sp_origin *o = c->b->reader ? sp_reader_origin(c->b->reader, c->m) : NULL;
    const struct sp_node *n = o ? sp_node_get(o->node, sp_str_z(c->f->name)) : NULL;
    if (o && c->m->descriptor == &sallyport__v1__service__descriptor && sp_node_get(o->node, SP_STR("url")))
        return true;
    return n && n->type != SP_NODE_NULL && !(n->type == SP_NODE_LIST && n->num == 0);
}

static void check_field(const struct field_check *c)
{
    if (c->rule->required && !sp_msg_has(c->m, c->f)) {
        if (!was_misread(c))
            say(c, "required", "", "required field missing");
        return;
    }
    if (c->f->label == PROTOBUF_C_LABEL_REPEATED) {
        check_list(c);
        return;
    }
    if (!sp_msg_has(c->m, c->f))
        return;
    const void *at = sp_msg_at(c->m, c->f);
    switch (c->f->type) {
    case PROTOBUF_C_TYPE_STRING:
        check_string(c, *(char *const *)at, "");
        break;
    case PROTOBUF_C_TYPE_INT32:
        check_number(c, *(const int32_t *)at, "");
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        check_number(c, *(const double *)at, "");
        break;
    default:
        break;
    }
}

static void check_rows(struct sp_builder *b, const struct sp_entity *e, const ProtobufCMessage *m, const char *prefix)
{
    size_t num;
    const struct sp_rule *rows = sp_rules_of(m->descriptor, &num);
    for (size_t i = 0; i < num; i++) {
        const ProtobufCFieldDescriptor *f = sp_msg_field(m->descriptor, rows[i].field);
        sp_assert(f);
        check_field(&(struct field_check){b, e, prefix, m, f, &rows[i]});
        if (rows[i].record && sp_msg_has(m, f))
            check_rows(b, e, *(ProtobufCMessage **)sp_msg_at(m, f),
                       sp_arena_printf(b->arena, "%s%s.", prefix, f->name).p);
    }
}

/* --- services --- */

static void only_for(struct sp_builder *b, const struct sp_entity *e, const char *field, const char *protocols)
{
    sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", field, "value must be null: only for protocols %s",
                      protocols);
}

static void check_service(struct sp_builder *b, const struct sp_entity *e)
{
    const Sallyport__V1__Service *s = (const Sallyport__V1__Service *)e->message;
    struct sp_str protocol = sp_str_z(s->protocol);
    bool tls = sp_words_have("https tls", protocol);
    if (s->path && sp_words_have("tcp tls udp grpc grpcs tls_passthrough", protocol))
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "path", "value must be null when protocol is %s",
                          s->protocol);
    if (s->client_certificate && !tls)
        only_for(b, e, "client_certificate", "https and tls");
    if (s->has_tls_verify && !tls)
        only_for(b, e, "tls_verify", "https and tls");
    if (s->has_tls_verify_depth && !tls)
        only_for(b, e, "tls_verify_depth", "https and tls");
    if (s->n_ca_certificates && !tls)
        only_for(b, e, "ca_certificates", "https and tls");
}

/* --- routes --- */

static unsigned protocol_groups(const Sallyport__V1__Route *r)
{
    static const char *const groups[] = {"http https", "tcp tls udp", "tls_passthrough", "grpc grpcs", "ws wss"};
    unsigned seen = 0;
    for (size_t i = 0; i < r->n_protocols; i++)
        for (unsigned g = 0; g < sizeof groups / sizeof *groups; g++)
            if (sp_words_have(groups[g], sp_str_z(r->protocols[i])))
                seen |= 1u << g;
    return seen;
}

static bool speaks(const Sallyport__V1__Route *r, const char *words)
{
    for (size_t i = 0; i < r->n_protocols; i++)
        if (sp_words_have(words, sp_str_z(r->protocols[i])))
            return true;
    return false;
}

/* Kong: at least one of the criteria of its protocols. `needs` names those that would do. */
static const char *missing_criteria(const Sallyport__V1__Route *r, const char **protocol)
{
    bool http = r->n_methods || r->n_hosts || r->n_headers || r->n_paths;
    if (speaks(r, "https wss") && !http && !r->n_snis)
        return *protocol = speaks(r, "https") ? "https" : "wss", "'methods', 'hosts', 'headers', 'paths', 'snis'";
    if (speaks(r, "http ws") && !http && !speaks(r, "https wss"))
        return *protocol = speaks(r, "http") ? "http" : "ws", "'methods', 'hosts', 'headers', 'paths'";
    if (speaks(r, "grpcs") && !r->n_hosts && !r->n_headers && !r->n_paths && !r->n_snis)
        return *protocol = "grpcs", "'hosts', 'headers', 'paths', 'snis'";
    if (speaks(r, "grpc") && !r->n_hosts && !r->n_headers && !r->n_paths && !speaks(r, "grpcs"))
        return *protocol = "grpc", "'hosts', 'headers', 'paths'";
    if (speaks(r, "tcp tls udp") && !r->n_snis)
        return *protocol = speaks(r, "tls")   ? "tls"
                           : speaks(r, "tcp") ? "tcp"
                                              : "udp",
               "'sources', 'destinations', 'snis'";
    if (speaks(r, "tls_passthrough") && !r->n_snis)
        return *protocol = "tls_passthrough", "'snis'";
    return NULL;
}

static void check_duplicates(struct sp_builder *b, const struct sp_entity *e, const char *field, char *const *v,
                             size_t n)
{
    struct sp_map *seen = n > 1 ? sp_map_new(b->arena, n) : NULL;
    for (size_t i = 0; seen && i < n; i++)
        if (!sp_map_put(seen, sp_str_z(v[i]), v[i]))
            sp_entity_problem(b, e, SP_PROBLEM_WARNING, "duplicate_value",
                              sp_arena_printf(b->arena, "%s[%zu]", field, i).p, "'%.100s' is there twice", v[i]);
}

static void check_route(struct sp_builder *b, const struct sp_entity *e)
{
    const Sallyport__V1__Route *r = (const Sallyport__V1__Route *)e->message;
    const char *protocol = NULL, *needs = missing_criteria(r, &protocol);
    unsigned groups = protocol_groups(r);
    if (groups & (groups - 1))
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "protocols",
                          "these sets are mutually exclusive: ('http', 'https'), ('tcp', 'tls', 'udp'), "
                          "('tls_passthrough'), ('grpc', 'grpcs'), ('ws', 'wss')");
    else if (needs)
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "required", "", "must set one of %s when 'protocols' is '%s'", needs,
                          protocol);
    if (r->n_snis && !speaks(r, "https grpcs wss tls tls_passthrough"))
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "snis",
                          "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'");
    if (r->strip_path && speaks(r, "grpc grpcs"))
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "strip_path",
                          "cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'");
    check_duplicates(b, e, "hosts", r->hosts, r->n_hosts);
    check_duplicates(b, e, "paths", r->paths, r->n_paths);
    check_duplicates(b, e, "snis", r->snis, r->n_snis);
    for (size_t i = 0; i < r->n_headers; i++)
        check_rows(b, e, &r->headers[i]->base, sp_arena_printf(b->arena, "headers.%s.", r->headers[i]->key).p);
}

/* --- upstreams --- */

/* What to hash on, and what it needs beside it (NULL: nothing). */
static void check_hash_input(struct sp_builder *b, const struct sp_entity *e, const char *input, const char *of)
{
    if (!sp_words_have("header query_arg uri_capture cookie", sp_str_z(input)))
        return;
    bool cookie = strcmp(input, "cookie") == 0; /* one for both */
    struct sp_str field = sp_arena_printf(b->arena, "%s_%s", cookie ? "hash_on" : of, input);
    if (sp_msg_string(e->message, field.p).len == 0)
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "required", field.p, "required field missing");
}

static void check_hashing(struct sp_builder *b, const struct sp_entity *e, const Sallyport__V1__Upstream *u)
{
    static const char *const inputs[] = {"header", "query_arg", "uri_capture"};
    check_hash_input(b, e, u->hash_on, "hash_on");
    check_hash_input(b, e, u->hash_fallback, "hash_fallback");
    bool named = sp_words_have("header query_arg uri_capture", sp_str_z(u->hash_on));
    bool alone = sp_words_have("none cookie", sp_str_z(u->hash_on));
    if (strcmp(u->hash_fallback, "none") != 0 && (alone || (!named && strcmp(u->hash_on, u->hash_fallback) == 0)))
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "hash_fallback",
                          "cannot be '%s' when 'hash_on' is '%s'", u->hash_fallback, u->hash_on);
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        struct sp_str on = sp_arena_printf(b->arena, "hash_on_%s", inputs[i]);
        struct sp_str fallback = sp_arena_printf(b->arena, "hash_fallback_%s", inputs[i]);
        struct sp_str value = sp_msg_string(e->message, on.p);
        if (value.len && sp_str_eq(value, sp_msg_string(e->message, fallback.p)))
            sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "",
                              "values of these fields must be distinct: '%s', '%s'", on.p, fallback.p);
    }
}

static void check_upstream(struct sp_builder *b, const struct sp_entity *e)
{
    const Sallyport__V1__Upstream *u = (const Sallyport__V1__Upstream *)e->message;
    const Sallyport__V1__ActiveHealthchecks *active = u->healthchecks->active;
    for (size_t i = 0; i < active->n_headers; i++)
        check_rows(b, e, &active->headers[i]->base,
                   sp_arena_printf(b->arena, "healthchecks.active.headers.%s.", active->headers[i]->key).p);
    check_hashing(b, e, u);
}

/* --- the others --- */

static void check_consumer(struct sp_builder *b, const struct sp_entity *e)
{
    const Sallyport__V1__Consumer *c = (const Sallyport__V1__Consumer *)e->message;
    if (!c->username && !c->custom_id)
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "required", "",
                          "at least one of these fields must be non-empty: 'custom_id', 'username'");
}

static void check_plugin(struct sp_builder *b, const struct sp_entity *e)
{
    const Sallyport__V1__Plugin *p = (const Sallyport__V1__Plugin *)e->message;
    const struct sp_plugin_info *info = p->name ? sp_plugin_info(sp_str_z(p->name)) : NULL;
    const ProtobufCFieldDescriptor *f = sp_msg_oneof(&p->base);
    if (f)
        check_rows(b, e, *(ProtobufCMessage **)sp_msg_at(&p->base, f), "config.");
    sp_check_config(b, e, p);
    for (size_t i = 0; info && i < p->n_protocols; i++)
        if (!sp_words_have(info->allowed, sp_str_z(p->protocols[i])))
            sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", sp_arena_printf(b->arena, "protocols[%zu]", i).p,
                              "expected one of: %s", list_of(b->arena, info->allowed).p);
    if (info && !info->on_consumer && (p->consumer || p->consumer_group))
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", p->consumer ? "consumer" : "consumer_group",
                          "value must be null: %s finds out who the consumer is", p->name);
}

static void check_sni(struct sp_builder *b, struct sp_entity *e)
{
    const Sallyport__V1__Sni *s = (const Sallyport__V1__Sni *)e->message;
    if (s->name && strcmp(s->name, "*") == 0)
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "name", "must have more than a wildcard");
}

static void check_vault(struct sp_builder *b, const struct sp_entity *e)
{
    const Sallyport__V1__Vault *v = (const Sallyport__V1__Vault *)e->message;
    if (v->config)
        check_rows(b, e, &v->config->base, "config.");
}

void sp_check_fields(struct sp_builder *b)
{
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        for (size_t i = 0; i < b->kinds[k].num; i++) {
            struct sp_entity *e = b->kinds[k].v[i];
            const struct sp_origin *o = b->reader ? sp_reader_origin(b->reader, e->message) : NULL;
            if (o && o->node->type != SP_NODE_MAP)
                continue; /* said when it was read */
            check_rows(b, e, e->message, "");
            if (k == SP_SERVICES)
                check_service(b, e);
            else if (k == SP_ROUTES)
                check_route(b, e);
            else if (k == SP_UPSTREAMS)
                check_upstream(b, e);
            else if (k == SP_CONSUMERS)
                check_consumer(b, e);
            else if (k == SP_PLUGINS)
                check_plugin(b, e);
            else if (k == SP_SNIS)
                check_sni(b, e);
            else if (k == SP_VAULTS)
                check_vault(b, e);
        }
    if (b->settings->handshake) {
        struct sp_entity settings = {.message = &b->settings->handshake->base, .file = b->file};
        check_rows(b, &settings, settings.message, "");
    }
}
