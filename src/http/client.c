#include "http/client.h"

#include "http/h1.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

enum { READ_BYTES = 65536 };

struct sp_http_client {
    struct sp_buf host, port, authority, prefix, unix_path; /* texts, NUL-terminated beyond their length */
    uint32_t connect_timeout_ms, timeout_ms;
    size_t max_body;
    struct sp_buf in;
    int fd;    /* -1: none */
    bool kept; /* fd has served a call already */
};

/* --- address */

static void set_text(struct sp_buf *b, struct sp_str s)
{
    sp_buf_add(b, s);
    *sp_buf_reserve(b, 1) = '\0';
}

static sp_result parse_url(struct sp_http_client *c, const char *url, struct sp_error *err)
{
    struct sp_str rest = sp_str_z(url), http = SP_STR("http://");
    if (!sp_str_starts(rest, http))
        return sp_fail(err, SP_E_USAGE, "%s: the URL must begin with http://", url);
    rest = sp_str_skip(rest, http.len);
    const char *slash = memchr(rest.p, '/', rest.len);
    struct sp_str authority = {rest.p, slash ? (size_t)(slash - rest.p) : rest.len};
    struct sp_str prefix = sp_str_skip(rest, authority.len);
    while (prefix.len && prefix.p[prefix.len - 1] == '/')
        prefix.len--;
    if (!sp_authority_valid(authority))
        return sp_fail(err, SP_E_USAGE, "%s: no valid host and port", url);
    struct sp_str host = authority, port = SP_STR("80");
    const char *bracket = memchr(authority.p, ']', authority.len);
    const char *from = bracket ? bracket : authority.p;
    const char *colon = memchr(from, ':', authority.len - (size_t)(from - authority.p));
    if (colon) {
        host.len = (size_t)(colon - host.p);
        port = sp_str_skip(authority, host.len + 1);
    }
    if (bracket)
        host = sp_str(host.p + 1, (size_t)(bracket - host.p) - 1);
    set_text(&c->host, host);
    set_text(&c->port, port);
    set_text(&c->authority, authority);
    set_text(&c->prefix, prefix);
    return sp_ok();
}

sp_result sp_http_client_new(const struct sp_http_client_options *o, struct sp_http_client **out, struct sp_error *err)
{
    struct sp_http_client *c = sp_alloc(sizeof *c);
    c->fd = -1;
    c->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : 5000;
    c->timeout_ms = o->timeout_ms ? o->timeout_ms : 60000;
    c->max_body = o->max_body ? o->max_body : 256u << 20;
    if (o->unix_path)
        set_text(&c->unix_path, sp_str_z(o->unix_path));
    sp_result r = parse_url(c, o->url, err);
    if (sp_failed(r)) {
        sp_http_client_free(c);
        return r;
    }
    *out = c;
    return sp_ok();
}

static void hang_up(struct sp_http_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->kept = false;
    sp_buf_clear(&c->in);
}

void sp_http_client_free(struct sp_http_client *c)
{
    if (!c)
        return;
    hang_up(c);
    sp_buf_fini(&c->host);
    sp_buf_fini(&c->port);
    sp_buf_fini(&c->authority);
    sp_buf_fini(&c->prefix);
    sp_buf_fini(&c->unix_path);
    sp_buf_fini(&c->in);
    free(c);
}

/* --- connecting */

static uint64_t now_ms(void)
{
    return sp_clock_mono_ms(&sp_clock_system);
}

/* Waits for `events`; tells which came. */
static sp_result wait_for(int fd, short events, uint64_t deadline, short *came, struct sp_error *err)
{
    for (;;) {
        uint64_t now = now_ms();
        if (now >= deadline)
            return sp_fail(err, SP_E_TIMEOUT, "no answer in time");
        struct pollfd p = {.fd = fd, .events = events};
        uint64_t left = deadline - now;
        int n = poll(&p, 1, left > 1000000 ? 1000000 : (int)left);
        if (n < 0 && errno != EINTR)
            return sp_fail_errno(err, errno, "poll");
        if (n > 0) {
            *came = p.revents;
            return sp_ok();
        }
    }
}

static sp_result connect_one(const struct sockaddr *to, socklen_t len, uint64_t deadline, int *out,
                             struct sp_error *err)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return sp_fail_errno(err, errno, "cannot make a socket");
    int one = 1, error = 0;
    socklen_t size = sizeof error;
    if (to->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    sp_result r = sp_ok();
    if (connect(fd, to, len) != 0) {
        short came;
        error = errno;
        if (error == EINPROGRESS) {
            r = wait_for(fd, POLLOUT, deadline, &came, err);
            if (!sp_failed(r))
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        }
        if (!sp_failed(r) && error)
            r = sp_fail_errno(err, error, "cannot connect");
    }
    if (sp_failed(r))
        close(fd);
    else
        *out = fd;
    return r;
}

