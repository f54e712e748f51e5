#include "http_test.h"

#include "http/h2.h"

#include <nghttp2/nghttp2.h>

/* A client of nghttp2 and a server of ours, wired by two buffers. */

enum { MAX_STREAMS = 400, OUT_MAX = 65536 };

struct seen { /* what the client got on one stream */
    int status, interims;
    struct sp_buf body, fields, trailers;
    bool ended, in_trailers;
    uint32_t reset; /* code + 1 */
};

struct owner { /* what the server's application knows of one stream */
    struct sp_h2_stream *s;
    struct sp_arena *arena;
    struct sp_request_head *head;
    struct sp_buf body;
    unsigned refused, ends, writables, trailers;
    bool closed, clean;
};

struct pair {
    struct sp_h2 *h;
    struct sp_buf out; /* server to client */
    nghttp2_session *client;
    struct seen seen[MAX_STREAMS];
    struct owner owner[MAX_STREAMS];
    size_t num;
    bool failed, refuse_streams, own_answers, no_credit;
    uint32_t goaway; /* code + 1 */
    uint32_t largest_data;
    size_t origins;
    char why[200];
    /* what the application does */
    void (*on_request)(struct pair *p, struct owner *o, bool end);
    void (*on_writable)(struct pair *p, struct owner *o);
};
static struct pair *now; /* events only get the owner */

/* --- server side */

static void *app_open(void *conn, struct sp_h2_stream *s, struct sp_arena **arena)
{
    struct pair *p = conn;
    if (p->refuse_streams)
        return NULL;
    assert_true(p->num < MAX_STREAMS);
    struct owner *o = &p->owner[p->num++];
    o->s = s;
    *arena = o->arena = sp_arena_new(2048);
    return o;
}

static void app_request(void *owner, struct sp_request_head *head, bool end)
{
    struct owner *o = owner;
    o->head = head;
    o->ends += end;
    if (now->on_request)
        now->on_request(now, o, end);
}

static void app_data(void *owner, struct sp_str bytes, bool end)
{
    struct owner *o = owner;
    sp_buf_add(&o->body, bytes);
    o->ends += end;
    if (!now->no_credit)
        sp_h2_credit(o->s, bytes.len);
}

static void app_trailers(void *owner, const struct sp_fields *trailers)
{
    struct owner *o = owner;
    o->trailers = trailers->len;
    o->ends++;
}

static void app_refused(void *owner, unsigned status, const char *why)
{
    struct owner *o = owner;
    assert_non_null(why);
    o->refused = status;
    struct sp_response_head head = {.status = 400, .framing = SP_BODY_LENGTH, .content_length = 3};
    assert_true(sp_h2_respond(o->s, &head, false));
    assert_false(sp_h2_data(o->s, SP_STR("bad"), true, &now->out, OUT_MAX)); /* in an event: kept */
}

static void app_writable(void *owner)
{
    struct owner *o = owner;
    o->writables++;
    if (now->on_writable)
        now->on_writable(now, o);
}

static void app_closed(void *owner, bool clean)
{
    struct owner *o = owner;
    assert_false(o->closed);
    o->closed = true;
    o->clean = clean;
}

static const struct sp_h2_events events = {.request = app_request,
                                           .data = app_data,
                                           .trailers = app_trailers,
                                           .writable = app_writable,
                                           .closed = app_closed,
                                           .open = app_open};
static struct sp_h2_events own_events;

/* --- client side */

static struct seen *seen_of(struct pair *p, int32_t id)
{
    assert_in_range(id, 0, 2 * MAX_STREAMS - 1);
    return &p->seen[id / 2];
}

static int got_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                      const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct seen *s = seen_of(user, frame->hd.stream_id);
    (void)ng, (void)flags;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0)
        s->status = atoi((const char *)value);
    else
        sp_buf_printf(s->in_trailers ? &s->trailers : &s->fields, "%.*s: %.*s\n", (int)name_len, name, (int)value_len,
                      value);
    return 0;
}

static int got_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user)
{
    (void)ng, (void)flags;
    sp_buf_append(&seen_of(user, id)->body, data, len);
    return 0;
}

