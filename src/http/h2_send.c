/* HTTP/2 server, sending half. Body bytes are copied once, from the caller's span into the connection's output: nghttp2
 * only says which stream may send how much (NGHTTP2_DATA_FLAG_NO_COPY). */
#include "http/h2_session.h"

#include "http/chars.h"
#include "http/h1_head.h"

#include <stdlib.h>

enum {
    FRAME_HEAD = 9,
    DATA_PAYLOAD = 16384 - FRAME_HEAD, /* a full DATA frame fills one TLS record */
    STACK_FIELDS = 48,
    MAX_DROPPED = 256 << 10, /* bytes of a request that may come after its answer */
};

/* --- nghttp2 callbacks */

static ssize_t on_read_length(nghttp2_session *ng, uint8_t type, int32_t id, int32_t session_window,
                              int32_t stream_window, uint32_t max_frame, void *user)
{
    (void)ng, (void)type, (void)id, (void)session_window, (void)stream_window, (void)max_frame, (void)user;
    return DATA_PAYLOAD; /* nghttp2 takes the least of this, the windows and the peer's frame size */
}

static void submit_trailers(struct sp_h2_stream *s)
{
    nghttp2_nv nv[STACK_FIELDS];
    size_t num = 0;
    for (uint32_t i = 0; i < s->trailers_out.len && num < STACK_FIELDS; i++) {
        struct sp_field *f = &s->trailers_out.v[i];
        nv[num++] =
            (nghttp2_nv){(uint8_t *)f->name.p, (uint8_t *)f->value.p, f->name.len, f->value.len, NGHTTP2_NV_FLAG_NONE};
    }
    nghttp2_submit_trailer(s->h->ng, s->id, nv, num);
}

static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    struct sp_h2_stream *s = source->ptr;
    (void)ng, (void)id, (void)buf, (void)user;
    size_t total = s->kept.len + s->span.len;
    if (s->reset || (total == 0 && !s->ended)) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (total > length)
        return (ssize_t)length;
    if (s->ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->has_trailers) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(s);
        }
    }
    return (ssize_t)total;
}

static void now_writable(struct sp_h2_stream *s)
{
    s->was_kept = false;
    if (s->is_ready || s->ended)
        return;
    s->is_ready = true;
    s->next_ready = NULL;
    *s->h->ready_end = s;
    s->h->ready_end = &s->next_ready;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *framehd, size_t length,
                        nghttp2_data_source *source, void *user)
{
    struct sp_h2 *h = user;
    struct sp_h2_stream *s = source->ptr;
    (void)ng, (void)frame;
    if (h->out->len >= h->max)
        return NGHTTP2_ERR_WOULDBLOCK;
    sp_assert(length <= s->kept.len + s->span.len);
    char *at = sp_buf_reserve(h->out, FRAME_HEAD + length);
    memcpy(at, framehd, FRAME_HEAD);
    size_t old = length < s->kept.len ? length : s->kept.len;
    if (old) {
        memcpy(at + FRAME_HEAD, s->kept.p + s->kept.off, old);
        sp_buf_consume(&s->kept, old);
    }
    if (length > old) {
        memcpy(at + FRAME_HEAD + old, s->span.p, length - old);
        s->span = sp_str_skip(s->span, length - old);
    }
    sp_buf_commit(h->out, FRAME_HEAD + length);
    h->data_sent += length;
    if (s->was_kept && s->kept.len == 0)
        now_writable(s);
    return 0;
}

/* A response that is complete before its request: nobody wants the rest (RFC 9113 8.1), but some clients (curl 7.88)
 * take a reset that comes before they are done for a failure. So the rest is read and dropped, within bounds. */
static void note_answered(struct sp_h2 *h, const nghttp2_frame *frame)
{
    struct sp_h2_stream *s = nghttp2_session_get_stream_user_data(h->ng, frame->hd.stream_id);
    if (s)
        s->answered = true;
}

