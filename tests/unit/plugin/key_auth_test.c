/* key-auth: where keys are looked for, what is no key, and what the upstream does not see. */
#include "calls.h"

#include "base/log.h"

static char *words_a[8];

static void key_auth(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__KeyAuthConfig c = SALLYPORT__V1__KEY_AUTH_CONFIG__INIT;
    add_key_owner(l, "c1", "alice", "s3cret", 0);
    add_key_owner(l, "c2", "gone", "stale", 10);
    const void *i = ready(l, &dp_key_auth, &c);

    struct request *r = with_method(l, "GET");
    assert_int_equal(dp_key_auth.access(i, &r->call), DP_REPLY);
    assert_true(sp_str_eq(r->call.reply_fields.v[0].name, SP_STR("WWW-Authenticate")));
    assert_true(sp_str_eq(r->call.reply_fields.v[0].value, SP_STR("Key")));
    answers(r, 401, "No API key found in request");

    const char *bad[] = {"wrong", "stale", "S3CRET"};
    for (size_t n = 0; n < 3; n++) {
        r = with_method(l, "GET");
        client_sends(r, "apikey", bad[n]);
        dp_key_auth.access(i, &r->call);
        answers(r, 401, "Unauthorized");
    }
    r = with_method(l, "GET");
    client_sends(r, "apikey", "s3cret");
    client_sends(r, "ApiKey", "s3cret");
    dp_key_auth.access(i, &r->call);
    answers(r, 401, "Duplicate API key found");
    r = with_method(l, "GET");
    r->call.query = SP_STR("?apikey=s3cret&apikey=s3cret");
    dp_key_auth.access(i, &r->call);
    answers(r, 401, "Duplicate API key found");

    r = with_method(l, "GET");
    client_sends(r, "APIKEY", "s3cret");
    client_sends(r, "x-consumer-id", "forged");
    assert_int_equal(dp_key_auth.access(i, &r->call), DP_NEXT);
    assert_string_equal(sent(r, "X-Consumer-ID"), "c1");
    assert_string_equal(sent(r, "X-Consumer-Username"), "alice");
    assert_string_equal(sent(r, "X-Credential-Identifier"), "key-id");
    assert_string_equal(sent(r, "apikey"), "s3cret");
    request_free(r);
    r = with_method(l, "GET");
    r->call.query = SP_STR("?a=1&api%6bey=s3%63ret&b=2");
    assert_int_equal(dp_key_auth.access(i, &r->call), DP_NEXT);
    assert_string_equal(sent(r, "X-Consumer-ID"), "c1");
    request_free(r);
}

static void key_auth_settings(void **state)
{
    struct lab *l = *state;
    add_key_owner(l, "c1", "alice", "s3cret", 0);
    add_consumer(l, (struct person){.id = "a-id", .username = "anon"});
    Sallyport__V1__KeyAuthConfig c = SALLYPORT__V1__KEY_AUTH_CONFIG__INIT;
    c.n_key_names = words(words_a, "k1", "k2");
    c.key_names = words_a;
    c.hide_credentials = true;
    c.run_on_preflight = false;
    c.realm = (char *)"lab";
    const void *i = ready(l, &dp_key_auth, &c);
    struct request *r = with_method(l, "GET");
    r->call.query = SP_STR("?x=1&k2=s3cret&y");
    assert_int_equal(dp_key_auth.access(i, &r->call), DP_NEXT);
    assert_true(sp_str_eq(r->call.query, SP_STR("?x=1&y")));
    request_free(r);
    r = with_method(l, "GET");
    client_sends(r, "k1", "s3cret");
    assert_int_equal(dp_key_auth.access(i, &r->call), DP_NEXT);
    assert_string_equal(sent(r, "k1"), "");
    request_free(r);
    r = with_method(l, "OPTIONS");
    assert_int_equal(dp_key_auth.access(i, &r->call), DP_NEXT);
    assert_false(r->call.has_credential);
    request_free(r);
    r = with_method(l, "GET");
    dp_key_auth.access(i, &r->call);
    assert_true(sp_str_eq(r->call.reply_fields.v[0].value, SP_STR("Key realm=\"lab\"")));
    request_free(r);

    c.key_in_query = false;
    c.anonymous = (char *)"anon";
    i = ready(l, &dp_key_auth, &c);
    r = with_method(l, "GET");
    r->call.query = SP_STR("?k1=s3cret");
    assert_int_equal(dp_key_auth.access(i, &r->call), DP_NEXT);
    assert_string_equal(sent(r, "X-Anonymous-Consumer"), "true");
    request_free(r);
    c.anonymous = (char *)"nobody";
    r = with_method(l, "GET");
    dp_key_auth.access(ready(l, &dp_key_auth, &c), &r->call);
    answers(r, 500, "anonymous consumer nobody is configured but doesn't exist");
}

