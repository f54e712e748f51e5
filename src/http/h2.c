/* HTTP/2 server, receiving half: frames into events. nghttp2 checks the messages (RFC 9113 8); what it does not count
 * or compare is counted and compared here. */
#include "http/h2_session.h"

#include "base/clock.h"
#include "http/chars.h"
#include "http/h1_head.h"

#include <pthread.h>
#include <stdlib.h>

const struct sp_h2_limits sp_h2_default_limits = {.max_streams = 128,
                                                  .max_head_bytes = 65536,
                                                  .max_fields = 128,
                                                  .stream_window = 65536,
                                                  .connection_window = 1048576,
                                                  .resets_burst = 200,
                                                  .resets_per_s = 20};

enum {
    FIELD_OVERHEAD = 32, /* RFC 9113 6.5.2 */
    FIRST_FIELDS = 24,
    FLOOD_FACTOR = 8, /* that many times the field limit in one head is an attack on the decoder */
    MAX_SETTINGS_ENTRIES = 32,
    MAX_OUTBOUND_ACKS = 128,
    MAX_CONTINUATIONS = 8, /* or what the largest head takes */
    FRAME = 16384,         /* payload that we let the client send in one */
    CHATTER_BURST = 10000, /* PING, SETTINGS, PRIORITY and empty DATA; gRPC clients ping with each burst of data */
    CHATTER_PER_S = 2000,
};

bool sp_h2_bucket_take(struct sp_h2_bucket *b)
{
    uint64_t now = sp_clock_mono_ms(&sp_clock_system);
    if (b->at_ms == 0)
        b->milli = (uint64_t)b->burst * 1000;
    else
        b->milli += (now - b->at_ms) * b->per_s;
    if (b->milli > (uint64_t)b->burst * 1000)
        b->milli = (uint64_t)b->burst * 1000;
    b->at_ms = now ? now : 1;
    if (b->milli < 1000)
        return false;
    b->milli -= 1000;
    return true;
}

void sp_h2_end_session(struct sp_h2 *h, uint32_t code, const char *why)
{
    if (h->over)
        return;
    h->over = why;
    nghttp2_session_terminate_session(h->ng, code);
}

/* --- streams */

static struct sp_h2_stream *stream_new(struct sp_h2 *h, int32_t id)
{
    struct sp_h2_stream *s = sp_alloc(sizeof *s);
    s->h = h;
    s->id = id;
    s->owner = h->ev->open(h->conn, s, &s->arena);
    if (!s->owner) {
        free(s);
        return NULL;
    }
    s->next = h->all;
    s->back = &h->all;
    if (h->all)
        h->all->back = &s->next;
    h->all = s;
    h->num_streams++;
    s->head = SP_NEW(s->arena, struct sp_request_head);
    struct sp_field *v = sp_arena_alloc_raw(s->arena, FIRST_FIELDS * sizeof *v);
    s->head->fields = (struct sp_fields){.v = v, .cap = FIRST_FIELDS};
    return s;
}

static void stream_free(struct sp_h2_stream *s)
{
    *s->back = s->next;
    if (s->next)
        s->next->back = s->back;
    s->h->num_streams--;
    sp_buf_fini(&s->kept);
    free(s);
}

static struct sp_h2_stream *stream_of(nghttp2_session *ng, int32_t id)
{
    return nghttp2_session_get_stream_user_data(ng, id);
}

static void refuse(struct sp_h2_stream *s, unsigned status, const char *why)
{
    if (s->fault)
        return;
    s->fault_status = status;
    s->fault = why;
}

static void forget_ready(struct sp_h2_stream *s)
{
    struct sp_h2 *h = s->h;
    struct sp_h2_stream **at = &h->ready;
    while (*at != s)
        at = &(*at)->next_ready;
    *at = s->next_ready;
    if (!*at)
        h->ready_end = at;
}

