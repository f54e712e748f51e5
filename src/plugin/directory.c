#include "plugin/directory.h"
#include "base/map.h"

/* Mappings of one subject name, one for each CA; few, so a list. */
struct mapping {
    struct dp_mapping pub;
    struct sp_str ca_id;
    int64_t created_at;
    struct mapping *next;
};

/* Instances that stand on one route, one service or one workspace. */
struct scope {
    struct dp_instance *first;
};

struct workspace {
    struct sp_map *usernames, *custom_ids;            /* to struct dp_consumer */
    struct sp_map *mappings[DP_NUM_MAPPING_FAMILIES]; /* subject name to the first struct mapping */
    struct sp_map *keys;                              /* to struct dp_key */
    struct sp_map *logins;                            /* by username: struct dp_login */
    struct sp_password *decoy;                        /* NULL until a login has a hash that is dear to check */
    struct scope global;
};

struct dp_directory {
    struct sp_arena *arena;
    struct sp_map *cas, *consumers;      /* by id */
    struct sp_map *crls;                 /* by issuer key: struct dp_crls */
    const struct dp_directory *previous; /* while it is made; may be NULL */
    struct sp_map *workspaces;
    struct sp_map *trusts;            /* by flag and ids: struct dp_trust */
    struct sp_map *routes, *services; /* by id: struct scope */
};

struct dp_directory *dp_directory_new(struct sp_arena *a)
{
    struct dp_directory *d = SP_NEW(a, struct dp_directory);
    d->arena = a;
    d->cas = sp_map_new(a, 4);
    d->crls = sp_map_new(a, 4);
    d->consumers = sp_map_new(a, 8);
    d->workspaces = sp_map_new(a, 4);
    d->trusts = sp_map_new(a, 4);
    d->routes = sp_map_new(a, 4);
    d->services = sp_map_new(a, 4);
    return d;
}

struct sp_str dp_workspace(const char *ws)
{
    return ws && *ws ? sp_str_z(ws) : SP_STR("default");
}

/* --- CA certificates --- */

void dp_directory_reuse(struct dp_directory *d, const struct dp_directory *previous)
{
    d->previous = previous;
}

static void unref_crl(void *crl)
{
    sp_crl_unref(crl);
}

static void add_crl(struct dp_directory *d, struct dp_ca *ca, struct sp_crl *ref_take)
{
    sp_arena_on_free(d->arena, unref_crl, ref_take);
    struct sp_crl **v = SP_NEW_N(d->arena, struct sp_crl *, ca->num_crls + 1);
    if (ca->num_crls)
        memcpy(v, ca->crls, ca->num_crls * sizeof(struct sp_crl *));
    v[ca->num_crls++] = ref_take;
    ca->crls = v;
}

static sp_result read_crls(struct dp_directory *d, struct dp_ca *ca, struct sp_str pem, struct sp_error *err)
{
    struct sp_arena *scratch = sp_arena_new(pem.len + 4096);
    struct sp_der_list list;
    sp_result r = sp_pem_crls(pem, scratch, &list, err);
    for (size_t i = 0; i < list.num && !sp_failed(r); i++) {
        struct sp_crl *crl;
        const char *why = sp_crl_read(list.v[i], ca->der, &crl);
        if (why)
            r = sp_fail(err, SP_E_INVALID, "%s", why);
        else
            add_crl(d, ca, crl);
    }
    sp_arena_free(scratch);
    return r;
}

static bool same_crls(const struct dp_ca *a, const struct dp_ca *b)
{
    if (!a || a->num_crl_texts != b->num_crl_texts || !sp_str_eq(a->der, b->der))
        return false;
    for (size_t i = 0; i < a->num_crl_texts; i++)
        if (!sp_str_eq(a->crl_texts[i], b->crl_texts[i]))
            return false;
    return true;
}

