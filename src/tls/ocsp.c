/* OCSP, RFC 6960. BoringSSL has none: DER by CBS, which refuses indefinite and non-minimal lengths. */
#include "tls/revocation.h"
#include "tls/signed.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

enum {
    RESPONSE_MAX = 65536,
    MAX_RESPONDERS = 4,            /* certificates in a response that are tried */
    WITHOUT_NEXT_UPDATE_S = 86400, /* "newer information is always available": a day is old enough */
};

#define EXPLICIT(n) (CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | (n))
static const uint8_t oid_sha1[] = {0x2b, 0x0e, 0x03, 0x02, 0x1a};
static const uint8_t oid_sha256[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01};
static const uint8_t oid_basic[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01};

/* What is asked about, and who may answer. */
struct question {
    struct sp_cert_parts leaf, issuer;
    X509 *issuer_cert; /* owned */
    int64_t now;
};

/* --- the request --- */

static bool write_request(const struct sp_cert_parts *leaf, const struct sp_cert_parts *issuer, CBB *cbb)
{
    CBB outer, tbs, list, request, id, alg, oid, null, hash;
    uint8_t name[SHA_DIGEST_LENGTH], key[SHA_DIGEST_LENGTH];
    SHA1(CBS_data(&leaf->issuer), CBS_len(&leaf->issuer), name);
    SHA1(CBS_data(&issuer->key), CBS_len(&issuer->key), key);
    return CBB_add_asn1(cbb, &outer, CBS_ASN1_SEQUENCE) && CBB_add_asn1(&outer, &tbs, CBS_ASN1_SEQUENCE) &&
           CBB_add_asn1(&tbs, &list, CBS_ASN1_SEQUENCE) && CBB_add_asn1(&list, &request, CBS_ASN1_SEQUENCE) &&
           CBB_add_asn1(&request, &id, CBS_ASN1_SEQUENCE) && CBB_add_asn1(&id, &alg, CBS_ASN1_SEQUENCE) &&
           CBB_add_asn1(&alg, &oid, CBS_ASN1_OBJECT) && CBB_add_bytes(&oid, oid_sha1, sizeof oid_sha1) &&
           CBB_add_asn1(&alg, &null, CBS_ASN1_NULL) && CBB_add_asn1(&id, &hash, CBS_ASN1_OCTETSTRING) &&
           CBB_add_bytes(&hash, name, sizeof name) && CBB_add_asn1(&id, &hash, CBS_ASN1_OCTETSTRING) &&
           CBB_add_bytes(&hash, key, sizeof key) && CBB_add_asn1(&id, &hash, CBS_ASN1_INTEGER) &&
           CBB_add_bytes(&hash, CBS_data(&leaf->serial), CBS_len(&leaf->serial)) && CBB_flush(cbb);
}

sp_result sp_ocsp_request(struct sp_str leaf, struct sp_str issuer, struct sp_buf *out, struct sp_error *err)
{
    struct sp_cert_parts l, i;
    if (!sp_cert_parts_read(leaf, &l) || !sp_cert_parts_read(issuer, &i))
        return sp_fail(err, SP_E_PARSE, "not a certificate");
    CBB cbb;
    bool good = CBB_init(&cbb, 128) && write_request(&l, &i, &cbb);
    sp_assert(good); /* memory, or bytes that do not fit into DER */
    sp_buf_append(out, CBB_data(&cbb), CBB_len(&cbb));
    CBB_cleanup(&cbb);
    return sp_ok();
}

/* --- one answer in a response --- */

static bool hash_is(const CBS *hash, const CBS *of, bool sha256)
{
    uint8_t digest[32];
    if (sha256)
        SHA256(CBS_data(of), CBS_len(of), digest);
    else
        SHA1(CBS_data(of), CBS_len(of), digest);
    return CBS_mem_equal(hash, digest, sha256 ? 32 : 20);
}

/* Takes a CertID off *in. False: broken; *ours: it names our certificate. */
static bool read_id(CBS *in, const struct question *q, bool *ours)
{
    CBS id, alg, oid, name, key, serial;
    if (!CBS_get_asn1(in, &id, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&id, &alg, CBS_ASN1_SEQUENCE) ||
        !CBS_get_asn1(&alg, &oid, CBS_ASN1_OBJECT) || !CBS_get_asn1(&id, &name, CBS_ASN1_OCTETSTRING) ||
        !CBS_get_asn1(&id, &key, CBS_ASN1_OCTETSTRING) || !CBS_get_asn1(&id, &serial, CBS_ASN1_INTEGER) || CBS_len(&id))
        return false;
    bool sha256 = CBS_mem_equal(&oid, oid_sha256, sizeof oid_sha256);
    *ours = (sha256 || CBS_mem_equal(&oid, oid_sha1, sizeof oid_sha1)) && sp_cbs_same(&serial, &q->leaf.serial) &&
            hash_is(&name, &q->leaf.issuer, sha256) && hash_is(&key, &q->issuer.key, sha256);
    return true;
}

