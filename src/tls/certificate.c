#include "tls/certificate.h"
#include "tls/material.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/obj.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

enum { CHAIN_MAX = 4096 /* certificates of one PEM text */ };

void sp_sha256(struct sp_str bytes, uint8_t out[32])
{
    SHA256((const uint8_t *)bytes.p, bytes.len, out);
}

void sp_sha1(struct sp_str bytes, uint8_t out[20])
{
    SHA1((const uint8_t *)bytes.p, bytes.len, out);
}

/* --- PEM --- */

static bool is_certificate(const char *name)
{
    return strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0;
}

/* Reads all blocks; out == NULL only counts. false: what it stumbled over is in BoringSSL's queue. */
static bool walk_pem(BIO *bio, struct sp_arena *a, struct sp_der_list *out, size_t *num)
{
    char *name, *header;
    unsigned char *data;
    long len;
    *num = 0;
    while (PEM_read_bio(bio, &name, &header, &data, &len)) {
        bool take = is_certificate(name);
        if (take && out)
            out->v[*num] = sp_arena_dup(a, sp_str(data, (size_t)len));
        *num += take;
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(data);
        if (*num > CHAIN_MAX)
            return true;
    }
    uint32_t e = ERR_peek_last_error();
    return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

sp_result sp_pem_certificates(struct sp_str pem, struct sp_arena *a, struct sp_der_list *out, struct sp_error *err)
{
    *out = (struct sp_der_list){0};
    if (pem.len == 0)
        return sp_fail(err, SP_E_PARSE, "no certificate in PEM form");
    if (pem.len > INT32_MAX)
        return sp_fail(err, SP_E_LIMIT, "PEM text of %zu bytes", pem.len);
    size_t num = 0;
    BIO *bio = BIO_new_mem_buf(pem.p, (ossl_ssize_t)pem.len);
    bool good = walk_pem(bio, a, NULL, &num);
    if (good && num > 0 && num <= CHAIN_MAX) {
        out->v = SP_NEW_N(a, struct sp_str, num);
        BIO_reset(bio);
        good = walk_pem(bio, a, out, &out->num);
    }
    BIO_free(bio);
    if (!good)
        return sp_fail_tls(err, SP_E_PARSE, "broken PEM");
    ERR_clear_error();
    if (num > CHAIN_MAX)
        return sp_fail(err, SP_E_LIMIT, "more than %d certificates", CHAIN_MAX);
    return num ? sp_ok() : sp_fail(err, SP_E_PARSE, "no certificate in PEM form");
}

void sp_pem_write_certificate(struct sp_buf *out, struct sp_str der)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const uint8_t *text;
    size_t len;
    int ok = PEM_write_bio(bio, PEM_STRING_X509, "", (const unsigned char *)der.p, (long)der.len);
    sp_assert(ok && BIO_mem_contents(bio, &text, &len));
    sp_buf_append(out, text, len);
    BIO_free(bio);
}

sp_result sp_pem_key_type(struct sp_str key_pem, enum sp_key_type *out, struct sp_error *err)
{
    EVP_PKEY *key = NULL;
    SP_TRY(sp_key_read(key_pem, &key, err));
    *out = sp_key_type_of(key);
    EVP_PKEY_free(key);
    return sp_ok();
}

static void arena_done(struct sp_arena **a)
{
    sp_arena_free(*a);
}

sp_result sp_pem_key_matches(struct sp_str cert_pem, struct sp_str key_pem, struct sp_error *err)
{
    SP_AUTO(arena_done) struct sp_arena *a = sp_arena_new(4096);
    struct sp_der_list chain;
    EVP_PKEY *key = NULL;
    SP_TRY(sp_pem_certificates(cert_pem, a, &chain, err));
    SP_TRY(sp_key_read(key_pem, &key, err));
    sp_result r = sp_key_check(chain.v[0], key, err);
    EVP_PKEY_free(key);
    return r;
}

/* --- names --- */

struct reading {
    struct sp_arena *arena;
    struct sp_cert_info *out;
    struct sp_error *err;
    size_t cap; /* of out->names */
};

/* What becomes a consumer, a group or a header value holds no control byte; NUL above all (CVE-2026-47778). */
static sp_result check_text(struct sp_str s, const char *what, struct sp_error *err)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == 0x7f)
            return sp_fail(err, SP_E_INVALID, c ? "control byte in a %s" : "NUL byte in a %s", what);
    }
    return sp_ok();
}

static sp_result add_name(struct reading *r, struct sp_cert_name name, const char *what)
{
    SP_TRY(check_text(name.text, what, r->err));
    sp_assert(r->out->num_names < r->cap);
    r->out->names[r->out->num_names++] = name;
    return sp_ok();
}

