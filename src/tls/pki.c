#include "tls/pki.h"
#include "tls/material.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/digest.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* One certificate in the making. Everything here is freed by making_fini, finished or not. */
struct making {
    X509 *cert;
    EVP_PKEY *key;
    X509 *issuer; /* NULL: self-signed */
    EVP_PKEY *issuer_key;
    struct sp_error *err;
};

static void making_fini(struct making *m)
{
    X509_free(m->cert);
    EVP_PKEY_free(m->key);
    X509_free(m->issuer);
    EVP_PKEY_free(m->issuer_key);
}

static EVP_PKEY *new_key(void)
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    EVP_PKEY *key = EVP_PKEY_new();
    int ok = EC_KEY_generate_key(ec) && EVP_PKEY_assign_EC_KEY(key, ec);
    sp_assert(ok);
    return key;
}

static void arena_done(struct sp_arena **a)
{
    sp_arena_free(*a);
}

static sp_result read_issuer(struct making *m, struct sp_str cert_pem, struct sp_str key_pem)
{
    SP_AUTO(arena_done) struct sp_arena *a = sp_arena_new(4096);
    struct sp_der_list chain;
    struct sp_cert_info info;
    SP_TRY(sp_pem_certificates(cert_pem, a, &chain, m->err));
    SP_TRY(sp_cert_read(chain.v[0], a, &info, m->err));
    SP_TRY(sp_x509_read(chain.v[0], &m->issuer, m->err));
    SP_TRY(sp_key_read(key_pem, &m->issuer_key, m->err));
    SP_TRY(sp_key_check(chain.v[0], m->issuer_key, m->err));
    return info.is_ca ? sp_ok() : sp_fail(m->err, SP_E_INVALID, "not a CA certificate");
}

static sp_result set_serial(struct making *m)
{
    uint8_t bytes[16];
    sp_random(bytes, sizeof bytes);
    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, and always 16 bytes */
    BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL);
    ASN1_INTEGER *serial = BN_to_ASN1_INTEGER(n, NULL);
    int ok = serial && X509_set_serialNumber(m->cert, serial);
    ASN1_INTEGER_free(serial);
    BN_free(n);
    return ok ? sp_ok() : sp_fail_tls(m->err, SP_E_TLS, "cannot set the serial number");
}

static sp_result set_times(struct making *m, int64_t not_before, int64_t not_after)
{
    if (not_after <= not_before)
        return sp_fail(m->err, SP_E_INVALID, "the certificate would end before it begins");
    ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)not_before), *to = ASN1_TIME_set(NULL, (time_t)not_after);
    int ok = from && to && X509_set1_notBefore(m->cert, from) && X509_set1_notAfter(m->cert, to);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    return ok ? sp_ok() : sp_fail_tls(m->err, SP_E_INVALID, "validity cannot be encoded");
}

static sp_result add_rdn(struct making *m, int nid, const char *text)
{
    X509_NAME *name = X509_get_subject_name(m->cert);
    if (text && !X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0))
        return sp_fail_tls(m->err, SP_E_INVALID, "cannot put \"%s\" into the subject", text);
    return sp_ok();
}

static sp_result set_names(struct making *m, const struct sp_pki_request *r)
{
    SP_TRY(add_rdn(m, NID_organizationName, r->organization));
    SP_TRY(add_rdn(m, NID_commonName, r->common_name));
    X509_NAME *issuer = m->issuer ? X509_get_subject_name(m->issuer) : X509_get_subject_name(m->cert);
    return X509_set_issuer_name(m->cert, issuer) ? sp_ok() : sp_fail_tls(m->err, SP_E_TLS, "cannot set the issuer");
}

/* --- extensions --- */

static sp_result add_ext(struct making *m, int nid, void *value, bool critical)
{
    if (!X509_add1_ext_i2d(m->cert, nid, value, critical, X509V3_ADD_APPEND))
        return sp_fail_tls(m->err, SP_E_TLS, "cannot add extension %s", OBJ_nid2sn(nid));
    return sp_ok();
}

