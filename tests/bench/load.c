/* The load of the bench: real TLS 1.3 clients with a certificate, HTTP/1.1 or HTTP/2, a fixed number of units.
 * usage: bench_load MODE --port P --dir DIR [--n N] [--warm N] [--conns C] [--streams S] [--path /tiny] [--plain]
 *   handshake   a unit is: connect, full handshake, one request, close
 *   resume      the same with a resumed session; a unit that was not resumed counts as an error
 *   h1, h2      a unit is one request; C connections are kept (x S streams)
 *   idle        a unit is one connection that made one request and stays open until stdin ends
 * DIR holds client.pem, client.key. After --warm units it prints "ready" and waits for a line on stdin, then does N
 * units and prints one line of JSON. So whoever started it can read the proxy's counters right before and after. */
#include "wire.h"
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PLAIN = 256 << 10, HEAD_MAX = 16 << 10, STALL_MS = 15000 };
enum mode { HANDSHAKE, RESUME, H1, H2, IDLE };
static const char *const mode_names[] = {"handshake", "resume", "h1", "h2", "idle"};

struct conn {
    int fd;
    SSL *ssl;
    SSL_SESSION *session; /* of this slot, for the next connection */
    nghttp2_session *h2;
    struct backlog backlog;
    bool up, waits, parked;
    size_t head_len;   /* h1: what of the answer's head has come */
    int64_t body_left; /* h1: -1 while the head is read */
    char head[HEAD_MAX];
};

static enum mode mode;
static int port, num_conns = 16, num_streams = 1;
static const char *path = "/tiny";
static long wanted, started, done, errors, resumed;
static char request[512];
static size_t request_len;
static SSL_CTX *ctx;
static int ep;
static uint8_t *plain;
static struct conn *slots;

static bool once(void)
{
    return mode == HANDSHAKE || mode == RESUME;
}
static bool unit_is_a_connection(void)
{
    return mode != H1 && mode != H2;
}

static void watch(struct conn *c, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(ep, op, c->fd, &e))
        die("epoll_ctl");
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct conn *c = SSL_get_app_data(ssl);
    if (mode != RESUME)
        return 0;
    SSL_SESSION_free(c->session);
    c->session = session;
    return 1;
}

/* --- HTTP/2 --- */

static void h2_submit(struct conn *c)
{
#define NV(n, v)                                                                                                       \
    {                                                                                                                  \
        (uint8_t *)(n), (uint8_t *)(v), strlen(n), strlen(v), 0                                                        \
    }
    const nghttp2_nv nv[] = {NV(":method", "GET"), NV(":scheme", "https"),    NV(":authority", "bench.test"),
                             NV(":path", path),    NV("user-agent", "bench"), NV("accept", "*/*")};
    if (nghttp2_submit_request(c->h2, NULL, nv, sizeof nv / sizeof *nv, NULL, NULL) < 0)
        errors++;
    started++;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    (void)h2, (void)frame, (void)flags, (void)user;
    if (name_len == 7 && !memcmp(name, ":status", 7) && !(value_len == 3 && !memcmp(value, "200", 3)))
        errors++;
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t stream, uint32_t code, void *user)
{
    (void)h2, (void)stream;
    struct conn *c = user;
    done++;
    if (code)
        errors++;
    if (started < wanted)
        h2_submit(c);
    else
        c->parked = true;
    return 0;
}

static void h2_open(struct conn *c)
{
    static nghttp2_session_callbacks *calls;
    if (!calls) {
        nghttp2_session_callbacks_new(&calls);
        nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
        nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
    }
    nghttp2_session_client_new(&c->h2, calls, c);
    const nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 8 << 20};
    nghttp2_submit_settings(c->h2, 0, &window, 1);
    nghttp2_session_set_local_window_size(c->h2, 0, 0, 32 << 20);
}

static void h2_send(struct conn *c)
{
    const uint8_t *bytes;
    static uint8_t flight[16 << 10]; /* frames are small; a record holds many */
    size_t n = 0;
    for (ssize_t k; (k = nghttp2_session_mem_send(c->h2, &bytes)) > 0;) {
        if (n + (size_t)k > sizeof flight) {
            SSL_write(c->ssl, flight, (int)n);
            n = 0;
        }
        if ((size_t)k > sizeof flight) {
            SSL_write(c->ssl, bytes, (int)k);
            continue;
        }
        memcpy(flight + n, bytes, (size_t)k);
        n += (size_t)k;
    }
    if (n)
        SSL_write(c->ssl, flight, (int)n);
}

/* --- HTTP/1.1 --- */

static void h1_request(struct conn *c)
{
    c->head_len = 0;
    c->body_left = -1;
    if (!unit_is_a_connection())
        started++;
    SSL_write(c->ssl, request, (int)request_len);
}

