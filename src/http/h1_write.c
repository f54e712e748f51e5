/* HTTP/1 heads out. One reservation, then copies; every token and value passes the gate on its way, wherever it came
 * from. */
#include "http/h1_head.h"

enum { HEAD_EXTRA = 256 }; /* more than start line, Host, Connection and framing fields need besides borrowed bytes */

struct writer {
    char *at;
    bool ok;
};

static inline void put(struct writer *w, struct sp_str s)
{
    if (s.len == 0)
        return;
    memcpy(w->at, s.p, s.len);
    w->at += s.len;
}

static inline void put_field(struct writer *w, struct sp_str name, struct sp_str value)
{
    w->ok &= sp_token_valid(name) && sp_chars_text(value.p, value.len);
    put(w, name);
    *w->at++ = ':';
    *w->at++ = ' ';
    put(w, value);
    *w->at++ = '\r';
    *w->at++ = '\n';
}

static void put_number(struct writer *w, uint64_t n)
{
    char digits[20];
    size_t i = sizeof digits;
    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    put(w, sp_str(digits + i, sizeof digits - i));
}

static void put_length(struct writer *w, uint64_t n)
{
    put(w, SP_STR("Content-Length: "));
    put_number(w, n);
    put(w, SP_STR("\r\n"));
}

/* Written from the head's members, so a copy from elsewhere must not get through beside them. */
static bool is_framing_field(uint16_t id)
{
    switch (id) {
    case SP_FIELD_CONNECTION:
    case SP_FIELD_CONTENT_LENGTH:
    case SP_FIELD_HOST:
    case SP_FIELD_KEEP_ALIVE:
    case SP_FIELD_PROXY_CONNECTION:
    case SP_FIELD_TRANSFER_ENCODING:
    case SP_FIELD_UPGRADE:
        return true;
    default:
        return false;
    }
}

static size_t fields_size(const struct sp_fields *f)
{
    size_t n = 0;
    for (uint32_t i = 0; i < f->len; i++)
        n += f->v[i].name.len + f->v[i].value.len + 4;
    return n;
}

static void put_fields(struct writer *w, const struct sp_fields *f)
{
    for (uint32_t i = 0; i < f->len; i++)
        if (!f->v[i].removed && !is_framing_field(f->v[i].id))
            put_field(w, f->v[i].name, f->v[i].value);
}

static bool target_valid(struct sp_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
            return false;
    return s.len > 0;
}

static bool finish(struct writer *w, struct sp_buf *out, char *start)
{
    if (w->ok)
        sp_buf_commit(out, (size_t)(w->at - start));
    return w->ok;
}

static void put_request_framing(struct writer *w, const struct sp_request_head *h)
{
    bool known = h->framing == SP_BODY_LENGTH || (h->framing != SP_BODY_CHUNKED && h->has_length);
    if (known && h->framing != SP_BODY_CLOSE)
        put_length(w, h->content_length);
    else if (h->framing == SP_BODY_CHUNKED || h->framing == SP_BODY_STREAM)
        put(w, SP_STR("Transfer-Encoding: chunked\r\n"));
    else
        w->ok &= h->framing == SP_BODY_NONE; /* a request cannot end by closing */
}

bool sp_h1_write_request(struct sp_buf *out, const struct sp_request_head *h)
{
    size_t borrowed = h->method.len + h->target.len + h->authority.len + h->upgrade.len + fields_size(&h->fields);
    char *start = sp_buf_reserve(out, borrowed + HEAD_EXTRA);
    struct writer w = {start, sp_token_valid(h->method) && target_valid(h->target)};
    put(&w, h->method);
    put(&w, SP_STR(" "));
    put(&w, h->target);
    put(&w, SP_STR(" HTTP/1.1\r\n"));
    put_field(&w, SP_STR("Host"), h->authority);
    put_fields(&w, &h->fields);
    if (h->upgrade.len) {
        put(&w, SP_STR("Connection: keep-alive, Upgrade\r\n"));
        put_field(&w, SP_STR("Upgrade"), h->upgrade);
    } else {
        put(&w, h->keep_alive ? SP_STR("Connection: keep-alive\r\n") : SP_STR("Connection: close\r\n"));
    }
    put_request_framing(&w, h);
    put(&w, SP_STR("\r\n"));
    return finish(&w, out, start);
}

