/* Read by CBS in one pass and a second for the index, because a list can be megabytes. */
#include "tls/crl.h"
#include "base/encoding.h"
#include "tls/signed.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SERIAL_MAX = 255, PEM_CRLS_MAX = 64 };

struct sp_crl {
    _Atomic uint32_t refs;
    int64_t from, until;
    bool users, cas; /* for those only */
    uint8_t *point;  /* names of its distribution point; NULL: for all certificates of the issuer */
    size_t point_len;
    uint32_t *slots; /* 0 is empty, else where in `serials`, plus 1 */
    size_t mask, num;
    uint8_t *serials; /* each a byte of length and the INTEGER's content */
    size_t bytes;
};

static const char broken[] = "the CRL is malformed";
static const uint8_t oid_issuing_distribution_point[] = {0x55, 0x1d, 0x1c};

struct sp_crl *sp_crl_ref(struct sp_crl *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void sp_crl_unref(struct sp_crl *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(c->point);
    free(c->slots);
    free(c->serials);
    free(c);
}

int64_t sp_crl_until(const struct sp_crl *c)
{
    return c->until;
}

size_t sp_crl_num(const struct sp_crl *c)
{
    return c->num;
}

size_t sp_crl_bytes(const struct sp_crl *c)
{
    return c->bytes;
}

/* --- reading --- */

/* What a CRL says beside its entries. */
struct head {
    CBS algorithm, issuer, entries;
};

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

/* RFC 5280 section 5.2.5. Only a point that is named in full can be compared with those of certificates. */
static bool read_scope(void *ctx, const CBS *oid, CBS value)
{
    struct sp_crl *c = ctx;
    CBS idp, point, names;
    int present, some_reasons;
    bool indirect, attributes;
    if (!CBS_mem_equal(oid, oid_issuing_distribution_point, sizeof oid_issuing_distribution_point) || c->point)
        return false;
    if (!CBS_get_asn1(&value, &idp, CBS_ASN1_SEQUENCE) || CBS_len(&value) ||
        !CBS_get_optional_asn1(&idp, &point, &present, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | 0))
        return false;
    if (present) {
        if (!CBS_get_asn1(&point, &names, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | 0) || CBS_len(&point))
            return false;
        c->point_len = CBS_len(&names);
        c->point = sp_alloc(c->point_len + 1);
        memcpy(c->point, CBS_data(&names), c->point_len);
    }
    return flag(&idp, 1, &c->users) && flag(&idp, 2, &c->cas) &&
           CBS_get_optional_asn1(&idp, NULL, &some_reasons, CBS_ASN1_CONTEXT_SPECIFIC | 3) &&
           flag(&idp, 4, &indirect) && flag(&idp, 5, &attributes) && CBS_len(&idp) == 0 && !some_reasons && !indirect &&
           !attributes;
}

static const char *read_head(CBS tbs, struct sp_crl *c, struct head *out)
{
    uint64_t version = 0;
    c->until = INT64_MIN;
    if (CBS_peek_asn1_tag(&tbs, CBS_ASN1_INTEGER) && (!CBS_get_asn1_uint64(&tbs, &version) || version != 1))
        return "the CRL is of an unknown version";
    if (!CBS_get_asn1_element(&tbs, &out->algorithm, CBS_ASN1_SEQUENCE) ||
        !CBS_get_asn1_element(&tbs, &out->issuer, CBS_ASN1_SEQUENCE) || !sp_cbs_time(&tbs, true, &c->from))
        return broken;
    if ((CBS_peek_asn1_tag(&tbs, CBS_ASN1_UTCTIME) || CBS_peek_asn1_tag(&tbs, CBS_ASN1_GENERALIZEDTIME)) &&
        !sp_cbs_time(&tbs, true, &c->until))
        return broken;
    CBS_init(&out->entries, NULL, 0);
    if (CBS_peek_asn1_tag(&tbs, CBS_ASN1_SEQUENCE) && !CBS_get_asn1(&tbs, &out->entries, CBS_ASN1_SEQUENCE))
        return broken;
    if (!sp_cbs_extensions(&tbs, 0, read_scope, c))
        return "the CRL is a delta, indirect, or limited in an unknown way";
    return CBS_len(&tbs) ? broken : NULL;
}

/* Goes through all of it: a broken entry anywhere makes the absence of others worthless. */
static const char *check_entries(CBS entries, size_t *num, size_t *bytes)
{
    for (*num = *bytes = 0; CBS_len(&entries); ++*num) {
        CBS entry, number, list;
        int64_t when;
        if (!CBS_get_asn1(&entries, &entry, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&entry, &number, CBS_ASN1_INTEGER) ||
            CBS_len(&number) > SERIAL_MAX || !sp_cbs_time(&entry, true, &when))
            return broken;
        *bytes += 1 + CBS_len(&number);
        if (CBS_len(&entry) == 0)
            continue;
        if (!CBS_get_asn1(&entry, &list, CBS_ASN1_SEQUENCE) || CBS_len(&entry) ||
            !sp_cbs_extension_list(&list, NULL, NULL))
            return "an entry of the CRL has an unknown critical extension";
    }
    return NULL;
}

static uint32_t *find_slot(const struct sp_crl *c, const CBS *serial)
{
    size_t len = CBS_len(serial), i = sp_str_hash(sp_str(CBS_data(serial), len)) & c->mask;
    for (; c->slots[i]; i = (i + 1) & c->mask) {
        const uint8_t *at = c->serials + c->slots[i] - 1;
        if (at[0] == len && memcmp(at + 1, CBS_data(serial), len) == 0)
            break;
    }
    return &c->slots[i];
}

static void index_entries(CBS entries, struct sp_crl *c, size_t num, size_t bytes)
{
    size_t slots = 8, at = 0;
    while (slots < 2 * num)
        slots *= 2;
    c->mask = slots - 1;
    c->slots = sp_alloc(slots * sizeof *c->slots);
    c->serials = sp_alloc(bytes + 1);
    c->bytes = sizeof *c + c->point_len + slots * sizeof *c->slots + bytes;
    while (CBS_len(&entries)) {
        CBS entry, number;
        bool good =
            CBS_get_asn1(&entries, &entry, CBS_ASN1_SEQUENCE) && CBS_get_asn1(&entry, &number, CBS_ASN1_INTEGER);
        sp_assert(good); /* check_entries has seen them */
        uint32_t *slot = find_slot(c, &number);
        if (*slot)
            continue;
        *slot = (uint32_t)at + 1;
        c->serials[at++] = (uint8_t)CBS_len(&number);
        memcpy(c->serials + at, CBS_data(&number), CBS_len(&number));
        at += CBS_len(&number);
        c->num++;
    }
}

static bool same_name(const CBS *der, const X509 *issuer)
{
    const uint8_t *p = CBS_data(der);
    X509_NAME *name = d2i_X509_NAME(NULL, &p, (long)CBS_len(der));
    bool same = name && X509_NAME_cmp(name, X509_get_subject_name(issuer)) == 0;
    X509_NAME_free(name);
    return same;
}

static const char *read_all(struct sp_str der, X509 *issuer, struct sp_crl *c)
{
    CBS in, top, body, tbs;
    struct sp_signed s;
    struct head h;
    size_t num, bytes;
    CBS_init(&in, (const uint8_t *)der.p, der.len);
    if (!CBS_get_asn1(&in, &top, CBS_ASN1_SEQUENCE) || CBS_len(&in) || !sp_signed_read(&top, &s) || CBS_len(&top))
        return broken;
    body = s.body;
    if (!CBS_get_asn1(&body, &tbs, CBS_ASN1_SEQUENCE))
        return broken;
    const char *why = read_head(tbs, c, &h);
    if (why)
        return why;
    if (!same_name(&h.issuer, issuer))
        return "the CRL is of another issuer";
    if (!(X509_get_key_usage(issuer) & KU_CRL_SIGN) || !sp_cbs_same(&h.algorithm, &s.algorithm) ||
        !sp_signed_by(&s, X509_get0_pubkey(issuer)))
        return "the CRL is not signed by the certificate's issuer";
    why = check_entries(h.entries, &num, &bytes);
    if (!why)
        index_entries(h.entries, c, num, bytes);
    return why;
}

const char *sp_crl_read(struct sp_str der, struct sp_str issuer, struct sp_crl **out)
{
    X509 *x = NULL;
    *out = NULL;
    if (der.len > SP_CRL_MAX)
        return "the CRL is too large";
    if (sp_failed(sp_x509_read(issuer, &x, NULL)))
        return "not a certificate";
    struct sp_crl *c = sp_alloc(sizeof *c);
    atomic_init(&c->refs, 1);
    const char *why = read_all(der, x, c);
    X509_free(x);
    ERR_clear_error();
    if (why)
        sp_crl_unref(c);
    else
        *out = c;
    return why;
}

/* --- asking --- */

bool sp_crl_lists(const struct sp_crl *c, struct sp_str leaf)
{
    struct sp_cert_parts parts;
    return sp_cert_parts_read(leaf, &parts) && *find_slot(c, &parts.serial);
}

static bool names_one_of(const struct sp_crl *c, const struct sp_revocation_urls *urls)
{
    CBS names;
    CBS_init(&names, c->point, c->point_len);
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

/* RFC 5280 section 6.3.3 (b) (2): a list for somebody else's certificates says nothing about ours. */
bool sp_crl_covers(const struct sp_crl *c, struct sp_str leaf)
{
    if (!c->point && !c->users && !c->cas)
        return true;
    struct sp_arena *scratch = sp_arena_new(1024);
    struct sp_revocation_urls urls;
    X509 *x = NULL;
    bool covers = !sp_failed(sp_revocation_urls_read(leaf, scratch, &urls, NULL)) &&
                  !sp_failed(sp_x509_read(leaf, &x, NULL)) && !(X509_check_ca(x) == 1 ? c->users : c->cas) &&
                  (!c->point || names_one_of(c, &urls));
    X509_free(x);
    sp_arena_free(scratch);
    ERR_clear_error();
    return covers;
}

const char *sp_crl_stale(const struct sp_crl *c, int64_t now)
{
    if (c->from > now + SP_REVOCATION_SKEW_S)
        return "the CRL is from the future";
    if (c->until == INT64_MIN)
        return "the CRL has no nextUpdate";
    return c->until + SP_REVOCATION_SKEW_S < now ? "the CRL is out of date" : NULL;
}

void sp_crl_ask(const struct sp_crl *c, struct sp_str leaf, int64_t now, struct sp_revocation *out)
{
    struct sp_cert_parts parts;
    *out = (struct sp_revocation){.until = c->until};
    if (!sp_cert_parts_read(leaf, &parts))
        out->why = "not a certificate";
    else if (*find_slot(c, &parts.serial))
        *out = (struct sp_revocation){SP_REVOCATION_REVOKED, "revoked (CRL)", c->until};
    else if (!sp_crl_covers(c, leaf))
        out->why = "the CRL does not cover the certificate";
    else if (!(out->why = sp_crl_stale(c, now)))
        *out = (struct sp_revocation){SP_REVOCATION_GOOD, "good", c->until};
}

/* --- PEM --- */

sp_result sp_pem_crls(struct sp_str pem, struct sp_arena *a, struct sp_der_list *out, struct sp_error *err)
{
    static const struct sp_str begin = {"-----BEGIN X509 CRL-----", 24}, end = {"-----END X509 CRL-----", 22};
    *out = (struct sp_der_list){.v = SP_NEW_N(a, struct sp_str, PEM_CRLS_MAX)};
    const char *from;
    while (pem.len && (from = memmem(pem.p, pem.len, begin.p, begin.len))) {
        pem = sp_str_skip(pem, (size_t)(from - pem.p) + begin.len);
        const char *to = memmem(pem.p, pem.len, end.p, end.len);
        if (out->num == PEM_CRLS_MAX)
            return sp_fail(err, SP_E_LIMIT, "more than %d CRLs", PEM_CRLS_MAX);
        if (!to || !sp_base64_decode(a, sp_str(pem.p, (size_t)(to - pem.p)), &out->v[out->num]))
            return sp_fail(err, SP_E_PARSE, "broken PEM");
        out->num++;
        pem = sp_str_skip(pem, (size_t)(to - pem.p) + end.len);
    }
    return out->num ? sp_ok() : sp_fail(err, SP_E_PARSE, "no CRL in PEM form");
}
