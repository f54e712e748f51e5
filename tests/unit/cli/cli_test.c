/* sallyctl without its process: exit codes, what is said where, files, and a control plane with canned answers. */
#include "test.h"

#include "control/cli/cli.h"
#include "http/server.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct canned {
    const char *method, *path; /* beginning of "path?query" */
    unsigned status;
    const char *body;
};

struct fixture {
    char dir[64], url[80];
    char *out, *err;
    struct sp_loop *loop;
    struct sp_http_server *server;
    pthread_t thread;
    const struct canned *answers;
    char last_query[512], last_body[4096];
    int calls;
};

/* --- a control plane */

static void handle(void *ctx, struct sp_http_exchange *x)
{
    struct fixture *f = ctx;
    struct sp_str target = x->request->target;
    f->calls++;
    snprintf(f->last_query, sizeof f->last_query, "%.*s", SP_FMT(x->query));
    snprintf(f->last_body, sizeof f->last_body, "%.*s", SP_FMT(x->body));
    for (const struct canned *c = f->answers; c && c->path; c++)
        if (sp_str_eq(x->request->method, sp_str_z(c->method)) && sp_str_starts(target, sp_str_z(c->path))) {
            sp_http_reply(x, c->status, "application/json", sp_str_z(c->body));
            return;
        }
    sp_http_reply(x, 404, "application/json", SP_STR("{\"message\":\"Not found\"}"));
}

static void *run_loop(void *arg)
{
    sp_loop_run(arg);
    return NULL;
}

static void stop_loop(void *arg)
{
    sp_loop_stop(arg);
}

static int setup(void **state)
{
    struct fixture *f = sp_alloc(sizeof *f);
    struct sp_address at, bound;
    struct sp_error err;
    char text[SP_ADDRESS_TEXT];
    strcpy(f->dir, "/tmp/sallyport-cli-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(sp_loop_new(&f->loop, &err).code, SP_OK);
    struct sp_http_server_options o = {.loop = f->loop, .handle = handle, .ctx = f};
    f->server = sp_http_server_new(&o);
    assert_int_equal(sp_address_parse(SP_STR("127.0.0.1:0"), &at, &err).code, SP_OK);
    assert_int_equal(sp_http_server_listen(f->server, &at, &bound, &err).code, SP_OK);
    sp_address_text(&bound, text);
    snprintf(f->url, sizeof f->url, "--url=http://%s", text);
    assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f->loop), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    sp_loop_post(f->loop, stop_loop, f->loop);
    pthread_join(f->thread, NULL);
    sp_http_server_free(f->server);
    sp_loop_free(f->loop);
    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    assert_int_equal(system(command), 0);
    free(f->out);
    free(f->err);
    free(f);
    return 0;
}

/* --- running it */

static int run(struct fixture *f, int argc, const char **argv)
{
    size_t out_len, err_len;
    free(f->out);
    free(f->err);
    FILE *out = open_memstream(&f->out, &out_len), *err = open_memstream(&f->err, &err_len);
    int code = cp_cli_main(argc, (char **)argv, out, err);
    fclose(out);
    fclose(err);
    return code;
}
#define RUN(f, ...)                                                                                                    \
    ({                                                                                                                 \
        const char *argv_[] = {"sallyctl", ##__VA_ARGS__, NULL};                                                       \
        run(f, (int)(sizeof argv_ / sizeof *argv_) - 1, argv_);                                                        \
    })

static void holds(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' does not say '%s'", text, part);
}

static const char *in_dir(struct fixture *f, const char *name)
{
    static char path[4][128];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", f->dir, name);
    return path[at];
}

static const char *file(struct fixture *f, const char *name, const char *text)
{
    struct sp_error err;
    assert_int_equal(sp_write_file(in_dir(f, name), sp_str_z(text), 0600, &err).code, SP_OK);
    return in_dir(f, name);
}

static const char good[] = "_format_version: \"3.0\"\nconsumers:\n- username: alice\n";

/* --- the command line */

static void wrong_command_lines_exit_2(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(RUN(f), CP_EXIT_USAGE);
    holds(f->err, "Commands:");
    assert_int_equal(RUN(f, "aply"), CP_EXIT_USAGE);
    holds(f->err, "did you mean 'apply'?");
    assert_int_equal(RUN(f, "explain", "handshak"), CP_EXIT_USAGE);
    holds(f->err, "did you mean 'explain handshake'?");
    assert_int_equal(RUN(f, "apply"), CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "apply", "-f", "x", "y"), CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "apply", "--dry-runn"), CP_EXIT_USAGE);
    holds(f->err, "did you mean '--dry-run'?");
    assert_int_equal(RUN(f, "-o", "xml", "nodes"), CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "nodes", "-o", "xml"), CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "--color", "blue", "nodes"), CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "get"), CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "get", "bananas"), CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "rollback", "x"), CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "--url", "gopher://x", "nodes"), CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "apply", "--wait=soon"), CP_EXIT_USAGE);
    assert_int_equal(f->calls, 0);
}

