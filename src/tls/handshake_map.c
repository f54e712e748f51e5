#include "tls/internal.h"
#include "tls/material.h"
#include "tls/pki.h"

#include "base/map.h"
#include <openssl/err.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <time.h>

/* One server certificate, or a pair of two key types; ECDSA first, because it is cheaper and all current clients have
 * it. */
struct served {
    struct sp_credential v[2];
    size_t num;
};

/* What an entry asks for. Entries with the same content share one. */
struct ask {
    uint8_t digest[32]; /* over everything below and the trust digest */
    uint64_t policy;
    STACK_OF(CRYPTO_BUFFER) * ca_names; /* NULL: none are sent */
    size_t bytes;                       /* encoded */
};

struct sp_tls_names {
    struct sp_arena *arena;
    struct sp_name_map *certificates; /* struct served */
    struct sp_name_map *asks;         /* struct ask */
    struct sp_map *distinct;          /* digest -> struct ask */
    const struct served *fallback;
};

enum { CA_NAMES_MAX = 65535 };

struct sp_tls_names *sp_tls_names_new(struct sp_arena *a, size_t expected)
{
    struct sp_tls_names *n = SP_NEW(a, struct sp_tls_names);
    n->arena = a;
    n->certificates = sp_name_map_new(a, 0, false);
    n->asks = sp_name_map_new(a, expected, true);
    n->distinct = sp_map_new(a, 0);
    return n;
}

/* --- server certificates --- */

static sp_result credential_of(const struct sp_der_list *chain, struct sp_str key_pem, struct sp_credential *out,
                               enum sp_key_type *type, struct sp_error *err)
{
    CRYPTO_BUFFER *buffers[16];
    EVP_PKEY *key = NULL;
    if (chain->num > sizeof buffers / sizeof *buffers)
        return sp_fail(err, SP_E_LIMIT, "a chain of more than %zu certificates", sizeof buffers / sizeof *buffers);
    SP_TRY(sp_key_read(key_pem, &key, err));
    sp_result res = sp_key_check(chain->v[0], key, err);
    if (!sp_failed(res)) {
        for (size_t i = 0; i < chain->num; i++)
            buffers[i] = CRYPTO_BUFFER_new((const uint8_t *)chain->v[i].p, chain->v[i].len, sp_tls_pool());
        if (!sp_credential_init(out, buffers, chain->num, key))
            res = sp_fail_tls(err, SP_E_TLS, "cannot serve this certificate");
        *type = sp_key_type_of(key);
        for (size_t i = 0; i < chain->num; i++)
            CRYPTO_BUFFER_free(buffers[i]);
    }
    EVP_PKEY_free(key);
    return res;
}

sp_result sp_tls_credential(struct sp_str cert_pem, struct sp_str key_pem, struct sp_credential *out,
                            enum sp_key_type *type, struct sp_error *err)
{
    struct sp_arena *scratch = sp_arena_new(8192);
    struct sp_der_list chain;
    *out = (struct sp_credential){0};
    sp_result res = sp_pem_certificates(cert_pem, scratch, &chain, err);
    if (!sp_failed(res))
        res = credential_of(&chain, key_pem, out, type, err);
    sp_arena_free(scratch);
    return res;
}

static void served_fini(void *arg)
{
    struct served *s = arg;
    for (size_t i = 0; i < s->num; i++)
        sp_credential_fini(&s->v[i]);
}

static sp_result served_new(struct sp_arena *a, struct sp_str cert, struct sp_str key, struct sp_str cert_alt,
                            struct sp_str key_alt, struct served **out, struct sp_error *err)
{
    struct served *s = SP_NEW(a, struct served);
    enum sp_key_type type, alt_type;
    sp_arena_on_free(a, served_fini, s);
    s->num = 1;
    SP_TRY(sp_tls_credential(cert, key, &s->v[0], &type, err));
    if (cert_alt.len || key_alt.len) {
        s->num = 2;
        SP_TRY(sp_tls_credential(cert_alt, key_alt, &s->v[1], &alt_type, err));
        if (type == alt_type)
            return sp_fail(err, SP_E_INVALID, "both keys of the certificate are of the same type");
        if (type == SP_KEY_RSA) {
            struct sp_credential rsa = s->v[0];
            s->v[0] = s->v[1];
            s->v[1] = rsa;
        }
    }
    *out = s;
    return sp_ok();
}

