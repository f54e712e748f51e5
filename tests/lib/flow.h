/* A whole data plane in one process for tests: real workers on 127.0.0.1, scripted upstreams in threads, scripted
 * clients on the test's own thread. Nothing sleeps: whoever waits, waits for a byte, an end or a counter, and no longer
 * than FLOW_PATIENCE_MS. Assertions belong to the test's thread; scripts only leave marks (flow_mark). */
#pragma once
#include "test.h"

#include "proxy/proxy.h"
#include "tls/client.h"
#include "tls/pki.h"

#include <pthread.h>
#include <stdatomic.h>

enum { FLOW_PATIENCE_MS = 20000, FLOW_MAX_UPSTREAMS = 8 };

/* --- one end of a connection, blocking, plain or TLS --- */
struct flow_end {
    int fd;
    struct sp_tls_stream *tls;
    struct sp_wire wire;
    struct sp_buf in; /* plaintext received and not taken yet */
    bool eof;         /* ended in order: FIN, and before it close_notify with TLS */
    bool late;        /* broken because nothing came for FLOW_PATIENCE_MS */
    bool broken;      /* reset, timed out, or TLS cut without close_notify */
};
bool flow_fill(struct flow_end *e); /* waits for more bytes; false: none will come */
bool flow_send(struct flow_end *e, const void *p, size_t n);
bool flow_say(struct flow_end *e, const char *text);
bool flow_has(struct flow_end *e, const char *needle); /* reads until it has come; false: ended before */
void flow_take(struct flow_end *e, size_t n);          /* drop the first n bytes of in */
bool flow_until_end(struct flow_end *e);               /* reads everything; true: ended in order */
void flow_half_close(struct flow_end *e);
void flow_shut(struct flow_end *e);  /* close in order; idempotent */
void flow_reset(struct flow_end *e); /* RST */

struct flow_answer {
    unsigned status;
    char head[8192];
    struct sp_buf body;
    char trailers[1024];
    bool chunked, whole; /* whole: the body ended as its framing says */
};
/* Reads one answer of HTTP/1.x; interim answers are skipped. False: no whole head came. */
bool flow_answer(struct flow_end *e, struct flow_answer *a, bool to_head);
void flow_answer_fini(struct flow_answer *a);
const char *flow_header(const struct flow_answer *a, const char *name); /* value up to its line end; NULL: absent */
/* Reads one request with its body (Content-Length or chunked) and returns its head in `head`; false: connection over.
 */
bool flow_request(struct flow_end *e, struct sp_buf *head, struct sp_buf *body);

/* --- upstreams --- */
struct flow_upstream;
struct flow_visit {
    struct flow_end end;
    struct flow_upstream *up;
    unsigned number; /* of the connection, from 0 */
    pthread_t thread;
    struct flow_visit *next;
};
typedef void flow_script(struct flow_visit *v);

struct flow_upstream {
    int fd;
    uint16_t port;
    flow_script *script;
    void *ctx;
    struct sp_tls_server *tls;
    struct sp_arena *tls_arena;
    struct sp_tls_names *tls_names;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct flow_visit *visits;
    unsigned num_visits, marks;
    _Atomic size_t bytes; /* for scripts that count */
    bool stopping;
    char text[4096]; /* the last request head, for the test to look at; under lock */
};
void flow_upstream_start(struct flow_upstream *u, flow_script *script, void *ctx);
/* As above behind TLS with this certificate. */
void flow_upstream_start_tls(struct flow_upstream *u, flow_script *script, struct sp_str cert, struct sp_str key);
void flow_upstream_stop(struct flow_upstream *u);
void flow_mark(struct flow_upstream *u);               /* any thread: one step is done */
bool flow_marked(struct flow_upstream *u, unsigned n); /* waits until at least n steps are done; false: in vain */
unsigned flow_visits(struct flow_upstream *u);         /* connections so far */
void flow_keep_text(struct flow_upstream *u, const struct sp_buf *head);
bool flow_text_has(struct flow_upstream *u, const char *needle);
uint16_t flow_dead_port(int *fd_out); /* bound and not listening: refuses; close fd_out at the end */

/* --- the proxy --- */
struct flow_setup {
    unsigned workers;                                 /* default 1 */
    uint32_t idle_ms, head_ms, body_ms, handshake_ms; /* default 60000 */
    uint32_t look_ms, grace_ms;                       /* default 100, 60000 */
    const struct sp_clock *clock;                     /* default the system's */
    uint32_t max_requests;                            /* default 10000 */
    const char *trusted;                              /* a network */
    const char *real_ip_header;                       /* default none */
    bool real_ip_recursive;
    bool proxy_protocol; /* PROXY headers on both listeners, and believed */
};
struct flow {
    struct sp_loop *loop;
    struct dp_proxy proxy;
    struct dp_proxy_options options;
    struct dp_listener_conf listeners[2]; /* 0 plain, 1 TLS */
    struct sp_network trusted[1];
    struct sp_tls_client *client;
    int64_t revision, live;
    bool drained;
};
void flow_start(struct flow *f, const struct flow_setup *setup); /* NULL: defaults; no configuration yet */
void flow_publish(struct flow *f, const char *yaml);             /* does not wait */
void flow_wait_live(struct flow *f);
void flow_config(struct flow *f, const char *fmt, ...) SP_PRINTF(2, 3); /* YAML; publishes and waits until it is live */
/* One service on 127.0.0.1:port with one route for everything; extra: more fields of the service ("retries: 0"). */
void flow_serve(struct flow *f, uint16_t port, const char *extra);
void flow_drain(struct flow *f, uint32_t grace_ms);
void flow_stop(struct flow *f); /* drains without grace, unless flow_drain was called, and joins */
void flow_connect(struct flow *f, struct flow_end *e);              /* plain */
void flow_connect_to(struct flow *f, struct flow_end *e, bool tls); /* to one of the listeners; nothing is said yet */
/* On such a connection: the handshake, ALPN http/1.1, with `before` in front of its first bytes. */
void flow_begin_tls(struct flow *f, struct flow_end *e, const char *sni, struct sp_str before);
void flow_connect_tls_with(struct flow *f, struct flow_end *e, struct sp_tls_client *client, const char *sni);
void flow_connect_tls(struct flow *f, struct flow_end *e, const char *sni); /* ALPN http/1.1 */
/* One GET on a connection of its own; the status, 0: no answer. */
unsigned flow_get(struct flow *f, const char *path, struct flow_answer *a);
#define flow_count(f, name) dp_proxy_count(&(f)->proxy, offsetof(struct dp_counters, name))
/* Waits until a counter has this value. */
#define flow_until_count(f, name, value) flow_await_count(f, offsetof(struct dp_counters, name), value)
bool flow_await_count(struct flow *f, size_t offset, uint64_t value);
size_t flow_memory(void); /* resident bytes of this process; 0 where a sanitizer keeps them */
uint64_t flow_now_ms(void);
