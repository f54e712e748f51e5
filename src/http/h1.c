#include "http/h1.h"

#include "http/h1_head.h"

const struct sp_h1_limits sp_h1_default_limits = {.max_head_bytes = 65536, .max_line_bytes = 16384, .max_fields = 128};

enum {
    MAX_EMPTY_LINES = 2,         /* before a request line */
    MAX_CONNECTION_OPTIONS = 32, /* each is compared with each field when a head is forwarded */
    SPARE_FIELDS = 16,           /* what a proxy adds without growing the array */
};

enum sp_h1_parse sp_h1_bad(struct sp_h1_fault *fault, unsigned status, const char *why)
{
    *fault = (struct sp_h1_fault){status, why};
    return SP_H1_BAD;
}

/* --- where the head ends */

/* Looks for the empty line that ends the head. Every line end must be CRLF, so a bare LF is refused as soon as it
 * comes. */
static enum sp_h1_parse find_end(struct sp_str in, size_t start, size_t *scanned, size_t *end, uint32_t *lines,
                                 struct sp_h1_fault *fault)
{
    size_t from = *scanned > start ? *scanned : start;
    const char *p = in.p + from, *stop = in.p + in.len;
    while (p < stop && (p = memchr(p, '\n', (size_t)(stop - p)))) {
        size_t i = (size_t)(p - in.p);
        if (i == start || in.p[i - 1] != '\r')
            return sp_h1_bad(fault, 400, "line ends with a bare LF");
        if (i == start + 1)
            return sp_h1_bad(fault, 400, "empty start line");
        ++*lines;
        if (in.p[i - 2] == '\n') {
            *end = i + 1;
            return SP_H1_DONE;
        }
        p++;
    }
    *scanned = in.len;
    return SP_H1_MORE;
}

/* Too long whatever comes next; the same answer whether the head came whole or byte by byte. `in` starts at the head
 * and need not be complete. */
static enum sp_h1_parse check_size(struct sp_str in, const struct sp_h1_limits *limits, unsigned line_status,
                                   struct sp_h1_fault *fault)
{
    size_t line = (size_t)limits->max_line_bytes + 2; /* with CRLF */
    if (in.len >= line && !memchr(in.p, '\n', line))
        return sp_h1_bad(fault, line_status, "start line too long");
    if (in.len > limits->max_head_bytes)
        return sp_h1_bad(fault, SP_H1_TOO_LARGE, "head too large");
    return SP_H1_DONE;
}

static size_t skip_empty_lines(struct sp_str in)
{
    size_t n = 0;
    while (n < 2 * MAX_EMPTY_LINES && in.len - n >= 2 && in.p[n] == '\r' && in.p[n + 1] == '\n')
        n += 2;
    return n;
}

/* Takes the next line (without its CRLF) off *rest, which begins at a line and ends with CRLF. */
static struct sp_str next_line(struct sp_str *rest)
{
    const char *nl = memchr(rest->p, '\n', rest->len);
    size_t len = (size_t)(nl - rest->p);
    struct sp_str line = {rest->p, len - 1};
    *rest = sp_str_skip(*rest, len + 1);
    return line;
}

/* --- fields */

/* What the fields say about framing and the connection. */
struct facts {
    struct sp_str host, coding, upgrade;
    uint64_t length;
    uint32_t hosts, lengths, codings, upgrades, options;
    bool close, keep_alive, named_upgrade, expect_continue;
};

/* 1*DIGIT that fits 63 bits; nothing else: no sign, no blank, no list. */
static bool length_valid(struct sp_str s, uint64_t *out)
{
    return s.len > 0 && s.len <= 19 && sp_str_to_u64(s, out) && *out <= INT64_MAX;
}

static enum sp_h1_parse note_length(struct facts *x, struct sp_str value, struct sp_h1_fault *fault)
{
    uint64_t n;
    if (!length_valid(value, &n))
        return sp_h1_bad(fault, 400, "bad Content-Length");
    if (x->lengths++ && n != x->length)
        return sp_h1_bad(fault, 400, "Content-Length twice with different values");
    x->length = n;
    return SP_H1_DONE;
}