bool sp_h2_deliver_closed(struct sp_h2 *h)
{
    bool any = h->closing;
    struct sp_h2_stream *s;
    while ((s = h->closing)) {
        h->closing = s->next_closing;
        if (!h->closing)
            h->closing_end = &h->closing;
        if (s->is_ready)
            forget_ready(s);
        h->ev->closed(s->owner, s->clean);
        stream_free(s);
    }
    return any;
}

/* --- nghttp2 callbacks: heads */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct sp_h2 *h = user;
    int32_t id = frame->hd.stream_id;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        struct sp_h2_stream *s = h->over ? NULL : stream_new(h, id);
        if (s)
            nghttp2_session_set_stream_user_data(ng, id, s);
        else
            nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    struct sp_h2_stream *s = stream_of(ng, id);
    if (s)
        s->in_trailers = true;
    return 0;
}

static struct sp_str rcbuf_str(nghttp2_rcbuf *b)
{
    nghttp2_vec v = nghttp2_rcbuf_get_buf(b);
    return sp_str(v.base, v.len);
}

/* Names of the static table live for ever; everything else is copied. */
static struct sp_str keep(struct sp_arena *a, nghttp2_rcbuf *b)
{
    return nghttp2_rcbuf_is_static(b) ? rcbuf_str(b) : sp_arena_dup(a, rcbuf_str(b));
}

static void take_pseudo(struct sp_h2_stream *s, struct sp_str name, nghttp2_rcbuf *value)
{
    struct sp_str v = keep(s->arena, value);
    if (sp_str_eq(name, SP_STR(":path")))
        s->head->target = v;
    else if (sp_str_eq(name, SP_STR(":method")))
        s->head->method = v;
    else if (sp_str_eq(name, SP_STR(":scheme")))
        s->scheme = v;
    else if (sp_str_eq(name, SP_STR(":authority")))
        s->head->authority = v;
    else
        refuse(s, 400, "unknown pseudo-header field");
}

static void take_field(struct sp_h2_stream *s, nghttp2_rcbuf *name, nghttp2_rcbuf *value)
{
    enum sp_field_id id = sp_field_id_of(rcbuf_str(name));
    struct sp_str v = keep(s->arena, value);
    switch (id) {
    case SP_FIELD_HOST:
        s->host = v;
        return;
    case SP_FIELD_COOKIE:
        s->cookies++;
        break;
    case SP_FIELD_CONTENT_LENGTH:
        s->head->has_length = sp_str_to_u64(v, &s->head->content_length);
        break;
    case SP_FIELD_EXPECT:
        s->head->expect_continue = sp_str_ieq(v, SP_STR("100-continue"));
        break;
    default:
        break;
    }
    sp_fields_add(&s->head->fields, s->arena, id, keep(s->arena, name), v);
}

static void take_trailer(struct sp_h2_stream *s, nghttp2_rcbuf *name, nghttp2_rcbuf *value)
{
    if (sp_trailer_allowed(rcbuf_str(name)))
        sp_fields_add(&s->trailers_in, s->arena, SP_FIELD_OTHER, keep(s->arena, name), keep(s->arena, value));
}

