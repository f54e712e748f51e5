/* tls-metadata-headers: what the client's certificate says, in header fields. It judges nothing; whether the
 * certificate was judged is mtls-auth's matter. kong-behaviour 1.4; RFC 9440. */
#include "base/encoding.h"
#include "plugin/kinds.h"
#include "plugin/memo.h"
#include "plugin/trace.h"

enum { CERT, SERIAL, ISSUER, SUBJECT, FINGERPRINT, CHAIN, NUM_FIELDS };
static const struct sp_str client_cert = {"Client-Cert", 11}, client_cert_chain = {"Client-Cert-Chain", 17};

struct metadata {
    bool inject, rfc9440;
    struct sp_str names[NUM_FIELDS];
};

/* Made once for each chain that a worker sees. */
struct texts {
    struct sp_str v[NUM_FIELDS];
    struct sp_str cert_bytes, chain_bytes; /* RFC 9440 2.2 and 2.3 */
};

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    (void)d;
    const Sallyport__V1__TlsMetadataHeadersConfig *c = p->tls_metadata_headers;
    const struct {
        const char *field, *name;
    } rows[NUM_FIELDS] = {
        [CERT] = {"client_cert_header_name", c->client_cert_header_name},
        [SERIAL] = {"client_serial_header_name", c->client_serial_header_name},
        [ISSUER] = {"client_cert_issuer_dn_header_name", c->client_cert_issuer_dn_header_name},
        [SUBJECT] = {"client_cert_subject_dn_header_name", c->client_cert_subject_dn_header_name},
        [FINGERPRINT] = {"client_cert_fingerprint_header_name", c->client_cert_fingerprint_header_name},
        [CHAIN] = {"client_cert_chain_header_name", c->client_cert_chain_header_name},
    };
    struct metadata *out = SP_NEW(a, struct metadata);
    *instance = out;
    out->inject = c->inject_client_cert_details;
    out->rfc9440 = strcmp(c->format, "rfc9440") == 0;
    if (!out->rfc9440 && strcmp(c->format, "kong") != 0)
        return sp_fail(err, SP_E_INVALID, "config.format: expected one of: kong, rfc9440");
    for (size_t i = 0; i < NUM_FIELDS; i++) {
        out->names[i] = sp_arena_dup(a, sp_str_z(rows[i].name));
        if (!sp_token_valid(out->names[i]))
            return sp_fail(err, SP_E_INVALID, "config.%s: not a header field name", rows[i].field);
    }
    return sp_ok();
}

static struct sp_str take(struct sp_arena *a, struct sp_buf *b)
{
    struct sp_str s = sp_arena_dup(a, sp_buf_str(b));
    sp_buf_clear(b);
    return s;
}

static struct sp_str escaped_pem(struct sp_arena *a, const struct sp_str *ders, size_t num)
{
    struct sp_buf pem = {0}, out = {0};
    for (size_t i = 0; i < num; i++)
        sp_pem_write_certificate(&pem, ders[i]);
    sp_percent_encode(&out, sp_buf_str(&pem));
    struct sp_str s = take(a, &out);
    sp_buf_fini(&pem);
    sp_buf_fini(&out);
    return s;
}

/* RFC 8941 byte sequences, as a list. */
static struct sp_str byte_sequences(struct sp_arena *a, const struct sp_str *ders, size_t num)
{
    struct sp_buf out = {0};
    for (size_t i = 0; i < num; i++) {
        sp_buf_printf(&out, "%s:", i ? ", " : "");
        sp_base64_encode(&out, ders[i]);
        sp_buf_putc(&out, ':');
    }
    struct sp_str s = take(a, &out);
    sp_buf_fini(&out);
    return s;
}

static void describe(const struct sp_peer *peer, struct sp_arena *keep, struct texts *t)
{
    struct sp_arena *scratch = sp_arena_new(4096);
    struct sp_cert_info info;
    t->v[CERT] = escaped_pem(keep, peer->chain, 1);
    t->v[CHAIN] = escaped_pem(keep, peer->chain, peer->num_chain);
    t->cert_bytes = byte_sequences(keep, peer->chain, 1);
    t->chain_bytes = byte_sequences(keep, peer->chain + 1, peer->num_chain - 1);
    uint8_t sha1[20];
    char hex[41];
    sp_sha1(peer->chain[0], sha1);
    sp_hex(sha1, sizeof sha1, hex);
    t->v[FINGERPRINT] = sp_arena_dup(keep, sp_str(hex, 40));
    struct sp_error err;
    if (!sp_failed(sp_cert_read(peer->chain[0], scratch, &info, &err))) {
        t->v[SERIAL] = sp_arena_dup(keep, info.serial_hex);
        t->v[ISSUER] = sp_arena_dup(keep, info.issuer_dn);
        t->v[SUBJECT] = sp_arena_dup(keep, info.subject_dn);
    }
    sp_arena_free(scratch);
}

static void add(struct dp_call *call, struct sp_str name, struct sp_str value)
{
    if (value.len && sp_field_value_valid(value))
        sp_fields_add(&call->request->fields, call->arena, SP_FIELD_OTHER, name, sp_arena_dup(call->arena, value));
}

static enum dp_verdict access(const void *instance, struct dp_call *call)
{
    const struct metadata *m = instance;
    if (!m->inject && call->peer_trusted) /* whatever stands in front tells of its certificates */
        return dp_skip(call, "inject_client_cert_details is off, and a trusted peer may speak");
    call->own_names = m->names;
    call->num_own_names = NUM_FIELDS;
    struct sp_fields *fields = &call->request->fields;
    for (size_t i = 0; i < NUM_FIELDS; i++)
        sp_fields_remove(fields, m->names[i]);
    sp_fields_remove(fields, client_cert); /* whatever the format: RFC 9440 names are spoken for */
    sp_fields_remove(fields, client_cert_chain);
    call->tells_certificate = true;
    if (!m->inject)
        return dp_skip(call, "inject_client_cert_details is off");
    if (!call->peer || call->peer->num_chain == 0) {
        dp_reason(call, SP_DEBUG, "no_client_certificate", "tls-metadata-headers", "no certificate on the connection");
        return DP_NEXT;
    }
    const struct texts *t = dp_memo_find(call->cache, m, call->peer->digest);
    if (!t) {
        struct sp_arena *keep;
        bool proven = call->accepted_until != 0;
        struct texts *made = dp_memo_put(call->cache, m, call->peer->digest, proven, sizeof *made, &keep);
        describe(call->peer, keep, made);
        t = made;
    }
    for (size_t i = 0; i < NUM_FIELDS; i++)
        add(call, m->names[i], t->v[i]);
    if (m->rfc9440 && call->accepted_until) { /* RFC 9440 section 2.4: of verified ones only */
        add(call, client_cert, t->cert_bytes);
        add(call, client_cert_chain, t->chain_bytes);
    }
    return DP_NEXT;
}

const struct dp_plugin_kind dp_tls_metadata_headers = {
    DP_KIND(tls_metadata_headers),
    .compile = compile,
    .access = access,
};
