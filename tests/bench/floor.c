/* The least that a TLS-terminating relay can cost here: no HTTP, no routes, no plugins. One thread, epoll, BoringSSL; a
 * client's chain is verified once and remembered by its digest; one recv and one send per flight; upstream connections
 * are kept. What a proxy costs above this is its own. A measuring stick: it takes each answer for whole when the
 * client's side is closed. usage: bench_floor DIR UPSTREAM-PORT   (prints its port; DIR holds server.pem, server.key,
 * ca.pem) */
#include "wire.h"
#include <errno.h>
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PLAIN = 256 << 10, KEPT = 1024, KNOWN = 16 };

struct side {
    int fd;
    bool upstream, dead;
    struct side *other;
    SSL *ssl;               /* client side */
    struct backlog backlog; /* of a client: ciphertext. While it waits, nothing is read from the upstream */
};

static int ep, up_port;
static SSL_CTX *ctx;
static X509_STORE *trust;
static uint8_t plain[PLAIN];
static struct side *kept[KEPT];
static int num_kept;
static uint8_t known[KNOWN][SHA256_DIGEST_LENGTH];
static int num_known;

static void watch(struct side *s, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = s};
    if (epoll_ctl(ep, op, s->fd, &e))
        die("epoll_ctl");
}

static bool chain_verifies(const STACK_OF(CRYPTO_BUFFER) * chain)
{
    X509 *leaf = X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(chain, 0));
    X509_STORE_CTX *v = X509_STORE_CTX_new();
    bool good = leaf && v && X509_STORE_CTX_init(v, trust, leaf, NULL) && X509_verify_cert(v) == 1;
    X509_STORE_CTX_free(v);
    X509_free(leaf);
    return good;
}

static enum ssl_verify_result_t verify(SSL *ssl, uint8_t *alert)
{
    (void)alert;
    const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(ssl);
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256_CTX sha;
    SHA256_Init(&sha);
    for (size_t i = 0; chain && i < sk_CRYPTO_BUFFER_num(chain); i++) {
        CRYPTO_BUFFER *der = sk_CRYPTO_BUFFER_value(chain, i);
        SHA256_Update(&sha, CRYPTO_BUFFER_data(der), CRYPTO_BUFFER_len(der));
    }
    SHA256_Final(digest, &sha);
    for (int i = 0; i < num_known; i++)
        if (!memcmp(known[i], digest, sizeof digest))
            return ssl_verify_ok;
    if (!chain || !chain_verifies(chain))
        return ssl_verify_invalid;
    if (num_known < KNOWN)
        memcpy(known[num_known++], digest, sizeof digest);
    return ssl_verify_ok;
}

static struct side *side_new(int fd, bool upstream)
{
    struct side *s = calloc(1, sizeof *s);
    if (!s)
        die("memory");
    s->fd = fd;
    s->upstream = upstream;
    watch(s, EPOLL_CTL_ADD, EPOLLIN);
    return s;
}

static void side_free(struct side *s)
{
    SSL_free(s->ssl);
    close(s->fd);
    backlog_free(&s->backlog);
    free(s);
}

static void client_free(struct side *c)
{
    struct side *u = c->other;
    if (u) {
        u->other = NULL;
        if (num_kept < KEPT && !c->backlog.len)
            kept[num_kept++] = u;
        else
            side_free(u);
    }
    side_free(c);
}

/* Sends what the client has to get; while some of it waits, the upstream waits too. */
static bool client_flush(struct side *c)
{
    bool waited = c->backlog.len > 0;
    int r = wire_flush(c->fd, &c->backlog);
    if (r < 0)
        return false;
    if ((r == 0) != waited) {
        watch(c, EPOLL_CTL_MOD, r ? EPOLLIN : EPOLLIN | EPOLLOUT);
        if (c->other)
            watch(c->other, EPOLL_CTL_MOD, r ? EPOLLIN : 0);
    }
    return true;
}