static sp_result add_basic_constraints(struct making *m, bool is_ca)
{
    BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
    bc->ca = is_ca ? ASN1_BOOLEAN_TRUE : ASN1_BOOLEAN_FALSE;
    sp_result res = add_ext(m, NID_basic_constraints, bc, true);
    BASIC_CONSTRAINTS_free(bc);
    return res;
}

static sp_result add_key_usage(struct making *m, bool is_ca)
{
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    if (is_ca) {
        ASN1_BIT_STRING_set_bit(bits, 5, 1); /* keyCertSign */
        ASN1_BIT_STRING_set_bit(bits, 6, 1); /* cRLSign */
    } else {
        ASN1_BIT_STRING_set_bit(bits, 0, 1); /* digitalSignature */
    }
    sp_result res = add_ext(m, NID_key_usage, bits, true);
    ASN1_BIT_STRING_free(bits);
    return res;
}

static sp_result add_extended_key_usage(struct making *m, const struct sp_pki_request *r)
{
    if (!r->server_auth && !r->client_auth)
        return sp_ok();
    EXTENDED_KEY_USAGE *eku = sk_ASN1_OBJECT_new_null();
    if (r->server_auth)
        sk_ASN1_OBJECT_push(eku, OBJ_nid2obj(NID_server_auth));
    if (r->client_auth)
        sk_ASN1_OBJECT_push(eku, OBJ_nid2obj(NID_client_auth));
    sp_result res = add_ext(m, NID_ext_key_usage, eku, false);
    sk_ASN1_OBJECT_pop_free(eku, ASN1_OBJECT_free);
    return res;
}

/* RFC 7093 section 2, method 1: 160 bits of SHA-256 over the public key. */
static sp_result add_key_ids(struct making *m)
{
    uint8_t digest[32];
    const ASN1_BIT_STRING *pub = X509_get0_pubkey_bitstr(m->cert);
    sp_sha256(sp_str(ASN1_STRING_get0_data(pub), (size_t)ASN1_STRING_length(pub)), digest);
    ASN1_OCTET_STRING *ski = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(ski, digest, 20);
    sp_result res = add_ext(m, NID_subject_key_identifier, ski, false);
    ASN1_OCTET_STRING *issuer_ski = ski;
    if (m->issuer) {
        ASN1_OCTET_STRING_free(ski);
        issuer_ski = X509_get_ext_d2i(m->issuer, NID_subject_key_identifier, NULL, NULL);
    }
    if (!sp_failed(res) && issuer_ski) {
        AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
        aki->keyid = ASN1_OCTET_STRING_dup(issuer_ski);
        res = add_ext(m, NID_authority_key_identifier, aki, false);
        AUTHORITY_KEYID_free(aki);
    }
    ASN1_OCTET_STRING_free(issuer_ski);
    return res;
}

static ASN1_STRING *ip_value(struct sp_str text)
{
    char z[INET6_ADDRSTRLEN];
    uint8_t bytes[16];
    if (text.len >= sizeof z)
        return NULL;
    memcpy(z, text.p, text.len);
    z[text.len] = '\0';
    int len = inet_pton(AF_INET, z, bytes) == 1 ? 4 : inet_pton(AF_INET6, z, bytes) == 1 ? 16 : 0;
    if (!len)
        return NULL;
    ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
    ASN1_STRING_set(s, bytes, len);
    return s;
}

static ASN1_STRING *ia5_value(struct sp_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] <= 0x20 || text.p[i] == 0x7f)
            return NULL;
    if (text.len == 0)
        return NULL;
    ASN1_IA5STRING *s = ASN1_IA5STRING_new();
    ASN1_STRING_set(s, text.p, (ossl_ssize_t)text.len);
    return s;
}