struct single {
    enum sp_revocation_status status;
    int64_t from, until;
    bool has_until;
};

static bool read_single(CBS *in, struct single *out)
{
    CBS status, next;
    CBS_ASN1_TAG tag;
    int present;
    if (!CBS_get_any_asn1(in, &status, &tag))
        return false;
    switch (tag) {
    case CBS_ASN1_CONTEXT_SPECIFIC | 0:
        out->status = SP_REVOCATION_GOOD;
        break;
    case EXPLICIT(1): /* IMPLICIT SEQUENCE: since when, and why */
        out->status = SP_REVOCATION_REVOKED;
        break;
    case CBS_ASN1_CONTEXT_SPECIFIC | 2:
        out->status = SP_REVOCATION_UNKNOWN;
        break;
    default:
        return false;
    }
    if ((tag != EXPLICIT(1) && CBS_len(&status)) || !sp_cbs_time(in, false, &out->from) ||
        !CBS_get_optional_asn1(in, &next, &present, EXPLICIT(0)))
        return false;
    out->has_until = present;
    out->until = out->from + WITHOUT_NEXT_UPDATE_S;
    if (present && (!sp_cbs_time(&next, false, &out->until) || CBS_len(&next)))
        return false;
    return sp_cbs_extensions(in, 1, NULL, NULL) && CBS_len(in) == 0;
}

static struct sp_revocation weigh(const struct single *s, int64_t now)
{
    struct sp_revocation r = {.until = s->until};
    if (s->status == SP_REVOCATION_UNKNOWN)
        r.why = "the responder does not know the certificate";
    else if (s->from > now + SP_REVOCATION_SKEW_S)
        r.why = "the OCSP response is from the future";
    else if (s->until + SP_REVOCATION_SKEW_S < now && s->status == SP_REVOCATION_GOOD)
        r.why = "the OCSP response is out of date";
    else
        r.status = s->status;
    if (r.status != SP_REVOCATION_UNKNOWN)
        r.why = r.status == SP_REVOCATION_GOOD ? "good" : "revoked (OCSP)";
    return r;
}

/* Of several answers about our certificate the worst definite one counts. False: broken. */
static bool read_answers(CBS list, const struct question *q, struct sp_revocation *out)
{
    *out = (struct sp_revocation){.why = "the OCSP response is about another certificate"};
    while (CBS_len(&list)) {
        CBS one;
        bool ours;
        struct single s = {0};
        if (!CBS_get_asn1(&list, &one, CBS_ASN1_SEQUENCE) || !read_id(&one, q, &ours))
            return false;
        if (!ours)
            continue;
        if (!read_single(&one, &s))
            return false;
        struct sp_revocation r = weigh(&s, q->now);
        if (r.status >= out->status)
            *out = r;
    }
    return true;
}

/* --- who signed it --- */

struct responder {
    bool by_name;
    CBS id; /* the Name element, or the SHA-1 of the key */
};

static bool is_responder(const struct responder *r, const struct sp_cert_parts *c)
{
    return r->by_name ? sp_cbs_same(&r->id, &c->subject) : hash_is(&r->id, &c->key, false);
}

/* RFC 6960 section 4.2.2.2: issued directly by the certificate's issuer, with id-kp-OCSPSigning. */
static bool is_delegated(const struct question *q, X509 *x, const struct sp_cert_parts *parts)
{
    uint32_t flags = X509_get_extension_flags(x);
    return !(flags & (EXFLAG_INVALID | EXFLAG_CRITICAL)) && (flags & EXFLAG_XKUSAGE) &&
           (X509_get_extended_key_usage(x) & XKU_OCSP_SIGN) && (X509_get_key_usage(x) & KU_DIGITAL_SIGNATURE) &&
           sp_cbs_same(&parts->issuer, &q->issuer.subject) && parts->not_before <= q->now &&
           q->now <= parts->not_after && X509_verify(x, X509_get0_pubkey(q->issuer_cert)) == 1;
}

static bool signed_by_delegate(const struct question *q, const struct sp_signed *s, const struct responder *r,
                               CBS *cert)
{
    struct sp_cert_parts parts;
    X509 *x = NULL;
    struct sp_str der = sp_str(CBS_data(cert), CBS_len(cert));
    if (!sp_cert_parts_read(der, &parts) || !is_responder(r, &parts) || sp_failed(sp_x509_read(der, &x, NULL)))
        return false;
    bool good = is_delegated(q, x, &parts) && sp_signed_by(s, X509_get0_pubkey(x));
    X509_free(x);
    return good;
}

