#include "observe/metrics.h"

#include <stddef.h>

struct metric {
    const char *name, *labels, *type, *help; /* labels: in braces or "" */
    size_t offset;
};

#define COUNTER(name, labels, field, help)                                                                             \
    {                                                                                                                  \
        name, labels, "counter", help, offsetof(struct dp_counters, field)                                             \
    }
#define GAUGE(name, field, help)                                                                                       \
    {                                                                                                                  \
        name, "", "gauge", help, offsetof(struct dp_counters, field)                                                   \
    }

/* One row a series; rows of one name stand together, help on the first. */
static const struct metric metrics[] = {
    COUNTER("sallyport_connections_total", "", connections_total, "Downstream connections accepted."),
    GAUGE("sallyport_connections", connections_active, "Downstream connections open."),
    COUNTER("sallyport_handshakes_total", "", handshakes_total, "TLS handshakes completed."),
    COUNTER("sallyport_handshakes_failed_total", "", handshakes_failed, "TLS handshakes that failed."),
    COUNTER("sallyport_handshakes_resumed_total", "", handshakes_resumed, "TLS handshakes that resumed a session."),
    COUNTER("sallyport_handshakes_asked_total", "", handshakes_asked,
            "TLS handshakes that asked for a client certificate."),
    COUNTER("sallyport_handshakes_with_certificate_total", "", handshakes_with_certificate,
            "TLS handshakes in which the client sent a certificate."),
    COUNTER("sallyport_requests_total", "", requests_total, "Requests begun."),
    GAUGE("sallyport_requests", requests_active, "Requests under way."),
    COUNTER("sallyport_responses_total", "{class=\"1xx\"}", responses[1], "Responses by class of status."),
    COUNTER("sallyport_responses_total", "{class=\"2xx\"}", responses[2], NULL),
    COUNTER("sallyport_responses_total", "{class=\"3xx\"}", responses[3], NULL),
    COUNTER("sallyport_responses_total", "{class=\"4xx\"}", responses[4], NULL),
    COUNTER("sallyport_responses_total", "{class=\"5xx\"}", responses[5], NULL),
    COUNTER("sallyport_unauthorized_total", "", unauthorized_total, "Requests that a plugin refused with 401."),
    COUNTER("sallyport_misdirected_total", "", misdirected_total,
            "Requests answered 421 so that the client connects anew."),
    COUNTER("sallyport_upstream_failures_total", "", upstream_failures, "Requests that the upstream failed."),
    COUNTER("sallyport_received_bytes_total", "", bytes_in, "Bytes received from clients, as on the wire."),
    COUNTER("sallyport_sent_bytes_total", "", bytes_out, "Bytes sent to clients, as on the wire."),
    COUNTER("sallyport_revocation_lookups_total", "", revocation.lookups,
            "Client certificates whose OCSP responder or CRL was asked."),
    COUNTER("sallyport_revocation_failures_total", "", revocation.failures,
            "Requests whose certificate could not be checked for revocation."),
    COUNTER("sallyport_proxy_headers_refused_total", "", proxy_headers_refused,
            "Connections closed because they did not begin with a PROXY header."),
    COUNTER("sallyport_revocation_crls_read_total", "", revocation.crls_read, "CRLs that were fetched and read."),
    COUNTER("sallyport_revocation_crls_stale_total", "", revocation.crls_stale,
            "Times that a fetched CRL was out of date when it was asked."),
    COUNTER("sallyport_password_checks_total", "", passwords.checks,
            "Passwords that were not known to be right and had to be checked."),
    COUNTER("sallyport_password_checks_refused_total", "", passwords.refused,
            "Requests answered 503 because too many passwords wait to be checked."),
    COUNTER("sallyport_idle_closed_total", "", idle_closed, "Connections closed because they were idle."),
    COUNTER("sallyport_connections_identity_gone_total", "", identity_gone,
            "Connections drained because their client certificate is not accepted any more."),
    COUNTER("sallyport_connections_expired_total", "", certificate_ended,
            "Connections drained because their client certificate ends."),
};

static void head(struct sp_buf *out, const char *name, const char *type, const char *help)
{
    sp_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(struct sp_buf *out, const char *name, const char *type, const char *help, int64_t value)
{
    head(out, name, type, help);
    sp_buf_printf(out, "%s %lld\n", name, (long long)value);
}

static void upstream_metrics(const struct dp_proxy *p, struct sp_buf *out)
{
    uint64_t connects = 0, reuses = 0;
    for (unsigned i = 0; i < p->num_workers; i++) {
        connects += sp_counter_get(&p->workers[i]->up.connects);
        reuses += sp_counter_get(&p->workers[i]->up.reuses);
    }
    single(out, "sallyport_upstream_connects_total", "counter", "Connections opened towards upstreams.",
           (int64_t)connects);
    single(out, "sallyport_upstream_reuses_total", "counter", "Requests sent on a kept upstream connection.",
           (int64_t)reuses);
}

static void crl_metrics(const struct dp_proxy *p, struct sp_buf *out)
{
    size_t num = 0, stale = 0;
    if (p->current)
        dp_directory_count_crls(p->current->directory, sp_clock_wall_s(&sp_clock_system), &num, &stale);
    single(out, "sallyport_crls", "gauge", "CRLs of the configuration.", (int64_t)num);
    single(out, "sallyport_crls_stale", "gauge", "Those of them whose nextUpdate has passed.", (int64_t)stale);
}

void dp_metrics_write(const struct dp_status_source *s, struct sp_buf *out)
{
    head(out, "sallyport_info", "gauge", "Version and mode.");
    sp_buf_printf(out, "sallyport_info{version=\"%s\",mode=\"%s\"} 1\n", SP_VERSION, s->mode);
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        const struct metric *m = &metrics[i];
        if (m->help)
            head(out, m->name, m->type, m->help);
        sp_buf_printf(out, "%s%s %llu\n", m->name, m->labels, (unsigned long long)dp_proxy_count(s->proxy, m->offset));
    }
    upstream_metrics(s->proxy, out);
    crl_metrics(s->proxy, out);
    single(out, "sallyport_config_revision", "gauge", "Revision that serves in every worker.",
           s->proxy->current ? s->proxy->current->revision : 0);
    single(out, "sallyport_config_live_timestamp_seconds", "gauge", "When that revision went live.", s->live_since);
    single(out, "sallyport_config_applied_total", "counter", "Configurations that went live.", (int64_t)s->reloads);
    single(out, "sallyport_config_rejected_total", "counter", "Configurations that were refused.",
           (int64_t)s->rejections);
    single(out, "sallyport_config_stale", "gauge", "1: serving the last-good cache, control plane not reached yet.",
           s->stale);
    single(out, "sallyport_control_connected", "gauge", "1: the stream to the control plane stands.", s->connected);
}
