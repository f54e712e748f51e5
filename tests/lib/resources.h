/* Sets of resources for tests: res_route(&set, "name", "host") and so on, then res_done(&set). Include after test.h. */
#pragma once
#include "model/compile.h"
#include "tls/certificate.h"

#include <stdlib.h>

struct res_set {
    struct sp_arena *arena;
    struct sp_resources set;
};

static inline void res_init(struct res_set *s)
{
    *s = (struct res_set){.arena = sp_arena_new(4096)};
    s->set.v = SP_NEW_N(s->arena, struct sp_resource, 4096);
}

static inline void res_raw(struct res_set *s, Sallyport__V1__Kind kind, const char *name, struct sp_str body)
{
    struct sp_resource *r = &s->set.v[s->set.num++];
    assert_true(s->set.num <= 4096);
    *r = (struct sp_resource){
        .kind = kind, .name = sp_str_z(sp_arena_strdup(s->arena, name)), .body = sp_arena_dup(s->arena, body)};
    uint8_t digest[32];
    sp_sha256(r->body, digest);
    memcpy(r->hash, digest, 16);
}

static inline void res_message(struct res_set *s, Sallyport__V1__Kind kind, const char *name, const ProtobufCMessage *m)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *p = sp_arena_alloc(s->arena, size + 1);
    protobuf_c_message_pack(m, p);
    res_raw(s, kind, name, sp_str(p, size));
}

static inline void res_route(struct res_set *s, const char *name, const char *host)
{
    Sallyport__V1__Route m = SALLYPORT__V1__ROUTE__INIT;
    char *hosts[1] = {(char *)host};
    m.id = m.name = (char *)name;
    m.n_hosts = 1;
    m.hosts = hosts;
    res_message(s, SALLYPORT__V1__KIND__ROUTE, name, &m.base);
}

static inline void res_ca(struct res_set *s, const char *name, const char *pem)
{
    Sallyport__V1__CaCertificate m = SALLYPORT__V1__CA_CERTIFICATE__INIT;
    m.id = (char *)name;
    m.cert = (char *)pem;
    res_message(s, SALLYPORT__V1__KIND__CA_CERTIFICATE, name, &m.base);
}

static inline int res_cmp(const void *a, const void *b)
{
    const struct sp_resource *x = a, *y = b;
    return x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : sp_str_cmp(x->name, y->name);
}

static inline const struct sp_resources *res_done(struct res_set *s)
{
    if (s->set.num)
        qsort(s->set.v, s->set.num, sizeof *s->set.v, res_cmp);
    return &s->set;
}

static inline bool res_same(const struct sp_resources *a, const struct sp_resources *b)
{
    bool same = a->num == b->num;
    for (size_t i = 0; same && i < a->num; i++)
        same = a->v[i].kind == b->v[i].kind && sp_str_eq(a->v[i].name, b->v[i].name) &&
               sp_str_eq(a->v[i].body, b->v[i].body) && memcmp(a->v[i].hash, b->v[i].hash, 16) == 0;
    return same;
}
