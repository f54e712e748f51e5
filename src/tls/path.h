/* Inside of src/tls: certification paths (RFC 5280 section 6), for the certificates of clients and of servers.
 * BoringSSL checks a path; what it is laxer in than we want to be, and that there may be another path, is here. Any
 * thread. */
#pragma once
#include "tls/compat.h"
#include <stdint.h>

struct sp_path_rules {
    STACK_OF(X509) * trusted; /* borrowed */
    int64_t now;              /* seconds since 1970 */
    int depth;                /* certificates between leaf and anchor; < 0: BoringSSL's default */
    bool partial;             /* an intermediate may be an anchor */
    bool server;              /* for server authentication, else for client authentication */
};
/* NULL: *chain (the caller's, each certificate a reference) goes from the leaf to its anchor. Else a constant reason.
 * However many certificates there are, at most SP_PATH_TRIES paths have their signatures checked. */
enum { SP_PATH_TRIES = 9 };
const char *sp_path_verify(const struct sp_path_rules *r, X509 *leaf, STACK_OF(X509) * untrusted,
                           STACK_OF(X509) * *chain);
/* RFC 9525 section 6: subject alternative names only, a wildcard is a whole left-most label. `name`: a host name in
 * normal form, or an IP literal. */
bool sp_path_is_named(X509 *leaf, const char *name);

/* RSA from 2048 bits, P-256 and larger curves, Ed25519. */
bool sp_path_is_strong_key(X509 *x);

/* --- path_names.c --- */
/* Name constraints of IP addresses, which BoringSSL does not know: NULL, or what is wrong with the chain. Whoever lets
 * X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE pass must ask this. */
const char *sp_path_names_fault(STACK_OF(X509) * chain);
