#include "route/why.h"
#include "route/rules.h"

/* --- which hosts fit: asked of the index, as the router does */

struct hosts {
    const struct dp_router *router;
    uint16_t port;
    uint8_t *fit; /* by rank */
};

static void mark_bucket(void *ctx, const struct dp_bucket *b)
{
    struct hosts *h = ctx;
    for (uint32_t n = 0; n < b->num; n++) {
        const struct dp_index_entry *e = h->router->index.entries + b->nodes[n].first;
        for (uint32_t i = 0; i < b->nodes[n].num; i++)
            if (!e[i].port || e[i].port == h->port)
                h->fit[e[i].rank] = 1;
    }
}

/* --- what a rule lacks */

static const char *path_of(const struct dp_rule *rule)
{
    const Sallyport__V1__Route *r = rule->criteria->route;
    return r->n_paths ? r->paths[rule->order] : NULL;
}

static void look_at_path(const struct dp_rule *rule, const struct dp_match_input *in, struct dp_candidate *c)
{
    size_t end;
    enum dp_regex_answer answer = DP_REGEX_YES;
    if (rule->regex && !c->gave_up)
        answer = dp_regex_match(rule->regex, in->path, &end);
    else if (!rule->regex && c->path && !sp_str_starts(in->path, sp_str_z(c->path)))
        answer = DP_REGEX_NO;
    c->gave_up |= answer == DP_REGEX_GAVE_UP;
    c->missed |= answer == DP_REGEX_NO ? DP_MISS_PATH : 0;
}

static struct dp_candidate look_at(const struct dp_rule *rule, const struct dp_match_input *in, bool host_fits)
{
    const struct dp_criteria *k = rule->criteria;
    struct dp_candidate c = {.route = k->route, .target = k->target, .path = path_of(rule)};
    enum dp_regex_answer headers = dp_criteria_headers(k, in);
    c.missed = (host_fits ? 0 : DP_MISS_HOST) | (dp_criteria_protocol(k, in) ? 0 : DP_MISS_PROTOCOL) |
               (dp_criteria_method(k, in) ? 0 : DP_MISS_METHOD) | (dp_criteria_sni(k, in) ? 0 : DP_MISS_SNI) |
               (headers == DP_REGEX_NO ? DP_MISS_HEADER : 0);
    c.gave_up = headers == DP_REGEX_GAVE_UP;
    look_at_path(rule, in, &c);
    return c;
}

/* --- by what the one comes before the other */

static struct sp_str kinds_of(struct sp_arena *a, const struct dp_candidate *c)
{
    const Sallyport__V1__Route *r = c->route;
    const struct {
        const char *word;
        bool there;
    } kinds[] = {{"hosts", r->n_hosts > 0},
                 {"paths", c->path != NULL},
                 {"methods", r->n_methods > 0},
                 {"headers", r->n_headers > 0},
                 {"snis", r->n_snis > 0}};
    struct sp_str all = SP_STR("");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].there)
            all = sp_arena_printf(a, "%.*s%s%s", SP_FMT(all), all.len ? ", " : "", kinds[i].word);
    return all.len ? all : SP_STR("none");
}

/* x ranks before y. */
static struct sp_str decided_by(struct sp_arena *a, const struct dp_candidate *x, const struct dp_candidate *y)
{
    struct dp_weight p = dp_weigh(x->route, x->path), q = dp_weigh(y->route, y->path);
    if (p.kinds != q.kinds)
        return sp_arena_printf(a, "more kinds of criteria: %.*s against %.*s", SP_FMT(kinds_of(a, x)),
                               SP_FMT(kinds_of(a, y)));
    if (p.plain_hosts != q.plain_hosts)
        return SP_STR("its hosts are all plain names, without a wildcard");
    if (p.headers != q.headers)
        return sp_arena_printf(a, "more header criteria: %u against %u", p.headers, q.headers);
    if (p.regex != q.regex)
        return SP_STR("its path is a regex, and those come before plain prefixes");
    if (p.regex_priority != q.regex_priority)
        return sp_arena_printf(a, "higher regex_priority: %d against %d", p.regex_priority, q.regex_priority);
    if (p.length != q.length)
        return sp_arena_printf(a, "longer path: %s against %s", x->path ? x->path : "none", y->path ? y->path : "none");
    if (x->route->created_at != y->route->created_at)
        return SP_STR("it is older (created_at), and nothing else tells them apart");
    return SP_STR("its id comes first, and nothing else tells them apart");
}

/* --- the report */

static bool holds(const struct dp_candidate *v, size_t num, const Sallyport__V1__Route *r)
{
    for (size_t i = 0; i < num; i++)
        if (v[i].route == r)
            return true;
    return false;
}

static void keep(struct dp_candidate *v, size_t *num, size_t *all, const struct dp_candidate *c)
{
    if (holds(v, *num, c->route))
        return;
    (*all)++;
    if (*num < DP_WHY_MAX)
        v[(*num)++] = *c;
}

static void sort_in(struct dp_why *w, struct sp_arena *a, struct dp_candidate *c)
{
    if (c->missed)
        return;
    if (!w->winner.route && !w->undecided.route) {
        *(c->gave_up ? &w->undecided : &w->winner) = *c;
    } else if (w->winner.route && c->route != w->winner.route) {
        c->lost = decided_by(a, &w->winner, c);
        keep(w->others, &w->num_others, &w->all_others, c);
    }
}

static bool lacks_one(unsigned missed)
{
    return missed && (missed & (missed - 1)) == 0;
}

void dp_router_why(const struct dp_router *r, const struct dp_match_input *in, struct sp_arena *a, struct dp_why *out)
{
    struct hosts h = {r, in->port, SP_NEW_N(a, uint8_t, r->num_rules + 1)};
    struct dp_candidate *all = SP_NEW_N(a, struct dp_candidate, r->num_rules + 1);
    uint32_t winner = r->num_rules;
    *out = (struct dp_why){0};
    dp_router_visit(&r->index, in->host, mark_bucket, &h);
    for (uint32_t rank = 0; rank < r->num_rules; rank++) {
        all[rank] = look_at(&r->rules[rank], in, h.fit[rank]);
        sort_in(out, a, &all[rank]);
        if (out->winner.route && winner == r->num_rules)
            winner = rank;
    }
    /* Whose host fits; others only where nobody won: they are the routes of somebody else. */
    for (int host = 1; host >= (out->winner.route ? 1 : 0); host--)
        for (uint32_t rank = 0; rank < winner; rank++)
            if (lacks_one(all[rank].missed) && (all[rank].missed != DP_MISS_HOST) == host &&
                all[rank].route != out->winner.route)
                keep(out->near, &out->num_near, &out->all_near, &all[rank]);
}
