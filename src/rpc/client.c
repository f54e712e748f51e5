#include "rpc/client.h"

#include "rpc/stream.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { OPEN_TIMEOUT_MS = 10000 };

/* gRPC calls it a success too when the call failed before anything came: only what our server sends tells. */
static void initial_done(struct sp_rpc_stream *s, bool ok)
{
    bool taken = false;
    for (size_t i = 0; i < s->initial.count; i++)
        taken = taken || grpc_slice_str_cmp(s->initial.metadata[i].key, SP_RPC_TAKEN) == 0;
    if (ok && taken && !s->ending)
        sp_rpc_call_opened(s);
}

static void start_done(struct sp_rpc_stream *s, bool ok)
{
    (void)s; /* a failure comes again as the status */
    (void)ok;
}

static void finish_done(struct sp_rpc_stream *s, bool ok)
{
    struct sp_error why;
    struct sp_str text = sp_str(GRPC_SLICE_START_PTR(s->status_text), GRPC_SLICE_LENGTH(s->status_text));
    (void)ok;
    (void)sp_fail(&why, SP_E_UNAVAILABLE, "%.*s (gRPC status %d%s%s)", SP_FMT(text), (int)s->status,
                  s->pump.why[0] ? "; " : "", s->pump.why);
    sp_rpc_stream_end(s, why.text);
}

static void call(struct sp_rpc_stream *s, int fd)
{
    grpc_arg v[SP_RPC_NUM_ARGS];
    grpc_channel_args args = sp_rpc_args(s, v);
    s->channel = grpc_channel_create_from_fd("sallyport", fd, s->rpc->channel_creds, &args);
    s->call = grpc_channel_create_call(s->channel, NULL, GRPC_PROPAGATE_DEFAULTS, s->rpc->cq,
                                       grpc_slice_from_static_string(SP_RPC_METHOD), NULL,
                                       gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    status.data.recv_status_on_client.trailing_metadata = &s->trailing;
    status.data.recv_status_on_client.status = &s->status;
    status.data.recv_status_on_client.status_details = &s->status_text;
    sp_rpc_batch(s, &s->op_finish, &status, 1, finish_done);
    grpc_op start = {.op = GRPC_OP_SEND_INITIAL_METADATA};
    sp_rpc_batch(s, &s->op_start, &start, 1, start_done);
    grpc_op initial = {.op = GRPC_OP_RECV_INITIAL_METADATA};
    initial.data.recv_initial_metadata.recv_initial_metadata = &s->initial;
    sp_rpc_batch(s, &s->op_initial, &initial, 1, initial_done);
}

static void on_ready(struct sp_pump *p)
{
    struct sp_rpc_stream *s = sp_rpc_stream_of(p);
    struct sp_error err;
    int fd;
    if (sp_failed(sp_rpc_stream_read_peer(s, &err)) || sp_failed(sp_pump_open(p, &fd, &err)))
        sp_rpc_stream_end(s, err.text);
    else
        call(s, fd);
}

struct start {
    struct sp_rpc_stream *s;
    struct sp_rpc_connect_options o;
    char name[256];
};

static void start_io(void *arg)
{
    struct start *start = arg;
    struct sp_rpc_stream *s = start->s;
    struct sp_rpc *r = s->rpc;
    struct sp_error err;
    int fd;
    sp_rpc_stream_link(s);
    if (sp_failed(sp_connect_start(&start->o.to, &fd, &err))) {
        sp_rpc_stream_end(s, err.text);
    } else {
        s->pump.ready = on_ready;
        s->pump.dead = sp_rpc_stream_pump_dead;
        s->pump_dead = false;
        struct sp_tls_stream *tls = sp_tls_connect(start->o.tls, start->o.server_name, &r->room.wire);
        sp_pump_start(&s->pump, &r->room, fd, true, tls,
                      start->o.timeout_ms ? start->o.timeout_ms : (uint32_t)OPEN_TIMEOUT_MS);
    }
    free(start);
}

struct sp_rpc_stream *sp_rpc_connect(struct sp_rpc *r, const struct sp_rpc_connect_options *o, struct sp_loop *owner,
                                     const struct sp_rpc_handlers *handlers, void *ctx)
{
    struct sp_rpc_stream *s = sp_rpc_stream_new(r, owner, handlers, ctx);
    s->keepalive_ms = o->keepalive_ms;
    sp_address_text(&o->to, s->address);
    struct start *start = sp_alloc(sizeof *start);
    start->s = s;
    start->o = *o;
    size_t n = o->server_name.len < sizeof start->name ? o->server_name.len : sizeof start->name - 1;
    if (n)
        memcpy(start->name, o->server_name.p, n);
    start->o.server_name = sp_str(start->name, n);
    sp_loop_post(r->room.loop, start_io, start);
    return s;
}
