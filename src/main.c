/* sallyport, the data plane: reads its options, starts the workers, and feeds them configurations, from a file
 * (db-less) or from a control plane (hybrid). Everything here runs on the main thread. */
#include "base/log.h"
#include "feed.h"
#include "net/listen.h"
#include "observe/status.h"
#include "proxy/proxy.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, ROTATE_TICKETS_MS = 12 * 3600 * 1000, LOOK_MS = 5000 };

struct program {
    struct dp_settings *set;
    struct sp_loop *loop;
    struct dp_proxy_options proxy_options;
    struct dp_proxy proxy;
    struct dp_status *status;
    struct dp_status_source source;
    struct sp_buf cert, key;
    struct dp_feed *feed;
    struct sp_signal term, interrupt, hangup;
    struct sp_timer stop_timer, ticket_timer;
    bool stopping;
};

static struct program program;

static int usage_error(const struct sp_error *err)
{
    fprintf(stderr, "sallyport: %s\nTry 'sallyport --help'.\n", err->text);
    return EXIT_USAGE;
}

static int failed(const struct sp_error *err)
{
    fprintf(stderr, "sallyport: %s\n", err->text);
    return EXIT_FAILED;
}

/* --- what the workers need --- */

static sp_result read_listener(struct sp_str text, bool tls, struct dp_listener_conf *out, struct sp_error *err)
{
    struct sp_listen_text t;
    SP_TRY(sp_listen_parse(text, &t, err));
    if (!tls && (t.ssl || t.http2))
        return sp_fail(err, SP_E_USAGE, "'%.*s': %s is for --listen, this is without TLS", SP_FMT(text),
                       t.ssl ? "ssl" : "http2");
    *out =
        (struct dp_listener_conf){.address = t.address, .how = t.how, .tls = tls, .proxy_protocol = t.proxy_protocol};
    out->how.reuseport = true; /* each worker has a socket of its own */
    return sp_ok();
}

static sp_result add_listeners(struct dp_proxy_options *o, const struct sp_option_list *list, bool tls,
                               struct sp_error *err)
{
    for (size_t i = 0; i < list->num; i++) {
        if (sp_str_eq(list->v[i], SP_STR("off")))
            continue;
        struct dp_listener_conf *l = &o->listeners[o->num_listeners];
        sp_result r = read_listener(list->v[i], tls, l, err);
        if (sp_failed(r))
            return sp_fail_in(err, tls ? "--listen" : "--listen-plain");
        l->id = ++o->num_listeners;
    }
    return sp_ok();
}

static sp_result parse_trusted(struct dp_real_ip *r, const struct sp_option_list *list, struct sp_error *err)
{
    r->trusted = sp_alloc(sizeof *r->trusted * (list->num + 1));
    for (size_t i = 0; i < list->num; i++) {
        if (sp_str_eq(list->v[i], SP_STR("unix:"))) /* as Kong has it; nobody comes by a Unix socket here */
            continue;
        if (!sp_network_parse(list->v[i], &r->trusted[r->num_trusted++]))
            return sp_fail(err, SP_E_USAGE, "--trusted-ips: '%.*s' is no IP address or network", SP_FMT(list->v[i]));
    }
    return sp_ok();
}

static sp_result prepare_real_ip(struct dp_real_ip *r, const struct dp_settings *s, struct sp_error *err)
{
    SP_TRY(parse_trusted(r, &s->trusted, err));
    r->recursive = s->real_ip_recursive;
    r->proxy_protocol = strcmp(s->real_ip_header, "proxy_protocol") == 0;
    if (r->proxy_protocol)
        return sp_ok();
    r->header = sp_str_z(s->real_ip_header);
    r->id = sp_field_id_of(r->header);
    if (!sp_token_valid(r->header))
        return sp_fail(err, SP_E_USAGE, "--real-ip-header: '%s' is neither a field name nor proxy_protocol",
                       s->real_ip_header);
    return sp_ok();
}