static void help_teaches_and_exits_0(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(RUN(f, "--help"), CP_EXIT_OK);
    holds(f->out, "Exit codes:");
    assert_string_equal(f->err, "");
    assert_int_equal(RUN(f, "help", "pki", "issue"), CP_EXIT_OK);
    holds(f->out, "--role ROLE");
    assert_int_equal(RUN(f, "apply", "--help"), CP_EXIT_OK);
    holds(f->out, "--dry-run");
    assert_int_equal(RUN(f, "--version"), CP_EXIT_OK);
    holds(f->out, "sallyctl " SP_VERSION);
    for (size_t i = 0; cp_commands[i]; i++)
        assert_true(strlen(cp_commands[i]->summary) > 10);
}

static void nobody_there_exits_3(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(RUN(f, "--url", "http://127.0.0.1:1", "nodes"), CP_EXIT_UNREACHABLE);
    holds(f->err, "cannot reach the control plane");
    assert_string_equal(f->out, "");
}

/* A backup that was cut is no backup, whatever stdio still had in its buffer at the end. */
static void a_full_disk_below_the_output_is_a_failure(void **state)
{
    struct fixture *f = *state;
    char *body = sp_alloc(100001), *said = NULL;
    size_t said_len;
    memset(body, 'x', 100000);
    const struct canned answers[] = {{"GET", "/sallyport/export", 200, body}, {0}};
    f->answers = answers;
    FILE *full = fopen("/dev/full", "w"), *err = open_memstream(&said, &said_len);
    assert_true(full && err);
    const char *argv[] = {"sallyctl", f->url, "export", NULL};
    assert_int_equal(cp_cli_main(3, (char **)argv, full, err), CP_EXIT_FAILED);
    fclose(full);
    fclose(err);
    f->answers = NULL;
    holds(said, "cannot write the output");
    free(said);
    free(body);
}

/* --- files */

static void a_bad_file_is_told_here_and_never_sent(void **state)
{
    struct fixture *f = *state;
    const char *bad = file(f, "bad.yaml", "_format_version: \"3.0\"\nservices:\n- name: x\n  hots: y\n");
    assert_int_equal(RUN(f, f->url, "apply", "-f", bad), CP_EXIT_FAILED);
    holds(f->err, "bad.yaml:4:");
    holds(f->err, "did you mean 'host'?");
    holds(f->err, "nothing was sent");
    bad = file(f, "ref.yaml", "_format_version: \"3.0\"\nca_certificates:\n- cert: file://none.pem\n");
    assert_int_equal(RUN(f, f->url, "diff", "-f", bad), CP_EXIT_FAILED);
    holds(f->err, "ref.yaml:3:9");
    assert_int_equal(RUN(f, f->url, "apply", "-f", in_dir(f, "absent")), CP_EXIT_FAILED);
    assert_int_equal(RUN(f, f->url, "apply", "-f", "a.yaml", "-f", "b.yaml"), CP_EXIT_USAGE);
    holds(f->err, "put 'a.yaml' and 'b.yaml' into one");
    assert_int_equal(f->calls, 0);
}

/* --- apply */

