#include "flow_h2.h"

#include <stdio.h>

static struct flow_h2_stream *find(struct flow_h2 *h, int32_t id)
{
    unsigned i = (unsigned)(id - 1) / 2;
    return id > 0 && i < h->num && h->streams[i].id == id ? &h->streams[i] : NULL;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct flow_h2_stream *s = find(user, frame->hd.stream_id);
    (void)ng, (void)flags;
    if (!s)
        return 0;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0) {
        s->interim += s->status && s->status < 200;
        s->status = (unsigned)((value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0'));
    } else if (frame->headers.cat == NGHTTP2_HCAT_HEADERS && s->status >= 200) {
        snprintf(s->trailer, sizeof s->trailer, "%.*s=%.*s", (int)name_len, (const char *)name, (int)value_len,
                 (const char *)value);
    }
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user)
{
    struct flow_h2 *h = user;
    struct flow_h2_stream *s = find(h, id);
    (void)flags, (void)data;
    if (s)
        s->body += len;
    if (!h->hold)
        nghttp2_session_consume(ng, id, len);
    return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct flow_h2 *h = user;
    (void)ng;
    struct flow_h2_stream *s = find(h, frame->hd.stream_id);
    if (s && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        s->whole = true;
    return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
    struct flow_h2 *h = user;
    struct flow_h2_stream *s = find(h, id);
    (void)ng;
    if (!s)
        return 0;
    s->closed = true;
    s->error = error;
    h->closed++;
    h->ok += s->whole && s->status == 200;
    return 0;
}

void flow_h2_open(struct flow *f, struct flow_h2 *h, bool hold)
{
    struct sp_error err;
    struct sp_tls_client_options o = {.alpn = "h2"};
    sp_tls_client_free(f->client);
    assert_false(sp_failed(sp_tls_client_new(&o, &f->client, &err)));
    assert_true(flow_h2_open_with(f, h, f->client, hold));
    assert_true(sp_str_eq(sp_tls_peer(h->e.tls)->alpn, SP_STR("h2")));
}

bool flow_h2_open_with(struct flow *f, struct flow_h2 *h, struct sp_tls_client *client, bool hold)
{
    nghttp2_session_callbacks *cb;
    nghttp2_option *o;
    *h = (struct flow_h2){.hold = hold};
    flow_connect_tls_with(f, &h->e, client, "a.test");
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_option_new(&o);
    nghttp2_option_set_no_auto_window_update(o, 1);
    assert_int_equal(nghttp2_session_client_new2(&h->ng, cb, h, o), 0);
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(cb);
    assert_int_equal(nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, NULL, 0), 0);
    return !h->e.broken;
}

void flow_h2_shut(struct flow_h2 *h)
{
    nghttp2_session_del(h->ng);
    h->ng = NULL;
    sp_buf_fini(&h->frames);
    flow_shut(&h->e);
}

static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *to, size_t cap, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    struct flow_h2_stream *s = source->ptr;
    (void)ng, (void)id, (void)user;
    if (s->wait && s->to_send == 0)
        return NGHTTP2_ERR_DEFERRED;
    size_t n = s->to_send < cap ? s->to_send : cap;
    memset(to, 'x', n);
    s->to_send -= n;
    if (s->to_send == 0 && !s->wait)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), 0};
}

struct flow_h2_stream *flow_h2_ask(struct flow_h2 *h, const char *method, const char *path, size_t body, bool wait)
{
    assert_true(h->num < FLOW_H2_STREAMS);
    struct flow_h2_stream *s = &h->streams[h->num++];
    *s = (struct flow_h2_stream){.to_send = body, .wait = wait};
    nghttp2_nv fields[] = {nv(":method", method), nv(":scheme", "https"), nv(":authority", "a.test"), nv(":path", path),
                           nv("user-agent", "flow")};
    nghttp2_data_provider data = {.source.ptr = s, .read_callback = on_read};
    s->id = nghttp2_submit_request(h->ng, NULL, fields, sizeof fields / sizeof *fields, body || wait ? &data : NULL, s);
    assert_int_equal(s->id, 2 * h->num - 1);
    return s;
}

void flow_h2_go(struct flow_h2 *h, struct flow_h2_stream *s, size_t more)
{
    s->to_send += more;
    s->wait = false;
    nghttp2_session_resume_data(h->ng, s->id);
}

void flow_h2_reset(struct flow_h2 *h, struct flow_h2_stream *s)
{
    nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
}

void flow_h2_release(struct flow_h2 *h)
{
    h->hold = false;
    for (unsigned i = 0; i < h->num; i++)
        nghttp2_session_consume(h->ng, h->streams[i].id, h->streams[i].body);
}

bool flow_h2_flush(struct flow_h2 *h)
{
    const uint8_t *bytes;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(h->ng, &bytes)) > 0)
        if (!flow_send(&h->e, bytes, (size_t)n))
            return false;
    return n == 0;
}

static uint32_t u32(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* nghttp2 as a client is deaf once it has read a GOAWAY and has no stream: frames are looked at here too. */
static void note_goaways(struct flow_h2 *h, struct sp_str in)
{
    sp_buf_add(&h->frames, in);
    for (;;) {
        struct sp_str all = sp_buf_str(&h->frames);
        if (all.len < 9)
            return;
        size_t size = 9 + (u32(all.p) >> 8);
        if (all.len < size)
            return;
        if (all.p[3] == NGHTTP2_GOAWAY) {
            h->goaways++;
            h->last_id = (int32_t)u32(all.p + 9);
            h->goaway_error = u32(all.p + 13);
        }
        sp_buf_consume(&h->frames, size);
    }
}

bool flow_h2_turn(struct flow_h2 *h)
{
    bool sent = flow_h2_flush(h); /* what has come is still taken when nothing can be sent any more */
    if (h->e.in.len == 0 && !flow_fill(&h->e))
        return false;
    struct sp_str in = sp_buf_str(&h->e.in);
    note_goaways(h, in);
    ssize_t n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)in.p, in.len);
    flow_take(&h->e, in.len);
    (void)sent;
    return n >= 0;
}
