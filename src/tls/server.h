/* The first door: what happens between ClientHello and Finished. DESIGN section 4.
 *
 * sp_tls_server lives as long as the process: cipher settings, ticket keys, session cache. sp_tls_names is the part
 * that follows from the configuration, immutable, in a snapshot's arena: which certificate for which name, and the
 * handshake map: which names are asked for a client certificate and with which CA names. Both are used by all workers
 * at once. */
#pragma once
#include "base/names.h"
#include "tls/certificate.h"

struct sp_tls_server;
struct sp_tls_server_options {
    uint16_t min_version;   /* 0x0303 (default) or 0x0304 */
    const char *alpn;       /* "h2,http/1.1" in order of preference; NULL: none */
    uint32_t session_ttl_s; /* default 86400 */
    bool require_peer;      /* control plane: handshake fails without a certificate that verifies under `peer_ca_pem` */
    struct sp_str peer_ca_pem; /* only with require_peer */
};
SP_MUST sp_result sp_tls_server_new(const struct sp_tls_server_options *o, struct sp_tls_server **out,
                                    struct sp_error *err);
void sp_tls_server_free(struct sp_tls_server *s); /* after the last stream */
/* New ticket keys; the previous keep decrypting until the next rotation. Called by a timer. */
void sp_tls_server_rotate_tickets(struct sp_tls_server *s);
/* Forgets all keys and sessions: nothing issued so far resumes. Called when trust has changed. */
void sp_tls_server_reset_tickets(struct sp_tls_server *s);

/* --- the configuration's part, compiled once --- */
struct sp_tls_names;
struct sp_tls_names *sp_tls_names_new(struct sp_arena *a, size_t expected);
/* One certificate for its SNI patterns; alt pair empty or of another key type. PEM is parsed here. */
SP_MUST sp_result sp_tls_names_add_certificate(struct sp_tls_names *n, struct sp_str cert_pem, struct sp_str key_pem,
                                               struct sp_str cert_alt_pem, struct sp_str key_alt_pem,
                                               const struct sp_str *snis, size_t num_snis, struct sp_error *err);
/* Certificate of last resort. Without this a self-signed one is made, once per process, as Kong does. */
SP_MUST sp_result sp_tls_names_default_certificate(struct sp_tls_names *n, struct sp_str cert_pem,
                                                   struct sp_str key_pem, struct sp_error *err);
/* Ask for a certificate at this SNI pattern, with these CA names (DER Names, no duplicates; may be none). `trust` is a
 * digest over everything that verification under this entry depends on: it binds resumption. Fails above 65,535 bytes
 * encoded. */
SP_MUST sp_result sp_tls_names_ask(struct sp_tls_names *n, struct sp_str pattern, const struct sp_str *ca_names,
                                   size_t num_ca_names, const uint8_t trust[32], struct sp_error *err);
void sp_tls_names_done(struct sp_tls_names *n); /* builds what needs all entries; read-only from here on */

/* The answer of the handshake map for a normalised name (empty: no SNI). policy is the same number for two names
 * exactly when they are asked alike (same entry contents); 0 is "not asked". */
struct sp_handshake_policy {
    bool ask;
    uint64_t policy;
    struct sp_str pattern; /* which entry answered */
    size_t num_ca_names;
    size_t ca_names_bytes; /* encoded size of the list */
};
void sp_tls_names_policy(const struct sp_tls_names *n, struct sp_str name, struct sp_handshake_policy *out);
