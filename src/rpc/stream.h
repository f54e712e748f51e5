/* Inside of src/rpc: a connection with its one gRPC call, server's or client's.
 *
 * Two threads know a stream. The pump's ("io") owns the connection and every gRPC object: the completion queue's thread
 * only posts what has completed. The owner's sees the public handle. They talk by posting to each other's loop, and
 * each message in flight holds a reference, so memory goes with the last one. */
#pragma once
#include "rpc/pump.h"
#include "rpc/rpc.h"
#include "rpc/server.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <pthread.h>

#define SP_RPC_METHOD "/sallyport.v1.Discovery/Stream"
#define SP_RPC_TAKEN "sallyport-stream" /* initial metadata of a stream that the server has taken */

struct sp_rpc {
    _Atomic uint32_t refs;
    _Atomic bool closed; /* set by sp_rpc_free: no handler is called, nothing is posted any more */
    pthread_t io_thread, cq_thread;
    struct sp_pump_room room;
    grpc_completion_queue *cq;
    grpc_channel_credentials *channel_creds;
    grpc_server_credentials *server_creds;
    /* io thread */
    struct sp_rpc_stream *streams;
    bool stopping, cq_stopping;
};

struct sp_rpc_op { /* a batch under way: its address is gRPC's tag */
    struct sp_rpc_stream *s;
    void (*done)(struct sp_rpc_stream *s, bool ok);
    bool ok;
    _Atomic bool busy; /* atomic: gRPC hands the tag from thread to thread by means that no tool can see */
};

struct sp_rpc_queued {
    struct sp_rpc_queued *next;
    struct sp_bytes *bytes;
};

struct sp_rpc_stream {
    _Atomic uint32_t refs;
    struct sp_rpc *rpc;
    struct sp_rpc_server *server; /* NULL: a client's; else one reference */
    struct sp_loop *owner;
    struct sp_rpc_handlers handlers;
    void *ctx;
    uint32_t keepalive_ms;
    struct sp_rpc_peer peer; /* written by io before open is posted */
    char identity[512], address[SP_ADDRESS_TEXT];

    /* owner's thread */
    void *user;
    bool shown; /* open was delivered */
    bool ended; /* closed was delivered or sp_rpc_close called */
    bool wants_room;
    size_t queued_bytes, queued_num;

    /* io thread */
    struct sp_rpc_stream *next, **prev;
    struct sp_pump pump;
    struct sp_tls_client *tls_client;
    struct sp_timer expiry, patience;
    bool opened, ending, released, pump_dead;
    bool closing; /* the status goes out when the write under way is done */
    char why[256];
    unsigned pending; /* batches under way */
    grpc_channel *channel;
    grpc_server *grpc_server;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice status_text;
    int cancelled;
    grpc_byte_buffer *received;
    struct sp_rpc_queued *queue, **queue_tail;
    size_t sending; /* bytes of the message being written; 0: none */
    struct sp_rpc_op op_new_call, op_start, op_initial, op_recv, op_send, op_status, op_finish, op_shutdown;
};

/* --- life; io thread unless it says otherwise --- */
/* Any thread. Two references: io's and the owner's. */
struct sp_rpc_stream *sp_rpc_stream_new(struct sp_rpc *r, struct sp_loop *owner, const struct sp_rpc_handlers *h,
                                        void *ctx);
void sp_rpc_stream_unref(struct sp_rpc_stream *s); /* any thread */
void sp_rpc_stream_link(struct sp_rpc_stream *s);
/* The stream is over: tells the owner, lets gRPC and the pump go. Idempotent. */
void sp_rpc_stream_end(struct sp_rpc_stream *s, const char *why);
/* The same in order: a server's peer is told why first. */
void sp_rpc_stream_finish(struct sp_rpc_stream *s, const char *why);
/* The pump's callbacks of both sides. */
void sp_rpc_stream_pump_dead(struct sp_pump *p, const char *why);
struct sp_rpc_stream *sp_rpc_stream_of(struct sp_pump *p);
sp_result sp_rpc_stream_read_peer(struct sp_rpc_stream *s, struct sp_error *err);

/* --- the call --- */
void sp_rpc_batch(struct sp_rpc_stream *s, struct sp_rpc_op *op, const grpc_op *ops, size_t num,
                  void (*done)(struct sp_rpc_stream *, bool));
void sp_rpc_op_begin(struct sp_rpc_stream *s, struct sp_rpc_op *op, void (*done)(struct sp_rpc_stream *, bool));
void sp_rpc_call_opened(struct sp_rpc_stream *s); /* posts open, starts to read and write */
void sp_rpc_settle(struct sp_rpc_stream *s);      /* frees what can be freed by now */
enum { SP_RPC_NUM_ARGS = 10 };
grpc_channel_args sp_rpc_args(const struct sp_rpc_stream *s, grpc_arg v[SP_RPC_NUM_ARGS]);

/* --- the server side of a connection --- */
void sp_rpc_server_forget(struct sp_rpc_stream *s); /* io thread: the stream is released */
void sp_rpc_server_unref(struct sp_rpc_server *s);
bool sp_rpc_server_stopped(const struct sp_rpc_server *s); /* owner's thread */
