/* The server side of HTTP/2 (RFC 9113) over nghttp2, sans I/O: plaintext bytes in, events out; calls in, plaintext
 * bytes out. Owns the protocol's defences: stream, reset (both directions), header, SETTINGS and PING floods
 * (specs/security.md S18 and section 5). One thread, one connection.
 *
 * Flow control is the back-pressure: bytes of a request body are credited to the client only when the owner says that
 * it got rid of them (sp_h2_credit); bytes of a response that the client's window does not take stay in the stream, and
 * sp_h2_data says so.
 *
 * Events come only out of sp_h2_recv and sp_h2_send, never out of the other calls; all calls but sp_h2_recv, sp_h2_send
 * and sp_h2_free may be made from within an event. */
#pragma once
#include "http/message.h"

struct sp_h2;
struct sp_h2_stream; /* lives until `closed` has returned */

struct sp_h2_limits {
    uint32_t max_streams;       /* concurrent; default 128 */
    uint32_t max_head_bytes;    /* sum of name + value + 32 per field, each cookie crumb counts; default 65536 */
    uint32_t max_fields;        /* default 128 */
    uint32_t stream_window;     /* bytes; default 65536 */
    uint32_t connection_window; /* bytes; default 1048576 */
    uint32_t resets_burst, resets_per_s; /* streams reset by either side; default 200 and 20 */
};
extern const struct sp_h2_limits sp_h2_default_limits;

struct sp_h2_events {
    /* A request head is complete and valid. `head` lives in the arena that the owner gave in `open`. end: no body.
     */
    void (*request)(void *owner, struct sp_request_head *head, bool end);
    void (*data)(void *owner, struct sp_str bytes, bool end);        /* borrowed for the call */
    void (*trailers)(void *owner, const struct sp_fields *trailers); /* ends the request body */
    /* Instead of `request`: a head that must not be served; status as in sp_h1_fault (494: too large). The owner
     * answers with sp_h2_respond, as to any request. May be NULL: a bare status goes out. */
    void (*refused)(void *owner, unsigned status, const char *why);
    void (*writable)(void *owner);           /* all that sp_h2_data kept is on its way; not after the end */
    void (*closed)(void *owner, bool clean); /* last call; not after sp_h2_free */
    /* A new stream: the connection makes the owner and its arena. Return NULL to refuse it (REFUSED_STREAM). `closed`
     * may follow without `request`: nghttp2 resets malformed streams by itself. */
    void *(*open)(void *conn, struct sp_h2_stream *s, struct sp_arena **arena);
};

struct sp_h2 *sp_h2_new(const struct sp_h2_events *ev, const struct sp_h2_limits *limits, void *conn);
void sp_h2_free(struct sp_h2 *h); /* no events */
/* Feeds bytes from the client. Failure: the session is over; send what is pending, then close. */
SP_MUST sp_result sp_h2_recv(struct sp_h2 *h, struct sp_str bytes, struct sp_error *err);
/* Moves what is ready to be sent to the end of out, until nothing is ready or out holds max bytes (the last frame may
 * stand over by its length). */
void sp_h2_send(struct sp_h2 *h, struct sp_buf *out, size_t max);
bool sp_h2_wants_write(const struct sp_h2 *h);
bool sp_h2_finished(const struct sp_h2 *h); /* neither reads nor writes any more: close the connection */
uint32_t sp_h2_num_streams(const struct sp_h2 *h);
uint64_t sp_h2_data_sent(const struct sp_h2 *h); /* body bytes that windows and the caller have let go so far */
/* GOAWAY: first with the highest id (two-phase), `final` with the last one taken. */
void sp_h2_drain(struct sp_h2 *h, bool final);
/* RFC 8336 ORIGIN frame with these ASCII origins ("https://a.example"). */
void sp_h2_origins(struct sp_h2 *h, const struct sp_str *origins, size_t num);

/* Response head; interim (1xx) heads may come before. end: no body and no trailers. Names are lower-cased, connection
 * fields dropped, Content-Length is written from the head. false: a field that may not be sent, or the stream is gone.
 * When the response has ended before the request, the rest of the request is cancelled (RST_STREAM with NO_ERROR). */
SP_MUST bool sp_h2_respond(struct sp_h2_stream *s, const struct sp_response_head *head, bool end);
/* Response body. Writes into `out` at once what windows and max allow; keeps a copy of the rest (of all, when called
 * from within an event). false: something is kept, wait for `writable`. On a stream that is gone: true, nothing
 * happens. */
SP_MUST bool sp_h2_data(struct sp_h2_stream *s, struct sp_str bytes, bool end, struct sp_buf *out, size_t max);
void sp_h2_trailers(struct sp_h2_stream *s, const struct sp_fields *trailers); /* ends the body */
void sp_h2_credit(struct sp_h2_stream *s, size_t n);           /* the owner has disposed of n body bytes */
void sp_h2_reset(struct sp_h2_stream *s, uint32_t error_code); /* RFC 9113 7; `closed` follows */
void *sp_h2_owner(const struct sp_h2_stream *s);
