/* Who the client is by a field of a trusted peer: kong-behaviour 6.3, as nginx's real_ip module reads it. */
#include "test.h"

#include "admit/real_ip.h"

static struct sp_network trusted[3];

static struct dp_real_ip rules(const char *header, bool recursive)
{
    static const char *const networks[] = {"10.0.0.0/8", "127.0.0.1", "2001:db8:1::/48"};
    for (size_t i = 0; i < 3; i++)
        assert_true(sp_network_parse(sp_str_z(networks[i]), &trusted[i]));
    return (struct dp_real_ip){.trusted = trusted,
                               .num_trusted = 3,
                               .header = sp_str_z(header),
                               .id = sp_field_id_of(sp_str_z(header)),
                               .recursive = recursive};
}

/* lines: "Name: value" each; expected NULL: the fields say nothing. */
static void reads(const struct dp_real_ip *r, const char *const *lines, const char *expected)
{
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_fields fields = {0};
    struct sp_address got;
    char text[SP_ADDRESS_TEXT] = "nobody";
    for (; *lines; lines++) {
        struct sp_str value = sp_str_z(*lines), name = sp_str_split(&value, ':');
        sp_fields_add(&fields, a, SP_FIELD_OTHER, name, sp_str_trim(value));
    }
    if (dp_real_ip_read(r, &fields, &got))
        sp_address_ip(&got, text);
    assert_string_equal(text, expected ? expected : "nobody");
    sp_arena_free(a);
}
#define READS(r, expected, ...) reads(r, (const char *const[]){__VA_ARGS__, NULL}, expected)

static void one_address(void **state)
{
    (void)state;
    struct dp_real_ip r = rules("X-Real-IP", false);
    READS(&r, "9.9.9.9", "X-Real-IP: 9.9.9.9");
    READS(&r, "9.9.9.9", "x-real-ip: 9.9.9.9:1234");
    READS(&r, "2001:db8::9", "x-real-ip: 2001:db8::9");
    READS(&r, "2001:db8::9", "x-real-ip: [2001:db8::9]");
    READS(&r, "2001:db8::9", "x-real-ip: [2001:db8::9]:65535");
    READS(&r, "9.9.9.9", "x-real-ip: ::ffff:9.9.9.9");
    READS(&r, "10.0.0.1", "x-real-ip: 10.0.0.1"); /* trusted or not */
    READS(&r, "9.9.9.9", "X-Forwarded-For: 8.8.8.8", "X-Real-IP: 9.9.9.9");
    READS(&r, "9.9.9.9", "x-real-ip: 8.8.8.8", "x-real-ip: 9.9.9.9"); /* what the peer put behind a client's own */
    READS(&r, NULL, "X-Forwarded-For: 9.9.9.9");
    READS(&r, NULL, "X_Real_IP: 9.9.9.9");
}

static void what_is_no_address(void **state)
{
    (void)state;
    struct dp_real_ip r = rules("X-Real-IP", true);
    static const char *const bad[] = {"X-Real-IP:",
                                      "X-Real-IP: unknown",
                                      "X-Real-IP: _hidden",
                                      "X-Real-IP: 1.2.3",
                                      "X-Real-IP: 1.2.3.4.5",
                                      "X-Real-IP: 1.2.3.256",
                                      "X-Real-IP: 1.2.3.4:",
                                      "X-Real-IP: 1.2.3.4:0",
                                      "X-Real-IP: 1.2.3.4:65536",
                                      "X-Real-IP: 1.2.3.4:8x",
                                      "X-Real-IP: [::1",
                                      "X-Real-IP: [::1]x",
                                      "X-Real-IP: [::1]:",
                                      "X-Real-IP: [::1]80",
                                      "X-Real-IP: ::1]",
                                      "X-Real-IP: fe80::1%eth0",
                                      "X-Real-IP: 1.2.3.4/32",
                                      "X-Real-IP: \"1.2.3.4\"",
                                      "X-Real-IP: for=1.2.3.4",
                                      "X-Real-IP: example.test",
                                      "X-Real-IP: ,"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        READS(&r, NULL, bad[i]);
        READS(&r, NULL, "X-Real-IP: 9.9.9.9",
              bad[i]); /* a last word that is none is not made up for by an earlier one */
    }
    r.header = (struct sp_str){0};
    READS(&r, NULL, "X-Real-IP: 9.9.9.9");
}

