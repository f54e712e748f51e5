#include "tls/stream.h"
#include "tls/client.h"
#include "tls/internal.h"
#include "tls/material.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>

/* --- the wire as a BIO --- */

static size_t take(struct sp_str *from, char *to, size_t max)
{
    size_t n = from->len < max ? from->len : max;
    if (n)
        memcpy(to, from->p, n);
    *from = sp_str_skip(*from, n);
    return n;
}

static int wire_read(BIO *bio, char *to, int max)
{
    struct sp_tls_stream *t = BIO_get_data(bio);
    size_t n = 0;
    if (t->kept.len) {
        struct sp_str kept = sp_buf_str(&t->kept);
        n = take(&kept, to, (size_t)max);
        sp_buf_consume(&t->kept, n);
        if (t->kept.len == 0)
            sp_buf_fini(&t->kept);
    } else if (t->wire->in.len) {
        n = take(&t->wire->in, to, (size_t)max);
    }
    if (n)
        return (int)n;
    BIO_set_retry_read(bio);
    return -1;
}

static int wire_write(BIO *bio, const char *from, int len)
{
    struct sp_tls_stream *t = BIO_get_data(bio);
    sp_buf_append(&t->wire->out, from, (size_t)len);
    return len;
}

static long wire_ctrl(BIO *bio, int cmd, long larg, void *parg)
{
    (void)bio, (void)larg, (void)parg;
    return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *wire_method;

static void make_wire_method(void)
{
    wire_method = BIO_meth_new(0, "wire");
    BIO_meth_set_read(wire_method, wire_read);
    BIO_meth_set_write(wire_method, wire_write);
    BIO_meth_set_ctrl(wire_method, wire_ctrl);
}

/* --- life --- */

struct sp_tls_stream *sp_tls_stream_of(const SSL *ssl)
{
    return BIO_get_data(SSL_get_rbio(ssl));
}

struct sp_tls_stream *sp_tls_stream_new(SSL_CTX *ctx, struct sp_wire *wire)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_wire_method);
    struct sp_tls_stream *t = sp_alloc(sizeof *t);
    t->wire = wire;
    t->ssl = SSL_new(ctx);
    BIO *bio = BIO_new(wire_method);
    sp_assert(t->ssl && bio);
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_shed_handshake_config(t->ssl, 1);
    return t;
}

void sp_tls_free(struct sp_tls_stream *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    sp_tls_client_free(t->client); /* the stream's reference */
    sp_buf_fini(&t->kept);
    free(t->peer);
    free(t->name);
    free(t);
}

/* --- who is there --- */

static void read_chain(const STACK_OF(CRYPTO_BUFFER) * chain, struct sp_peer *p)
{
    SHA256_CTX h;
    SHA256_Init(&h);
    for (size_t i = 0; i < p->num_chain; i++) {
        const CRYPTO_BUFFER *b = sk_CRYPTO_BUFFER_value(chain, i);
        uint64_t len = CRYPTO_BUFFER_len(b);
        p->chain[i] = sp_str(CRYPTO_BUFFER_data(b), len);
        SHA256_Update(&h, &len, sizeof len);
        SHA256_Update(&h, CRYPTO_BUFFER_data(b), len);
    }
    if (p->num_chain)
        SHA256_Final(p->digest, &h);
}

/* One block: the peer, the array of its chain, its name. The certificates' bytes belong to the SSL's session. */
static void make_peer(struct sp_tls_stream *t)
{
    const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(t->ssl);
    size_t num = chain ? sk_CRYPTO_BUFFER_num(chain) : 0, name_len = t->name ? strlen(t->name) : 0;
    struct sp_peer *p = sp_alloc(sizeof *p + num * sizeof *p->chain + name_len + 1);
    const uint8_t *alpn;
    unsigned alpn_len;
    p->chain = (struct sp_str *)(p + 1);
    p->num_chain = num;
    read_chain(chain, p);
    char *name = (char *)(p->chain + num);
    memcpy(name, t->name ? t->name : "", name_len);
    p->sni = sp_str(name, name_len);
    p->policy = t->policy;
    p->asked = t->asked;
    p->resumed = SSL_session_reused(t->ssl);
    SSL_get0_alpn_selected(t->ssl, &alpn, &alpn_len);
    p->alpn = sp_str(alpn, alpn_len);
    p->version = SSL_get_version(t->ssl);
    p->cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(t->ssl));
    t->peer = p;
    free(SP_TAKE(t->name));
    t->names = NULL;
}

const struct sp_peer *sp_tls_peer(const struct sp_tls_stream *t)
{
    sp_assert(t->peer);
    return t->peer;
}

int64_t sp_tls_peer_not_after(const struct sp_tls_stream *t)
{
    int64_t end = 0;
    const struct sp_peer *p = sp_tls_peer(t);
    return p->num_chain && sp_der_not_after(p->chain[0], &end) ? end : 0;
}

/* --- bytes --- */

static enum sp_io fail(struct sp_tls_stream *t)
{
    const char *reason = sp_tls_reason();
    if (!t->fault)
        t->fault = reason;
    return SP_IO_ERROR;
}

enum sp_io sp_tls_handshake(struct sp_tls_stream *t)
{
    if (t->fault)
        return SP_IO_ERROR;
    int r = SSL_do_handshake(t->ssl);
    if (r == 1) {
        if (!t->peer)
            make_peer(t);
        return SP_IO_OK;
    }
    return SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_READ ? SP_IO_AGAIN : fail(t);
}

enum sp_io sp_tls_read(struct sp_tls_stream *t, char *to, size_t cap, size_t *got)
{
    sp_assert(t->peer && cap);
    *got = 0;
    int r = SSL_read(t->ssl, to, cap < INT_MAX ? (int)cap : INT_MAX);
    if (r > 0) {
        *got = (size_t)r;
        return SP_IO_OK;
    }
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return SP_IO_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return SP_IO_EOF;
    default:
        return fail(t);
    }
}

void sp_tls_keep(struct sp_tls_stream *t)
{
    sp_buf_add(&t->kept, t->wire->in);
    t->wire->in = SP_STR("");
}

enum sp_io sp_tls_write(struct sp_tls_stream *t, struct sp_str bytes)
{
    sp_assert(t->peer);
    while (bytes.len) {
        int n = bytes.len < INT_MAX / 2 ? (int)bytes.len : INT_MAX / 2;
        if (SSL_write(t->ssl, bytes.p, n) != n)
            return fail(t);
        bytes = sp_str_skip(bytes, (size_t)n);
    }
    return SP_IO_OK;
}

void sp_tls_close(struct sp_tls_stream *t)
{
    if (t->peer && !t->fault)
        SSL_shutdown(t->ssl);
    ERR_clear_error();
}

const char *sp_tls_fault(const struct sp_tls_stream *t)
{
    return t->fault ? t->fault : "no fault";
}