/* Other CA certificates may have the same key. */
static void index_crls(struct dp_directory *d, const struct dp_ca *ca)
{
    uint8_t key[32];
    if (!ca->num_crls || !sp_issuer_key(ca->der, key))
        return;
    struct dp_crls *all = sp_map_get(d->crls, sp_str(key, 32));
    if (!all) {
        all = SP_NEW(d->arena, struct dp_crls);
        sp_map_put(d->crls, sp_arena_dup(d->arena, sp_str(key, 32)), all);
    }
    struct sp_crl **v = SP_NEW_N(d->arena, struct sp_crl *, all->num + ca->num_crls);
    if (all->num)
        memcpy(v, all->v, all->num * sizeof(struct sp_crl *));
    memcpy(v + all->num, ca->crls, ca->num_crls * sizeof(struct sp_crl *));
    all->v = v;
    all->num += ca->num_crls;
}

static sp_result add_crls(struct dp_directory *d, const Sallyport__V1__CaCertificate *m, struct dp_ca *ca,
                          struct sp_error *err)
{
    struct sp_str *texts = SP_NEW_N(d->arena, struct sp_str, m->n_crls);
    for (size_t i = 0; i < m->n_crls; i++)
        texts[i] = sp_str_z(m->crls[i]);
    ca->crl_texts = texts;
    ca->num_crl_texts = m->n_crls;
    const struct dp_ca *before = d->previous ? dp_directory_ca(d->previous, ca->id) : NULL;
    if (same_crls(before, ca)) {
        for (size_t i = 0; i < before->num_crls; i++)
            add_crl(d, ca, sp_crl_ref(before->crls[i]));
    } else {
        for (size_t i = 0; i < m->n_crls; i++)
            if (sp_failed(read_crls(d, ca, texts[i], err)))
                return sp_fail_in(err, "crls[%zu]", i);
    }
    index_crls(d, ca);
    return sp_ok();
}

const struct dp_crls *dp_directory_crls(const struct dp_directory *d, struct sp_str issuer_der)
{
    uint8_t key[32];
    return sp_issuer_key(issuer_der, key) ? sp_map_get(d->crls, sp_str(key, 32)) : NULL;
}

bool dp_directory_has_crls(const struct dp_directory *d)
{
    return sp_map_len(d->crls) > 0;
}

void dp_directory_count_crls(const struct dp_directory *d, int64_t now, size_t *num, size_t *stale)
{
    *num = *stale = 0;
    for (size_t i = 0; i < sp_map_len(d->crls); i++) {
        struct sp_str key;
        void *value;
        sp_map_at(d->crls, i, &key, &value);
        const struct dp_crls *crls = value;
        *num += crls->num;
        for (size_t k = 0; k < crls->num; k++)
            *stale += sp_crl_stale(crls->v[k], now) != NULL;
    }
}

sp_result dp_directory_add_ca(struct dp_directory *d, const Sallyport__V1__CaCertificate *ca, struct sp_error *err)
{
    struct sp_der_list list;
    if (sp_failed(sp_pem_certificates(sp_str_z(ca->cert), d->arena, &list, err)))
        return sp_fail_in(err, "cert");
    if (list.num != 1)
        return sp_fail(err, SP_E_INVALID, "cert: %zu certificates where one belongs", list.num);
    struct dp_ca *c = SP_NEW(d->arena, struct dp_ca);
    c->id = sp_arena_dup(d->arena, sp_str_z(ca->id));
    c->der = list.v[0];
    if (!sp_map_put(d->cas, c->id, c))
        return sp_fail(err, SP_E_CONFLICT, "id: two CA certificates named %.*s", SP_FMT(c->id));
    return ca->n_crls ? add_crls(d, ca, c, err) : sp_ok();
}

const struct dp_ca *dp_directory_ca(const struct dp_directory *d, struct sp_str id)
{
    return sp_map_get(d->cas, id);
}

static struct sp_str trust_key(struct sp_arena *a, char *const *ids, size_t num, bool partial)
{
    size_t len = 1;
    for (size_t i = 0; i < num; i++)
        len += strlen(ids[i]) + 1;
    char *p = sp_arena_alloc(a, len), *at = p;
    *at++ = partial ? 'p' : 'f';
    for (size_t i = 0; i < num; i++) {
        size_t n = strlen(ids[i]);
        memcpy(at, ids[i], n + 1); /* with the NUL: no two lists have one key */
        at += n + 1;
    }
    return sp_str(p, len);
}

