/* sallyport-control, the control plane: the store, the Admin API and the discovery service on one loop. Everything here
 * runs on the main thread. */
#include "base/log.h"
#include "base/options.h"
#include "control/api/api.h"
#include "control/discovery/server.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };
enum { MAX_PEM = 1 << 20, DRAIN_MS = 5000, DRAIN_POLL_MS = 20 };

static struct {
    const char *store, *cluster_listen, *cluster_cert, *cluster_key, *cluster_ca, *log_file, *ports_file;
    struct sp_option_list admin_listen;
    enum sp_log_level log_level;
    bool show_secrets, takeover;
} set = {
    .store = "sqlite:/var/lib/sallyport/control.db",
    .cluster_listen = "0.0.0.0:8005",
    .admin_listen = {.v = {{"127.0.0.1:8001", 14}}, .num = 1},
    .log_level = SP_INFO,
};

static const struct sp_option store_options[] = {
    {"store", 0, "URL", sp_option_text, &set.store,
     .help = "Where revisions are kept: sqlite:PATH (made when it is missing), or memory: (gone with the process). "
             "Default: sqlite:/var/lib/sallyport/control.db"},
};
static const struct sp_option admin_options[] = {
    {"admin-listen", 0, "ADDR", sp_option_list, &set.admin_listen,
     .help = "Address of the Admin API; may be repeated; port 0 takes a free one. It has no authentication: whoever "
             "reaches it owns the gateway. Default: 127.0.0.1:8001"},
    {"show-secrets", 0, NULL, sp_option_switch, &set.show_secrets,
     .help = "The Admin API gives out private keys (GET of certificates, export with secrets=1). Default: off"},
};
static const struct sp_option cluster_options[] = {
    {"cluster-listen", 0, "ADDR", sp_option_text, &set.cluster_listen,
     .help = "Address where data planes connect, over mTLS; off: none. Default: 0.0.0.0:8005"},
    {"cluster-cert", 0, "FILE", sp_option_text, &set.cluster_cert,
     .help = "Own certificate there, PEM (sallyctl pki issue --role control)."},
    {"cluster-key", 0, "FILE", sp_option_text, &set.cluster_key, .help = "Its private key, PEM."},
    {"takeover", 0, NULL, sp_option_switch, &set.takeover,
     .help =
         "Data planes go back to this store's revision although they hold a newer one. For one run, after the store "
         "was restored from a backup or made anew. Default: off, they keep what they have and refuse"},
    {"cluster-ca", 0, "FILE", sp_option_text, &set.cluster_ca,
     .help = "A data plane is let in when its certificate chains to one of these, PEM (sallyctl pki init)."},
};
static const struct sp_option run_options[] = {
    {"log-level", 0, "LEVEL", sp_option_log_level, &set.log_level,
     .help = "debug, info, notice, warn or error. Default: info"},
    {"log-file", 0, "FILE", sp_option_text, &set.log_file,
     .help = "Error log; SIGHUP opens it again. Default: standard error"},
    {"ports-file", 0, "FILE", sp_option_text, &set.ports_file,
     .help = "Write the bound addresses here as JSON, {\"admin\": [...], \"cluster\": ...}, once everything listens."},
};
#define TABLE(title, v)                                                                                                \
    {                                                                                                                  \
        title, v, sizeof(v) / sizeof *(v)                                                                              \
    }
static const struct sp_option_table tables[] = {
    TABLE("Store", store_options),
    TABLE("Admin API", admin_options),
    TABLE("Data planes", cluster_options),
    TABLE("Running", run_options),
};
static const struct sp_options options = {
    .program = "sallyport-control",
    .env_prefix = "SALLYPORT_CONTROL",
    .usage = "sallyport-control [options]",
    .about =
        "The control plane of Sallyport: keeps routes, services, consumers and certificates, and pushes what follows\n"
        "from them to the data planes. A first run:\n\n"
        "  sallyctl pki init\n"
        "  sallyctl pki issue --role control --name control\n"
        "  sallyport-control --store sqlite:control.db --cluster-cert pki/control.pem \\\n"
        "                    --cluster-key pki/control.key --cluster-ca pki/ca.pem\n"
        "  sallyctl apply -f gateway.yaml",
    .epilog =
        "Signals: SIGTERM and SIGINT finish what is being answered and end with exit code 0; SIGHUP opens the log\n"
        "again. Exit codes: 0 done, 1 could not start, 2 the command line makes no sense.",
    .tables = tables,
    .num_tables = sizeof tables / sizeof *tables,
};