static void lists_from_the_end(void **state)
{
    (void)state;
    struct dp_real_ip last = rules("X-Forwarded-For", false), all = rules("x-forwarded-for", true);
    struct {
        const char *line, *last, *all;
    } rows[] = {
        {"X-Forwarded-For: 1.1.1.1, 9.9.9.9", "9.9.9.9", "9.9.9.9"},
        {"X-Forwarded-For: 1.1.1.1, 9.9.9.9, 10.0.0.1", "10.0.0.1", "9.9.9.9"},
        {"X-Forwarded-For: 1.1.1.1,9.9.9.9,10.0.0.1,127.0.0.1", "127.0.0.1", "9.9.9.9"},
        {"X-Forwarded-For: 9.9.9.9, 2001:db8:1::5", "2001:db8:1::5", "9.9.9.9"},
        {"X-Forwarded-For: 9.9.9.9:40, [2001:db8:1::5]:41", "2001:db8:1::5", "9.9.9.9"},
        {"X-Forwarded-For: 10.0.0.2, 10.0.0.1", "10.0.0.1", "10.0.0.2"}, /* all trusted: the first */
        {"X-Forwarded-For: forged, 10.0.0.1", "10.0.0.1", "10.0.0.1"},   /* nonsense: the last that made sense */
        {"X-Forwarded-For: 9.9.9.9, nonsense", NULL, NULL},
        {"X-Forwarded-For: 9.9.9.9 ,, ", "9.9.9.9", "9.9.9.9"},
        {"X-Forwarded-For: 9.9.9.9\t10.0.0.1", "10.0.0.1", "9.9.9.9"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        READS(&last, rows[i].last, rows[i].line);
        READS(&all, rows[i].all, rows[i].line);
    }
    READS(&last, "10.0.0.1", "X-Forwarded-For: 1.1.1.1, 9.9.9.9", "x-forwarded-for: 10.0.0.1");
    READS(&all, "9.9.9.9", "X-Forwarded-For: 1.1.1.1, 9.9.9.9", "x-forwarded-for: 10.0.0.2, 10.0.0.1");
    READS(&all, "10.0.0.1", "X-Forwarded-For: 1.1.1.1, x", "x-forwarded-for: 10.0.0.1");
}

static void any_field(void **state)
{
    (void)state;
    struct dp_real_ip r = rules("CF-Connecting-IP", false);
    READS(&r, "9.9.9.9", "cf-connecting-ip: 9.9.9.9", "X-Real-IP: 8.8.8.8");
    READS(&r, NULL, "CF_Connecting_IP: 9.9.9.9", "X-Other: 8.8.8.8");
}

static void hops_are_counted(void **state)
{
    (void)state;
    struct dp_real_ip r = rules("X-Forwarded-For", true);
    char line[4096] = "X-Forwarded-For: 9.9.9.9";
    size_t len = strlen(line);
    for (int n = 0; n < 63; n++, len += strlen(", 10.0.0.1"))
        memcpy(line + len, ", 10.0.0.1", sizeof ", 10.0.0.1");
    READS(&r, "9.9.9.9", line);
    memcpy(line + len, ", 10.0.0.7", sizeof ", 10.0.0.7");
    READS(&r, "10.0.0.1", line);
}

static void trust(void **state)
{
    (void)state;
    struct dp_real_ip r = rules("X-Real-IP", false);
    struct {
        const char *ip;
        bool trusted;
    } rows[] = {{"10.255.0.1", true}, {"11.0.0.1", false},       {"127.0.0.1", true},
                {"127.0.0.2", false}, {"2001:db8:1::", true},    {"2001:db8:2::", false},
                {"::1", false},       {"::ffff:10.1.1.1", true}, {"::ffff:9.1.1.1", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_address a;
        assert_true(sp_address_parse_ip(sp_str_z(rows[i].ip), 1, &a));
        assert_int_equal(dp_real_ip_trusts(&r, &a), rows[i].trusted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_address), cmocka_unit_test(what_is_no_address), cmocka_unit_test(lists_from_the_end),
        cmocka_unit_test(any_field),   cmocka_unit_test(hops_are_counted),   cmocka_unit_test(trust),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
