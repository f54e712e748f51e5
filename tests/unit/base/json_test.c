/* JSON out: whatever bytes come in, what comes out is JSON. */
#include "test.h"

#include "base/json.h"

static void says(struct sp_buf *out, const char *text)
{
    sp_buf_putc(out, '\0');
    assert_string_equal(sp_buf_str(out).p, text);
    sp_buf_fini(out);
}

static void hostile_bytes_stay_inside_the_string(void **state)
{
    static const struct {
        struct sp_str in;
        const char *out;
    } cases[] = {
        {SP_STR("\"\\\n\t\x01\x7f"), "\"\\\"\\\\\\n\\t\\u0001\\u007f\""},
        {SP_STR("a\0b"), "\"a\\u0000b\""},
        {SP_STR("\xc3\xa4\xf0\x9f\x98\x80"), "\"\xc3\xa4\xf0\x9f\x98\x80\""},
        {SP_STR("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong */
        {SP_STR("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* surrogate */
        {SP_STR("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* cut */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_buf b = {0};
        struct sp_json j = sp_json(&b);
        sp_json_str(&j, cases[i].in);
        says(&b, cases[i].out);
    }
}

static void nesting_and_commas(void **state)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    (void)state;
    sp_json_object(&j);
    sp_json_put_int(&j, "n", -5);
    sp_json_key(&j, "list");
    sp_json_array(&j);
    sp_json_object(&j);
    sp_json_end_object(&j);
    sp_json_array(&j);
    sp_json_end_array(&j);
    sp_json_null(&j);
    sp_json_raw(&j, SP_STR("{\"raw\":1}"));
    sp_json_end_array(&j);
    sp_json_put_bool(&j, "yes", true);
    sp_json_put_z(&j, "none", NULL);
    sp_json_put_str(&j, "s", SP_STR("x"));
    sp_json_end_object(&j);
    says(&b, "{\"n\":-5,\"list\":[{},[],null,{\"raw\":1}],\"yes\":true,\"none\":null,\"s\":\"x\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_bytes_stay_inside_the_string),
        cmocka_unit_test(nesting_and_commas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
