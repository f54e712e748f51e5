#include "model/handshake.h"

#include "base/names.h"
#include "model/build.h"
#include "model/rules.h"
#include "model/vault.h"
#include "tls/certificate.h"

#include <stdlib.h>

#define TLS_PROTOCOLS "https grpcs wss tls" /* not tls_passthrough: TLS does not end here */
enum { MAX_CA_NAMES = 65535, MANY_CA_NAMES = 8192, MAX_ROUTES_NAMED = 5 };

/* --- what takes part --- */

const ProtobufCMessage *sp_model_message(const struct sp_model *m, enum sp_entity_kind kind,
                                         const Sallyport__V1__Ref *r)
{
    const struct sp_entity *e = r && r->id ? sp_model_by_id(m, kind, sp_str_z(r->id)) : NULL;
    return e ? e->message : NULL;
}

static bool service_runs(const struct sp_model *m, const Sallyport__V1__Ref *r)
{
    const Sallyport__V1__Service *s = (const Sallyport__V1__Service *)sp_model_message(m, SP_SERVICES, r);
    return s && s->enabled;
}

bool sp_route_runs(const struct sp_model *m, const Sallyport__V1__Route *r)
{
    return !r->service || service_runs(m, r->service);
}

bool sp_plugin_runs(const struct sp_model *m, const Sallyport__V1__Plugin *p)
{
    if (!p->enabled || (p->service && !service_runs(m, p->service)))
        return false;
    const Sallyport__V1__Route *r = (const Sallyport__V1__Route *)sp_model_message(m, SP_ROUTES, p->route);
    return !p->route || (r && sp_route_runs(m, r));
}

static bool has_tls(char *const *protocols, size_t num)
{
    for (size_t i = 0; i < num; i++)
        if (sp_words_have(TLS_PROTOCOLS, sp_str_z(protocols[i])))
            return true;
    return false;
}

/* The plugin runs for this route on a TLS connection that ends here. */
static bool meets_on_tls(const Sallyport__V1__Plugin *p, const Sallyport__V1__Route *r)
{
    for (size_t i = 0; i < p->n_protocols; i++)
        for (size_t j = 0; j < r->n_protocols; j++)
            if (strcmp(p->protocols[i], r->protocols[j]) == 0 && has_tls(&r->protocols[j], 1))
                return true;
    return false;
}

static bool names_everybody(const Sallyport__V1__Route *r)
{
    for (size_t i = 0; i < r->n_snis; i++)
        if (strcmp(r->snis[i], "*") == 0)
            return true;
    return r->n_snis == 0;
}

/* --- the map --- */

struct why {
    struct why *next;
    Sallyport__V1__Provenance *p;
};

struct name {
    struct sp_str pattern;
    struct why *first, **last;
    size_t num;
    struct sp_map *cas; /* id -> id; NULL: nobody sends names */
};

struct compiler {
    struct sp_map *subjects; /* CA id -> its encoded name: one CA may stand behind very many names */
    struct sp_arena *a;
    const struct sp_model *m;
    struct sp_problems *problems;
    struct sp_map *names;         /* pattern -> struct name */
    struct sp_map *routes_of;     /* service id -> struct route_node * */
    const struct sp_entity *bare; /* all_routes: a TLS route without SNIs; NULL: none */
};

struct route_node {
    struct route_node *next;
    const struct sp_entity *route;
};

/* One plugin on its way into the map. */
struct asking {
    const struct sp_entity *e;
    const Sallyport__V1__Plugin *p;
    const char *scope;
    const Sallyport__V1__MtlsAuthConfig *sends; /* NULL: no CA names */
    size_t everybody;                           /* routes that send it to "*" */
};

static const char *label(const struct sp_entity *e)
{
    return e->key.len ? e->key.p : e->id.p;
}

static struct name *name_of(struct compiler *c, struct sp_str pattern)
{
    struct name *n = sp_map_get(c->names, pattern);
    if (n)
        return n;
    n = SP_NEW(c->a, struct name);
    n->pattern = sp_arena_dup(c->a, pattern);
    n->last = &n->first;
    sp_map_put(c->names, n->pattern, n);
    return n;
}

static char *copy(struct compiler *c, const char *s)
{
    return s ? sp_arena_strdup(c->a, s) : NULL;
}

