#include "feed.h"

#include "config/agent.h"
#include "config/file.h"
#include "config/vault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct dp_feed {
    const struct dp_settings *set;
    struct dp_proxy *proxy;
    struct dp_status_source *status;
    int64_t revision;              /* db-less: counts loads */
    struct dp_agent *agent;        /* hybrid */
    dp_publish_done *publish_done; /* hybrid: of the publication under way */
    struct sp_buf cert, key, ca, cache_path;
};

static void note_live(struct dp_feed *f)
{
    f->status->live_since = time(NULL);
    f->status->reloads++;
    f->status->last_error[0] = '\0';
}

static void on_file_live(void *ctx, int64_t revision)
{
    note_live(ctx);
    sp_log(SP_NOTICE, "config_live", "revision=%lld", (long long)revision);
}

static void log_problems(const struct sp_problems *problems)
{
    for (const struct sp_problem *q = problems->first; q; q = q->next)
        sp_log(q->severity == SP_PROBLEM_ERROR ? SP_ERROR : SP_WARN,
               q->severity == SP_PROBLEM_ERROR ? "config_error" : "config_warning",
               "code=%s at=%.*s:%u:%u entity=%.*s path=%.*s text=\"%.*s\"", q->code, SP_FMT(q->file), q->line,
               q->column, SP_FMT(q->entity), SP_FMT(q->path), SP_FMT(q->text));
}

static void note_refusal(struct dp_feed *f, const struct sp_problems *problems)
{
    struct sp_error err = {0};
    (void)sp_problems_result(problems, &err);
    snprintf(f->status->last_error, sizeof f->status->last_error, "%s", err.text);
    f->status->rejections++;
    sp_log(SP_ERROR, "config_rejected", "problems=%zu reason=\"%s\"", problems->num_errors, err.text);
}

/* --- hybrid: what the control plane pushes --- */

static void on_pushed_live(void *ctx, int64_t revision)
{
    struct dp_feed *f = ctx;
    (void)revision; /* the agent logs it */
    note_live(f);
    if (f->agent)
        f->publish_done(f->agent, NULL);
}

static void publish_pushed(void *ctx, const struct sp_resources *r, int64_t revision, dp_publish_done *done,
                           struct dp_agent *agent)
{
    struct dp_feed *f = ctx;
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_problems problems;
    sp_problems_init(&problems, a);
    f->publish_done = done;
    sp_result res = dp_proxy_publish(f->proxy, r, revision, &problems, on_pushed_live, f);
    log_problems(&problems);
    if (sp_failed(res)) {
        note_refusal(f, &problems);
        done(agent, &problems);
    }
    sp_arena_free(a);
}

/* The status listener and /metrics read what the agent knows. */
static void refresh_status(struct dp_status_source *source)
{
    struct dp_agent_status st;
    const struct dp_feed *f = source->feed;
    if (!f || !f->agent)
        return;
    dp_agent_status(f->agent, &st);
    source->connected = st.connected;
    source->stale = st.stale;
    source->rejected_revision = st.rejected;
    source->rejections = st.rejects;
    struct sp_str why = st.rejected ? st.rejected_why : st.error;
    snprintf(source->last_error, sizeof source->last_error, "%.*s", SP_FMT(why));
}

static sp_result read_cluster_files(struct dp_feed *f, struct sp_error *err)
{
    enum { MAX_PEM = 1 << 20 };
    if (!f->set->cluster_cert || !f->set->cluster_key || !f->set->cluster_ca)
        return sp_fail(err, SP_E_USAGE, "--control needs --cluster-cert, --cluster-key and --cluster-ca");
    SP_TRY(sp_buf_read_file(&f->cert, f->set->cluster_cert, MAX_PEM, err));
    SP_TRY(sp_buf_read_file(&f->key, f->set->cluster_key, MAX_PEM, err));
    return sp_buf_read_file(&f->ca, f->set->cluster_ca, MAX_PEM, err);
}

/* Whoever misspells the folder shall know at once, not when the control plane is away. */
static sp_result make_cache_folder(struct dp_feed *f, struct sp_error *err)
{
    const char *dir = f->set->cache_dir;
    struct stat st;
    if (!dir)
        return sp_ok();
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return sp_fail_errno(err, errno, "--cache-dir: cannot make %s", dir);
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
        return sp_fail(err, SP_E_INVALID, "--cache-dir: %s is no folder", dir);
    sp_buf_printf(&f->cache_path, "%s/last-good.sealed", dir);
    sp_buf_putc(&f->cache_path, '\0');
    return sp_ok();
}