static int got_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct pair *p = user;
    struct seen *s = seen_of(p, frame->hd.stream_id);
    (void)ng;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        p->goaway = frame->goaway.error_code + 1;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        s->reset = frame->rst_stream.error_code + 1;
    if (frame->hd.type == NGHTTP2_ORIGIN)
        p->origins = ((nghttp2_ext_origin *)frame->ext.payload)->nov;
    if (frame->hd.type == NGHTTP2_DATA && frame->hd.length > p->largest_data)
        p->largest_data = (uint32_t)frame->hd.length;
    if (frame->hd.type == NGHTTP2_HEADERS && s->status / 100 == 1)
        s->interims++;
    else if (frame->hd.type == NGHTTP2_HEADERS)
        s->in_trailers = true;
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        s->ended = true;
    return 0;
}

static void client_start(struct pair *p, uint32_t window)
{
    nghttp2_session_callbacks *cb;
    nghttp2_option *o;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, got_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, got_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, got_frame);
    nghttp2_option_new(&o);
    nghttp2_option_set_no_http_messaging(o, 1);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_builtin_recv_extension_type(o, NGHTTP2_ORIGIN);
    assert_int_equal(nghttp2_session_client_new2(&p->client, cb, p, o), 0);
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(cb);
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
                                         {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    nghttp2_submit_settings(p->client, NGHTTP2_FLAG_NONE, settings, 2);
}

/* --- the wire */

static void client_to_server(struct pair *p)
{
    const uint8_t *bytes;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(p->client, &bytes)) > 0) {
        struct sp_error err;
        if (p->failed)
            continue;
        for (ssize_t at = 0; at < n; at += 7) /* short reads */
            if (!p->failed &&
                sp_failed(sp_h2_recv(p->h, sp_str(bytes + at, (size_t)(n - at < 7 ? n - at : 7)), &err))) {
                p->failed = true;
                snprintf(p->why, sizeof p->why, "%s", err.text);
            }
    }
    assert_int_equal(n, 0);
}

static void server_to_client(struct pair *p)
{
    do {
        sp_h2_send(p->h, &p->out, OUT_MAX);
        struct sp_str s = sp_buf_str(&p->out);
        assert_int_equal(nghttp2_session_mem_recv(p->client, (const uint8_t *)s.p, s.len), s.len);
        sp_buf_clear(&p->out);
    } while (sp_h2_wants_write(p->h));
}

static void run(struct pair *p)
{
    for (int i = 0; i < 4; i++) {
        client_to_server(p);
        server_to_client(p);
    }
}

static struct pair *pair_new(const struct sp_h2_limits *limits, uint32_t window, bool own_refusals)
{
    struct pair *p = sp_alloc(sizeof *p);
    now = p;
    own_events = events;
    own_events.refused = own_refusals ? app_refused : NULL;
    p->h = sp_h2_new(&own_events, limits ? limits : &sp_h2_default_limits, p);
    client_start(p, window);
    return p;
}

static void pair_free(struct pair *p)
{
    sp_h2_free(p->h);
    nghttp2_session_del(p->client);
    for (size_t i = 0; i < MAX_STREAMS; i++) {
        sp_buf_fini(&p->seen[i].body);
        sp_buf_fini(&p->seen[i].fields);
        sp_buf_fini(&p->seen[i].trailers);
        sp_buf_fini(&p->owner[i].body);
        sp_arena_free(p->owner[i].arena);
    }
    sp_buf_fini(&p->out);
    free(p);
}

