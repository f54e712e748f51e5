/* mtls-auth: the certificate of the TLS connection names the consumer. kong-behaviour 1.1. */
#include "plugin/cert_auth.h"
#include "plugin/kinds.h"

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    static char username[] = "username", custom_id[] = "custom_id";
    static char *const by_default[] = {username, custom_id};
    const Sallyport__V1__MtlsAuthConfig *m = p->mtls_auth;
    if (!m)
        return sp_fail(err, SP_E_INVALID, "config: required field missing");
    if (m->revocation_check_mode && strcmp(m->revocation_check_mode, "STRICT") == 0)
        return sp_fail(err, SP_E_INVALID, "config.revocation_check_mode: STRICT is not supported by this data plane");
    bool match_any = m->n_consumer_by == 0 && !m->consumer_by_none;
    struct dp_cert_auth_config c = {
        .ws = p->ws,
        .anonymous = m->anonymous,
        .default_consumer = m->default_consumer,
        .authenticated_group_by = m->authenticated_group_by_null ? NULL : m->authenticated_group_by,
        .ca_certificates = m->ca_certificates,
        .num_ca_certificates = m->n_ca_certificates,
        .consumer_by = match_any ? by_default : m->consumer_by,
        .num_consumer_by = match_any ? 2 : m->n_consumer_by,
        .san_dirname_matcher = m->san_dirname_matcher,
        .num_san_dirname_matcher = m->n_san_dirname_matcher,
        .skip_consumer_lookup = m->skip_consumer_lookup,
        .allow_partial_chain = m->allow_partial_chain,
    };
    struct dp_cert_auth *out = SP_NEW(a, struct dp_cert_auth);
    out->tag = "mtls-auth";
    out->event = "mtls_auth_failed";
    *instance = out;
    return dp_cert_auth_compile(a, d, &c, out, err);
}

static enum dp_verdict access(const void *instance, struct dp_call *call)
{
    struct dp_presented p = {0};
    if (call->peer) {
        p.chain = call->peer->chain;
        p.num = call->peer->num_chain;
        p.digest = call->peer->digest;
        p.never_asked = p.num == 0 && !call->peer->asked;
    }
    return dp_cert_auth_access(instance, call, &p);
}

const struct dp_plugin_kind dp_mtls_auth = {
    .name = "mtls-auth",
    .priority = 1600,
    .config_case = SALLYPORT__V1__PLUGIN__CONFIG_MTLS_AUTH,
    .compile = compile,
    .access = access,
};