struct program {
    struct sp_loop *loop;
    struct cp_store *store;
    struct cp_discovery *discovery; /* NULL: --cluster-listen off */
    struct cp_control *control;
    struct cp_api *api;
    struct sp_signal term, interrupt, hangup;
    struct sp_timer drain;
    uint64_t drain_until;
    struct sp_buf ports; /* JSON of the bound addresses */
};

/* --- between the API and the discovery service */

static void drop_config(void *config)
{
    cp_config_unref(config);
}

/* The snapshot holds on to the configuration that it borrows from. */
static void publish(void *ctx, const struct cp_config *config)
{
    struct program *p = ctx;
    if (!p->discovery)
        return;
    struct sp_arena *hold = sp_arena_new(64);
    sp_arena_on_free(hold, drop_config, cp_config_ref((struct cp_config *)(uintptr_t)config));
    struct cp_snapshot *snapshot = cp_snapshot_new(config->revision.revision, config->resources, hold);
    snapshot->rollback = config->revision.rollback || set.takeover;
    cp_discovery_publish(p->discovery, snapshot, false);
    cp_snapshot_unref(snapshot);
}

static const char *kind_name(Sallyport__V1__Kind kind)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(&sallyport__v1__kind__descriptor, (int)kind);
    return v && kind ? v->name : "";
}

static void put_problems(struct sp_json *j, const struct cp_node *n)
{
    sp_json_key(j, "problems");
    sp_json_array(j);
    for (size_t i = 0; i < n->num_problems; i++) {
        sp_json_object(j);
        sp_json_put_z(j, "kind", kind_name(n->problems[i].kind));
        sp_json_put_str(j, "name", n->problems[i].name);
        sp_json_put_str(j, "field", n->problems[i].field);
        sp_json_put_str(j, "reason", n->problems[i].reason);
        sp_json_end_object(j);
    }
    sp_json_end_array(j);
}

static void put_node(void *ctx, const struct cp_node *n)
{
    struct sp_json *j = ctx;
    sp_json_object(j);
    sp_json_put_str(j, "name", n->identity);
    sp_json_put_str(j, "id", n->id);
    sp_json_put_str(j, "hostname", n->hostname);
    sp_json_put_str(j, "version", n->version);
    sp_json_key(j, "labels");
    sp_json_array(j);
    for (size_t i = 0; i < n->num_labels; i++)
        sp_json_str(j, n->labels[i]);
    sp_json_end_array(j);
    sp_json_put_str(j, "address", n->address);
    sp_json_put_z(j, "state", cp_node_state_name(n->state));
    sp_json_put_bool(j, "connected", n->connected);
    sp_json_put_int(j, "since", n->since);
    sp_json_put_int(j, "last_seen", n->last_seen);
    sp_json_put_int(j, "certificate_not_after", n->certificate_not_after);
    sp_json_put_int(j, "revision", n->held);
    sp_json_put_int(j, "sent_revision", n->sent);
    sp_json_put_int(j, "rejected_revision", n->rejected);
    put_problems(j, n);
    sp_json_end_object(j);
}

static void nodes(void *ctx, struct sp_json *j)
{
    struct program *p = ctx;
    sp_json_array(j);
    if (p->discovery)
        cp_discovery_nodes(p->discovery, put_node, j);
    sp_json_end_array(j);
}

/* --- starting */