void sp_h2_drop_rest(struct sp_h2_stream *s, size_t len)
{
    nghttp2_session_consume(s->h->ng, s->id, len);
    s->dropped += len;
    if (s->dropped <= MAX_DROPPED)
        return;
    s->reset = true;
    nghttp2_submit_rst_stream(s->h->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct sp_h2 *h = user;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            note_answered(h, frame);
        break;
    case NGHTTP2_RST_STREAM: {
        /* Resets that the client provokes cost us as much as those it sends (CVE-2025-8671); the owner's are its own.
         */
        struct sp_h2_stream *s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
        if (!(s && s->reset) && frame->rst_stream.error_code != NGHTTP2_NO_ERROR && !sp_h2_bucket_take(&h->resets))
            sp_h2_end_session(h, NGHTTP2_ENHANCE_YOUR_CALM, "flood of streams to be reset");
        break;
    }
    case NGHTTP2_GOAWAY:
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR && !h->over)
            h->over = nghttp2_http2_strerror(frame->goaway.error_code);
        break;
    default:
        break;
    }
    return 0;
}

void sp_h2_set_send_callbacks(nghttp2_session_callbacks *cb)
{
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(cb, on_read_length);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
}

/* --- output */

static void pump(struct sp_h2 *h, struct sp_buf *out, size_t max)
{
    h->out = out;
    h->max = max;
    h->busy = true;
    while (out->len < max && !h->broken) {
        const uint8_t *bytes;
        ssize_t n = nghttp2_session_mem_send(h->ng, &bytes);
        if (n < 0)
            h->broken = true;
        if (n <= 0)
            break;
        sp_buf_append(out, bytes, (size_t)n);
    }
    h->busy = false;
    if (h->broken && !h->over)
        h->over = "nothing can be sent";
}

/* `writable`, as long as there is room for what comes of it. */
static bool deliver_writable(struct sp_h2 *h, const struct sp_buf *out, size_t max)
{
    bool any = false;
    struct sp_h2_stream *s;
    while ((s = h->ready) && out->len < max) {
        h->ready = s->next_ready;
        if (!h->ready)
            h->ready_end = &h->ready;
        s->is_ready = false;
        any = true;
        if (!s->dead && !s->reset)
            h->ev->writable(s->owner);
    }
    return any;
}

void sp_h2_send(struct sp_h2 *h, struct sp_buf *out, size_t max)
{
    bool again = true;
    while (again) { /* ends: each turn takes events that only a frame in or out can make */
        pump(h, out, max);
        again = deliver_writable(h, out, max);
        again |= sp_h2_deliver_closed(h);
    }
}

/* --- responses */

static bool connection_field(uint16_t id)
{
    switch (id) {
    case SP_FIELD_CONNECTION:
    case SP_FIELD_CONTENT_LENGTH: /* written from the head */
    case SP_FIELD_HOST:
    case SP_FIELD_KEEP_ALIVE:
    case SP_FIELD_PROXY_CONNECTION:
    case SP_FIELD_TE:
    case SP_FIELD_TRANSFER_ENCODING:
    case SP_FIELD_UPGRADE:
        return true;
    default:
        return false;
    }
}

/* nghttp2 copies, and lower-cases the names. What differs in every response (our ids and latencies) is kept out of the
 * peer's table, where it would only drive out what repeats. */
static nghttp2_nv make_nv(struct sp_str name, struct sp_str value)
{
    bool unique = name.len > 7 && sp_str_ieq(sp_str(name.p, 7), SP_STR("x-kong-"));
    return (nghttp2_nv){(uint8_t *)name.p, (uint8_t *)(value.len ? value.p : ""), name.len, value.len,
                        unique ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};
}

/* Fills nv, which has room for all fields and two more. false: a field that may not be sent. */
static bool response_nv(const struct sp_response_head *head, nghttp2_nv *nv, size_t *num, char status[3],
                        char length[20])
{
    status[0] = (char)('0' + head->status / 100 % 10);
    status[1] = (char)('0' + head->status / 10 % 10);
    status[2] = (char)('0' + head->status % 10);
    size_t n = 0;
    nv[n++] = make_nv(SP_STR(":status"), sp_str(status, 3));
    for (uint32_t i = 0; i < head->fields.len; i++) {
        const struct sp_field *f = &head->fields.v[i];
        if (f->removed || connection_field(f->id))
            continue;
        if (!sp_token_valid(f->name) || !sp_field_value_valid(f->value))
            return false;
        nv[n++] = make_nv(f->name, sp_str_trim(f->value));
    }
    bool never = head->status < 200 || head->status == 204;
    if ((head->has_length || head->framing == SP_BODY_LENGTH) && !never) {
        size_t at = 20;
        uint64_t left = head->content_length;
        do
            length[--at] = (char)('0' + left % 10);
        while (left /= 10);
        nv[n++] = make_nv(SP_STR("content-length"), sp_str(length + at, 20 - at));
    }
    *num = n;
    return true;
}