sp_result dp_directory_trust(const struct dp_directory *d, char *const *ids, size_t num, bool allow_partial_chain,
                             const struct dp_trust **out, struct sp_error *err)
{
    struct sp_str key = trust_key(d->arena, ids, num, allow_partial_chain);
    if ((*out = sp_map_get(d->trusts, key)))
        return sp_ok();
    struct sp_str *ders = SP_NEW_N(d->arena, struct sp_str, num + 1),
                  *names = SP_NEW_N(d->arena, struct sp_str, num + 1);
    for (size_t i = 0; i < num; i++) {
        const struct dp_ca *ca = dp_directory_ca(d, sp_str_z(ids[i]));
        if (!ca)
            return sp_fail(err, SP_E_NOT_FOUND, "CA Certificate '%s' does not exist", ids[i]);
        ders[i] = ca->der;
        names[i] = ca->id;
    }
    struct dp_trust *t = SP_NEW(d->arena, struct dp_trust);
    t->ids = names;
    t->num = num;
    SP_TRY(sp_ca_set_compile(d->arena, ders, num, allow_partial_chain, &t->set, err));
    sp_map_put(d->trusts, key, t);
    *out = t;
    return sp_ok();
}

/* --- consumers --- */

static struct workspace *workspace_of(struct dp_directory *d, struct sp_str name)
{
    struct workspace *w = sp_map_get(d->workspaces, name);
    if (w)
        return w;
    w = SP_NEW(d->arena, struct workspace);
    w->usernames = sp_map_new(d->arena, 8);
    w->custom_ids = sp_map_new(d->arena, 4);
    for (size_t i = 0; i < DP_NUM_MAPPING_FAMILIES; i++)
        w->mappings[i] = sp_map_new(d->arena, 4);
    w->keys = sp_map_new(d->arena, 4);
    w->logins = sp_map_new(d->arena, 4);
    sp_map_put(d->workspaces, sp_arena_dup(d->arena, name), w);
    return w;
}

static struct sp_str dup_text(struct dp_directory *d, const char *z)
{
    return z && *z ? sp_arena_dup(d->arena, sp_str_z(z)) : sp_str("", 0);
}

/* Two mappings for one name under one CA: the older one counts, whatever order they come in. */
static bool is_older(const struct mapping *a, const struct mapping *b)
{
    return a->created_at != b->created_at ? a->created_at < b->created_at : sp_str_cmp(a->pub.id, b->pub.id) < 0;
}

static void add_mapping(struct dp_directory *d, struct sp_map *mappings, const struct dp_consumer *consumer,
                        const Sallyport__V1__MtlsAuthCredential *m)
{
    struct mapping *made = SP_NEW(d->arena, struct mapping);
    made->pub.id = dup_text(d, m->id);
    made->pub.consumer = consumer;
    made->ca_id = dup_text(d, m->ca_certificate ? m->ca_certificate->id : NULL);
    made->created_at = m->created_at;
    struct sp_str subject = dup_text(d, m->subject_name);
    struct mapping *first = sp_map_get(mappings, subject);
    if (!first) {
        sp_map_put(mappings, subject, made);
        return;
    }
    for (struct mapping *it = first; it; it = it->next) {
        if (!sp_str_eq(it->ca_id, made->ca_id))
            continue;
        struct mapping *next = it->next;
        if (is_older(made, it)) {
            *it = *made;
            it->next = next;
        }
        return;
    }
    made->next = first->next;
    first->next = made;
}

static void add_key(struct dp_directory *d, struct workspace *w, const struct dp_consumer *consumer,
                    const Sallyport__V1__KeyauthCredential *k)
{
    if (!k->key || !*k->key)
        return;
    struct dp_key *made = SP_NEW(d->arena, struct dp_key);
    made->id = dup_text(d, k->id);
    made->consumer = consumer;
    made->expires = k->ttl > 0 ? k->created_at + k->ttl : 0;
    sp_map_put(w->keys, sp_str_z(k->key), made);
}