static enum sp_h1_parse note_connection(struct facts *x, struct sp_str list, struct sp_h1_fault *fault)
{
    while (list.p) {
        struct sp_str option = sp_str_trim(sp_str_split(&list, ','));
        if (++x->options > MAX_CONNECTION_OPTIONS)
            return sp_h1_bad(fault, 400, "too many options in Connection");
        if (option.len == 0)
            continue;
        if (!sp_token_valid(option))
            return sp_h1_bad(fault, 400, "bad Connection");
        x->close |= sp_str_ieq(option, SP_STR("close"));
        x->keep_alive |= sp_str_ieq(option, SP_STR("keep-alive"));
        x->named_upgrade |= sp_str_ieq(option, SP_STR("upgrade"));
    }
    return SP_H1_DONE;
}

static enum sp_h1_parse note_field(struct facts *x, const struct sp_field *f, struct sp_h1_fault *fault)
{
    switch (f->id) {
    case SP_FIELD_HOST:
        x->host = f->value;
        x->hosts++;
        return SP_H1_DONE;
    case SP_FIELD_CONTENT_LENGTH:
        return note_length(x, f->value, fault);
    case SP_FIELD_TRANSFER_ENCODING:
        x->coding = f->value;
        x->codings++;
        return SP_H1_DONE;
    case SP_FIELD_CONNECTION:
        return note_connection(x, f->value, fault);
    case SP_FIELD_UPGRADE:
        x->upgrade = f->value;
        x->upgrades++;
        return SP_H1_DONE;
    case SP_FIELD_EXPECT:
        x->expect_continue |= sp_str_ieq(f->value, SP_STR("100-continue"));
        return SP_H1_DONE;
    default:
        return SP_H1_DONE;
    }
}

enum sp_h1_parse sp_h1_field_line(struct sp_str line, struct sp_field *out, struct sp_h1_fault *fault)
{
    size_t n = sp_chars_token_span(line.p, line.len);
    if (n == 0) {
        bool folded = line.len && (line.p[0] == ' ' || line.p[0] == '\t');
        return sp_h1_bad(fault, 400, folded ? "folded field line" : "empty or bad field name");
    }
    if (n == line.len || line.p[n] != ':') {
        bool blank = n < line.len && (line.p[n] == ' ' || line.p[n] == '\t');
        return sp_h1_bad(fault, 400, blank ? "blank in or after a field name" : "bad field name");
    }
    out->name = sp_str(line.p, n);
    out->value = sp_str_trim(sp_str_skip(line, n + 1));
    if (!sp_chars_text(out->value.p, out->value.len))
        return sp_h1_bad(fault, 400, "control byte in a field value");
    out->id = (uint16_t)sp_field_id_of(out->name);
    out->removed = false;
    return SP_H1_DONE;
}

/* The field lines of a complete head, up to and with its empty line. Host is noted, not listed. */
static enum sp_h1_parse parse_fields(struct sp_str rest, uint32_t lines, const struct sp_h1_limits *limits,
                                     struct sp_arena *a, struct sp_fields *out, struct facts *x,
                                     struct sp_h1_fault *fault)
{
    uint32_t num = 0;
    uint32_t cap = (lines < limits->max_fields ? lines : limits->max_fields) + SPARE_FIELDS;
    *out = (struct sp_fields){.v = sp_arena_alloc_raw(a, cap * sizeof *out->v), .cap = cap};
    while (rest.len > 2) {
        struct sp_str line = next_line(&rest);
        if (++num > limits->max_fields)
            return sp_h1_bad(fault, SP_H1_TOO_LARGE, "too many fields");
        struct sp_field f;
        if (sp_h1_field_line(line, &f, fault) != SP_H1_DONE)
            return SP_H1_BAD;
        if (f.id != SP_FIELD_OTHER && note_field(x, &f, fault) != SP_H1_DONE)
            return SP_H1_BAD;
        if (f.id == SP_FIELD_HOST)
            continue;
        if (out->len < out->cap)
            out->v[out->len++] = f;
        else
            sp_fields_add(out, a, f.id, f.name, f.value);
    }
    return SP_H1_DONE;
}