static const char plan[] =
    "{\"dry_run\":false,\"changed\":true,\"base_revision\":6,\"revision\":7,\"changes\":["
    "{\"change\":\"create\",\"kind\":\"routes\",\"id\":\"1\",\"label\":\"a\\u001b[31m\",\"workspace\":\"team\","
    "\"fields\":[]},"
    "{\"change\":\"update\",\"kind\":\"services\",\"id\":\"2\",\"label\":\"s\",\"fields\":[\"host\",\"port\"]}],"
    "\"effects\":[{\"effect\":\"starts\",\"sni\":\"*\",\"why\":\"w1\"},{\"effect\":\"starts\",\"sni\":\"x\",\"why\":"
    "\"w2\"},"
    "{\"effect\":\"stops\",\"sni\":\"y\",\"why\":\"\"}],"
    "\"warnings\":[{\"severity\":\"warning\",\"code\":\"c\",\"file\":\"g.yaml\",\"line\":3,\"column\":1,\"path\":\"\","
    "\"entity\":\"routes/a\",\"text\":\"look\"}]}";

static void apply_shows_changes_and_effects_in_words(void **state)
{
    struct fixture *f = *state;
    f->answers = (const struct canned[]){{"POST", "/sallyport/apply", 200, plan}, {0}};
    assert_int_equal(RUN(f, f->url, "apply", "-f", file(f, "g.yaml", good), "-m", "a & b", "--author", "ann"),
                     CP_EXIT_OK);
    holds(f->last_query, "comment=a%20%26%20b");
    holds(f->last_query, "author=ann");
    assert_null(strstr(f->last_query, "dry_run"));
    assert_string_equal(f->last_body, good);
    holds(f->out, "+ create");
    holds(f->out, "host, port");
    holds(f->out, "2 names will start to ask for a client certificate:");
    holds(f->out, "* (every other name, and clients without SNI): w1");
    holds(f->out, "1 name will stop to ask");
    holds(f->out, "Committed as revision 7.");
    holds(f->err, "warning: g.yaml:3: routes/a: look");
    assert_null(strchr(f->out, '\033')); /* a name from elsewhere does not drive the terminal */
    assert_int_equal(RUN(f, f->url, "apply", "-f", file(f, "g.yaml", good), "--dry-run"), CP_EXIT_OK);
    holds(f->last_query, "dry_run=1");
    assert_int_equal(RUN(f, f->url, "apply", "-f", file(f, "g.yaml", good), "-o", "json"), CP_EXIT_OK);
    assert_int_equal(f->out[0], '{');
    holds(f->out, "\"changed\":true");
}

static void a_refusal_exits_1_and_tells_every_error(void **state)
{
    struct fixture *f = *state;
    f->answers = (const struct canned[]){
        {"POST", "/sallyport/apply", 400,
         "{\"code\":14,\"message\":\"no\",\"errors\":[{\"file\":\"g.yaml\",\"line\":2,\"column\":3,\"path\":\"a\","
         "\"text\":\"t1\"},"
         "{\"file\":\"\",\"path\":\"\",\"entity\":\"routes/r\",\"text\":\"t2\"}],\"warnings\":[]}"},
        {0}};
    assert_int_equal(RUN(f, f->url, "apply", "-f", file(f, "g.yaml", good)), CP_EXIT_FAILED);
    holds(f->err, "g.yaml:2:3: error: a: t1");
    holds(f->err, "error: routes/r: t2");
    holds(f->err, "nothing was changed");
    f->answers = (const struct canned[]){{"POST", "/sallyport/apply", 503, "{\"message\":\"the disk is full\"}"}, {0}};
    assert_int_equal(RUN(f, f->url, "apply", "-f", file(f, "g.yaml", good)), CP_EXIT_FAILED);
    holds(f->err, "the disk is full");
    f->answers = (const struct canned[]){{"POST", "/sallyport/apply", 200, "<html>"}, {0}};
    assert_int_equal(RUN(f, f->url, "apply", "-f", file(f, "g.yaml", good)), CP_EXIT_FAILED);
    holds(f->err, "not what a sallyport control plane says");
}

