/* file:// references: the PEM is put in where it is named, on the same line; what cannot be read is told with its
 * place. */
#include "test.h"

#include "model/expand.h"
#include "model/model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    char dir[64];
    struct sp_str file;
    struct sp_arena *arena;
    struct sp_problems problems;
    struct sp_buf out;
};

static int setup(void **state)
{
    struct fixture *f = sp_alloc(sizeof *f);
    struct sp_error err;
    strcpy(f->dir, "/tmp/sallyport-expand-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->arena = sp_arena_new(4096);
    f->file = sp_arena_printf(f->arena, "%s/gateway.yaml", f->dir);
    sp_problems_init(&f->problems, f->arena);
    const char *pem = sp_arena_printf(f->arena, "%s/ca.pem", f->dir).p;
    assert_int_equal(sp_write_file(pem, SP_STR("line \"1\"\nline 2\n"), 0600, &err).code, SP_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    assert_int_equal(system(command), 0);
    sp_buf_fini(&f->out);
    sp_arena_free(f->arena);
    free(f);
    return 0;
}

static void becomes(struct fixture *f, const char *in, const char *out)
{
    sp_buf_clear(&f->out);
    assert_true(sp_model_expand_files(f->arena, sp_str_z(in), f->file, &f->out, &f->problems));
    sp_buf_putc(&f->out, '\0');
    assert_string_equal(sp_buf_str(&f->out).p, out);
}

static void references_are_put_in(void **state)
{
    struct fixture *f = *state;
    becomes(f, "a:\n- cert: file://ca.pem # it\n  x: 1\n", "a:\n- cert: \"line \\\"1\\\"\\nline 2\\n\" # it\n  x: 1\n");
    becomes(f, "{\"k\": [{\"\xc3\xa4\": 1, \"key\": \"file://ca.pem\"}]}",
            "{\"k\": [{\"\xc3\xa4\": 1, \"key\": \"line \\\"1\\\"\\nline 2\\n\"}]}");
    becomes(f, "cert: 'file://ca.pem'\nkey: file://ca.pem",
            "cert: \"line \\\"1\\\"\\nline 2\\n\"\nkey: \"line \\\"1\\\"\\nline 2\\n\"");
    becomes(f, "crls: [file://ca.pem, x]\n", "crls: [\"line \\\"1\\\"\\nline 2\\n\", x]\n");
    char absolute[128];
    snprintf(absolute, sizeof absolute, "cert: file://%s/ca.pem", f->dir);
    becomes(f, absolute, "cert: \"line \\\"1\\\"\\nline 2\\n\"");
}

static void everything_else_stays_as_it_is(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {"host: file://ca.pem\n",
                                        "hosts: [file://ca.pem]\n",
                                        "cert: filed://ca.pem\n",
                                        "cert: [: file://ca.pem",
                                        "",
                                        "- a\n- b\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        becomes(f, texts[i], texts[i]);
}

static void what_cannot_be_read_is_told_with_its_place(void **state)
{
    struct fixture *f = *state;
    struct sp_str text = SP_STR("a: 1\nb:\n  cert: file://no.pem\n  key: file://ca.pem\n  cert_alt: file://nor.pem\n");
    assert_false(sp_model_expand_files(f->arena, text, f->file, &f->out, &f->problems));
    assert_int_equal(f->problems.num_errors, 2);
    assert_int_equal(f->problems.first->line, 3);
    assert_int_equal(f->problems.first->column, 9);
    assert_int_equal(f->problems.first->next->line, 5);
    assert_non_null(memmem(f->problems.first->text.p, f->problems.first->text.len, "no.pem", 6));
    sp_buf_putc(&f->out, '\0');
    assert_string_equal(sp_buf_str(&f->out).p,
                        "a: 1\nb:\n  cert: file://no.pem\n  key: \"line \\\"1\\\"\\nline 2\\n\"\n"
                        "  cert_alt: file://nor.pem\n");
}

/* As the CLI and a data plane do it: each reference is told once, and everything else too. */
static void what_cannot_be_read_hides_nothing(void **state)
{
    struct fixture *f = *state;
    struct sp_model *model;
    struct sp_str text = SP_STR("_format_version: \"3.0\"\nca_certificates:\n- cert: file://no.pem\nwat: 1\n");
    assert_false(sp_model_expand_files(f->arena, text, f->file, &f->out, &f->problems));
    assert_true(sp_failed(sp_model_parse(f->arena, sp_buf_str(&f->out), f->file, 0, &model, &f->problems)));
    assert_int_equal(f->problems.num_errors, 2);
    assert_int_equal(f->problems.first->line, 3);
    assert_int_equal(f->problems.first->next->line, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(references_are_put_in, setup, teardown),
        cmocka_unit_test_setup_teardown(everything_else_stays_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_told_with_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_hides_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