#define NV(n, v)                                                                                                       \
    {                                                                                                                  \
        (uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, sizeof(v) - 1, NGHTTP2_NV_FLAG_NO_COPY_NAME                     \
    }
#define M(v) NV(":method", v)
#define S NV(":scheme", "https")
#define A(v) NV(":authority", v)
#define P(v) NV(":path", v)
#define SUBMIT(p, ...)                                                                                                 \
    ({                                                                                                                 \
        const nghttp2_nv nv_[] = {__VA_ARGS__};                                                                        \
        nghttp2_submit_request((p)->client, NULL, nv_, sizeof nv_ / sizeof *nv_, NULL, NULL);                          \
    })

struct upload {
    size_t left;
    bool hold;
};

static ssize_t read_upload(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
    struct upload *u = source->ptr;
    (void)ng, (void)id, (void)user;
    size_t n = u->left < length ? u->left : length;
    memset(buf, 'u', n);
    u->left -= n;
    if (n == 0 && u->hold)
        return NGHTTP2_ERR_DEFERRED;
    if (u->left == 0 && !u->hold)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

#define SUBMIT_BODY(p, u, ...)                                                                                         \
    ({                                                                                                                 \
        const nghttp2_nv nv_[] = {__VA_ARGS__};                                                                        \
        nghttp2_data_provider body_ = {.source.ptr = (u), .read_callback = read_upload};                               \
        nghttp2_submit_request((p)->client, NULL, nv_, sizeof nv_ / sizeof *nv_, &body_, NULL);                        \
    })

static void answer(struct pair *p, struct owner *o, bool end)
{
    (void)p, (void)end;
    struct sp_response_head head = {.status = 204};
    assert_true(sp_h2_respond(o->s, &head, true));
}

/* --- malformed requests */

#define REFUSED(...)                                                                                                   \
    do {                                                                                                               \
        struct pair *p = pair_new(NULL, 65535, false);                                                                 \
        p->on_request = answer;                                                                                        \
        SUBMIT(p, __VA_ARGS__);                                                                                        \
        SUBMIT(p, M("GET"), S, A("a"), P("/"));                                                                        \
        run(p);                                                                                                        \
        assert_null(p->owner[0].head); /* never a request */                                                           \
        assert_true(p->owner[0].closed);                                                                               \
        assert_true(p->seen[0].reset == NGHTTP2_PROTOCOL_ERROR + 1 || p->seen[0].status / 100 == 4);                   \
        assert_int_equal(p->seen[1].status, 204); /* the connection lives on */                                        \
        pair_free(p);                                                                                                  \
    } while (0)

static void refuses_malformed_heads(void **state)
{
    (void)state;
    REFUSED(M("GET"), S, A("a"));
    REFUSED(M("GET"), S, P("/"));
    REFUSED(M("GET"), A("a"), P("/"));
    REFUSED(S, A("a"), P("/"));
    REFUSED(M("GET"), S, A("a"), P(""));
    REFUSED(M("GET"), S, A(""), P("/"));
    REFUSED(M("GET"), S, A("a b"), P("/"));
    REFUSED(M("GET"), S, A("u@a"), P("/"));
    REFUSED(M("GET"), S, A("a"), P("*"));
    REFUSED(M("GET"), S, A("a"), P("p"));
    REFUSED(M("GET"), S, A("a"), P("/a b"));
    REFUSED(M("GET"), S, A("a"), P("/a#b"));
    REFUSED(M("GET"), S, A("a"), P("/\xff"));
    REFUSED(M("GET"), S, A("a"), P("/a\r\nb: c"));
    REFUSED(M("G T"), S, A("a"), P("/"));
    REFUSED(M("GET"), NV(":scheme", "ftp"), A("a"), P("/"));
    REFUSED(M("GET"), S, A("a"), P("/"), P("/"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("host", "b"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("host", "a"), NV("host", "a"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV(":status", "200"));
    REFUSED(M("GET"), S, A("a"), NV("x", "y"), P("/"));
    REFUSED(M("CONNECT"), A("a:443"));
    REFUSED(M("CONNECT"), S, A("a"), P("/"), NV(":protocol", "websocket"));
}

static void refuses_malformed_fields(void **state)
{
    (void)state;
    REFUSED(M("GET"), S, A("a"), P("/"), NV("X-Upper", "y"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("", "y"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("a b", "y"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("a:b", "y"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("x", "a\r\nb: c"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("x", "a\nb"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("x", "a\0b"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("x", " a"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("x", "a\t"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("connection", "close"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("keep-alive", "1"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("proxy-connection", "close"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("upgrade", "websocket"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("transfer-encoding", "chunked"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("te", "gzip"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("content-length", "5"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("content-length", "+0"));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("content-length", ""));
    REFUSED(M("GET"), S, A("a"), P("/"), NV("content-length", "0"), NV("content-length", "0"));
}

static void body_must_match_content_length(void **state)
{
    (void)state;
    for (size_t size = 4; size <= 6; size += 2) {
        struct pair *p = pair_new(NULL, 65535, false);
        struct upload u = {.left = size};
        SUBMIT_BODY(p, &u, M("POST"), S, A("a"), P("/"), NV("content-length", "5"));
        run(p);
        assert_int_equal(p->owner[0].ends, 0);
        assert_int_equal(p->seen[0].reset, NGHTTP2_PROTOCOL_ERROR + 1);
        assert_true(p->owner[0].closed);
        assert_false(p->owner[0].clean);
        pair_free(p);
    }
}

static void limits_fields_and_bytes(void **state)
{
    (void)state;
    struct sp_h2_limits limits = sp_h2_default_limits;
    limits.max_fields = 3;
    limits.max_head_bytes = 400;
    struct pair *p = pair_new(&limits, 65535, true);
    p->on_request = answer;
    SUBMIT(p, M("GET"), S, A("a"), P("/"), NV("a", "1"), NV("a", "1"), NV("a", "1"));
    SUBMIT(p, M("GET"), S, A("a"), P("/"), NV("cookie", "1"), NV("cookie", "2"), NV("cookie", "3"), NV("cookie", "4"));
    SUBMIT(p, M("GET"), S, A("a"), P("/"),
           NV("a",
              "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
              "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
              "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    run(p);
    assert_int_equal(p->seen[0].status, 204);
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(p->owner[i].refused, 494);
        assert_null(p->owner[i].head);
        assert_int_equal(p->seen[i].status, 400);
        assert_str(sp_buf_str(&p->seen[i].body), "bad");
        assert_true(p->seen[i].ended);
        assert_true(p->owner[i].closed && p->owner[i].clean);
    }
    pair_free(p);
}

static void a_flood_of_fields_ends_the_session(void **state)
{
    (void)state;
    struct sp_h2_limits limits = sp_h2_default_limits;
    limits.max_fields = 4;
    struct pair *p = pair_new(&limits, 65535, true);
    nghttp2_nv nv[64] = {M("GET"), S, A("a"), P("/")};
    for (int i = 4; i < 64; i++)
        nv[i] = (nghttp2_nv)NV("cookie", "c");
    nghttp2_submit_request(p->client, NULL, nv, 64, NULL, NULL);
    run(p);
    assert_true(p->failed);
    assert_int_equal(p->goaway, NGHTTP2_ENHANCE_YOUR_CALM + 1);
    assert_true(sp_h2_finished(p->h));
    pair_free(p);
}

static void resets_by_the_client_are_limited(void **state)
{
    (void)state;
    struct sp_h2_limits limits = sp_h2_default_limits;
    limits.resets_burst = 10;
    limits.resets_per_s = 0;
    struct pair *p = pair_new(&limits, 65535, false);
    for (int i = 0; i < 11; i++) {
        assert_false(p->failed);
        int32_t id = SUBMIT(p, M("GET"), S, A("a"), P("/"));
        client_to_server(p);
        nghttp2_submit_rst_stream(p->client, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
        client_to_server(p);
        assert_true(p->owner[i].closed);
        assert_int_equal(sp_h2_num_streams(p->h), 0);
    }
    assert_true(p->failed);
    assert_non_null(strstr(p->why, "flood of resets"));
    server_to_client(p);
    assert_int_equal(p->goaway, NGHTTP2_ENHANCE_YOUR_CALM + 1);
    assert_true(sp_h2_finished(p->h));
    pair_free(p);
}

static void resets_that_the_client_provokes_are_limited(void **state)
{
    (void)state;
    struct sp_h2_limits limits = sp_h2_default_limits;
    limits.resets_burst = 10;
    limits.resets_per_s = 0;
    struct pair *p = pair_new(&limits, 65535, false);
    for (int i = 0; i < 12; i++) {
        SUBMIT(p, M("GET"), S, A("a"), P("/"), NV("connection", "close"));
        run(p);
    }
    assert_int_equal(p->goaway, NGHTTP2_ENHANCE_YOUR_CALM + 1);
    assert_true(sp_h2_finished(p->h));
    struct sp_error err;
    assert_true(sp_failed(sp_h2_recv(p->h, SP_STR("x"), &err)));
    pair_free(p);
}

static void resets_of_the_owner_are_not_counted(void **state)
{
    (void)state;
    struct sp_h2_limits limits = sp_h2_default_limits;
    limits.resets_burst = 2;
    limits.resets_per_s = 0;
    struct pair *p = pair_new(&limits, 65535, false);
    for (int i = 0; i < 10; i++) {
        SUBMIT(p, M("GET"), S, A("a"), P("/"));
        client_to_server(p);
        sp_h2_reset(p->owner[i].s, NGHTTP2_INTERNAL_ERROR);
        run(p);
        assert_int_equal(p->seen[i].reset, NGHTTP2_INTERNAL_ERROR + 1);
        assert_true(p->owner[i].closed);
        assert_false(p->owner[i].clean);
    }
    assert_false(p->failed);
    pair_free(p);
}

static void control_frames_are_limited(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    for (int i = 0; i < 400 && !p->failed; i++) {
        for (int k = 0; k < 100; k++)
            nghttp2_submit_ping(p->client, NGHTTP2_FLAG_NONE, NULL);
        run(p);
    }
    assert_true(p->failed);
    pair_free(p);
}

static void acks_that_nobody_reads_are_limited(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    run(p);
    for (int k = 0; k < 300; k++)
        nghttp2_submit_ping(p->client, NGHTTP2_FLAG_NONE, NULL);
    client_to_server(p);
    assert_true(p->failed);
    pair_free(p);
}

static void garbage_ends_the_session(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    struct sp_error err;
    assert_true(sp_failed(sp_h2_recv(p->h, SP_STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), &err)));
    assert_int_equal(err.code, SP_E_PROTO);
    assert_true(sp_failed(sp_h2_recv(p->h, SP_STR("more"), &err)));
    sp_h2_send(p->h, &p->out, OUT_MAX);
    assert_true(sp_h2_finished(p->h));
    pair_free(p);
}

static void streams_can_be_refused(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    p->refuse_streams = true;
    SUBMIT(p, M("GET"), S, A("a"), P("/"));
    run(p);
    assert_int_equal(p->seen[0].reset, NGHTTP2_REFUSED_STREAM + 1);
    assert_int_equal(p->num, 0);
    pair_free(p);
}

/* --- requests that are fine */

static void gives_a_request(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    p->on_request = answer;
    SUBMIT(p, M("GET"), S, A("a.example:8443"), P("/p?q"), NV("cookie", "a=1"), NV("x-long-name", "v"),
           NV("cookie", "b=2"), NV("te", "trailers"), NV("host", "A.example:8443"), NV("cookie", "c=3"));
    SUBMIT(p, M("POST"), S, P("/"), NV("host", "h"));
    SUBMIT(p, M("OPTIONS"), S, A("h"), P("*"));
    run(p);
    struct sp_request_head *h = p->owner[0].head;
    assert_str(h->method, "GET");
    assert_str(h->target, "/p?q");
    assert_str(h->authority, "a.example:8443");
    assert_int_equal(h->version, SP_HTTP_2);
    assert_int_equal(h->framing, SP_BODY_NONE);
    assert_false(h->has_length);
    assert_str(sp_fields_find_id(&h->fields, SP_FIELD_COOKIE)->value, "a=1; b=2; c=3");
    assert_str(sp_fields_find(&h->fields, SP_STR("x-long-name"))->value, "v");
    assert_null(sp_fields_find(&h->fields, SP_STR("host")));
    assert_int_equal(p->owner[0].ends, 1);
    assert_true(p->owner[0].clean);
    assert_str(p->owner[1].head->authority, "h");
    assert_true(p->owner[1].head->has_length); /* a POST without a body says so to HTTP/1 */
    assert_int_equal(p->owner[1].head->content_length, 0);
    assert_str(p->owner[2].head->target, "*");
    for (int i = 0; i < 3; i++)
        assert_int_equal(p->seen[i].status, 204);
    assert_int_equal(sp_h2_num_streams(p->h), 0);
    pair_free(p);
}

static void answer_at_end(struct pair *p, struct owner *o, bool end)
{
    if (end)
        answer(p, o, end);
}

static void request_body_waits_for_credit(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    p->on_request = answer_at_end;
    p->no_credit = true;
    struct upload u = {.left = 200000};
    SUBMIT_BODY(p, &u, M("POST"), S, A("a"), P("/"), NV("content-length", "200000"));
    run(p);
    struct owner *o = &p->owner[0];
    assert_int_equal(o->head->framing, SP_BODY_STREAM);
    assert_true(o->head->has_length);
    assert_int_equal(o->head->content_length, 200000);
    size_t first = o->body.len;
    assert_in_range(first, 60000, 65536);
    run(p);
    assert_int_equal(o->body.len, first);
    sp_h2_credit(o->s, first);
    p->no_credit = false;
    for (int i = 0; i < 10; i++)
        run(p);
    assert_int_equal(o->body.len, 200000);
    assert_int_equal(o->ends, 1);
    pair_free(p);
}

static void an_abandoned_body_gives_its_window_back(void **state)
{
    (void)state;
    struct sp_h2_limits limits = sp_h2_default_limits;
    limits.connection_window = 65535;
    struct pair *p = pair_new(&limits, 65535, false);
    p->no_credit = true;
    for (int i = 0; i < 8; i++) { /* together more than the connection's window */
        struct upload u = {.left = 30000, .hold = true};
        int32_t id = SUBMIT_BODY(p, &u, M("POST"), S, A("a"), P("/"));
        run(p);
        assert_int_equal(p->owner[i].body.len, 30000);
        nghttp2_submit_rst_stream(p->client, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
        run(p);
    }
    pair_free(p);
}

static ssize_t read_with_trailers(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                                  nghttp2_data_source *source, void *user)
{
    (void)source, (void)user, (void)length;
    static const nghttp2_nv nv[] = {NV("x-sum", "1"), NV("authorization", "no"), NV("grpc-status", "0")};
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_submit_trailer(ng, id, nv, 3);
    memcpy(buf, "abc", 3);
    return 3;
}

static void request_trailers(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    const nghttp2_nv nv[] = {M("POST"), S, A("a"), P("/")};
    nghttp2_data_provider body = {.read_callback = read_with_trailers};
    nghttp2_submit_request(p->client, NULL, nv, 4, &body, NULL);
    run(p);
    assert_str(sp_buf_str(&p->owner[0].body), "abc");
    assert_int_equal(p->owner[0].ends, 1);
    assert_int_equal(p->owner[0].trailers, 2); /* not Authorization */
    pair_free(p);
}

/* --- responses */

static void respond(struct owner *o, bool end)
{
    struct sp_fields f = {0};
    sp_fields_add(&f, o->arena, SP_FIELD_OTHER, SP_STR("X-Mixed-Case"), SP_STR("v"));
    sp_fields_add(&f, o->arena, SP_FIELD_OTHER, SP_STR("Connection"), SP_STR("close"));
    sp_fields_add(&f, o->arena, SP_FIELD_OTHER, SP_STR("Transfer-Encoding"), SP_STR("chunked"));
    sp_fields_add(&f, o->arena, SP_FIELD_OTHER, SP_STR("Content-Length"), SP_STR("77"));
    struct sp_response_head head = {.status = 200, .framing = SP_BODY_CHUNKED, .fields = f};
    assert_true(sp_h2_respond(o->s, &head, end));
    assert_false(sp_h2_respond(o->s, &head, end)); /* once */
}

static void response_goes_out_at_once(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    SUBMIT(p, M("GET"), S, A("a"), P("/"));
    run(p);
    struct owner *o = &p->owner[0];
    struct sp_response_head hints = {.status = 103};
    assert_true(sp_h2_respond(o->s, &hints, false));
    respond(o, false);
    assert_true(sp_h2_data(o->s, SP_STR("hello "), false, &p->out, OUT_MAX));
    assert_true(p->out.len > 0); /* without sp_h2_send */
    assert_true(sp_h2_data(o->s, SP_STR("world"), true, &p->out, OUT_MAX));
    assert_false(o->closed); /* events come out of send only */
    run(p);
    assert_true(o->closed && o->clean);
    assert_int_equal(p->seen[0].interims, 1);
    assert_int_equal(p->seen[0].status, 200);
    assert_str(sp_buf_str(&p->seen[0].fields), "x-mixed-case: v\n");
    assert_str(sp_buf_str(&p->seen[0].body), "hello world");
    assert_true(p->seen[0].ended);
    pair_free(p);
}

static void refuses_to_send_bad_responses(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    SUBMIT(p, M("GET"), S, A("a"), P("/"));
    run(p);
    struct owner *o = &p->owner[0];
    static const unsigned bad[] = {0, 99, 101, 1000};
    for (size_t i = 0; i < 4; i++) {
        struct sp_response_head head = {.status = bad[i]};
        assert_false(sp_h2_respond(o->s, &head, false));
    }
    static const char *const fields[][2] = {{"a b", "v"}, {"a", "v\r\nb: c"}, {"", "v"}, {"a:", "v"}};
    for (size_t i = 0; i < 4; i++) {
        struct sp_response_head head = {.status = 200};
        sp_fields_add(&head.fields, o->arena, SP_FIELD_OTHER, sp_str_z(fields[i][0]), sp_str_z(fields[i][1]));
        assert_false(sp_h2_respond(o->s, &head, true));
    }
    respond(o, true);
    run(p);
    assert_int_equal(p->seen[0].status, 200);
    pair_free(p);
}

static char big[300000];

static void window_keeps_a_copy_of_the_rest(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 40000, false);
    SUBMIT(p, M("GET"), S, A("a"), P("/"));
    run(p);
    struct owner *o = &p->owner[0];
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)('a' + i % 23);
    char *copy = sp_alloc(60000);
    memcpy(copy, big, 60000);
    respond(o, false);
    assert_false(sp_h2_data(o->s, sp_str(copy, 60000), false, &p->out, OUT_MAX));
    memset(copy, 'x', 60000);
    free(copy);
    run(p);
    assert_int_equal(p->seen[0].body.len, 40000);
    assert_int_equal(o->writables, 0);
    assert_int_equal(p->largest_data, 16384 - 9); /* one record */
    nghttp2_submit_window_update(p->client, NGHTTP2_FLAG_NONE, 1, 100000);
    nghttp2_submit_window_update(p->client, NGHTTP2_FLAG_NONE, 0, 100000);
    run(p);
    assert_int_equal(o->writables, 1);
    assert_true(sp_h2_data(o->s, sp_str(big + 60000, 10), true, &p->out, OUT_MAX));
    run(p);
    assert_int_equal(p->seen[0].body.len, 60010);
    assert_memory_equal(sp_buf_str(&p->seen[0].body).p, big, 60010);
    assert_true(o->closed && o->clean);
    pair_free(p);
}

static size_t sent;
static void send_more(struct pair *p, struct owner *o)
{
    while (sent < sizeof big) {
        size_t n = sizeof big - sent < 20000 ? sizeof big - sent : 20000;
        sent += n;
        if (!sp_h2_data(o->s, sp_str(big + sent - n, n), sent == sizeof big, &p->out, OUT_MAX))
            return;
    }
}

static void writable_drives_a_long_body(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 1 << 20, false);
    p->on_writable = send_more;
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)('a' + i % 23);
    nghttp2_submit_window_update(p->client, NGHTTP2_FLAG_NONE, 0, 1 << 20);
    SUBMIT(p, M("GET"), S, A("a"), P("/"));
    run(p);
    respond(&p->owner[0], false);
    sent = 0;
    send_more(p, &p->owner[0]);
    assert_in_range(p->out.len, OUT_MAX, OUT_MAX + 16384); /* the bound of the output */
    assert_true(sp_h2_wants_write(p->h));
    run(p);
    assert_int_equal(p->seen[0].body.len, sizeof big);
    assert_memory_equal(sp_buf_str(&p->seen[0].body).p, big, sizeof big);
    assert_true(p->owner[0].clean);
    pair_free(p);
}

static void response_trailers(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    SUBMIT(p, M("POST"), S, A("a"), P("/"));
    SUBMIT(p, M("POST"), S, A("a"), P("/"));
    run(p);
    for (int i = 0; i < 2; i++) {
        struct owner *o = &p->owner[i];
        struct sp_fields t = {0};
        sp_fields_add(&t, o->arena, SP_FIELD_OTHER, SP_STR("Grpc-Status"), SP_STR("0"));
        sp_fields_add(&t, o->arena, SP_FIELD_OTHER, SP_STR("Content-Length"), SP_STR("0"));
        respond(o, false);
        if (i == 0)
            assert_true(sp_h2_data(o->s, SP_STR("abc"), false, &p->out, OUT_MAX));
        sp_h2_trailers(o->s, &t);
        run(p);
        assert_str(sp_buf_str(&p->seen[i].trailers), "grpc-status: 0\n");
        assert_true(p->seen[i].ended);
        assert_true(o->clean);
    }
    assert_str(sp_buf_str(&p->seen[0].body), "abc");
    pair_free(p);
}

static void the_rest_of_a_request_after_its_answer_is_dropped(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    p->on_request = answer;
    struct upload u = {.left = 100000};
    SUBMIT_BODY(p, &u, M("POST"), S, A("a"), P("/"));
    run(p);
    assert_int_equal(p->seen[0].status, 204);
    assert_int_equal(u.left, 0);
    assert_int_equal(p->seen[0].reset, 0); /* some clients would call that a failure */
    assert_true(p->owner[0].closed && p->owner[0].clean);
    pair_free(p);
}

static void too_much_of_it_ends_in_a_reset(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    p->on_request = answer;
    struct upload u = {.left = 10 << 20};
    SUBMIT_BODY(p, &u, M("POST"), S, A("a"), P("/"));
    for (int i = 0; i < 4; i++)
        run(p);
    assert_int_equal(p->seen[0].status, 204);
    assert_int_equal(p->seen[0].reset, NGHTTP2_NO_ERROR + 1);
    assert_true(u.left > 9 << 20);
    assert_true(p->owner[0].closed && p->owner[0].clean);
    pair_free(p);
}

static void client_that_goes_in_the_middle(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 1000, false);
    int32_t id = SUBMIT(p, M("GET"), S, A("a"), P("/"));
    run(p);
    struct owner *o = &p->owner[0];
    respond(o, false);
    assert_false(sp_h2_data(o->s, sp_str(big, 5000), true, &p->out, OUT_MAX));
    run(p);
    nghttp2_submit_rst_stream(p->client, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    client_to_server(p);
    assert_true(o->closed);
    assert_false(o->clean);
    pair_free(p);
}

static void drain_is_in_two_phases(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    SUBMIT(p, M("GET"), S, A("a"), P("/"));
    run(p);
    sp_h2_drain(p->h, false);
    run(p);
    assert_int_equal(p->goaway, NGHTTP2_NO_ERROR + 1);
    sp_h2_drain(p->h, true);
    run(p);
    assert_false(sp_h2_finished(p->h)); /* one is under way */
    respond(&p->owner[0], true);
    run(p);
    assert_int_equal(p->seen[0].status, 200);
    assert_true(sp_h2_finished(p->h));
    pair_free(p);
}

static void origins_are_told(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 65535, false);
    const struct sp_str origins[] = {SP_STR("https://a.example"), SP_STR("https://b.example")};
    sp_h2_origins(p->h, origins, 2);
    run(p);
    assert_int_equal(p->origins, 2);
    pair_free(p);
}

static void free_with_streams_under_way(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, 1000, false);
    for (int i = 0; i < 5; i++)
        SUBMIT(p, M("GET"), S, A("a"), P("/"));
    run(p);
    for (int i = 0; i < 5; i++) {
        respond(&p->owner[i], false);
        assert_false(sp_h2_data(p->owner[i].s, sp_str(big, 5000), false, &p->out, OUT_MAX));
    }
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_malformed_heads),
        cmocka_unit_test(refuses_malformed_fields),
        cmocka_unit_test(body_must_match_content_length),
        cmocka_unit_test(limits_fields_and_bytes),
        cmocka_unit_test(a_flood_of_fields_ends_the_session),
        cmocka_unit_test(resets_by_the_client_are_limited),
        cmocka_unit_test(resets_that_the_client_provokes_are_limited),
        cmocka_unit_test(resets_of_the_owner_are_not_counted),
        cmocka_unit_test(control_frames_are_limited),
        cmocka_unit_test(acks_that_nobody_reads_are_limited),
        cmocka_unit_test(garbage_ends_the_session),
        cmocka_unit_test(streams_can_be_refused),
        cmocka_unit_test(gives_a_request),
        cmocka_unit_test(request_body_waits_for_credit),
        cmocka_unit_test(an_abandoned_body_gives_its_window_back),
        cmocka_unit_test(request_trailers),
        cmocka_unit_test(response_goes_out_at_once),
        cmocka_unit_test(refuses_to_send_bad_responses),
        cmocka_unit_test(window_keeps_a_copy_of_the_rest),
        cmocka_unit_test(writable_drives_a_long_body),
        cmocka_unit_test(response_trailers),
        cmocka_unit_test(the_rest_of_a_request_after_its_answer_is_dropped),
        cmocka_unit_test(too_much_of_it_ends_in_a_reset),
        cmocka_unit_test(client_that_goes_in_the_middle),
        cmocka_unit_test(drain_is_in_two_phases),
        cmocka_unit_test(origins_are_told),
        cmocka_unit_test(free_with_streams_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