static void diff_exits_4_when_there_is_one(void **state)
{
    struct fixture *f = *state;
    f->answers = (const struct canned[]){{"POST", "/sallyport/apply", 200, plan}, {0}};
    assert_int_equal(RUN(f, f->url, "diff", "-f", file(f, "g.yaml", good)), CP_EXIT_DIFFERENT);
    holds(f->last_query, "dry_run=1");
    f->answers = (const struct canned[]){
        {"POST", "/sallyport/apply", 200, "{\"changed\":false,\"revision\":7,\"changes\":[]}"}, {0}};
    assert_int_equal(RUN(f, f->url, "diff", "-f", file(f, "g.yaml", good)), CP_EXIT_OK);
    holds(f->out, "Nothing to change");
}

#define NODES(list) "{\"revision\":8,\"data\":[" list "]}"

static int wait_with(struct fixture *f, const char *nodes)
{
    const struct canned answers[] = {
        {"POST", "/sallyport/apply", 200, plan}, {"GET", "/sallyport/nodes", 200, nodes}, {0}};
    f->answers = answers;
    int code = RUN(f, f->url, "apply", "-f", file(f, "g.yaml", good), "--wait=0");
    f->answers = NULL;
    return code;
}

static void wait_tells_each_data_plane(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(wait_with(f, NODES("")), CP_EXIT_OK);
    holds(f->out, "nobody to wait for");
    assert_int_equal(wait_with(f, NODES("{\"name\":\"n1\",\"state\":\"live\",\"revision\":8},"
                                        "{\"name\":\"n2\",\"state\":\"disconnected\",\"revision\":3}")),
                     CP_EXIT_OK);
    holds(f->out, "n1 is live");
    holds(f->out, "n2 is not connected");
    assert_int_equal(
        wait_with(f, NODES("{\"name\":\"n1\",\"state\":\"rejected\",\"revision\":6,\"rejected_revision\":7,"
                           "\"problems\":[{\"kind\":\"ROUTE\",\"name\":\"r\",\"field\":\"paths[0]\","
                           "\"reason\":\"no regex\"}]}")),
        CP_EXIT_NODE);
    holds(f->err, "n1 refused it");
    holds(f->err, "ROUTE/r paths[0]: no regex");
    assert_int_equal(wait_with(f, NODES("{\"name\":\"n1\",\"state\":\"sending\",\"revision\":6}")), CP_EXIT_NODE);
    holds(f->err, "n1 did not answer in time; it serves revision 6");
    assert_int_equal(wait_with(f, NODES("{\"name\":\"n1\",\"state\":\"live\",\"revision\":30}")), CP_EXIT_NODE);
    holds(f->err, "it serves revision 30"); /* of another store */
}

/* --- the rest */

static void get_reads_every_page(void **state)
{
    struct fixture *f = *state;
    f->answers = (const struct canned[]){
        {"GET", "/services?size=1000&offset=n", 200,
         "{\"data\":[{\"id\":\"2\",\"name\":\"two\",\"enabled\":false}],\"next\":null}"},
        {"GET", "/services?size=1000", 200,
         "{\"data\":[{\"id\":\"1\",\"name\":\"one\",\"port\":80,\"enabled\":true}],\"next\":\"x\",\"offset\":\"n\"}"},
        {"GET", "/team/mtls-auths/", 404, "{\"message\":\"Not found\"}"},
        {"GET", "/services/one", 200, "{\"id\":\"1\",\"tags\":[\"a\",\"b\"],\"enabled\":true,\"path\":null}"},
        {0}};
    assert_int_equal(RUN(f, f->url, "get", "services"), CP_EXIT_OK);
    holds(f->out, "ID  NAME");
    holds(f->out, "one");
    holds(f->out, "two");
    assert_int_equal(RUN(f, f->url, "-o", "json", "get", "service"), CP_EXIT_OK);
    assert_string_equal(f->out, "[{\"id\":\"1\",\"name\":\"one\",\"port\":80,\"enabled\":true},"
                                "{\"id\":\"2\",\"name\":\"two\",\"enabled\":false}]\n");
    assert_int_equal(RUN(f, f->url, "get", "service", "one"), CP_EXIT_OK);
    assert_string_equal(f->out, "id: \"1\"\ntags:\n  - \"a\"\n  - \"b\"\nenabled: true\npath: null\n");
    assert_int_equal(RUN(f, f->url, "get", "mtls_auth_credentials", "x", "-w", "team"), CP_EXIT_FAILED);
    holds(f->err, "there is no 'x' among the mtls_auth_credentials");
}

