#include "tls/signed.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

enum { PSS_SALT_MAX = 512 };

bool sp_cert_parts_read(struct sp_str der, struct sp_cert_parts *out)
{
    CBS in, cert, tbs, validity, spki;
    uint8_t unused;
    CBS_init(&in, (const uint8_t *)der.p, der.len);
    return CBS_get_asn1(&in, &cert, CBS_ASN1_SEQUENCE) && CBS_get_asn1(&cert, &tbs, CBS_ASN1_SEQUENCE) &&
           CBS_get_optional_asn1(&tbs, NULL, NULL, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | 0) &&
           CBS_get_asn1(&tbs, &out->serial, CBS_ASN1_INTEGER) && CBS_len(&out->serial) > 0 &&
           CBS_get_asn1(&tbs, NULL, CBS_ASN1_SEQUENCE) && /* signature */
           CBS_get_asn1_element(&tbs, &out->issuer, CBS_ASN1_SEQUENCE) &&
           CBS_get_asn1(&tbs, &validity, CBS_ASN1_SEQUENCE) && sp_cbs_time(&validity, true, &out->not_before) &&
           sp_cbs_time(&validity, true, &out->not_after) &&
           CBS_get_asn1_element(&tbs, &out->subject, CBS_ASN1_SEQUENCE) &&
           CBS_get_asn1(&tbs, &spki, CBS_ASN1_SEQUENCE) && CBS_get_asn1(&spki, NULL, CBS_ASN1_SEQUENCE) &&
           CBS_get_asn1(&spki, &out->key, CBS_ASN1_BITSTRING) && CBS_get_u8(&out->key, &unused);
}

bool sp_signed_read(CBS *in, struct sp_signed *out)
{
    uint8_t unused;
    return CBS_get_asn1_element(in, &out->body, CBS_ASN1_SEQUENCE) &&
           CBS_get_asn1_element(in, &out->algorithm, CBS_ASN1_SEQUENCE) &&
           CBS_get_asn1(in, &out->signature, CBS_ASN1_BITSTRING) && CBS_get_u8(&out->signature, &unused) && unused == 0;
}

/* --- signatures --- */

