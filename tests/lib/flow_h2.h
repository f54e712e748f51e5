/* A scripted HTTP/2 client for flow tests, over a TLS end. The test's thread only. */
#pragma once
#include "flow.h"

#include <nghttp2/nghttp2.h>

enum { FLOW_H2_STREAMS = 2048 };

struct flow_h2_stream {
    int32_t id;
    unsigned status, interim;
    size_t body;        /* bytes received */
    size_t to_send;     /* bytes of request body that are left */
    bool wait;          /* to_send waits for flow_h2_go */
    bool whole, closed; /* END_STREAM came; no more comes */
    uint32_t error;     /* of RST_STREAM */
    char trailer[64];   /* the last field of a trailer section, "name=value" */
};

struct flow_h2 {
    struct flow_end e;
    nghttp2_session *ng;
    struct flow_h2_stream streams[FLOW_H2_STREAMS];
    unsigned num, closed, ok; /* begun, ended, ended whole with 200 */
    struct sp_buf frames;     /* the begun frame */
    unsigned goaways;
    int32_t last_id;
    uint32_t goaway_error;
    bool hold; /* give no window back */
};

void flow_h2_open(struct flow *f, struct flow_h2 *h, bool hold);
bool flow_h2_open_with(struct flow *f, struct flow_h2 *h, struct sp_tls_client *client, bool hold); /* any thread */
void flow_h2_shut(struct flow_h2 *h);                                                               /* idempotent */
/* These queue; flow_h2_turn or flow_h2_flush sends. */
struct flow_h2_stream *flow_h2_ask(struct flow_h2 *h, const char *method, const char *path, size_t body, bool wait);
void flow_h2_go(struct flow_h2 *h, struct flow_h2_stream *s, size_t more); /* lets a waiting body go on */
void flow_h2_reset(struct flow_h2 *h, struct flow_h2_stream *s);
void flow_h2_release(struct flow_h2 *h); /* gives back all that was held, and holds no more */
bool flow_h2_flush(struct flow_h2 *h);
bool flow_h2_turn(struct flow_h2 *h); /* sends, waits for bytes, takes them; false: the connection has ended */
#define flow_h2_until(h, condition)                                                                                    \
    ({                                                                                                                 \
        while (!(condition) && flow_h2_turn(h))                                                                        \
            ;                                                                                                          \
        (condition);                                                                                                   \
    })