static sp_result to_utf8(struct reading *r, const ASN1_STRING *s, struct sp_str *out)
{
    unsigned char *text = NULL;
    int len = ASN1_STRING_to_UTF8(&text, s);
    if (len < 0)
        return sp_fail_tls(r->err, SP_E_PARSE, "a name is not text");
    *out = sp_arena_dup(r->arena, sp_str(text, (size_t)len));
    OPENSSL_free(text);
    return sp_ok();
}

static bool has_nul(struct sp_str s)
{
    return s.len && memchr(s.p, 0, s.len);
}

/* A Name as DER and as text. Values that are no text (BIT STRING and the like) are printed as #hex and are no name. */
static sp_result read_dn(struct reading *r, X509_NAME *name, struct sp_str *der, struct sp_str *text)
{
    uint8_t *bytes = NULL;
    int len = i2d_X509_NAME(name, &bytes);
    if (len < 0)
        return sp_fail_tls(r->err, SP_E_PARSE, "a distinguished name cannot be encoded");
    *der = sp_arena_dup(r->arena, sp_str(bytes, (size_t)len));
    OPENSSL_free(bytes);
    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        struct sp_str value;
        const ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i));
        unsigned char *utf8 = NULL;
        int n = ASN1_STRING_to_UTF8(&utf8, s);
        value = sp_str(utf8, n > 0 ? (size_t)n : 0);
        bool bad = has_nul(value);
        OPENSSL_free(utf8);
        if (bad)
            return sp_fail(r->err, SP_E_INVALID, "NUL byte in a distinguished name");
    }
    ERR_clear_error();
    BIO *bio = BIO_new(BIO_s_mem());
    const uint8_t *p = NULL;
    size_t num = 0;
    bool ok = X509_NAME_entry_count(name) == 0 ||
              (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0 && BIO_mem_contents(bio, &p, &num));
    *text = sp_arena_dup(r->arena, sp_str(p, num));
    BIO_free(bio);
    return ok ? sp_ok() : sp_fail_tls(r->err, SP_E_PARSE, "a distinguished name cannot be printed");
}

static sp_result read_cn(struct reading *r, X509_NAME *subject)
{
    int i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (i < 0)
        return sp_ok();
    SP_TRY(to_utf8(r, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)), &r->out->cn));
    return check_text(r->out->cn, "common name", r->err);
}

static sp_result add_directory(struct reading *r, X509_NAME *name)
{
    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
        ASN1_OBJECT *obj = X509_NAME_ENTRY_get_object(e);
        struct sp_cert_name n = {.type = SP_NAME_DIRECTORY};
        char oid[128];
        int len = OBJ_obj2txt(oid, sizeof oid, obj, 1);
        int nid = OBJ_obj2nid(obj);
        if (len <= 0 || (size_t)len >= sizeof oid)
            return sp_fail(r->err, SP_E_PARSE, "unreadable attribute type in a directoryName");
        n.oid = sp_arena_dup(r->arena, sp_str(oid, (size_t)len));
        n.attribute = nid == NID_undef ? n.oid : sp_str_z(OBJ_nid2sn(nid));
        /* A directoryName never makes a certificate unusable (kong-behaviour 1.1.4): what is no text is no name. */
        if (sp_failed(to_utf8(r, X509_NAME_ENTRY_get_data(e), &n.text)))
            continue;
        SP_TRY(add_name(r, n, "directoryName"));
    }
    return sp_ok();
}

static sp_result add_ip(struct reading *r, const ASN1_STRING *s)
{
    char text[INET6_ADDRSTRLEN];
    int len = ASN1_STRING_length(s);
    if (len != 4 && len != 16)
        return sp_fail(r->err, SP_E_INVALID, "iPAddress of %d bytes in the subject alternative name", len);
    inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(s), text, sizeof text);
    struct sp_str copy = sp_arena_dup(r->arena, sp_str_z(text));
    return add_name(r, (struct sp_cert_name){.type = SP_NAME_IP, .text = copy}, "iPAddress");
}

