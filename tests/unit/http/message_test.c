#include "http_test.h"

#include "http/message.h"

static int new_arena(void **state)
{
    *state = sp_arena_new(1024);
    return 0;
}

static int free_arena(void **state)
{
    sp_arena_free(*state);
    return 0;
}

static void add(struct sp_fields *f, struct sp_arena *a, const char *name, const char *value)
{
    sp_fields_add(f, a, SP_FIELD_OTHER, sp_str_z(name), sp_str_z(value));
}

static void ids_ignore_case_and_know_every_name(void **state)
{
    static const struct {
        const char *name;
        enum sp_field_id id;
    } all[] = {
        {"accept", SP_FIELD_ACCEPT},
        {"Authorization", SP_FIELD_AUTHORIZATION},
        {"CONNECTION", SP_FIELD_CONNECTION},
        {"Content-Length", SP_FIELD_CONTENT_LENGTH},
        {"content-Type", SP_FIELD_CONTENT_TYPE},
        {"Cookie", SP_FIELD_COOKIE},
        {"Date", SP_FIELD_DATE},
        {"Expect", SP_FIELD_EXPECT},
        {"Host", SP_FIELD_HOST},
        {"HTTP2-Settings", SP_FIELD_HTTP2_SETTINGS},
        {"Keep-Alive", SP_FIELD_KEEP_ALIVE},
        {"Proxy-Authenticate", SP_FIELD_PROXY_AUTHENTICATE},
        {"Proxy-Authorization", SP_FIELD_PROXY_AUTHORIZATION},
        {"Proxy-Connection", SP_FIELD_PROXY_CONNECTION},
        {"Server", SP_FIELD_SERVER},
        {"TE", SP_FIELD_TE},
        {"Trailer", SP_FIELD_TRAILER},
        {"Transfer-Encoding", SP_FIELD_TRANSFER_ENCODING},
        {"Upgrade", SP_FIELD_UPGRADE},
        {"Via", SP_FIELD_VIA},
        {"X-Forwarded-For", SP_FIELD_X_FORWARDED_FOR},
        {"X-Forwarded-Host", SP_FIELD_X_FORWARDED_HOST},
        {"X-Forwarded-Path", SP_FIELD_X_FORWARDED_PATH},
        {"X-Forwarded-Port", SP_FIELD_X_FORWARDED_PORT},
        {"X-Forwarded-Prefix", SP_FIELD_X_FORWARDED_PREFIX},
        {"X-Forwarded-Proto", SP_FIELD_X_FORWARDED_PROTO},
        {"X-Real-IP", SP_FIELD_X_REAL_IP},
    };
    (void)state;
    assert_int_equal(sizeof all / sizeof *all, SP_FIELD_COUNT - 1);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_int_equal(sp_field_id_of(sp_str_z(all[i].name)), all[i].id);
}

static void other_names_have_no_id(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "x",
                                        "Content_Length",
                                        "Hos",
                                        "Hosts",
                                        "User-Agent",
                                        "content-lengtH2",
                                        "t",
                                        "X-Forwarded-Fo\0r",
                                        "date ",
                                        "a-very-long-name-that-nobody-knows-of"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(sp_field_id_of(sp_str_z(names[i])), SP_FIELD_OTHER);
}

static void same_name_takes_underscore_for_hyphen(void **state)
{
    (void)state;
    assert_true(sp_field_name_same(SP_STR("X-Client_Cert"), SP_STR("x_client-cert")));
    assert_false(sp_field_name_same(SP_STR("X-Client-Cert"), SP_STR("X-Client-Cer")));
    assert_false(sp_field_name_same(SP_STR("X-Client-Cert"), SP_STR("X.Client-Cert")));
}

static void remove_takes_all_spellings(void **state)
{
    struct sp_fields f = {0};
    add(&f, *state, "X-Consumer-ID", "1");
    add(&f, *state, "x_consumer_id", "2");
    add(&f, *state, "X-Consumer-Id2", "3");
    add(&f, *state, "X-CONSUMER_ID", "4");
    assert_int_equal(sp_fields_remove(&f, SP_STR("x-consumer-id")), 3);
    assert_int_equal(sp_fields_remove(&f, SP_STR("x-consumer-id")), 0);
    assert_null(sp_fields_find(&f, SP_STR("X-Consumer-ID")));
    assert_str(sp_fields_find(&f, SP_STR("x-consumer-id2"))->value, "3");
}