/* A request whose body has come, or is still to come (NULL). */
static struct request *with_body(struct lab *l, const char *type, const char *body)
{
    struct request *r = with_method(l, "POST");
    sp_fields_add(&r->head.fields, r->arena, SP_FIELD_CONTENT_TYPE, SP_STR("Content-Type"), sp_str_z(type));
    r->call.body_state = body ? DP_BODY_WHOLE : DP_BODY_UNREAD;
    r->call.body = sp_str_z(body);
    return r;
}

#define FORM "application/x-www-form-urlencoded"
#define JSON "application/json"
#define MULTIPART "multipart/form-data; boundary=xYz"
#define PART(name, value)                                                                                              \
    "--xYz\r\nX-A: b\r\ncontent-disposition: form-data; name=\"" name "\"; filename=x\r\n\r\n" value "\r\n"

static void key_in_body(void **state)
{
    struct lab *l = *state;
    add_key_owner(l, "c1", "alice", "s3cret", 0);
    Sallyport__V1__KeyAuthConfig c = SALLYPORT__V1__KEY_AUTH_CONFIG__INIT;
    c.key_in_body = true;
    c.n_key_names = words(words_a, "apikey", "other");
    c.key_names = words_a;
    const void *i = ready(l, &dp_key_auth, &c);
    const struct {
        const char *type, *body, *message; /* NULL: lets pass */
    } rows[] = {
        {FORM, "a=1&apikey=s3cret", NULL},
        {FORM "; charset=utf-8", "api%6bey=s3%63ret", NULL},
        {"Application/JSON", "{\"a\":1, \"apikey\": \"s3cret\"}", NULL},
        {JSON, "{\"\\u0061pikey\":\"s3\\u0063ret\"}", NULL},
        {JSON, "{\"apikey\":7,\"other\":\"s3cret\"}", NULL},
        {FORM, "apikey&other=s3cret", NULL},
        {MULTIPART, PART("a", "1") PART("apikey", "s3cret") "--xYz--\r\n", NULL},
        {"Multipart/Form-Data; charset=utf-8; Boundary=\"xYz\"", PART("apikey", "s3cret") "--xYz--", NULL},
        {MULTIPART, PART("a", "--xYz") PART("apikey", "s3cret") "--xYz--", NULL},
        {MULTIPART, PART("apikey", "wrong") "--xYz--\r\n", "Unauthorized"},
        {MULTIPART, PART("apikey", "s3cret") PART("apikey", "s3cret") "--xYz--", "Duplicate API key found"},
        {MULTIPART, PART("apikey", "s3cret"), "No API key found in request"}, /* cut off */
        {MULTIPART, "--xYz\r\nContent-Type: text/plain\r\n\r\ns3cret\r\n--xYz--", "No API key found in request"},
        {MULTIPART, "--xYz\r\n--xYz--", "No API key found in request"},
        {"multipart/form-data", PART("apikey", "s3cret") "--xYz--", "No API key found in request"},
        {FORM, "apikey=wrong", "Unauthorized"},
        {JSON, "{\"apikey\":\"wrong\"}", "Unauthorized"},
        {FORM, "apikey=s3cret&apikey=s3cret", "Duplicate API key found"},
        {JSON, "{\"apikey\":[\"s3cret\"]}", "Duplicate API key found"},
        {JSON, "{\"apikey\":{}}", "Duplicate API key found"},
        {JSON, "{\"apikey\":\"s3cret\",\"apikey\":\"x\"}", "Duplicate API key found"},
        {FORM, "apikey[]=s3cret", "No API key found in request"},
        {FORM, "apikey=", "No API key found in request"},
        {JSON, "{\"apikey\":\"s3cret\"", "No API key found in request"},
        {JSON, "[\"apikey\",\"s3cret\"]", "No API key found in request"},
        {JSON, "{\"in\":{\"apikey\":\"s3cret\"}}", "No API key found in request"},
        {JSON, "", "No API key found in request"},
        {"text/plain", "apikey=s3cret", "No API key found in request"},
    };
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        struct request *r = with_body(l, rows[n].type, rows[n].body);
        enum dp_verdict v = dp_key_auth.access(i, &r->call);
        if (v != (rows[n].message ? DP_REPLY : DP_NEXT))
            fail_msg("row %zu: %d", n, v);
        assert_false(r->call.body_changed);
        if (rows[n].message)
            answers(r, 401, rows[n].message);
        else
            request_free(r);
    }
}