struct algorithm {
    const char *oid;
    size_t len;
    int key;
    const EVP_MD *(*md)(void); /* NULL: the algorithm has its own, or parameters say it */
};
#define OID(bytes) (bytes), sizeof(bytes) - 1
#define OID_PSS "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"
#define OID_MGF1 "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08"
static const struct algorithm algorithms[] = {
    {OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"), EVP_PKEY_RSA, EVP_sha256},
    {OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c"), EVP_PKEY_RSA, EVP_sha384},
    {OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d"), EVP_PKEY_RSA, EVP_sha512},
    {OID("\x2a\x86\x48\xce\x3d\x04\x03\x02"), EVP_PKEY_EC, EVP_sha256},
    {OID("\x2a\x86\x48\xce\x3d\x04\x03\x03"), EVP_PKEY_EC, EVP_sha384},
    {OID("\x2a\x86\x48\xce\x3d\x04\x03\x04"), EVP_PKEY_EC, EVP_sha512},
    {OID("\x2b\x65\x70"), EVP_PKEY_ED25519, NULL},
    {OID(OID_PSS), EVP_PKEY_RSA, NULL},
};

/* What a signature was made with. */
struct scheme {
    int key;
    const EVP_MD *md; /* NULL: Ed25519 */
    int salt;         /* RSA-PSS: its length; -1: not PSS */
};

/* Takes the AlgorithmIdentifier of a hash; NULL: not one of SHA-2. */
static const EVP_MD *read_hash(CBS *in)
{
    static const struct {
        const char *oid;
        const EVP_MD *(*md)(void);
    } hashes[] = {{"\x60\x86\x48\x01\x65\x03\x04\x02\x01", EVP_sha256},
                  {"\x60\x86\x48\x01\x65\x03\x04\x02\x02", EVP_sha384},
                  {"\x60\x86\x48\x01\x65\x03\x04\x02\x03", EVP_sha512}};
    CBS alg, oid;
    if (!CBS_get_asn1(in, &alg, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&alg, &oid, CBS_ASN1_OBJECT) ||
        (CBS_len(&alg) && !CBS_mem_equal(&alg, (const uint8_t *)"\x05\x00", 2)))
        return NULL;
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++)
        if (CBS_mem_equal(&oid, (const uint8_t *)hashes[i].oid, 9))
            return hashes[i].md();
    return NULL;
}

/* RSASSA-PSS-params, RFC 4055 section 3.1. What is left out means SHA-1, so hash and MGF1 must be there, and be one
 * hash; a salt shorter than the hash is nobody's honest choice. */
static bool read_pss(CBS *in, struct scheme *out)
{
    CBS params, field, mgf, oid;
    uint64_t salt, trailer = 1;
    if (!CBS_get_asn1(in, &params, CBS_ASN1_SEQUENCE) || CBS_len(in) ||
        !CBS_get_asn1(&params, &field, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | 0) ||
        !(out->md = read_hash(&field)) || CBS_len(&field) ||
        !CBS_get_asn1(&params, &field, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | 1) ||
        !CBS_get_asn1(&field, &mgf, CBS_ASN1_SEQUENCE) || CBS_len(&field) ||
        !CBS_get_asn1(&mgf, &oid, CBS_ASN1_OBJECT) ||
        !CBS_mem_equal(&oid, (const uint8_t *)OID_MGF1, sizeof OID_MGF1 - 1) || read_hash(&mgf) != out->md ||
        CBS_len(&mgf) || !CBS_get_asn1(&params, &field, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | 2) ||
        !CBS_get_asn1_uint64(&field, &salt) || CBS_len(&field))
        return false;
    if (CBS_len(&params) && (!CBS_get_asn1(&params, &field, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | 3) ||
                             !CBS_get_asn1_uint64(&field, &trailer) || CBS_len(&field)))
        return false;
    out->salt = (int)salt;
    return CBS_len(&params) == 0 && trailer == 1 && salt >= EVP_MD_size(out->md) && salt <= PSS_SALT_MAX;
}

static bool read_scheme(const CBS *identifier, struct scheme *out)
{
    CBS in = *identifier, alg, oid;
    if (!CBS_get_asn1(&in, &alg, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&alg, &oid, CBS_ASN1_OBJECT))
        return false;
    const struct algorithm *a = NULL;
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms && !a; i++)
        if (CBS_mem_equal(&oid, (const uint8_t *)algorithms[i].oid, algorithms[i].len))
            a = &algorithms[i];
    if (!a)
        return false;
    *out = (struct scheme){.key = a->key, .md = a->md ? a->md() : NULL, .salt = -1};
    if (a->key == EVP_PKEY_RSA && !a->md)
        return read_pss(&alg, out);
    return !CBS_len(&alg) || CBS_mem_equal(&alg, (const uint8_t *)"\x05\x00", 2); /* NULL, or nothing */
}

bool sp_signed_by(const struct sp_signed *s, EVP_PKEY *key)
{
    struct scheme with;
    EVP_PKEY_CTX *of = NULL; /* the digest context's own */
    if (!key || !read_scheme(&s->algorithm, &with) || EVP_PKEY_id(key) != with.key)
        return false;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = EVP_DigestVerifyInit(ctx, &of, with.md, NULL, key) &&
                (with.salt < 0 ||
                 (EVP_PKEY_CTX_set_rsa_padding(of, RSA_PKCS1_PSS_PADDING) &&
                  EVP_PKEY_CTX_set_rsa_pss_saltlen(of, with.salt) && EVP_PKEY_CTX_set_rsa_mgf1_md(of, with.md))) &&
                EVP_DigestVerify(ctx, CBS_data(&s->signature), CBS_len(&s->signature), CBS_data(&s->body),
                                 CBS_len(&s->body)) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

/* --- DER --- */

bool sp_cbs_time(CBS *in, bool utc, int64_t *out)
{
    CBS text;
    CBS_ASN1_TAG tag;
    if (!CBS_get_any_asn1(in, &text, &tag))
        return false;
    if (tag != CBS_ASN1_GENERALIZEDTIME && !(utc && tag == CBS_ASN1_UTCTIME))
        return false;
    return sp_der_time(sp_str(CBS_data(&text), CBS_len(&text)), tag == CBS_ASN1_GENERALIZEDTIME, out);
}

bool sp_cbs_extension_list(CBS *list, sp_extension_known *known, void *ctx)
{
    while (CBS_len(list)) {
        CBS one, oid, flag, value;
        int critical;
        if (!CBS_get_asn1(list, &one, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&one, &oid, CBS_ASN1_OBJECT) ||
            !CBS_get_optional_asn1(&one, &flag, &critical, CBS_ASN1_BOOLEAN) ||
            (critical && !CBS_mem_equal(&flag, (const uint8_t *)"\xff", 1)) || /* FALSE is not written in DER */
            !CBS_get_asn1(&one, &value, CBS_ASN1_OCTETSTRING) || CBS_len(&one))
            return false;
        if (critical && !(known && known(ctx, &oid, value)))
            return false;
    }
    return true;
}

bool sp_cbs_extensions(CBS *in, unsigned n, sp_extension_known *known, void *ctx)
{
    CBS outer, list;
    int present;
    if (!CBS_get_optional_asn1(in, &outer, &present, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | n))
        return false;
    if (!present)
        return true;
    return CBS_get_asn1(&outer, &list, CBS_ASN1_SEQUENCE) && CBS_len(&outer) == 0 &&
           sp_cbs_extension_list(&list, known, ctx);
}
