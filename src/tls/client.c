#include "tls/client.h"
#include "tls/internal.h"
#include "tls/material.h"
#include "tls/path.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static const char system_bundle[] = "/etc/ssl/certs/ca-certificates.crt";

/* Sessions by server name, one a slot: a new one takes the place of what hashes alike. */
enum { SLOTS = 64 };
struct slot {
    char *name;
    SSL_SESSION *session;
};

struct sp_tls_client {
    uint32_t refs; /* its owner, and every stream */
    SSL_CTX *ctx;
    STACK_OF(X509) * anchors; /* NULL: nothing is verified */
    int depth;
    pthread_mutex_t lock;
    struct slot slots[SLOTS];
};

/* --- sessions --- */

static struct slot *slot_of(struct sp_tls_client *c, const char *name)
{
    return &c->slots[sp_str_hash(sp_str_z(name)) % SLOTS];
}

static void slot_clear(struct slot *s)
{
    SSL_SESSION_free(SP_TAKE(s->session));
    free(SP_TAKE(s->name));
}

/* A session came; with TLS 1.3 after the handshake. 1: taken over. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct sp_tls_stream *t = sp_tls_stream_of(ssl);
    const char *name = t->name ? t->name : t->peer ? t->peer->sni.p : ""; /* sni is NUL-terminated by make_peer */
    if (!SSL_SESSION_is_resumable(session))
        return 0;
    pthread_mutex_lock(&t->client->lock);
    struct slot *s = slot_of(t->client, name);
    slot_clear(s);
    s->name = sp_strdup(name);
    s->session = session;
    pthread_mutex_unlock(&t->client->lock);
    return 1;
}

/* TLS 1.3 tickets are used once (RFC 8446 appendix C.4). */
static void offer_session(struct sp_tls_client *c, SSL *ssl, const char *name)
{
    pthread_mutex_lock(&c->lock);
    struct slot *s = slot_of(c, name);
    if (s->session && strcmp(s->name, name) == 0) {
        SSL_set_session(ssl, s->session);
        if (SSL_SESSION_should_be_single_use(s->session))
            slot_clear(s);
    }
    pthread_mutex_unlock(&c->lock);
}

/* --- verification --- */

static const char *verify_chain(const struct sp_tls_client *c, X509 *leaf, STACK_OF(X509) * untrusted)
{
    STACK_OF(X509) *chain = NULL;
    struct sp_path_rules rules = {.trusted = c->anchors, .now = time(NULL), .depth = c->depth, .server = true};
    const char *fault = sp_path_verify(&rules, leaf, untrusted, &chain);
    sk_X509_pop_free(chain, X509_free);
    return fault;
}

static enum ssl_verify_result_t verify_server(SSL *ssl, uint8_t *alert)
{
    struct sp_tls_stream *t = sp_tls_stream_of(ssl);
    const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(ssl);
    if (!t->client->anchors)
        return ssl_verify_ok;
    STACK_OF(X509) *certs = sk_X509_new_null();
    for (size_t i = 0; chain && i < sk_CRYPTO_BUFFER_num(chain); i++) {
        X509 *x = sp_x509_from_buffer(sk_CRYPTO_BUFFER_value(chain, i));
        if (x)
            sk_X509_push(certs, x);
        else
            t->fault = "malformed certificate";
    }
    X509 *leaf = sk_X509_shift(certs);
    if (!leaf)
        t->fault = "no certificate";
    if (!t->fault)
        t->fault = verify_chain(t->client, leaf, certs);
    if (!t->fault && !sp_path_is_named(leaf, t->name ? t->name : ""))
        t->fault = "certificate is not for this server name";
    X509_free(leaf);
    sk_X509_pop_free(certs, X509_free);
    ERR_clear_error();
    *alert = SSL_AD_BAD_CERTIFICATE;
    return t->fault ? ssl_verify_invalid : ssl_verify_ok;
}

/* --- the client --- */

static STACK_OF(X509) * system_anchors;

/* SSL_CERT_FILE is what OpenSSL, Go and others heed. */
static const char *bundle(void)
{
    const char *own = getenv("SSL_CERT_FILE");
    return own && *own ? own : system_bundle;
}

/* Takes what a store has read, whether it is certificates only or not. */
static void load_system_anchors(void)
{
    X509_STORE *store = X509_STORE_new();
    system_anchors = sk_X509_new_null();
    if (X509_STORE_load_locations(store, bundle(), NULL)) {
        const STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(store);
        for (size_t i = 0; i < sk_X509_OBJECT_num(all); i++) {
            X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));
            if (x && X509_up_ref(x))
                sk_X509_push(system_anchors, x);
        }
    }
    X509_STORE_free(store);
    ERR_clear_error();
}