static sp_result open_access_log(struct dp_proxy_options *o, const char *path, struct sp_error *err)
{
    o->access_log = strcmp(path, "off") != 0;
    o->access_log_fd = STDOUT_FILENO;
    if (!o->access_log || strcmp(path, "-") == 0)
        return sp_ok();
    FILE *f = fopen(path, "ae");
    if (!f)
        return sp_fail(err, SP_E_IO, "cannot open the access log %s", path);
    o->access_log_fd = fileno(f); /* stays open as long as the process */
    return sp_ok();
}

static sp_result new_tls_server(const struct dp_settings *s, struct sp_tls_server **out, struct sp_error *err)
{
    struct sp_tls_server_options o = {.alpn = "h2,http/1.1"};
    if (strcmp(s->tls_min, "1.3") == 0)
        o.min_version = 0x0304;
    else if (strcmp(s->tls_min, "1.2") != 0)
        return sp_fail(err, SP_E_USAGE, "--tls-min: '%s' is neither 1.2 nor 1.3", s->tls_min);
    return sp_tls_server_new(&o, out, err);
}

static sp_result prepare_proxy(struct program *p, struct sp_error *err)
{
    struct dp_settings *s = p->set;
    struct dp_proxy_options *o = &p->proxy_options;
    if (s->listen.num == 0)
        s->listen.v[s->listen.num++] = SP_STR("0.0.0.0:8443");
    o->listeners = sp_alloc(sizeof *o->listeners * (s->listen.num + s->listen_plain.num + 1));
    SP_TRY(add_listeners(o, &s->listen, true, err));
    SP_TRY(add_listeners(o, &s->listen_plain, false, err));
    SP_TRY(prepare_real_ip(&o->real_ip, s, err));
    SP_TRY(open_access_log(o, s->access_log, err));
    SP_TRY(new_tls_server(s, &o->tls, err));
    o->max_connections = s->max_connections;
    o->max_requests = s->max_requests;
    o->idle_ms = s->idle_s * 1000;
    o->head_ms = s->head_s * 1000;
    o->body_ms = s->body_s * 1000;
    o->handshake_ms = s->handshake_s * 1000;
    o->look_ms = LOOK_MS;
    o->grace_ms = s->grace_s * 1000;
    o->h1 = sp_h1_default_limits;
    o->h1.max_head_bytes = s->max_head;
    o->h1.max_fields = s->max_fields;
    o->h2 = sp_h2_default_limits;
    o->h2.max_head_bytes = s->max_head;
    o->h2.max_fields = s->max_fields;
    o->via = "1.1 sallyport/" SP_VERSION;
    p->proxy.options = o;
    p->proxy.loop = p->loop;
    return sp_ok();
}

static sp_result read_default_certificate(struct program *p, struct sp_error *err)
{
    enum { MAX_PEM = 1 << 20 };
    if (!p->set->cert && !p->set->key)
        return sp_ok();
    if (!p->set->cert || !p->set->key)
        return sp_fail(err, SP_E_USAGE, "--ssl-cert and --ssl-cert-key go together");
    SP_TRY(sp_buf_read_file(&p->cert, p->set->cert, MAX_PEM, err));
    SP_TRY(sp_buf_read_file(&p->key, p->set->key, MAX_PEM, err));
    p->proxy.snapshot_options = (struct dp_snapshot_options){sp_buf_str(&p->cert), sp_buf_str(&p->key)};
    return sp_ok();
}

static unsigned num_workers(const struct dp_settings *s)
{
    cpu_set_t cpus;
    if (s->workers)
        return s->workers;
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0)
        return 1;
    return (unsigned)CPU_COUNT(&cpus);
}

/* --- signals --- */

static void begin_drain(struct sp_timer *t)
{
    (void)t;
    dp_proxy_drain(&program.proxy, program.set->grace_s * 1000);
    sp_loop_stop(program.loop);
}