static bool to_upstream(struct side *c, size_t n)
{
    if (!c->other) {
        c->other = num_kept ? kept[--num_kept] : side_new(net_connect(up_port), true);
        c->other->other = c;
    }
    ssize_t sent;
    while ((sent = send(c->other->fd, plain, n, MSG_NOSIGNAL)) < 0 && errno == EAGAIN) {
        /* just connected, on the loopback: a moment */
    }
    return sent == (ssize_t)n;
}

static bool client_turn(struct side *c, uint32_t events)
{
    wire.in_at = wire.in_len = wire.out_len = 0;
    if (events & EPOLLOUT && !client_flush(c))
        return false;
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return true;
    ssize_t n = recv(c->fd, wire.in, WIRE_IN, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    wire.in_len = (size_t)n;
    size_t got = 0;
    int r;
    while ((r = SSL_read(c->ssl, plain + got, (int)(sizeof plain - got))) > 0)
        got += (size_t)r;
    if (SSL_get_error(c->ssl, r) != SSL_ERROR_WANT_READ)
        return false;
    return client_flush(c) && (!got || to_upstream(c, got));
}

static void upstream_turn(struct side *u)
{
    wire.out_len = 0;
    ssize_t n = recv(u->fd, plain, sizeof plain, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    struct side *c = u->other;
    if (n <= 0 || !c) {
        for (int i = 0; i < num_kept; i++)
            if (kept[i] == u)
                kept[i--] = kept[--num_kept];
        side_free(u);
        if (c) {
            c->other = NULL;
            client_free(c);
        }
        return;
    }
    if (SSL_write(c->ssl, plain, (int)n) != n || !client_flush(c))
        client_free(c);
}

static void accept_all(int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct side *c = side_new(fd, false);
        c->ssl = SSL_new(ctx);
        SSL_set_shed_handshake_config(c->ssl, 1);
        wire_attach(c->ssl);
        SSL_set_accept_state(c->ssl);
        if (!client_turn(c, EPOLLIN))
            client_free(c);
    }
}

/* The certificate as bytes, the key as a key: no X509 is kept for the server's side. */
static void tls_setup(const char *dir)
{
    ctx = SSL_CTX_new(TLS_with_buffers_method());
    SSL_CTX *reader = SSL_CTX_new(TLS_method());
    trust = X509_STORE_new();
    if (SSL_CTX_use_certificate_file(reader, file_in(dir, "server.pem"), SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(reader, file_in(dir, "server.key"), SSL_FILETYPE_PEM) != 1 ||
        !X509_STORE_load_locations(trust, file_in(dir, "ca.pem"), NULL))
        die("server.pem, server.key, ca.pem");
    uint8_t *der = NULL;
    int len = i2d_X509(SSL_CTX_get0_certificate(reader), &der);
    CRYPTO_BUFFER *leaf = CRYPTO_BUFFER_new(der, (size_t)len, NULL);
    if (!SSL_CTX_set_chain_and_key(ctx, &leaf, 1, SSL_CTX_get0_privatekey(reader), NULL))
        die("the server's certificate");
    OPENSSL_free(der);
    CRYPTO_BUFFER_free(leaf);
    SSL_CTX_free(reader);
    X509_VERIFY_PARAM_set_purpose(X509_STORE_get0_param(trust), X509_PURPOSE_SSL_CLIENT);
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_custom_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify);
    SSL_CTX_set_session_id_context(ctx, (const uint8_t *)"floor", 5);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: bench_floor DIR UPSTREAM-PORT\n");
        return 2;
    }
    struct side listener = {.fd = net_listen(0)};
    struct epoll_event events[256];
    up_port = (int)strtol(argv[2], NULL, 10);
    wire_init();
    tls_setup(argv[1]);
    ep = epoll_create1(EPOLL_CLOEXEC);
    watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
    printf("%d\n", net_port(listener.fd));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct side *s = events[i].data.ptr;
            if (s == &listener)
                accept_all(listener.fd);
            else if (s->upstream)
                upstream_turn(s);
            else if (!client_turn(s, events[i].events))
                client_free(s);
        }
    }
}