static sp_result use_system_anchors(struct sp_tls_client *c, struct sp_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_system_anchors);
    if (sk_X509_num(system_anchors) == 0)
        return sp_fail(err, SP_E_NOT_FOUND, "no trust anchors: cannot read %s", bundle());
    c->anchors = X509_chain_up_ref(system_anchors);
    return sp_ok();
}

static sp_result use_anchors(struct sp_tls_client *c, struct sp_str ca_pem, struct sp_error *err)
{
    struct sp_arena *scratch = sp_arena_new(8192);
    struct sp_der_list cas = {0};
    c->anchors = sk_X509_new_null();
    sp_result res = sp_pem_certificates(ca_pem, scratch, &cas, err);
    for (size_t i = 0; i < cas.num && !sp_failed(res); i++) {
        X509 *x = NULL;
        res = sp_x509_read(cas.v[i], &x, err);
        if (!sp_failed(res))
            sk_X509_push(c->anchors, x);
    }
    ERR_clear_error();
    sp_arena_free(scratch);
    return sp_failed(res) ? sp_fail_in(err, "trust anchors") : res;
}

static sp_result use_certificate(struct sp_tls_client *c, struct sp_str cert_pem, struct sp_str key_pem,
                                 struct sp_error *err)
{
    struct sp_credential own;
    enum sp_key_type type;
    sp_result res = sp_tls_credential(cert_pem, key_pem, &own, &type, err);
    if (!sp_failed(res) && !sp_credential_use_ctx(c->ctx, &own))
        res = sp_fail_tls(err, SP_E_TLS, "cannot use the certificate");
    sp_credential_fini(&own);
    return sp_failed(res) ? sp_fail_in(err, "own certificate") : res;
}

static sp_result configure(struct sp_tls_client *c, const struct sp_tls_client_options *o, struct sp_error *err)
{
    struct sp_buf alpn = {0};
    SSL_CTX_set_custom_verify(c->ctx, SSL_VERIFY_PEER, verify_server);
    SSL_CTX_set_reverify_on_resume(c->ctx, 1);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ctx, keep_session);
    if (o->alpn) {
        bool good = sp_tls_alpn_encode(o->alpn, &alpn) &&
                    SSL_CTX_set_alpn_protos(c->ctx, (const uint8_t *)alpn.p, (unsigned)alpn.len) == 0;
        sp_buf_fini(&alpn);
        if (!good)
            return sp_fail(err, SP_E_INVALID, "\"%s\" is no list of protocols", o->alpn);
    }
    if (o->cert_pem.len || o->key_pem.len)
        SP_TRY(use_certificate(c, o->cert_pem, o->key_pem, err));
    if (!o->verify)
        return sp_ok();
    return o->ca_pem.len ? use_anchors(c, o->ca_pem, err) : use_system_anchors(c, err);
}

sp_result sp_tls_client_new(const struct sp_tls_client_options *o, struct sp_tls_client **out, struct sp_error *err)
{
    struct sp_tls_client *c = sp_alloc(sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->refs = 1;
    c->ctx = sp_tls_ctx_new(TLS1_2_VERSION);
    c->depth = o->verify_depth;
    sp_result res = configure(c, o, err);
    if (sp_failed(res))
        sp_tls_client_free(c);
    else
        *out = c;
    return res;
}

void sp_tls_client_free(struct sp_tls_client *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL))
        return;
    for (size_t i = 0; i < SLOTS; i++)
        slot_clear(&c->slots[i]);
    SSL_CTX_free(c->ctx);
    sk_X509_pop_free(c->anchors, X509_free);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

struct sp_tls_stream *sp_tls_connect(struct sp_tls_client *c, struct sp_str server_name, struct sp_wire *wire)
{
    struct sp_tls_stream *t = sp_tls_stream_new(c->ctx, wire);
    char host[SP_HOST_MAX + 1];
    size_t len;
    t->client = c;
    __atomic_add_fetch(&c->refs, 1,
                       __ATOMIC_RELAXED); /* a kept connection outlives the snapshot that made its client */
    SSL_set_connect_state(t->ssl);
    if (sp_host_normalise(server_name, host, &len)) {
        SSL_set_tlsext_host_name(t->ssl, host);
        t->name = sp_strdup(host);
    } else { /* an IP literal, or something that no certificate will be for */
        t->name = sp_alloc(server_name.len + 1);
        memcpy(t->name, server_name.p, server_name.len);
    }
    offer_session(c, t->ssl, t->name);
    return t;
}
