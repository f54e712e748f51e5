/* ${{ env "DECK_NAME" }} in files: the value is put in as decK does it, and nothing is taken silently. */
#include "test.h"

#include "control/cli/variables.h"
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct sp_arena *arena;
    struct sp_problems problems;
    struct sp_buf out;
};

static int setup(void **state)
{
    struct fixture *f = sp_alloc(sizeof *f);
    f->arena = sp_arena_new(4096);
    setenv("DECK_HOST", "h.test", 1);
    setenv("DECK_PORT", "8080", 1);
    setenv("DECK_ON", "True", 1);
    setenv("DECK_PEM", "line 1\nline 2\n", 1);
    setenv("DECK_EMPTY", "", 1);
    unsetenv("DECK_ABSENT");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sp_buf_fini(&f->out);
    sp_arena_free(f->arena);
    free(f);
    return 0;
}

static bool expand(struct fixture *f, const char *in)
{
    sp_buf_clear(&f->out);
    sp_problems_init(&f->problems, f->arena);
    return cp_expand_variables(sp_str_z(in), SP_STR("f.yaml"), &f->out, &f->problems);
}

static void becomes(struct fixture *f, const char *in, const char *out)
{
    if (!expand(f, in))
        fail_msg("%s: %.*s", in, SP_FMT(f->problems.first->text));
    assert_true(sp_str_eq(sp_buf_str(&f->out), sp_str_z(out)));
}

static void values_are_put_in(void **state)
{
    struct fixture *f = *state;
    becomes(f, "", "");
    becomes(f, "a: $ {{ b }} $${ c", "a: $ {{ b }} $${ c");
    becomes(f, "host: ${{ env \"DECK_HOST\" }}\nx: 1", "host: h.test\nx: 1");
    becomes(f, "${{env \"DECK_HOST\"}}:${{ env \"DECK_PORT\" }}", "h.test:8080");
    becomes(f, "url: \"http://${{ env \"DECK_HOST\" }}/x\"", "url: \"http://h.test/x\"");
    becomes(f, "a: \"${{ env \"DECK_EMPTY\" }}\"", "a: \"\"");
    becomes(f, "port: ${{ env \"DECK_PORT\" | toInt }}", "port: 8080");
    becomes(f, "t: ${{ env \"DECK_PORT\"|toFloat }}", "t: 8080");
    becomes(f, "on: ${{ env \"DECK_ON\" | toBool }}", "on: true");
    becomes(f, "key: |\n  ${{ env \"DECK_PEM\" | indent 2 }}\nx: 1", "key: |\n  line 1\n  line 2\n  \nx: 1");
}

static void refused(struct fixture *f, const char *in, const char *why, unsigned line, unsigned column)
{
    assert_false(expand(f, in));
    assert_int_equal(f->problems.num_errors, 1);
    if (!strstr(f->problems.first->text.p, why))
        fail_msg("%s: %.*s", in, SP_FMT(f->problems.first->text));
    assert_int_equal(f->problems.first->line, line);
    assert_int_equal(f->problems.first->column, column);
}

static void what_is_wrong_is_told(void **state)
{
    struct fixture *f = *state;
    refused(f, "a: 1\nb: ${{ env \"DECK_ABSENT\" }}", "the environment variable is not set: DECK_ABSENT", 2, 4);
    refused(f, "a: ${{ env \"HOME\" }}", "variables in a file begin with DECK_: HOME", 1, 4);
    refused(f, "\xc3\xa4: ${{ env DECK_HOST }}", "write ${{ env \"DECK_NAME\" }}", 1, 4);
    refused(f, "a: ${{ secrets.X }}", "write ${{", 1, 4);
    refused(f, "a: ${{ env \"DECK_HOST }}", "write ${{", 1, 4);
    refused(f, "a: ${{ env \"DECK_HOST\"", "no }} follows", 1, 4);
    refused(f, "a: ${{ env \"DECK_HOST\" x }}", "only a filter may follow", 1, 4);
    refused(f, "a: ${{ env \"DECK_HOST\" | toInt }}", "not an integer: DECK_HOST", 1, 4);
    refused(f, "a: ${{ env \"DECK_EMPTY\" | toFloat }}", "not a number: DECK_EMPTY", 1, 4);
    refused(f, "a: ${{ env \"DECK_PORT\" | toBool }}", "not a boolean: DECK_PORT", 1, 4);
    refused(f, "a: ${{ env \"DECK_PORT\" | quote }}", "known filters are", 1, 4);
    refused(f, "a: ${{ env \"DECK_PEM\" | indent x }}", "indent wants a number", 1, 4);
    refused(f, "a: ${{ env \"DECK_PEM\" }}", "has several lines", 1, 4);
    assert_false(expand(f, "${{ env \"DECK_ABSENT\" }} ${{ env \"PATH\" }}"));
    assert_int_equal(f->problems.num_errors, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_are_put_in, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
