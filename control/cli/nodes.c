/* sallyctl nodes, history, export, version: what the control plane knows. */
#include "base/json.h"
#include "control/cli/cli.h"

static void print_refusal(struct cp_cli *cli, const struct sp_node *node, const struct sp_node *problem)
{
    struct sp_str field = cp_text(problem, "field");
    fprintf(cli->out, "%s%.*s refused revision %lld: %.*s/%.*s%s%.*s: %.*s%s\n", cp_color(cli, CP_RED),
            SP_FMT(cp_clean(cli, cp_text(node, "name"))), (long long)cp_int(node, "rejected_revision"),
            SP_FMT(cp_clean(cli, cp_text(problem, "kind"))), SP_FMT(cp_clean(cli, cp_text(problem, "name"))),
            field.len ? " " : "", SP_FMT(cp_clean(cli, field)), SP_FMT(cp_clean(cli, cp_text(problem, "reason"))),
            cp_color(cli, CP_PLAIN));
}

static int run_nodes(struct cp_cli *cli, const char **words, size_t num)
{
    static const char *const headings[] = {"NAME", "STATE", "REVISION", "VERSION", "HOST", "ADDRESS"};
    struct cp_answer a;
    int code = CP_EXIT_OK;
    (void)words;
    if (num)
        return cp_usage(cli, "nodes", "one word too many");
    if (!cp_get(cli, SP_STR("/sallyport/nodes"), &a, &code))
        return code;
    const struct sp_node *data = cp_list(a.json, "data");
    if (cp_print_tree(cli, data))
        return code;
    struct cp_grid *g = cp_grid_new(cli, headings, 6);
    for (size_t i = 0; i < data->num; i++) {
        const struct sp_node *n = data->items[i];
        struct sp_str revision = sp_arena_printf(cli->arena, "%lld", (long long)cp_int(n, "revision"));
        cp_grid_row(g, (struct sp_str[]){cp_text(n, "name"), cp_text(n, "state"), revision, cp_text(n, "version"),
                                         cp_text(n, "hostname"), cp_text(n, "address")});
    }
    cp_grid_print(g);
    for (size_t i = 0; i < data->num; i++) {
        const struct sp_node *problems = cp_list(data->items[i], "problems");
        for (size_t k = 0; k < problems->num; k++)
            print_refusal(cli, data->items[i], problems->items[k]);
    }
    return code;
}

const struct cp_command cp_command_nodes = {
    "nodes",
    "sallyctl nodes",
    "the data planes, what each serves, and what it refused",
    "STATE is live (has the newest revision in every worker), sending, rejected (serves the one before), or\n"
    "disconnected.",
    {NULL, NULL, 0},
    NULL,
    0,
    run_nodes,
};

/* --- history */

static struct {
    uint32_t limit;
} history_set;

static const struct sp_option history_options[] = {
    {"limit", 'n', "N", sp_option_u32, &history_set.limit, .no_env = true, .min = 1, .max = 1000,
     .help = "how many, newest first. Default: 20"},
};

static int run_history(struct cp_cli *cli, const char **words, size_t num)
{
    static const char *const headings[] = {"REVISION", "TIME", "AUTHOR", "CHANGES", "COMMENT"};
    uint32_t limit = history_set.limit ? history_set.limit : 20;
    struct cp_answer a;
    int code = CP_EXIT_OK;
    (void)words;
    if (num)
        return cp_usage(cli, "history", "one word too many");
    if (!cp_get(cli, sp_arena_printf(cli->arena, "/sallyport/revisions?size=%u", limit), &a, &code))
        return code;
    const struct sp_node *data = cp_list(a.json, "data");
    if (cp_print_tree(cli, data))
        return code;
    struct cp_grid *g = cp_grid_new(cli, headings, 5);
    for (size_t i = 0; i < data->num; i++) {
        const struct sp_node *r = data->items[i];
        struct sp_str changes = sp_arena_printf(cli->arena, "+%lld ~%lld -%lld%s", (long long)cp_int(r, "created"),
                                                (long long)cp_int(r, "updated"), (long long)cp_int(r, "deleted"),
                                                cp_bool(r, "rollback") ? " (rollback)" : "");
        struct sp_str revision = sp_arena_printf(cli->arena, "%lld", (long long)cp_int(r, "revision"));
        cp_grid_row(
            g, (struct sp_str[]){revision, cp_text(r, "time"), cp_text(r, "author"), changes, cp_text(r, "comment")});
    }
    cp_grid_print(g);
    return code;
}

