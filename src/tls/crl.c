/* Certificate revocation lists, RFC 5280 section 5. Read by CBS in one pass, because a list can be megabytes. */
#include "tls/revocation.h"
#include "tls/signed.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

enum { CRL_MAX = 10 << 20 };

static const char broken[] = "the CRL is malformed";
static const uint8_t oid_issuing_distribution_point[] = {0x55, 0x1d, 0x1c};

/* What a CRL says beside its entries. */
struct head {
    CBS algorithm, issuer, entries;
    int64_t from, until;
};

/* The certificate, as an issuing distribution point sees it. */
struct subject {
    const struct sp_revocation_urls *urls;
    bool is_ca;
};

static bool names_ours(CBS names, const struct sp_revocation_urls *urls)
{
    while (CBS_len(&names)) {
        CBS name;
        CBS_ASN1_TAG tag;
        if (!CBS_get_any_asn1(&names, &name, &tag))
            return false;
        for (size_t i = 0; tag == (CBS_ASN1_CONTEXT_SPECIFIC | 6) && i < urls->num_crl; i++)
            if (CBS_mem_equal(&name, (const uint8_t *)urls->crl[i].p, urls->crl[i].len))
                return true;
    }
    return false;
}

/* [n] IMPLICIT BOOLEAN DEFAULT FALSE */
static bool flag(CBS *in, unsigned n, bool *out)
{
    CBS value;
    int present;
    if (!CBS_get_optional_asn1(in, &value, &present, CBS_ASN1_CONTEXT_SPECIFIC | n))
        return false;
    *out = present;
    return !present || CBS_mem_equal(&value, (const uint8_t *)"\xff", 1);
}

/* RFC 5280 section 6.3.3 (b) (2): a list for somebody else's certificates says nothing about ours. */
static bool covers(void *ctx, const CBS *oid, CBS value)
{
    const struct subject *s = ctx;
    CBS idp, point, names;
    int present, some_reasons;
    bool users, cas, indirect, attributes;
    if (!CBS_mem_equal(oid, oid_issuing_distribution_point, sizeof oid_issuing_distribution_point))
        return false;
    if (!CBS_get_asn1(&value, &idp, CBS_ASN1_SEQUENCE) || CBS_len(&value) ||
        !CBS_get_optional_asn1(&idp, &point, &present, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | 0))
        return false;
    if (present && (!CBS_get_asn1(&point, &names, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | 0) ||
                    !names_ours(names, s->urls)))
        return false;
    if (!flag(&idp, 1, &users) || !flag(&idp, 2, &cas) ||
        !CBS_get_optional_asn1(&idp, NULL, &some_reasons, CBS_ASN1_CONTEXT_SPECIFIC | 3) || !flag(&idp, 4, &indirect) ||
        !flag(&idp, 5, &attributes) || CBS_len(&idp))
        return false;
    return !some_reasons && !indirect && !attributes && !(s->is_ca ? users : cas);
}

static const char *read_head(CBS tbs, struct subject *s, struct head *out)
{
    uint64_t version = 0;
    out->until = INT64_MIN;
    if (CBS_peek_asn1_tag(&tbs, CBS_ASN1_INTEGER) && (!CBS_get_asn1_uint64(&tbs, &version) || version != 1))
        return "the CRL is of an unknown version";
    if (!CBS_get_asn1_element(&tbs, &out->algorithm, CBS_ASN1_SEQUENCE) ||
        !CBS_get_asn1_element(&tbs, &out->issuer, CBS_ASN1_SEQUENCE) || !sp_cbs_time(&tbs, true, &out->from))
        return broken;
    if ((CBS_peek_asn1_tag(&tbs, CBS_ASN1_UTCTIME) || CBS_peek_asn1_tag(&tbs, CBS_ASN1_GENERALIZEDTIME)) &&
        !sp_cbs_time(&tbs, true, &out->until))
        return broken;
    CBS_init(&out->entries, NULL, 0);
    if (CBS_peek_asn1_tag(&tbs, CBS_ASN1_SEQUENCE) && !CBS_get_asn1(&tbs, &out->entries, CBS_ASN1_SEQUENCE))
        return broken;
    if (!sp_cbs_extensions(&tbs, 0, covers, s))
        return "the CRL does not cover the certificate, or in an unknown way";
    return CBS_len(&tbs) ? broken : NULL;
}

