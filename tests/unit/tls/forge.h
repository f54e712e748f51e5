/* Certificates that no honest CA makes, for the tests of paths: weak keys and signatures, odd extensions. */
#pragma once
#include "tls/compat.h"

#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { EXTENSIONS_MAX = 4 };

struct forged {
    X509 *x;
    EVP_PKEY *key;
};

struct extension {
    int nid;
    const char *value; /* as in an openssl configuration file; NULL ends a list */
};

struct forge {
    const char *name;            /* subject CN */
    const struct forged *issuer; /* NULL: itself */
    EVP_PKEY *key;               /* NULL: a new one on P-256 */
    const EVP_MD *digest;        /* NULL: SHA-256 */
    int64_t days;                /* of validity from now on; 0: 10 */
    struct extension extensions[EXTENSIONS_MAX];
};

#define FORGE_CA                                                                                                       \
    {                                                                                                                  \
        NID_basic_constraints, "critical,CA:TRUE"                                                                      \
    }

static inline EVP_PKEY *forge_rsa(int bits)
{
    EVP_PKEY *key = EVP_PKEY_new();
    RSA *rsa = RSA_new();
    BIGNUM *e = BN_new();
    assert_true(BN_set_word(e, RSA_F4) && RSA_generate_key_ex(rsa, bits, e, NULL) && EVP_PKEY_assign_RSA(key, rsa));
    BN_free(e);
    return key;
}

static inline EVP_PKEY *forge_ec(int curve)
{
    EVP_PKEY *key = EVP_PKEY_new();
    EC_KEY *ec = EC_KEY_new_by_curve_name(curve);
    assert_true(ec && EC_KEY_generate_key(ec) && EVP_PKEY_assign_EC_KEY(key, ec));
    return key;
}

static inline EVP_PKEY *forge_ed25519(void)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, NULL);
    assert_true(EVP_PKEY_keygen_init(ctx) && EVP_PKEY_keygen(ctx, &key));
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static inline void forge_extensions(X509 *x, X509 *issuer, const struct extension *v)
{
    for (size_t i = 0; i < EXTENSIONS_MAX && v[i].value; i++) {
        X509V3_CTX ctx;
        X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
        X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, &ctx, v[i].nid, v[i].value);
        if (!e)
            fail_msg("no extension: %s", v[i].value);
        X509_add_ext(x, e, -1);
        X509_EXTENSION_free(e);
    }
}

static inline struct forged forge(const struct forge *f)
{
    static long serial = 1;
    struct forged out = {X509_new(), f->key ? f->key : forge_ec(NID_X9_62_prime256v1)};
    X509_NAME *name = X509_get_subject_name(out.x);
    EVP_PKEY *signer = f->issuer ? f->issuer->key : out.key;
    if (f->key)
        EVP_PKEY_up_ref(f->key);
    assert_true(X509_set_version(out.x, X509_VERSION_3));
    assert_true(ASN1_INTEGER_set(X509_get_serialNumber(out.x), serial++));
    assert_true(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)f->name, -1, -1, 0));
    assert_true(X509_set_issuer_name(out.x, f->issuer ? X509_get_subject_name(f->issuer->x) : name));
    X509_gmtime_adj(X509_getm_notBefore(out.x), -3 * 86400);
    X509_gmtime_adj(X509_getm_notAfter(out.x), (f->days ? f->days : 10) * 86400);
    assert_true(X509_set_pubkey(out.x, out.key));
    forge_extensions(out.x, f->issuer ? f->issuer->x : out.x, f->extensions);
    bool own = EVP_PKEY_id(signer) == EVP_PKEY_ED25519;
    assert_true(X509_sign(out.x, signer, own ? NULL : f->digest ? f->digest : EVP_sha256()));
    return out;
}

static inline void forged_free(struct forged *f)
{
    X509_free(f->x);
    EVP_PKEY_free(f->key);
}

/* In the arena. */
static inline struct sp_str forged_der(const struct forged *f, struct sp_arena *a)
{
    uint8_t *bytes = NULL;
    int len = i2d_X509(f->x, &bytes);
    assert_true(len > 0);
    struct sp_str der = sp_arena_dup(a, sp_str(bytes, (size_t)len));
    OPENSSL_free(bytes);
    return der;
}
