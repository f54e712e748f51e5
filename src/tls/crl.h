/* A certificate revocation list (RFC 5280 section 5), read once: that its issuer signed it is checked, and a serial
 * number is found in it without reading it again. Immutable and counted; any thread.
 *
 * Complete CRLs of the issuer itself: no deltas, no indirect ones, none for some reasons only. One that is out of date
 * is read too: what it lists stays revoked. */
#pragma once
#include "tls/certificate.h"
#include "tls/revocation.h"

enum { SP_CRL_MAX = 10 << 20 }; /* bytes of DER */

struct sp_crl;
/* DER, and DER of the certificate whose key must have signed it. NULL: *out holds one reference; else why not,
 * constant. */
SP_MUST const char *sp_crl_read(struct sp_str der, struct sp_str issuer, struct sp_crl **out);
struct sp_crl *sp_crl_ref(struct sp_crl *c);
void sp_crl_unref(struct sp_crl *c); /* NULL is fine */

/* leaf: a certificate of the CRL's issuer. Listed: it is revoked, whatever the date and the scope of the CRL. */
bool sp_crl_lists(const struct sp_crl *c, struct sp_str leaf);
/* The CRL speaks of certificates like this one: its absence means something. */
bool sp_crl_covers(const struct sp_crl *c, struct sp_str leaf);
/* NULL: its nextUpdate has not passed; else why not, constant. Clocks may differ by SP_REVOCATION_SKEW_S. now: seconds
 * since 1970. */
const char *sp_crl_stale(const struct sp_crl *c, int64_t now);
/* All of it together, as an answer. */
void sp_crl_ask(const struct sp_crl *c, struct sp_str leaf, int64_t now, struct sp_revocation *out);

int64_t sp_crl_until(const struct sp_crl *c); /* nextUpdate, seconds since 1970; INT64_MIN: it has none */
size_t sp_crl_num(const struct sp_crl *c);    /* entries */
size_t sp_crl_bytes(const struct sp_crl *c);  /* of memory */

/* All X509 CRL blocks of a PEM text as DER, in the arena; other blocks are ignored. None is an error. */
SP_MUST sp_result sp_pem_crls(struct sp_str pem, struct sp_arena *a, struct sp_der_list *out, struct sp_error *err);
