/* sallyctl apply, diff, rollback: what changes, what it does to the handshakes, and whether it is live. */
#include "base/clock.h"
#include "control/cli/cli.h"
#include "control/cli/wait.h"
#include "http/server.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *file, *comment, *author;
    bool dry_run;
    struct cp_wait wait;
} set;

/* --- the answer, for people */

static const struct {
    const char *word, *sign;
    enum cp_color color;
} change_looks[] = {{"create", "+", CP_GREEN}, {"update", "~", CP_YELLOW}, {"delete", "-", CP_RED}};

static void print_change(struct cp_cli *cli, const struct sp_node *change)
{
    struct sp_str word = cp_text(change, "change"), key = cp_text(change, "label"), ws = cp_text(change, "workspace");
    size_t look = 0;
    while (look < 2 && !sp_str_eq(word, sp_str_z(change_looks[look].word)))
        look++;
    if (key.len == 0)
        key = cp_text(change, "id");
    fprintf(cli->out, "%s%s %-7.*s%s %-22.*s %.*s", cp_color(cli, change_looks[look].color), change_looks[look].sign,
            SP_FMT(word), cp_color(cli, CP_PLAIN), SP_FMT(cp_text(change, "kind")), SP_FMT(cp_clean(cli, key)));
    if (ws.len && !sp_str_eq(ws, SP_STR("default")))
        fprintf(cli->out, "  (%.*s)", SP_FMT(cp_clean(cli, ws)));
    const struct sp_node *fields = cp_list(change, "fields");
    for (size_t i = 0; i < fields->num; i++)
        fprintf(cli->out, "%s%.*s", i ? ", " : "  ", SP_FMT(cp_clean(cli, fields->items[i]->text)));
    fprintf(cli->out, "\n");
}

static void print_effect(struct cp_cli *cli, const struct sp_node *effects, const char *word, const char *one,
                         const char *many)
{
    size_t num = 0;
    for (size_t i = 0; i < effects->num; i++)
        num += sp_str_eq(cp_text(effects->items[i], "effect"), sp_str_z(word));
    if (num == 0)
        return;
    fprintf(cli->out, "%s%zu %s%s\n", cp_color(cli, CP_BOLD), num, num == 1 ? one : many, cp_color(cli, CP_PLAIN));
    for (size_t i = 0; i < effects->num; i++) {
        const struct sp_node *e = effects->items[i];
        struct sp_str sni = cp_text(e, "sni"), why = cp_text(e, "why");
        if (!sp_str_eq(cp_text(e, "effect"), sp_str_z(word)))
            continue;
        if (sp_str_eq(sni, SP_STR("*")))
            sni = SP_STR("* (every other name, and clients without SNI)");
        fprintf(cli->out, "  %.*s%s%.*s\n", SP_FMT(cp_clean(cli, sni)), why.len ? ": " : "",
                SP_FMT(cp_clean(cli, why)));
    }
}

static void print_warnings(struct cp_cli *cli, const struct sp_node *warnings)
{
    for (size_t i = 0; i < warnings->num; i++) {
        const struct sp_node *w = warnings->items[i];
        struct sp_str file = cp_text(w, "file"), at = cp_text(w, "path");
        if (at.len == 0)
            at = cp_text(w, "entity");
        fprintf(cli->err, "%swarning:%s ", cp_color(cli, CP_YELLOW), cp_color(cli, CP_PLAIN));
        if (file.len && cp_int(w, "line"))
            fprintf(cli->err, "%.*s:%lld: ", SP_FMT(cp_clean(cli, file)), (long long)cp_int(w, "line"));
        if (at.len)
            fprintf(cli->err, "%.*s: ", SP_FMT(cp_clean(cli, at)));
        fprintf(cli->err, "%.*s\n", SP_FMT(cp_clean(cli, cp_text(w, "text"))));
    }
}

static void print_plan(struct cp_cli *cli, const struct sp_node *json)
{
    const struct sp_node *changes = cp_list(json, "changes"), *effects = cp_list(json, "effects");
    for (size_t i = 0; i < changes->num; i++)
        print_change(cli, changes->items[i]);
    print_effect(cli, effects, "starts", "name will start to ask for a client certificate:",
                 "names will start to ask for a client certificate:");
    print_effect(cli, effects, "stops",
                 "name will stop to ask for a client certificate:", "names will stop to ask for a client certificate:");
    print_effect(cli, effects, "ca_names", "name will offer other CA names:", "names will offer other CA names:");
    print_warnings(cli, cp_list(json, "warnings"));
}

