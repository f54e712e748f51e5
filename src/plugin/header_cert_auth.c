/* header-cert-auth: the certificate comes in a header field, from somebody in front who terminated TLS. There is no
 * proof that the sender holds the key, so the field is believed from trusted peers only, unless the config says
 * otherwise. kong-behaviour 1.2. */
#include "base/log.h"
#include "plugin/cert_auth.h"
#include "plugin/cert_header.h"
#include "plugin/kinds.h"
#include "plugin/trace.h"

struct header_cert_auth {
    struct dp_cert_auth auth;
    struct sp_str header;
    enum dp_cert_format format;
    bool secure_source;
    bool errs; /* as Kong: what is no certificate is an error of ours, 500, which `anonymous` does not take over */
};

static sp_result read_format(const char *word, enum dp_cert_format *out, struct sp_error *err)
{
    static const char *const words[] = {"base64_encoded", "url_encoded", "rfc9440", "xfcc"};
    for (size_t i = 0; word && i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0) {
            *out = (enum dp_cert_format)i;
            return sp_ok();
        }
    return sp_fail(err, SP_E_INVALID,
                   "config.certificate_header_format: expected one of: base64_encoded, url_encoded, rfc9440, xfcc");
}

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    const Sallyport__V1__HeaderCertAuthConfig *m = p->header_cert_auth;
    struct dp_cert_auth_config c = DP_CERT_AUTH_CONFIG(p, m);
    struct header_cert_auth *out = SP_NEW(a, struct header_cert_auth);
    *instance = out;
    out->auth.tag = "header-cert-auth";
    out->auth.event = "header_cert_auth_failed";
    out->auth.mappings = DP_HEADER_CERT_AUTH_MAPPINGS;
    out->secure_source = m->secure_source;
    out->errs = m->invalid_certificate_status == 500;
    out->header = sp_arena_dup(a, sp_str_z(m->certificate_header_name));
    if (!sp_token_valid(out->header))
        return sp_fail(err, SP_E_INVALID, "config.certificate_header_name: not a header field name");
    SP_TRY(read_format(m->certificate_header_format, &out->format, err));
    return dp_cert_auth_compile(a, d, &c, &out->auth, err);
}

/* Names the chain as struct sp_peer's digest does its own: a cache key. */
static void digest_chain(const struct sp_der_list *chain, uint8_t out[32])
{
    uint8_t each[DP_CERT_HEADER_MAX][32];
    for (size_t i = 0; i < chain->num; i++)
        sp_sha256(chain->v[i], each[i]);
    sp_sha256(sp_str(each, chain->num * 32), out);
}

/* Something came that is no certificate, and this instance answers as Kong does. */
static bool is_error(const struct header_cert_auth *h, struct dp_call *call, const char *malformed,
                     const struct sp_der_list *chain)
{
    struct sp_cert_info info;
    if (!h->errs || (h->auth.anonymous_name.len && call->has_credential))
        return false;
    if (!malformed && chain->num && sp_failed(sp_cert_read(chain->v[0], call->arena, &info, NULL)))
        malformed = "malformed certificate";
    if (malformed)
        dp_reason(call, SP_NOTICE, h->auth.event, h->auth.tag, malformed);
    return malformed != NULL;
}

/* Where it is believed: NULL, or why it is none. */
static const char *read_field(const struct header_cert_auth *h, struct dp_call *call, struct sp_der_list *chain,
                              struct dp_presented *p)
{
    const struct sp_fields *fields = &call->request->fields;
    if (!h->secure_source || call->peer_trusted)
        return dp_cert_header_read(call->arena, fields, h->header, h->format, chain);
    p->why_none = "the peer is not in trusted_ips";
    if (!call->trace && sp_fields_find(fields, h->header))
        sp_log(
            SP_WARN, "untrusted_source",
            "[header-cert-auth] request_id=%s client=%.*s: its field %.*s is not believed, as secure_source is on and "
            "the peer is not in --trusted-ips",
            call->request_id, SP_FMT(call->client_ip), SP_FMT(h->header));
    return NULL;
}

static enum dp_verdict access(const void *instance, struct dp_call *call)
{
    const struct header_cert_auth *h = instance;
    struct sp_der_list chain = {0};
    struct dp_presented p = {0};
    uint8_t digest[32];
    p.malformed = read_field(h, call, &chain, &p);
    if (is_error(h, call, p.malformed, &chain))
        return dp_reply(call, 500, "An unexpected error occurred");
    if (chain.num && !p.malformed) {
        digest_chain(&chain, digest);
        p.chain = chain.v;
        p.num = chain.num;
        p.digest = digest;
    }
    return dp_cert_auth_access(&h->auth, call, &p);
}

const struct dp_plugin_kind dp_header_cert_auth = {
    DP_KIND(header_cert_auth),
    .compile = compile,
    .access = access,
};
