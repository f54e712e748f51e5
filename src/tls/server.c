#include "tls/server.h"
#include "tls/internal.h"
#include "tls/material.h"
#include "tls/verify.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum {
    SESSION_TTL_S = 86400,
    SESSION_CACHE = 8192,   /* TLS 1.2 sessions by id; tickets need no memory here */
    PEER_CHAIN_MAX = 65536, /* bytes that a client may send as its chain */
    TICKETS_PER_HANDSHAKE =
        1 /* each carries the client's chain; HTTP clients that want parallel connections have HTTP/2 */
};

struct sp_tls_server {
    SSL_CTX *ctx;
    struct sp_tickets *tickets;
    struct sp_buf alpn; /* wire form, in order of preference */
    uint32_t session_ttl_s;
    struct sp_arena *arena;     /* of peer_cas */
    struct sp_ca_set *peer_cas; /* NULL: client certificates are judged by request */
};

/* --- contexts in general --- */

static CRYPTO_BUFFER_POOL *pool;

static void make_pool(void)
{
    pool = CRYPTO_BUFFER_POOL_new();
    sp_assert(pool);
}

CRYPTO_BUFFER_POOL *sp_tls_pool(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_pool);
    return pool;
}

SSL_CTX *sp_tls_ctx_new(uint16_t min_version)
{
    /* Forward secrecy and AEAD only; a client without AES instructions gets ChaCha20 where it prefers that. */
    static const char ciphers[] =
        "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]:ECDHE-ECDSA-AES256-GCM-SHA384:"
        "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]:ECDHE-RSA-AES256-GCM-SHA384";
    /* BoringSSL's default without SHA-1, and with Ed25519 and P-521, which client certificates do have. */
    static const uint16_t verify[] = {SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ED25519,
                                      SSL_SIGN_RSA_PSS_RSAE_SHA256,    SSL_SIGN_RSA_PKCS1_SHA256,
                                      SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_RSA_PSS_RSAE_SHA384,
                                      SSL_SIGN_RSA_PKCS1_SHA384,       SSL_SIGN_ECDSA_SECP521R1_SHA512,
                                      SSL_SIGN_RSA_PSS_RSAE_SHA512,    SSL_SIGN_RSA_PKCS1_SHA512};
    SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());
    sp_assert(ctx);
    int ok = SSL_CTX_set_min_proto_version(ctx, min_version) && SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) &&
             SSL_CTX_set_strict_cipher_list(ctx, ciphers) && sp_ctx_set_groups(ctx) &&
             SSL_CTX_set_verify_algorithm_prefs(ctx, verify, sizeof verify / sizeof *verify);
    sp_assert(ok);
    sp_ctx_set_pool(ctx, sp_tls_pool());
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    return ctx;
}

bool sp_tls_alpn_encode(const char *list, struct sp_buf *out)
{
    struct sp_str rest = sp_str_z(list);
    while (rest.p) {
        struct sp_str name = sp_str_split(&rest, ',');
        if (name.len == 0 || name.len > 255)
            return false;
        sp_buf_putc(out, (char)name.len);
        sp_buf_add(out, name);
    }
    return true;
}

/* --- callbacks --- */

/* Runs before the resumption decision, so what it sets on the SSL binds old sessions too. */
static enum ssl_select_cert_result_t select_certificate(const SSL_CLIENT_HELLO *hello)
{
    struct sp_tls_stream *t = sp_tls_stream_of(hello->ssl);
    char name[SP_HOST_MAX + 1];
    size_t len = 0;
    struct sp_handshake_policy policy;
    /* BoringSSL has parsed the extension and refused what is malformed. What is no host name counts as none: '*'. */
    const char *sni = SSL_get_servername(hello->ssl, TLSEXT_NAMETYPE_host_name);
    if (!sni || !sp_host_normalise(sp_str_z(sni), name, &len))
        len = 0;
    name[len] = '\0';
    bool judged_later = !t->server->peer_cas;
    if (!sp_tls_names_apply(t->names, hello->ssl, sp_str(name, len), t->listener, judged_later, &policy))
        return ssl_select_cert_error;
    t->asked = policy.ask || !judged_later;
    t->policy = policy.policy;
    free(t->name);
    t->name = len ? sp_strdup(name) : NULL;
    return ssl_select_cert_success;
}

