/* What differs between the BoringSSL that is pinned and Debian's of 2022. Nothing else may look at the version. */
#pragma once
#include <openssl/nid.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <sys/types.h>

#define SP_BSSL_NEW (BORINGSSL_API_VERSION >= 32)

/* Signatures with RSA-PSS are taken with SHA-256 and better, and well-formed parameters, only. */
#define SP_PSS_IS_STRICT SP_BSSL_NEW

#if !SP_BSSL_NEW
typedef ssize_t ossl_ssize_t;
typedef unsigned CBS_ASN1_TAG;
#define ASN1_BOOLEAN_FALSE 0
#define ASN1_BOOLEAN_TRUE 0xff
#define X509_STORE_CTX_set0_trusted_stack X509_STORE_CTX_trusted_stack

static inline EVP_PKEY *X509_get0_pubkey(X509 *x)
{
    EVP_PKEY *key = X509_get_pubkey(x);
    EVP_PKEY_free(key); /* the certificate's own reference keeps it */
    return key;
}
#endif

static inline X509 *sp_x509_from_buffer(const CRYPTO_BUFFER *b)
{
    return X509_parse_from_buffer((CRYPTO_BUFFER *)b); /* not const in 2022 */
}

static inline bool sp_ctx_set_groups(SSL_CTX *ctx)
{
#if SP_BSSL_NEW
    static const uint16_t groups[] = {SSL_GROUP_X25519_MLKEM768, SSL_GROUP_X25519, SSL_GROUP_SECP256R1,
                                      SSL_GROUP_SECP384R1};
    return SSL_CTX_set1_group_ids(ctx, groups, sizeof groups / sizeof *groups);
#else
    static const int curves[] = {NID_X25519, NID_X9_62_prime256v1, NID_secp384r1};
    return SSL_CTX_set1_curves(ctx, curves, sizeof curves / sizeof *curves);
#endif
}

static inline void sp_ctx_set_pool(SSL_CTX *ctx, CRYPTO_BUFFER_POOL *pool)
{
#if SP_BSSL_NEW
    SSL_CTX_set1_buffer_pool(ctx, pool);
#else
    SSL_CTX_set0_buffer_pool(ctx, pool);
#endif
}

/* A certificate chain with its key, as a connection can be given it. The old BoringSSL takes one for a connection. */
struct sp_credential {
#if SP_BSSL_NEW
    SSL_CREDENTIAL *v;
#else
    CRYPTO_BUFFER **chain;
    size_t num;
    EVP_PKEY *key;
#endif
};

static inline bool sp_credential_init(struct sp_credential *c, CRYPTO_BUFFER *const *chain, size_t num, EVP_PKEY *key)
{
#if SP_BSSL_NEW
    c->v = SSL_CREDENTIAL_new_x509();
    return c->v && SSL_CREDENTIAL_set1_cert_chain(c->v, chain, num) && SSL_CREDENTIAL_set1_private_key(c->v, key);
#else
    c->chain = OPENSSL_malloc(num * sizeof *c->chain);
    c->num = num;
    c->key = key;
    EVP_PKEY_up_ref(key);
    for (size_t i = 0; i < num; i++) {
        c->chain[i] = chain[i];
        CRYPTO_BUFFER_up_ref(chain[i]);
    }
    return true;
#endif
}

static inline void sp_credential_fini(struct sp_credential *c)
{
#if SP_BSSL_NEW
    SSL_CREDENTIAL_free(c->v);
#else
    for (size_t i = 0; i < c->num; i++)
        CRYPTO_BUFFER_free(c->chain[i]);
    OPENSSL_free(c->chain);
    EVP_PKEY_free(c->key);
#endif
}

static inline bool sp_credential_use(SSL *ssl, const struct sp_credential *v, size_t num)
{
#if SP_BSSL_NEW
    for (size_t i = 0; i < num; i++)
        if (!SSL_add1_credential(ssl, v[i].v))
            return false;
    return true;
#else
    (void)num;
    return SSL_set_chain_and_key(ssl, v->chain, v->num, v->key, NULL);
#endif
}

static inline bool sp_credential_use_ctx(SSL_CTX *ctx, const struct sp_credential *v)
{
#if SP_BSSL_NEW
    return SSL_CTX_add1_credential(ctx, v->v);
#else
    return SSL_CTX_set_chain_and_key(ctx, v->chain, v->num, v->key, NULL);
#endif
}