sp_result sp_tls_names_add_certificate(struct sp_tls_names *n, struct sp_str cert_pem, struct sp_str key_pem,
                                       struct sp_str cert_alt_pem, struct sp_str key_alt_pem, const struct sp_str *snis,
                                       size_t num_snis, struct sp_error *err)
{
    struct served *s = NULL;
    SP_TRY(served_new(n->arena, cert_pem, key_pem, cert_alt_pem, key_alt_pem, &s, err));
    for (size_t i = 0; i < num_snis; i++) {
        if (!sp_pattern_valid(snis[i]))
            return sp_fail(err, SP_E_INVALID, "\"%.*s\" is no name for a certificate", SP_FMT(snis[i]));
        if (!sp_name_map_put(n->certificates, snis[i], s))
            return sp_fail(err, SP_E_CONFLICT, "two certificates for \"%.*s\"", SP_FMT(snis[i]));
    }
    return sp_ok();
}

sp_result sp_tls_names_default_certificate(struct sp_tls_names *n, struct sp_str cert_pem, struct sp_str key_pem,
                                           struct sp_error *err)
{
    struct served *s = NULL;
    SP_TRY(served_new(n->arena, cert_pem, key_pem, SP_STR(""), SP_STR(""), &s, err));
    n->fallback = s;
    return sp_ok();
}

/* The certificate of a process that was given none: clients will not trust it, but the handshake can be seen to work.
 */
static struct served self_signed;

static void make_self_signed(void)
{
    static const struct sp_str sans[] = {{"DNS:localhost", 13}};
    struct sp_buf cert = {0}, key = {0};
    struct sp_error err;
    enum sp_key_type type;
    int64_t now = time(NULL);
    struct sp_pki_request r = {.common_name = "localhost",
                               .sans = sans,
                               .num_sans = 1,
                               .server_auth = true,
                               .not_before = now - 86400,
                               .not_after = now + 3650ll * 86400};
    self_signed.num = 1;
    sp_result made = sp_pki_issue(&r, SP_STR(""), SP_STR(""), &cert, &key, &err);
    sp_assert(!sp_failed(made));
    made = sp_tls_credential(sp_buf_str(&cert), sp_buf_str(&key), &self_signed.v[0], &type, &err);
    sp_assert(!sp_failed(made));
    sp_buf_fini(&cert);
    sp_buf_wipe(&key);
}

void sp_tls_names_done(struct sp_tls_names *n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (n->fallback)
        return;
    pthread_once(&once, make_self_signed);
    n->fallback = &self_signed;
}

/* --- who is asked --- */

static sp_result digest_ask(struct ask *k, const struct sp_str *ca_names, size_t num, const uint8_t trust[32],
                            struct sp_error *err)
{
    SHA256_CTX h;
    SHA256_Init(&h);
    SHA256_Update(&h, trust, 32);
    for (size_t i = 0; i < num; i++) {
        uint16_t len = (uint16_t)ca_names[i].len;
        k->bytes += 2 + ca_names[i].len;
        if (ca_names[i].len == 0 || k->bytes > CA_NAMES_MAX)
            return sp_fail(err, SP_E_LIMIT, "the CA names take more than %d bytes in a handshake", CA_NAMES_MAX);
        SHA256_Update(&h, &len, sizeof len);
        SHA256_Update(&h, ca_names[i].p, ca_names[i].len);
    }
    SHA256_Final(k->digest, &h);
    memcpy(&k->policy, k->digest, sizeof k->policy);
    k->policy += k->policy == 0; /* 0 means "not asked" */
    return sp_ok();
}

static void ask_fini(void *arg)
{
    struct ask *k = arg;
    sk_CRYPTO_BUFFER_pop_free(k->ca_names, CRYPTO_BUFFER_free);
}

