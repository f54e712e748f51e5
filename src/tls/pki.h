/* Making certificates: the cluster's own CA, node certificates, and throw-away ones for tests and the quickstart. Any
 * thread. */
#pragma once
#include "base/buf.h"

struct sp_pki_request {
    const char *common_name;   /* may be NULL */
    const char *organization;  /* may be NULL */
    const struct sp_str *sans; /* "DNS:name", "IP:addr", "URI:spiffe://...", "email:a@b" */
    size_t num_sans;
    bool is_ca, server_auth, client_auth;
    int64_t not_before, not_after; /* seconds since 1970 */
};
/* ECDSA P-256. issuer PEMs empty: self-signed. Outputs PEM; key_out is secret: sp_buf_wipe it. */
SP_MUST sp_result sp_pki_issue(const struct sp_pki_request *r, struct sp_str issuer_cert_pem,
                               struct sp_str issuer_key_pem, struct sp_buf *cert_out, struct sp_buf *key_out,
                               struct sp_error *err);
