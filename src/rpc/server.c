#include "rpc/server.h"

#include "base/log.h"
#include "rpc/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { OPEN_TIMEOUT_MS = 10000, STARVED_MS = 100 };

struct sp_rpc_server {
    _Atomic uint32_t refs;
    struct sp_rpc *rpc;
    struct sp_loop *owner;
    struct sp_rpc_handlers handlers;
    void *ctx;
    struct sp_address address;
    bool stopped; /* owner's thread */
    uint32_t keepalive_ms, admit_per_s, admit_burst, max_streams;
    struct sp_arena *arena; /* of names */
    struct sp_tls_names *names;
    struct sp_tls_server *tls;
    /* io thread */
    struct sp_watch watch;
    struct sp_timer starved;
    int fd;
    uint32_t num_streams;
    double tokens;
    uint64_t tokens_at, refused;
};

void sp_rpc_server_unref(struct sp_rpc_server *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (s->fd >= 0)
        close(s->fd);
    sp_tls_server_free(s->tls);
    sp_arena_free(s->arena);
    free(s);
}

bool sp_rpc_server_stopped(const struct sp_rpc_server *s)
{
    return s->stopped;
}

void sp_rpc_server_forget(struct sp_rpc_stream *s)
{
    s->server->num_streams--;
}

const struct sp_address *sp_rpc_server_address(const struct sp_rpc_server *s)
{
    return &s->address;
}

/* --- the call of a connection: io thread --- */

static void finish_done(struct sp_rpc_stream *s, bool ok)
{
    (void)ok;
    if (!s->closing)
        sp_rpc_stream_end(s, "the peer went away");
}

static void start_done(struct sp_rpc_stream *s, bool ok)
{
    if (ok && !s->ending)
        sp_rpc_call_opened(s);
}

static void refused_done(struct sp_rpc_stream *s, bool ok)
{
    (void)ok;
    sp_rpc_stream_end(s, "the peer called an unknown method");
}

static void watch_for_the_end(struct sp_rpc_stream *s)
{
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &s->cancelled;
    sp_rpc_batch(s, &s->op_finish, &op, 1, finish_done);
}

static void call_came(struct sp_rpc_stream *s, bool ok)
{
    if (!ok || s->ending) {
        sp_rpc_stream_end(s, "the peer went away");
        return;
    }
    watch_for_the_end(s);
    if (grpc_slice_str_cmp(s->details.method, SP_RPC_METHOD) == 0) {
        grpc_metadata taken = {.key = grpc_slice_from_static_string(SP_RPC_TAKEN),
                               .value = grpc_slice_from_static_string("1")};
        grpc_op op = {.op = GRPC_OP_SEND_INITIAL_METADATA};
        op.data.send_initial_metadata.count = 1;
        op.data.send_initial_metadata.metadata = &taken; /* copied by the call */
        sp_rpc_batch(s, &s->op_start, &op, 1, start_done);
        return;
    }
    grpc_op ops[2] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_STATUS_FROM_SERVER}};
    ops[1].data.send_status_from_server.status = GRPC_STATUS_UNIMPLEMENTED;
    sp_rpc_batch(s, &s->op_start, ops, 2, refused_done);
}

/* Each connection is a gRPC server of its own: a call cannot be taken for one of another connection, which the
 * descriptor numbers that gRPC calls peers by would allow. */
static void serve(struct sp_rpc_stream *s, int fd)
{
    grpc_arg v[SP_RPC_NUM_ARGS];
    grpc_channel_args args = sp_rpc_args(s, v);
    s->grpc_server = grpc_server_create(&args, NULL);
    grpc_server_register_completion_queue(s->grpc_server, s->rpc->cq, NULL);
    grpc_server_start(s->grpc_server);
    grpc_server_add_channel_from_fd(s->grpc_server, fd, s->rpc->server_creds);
    sp_rpc_op_begin(s, &s->op_new_call, call_came);
    grpc_call_error e = grpc_server_request_call(s->grpc_server, &s->call, &s->details, &s->initial, s->rpc->cq,
                                                 s->rpc->cq, &s->op_new_call);
    sp_assert(e == GRPC_CALL_OK);
}

static void on_ready(struct sp_pump *p)
{
    struct sp_rpc_stream *s = sp_rpc_stream_of(p);
    struct sp_error err;
    int fd;
    if (sp_failed(sp_rpc_stream_read_peer(s, &err)) || sp_failed(sp_pump_open(p, &fd, &err))) {
        sp_log(SP_WARN, "rpc_refused", "address=%s reason=\"%s\"", s->address, err.text);
        sp_rpc_stream_end(s, err.text);
        return;
    }
    serve(s, fd);
}

static void on_dead(struct sp_pump *p, const char *why)
{
    struct sp_rpc_stream *s = sp_rpc_stream_of(p);
    if (!s->identity[0]) /* before it was known who it is */
        sp_log(SP_WARN, "rpc_refused", "address=%s reason=\"%s\"", s->address, why);
    sp_rpc_stream_pump_dead(p, why);
}

/* --- admission --- */

static bool admit(struct sp_rpc_server *s)
{
    uint64_t now = sp_loop_now(s->rpc->room.loop);
    s->tokens += (double)(now - s->tokens_at) * s->admit_per_s / 1000;
    s->tokens_at = now;
    if (s->tokens > s->admit_burst)
        s->tokens = s->admit_burst;
    if (s->tokens < 1 || s->num_streams >= s->max_streams)
        return false;
    s->tokens -= 1;
    return true;
}