/* Counts before anything is stored: an index of one byte may stand for kilobytes (the "HTTP/2 bomb"). */
static bool within_limits(struct sp_h2_stream *s, struct sp_str name, struct sp_str value)
{
    const struct sp_h2_limits *l = &s->h->limits;
    if (name.len == 0 || name.p[0] != ':')
        s->num_fields++;
    size_t bytes = name.len + value.len + FIELD_OVERHEAD;
    s->head_bytes = bytes > UINT32_MAX - s->head_bytes ? UINT32_MAX : s->head_bytes + (uint32_t)bytes;
    return s->head_bytes <= l->max_head_bytes && s->num_fields <= l->max_fields;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, nghttp2_rcbuf *name, nghttp2_rcbuf *value,
                     uint8_t flags, void *user)
{
    struct sp_h2 *h = user;
    struct sp_h2_stream *s = stream_of(ng, frame->hd.stream_id);
    (void)flags;
    if (!s)
        return 0;
    struct sp_str n = rcbuf_str(name);
    if (!within_limits(s, n, rcbuf_str(value))) {
        refuse(s, SP_H1_TOO_LARGE, "head too large");
        if (s->num_fields <= FLOOD_FACTOR * h->limits.max_fields)
            return 0;
        h->over = "flood of fields";
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (s->fault)
        return 0;
    if (s->in_trailers)
        take_trailer(s, name, value);
    else if (n.len && n.p[0] == ':')
        take_pseudo(s, n, value);
    else
        take_field(s, name, value);
    return 0;
}

/* nghttp2 would leave the field out and serve the rest. */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame, nghttp2_rcbuf *name, nghttp2_rcbuf *value,
                             uint8_t flags, void *user)
{
    (void)value, (void)flags, (void)name, (void)user;
    struct sp_h2_stream *s = stream_of(ng, frame->hd.stream_id);
    if (s)
        refuse(s, 400, "invalid field");
    return 0;
}

/* RFC 9113 8.2.3: crumbs become one field again. */
static void join_cookies(struct sp_h2_stream *s)
{
    struct sp_fields *f = &s->head->fields;
    size_t len = 0;
    for (uint32_t i = 0; i < f->len; i++)
        if (f->v[i].id == SP_FIELD_COOKIE)
            len += f->v[i].value.len + 2;
    char *text = sp_arena_alloc_raw(s->arena, len), *at = text;
    struct sp_field *first = NULL;
    for (uint32_t i = 0; i < f->len; i++) {
        if (f->v[i].id != SP_FIELD_COOKIE)
            continue;
        if (first) {
            *at++ = ';';
            *at++ = ' ';
            f->v[i].removed = true;
        } else {
            first = &f->v[i];
        }
        if (f->v[i].value.len)
            memcpy(at, f->v[i].value.p, f->v[i].value.len);
        at += f->v[i].value.len;
    }
    first->value = sp_str(text, (size_t)(at - text));
}

static bool target_valid(struct sp_str t, struct sp_str method)
{
    for (size_t i = 0; i < t.len; i++)
        if (t.p[i] <= ' ' || t.p[i] >= 0x7f || t.p[i] == '#')
            return false;
    if (t.len == 1 && t.p[0] == '*')
        return sp_str_eq(method, SP_STR("OPTIONS"));
    return t.len > 0 && t.p[0] == '/';
}

static void check_head(struct sp_h2_stream *s)
{
    struct sp_request_head *r = s->head;
    if (sp_str_eq(r->method, SP_STR("CONNECT")))
        refuse(s, 405, "CONNECT is not served");
    else if (!sp_token_valid(r->method))
        refuse(s, 400, "bad :method");
    else if (!sp_str_eq(s->scheme, SP_STR("https")) && !sp_str_eq(s->scheme, SP_STR("http")))
        refuse(s, 400, "bad :scheme");
    else if (!target_valid(r->target, r->method))
        refuse(s, 400, "bad :path");
    else if (r->authority.p && s->host.p && !sp_str_ieq(r->authority, s->host))
        refuse(s, 400, "Host is not :authority");
    else if (!sp_authority_valid(r->authority.p ? r->authority : s->host))
        refuse(s, 400, "bad :authority");
}

static bool expects_content(struct sp_str method)
{
    return sp_str_eq(method, SP_STR("POST")) || sp_str_eq(method, SP_STR("PUT")) || sp_str_eq(method, SP_STR("PATCH"));
}