static sp_result push_san(struct making *m, GENERAL_NAMES *sans, struct sp_str san)
{
    static const struct {
        const char *word;
        int type;
    } types[] = {{"DNS", GEN_DNS}, {"IP", GEN_IPADD}, {"URI", GEN_URI}, {"email", GEN_EMAIL}};
    struct sp_str rest = san, word = sp_str_split(&rest, ':');
    for (size_t i = 0; rest.p && i < sizeof types / sizeof *types; i++) {
        if (!sp_str_ieq(word, sp_str_z(types[i].word)))
            continue;
        ASN1_STRING *value = types[i].type == GEN_IPADD ? ip_value(rest) : ia5_value(rest);
        if (!value)
            return sp_fail(m->err, SP_E_INVALID, "\"%.*s\" is no %s name", SP_FMT(rest), types[i].word);
        GENERAL_NAME *g = GENERAL_NAME_new();
        g->type = types[i].type;
        g->d.ptr = (char *)value;
        sk_GENERAL_NAME_push(sans, g);
        return sp_ok();
    }
    return sp_fail(m->err, SP_E_INVALID, "\"%.*s\": a name starts with DNS:, IP:, URI: or email:", SP_FMT(san));
}

static sp_result add_sans(struct making *m, const struct sp_pki_request *r)
{
    if (r->num_sans == 0)
        return sp_ok();
    GENERAL_NAMES *sans = GENERAL_NAMES_new();
    sp_result res = sp_ok();
    for (size_t i = 0; i < r->num_sans && !sp_failed(res); i++)
        res = push_san(m, sans, r->sans[i]);
    if (!sp_failed(res)) /* critical where there is no subject: RFC 5280 section 4.2.1.6 */
        res = add_ext(m, NID_subject_alt_name, sans, !r->common_name && !r->organization);
    GENERAL_NAMES_free(sans);
    return res;
}

/* --- all together --- */

static sp_result make(struct making *m, const struct sp_pki_request *r)
{
    if (!X509_set_version(m->cert, X509_VERSION_3) || !X509_set_pubkey(m->cert, m->key))
        return sp_fail_tls(m->err, SP_E_TLS, "cannot make a certificate");
    SP_TRY(set_serial(m));
    SP_TRY(set_times(m, r->not_before, r->not_after));
    SP_TRY(set_names(m, r));
    SP_TRY(add_basic_constraints(m, r->is_ca));
    SP_TRY(add_key_usage(m, r->is_ca));
    SP_TRY(add_extended_key_usage(m, r));
    SP_TRY(add_key_ids(m));
    SP_TRY(add_sans(m, r));
    EVP_PKEY *signer = m->issuer ? m->issuer_key : m->key;
    const EVP_MD *md = EVP_PKEY_id(signer) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    if (!X509_sign(m->cert, signer, md))
        return sp_fail_tls(m->err, SP_E_TLS, "cannot sign the certificate");
    return sp_ok();
}

static sp_result write_out(struct making *m, struct sp_buf *cert_out, struct sp_buf *key_out)
{
    uint8_t *der = NULL;
    int len = i2d_X509(m->cert, &der);
    if (len < 0)
        return sp_fail_tls(m->err, SP_E_TLS, "cannot encode the certificate");
    sp_pem_write_certificate(cert_out, sp_str(der, (size_t)len));
    OPENSSL_free(der);
    BIO *bio = BIO_new(BIO_s_mem());
    const uint8_t *text = NULL;
    size_t num = 0;
    int ok =
        PEM_write_bio_PKCS8PrivateKey(bio, m->key, NULL, NULL, 0, NULL, NULL) && BIO_mem_contents(bio, &text, &num);
    if (ok)
        sp_buf_append(key_out, text, num);
    BIO_free(bio); /* BoringSSL wipes what it frees */
    return ok ? sp_ok() : sp_fail_tls(m->err, SP_E_TLS, "cannot encode the key");
}

sp_result sp_pki_issue(const struct sp_pki_request *r, struct sp_str issuer_cert_pem, struct sp_str issuer_key_pem,
                       struct sp_buf *cert_out, struct sp_buf *key_out, struct sp_error *err)
{
    struct making m = {.err = err};
    sp_result res = issuer_cert_pem.len ? read_issuer(&m, issuer_cert_pem, issuer_key_pem) : sp_ok();
    if (sp_failed(res)) {
        res = sp_fail_in(err, "issuer");
    } else {
        m.cert = X509_new();
        m.key = new_key();
        res = make(&m, r);
        if (!sp_failed(res))
            res = write_out(&m, cert_out, key_out);
    }
    making_fini(&m);
    return res;
}
