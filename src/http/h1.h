/* HTTP/1.0 and 1.1 (RFC 9112), sans I/O: bytes in, heads and body spans out. Strict where leniency smuggles
 * (specs/security.md S16): one Host, CRLF only, no obs-fold, no blank before the colon, Content-Length once, digits
 * only, never with Transfer-Encoding, Transfer-Encoding exactly "chunked" and only in 1.1. Reentrant; one thread per
 * object. */
#pragma once
#include "http/message.h"

struct sp_h1_limits {
    uint32_t max_head_bytes; /* request line or status line plus fields; default 65536 */
    uint32_t max_line_bytes; /* the first line; default 16384. One field may take what is left of the head */
    uint32_t max_fields;     /* default 128 */
};
extern const struct sp_h1_limits sp_h1_default_limits;

enum sp_h1_parse { SP_H1_DONE, SP_H1_MORE, SP_H1_BAD };

/* Why a head or body was refused: what to answer (400, 414, 431, 501, 505 ...) and a constant text for the log. */
struct sp_h1_fault {
    unsigned status;
    const char *why;
};

/* Parses one head from the start of `in`. *scanned is where the last call stopped looking for the end of the head
 * (start with 0), so that a head that arrives byte by byte costs linear time. SP_H1_DONE: *consumed bytes are the head,
 * copied into the arena first, so `out` borrows from the arena, not from `in`. SP_H1_MORE: nothing consumed. Empty
 * lines before a request line are skipped (RFC 9112 2.2). */
enum sp_h1_parse sp_h1_parse_request(struct sp_str in, size_t *scanned, const struct sp_h1_limits *limits,
                                     struct sp_arena *a, struct sp_request_head *out, size_t *consumed,
                                     struct sp_h1_fault *fault);
/* As above for a response; request_was_head and 1xx/204/304 decide the framing (RFC 9112 6.3). `out` borrows from `in`:
 * it is used up before the receive buffer is. */
enum sp_h1_parse sp_h1_parse_response(struct sp_str in, size_t *scanned, const struct sp_h1_limits *limits,
                                      bool request_was_head, struct sp_arena *a, struct sp_response_head *out,
                                      size_t *consumed, struct sp_h1_fault *fault);

/* Body decoder. */
struct sp_h1_body {
    enum sp_framing framing;
    uint64_t left;     /* of the body (LENGTH) or of the chunk (CHUNKED) */
    uint8_t step;      /* chunk state */
    uint32_t line_len; /* bytes of the chunk or trailer line so far, bounded */
    uint32_t trailer_bytes;
    struct sp_buf trailers; /* raw trailer lines; owned */
    bool done;
};
void sp_h1_body_init(struct sp_h1_body *b, enum sp_framing framing, uint64_t content_length);
void sp_h1_body_fini(struct sp_h1_body *b);
/* Takes bytes from *in (advances it) until it has a span of body, the input is used up, or the body ends (b->done).
 * DONE: *data is a span of body inside `in` (may be empty when only framing was consumed or b->done); call again while
 * in has bytes and the body is not done. BAD: fault says why. With SP_BODY_CLOSE the caller ends the body at EOF. */
enum sp_h1_parse sp_h1_body_next(struct sp_h1_body *b, struct sp_str *in, struct sp_str *data,
                                 struct sp_h1_fault *fault);
/* After done: the trailer section, parsed into the arena; forbidden fields (framing, routing, authentication) dropped.
 */
enum sp_h1_parse sp_h1_body_trailers(struct sp_h1_body *b, struct sp_arena *a, struct sp_fields *out,
                                     struct sp_h1_fault *fault);

/* Serialisers. Every token and value passes the validity gate; false: something invalid, nothing usable was written.
 * Connection, Content-Length and Transfer-Encoding are written from `framing` and `keep_alive`, never copied. */
SP_MUST bool sp_h1_write_request(struct sp_buf *out, const struct sp_request_head *h);
SP_MUST bool sp_h1_write_response(struct sp_buf *out, const struct sp_response_head *h, bool http10_client);
void sp_h1_write_chunk_head(struct sp_buf *out, size_t len); /* "len\r\n"; the caller adds data and "\r\n" */
SP_MUST bool sp_h1_write_last_chunk(struct sp_buf *out, const struct sp_fields *trailers); /* trailers may be NULL */
