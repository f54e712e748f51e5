/* Judging a client certificate under a set of CA certificates (kong-behaviour 1.1.3 step 2; RFC 5280 6). Pure: same
 * input, same verdict; callers cache by (chain digest, set digest). Any thread. */
#pragma once
#include "tls/certificate.h"

struct sp_ca_set; /* immutable, in an arena */
SP_MUST sp_result sp_ca_set_compile(struct sp_arena *a, const struct sp_str *ders, size_t num, bool allow_partial_chain,
                                    struct sp_ca_set **out, struct sp_error *err);
/* Nobody passes under it: its key is too weak, or of an unknown kind. */
bool sp_ca_is_weak(struct sp_str der);
const uint8_t *sp_ca_set_digest(const struct sp_ca_set *s); /* 32 bytes: CA bytes in order and flags */

/* A certificate by where its bytes are: in the set or in the chain that was given. */
struct sp_signer {
    bool in_set;
    size_t index;
};
enum { SP_SIGNERS_MAX = 12 };
struct sp_verdict {
    bool ok;
    const char *reason; /* constant, for log and explain only: "certificate has expired" */
    size_t anchor;      /* ok: index in the set of the trust anchor that ended the chain */
    /* ok: who signed the leaf, who signed that one, ... the anchor last. None: the leaf is itself an anchor. */
    struct sp_signer signers[SP_SIGNERS_MAX];
    size_t num_signers;
    int64_t not_after; /* ok: the earliest notAfter of the chain, seconds since 1970 */
};
/* chain: DER, leaf first, the rest untrusted, in any order. now: seconds since 1970. An expired CA in the set anchors
 * nothing. clientAuth is demanded only when an extended key usage is there. Keys below RSA 2048 and P-256, and
 * signatures with SHA-1, are refused (docs/x509.md). The work is bounded, whatever the chain. */
void sp_verify_chain(const struct sp_ca_set *s, const struct sp_str *chain, size_t num, int64_t now,
                     struct sp_verdict *out);
