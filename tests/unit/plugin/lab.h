/* A plugin's world without a connection: CAs and certificates made on the spot, a directory, one call at a time. */
#pragma once
#include "plugin/chain.h"
#include "test.h"
#include "tls/pki.h"

#include <stdio.h>
#include <stdlib.h>

#define LAB_NOW INT64_C(1830297600) /* 2028-01-01 */
#define DAY INT64_C(86400)

struct issued {
    struct sp_str pem, key, der;
};

struct lab {
    struct sp_arena *arena;
    struct dp_directory *directory;
    struct dp_plugin_cache *cache;
    struct issued ca, other_ca, inter; /* ids "ca", "other", "inter"; inter is under ca and not trusted by itself */
    int64_t now;
    struct sp_clock clock;
};

static inline int64_t lab_wall(void *ctx)
{
    return ((struct lab *)ctx)->now;
}

static inline uint64_t lab_mono(void *ctx)
{
    return (uint64_t)((struct lab *)ctx)->now * 1000;
}

struct leaf {
    const char *cn, *o, *san[4];
    int64_t not_before, not_after; /* 0: a year around now */
    bool is_ca;
};

static inline struct issued issue(struct lab *l, struct leaf want, const struct issued *by)
{
    struct sp_str sans[4];
    size_t num = 0;
    for (; num < 4 && want.san[num]; num++)
        sans[num] = sp_str_z(want.san[num]);
    struct sp_pki_request r = {.common_name = want.cn,
                               .organization = want.o,
                               .sans = sans,
                               .num_sans = num,
                               .is_ca = want.is_ca,
                               .client_auth = !want.is_ca,
                               .not_before = want.not_before ? want.not_before : LAB_NOW - 180 * DAY,
                               .not_after = want.not_after ? want.not_after : LAB_NOW + 180 * DAY};
    struct sp_buf cert = {0}, key = {0};
    struct sp_error err;
    struct sp_str none = sp_str("", 0);
    sp_result ok = sp_pki_issue(&r, by ? by->pem : none, by ? by->key : none, &cert, &key, &err);
    assert_false(sp_failed(ok));
    struct issued out = {sp_arena_dup(l->arena, sp_buf_str(&cert)), sp_arena_dup(l->arena, sp_buf_str(&key)), {0}};
    struct sp_der_list list;
    assert_false(sp_failed(sp_pem_certificates(out.pem, l->arena, &list, &err)));
    out.der = list.v[0];
    sp_buf_fini(&cert);
    sp_buf_wipe(&key);
    return out;
}

static inline struct issued from_pem(struct lab *l, const char *pem)
{
    struct sp_der_list list;
    struct sp_error err;
    assert_false(sp_failed(sp_pem_certificates(sp_str_z(pem), l->arena, &list, &err)));
    return (struct issued){sp_str_z(pem), {0}, list.v[0]};
}

static inline void add_ca(struct lab *l, const char *id, struct sp_str pem)
{
    Sallyport__V1__CaCertificate m = SALLYPORT__V1__CA_CERTIFICATE__INIT;
    m.id = (char *)id;
    m.cert = (char *)pem.p;
    struct sp_error err;
    assert_false(sp_failed(dp_directory_add_ca(l->directory, &m, &err)));
}

struct person {
    const char *id, *username, *custom_id, *ws;
    struct {
        const char *id, *subject, *ca;
        int64_t created_at;
    } map[3];
    const char *groups[3];
};

