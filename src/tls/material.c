#include "tls/material.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

const char *sp_tls_reason(void)
{
    /* The oldest error is the most exact one, except that the TLS layer speaks last and knows what it means. */
    uint32_t e = ERR_peek_last_error();
    if (ERR_GET_LIB(e) != ERR_LIB_SSL)
        e = ERR_peek_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    ERR_clear_error();
    return reason ? reason : "unknown reason";
}

sp_result sp_fail_tls(struct sp_error *err, enum sp_code code, const char *fmt, ...)
{
    char text[384];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return sp_fail(err, code, "%s: %s", text, sp_tls_reason());
}

/* An encrypted key is an error, not a prompt. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
    (void)buf, (void)size, (void)rwflag, (void)arg;
    return 0;
}

sp_result sp_key_read(struct sp_str pem, EVP_PKEY **out, struct sp_error *err)
{
    if (pem.len == 0 || pem.len > (1u << 20))
        return sp_fail(err, SP_E_PARSE, "no private key in PEM form");
    BIO *bio = BIO_new_mem_buf(pem.p, (ossl_ssize_t)pem.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    if (!key)
        return sp_fail_tls(err, SP_E_PARSE, "cannot read the private key");
    int type = EVP_PKEY_id(key);
    if (type != EVP_PKEY_RSA && type != EVP_PKEY_EC && type != EVP_PKEY_ED25519) {
        EVP_PKEY_free(key);
        return sp_fail(err, SP_E_INVALID, "the private key is neither RSA, EC nor Ed25519");
    }
    *out = key;
    return sp_ok();
}

enum sp_key_type sp_key_type_of(const EVP_PKEY *key)
{
    switch (EVP_PKEY_id(key)) {
    case EVP_PKEY_RSA:
        return SP_KEY_RSA;
    case EVP_PKEY_EC:
        return SP_KEY_EC;
    default:
        return SP_KEY_ED25519;
    }
}

sp_result sp_x509_read(struct sp_str der, X509 **out, struct sp_error *err)
{
    const uint8_t *p = (const uint8_t *)der.p;
    X509 *x = der.len && der.len <= (1u << 20) ? d2i_X509(NULL, &p, (long)der.len) : NULL;
    if (!x)
        return sp_fail_tls(err, SP_E_PARSE, "not a certificate");
    if (p != (const uint8_t *)der.p + der.len) {
        X509_free(x);
        return sp_fail(err, SP_E_PARSE, "not a certificate: bytes after its end");
    }
    *out = x;
    return sp_ok();
}

sp_result sp_key_check(struct sp_str cert_der, const EVP_PKEY *key, struct sp_error *err)
{
    X509 *x = NULL;
    SP_TRY(sp_x509_read(cert_der, &x, err));
    EVP_PKEY *pub = X509_get_pubkey(x);
    bool same = pub && EVP_PKEY_cmp(pub, key) == 1;
    EVP_PKEY_free(pub);
    X509_free(x);
    ERR_clear_error();
    return same ? sp_ok() : sp_fail(err, SP_E_INVALID, "certificate does not match key");
}

static bool digits(const char *p, size_t n, int *out)
{
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        v = v * 10 + (p[i] - '0');
    }
    *out = v;
    return true;
}

bool sp_der_time(struct sp_str text, bool generalized, int64_t *out)
{
    size_t year_digits = generalized ? 4 : 2;
    struct tm tm = {0};
    int year;
    if (text.len != year_digits + 11 || text.p[text.len - 1] != 'Z')
        return false;
    const char *p = text.p + year_digits;
    if (!digits(text.p, year_digits, &year) || !digits(p, 2, &tm.tm_mon) || !digits(p + 2, 2, &tm.tm_mday) ||
        !digits(p + 4, 2, &tm.tm_hour) || !digits(p + 6, 2, &tm.tm_min) || !digits(p + 8, 2, &tm.tm_sec))
        return false;
    if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
        tm.tm_sec > 59)
        return false;
    if (!generalized)
        year += year >= 50 ? 1900 : 2000;
    tm.tm_year = year - 1900;
    tm.tm_mon--;
    *out = (int64_t)timegm(&tm);
    return true;
}

bool sp_der_not_after(struct sp_str der, int64_t *out)
{
    CBS in, cert, tbs, validity, before, after;
    CBS_ASN1_TAG before_tag, tag;
    CBS_init(&in, (const uint8_t *)der.p, der.len);
    if (!CBS_get_asn1(&in, &cert, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&cert, &tbs, CBS_ASN1_SEQUENCE) ||
        !CBS_get_optional_asn1(&tbs, NULL, NULL, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | 0) || /* version */
        !CBS_get_asn1(&tbs, NULL, CBS_ASN1_INTEGER) ||                                                    /* serial */
        !CBS_get_asn1(&tbs, NULL, CBS_ASN1_SEQUENCE) || /* signature */
        !CBS_get_asn1(&tbs, NULL, CBS_ASN1_SEQUENCE) || /* issuer */
        !CBS_get_asn1(&tbs, &validity, CBS_ASN1_SEQUENCE) || !CBS_get_any_asn1(&validity, &before, &before_tag) ||
        !CBS_get_any_asn1(&validity, &after, &tag))
        return false;
    if (tag != CBS_ASN1_UTCTIME && tag != CBS_ASN1_GENERALIZEDTIME)
        return false;
    return sp_der_time(sp_str(CBS_data(&after), CBS_len(&after)), tag == CBS_ASN1_GENERALIZEDTIME, out);
}
