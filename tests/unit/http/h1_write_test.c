#include "http_test.h"

#include "http/h1.h"

struct fixture {
    struct sp_arena *a;
    struct sp_buf out;
};

static int setup(void **state)
{
    struct fixture *f = sp_alloc(sizeof *f);
    f->a = sp_arena_new(1024);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sp_arena_free(f->a);
    sp_buf_fini(&f->out);
    free(f);
    return 0;
}

static struct sp_request_head get_head(void)
{
    return (struct sp_request_head){.method = SP_STR("GET"),
                                    .target = SP_STR("/p?q"),
                                    .authority = SP_STR("a:81"),
                                    .framing = SP_BODY_NONE,
                                    .keep_alive = true};
}

static void add(struct sp_fields *f, struct sp_arena *a, const char *name, const char *value)
{
    sp_fields_add(f, a, SP_FIELD_OTHER, sp_str_z(name), sp_str_z(value));
}

static void refuses_what_would_split_a_request(void **state)
{
    struct fixture *f = *state;
    sp_buf_append(&f->out, "before", 6);
    static const struct {
        const char *name, *value;
    } bad[] = {{"", "v"}, {"a b", "v"}, {"a:", "v"}, {"a\r\nb", "v"}, {"a", "v\r\nb: c"}, {"a", "\n"}, {"a", "\x7f"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sp_request_head h = get_head();
        add(&h.fields, f->a, bad[i].name, bad[i].value);
        assert_false(sp_h1_write_request(&f->out, &h));
        struct sp_response_head r = {.status = 200, .fields = h.fields};
        assert_false(sp_h1_write_response(&f->out, &r, false));
        assert_str(sp_buf_str(&f->out), "before");
    }
    struct sp_request_head h = get_head();
    h.method = SP_STR("GET /x HTTP/1.1\r\n");
    assert_false(sp_h1_write_request(&f->out, &h));
    static const char *const targets[] = {"", "/a b", "/a\r\n", "/\xff"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        h = get_head();
        h.target = sp_str_z(targets[i]);
        assert_false(sp_h1_write_request(&f->out, &h));
    }
    h = get_head();
    h.authority = SP_STR("a\r\nb: c");
    assert_false(sp_h1_write_request(&f->out, &h));
    h = get_head();
    h.framing = SP_BODY_CLOSE;
    assert_false(sp_h1_write_request(&f->out, &h));
    struct sp_response_head r = {.status = 99};
    assert_false(sp_h1_write_response(&f->out, &r, false));
    r.status = 1000;
    assert_false(sp_h1_write_response(&f->out, &r, false));
    assert_str(sp_buf_str(&f->out), "before");
}

static void framing_fields_are_never_copied(void **state)
{
    struct fixture *f = *state;
    struct sp_request_head h = get_head();
    static const char *const names[] = {"Content-Length", "transfer-encoding", "Connection",      "Host",
                                        "Upgrade",        "Keep-Alive",        "Proxy-Connection"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        add(&h.fields, f->a, names[i], "1");
    add(&h.fields, f->a, "Removed", "1");
    h.fields.v[h.fields.len - 1].removed = true;
    add(&h.fields, f->a, "X-Kept", "1");
    assert_true(sp_h1_write_request(&f->out, &h));
    assert_str(sp_buf_str(&f->out), "GET /p?q HTTP/1.1\r\nHost: a:81\r\nX-Kept: 1\r\nConnection: keep-alive\r\n\r\n");
}

static void request_framings(void **state)
{
    struct fixture *f = *state;
    struct sp_request_head h = get_head();
    h.keep_alive = false;
    h.framing = SP_BODY_LENGTH;
    h.content_length = UINT64_MAX;
    assert_true(sp_h1_write_request(&f->out, &h));
    assert_str(sp_buf_str(&f->out), "GET /p?q HTTP/1.1\r\nHost: a:81\r\nConnection: close\r\n"
                                    "Content-Length: 18446744073709551615\r\n\r\n");
    sp_buf_clear(&f->out);
    h.framing = SP_BODY_STREAM;
    h.upgrade = SP_STR("websocket");
    assert_true(sp_h1_write_request(&f->out, &h));
    assert_str(sp_buf_str(&f->out), "GET /p?q HTTP/1.1\r\nHost: a:81\r\nConnection: keep-alive, Upgrade\r\n"
                                    "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n");
    sp_buf_clear(&f->out);
    h.upgrade.len = 0;
    h.has_length = true;
    h.content_length = 0;
    assert_true(sp_h1_write_request(&f->out, &h));
    assert_str(sp_buf_str(&f->out),
               "GET /p?q HTTP/1.1\r\nHost: a:81\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

static void response_framings(void **state)
{
    struct fixture *f = *state;
    static const struct {
        struct sp_response_head h;
        bool http10;
        const char *text;
    } rows[] = {
        {{.status = 200, .framing = SP_BODY_LENGTH, .content_length = 7, .has_length = true, .keep_alive = true},
         false,
         "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"},
        {{.status = 200, .framing = SP_BODY_LENGTH, .keep_alive = true},
         true,
         "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"},
        {{.status = 404, .framing = SP_BODY_CHUNKED, .keep_alive = true},
         false,
         "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {{.status = 200, .framing = SP_BODY_CHUNKED, .keep_alive = true},
         true,
         "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
        {{.status = 200, .framing = SP_BODY_CLOSE, .keep_alive = true},
         false,
         "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
        {{.status = 204, .framing = SP_BODY_NONE, .has_length = true, .keep_alive = true},
         false,
         "HTTP/1.1 204 No Content\r\n\r\n"},
        {{.status = 304, .framing = SP_BODY_NONE, .keep_alive = true}, false, "HTTP/1.1 304 Not Modified\r\n\r\n"},
        {{.status = 200, .framing = SP_BODY_NONE, .has_length = true, .content_length = 9, .keep_alive = true},
         false,
         "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"},
        {{.status = 100, .framing = SP_BODY_NONE}, false, "HTTP/1.1 100 Continue\r\n\r\n"},
        {{.status = 101, .framing = SP_BODY_NONE, .upgrade = {"websocket", 9}},
         false,
         "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
        {{.status = 426, .framing = SP_BODY_LENGTH, .upgrade = {"TLS/1.2, HTTP/1.1", 17}},
         false,
         "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close, Upgrade\r\n"
         "Upgrade: TLS/1.2, HTTP/1.1\r\n\r\n"},
        {{.status = 777, .framing = SP_BODY_LENGTH, .keep_alive = true},
         false,
         "HTTP/1.1 777 Unknown\r\nContent-Length: 0\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sp_buf_clear(&f->out);
        assert_true(sp_h1_write_response(&f->out, &rows[i].h, rows[i].http10));
        assert_str(sp_buf_str(&f->out), rows[i].text);
    }
}

static void chunks(void **state)
{
    struct fixture *f = *state;
    sp_h1_write_chunk_head(&f->out, 0x1a2b);
    sp_h1_write_chunk_head(&f->out, 1);
    sp_h1_write_chunk_head(&f->out, SIZE_MAX);
    assert_str(sp_buf_str(&f->out), "1a2b\r\n1\r\nffffffffffffffff\r\n");
    sp_buf_clear(&f->out);
    assert_true(sp_h1_write_last_chunk(&f->out, NULL));
    struct sp_fields t = {0};
    add(&t, f->a, "X-Sum", "1");
    add(&t, f->a, "Content-Length", "1");
    assert_true(sp_h1_write_last_chunk(&f->out, &t));
    assert_str(sp_buf_str(&f->out), "0\r\n\r\n0\r\nX-Sum: 1\r\n\r\n");
    add(&t, f->a, "bad", "\r\n");
    assert_false(sp_h1_write_last_chunk(&f->out, &t));
    assert_str(sp_buf_str(&f->out), "0\r\n\r\n0\r\nX-Sum: 1\r\n\r\n");
}

static void what_is_written_parses_again(void **state)
{
    struct fixture *f = *state;
    struct sp_request_head h = get_head(), back;
    struct sp_h1_fault fault;
    size_t scanned = 0, consumed;
    h.framing = SP_BODY_CHUNKED;
    add(&h.fields, f->a, "A", "");
    add(&h.fields, f->a, "B", "v w\xff");
    assert_true(sp_h1_write_request(&f->out, &h));
    assert_int_equal(
        sp_h1_parse_request(sp_buf_str(&f->out), &scanned, &sp_h1_default_limits, f->a, &back, &consumed, &fault),
        SP_H1_DONE);
    assert_int_equal(consumed, f->out.len);
    assert_str(back.authority, "a:81");
    assert_int_equal(back.framing, SP_BODY_CHUNKED);
    assert_str(sp_fields_find(&back.fields, SP_STR("b"))->value, "v w\xff");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refuses_what_would_split_a_request),
        TEST(framing_fields_are_never_copied),
        TEST(request_framings),
        TEST(response_framings),
        TEST(chunks),
        TEST(what_is_written_parses_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