static inline void add_consumer(struct lab *l, struct person p)
{
    Sallyport__V1__Consumer c = SALLYPORT__V1__CONSUMER__INIT;
    c.id = (char *)p.id;
    c.username = (char *)p.username;
    c.custom_id = (char *)p.custom_id;
    c.ws = (char *)p.ws;
    Sallyport__V1__ConsumerResource r = SALLYPORT__V1__CONSUMER_RESOURCE__INIT;
    r.consumer = &c;
    Sallyport__V1__MtlsAuthCredential creds[3], *list[3];
    Sallyport__V1__Ref refs[3];
    for (; r.n_mtls_auth_credentials < 3 && p.map[r.n_mtls_auth_credentials].subject; r.n_mtls_auth_credentials++) {
        size_t i = r.n_mtls_auth_credentials;
        sallyport__v1__mtls_auth_credential__init(&creds[i]);
        sallyport__v1__ref__init(&refs[i]);
        creds[i].id = (char *)p.map[i].id;
        creds[i].subject_name = (char *)p.map[i].subject;
        creds[i].created_at = p.map[i].created_at;
        refs[i].id = (char *)p.map[i].ca;
        if (p.map[i].ca)
            creds[i].ca_certificate = &refs[i];
        list[i] = &creds[i];
    }
    r.mtls_auth_credentials = list;
    r.groups = (char **)p.groups;
    while (r.n_groups < 3 && p.groups[r.n_groups])
        r.n_groups++;
    dp_directory_add_consumer(l->directory, &r);
}

static inline struct lab *lab_new(void)
{
    struct lab *l = sp_alloc(sizeof *l);
    l->arena = sp_arena_new(4096);
    l->directory = dp_directory_new(l->arena);
    l->cache = dp_plugin_cache_new();
    l->now = LAB_NOW;
    l->clock = (struct sp_clock){lab_mono, lab_wall, l};
    l->ca = issue(l, (struct leaf){.cn = "Lab CA", .is_ca = true}, NULL);
    l->other_ca = issue(l, (struct leaf){.cn = "Other CA", .is_ca = true}, NULL);
    l->inter = issue(l, (struct leaf){.cn = "Lab Intermediate", .is_ca = true}, &l->ca);
    add_ca(l, "ca", l->ca.pem);
    add_ca(l, "other", l->other_ca.pem);
    add_ca(l, "inter", l->inter.pem);
    return l;
}

static inline void lab_free(struct lab *l)
{
    dp_plugin_cache_free(l->cache);
    sp_arena_free(l->arena);
    free(l);
}

static inline int lab_setup(void **state)
{
    *state = lab_new();
    return 0;
}

static inline int lab_teardown(void **state)
{
    lab_free(*state);
    return 0;
}

/* One request. client_sends adds its fields. */
struct request {
    struct dp_call call;
    struct sp_request_head head;
    struct sp_peer peer;
    struct sp_str chain[4];
    struct sp_arena *arena;
};

static inline void client_sends(struct request *r, const char *name, const char *value)
{
    sp_fields_add(&r->head.fields, r->arena, SP_FIELD_OTHER, sp_str_z(name), sp_str_z(value));
}

/* Certificates leaf first, NULL ends; none: asked and not sent. */
static inline struct request *request_new(struct lab *l, const struct issued *const *chain)
{
    struct request *r = sp_alloc(sizeof *r);
    r->arena = sp_arena_new(4096);
    r->peer.asked = true;
    r->peer.chain = r->chain;
    struct sp_buf all = {0};
    for (; chain && chain[r->peer.num_chain]; r->peer.num_chain++) {
        r->chain[r->peer.num_chain] = chain[r->peer.num_chain]->der;
        sp_buf_add(&all, chain[r->peer.num_chain]->der);
    }
    if (r->peer.num_chain)
        sp_sha256(sp_buf_str(&all), r->peer.digest);
    sp_buf_fini(&all);
    r->call = (struct dp_call){.arena = r->arena,
                               .clock = &l->clock,
                               .cache = l->cache,
                               .directory = l->directory,
                               .request = &r->head,
                               .peer = &r->peer,
                               .request_id = "0123456789abcdef0123456789abcdef",
                               .ws = SP_STR("default")};
    return r;
}
#define CHAIN(...) ((const struct issued *const[]){__VA_ARGS__, NULL})

static inline void request_free(struct request *r)
{
    sp_arena_free(r->arena);
    free(r);
}

/* The value that the upstream would get; "" when the field is not sent, "(twice)" when more than once. */
static inline const char *sent(const struct request *r, const char *name)
{
    const char *value = "";
    for (uint32_t i = 0; i < r->head.fields.len; i++) {
        const struct sp_field *f = &r->head.fields.v[i];
        if (f->removed || !sp_field_name_same(f->name, sp_str_z(name)))
            continue;
        value = *value ? "(twice)" : sp_arena_dup(r->arena, f->value).p;
    }
    return value;
}
