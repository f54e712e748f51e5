#include "feed.h"

#include "config/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct dp_feed {
    const struct dp_settings *set;
    struct dp_proxy *proxy;
    struct dp_status_source *status;
    int64_t revision; /* db-less: counts loads */
};

static void on_live(void *ctx, int64_t revision)
{
    struct dp_feed *f = ctx;
    f->status->live_since = time(NULL);
    f->status->reloads++;
    f->status->last_error[0] = '\0';
    sp_log(SP_INFO, "config_live", "revision=%lld", (long long)revision);
}

static void log_problems(const struct sp_problems *problems)
{
    for (const struct sp_problem *q = problems->first; q; q = q->next)
        sp_log(q->severity == SP_PROBLEM_ERROR ? SP_ERROR : SP_WARN,
               q->severity == SP_PROBLEM_ERROR ? "config_error" : "config_warning",
               "code=%s at=%.*s:%u:%u path=%.*s text=\"%.*s\"", q->code, SP_FMT(q->file), q->line, q->column,
               SP_FMT(q->path), SP_FMT(q->text));
}

static void note_refusal(struct dp_feed *f, const struct sp_problems *problems)
{
    struct sp_error err = {0};
    (void)sp_problems_result(problems, &err);
    snprintf(f->status->last_error, sizeof f->status->last_error, "%s", err.text);
    f->status->rejections++;
    sp_log(SP_ERROR, "config_rejected", "problems=%zu reason=\"%s\"", problems->num_errors, err.text);
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
        res = dp_proxy_publish(f->proxy, r, ++f->revision, &problems, on_live, f);
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

/* Validates as a running data plane would: the file, and the snapshot made of it. */
bool dp_feed_check(const struct dp_settings *set, const struct dp_snapshot_options *o)
{
    struct sp_arena *a = sp_arena_new(65536);
    struct sp_problems problems;
    struct sp_resources *r;
    struct dp_snapshot *s = NULL;
    sp_problems_init(&problems, a);
    sp_result res = dp_file_load(a, set->config, time(NULL), &r, &problems);
    if (!sp_failed(res))
        res = dp_snapshot_compile(r, 1, o, &s, &problems);
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
    *out = f;
    (void)l;
    if (sp_failed(load_file(f)))
        return sp_fail(err, SP_E_INVALID, "%s", status->last_error);
    return sp_ok();
}

void dp_feed_stop(struct dp_feed *f)
{
    if (!f)
        return;
    f->status->feed = NULL;
    free(f);
}
