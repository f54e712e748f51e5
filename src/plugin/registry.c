#include "plugin/kinds.h"

const struct dp_plugin_kind *const dp_plugin_kinds[] = {
    &dp_acl,
    &dp_basic_auth,
    &dp_correlation_id,
    &dp_header_cert_auth,
    &dp_ip_restriction,
    &dp_key_auth,
    &dp_mtls_auth,
    &dp_rate_limiting,
    &dp_request_size_limiting,
    &dp_request_termination,
    &dp_tls_handshake_modifier,
    &dp_tls_metadata_headers,
    NULL,
};

const struct dp_plugin_kind *dp_plugin_kind_of(Sallyport__V1__Plugin__ConfigCase config_case)
{
    for (size_t i = 0; dp_plugin_kinds[i]; i++)
        if (dp_plugin_kinds[i]->config_case == config_case)
            return dp_plugin_kinds[i];
    return NULL;
}

enum dp_verdict dp_reply(struct dp_call *call, unsigned status, const char *message)
{
    call->reply_status = status;
    call->reply_message = message;
    return DP_REPLY;
}
