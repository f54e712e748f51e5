/* The rows of the table in registry.c: one plugin, one file, one row. */
#pragma once
#include "plugin/plugin.h"

extern const struct dp_plugin_kind dp_acl;
extern const struct dp_plugin_kind dp_basic_auth;
extern const struct dp_plugin_kind dp_correlation_id;
extern const struct dp_plugin_kind dp_header_cert_auth;
extern const struct dp_plugin_kind dp_ip_restriction;
extern const struct dp_plugin_kind dp_key_auth;
extern const struct dp_plugin_kind dp_mtls_auth;
extern const struct dp_plugin_kind dp_rate_limiting;
extern const struct dp_plugin_kind dp_request_size_limiting;
extern const struct dp_plugin_kind dp_request_termination;
extern const struct dp_plugin_kind dp_tls_handshake_modifier;
extern const struct dp_plugin_kind dp_tls_metadata_headers;
