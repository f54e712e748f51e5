/* Inside of src/tls: what server, client and stream share. */
#pragma once
#include "tls/compat.h"
#include "tls/stream.h"

struct sp_tls_stream {
    SSL *ssl;
    struct sp_wire *wire;
    const char *fault;            /* constant text; NULL: none */
    struct sp_tls_server *server; /* NULL: a client */
    struct sp_tls_client *client; /* NULL: a server */
    const struct sp_tls_names *names;
    char *name; /* SNI in normal form, or the server's name; NULL: none. Until peer is made */
    struct sp_peer *peer;
    struct sp_buf kept; /* ciphertext that sp_tls_keep took over */
    uint64_t listener, policy;
    bool asked;
};

/* The stream that an SSL belongs to; valid from SSL_set_bio on. */
struct sp_tls_stream *sp_tls_stream_of(const SSL *ssl);
/* A stream over a new SSL of ctx, which it owns. */
struct sp_tls_stream *sp_tls_stream_new(SSL_CTX *ctx, struct sp_wire *wire);

/* What both kinds of context have in common: versions, ciphers, groups, buffers. */
SSL_CTX *sp_tls_ctx_new(uint16_t min_version);
CRYPTO_BUFFER_POOL *sp_tls_pool(void); /* of the process: equal certificates are kept once */
/* "h2,http/1.1" to the wire form; false: an empty or too long name. */
SP_MUST bool sp_tls_alpn_encode(const char *list, struct sp_buf *out);

/* --- handshake_map.c --- */
/* Everything that the names say about a ClientHello with this SNI (normal form, empty: none), put on the SSL; `ask`
 * false leaves client certificates alone. false: BoringSSL refused, and the handshake must fail. */
SP_MUST bool sp_tls_names_apply(const struct sp_tls_names *n, SSL *ssl, struct sp_str name, uint64_t listener, bool ask,
                                struct sp_handshake_policy *out);
/* Chain and key of a PEM pair as a credential. */
SP_MUST sp_result sp_tls_credential(struct sp_str cert_pem, struct sp_str key_pem, struct sp_credential *out,
                                    enum sp_key_type *type, struct sp_error *err);

/* --- tickets.c --- */
struct sp_tickets;
struct sp_tickets *sp_tickets_new(void);
void sp_tickets_free(struct sp_tickets *t);
void sp_tickets_rotate(struct sp_tickets *t);
void sp_tickets_reset(struct sp_tickets *t);
extern const SSL_TICKET_AEAD_METHOD sp_ticket_method; /* uses the stream's server's tickets */

/* --- server.c --- */
struct sp_tickets *sp_tls_server_tickets(struct sp_tls_server *s);
SSL_CTX *sp_tls_server_ctx(struct sp_tls_server *s); /* for tests: BoringSSL's clock and counters */
/* Takes any client certificate; binds the session's life to its end. */
enum ssl_verify_result_t sp_tls_take_any(SSL *ssl, uint8_t *alert);