static void add_login(struct dp_directory *d, struct workspace *w, const struct dp_consumer *consumer,
                      const Sallyport__V1__BasicauthCredential *b)
{
    struct sp_password password;
    if (!b->username || !*b->username || !sp_password_read(sp_str_z(b->password), &password))
        return; /* nobody gets in by it */
    struct dp_login *made = SP_NEW(d->arena, struct dp_login);
    made->username = dup_text(d, b->username);
    made->consumer = consumer;
    made->password = password;
    sp_map_put(w->logins, made->username, made);
    if (w->decoy || password.local)
        return;
    w->decoy = SP_NEW(d->arena, struct sp_password);
    *w->decoy = password;
    sp_random(w->decoy->hash, sizeof w->decoy->hash);
}

static struct sp_str *dup_list(struct dp_directory *d, char *const *v, size_t num)
{
    struct sp_str *out = num ? SP_NEW_N(d->arena, struct sp_str, num) : NULL;
    for (size_t i = 0; i < num; i++)
        out[i] = dup_text(d, v[i]);
    return out;
}

void dp_directory_add_consumer(struct dp_directory *d, const Sallyport__V1__ConsumerResource *r)
{
    const Sallyport__V1__Consumer *from = r->consumer;
    if (!from)
        return;
    struct workspace *w = workspace_of(d, dp_workspace(from->ws));
    struct dp_consumer *c = SP_NEW(d->arena, struct dp_consumer);
    c->id = dup_text(d, from->id);
    c->username = dup_text(d, from->username);
    c->custom_id = dup_text(d, from->custom_id);
    c->groups = dup_list(d, r->groups, c->num_groups = r->n_groups);
    c->acl_groups = dup_list(d, r->acl_groups, c->num_acl_groups = r->n_acl_groups);
    sp_map_put(d->consumers, c->id, c);
    if (c->username.len)
        sp_map_put(w->usernames, c->username, c);
    if (c->custom_id.len)
        sp_map_put(w->custom_ids, c->custom_id, c);
    for (size_t i = 0; i < r->n_mtls_auth_credentials; i++)
        add_mapping(d, w->mappings[DP_MTLS_AUTH_MAPPINGS], c, r->mtls_auth_credentials[i]);
    for (size_t i = 0; i < r->n_header_cert_auth_credentials; i++)
        add_mapping(d, w->mappings[DP_HEADER_CERT_AUTH_MAPPINGS], c, r->header_cert_auth_credentials[i]);
    for (size_t i = 0; i < r->n_keyauth_credentials; i++)
        add_key(d, w, c, r->keyauth_credentials[i]);
    for (size_t i = 0; i < r->n_basicauth_credentials; i++)
        add_login(d, w, c, r->basicauth_credentials[i]);
}

const struct dp_consumer *dp_directory_consumer_id(const struct dp_directory *d, struct sp_str id)
{
    return sp_map_get(d->consumers, id);
}

const struct dp_consumer *dp_directory_consumer_username(const struct dp_directory *d, struct sp_str ws,
                                                         struct sp_str username)
{
    const struct workspace *w = sp_map_get(d->workspaces, ws);
    return w ? sp_map_get(w->usernames, username) : NULL;
}

const struct dp_consumer *dp_directory_consumer_custom_id(const struct dp_directory *d, struct sp_str ws,
                                                          struct sp_str custom_id)
{
    const struct workspace *w = sp_map_get(d->workspaces, ws);
    return w ? sp_map_get(w->custom_ids, custom_id) : NULL;
}

const struct dp_consumer *dp_directory_consumer(const struct dp_directory *d, struct sp_str ws, struct sp_str name)
{
    const struct dp_consumer *c = dp_directory_consumer_id(d, name);
    return c ? c : dp_directory_consumer_username(d, ws, name);
}

