/* The command line: global options, the command, its options. Global ones may stand before and after the command. */
#include "control/cli/cli.h"
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char program[] = "sallyctl";

static sp_result set_output(const struct sp_option *o, const char *value, struct sp_error *err)
{
    static const char *const words[] = {[CP_TABLE] = "table", [CP_JSON] = "json", [CP_YAML] = "yaml"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(value, words[i])) {
            *(enum cp_output *)o->to = (enum cp_output)i;
            return sp_ok();
        }
    return sp_fail(err, SP_E_USAGE, "'%s' is none of table, json, yaml", value);
}

static sp_result set_color(const struct sp_option *o, const char *value, struct sp_error *err)
{
    if (strcmp(value, "auto") != 0 && strcmp(value, "always") != 0 && strcmp(value, "never") != 0)
        return sp_fail(err, SP_E_USAGE, "'%s' is none of auto, always, never", value);
    *(const char **)o->to = value;
    return sp_ok();
}

enum { NUM_GLOBALS = 3 };
static struct sp_option_table global_options(struct cp_cli *cli, struct sp_option v[NUM_GLOBALS])
{
    v[0] = (struct sp_option){"url",     0,
                              "URL",     sp_option_text,
                              &cli->url, .help = "Admin API of the control plane. Default: http://127.0.0.1:8001"};
    v[1] = (struct sp_option){"output",   'o',          "FORMAT",
                              set_output, &cli->output, .help = "table, json or yaml. Default: table"};
    v[2] = (struct sp_option){
        "color",   0,           "WHEN",
        set_color, &cli->color, .help = "auto, always or never. Default: auto (on a terminal, unless NO_COLOR is set)"};
    return (struct sp_option_table){"Global options", v, NUM_GLOBALS};
}

static const char exit_codes[] = "Exit codes:\n"
                                 "  0  done\n"
                                 "  1  refused, invalid, or failed\n"
                                 "  2  the command line makes no sense\n"
                                 "  3  the control plane cannot be reached\n"
                                 "  4  diff: there are differences\n"
                                 "  5  apply --wait: a data plane refused the change, or did not answer in time";

static unsigned terminal_width(void)
{
    struct winsize size;
    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static void print_help(const struct sp_options *o, FILE *to)
{
    struct sp_buf b = {0};
    sp_options_help(o, terminal_width(), &b);
    fwrite(sp_buf_str(&b).p, 1, sp_buf_str(&b).len, to);
    sp_buf_fini(&b);
}

static void list_commands(struct sp_buf *out)
{
    sp_buf_printf(out,
                  "Talks to the Sallyport control plane. A first session:\n\n"
                  "  sallyctl pki init                       a CA for the cluster, in ./pki\n"
                  "  sallyctl apply -f gateway.yaml --wait   check, show the difference, apply, wait until it is live\n"
                  "  sallyctl explain handshake --sni NAME   who is asked for a certificate, and why\n"
                  "  sallyctl explain request --host H --path P   what becomes of a request, and why\n\n"
                  "Commands:\n");
    for (size_t i = 0; cp_commands[i]; i++)
        sp_buf_printf(out, "  %-20s %s\n", cp_commands[i]->name, cp_commands[i]->summary);
    sp_buf_printf(out, "\n'sallyctl help COMMAND' tells more about one.");
}

static int overview(struct cp_cli *cli, FILE *to)
{
    struct sp_option v[NUM_GLOBALS];
    struct sp_option_table table = global_options(cli, v);
    struct sp_buf about = {0};
    list_commands(&about);
    sp_buf_putc(&about, '\0');
    struct sp_options o = {
        program, "SALLYCTL", "sallyctl [options] COMMAND [options]", sp_buf_str(&about).p, exit_codes, &table, 1,
        true,    NULL};
    print_help(&o, to);
    sp_buf_fini(&about);
    return CP_EXIT_OK;
}

/* --- which command */

static const struct cp_command *match(const char **words, size_t num, size_t *used)
{
    for (size_t i = 0; cp_commands[i]; i++) {
        struct sp_str name = sp_str_z(cp_commands[i]->name);
        struct sp_str first = sp_str_split(&name, ' ');
        if (num < 1 || !sp_str_eq(first, sp_str_z(words[0])))
            continue;
        if (name.p && (num < 2 || !sp_str_eq(name, sp_str_z(words[1]))))
            continue;
        *used = name.p ? 2 : 1;
        return cp_commands[i];
    }
    return NULL;
}

static int no_such_command(struct cp_cli *cli, const char **words, size_t num)
{
    struct sp_str given = num > 1 ? sp_arena_printf(cli->arena, "%s %s", words[0], words[1]) : sp_str_z(words[0]);
    const char *like = NULL;
    unsigned best = 4;
    for (size_t i = 0; cp_commands[i]; i++) {
        struct sp_str name = sp_str_z(cp_commands[i]->name);
        unsigned one = sp_word_distance(sp_str_z(words[0]), name, best), both = sp_word_distance(given, name, best);
        unsigned d = one < both ? one : both;
        if (strncmp(name.p, words[0], strlen(words[0])) == 0)
            d = 1; /* "pki", "explain": the beginning of a longer one */
        if (d < best) {
            best = d;
            like = cp_commands[i]->name;
        }
    }
    fprintf(cli->err, "sallyctl: there is no command '%s'", words[0]);
    if (like)
        fprintf(cli->err, ", did you mean '%s'?\n", like);
    else
        fprintf(cli->err, "; 'sallyctl help' lists them\n");
    return CP_EXIT_USAGE;
}

static void describe(const struct cp_command *command, const struct sp_option_table *tables, struct sp_options *o)
{
    *o = (struct sp_options){program, "SALLYCTL", command->usage, command->about, NULL, tables, 2, false, NULL};
}

static int help(struct cp_cli *cli, const char **words, size_t num)
{
    size_t used;
    if (num == 0)
        return overview(cli, cli->out);
    const struct cp_command *command = match(words, num, &used);
    if (!command)
        return no_such_command(cli, words, num);
    struct sp_option v[NUM_GLOBALS];
    struct sp_option_table tables[2] = {command->options, global_options(cli, v)};
    struct sp_options o;
    describe(command, tables, &o);
    print_help(&o, cli->out);
    return CP_EXIT_OK;
}

/* --- running it */

static void decide_looks(struct cp_cli *cli)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    bool terminal = cli->out == stdout && isatty(STDOUT_FILENO);
    cli->colored = !strcmp(cli->color, "always") || (!strcmp(cli->color, "auto") && terminal &&
                                                     !(no_color && *no_color) && term && strcmp(term, "dumb"));
    cli->live = cli->err == stderr && isatty(STDERR_FILENO) && !(term && !strcmp(term, "dumb"));
}

