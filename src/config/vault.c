#include "config/vault.h"

#include "base/map.h"
#include "config/resource.h"
#include "model/message.h"
#include "model/node.h"
#include "model/rules.h"
#include "model/vault.h"
#include "tls/certificate.h"

#include <stdlib.h>
#include <time.h>

enum { MAX_SECRET = 1 << 20 }; /* bytes; as much as a file with a PEM may have */

struct resolver {
    struct sp_arena *secrets;
    struct sp_problems *problems;
    struct sp_map *vaults;        /* prefix -> Vault */
    struct sp_map *known;         /* reference -> value: what many share is there once */
    const struct sp_resource *at; /* whose references are resolved */
};

static void say(struct resolver *r, enum sp_severity severity, const char *code, struct sp_str path, const char *text)
{
    struct sp_problem *p = sp_problems_add(r->problems, severity, code, path, "%s", text);
    p->entity = dp_resource_label(r->problems->arena, r->at);
}

/* --- the environment --- */

static sp_result prefix_of(struct resolver *r, const struct sp_vault_reference *ref, struct sp_str *out,
                           struct sp_error *err)
{
    const Sallyport__V1__Vault *v = sp_map_get(r->vaults, ref->vault);
    if (!v && !sp_str_eq(ref->vault, SP_STR("env")))
        return sp_fail(err, SP_E_INVALID, "there is no vault '%.*s'", SP_FMT(ref->vault));
    if (v && (!v->name || strcmp(v->name, "env") != 0))
        return sp_fail(err, SP_E_INVALID, "this data plane has no vaults of kind '%s', only env",
                       v->name ? v->name : "");
    *out = ref->prefix.len || !v || !v->config ? ref->prefix : sp_str_z(v->config->prefix);
    return sp_ok();
}

/* Kong's rule: in upper case, '-' is '_'. */
static void variable_name(struct sp_str prefix, struct sp_str resource, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < prefix.len; i++)
        out[n++] = prefix.p[i];
    for (size_t i = 0; i < resource.len; i++)
        out[n++] = resource.p[i];
    out[n] = '\0';
    for (char *p = out; *p; p++)
        *p = *p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
}

/* The parser's own words may quote the text, which is a secret. */
static sp_result pick(struct resolver *r, struct sp_str json, struct sp_str key, const char *name, struct sp_str *out,
                      struct sp_error *err)
{
    struct sp_arena *a = sp_arena_new_secret(4096);
    struct sp_problems unsaid;
    sp_problems_init(&unsaid, a);
    const struct sp_node *n = sp_node_read_json(a, json, SP_STR(""), &unsaid);
    const struct sp_node *v = n && n->type == SP_NODE_MAP ? sp_node_get(n, key) : NULL;
    sp_result res = sp_ok();
    if (!n || n->type != SP_NODE_MAP)
        res = sp_fail(err, SP_E_INVALID, "the environment variable %s holds no JSON object", name);
    else if (!v)
        res = sp_fail(err, SP_E_INVALID, "the environment variable %s has no key '%.*s'", name, SP_FMT(key));
    else if (v->type != SP_NODE_STRING || v->text.len == 0)
        res = sp_fail(err, SP_E_INVALID, "key '%.*s' of the environment variable %s is no string, or empty",
                      SP_FMT(key), name);
    else
        *out = sp_arena_dup(r->secrets, v->text);
    sp_arena_free(a);
    return res;
}

static sp_result value_of(struct resolver *r, struct sp_str text, struct sp_str *out, struct sp_error *err)
{
    char name[2 * SP_VAULT_MAX_NAME + 1];
    struct sp_vault_reference ref;
    struct sp_str prefix;
    const char *why = sp_vault_reference_parse(text, &ref);
    if (why)
        return sp_fail(err, SP_E_INVALID, "%s", why);
    SP_TRY(prefix_of(r, &ref, &prefix, err));
    if (prefix.len > SP_VAULT_MAX_NAME)
        return sp_fail(err, SP_E_LIMIT, "the vault's prefix is longer than %d bytes", SP_VAULT_MAX_NAME);
    variable_name(prefix, ref.resource, name);
    struct sp_str value = sp_str_z(getenv(name));
    if (!value.p)
        return sp_fail(err, SP_E_NOT_FOUND, "the environment variable %s is not set", name);
    if (value.len == 0)
        return sp_fail(err, SP_E_INVALID, "the environment variable %s is empty", name);
    if (value.len > MAX_SECRET)
        return sp_fail(err, SP_E_LIMIT, "the environment variable %s has more than %d bytes", name, MAX_SECRET);
    if (ref.key.len)
        return pick(r, value, ref.key, name, out, err);
    *out = sp_arena_dup(r->secrets, value);
    return sp_ok();
}

/* --- resources --- */