/* 400 with a list of errors: each on its line, as the local check prints them. */
static int print_refusal(struct cp_cli *cli, const struct cp_answer *a)
{
    const struct sp_node *errors = a->json ? cp_list(a->json, "errors") : NULL;
    if (!errors || errors->num == 0)
        return cp_refused(cli, a);
    for (size_t i = 0; i < errors->num; i++) {
        const struct sp_node *e = errors->items[i];
        struct sp_str file = cp_text(e, "file"), at = cp_text(e, "path");
        if (file.len)
            fprintf(cli->err, "%.*s:%lld:%lld: ", SP_FMT(cp_clean(cli, file)), (long long)cp_int(e, "line"),
                    (long long)cp_int(e, "column"));
        if (at.len == 0)
            at = cp_text(e, "entity");
        fprintf(cli->err, "error: %.*s%s%.*s\n", SP_FMT(cp_clean(cli, at)), at.len ? ": " : "",
                SP_FMT(cp_clean(cli, cp_text(e, "text"))));
    }
    print_warnings(cli, cp_list(a->json, "warnings"));
    fprintf(cli->err, "%sthe control plane refused it: nothing was changed%s\n", cp_color(cli, CP_RED),
            cp_color(cli, CP_PLAIN));
    return CP_EXIT_FAILED;
}

static void print_end(struct cp_cli *cli, const struct sp_node *json, const char *word)
{
    long long revision = (long long)cp_int(json, "revision");
    if (!cp_bool(json, "changed"))
        fprintf(cli->out, "Nothing to change: revision %lld is the same.\n", revision);
    else if (cp_bool(json, "dry_run"))
        fprintf(cli->out, "Dry run: nothing was changed; revision %lld stays.\n", revision);
    else
        fprintf(cli->out, "%s%s %lld.%s\n", cp_color(cli, CP_GREEN), word, revision, cp_color(cli, CP_PLAIN));
}

/* --- asking */

static void put_parameter(struct sp_buf *path, const char *name, struct sp_str value)
{
    sp_buf_printf(path, "%s%s=", memchr(sp_buf_str(path).p, '?', path->len) ? "&" : "?", name);
    sp_url_encode(path, value);
}

static struct sp_str author(struct cp_cli *cli)
{
    const char *user = getenv("USER");
    if (set.author)
        return sp_str_z(set.author);
    return user && *user ? sp_arena_printf(cli->arena, "%s (sallyctl)", user) : SP_STR("sallyctl");
}

static int post(struct cp_cli *cli, struct sp_buf *path, const char *type, struct sp_str body, bool dry_run,
                const char *word, struct cp_answer *a)
{
    int code = CP_EXIT_OK;
    if (dry_run)
        put_parameter(path, "dry_run", SP_STR("1"));
    else
        put_parameter(path, "author", author(cli));
    if (set.comment)
        put_parameter(path, "comment", sp_str_z(set.comment));
    bool asked = cp_ask(cli, "POST", sp_arena_dup(cli->arena, sp_buf_str(path)), type, body, a, &code);
    sp_buf_fini(path);
    if (!asked)
        return code;
    if (a->status != 200 || !a->json) {
        if (a->json)
            cp_print_tree(cli, a->json);
        return print_refusal(cli, a);
    }
    if (cp_print_tree(cli, a->json)) {
        print_warnings(cli, cp_list(a->json, "warnings"));
    } else {
        print_plan(cli, a->json);
        print_end(cli, a->json, word);
    }
    return CP_EXIT_OK;
}

static int send_file(struct cp_cli *cli, const char *command, size_t num_words, bool dry_run, struct cp_answer *a)
{
    struct cp_file file;
    struct sp_buf path = {0};
    int code;
    if (!set.file)
        return cp_usage(cli, command, "which file? %s -f FILE", command);
    if (num_words)
        return cp_usage(cli, command, "one word too many: the file goes behind -f");
    if (!cp_load_file(cli, set.file, &file, &code))
        return code;
    sp_buf_printf(&path, "/sallyport/apply");
    put_parameter(&path, "file", strcmp(set.file, "-") ? sp_str_z(set.file) : SP_STR("<stdin>"));
    code = post(cli, &path, "application/yaml", sp_buf_str(&file.text), dry_run, "Committed as revision", a);
    sp_buf_wipe(&file.text);
    return code;
}

/* --- the commands */

