#include "config/snapshot.h"

#include "config/resource.h"
#include "config/vault.h"

#include <stdatomic.h>

struct builder {
    struct sp_arena *arena, *secrets; /* secrets: of the same life, overwritten at its end */
    struct dp_snapshot *snap;
    const struct sp_resources *resources; /* resolved */
    struct sp_problems *problems;
    struct sp_map *cas;       /* id -> CaCertificate */
    struct sp_map *certs;     /* id -> Certificate */
    struct sp_map *upstreams; /* name -> UpstreamResource */
    struct sp_map *services;  /* id -> dp_service */
};

static void bad(struct builder *b, const struct sp_resource *r, const struct sp_error *err)
{
    struct sp_problem *p =
        sp_problems_add(b->problems, SP_PROBLEM_ERROR, "cannot_compile", (struct sp_str){0}, "%s", err->text);
    p->entity = dp_resource_label(b->problems->arena, r);
}

static void *arena_alloc(void *arena, size_t size)
{
    return sp_arena_alloc_raw(arena, size);
}

static void arena_free(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

/* A hash that this data plane cannot check would be a credential that never works. */
static const char *bad_login(const Sallyport__V1__ConsumerResource *c)
{
    struct sp_password password;
    for (size_t i = 0; i < c->n_basicauth_credentials; i++)
        if (!sp_password_read(sp_str_z(c->basicauth_credentials[i]->password), &password))
            return "basicauth_credentials: a password's hash that can be checked";
    return NULL;
}

/* The first thing a message of this kind cannot be without; NULL: it has all. proto2 leaves every field optional, so a
 * control plane of another version may send it. */
static const char *missing(Sallyport__V1__Kind kind, const ProtobufCMessage *message)
{
    const void *m = message;
    switch (kind) {
    case SALLYPORT__V1__KIND__CA_CERTIFICATE:
        return ((const Sallyport__V1__CaCertificate *)m)->cert ? NULL : "cert";
    case SALLYPORT__V1__KIND__CERTIFICATE: {
        const Sallyport__V1__Certificate *c = ((const Sallyport__V1__ServerCertificate *)m)->certificate;
        return !c ? "certificate" : !c->cert ? "certificate.cert" : !c->key ? "certificate.key" : NULL;
    }
    case SALLYPORT__V1__KIND__CONSUMER: {
        const Sallyport__V1__Consumer *c = ((const Sallyport__V1__ConsumerResource *)m)->consumer;
        return !c ? "consumer" : !c->id ? "consumer.id" : bad_login(m);
    }
    case SALLYPORT__V1__KIND__UPSTREAM:
        return ((const Sallyport__V1__UpstreamResource *)m)->upstream ? NULL : "upstream";
    case SALLYPORT__V1__KIND__SERVICE:
        return ((const Sallyport__V1__Service *)m)->host ? NULL : "host";
    case SALLYPORT__V1__KIND__HANDSHAKE:
        return ((const Sallyport__V1__HandshakeEntry *)m)->sni ? NULL : "sni";
    case SALLYPORT__V1__KIND__VAULT:
        return ((const Sallyport__V1__Vault *)m)->prefix ? NULL : "prefix";
    default:
        return NULL;
    }
}

static void check_complete(struct builder *b, const struct sp_resource *r)
{
    const char *what = missing(r->kind, r->message);
    struct sp_error err;
    if (!what)
        return;
    (void)sp_fail(&err, SP_E_INVALID, "%s: missing", what);
    bad(b, r, &err);
}

/* Private keys and API keys. */
static bool has_secrets(Sallyport__V1__Kind kind)
{
    return kind == SALLYPORT__V1__KIND__CERTIFICATE || kind == SALLYPORT__V1__KIND__CONSUMER;
}

/* The snapshot outlives the parse or the transaction it came from: resources are copied and unpacked into its own
 * arenas. */
static struct sp_resources *copy_resources(struct builder *b, const struct sp_resources *from)
{
    struct sp_resources *to = SP_NEW(b->arena, struct sp_resources);
    to->num = from->num;
    to->v = SP_NEW_N(b->arena, struct sp_resource, from->num);
    for (size_t i = 0; i < from->num; i++) {
        struct sp_resource *r = &to->v[i];
        *r = from->v[i];
        struct sp_arena *a = has_secrets(r->kind) ? b->secrets : b->arena;
        ProtobufCAllocator allocator = {arena_alloc, arena_free, a};
        r->name = sp_arena_dup(a, r->name);
        r->body = sp_arena_dup(a, r->body);
        const ProtobufCMessageDescriptor *d = sp_resource_descriptor(r->kind);
        r->message = d ? protobuf_c_message_unpack(d, &allocator, r->body.len, (const uint8_t *)r->body.p) : NULL;
        if (!r->message) { /* a kind this data plane cannot run is refused, never skipped: it may be what protects
                              something */
            struct sp_error err;
            (void)sp_fail(&err, SP_E_INVALID,
                          d ? "the body does not parse" : "this data plane cannot run this kind of resource");
            bad(b, r, &err);
        } else {
            check_complete(b, r);
        }
    }
    return to;
}

static void index_one(struct builder *b, const struct sp_resource *r)
{
    struct sp_error err;
    switch (r->kind) {
    case SALLYPORT__V1__KIND__CA_CERTIFICATE:
        sp_map_put(b->cas, r->name, r->message);
        if (sp_failed(dp_directory_add_ca(b->snap->directory, (void *)r->message, &err)))
            bad(b, r, &err);
        break;
    case SALLYPORT__V1__KIND__CERTIFICATE:
        sp_map_put(b->certs, r->name, ((Sallyport__V1__ServerCertificate *)(void *)r->message)->certificate);
        break;
    case SALLYPORT__V1__KIND__CONSUMER:
        dp_directory_add_consumer(b->snap->directory, (void *)r->message);
        break;
    case SALLYPORT__V1__KIND__UPSTREAM:
        sp_map_put(b->upstreams, r->name, r->message);
        break;
    case SALLYPORT__V1__KIND__PLUGIN:
        if (sp_failed(dp_directory_add_plugin(b->snap->directory, (void *)r->message, &err)))
            bad(b, r, &err);
        break;
    default:
        break;
    }
}

static sp_result service_refs(struct builder *b, const Sallyport__V1__Service *conf, struct dp_service_refs *refs,
                              struct sp_error *err)
{
    *refs = (struct dp_service_refs){.upstream = sp_map_get(b->upstreams, sp_str_z(conf->host))};
    if (conf->client_certificate) {
        refs->client_certificate = sp_map_get(b->certs, sp_str_z(conf->client_certificate->id));
        if (!refs->client_certificate)
            return sp_fail(err, SP_E_INVALID, "client_certificate: no certificate '%s'", conf->client_certificate->id);
    }
    for (size_t i = 0; i < conf->n_ca_certificates; i++) {
        const Sallyport__V1__CaCertificate *ca = sp_map_get(b->cas, sp_str_z(conf->ca_certificates[i]));
        if (!ca)
            return sp_fail(err, SP_E_INVALID, "ca_certificates[%zu]: no CA certificate '%s'", i,
                           conf->ca_certificates[i]);
        refs->ca_pem = sp_arena_printf(b->arena, "%.*s%s\n", SP_FMT(refs->ca_pem), ca->cert);
    }
    return sp_ok();
}

static void compile_services(struct builder *b)
{
    struct dp_snapshot *s = b->snap;
    for (size_t i = 0; i < b->resources->num; i++) {
        const struct sp_resource *r = &b->resources->v[i];
        if (r->kind != SALLYPORT__V1__KIND__SERVICE)
            continue;
        struct sp_error err;
        struct dp_service_refs refs;
        struct dp_service *out = &s->services[s->num_services];
        const Sallyport__V1__Service *conf = (void *)r->message;
        if (sp_failed(service_refs(b, conf, &refs, &err))) {
            bad(b, r, &err);
            continue;
        }
        refs.index = s->num_services;
        if (sp_failed(dp_service_compile(b->arena, conf, &refs, &s->num_targets, out, &err)))
            bad(b, r, &err);
        sp_map_put(b->services, r->name, out);
        s->num_services++;
    }
}

static void remember_key(struct builder *b, struct dp_route *out)
{
    uint8_t digest[32];
    sp_sha256(sp_str_z(out->conf->id), digest);
    memcpy(&out->key, digest, sizeof out->key);
    sp_map_put(b->snap->known_at, sp_str(&out->key, sizeof out->key), out);
}

static sp_result compile_route(struct builder *b, const Sallyport__V1__Route *conf, struct dp_route *out,
                               struct sp_error *err)
{
    out->conf = conf;
    out->name = sp_str_z(conf->name ? conf->name : conf->id);
    if (conf->service) {
        out->service = sp_map_get(b->services, sp_str_z(conf->service->id));
        if (!out->service)
            return sp_fail(err, SP_E_INVALID, "service: no service '%s'", conf->service->id);
    }
    out->chain = dp_chain_compile(b->arena, b->snap->directory, conf, out->service ? out->service->conf : NULL);
    if (dp_chain_identifies(out->chain))
        remember_key(b, out);
    return sp_ok();
}

static void compile_routes(struct builder *b, size_t num)
{
    struct dp_route_spec *specs = SP_NEW_N(b->arena, struct dp_route_spec, num);
    struct sp_error err;
    size_t n = 0;
    for (size_t i = 0; i < b->resources->num; i++) {
        const struct sp_resource *r = &b->resources->v[i];
        if (r->kind != SALLYPORT__V1__KIND__ROUTE)
            continue;
        struct dp_route *out = SP_NEW(b->arena, struct dp_route);
        if (sp_failed(compile_route(b, (void *)r->message, out, &err)))
            bad(b, r, &err);
        specs[n++] = (struct dp_route_spec){out->conf, out};
    }
    if (sp_failed(dp_router_compile(b->arena, specs, n, &b->snap->router, &err)))
        sp_problems_add(b->problems, SP_PROBLEM_ERROR, "cannot_compile", SP_STR("routes"), "%s", err.text);
}

static void add_certificate(struct builder *b, const struct sp_resource *r)
{
    const Sallyport__V1__ServerCertificate *sc = (void *)r->message;
    const Sallyport__V1__Certificate *c = sc->certificate;
    struct sp_error err;
    struct sp_str *snis = SP_NEW_N(b->arena, struct sp_str, sc->n_snis);
    for (size_t i = 0; i < sc->n_snis; i++)
        snis[i] = sp_str_z(sc->snis[i]);
    if (sp_failed(sp_tls_names_add_certificate(b->snap->names, sp_str_z(c->cert), sp_str_z(c->key),
                                               sp_str_z(c->cert_alt), sp_str_z(c->key_alt), snis, sc->n_snis, &err)))
        bad(b, r, &err);
}

static sp_result ca_name(struct builder *b, const char *id, struct sp_str *out, struct sp_error *err)
{
    const struct dp_ca *ca = dp_directory_ca(b->snap->directory, sp_str_z(id));
    struct sp_cert_info info;
    if (!ca)
        return sp_fail(err, SP_E_INVALID, "no CA certificate '%s'", id);
    SP_TRY(sp_cert_read(ca->der, b->arena, &info, err));
    *out = info.subject_der;
    return sp_ok();
}

static void add_handshake(struct builder *b, const struct sp_resource *r)
{
    const Sallyport__V1__HandshakeEntry *h = (void *)r->message;
    struct sp_error err;
    struct sp_str *names = SP_NEW_N(b->arena, struct sp_str, h->n_ca_certificates);
    size_t n = 0;
    for (size_t i = 0; i < h->n_ca_certificates; i++) {
        struct sp_str name;
        if (sp_failed(ca_name(b, h->ca_certificates[i], &name, &err))) {
            bad(b, r, &err);
            return;
        }
        bool seen = false;
        for (size_t k = 0; k < n && !seen; k++)
            seen = sp_str_eq(names[k], name);
        if (!seen)
            names[n++] = name;
    }
    if (sp_failed(sp_tls_names_ask(b->snap->names, sp_str_z(h->sni), names, n, b->snap->trust, &err)))
        bad(b, r, &err);
}

#define BIT(kind) (1u << SALLYPORT__V1__KIND__##kind)

static void digest_kinds(const struct builder *b, unsigned kinds, uint8_t out[32])
{
    struct sp_buf all = {0};
    for (size_t i = 0; i < b->resources->num; i++) {
        const struct sp_resource *r = &b->resources->v[i];
        if (kinds & 1u << r->kind)
            sp_buf_append(&all, r->hash, sizeof r->hash);
    }
    sp_sha256(sp_buf_str(&all), out);
    sp_buf_fini(&all);
}

/* Everything that judging a client depends on goes into one digest: it binds resumption (security.md, CVE-2022-21654).
 * Who the client is and where that counts is asked again at each request, so a session may live on. */
static void digest_trust(struct builder *b)
{
    unsigned trust = BIT(CA_CERTIFICATE) | BIT(PLUGIN);
    digest_kinds(b, trust, b->snap->trust);
    digest_kinds(b, trust | BIT(CONSUMER) | BIT(ROUTE) | BIT(SERVICE), b->snap->identity);
}

static void compile_names(struct builder *b, const struct dp_snapshot_options *o)
{
    struct sp_error err;
    b->snap->names = sp_tls_names_new(b->arena, b->resources->num);
    if (o->default_cert_pem.len &&
        sp_failed(sp_tls_names_default_certificate(b->snap->names, o->default_cert_pem, o->default_key_pem, &err)))
        sp_problems_add(b->problems, SP_PROBLEM_ERROR, "cannot_compile", SP_STR("default certificate"), "%s", err.text);
    for (size_t i = 0; i < b->resources->num; i++) {
        const struct sp_resource *r = &b->resources->v[i];
        if (r->kind == SALLYPORT__V1__KIND__CERTIFICATE)
            add_certificate(b, r);
        else if (r->kind == SALLYPORT__V1__KIND__HANDSHAKE)
            add_handshake(b, r);
    }
    sp_tls_names_done(b->snap->names);
}

static size_t count(const struct sp_resources *r, Sallyport__V1__Kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < r->num; i++)
        n += r->v[i].kind == kind;
    return n;
}

