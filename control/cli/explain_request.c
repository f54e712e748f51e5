/* sallyctl explain request: what would become of a request, and why. */
#include "base/json.h"
#include "base/log.h"
#include "control/cli/cli.h"
#include "explain/explain.h"
#include <string.h>

enum { HEADERS_MAX = 64 };

static struct {
    const char *host, *path, *method, *cert, *sni, *client_ip, *at, *file;
    const char *headers[HEADERS_MAX];
    uint32_t num_headers;
    bool no_sni, plain, http2, trusted;
} set;

static sp_result once(const struct sp_option *o, const char *value, struct sp_error *err)
{
    const char **to = o->to;
    if (*to)
        return sp_fail(err, SP_E_USAGE, "given twice: '%s' and '%s'", *to, value);
    *to = value;
    return sp_ok();
}

static sp_result add_header(const struct sp_option *o, const char *value, struct sp_error *err)
{
    (void)o;
    if (set.num_headers == HEADERS_MAX)
        return sp_fail(err, SP_E_USAGE, "more than %d", HEADERS_MAX);
    set.headers[set.num_headers++] = value;
    return sp_ok();
}

static const struct sp_option options[] = {
    {"host", 0, "HOST", once, &set.host, .no_env = true, .help = "Host of the request, with its port if it has one"},
    {"path", 0, "PATH", once, &set.path, .no_env = true, .help = "path, with the query if there is one"},
    {"method", 0, "METHOD", once, &set.method, .no_env = true, .help = "default GET"},
    {"header", 'H', "'NAME: VALUE'", add_header, NULL, .no_env = true, .help = "a header field; repeat it"},
    {"cert", 0, "FILE", once, &set.cert, .no_env = true,
     .help = "certificate of the client, PEM, with its intermediates behind it; no key"},
    {"sni", 0, "NAME", once, &set.sni, .no_env = true,
     .help = "server name in the ClientHello; default: the host, as clients do"},
    {"no-sni", 0, NULL, sp_option_switch, &set.no_sni, .no_env = true, .help = "the ClientHello names no server"},
    {"plain", 0, NULL, sp_option_switch, &set.plain, .no_env = true, .help = "http instead of https"},
    {"http2", 0, NULL, sp_option_switch, &set.http2, .no_env = true, .help = "HTTP/2 instead of HTTP/1.1"},
    {"client-ip", 0, "IP", once, &set.client_ip, .no_env = true,
     .help = "address that the connection comes from; default 127.0.0.1"},
    {"peer-trusted", 0, NULL, sp_option_switch, &set.trusted, .no_env = true,
     .help = "that address is in the data plane's --trusted-ips"},
    {"at", 0, "TIME", once, &set.at, .no_env = true,
     .help = "judge as if it were then: 2027-01-31T12:00:00Z, or seconds since 1970"},
    {"file", 'f', "FILE", cp_file_option, &set.file, .no_env = true,
     .help = "answer from this declarative file, without a control plane"},
};

/* --- the question */

static void put(struct sp_json *j, const char *key, const char *value)
{
    if (value)
        sp_json_put_z(j, key, value);
}

static void put_sni(struct sp_json *j)
{
    if (set.no_sni) {
        sp_json_key(j, "sni");
        sp_json_null(j);
    } else {
        put(j, "sni", set.sni);
    }
}

static void write_question(struct sp_str cert, struct sp_buf *out)
{
    struct sp_json j = sp_json(out);
    sp_json_object(&j);
    put(&j, "host", set.host);
    put(&j, "path", set.path);
    put(&j, "method", set.method);
    sp_json_key(&j, "headers");
    sp_json_array(&j);
    for (uint32_t i = 0; i < set.num_headers; i++)
        sp_json_z(&j, set.headers[i]);
    sp_json_end_array(&j);
    if (cert.len)
        sp_json_put_str(&j, "certificate", cert);
    put_sni(&j);
    sp_json_put_bool(&j, "plain", set.plain);
    sp_json_put_z(&j, "http_version", set.http2 ? "2" : "1.1");
    put(&j, "client_ip", set.client_ip);
    sp_json_put_bool(&j, "peer_trusted", set.trusted);
    put(&j, "at", set.at);
    sp_json_end_object(&j);
}

