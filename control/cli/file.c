/* Declarative files as the CLI reads them: variables and references put in, checked before anything is sent. */
#include "base/clock.h"
#include "control/cli/cli.h"
#include "control/cli/variables.h"
#include "model/expand.h"
#include "model/model.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static sp_result read_stdin(struct sp_buf *out, struct sp_error *err)
{
    for (;;) {
        ssize_t n = read(STDIN_FILENO, sp_buf_reserve(out, 64 << 10), 64 << 10);
        if (n == 0)
            return sp_ok();
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sp_fail_errno(err, errno, "cannot read standard input");
        sp_buf_commit(out, (size_t)n);
        if (out->len > SP_MODEL_MAX_FILE)
            return sp_fail(err, SP_E_LIMIT, "standard input gives more than %d MiB", SP_MODEL_MAX_FILE >> 20);
    }
}

sp_result cp_read_input(const char *path, struct sp_buf *out, struct sp_error *err)
{
    if (!strcmp(path, "-"))
        return read_stdin(out, err);
    return sp_buf_read_file(out, path, SP_MODEL_MAX_FILE, err);
}

static int print_problems(struct cp_cli *cli, const struct sp_problems *problems)
{
    struct sp_buf b = {0};
    sp_problems_print(problems, &b);
    fprintf(cli->err, "%.*s", SP_FMT(sp_buf_str(&b)));
    fprintf(cli->err, "%s%zu error%s: nothing was sent%s\n", cp_color(cli, CP_RED), problems->num_errors,
            problems->num_errors == 1 ? "" : "s", cp_color(cli, CP_PLAIN));
    sp_buf_fini(&b);
    return CP_EXIT_FAILED;
}

sp_result cp_file_option(const struct sp_option *o, const char *value, struct sp_error *err)
{
    const char **to = o->to;
    if (*to)
        return sp_fail(err, SP_E_USAGE, "one file is the whole state: put '%s' and '%s' into one", *to, value);
    *to = value;
    return sp_ok();
}

bool cp_load_file(struct cp_cli *cli, const char *path, struct cp_file *out, int *exit_code)
{
    struct sp_buf raw = {0}, filled = {0};
    struct sp_problems problems;
    struct sp_error err;
    struct sp_str name = strcmp(path, "-") ? sp_str_z(path) : SP_STR("<stdin>");
    sp_problems_init(&problems, cli->arena);
    *out = (struct cp_file){0};
    *exit_code = CP_EXIT_OK;
    if (sp_failed(cp_read_input(path, &raw, &err))) {
        *exit_code = cp_fail(cli, &err);
    } else if (!cp_expand_variables(sp_buf_str(&raw), name, &filled, &problems)) { /* the rest may follow from it */
        *exit_code = print_problems(cli, &problems);
    } else { /* a file:// that cannot be read does not hide what else is wrong */
        bool complete = sp_model_expand_files(cli->arena, sp_buf_str(&filled), name, &out->text, &problems);
        sp_result r = sp_model_parse(cli->arena, sp_buf_str(&out->text), name, sp_clock_wall_s(&sp_clock_system),
                                     &out->model, &problems);
        if (!complete || sp_failed(r))
            *exit_code = print_problems(cli, &problems);
    }
    sp_buf_wipe(&raw);
    sp_buf_wipe(&filled);
    if (*exit_code != CP_EXIT_OK)
        sp_buf_wipe(&out->text);
    return *exit_code == CP_EXIT_OK;
}

bool cp_compile_file(struct cp_cli *cli, const char *path, struct sp_resources **out, int *exit_code)
{
    struct sp_problems problems;
    struct sp_error err;
    struct cp_file file;
    if (!cp_load_file(cli, path, &file, exit_code))
        return false;
    sp_problems_init(&problems, cli->arena);
    sp_result r = sp_compile(cli->arena, file.model, out, &problems);
    sp_buf_wipe(&file.text);
    if (!sp_failed(r))
        return true;
    (void)!sp_failed(sp_problems_result(&problems, &err));
    *exit_code = cp_fail(cli, &err);
    return false;
}
