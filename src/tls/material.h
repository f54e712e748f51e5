/* Inside of src/tls: keys and certificates as BoringSSL objects, and its errors as ours. Any thread. */
#pragma once
#include "tls/certificate.h"
#include "tls/compat.h"
#include <openssl/evp.h>
#include <openssl/pool.h>
#include <openssl/x509.h>

/* sp_fail with BoringSSL's reason appended; empties its error queue. */
sp_result sp_fail_tls(struct sp_error *err, enum sp_code code, const char *fmt, ...) SP_PRINTF(3, 4);
/* What BoringSSL last complained about, as a constant string; empties its error queue. */
const char *sp_tls_reason(void);

/* New references; the caller frees. */
SP_MUST sp_result sp_key_read(struct sp_str pem, EVP_PKEY **out, struct sp_error *err);
SP_MUST sp_result sp_x509_read(struct sp_str der, X509 **out, struct sp_error *err);
enum sp_key_type sp_key_type_of(const EVP_PKEY *key);
/* The key belongs to the certificate. */
SP_MUST sp_result sp_key_check(struct sp_str cert_der, const EVP_PKEY *key, struct sp_error *err);

/* notAfter by a walk over the DER, without an X509 object; false: not a certificate. */
SP_MUST bool sp_der_not_after(struct sp_str der, int64_t *out);
/* UTCTime or GeneralizedTime as RFC 5280 section 4.1.2.5 has them. */
SP_MUST bool sp_der_time(struct sp_str text, bool generalized, int64_t *out);
