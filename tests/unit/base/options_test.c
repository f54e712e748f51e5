/* Options: a wrong command line is told what is wrong; flag over environment over default; help from the same table. */
#include "test.h"

#include "base/log.h"
#include "base/options.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *store;
    bool check;
    uint32_t workers;
    struct sp_option_list listen;
    enum sp_log_level level;
} got;

static const struct sp_option options[] = {
    {"store", 's', "URL", sp_option_text, &got.store, .help = "where"},
    {"check", 0, NULL, sp_option_switch, &got.check, .help = "only look"},
    {"workers", 'w', "N", sp_option_u32, &got.workers, .help = "threads", .min = 1, .max = 64},
    {"admin-listen", 0, "ADDR", sp_option_list, &got.listen, .help = "repeatable"},
    {"log-level", 0, "LEVEL", sp_option_log_level, &got.level, .help = "how much"},
    {"secret", 0, "X", sp_option_text, &got.store, .help = "not from outside", .no_env = true},
};
static const struct sp_option_table table = {"Options", options, sizeof options / sizeof *options};

static const char *no_env[] = {NULL};

struct outcome {
    sp_result r;
    struct sp_error err;
    struct sp_options_seen seen;
};

static struct outcome parse(const char **env, bool stop, int argc, char **argv)
{
    struct outcome out = {0};
    struct sp_options o = {"prog", "PROG", "prog", NULL, NULL, &table, 1, stop, (char **)env};
    memset(&got, 0, sizeof got);
    got.store = "default";
    got.workers = 4;
    got.listen = (struct sp_option_list){.v = {SP_STR("127.0.0.1:8001")}, .num = 1};
    out.r = sp_options_parse(&o, argc, argv, &out.seen, &out.err);
    free(out.seen.words);
    return out;
}
#define PARSE(env, stop, ...)                                                                                          \
    ({                                                                                                                 \
        const char *argv_[] = {"prog", ##__VA_ARGS__, NULL};                                                           \
        parse(env, stop, (int)(sizeof argv_ / sizeof *argv_) - 1, (char **)argv_);                                     \
    })

static void wrong_command_lines_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *words[3];
        const char *text;
    } cases[] = {
        {{"--stor", "x"}, "unknown option '--stor', did you mean '--store'?"},
        {{"--quux"}, "unknown option '--quux'"},
        {{"-z"}, "unknown option '-z'"},
        {{"--store"}, "option '--store' wants a value: --store URL"},
        {{"--workers", "many"}, "option '--workers': 'many' is not a whole number"},
        {{"--workers", "0"}, "0 is not between 1 and 64"},
        {{"--workers=65"}, "65 is not between 1 and 64"},
        {{"--workers", "-1"}, "not a whole number"},
        {{"--check=perhaps"}, "'perhaps' is neither 'on' nor 'off'"},
        {{"--log-level", "loud"}, "'loud' is none of"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int argc = 1;
        const char *argv[5] = {"prog"};
        while (argc < 4 && cases[i].words[argc - 1]) {
            argv[argc] = cases[i].words[argc - 1];
            argc++;
        }
        struct outcome o = parse(no_env, false, argc, (char **)argv);
        assert_int_equal(o.r.code, SP_E_USAGE);
        if (!strstr(o.err.text, cases[i].text))
            fail_msg("'%s' does not say '%s'", o.err.text, cases[i].text);
    }
}

static void flag_wins_over_environment_wins_over_default(void **state)
{
    (void)state;
    const char *env[] = {
        "PROG_STORE=env", "PROG_ADMIN_LISTEN=a:1, b:2", "PROG_CHECK=true", "PROG_SECRET=no", "PROG_WORKERS=7", NULL};
    struct outcome o = PARSE(no_env, false);
    assert_int_equal(o.r.code, SP_OK);
    assert_string_equal(got.store, "default");
    assert_int_equal(got.listen.num, 1);

    o = PARSE(env, false);
    assert_int_equal(o.r.code, SP_OK);
    assert_string_equal(got.store, "env");
    assert_int_equal(got.workers, 7);
    assert_true(got.check);
    assert_int_equal(got.listen.num, 2);
    assert_true(sp_str_eq(got.listen.v[1], SP_STR("b:2")));

    o = PARSE(env, false, "--store=flag", "--admin-listen", "c:3", "--admin-listen=d:4", "-w9", "--check=off");
    assert_int_equal(o.r.code, SP_OK);
    assert_string_equal(got.store, "flag");
    assert_int_equal(got.workers, 9);
    assert_false(got.check);
    assert_int_equal(got.listen.num, 2);
    assert_true(sp_str_eq(got.listen.v[0], SP_STR("c:3")));
}

static void a_broken_environment_names_its_variable_but_not_before_help(void **state)
{
    (void)state;
    const char *env[] = {"PROG_WORKERS=all", NULL};
    struct outcome o = PARSE(env, false);
    assert_int_equal(o.r.code, SP_E_USAGE);
    assert_non_null(strstr(o.err.text, "environment variable PROG_WORKERS"));
    o = PARSE(env, false, "--help");
    assert_int_equal(o.r.code, SP_OK);
    assert_true(o.seen.help);
}

static void words_and_subcommands(void **state)
{
    (void)state;
    struct outcome o = PARSE(no_env, false, "one", "--check", "two", "--", "--three");
    assert_int_equal(o.r.code, SP_OK);
    assert_int_equal(o.seen.num_words, 3);
    assert_true(got.check);

    o = PARSE(no_env, true, "--store", "x", "apply", "--unknown-to-me", "--help");
    assert_int_equal(o.r.code, SP_OK);
    assert_int_equal(o.seen.next, 3);
    assert_false(o.seen.help); /* it belongs to the subcommand */
    assert_string_equal(got.store, "x");
}

static void help_tells_names_variables_and_wraps(void **state)
{
    (void)state;
    struct sp_options o = {"prog", "PROG", "prog [options]", "About it.", "The end.", &table,
                           1,      false,  (char **)no_env};
    struct sp_buf out = {0};
    sp_options_help(&o, 60, &out);
    sp_buf_putc(&out, '\0');
    const char *text = sp_buf_str(&out).p;
    assert_non_null(strstr(text, "usage: prog [options]"));
    assert_non_null(strstr(text, "-s, --store URL   [PROG_STORE]"));
    assert_non_null(strstr(text, "--admin-listen ADDR   [PROG_ADMIN_LISTEN]"));
    assert_null(strstr(text, "PROG_SECRET"));
    assert_non_null(strstr(text, "The end."));
    sp_buf_fini(&out);
}

static void distance_of_words(void **state)
{
    (void)state;
    assert_int_equal(sp_word_distance(SP_STR("hots"), SP_STR("hosts"), 3), 1);
    assert_int_equal(sp_word_distance(SP_STR(""), SP_STR("abc"), 3), 3);
    assert_int_equal(sp_word_distance(SP_STR("same"), SP_STR("same"), 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_command_lines_are_explained),
        cmocka_unit_test(flag_wins_over_environment_wins_over_default),
        cmocka_unit_test(a_broken_environment_names_its_variable_but_not_before_help),
        cmocka_unit_test(words_and_subcommands),
        cmocka_unit_test(help_tells_names_variables_and_wraps),
        cmocka_unit_test(distance_of_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
