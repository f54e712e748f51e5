/* A small HTTP/1.1 server on a loop, for the admin and status listeners: whole requests in, whole answers out. Not for
 * the data path, which streams. Everything here belongs to the loop's thread.
 *
 * A request is handed out once its body is complete; the next one on that connection waits for the answer. Head and
 * body are bounded, slow heads and idle connections are closed, errors of the protocol are answered without the
 * handler. */
#pragma once
#include "http/message.h"
#include "net/address.h"
#include "net/loop.h"

struct sp_http_server;

/* One request and its answer. Lives from `handle` until it is answered, which must happen exactly once, at once or
 * later; also when the client or the server has gone meanwhile. */
struct sp_http_exchange {
    const struct sp_request_head *request;
    struct sp_str path;     /* of the target, as received (not decoded), without the query */
    struct sp_str query;    /* what follows '?'; empty when there is none */
    struct sp_str body;     /* whole */
    struct sp_arena *arena; /* dies with the exchange: for what the answer is made of */
    struct sp_address peer;
    void *user; /* the handler's own */
};

struct sp_http_server_options {
    struct sp_loop *loop;
    void (*handle)(void *ctx, struct sp_http_exchange *x);
    void *ctx;
    /* What is zero takes its default. */
    size_t max_body;          /* one request, bytes; 64 MiB; above: 413 */
    size_t max_bodies;        /* all requests together; 256 MiB; above: 503 */
    uint32_t max_connections; /* 256; more are closed as they come */
    uint32_t head_timeout_ms; /* from a head's first byte to its last, 10 s */
    uint32_t idle_timeout_ms; /* between requests, and without progress in a body or an answer, 60 s */
};

struct sp_http_server *sp_http_server_new(const struct sp_http_server_options *o);
/* May be called for several addresses. bound (may be NULL) tells the address with the port that was taken for port 0.
 */
SP_MUST sp_result sp_http_server_listen(struct sp_http_server *s, const struct sp_address *at, struct sp_address *bound,
                                        struct sp_error *err);
/* No new connections; those that are idle close, the others after their answer. */
void sp_http_server_drain(struct sp_http_server *s);
uint32_t sp_http_server_connections(const struct sp_http_server *s);
/* Closes everything. Exchanges without an answer live on until they get one, and go nowhere. NULL is fine. */
void sp_http_server_free(struct sp_http_server *s);

/* A field for the answer, before sp_http_reply; copied. Content-Type, Content-Length, Date and Connection are written
 * by themselves. A name or value that may not be sent makes the answer a 500. */
void sp_http_reply_field(struct sp_http_exchange *x, struct sp_str name, struct sp_str value);
/* Answers and ends the exchange: x is gone afterwards. Copies what it is given. content_type NULL: no such field. The
 * body of an answer to HEAD is only counted. */
void sp_http_reply(struct sp_http_exchange *x, unsigned status, const char *content_type, struct sp_str body);
/* The client is not there any more: nobody will read the answer (which must still be given). */
bool sp_http_gone(const struct sp_http_exchange *x);

/* false: a browser asks for a page of another site (Origin), or under a name that somebody pointed to this machine
 * (a Host from loopback that is neither localhost nor an address). For listeners without authentication. */
bool sp_http_own_site(const struct sp_http_exchange *x);

/* --- URLs */

/* Undoes %XX, and '+' for a blank where `form`. false: a broken escape, or a NUL came out. */
SP_MUST bool sp_url_decode(struct sp_arena *a, struct sp_str s, bool form, struct sp_str *out);
/* Appends s with everything but unreserved characters (RFC 3986 2.3) as %XX. */
void sp_url_encode(struct sp_buf *out, struct sp_str s);
/* Takes the next "/segment" off *path and decodes it. false: no more, or broken (then path->len stays above 0). Empty
 * segments are skipped. */
SP_MUST bool sp_url_next_segment(struct sp_arena *a, struct sp_str *path, struct sp_str *segment);
/* The first parameter of that name, decoded. false: not there, or broken. */
SP_MUST bool sp_query_get(struct sp_arena *a, struct sp_str query, const char *name, struct sp_str *value);
/* Takes the next "name=value" off *query, decoded. false: no more, or broken (then query->len stays above 0). */
SP_MUST bool sp_query_next(struct sp_arena *a, struct sp_str *query, struct sp_str *name, struct sp_str *value);