/* Goes through all of it: a broken entry anywhere makes the absence of ours worthless. */
static const char *find_entry(CBS entries, const CBS *serial, bool *found)
{
    *found = false;
    while (CBS_len(&entries)) {
        CBS entry, number, list;
        int64_t when;
        if (!CBS_get_asn1(&entries, &entry, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&entry, &number, CBS_ASN1_INTEGER))
            return broken;
        if (sp_cbs_same(&number, serial)) {
            *found = true;
            return NULL;
        }
        if (!sp_cbs_time(&entry, true, &when))
            return broken;
        if (CBS_len(&entry) == 0)
            continue;
        if (!CBS_get_asn1(&entry, &list, CBS_ASN1_SEQUENCE) || CBS_len(&entry) ||
            !sp_cbs_extension_list(&list, NULL, NULL))
            return "an entry of the CRL has an unknown critical extension";
    }
    return NULL;
}

static const char *judge(const struct sp_cert_parts *leaf, const struct sp_cert_parts *issuer, X509 *signer,
                         struct subject *subject, struct sp_str crl, int64_t now, struct sp_revocation *out)
{
    CBS in, top, body, tbs;
    struct sp_signed s;
    struct head h;
    bool found;
    CBS_init(&in, (const uint8_t *)crl.p, crl.len);
    if (!CBS_get_asn1(&in, &top, CBS_ASN1_SEQUENCE) || CBS_len(&in) || !sp_signed_read(&top, &s) || CBS_len(&top))
        return broken;
    body = s.body;
    if (!CBS_get_asn1(&body, &tbs, CBS_ASN1_SEQUENCE))
        return broken;
    const char *why = read_head(tbs, subject, &h);
    if (why)
        return why;
    if (!sp_cbs_same(&h.issuer, &leaf->issuer) && !sp_cbs_same(&h.issuer, &issuer->subject))
        return "the CRL is of another issuer";
    if (!(X509_get_key_usage(signer) & KU_CRL_SIGN) || !sp_cbs_same(&h.algorithm, &s.algorithm) ||
        !sp_signed_by(&s, X509_get0_pubkey(signer)))
        return "the CRL is not signed by the certificate's issuer";
    if (h.from > now + SP_REVOCATION_SKEW_S)
        return "the CRL is from the future";
    why = find_entry(h.entries, &leaf->serial, &found);
    if (!why && !found && h.until == INT64_MIN)
        why = "the CRL has no nextUpdate";
    if (!why && !found && h.until + SP_REVOCATION_SKEW_S < now)
        why = "the CRL is out of date";
    *out = (struct sp_revocation){.status = found ? SP_REVOCATION_REVOKED : SP_REVOCATION_GOOD,
                                  .why = found ? "revoked (CRL)" : "good",
                                  .until = h.until};
    return why;
}

void sp_crl_judge(struct sp_str leaf, struct sp_str issuer, struct sp_str crl, int64_t now, struct sp_revocation *out)
{
    struct sp_cert_parts l, i;
    struct sp_revocation_urls urls;
    struct subject subject = {.urls = &urls};
    struct sp_arena *scratch = sp_arena_new(1024);
    X509 *x = NULL, *signer = NULL;
    const char *why = "not a certificate";
    *out = (struct sp_revocation){0};
    if (crl.len > CRL_MAX) {
        why = "the CRL is too large";
    } else if (sp_cert_parts_read(leaf, &l) && sp_cert_parts_read(issuer, &i) &&
               !sp_failed(sp_revocation_urls_read(leaf, scratch, &urls, NULL)) &&
               !sp_failed(sp_x509_read(leaf, &x, NULL)) && !sp_failed(sp_x509_read(issuer, &signer, NULL))) {
        subject.is_ca = X509_check_ca(x) == 1;
        why = judge(&l, &i, signer, &subject, crl, now, out);
    }
    if (why)
        *out = (struct sp_revocation){.why = why};
    X509_free(x);
    X509_free(signer);
    sp_arena_free(scratch);
    ERR_clear_error();
}
