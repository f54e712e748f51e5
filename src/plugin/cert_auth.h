/* The one pipeline from a certificate chain to an identity: verify, names, consumer, headers
 * (kong-behaviour 1.1.3, 1.1.4). The plugins that use it differ only in where the chain comes from. Immutable after
 * compile, shared by workers. */
#pragma once
#include "plugin/directory.h"
#include "plugin/revocation.h"

enum dp_consumer_by { DP_BY_USERNAME, DP_BY_CUSTOM_ID };
enum dp_group_by { DP_GROUP_NONE, DP_GROUP_CN, DP_GROUP_DN };

struct dp_cert_auth {
    const char *tag, *event; /* of the log: "mtls-auth", "mtls_auth_failed" */
    struct sp_str ws;
    enum dp_mapping_family mappings;
    const struct dp_trust *trust;               /* NULL: a CA is missing; every request gets 500, never a smaller set */
    struct sp_str anonymous_name, default_name; /* empty: not configured */
    const struct dp_consumer *anonymous, *default_consumer; /* NULL: configured but missing */
    enum dp_consumer_by by[2];
    size_t num_by;
    bool skip_lookup;
    enum dp_group_by group_by;
    struct dp_revocation_conf revocation;
    char *const *dirname; /* attributes of a directoryName that count as names; none: all */
    size_t num_dirname;
};

/* What a config has in common with those of the other plugins. Strings are borrowed from the message. */
struct dp_cert_auth_config {
    const char *ws, *anonymous, *default_consumer, *authenticated_group_by, *revocation; /* NULL: unset */
    char *const *ca_certificates, *const *consumer_by, *const *san_dirname_matcher;
    size_t num_ca_certificates, num_consumer_by, num_san_dirname_matcher;
    const char *http_proxy_host, *https_proxy_host; /* NULL: unset */
    int32_t http_proxy_port, https_proxy_port;
    double http_timeout, cert_cache_ttl; /* ms */
    bool skip_consumer_lookup, allow_partial_chain, ssl_verify;
    bool match_none; /* consumer_by was written as []; else an empty one is the default */
};
/* From MtlsAuthConfig or HeaderCertAuthConfig, which name these fields alike. p: the Plugin message. */
#define DP_CERT_AUTH_CONFIG(p, m)                                                                                      \
    {                                                                                                                  \
        .ws = (p)->ws, .anonymous = (m)->anonymous, .default_consumer = (m)->default_consumer,                         \
        .authenticated_group_by = (m)->authenticated_group_by_null ? NULL : (m)->authenticated_group_by,               \
        .revocation = (m)->revocation_check_mode, .ca_certificates = (m)->ca_certificates,                             \
        .num_ca_certificates = (m)->n_ca_certificates, .consumer_by = (m)->consumer_by,                                \
        .num_consumer_by = (m)->n_consumer_by, .match_none = (m)->consumer_by_none,                                    \
        .skip_consumer_lookup = (m)->skip_consumer_lookup, .allow_partial_chain = (m)->allow_partial_chain,            \
        .http_proxy_host = (m)->http_proxy_host, .http_proxy_port = (m)->http_proxy_port,                              \
        .https_proxy_host = (m)->https_proxy_host, .https_proxy_port = (m)->https_proxy_port,                          \
        .http_timeout = (m)->http_timeout, .cert_cache_ttl = (m)->cert_cache_ttl, .ssl_verify = (m)->ssl_verify        \
    }
SP_MUST sp_result dp_cert_auth_compile(struct sp_arena *a, const struct dp_directory *d,
                                       const struct dp_cert_auth_config *c, struct dp_cert_auth *out,
                                       struct sp_error *err);

/* The certificate as it was presented. */
struct dp_presented {
    const struct sp_str *chain; /* DER, leaf first */
    size_t num;                 /* 0: none */
    const uint8_t *digest;      /* 32 bytes, names the chain */
    const char *why_none;       /* for the log; NULL: nothing to say */
    const char *malformed;      /* constant: why what was there is no certificate; NULL: nothing like that */
    bool of_connection;         /* the TLS connection's own: where it has none, the answer may become 421; accepted, the
                                   connection is the client's */
};
enum dp_verdict dp_cert_auth_access(const struct dp_cert_auth *c, struct dp_call *call, const struct dp_presented *p);
bool dp_cert_auth_stands(const struct dp_cert_auth *c, struct dp_call *call,
                         const struct dp_presented *p); /* dp_plugin_kind.stands */