/* In the arena. False: *exit_code. */
static bool make_question(struct cp_cli *cli, struct sp_str *out, int *exit_code)
{
    struct sp_buf cert = {0}, json = {0};
    struct sp_error err;
    if (set.cert && sp_failed(sp_buf_read_file(&cert, set.cert, SP_EXPLAIN_MAX, &err))) {
        *exit_code = cp_fail(cli, &err);
        return false;
    }
    write_question(sp_buf_str(&cert), &json);
    *out = sp_arena_dup(cli->arena, sp_buf_str(&json));
    sp_buf_fini(&cert);
    sp_buf_fini(&json);
    return true;
}

/* --- the answer, for people */

static struct sp_str clean(struct cp_cli *cli, const struct sp_node *map, const char *key)
{
    return cp_clean(cli, cp_text(map, key));
}

static void heading(struct cp_cli *cli, const char *word)
{
    fprintf(cli->out, "%s%-12s%s", cp_color(cli, CP_BOLD), word, cp_color(cli, CP_PLAIN));
}

/* "a, b, c" */
static struct sp_str join(struct cp_cli *cli, const struct sp_node *list)
{
    struct sp_str all = SP_STR("");
    for (size_t i = 0; i < list->num; i++)
        all = sp_arena_printf(cli->arena, "%.*s%s%.*s", SP_FMT(all), i ? ", " : "",
                              SP_FMT(cp_clean(cli, list->items[i]->text)));
    return all;
}

static struct sp_str name_of(struct cp_cli *cli, const struct sp_node *n)
{
    struct sp_str name = clean(cli, n, "name");
    return name.len ? name : clean(cli, n, "id");
}

static void print_verdict(struct cp_cli *cli, const struct sp_node *json)
{
    int64_t status = cp_int(json, "status");
    enum cp_color color = status >= 400 ? CP_RED : status ? CP_YELLOW : CP_GREEN;
    const struct sp_node *hints = cp_list(json, "hints");
    fprintf(cli->out, "%s%.*s%s\n", cp_color(cli, color), SP_FMT(clean(cli, json, "summary")), cp_color(cli, CP_PLAIN));
    for (size_t i = 0; i < hints->num; i++)
        fprintf(cli->out, "  %.*s\n", SP_FMT(cp_clean(cli, hints->items[i]->text)));
    fprintf(cli->out, "\n");
}

static void print_request(struct cp_cli *cli, const struct sp_node *json)
{
    const struct sp_node *r = sp_node_get(json, SP_STR("request"));
    struct sp_str sni = clean(cli, r, "sni");
    heading(cli, "Request");
    fprintf(cli->out, "%.*s %.*s://%.*s%.*s over HTTP/%.*s from %.*s%s\n", SP_FMT(clean(cli, r, "method")),
            SP_FMT(clean(cli, r, "scheme")), SP_FMT(clean(cli, r, "host")), SP_FMT(clean(cli, r, "path")),
            SP_FMT(clean(cli, r, "http_version")), SP_FMT(clean(cli, r, "client_ip")),
            cp_bool(r, "peer_trusted") ? " (trusted)" : "");
    heading(cli, "Handshake");
    const struct sp_node *h = sp_node_get(json, SP_STR("handshake"));
    if (!h || h->type != SP_NODE_MAP) {
        fprintf(cli->out, "none: plain http\n");
        return;
    }
    fprintf(cli->out, "%s%.*s: a certificate is %sasked for\n", sni.len ? "for " : "without a server name", SP_FMT(sni),
            cp_bool(h, "asks") ? "" : "not ");
    const struct sp_node *why = cp_list(h, "because");
    for (size_t i = 0; i < why->num; i++)
        fprintf(cli->out, "%12sbecause of plugin %.*s (%.*s): %.*s\n", "", SP_FMT(clean(cli, why->items[i], "plugin")),
                SP_FMT(clean(cli, why->items[i], "scope")), SP_FMT(clean(cli, why->items[i], "reason")));
}

static void print_near(struct cp_cli *cli, const struct sp_node *json)
{
    const struct sp_node *near = cp_list(json, "near_misses");
    for (size_t i = 0; i < near->num; i++) {
        const struct sp_node *n = near->items[i];
        fprintf(cli->out, "%12snot %.*s: it wants %.*s %.*s\n", "", SP_FMT(name_of(cli, n)),
                SP_FMT(clean(cli, n, "lacks")), SP_FMT(join(cli, cp_list(n, "wants"))));
    }
    int64_t more = cp_int(json, "near_misses_total") - (int64_t)near->num;
    if (more > 0)
        fprintf(cli->out, "%12sand %lld more that lack one criterion\n", "", (long long)more);
}