static void start_stopping(void *ctx)
{
    struct program *p = ctx;
    if (p->stopping)
        return;
    p->stopping = p->source.draining = true;
    sp_log(SP_INFO, "draining", "delay_s=%u grace_s=%u", p->set->drain_s, p->set->grace_s);
    sp_timer_start(&p->stop_timer, p->loop, (uint64_t)p->set->drain_s * 1000, begin_drain);
}

static void on_term(struct sp_signal *s)
{
    (void)s;
    start_stopping(&program);
}

static void on_interrupt(struct sp_signal *s)
{
    (void)s;
    program.set->drain_s = 0;
    if (program.stopping)
        sp_timer_start(&program.stop_timer, program.loop, 0, begin_drain);
    else
        start_stopping(&program);
}

static void on_hangup(struct sp_signal *s)
{
    (void)s;
    sp_log_reopen();
    dp_feed_reload(program.feed);
}

static void on_rotate_tickets(struct sp_timer *t)
{
    sp_tls_server_rotate_tickets(program.proxy_options.tls);
    sp_timer_start(t, program.loop, ROTATE_TICKETS_MS, on_rotate_tickets);
}

static void watch_signals(struct program *p)
{
    signal(SIGPIPE, SIG_IGN);
    sp_signal_start(&p->term, p->loop, SIGTERM, on_term);
    sp_signal_start(&p->interrupt, p->loop, SIGINT, on_interrupt);
    sp_signal_start(&p->hangup, p->loop, SIGHUP, on_hangup);
    sp_timer_start(&p->ticket_timer, p->loop, ROTATE_TICKETS_MS, on_rotate_tickets);
}

/* --- start --- */

static sp_result start_status(struct program *p, struct sp_address *bound, struct sp_error *err)
{
    struct sp_address at;
    p->source.proxy = &p->proxy;
    p->source.mode = p->set->config ? "db-less" : "hybrid";
    p->source.drain = start_stopping;
    p->source.ctx = p;
    if (strcmp(p->set->status_listen, "off") == 0)
        return sp_ok();
    sp_result r = sp_address_parse(sp_str_z(p->set->status_listen), &at, err);
    if (sp_failed(r))
        return sp_fail_in(err, "--status-listen");
    return dp_status_start(p->loop, &at, &p->source, bound, &p->status, err);
}

static void put_addresses(struct sp_buf *b, const struct dp_proxy_options *o, bool tls)
{
    bool first = true;
    char text[SP_ADDRESS_TEXT];
    for (size_t i = 0; i < o->num_listeners; i++) {
        if (o->listeners[i].tls != tls)
            continue;
        sp_address_text(&o->listeners[i].address, text);
        sp_buf_printf(b, "%s\"%s\"", first ? "" : ",", text);
        first = false;
    }
}

static sp_result write_ports(struct program *p, const struct sp_address *status, struct sp_error *err)
{
    struct sp_buf b = {0};
    char text[SP_ADDRESS_TEXT] = "";
    if (!p->set->ports_file)
        return sp_ok();
    if (p->status)
        sp_address_text(status, text);
    sp_buf_add(&b, SP_STR("{\"listen\":["));
    put_addresses(&b, &p->proxy_options, true);
    sp_buf_add(&b, SP_STR("],\"listen_plain\":["));
    put_addresses(&b, &p->proxy_options, false);
    sp_buf_printf(&b, "],\"status\":\"%s\"}\n", text);
    sp_result r = sp_write_file(p->set->ports_file, sp_buf_str(&b), 0644, err);
    sp_buf_fini(&b);
    return r;
}