static sp_result add_ia5(struct reading *r, enum sp_name_type type, const ASN1_STRING *s, const char *what)
{
    struct sp_str text = sp_str(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    return add_name(r, (struct sp_cert_name){.type = type, .text = sp_arena_dup(r->arena, text)}, what);
}

static sp_result add_general_name(struct reading *r, const GENERAL_NAME *g)
{
    switch (g->type) {
    case GEN_DNS:
        return add_ia5(r, SP_NAME_DNS, g->d.dNSName, "dNSName");
    case GEN_EMAIL:
        return add_ia5(r, SP_NAME_EMAIL, g->d.rfc822Name, "rfc822Name");
    case GEN_URI:
        return add_ia5(r, SP_NAME_URI, g->d.uniformResourceIdentifier, "uniformResourceIdentifier");
    case GEN_IPADD:
        return add_ip(r, g->d.iPAddress);
    case GEN_DIRNAME:
        return add_directory(r, g->d.directoryName);
    default:
        return sp_ok(); /* otherName and the rest are no candidate names (kong-behaviour D7) */
    }
}

static size_t count_names(const GENERAL_NAMES *sans)
{
    size_t n = 0;
    for (size_t i = 0; i < sk_GENERAL_NAME_num(sans); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(sans, i);
        n += g->type == GEN_DIRNAME ? (size_t)X509_NAME_entry_count(g->d.directoryName) : 1;
    }
    return n;
}

static sp_result read_names(struct reading *r, const X509 *x)
{
    int critical = 0;
    GENERAL_NAMES *sans = X509_get_ext_d2i(x, NID_subject_alt_name, &critical, NULL);
    if (!sans && critical != -1)
        return sp_fail_tls(r->err, SP_E_PARSE, "malformed subject alternative name");
    r->out->has_san = sans != NULL;
    r->cap = sans ? count_names(sans) : 1;
    r->out->names = SP_NEW_N(r->arena, struct sp_cert_name, r->cap);
    sp_result res = sp_ok();
    for (size_t i = 0; sans && i < sk_GENERAL_NAME_num(sans) && !sp_failed(res); i++)
        res = add_general_name(r, sk_GENERAL_NAME_value(sans, i));
    if (!sans && r->out->cn.len)
        res = add_name(r, (struct sp_cert_name){.type = SP_NAME_CN, .text = r->out->cn}, "common name");
    GENERAL_NAMES_free(sans);
    return res;
}

/* --- the rest --- */

static sp_result read_ca(struct reading *r, const X509 *x)
{
    int critical = 0;
    BASIC_CONSTRAINTS *bc = X509_get_ext_d2i(x, NID_basic_constraints, &critical, NULL);
    if (!bc && critical != -1)
        return sp_fail_tls(r->err, SP_E_PARSE, "malformed basic constraints");
    r->out->is_ca = bc && bc->ca;
    BASIC_CONSTRAINTS_free(bc);
    return sp_ok();
}

static bool read_time(const ASN1_TIME *t, int64_t *out)
{
    struct sp_str text = sp_str(ASN1_STRING_get0_data(t), (size_t)ASN1_STRING_length(t));
    return sp_der_time(text, ASN1_STRING_type(t) == V_ASN1_GENERALIZEDTIME, out);
}

static struct sp_str read_serial(struct sp_arena *a, const ASN1_INTEGER *n)
{
    const unsigned char *p = ASN1_STRING_get0_data(n);
    size_t len = (size_t)ASN1_STRING_length(n);
    struct sp_buf text = {0};
    if (ASN1_STRING_type(n) == V_ASN1_NEG_INTEGER)
        sp_buf_putc(&text, '-');
    for (size_t i = 0; i < len; i++)
        sp_buf_printf(&text, "%02X", p[i]);
    if (len == 0)
        sp_buf_add(&text, SP_STR("00"));
    struct sp_str copy = sp_arena_dup(a, sp_buf_str(&text));
    sp_buf_fini(&text);
    return copy;
}

static sp_result read_all(struct reading *r, const X509 *x)
{
    struct sp_cert_info *out = r->out;
    X509_NAME *subject = X509_get_subject_name(x), *issuer = X509_get_issuer_name(x);
    if (!read_time(X509_get0_notBefore(x), &out->not_before) || !read_time(X509_get0_notAfter(x), &out->not_after))
        return sp_fail(r->err, SP_E_PARSE, "not a certificate: malformed validity");
    out->serial_hex = read_serial(r->arena, X509_get0_serialNumber(x));
    SP_TRY(read_dn(r, subject, &out->subject_der, &out->subject_dn));
    SP_TRY(read_dn(r, issuer, &out->issuer_der, &out->issuer_dn));
    out->self_signed = X509_NAME_cmp(subject, issuer) == 0;
    SP_TRY(read_cn(r, subject));
    SP_TRY(read_ca(r, x));
    return read_names(r, x);
}

sp_result sp_cert_read(struct sp_str der, struct sp_arena *a, struct sp_cert_info *out, struct sp_error *err)
{
    X509 *x = NULL;
    *out = (struct sp_cert_info){0};
    SP_TRY(sp_x509_read(der, &x, err));
    struct reading r = {.arena = a, .out = out, .err = err};
    sp_result res = read_all(&r, x);
    X509_free(x);
    if (sp_failed(res))
        return res;
    sp_sha256(der, out->sha256);
    SHA1((const uint8_t *)der.p, der.len, out->sha1);
    return sp_ok();
}