static void put_status_line(struct writer *w, unsigned status)
{
    char code[3] = {(char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10), (char)('0' + status % 10)};
    w->ok &= status >= 100 && status <= 999;
    put(w, SP_STR("HTTP/1.1 "));
    put(w, sp_str(code, 3));
    put(w, SP_STR(" "));
    put(w, sp_str_z(sp_status_phrase(status)));
    put(w, SP_STR("\r\n"));
}

static void put_response_framing(struct writer *w, const struct sp_response_head *h, bool http10_client)
{
    if (h->status < 200 || h->status == 204) /* RFC 9110 8.6, RFC 9112 6.1 */
        return;
    bool known = h->framing == SP_BODY_LENGTH || h->has_length;
    if (known && h->framing != SP_BODY_CHUNKED && h->framing != SP_BODY_CLOSE)
        put_length(w, h->content_length);
    else if ((h->framing == SP_BODY_CHUNKED || h->framing == SP_BODY_STREAM) && !http10_client)
        put(w, SP_STR("Transfer-Encoding: chunked\r\n"));
}

static void put_response_connection(struct writer *w, const struct sp_response_head *h, bool http10_client)
{
    bool ends_by_close =
        h->framing == SP_BODY_CLOSE ||
        (http10_client && (h->framing == SP_BODY_CHUNKED || (h->framing == SP_BODY_STREAM && !h->has_length)));
    bool keep = h->keep_alive && !ends_by_close;
    if (h->upgrade.len) {
        put(w, keep || h->status == 101 ? SP_STR("Connection: Upgrade\r\n") : SP_STR("Connection: close, Upgrade\r\n"));
        put_field(w, SP_STR("Upgrade"), h->upgrade);
    } else if (h->status < 200) {
        return;
    } else if (!keep) {
        put(w, SP_STR("Connection: close\r\n"));
    } else if (http10_client) {
        put(w, SP_STR("Connection: keep-alive\r\n"));
    }
}

bool sp_h1_write_response(struct sp_buf *out, const struct sp_response_head *h, bool http10_client)
{
    char *start = sp_buf_reserve(out, fields_size(&h->fields) + h->upgrade.len + HEAD_EXTRA);
    struct writer w = {start, true};
    put_status_line(&w, h->status);
    put_fields(&w, &h->fields);
    put_response_framing(&w, h, http10_client);
    put_response_connection(&w, h, http10_client);
    put(&w, SP_STR("\r\n"));
    return finish(&w, out, start);
}

void sp_h1_write_chunk_head(struct sp_buf *out, size_t len)
{
    char text[18];
    size_t i = sizeof text;
    text[--i] = '\n';
    text[--i] = '\r';
    do
        text[--i] = "0123456789abcdef"[len & 15];
    while (len >>= 4);
    sp_buf_append(out, text + i, sizeof text - i);
}

bool sp_h1_write_last_chunk(struct sp_buf *out, const struct sp_fields *trailers)
{
    char *start = sp_buf_reserve(out, 5 + (trailers ? fields_size(trailers) : 0));
    struct writer w = {start, true};
    put(&w, SP_STR("0\r\n"));
    for (uint32_t i = 0; trailers && i < trailers->len; i++)
        if (!trailers->v[i].removed && sp_trailer_allowed(trailers->v[i].name))
            put_field(&w, trailers->v[i].name, trailers->v[i].value);
    put(&w, SP_STR("\r\n"));
    return finish(&w, out, start);
}
