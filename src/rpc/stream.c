#include "rpc/stream.h"

#include "tls/certificate.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/support/alloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PATIENCE_MS = 2000, MAX_EXPIRY_MS = 24 * 3600 * 1000 };

/* --- between the threads --- */

struct note { /* one message from io to the owner or back */
    struct sp_rpc_stream *s;
    struct sp_bytes *bytes;
    size_t size;
    char *why;
};

static struct note *note_new(struct sp_rpc_stream *s)
{
    struct note *n = sp_alloc(sizeof *n);
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    n->s = s;
    return n;
}

static void note_free(struct note *n)
{
    sp_bytes_unref(n->bytes);
    free(n->why);
    sp_rpc_stream_unref(n->s);
    free(n);
}

/* Whether the owner still wants to hear of the stream. */
static bool is_heard(const struct sp_rpc_stream *s)
{
    return !s->ended && !atomic_load(&s->rpc->closed) && !(s->server && sp_rpc_server_stopped(s->server));
}

static void to_io(struct sp_rpc_stream *s, void (*fn)(void *), struct note *n)
{
    if (atomic_load(&s->rpc->closed))
        note_free(n);
    else
        sp_loop_post(s->rpc->room.loop, fn, n);
}

/* --- the call: io thread --- */

void sp_rpc_batch(struct sp_rpc_stream *s, struct sp_rpc_op *op, const grpc_op *ops, size_t num,
                  void (*done)(struct sp_rpc_stream *, bool))
{
    sp_rpc_op_begin(s, op, done);
    grpc_call_error e = grpc_call_start_batch(s->call, ops, num, op, NULL);
    sp_assert(e == GRPC_CALL_OK);
}