static void log_start(const struct program *p)
{
    const struct dp_real_ip *r = &p->proxy_options.real_ip;
    char text[SP_ADDRESS_TEXT];
    for (size_t i = 0; i < p->proxy_options.num_listeners; i++) {
        const struct dp_listener_conf *l = &p->proxy_options.listeners[i];
        sp_address_text(&l->address, text);
        sp_log(SP_INFO, "listening", "address=%s tls=%s proxy_protocol=%s", text, l->tls ? "yes" : "no",
               l->proxy_protocol ? "yes" : "no");
        if (l->proxy_protocol && !(r->proxy_protocol && r->num_trusted))
            sp_log(SP_NOTICE, "proxy_header_unused",
                   "address=%s reason=\"it counts with --real-ip-header proxy_protocol, from --trusted-ips\"", text);
    }
}

static sp_result start(struct program *p, struct sp_error *err)
{
    struct sp_address status = {0};
    SP_TRY(prepare_proxy(p, err));
    SP_TRY(dp_proxy_start(&p->proxy, num_workers(p->set), err));
    SP_TRY(start_status(p, &status, err));
    SP_TRY(dp_feed_start(p->loop, p->set, &p->proxy, &p->source, &p->feed, err));
    SP_TRY(write_ports(p, &status, err));
    log_start(p);
    return sp_ok();
}

static void finish(struct program *p)
{
    dp_feed_stop(SP_TAKE(p->feed));
    dp_proxy_join(&p->proxy);
    dp_status_stop(p->status);
    sp_tls_server_free(p->proxy_options.tls);
    sp_signal_stop(&p->term);
    sp_signal_stop(&p->interrupt);
    sp_signal_stop(&p->hangup);
    sp_timer_stop(&p->ticket_timer);
    sp_loop_free(p->loop);
    sp_buf_fini(&p->cert);
    sp_buf_wipe(&p->key);
    free(p->proxy_options.listeners);
    free(p->proxy_options.real_ip.trusted);
    sp_log(SP_INFO, "stopped", "clean=yes");
}

static sp_result check_settings(const struct dp_settings *s, const struct sp_options_seen *seen, struct sp_error *err)
{
    if (seen->num_words)
        return sp_fail(err, SP_E_USAGE, "'%s' is no option", seen->words[0]);
    if (!s->config && !s->control.num)
        return sp_fail(err, SP_E_USAGE,
                       "where does the configuration come from? Give --config FILE or --control HOST:PORT");
    if (s->config && s->control.num)
        return sp_fail(err, SP_E_USAGE, "--config and --control exclude each other");
    if (s->check && !s->config)
        return sp_fail(err, SP_E_USAGE, "--check needs --config FILE");
    return sp_ok();
}

static int print_help(void)
{
    struct sp_buf b = {0};
    sp_options_help(&dp_options, 0, &b);
    fwrite(b.p, 1, b.len, stdout);
    sp_buf_fini(&b);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    struct program *p = &program;
    p->set = &dp_settings;
    struct sp_options_seen seen = {0};
    struct sp_error err = {0};
    if (sp_failed(sp_options_parse(&dp_options, argc, argv, &seen, &err))) {
        free(seen.words);
        return usage_error(&err);
    }
    sp_result usable = seen.help || seen.version ? sp_ok() : check_settings(p->set, &seen, &err);
    free(seen.words);
    if (seen.help)
        return print_help();
    if (seen.version) {
        printf("sallyport %s\n%s\n", SP_VERSION, SP_BORINGSSL_NAME);
        return EXIT_OK;
    }
    if (sp_failed(usable))
        return usage_error(&err);
    if (sp_failed(sp_log_open(p->set->log_file, p->set->log_level, &err)) ||
        sp_failed(read_default_certificate(p, &err)))
        return err.code == SP_E_USAGE ? usage_error(&err) : failed(&err);
    if (p->set->check)
        return dp_feed_check(p->set, &p->proxy.snapshot_options) ? EXIT_OK : EXIT_FAILED;
    if (sp_failed(sp_loop_new(&p->loop, &err)))
        return failed(&err);
    watch_signals(p);
    if (sp_failed(start(p, &err)))
        return err.code == SP_E_USAGE ? usage_error(&err) : failed(&err);
    sp_loop_run(p->loop);
    finish(p);
    return EXIT_OK;
}
