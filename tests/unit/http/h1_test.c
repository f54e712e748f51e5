#include "http_test.h"

#include "http/h1.h"

struct parsed {
    struct sp_arena *arena;
    enum sp_h1_parse result;
    struct sp_h1_fault fault;
    struct sp_request_head request;
    struct sp_response_head response;
    size_t consumed;
};

static const struct sp_h1_limits small = {.max_head_bytes = 256, .max_line_bytes = 64, .max_fields = 4};

static void parsed_free(struct parsed *p)
{
    sp_arena_free(p->arena);
}
#define AUTO_PARSED SP_AUTO(parsed_free) struct parsed

/* Feeds `in` in steps of `step` bytes until the parser says something else than MORE. */
static struct parsed parse_in_steps(struct sp_str in, const struct sp_h1_limits *limits, size_t step, bool response,
                                    bool head)
{
    struct parsed p = {.arena = sp_arena_new(512), .result = SP_H1_MORE};
    size_t scanned = 0;
    for (size_t n = step; p.result == SP_H1_MORE; n += step) {
        struct sp_str part = {in.p, n < in.len ? n : in.len};
        p.result = response
                       ? sp_h1_parse_response(part, &scanned, limits, head, p.arena, &p.response, &p.consumed, &p.fault)
                       : sp_h1_parse_request(part, &scanned, limits, p.arena, &p.request, &p.consumed, &p.fault);
        if (n >= in.len)
            break;
    }
    return p;
}

static struct parsed request(const char *text)
{
    return parse_in_steps(sp_str_z(text), &sp_h1_default_limits, SIZE_MAX / 2, false, false);
}

static struct parsed response(const char *text)
{
    return parse_in_steps(sp_str_z(text), &sp_h1_default_limits, SIZE_MAX / 2, true, false);
}

/* The same verdict whole and byte by byte. */
static void refused_by(struct sp_str text, const struct sp_h1_limits *limits, unsigned status)
{
    for (int step = 0; step < 2; step++) {
        AUTO_PARSED p = parse_in_steps(text, limits, step ? 1 : SIZE_MAX / 2, false, false);
        if (p.result != SP_H1_BAD || p.fault.status != status)
            fail_msg("%s: result %d status %u (%s), expected %u", text.p, p.result, p.fault.status,
                     p.fault.why ? p.fault.why : "", status);
        assert_non_null(p.fault.why);
    }
}

static void request_refused(const char *text, unsigned status)
{
    refused_by(sp_str_z(text), &sp_h1_default_limits, status);
}

static void response_refused(const char *text)
{
    for (int step = 0; step < 2; step++) {
        AUTO_PARSED p = parse_in_steps(sp_str_z(text), &sp_h1_default_limits, step ? 1 : SIZE_MAX / 2, true, false);
        if (p.result != SP_H1_BAD || p.fault.status != 502)
            fail_msg("%s: result %d status %u", text, p.result, p.fault.status);
    }
}

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n"

static void refuses_bad_request_lines(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "GET\r\n" HOST "\r\n",
        "GET /\r\n" HOST "\r\n",
        "GET  / HTTP/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.1 \r\n" HOST "\r\n",
        "GET /  HTTP/1.1\r\n" HOST "\r\n",
        "GET\t/ HTTP/1.1\r\n" HOST "\r\n",
        " GET / HTTP/1.1\r\n" HOST "\r\n",
        "G(T / HTTP/1.1\r\n" HOST "\r\n",
        "GET / http/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1\r\n" HOST "\r\n",
        "GET / HTTP/1.10\r\n" HOST "\r\n",
        "GET / HTTP/11\r\n" HOST "\r\n",
        "GET / HTTP/1,1\r\n" HOST "\r\n",
        "GET / HTTP/a.1\r\n" HOST "\r\n",
        "GET /a#b HTTP/1.1\r\n" HOST "\r\n",
        "GET /\x01 HTTP/1.1\r\n" HOST "\r\n",
        "GET /\x7f HTTP/1.1\r\n" HOST "\r\n",
        "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n",
        "GET /a\rb HTTP/1.1\r\n" HOST "\r\n",
        "GET a HTTP/1.1\r\n" HOST "\r\n",
        "GET * HTTP/1.1\r\n" HOST "\r\n",
        "GET ?a HTTP/1.1\r\n" HOST "\r\n",
        "GET a:80 HTTP/1.1\r\n" HOST "\r\n",
        "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n",
        "GET http:/// HTTP/1.1\r\n" HOST "\r\n",
        "GET http:// HTTP/1.1\r\n" HOST "\r\n",
        "GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n",
        "GET http://a:x/ HTTP/1.1\r\n" HOST "\r\n",
        "\r\n\r\n\r\n" GET HOST "\r\n",
        "\x16\x03\x01\x02",
        "\rGET / HTTP/1.1\r\n",
        "\nGET / HTTP/1.1\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        request_refused(bad[i], 400);
    request_refused("GET / HTTP/2.0\r\n" HOST "\r\n", 505);
    request_refused("GET / HTTP/1.2\r\n" HOST "\r\n", 505);
    request_refused("GET / HTTP/0.9\r\n" HOST "\r\n", 505);
    request_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    request_refused("CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", 405);
}

