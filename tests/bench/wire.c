#include "wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct wire wire;

void die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int take(BIO *bio, char *to, int cap)
{
    size_t n = wire.in_len - wire.in_at;
    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (n > (size_t)cap)
        n = (size_t)cap;
    memcpy(to, wire.in + wire.in_at, n);
    wire.in_at += n;
    return (int)n;
}

static int put(BIO *bio, const char *from, int len)
{
    BIO_clear_retry_flags(bio);
    if (wire.out_len + (size_t)len > WIRE_OUT) {
        BIO_set_retry_write(bio);
        return -1;
    }
    memcpy(wire.out + wire.out_len, from, (size_t)len);
    wire.out_len += (size_t)len;
    return len;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

void wire_init(void)
{
    wire.in = malloc(WIRE_IN);
    wire.out = malloc(WIRE_OUT);
    method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "wire");
    if (!wire.in || !wire.out || !method)
        die("memory");
    BIO_meth_set_read(method, take);
    BIO_meth_set_write(method, put);
    BIO_meth_set_ctrl(method, control);
}

void wire_attach(SSL *ssl)
{
    BIO *bio = BIO_new(method);
    if (!bio)
        die("BIO_new");
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
}

static size_t push(int fd, const uint8_t *bytes, size_t len, int *dead)
{
    size_t at = 0;
    while (at < len) {
        ssize_t n = send(fd, bytes + at, len - at, MSG_NOSIGNAL);
        if (n < 0) {
            *dead = errno != EAGAIN;
            break;
        }
        at += (size_t)n;
    }
    return at;
}

int wire_flush(int fd, struct backlog *b)
{
    int dead = 0;
    if (b->len > b->at) {
        b->at += push(fd, b->bytes + b->at, b->len - b->at, &dead);
        if (dead)
            return -1;
    }
    size_t sent = 0;
    if (b->at == b->len) {
        backlog_free(b);
        sent = push(fd, wire.out, wire.out_len, &dead);
        if (dead)
            return -1;
    }
    size_t rest = wire.out_len - sent;
    if (rest) {
        b->bytes = realloc(b->bytes, b->len + rest);
        if (!b->bytes)
            die("memory");
        memcpy(b->bytes + b->len, wire.out + sent, rest);
        b->len += rest;
    }
    wire.out_len = 0;
    return b->len == 0;
}

void backlog_free(struct backlog *b)
{
    free(b->bytes);
    *b = (struct backlog){0};
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int net_listen(int port)
{
    struct sockaddr_in a = loopback(port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* accepted sockets inherit it */
    if (fd < 0 || bind(fd, (void *)&a, sizeof a) || listen(fd, 4096))
        die("listen");
    return fd;
}

int net_port(int fd)
{
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (void *)&a, &n))
        die("getsockname");
    return ntohs(a.sin_port);
}

int net_connect(int port)
{
    struct sockaddr_in a = loopback(port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (void *)&a, sizeof a) && errno != EINPROGRESS)
        die("connect");
    return fd;
}

const char *file_in(const char *dir, const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}
