#include "tls/revocation.h"
#include "tls/signed.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

enum { URL_MAX = 2048 };

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

static void name(const CBS *const *parts, size_t num, uint8_t out[32])
{
    SHA256_CTX h;
    SHA256_Init(&h);
    for (size_t n = 0; n < num; n++) {
        uint64_t len = CBS_len(parts[n]);
        SHA256_Update(&h, &len, sizeof len);
        SHA256_Update(&h, CBS_data(parts[n]), CBS_len(parts[n]));
    }
    SHA256_Final(out, &h);
}

bool sp_revocation_key(struct sp_str leaf, struct sp_str issuer, uint8_t out[32])
{
    struct sp_cert_parts l, i;
    if (!sp_cert_parts_read(leaf, &l) || !sp_cert_parts_read(issuer, &i))
        return false;
    name((const CBS *[]){&i.subject, &i.key, &l.issuer, &l.serial}, 4, out);
    return true;
}

bool sp_issuer_key(struct sp_str issuer, uint8_t out[32])
{
    struct sp_cert_parts i;
    if (!sp_cert_parts_read(issuer, &i))
        return false;
    name((const CBS *[]){&i.key}, 1, out);
    return true;
}