static sp_result start_agent(struct dp_feed *f, struct sp_loop *l, struct sp_error *err)
{
    static char hostname[256];
    SP_TRY(read_cluster_files(f, err));
    if (gethostname(hostname, sizeof hostname - 1) != 0)
        snprintf(hostname, sizeof hostname, "unknown");
    SP_TRY(make_cache_folder(f, err));
    struct dp_agent_options o = {
        .addresses = f->set->control.v,
        .num_addresses = f->set->control.num,
        .server_name = sp_str_z(f->set->control_name),
        .cert_pem = sp_buf_str(&f->cert),
        .key_pem = sp_buf_str(&f->key),
        .ca_pem = sp_buf_str(&f->ca),
        .cache_path = f->set->cache_dir ? f->cache_path.p : NULL,
        .publish = publish_pushed,
        .ctx = f,
    };
    o.node.id = sp_str_z(f->set->node_id ? f->set->node_id : hostname);
    o.node.hostname = sp_str_z(hostname);
    o.node.version = sp_str_z(SP_VERSION);
    o.node.labels = f->set->labels.v;
    o.node.num_labels = f->set->labels.num;
    return dp_agent_start(l, &o, &f->agent, err);
}

/* --- db-less: a file --- */

static sp_result load_file(struct dp_feed *f)
{
    struct sp_arena *a = sp_arena_new(65536);
    struct sp_problems problems;
    struct sp_resources *r;
    sp_problems_init(&problems, a);
    sp_result res = dp_file_load(a, f->set->config, time(NULL), &r, &problems);
    if (!sp_failed(res))
        res = dp_proxy_publish(f->proxy, r, ++f->revision, &problems, on_file_live, f);
    log_problems(&problems);
    if (sp_failed(res))
        note_refusal(f, &problems);
    sp_arena_free(a);
    return res;
}

void dp_feed_reload(struct dp_feed *f)
{
    if (f->set->config && sp_failed(load_file(f)))
        sp_log(SP_WARN, "config_kept", "revision=%lld",
               (long long)(f->proxy->current ? f->proxy->current->revision : 0));
}

static void print_problems(const struct sp_problems *problems)
{
    struct sp_buf b = {0};
    sp_problems_print(problems, &b);
    fwrite(sp_buf_str(&b).p, 1, b.len, stderr);
    sp_buf_fini(&b);
}

/* Validates as a running data plane would: the file, and the snapshot made of it; except where the environment here
 * lacks what vault references mean. */
bool dp_feed_check(const struct dp_settings *set, const struct dp_snapshot_options *o)
{
    struct sp_arena *a = sp_arena_new(65536);
    struct sp_problems problems;
    struct sp_resources *r;
    struct dp_snapshot *s = NULL;
    sp_problems_init(&problems, a);
    sp_result res = dp_file_load(a, set->config, time(NULL), &r, &problems);
    if (!sp_failed(res) && dp_vaults_check(r, &problems))
        res = dp_snapshot_compile(r, 1, o, &s, &problems);
    else if (problems.num_errors)
        res = (sp_result){SP_E_INVALID};
    print_problems(&problems);
    if (!sp_failed(res))
        printf("%s: %zu resources, %zu warnings\n", set->config, r->num, problems.num_warnings);
    dp_snapshot_unref(s);
    sp_arena_free(a);
    return !sp_failed(res);
}

/* --- life --- */

sp_result dp_feed_start(struct sp_loop *l, const struct dp_settings *set, struct dp_proxy *proxy,
                        struct dp_status_source *status, struct dp_feed **out, struct sp_error *err)
{
    struct dp_feed *f = sp_alloc(sizeof *f);
    f->set = set;
    f->proxy = proxy;
    f->status = status;
    status->feed = f;
    status->refresh = refresh_status;
    *out = f;
    if (!set->config)
        return start_agent(f, l, err);
    if (sp_failed(load_file(f)))
        return sp_fail(err, SP_E_INVALID, "%s", status->last_error);
    return sp_ok();
}

void dp_feed_stop(struct dp_feed *f)
{
    if (!f)
        return;
    f->status->feed = NULL;
    dp_agent_stop(f->agent);
    sp_buf_fini(&f->cert);
    sp_buf_fini(&f->ca);
    sp_buf_wipe(&f->key);
    sp_buf_fini(&f->cache_path);
    free(f);
}