static sp_result connect_unix(struct sp_http_client *c, uint64_t deadline, struct sp_error *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (c->unix_path.len >= sizeof to.sun_path)
        return sp_fail(err, SP_E_USAGE, "%s: too long for the path of a socket", c->unix_path.p);
    memcpy(to.sun_path, c->unix_path.p, c->unix_path.len);
    return connect_one((struct sockaddr *)&to, sizeof to, deadline, &c->fd, err);
}

static sp_result connect_tcp(struct sp_http_client *c, uint64_t deadline, struct sp_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
    int e = getaddrinfo(c->host.p, c->port.p, &hints, &found);
    if (e != 0)
        return sp_fail(err, SP_E_UNAVAILABLE, "cannot resolve %s: %s", c->host.p, gai_strerror(e));
    sp_result r = {SP_E_UNAVAILABLE};
    for (struct addrinfo *a = found; a && sp_failed(r); a = a->ai_next)
        r = connect_one(a->ai_addr, a->ai_addrlen, deadline, &c->fd, err);
    freeaddrinfo(found);
    return r;
}

/* A connection that was kept may be used when it is quiet: readable means closed, or an answer to nothing. */
static bool still_good(struct sp_http_client *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    return c->fd >= 0 && c->in.len == 0 && poll(&p, 1, 0) == 0;
}

static sp_result ensure_connected(struct sp_http_client *c, struct sp_error *err)
{
    if (still_good(c))
        return sp_ok();
    hang_up(c);
    uint64_t deadline = now_ms() + c->connect_timeout_ms;
    sp_result r = c->unix_path.len ? connect_unix(c, deadline, err) : connect_tcp(c, deadline, err);
    if (!sp_failed(r))
        return r;
    if (err && err->code == SP_E_IO) /* whatever errno was: nobody is there */
        err->code = SP_E_UNAVAILABLE;
    sp_fail_in(err, "%s", c->unix_path.len ? c->unix_path.p : c->authority.p);
    return (sp_result){r.code == SP_E_IO ? SP_E_UNAVAILABLE : r.code};
}

/* --- one call */

static sp_result make_request(struct sp_http_client *c, const struct sp_http_call *call, struct sp_arena *a,
                              struct sp_buf *out, struct sp_error *err)
{
    struct sp_buf target = {0};
    sp_buf_add(&target, sp_buf_str(&c->prefix));
    sp_buf_add(&target, call->path);
    struct sp_request_head h = {.method = sp_str_z(call->method),
                                .target = sp_buf_str(&target),
                                .authority = sp_buf_str(&c->authority),
                                .framing = call->body.len ? SP_BODY_LENGTH : SP_BODY_NONE,
                                .content_length = call->body.len,
                                .has_length = strcmp(call->method, "GET") != 0 && strcmp(call->method, "HEAD") != 0,
                                .keep_alive = true};
    sp_fields_add(&h.fields, a, SP_FIELD_OTHER, SP_STR("User-Agent"), SP_STR("sallyport/" SP_VERSION));
    if (call->content_type)
        sp_fields_add(&h.fields, a, SP_FIELD_CONTENT_TYPE, SP_STR("Content-Type"), sp_str_z(call->content_type));
    for (uint32_t i = 0; call->fields && i < call->fields->len; i++)
        if (!call->fields->v[i].removed)
            sp_fields_add(&h.fields, a, SP_FIELD_OTHER, call->fields->v[i].name, call->fields->v[i].value);
    bool ok = sp_h1_write_request(out, &h);
    sp_buf_fini(&target);
    if (!ok)
        return sp_fail(err, SP_E_USAGE, "%s %.*s: not a valid request", call->method, SP_FMT(call->path));
    sp_buf_add(out, call->body);
    return sp_ok();
}

