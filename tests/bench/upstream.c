/* The application behind every proxy of the bench: HTTP/1.1, keep-alive, one thread.
 *   /tiny   a few bytes     /1m   1 MiB
 *   /check  200 if the request carries the identity of a client certificate, 412 if not
 * usage: bench_upstream   (prints its port) */
#include "wire.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEAD_MAX = 16 << 10, BODY = 1 << 20 };

struct peer {
    int fd;
    size_t in_len;
    const char *head, *body; /* what of the answer is still to be sent */
    size_t head_len, body_len;
    char in[HEAD_MAX];
};

static const char tiny[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n";
static const char big[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1048576\r\n\r\n";
static const char nobody[] = "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n";
static char body[BODY];
static int ep;

static void watch(struct peer *p, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = p};
    if (epoll_ctl(ep, op, p->fd, &e))
        die("epoll_ctl");
}

/* The names under which the proxies hand the identity on, each followed by the client certificate's common name. */
static int has_identity(char *head)
{
    static const char *names[] = {"\nx-consumer-username:", "\nx-client-cert-dn:", "\nx-forwarded-client-cert:"};
    for (char *p = head; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *at = strstr(head, names[i]), *end = at ? strstr(at, "\r\n") : NULL;
        if (!end)
            continue;
        *end = 0;
        if (strstr(at, "alice"))
            return 1;
        *end = '\r';
    }
    return 0;
}

static void choose(struct peer *p, char *head)
{
    p->body_len = 0;
    if (!strncmp(head, "GET /1m", 7)) {
        p->head = big, p->head_len = sizeof big - 1;
        p->body = body, p->body_len = BODY;
    } else if (!strncmp(head, "GET /check", 10) && !has_identity(head)) {
        p->head = nobody, p->head_len = sizeof nobody - 1;
    } else {
        p->head = tiny, p->head_len = sizeof tiny - 1;
    }
}

/* 1: sent, 0: waits for EPOLLOUT, -1: dead */
static int answer(struct peer *p)
{
    while (p->head_len + p->body_len) {
        struct iovec v[2] = {{(void *)p->head, p->head_len}, {(void *)p->body, p->body_len}};
        struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
        ssize_t n = sendmsg(p->fd, &m, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        size_t of_head = (size_t)n < p->head_len ? (size_t)n : p->head_len;
        p->head += of_head, p->head_len -= of_head;
        p->body += (size_t)n - of_head, p->body_len -= (size_t)n - of_head;
    }
    return 1;
}

static int serve(struct peer *p)
{
    for (;;) {
        int sent = answer(p);
        if (sent <= 0)
            return sent;
        p->in[p->in_len] = 0;
        char *end = strstr(p->in, "\r\n\r\n");
        if (!end)
            return p->in_len + 1 < HEAD_MAX ? 1 : -1;
        end[2] = 0;
        choose(p, p->in);
        size_t used = (size_t)(end + 4 - p->in);
        memmove(p->in, p->in + used, p->in_len - used);
        p->in_len -= used;
    }
}

static void turn(struct peer *p, uint32_t events)
{
    int waiting = p->head_len + p->body_len > 0, state = 1;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !waiting) {
        ssize_t n = recv(p->fd, p->in + p->in_len, HEAD_MAX - 1 - p->in_len, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            state = -1;
        else
            p->in_len += (size_t)n;
    }
    if (state > 0)
        state = serve(p);
    if (state < 0) {
        close(p->fd);
        free(p);
    } else if (state == 0 || waiting) {
        watch(p, EPOLL_CTL_MOD, state ? EPOLLIN : EPOLLOUT);
    }
}

int main(void)
{
    struct peer listener = {.fd = net_listen(0)};
    struct epoll_event events[256];
    ep = epoll_create1(EPOLL_CLOEXEC);
    watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
    printf("%d\n", net_port(listener.fd));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;
            if (p != &listener) {
                turn(p, events[i].events);
                continue;
            }
            for (int fd; (fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
                struct peer *fresh = calloc(1, sizeof *fresh);
                if (!fresh)
                    die("memory");
                fresh->fd = fd;
                watch(fresh, EPOLL_CTL_ADD, EPOLLIN);
            }
        }
    }
}
