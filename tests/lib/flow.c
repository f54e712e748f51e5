#include "flow.h"

#include "model/model.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* --- ends --- */

uint64_t flow_now_ms(void)
{
    return sp_clock_mono_ms(&sp_clock_system);
}

static void be_patient(int fd)
{
    struct timeval t = {.tv_sec = FLOW_PATIENCE_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static bool send_raw(struct flow_end *e, struct sp_str bytes)
{
    while (bytes.len) {
        ssize_t n = send(e->fd, bytes.p, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes = sp_str_skip(bytes, (size_t)n);
    }
    return true;
}

static bool push_wire(struct flow_end *e)
{
    bool fine = send_raw(e, sp_buf_str(&e->wire.out));
    sp_buf_clear(&e->wire.out);
    return fine;
}

bool flow_send(struct flow_end *e, const void *p, size_t n)
{
    if (!e->tls)
        return send_raw(e, sp_str(p, n));
    return sp_tls_write(e->tls, sp_str(p, n)) == SP_IO_OK && push_wire(e);
}

bool flow_say(struct flow_end *e, const char *text)
{
    return flow_send(e, text, strlen(text));
}

static void take_sealed(struct flow_end *e, const char *bytes, size_t n)
{
    enum sp_io io;
    e->wire.in = sp_str(bytes, n);
    for (;;) {
        size_t got;
        char *to = sp_buf_reserve(&e->in, 16384);
        io = sp_tls_read(e->tls, to, 16384, &got);
        if (io != SP_IO_OK)
            break;
        sp_buf_commit(&e->in, got);
    }
    e->eof = io == SP_IO_EOF;
    e->broken = io == SP_IO_ERROR;
    push_wire(e);
}

bool flow_fill(struct flow_end *e)
{
    char bytes[65536];
    size_t before = e->in.len;
    while (!e->eof && !e->broken && e->in.len == before) {
        ssize_t n = recv(e->fd, bytes, sizeof bytes, 0);
        if (n < 0 && errno == EINTR)
            continue;
        e->late = n < 0 && errno == EAGAIN;
        if (n < 0 || (n == 0 && e->tls))
            e->broken = true;
        else if (n == 0)
            e->eof = true;
        else if (e->tls)
            take_sealed(e, bytes, (size_t)n);
        else
            sp_buf_append(&e->in, bytes, (size_t)n);
    }
    return e->in.len > before;
}

bool flow_has(struct flow_end *e, const char *needle)
{
    while (!memmem(sp_buf_str(&e->in).p, e->in.len, needle, strlen(needle)))
        if (!flow_fill(e))
            return false;
    return true;
}

void flow_take(struct flow_end *e, size_t n)
{
    sp_buf_consume(&e->in, n);
}

bool flow_until_end(struct flow_end *e)
{
    while (flow_fill(e))
        ;
    return e->eof;
}

void flow_half_close(struct flow_end *e)
{
    shutdown(e->fd, SHUT_WR);
}

void flow_shut(struct flow_end *e)
{
    if (e->tls && e->fd >= 0 && !e->broken) {
        sp_tls_close(e->tls);
        push_wire(e);
    }
    sp_tls_free(e->tls);
    if (e->fd >= 0)
        close(e->fd);
    sp_buf_fini(&e->wire.out);
    sp_buf_fini(&e->in);
    e->tls = NULL;
    e->fd = -1;
}

void flow_reset(struct flow_end *e)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(e->fd);
    e->fd = -1;
    flow_shut(e);
}

/* --- messages --- */

static const char *find_header(const char *head, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = head; (at = strchr(at, '\n'));) {
        at++;
        if (strncasecmp(at, name, n) == 0 && at[n] == ':')
            return at + n + 1 + (at[n + 1] == ' ');
    }
    return NULL;
}

const char *flow_header(const struct flow_answer *a, const char *name)
{
    return find_header(a->head, name);
}

static bool take_line(struct flow_end *e, char *line, size_t cap)
{
    if (!flow_has(e, "\r\n"))
        return false;
    struct sp_str all = sp_buf_str(&e->in);
    size_t n = (size_t)((const char *)memmem(all.p, all.len, "\r\n", 2) - all.p);
    snprintf(line, cap, "%.*s", (int)n, all.p);
    flow_take(e, n + 2);
    return true;
}

static bool take_bytes(struct flow_end *e, size_t n, struct sp_buf *to)
{
    while (n) {
        if (e->in.len == 0 && !flow_fill(e))
            return false;
        size_t part = e->in.len < n ? e->in.len : n;
        sp_buf_append(to, sp_buf_str(&e->in).p, part);
        flow_take(e, part);
        n -= part;
    }
    return true;
}

static bool take_chunks(struct flow_end *e, struct sp_buf *body, char *trailers, size_t cap)
{
    char line[1024];
    for (;;) {
        if (!take_line(e, line, sizeof line))
            return false;
        size_t n = strtoul(line, NULL, 16);
        if (n == 0)
            break;
        if (!take_bytes(e, n, body) || !take_line(e, line, sizeof line) || *line)
            return false;
    }
    for (size_t at = 0; take_line(e, line, sizeof line); at += strlen(line) + 1) {
        if (!*line)
            return true;
        if (trailers && at + strlen(line) + 2 < cap)
            snprintf(trailers + at, cap - at, "%s\n", line);
    }
    return false;
}

static bool take_head(struct flow_end *e, char *head, size_t cap)
{
    if (!flow_has(e, "\r\n\r\n"))
        return false;
    struct sp_str all = sp_buf_str(&e->in);
    size_t n = (size_t)((const char *)memmem(all.p, all.len, "\r\n\r\n", 4) - all.p) + 4;
    snprintf(head, cap, "%.*s", (int)n, all.p);
    flow_take(e, n);
    return true;
}

void flow_answer_fini(struct flow_answer *a)
{
    sp_buf_fini(&a->body);
    *a = (struct flow_answer){0};
}

bool flow_answer(struct flow_end *e, struct flow_answer *a, bool to_head)
{
    flow_answer_fini(a);
    do {
        if (!take_head(e, a->head, sizeof a->head))
            return false;
        a->status = (unsigned)strtoul(a->head + 9, NULL, 10);
    } while (a->status >= 100 && a->status < 200 && a->status != 101);
    const char *length = flow_header(a, "Content-Length"), *coding = flow_header(a, "Transfer-Encoding");
    a->chunked = coding && strncmp(coding, "chunked", 7) == 0;
    if (to_head || a->status == 204 || a->status == 304 || a->status == 101)
        a->whole = true;
    else if (a->chunked)
        a->whole = take_chunks(e, &a->body, a->trailers, sizeof a->trailers);
    else if (length)
        a->whole = take_bytes(e, strtoul(length, NULL, 10), &a->body);
    else {
        a->whole = flow_until_end(e);
        sp_buf_add(&a->body, sp_buf_str(&e->in));
        sp_buf_clear(&e->in);
    }
    return true;
}

bool flow_request(struct flow_end *e, struct sp_buf *head, struct sp_buf *body)
{
    char text[16384];
    if (!take_head(e, text, sizeof text))
        return false;
    sp_buf_clear(head);
    sp_buf_clear(body);
    sp_buf_append(head, text, strlen(text) + 1);
    const char *length = find_header(text, "Content-Length"), *coding = find_header(text, "Transfer-Encoding");
    if (coding)
        return take_chunks(e, body, NULL, 0);
    return !length || take_bytes(e, strtoul(length, NULL, 10), body);
}

/* --- upstreams --- */

static bool shake_hands(struct flow_end *e)
{
    char bytes[65536];
    for (;;) {
        enum sp_io io = sp_tls_handshake(e->tls);
        struct sp_str rest = e->wire.in;
        if (!push_wire(e) || io == SP_IO_ERROR)
            return false;
        if (io == SP_IO_OK) {
            if (rest.len)
                take_sealed(e, rest.p, rest.len);
            return true;
        }
        ssize_t n = recv(e->fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            return false;
        e->wire.in = sp_str(bytes, (size_t)n);
    }
}

static void *visit(void *arg)
{
    struct flow_visit *v = arg;
    struct flow_upstream *u = v->up;
    if (u->tls)
        v->end.tls = sp_tls_accept(u->tls, u->tls_names, 1, &v->end.wire);
    if (!u->tls || shake_hands(&v->end))
        u->script(v);
    pthread_mutex_lock(&u->lock); /* stop must not touch a descriptor that is closed */
    flow_shut(&v->end);
    pthread_mutex_unlock(&u->lock);
    return NULL;
}

static void *welcome(void *arg)
{
    struct flow_upstream *u = arg;
    for (;;) {
        int fd = accept(u->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        be_patient(fd);
        struct flow_visit *v = sp_alloc(sizeof *v);
        v->end.fd = fd;
        v->up = u;
        pthread_mutex_lock(&u->lock);
        v->number = u->num_visits++;
        v->next = u->visits;
        u->visits = v;
        pthread_cond_broadcast(&u->changed);
        pthread_create(&v->thread, NULL, visit, v);
        pthread_mutex_unlock(&u->lock);
    }
}

static int bound_socket(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

uint16_t flow_dead_port(int *fd_out)
{
    uint16_t port;
    *fd_out = bound_socket(&port);
    return port;
}

static void open_doors(struct flow_upstream *u, flow_script *script, void *ctx)
{
    u->script = script;
    u->ctx = ctx;
    u->fd = bound_socket(&u->port);
    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->changed, NULL);
    assert_int_equal(listen(u->fd, 512), 0);
    assert_int_equal(pthread_create(&u->thread, NULL, welcome, u), 0);
}

void flow_upstream_start(struct flow_upstream *u, flow_script *script, void *ctx)
{
    *u = (struct flow_upstream){0};
    open_doors(u, script, ctx);
}

void flow_upstream_start_tls(struct flow_upstream *u, flow_script *script, struct sp_str cert, struct sp_str key)
{
    struct sp_error err;
    *u = (struct flow_upstream){.tls_arena = sp_arena_new(4096)};
    u->tls_names = sp_tls_names_new(u->tls_arena, 1);
    assert_false(sp_failed(sp_tls_names_default_certificate(u->tls_names, cert, key, &err)));
    sp_tls_names_done(u->tls_names);
    struct sp_tls_server_options o = {.alpn = "http/1.1"};
    assert_false(sp_failed(sp_tls_server_new(&o, &u->tls, &err)));
    open_doors(u, script, NULL);
}

void flow_upstream_stop(struct flow_upstream *u)
{
    shutdown(u->fd, SHUT_RDWR);
    pthread_join(u->thread, NULL);
    close(u->fd);
    pthread_mutex_lock(&u->lock);
    u->stopping = true;
    for (struct flow_visit *v = u->visits; v; v = v->next)
        if (v->end.fd >= 0)
            shutdown(v->end.fd, SHUT_RDWR);
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
    while (u->visits) {
        struct flow_visit *v = u->visits;
        u->visits = v->next;
        pthread_join(v->thread, NULL);
        free(v);
    }
    sp_tls_server_free(u->tls);
    if (u->tls_arena)
        sp_arena_free(u->tls_arena);
    pthread_mutex_destroy(&u->lock);
    pthread_cond_destroy(&u->changed);
}

void flow_mark(struct flow_upstream *u)
{
    pthread_mutex_lock(&u->lock);
    u->marks++;
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

bool flow_marked(struct flow_upstream *u, unsigned n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FLOW_PATIENCE_MS / 1000;
    pthread_mutex_lock(&u->lock);
    while (u->marks < n && !u->stopping && pthread_cond_timedwait(&u->changed, &u->lock, &until) == 0)
        ;
    bool there = u->marks >= n;
    pthread_mutex_unlock(&u->lock);
    return there;
}

unsigned flow_visits(struct flow_upstream *u)
{
    pthread_mutex_lock(&u->lock);
    unsigned n = u->num_visits;
    pthread_mutex_unlock(&u->lock);
    return n;
}

void flow_keep_text(struct flow_upstream *u, const struct sp_buf *head)
{
    pthread_mutex_lock(&u->lock);
    snprintf(u->text, sizeof u->text, "%s", sp_buf_str(head).p);
    pthread_mutex_unlock(&u->lock);
}

bool flow_text_has(struct flow_upstream *u, const char *needle)
{
    pthread_mutex_lock(&u->lock);
    bool has = strstr(u->text, needle) != NULL;
    pthread_mutex_unlock(&u->lock);
    return has;
}

/* --- the proxy --- */

static uint32_t or_default(uint32_t ms)
{
    return ms ? ms : 60000;
}

void flow_start(struct flow *f, const struct flow_setup *setup)
{
    static const struct flow_setup defaults;
    struct sp_error err;
    const struct flow_setup *s = setup ? setup : &defaults;
    *f = (struct flow){0};
    assert_false(sp_failed(sp_loop_new(&f->loop, &err)));
    for (int i = 0; i < 2; i++) {
        f->listeners[i] = (struct dp_listener_conf){
            .how = {.reuseport = true}, .tls = i == 1, .proxy_protocol = s->proxy_protocol, .id = (uint64_t)i + 1};
        assert_true(sp_address_parse_ip(SP_STR("127.0.0.1"), 0, &f->listeners[i].address));
    }
    if (s->trusted)
        assert_true(sp_network_parse(sp_str_z(s->trusted), &f->trusted[0]));
    struct sp_tls_server_options tls = {.alpn = "h2,http/1.1"};
    f->options = (struct dp_proxy_options){.listeners = f->listeners,
                                           .num_listeners = 2,
                                           .real_ip = {.trusted = f->trusted,
                                                       .num_trusted = s->trusted ? 1 : 0,
                                                       .header = sp_str_z(s->real_ip_header),
                                                       .id = sp_field_id_of(sp_str_z(s->real_ip_header)),
                                                       .proxy_protocol = s->proxy_protocol,
                                                       .recursive = s->real_ip_recursive},
                                           .max_connections = 10000,
                                           .max_requests = s->max_requests ? s->max_requests : 10000,
                                           .idle_ms = or_default(s->idle_ms),
                                           .head_ms = or_default(s->head_ms),
                                           .body_ms = or_default(s->body_ms),
                                           .handshake_ms = or_default(s->handshake_ms),
                                           .look_ms = s->look_ms ? s->look_ms : 100,
                                           .grace_ms = or_default(s->grace_ms),
                                           .clock = s->clock,
                                           .h1 = sp_h1_default_limits,
                                           .h2 = sp_h2_default_limits,
                                           .via = "1.1 sallyport/test"};
    assert_false(sp_failed(sp_tls_server_new(&tls, &f->options.tls, &err)));
    f->proxy = (struct dp_proxy){.options = &f->options, .loop = f->loop};
    if (sp_failed(dp_proxy_start(&f->proxy, s->workers ? s->workers : 1, &err)))
        fail_msg("%s", err.text);
}

static void on_live(void *ctx, int64_t revision)
{
    ((struct flow *)ctx)->live = revision;
}

void flow_publish(struct flow *f, const char *yaml)
{
    struct sp_arena *a = sp_arena_new(65536);
    struct sp_problems problems;
    struct sp_model *model;
    struct sp_resources *resources;
    sp_problems_init(&problems, a);
    bool fine = !sp_failed(sp_model_parse(a, sp_str_z(yaml), SP_STR("flow.yaml"), time(NULL), &model, &problems)) &&
                (sp_model_seal_passwords(model), true) && !sp_failed(sp_compile(a, model, &resources, &problems)) &&
                !sp_failed(dp_proxy_publish(&f->proxy, resources, ++f->revision, &problems, on_live, f));
    if (!fine) {
        struct sp_buf text = {0};
        sp_problems_print(&problems, &text);
        fail_msg("%.*s", SP_FMT(sp_buf_str(&text)));
    }
    sp_arena_free(a);
}

void flow_wait_live(struct flow *f)
{
    while (f->live != f->revision)
        sp_loop_run_once(f->loop, true);
}

void flow_config(struct flow *f, const char *fmt, ...)
{
    struct sp_arena *a = sp_arena_new(65536);
    struct sp_buf text = {0};
    char *yaml;
    va_list args;
    va_start(args, fmt);
    assert_true(vasprintf(&yaml, fmt, args) >= 0);
    va_end(args);
    sp_buf_printf(&text, "_format_version: \"3.0\"\n%s", yaml);
    sp_buf_append(&text, "", 1);
    flow_publish(f, sp_buf_str(&text).p);
    flow_wait_live(f);
    sp_buf_fini(&text);
    free(yaml);
    sp_arena_free(a);
}

void flow_serve(struct flow *f, uint16_t port, const char *extra)
{
    flow_config(f,
                "services:\n"
                "- name: up\n"
                "  host: 127.0.0.1\n"
                "  port: %u\n"
                "  %s\n"
                "  routes:\n"
                "  - {name: all, paths: [/]}\n",
                port, extra ? extra : "retries: 5");
}

void flow_drain(struct flow *f, uint32_t grace_ms)
{
    f->drained = true;
    dp_proxy_drain(&f->proxy, grace_ms);
}

void flow_stop(struct flow *f)
{
    if (!f->drained)
        flow_drain(f, 0);
    dp_proxy_join(&f->proxy);
    sp_loop_free(f->loop);
    sp_tls_client_free(f->client);
    sp_tls_server_free(f->options.tls);
}

void flow_connect_to(struct flow *f, struct flow_end *e, bool tls)
{
    *e = (struct flow_end){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_true(e->fd >= 0);
    be_patient(e->fd);
    const struct sp_address *to = &f->listeners[tls].address;
    assert_int_equal(connect(e->fd, (const struct sockaddr *)&to->ss, to->len), 0);
}

void flow_connect(struct flow *f, struct flow_end *e)
{
    flow_connect_to(f, e, false);
}

void flow_connect_tls_with(struct flow *f, struct flow_end *e, struct sp_tls_client *client, const char *sni)
{
    flow_connect_to(f, e, true);
    e->tls = sp_tls_connect(client, sp_str_z(sni), &e->wire);
    if (!shake_hands(e))
        e->broken = true;
}

static void new_client(struct flow *f)
{
    struct sp_error err;
    struct sp_tls_client_options o = {.alpn = "http/1.1"};
    sp_tls_client_free(f->client);
    assert_false(sp_failed(sp_tls_client_new(&o, &f->client, &err)));
}

void flow_connect_tls(struct flow *f, struct flow_end *e, const char *sni)
{
    new_client(f);
    flow_connect_tls_with(f, e, f->client, sni);
}

void flow_begin_tls(struct flow *f, struct flow_end *e, const char *sni, struct sp_str before)
{
    new_client(f);
    e->tls = sp_tls_connect(f->client, sp_str_z(sni), &e->wire);
    sp_buf_add(&e->wire.out, before);
    e->broken = !shake_hands(e);
}

unsigned flow_get(struct flow *f, const char *path, struct flow_answer *a)
{
    struct flow_end e;
    char request[1024];
    flow_connect(f, &e);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", path);
    bool fine = flow_say(&e, request) && flow_answer(&e, a, false);
    flow_shut(&e);
    return fine ? a->status : 0;
}

bool flow_await_count(struct flow *f, size_t offset, uint64_t value)
{
    uint64_t until = flow_now_ms() + FLOW_PATIENCE_MS;
    struct timespec tick = {.tv_nsec = 1000000}; /* between two looks at the condition */
    while (dp_proxy_count(&f->proxy, offset) != value) {
        if (flow_now_ms() > until)
            return false;
        nanosleep(&tick, NULL);
    }
    return true;
}

size_t flow_memory(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 0; /* what is freed stays in quarantine */
#endif
    unsigned long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &total, &resident), 2);
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}