static sp_result read_pem(const char *path, const char *option, struct sp_buf *out, struct sp_error *err)
{
    if (!path)
        return sp_fail(err, SP_E_USAGE,
                       "--%s is missing: data planes connect over mTLS. 'sallyctl pki init' and 'sallyctl pki issue "
                       "--role control --name control' make the files; --cluster-listen off does without data planes",
                       option);
    if (sp_failed(sp_buf_read_file(out, path, MAX_PEM, err)))
        return sp_fail_in(err, "--%s", option);
    return sp_ok();
}

static sp_result start_discovery_with(struct program *p, struct sp_buf pem[3], struct sp_error *err)
{
    char host[256] = "";
    SP_TRY(read_pem(set.cluster_cert, "cluster-cert", &pem[0], err));
    SP_TRY(read_pem(set.cluster_key, "cluster-key", &pem[1], err));
    SP_TRY(read_pem(set.cluster_ca, "cluster-ca", &pem[2], err));
    gethostname(host, sizeof host - 1);
    struct cp_discovery_options o = {
        .cert_pem = sp_buf_str(&pem[0]),
        .key_pem = sp_buf_str(&pem[1]),
        .ca_pem = sp_buf_str(&pem[2]),
        .control_id = sp_str_z(host),
    };
    if (sp_failed(sp_address_parse(sp_str_z(set.cluster_listen), &o.listen, err)))
        return sp_fail_in(err, "--cluster-listen");
    return cp_discovery_start(&o, p->loop, &p->discovery, err);
}

static sp_result start_discovery(struct program *p, struct sp_error *err)
{
    struct sp_buf pem[3] = {{0}};
    if (!strcmp(set.cluster_listen, "off"))
        return sp_ok();
    sp_result r = start_discovery_with(p, pem, err);
    for (int i = 0; i < 3; i++)
        sp_buf_wipe(&pem[i]);
    return r;
}

static sp_result start_admin(struct program *p, struct sp_error *err)
{
    struct sp_json j = sp_json(&p->ports);
    char text[SP_ADDRESS_TEXT];
    struct cp_api_options o = {
        .loop = p->loop,
        .control = p->control,
        .nodes = nodes,
        .ctx = p,
        .database = strncmp(set.store, "memory:", 7) ? "sqlite" : "memory",
        .show_secrets = set.show_secrets,
    };
    p->api = cp_api_new(&o);
    sp_json_object(&j);
    sp_json_put_int(&j, "pid", getpid());
    sp_json_key(&j, "admin");
    sp_json_array(&j);
    for (size_t i = 0; i < set.admin_listen.num; i++) {
        struct sp_address at, bound;
        if (sp_failed(sp_address_parse(set.admin_listen.v[i], &at, err)) ||
            sp_failed(cp_api_listen(p->api, &at, &bound, err)))
            return sp_fail_in(err, "--admin-listen");
        sp_address_text(&bound, text);
        sp_json_z(&j, text);
    }
    sp_json_end_array(&j);
    if (p->discovery)
        sp_address_text(cp_discovery_address(p->discovery), text);
    sp_json_put_z(&j, "cluster", p->discovery ? text : NULL);
    sp_json_end_object(&j);
    sp_buf_putc(&p->ports, '\n');
    return sp_ok();
}

static sp_result start(struct program *p, struct sp_error *err)
{
    struct cp_control_options control = {.store = NULL, .publish = publish, .ctx = p};
    SP_TRY(cp_store_open(set.store, &p->store, err));
    SP_TRY(start_discovery(p, err));
    control.store = p->store;
    SP_TRY(cp_control_new(&control, &p->control, err));
    SP_TRY(start_admin(p, err));
    if (set.ports_file)
        SP_TRY(sp_write_file(set.ports_file, sp_buf_str(&p->ports), 0644, err));
    sp_log(SP_NOTICE, "started", "version=%s revision=%lld store=%s", SP_VERSION,
           (long long)cp_control_current(p->control)->revision.revision, set.store);
    return sp_ok();
}