static void version_tells_both(void **state)
{
    struct fixture *f = *state;
    f->answers = (const struct canned[]){
        {"GET", "/", 200, "{\"version\":\"3.9.1\",\"sallyport\":{\"version\":\"9.9\",\"revision\":4}}"}, {0}};
    assert_int_equal(RUN(f, f->url, "version"), CP_EXIT_OK);
    holds(f->out, "sallyctl " SP_VERSION);
    holds(f->out, "sallyport-control 9.9");
    assert_int_equal(RUN(f, f->url, "version", "-o", "json"), CP_EXIT_OK);
    holds(f->out, "\"control\":\"9.9\"");
}

static void explain_answers_from_a_file(void **state)
{
    struct fixture *f = *state;
    const char *path = file(f, "g.yaml",
                            "_format_version: \"3.0\"\n"
                            "services:\n"
                            "- {name: s, host: h, routes: [{name: r, protocols: [https], snis: [api.example.com], "
                            "plugins: [{name: tls-handshake-modifier}]}]}\n");
    assert_int_equal(RUN(f, "explain", "handshake", "--sni", "api.example.com", "-f", path), CP_EXIT_OK);
    holds(f->out, "api.example.com: a client is asked for a certificate");
    holds(f->out, "tls-handshake-modifier");
    assert_int_equal(RUN(f, "explain", "handshake", "--sni", "www.example.com", "-f", path), CP_EXIT_OK);
    holds(f->out, "is not asked");
    assert_int_equal(RUN(f, "explain", "handshake", "-f", path, "-o", "json"), CP_EXIT_OK);
    holds(f->out, "\"asks\":false");
}

static const char explained[] =
    "{\"outcome\":\"answered\",\"status\":404,\"summary\":\"404 no\\u001b[31m\",\"hints\":[\"look here\"],"
    "\"request\":{\"method\":\"GET\",\"scheme\":\"http\",\"host\":\"a.test\",\"path\":\"/\",\"http_version\":\"1.1\","
    "\"client_ip\":\"127.0.0.1\"},\"handshake\":null,\"route\":null,\"near_misses_total\":3,\"near_misses\":"
    "[{\"id\":\"1\",\"name\":\"put\",\"lacks\":\"methods\",\"wants\":[\"PUT\",\"POST\"]}]}";

static void explain_request_asks_and_tells(void **state)
{
    struct fixture *f = *state;
    const struct canned answers[] = {{"POST", "/sallyport/explain/request", 200, explained}, {NULL, NULL, 0, NULL}};
    f->answers = answers;
    assert_int_equal(RUN(f, f->url, "explain", "request", "--host", "a.test", "--path", "/", "-H", "A: 1, 2", "-H",
                         "B: 3", "--plain", "--at", "1801396800"),
                     CP_EXIT_OK);
    holds(f->last_body, "\"headers\":[\"A: 1, 2\",\"B: 3\"]");
    holds(f->last_body, "\"plain\":true");
    holds(f->last_body, "\"at\":\"1801396800\"");
    holds(f->out, "404 no\\x1b[31m\n  look here\n"); /* nobody's name drives the terminal */
    holds(f->out, "not put: it wants methods PUT, POST");
    holds(f->out, "and 2 more that lack one criterion");
    assert_int_equal(RUN(f, f->url, "explain", "request", "--host", "a.test", "--path", "/", "--no-sni"), CP_EXIT_OK);
    holds(f->last_body, "\"sni\":null");
    const struct canned refusal[] = {{"POST", "/sallyport/", 400, "{\"message\":\"path: no\"}"}, {NULL, NULL, 0, NULL}};
    f->answers = refusal;
    assert_int_equal(RUN(f, f->url, "explain", "request", "--host", "a.test", "--path", "x"), CP_EXIT_FAILED);
    holds(f->err, "path: no");
    f->answers = NULL;
}