const struct cp_command cp_command_history = {
    "history",
    "sallyctl history [-n N]",
    "the revisions: who changed how much, when and why",
    NULL,
    {"Options", history_options, 1},
    &history_set,
    sizeof history_set,
    run_history,
};

/* --- export */

static struct {
    bool secrets;
} export_set;

static const struct sp_option export_options[] = {
    {"secrets", 0, NULL, sp_option_switch, &export_set.secrets, .no_env = true,
     .help = "with private keys; the control plane must run with --show-secrets"},
};

static int run_export(struct cp_cli *cli, const char **words, size_t num)
{
    struct cp_answer a;
    int code = CP_EXIT_OK;
    (void)words;
    if (num)
        return cp_usage(cli, "export", "one word too many");
    if (!cp_get(cli, export_set.secrets ? SP_STR("/sallyport/export?secrets=1") : SP_STR("/sallyport/export"), &a,
                &code))
        return code;
    fwrite(a.body.p, 1, a.body.len, cli->out);
    return code;
}

const struct cp_command cp_command_export = {
    "export",
    "sallyctl export [--secrets] > gateway.yaml",
    "the current state as a declarative file",
    "Private keys are written as [redacted] unless --secrets is given.",
    {"Options", export_options, 1},
    &export_set,
    sizeof export_set,
    run_export,
};

/* --- version */

static bool print_versions(struct cp_cli *cli, struct sp_str version, struct sp_str kong, int64_t revision)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    sp_json_object(&j);
    sp_json_put_z(&j, "sallyctl", SP_VERSION);
    sp_json_put_str(&j, "control", version);
    sp_json_put_z(&j, "url", cli->url);
    sp_json_put_int(&j, "revision", revision);
    sp_json_put_str(&j, "admin_api", kong);
    sp_json_end_object(&j);
    bool printed = cp_print_json(cli, sp_buf_str(&b));
    sp_buf_fini(&b);
    return printed;
}

static int run_version(struct cp_cli *cli, const char **words, size_t num)
{
    struct cp_answer a;
    int code = CP_EXIT_OK;
    (void)words;
    if (num)
        return cp_usage(cli, "version", "one word too many");
    if (cli->output == CP_TABLE) {
        fprintf(cli->out, "sallyctl %s\n", SP_VERSION);
        fflush(cli->out); /* before what may be said of the control plane */
    }
    if (!cp_get(cli, SP_STR("/"), &a, &code))
        return code;
    const struct sp_node *ours = a.json ? sp_node_get(a.json, SP_STR("sallyport")) : NULL;
    struct sp_str version = cp_text(ours, "version"), kong = cp_text(a.json, "version");
    int64_t revision = cp_int(ours, "revision");
    if (!print_versions(cli, version, kong, revision))
        fprintf(cli->out, "sallyport-control %.*s at %s, revision %lld, Admin API as Kong %.*s\n",
                SP_FMT(cp_clean(cli, version)), cli->url, (long long)revision, SP_FMT(cp_clean(cli, kong)));
    return code;
}

const struct cp_command cp_command_version = {
    "version",
    "sallyctl version",
    "of this program and of the control plane",
    "'sallyctl --version' tells this program's alone.",
    {NULL, NULL, 0},
    NULL,
    0,
    run_version,
};