/* --- stopping */

static void check_drained(struct sp_timer *t)
{
    struct program *p = (struct program *)((char *)t - offsetof(struct program, drain));
    if (cp_api_drained(p->api) || sp_loop_now(p->loop) >= p->drain_until)
        sp_loop_stop(p->loop);
    else
        sp_timer_start(t, p->loop, DRAIN_POLL_MS, check_drained);
}

static void begin_stop(struct program *p)
{
    if (p->drain_until) { /* a second signal does not wait */
        sp_loop_stop(p->loop);
        return;
    }
    sp_log(SP_NOTICE, "stopping", "message=\"finishing what is being answered\"");
    p->drain_until = sp_loop_now(p->loop) + DRAIN_MS;
    cp_api_drain(p->api);
    check_drained(&p->drain);
}

static void on_term(struct sp_signal *s)
{
    begin_stop((struct program *)((char *)s - offsetof(struct program, term)));
}

static void on_interrupt(struct sp_signal *s)
{
    begin_stop((struct program *)((char *)s - offsetof(struct program, interrupt)));
}

static void on_hangup(struct sp_signal *s)
{
    (void)s;
    sp_log_reopen();
    sp_log(SP_NOTICE, "log_reopened", "signal=HUP");
}

static void finish(struct program *p)
{
    sp_timer_stop(&p->drain);
    sp_signal_stop(&p->term);
    sp_signal_stop(&p->interrupt);
    sp_signal_stop(&p->hangup);
    cp_api_free(p->api);
    cp_discovery_stop(p->discovery); /* before the configurations that its snapshots borrow from */
    cp_control_free(p->control);
    cp_store_close(p->store);
    sp_loop_free(p->loop);
    sp_buf_fini(&p->ports);
}

/* --- the process */

static int usage_error(const struct sp_error *err)
{
    fprintf(stderr, "sallyport-control: %s\n'sallyport-control --help' tells more\n", err->text);
    return EXIT_USAGE;
}

static int print_help(void)
{
    struct sp_buf b = {0};
    sp_options_help(&options, 0, &b);
    fwrite(sp_buf_str(&b).p, 1, b.len, stdout);
    sp_buf_fini(&b);
    return EXIT_OK;
}

static int run(struct program *p)
{
    struct sp_error err = {0};
    int code = EXIT_OK;
    if (sp_failed(sp_log_open(set.log_file, set.log_level, &err)) || sp_failed(sp_loop_new(&p->loop, &err))) {
        fprintf(stderr, "sallyport-control: %s\n", err.text);
        return EXIT_FAILED;
    }
    sp_signal_start(&p->term, p->loop, SIGTERM, on_term);
    sp_signal_start(&p->interrupt, p->loop, SIGINT, on_interrupt);
    sp_signal_start(&p->hangup, p->loop, SIGHUP, on_hangup);
    if (sp_failed(start(p, &err))) {
        fprintf(stderr, "sallyport-control: %s\n", err.text);
        code = err.code == SP_E_USAGE ? EXIT_USAGE : EXIT_FAILED;
    } else {
        sp_loop_run(p->loop);
        sp_log(SP_NOTICE, "stopped", "clean=yes");
    }
    finish(p);
    return code;
}

int main(int argc, char **argv)
{
    static struct program program;
    struct sp_options_seen seen;
    struct sp_error err = {0};
    sp_result r = sp_options_parse(&options, argc, argv, &seen, &err);
    if (!sp_failed(r) && seen.num_words && !seen.help && !seen.version)
        r = sp_fail(&err, SP_E_USAGE, "'%s' is no option", seen.words[0]);
    free(seen.words);
    if (sp_failed(r))
        return usage_error(&err);
    if (seen.help)
        return print_help();
    if (seen.version) {
        printf("sallyport-control %s\n%s\n", SP_VERSION, SP_BORINGSSL_NAME);
        return EXIT_OK;
    }
    signal(SIGPIPE, SIG_IGN);
    return run(&program);
}
