/* Speaking to the control plane, and reading what it says. */
#include "control/cli/cli.h"
#include <string.h>

static bool connect_first(struct cp_cli *cli, int *exit_code)
{
    struct sp_http_client_options o = {.url = cli->url};
    struct sp_error err;
    if (cli->client)
        return true;
    if (!sp_failed(sp_http_client_new(&o, &cli->client, &err)))
        return true;
    fprintf(cli->err, "sallyctl: --url: %s\n", err.text);
    *exit_code = CP_EXIT_USAGE;
    return false;
}

bool cp_ask(struct cp_cli *cli, const char *method, struct sp_str path, const char *type, struct sp_str body,
            struct cp_answer *out, int *exit_code)
{
    struct sp_http_call call = {.method = method, .path = path, .content_type = type, .body = body};
    struct sp_http_answer answer;
    struct sp_problems problems;
    struct sp_error err;
    if (!connect_first(cli, exit_code))
        return false;
    if (sp_failed(sp_http_client_call(cli->client, &call, cli->arena, &answer, &err))) {
        fprintf(cli->err, "sallyctl: cannot reach the control plane at %s: %s\n", cli->url, err.text);
        if (err.code == SP_E_UNAVAILABLE)
            fprintf(cli->err, "Is sallyport-control running? Give its Admin API with --url or SALLYCTL_URL.\n");
        *exit_code = CP_EXIT_UNREACHABLE;
        return false;
    }
    sp_problems_init(&problems, cli->arena);
    *out = (struct cp_answer){answer.status, answer.body, NULL};
    out->json = sp_node_read_json(cli->arena, answer.body, SP_STR("answer"), &problems);
    return true;
}

bool cp_get(struct cp_cli *cli, struct sp_str path, struct cp_answer *out, int *exit_code)
{
    if (!cp_ask(cli, "GET", path, NULL, SP_STR(""), out, exit_code))
        return false;
    if (out->status == 200)
        return true;
    *exit_code = cp_refused(cli, out);
    return false;
}

int cp_refused(struct cp_cli *cli, const struct cp_answer *a)
{
    struct sp_str message = a->json ? cp_text(a->json, "message") : SP_STR("");
    if (message.len)
        fprintf(cli->err, "sallyctl: %.*s\n", SP_FMT(cp_clean(cli, message)));
    else
        fprintf(cli->err, "sallyctl: %s answers %u, which is not what a sallyport control plane says\n", cli->url,
                a->status);
    return CP_EXIT_FAILED;
}

/* --- trees */

static const struct sp_node *value(const struct sp_node *map, const char *key, enum sp_node_type type)
{
    const struct sp_node *n = map ? sp_node_get(map, sp_str_z(key)) : NULL;
    return n && n->type == type ? n : NULL;
}

struct sp_str cp_text(const struct sp_node *map, const char *key)
{
    const struct sp_node *n = value(map, key, SP_NODE_STRING);
    return n ? n->text : SP_STR("");
}

int64_t cp_int(const struct sp_node *map, const char *key)
{
    const struct sp_node *n = value(map, key, SP_NODE_INTEGER);
    return n ? n->integer : 0;
}

bool cp_bool(const struct sp_node *map, const char *key)
{
    const struct sp_node *n = value(map, key, SP_NODE_BOOL);
    return n && n->boolean;
}

const struct sp_node *cp_list(const struct sp_node *map, const char *key)
{
    static const struct sp_node empty = {.type = SP_NODE_LIST};
    const struct sp_node *n = value(map, key, SP_NODE_LIST);
    return n ? n : &empty;
}

const struct sp_node *cp_read_json(struct cp_cli *cli, struct sp_str json)
{
    struct sp_problems problems;
    sp_problems_init(&problems, cli->arena);
    const struct sp_node *tree =
        sp_node_read_json(cli->arena, sp_arena_dup(cli->arena, json), SP_STR("answer"), &problems);
    sp_assert(tree);
    return tree;
}
