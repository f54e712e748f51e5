/* A blocking HTTP/1.1 client for the command line: whole requests out, whole answers in. One thread per object. The
 * connection is kept between calls where the server allows it. */
#pragma once
#include "http/message.h"

struct sp_http_client;

struct sp_http_client_options {
    const char *url;             /* "http://host[:port][/prefix]"; the prefix stands before each path */
    const char *unix_path;       /* connect here instead; url still gives Host and prefix. NULL: TCP */
    uint32_t connect_timeout_ms; /* 0: 5 s */
    uint32_t timeout_ms;         /* of a whole call, 0: 60 s */
    size_t max_body;             /* of an answer, 0: 256 MiB */
};

struct sp_http_call {
    const char *method;
    struct sp_str path;             /* begins with '/'; with query; encoded already */
    const struct sp_fields *fields; /* more of them; NULL: none */
    const char *content_type;       /* of body; NULL: none */
    struct sp_str body;
};

struct sp_http_answer { /* borrows from the arena of the call */
    unsigned status;
    struct sp_fields fields;
    struct sp_str body;
};

SP_MUST sp_result sp_http_client_new(const struct sp_http_client_options *o, struct sp_http_client **out,
                                     struct sp_error *err);
void sp_http_client_free(struct sp_http_client *c); /* NULL is fine */
/* SP_E_UNAVAILABLE: nobody there; SP_E_TIMEOUT; SP_E_CLOSED: gone in the middle; SP_E_PROTO: not HTTP; SP_E_LIMIT. Any
 * status is a success here. */
SP_MUST sp_result sp_http_client_call(struct sp_http_client *c, const struct sp_http_call *call, struct sp_arena *a,
                                      struct sp_http_answer *out, struct sp_error *err);