/* Our order decides; no name in common is an error, as RFC 7301 section 3.2 wants it (ALPACA). */
static int select_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *offered, unsigned len, void *arg)
{
    (void)ssl;
    struct sp_tls_server *s = arg;
    uint8_t *chosen;
    if (SSL_select_next_proto(&chosen, out_len, (const uint8_t *)s->alpn.p, (unsigned)s->alpn.len, offered, len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static struct sp_str leaf_of(const SSL *ssl)
{
    const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(ssl);
    if (!chain || sk_CRYPTO_BUFFER_num(chain) == 0)
        return SP_STR("");
    const CRYPTO_BUFFER *b = sk_CRYPTO_BUFFER_value(chain, 0);
    return sp_str(CRYPTO_BUFFER_data(b), CRYPTO_BUFFER_len(b));
}

enum ssl_verify_result_t sp_tls_take_any(SSL *ssl, uint8_t *alert)
{
    (void)alert;
    int64_t end, now = time(NULL), left = sp_tls_stream_of(ssl)->server->session_ttl_s;
    if (!sp_der_not_after(leaf_of(ssl), &end) || end <= now)
        left = 0;
    else if (end - now < left)
        left = end - now;
    SSL_SESSION_set_timeout(SSL_get_session(ssl), (uint32_t)left);
    return ssl_verify_ok;
}

static enum ssl_verify_result_t verify_peer(SSL *ssl, uint8_t *alert)
{
    struct sp_tls_stream *t = sp_tls_stream_of(ssl);
    const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(ssl);
    size_t num = chain ? sk_CRYPTO_BUFFER_num(chain) : 0;
    struct sp_str *ders = sp_alloc((num + 1) * sizeof *ders);
    struct sp_verdict verdict;
    for (size_t i = 0; i < num; i++) {
        const CRYPTO_BUFFER *b = sk_CRYPTO_BUFFER_value(chain, i);
        ders[i] = sp_str(CRYPTO_BUFFER_data(b), CRYPTO_BUFFER_len(b));
    }
    sp_verify_chain(t->server->peer_cas, ders, num, time(NULL), &verdict);
    free(ders);
    if (verdict.ok)
        return ssl_verify_ok;
    t->fault = verdict.reason;
    *alert = SSL_AD_BAD_CERTIFICATE;
    return ssl_verify_invalid;
}

/* --- the server --- */

static sp_result require_peer(struct sp_tls_server *s, struct sp_str ca_pem, struct sp_error *err)
{
    struct sp_der_list cas;
    s->arena = sp_arena_new(4096);
    SP_TRY(sp_pem_certificates(ca_pem, s->arena, &cas, err));
    SP_TRY(sp_ca_set_compile(s->arena, cas.v, cas.num, false, &s->peer_cas, err));
    SSL_CTX_set_custom_verify(s->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_peer);
    /* The verdict belongs to this handshake: few, long connections do not need resumption. */
    SSL_CTX_set_options(s->ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(s->ctx, SSL_SESS_CACHE_OFF);
    return sp_ok();
}

static sp_result configure(struct sp_tls_server *s, const struct sp_tls_server_options *o, struct sp_error *err)
{
    SSL_CTX_set_select_certificate_cb(s->ctx, select_certificate);
    SSL_CTX_set_ticket_aead_method(s->ctx, &sp_ticket_method);
    SSL_CTX_set_max_cert_list(s->ctx, PEER_CHAIN_MAX);
    SSL_CTX_set_num_tickets(s->ctx, TICKETS_PER_HANDSHAKE);
    SSL_CTX_set_session_cache_mode(s->ctx, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(s->ctx, SESSION_CACHE);
    SSL_CTX_set_timeout(s->ctx, s->session_ttl_s);
    SSL_CTX_set_session_psk_dhe_timeout(s->ctx, s->session_ttl_s);
    if (o->alpn && !sp_tls_alpn_encode(o->alpn, &s->alpn))
        return sp_fail(err, SP_E_INVALID, "\"%s\" is no list of protocols", o->alpn);
    if (o->alpn)
        SSL_CTX_set_alpn_select_cb(s->ctx, select_alpn, s);
    return o->require_peer ? require_peer(s, o->peer_ca_pem, err) : sp_ok();
}

sp_result sp_tls_server_new(const struct sp_tls_server_options *o, struct sp_tls_server **out, struct sp_error *err)
{
    if (o->min_version && o->min_version != TLS1_2_VERSION && o->min_version != TLS1_3_VERSION)
        return sp_fail(err, SP_E_INVALID, "0x%04x is neither TLS 1.2 nor 1.3", o->min_version);
    struct sp_tls_server *s = sp_alloc(sizeof *s);
    s->ctx = sp_tls_ctx_new(o->min_version ? o->min_version : TLS1_2_VERSION);
    s->tickets = sp_tickets_new();
    s->session_ttl_s = o->session_ttl_s ? o->session_ttl_s : SESSION_TTL_S;
    sp_result res = configure(s, o, err);
    if (sp_failed(res))
        sp_tls_server_free(s);
    else
        *out = s;
    return res;
}

void sp_tls_server_free(struct sp_tls_server *s)
{
    if (!s)
        return;
    SSL_CTX_free(s->ctx);
    sp_tickets_free(s->tickets);
    sp_buf_fini(&s->alpn);
    sp_arena_free(s->arena);
    free(s);
}

void sp_tls_server_rotate_tickets(struct sp_tls_server *s)
{
    sp_tickets_rotate(s->tickets);
}

void sp_tls_server_reset_tickets(struct sp_tls_server *s)
{
    sp_tickets_reset(s->tickets);
    SSL_CTX_flush_sessions(s->ctx, 0); /* 0: all of them */
}

struct sp_tickets *sp_tls_server_tickets(struct sp_tls_server *s)
{
    return s->tickets;
}

SSL_CTX *sp_tls_server_ctx(struct sp_tls_server *s)
{
    return s->ctx;
}

struct sp_tls_stream *sp_tls_accept(struct sp_tls_server *s, const struct sp_tls_names *names, uint64_t listener,
                                    struct sp_wire *wire)
{
    sp_assert(names);
    struct sp_tls_stream *t = sp_tls_stream_new(s->ctx, wire);
    t->server = s;
    t->names = names;
    t->listener = listener;
    SSL_set_accept_state(t->ssl);
    return t;
}
