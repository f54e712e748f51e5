/* Private to src/http: what the receiving half (h2.c) and the sending half (h2_send.c) of an HTTP/2 session share. */
#pragma once
#include "http/h2.h"

#include <nghttp2/nghttp2.h>

/* Allows `burst` at once and `per_s` for ever. */
struct sp_h2_bucket {
    uint64_t milli; /* thousandths of what is left */
    uint64_t at_ms;
    uint32_t burst, per_s;
};

struct sp_h2 {
    nghttp2_session *ng;
    const struct sp_h2_events *ev;
    void *conn;
    struct sp_h2_limits limits;
    struct sp_buf *out; /* while sending */
    size_t max;
    struct sp_h2_stream *all, *closing, **closing_end, *ready, **ready_end; /* to whom `closed`, `writable` is due */
    uint32_t num_streams;
    uint64_t data_sent;
    struct sp_h2_bucket resets, chatter;
    const char *over; /* why the session has ended; NULL while it lives */
    bool busy;        /* inside nghttp2, which must not be entered again */
    bool broken;      /* nghttp2 cannot send any more */
};

struct sp_h2_stream {
    struct sp_h2 *h;
    struct sp_h2_stream *next, **back; /* of all */
    struct sp_h2_stream *next_closing, *next_ready;
    void *owner;
    struct sp_arena *arena;
    int32_t id;
    /* request */
    struct sp_request_head *head; /* in the owner's arena, which may outlive the stream */
    struct sp_fields trailers_in;
    struct sp_str host, scheme;
    uint32_t num_fields, head_bytes, cookies;
    size_t uncredited;
    unsigned fault_status;
    const char *fault;
    bool in_trailers, have_request, request_ended;
    /* response */
    struct sp_buf kept;
    struct sp_str span; /* the caller's bytes, while sp_h2_data runs; they follow what is kept */
    struct sp_fields trailers_out;
    bool responded, ended, deferred, has_trailers, was_kept, is_ready;
    bool answered;  /* END_STREAM has gone out */
    size_t dropped; /* request body bytes that came after that */
    /* end */
    bool reset, dead, clean;
};

/* false: used up. */
bool sp_h2_bucket_take(struct sp_h2_bucket *b);
/* The session has ended: GOAWAY with this code is the last word. */
void sp_h2_end_session(struct sp_h2 *h, uint32_t code, const char *why);
void sp_h2_set_send_callbacks(nghttp2_session_callbacks *cb);
/* Request body after the answer: read and dropped; too much of it ends in a reset. */
void sp_h2_drop_rest(struct sp_h2_stream *s, size_t len);
/* Answers a refused head when the owner does not want to. */
void sp_h2_answer_fault(struct sp_h2_stream *s);
/* Tells `closed` to those to whom it is due. Returns whether there were any. */
bool sp_h2_deliver_closed(struct sp_h2 *h);