/* *rest: what follows the signature. */
static const char *check_signer(const struct question *q, const struct sp_signed *s, const struct responder *r,
                                CBS *rest)
{
    static const char nobody[] = "the OCSP response is not signed by anybody who may";
    CBS outer, certs, cert;
    int present;
    if (is_responder(r, &q->issuer) && sp_signed_by(s, X509_get0_pubkey(q->issuer_cert)))
        return NULL;
    if (!CBS_get_optional_asn1(rest, &outer, &present, EXPLICIT(0)) || !present ||
        !CBS_get_asn1(&outer, &certs, CBS_ASN1_SEQUENCE))
        return nobody;
    for (size_t i = 0; i < MAX_RESPONDERS && CBS_get_asn1_element(&certs, &cert, CBS_ASN1_SEQUENCE); i++)
        if (signed_by_delegate(q, s, r, &cert))
            return NULL;
    return nobody;
}

/* --- the response --- */

static const char broken[] = "the OCSP response is malformed";

static bool read_responder(CBS *in, struct responder *out)
{
    CBS id;
    CBS_ASN1_TAG tag;
    if (!CBS_get_any_asn1(in, &id, &tag))
        return false;
    out->by_name = tag == EXPLICIT(1);
    if (out->by_name)
        return CBS_get_asn1_element(&id, &out->id, CBS_ASN1_SEQUENCE) && CBS_len(&id) == 0;
    return tag == EXPLICIT(2) && CBS_get_asn1(&id, &out->id, CBS_ASN1_OCTETSTRING) && CBS_len(&id) == 0;
}

static const char *judge_basic(CBS *basic, const struct question *q, struct sp_revocation *out)
{
    struct sp_signed s;
    struct responder r;
    CBS body, tbs, list, rest = *basic;
    int64_t produced;
    if (!sp_signed_read(&rest, &s))
        return broken;
    body = s.body;
    if (!CBS_get_asn1(&body, &tbs, CBS_ASN1_SEQUENCE) || !CBS_get_optional_asn1(&tbs, NULL, NULL, EXPLICIT(0)) ||
        !read_responder(&tbs, &r) || !sp_cbs_time(&tbs, false, &produced) ||
        !CBS_get_asn1(&tbs, &list, CBS_ASN1_SEQUENCE) || !sp_cbs_extensions(&tbs, 1, NULL, NULL) || CBS_len(&tbs))
        return broken;
    const char *why = check_signer(q, &s, &r, &rest);
    if (why)
        return why;
    return read_answers(list, q, out) ? NULL : broken;
}

static const char *judge(struct sp_str response, const struct question *q, struct sp_revocation *out)
{
    CBS in, top, status, outer, bytes, type, octets, basic;
    int present;
    CBS_init(&in, (const uint8_t *)response.p, response.len);
    if (!CBS_get_asn1(&in, &top, CBS_ASN1_SEQUENCE) || CBS_len(&in) ||
        !CBS_get_asn1(&top, &status, CBS_ASN1_ENUMERATED) || CBS_len(&status) != 1)
        return broken;
    if (CBS_data(&status)[0] != 0)
        return "the OCSP responder refused to answer";
    if (!CBS_get_optional_asn1(&top, &outer, &present, EXPLICIT(0)) || !present || CBS_len(&top) ||
        !CBS_get_asn1(&outer, &bytes, CBS_ASN1_SEQUENCE) || CBS_len(&outer) ||
        !CBS_get_asn1(&bytes, &type, CBS_ASN1_OBJECT) || !CBS_get_asn1(&bytes, &octets, CBS_ASN1_OCTETSTRING) ||
        CBS_len(&bytes))
        return broken;
    if (!CBS_mem_equal(&type, oid_basic, sizeof oid_basic))
        return "the OCSP response is of an unknown type";
    if (!CBS_get_asn1(&octets, &basic, CBS_ASN1_SEQUENCE) || CBS_len(&octets))
        return broken;
    return judge_basic(&basic, q, out);
}

void sp_ocsp_judge(struct sp_str leaf, struct sp_str issuer, struct sp_str response, int64_t now,
                   struct sp_revocation *out)
{
    struct question q = {.now = now};
    const char *why = "not a certificate";
    *out = (struct sp_revocation){0};
    if (response.len > RESPONSE_MAX)
        why = "the OCSP response is too large";
    else if (sp_cert_parts_read(leaf, &q.leaf) && sp_cert_parts_read(issuer, &q.issuer) &&
             !sp_failed(sp_x509_read(issuer, &q.issuer_cert, NULL)))
        why = judge(response, &q, out);
    if (why)
        *out = (struct sp_revocation){.why = why};
    X509_free(q.issuer_cert);
    ERR_clear_error();
}
