#include "tls/verify.h"
#include "tls/compat.h"
#include "tls/material.h"
#include "tls/path.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

enum {
    DEPTH_MAX = 10,    /* intermediates between leaf and anchor */
    UNTRUSTED_MAX = 32 /* certificates that a peer may send along */
};

struct ca {
    X509 *x509;
    int64_t not_before, not_after;
};

struct sp_ca_set {
    struct ca *cas;
    size_t num;
    STACK_OF(X509) * all; /* borrowed from cas */
    int64_t from, until;  /* all CAs are within their validity */
    bool partial;
    uint8_t digest[32];
};

static void ca_set_fini(void *arg)
{
    struct sp_ca_set *s = arg;
    for (size_t i = 0; i < s->num; i++)
        X509_free(s->cas[i].x509);
    sk_X509_free(s->all);
}

static sp_result add_ca(struct sp_ca_set *s, struct sp_arena *a, struct sp_str der, struct sp_error *err)
{
    struct sp_cert_info info;
    SP_TRY(sp_cert_read(der, a, &info, err));
    if (!info.is_ca)
        return sp_fail(err, SP_E_INVALID, "not a CA certificate");
    struct ca *ca = &s->cas[s->num];
    SP_TRY(sp_x509_read(der, &ca->x509, err));
    s->num++;
    ca->not_before = info.not_before;
    ca->not_after = info.not_after;
    s->from = ca->not_before > s->from ? ca->not_before : s->from;
    s->until = ca->not_after < s->until ? ca->not_after : s->until;
    sk_X509_push(s->all, ca->x509);
    return sp_ok();
}

static void digest_ca_set(struct sp_ca_set *s, const struct sp_str *ders, size_t num)
{
    SHA256_CTX h;
    SHA256_Init(&h);
    SHA256_Update(&h, s->partial ? "P" : "F", 1);
    for (size_t i = 0; i < num; i++) {
        uint64_t len = ders[i].len;
        SHA256_Update(&h, &len, sizeof len);
        SHA256_Update(&h, ders[i].p, ders[i].len);
    }
    SHA256_Final(s->digest, &h);
}

sp_result sp_ca_set_compile(struct sp_arena *a, const struct sp_str *ders, size_t num, bool allow_partial_chain,
                            struct sp_ca_set **out, struct sp_error *err)
{
    struct sp_ca_set *s = SP_NEW(a, struct sp_ca_set);
    s->cas = SP_NEW_N(a, struct ca, num);
    s->all = sk_X509_new_null();
    s->from = INT64_MIN;
    s->until = INT64_MAX;
    s->partial = allow_partial_chain;
    sp_arena_on_free(a, ca_set_fini, s);
    struct sp_arena *scratch = sp_arena_new(4096);
    sp_result res = sp_ok();
    for (size_t i = 0; i < num && !sp_failed(res); i++)
        if (sp_failed(res = add_ca(s, scratch, ders[i], err)))
            res = sp_fail_in(err, "CA certificate %zu", i + 1);
    sp_arena_free(scratch);
    digest_ca_set(s, ders, num);
    *out = s;
    return res;
}

bool sp_ca_is_weak(struct sp_str der)
{
    X509 *x = NULL;
    bool weak = sp_failed(sp_x509_read(der, &x, NULL)) || !sp_path_is_strong_key(x);
    X509_free(x);
    ERR_clear_error();
    return weak;
}

const uint8_t *sp_ca_set_digest(const struct sp_ca_set *s)
{
    return s->digest;
}

/* --- judging --- */

/* CAs that are valid now, so that an expired one neither anchors a chain nor hides its renewal of the same name. */
static STACK_OF(X509) * valid_cas(const struct sp_ca_set *s, int64_t now)
{
    STACK_OF(X509) *v = sk_X509_new_null();
    for (size_t i = 0; i < s->num; i++)
        if (s->cas[i].not_before <= now && now <= s->cas[i].not_after)
            sk_X509_push(v, s->cas[i].x509);
    return v;
}