static void key_in_body_is_waited_for(void **state)
{
    struct lab *l = *state;
    add_key_owner(l, "c1", "alice", "s3cret", 0);
    Sallyport__V1__KeyAuthConfig c = SALLYPORT__V1__KEY_AUTH_CONFIG__INIT;
    c.key_in_body = true;
    const void *i = ready(l, &dp_key_auth, &c);
    struct request *r = with_body(l, FORM, NULL);
    assert_int_equal(dp_key_auth.access(i, &r->call), DP_PAUSE);
    assert_true(r->call.wants_body);
    r->call.body_state = DP_BODY_WHOLE;
    r->call.body = SP_STR("apikey=s3cret");
    assert_int_equal(dp_key_auth.access(i, &r->call), DP_NEXT);
    assert_string_equal(sent(r, "X-Consumer-ID"), "c1");
    request_free(r);
    r = with_body(l, FORM, NULL);
    assert_int_equal(dp_key_auth.access(i, &r->call), DP_PAUSE);
    r->call.body_state = DP_BODY_TOO_LARGE;
    dp_key_auth.access(i, &r->call);
    answers(r, 401, "No API key found in request");
    r = with_body(l, FORM, NULL); /* announced too large: nothing to wait for */
    r->head.has_length = true;
    r->head.content_length = DP_BODY_MAX + 1;
    dp_key_auth.access(i, &r->call);
    answers(r, 401, "No API key found in request");
    r = with_body(l, "text/plain", NULL); /* nobody could read it */
    dp_key_auth.access(i, &r->call);
    answers(r, 401, "No API key found in request");
    r = with_body(l, FORM, NULL); /* it stands in the head already */
    client_sends(r, "apikey", "s3cret");
    assert_int_equal(dp_key_auth.access(i, &r->call), DP_NEXT);
    assert_false(r->call.wants_body);
    request_free(r);
}

/* Wherever it was found, it is hidden everywhere. */
static void keys_are_hidden(void **state)
{
    struct lab *l = *state;
    add_key_owner(l, "c1", "alice", "s3cret", 0);
    Sallyport__V1__KeyAuthConfig c = SALLYPORT__V1__KEY_AUTH_CONFIG__INIT;
    c.hide_credentials = true;
    struct request *r = with_method(l, "GET");
    client_sends(r, "apikey", "s3cret");
    r->call.query = SP_STR("?x=1&apikey=s3cret");
    assert_int_equal(dp_key_auth.access(ready(l, &dp_key_auth, &c), &r->call), DP_NEXT);
    assert_string_equal(sent(r, "apikey"), "");
    assert_true(sp_str_eq(r->call.query, SP_STR("?x=1")));
    request_free(r);
    c.key_in_body = true;
    const void *i = ready(l, &dp_key_auth, &c);
    const struct {
        const char *type, *body, *left;
    } rows[] = {{FORM, "a=1&apikey=s3cret&b", "a=1&b"},
                {FORM, "apikey=s3cret", ""},
                {JSON, " {\"a\": [1, 2], \"apikey\":\"s3cret\", \"b\":{}}", "{\"a\":[1, 2],\"b\":{}}"},
                {MULTIPART, PART("a", "1") PART("apikey", "s3cret") PART("b", "") "--xYz--\r\nafter",
                 PART("a", "1") PART("b", "") "--xYz--\r\nafter"},
                {JSON, "{\"apikey\":\"s3cret\"}", "{}"}};
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++)
        for (int in_head = 0; in_head < 2; in_head++) {
            r = with_body(l, rows[n].type, rows[n].body);
            if (in_head)
                client_sends(r, "apikey", "s3cret");
            assert_int_equal(dp_key_auth.access(i, &r->call), DP_NEXT);
            assert_true(r->call.body_changed);
            assert_true(sp_str_eq(r->call.body, sp_str_z(rows[n].left)));
            assert_string_equal(sent(r, "apikey"), "");
            request_free(r);
        }
    r = with_body(l, FORM, NULL);
    client_sends(r, "apikey", "s3cret");
    assert_int_equal(dp_key_auth.access(i, &r->call), DP_PAUSE);
    request_free(r);
}

static void key_names_with_underscores(void **state)
{
    struct lab *l = *state;
    add_key_owner(l, "c1", "alice", "s3cret", 0);
    Sallyport__V1__KeyAuthConfig c = SALLYPORT__V1__KEY_AUTH_CONFIG__INIT;
    c.n_key_names = words(words_a, "api_key", NULL);
    c.key_names = words_a;
    const char *names[] = {"api_key", "API-Key"};
    for (size_t n = 0; n < 2; n++) {
        struct request *r = with_method(l, "GET");
        client_sends(r, names[n], "s3cret");
        assert_int_equal(dp_key_auth.access(ready(l, &dp_key_auth, &c), &r->call), DP_NEXT);
        request_free(r);
    }
    words(words_a, "api-key", NULL);
    struct request *r = with_method(l, "GET");
    client_sends(r, "api_key", "s3cret");
    dp_key_auth.access(ready(l, &dp_key_auth, &c), &r->call);
    answers(r, 401, "No API key found in request");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, lab_setup, lab_teardown)

int main(void)
{
    sp_log_min = SP_ERROR;
    const struct CMUnitTest tests[] = {
        TEST(key_auth),        TEST(key_auth_settings),          TEST(key_in_body), TEST(key_in_body_is_waited_for),
        TEST(keys_are_hidden), TEST(key_names_with_underscores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
