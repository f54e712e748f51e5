/* Reads cases from stdin, lets our own code judge their certificates, and writes a line for each: ID "ok" or a reason.
 *   case ID | now SECONDS | depth N | partial | purpose client|server | name TEXT | root DER | cert DER | crl DER | end
 * One word a line, DER in base64, the leaf's `cert` first. A name is what a server must be called. With a `crl` the
 * leaf must be shown to be good by one of them (revocation mode STRICT). tests/x509/run writes this. */
#include "tls/crl.h"
#include "tls/material.h"
#include "tls/path.h"
#include "tls/verify.h"

#include <openssl/base64.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIST_MAX = 6000 };

struct list {
    struct sp_str v[LIST_MAX];
    size_t num;
};

struct one {
    struct sp_arena *arena;
    struct sp_str id, name;
    struct list roots, certs, crls;
    int64_t now;
    int depth;
    bool partial, server;
};

static void list_add(struct one *c, struct list *l, struct sp_str text)
{
    size_t len = text.len / 4 * 3 + 3;
    uint8_t *der = sp_arena_alloc(c->arena, len);
    int ok = l->num < LIST_MAX && EVP_DecodeBase64(der, &len, len, (const uint8_t *)text.p, text.len);
    sp_assert(ok);
    l->v[l->num++] = sp_str(der, len);
}

/* STRICT: a list that cannot be believed is as bad as none. */
static const char *check_crls(const struct one *c, struct sp_str issuer)
{
    const char *why = NULL;
    for (size_t i = 0; i < c->crls.num; i++) {
        struct sp_revocation r = {0};
        struct sp_crl *crl;
        r.why = sp_crl_read(c->crls.v[i], issuer, &crl);
        if (crl)
            sp_crl_ask(crl, c->certs.v[0], c->now, &r);
        sp_crl_unref(crl);
        if (r.status == SP_REVOCATION_REVOKED)
            return r.why;
        if (r.status == SP_REVOCATION_GOOD)
            return "ok";
        why = r.why;
    }
    return why ? why : "ok";
}

static const char *judge_client(const struct one *c)
{
    struct sp_ca_set *set;
    struct sp_error err;
    struct sp_verdict v;
    if (sp_failed(sp_ca_set_compile(c->arena, c->roots.v, c->roots.num, c->partial, &set, &err)))
        return (const char *)sp_arena_printf(c->arena, "%s", err.text).p;
    sp_verify_chain(set, c->certs.v, c->certs.num, c->now, &v);
    if (!v.ok)
        return v.reason;
    if (v.num_signers == 0)
        return "ok";
    return check_crls(c, (v.signers[0].in_set ? c->roots.v : c->certs.v)[v.signers[0].index]);
}

static struct sp_str der_of(const struct one *c, X509 *x)
{
    uint8_t *bytes = NULL;
    int len = i2d_X509(x, &bytes);
    sp_assert(len > 0);
    struct sp_str der = sp_arena_dup(c->arena, sp_str(bytes, (size_t)len));
    OPENSSL_free(bytes);
    return der;
}

static const char *judge_server(const struct one *c)
{
    X509 *x = NULL;
    const char *reason = NULL;
    STACK_OF(X509) *certs = sk_X509_new_null(), *roots = sk_X509_new_null(), *chain = NULL;
    for (size_t i = 0; i < c->certs.num + c->roots.num && !reason; i++) {
        bool root = i >= c->certs.num;
        if (sp_failed(sp_x509_read(root ? c->roots.v[i - c->certs.num] : c->certs.v[i], &x, NULL)))
            reason = "malformed certificate";
        else
            sk_X509_push(root ? roots : certs, x);
    }
    X509 *leaf = sk_X509_shift(certs);
    struct sp_path_rules rules = {
        .trusted = roots, .now = c->now, .depth = c->depth, .partial = c->partial, .server = true};
    if (!reason)
        reason = sp_path_verify(&rules, leaf, certs, &chain);
    if (!reason && c->name.len && !sp_path_is_named(leaf, c->name.p))
        reason = "certificate is not for this server name";
    if (!reason && sk_X509_num(chain) > 1)
        reason = check_crls(c, der_of(c, sk_X509_value(chain, 1)));
    X509_free(leaf);
    sk_X509_pop_free(certs, X509_free);
    sk_X509_pop_free(roots, X509_free);
    sk_X509_pop_free(chain, X509_free);
    ERR_clear_error();
    return reason ? reason : "ok";
}

static void take_line(struct one *c, struct sp_str key, struct sp_str value)
{
    if (sp_str_eq(key, SP_STR("case")))
        c->id = sp_arena_dup(c->arena, value);
    else if (sp_str_eq(key, SP_STR("now")))
        c->now = strtoll(value.p, NULL, 10);
    else if (sp_str_eq(key, SP_STR("depth")))
        c->depth = (int)strtol(value.p, NULL, 10);
    else if (sp_str_eq(key, SP_STR("partial")))
        c->partial = true;
    else if (sp_str_eq(key, SP_STR("purpose")))
        c->server = sp_str_eq(value, SP_STR("server"));
    else if (sp_str_eq(key, SP_STR("name")))
        c->name = sp_arena_dup(c->arena, value);
    else if (sp_str_eq(key, SP_STR("root")))
        list_add(c, &c->roots, value);
    else if (sp_str_eq(key, SP_STR("cert")))
        list_add(c, &c->certs, value);
    else if (sp_str_eq(key, SP_STR("crl")))
        list_add(c, &c->crls, value);
    else
        sp_panic(__FILE__, __LINE__, "a line that no case has");
}

static void start(struct one *c)
{
    c->arena = sp_arena_new(1 << 16);
    c->id = c->name = SP_STR("");
    c->roots.num = c->certs.num = c->crls.num = 0;
    c->now = 0;
    c->depth = -1;
    c->partial = c->server = false;
}

int main(void)
{
    static struct one c;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    start(&c);
    while ((len = getline(&line, &cap, stdin)) > 0) {
        struct sp_str key = sp_str(line, (size_t)len - 1), value = SP_STR("");
        line[len - 1] = '\0';
        const char *blank = strchr(line, ' ');
        if (blank) {
            key.len = (size_t)(blank - line);
            value = sp_str_z(blank + 1);
        }
        if (!sp_str_eq(key, SP_STR("end"))) {
            take_line(&c, key, value);
            continue;
        }
        printf("%.*s %s\n", SP_FMT(c.id), c.server ? judge_server(&c) : judge_client(&c));
        sp_arena_free(c.arena);
        start(&c);
    }
    sp_arena_free(c.arena);
    free(line);
    return 0;
}
