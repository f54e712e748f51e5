/* The kinds of plugin, one row each. The tables of both planes are made of it: what the model knows of a plugin
 * (rules.c), and what a data plane runs (plugin/kinds.h); docs/generate reads it, too. Includes nothing, so it binds
 * nobody to the model. Constants only.
 *
 * ROW(id, ID, name, priority, ...): `id` is the member of Plugin.config, and dp_<id> is what runs it; ID is the same in
 * capitals. The rest are members of struct sp_plugin_info: protocols, allowed, on_consumer, asks. */
#pragma once

#define SP_HTTP_PROTOCOLS "grpc grpcs http https"

#define SP_PLUGIN_ROWS(ROW)                                                                                            \
    ROW(mtls_auth, MTLS_AUTH, "mtls-auth", 1600, .protocols = SP_HTTP_PROTOCOLS,                                       \
        .allowed = SP_HTTP_PROTOCOLS " ws wss", .asks = true)                                                          \
    ROW(tls_handshake_modifier, TLS_HANDSHAKE_MODIFIER, "tls-handshake-modifier", 997, .protocols = "grpcs https",     \
        .allowed = "grpcs https tls", .asks = true)                                                                    \
    ROW(header_cert_auth, HEADER_CERT_AUTH, "header-cert-auth", 1009, .protocols = SP_HTTP_PROTOCOLS,                  \
        .allowed = SP_HTTP_PROTOCOLS)                                                                                  \
    ROW(tls_metadata_headers, TLS_METADATA_HEADERS, "tls-metadata-headers", 996, .protocols = "grpcs https",           \
        .allowed = "grpcs https tls")                                                                                  \
    ROW(key_auth, KEY_AUTH, "key-auth", 1250, .protocols = SP_HTTP_PROTOCOLS, .allowed = SP_HTTP_PROTOCOLS " ws wss")  \
    ROW(basic_auth, BASIC_AUTH, "basic-auth", 1100, .protocols = SP_HTTP_PROTOCOLS,                                    \
        .allowed = SP_HTTP_PROTOCOLS " ws wss")                                                                        \
    ROW(acl, ACL, "acl", 950, .protocols = SP_HTTP_PROTOCOLS, .allowed = SP_HTTP_PROTOCOLS " ws wss")                  \
    ROW(ip_restriction, IP_RESTRICTION, "ip-restriction", 990, .protocols = SP_HTTP_PROTOCOLS " tcp tls",              \
        .allowed = SP_HTTP_PROTOCOLS " tcp tls tls_passthrough udp ws wss", .on_consumer = true)                       \
    ROW(request_termination, REQUEST_TERMINATION, "request-termination", 2, .protocols = SP_HTTP_PROTOCOLS,            \
        .allowed = SP_HTTP_PROTOCOLS " ws wss", .on_consumer = true)                                                   \
    ROW(request_size_limiting, REQUEST_SIZE_LIMITING, "request-size-limiting", 951, .protocols = SP_HTTP_PROTOCOLS,    \
        .allowed = SP_HTTP_PROTOCOLS " ws wss", .on_consumer = true)                                                   \
    ROW(rate_limiting, RATE_LIMITING, "rate-limiting", 910, .protocols = SP_HTTP_PROTOCOLS,                            \
        .allowed = SP_HTTP_PROTOCOLS " ws wss", .on_consumer = true)                                                   \
    ROW(correlation_id, CORRELATION_ID, "correlation-id", 100001, .protocols = SP_HTTP_PROTOCOLS,                      \
        .allowed = SP_HTTP_PROTOCOLS " ws wss", .on_consumer = true)
