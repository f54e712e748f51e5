/* What would happen to a request: the handshake, the route, the plugins, the identity, the answer or the upstream; and
 * why. Found by the code that serves requests (src/admit, src/route, src/plugin) over a compiled configuration; nothing
 * is sent, asked, counted or logged. The answer is JSON, whose fields docs/explain.md lists. Any thread, one at a time
 * for each explainer. */
#pragma once
#include "model/compile.h"

enum { SP_EXPLAIN_MAX = 256 << 10 }; /* bytes of a question, whatever its form */

/* A request that nobody sent. Strings live in the arena that it was read with. */
struct sp_explain_question {
    struct sp_str method, host, path; /* host as in Host, with its port if it has one; path with its query */
    struct sp_str *fields;            /* "Name: value" */
    size_t num_fields;
    struct sp_str sni; /* normalised; empty: the ClientHello names none */
    bool plain;        /* http, not https */
    bool http2;
    struct sp_str *chain; /* DER, leaf first: what the client would show when it is asked */
    size_t num_chain;
    struct sp_str client_ip; /* the TCP peer */
    bool peer_trusted;       /* it is in trusted_ips; where nobody says so, a data plane looks into its own */
    bool says_trusted;
    int64_t at; /* when, seconds since 1970; 0: now */
};

/* {"host", "path", "method", "headers": ["Name: value"], "certificate": PEM, "sni", "plain", "http_version",
 * "client_ip", "peer_trusted", "at"}; only host and path must be there. sni null: none; absent: the host. Errors begin
 * with the field. */
SP_MUST sp_result sp_explain_read_json(struct sp_arena *a, struct sp_str text, struct sp_explain_question *out,
                                       struct sp_error *err);
/* The same names in a query string: header may come several times, an empty sni is none. */
SP_MUST sp_result sp_explain_read_query(struct sp_arena *a, struct sp_str query, struct sp_explain_question *out,
                                        struct sp_error *err);

/* A configuration that is ready to be asked. */
struct sp_explainer;
/* Compiles what a data plane would. Refused: every bad resource is in problems. r need not outlive the call. vaults:
 * vault references may be resolved from this process's environment; else a configuration that has some is refused,
 * because only data planes know what they mean. */
SP_MUST sp_result sp_explainer_new(const struct sp_resources *r, int64_t revision, bool vaults,
                                   struct sp_explainer **out, struct sp_problems *problems);
void sp_explainer_free(struct sp_explainer *e); /* NULL is fine */
void sp_explain_request(const struct sp_explainer *e, const struct sp_explain_question *q, struct sp_arena *a,
                        struct sp_buf *json);