static void add(struct compiler *c, const struct asking *who, struct sp_str pattern, const struct sp_entity *route,
                struct sp_str reason)
{
    struct name *n = name_of(c, pattern);
    const Sallyport__V1__Route *r = route ? (const Sallyport__V1__Route *)route->message : NULL;
    const Sallyport__V1__Ref *ref = who->p->service ? who->p->service : r ? r->service : NULL;
    const struct sp_entity *service = ref ? sp_model_by_id(c->m, SP_SERVICES, sp_str_z(ref->id)) : NULL;
    struct why *w = SP_NEW(c->a, struct why);
    w->p = (Sallyport__V1__Provenance *)sp_msg_new(c->a, &sallyport__v1__provenance__descriptor);
    w->p->plugin = copy(c, who->p->name);
    w->p->plugin_id = copy(c, who->p->id);
    w->p->scope = copy(c, who->scope);
    w->p->service = service ? copy(c, label(service)) : NULL;
    w->p->route = route ? copy(c, label(route)) : NULL;
    w->p->workspace = copy(c, who->e->ws.p);
    w->p->has_sends_names = true;
    w->p->sends_names = who->sends != NULL;
    w->p->reason = (char *)(uintptr_t)reason.p;
    *n->last = w;
    n->last = &w->next;
    n->num++;
    for (size_t i = 0; who->sends && i < who->sends->n_ca_certificates; i++) {
        char *id = who->sends->ca_certificates[i];
        n->cas = n->cas ? n->cas : sp_map_new(c->a, 4);
        if (!sp_map_get(n->cas, sp_str_z(id)))
            sp_map_put(n->cas, sp_str_z(id), id);
    }
}

/* "give it SNIs a.test, b.test": its hosts, as far as they are names. */
static struct sp_str advice(struct compiler *c, const Sallyport__V1__Route *r)
{
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    for (size_t i = 0; i < r->n_hosts; i++) {
        struct sp_str host = sp_str_z(r->hosts[i]);
        const char *colon = memchr(host.p, ':', host.len);
        char name[SP_HOST_MAX + 1];
        size_t len;
        if (colon)
            host.len = (size_t)(colon - host.p);
        if (sp_pattern_normalise(host, name, &len))
            sp_buf_printf(&b, "%s%s", b.len ? ", " : "", name);
    }
    return b.len ? sp_arena_printf(c->a, "give it SNIs %.*s", SP_FMT(sp_buf_str(&b)))
                 : sp_arena_dup(c->a, SP_STR("give it SNIs"));
}

static void warn_everybody(struct compiler *c, struct asking *who, const struct sp_entity *route)
{
    if (++who->everybody > MAX_ROUTES_NAMED)
        return;
    const Sallyport__V1__Route *r = (const Sallyport__V1__Route *)route->message;
    sp_lint(c->problems, route, SP_PROBLEM_WARNING, "asks_everybody",
            "every handshake will ask for a certificate because route %s, under plugin %s (%s scope), has no SNIs; %s",
            label(route), who->p->name, who->scope, advice(c, r).p);
}

static void add_route(struct compiler *c, struct asking *who, const struct sp_entity *route)
{
    const Sallyport__V1__Route *r = (const Sallyport__V1__Route *)route->message;
    char name[SP_HOST_MAX + 1];
    size_t len;
    if (!sp_route_runs(c->m, r) || !meets_on_tls(who->p, r))
        return;
    if (names_everybody(r)) {
        add(c, who, SP_STR("*"), route,
            sp_arena_printf(c->a, "route %s has no SNIs, so every handshake is asked", label(route)));
        warn_everybody(c, who, route);
        return;
    }
    struct sp_str reason = sp_arena_printf(c->a, "route %s names this SNI", label(route));
    for (size_t i = 0; i < r->n_snis; i++) {
        bool good = sp_pattern_normalise(sp_str_z(r->snis[i]), name, &len);
        sp_assert(good); /* checked when the model was made */
        add(c, who, sp_str(name, len), route, reason);
    }
}

static void add_global(struct compiler *c, const struct asking *who)
{
    add(c, who, SP_STR("*"), NULL,
        sp_arena_printf(c->a, "plugin %s is global in workspace %s, so every handshake is asked", who->p->name,
                        who->e->ws.p));
    sp_lint(c->problems, who->e, SP_PROBLEM_WARNING, "asks_everybody",
            "every handshake will ask for a certificate, of every workspace, because plugin %s is global; attach it to "
            "services or routes with SNIs",
            who->p->name);
}

