/* sallyctl explain handshake: is a client that names NAME asked for a certificate, and why. sallyctl lint. */
#include "control/cli/cli.h"
#include "http/server.h"
#include "model/compile.h"

static struct {
    const char *sni, *file;
} set;

static const struct sp_option options[] = {
    {"sni", 0, "NAME", sp_option_text, &set.sni, .no_env = true,
     .help = "server name in the ClientHello; leave it out for a client that sends none"},
    {"file", 'f', "FILE", cp_file_option, &set.file, .no_env = true,
     .help = "answer from this declarative file, without a control plane"},
};

static const char *or_none(struct sp_str s, const char *none)
{
    return s.len ? s.p : none;
}

static void print_why(struct cp_cli *cli, const struct sp_node *json)
{
    const struct sp_node *why = cp_list(json, "because");
    for (size_t i = 0; i < why->num; i++) {
        const struct sp_node *p = why->items[i];
        struct sp_str reason = cp_text(p, "reason"), route = cp_text(p, "route"), service = cp_text(p, "service");
        fprintf(cli->out, "  because of plugin %.*s (%.*s)", SP_FMT(cp_clean(cli, cp_text(p, "plugin"))),
                SP_FMT(cp_clean(cli, cp_text(p, "scope"))));
        if (service.len)
            fprintf(cli->out, ", service %.*s", SP_FMT(cp_clean(cli, service)));
        if (route.len)
            fprintf(cli->out, ", route %.*s", SP_FMT(cp_clean(cli, route)));
        fprintf(cli->out, "%s%.*s\n", reason.len ? ": " : "", SP_FMT(cp_clean(cli, reason)));
    }
}

static int print_answer(struct cp_cli *cli, const struct sp_node *json)
{
    bool ask = cp_bool(json, "asks");
    const struct sp_node *names = cp_list(json, "ca_names");
    struct sp_str matched = cp_clean(cli, cp_text(json, "matched"));
    struct sp_str pattern = cp_clean(cli, cp_text(sp_node_get(json, SP_STR("certificate")), "pattern"));
    if (cp_print_tree(cli, json))
        return CP_EXIT_OK;
    fprintf(cli->out, "%s%s%s: a client is %sasked for a certificate\n", cp_color(cli, CP_BOLD),
            set.sni && *set.sni ? cp_clean(cli, sp_str_z(set.sni)).p : "without a server name", cp_color(cli, CP_PLAIN),
            ask ? "" : "not ");
    if (matched.len)
        fprintf(cli->out, "  entry of the handshake map: %.*s\n", SP_FMT(matched));
    print_why(cli, json);
    if (ask && names->num == 0)
        fprintf(cli->out, "  no CA names are sent: the client may offer any certificate\n");
    for (size_t i = 0; i < names->num; i++)
        fprintf(cli->out, "  CA name sent: %.*s\n", SP_FMT(cp_clean(cli, names->items[i]->text)));
    fprintf(cli->out, "  server certificate: %s\n", or_none(pattern, "the data plane's default one"));
    return CP_EXIT_OK;
}

static int offline(struct cp_cli *cli)
{
    struct sp_handshake_answer answer;
    struct sp_resources *resources;
    struct sp_buf json = {0};
    int code;
    if (!cp_compile_file(cli, set.file, &resources, &code))
        return code;
    sp_explain_handshake(cli->arena, resources, sp_str_z(set.sni), &answer);
    sp_handshake_answer_json(&answer, sp_str_z(set.sni), &json);
    const struct sp_node *tree = cp_read_json(cli, sp_buf_str(&json));
    sp_buf_fini(&json);
    return print_answer(cli, tree);
}

static int run_explain(struct cp_cli *cli, const char **words, size_t num)
{
    struct sp_buf path = {0};
    struct cp_answer a;
    int code = CP_EXIT_OK;
    (void)words;
    if (num)
        return cp_usage(cli, "explain handshake", "one word too many: the name goes behind --sni");
    if (set.file)
        return offline(cli);
    sp_buf_printf(&path, "/sallyport/explain/handshake?sni=");
    sp_url_encode(&path, sp_str_z(set.sni));
    struct sp_str text = sp_arena_dup(cli->arena, sp_buf_str(&path));
    sp_buf_fini(&path);
    return cp_get(cli, text, &a, &code) ? print_answer(cli, a.json) : code;
}

const struct cp_command cp_command_explain_handshake = {
    "explain handshake",
    "sallyctl explain handshake --sni NAME [-f FILE]",
    "is a client of this name asked for a certificate, and why",
    "Answers from the control plane's current state, or from a file.\n\n"
    "  sallyctl explain handshake --sni api.example.com\n"
    "  sallyctl explain handshake --sni api.example.com -f gateway.yaml",
    {"Options", options, sizeof options / sizeof *options},
    &set,
    sizeof set,
    run_explain,
};

/* --- lint */

static int run_lint(struct cp_cli *cli, const char **words, size_t num)
{
    struct cp_answer a;
    int code = CP_EXIT_OK;
    (void)words;
    if (num)
        return cp_usage(cli, "lint", "one word too many");
    if (!cp_get(cli, SP_STR("/sallyport/lint"), &a, &code))
        return code;
    const struct sp_node *data = cp_list(a.json, "data");
    if (cp_print_tree(cli, data))
        return code;
    for (size_t i = 0; i < data->num; i++) {
        struct sp_str where = cp_text(data->items[i], "entity");
        fprintf(cli->out, "%swarning:%s %.*s%s%.*s\n", cp_color(cli, CP_YELLOW), cp_color(cli, CP_PLAIN),
                SP_FMT(cp_clean(cli, where)), where.len ? ": " : "",
                SP_FMT(cp_clean(cli, cp_text(data->items[i], "text"))));
    }
    if (data->num == 0)
        fprintf(cli->out, "Nothing to say about revision %lld.\n", (long long)cp_int(a.json, "revision"));
    return code;
}

const struct cp_command cp_command_lint = {
    "lint",
    "sallyctl lint",
    "what is legal in the current state, but worth a look",
    "Warnings of the compile step: names that make every handshake ask, certificates that cover names with\n"
    "different policies, CA lists that are too long for some clients.",
    {NULL, NULL, 0},
    NULL,
    0,
    run_lint,
};