static int usage_error(struct cp_cli *cli, const struct sp_error *err, const char *command)
{
    fprintf(cli->err, "sallyctl: %s\n", err->text);
    fprintf(cli->err, "'sallyctl help%s%s' tells more\n", command ? " " : "", command ? command : "");
    return CP_EXIT_USAGE;
}

/* argv[at] is the command's first word. */
static int run_command(struct cp_cli *cli, int argc, char **argv, int at)
{
    size_t used;
    const char **words = (const char **)(argv + at);
    const struct cp_command *command = match(words, (size_t)(argc - at), &used);
    if (!command)
        return no_such_command(cli, words, (size_t)(argc - at));
    struct sp_option v[NUM_GLOBALS];
    struct sp_option_table tables[2] = {command->options, global_options(cli, v)};
    struct sp_options o;
    struct sp_options_seen seen;
    struct sp_error err;
    describe(command, tables, &o);
    if (command->settings)
        memset(command->settings, 0, command->settings_size);
    int first = at + (int)used - 1; /* stands where argv[0] would */
    sp_result r = sp_options_parse(&o, argc - first, argv + first, &seen, &err);
    int code = CP_EXIT_OK;
    if (sp_failed(r)) {
        code = usage_error(cli, &err, command->name);
    } else if (seen.help) {
        print_help(&o, cli->out);
    } else {
        decide_looks(cli);
        code = command->run(cli, seen.words, seen.num_words);
    }
    free(seen.words);
    return code;
}

static int dispatch(struct cp_cli *cli, int argc, char **argv)
{
    struct sp_option v[NUM_GLOBALS];
    struct sp_option_table table = global_options(cli, v);
    struct sp_options o = {program, "SALLYCTL", "", NULL, NULL, &table, 1, true, NULL};
    struct sp_options_seen seen;
    struct sp_error err;
    sp_result r = sp_options_parse(&o, argc, argv, &seen, &err);
    free(seen.words);
    if (sp_failed(r))
        return usage_error(cli, &err, NULL);
    if (seen.version) {
        fprintf(cli->out, "sallyctl %s\n", SP_VERSION);
        return CP_EXIT_OK;
    }
    if (seen.help)
        return overview(cli, cli->out);
    if (seen.next >= argc) {
        overview(cli, cli->err);
        return CP_EXIT_USAGE;
    }
    if (!strcmp(argv[seen.next], "help"))
        return help(cli, (const char **)(argv + seen.next + 1), (size_t)(argc - seen.next - 1));
    return run_command(cli, argc, argv, seen.next);
}

int cp_cli_main(int argc, char **argv, FILE *out, FILE *err)
{
    struct cp_cli cli = {
        .url = "http://127.0.0.1:8001",
        .color = "auto",
        .out = out,
        .err = err,
        .arena = sp_arena_new(16 << 10),
    };
    signal(SIGPIPE, SIG_IGN);
    int code = dispatch(&cli, argc, argv);
    sp_http_client_free(cli.client);
    sp_arena_free(cli.arena);
    bool written = fflush(out) == 0 && !ferror(out); /* the error may be older than what is flushed here */
    if (!written && code == CP_EXIT_OK) {
        fprintf(err, "sallyctl: cannot write the output\n");
        code = CP_EXIT_FAILED;
    }
    return code;
}