static const struct sp_option apply_options[] = {
    {"file", 'f', "FILE", cp_file_option, &set.file, .no_env = true,
     .help =
         "declarative file, YAML or JSON; - is standard input. `cert: file://PATH` takes a PEM from a file beside it"},
    {"dry-run", 0, NULL, sp_option_switch, &set.dry_run, .no_env = true,
     .help = "show what would change, change nothing"},
    {"wait", 0, NULL, cp_wait_option, &set.wait, .no_env = true,
     .help = "until every connected data plane has it live; --wait=SECONDS for another patience than 30"},
    {"comment", 'm', "TEXT", sp_option_text, &set.comment, .no_env = true, .help = "why; kept in the history"},
    {"author", 0, "NAME", sp_option_text, &set.author, .help = "who; kept in the history. Default: your user name"},
};

static int run_apply(struct cp_cli *cli, const char **words, size_t num)
{
    struct cp_answer a;
    (void)words;
    int code = send_file(cli, "apply", num, set.dry_run, &a);
    if (code != CP_EXIT_OK || set.dry_run || !set.wait.on)
        return code;
    return cp_wait_until_live(cli, &set.wait, cp_int(a.json, "revision"));
}

const struct cp_command cp_command_apply = {
    "apply",
    "sallyctl apply -f FILE [--dry-run] [--wait[=SECONDS]] [-m TEXT]",
    "make a declarative file the state of the gateway",
    "Checks the file here, sends it, and shows what changes, with the effect on handshakes: which names start or\n"
    "stop to ask clients for a certificate, and why. All or nothing: one revision, kept in the history.\n\n"
    "  sallyctl apply -f gateway.yaml --dry-run\n"
    "  sallyctl apply -f gateway.yaml --wait -m 'partners need certificates'",
    {"Options", apply_options, sizeof apply_options / sizeof *apply_options},
    &set,
    sizeof set,
    run_apply,
};

static const struct sp_option diff_options[] = {
    {"file", 'f', "FILE", cp_file_option, &set.file, .no_env = true, .help = "declarative file; - is standard input"},
};

static int run_diff(struct cp_cli *cli, const char **words, size_t num)
{
    struct cp_answer a;
    (void)words;
    int code = send_file(cli, "diff", num, true, &a);
    return code == CP_EXIT_OK && cp_bool(a.json, "changed") ? CP_EXIT_DIFFERENT : code;
}

const struct cp_command cp_command_diff = {
    "diff",
    "sallyctl diff -f FILE",
    "what an apply would change; exit code 4 when anything",
    "As apply --dry-run, for scripts: exit code 0 when the file is what the gateway has, 4 when it differs.",
    {"Options", diff_options, sizeof diff_options / sizeof *diff_options},
    &set,
    sizeof set,
    run_diff,
};

static const struct sp_option rollback_options[] = {
    {"dry-run", 0, NULL, sp_option_switch, &set.dry_run, .no_env = true,
     .help = "show what would change, change nothing"},
    {"wait", 0, NULL, cp_wait_option, &set.wait, .no_env = true,
     .help = "until every connected data plane has it live; --wait=SECONDS for another patience than 30"},
    {"comment", 'm', "TEXT", sp_option_text, &set.comment, .no_env = true, .help = "why; kept in the history"},
    {"author", 0, "NAME", sp_option_text, &set.author, .help = "who; kept in the history. Default: your user name"},
};

static int run_rollback(struct cp_cli *cli, const char **words, size_t num)
{
    struct cp_answer a;
    struct sp_buf path = {0};
    uint64_t revision;
    if (num != 1 || !sp_str_to_u64(sp_str_z(words[0]), &revision))
        return cp_usage(cli, "rollback", "which revision? 'sallyctl history' lists them");
    sp_buf_printf(&path, "/sallyport/rollback?revision=%llu", (unsigned long long)revision);
    int code = post(cli, &path, NULL, SP_STR(""), set.dry_run, "Rolled back; this is revision", &a);
    if (code != CP_EXIT_OK || set.dry_run || !set.wait.on)
        return code;
    return cp_wait_until_live(cli, &set.wait, cp_int(a.json, "revision"));
}

const struct cp_command cp_command_rollback = {
    "rollback",
    "sallyctl rollback REVISION [--dry-run] [--wait[=SECONDS]] [-m TEXT]",
    "make an old revision the newest",
    "The state of that revision becomes a new revision: the history only grows.",
    {"Options", rollback_options, sizeof rollback_options / sizeof *rollback_options},
    &set,
    sizeof set,
    run_rollback,
};
