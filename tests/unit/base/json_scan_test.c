/* JSON as clients send it: what is valid, members in place, texts of strings. */
#include "base/json_scan.h"
#include "test.h"

static void valid_and_not(void **state)
{
    (void)state;
    const char *good[] = {"{}",
                          " [ ] ",
                          "0",
                          "-0.5e+10",
                          "1E2",
                          "\"\"",
                          "true",
                          "null",
                          "[1, {\"a\": [false]}]",
                          "{\"a\":1,\"a\":2}",
                          "\"\\u00e9\\\"\\/\xc3\xa9\"",
                          "\t{\"a\"\n:\r1 }\n"};
    const char *bad[] = {"",       " ",        "{",     "}",   "{]",     "{\"a\"}", "{\"a\":}",    "{\"a\":1,}",
                         "{a:1}",  "[1,]",     "[,1]",  "01",  "+1",     "1.",      ".5",          "1e",
                         "-",      "tru",      "truex", "\"",  "\"\\\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u12",
                         "\"\n\"", "\"\xff\"", "{} {}", "'a'", "NaN",    "{1:2}",   "[1 2]",       "//\n1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!sp_json_valid(sp_str_z(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sp_json_valid(sp_str_z(bad[i])))
            fail_msg("taken: %s", bad[i]);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    char text[101];
    memset(text, '[', 50);
    memset(text + 50, ']', 50);
    text[100] = '\0';
    assert_false(sp_json_valid(sp_str_z(text)));
    assert_true(sp_json_valid(sp_str(text + 20, 60)));
    memset(text, '[', 100);
    assert_false(sp_json_valid(sp_str_z(text)));
}

static void every_cut_is_invalid(void **state)
{
    (void)state;
    struct sp_str whole = SP_STR("{\"key\": [\"v\\u0041l\", -1.5e3, true, null, {\"x\": {}}]}");
    assert_true(sp_json_valid(whole));
    for (size_t i = 0; i < whole.len; i++)
        assert_false(sp_json_valid(sp_str(whole.p, i)));
}

static void members(void **state)
{
    (void)state;
    struct sp_str rest = SP_STR(" { \"a\" : [1, \"}\"] ,\"b\":\"x\",\"a\" :\t{\"c\":1} } ");
    const char *expected[][2] = {{"\"a\"", "[1, \"}\"]"}, {"\"b\"", "\"x\""}, {"\"a\"", "{\"c\":1}"}};
    struct sp_json_member m;
    for (size_t i = 0; i < 3; i++) {
        assert_true(sp_json_next(&rest, &m));
        assert_true(sp_str_eq(m.name, sp_str_z(expected[i][0])));
        assert_true(sp_str_eq(m.value, sp_str_z(expected[i][1])));
    }
    assert_false(sp_json_next(&rest, &m));
    const char *none[] = {"[1]", "{}", "\"a\"", "", "1"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        rest = sp_str_z(none[i]);
        assert_false(sp_json_next(&rest, &m));
    }
}

static void strings(void **state)
{
    (void)state;
    struct sp_arena *a = sp_arena_new(256);
    const struct {
        const char *text, *says; /* NULL: none */
    } rows[] = {{"\"\"", ""},
                {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz"},
                {"\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
                {"\"\xc3\xa9\"", "\xc3\xa9"},
                {"\"\\ud83d\"", NULL},
                {"\"\\ud83dx\\ude00\"", NULL},
                {"\"\\ude00\"", NULL},
                {"\"\\ud83d\\u0041\"", NULL},
                {"1", NULL},
                {"\"a", NULL},
                {"\"a\"b\"", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_str out;
        bool good = sp_json_decode(a, sp_str_z(rows[i].text), &out);
        assert_int_equal(good, rows[i].says != NULL);
        if (good)
            assert_true(sp_str_eq(out, sp_str_z(rows[i].says)));
    }
    sp_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(valid_and_not), cmocka_unit_test(depth_is_bounded),
                                       cmocka_unit_test(every_cut_is_invalid), cmocka_unit_test(members),
                                       cmocka_unit_test(strings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