static size_t index_of(const struct sp_ca_set *s, const X509 *anchor)
{
    for (size_t i = 0; i < s->num; i++)
        if (s->cas[i].x509 == anchor)
            return i;
    for (size_t i = 0; i < s->num; i++)
        if (X509_cmp(s->cas[i].x509, anchor) == 0)
            return i;
    sp_panic(__FILE__, __LINE__, "a chain ended outside of its set");
}

static int64_t not_after_of(const X509 *x)
{
    int64_t t = 0;
    const ASN1_TIME *time = X509_get0_notAfter(x);
    struct sp_str text = sp_str(ASN1_STRING_get0_data(time), (size_t)ASN1_STRING_length(time));
    return sp_der_time(text, ASN1_STRING_type(time) == V_ASN1_GENERALIZEDTIME, &t) ? t : 0;
}

/* Where the caller finds the bytes of those who signed. */
static void find_signers(const struct sp_ca_set *s, STACK_OF(X509) * chain, STACK_OF(X509) * untrusted,
                         struct sp_verdict *out)
{
    sp_assert(sk_X509_num(chain) <= SP_SIGNERS_MAX + 1);
    for (size_t n = 1; n < sk_X509_num(chain); n++) {
        const X509 *x = sk_X509_value(chain, n);
        struct sp_signer *to = &out->signers[out->num_signers++];
        size_t i = 0;
        while (i < sk_X509_num(untrusted) && sk_X509_value(untrusted, i) != x)
            i++;
        to->in_set = i == sk_X509_num(untrusted);
        to->index = to->in_set ? index_of(s, x) : i + 1; /* the leaf is the first */
    }
}

static void accept_chain(const struct sp_ca_set *s, STACK_OF(X509) * chain, STACK_OF(X509) * untrusted,
                         struct sp_verdict *out)
{
    size_t num = sk_X509_num(chain);
    *out = (struct sp_verdict){.ok = true, .reason = "ok", .not_after = INT64_MAX};
    out->anchor = index_of(s, sk_X509_value(chain, num - 1));
    find_signers(s, chain, untrusted, out);
    for (size_t i = 0; i < num; i++) {
        int64_t end = not_after_of(sk_X509_value(chain, i));
        out->not_after = end < out->not_after ? end : out->not_after;
    }
}

static void verify(const struct sp_ca_set *s, X509 *leaf, STACK_OF(X509) * untrusted, int64_t now,
                   struct sp_verdict *out)
{
    STACK_OF(X509) *some = now >= s->from && now <= s->until ? NULL : valid_cas(s, now), *chain = NULL;
    struct sp_path_rules rules = {
        .trusted = some ? some : s->all, .now = now, .depth = DEPTH_MAX, .partial = s->partial};
    out->reason = sp_path_verify(&rules, leaf, untrusted, &chain);
    if (!out->reason)
        accept_chain(s, chain, untrusted, out);
    sk_X509_pop_free(chain, X509_free);
    sk_X509_free(some);
}

void sp_verify_chain(const struct sp_ca_set *s, const struct sp_str *chain, size_t num, int64_t now,
                     struct sp_verdict *out)
{
    *out = (struct sp_verdict){.reason = "no certificate"};
    if (num == 0)
        return;
    if (num > UNTRUSTED_MAX) {
        out->reason = "certificate chain too long";
        return;
    }
    X509 *leaf = NULL;
    STACK_OF(X509) *untrusted = sk_X509_new_null();
    out->reason = "malformed certificate";
    bool good = !sp_failed(sp_x509_read(chain[0], &leaf, NULL));
    for (size_t i = 1; i < num && good; i++) {
        X509 *x = NULL;
        good = !sp_failed(sp_x509_read(chain[i], &x, NULL));
        if (good)
            sk_X509_push(untrusted, x);
    }
    if (good)
        verify(s, leaf, untrusted, now, out);
    X509_free(leaf);
    sk_X509_pop_free(untrusted, X509_free);
    ERR_clear_error();
}