static void print_route(struct cp_cli *cli, const struct sp_node *json)
{
    const struct sp_node *r = sp_node_get(json, SP_STR("route"));
    heading(cli, "Route");
    if (!r || r->type != SP_NODE_MAP) {
        fprintf(cli->out, "none\n");
        print_near(cli, json);
        return;
    }
    struct sp_str path = clean(cli, r, "matched_path");
    const struct sp_node *over = cp_list(r, "over");
    fprintf(cli->out, "%.*s%s%.*s%s\n", SP_FMT(name_of(cli, r)), path.len ? ", by its path " : "", SP_FMT(path),
            over->num ? "" : "; no other one matches");
    for (size_t i = 0; i < over->num; i++)
        fprintf(cli->out, "%12sbefore %.*s: %.*s\n", "", SP_FMT(name_of(cli, over->items[i])),
                SP_FMT(clean(cli, over->items[i], "because")));
    int64_t more = cp_int(r, "over_total") - (int64_t)over->num;
    if (more > 0)
        fprintf(cli->out, "%12sand before %lld more\n", "", (long long)more);
    print_near(cli, json);
}

static void print_plugin(struct cp_cli *cli, const struct sp_node *p, bool first)
{
    struct sp_str scope = clean(cli, p, "scope"), reason = clean(cli, p, "reason");
    const struct sp_node *notes = cp_list(p, "notes"), *instances = cp_list(p, "instances");
    heading(cli, first ? "Plugins" : "");
    fprintf(cli->out, "%.*s %.*s%s%.*s%s%s%.*s\n", SP_FMT(clean(cli, p, "name")), SP_FMT(clean(cli, p, "outcome")),
            scope.len ? " (" : "", SP_FMT(scope), scope.len ? ")" : "", reason.len ? ": " : "", SP_FMT(reason));
    for (size_t i = 0; i < notes->num; i++)
        fprintf(cli->out, "%14s%.*s\n", "", SP_FMT(cp_clean(cli, notes->items[i]->text)));
    for (size_t i = 0; i < instances->num; i++) {
        const struct sp_node *n = instances->items[i];
        if (cp_text(n, "because").len)
            fprintf(cli->out, "%14snot the one of %.*s: %.*s\n", "", SP_FMT(clean(cli, n, "scope")),
                    SP_FMT(clean(cli, n, "because")));
    }
}

static void print_certificate(struct cp_cli *cli, const struct sp_node *json)
{
    const struct sp_node *c = sp_node_get(json, SP_STR("certificate"));
    if (!c || c->type != SP_NODE_MAP)
        return;
    struct sp_str anchor = clean(cli, sp_node_get(c, SP_STR("anchor")), "subject");
    heading(cli, "Certificate");
    fprintf(cli->out, "%.*s%s\n", SP_FMT(clean(cli, c, "subject")), cp_bool(c, "shown") ? "" : ", never shown");
    fprintf(cli->out, "%12sissued by %.*s\n", "", SP_FMT(clean(cli, c, "issuer")));
    if (anchor.len)
        fprintf(cli->out, "%12sverified up to %.*s\n", "", SP_FMT(anchor));
    fprintf(cli->out, "%12snames: %.*s\n", "", SP_FMT(join(cli, cp_list(c, "names"))));
}

static void print_consumer(struct cp_cli *cli, const struct sp_node *json)
{
    const struct sp_node *c = sp_node_get(json, SP_STR("consumer")), *m = sp_node_get(json, SP_STR("mapping"));
    struct sp_str username = clean(cli, c, "username");
    if (c && c->type == SP_NODE_MAP) {
        heading(cli, "Consumer");
        fprintf(cli->out, "%.*s%s\n", SP_FMT(username.len ? username : clean(cli, c, "id")),
                cp_bool(c, "anonymous") ? " (anonymous)" : "");
    }
    if (m && m->type == SP_NODE_MAP)
        fprintf(cli->out, "%12sby step %lld, %.*s: %.*s\n", "", (long long)cp_int(m, "step"),
                SP_FMT(clean(cli, m, "what")), SP_FMT(clean(cli, m, "name")));
}

