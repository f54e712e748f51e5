/* Is a client's certificate revoked? (kong-behaviour 1.1.5.) The question is asked over the call's fetcher, so a call
 * may have to pause; what was answered is remembered by the worker, across snapshots, because it is the issuer's word
 * and no configuration changes it. Failures are not remembered. Worker thread. */
#pragma once
#include "plugin/crl_reader.h"
#include "plugin/plugin.h"

enum dp_revocation_mode { DP_REVOCATION_SKIP, DP_REVOCATION_IGNORE_CA_ERROR, DP_REVOCATION_STRICT };

struct dp_revocation_conf { /* immutable, in the snapshot */
    enum dp_revocation_mode mode;
    const char *tag; /* of the log: "mtls-auth" */
    uint32_t timeout_ms, cache_s;
    struct sp_str http_proxy, https_proxy; /* hosts; empty: none */
    uint16_t http_proxy_port, https_proxy_port;
    bool verify;
};

struct dp_revocation_counters { /* written by the worker, read by anyone */
    uint64_t lookups, failures, crls_read, crls_stale;
};
/* reader: NULL where nothing is fetched. */
struct dp_revocations *dp_revocations_new(struct dp_revocation_counters *counters, struct dp_crl_reader *reader);
void dp_revocations_free(struct dp_revocations *r); /* NULL is fine */
/* A CRL that was fetched at `at` under this key (dp_crl_key), by whatever worker; makes a reference of its own. */
void dp_revocations_keep_crl(struct dp_revocations *r, const uint8_t key[32], struct sp_crl *crl, int64_t at);

struct dp_revocation_result {
    const char *refused; /* constant: why the certificate is not accepted; NULL: it is */
    int64_t until;       /* the same would be said until then, seconds since 1970; in the past: ask again */
};
/* Whose certificate it is. */
struct dp_revocation_subject {
    struct sp_str leaf, issuer; /* issuer: who signed the leaf in the verified chain; empty: nobody else */
    bool listed_good;           /* a current CRL of the configuration covers the leaf and does not list it */
};
/* DP_NEXT: *out tells. DP_PAUSE: return it; the plugin will be called again and asks again. */
enum dp_verdict dp_revocation_check(const struct dp_revocation_conf *c, struct dp_call *call,
                                    const struct dp_revocation_subject *s, int64_t now,
                                    struct dp_revocation_result *out);