static void add_plugin(struct compiler *c, const struct sp_entity *e)
{
    const Sallyport__V1__Plugin *p = (const Sallyport__V1__Plugin *)e->message;
    const struct sp_plugin_info *info = sp_plugin_info(sp_str_z(p->name));
    if (!info || !info->asks || !sp_plugin_runs(c->m, p) || !has_tls(p->protocols, p->n_protocols))
        return;
    bool mtls = p->config_case == SALLYPORT__V1__PLUGIN__CONFIG_MTLS_AUTH;
    struct asking who = {.e = e, .p = p, .sends = mtls && p->mtls_auth->send_ca_dn ? p->mtls_auth : NULL};
    who.scope = p->route ? "route" : p->service ? "service" : "global";
    if (p->route) {
        add_route(c, &who, sp_model_by_id(c->m, SP_ROUTES, sp_str_z(p->route->id)));
    } else if (p->service) {
        struct route_node *const *head = sp_map_get(c->routes_of, sp_str_z(p->service->id));
        for (const struct route_node *n = head ? *head : NULL; n; n = n->next)
            add_route(c, &who, n->route);
    } else {
        add_global(c, &who);
        return;
    }
    if (who.everybody > MAX_ROUTES_NAMED)
        sp_lint(c->problems, e, SP_PROBLEM_WARNING, "asks_everybody", "%zu more routes without SNIs under plugin %s",
                who.everybody - MAX_ROUTES_NAMED, p->name);
    if (c->bare && !who.everybody) {
        add(c, &who, SP_STR("*"), c->bare,
            sp_arena_printf(c->a, "request_scope is all_routes and route %s has no SNIs, so every handshake is asked",
                            label(c->bare)));
        warn_everybody(c, &who, c->bare);
    }
}

/* --- CA names --- */

size_t sp_ca_names_size(const struct sp_str *subjects, size_t num)
{
    size_t size = 0;
    for (size_t i = 0; i < num; i++)
        size += 2 + subjects[i].len;
    return size;
}

struct sp_str sp_ca_subject(struct sp_arena *a, const Sallyport__V1__CaCertificate *ca, struct sp_str *dn)
{
    struct sp_der_list list = {0};
    struct sp_cert_info info;
    if (!ca || sp_failed(sp_pem_certificates(sp_str_z(ca->cert), a, &list, NULL)) || list.num == 0 ||
        sp_failed(sp_cert_read(list.v[0], a, &info, NULL)))
        return SP_STR("");
    if (dn)
        *dn = info.subject_dn;
    return info.subject_der;
}

static struct sp_str subject_of(struct compiler *c, struct sp_str id)
{
    struct sp_str *known = sp_map_get(c->subjects, id);
    if (known)
        return *known;
    const struct sp_entity *ca = sp_model_by_id(c->m, SP_CA_CERTIFICATES, id);
    known = SP_NEW(c->a, struct sp_str);
    if (ca)
        *known = sp_ca_subject(c->a, (const Sallyport__V1__CaCertificate *)ca->message, NULL);
    sp_map_put(c->subjects, id, known);
    return *known;
}

/* Where the certificate is a vault reference, only data planes know its name; they leave out what they have twice. */
static bool is_unknown(const struct compiler *c, struct sp_str id)
{
    const struct sp_entity *ca = sp_model_by_id(c->m, SP_CA_CERTIFICATES, id);
    return ca && sp_is_vault_reference(sp_str_z(((const Sallyport__V1__CaCertificate *)ca->message)->cert));
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Ids in order, one for each name: a CA and its successor may share a subject, which is sent once. */
static void add_ca_names(struct compiler *c, const struct name *n, const struct name *all,
                         Sallyport__V1__HandshakeEntry *out)
{
    struct sp_map *sets[] = {n->cas, all && all != n ? all->cas : NULL};
    size_t num = (sets[0] ? sp_map_len(sets[0]) : 0) + (sets[1] ? sp_map_len(sets[1]) : 0), ids = 0;
    struct sp_str *subjects = SP_NEW_N(c->a, struct sp_str, num + 1);
    struct sp_map *seen = sp_map_new(c->a, num);
    out->ca_certificates = SP_NEW_N(c->a, char *, num + 1);
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; sets[s] && i < sp_map_len(sets[s]); i++)
            sp_map_at(sets[s], i, NULL, (void **)&out->ca_certificates[ids++]);
    if (ids)
        qsort(out->ca_certificates, ids, sizeof(char *), by_text);
    for (size_t i = 0; i < ids; i++) {
        struct sp_str id = sp_str_z(out->ca_certificates[i]), subject = subject_of(c, id);
        if (subject.len ? !sp_map_put(seen, subject, out) : !is_unknown(c, id))
            continue;
        subjects[out->n_ca_certificates] = subject;
        out->ca_certificates[out->n_ca_certificates++] = copy(c, out->ca_certificates[i]);
    }
    size_t size = sp_ca_names_size(subjects, out->n_ca_certificates);
    if (size <= MANY_CA_NAMES)
        return;
    bool error = size > MAX_CA_NAMES;
    sp_problems_add(
        c->problems, error ? SP_PROBLEM_ERROR : SP_PROBLEM_WARNING, "ca_names_too_large",
        sp_arena_printf(c->a, "handshake.%.*s", SP_FMT(n->pattern)),
        error ? "the CA names sent for '%.*s' are %zu bytes; TLS allows %d"
              : "the CA names sent for '%.*s' are %zu bytes, in every handshake of that name; more than %d is a lot",
        SP_FMT(n->pattern), size, error ? MAX_CA_NAMES : MANY_CA_NAMES);
}