static void explain_request_says_what_is_wrong(void **state)
{
    struct fixture *f = *state;
    const char *path = file(f, "g.yaml", good), *key = file(f, "k.pem", "-----BEGIN PRIVATE KEY-----\n");
    assert_int_equal(RUN(f, "explain", "request", "--host", "a.test"), CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "explain", "request", "--host", "a", "--host", "b", "--path", "/"), CP_EXIT_USAGE);
    holds(f->err, "given twice");
    assert_int_equal(RUN(f, "explain", "request", "--host", "a", "--path", "/", "--sni", "x", "--no-sni"),
                     CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "explain", "request", "--host", "a", "--path", "/", "x"), CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "explain", "request", "--host", "a", "--path", "/", "-f", "/nonexistent"), CP_EXIT_FAILED);
    assert_int_equal(RUN(f, "explain", "request", "--host", "a", "--path", "/", "--cert", "/nonexistent", "-f", path),
                     CP_EXIT_FAILED);
    assert_int_equal(RUN(f, "explain", "request", "--host", "a", "--path", "/", "--cert", key, "-f", path),
                     CP_EXIT_FAILED);
    holds(f->err, "certificate: line 1: a private key is not needed");
    assert_int_equal(RUN(f, "explain", "request", "--host", "a", "--path", "/", "-f", path), CP_EXIT_OK);
    holds(f->out, "404 no Route matched with those values");
}

static void pki_makes_private_files_once(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    const char *dir = in_dir(f, "pki");
    assert_int_equal(RUN(f, "pki", "issue", "--name", "n", "--dir", dir), CP_EXIT_FAILED);
    holds(f->err, "pki init");
    assert_int_equal(RUN(f, "pki", "init", "--dir", dir), CP_EXIT_OK);
    assert_int_equal(stat(in_dir(f, "pki/ca.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(RUN(f, "pki", "init", "--dir", dir), CP_EXIT_FAILED);
    holds(f->err, "--force");
    assert_int_equal(RUN(f, "pki", "issue", "--name", "gateway-1", "--dir", dir, "--san", "URI:spiffe://d/n"),
                     CP_EXIT_OK);
    assert_int_equal(stat(in_dir(f, "pki/gateway-1.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(RUN(f, "pki", "issue", "--name", "gateway-1", "--dir", dir), CP_EXIT_FAILED);
    assert_int_equal(RUN(f, "pki", "issue", "--name", "gateway-1", "--dir", dir, "--force"), CP_EXIT_OK);
    assert_int_equal(RUN(f, "pki", "issue", "--name", "g2", "--dir", dir, "-o", "yaml"), CP_EXIT_OK);
    holds(f->out, "key: \"");
    assert_int_equal(RUN(f, "pki", "issue", "--name", "../x", "--dir", dir), CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "pki", "issue", "--name", "x", "--role", "king", "--dir", dir), CP_EXIT_USAGE);
    assert_int_equal(RUN(f, "pki", "issue", "--dir", dir), CP_EXIT_USAGE);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(wrong_command_lines_exit_2),
        TEST(help_teaches_and_exits_0),
        TEST(nobody_there_exits_3),
        TEST(a_full_disk_below_the_output_is_a_failure),
        TEST(a_bad_file_is_told_here_and_never_sent),
        TEST(apply_shows_changes_and_effects_in_words),
        TEST(a_refusal_exits_1_and_tells_every_error),
        TEST(diff_exits_4_when_there_is_one),
        TEST(wait_tells_each_data_plane),
        TEST(get_reads_every_page),
        TEST(version_tells_both),
        TEST(explain_answers_from_a_file),
        TEST(explain_request_asks_and_tells),
        TEST(explain_request_says_what_is_wrong),
        TEST(pki_makes_private_files_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