static void finish_head(struct sp_h2_stream *s, bool end)
{
    struct sp_request_head *r = s->head;
    check_head(s);
    if (s->fault) {
        if (s->h->ev->refused)
            s->h->ev->refused(s->owner, s->fault_status, s->fault);
        else
            sp_h2_answer_fault(s);
        return;
    }
    if (!r->authority.p)
        r->authority = s->host;
    if (s->cookies > 1)
        join_cookies(s);
    r->version = SP_HTTP_2;
    r->framing = end ? SP_BODY_NONE : SP_BODY_STREAM;
    r->keep_alive = true;
    if (end && !r->has_length && expects_content(r->method)) /* HTTP/1 servers want to be told (RFC 9110 8.6) */
        r->has_length = true;
    s->have_request = true;
    s->h->ev->request(s->owner, r, end);
}

/* --- nghttp2 callbacks: bodies and frames */

static bool wants_body(const struct sp_h2_stream *s)
{
    return s->have_request && !s->reset && !s->fault;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user)
{
    struct sp_h2 *h = user;
    struct sp_h2_stream *s = stream_of(ng, id);
    (void)flags;
    if (!s || !wants_body(s)) {
        nghttp2_session_consume_connection(ng, len);
        return 0;
    }
    if (s->answered) {
        sp_h2_drop_rest(s, len);
        return 0;
    }
    s->uncredited += len;
    h->ev->data(s->owner, sp_str(data, len), false);
    return 0;
}

static void on_request_end(struct sp_h2_stream *s, const nghttp2_frame *frame)
{
    s->request_ended = true;
    bool head = frame->hd.type == NGHTTP2_HEADERS && !s->in_trailers;
    if (head || !wants_body(s))
        return;
    if (s->in_trailers && s->trailers_in.len)
        s->h->ev->trailers(s->owner, &s->trailers_in);
    else
        s->h->ev->data(s->owner, sp_str("", 0), true);
}

static bool is_chatter(const nghttp2_frame *f)
{
    switch (f->hd.type) {
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PRIORITY:
        return true;
    case NGHTTP2_DATA:
        return f->hd.length == 0 && !(f->hd.flags & NGHTTP2_FLAG_END_STREAM);
    default:
        return false;
    }
}

static void on_headers_frame(struct sp_h2_stream *s, const nghttp2_frame *frame, bool end)
{
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        s->request_ended = end;
        finish_head(s, end);
    } else if (s->fault && s->have_request && !s->reset) { /* trailers too large or invalid */
        sp_h2_reset(s, NGHTTP2_PROTOCOL_ERROR);
    }
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct sp_h2 *h = user;
    if (is_chatter(frame) && !sp_h2_bucket_take(&h->chatter))
        sp_h2_end_session(h, NGHTTP2_ENHANCE_YOUR_CALM, "flood of control frames");
    if (frame->hd.type == NGHTTP2_RST_STREAM && !sp_h2_bucket_take(&h->resets))
        sp_h2_end_session(h, NGHTTP2_ENHANCE_YOUR_CALM, "flood of resets");
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct sp_h2_stream *s = stream_of(ng, frame->hd.stream_id);
    if (!s)
        return 0;
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.type == NGHTTP2_HEADERS)
        on_headers_frame(s, frame, end);
    if (end)
        on_request_end(s, frame);
    return 0;
}

/* The event waits until nghttp2 has returned; the stream answers no call from now on. */
static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    struct sp_h2 *h = user;
    struct sp_h2_stream *s = stream_of(ng, id);
    if (!s)
        return 0;
    if (s->uncredited)
        nghttp2_session_consume_connection(ng, s->uncredited);
    s->uncredited = 0;
    s->dead = true;
    s->clean = code == NGHTTP2_NO_ERROR && s->responded && s->ended && s->kept.len == 0;
    s->next_closing = NULL;
    *h->closing_end = s;
    h->closing_end = &s->next_closing;
    return 0;
}

/* --- session */

static nghttp2_session_callbacks *callbacks;
static pthread_once_t callbacks_once = PTHREAD_ONCE_INIT;