/* --- all of it --- */

static void index_routes(struct compiler *c)
{
    c->routes_of = sp_map_new(c->a, c->m->num[SP_SERVICES]);
    for (size_t i = c->m->num[SP_ROUTES]; i-- > 0;) { /* backwards: the lists come out in the order of ids */
        const struct sp_entity *e = &c->m->entities[SP_ROUTES][i];
        const Sallyport__V1__Route *r = (const Sallyport__V1__Route *)e->message;
        if (has_tls(r->protocols, r->n_protocols) && names_everybody(r) && sp_route_runs(c->m, r))
            c->bare = e;
        if (!r->service)
            continue;
        struct route_node **head = sp_map_get(c->routes_of, sp_str_z(r->service->id));
        if (!head) {
            head = SP_NEW(c->a, struct route_node *);
            sp_map_put(c->routes_of, sp_str_z(r->service->id), head);
        }
        struct route_node *n = SP_NEW(c->a, struct route_node);
        *n = (struct route_node){*head, e};
        *head = n;
    }
    const char *scope = c->m->settings->handshake ? c->m->settings->handshake->request_scope : NULL;
    if (!scope || strcmp(scope, "all_routes") != 0)
        c->bare = NULL;
}

static int by_pattern(const void *a, const void *b)
{
    const Sallyport__V1__HandshakeEntry *const *x = a, *const *y = b;
    return strcmp((*x)->sni, (*y)->sni);
}

static Sallyport__V1__HandshakeEntry *entry_of(struct compiler *c, const struct name *n, const struct name *all)
{
    Sallyport__V1__HandshakeEntry *e =
        (Sallyport__V1__HandshakeEntry *)sp_msg_new(c->a, &sallyport__v1__handshake_entry__descriptor);
    e->sni = (char *)(uintptr_t)n->pattern.p;
    e->provenance = SP_NEW_N(c->a, Sallyport__V1__Provenance *, n->num);
    for (const struct why *w = n->first; w; w = w->next)
        e->provenance[e->n_provenance++] = w->p;
    add_ca_names(c, n, all, e);
    return e;
}

void sp_handshake_compile(struct sp_arena *a, const struct sp_model *m, struct sp_handshake_map *out,
                          struct sp_problems *problems)
{
    struct compiler c = {
        .a = a, .m = m, .problems = problems, .names = sp_map_new(a, 64), .subjects = sp_map_new(a, 16)};
    index_routes(&c);
    for (size_t i = 0; i < m->num[SP_PLUGINS]; i++)
        add_plugin(&c, &m->entities[SP_PLUGINS][i]);
    bool merge = m->settings->handshake && m->settings->handshake->merge_default_names;
    const struct name *all = merge ? sp_map_get(c.names, SP_STR("*")) : NULL;
    out->num = sp_map_len(c.names);
    out->v = SP_NEW_N(a, Sallyport__V1__HandshakeEntry *, out->num + 1);
    for (size_t i = 0; i < out->num; i++) {
        void *n;
        sp_map_at(c.names, i, NULL, &n);
        out->v[i] = entry_of(&c, n, all);
    }
    if (out->num)
        qsort(out->v, out->num, sizeof(void *), by_pattern);
}