const struct dp_mapping *dp_directory_mapping(const struct dp_directory *d, enum dp_mapping_family family,
                                              struct sp_str ws, struct sp_str subject_name, struct sp_str ca_id)
{
    const struct workspace *w = sp_map_get(d->workspaces, ws);
    const struct mapping *m = w ? sp_map_get(w->mappings[family], subject_name) : NULL;
    while (m && !sp_str_eq(m->ca_id, ca_id))
        m = m->next;
    return m ? &m->pub : NULL;
}

const struct dp_key *dp_directory_key(const struct dp_directory *d, struct sp_str ws, struct sp_str key)
{
    const struct workspace *w = sp_map_get(d->workspaces, ws);
    return w ? sp_map_get(w->keys, key) : NULL;
}

const struct dp_login *dp_directory_login(const struct dp_directory *d, struct sp_str ws, struct sp_str username)
{
    const struct workspace *w = sp_map_get(d->workspaces, ws);
    return w ? sp_map_get(w->logins, username) : NULL;
}

const struct sp_password *dp_directory_decoy(const struct dp_directory *d, struct sp_str ws)
{
    const struct workspace *w = sp_map_get(d->workspaces, ws);
    return w ? w->decoy : NULL;
}

/* --- plugin instances --- */

static unsigned protocols_of(const Sallyport__V1__Plugin *p)
{
    static const struct {
        const char *word;
        unsigned bit;
    } words[] = {{"http", DP_HTTP}, {"https", DP_HTTPS}, {"grpc", DP_GRPC}, {"grpcs", DP_GRPCS}};
    unsigned bits = 0;
    for (size_t i = 0; i < p->n_protocols; i++)
        for (size_t w = 0; w < sizeof words / sizeof *words; w++)
            if (strcmp(p->protocols[i], words[w].word) == 0)
                bits |= words[w].bit;
    return p->n_protocols ? bits : DP_HTTP | DP_HTTPS | DP_GRPC | DP_GRPCS;
}

static struct scope *scope_of(struct dp_directory *d, struct sp_map *m, const Sallyport__V1__Ref *ref)
{
    struct scope *s = sp_map_get(m, sp_str_z(ref->id));
    if (!s) {
        s = SP_NEW(d->arena, struct scope);
        sp_map_put(m, sp_arena_dup(d->arena, sp_str_z(ref->id)), s);
    }
    return s;
}

sp_result dp_directory_add_plugin(struct dp_directory *d, const Sallyport__V1__Plugin *p, struct sp_error *err)
{
    struct dp_instance *i = SP_NEW(d->arena, struct dp_instance);
    i->plugin = p;
    i->kind = dp_plugin_kind_of(p->config_case);
    if (!i->kind)
        return sp_fail(err, SP_E_INVALID, "name: this data plane cannot run plugin '%s'", p->name ? p->name : "");
    if (p->consumer && !p->consumer->id)
        return sp_fail(err, SP_E_INVALID, "consumer: not resolved to an id");
    if (p->consumer_group && !p->consumer_group->name)
        return sp_fail(err, SP_E_INVALID, "consumer_group: not resolved to a name");
    i->protocols = protocols_of(p);
    SP_TRY(i->kind->compile(d->arena, d, p, &i->config, err));
    if (!i->kind->access || !p->enabled)
        return sp_ok(); /* it has no part in requests, but a fault in it is still one */
    struct scope *s = p->route     ? scope_of(d, d->routes, p->route)
                      : p->service ? scope_of(d, d->services, p->service)
                                   : &workspace_of(d, dp_workspace(p->ws))->global;
    i->next = s->first;
    s->first = i;
    return sp_ok();
}

const struct dp_instance *dp_directory_of_route(const struct dp_directory *d, struct sp_str id)
{
    const struct scope *s = sp_map_get(d->routes, id);
    return s ? s->first : NULL;
}

const struct dp_instance *dp_directory_of_service(const struct dp_directory *d, struct sp_str id)
{
    const struct scope *s = sp_map_get(d->services, id);
    return s ? s->first : NULL;
}

const struct dp_instance *dp_directory_of_workspace(const struct dp_directory *d, struct sp_str ws)
{
    const struct workspace *w = sp_map_get(d->workspaces, ws);
    return w ? w->global.first : NULL;
}