/* Sends all, unless an answer comes first: then nobody reads the rest. */
static sp_result send_request(struct sp_http_client *c, struct sp_str bytes, uint64_t deadline, bool *early,
                              struct sp_error *err)
{
    while (bytes.len) {
        short came;
        SP_TRY(wait_for(c->fd, POLLIN | POLLOUT, deadline, &came, err));
        if (came & POLLIN) {
            *early = true;
            return sp_ok();
        }
        ssize_t n = send(c->fd, bytes.p, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            continue;
        if (n < 0)
            return sp_fail(err, SP_E_CLOSED, "the connection was closed");
        bytes = sp_str_skip(bytes, (size_t)n);
    }
    return sp_ok();
}

/* More bytes into c->in. *eof: there are none. */
static sp_result read_more(struct sp_http_client *c, uint64_t deadline, bool *eof, struct sp_error *err)
{
    for (;;) {
        short came;
        SP_TRY(wait_for(c->fd, POLLIN, deadline, &came, err));
        ssize_t n = recv(c->fd, sp_buf_reserve(&c->in, READ_BYTES), READ_BYTES, 0);
        if (n > 0)
            sp_buf_commit(&c->in, (size_t)n);
        *eof = n == 0;
        if (n >= 0)
            return sp_ok();
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return sp_fail(err, SP_E_CLOSED, "the connection was closed");
    }
}

/* The final head, copied into the arena. */
static sp_result read_head(struct sp_http_client *c, bool was_head, uint64_t deadline, struct sp_arena *a,
                           struct sp_response_head *head, struct sp_error *err)
{
    size_t scanned = 0, consumed;
    struct sp_h1_fault fault;
    for (;;) {
        enum sp_h1_parse r = sp_h1_parse_response(sp_buf_str(&c->in), &scanned, &sp_h1_default_limits, was_head, a,
                                                  head, &consumed, &fault);
        if (r == SP_H1_BAD)
            return sp_fail(err, SP_E_PROTO, "the answer is not valid HTTP: %s", fault.why);
        if (r == SP_H1_DONE && head->status >= 200)
            break;
        if (r == SP_H1_DONE) {
            sp_buf_consume(&c->in, consumed);
            continue;
        }
        bool eof;
        SP_TRY(read_more(c, deadline, &eof, err));
        if (eof)
            return sp_fail(err, SP_E_CLOSED, "the connection was closed before the answer");
    }
    struct sp_str copy = sp_arena_dup(a, sp_str(c->in.p + c->in.off, consumed));
    sp_buf_consume(&c->in, consumed);
    enum sp_h1_parse again =
        sp_h1_parse_response(copy, &scanned, &sp_h1_default_limits, was_head, a, head, &consumed, &fault);
    sp_assert(again == SP_H1_DONE);
    return sp_ok();
}

static sp_result take_body(struct sp_http_client *c, struct sp_h1_body *b, struct sp_buf *body, struct sp_error *err)
{
    while (c->in.len && !b->done) {
        struct sp_str in = sp_buf_str(&c->in), data;
        struct sp_h1_fault fault;
        if (sp_h1_body_next(b, &in, &data, &fault) == SP_H1_BAD)
            return sp_fail(err, SP_E_PROTO, "the answer is not valid HTTP: %s", fault.why);
        if (body->len + data.len > c->max_body)
            return sp_fail(err, SP_E_LIMIT, "the answer is larger than %zu bytes", c->max_body);
        sp_buf_add(body, data);
        sp_buf_consume(&c->in, c->in.len - in.len);
    }
    return sp_ok();
}

static sp_result read_body(struct sp_http_client *c, const struct sp_response_head *head, uint64_t deadline,
                           struct sp_buf *body, struct sp_error *err)
{
    struct sp_h1_body b;
    bool eof = false;
    sp_h1_body_init(&b, head->framing, head->content_length);
    sp_result r = take_body(c, &b, body, err);
    while (!sp_failed(r) && !b.done && !eof) {
        r = read_more(c, deadline, &eof, err);
        if (!sp_failed(r))
            r = take_body(c, &b, body, err);
    }
    if (!sp_failed(r) && !b.done && head->framing != SP_BODY_CLOSE)
        r = sp_fail(err, SP_E_CLOSED, "the connection was closed in the middle of the answer");
    sp_h1_body_fini(&b);
    return r;
}

static sp_result converse(struct sp_http_client *c, struct sp_str request, bool was_head, struct sp_arena *a,
                          struct sp_http_answer *out, struct sp_error *err)
{
    uint64_t deadline = now_ms() + c->timeout_ms;
    struct sp_response_head head;
    struct sp_buf body = {0};
    bool early = false;
    c->kept = false;
    sp_result sent = send_request(c, request, deadline, &early, err);
    if (sp_failed(sent) && sent.code != SP_E_CLOSED)
        return sent;
    SP_TRY(read_head(c, was_head, deadline, a, &head, err)); /* also after a failed send: it may say why */
    sp_result r = read_body(c, &head, deadline, &body, err);
    if (!sp_failed(r))
        *out = (struct sp_http_answer){head.status, head.fields, sp_arena_dup(a, sp_buf_str(&body))};
    sp_buf_fini(&body);
    c->kept = !sp_failed(r) && !sp_failed(sent) && head.keep_alive && !early && c->in.len == 0;
    return r;
}

static bool may_repeat(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "DELETE") == 0;
}

static sp_result attempt(struct sp_http_client *c, const struct sp_http_call *call, struct sp_str request,
                         struct sp_arena *a, struct sp_http_answer *out, bool *again, struct sp_error *err)
{
    SP_TRY(ensure_connected(c, err));
    bool reused = c->kept;
    sp_result r = converse(c, request, strcmp(call->method, "HEAD") == 0, a, out, err);
    if (!c->kept)
        hang_up(c);
    /* only a kept connection that turns out to be closed is worth another try */
    *again = r.code == SP_E_CLOSED && reused && may_repeat(call->method);
    return r;
}

sp_result sp_http_client_call(struct sp_http_client *c, const struct sp_http_call *call, struct sp_arena *a,
                              struct sp_http_answer *out, struct sp_error *err)
{
    struct sp_buf request = {0};
    bool again = false;
    sp_result r = make_request(c, call, a, &request, err);
    if (!sp_failed(r))
        r = attempt(c, call, sp_buf_str(&request), a, out, &again, err);
    if (again)
        r = attempt(c, call, sp_buf_str(&request), a, out, &again, err);
    sp_buf_fini(&request);
    return r;
}
