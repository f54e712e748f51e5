#include "http_test.h"

#include "http/h1.h"

/* Runs the decoder over `in` in pieces of `step`; collects the body. */
static enum sp_h1_parse decode(struct sp_h1_body *b, struct sp_str in, size_t step, struct sp_buf *out, size_t *used,
                               struct sp_h1_fault *fault)
{
    enum sp_h1_parse r = SP_H1_MORE;
    *used = 0;
    while (*used < in.len && !b->done) {
        struct sp_str part = {in.p + *used, step < in.len - *used ? step : in.len - *used};
        size_t before = part.len;
        while (part.len && !b->done) {
            struct sp_str data;
            r = sp_h1_body_next(b, &part, &data, fault);
            if (r == SP_H1_BAD)
                return r;
            sp_buf_add(out, data);
        }
        *used += before - part.len;
    }
    return r;
}

static void body_is(enum sp_framing framing, uint64_t length, const char *in, const char *body, size_t rest)
{
    for (size_t step = 1; step <= strlen(in) + 1; step++) {
        struct sp_h1_body b;
        struct sp_buf out = {0};
        struct sp_h1_fault fault;
        size_t used;
        sp_h1_body_init(&b, framing, length);
        assert_int_not_equal(decode(&b, sp_str_z(in), step, &out, &used, &fault), SP_H1_BAD);
        assert_true(b.done);
        assert_str(sp_buf_str(&out), body);
        assert_int_equal(strlen(in) - used, rest);
        sp_buf_fini(&out);
        sp_h1_body_fini(&b);
    }
}

static void chunked_refused(const char *in, unsigned status)
{
    for (size_t step = 1; step <= strlen(in); step += strlen(in) > 1 ? strlen(in) - 1 : 1) {
        struct sp_h1_body b;
        struct sp_buf out = {0};
        struct sp_h1_fault fault = {0};
        size_t used;
        sp_h1_body_init(&b, SP_BODY_CHUNKED, 0);
        enum sp_h1_parse r = decode(&b, sp_str_z(in), step, &out, &used, &fault);
        if (r != SP_H1_BAD || fault.status != status)
            fail_msg("%s (step %zu): result %d, status %u", in, step, r, fault.status);
        sp_buf_fini(&out);
        sp_h1_body_fini(&b);
    }
}

static void refuses_bad_chunks(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\na\r\n",
        "0x1\r\na\r\n",
        " 1\r\na\r\n",
        "1 \r\na\r\n",
        "1\t;a\r\na\r\n",
        ";a\r\n",
        "1\na\r\n",
        "1\r\r\na\r\n",
        "1\r\na\n",
        "1\r\nab\r\n",
        "1\r\na\rX",
        "1;a\nb\r\n",
        "1;a\rb\r\n",
        "1;a\x01\r\n",
        "8000000000000000\r\n",
        "ffffffffffffffff\r\n",
        "10000000000000000\r\n",
        "00000000000000001\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0\r\n\rX",
        "0\r\na: b\n\r\n",
        "0\r\na: b\rc\r\n",
        "0\r\na: \x01\r\n",
        "0\r\na : b\r\n",
        "0\r\na: b\r\n c\r\n",
        "0\r\na: b\r\nc\r\n",
        "0\r\nGET / HTTP/1.1\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        chunked_refused(bad[i], 400);
}

static void limits_extensions_and_trailers(void **state)
{
    (void)state;
    char text[9000];
    snprintf(text, sizeof text, "1;%0300d\r\na\r\n", 0);
    chunked_refused(text, 400);
    snprintf(text, sizeof text, "0\r\na: %08400d\r\n", 0);
    chunked_refused(text, 494);
}

static void decodes_chunks_at_every_split(void **state)
{
    (void)state;
    body_is(SP_BODY_CHUNKED, 0, "5\r\nhello\r\n1;a=b;c=\"d\"\r\n \r\n00A\r\nworld12345\r\n0\r\n\r\nrest",
            "hello world12345", 4);
    body_is(SP_BODY_CHUNKED, 0, "0\r\n\r\n", "", 0);
    body_is(SP_BODY_CHUNKED, 0, "000;x\r\nA: b\r\nC: d\r\n\r\n", "", 0);
}

