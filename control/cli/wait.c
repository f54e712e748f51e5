#include "control/cli/wait.h"
#include "base/clock.h"
#include <string.h>
#include <time.h>

/* Where nobody is connected: a control plane that has just started, with its data planes on the way. */
enum { GRACE_MS = 3000 };
enum { FIRST_POLL_MS = 5, LAST_POLL_MS = 200, MAX_SECONDS = 86400 };

sp_result cp_wait_option(const struct sp_option *o, const char *value, struct sp_error *err)
{
    struct cp_wait *w = o->to;
    uint64_t n = 30;
    if (strcmp(value, "on") != 0 && (!sp_str_to_u64(sp_str_z(value), &n) || n > MAX_SECONDS))
        return sp_fail(err, SP_E_USAGE, "'%s' is no number of seconds", value);
    *w = (struct cp_wait){true, (uint32_t)n};
    return sp_ok();
}

struct progress {
    size_t live, refused, waiting, away;
};

enum verdict { WAITING, LIVE, REFUSED, AWAY };

/* What is waited for: that revision, or one that came after it. A node may hold a higher one of a store that was lost.
 */
struct wanted {
    int64_t revision, newest;
};

static enum verdict judge(const struct sp_node *node, const struct wanted *w)
{
    int64_t held = cp_int(node, "revision");
    if (held >= w->revision && held <= w->newest)
        return LIVE;
    if (cp_int(node, "rejected_revision") >= w->revision)
        return REFUSED;
    return sp_str_eq(cp_text(node, "state"), SP_STR("disconnected")) ? AWAY : WAITING;
}

static void print_refusal(struct cp_cli *cli, const struct sp_node *node)
{
    const struct sp_node *problems = cp_list(node, "problems");
    fprintf(cli->err, "%s%.*s refused it%s\n", cp_color(cli, CP_RED), SP_FMT(cp_clean(cli, cp_text(node, "name"))),
            cp_color(cli, CP_PLAIN));
    for (size_t i = 0; i < problems->num; i++) {
        const struct sp_node *p = problems->items[i];
        struct sp_str field = cp_text(p, "field");
        fprintf(cli->err, "  %.*s/%.*s%s%.*s: %.*s\n", SP_FMT(cp_clean(cli, cp_text(p, "kind"))),
                SP_FMT(cp_clean(cli, cp_text(p, "name"))), field.len ? " " : "", SP_FMT(cp_clean(cli, field)),
                SP_FMT(cp_clean(cli, cp_text(p, "reason"))));
    }
}

static void draw_bar(struct cp_cli *cli, const struct progress *p)
{
    enum { WIDTH = 30 };
    size_t all = p->live + p->refused + p->waiting;
    size_t full = all ? p->live * WIDTH / all : WIDTH;
    if (!cli->live)
        return;
    fprintf(cli->err, "\r[");
    for (size_t i = 0; i < WIDTH; i++)
        fputc(i < full ? '#' : '.', cli->err);
    fprintf(cli->err, "] %zu of %zu live", p->live, all);
    fflush(cli->err);
}

static struct progress count(const struct sp_node *nodes, const struct wanted *w)
{
    struct progress p = {0};
    for (size_t i = 0; i < nodes->num; i++) {
        enum verdict v = judge(nodes->items[i], w);
        p.live += v == LIVE;
        p.refused += v == REFUSED;
        p.waiting += v == WAITING;
        p.away += v == AWAY;
    }
    return p;
}

static int conclude(struct cp_cli *cli, const struct sp_node *nodes, const struct wanted *w, const struct progress *p)
{
    FILE *to = cli->output == CP_TABLE ? cli->out : cli->err;
    if (cli->live)
        fprintf(cli->err, "\n");
    for (size_t i = 0; i < nodes->num; i++) {
        const struct sp_node *node = nodes->items[i];
        struct sp_str name = cp_clean(cli, cp_text(node, "name"));
        switch (judge(node, w)) {
        case LIVE:
            fprintf(to, "%s%.*s is live%s\n", cp_color(cli, CP_GREEN), SP_FMT(name), cp_color(cli, CP_PLAIN));
            break;
        case REFUSED:
            print_refusal(cli, node);
            break;
        case WAITING:
            fprintf(cli->err, "%.*s did not answer in time; it serves revision %lld\n", SP_FMT(name),
                    (long long)cp_int(node, "revision"));
            break;
        case AWAY:
            fprintf(to, "%.*s is not connected; it will get revision %lld when it comes back\n", SP_FMT(name),
                    (long long)w->revision);
        }
    }
    if (nodes->num == 0)
        fprintf(to, "No data plane is connected yet: there is nobody to wait for.\n");
    return p->refused || p->waiting ? CP_EXIT_NODE : CP_EXIT_OK;
}

int cp_wait_until_live(struct cp_cli *cli, const struct cp_wait *w, int64_t revision)
{
    uint64_t begin = sp_clock_mono_ms(&sp_clock_system), patience = (uint64_t)w->seconds * 1000;
    struct sp_arena *whole = cli->arena;
    int code = CP_EXIT_OK;
    long poll_ms = FIRST_POLL_MS;
    bool done = false;
    while (!done) {
        struct cp_answer a;
        cli->arena = sp_arena_new(4096); /* polls must not pile up */
        if (!cp_get(cli, SP_STR("/sallyport/nodes"), &a, &code)) {
            done = true;
        } else {
            const struct sp_node *nodes = cp_list(a.json, "data");
            struct wanted wanted = {revision, cp_int(a.json, "revision")};
            struct progress p = count(nodes, &wanted);
            draw_bar(cli, &p);
            uint64_t waited = sp_clock_mono_ms(&sp_clock_system) - begin;
            done = waited >= patience || (p.waiting == 0 && (nodes->num || waited >= GRACE_MS));
            if (done)
                code = conclude(cli, nodes, &wanted, &p);
        }
        sp_arena_free(cli->arena);
        if (!done)
            nanosleep(&(struct timespec){.tv_nsec = poll_ms * 1000000L}, NULL);
        poll_ms = poll_ms * 2 < LAST_POLL_MS ? poll_ms * 2 : LAST_POLL_MS;
    }
    cli->arena = whole;
    return code;
}
