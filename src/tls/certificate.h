/* Certificates and keys as bytes: PEM in, DER out, what stands in them. No BoringSSL type shows. Any thread.
 * Everything read from a certificate is length-delimited; a NUL inside a name is an error (security.md S10). */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

struct sp_der_list {
    struct sp_str *v; /* DER certificates */
    size_t num;
};

/* All CERTIFICATE blocks of a PEM text; anything else between them is ignored. None is an error. */
SP_MUST sp_result sp_pem_certificates(struct sp_str pem, struct sp_arena *a, struct sp_der_list *out,
                                      struct sp_error *err);
void sp_pem_write_certificate(struct sp_buf *out, struct sp_str der);

enum sp_key_type { SP_KEY_RSA, SP_KEY_EC, SP_KEY_ED25519 };
/* Private key PEM (PKCS#8, SEC1, PKCS#1; not encrypted): its type. */
SP_MUST sp_result sp_pem_key_type(struct sp_str key_pem, enum sp_key_type *out, struct sp_error *err);
/* "certificate does not match key" when they are not a pair. */
SP_MUST sp_result sp_pem_key_matches(struct sp_str cert_pem, struct sp_str key_pem, struct sp_error *err);

enum sp_name_type { SP_NAME_CN, SP_NAME_DNS, SP_NAME_EMAIL, SP_NAME_URI, SP_NAME_IP, SP_NAME_DIRECTORY };
struct sp_cert_name {
    enum sp_name_type type;
    struct sp_str text;      /* IP in text form; a directoryName gives one entry for each attribute */
    struct sp_str attribute; /* SP_NAME_DIRECTORY: short name of the attribute ("CN"), else empty */
    struct sp_str oid;       /* SP_NAME_DIRECTORY: dotted */
};

/* What the product asks about a certificate. All strings in the arena. */
struct sp_cert_info {
    struct sp_str subject_dn, issuer_dn;   /* RFC 2253 order, short names, "," without blank (kong-behaviour 1.1.4) */
    struct sp_str subject_der, issuer_der; /* encoded Names */
    struct sp_str serial_hex;              /* upper case, no separators */
    struct sp_str cn;                      /* first CN in encoding order; empty when none */
    struct sp_cert_name *names; /* candidate names in order: all SANs when there is a SAN extension, else the CN */
    size_t num_names;
    bool has_san;
    bool is_ca;                    /* basicConstraints CA:TRUE */
    bool self_signed;              /* subject equals issuer */
    int64_t not_before, not_after; /* seconds since 1970 */
    uint8_t sha256[32], sha1[20];  /* of the DER */
};
SP_MUST sp_result sp_cert_read(struct sp_str der, struct sp_arena *a, struct sp_cert_info *out, struct sp_error *err);

/* SHA-256 for content hashes and digests. */
void sp_sha256(struct sp_str bytes, uint8_t out[32]);
/* SHA-1, for names that are made with it (UUID version 5); never for trust. */
void sp_sha1(struct sp_str bytes, uint8_t out[20]);
