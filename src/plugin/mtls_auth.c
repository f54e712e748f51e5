/* mtls-auth: the certificate of the TLS connection names the consumer. kong-behaviour 1.1. */
#include "plugin/cert_auth.h"
#include "plugin/kinds.h"

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    const Sallyport__V1__MtlsAuthConfig *m = p->mtls_auth;
    if (!m)
        return sp_fail(err, SP_E_INVALID, "config: required field missing");
    struct dp_cert_auth_config c = DP_CERT_AUTH_CONFIG(p, m);
    c.san_dirname_matcher = m->san_dirname_matcher;
    c.num_san_dirname_matcher = m->n_san_dirname_matcher;
    struct dp_cert_auth *out = SP_NEW(a, struct dp_cert_auth);
    out->tag = "mtls-auth";
    out->event = "mtls_auth_failed";
    *instance = out;
    return dp_cert_auth_compile(a, d, &c, out, err);
}

static struct dp_presented presented(const struct sp_peer *peer)
{
    if (!peer)
        return (struct dp_presented){0};
    return (struct dp_presented){.chain = peer->chain,
                                 .num = peer->num_chain,
                                 .digest = peer->digest,
                                 .of_connection = true,
                                 .why_none = peer->asked ? NULL : "the handshake did not ask for a certificate"};
}

static enum dp_verdict access(const void *instance, struct dp_call *call)
{
    struct dp_presented p = presented(call->peer);
    return dp_cert_auth_access(instance, call, &p);
}

static bool stands(const void *instance, struct dp_call *call)
{
    struct dp_presented p = presented(call->peer);
    return dp_cert_auth_stands(instance, call, &p);
}

const struct dp_plugin_kind dp_mtls_auth = {
    DP_KIND(mtls_auth),
    .compile = compile,
    .access = access,
    .stands = stands,
};
