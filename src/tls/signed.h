/* Inside of src/tls: what OCSP responses and CRLs have in common, DER that somebody has signed. Any thread. */
#pragma once
#include "tls/material.h"
#include "tls/revocation.h"
#include <openssl/bytestring.h>

/* Parts of a certificate, borrowed from it. `element`: with tag and length. */
struct sp_cert_parts {
    CBS serial;  /* the INTEGER's content */
    CBS issuer;  /* element */
    CBS subject; /* element */
    CBS key;     /* the BIT STRING's content without the count of unused bits */
    int64_t not_before, not_after;
};
SP_MUST bool sp_cert_parts_read(struct sp_str der, struct sp_cert_parts *out);

/* SEQUENCE { body, AlgorithmIdentifier, BIT STRING ... }: what stands after the signature is left in *rest. */
struct sp_signed {
    CBS body;      /* element: what is signed */
    CBS algorithm; /* element */
    CBS signature;
};
SP_MUST bool sp_signed_read(CBS *in, struct sp_signed *out);
SP_MUST bool sp_signed_by(const struct sp_signed *s, EVP_PKEY *key);

/* A GeneralizedTime, or also a UTCTime where `utc`. */
SP_MUST bool sp_cbs_time(CBS *in, bool utc, int64_t *out);
/* Takes [n] EXPLICIT Extensions off *in if they are there. `known` (may be NULL) is asked about critical ones; false:
 * one of them is unknown, or something is broken. */
typedef bool sp_extension_known(void *ctx, const CBS *oid, CBS value);
SP_MUST bool sp_cbs_extensions(CBS *in, unsigned n, sp_extension_known *known, void *ctx);
SP_MUST bool sp_cbs_extension_list(CBS *list, sp_extension_known *known, void *ctx);

static inline bool sp_cbs_same(const CBS *a, const CBS *b)
{
    return CBS_mem_equal(a, CBS_data(b), CBS_len(b));
}