static void make_callbacks(void)
{
    sp_assert(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    sp_h2_set_send_callbacks(callbacks);
}

static void open_session(struct sp_h2 *h)
{
    const struct sp_h2_limits *l = &h->limits;
    nghttp2_option *o;
    sp_assert(nghttp2_option_new(&o) == 0);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_outbound_ack(o, MAX_OUTBOUND_ACKS);
    nghttp2_option_set_max_settings(o, MAX_SETTINGS_ENTRIES);
    size_t frames = l->max_head_bytes / FRAME + 1;
    nghttp2_option_set_max_continuations(o, frames > MAX_CONTINUATIONS ? frames : MAX_CONTINUATIONS);
    sp_assert(nghttp2_session_server_new2(&h->ng, callbacks, h, o) == 0);
    nghttp2_option_del(o);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, l->stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, l->max_head_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    sp_assert(nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings) == 0);
    sp_assert(nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, (int32_t)l->connection_window) == 0);
}

struct sp_h2 *sp_h2_new(const struct sp_h2_events *ev, const struct sp_h2_limits *limits, void *conn)
{
    pthread_once(&callbacks_once, make_callbacks);
    struct sp_h2 *h = sp_alloc(sizeof *h);
    h->ev = ev;
    h->conn = conn;
    h->limits = *limits;
    h->closing_end = &h->closing;
    h->ready_end = &h->ready;
    h->resets = (struct sp_h2_bucket){.burst = limits->resets_burst, .per_s = limits->resets_per_s};
    h->chatter = (struct sp_h2_bucket){.burst = CHATTER_BURST, .per_s = CHATTER_PER_S};
    open_session(h);
    return h;
}

void sp_h2_free(struct sp_h2 *h)
{
    if (!h)
        return;
    sp_assert(!h->busy);
    while (h->all)
        stream_free(h->all);
    nghttp2_session_del(h->ng);
    free(h);
}

static void give_up(struct sp_h2 *h, int code)
{
    bool flood = code == NGHTTP2_ERR_CALLBACK_FAILURE || code == NGHTTP2_ERR_FLOODED;
    if (!h->over)
        h->over = nghttp2_strerror(code);
    if (nghttp2_session_terminate_session(h->ng, flood ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR) != 0)
        h->broken = true;
}

sp_result sp_h2_recv(struct sp_h2 *h, struct sp_str bytes, struct sp_error *err)
{
    if (h->over) /* nothing is fed into a session that was told to end */
        return sp_fail(err, SP_E_PROTO, "HTTP/2: %s", h->over);
    h->busy = true;
    ssize_t n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)bytes.p, bytes.len);
    h->busy = false;
    if (n < 0)
        give_up(h, (int)n);
    sp_h2_deliver_closed(h);
    return h->over ? sp_fail(err, SP_E_PROTO, "HTTP/2: %s", h->over) : sp_ok();
}

bool sp_h2_wants_write(const struct sp_h2 *h)
{
    return h->ready || h->closing || (!h->broken && nghttp2_session_want_write(h->ng));
}

bool sp_h2_finished(const struct sp_h2 *h)
{
    if (h->closing)
        return false;
    return h->broken || (!nghttp2_session_want_write(h->ng) && (h->over || !nghttp2_session_want_read(h->ng)));
}

uint32_t sp_h2_num_streams(const struct sp_h2 *h)
{
    return h->num_streams;
}

uint64_t sp_h2_data_sent(const struct sp_h2 *h)
{
    return h->data_sent;
}

void sp_h2_drain(struct sp_h2 *h, bool final)
{
    if (h->over)
        return;
    if (final)
        nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->ng),
                              NGHTTP2_NO_ERROR, NULL, 0);
    else
        nghttp2_submit_shutdown_notice(h->ng);
}

void sp_h2_credit(struct sp_h2_stream *s, size_t n)
{
    if (s->dead)
        return;
    n = n < s->uncredited ? n : s->uncredited;
    s->uncredited -= n;
    nghttp2_session_consume(s->h->ng, s->id, n);
}

void *sp_h2_owner(const struct sp_h2_stream *s)
{
    return s->owner;
}
