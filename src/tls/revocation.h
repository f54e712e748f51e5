/* Is a certificate revoked? Where it says that one can ask, the question, and what an answer of OCSP (RFC 6960) is
 * worth; CRLs are in tls/crl.h. Sans I/O and pure: who fetches is not known here. Any thread.
 *
 * The issuer is the certificate that signed the leaf in a chain that was verified; nothing is believed that it did not
 * sign itself, or a responder to which it gave id-kp-OCSPSigning. SHA-1 and MD5 signatures count for nothing. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

enum { SP_REVOCATION_URLS = 4, SP_REVOCATION_SKEW_S = 300 };

/* http and https only, in the order of the certificate. */
struct sp_revocation_urls {
    struct sp_str ocsp[SP_REVOCATION_URLS], crl[SP_REVOCATION_URLS];
    size_t num_ocsp, num_crl;
};
/* Copies into the arena. None at all is fine. Distribution points for some reasons only, or with another CRL issuer,
 * are left out: they alone prove nothing. */
SP_MUST sp_result sp_revocation_urls_read(struct sp_str leaf, struct sp_arena *a, struct sp_revocation_urls *out,
                                          struct sp_error *err);

/* Names a certificate by its issuer (name and key) and serial number: a cache key. False: not certificates. */
SP_MUST bool sp_revocation_key(struct sp_str leaf, struct sp_str issuer, uint8_t out[32]);

/* Names an issuer by its key, which all its certificates share, however they write its name. False: not a certificate.
 */
SP_MUST bool sp_issuer_key(struct sp_str issuer, uint8_t out[32]);

enum sp_revocation_status {
    SP_REVOCATION_UNKNOWN, /* nothing that could be believed; `why` says what was wrong */
    SP_REVOCATION_GOOD,
    SP_REVOCATION_REVOKED,
};
struct sp_revocation {
    enum sp_revocation_status status;
    const char *why; /* constant, for the log */
    int64_t until;   /* GOOD, REVOKED: not to be remembered beyond this (nextUpdate), seconds since 1970 */
};

/* DER of a request for one certificate, without a nonce. */
SP_MUST sp_result sp_ocsp_request(struct sp_str leaf, struct sp_str issuer, struct sp_buf *out, struct sp_error *err);
/* A believable "revoked" counts also after its nextUpdate, "good" does not. Without nextUpdate an answer is good for a
 * day. now: seconds since 1970. */
void sp_ocsp_judge(struct sp_str leaf, struct sp_str issuer, struct sp_str response, int64_t now,
                   struct sp_revocation *out);
