/* What people trip over, told where it shows. */
#include "explain/answer.h"

static void add(struct dp_explanation *e, struct sp_str text)
{
    if (e->num_hints < sizeof e->hints / sizeof *e->hints)
        e->hints[e->num_hints++] = text;
}

/* kong-behaviour section 7, number 3: 401 although curl sends one. */
static void about_asking(struct dp_explanation *e)
{
    const struct sp_explain_question *q = e->q;
    if (q->plain && q->num_chain)
        add(e, SP_STR("The certificate is never shown: there is none without TLS."));
    else if (q->num_chain && !e->presented && q->sni.len)
        add(e, sp_arena_printf(e->arena,
                               "The certificate is never shown: the handshake for '%.*s' does not ask for one. No "
                               "mtls-auth or tls-handshake-modifier covers that name; it is the ClientHello's name "
                               "that counts, not the Host.",
                               SP_FMT(q->sni)));
    else if (q->num_chain && !e->presented)
        add(e, SP_STR("The certificate is never shown: the client names no server in its ClientHello, and such "
                      "handshakes do not ask for one."));
    else if (!q->num_chain && e->policy.ask && e->call.wants_certificate)
        add(e, SP_STR("The handshake asks for a certificate, and the client shows none (give it with "
                      "`certificate`)."));
}

static bool is_named(const struct dp_explanation *e)
{
    const struct sp_handshake_answer *h = &e->handshake;
    for (size_t c = 0; c < e->q->num_chain; c++) {
        struct sp_cert_info info;
        if (sp_failed(sp_cert_read(e->q->chain[c], e->arena, &info, NULL)))
            continue;
        for (size_t i = 0; i < h->num_ca_names; i++)
            if (sp_str_eq(h->ca_names[i], info.issuer_dn))
                return true;
    }
    return false;
}

/* curl and openssl show it all the same. */
static void about_names(struct dp_explanation *e)
{
    if (e->presented && e->handshake.num_ca_names && !is_named(e))
        add(e, SP_STR("Browsers would not offer this certificate: its issuer is not among the CA names that the "
                      "handshake sends."));
}

static void about_chain(struct dp_explanation *e)
{
    static const char *const rows[][2] = {
        {"unable to get local issuer certificate",
         "No chain leads from this certificate to the plugin's ca_certificates: the client has to send its "
         "intermediates, or the CA is another one."},
        {"unable to get issuer certificate",
         "The chain ends in an intermediate: its root is not among the plugin's ca_certificates, and "
         "allow_partial_chain is off."},
        {"no consumer has a name of this certificate",
         "The certificate is good. Its names are listed; make one of them a username or custom_id, map it, or set "
         "default_consumer."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (sp_str_eq(e->reason, sp_str_z(rows[i][0])))
            add(e, sp_str_z(rows[i][1]));
}

static void about_revocation(struct dp_explanation *e)
{
    for (size_t i = 0; i < e->trace.num; i++)
        for (size_t n = 0; n < e->trace.steps[i].num_notes; n++)
            if (sp_str_starts(e->trace.steps[i].notes[n], SP_STR("revocation would be asked"))) {
                add(e, SP_STR("Revocation is not checked here: a data plane asks, and may answer 401."));
                return;
            }
}

void dp_explain_hints(struct dp_explanation *e)
{
    about_asking(e);
    about_names(e);
    about_chain(e);
    about_revocation(e);
    if (e->assumed_body)
        add(e, SP_STR("A plugin looks into the request's body, which is not known here: it is taken to be empty."));
    if (e->status == 421)
        add(e, SP_STR("A client that retries on a new connection to this host can succeed."));
}
