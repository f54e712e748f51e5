/* The rows of the table in registry.c: one plugin, one file, one row. */
#pragma once
#include "plugin/plugin.h"

extern const struct dp_plugin_kind dp_mtls_auth;
extern const struct dp_plugin_kind dp_tls_handshake_modifier;