static void replace(void *ctx, const struct sp_string *s)
{
    struct resolver *r = ctx;
    struct sp_str text = sp_str_z(*s->at), value = {0};
    const struct sp_rule *rule = sp_rule_find(s->of, s->field->name);
    struct sp_error err;
    if (!sp_is_vault_reference(text))
        return;
    char *known = sp_map_get(r->known, text);
    sp_result res = !rule || !rule->referenceable ? sp_fail(&err, SP_E_INVALID, "this field takes no vault reference")
                    : known                       ? sp_ok()
                                                  : value_of(r, text, &value, &err);
    if (!sp_failed(res)) {
        if (!known)
            sp_map_put(r->known, text, (char *)(uintptr_t)value.p);
        *s->at = known ? known : (char *)(uintptr_t)value.p;
        return;
    }
    say(r, SP_PROBLEM_ERROR, res.code == SP_E_NOT_FOUND ? "variable_not_set" : "cannot_resolve",
        sp_string_path(r->problems->arena, s),
        sp_arena_printf(r->problems->arena, "%.*s: %s", SP_FMT(text), err.text).p);
}

/* What is asked of a CA certificate when it is written, where it can be read then. */
static void check_ca(struct resolver *r, const Sallyport__V1__CaCertificate *ca)
{
    struct sp_error err = {0};
    struct sp_der_list list = {0};
    struct sp_cert_info info = {0};
    sp_result res = sp_pem_certificates(sp_str_z(ca->cert), r->secrets, &list, &err);
    if (!sp_failed(res) && list.num != 1)
        res = sp_fail(&err, SP_E_INVALID, "%zu certificates where one belongs", list.num);
    if (!sp_failed(res))
        res = sp_cert_read(list.v[0], r->secrets, &info, &err);
    if (!sp_failed(res) && !info.is_ca)
        res = sp_fail(&err, SP_E_INVALID,
                      "certificate does not appear to be a CA because it is missing the \"CA\" basic constraint");
    if (sp_failed(res))
        say(r, SP_PROBLEM_ERROR, "cannot_resolve", SP_STR("cert"), err.text);
    else if (info.not_after < time(NULL))
        say(r, SP_PROBLEM_WARNING, "ca_expired", SP_STR("cert"),
            "certificate expired, \"Not After\" time is in the past: no client certificate passes under it");
}

static void resolve(struct resolver *r, struct sp_resource *to)
{
    size_t errors = r->problems->num_errors;
    uint8_t digest[32];
    r->at = to;
    to->message = sp_msg_copy(r->secrets, to->message);
    sp_msg_each_string(to->message, replace, r);
    if (r->problems->num_errors != errors)
        return;
    if (to->kind == SALLYPORT__V1__KIND__CA_CERTIFICATE)
        check_ca(r, (void *)to->message);
    sp_sha256(sp_msg_pack(r->secrets, to->message), digest);
    memcpy(to->hash, digest, sizeof to->hash);
}

static bool may_refer(const struct sp_resource *r)
{
    static const char scheme[] = "{vault://";
    return r->body.len && memmem(r->body.p, r->body.len, scheme, sizeof scheme - 1);
}

static void index_vaults(struct resolver *r, const struct sp_resources *from)
{
    for (size_t i = 0; i < from->num; i++) {
        const Sallyport__V1__Vault *v = (const void *)from->v[i].message;
        if (from->v[i].kind == SALLYPORT__V1__KIND__VAULT && v->prefix)
            sp_map_put(r->vaults, sp_str_z(v->prefix), (void *)(uintptr_t)v);
    }
}

sp_result dp_vaults_resolve(const struct sp_resources *from, struct sp_arena *secrets, const struct sp_resources **out,
                            struct sp_problems *problems)
{
    struct resolver r = {.secrets = secrets, .problems = problems};
    struct sp_resources *to = NULL;
    size_t errors = problems->num_errors;
    *out = from;
    for (size_t i = 0; i < from->num; i++) {
        if (!may_refer(&from->v[i]))
            continue;
        if (!to) {
            r.vaults = sp_map_new(secrets, 4);
            r.known = sp_map_new(secrets, 4);
            index_vaults(&r, from);
            to = SP_NEW(secrets, struct sp_resources);
            *to = (struct sp_resources){SP_NEW_N(secrets, struct sp_resource, from->num), from->num};
            memcpy(to->v, from->v, from->num * sizeof *to->v);
            *out = to;
        }
        resolve(&r, &to->v[i]);
    }
    return (sp_result){problems->num_errors == errors ? SP_OK : SP_E_INVALID};
}

bool dp_vaults_check(const struct sp_resources *r, struct sp_problems *problems)
{
    struct sp_arena *secrets = sp_arena_new_secret(16384);
    const struct sp_resources *resolved;
    struct sp_problems found;
    sp_problems_init(&found, problems->arena);
    bool all = !sp_failed(dp_vaults_resolve(r, secrets, &resolved, &found));
    for (const struct sp_problem *p = found.first; p; p = p->next) {
        bool unset = strcmp(p->code, "variable_not_set") == 0;
        struct sp_problem *q = sp_problems_add(problems, unset ? SP_PROBLEM_WARNING : p->severity, p->code, p->path,
                                               "%.*s", SP_FMT(p->text));
        q->entity = p->entity;
    }
    sp_arena_free(secrets);
    return all;
}