static void compile_all(struct builder *b, const struct dp_snapshot_options *o)
{
    const struct sp_resources *r = b->resources;
    struct dp_snapshot *s = b->snap;
    b->cas = sp_map_new(b->arena, count(r, SALLYPORT__V1__KIND__CA_CERTIFICATE));
    b->certs = sp_map_new(b->arena, count(r, SALLYPORT__V1__KIND__CERTIFICATE));
    b->upstreams = sp_map_new(b->arena, count(r, SALLYPORT__V1__KIND__UPSTREAM));
    b->services = sp_map_new(b->arena, count(r, SALLYPORT__V1__KIND__SERVICE));
    s->services = SP_NEW_N(b->arena, struct dp_service, count(r, SALLYPORT__V1__KIND__SERVICE));
    s->directory = dp_directory_new(b->arena);
    s->known_at = sp_map_new(b->arena, 4);
    dp_directory_reuse(s->directory, o->previous ? o->previous->directory : NULL);
    for (size_t i = 0; i < r->num; i++)
        index_one(b, &r->v[i]);
    dp_directory_reuse(s->directory, NULL);
    digest_trust(b);
    compile_services(b);
    compile_routes(b, count(r, SALLYPORT__V1__KIND__ROUTE));
    compile_names(b, o);
}

