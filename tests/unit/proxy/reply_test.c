/* What an error looks like: which type Accept chooses, and the bytes of each (kong-behaviour 1.0). */
#include "proxy/exchange.h"
#include "test.h"

#define ID "0123456789abcdef0123456789abcdef"

struct answer {
    struct sp_arena *arena;
    struct sp_str type, body;
};

/* Accept fields: one for each, NULL ends. */
static struct answer ask(const char *message, const char *const *accept)
{
    struct answer a = {.arena = sp_arena_new(1024)};
    struct dp_exchange x = {.arena = a.arena, .request_id = ID};
    for (; *accept; accept++)
        sp_fields_add(&x.request.fields, a.arena, SP_FIELD_ACCEPT, SP_STR("Accept"), sp_str_z(*accept));
    a.body = dp_reply_body(&x, message, &a.type);
    return a;
}

static void is(struct answer a, const char *type, const char *body)
{
    assert_string_equal(sp_arena_dup(a.arena, a.type).p, type);
    assert_string_equal(a.body.p, body);
    sp_arena_free(a.arena);
}

#define ASK(message, ...) ask(message, (const char *const[]){__VA_ARGS__, NULL})

static void bytes_of_each_type(void **state)
{
    (void)state;
    is(ASK("Unauthorized", NULL), "application/json; charset=utf-8",
       "{\n  \"message\":\"Unauthorized\",\n  \"request_id\":\"" ID "\"\n}");
    is(ASK("Unauthorized", "text/plain"), "text/plain; charset=utf-8", "Unauthorized\nrequest_id: " ID "\n");
    is(ASK("Unauthorized", "text/html"), "text/html; charset=utf-8",
       "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  </head>\n"
       "  <body>\n    <h1>Error</h1>\n    <p>Unauthorized.</p>\n    <p>request_id: " ID "</p>\n  </body>\n</html>\n");
    is(ASK("Unauthorized", "application/xml"), "application/xml; charset=utf-8",
       "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>Unauthorized</message>\n"
       "  <requestid>" ID "</requestid>\n</error>\n");
}

static void texts_stay_texts(void **state)
{
    (void)state;
    const char *message = "a \"b\" <i>&\n";
    is(ASK(message, NULL), "application/json; charset=utf-8",
       "{\n  \"message\":\"a \\\"b\\\" <i>&\\n\",\n  \"request_id\":\"" ID "\"\n}");
    is(ASK(message, "application/xml"), "application/xml; charset=utf-8",
       "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>a \"b\" &lt;i&gt;&amp;\n</message>\n"
       "  <requestid>" ID "</requestid>\n</error>\n");
    is(ASK("consumer's", "application/xml"), "application/xml; charset=utf-8",
       "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>consumer's</message>\n"
       "  <requestid>" ID "</requestid>\n</error>\n");
}

static void accept_chooses(void **state)
{
    (void)state;
    const struct {
        const char *accept, *second, *type;
    } rows[] = {
        {"*/*", NULL, "application/json"},
        {"text/*", NULL, "text/plain"},
        {"application/*", NULL, "application/json"},
        {"text/html;q=0.5, text/plain", NULL, "text/plain"},
        {"text/html, text/plain", NULL, "text/html"}, /* the first of equals */
        {"text/plain;q=0.1, application/xml;q=0.11", NULL, "application/xml"},
        {"image/png", NULL, "application/json"},
        {"image/png, text/html;q=0.9", NULL, "application/json"}, /* the best range is none of ours */
        {"image/png;q=0.8, text/html;q=0.9", NULL, "text/html"},
        {"text/html;q=0", NULL, "application/json"},
        {"text/html;q=0.000, text/plain;q=0.001", NULL, "text/plain"},
        {"text/html;level=1;q=0.4, text/plain ; q=0.5", NULL, "text/plain"},
        {"text/html;q=5, text/plain", NULL, "text/html"}, /* no weight is 1 */
        {"text/html;q=1.001, text/plain", NULL, "text/html"},
        {"text/html;q=0.1234, text/plain;q=0.124", NULL, "text/plain"}, /* three digits count */
        {"text/html;q=.5, text/plain;q=0.9", NULL, "text/html"},
        {"text/html;q=0., text/plain;q=0.001x", NULL, "text/plain"},
        {"text/html;Q=0.1, text/plain;q=0.5", NULL, "text/plain"},
        {"Text/HTML", NULL, "application/json"},
        {"html, text/plain;q=0.1", NULL, "text/plain"},
        {"", NULL, "application/json"},
        {",;/,;q=,", NULL, "application/json"},
        {"text/plain;q=0.2", "text/html", "text/html"}, /* two fields are one list */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer a = ASK("x", rows[i].accept, rows[i].second);
        if (!sp_str_starts(a.type, sp_str_z(rows[i].type)))
            fail_msg("%s: %.*s, not %s", rows[i].accept, SP_FMT(a.type), rows[i].type);
        sp_arena_free(a.arena);
    }
}

static void standard_texts(void **state)
{
    (void)state;
    assert_string_equal(dp_reply_text(401), "Unauthorized");
    assert_string_equal(dp_reply_text(418), "I'm a teapot");
    assert_string_equal(dp_reply_text(494), "Request header or cookie too large");
    assert_string_equal(dp_reply_text(502), "An invalid response was received from the upstream server");
    assert_null(dp_reply_text(499));
    assert_null(dp_reply_text(599));
}

static void grpc_codes(void **state)
{
    (void)state;
    const struct {
        unsigned status, code;
        const char *name;
    } rows[] = {{200, 0, "OK"},
                {204, 0, "OK"},
                {302, 2, "Unknown"},
                {400, 3, "InvalidArgument"},
                {401, 16, "Unauthenticated"},
                {403, 7, "PermissionDenied"},
                {404, 5, "NotFound"},
                {409, 6, "AlreadyExists"},
                {413, 3, "InvalidArgument"},
                {429, 8, "ResourceExhausted"},
                {499, 1, "Canceled"},
                {500, 13, "Internal"},
                {501, 12, "Unimplemented"},
                {502, 13, "Internal"},
                {503, 14, "Unavailable"},
                {504, 4, "DeadlineExceeded"},
                {599, 13, "Internal"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(dp_reply_grpc_status(rows[i].status), rows[i].code);
        assert_string_equal(dp_reply_grpc_name(rows[i].code), rows[i].name);
    }
    struct sp_arena *a = sp_arena_new(256);
    assert_string_equal(dp_reply_grpc_text(a, SP_STR("100% na\xc3\xaf\n")).p, "100%25 na%C3%AF%0A");
    sp_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_of_each_type), cmocka_unit_test(texts_stay_texts),
                                       cmocka_unit_test(accept_chooses), cmocka_unit_test(standard_texts),
                                       cmocka_unit_test(grpc_codes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
