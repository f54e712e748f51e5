#include "base/log.h"
#include "rpc/stream.h"

#include <grpc/support/log.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static void log_grpc(gpr_log_func_args *args)
{
    sp_log(args->severity >= GPR_LOG_SEVERITY_ERROR ? SP_NOTICE : SP_DEBUG, "grpc", "message=\"%s\"", args->message);
}

static void run_done(void *arg)
{
    struct sp_rpc_op *op = arg;
    struct sp_rpc_stream *s = op->s;
    atomic_store(&op->busy, false);
    s->pending--;
    op->done(s, op->ok);
    sp_rpc_settle(s);
}

static void *run_cq(void *arg)
{
    struct sp_rpc *r = arg;
    for (;;) {
        grpc_event e = grpc_completion_queue_next(r->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        if (e.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        struct sp_rpc_op *op = e.tag;
        sp_assert(atomic_load(&op->busy));
        op->ok = e.success;
        sp_loop_post(r->room.loop, run_done, op);
    }
}

static void *run_io(void *arg)
{
    struct sp_rpc *r = arg;
    sp_loop_run(r->room.loop);
    return NULL;
}

void sp_rpc_op_begin(struct sp_rpc_stream *s, struct sp_rpc_op *op, void (*done)(struct sp_rpc_stream *, bool))
{
    sp_assert(!atomic_load(&op->busy));
    op->s = s;
    op->done = done;
    s->pending++;
    atomic_store(&op->busy, true);
}

static void rpc_unref(struct sp_rpc *r)
{
    if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
        free(r);
}

sp_result sp_rpc_new(struct sp_rpc **out, struct sp_error *err)
{
    struct sp_rpc *r = sp_alloc(sizeof *r);
    atomic_init(&r->refs, 1);
    sp_result res = sp_loop_new(&r->room.loop, err);
    if (sp_failed(res)) {
        free(r);
        return res;
    }
    gpr_set_log_function(log_grpc);
    grpc_init();
    r->cq = grpc_completion_queue_create_for_next(NULL);
    r->channel_creds = grpc_insecure_credentials_create();
    r->server_creds = grpc_insecure_server_credentials_create();
    int failed = pthread_create(&r->io_thread, NULL, run_io, r);
    sp_assert(!failed);
    failed = pthread_create(&r->cq_thread, NULL, run_cq, r);
    sp_assert(!failed);
    *out = r;
    return sp_ok();
}

/* --- the end --- */

/* When the last stream has let go, the completion queue is empty for good. */
static void stop_when_empty(struct sp_rpc *r)
{
    if (!r->stopping || r->streams || r->cq_stopping)
        return;
    r->cq_stopping = true;
    grpc_completion_queue_shutdown(r->cq);
    sp_loop_stop(r->room.loop);
}

static void begin_stop(void *arg)
{
    struct sp_rpc *r = arg;
    r->stopping = true;
    for (struct sp_rpc_stream *s = r->streams, *next; s; s = next) {
        next = s->next;
        sp_rpc_stream_finish(s, "shutting down");
    }
    stop_when_empty(r);
}

void sp_rpc_free(struct sp_rpc *r)
{
    if (!r)
        return;
    atomic_store(&r->closed, true);
    sp_loop_post(r->room.loop, begin_stop, r);
    pthread_join(r->io_thread, NULL);
    pthread_join(r->cq_thread, NULL);
    sp_loop_free(r->room.loop);
    r->room.loop = NULL;
    sp_buf_fini(&r->room.wire.out);
    grpc_completion_queue_destroy(r->cq);
    grpc_channel_credentials_release(r->channel_creds);
    grpc_server_credentials_release(r->server_creds);
    grpc_shutdown_blocking();
    rpc_unref(r);
}

/* --- streams: their memory --- */

struct sp_rpc_stream *sp_rpc_stream_new(struct sp_rpc *r, struct sp_loop *owner, const struct sp_rpc_handlers *h,
                                        void *ctx)
{
    struct sp_rpc_stream *s = sp_alloc(sizeof *s);
    atomic_init(&s->refs, 2);
    atomic_fetch_add(&r->refs, 1);
    s->rpc = r;
    s->owner = owner;
    s->handlers = *h;
    s->ctx = ctx;
    s->queue_tail = &s->queue;
    s->pump_dead = true; /* until it is started */
    s->status_text = grpc_empty_slice();
    grpc_call_details_init(&s->details);
    grpc_metadata_array_init(&s->initial);
    grpc_metadata_array_init(&s->trailing);
    return s;
}

void sp_rpc_stream_unref(struct sp_rpc_stream *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (s->server)
        sp_rpc_server_unref(s->server);
    rpc_unref(s->rpc);
    free(s);
}

void sp_rpc_stream_link(struct sp_rpc_stream *s)
{
    struct sp_rpc *r = s->rpc;
    s->next = r->streams;
    s->prev = &r->streams;
    if (s->next)
        s->next->prev = &s->next;
    r->streams = s;
}

static void release_now(void *arg)
{
    struct sp_rpc_stream *s = arg;
    struct sp_rpc *r = s->rpc;
    *s->prev = s->next;
    if (s->next)
        s->next->prev = s->prev;
    if (s->server)
        sp_rpc_server_forget(s);
    stop_when_empty(r);
    sp_rpc_stream_unref(s);
}

/* gRPC's objects go when no batch is under way; io's reference when the pump is gone too. By a posting: the callers
 * still stand on the stream. */
void sp_rpc_settle(struct sp_rpc_stream *s)
{
    if (!s->ending || s->pending || s->released)
        return;
    if (s->call)
        grpc_call_unref(SP_TAKE(s->call));
    if (s->grpc_server)
        grpc_server_destroy(SP_TAKE(s->grpc_server));
    if (s->channel)
        grpc_channel_destroy(SP_TAKE(s->channel));
    if (!s->pump_dead) {
        sp_pump_linger(&s->pump); /* gRPC closes its descriptor, the pump flushes and dies */
        return;
    }
    s->released = true;
    grpc_call_details_destroy(&s->details);
    grpc_metadata_array_destroy(&s->initial);
    grpc_metadata_array_destroy(&s->trailing);
    grpc_slice_unref(s->status_text);
    sp_timer_stop(&s->expiry);
    sp_timer_stop(&s->patience);
    sp_loop_post(s->rpc->room.loop, release_now, s);
}