static bool parse_version(struct sp_str s, enum sp_http_version *out, bool *known)
{
    if (s.len != 8 || memcmp(s.p, "HTTP/", 5) != 0 || s.p[5] < '0' || s.p[5] > '9' || s.p[6] != '.' || s.p[7] < '0' ||
        s.p[7] > '9')
        return false;
    *known = s.p[5] == '1' && (s.p[7] == '0' || s.p[7] == '1');
    *out = s.p[7] == '0' ? SP_HTTP_10 : SP_HTTP_11;
    return true;
}

/* --- request */

/* "http://authority/path?query" into its parts; the authority of the target wins over Host (RFC 9112 3.2.2). */
static enum sp_h1_parse parse_absolute(struct sp_request_head *h, struct sp_arena *a, struct sp_h1_fault *fault)
{
    struct sp_str t = h->target;
    size_t scheme = t.len > 7 && sp_str_ieq(sp_str(t.p, 7), SP_STR("http://"))    ? 7
                    : t.len > 8 && sp_str_ieq(sp_str(t.p, 8), SP_STR("https://")) ? 8
                                                                                  : 0;
    if (!scheme)
        return sp_h1_bad(fault, 400, "bad request target");
    t = sp_str_skip(t, scheme);
    size_t n = 0;
    while (n < t.len && t.p[n] != '/' && t.p[n] != '?')
        n++;
    h->authority = sp_str(t.p, n);
    if (!sp_authority_valid(h->authority))
        return sp_h1_bad(fault, 400, "bad authority in the request target");
    h->target = sp_str_skip(t, n);
    if (h->target.len == 0)
        h->target = sp_str_eq(h->method, SP_STR("OPTIONS")) ? SP_STR("*") : SP_STR("/");
    else if (h->target.p[0] == '?')
        h->target = sp_arena_printf(a, "/%.*s", SP_FMT(h->target));
    return SP_H1_DONE;
}

static enum sp_h1_parse parse_target(struct sp_request_head *h, struct sp_arena *a, struct sp_h1_fault *fault)
{
    struct sp_str t = h->target;
    for (size_t i = 0; i < t.len; i++)
        if (t.p[i] <= ' ' || t.p[i] >= 0x7f || t.p[i] == '#') /* char may be signed: bytes over 127 fail either way */
            return sp_h1_bad(fault, 400, "bad byte in the request target");
    if (sp_str_eq(h->method, SP_STR("CONNECT")))
        return sp_h1_bad(fault, 405, "CONNECT is not served");
    if (t.len == 0)
        return sp_h1_bad(fault, 400, "empty request target");
    if (t.p[0] == '/')
        return SP_H1_DONE;
    if (t.len == 1 && t.p[0] == '*' && sp_str_eq(h->method, SP_STR("OPTIONS")))
        return SP_H1_DONE;
    return parse_absolute(h, a, fault);
}

static enum sp_h1_parse parse_request_line(struct sp_str line, struct sp_arena *a, struct sp_request_head *h,
                                           struct sp_h1_fault *fault)
{
    size_t n = sp_chars_token_span(line.p, line.len);
    if (n == 0 || n == line.len || line.p[n] != ' ')
        return sp_h1_bad(fault, 400, "bad request line");
    h->method = sp_str(line.p, n);
    struct sp_str rest = sp_str_skip(line, n + 1);
    const char *space = memchr(rest.p, ' ', rest.len);
    if (!space)
        return sp_h1_bad(fault, 400, "bad request line");
    h->target = sp_str(rest.p, (size_t)(space - rest.p));
    bool known;
    if (!parse_version(sp_str_skip(rest, h->target.len + 1), &h->version, &known))
        return sp_h1_bad(fault, 400, "bad HTTP version");
    if (!known)
        return sp_h1_bad(fault, 505, "HTTP version not supported");
    return parse_target(h, a, fault);
}

static enum sp_h1_parse check_host(struct sp_request_head *h, const struct facts *x, struct sp_h1_fault *fault)
{
    if (x->hosts > 1)
        return sp_h1_bad(fault, 400, "Host twice");
    if (x->hosts == 0)
        return h->version == SP_HTTP_10 ? SP_H1_DONE : sp_h1_bad(fault, 400, "no Host");
    if (!sp_authority_valid(x->host))
        return sp_h1_bad(fault, 400, "bad Host");
    if (h->authority.len == 0)
        h->authority = x->host;
    return SP_H1_DONE;
}