/* false: the answer is no answer */
static bool h1_head(struct conn *c)
{
    c->head[c->head_len] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end)
        return c->head_len + 1 < HEAD_MAX;
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    if (!length || length > end)
        return false;
    if (strncmp(c->head, "HTTP/1.1 200", 12))
        errors++;
    c->body_left = strtoll(length + 17, NULL, 10) - (c->head + c->head_len - (end + 4));
    return c->body_left >= 0;
}

/* 1: the answer is whole, 0: more has to come, -1: broken */
static int h1_feed(struct conn *c, const uint8_t *bytes, size_t n)
{
    if (c->body_left >= 0) {
        c->body_left -= (int64_t)n;
    } else {
        size_t room = HEAD_MAX - 1 - c->head_len, k = n < room ? n : room;
        memcpy(c->head + c->head_len, bytes, k);
        c->head_len += k;
        if (!h1_head(c))
            return -1;
        if (c->body_left >= 0)
            c->body_left -= (int64_t)(n - k);
    }
    if (c->body_left < 0)
        return c->head_len && strstr(c->head, "\r\n\r\n") ? -1 : 0;
    return c->body_left == 0;
}

/* --- connections --- */

static void conn_open(struct conn *c)
{
    if (unit_is_a_connection())
        started++;
    c->fd = net_connect(port);
    c->ssl = SSL_new(ctx);
    c->up = c->waits = c->parked = false;
    SSL_set_app_data(c->ssl, c);
    wire_attach(c->ssl);
    SSL_set_connect_state(c->ssl);
    SSL_set_tlsext_host_name(c->ssl, "bench.test");
    if (mode == H2)
        SSL_set_alpn_protos(c->ssl, (const uint8_t *)"\x02h2", 3);
    else
        SSL_set_alpn_protos(c->ssl, (const uint8_t *)"\x08http/1.1", 9);
    if (c->session)
        SSL_set_session(c->ssl, c->session);
    watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void conn_close(struct conn *c)
{
    if (c->fd < 0)
        return;
    wire.out_len = 0;
    if (c->up && SSL_shutdown(c->ssl) >= 0)
        (void)wire_flush(c->fd, &c->backlog);
    wire.out_len = 0;
    nghttp2_session_del(c->h2);
    c->h2 = NULL;
    SSL_free(c->ssl);
    close(c->fd);
    backlog_free(&c->backlog);
    c->fd = -1;
}

/* Ends what was in flight on this connection as an error and, where units are left, starts anew. */
static void conn_failed(struct conn *c)
{
    errors++;
    done++;
    conn_close(c);
    if (errors > 1000) {
        fprintf(stderr, "bench_load: too many errors\n");
        exit(1);
    }
    if (started < wanted)
        conn_open(c);
}

static void unit_start(struct conn *c)
{
    c->parked = false;
    if (mode == H2) {
        for (int i = 0; i < num_streams && started < wanted; i++)
            h2_submit(c);
        h2_send(c);
    } else {
        h1_request(c);
    }
}

/* An answer is whole: the next unit of this slot, on this connection or on a new one. */
static struct conn *unit_end(struct conn *c)
{
    done++;
    if (once()) {
        if (SSL_session_reused(c->ssl))
            resumed++;
        conn_close(c);
        if (started < wanted)
            conn_open(c);
        return NULL;
    }
    if (mode != IDLE && started < wanted)
        h1_request(c);
    else
        c->parked = true;
    return c;
}

/* false: the connection is gone or was replaced */
static bool conn_take(struct conn *c)
{
    for (;;) {
        int n = SSL_read(c->ssl, plain, PLAIN);
        if (n <= 0) {
            if (SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ)
                return true;
            conn_failed(c);
            return false;
        }
        if (c->h2) {
            if (nghttp2_session_mem_recv(c->h2, plain, (size_t)n) != n) {
                conn_failed(c);
                return false;
            }
            continue;
        }
        int whole = h1_feed(c, plain, (size_t)n);
        if (whole < 0) {
            conn_failed(c);
            return false;
        }
        if (whole && !unit_end(c))
            return false;
    }
}

static void conn_flush(struct conn *c)
{
    int r = wire_flush(c->fd, &c->backlog);
    if (r < 0) {
        wire.out_len = 0;
        conn_failed(c);
        return;
    }
    bool waits = r == 0;
    if (waits != c->waits)
        watch(c, EPOLL_CTL_MOD, waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
    c->waits = waits;
}

static bool conn_handshake(struct conn *c)
{
    int r = SSL_do_handshake(c->ssl);
    if (r != 1) {
        if (SSL_get_error(c->ssl, r) == SSL_ERROR_WANT_READ)
            return true;
        conn_failed(c);
        return false;
    }
    c->up = true;
    if (mode == H2)
        h2_open(c);
    unit_start(c);
    return true;
}

static void conn_turn(struct conn *c, uint32_t events)
{
    wire.in_at = wire.in_len = wire.out_len = 0;
    if (!c->up && wire.in_len == 0 && events & EPOLLOUT && !(events & EPOLLIN)) { /* connected */
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
    } else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t n = recv(c->fd, wire.in, WIRE_IN, 0);
        if (n <= 0) {
            if (n < 0 && errno == EAGAIN)
                return;
            conn_failed(c);
            return;
        }
        wire.in_len = (size_t)n;
    }
    if (!c->up && !conn_handshake(c))
        return;
    if (c->up && wire.in_at < wire.in_len && !conn_take(c))
        return;
    if (c->h2)
        h2_send(c);
    conn_flush(c);
}

/* --- one run --- */

static void run(long units)
{
    struct epoll_event events[256];
    started = done = 0;
    wanted = units;
    for (int i = 0; i < num_conns && started < wanted; i++) {
        struct conn *c = &slots[i];
        if (c->fd < 0)
            conn_open(c);
        else if (c->parked && mode != IDLE) {
            wire.out_len = 0;
            unit_start(c);
            conn_flush(c);
        }
    }
    while (done < wanted) {
        int n = epoll_wait(ep, events, 256, STALL_MS);
        if (n == 0) {
            fprintf(stderr, "bench_load: nothing moved for %d s: %ld of %ld units done\n", STALL_MS / 1000, done,
                    wanted);
            exit(1);
        }
        for (int i = 0; i < n; i++)
            conn_turn(events[i].data.ptr, events[i].events);
    }
}

/* Idle connections are made sixteen at a time, so that the upstream pool of the proxy stays small. */
static void run_idle(long units)
{
    long made = 0, all = num_conns;
    struct conn *first = slots;
    while (made < units) {
        long batch = units - made < 16 ? units - made : 16;
        num_conns = (int)batch;
        run(batch);
        made += batch;
        slots += batch;
    }
    if (slots > first + all)
        abort();
    num_conns = (int)all;
}

static void tls_setup(const char *dir)
{
    ctx = SSL_CTX_new(TLS_method());
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    if (SSL_CTX_set1_groups_list(ctx, "X25519") != 1) /* what all peers have: the same key exchange for everybody */
        die("X25519");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_session);
    if (SSL_CTX_use_certificate_chain_file(ctx, file_in(dir, "client.pem")) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, file_in(dir, "client.key"), SSL_FILETYPE_PEM) != 1)
        die("client.pem, client.key");
}