static bool submit(struct sp_h2_stream *s, const struct sp_response_head *head, const nghttp2_nv *nv, size_t num,
                   bool end)
{
    nghttp2_session *ng = s->h->ng;
    if (head->status < 200)
        return nghttp2_submit_headers(ng, NGHTTP2_FLAG_NONE, s->id, NULL, nv, num, NULL) == 0;
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = on_read};
    s->responded = true;
    s->ended = end;
    return nghttp2_submit_response(ng, s->id, nv, num, end ? NULL : &body) == 0;
}

bool sp_h2_respond(struct sp_h2_stream *s, const struct sp_response_head *head, bool end)
{
    bool wrong = head->status < 100 || head->status > 999 || head->status == 101 || (head->status < 200 && end);
    if (wrong || s->dead || s->reset || s->responded)
        return false;
    nghttp2_nv few[STACK_FIELDS], *nv = few;
    char status[3], length[20];
    size_t num;
    if (head->fields.len + 2 > STACK_FIELDS)
        nv = sp_alloc((head->fields.len + 2) * sizeof *nv);
    bool ok = response_nv(head, nv, &num, status, length) && submit(s, head, nv, num, end);
    if (nv != few)
        free(nv);
    return ok;
}

void sp_h2_answer_fault(struct sp_h2_stream *s)
{
    struct sp_response_head head = {.status = s->fault_status == SP_H1_TOO_LARGE ? 431 : s->fault_status,
                                    .framing = SP_BODY_LENGTH};
    if (!sp_h2_respond(s, &head, true))
        sp_h2_reset(s, NGHTTP2_PROTOCOL_ERROR);
}

static void resume(struct sp_h2_stream *s)
{
    if (!s->deferred)
        return;
    s->deferred = false;
    nghttp2_session_resume_data(s->h->ng, s->id);
}

bool sp_h2_data(struct sp_h2_stream *s, struct sp_str bytes, bool end, struct sp_buf *out, size_t max)
{
    if (s->dead || s->reset || s->ended || !s->responded)
        return true;
    s->ended = end;
    s->span = bytes;
    resume(s);
    if (!s->h->busy && !s->h->over)
        pump(s->h, out, max);
    if (s->span.len)
        sp_buf_add(&s->kept, s->span);
    s->span = sp_str(NULL, 0);
    s->was_kept = s->kept.len > 0;
    return !s->was_kept;
}

void sp_h2_trailers(struct sp_h2_stream *s, const struct sp_fields *trailers)
{
    if (s->dead || s->reset || s->ended || !s->responded)
        return;
    for (uint32_t i = 0; trailers && i < trailers->len && s->trailers_out.len < STACK_FIELDS; i++) {
        const struct sp_field *f = &trailers->v[i];
        if (f->removed || !sp_trailer_allowed(f->name) || !sp_token_valid(f->name) || !sp_field_value_valid(f->value))
            continue;
        sp_fields_add(&s->trailers_out, s->arena, f->id, sp_arena_dup(s->arena, f->name),
                      sp_arena_dup(s->arena, sp_str_trim(f->value)));
    }
    s->has_trailers = s->trailers_out.len > 0;
    s->ended = true;
    resume(s);
}

void sp_h2_reset(struct sp_h2_stream *s, uint32_t error_code)
{
    if (s->dead || s->reset)
        return;
    s->reset = true;
    nghttp2_submit_rst_stream(s->h->ng, NGHTTP2_FLAG_NONE, s->id, error_code);
}

void sp_h2_origins(struct sp_h2 *h, const struct sp_str *origins, size_t num)
{
    enum { MAX_BYTES = 16000, MAX_ORIGINS = 512 };
    nghttp2_origin_entry v[MAX_ORIGINS];
    size_t bytes = 0, n = 0;
    for (; n < num && n < MAX_ORIGINS && bytes + origins[n].len + 2 <= MAX_BYTES; n++) {
        v[n] = (nghttp2_origin_entry){(uint8_t *)origins[n].p, origins[n].len};
        bytes += origins[n].len + 2;
    }
    if (n == num && !h->over) /* a part of the set would be a wrong one */
        nghttp2_submit_origin(h->ng, NGHTTP2_FLAG_NONE, v, n);
}