/* Transfer-Encoding is "chunked" alone or nothing; why not to guess: RFC 9112 11.2. */
static enum sp_h1_parse check_coding(const struct facts *x, enum sp_http_version version, struct sp_h1_fault *fault)
{
    if (x->codings > 1)
        return sp_h1_bad(fault, 400, "Transfer-Encoding twice");
    if (x->lengths)
        return sp_h1_bad(fault, 400, "Transfer-Encoding with Content-Length");
    if (version == SP_HTTP_10)
        return sp_h1_bad(fault, 400, "Transfer-Encoding in HTTP/1.0");
    if (x->coding.len == 0)
        return sp_h1_bad(fault, 400, "empty Transfer-Encoding");
    if (!sp_str_ieq(x->coding, SP_STR("chunked")))
        return sp_h1_bad(fault, 501, "unknown Transfer-Encoding");
    return SP_H1_DONE;
}

/* h2c by Upgrade is not served, so nobody behind us may be offered it: the tunnel would hide requests from us. */
static struct sp_str upgrade_wanted(const struct facts *x, enum sp_http_version version)
{
    if (!x->named_upgrade || x->upgrades != 1 || version != SP_HTTP_11)
        return sp_str(NULL, 0);
    struct sp_str list = x->upgrade;
    while (list.p)
        if (sp_str_ieq(sp_str_trim(sp_str_split(&list, ',')), SP_STR("h2c")))
            return sp_str(NULL, 0);
    return x->upgrade;
}

static enum sp_h1_parse finish_request(struct sp_request_head *h, const struct facts *x, struct sp_h1_fault *fault)
{
    if (check_host(h, x, fault) != SP_H1_DONE)
        return SP_H1_BAD;
    if (x->lengths > 1)
        return sp_h1_bad(fault, 400, "Content-Length twice");
    h->framing = SP_BODY_NONE;
    if (x->codings) {
        if (check_coding(x, h->version, fault) != SP_H1_DONE)
            return SP_H1_BAD;
        h->framing = SP_BODY_CHUNKED;
    } else if (x->lengths) {
        h->framing = SP_BODY_LENGTH;
        h->has_length = true;
        h->content_length = x->length;
    }
    h->keep_alive = !x->close && (h->version == SP_HTTP_11 || x->keep_alive);
    h->expect_continue = x->expect_continue && h->version == SP_HTTP_11;
    h->upgrade = upgrade_wanted(x, h->version);
    return SP_H1_DONE;
}

static enum sp_h1_parse parse_request(struct sp_str head, uint32_t lines, const struct sp_h1_limits *limits,
                                      struct sp_arena *a, struct sp_request_head *out, struct sp_h1_fault *fault)
{
    struct facts x = {0};
    struct sp_str rest = sp_arena_dup(a, head);
    struct sp_str line = next_line(&rest);
    *out = (struct sp_request_head){0};
    if (parse_request_line(line, a, out, fault) != SP_H1_DONE)
        return SP_H1_BAD;
    if (parse_fields(rest, lines, limits, a, &out->fields, &x, fault) != SP_H1_DONE)
        return SP_H1_BAD;
    return finish_request(out, &x, fault);
}

enum sp_h1_parse sp_h1_parse_request(struct sp_str in, size_t *scanned, const struct sp_h1_limits *limits,
                                     struct sp_arena *a, struct sp_request_head *out, size_t *consumed,
                                     struct sp_h1_fault *fault)
{
    size_t start = skip_empty_lines(in), end = 0;
    if (start == in.len)
        return SP_H1_MORE;
    char first = in.p[start];
    bool maybe_empty_line = first == '\r' && in.len - start == 1;
    if (!sp_chars_token[(unsigned char)first] && !maybe_empty_line) /* TLS on a plain port, for one */
        return sp_h1_bad(fault, 400, "bad request line");
    uint32_t lines = 0;
    enum sp_h1_parse found = find_end(in, start, scanned, &end, &lines, fault);
    if (found == SP_H1_BAD)
        return found;
    size_t len = (found == SP_H1_DONE ? end : in.len) - start;
    if (check_size(sp_str(in.p + start, len), limits, 414, fault) != SP_H1_DONE)
        return SP_H1_BAD;
    if (found == SP_H1_MORE)
        return found;
    *scanned = 0;
    *consumed = end;
    return parse_request(sp_str(in.p + start, end - start), lines, limits, a, out, fault);
}