static struct ask *intern_ask(struct sp_tls_names *n, const struct ask *like, const struct sp_str *ca_names, size_t num)
{
    struct ask *known = sp_map_get(n->distinct, sp_str(like->digest, sizeof like->digest));
    if (known)
        return known;
    struct ask *k = SP_NEW(n->arena, struct ask);
    *k = *like;
    if (num) {
        k->ca_names = sk_CRYPTO_BUFFER_new_null();
        sp_arena_on_free(n->arena, ask_fini, k);
    }
    for (size_t i = 0; i < num; i++)
        sk_CRYPTO_BUFFER_push(k->ca_names,
                              CRYPTO_BUFFER_new((const uint8_t *)ca_names[i].p, ca_names[i].len, sp_tls_pool()));
    sp_map_put(n->distinct, sp_str(k->digest, sizeof k->digest), k);
    return k;
}

sp_result sp_tls_names_ask(struct sp_tls_names *n, struct sp_str pattern, const struct sp_str *ca_names,
                           size_t num_ca_names, const uint8_t trust[32], struct sp_error *err)
{
    struct ask like = {0};
    if (!sp_pattern_valid(pattern))
        return sp_fail(err, SP_E_INVALID, "\"%.*s\" is no name to ask at", SP_FMT(pattern));
    SP_TRY(digest_ask(&like, ca_names, num_ca_names, trust, err));
    if (!sp_name_map_put(n->asks, pattern, intern_ask(n, &like, ca_names, num_ca_names)))
        return sp_fail(err, SP_E_CONFLICT, "two handshake entries for \"%.*s\"", SP_FMT(pattern));
    return sp_ok();
}

static const struct ask *find_ask(const struct sp_tls_names *n, struct sp_str name, struct sp_handshake_policy *out)
{
    struct sp_str pattern;
    const struct ask *k = sp_name_map_match(n->asks, name, &pattern);
    *out = (struct sp_handshake_policy){0};
    if (k)
        *out = (struct sp_handshake_policy){.ask = true,
                                            .policy = k->policy,
                                            .pattern = pattern,
                                            .num_ca_names = k->ca_names ? sk_CRYPTO_BUFFER_num(k->ca_names) : 0,
                                            .ca_names_bytes = k->bytes};
    return k;
}

void sp_tls_names_policy(const struct sp_tls_names *n, struct sp_str name, struct sp_handshake_policy *out)
{
    find_ask(n, name, out);
}

/* --- a ClientHello --- */

/* The list itself is the SSL's, its names are shared. Without one BoringSSL sends no extension in TLS 1.3 (RFC 8446
 * section 4.2.4 has no empty list) and an empty list in TLS 1.2. */
static bool send_names(SSL *ssl, const struct ask *k)
{
    if (!k->ca_names)
        return true;
    STACK_OF(CRYPTO_BUFFER) *copy = sk_CRYPTO_BUFFER_dup(k->ca_names);
    if (!copy)
        return false;
    for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(copy); i++)
        CRYPTO_BUFFER_up_ref(sk_CRYPTO_BUFFER_value(copy, i));
    SSL_set0_client_CAs(ssl, copy);
    return true;
}

/* A session resumes only where listener, policy and name are those it was made under: CVE-2025-23419, CVE-2025-23048,
 * CVE-2022-21654, GHSA-5v5r-rghf-rm6q. */
static bool bind_sessions(SSL *ssl, const struct ask *k, struct sp_str name, uint64_t listener)
{
    static const uint8_t not_asked[32];
    uint8_t context[32];
    SHA256_CTX h;
    SHA256_Init(&h);
    SHA256_Update(&h, &listener, sizeof listener);
    SHA256_Update(&h, k ? k->digest : not_asked, 32);
    SHA256_Update(&h, name.p, name.len);
    SHA256_Final(context, &h);
    return SSL_set_session_id_context(ssl, context, sizeof context);
}

bool sp_tls_names_apply(const struct sp_tls_names *n, SSL *ssl, struct sp_str name, uint64_t listener, bool ask,
                        struct sp_handshake_policy *out)
{
    const struct served *s = sp_name_map_find(n->certificates, name);
    const struct ask *k = NULL;
    *out = (struct sp_handshake_policy){0};
    if (ask)
        k = find_ask(n, name, out);
    if (!s)
        s = n->fallback;
    if (!s || !sp_credential_use(ssl, s->v, s->num) || !bind_sessions(ssl, k, name, listener))
        return false;
    if (!k)
        return true;
    SSL_set_custom_verify(ssl, SSL_VERIFY_PEER, sp_tls_take_any);
    return send_names(ssl, k);
}