static void accepted(struct sp_rpc_server *s, int fd, const struct sp_address *from)
{
    static const int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct sp_rpc_stream *st = sp_rpc_stream_new(s->rpc, s->owner, &s->handlers, s->ctx);
    atomic_fetch_add(&s->refs, 1);
    st->server = s;
    st->keepalive_ms = s->keepalive_ms;
    s->num_streams++;
    sp_rpc_stream_link(st);
    sp_address_text(from, st->address);
    st->pump.ready = on_ready;
    st->pump.dead = on_dead;
    st->pump_dead = false;
    struct sp_tls_stream *tls = sp_tls_accept(s->tls, s->names, 0, &s->rpc->room.wire);
    sp_pump_start(&st->pump, &s->rpc->room, fd, false, tls, OPEN_TIMEOUT_MS);
}

static void on_acceptable(struct sp_watch *w, int events);

static void on_starved(struct sp_timer *t)
{
    struct sp_rpc_server *s = (struct sp_rpc_server *)(void *)((char *)t - offsetof(struct sp_rpc_server, starved));
    sp_watch_start(&s->watch, s->rpc->room.loop, s->fd, SP_READ, on_acceptable);
}

static void on_acceptable(struct sp_watch *w, int events)
{
    struct sp_rpc_server *s = (struct sp_rpc_server *)(void *)((char *)w - offsetof(struct sp_rpc_server, watch));
    (void)events;
    for (int i = 0; i < 32; i++) {
        struct sp_address from = {.len = sizeof from.ss};
        int fd = accept4(s->fd, (struct sockaddr *)&from.ss, &from.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && admit(s)) {
            accepted(s, fd, &from);
        } else if (fd >= 0) {
            close(fd);
            s->refused++;
            if ((s->refused & (s->refused - 1)) == 0) /* the first, then ever more rarely */
                sp_log(SP_WARN, "rpc_overload", "refused=%llu", (unsigned long long)s->refused);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            sp_log(SP_ERROR, "rpc_starved", "message=\"cannot accept: out of descriptors or memory\"");
            sp_watch_stop(w);
            sp_timer_start(&s->starved, s->rpc->room.loop, STARVED_MS, on_starved);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

/* --- life --- */

static void start_io(void *arg)
{
    struct sp_rpc_server *s = arg;
    s->tokens_at = sp_loop_now(s->rpc->room.loop);
    sp_watch_start(&s->watch, s->rpc->room.loop, s->fd, SP_READ, on_acceptable);
}

static void stop_io(void *arg)
{
    struct sp_rpc_server *s = arg;
    sp_timer_stop(&s->starved);
    sp_watch_stop(&s->watch);
    close(s->fd);
    s->fd = -1;
    for (struct sp_rpc_stream *st = s->rpc->streams, *next; st; st = next) {
        next = st->next;
        if (st->server == s)
            sp_rpc_stream_finish(st, "the control plane is shutting down");
    }
    sp_rpc_server_unref(s);
}

static sp_result make_tls(struct sp_rpc_server *s, const struct sp_rpc_server_options *o, struct sp_error *err)
{
    s->arena = sp_arena_new(4096);
    if (!o->cert_pem.len || !o->key_pem.len || !o->ca_pem.len)
        return sp_fail(err, SP_E_USAGE, "a certificate, its key and a CA are needed");
    s->names = sp_tls_names_new(s->arena, 1);
    SP_TRY(sp_tls_names_default_certificate(s->names, o->cert_pem, o->key_pem, err));
    sp_tls_names_done(s->names);
    struct sp_tls_server_options tls = {
        .min_version = 0x0304, .alpn = "h2", .require_peer = true, .peer_ca_pem = o->ca_pem};
    return sp_tls_server_new(&tls, &s->tls, err);
}

sp_result sp_rpc_listen(struct sp_rpc *r, const struct sp_rpc_server_options *o, struct sp_loop *owner,
                        const struct sp_rpc_handlers *handlers, void *ctx, struct sp_rpc_server **out,
                        struct sp_error *err)
{
    struct sp_rpc_server *s = sp_alloc(sizeof *s);
    atomic_init(&s->refs, 1);
    s->fd = -1;
    s->rpc = r;
    s->owner = owner;
    s->handlers = *handlers;
    s->ctx = ctx;
    s->keepalive_ms = o->keepalive_ms;
    s->admit_per_s = o->admit_per_s ? o->admit_per_s : 100;
    s->admit_burst = o->admit_burst ? o->admit_burst : 200;
    s->max_streams = o->max_streams ? o->max_streams : 20000;
    s->tokens = s->admit_burst;
    sp_result res = make_tls(s, o, err);
    if (!sp_failed(res))
        res = sp_listen(&o->listen, NULL, &s->fd, err);
    if (!sp_failed(res))
        res = sp_local_address(s->fd, &s->address, err);
    if (sp_failed(res)) {
        sp_rpc_server_unref(s);
        return res;
    }
    sp_loop_post(r->room.loop, start_io, s);
    *out = s;
    return res;
}

void sp_rpc_server_stop(struct sp_rpc_server *s)
{
    if (!s)
        return;
    s->stopped = true;
    sp_loop_post(s->rpc->room.loop, stop_io, s);
}