static void refuses_bad_line_ends_and_fields(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        GET "Host: a\n\r\n",
        GET "Host: a\r\n\n",
        GET HOST "a: b\rc: d\r\n\r\n",
        GET HOST "a: b\r\r\n\r\n",
        GET HOST "a: b\r\n c\r\n\r\n",
        GET HOST "a: b\r\n\tc\r\n\r\n",
        GET " a: b\r\n" HOST "\r\n",
        GET HOST "a : b\r\n\r\n",
        GET HOST "a\t: b\r\n\r\n",
        GET HOST ": b\r\n\r\n",
        GET HOST "a\r\n\r\n",
        GET HOST "a b: c\r\n\r\n",
        GET HOST "a(b): c\r\n\r\n",
        GET HOST "a\xc3: c\r\n\r\n",
        GET HOST "a: \x01\r\n\r\n",
        GET HOST "a: \x7f\r\n\r\n",
        GET HOST "a: a long value with a bell in it \x07 and more behind\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        request_refused(bad[i], 400);
    refused_by(SP_STR(GET HOST "a: b\0c\r\n\r\n"), &sp_h1_default_limits, 400);
    refused_by(SP_STR(GET HOST "a\0: b\r\n\r\n"), &sp_h1_default_limits, 400);
    refused_by(SP_STR("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), &sp_h1_default_limits, 400);
}

static void refuses_bad_hosts(void **state)
{
    (void)state;
    static const char *const bad[] = {
        GET "\r\n",
        GET "Host:\r\n\r\n",
        GET "Host: a\r\nHost: a\r\n\r\n",
        GET "Host: a\r\nhOST: b\r\n\r\n",
        GET "Host: a, b\r\n\r\n",
        GET "Host: a b\r\n\r\n",
        GET "Host: a/b\r\n\r\n",
        GET "Host: u@a\r\n\r\n",
        GET "Host: a:99999\r\n\r\n",
        GET "Host: [::1\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\nHost:\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        request_refused(bad[i], 400);
}

#define POST "POST / HTTP/1.1\r\n" HOST

static void refuses_ambiguous_framing(void **state)
{
    (void)state;
    static const char *const bad[] = {
        POST "Content-Length:\r\n\r\n",
        POST "Content-Length: +1\r\n\r\n",
        POST "Content-Length: -1\r\n\r\n",
        POST "Content-Length: 0x1\r\n\r\n",
        POST "Content-Length: 1 1\r\n\r\n",
        POST "Content-Length: 1,1\r\n\r\n",
        POST "Content-Length: 1, 1\r\n\r\n",
        POST "Content-Length: 1;\r\n\r\n",
        POST "Content-Length: 1.0\r\n\r\n",
        POST "Content-Length: 9223372036854775808\r\n\r\n",
        POST "Content-Length: 18446744073709551617\r\n\r\n",
        POST "Content-Length: 00000000000000000001\r\n\r\n",
        POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
        POST "Content-Length: 1\r\ncontent-length: 2\r\n\r\n",
        POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        POST "Transfer-Encoding:\r\n\r\n",
        POST "Transfer-Encoding : chunked\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n x\r\n\r\n",
        POST "Transfer-Encoding: \x0b"
             "chunked\r\n\r\n",
        "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        request_refused(bad[i], 400);
    static const char *const unknown[] = {
        POST "Transfer-Encoding: gzip\r\n\r\n",          POST "Transfer-Encoding: identity\r\n\r\n",
        POST "Transfer-Encoding: gzip, chunked\r\n\r\n", POST "Transfer-Encoding: chunked, chunked\r\n\r\n",
        POST "Transfer-Encoding: chunked,\r\n\r\n",      POST "Transfer-Encoding: xchunked\r\n\r\n",
        POST "Transfer-Encoding: chunked;q=1\r\n\r\n",   POST "Transfer-Encoding: \"chunked\"\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        request_refused(unknown[i], 501);
}

static void refuses_bad_connection(void **state)
{
    (void)state;
    request_refused(GET HOST "Connection: a b\r\n\r\n", 400);
    request_refused(GET HOST "Connection: ,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\r\n\r\n", 400);
}

static void keeps_to_its_limits(void **state)
{
    (void)state;
    char text[600];
    /* a request line of 64 bytes passes, of 65 not */
    snprintf(text, sizeof text, "GET /%050d HTTP/1.1\r\n" HOST "\r\n", 0);
    AUTO_PARSED p = parse_in_steps(sp_str_z(text), &small, 1, false, false);
    assert_int_equal(p.result, SP_H1_DONE);
    snprintf(text, sizeof text, "GET /%051d HTTP/1.1\r\n" HOST "\r\n", 0);
    refused_by(sp_str_z(text), &small, 414);
    snprintf(text, sizeof text, "GET /%0500d", 0);
    refused_by(sp_str_z(text), &small, 414);
}

static void counts_fields(void **state)
{
    (void)state;
    AUTO_PARSED p = parse_in_steps(SP_STR(GET HOST "a:1\r\na:2\r\na:3\r\n\r\n"), &small, 1, false, false);
    assert_int_equal(p.result, SP_H1_DONE);
    assert_int_equal(p.request.fields.len, 3);
    refused_by(SP_STR(GET HOST "a:1\r\na:1\r\na:1\r\na:1\r\n\r\n"), &small, 494);
}

static void limits_the_head(void **state)
{
    (void)state;
    char text[600];
    size_t fixed = strlen(GET HOST "a: \r\nb: \r\nc: \r\n\r\n");
    int fill = (int)(small.max_head_bytes - fixed) - 2;
    /* one field may have all of it: a certificate chain is one field */
    snprintf(text, sizeof text, GET HOST "a: 0\r\nb: 0\r\nc: %0*d\r\n\r\n", fill, 0);
    assert_int_equal(strlen(text), small.max_head_bytes);
    AUTO_PARSED p = parse_in_steps(sp_str_z(text), &small, 1, false, false);
    assert_int_equal(p.result, SP_H1_DONE);
    snprintf(text, sizeof text, GET HOST "a: 0\r\nb: 0\r\nc: %0*d\r\n\r\n", fill + 1, 0);
    refused_by(sp_str_z(text), &small, 494);
    snprintf(text, sizeof text, GET HOST "a: 0\r\nb: 0\r\nc: %0*d", fill + 100, 0);
    refused_by(sp_str_z(text), &small, 494); /* before the head ends */
}

static void parses_a_request(void **state)
{
    (void)state;
    AUTO_PARSED p = request("\r\nPOST /p?q=1 HTTP/1.1\r\nhost:  a.example:8443 \r\nX-Empty:\r\nAccept: */* \r\n"
                            "Content-Length: 0042\r\nExpect: 100-Continue\r\n\r\nbody");
    assert_int_equal(p.result, SP_H1_DONE);
    assert_str(p.request.method, "POST");
    assert_str(p.request.target, "/p?q=1");
    assert_str(p.request.authority, "a.example:8443");
    assert_int_equal(p.request.version, SP_HTTP_11);
    assert_int_equal(p.request.framing, SP_BODY_LENGTH);
    assert_true(p.request.has_length);
    assert_int_equal(p.request.content_length, 42);
    assert_true(p.request.keep_alive);
    assert_true(p.request.expect_continue);
    assert_int_equal(p.request.upgrade.len, 0);
    assert_int_equal(p.request.fields.len, 4);
    assert_str(p.request.fields.v[0].name, "X-Empty");
    assert_str(p.request.fields.v[0].value, "");
    assert_str(p.request.fields.v[1].value, "*/*");
    assert_int_equal(p.request.fields.v[1].id, SP_FIELD_ACCEPT);
    assert_null(sp_fields_find_id(&p.request.fields, SP_FIELD_HOST));
    assert_int_equal(p.consumed, strlen("\r\nPOST /p?q=1 HTTP/1.1\r\nhost:  a.example:8443 \r\nX-Empty:\r\n"
                                        "Accept: */* \r\nContent-Length: 0042\r\nExpect: 100-Continue\r\n\r\n"));
}

static void target_forms(void **state)
{
    (void)state;
    static const struct {
        const char *line, *target, *authority;
    } forms[] = {
        {"GET / HTTP/1.1", "/", "h"},
        {"GET //x/../y HTTP/1.1", "//x/../y", "h"},
        {"OPTIONS * HTTP/1.1", "*", "h"},
        {"OPTIONS http://a HTTP/1.1", "*", "a"},
        {"OPTIONS http://a/ HTTP/1.1", "/", "a"},
        {"GET http://a HTTP/1.1", "/", "a"},
        {"GET HTTP://a:81?q HTTP/1.1", "/?q", "a:81"},
        {"GET https://[::1]/p HTTP/1.1", "/p", "[::1]"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char text[200];
        snprintf(text, sizeof text, "%s\r\nHost: h\r\n\r\n", forms[i].line);
        AUTO_PARSED p = request(text);
        assert_int_equal(p.result, SP_H1_DONE);
        assert_str(p.request.target, forms[i].target);
        assert_str(p.request.authority, forms[i].authority);
    }
}

static void keep_alive_and_upgrade(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool keep;
        const char *upgrade;
    } rows[] = {
        {GET HOST "\r\n", true, ""},
        {GET HOST "Connection: Close\r\n\r\n", false, ""},
        {GET HOST "Connection: a, close\r\n\r\n", false, ""},
        {"GET / HTTP/1.0\r\n\r\n", false, ""},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, ""},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false, ""},
        {GET HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", true, "websocket"},
        {GET HOST "Upgrade: websocket\r\n\r\n", true, ""},
        {GET HOST "Connection: upgrade\r\n\r\n", true, ""},
        {GET HOST "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n", true, ""},
        {GET HOST "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", true, ""},
        {GET HOST "Connection: upgrade\r\nUpgrade: x, H2C\r\n\r\n", true, ""},
        {"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", false, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_PARSED p = request(rows[i].text);
        assert_int_equal(p.result, SP_H1_DONE);
        assert_int_equal(p.request.keep_alive, rows[i].keep);
        assert_str(p.request.upgrade, rows[i].upgrade);
    }
    AUTO_PARSED old = request("GET / HTTP/1.0\r\n\r\n");
    assert_int_equal(old.request.authority.len, 0);
}

static void every_split_gives_the_same_request(void **state)
{
    (void)state;
    static const char text[] = "\r\nPOST /path?x=1 HTTP/1.1\r\nHost: a.example\r\nA: 1\r\nB:\t2 \r\nC: three\r\n"
                               "Transfer-Encoding: Chunked\r\nConnection: close\r\n\r\nGET";
    struct sp_str in = sp_str_z(text);
    size_t head = in.len - 3;
    for (size_t cut = 0; cut <= in.len; cut++) {
        struct sp_arena *a = sp_arena_new(256);
        struct sp_request_head h;
        struct sp_h1_fault fault;
        size_t scanned = 0, consumed = 0;
        char *copy = sp_alloc(cut ? cut : 1); /* exact, so that a byte too far is seen by the sanitizer */
        memcpy(copy, text, cut);
        enum sp_h1_parse r =
            sp_h1_parse_request(sp_str(copy, cut), &scanned, &sp_h1_default_limits, a, &h, &consumed, &fault);
        free(copy);
        assert_int_equal(r, cut < head ? SP_H1_MORE : SP_H1_DONE);
        if (r == SP_H1_MORE)
            r = sp_h1_parse_request(in, &scanned, &sp_h1_default_limits, a, &h, &consumed, &fault);
        assert_int_equal(r, SP_H1_DONE);
        assert_int_equal(consumed, head);
        assert_int_equal(scanned, 0);
        assert_str(h.target, "/path?x=1"); /* from the arena: the first buffer is gone */
        assert_int_equal(h.framing, SP_BODY_CHUNKED);
        assert_int_equal(h.fields.len, 5);
        assert_str(h.fields.v[1].value, "2");
        assert_false(h.keep_alive);
        sp_arena_free(a);
    }
}

static void many_fields_after_a_split(void **state)
{
    (void)state;
    struct sp_buf text = {0};
    sp_buf_printf(&text, GET HOST);
    for (int i = 0; i < 100; i++)
        sp_buf_printf(&text, "x-%d: %d\r\n", i, i);
    sp_buf_printf(&text, "\r\n");
    AUTO_PARSED p = parse_in_steps(sp_buf_str(&text), &sp_h1_default_limits, text.len - 3, false, false);
    assert_int_equal(p.result, SP_H1_DONE);
    assert_int_equal(p.request.fields.len, 100);
    assert_str(p.request.fields.v[99].value, "99");
    sp_buf_fini(&text);
}

#define OK "HTTP/1.1 200 OK\r\n"

static void refuses_bad_responses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 +20 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 \x01\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        OK "a : b\r\n\r\n",
        OK "a: b\r\n c\r\n\r\n",
        OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK "Content-Length: 1, 1\r\n\r\n",
        OK "Content-Length:\r\n\r\n",
        OK "Content-Length: -1\r\n\r\n",
        OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK "Transfer-Encoding: identity\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        response_refused(bad[i]);
    char text[800];
    snprintf(text, sizeof text, "HTTP/1.1 200 %0600d", 0);
    AUTO_PARSED p = parse_in_steps(sp_str_z(text), &small, 1, true, false);
    assert_int_equal(p.result, SP_H1_BAD);
    assert_int_equal(p.fault.status, 502);
}

static void response_framing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool head;
        enum sp_framing framing;
        bool has_length, keep;
    } rows[] = {
        {OK "Content-Length: 5\r\n\r\n", false, SP_BODY_LENGTH, true, true},
        {OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", false, SP_BODY_LENGTH, true, true},
        {OK "Content-Length: 5\r\n\r\n", true, SP_BODY_NONE, true, true},
        {OK "\r\n", true, SP_BODY_NONE, false, true},
        {OK "Transfer-Encoding: chunked\r\n\r\n", false, SP_BODY_CHUNKED, false, true},
        {OK "\r\n", false, SP_BODY_CLOSE, false, false},
        {OK "Connection: close\r\nContent-Length: 0\r\n\r\n", false, SP_BODY_LENGTH, true, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false, SP_BODY_LENGTH, true, false},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", false, SP_BODY_LENGTH, true, true},
        {"HTTP/1.1 204 No Content\r\n\r\n", false, SP_BODY_NONE, false, true},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, SP_BODY_NONE, false, false},
        {"HTTP/1.1 204\r\nTransfer-Encoding: chunked\r\n\r\n", false, SP_BODY_NONE, false, false},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, SP_BODY_NONE, true, true},
        {"HTTP/1.1 100 Continue\r\n\r\n", false, SP_BODY_NONE, false, true},
        {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, SP_BODY_LENGTH, true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_PARSED p = parse_in_steps(sp_str_z(rows[i].text), &sp_h1_default_limits, 1, true, rows[i].head);
        assert_int_equal(p.result, SP_H1_DONE);
        assert_int_equal(p.response.framing, rows[i].framing);
        assert_int_equal(p.response.has_length, rows[i].has_length);
        assert_int_equal(p.response.keep_alive, rows[i].keep);
        assert_int_equal(p.consumed, strlen(rows[i].text));
    }
}

static void switching_protocols(void **state)
{
    (void)state;
    AUTO_PARSED p = response("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_int_equal(p.result, SP_H1_DONE);
    assert_int_equal(p.response.status, 101);
    assert_str(p.response.upgrade, "websocket");
    AUTO_PARSED q = response("HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_int_equal(q.response.upgrade.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_bad_request_lines),
        cmocka_unit_test(refuses_bad_line_ends_and_fields),
        cmocka_unit_test(refuses_bad_hosts),
        cmocka_unit_test(refuses_ambiguous_framing),
        cmocka_unit_test(refuses_bad_connection),
        cmocka_unit_test(keeps_to_its_limits),
        cmocka_unit_test(counts_fields),
        cmocka_unit_test(limits_the_head),
        cmocka_unit_test(parses_a_request),
        cmocka_unit_test(target_forms),
        cmocka_unit_test(keep_alive_and_upgrade),
        cmocka_unit_test(every_split_gives_the_same_request),
        cmocka_unit_test(many_fields_after_a_split),
        cmocka_unit_test(refuses_bad_responses),
        cmocka_unit_test(response_framing),
        cmocka_unit_test(switching_protocols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
