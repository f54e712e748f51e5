/* tls-handshake-modifier: makes the handshake ask for a certificate (the compile step reads that from the config) and
 * does nothing to a request. kong-behaviour 1.3. */
#include "plugin/kinds.h"

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    (void)a;
    (void)d;
    *instance = NULL;
    const Sallyport__V1__TlsHandshakeModifierConfig *c = p->tls_handshake_modifier;
    if (c && c->tls_client_certificate && strcmp(c->tls_client_certificate, "REQUEST") != 0)
        return sp_fail(err, SP_E_INVALID, "config.tls_client_certificate: expected REQUEST, got '%s'",
                       c->tls_client_certificate);
    return sp_ok();
}

const struct dp_plugin_kind dp_tls_handshake_modifier = {
    DP_KIND(tls_handshake_modifier),
    .compile = compile,
};
