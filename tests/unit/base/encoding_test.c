#include "base/encoding.h"
#include "test.h"

static void decodes(const char *text, const char *want)
{
    struct sp_arena *a = sp_arena_new(256);
    struct sp_str out;
    bool ok = sp_base64_decode(a, sp_str_z(text), &out);
    assert_int_equal(ok, want != NULL);
    if (want)
        assert_true(sp_str_eq(out, sp_str_z(want)));
    sp_arena_free(a);
}

static void base64_refuses(void **state)
{
    (void)state;
    const char *bad[] = {"A", "AAAAA", "Zg===", "Zg=", "Z=g=", "Zm9=v", "Zh==", "Zm9=", "Zm9v*", "Zm-_", "===="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        decodes(bad[i], NULL);
}

static void base64_both_ways(void **state)
{
    (void)state;
    const char *pairs[][2] = {{"", ""},
                              {"f", "Zg=="},
                              {"fo", "Zm8="},
                              {"foo", "Zm9v"},
                              {"foob", "Zm9vYg=="},
                              {"fooba", "Zm9vYmE="},
                              {"foobar", "Zm9vYmFy"},
                              {"\xfb\xff", "+/8="}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct sp_buf b = {0};
        sp_base64_encode(&b, sp_str_z(pairs[i][0]));
        assert_true(sp_str_eq(sp_buf_str(&b), sp_str_z(pairs[i][1])));
        sp_buf_fini(&b);
        decodes(pairs[i][1], pairs[i][0]);
    }
    decodes("Zm9v\r\n YmFy\t", "foobar");
    decodes("Zg", "f");
    decodes("Zm8", "fo");
}

static void percent(void **state)
{
    (void)state;
    struct sp_arena *a = sp_arena_new(256);
    struct sp_str out;
    assert_false(sp_percent_decode(a, SP_STR("%"), false, &out));
    assert_false(sp_percent_decode(a, SP_STR("a%2"), false, &out));
    assert_false(sp_percent_decode(a, SP_STR("%zz"), false, &out));
    assert_true(sp_percent_decode(a, SP_STR("a%20b+c%2B%0a"), false, &out));
    assert_true(sp_str_eq(out, SP_STR("a b+c+\n")));
    assert_true(sp_percent_decode(a, SP_STR("b+c%2B"), true, &out));
    assert_true(sp_str_eq(out, SP_STR("b c+")));
    struct sp_buf b = {0};
    sp_percent_encode(&b, SP_STR("-_.~aZ09 +/=\n\xff"));
    assert_true(sp_str_eq(sp_buf_str(&b), SP_STR("-_.~aZ09%20%2B%2F%3D%0A%FF")));
    sp_buf_fini(&b);
    sp_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_refuses),
        cmocka_unit_test(base64_both_ways),
        cmocka_unit_test(percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