/* --- response */

static enum sp_h1_parse parse_status_line(struct sp_str line, struct sp_response_head *h, struct sp_h1_fault *fault)
{
    bool known;
    if (line.len < 12 || !parse_version(sp_str(line.p, 8), &h->version, &known) || line.p[8] != ' ')
        return sp_h1_bad(fault, 502, "bad status line");
    if (!known)
        return sp_h1_bad(fault, 502, "HTTP version not supported");
    uint64_t status;
    if (!sp_str_to_u64(sp_str(line.p + 9, 3), &status) || status < 100)
        return sp_h1_bad(fault, 502, "bad status code");
    if (line.len > 12 && line.p[12] != ' ') /* a missing reason phrase may take its blank with it */
        return sp_h1_bad(fault, 502, "bad status line");
    if (!sp_chars_text(line.p + 12, line.len - 12))
        return sp_h1_bad(fault, 502, "control byte in the reason phrase");
    h->status = (unsigned)status;
    return SP_H1_DONE;
}

static enum sp_h1_parse finish_response(struct sp_response_head *h, const struct facts *x, bool was_head,
                                        struct sp_h1_fault *fault)
{
    if (x->codings && check_coding(x, h->version, fault) != SP_H1_DONE)
        return SP_H1_BAD;
    bool never = h->status < 200 || h->status == 204;
    h->keep_alive = !x->close && (h->version == SP_HTTP_11 || x->keep_alive);
    h->has_length = x->lengths > 0 && !never;
    h->content_length = h->has_length ? x->length : 0;
    if (never && (x->codings || x->length)) /* a body that must not be: what follows is nobody's response */
        h->keep_alive = false;
    if (was_head || never || h->status == 304) {
        h->framing = SP_BODY_NONE;
    } else if (x->codings) {
        h->framing = SP_BODY_CHUNKED;
    } else if (x->lengths) {
        h->framing = SP_BODY_LENGTH;
    } else {
        h->framing = SP_BODY_CLOSE;
        h->keep_alive = false;
    }
    if ((h->status == 101 || h->status == 426) && x->named_upgrade && x->upgrades == 1)
        h->upgrade = x->upgrade;
    return SP_H1_DONE;
}

static enum sp_h1_parse parse_response(struct sp_str rest, uint32_t lines, const struct sp_h1_limits *limits,
                                       bool was_head, struct sp_arena *a, struct sp_response_head *out,
                                       struct sp_h1_fault *fault)
{
    struct facts x = {0};
    struct sp_str line = next_line(&rest);
    *out = (struct sp_response_head){0};
    if (parse_status_line(line, out, fault) != SP_H1_DONE)
        return SP_H1_BAD;
    if (parse_fields(rest, lines, limits, a, &out->fields, &x, fault) != SP_H1_DONE)
        return SP_H1_BAD;
    return finish_response(out, &x, was_head, fault);
}

enum sp_h1_parse sp_h1_parse_response(struct sp_str in, size_t *scanned, const struct sp_h1_limits *limits,
                                      bool request_was_head, struct sp_arena *a, struct sp_response_head *out,
                                      size_t *consumed, struct sp_h1_fault *fault)
{
    size_t end = 0;
    uint32_t lines = 0;
    if (in.len == 0)
        return SP_H1_MORE;
    if (in.p[0] != 'H')
        return sp_h1_bad(fault, 502, "bad status line");
    enum sp_h1_parse result = find_end(in, 0, scanned, &end, &lines, fault);
    if (result != SP_H1_BAD && check_size(sp_str(in.p, end ? end : in.len), limits, 502, fault) != SP_H1_DONE)
        result = SP_H1_BAD;
    if (result == SP_H1_DONE)
        result = parse_response(sp_str(in.p, end), lines, limits, request_was_head, a, out, fault);
    if (result == SP_H1_BAD)
        fault->status = 502; /* whatever it is, it is not the client's fault */
    if (result != SP_H1_DONE)
        return result;
    *scanned = 0;
    *consumed = end;
    return SP_H1_DONE;
}
