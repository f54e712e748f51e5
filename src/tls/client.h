/* Client contexts: towards upstreams over TLS, and the data plane towards its control plane. Immutable, shared by
 * threads. */
#pragma once
#include "tls/stream.h"

struct sp_tls_client;
struct sp_tls_client_options {
    struct sp_str cert_pem, key_pem; /* own certificate; empty: none */
    struct sp_str ca_pem;            /* trust anchors; empty: the system's bundle, or SSL_CERT_FILE */
    bool verify;                     /* false: any certificate is taken (Kong's default towards upstreams) */
    int verify_depth;                /* -1: library default */
    const char *alpn;                /* "http/1.1"; NULL: none */
};
SP_MUST sp_result sp_tls_client_new(const struct sp_tls_client_options *o, struct sp_tls_client **out,
                                    struct sp_error *err);
/* Gives up the owner's reference: streams that are open keep the client alive. NULL is fine. */
void sp_tls_client_free(struct sp_tls_client *c);
/* server_name: sent as SNI when it is a host name, and checked against the certificate (RFC 9525: SAN only) when verify
 * is on; an IP literal is checked as an IP address and not sent. Sessions are cached per (client, server_name). */
struct sp_tls_stream *sp_tls_connect(struct sp_tls_client *c, struct sp_str server_name, struct sp_wire *wire);