static void print_upstream(struct cp_cli *cli, const struct sp_node *json)
{
    const struct sp_node *u = sp_node_get(json, SP_STR("upstream")), *fields = cp_list(u, "fields");
    if (!u || u->type != SP_NODE_MAP)
        return;
    heading(cli, "Upstream");
    fprintf(cli->out, "%.*s, Host: %.*s\n", SP_FMT(clean(cli, u, "url")), SP_FMT(clean(cli, u, "host")));
    for (size_t i = 0; i < fields->num; i++) {
        struct sp_str value = clean(cli, fields->items[i], "value"), from = clean(cli, fields->items[i], "from");
        bool ours = sp_str_eq(from, SP_STR("sallyport")), clients = sp_str_eq(from, SP_STR("client"));
        fprintf(cli->out, "%12s%.*s: %.*s\n", "", SP_FMT(clean(cli, fields->items[i], "name")),
                SP_FMT(ours      ? value
                       : clients ? SP_STR("(as the client sent it)")
                                 : SP_STR("(new with each request)")));
    }
}

static int print_answer(struct cp_cli *cli, const struct sp_node *json)
{
    const struct sp_node *plugins = cp_list(json, "plugins");
    if (cp_print_tree(cli, json))
        return CP_EXIT_OK;
    print_verdict(cli, json);
    print_request(cli, json);
    print_route(cli, json);
    for (size_t i = 0; i < plugins->num; i++)
        print_plugin(cli, plugins->items[i], i == 0);
    print_certificate(cli, json);
    print_consumer(cli, json);
    print_upstream(cli, json);
    return CP_EXIT_OK;
}

/* --- asking */

static int offline(struct cp_cli *cli, struct sp_str question)
{
    struct sp_explain_question q;
    struct sp_explainer *explainer;
    struct sp_resources *resources;
    struct sp_problems problems;
    struct sp_error err;
    struct sp_buf json = {0};
    int code;
    if (sp_failed(sp_explain_read_json(cli->arena, question, &q, &err)))
        return cp_fail(cli, &err);
    if (!cp_compile_file(cli, set.file, &resources, &code))
        return code;
    sp_log_min = SP_ERROR + 1; /* what is wrong with the file is in the answer */
    sp_problems_init(&problems, cli->arena);
    if (sp_failed(sp_explainer_new(resources, 0, true, &explainer, &problems))) {
        (void)!sp_failed(sp_problems_result(&problems, &err));
        return cp_fail(cli, &err);
    }
    sp_explain_request(explainer, &q, cli->arena, &json);
    sp_explainer_free(explainer);
    const struct sp_node *tree = cp_read_json(cli, sp_buf_str(&json));
    sp_buf_fini(&json);
    return print_answer(cli, tree);
}

static int online(struct cp_cli *cli, struct sp_str question)
{
    struct cp_answer a;
    int code;
    if (!cp_ask(cli, "POST", SP_STR("/sallyport/explain/request"), "application/json", question, &a, &code))
        return code;
    return a.status == 200 && a.json ? print_answer(cli, a.json) : cp_refused(cli, &a);
}

static int run_explain(struct cp_cli *cli, const char **words, size_t num)
{
    struct sp_str question;
    int code;
    (void)words;
    if (num)
        return cp_usage(cli, "explain request", "one word too many: everything goes behind an option");
    if (!set.host || !set.path)
        return cp_usage(cli, "explain request", "--host and --path say which request");
    if (set.no_sni && set.sni)
        return cp_usage(cli, "explain request", "--sni and --no-sni exclude each other");
    if (!make_question(cli, &question, &code))
        return code;
    return set.file ? offline(cli, question) : online(cli, question);
}

const struct cp_command cp_command_explain_request = {
    "explain request",
    "sallyctl explain request --host HOST --path PATH [--cert FILE] [-H 'NAME: VALUE'] [-f FILE]",
    "what becomes of a request, and why: route, plugins, identity, answer",
    "Answers from the control plane's current state, or from a file, with the code that serves requests. Nothing is\n"
    "sent: revocation is not asked, limits do not count.\n\n"
    "  sallyctl explain request --host api.example.com --path /v1/orders --cert alice.pem\n"
    "  sallyctl explain request --host api.example.com --path / --plain -f gateway.yaml",
    {"Options", options, sizeof options / sizeof *options},
    &set,
    sizeof set,
    run_explain,
};