static void decodes_length(void **state)
{
    (void)state;
    body_is(SP_BODY_LENGTH, 5, "helloGET /", "hello", 5);
    body_is(SP_BODY_LENGTH, 0, "x", "", 1);
    body_is(SP_BODY_NONE, 0, "x", "", 1);
}

static void by_close_never_ends_by_itself(void **state)
{
    (void)state;
    struct sp_h1_body b;
    struct sp_h1_fault fault;
    sp_h1_body_init(&b, SP_BODY_CLOSE, 0);
    struct sp_str in = SP_STR("abc"), data;
    assert_int_equal(sp_h1_body_next(&b, &in, &data, &fault), SP_H1_DONE);
    assert_str(data, "abc");
    assert_int_equal(in.len, 0);
    assert_false(b.done);
    assert_int_equal(sp_h1_body_next(&b, &in, &data, &fault), SP_H1_MORE);
    sp_h1_body_fini(&b);
}

static void data_is_not_copied(void **state)
{
    (void)state;
    struct sp_h1_body b;
    struct sp_h1_fault fault;
    const char text[] = "3\r\nabc\r\n";
    struct sp_str in = sp_str_z(text), data;
    sp_h1_body_init(&b, SP_BODY_CHUNKED, 0);
    assert_int_equal(sp_h1_body_next(&b, &in, &data, &fault), SP_H1_DONE);
    assert_ptr_equal(data.p, text + 3);
    assert_int_equal(data.len, 3);
    sp_h1_body_fini(&b);
}

static enum sp_h1_parse trailers_of(const char *in, struct sp_arena *a, struct sp_fields *out)
{
    struct sp_h1_body b;
    struct sp_h1_fault fault;
    struct sp_buf body = {0};
    size_t used;
    sp_h1_body_init(&b, SP_BODY_CHUNKED, 0);
    assert_int_not_equal(decode(&b, sp_str_z(in), 1, &body, &used, &fault), SP_H1_BAD);
    assert_true(b.done);
    enum sp_h1_parse r = sp_h1_body_trailers(&b, a, out, &fault);
    sp_buf_fini(&body);
    sp_h1_body_fini(&b);
    return r;
}

static void trailers_lose_forbidden_fields(void **state)
{
    (void)state;
    struct sp_arena *a = sp_arena_new(256);
    struct sp_fields f;
    assert_int_equal(trailers_of("0\r\nContent-Length: 5\r\nX-Sum: 1 \r\nHost: b\r\nClient-Cert: :x:\r\n"
                                 "Transfer-Encoding: chunked\r\ngrpc-status: 0\r\n\r\n",
                                 a, &f),
                     SP_H1_DONE);
    assert_int_equal(f.len, 2);
    assert_str(f.v[0].name, "X-Sum");
    assert_str(f.v[0].value, "1");
    assert_str(f.v[1].name, "grpc-status");
    assert_int_equal(trailers_of("0\r\n\r\n", a, &f), SP_H1_DONE);
    assert_int_equal(f.len, 0);
    sp_arena_free(a);
}

static void refuses_too_many_trailers(void **state)
{
    (void)state;
    struct sp_arena *a = sp_arena_new(256);
    struct sp_fields f;
    struct sp_buf many = {0};
    sp_buf_printf(&many, "0\r\n");
    for (int i = 0; i < 65; i++)
        sp_buf_printf(&many, "a:b\r\n");
    sp_buf_append(&many, "\r\n", 3);
    assert_int_equal(trailers_of(many.p, a, &f), SP_H1_BAD);
    sp_buf_fini(&many);
    sp_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_bad_chunks),
        cmocka_unit_test(limits_extensions_and_trailers),
        cmocka_unit_test(decodes_chunks_at_every_split),
        cmocka_unit_test(decodes_length),
        cmocka_unit_test(by_close_never_ends_by_itself),
        cmocka_unit_test(data_is_not_copied),
        cmocka_unit_test(trailers_lose_forbidden_fields),
        cmocka_unit_test(refuses_too_many_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
