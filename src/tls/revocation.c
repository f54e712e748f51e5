#include "tls/revocation.h"
#include "tls/signed.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

enum { URL_MAX = 2048 };

/* --- signed DER --- */

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

struct algorithm {
    const char *oid;
    size_t len;
    int key;
    const EVP_MD *(*md)(void); /* NULL: the algorithm has its own */
};
#define OID(bytes) (bytes), sizeof(bytes) - 1
static const struct algorithm algorithms[] = {
    {OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"), EVP_PKEY_RSA, EVP_sha256},
    {OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c"), EVP_PKEY_RSA, EVP_sha384},
    {OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d"), EVP_PKEY_RSA, EVP_sha512},
    {OID("\x2a\x86\x48\xce\x3d\x04\x03\x02"), EVP_PKEY_EC, EVP_sha256},
    {OID("\x2a\x86\x48\xce\x3d\x04\x03\x03"), EVP_PKEY_EC, EVP_sha384},
    {OID("\x2a\x86\x48\xce\x3d\x04\x03\x04"), EVP_PKEY_EC, EVP_sha512},
    {OID("\x2b\x65\x70"), EVP_PKEY_ED25519, NULL},
};

static const struct algorithm *find_algorithm(const CBS *identifier)
{
    CBS in = *identifier, alg, oid;
    if (!CBS_get_asn1(&in, &alg, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&alg, &oid, CBS_ASN1_OBJECT))
        return NULL;
    if (CBS_len(&alg) && !CBS_mem_equal(&alg, (const uint8_t *)"\x05\x00", 2)) /* NULL, or nothing */
        return NULL;
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        if (CBS_mem_equal(&oid, (const uint8_t *)algorithms[i].oid, algorithms[i].len))
            return &algorithms[i];
    return NULL;
}

bool sp_signed_by(const struct sp_signed *s, EVP_PKEY *key)
{
    const struct algorithm *a = find_algorithm(&s->algorithm);
    if (!a || !key || EVP_PKEY_id(key) != a->key)
        return false;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = EVP_DigestVerifyInit(ctx, NULL, a->md ? a->md() : NULL, NULL, key) &&
                EVP_DigestVerify(ctx, CBS_data(&s->signature), CBS_len(&s->signature), CBS_data(&s->body),
                                 CBS_len(&s->body)) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

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

/* --- where to ask --- */

/* Anything else than http and https is no way of ours to ask. What cannot stand in a request line is no URL. */
static void add_url(const ASN1_STRING *s, struct sp_arena *a, struct sp_str *v, size_t *num)
{
    struct sp_str url = sp_str(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    if (*num == SP_REVOCATION_URLS || url.len > URL_MAX)
        return;
    if (!(url.len > 7 && sp_str_ieq(sp_str(url.p, 7), SP_STR("http://"))) &&
        !(url.len > 8 && sp_str_ieq(sp_str(url.p, 8), SP_STR("https://"))))
        return;
    for (size_t i = 0; i < url.len; i++)
        if (url.p[i] <= 0x20 || url.p[i] >= 0x7f)
            return;
    v[(*num)++] = sp_arena_dup(a, url);
}

static bool read_ocsp(const X509 *x, struct sp_arena *a, struct sp_revocation_urls *out)
{
    int critical;
    AUTHORITY_INFO_ACCESS *v = X509_get_ext_d2i(x, NID_info_access, &critical, NULL);
    if (!v)
        return critical == -1; /* not there; else broken or doubled */
    for (size_t i = 0; i < sk_ACCESS_DESCRIPTION_num(v); i++) {
        const ACCESS_DESCRIPTION *d = sk_ACCESS_DESCRIPTION_value(v, i);
        if (OBJ_obj2nid(d->method) == NID_ad_OCSP && d->location->type == GEN_URI)
            add_url(d->location->d.uniformResourceIdentifier, a, out->ocsp, &out->num_ocsp);
    }
    AUTHORITY_INFO_ACCESS_free(v);
    return true;
}

static bool read_crl(const X509 *x, struct sp_arena *a, struct sp_revocation_urls *out)
{
    int critical;
    CRL_DIST_POINTS *v = X509_get_ext_d2i(x, NID_crl_distribution_points, &critical, NULL);
    if (!v)
        return critical == -1;
    for (size_t i = 0; i < sk_DIST_POINT_num(v); i++) {
        const DIST_POINT *p = sk_DIST_POINT_value(v, i);
        if (p->reasons || p->CRLissuer || !p->distpoint || p->distpoint->type != 0 /* fullName */)
            continue;
        const GENERAL_NAMES *names = p->distpoint->name.fullname;
        for (size_t n = 0; n < sk_GENERAL_NAME_num(names); n++) {
            const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, n);
            if (g->type == GEN_URI)
                add_url(g->d.uniformResourceIdentifier, a, out->crl, &out->num_crl);
        }
    }
    CRL_DIST_POINTS_free(v);
    return true;
}

sp_result sp_revocation_urls_read(struct sp_str leaf, struct sp_arena *a, struct sp_revocation_urls *out,
                                  struct sp_error *err)
{
    X509 *x = NULL;
    *out = (struct sp_revocation_urls){0};
    SP_TRY(sp_x509_read(leaf, &x, err));
    bool good = read_ocsp(x, a, out) && read_crl(x, a, out);
    X509_free(x);
    ERR_clear_error();
    return good ? sp_ok() : sp_fail(err, SP_E_PARSE, "the certificate's list of responders or CRLs is malformed");
}

bool sp_revocation_key(struct sp_str leaf, struct sp_str issuer, uint8_t out[32])
{
    struct sp_cert_parts l, i;
    if (!sp_cert_parts_read(leaf, &l) || !sp_cert_parts_read(issuer, &i))
        return false;
    const CBS *parts[] = {&i.subject, &i.key, &l.issuer, &l.serial};
    SHA256_CTX h;
    SHA256_Init(&h);
    for (size_t n = 0; n < 4; n++) {
        uint64_t len = CBS_len(parts[n]);
        SHA256_Update(&h, &len, sizeof len);
        SHA256_Update(&h, CBS_data(parts[n]), CBS_len(parts[n]));
    }
    SHA256_Final(out, &h);
    return true;
}