static void free_arena(void *a)
{
    sp_arena_free(a);
}

/* Copies, then puts what vault references mean in their place, for the rest of the compile step only. */
static void take_resources(struct builder *b, const struct sp_resources *from)
{
    size_t errors = b->problems->num_errors;
    b->secrets = sp_arena_new_secret(4096);
    sp_arena_on_free(b->arena, free_arena, b->secrets);
    b->snap->resources = copy_resources(b, from);
    if (b->problems->num_errors == errors &&
        !sp_failed(dp_vaults_resolve(b->snap->resources, b->secrets, &b->resources, b->problems)))
        b->snap->resolved = b->resources;
}

sp_result dp_snapshot_compile(const struct sp_resources *r, int64_t revision, const struct dp_snapshot_options *o,
                              struct dp_snapshot **out, struct sp_problems *problems)
{
    struct sp_arena *a = sp_arena_new(16384);
    struct builder b = {.arena = a, .problems = problems, .snap = SP_NEW(a, struct dp_snapshot)};
    size_t errors_before = problems->num_errors;
    b.snap->arena = a;
    b.snap->revision = revision;
    atomic_init(&b.snap->refs, 1);
    take_resources(&b, r);
    if (problems->num_errors == errors_before)
        compile_all(&b, o);
    if (problems->num_errors != errors_before) {
        sp_arena_free(a);
        *out = NULL;
        return (sp_result){SP_E_INVALID};
    }
    *out = b.snap;
    return sp_ok();
}

const struct dp_route *dp_snapshot_known_at(const struct dp_snapshot *s, uint64_t key)
{
    return sp_map_get(s->known_at, sp_str(&key, sizeof key));
}

struct dp_snapshot *dp_snapshot_ref(struct dp_snapshot *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void dp_snapshot_unref(struct dp_snapshot *s)
{
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        sp_arena_free(s->arena);
}