static void wait_for_line(void)
{
    char c;
    printf("ready\n");
    fflush(stdout);
    while (read(0, &c, 1) == 1 && c != '\n') {
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void usage(void)
{
    fprintf(stderr, "usage: bench_load handshake|resume|h1|h2|idle --port P --dir DIR [--n N] [--warm N] [--conns C] "
                    "[--streams S] [--path /tiny]\n");
    exit(2);
}

int main(int argc, char **argv)
{
    const char *dir = ".";
    long n = 1000, warm = 100;
    size_t m = 0;
    while (argc > 1 && m < 5 && strcmp(argv[1], mode_names[m]))
        m++;
    if (argc < 2 || m == 5)
        usage();
    mode = (enum mode)m;
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--port"))
            port = (int)strtol(value, NULL, 10);
        else if (!strcmp(name, "--dir"))
            dir = value;
        else if (!strcmp(name, "--n"))
            n = strtol(value, NULL, 10);
        else if (!strcmp(name, "--warm"))
            warm = strtol(value, NULL, 10);
        else if (!strcmp(name, "--conns"))
            num_conns = (int)strtol(value, NULL, 10);
        else if (!strcmp(name, "--streams"))
            num_streams = (int)strtol(value, NULL, 10);
        else if (!strcmp(name, "--path"))
            path = value;
        else
            usage();
    }
    if (mode == IDLE)
        num_conns = (int)(n + warm);
    plain = malloc(PLAIN);
    slots = calloc((size_t)num_conns, sizeof *slots);
    if (!plain || !slots)
        die("memory");
    for (int i = 0; i < num_conns; i++)
        slots[i].fd = -1;
    request_len =
        (size_t)snprintf(request, sizeof request,
                         "GET %s HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n", path);
    wire_init();
    tls_setup(dir);
    ep = epoll_create1(EPOLL_CLOEXEC);
    if (mode == IDLE)
        run_idle(warm);
    else
        run(warm);
    long warm_errors = errors;
    errors = resumed = 0;
    wait_for_line();
    double start = now();
    if (mode == IDLE)
        run_idle(n);
    else
        run(n);
    double seconds = now() - start;
    if (mode == RESUME)
        errors += n - resumed;
    printf("{\"units\": %ld, \"errors\": %ld, \"warm_errors\": %ld, \"resumed\": %ld, \"seconds\": %.3f}\n", n, errors,
           warm_errors, resumed, seconds);
    fflush(stdout);
    if (mode == IDLE)
        wait_for_line();
    return 0;
}