static void list_grows_and_keeps_order(void **state)
{
    struct sp_fields f = {0};
    for (int i = 0; i < 100; i++)
        sp_fields_add(&f, *state, SP_FIELD_OTHER, SP_STR("a"), sp_arena_printf(*state, "%d", i));
    assert_int_equal(f.len, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_str(f.v[i].value, sp_arena_printf(*state, "%u", i).p);
}

static void add_finds_the_id_of_a_framing_field(void **state)
{
    struct sp_fields f = {0};
    add(&f, *state, "transfer-encoding", "chunked");
    assert_int_equal(f.v[0].id, SP_FIELD_TRANSFER_ENCODING);
    assert_ptr_equal(sp_fields_find_id(&f, SP_FIELD_TRANSFER_ENCODING), &f.v[0]);
}

static void strip_takes_the_standing_list_and_what_connection_names(void **state)
{
    static const char *const gone[] = {"Connection", "Keep-Alive", "Proxy-Connection",  "Proxy-Authorization",
                                       "TE",         "Trailer",    "Transfer-Encoding", "Upgrade",
                                       "X-Secret",   "X-Other",    "HTTP2-Settings",    "Proxy-Authenticate"};
    struct sp_fields f = {0};
    add(&f, *state, "Accept", "*/*");
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        add(&f, *state, gone[i], i == 0 ? "keep-alive, x-secret ,,Connection" : "v");
    add(&f, *state, "connection", "X-OTHER");
    add(&f, *state, "X-Stays", "v");
    sp_fields_strip_hop_by_hop(&f);
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        assert_null(sp_fields_find(&f, sp_str_z(gone[i])));
    assert_non_null(sp_fields_find(&f, SP_STR("Accept")));
    assert_non_null(sp_fields_find(&f, SP_STR("X-Stays")));
}

static void text_gate_looks_at_every_position(void **state)
{
    (void)state;
    char text[80];
    for (size_t len = 1; len <= sizeof text; len++)
        for (size_t at = 0; at < len; at++) {
            memset(text, 'a', len);
            static const char bad[] = {0, '\r', '\n', 0x1f, 0x7f, 8};
            text[at] = bad[(len + at) % sizeof bad];
            assert_false(sp_field_value_valid(sp_str(text, len)));
            text[at] = at % 2 ? '\t' : (char)0x80;
            assert_true(sp_field_value_valid(sp_str(text, len)));
        }
    assert_true(sp_field_value_valid(SP_STR("")));
}

static void token_gate(void **state)
{
    (void)state;
    assert_true(sp_token_valid(SP_STR("x-A1!#$%&'*+.^_`|~")));
    assert_false(sp_token_valid(SP_STR("")));
    const char separators[] = "()<>@,;:\\\"/[]?={} \t\r\n\x7f\x80\xff";
    for (size_t i = 0; i < sizeof separators; i++) /* with the NUL */
        assert_false(sp_token_valid(sp_str(&separators[i], 1)));
}

static void authorities(void **state)
{
    (void)state;
    static const char *const good[] = {"a",           "a.example", "a.example.:443", "A_b-1.c",
                                       "127.0.0.1:1", "[::1]",     "[::1]:443",      "[::ffff:1.2.3.4]:65535"};
    static const char *const bad[] = {"",      ":80",    ".a",       "a:",  "a:0",   "a:65536",
                                      "a:+1",  "a b",    "a/b",      "u@a", "a,b",   "a:80:80",
                                      "[::1",  "[::1]x", "[::1]:",   "[]",  "[a.b]", "[::1%25eth0]",
                                      "a%2eb", "a\\b",   "a:080080", "a#b", "a?b",   "\xc3\xa4.b"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(sp_authority_valid(sp_str_z(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sp_authority_valid(sp_str_z(bad[i])));
}

static void trailers_never_frame_or_identify(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Content-Length", "transfer-encoding", "Host",       "Authorization", "Client-Cert",   "client_cert-chain",
        "X-Consumer-ID",  "X_Forwarded_For",   "Set-Cookie", "cookie",        "If-None-Match", "TE"};
    static const char *const good[] = {"grpc-status", "Grpc-Message", "Digest", "Server-Timing", "X-Checksum"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sp_trailer_allowed(sp_str_z(bad[i])));
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(sp_trailer_allowed(sp_str_z(good[i])));
}

static void phrases(void **state)
{
    (void)state;
    assert_string_equal(sp_status_phrase(200), "OK");
    assert_string_equal(sp_status_phrase(421), "Misdirected Request");
    assert_string_equal(sp_status_phrase(299), "Unknown");
    assert_string_equal(sp_status_phrase(999), "Unknown");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, new_arena, free_arena)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ids_ignore_case_and_know_every_name),
        TEST(other_names_have_no_id),
        TEST(same_name_takes_underscore_for_hyphen),
        TEST(remove_takes_all_spellings),
        TEST(list_grows_and_keeps_order),
        TEST(add_finds_the_id_of_a_framing_field),
        TEST(strip_takes_the_standing_list_and_what_connection_names),
        TEST(text_gate_looks_at_every_position),
        TEST(token_gate),
        TEST(authorities),
        TEST(trailers_never_frame_or_identify),
        TEST(phrases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