static void int_arg(grpc_arg *a, const char *key, int value)
{
    *a = (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

grpc_channel_args sp_rpc_args(const struct sp_rpc_stream *s, grpc_arg v[SP_RPC_NUM_ARGS])
{
    int every = s->keepalive_ms ? (int)s->keepalive_ms : 30000;
    int_arg(&v[0], GRPC_ARG_KEEPALIVE_TIME_MS, every);
    int_arg(&v[1], GRPC_ARG_KEEPALIVE_TIMEOUT_MS, every / 3);
    int_arg(&v[2], GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    int_arg(&v[3], GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    int_arg(&v[4], GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, every / 6);
    int_arg(&v[5], GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, s->server ? SP_RPC_MAX_FROM_CLIENT : SP_RPC_MAX_MESSAGE);
    int_arg(&v[6], GRPC_ARG_MAX_CONCURRENT_STREAMS, 1);
    int_arg(&v[7], GRPC_ARG_ENABLE_CHANNELZ, 0);
    int_arg(&v[8], GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
    int_arg(&v[9], GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0); /* the bound on a message is a bound on memory */
    return (grpc_channel_args){SP_RPC_NUM_ARGS, v};
}

static void read_next(struct sp_rpc_stream *s);

static void resume(void *arg)
{
    struct note *n = arg;
    read_next(n->s);
    note_free(n);
}

static void hear_message(void *arg)
{
    struct note *n = arg;
    struct sp_rpc_stream *s = n->s;
    if (is_heard(s))
        s->handlers.message(s->ctx, s, sp_bytes_str(n->bytes));
    sp_bytes_unref(SP_TAKE(n->bytes));
    to_io(s, resume, n);
}

static struct sp_bytes *take_received(struct sp_rpc_stream *s)
{
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, s->received))
        return NULL;
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    struct sp_bytes *b = sp_bytes_copy(sp_str(GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all)));
    grpc_slice_unref(all);
    grpc_byte_buffer_reader_destroy(&reader);
    return b;
}

static void read_done(struct sp_rpc_stream *s, bool ok)
{
    struct sp_bytes *b = ok && s->received ? take_received(s) : NULL;
    if (s->received)
        grpc_byte_buffer_destroy(SP_TAKE(s->received));
    if (!b) {
        /* A client learns the reason from the status that follows. */
        if (s->server && !s->closing)
            sp_rpc_stream_end(s, "the peer ended the stream");
        return;
    }
    struct note *n = note_new(s);
    n->bytes = b;
    sp_loop_post(s->owner, hear_message, n);
}

static void read_next(struct sp_rpc_stream *s)
{
    if (s->ending || s->op_recv.busy)
        return;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &s->received;
    sp_rpc_batch(s, &s->op_recv, &op, 1, read_done);
}

static void unref_bytes(void *b)
{
    sp_bytes_unref(b);
}

static void hear_sent(void *arg)
{
    struct note *n = arg;
    struct sp_rpc_stream *s = n->s;
    s->queued_bytes -= n->size;
    s->queued_num--;
    if (s->wants_room && s->queued_bytes <= SP_RPC_MAX_QUEUED / 2 && s->queued_num <= SP_RPC_MAX_QUEUED_NUM / 2) {
        s->wants_room = false;
        if (is_heard(s) && s->handlers.writable)
            s->handlers.writable(s->ctx, s);
    }
    note_free(n);
}

/* The status is out. Now the client closes: gRPC forgets a status that it has read when the end of the connection is
 * right behind it. Patience bounds the wait. */
static void status_done(struct sp_rpc_stream *s, bool ok)
{
    if (!ok)
        sp_rpc_stream_end(s, "closed here");
}

static void send_status(struct sp_rpc_stream *s)
{
    if (s->ending)
        return;
    grpc_slice text = grpc_slice_from_copied_string(s->why);
    grpc_op op = {.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
    op.data.send_status_from_server.status = GRPC_STATUS_UNAVAILABLE;
    op.data.send_status_from_server.status_details = &text;
    sp_rpc_batch(s, &s->op_status, &op, 1, status_done);
    grpc_slice_unref(text);
}

static void write_next(struct sp_rpc_stream *s);

static void write_done(struct sp_rpc_stream *s, bool ok)
{
    struct note *n = note_new(s);
    n->size = s->sending;
    s->sending = 0;
    sp_loop_post(s->owner, hear_sent, n);
    if (s->closing)
        send_status(s);
    else if (ok)
        write_next(s);
}

static void write_next(struct sp_rpc_stream *s)
{
    struct sp_rpc_queued *q = s->queue;
    if (!q || s->ending || s->op_send.busy || !s->opened)
        return;
    s->queue = q->next;
    if (!s->queue)
        s->queue_tail = &s->queue;
    s->sending = q->bytes->len;
    /* the slice takes over the queue's reference */
    grpc_slice slice = grpc_slice_new_with_user_data(q->bytes->p, q->bytes->len, unref_bytes, q->bytes);
    grpc_byte_buffer *b = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    free(q);
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
    op.data.send_message.send_message = b;
    sp_rpc_batch(s, &s->op_send, &op, 1, write_done);
    grpc_byte_buffer_destroy(b);
}

static void hear_open(void *arg)
{
    struct note *n = arg;
    struct sp_rpc_stream *s = n->s;
    s->shown = is_heard(s);
    if (s->shown)
        s->handlers.open(s->ctx, s, &s->peer);
    note_free(n);
}

static void on_expiry(struct sp_timer *t)
{
    struct sp_rpc_stream *s = (struct sp_rpc_stream *)(void *)((char *)t - offsetof(struct sp_rpc_stream, expiry));
    int64_t left = (s->peer.not_after - (int64_t)time(NULL)) * 1000;
    if (left <= 0)
        sp_rpc_stream_end(s, "the peer's certificate has expired");
    else
        sp_timer_start(t, s->rpc->room.loop, left < MAX_EXPIRY_MS ? (uint64_t)left : MAX_EXPIRY_MS, on_expiry);
}

void sp_rpc_call_opened(struct sp_rpc_stream *s)
{
    s->opened = true;
    sp_pump_opened(&s->pump);
    sp_timer_start(&s->expiry, s->rpc->room.loop, 0, on_expiry);
    sp_loop_post(s->owner, hear_open, note_new(s));
    read_next(s);
    write_next(s);
}

sp_result sp_rpc_stream_read_peer(struct sp_rpc_stream *s, struct sp_error *err)
{
    const struct sp_peer *p = sp_tls_peer(s->pump.tls);
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_cert_info info = {0};
    sp_result r = p->num_chain ? sp_cert_read(p->chain[0], a, &info, err)
                               : sp_fail(err, SP_E_TLS, "the peer showed no certificate");
    struct sp_str name = info.num_names ? info.names[0].text : info.cn;
    for (size_t i = 0; i < info.num_names; i++)
        if (info.names[i].type == SP_NAME_URI && sp_str_starts(info.names[i].text, SP_STR("spiffe://"))) {
            name = info.names[i].text;
            break;
        }
    if (!sp_failed(r) && (name.len == 0 || name.len >= sizeof s->identity))
        r = sp_fail(err, SP_E_TLS, "the peer's certificate has no name that could be its identity");
    else if (!sp_failed(r))
        memcpy(s->identity, name.p, name.len);
    s->peer.identity = sp_str(s->identity, sp_failed(r) ? 0 : name.len);
    s->peer.address = sp_str_z(s->address);
    s->peer.not_after = info.not_after;
    sp_arena_free(a);
    return r;
}

/* --- the end: io thread --- */

static void hear_closed(void *arg)
{
    struct note *n = arg;
    struct sp_rpc_stream *s = n->s;
    if (!s->ended) {
        bool heard = is_heard(s) && (s->shown || !s->server);
        s->ended = true;
        if (heard)
            s->handlers.closed(s->ctx, s, n->why);
        sp_rpc_stream_unref(s); /* the owner's */
    }
    note_free(n);
}

static void drop_queue(struct sp_rpc_stream *s)
{
    while (s->queue) {
        struct sp_rpc_queued *q = s->queue;
        s->queue = q->next;
        sp_bytes_unref(q->bytes);
        free(q);
    }
    s->queue_tail = &s->queue;
}

static void shutdown_done(struct sp_rpc_stream *s, bool ok)
{
    (void)s;
    (void)ok;
}

void sp_rpc_stream_end(struct sp_rpc_stream *s, const char *why)
{
    if (s->ending)
        return;
    s->ending = true;
    snprintf(s->why, sizeof s->why, "%s", why);
    struct note *n = note_new(s);
    n->why = sp_strdup(s->why);
    sp_loop_post(s->owner, hear_closed, n);
    drop_queue(s);
    if (s->call)
        grpc_call_cancel(s->call, NULL);
    if (s->grpc_server) {
        sp_rpc_op_begin(s, &s->op_shutdown, shutdown_done);
        grpc_server_shutdown_and_notify(s->grpc_server, s->rpc->cq, &s->op_shutdown);
        grpc_server_cancel_all_calls(
            s->grpc_server); /* also lets go of the connection: there is but one stream on it */
    }
    if (!s->call && !s->grpc_server && !s->pump_dead) {
        sp_pump_close(&s->pump); /* gRPC has never seen it */
        s->pump_dead = true;
    }
    sp_rpc_settle(s);
}

struct sp_rpc_stream *sp_rpc_stream_of(struct sp_pump *p)
{
    return (struct sp_rpc_stream *)(void *)((char *)p - offsetof(struct sp_rpc_stream, pump));
}

static void on_patience(struct sp_timer *t)
{
    sp_rpc_stream_end((struct sp_rpc_stream *)(void *)((char *)t - offsetof(struct sp_rpc_stream, patience)),
                      "closed here");
}

/* A client's call ends by itself when its descriptor is closed, and its status may say more than we know here. */
void sp_rpc_stream_pump_dead(struct sp_pump *p, const char *why)
{
    struct sp_rpc_stream *s = sp_rpc_stream_of(p);
    s->pump_dead = true;
    if (s->op_finish.busy && !s->server && !s->ending)
        sp_timer_start(&s->patience, s->rpc->room.loop, PATIENCE_MS, on_patience);
    else
        sp_rpc_stream_end(s, why);
    sp_rpc_settle(s);
}

/* A server tells the client why, once the write under way is done; a client just goes. */
void sp_rpc_stream_finish(struct sp_rpc_stream *s, const char *why)
{
    drop_queue(s);
    if (!s->server || !s->opened) {
        sp_rpc_stream_end(s, "closed here");
    } else if (!s->ending && !s->closing) {
        s->closing = true;
        snprintf(s->why, sizeof s->why, "%s", why);
        sp_timer_start(&s->patience, s->rpc->room.loop, PATIENCE_MS, on_patience);
        if (!s->op_send.busy)
            send_status(s);
    }
}

static void close_io(void *arg)
{
    struct note *n = arg;
    sp_rpc_stream_finish(n->s, n->why);
    note_free(n);
}

/* --- the owner's side --- */

static void send_io(void *arg)
{
    struct note *n = arg;
    struct sp_rpc_stream *s = n->s;
    if (!s->ending) {
        struct sp_rpc_queued *q = sp_alloc(sizeof *q);
        q->bytes = SP_TAKE(n->bytes);
        *s->queue_tail = q;
        s->queue_tail = &q->next;
        write_next(s);
    }
    note_free(n);
}

bool sp_rpc_send(struct sp_rpc_stream *s, struct sp_bytes *b)
{
    sp_assert(!s->ended && b->len <= SP_RPC_MAX_MESSAGE);
    if (s->queued_num && (s->queued_bytes + b->len > SP_RPC_MAX_QUEUED || s->queued_num == SP_RPC_MAX_QUEUED_NUM)) {
        s->wants_room = true;
        return false;
    }
    s->queued_bytes += b->len;
    s->queued_num++;
    struct note *n = note_new(s);
    n->bytes = b;
    to_io(s, send_io, n);
    return true;
}

void sp_rpc_close(struct sp_rpc_stream *s, const char *why)
{
    sp_assert(!s->ended);
    s->ended = true;
    struct note *n = note_new(s);
    n->why = sp_strdup(why);
    to_io(s, close_io, n);
    sp_rpc_stream_unref(s); /* the owner's */
}

void sp_rpc_set_user(struct sp_rpc_stream *s, void *user)
{
    s->user = user;
}

void *sp_rpc_user(const struct sp_rpc_stream *s)
{
    return s->user;
}
