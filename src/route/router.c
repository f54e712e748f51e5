#include "route/rules.h"

#include <stdlib.h>

/* --- compile --- */

struct draft {
    struct dp_rule rule;
    uint64_t priority;
    const Sallyport__V1__Route *route;
    struct sp_str literal; /* what a path must begin with */
};

struct drafts {
    struct draft *v;
    size_t num, cap;
    struct sp_map *regexes; /* pattern to dp_regex: equal ones are compiled once */
    struct sp_arena *scratch;
};

static bool only_plain_hosts(const Sallyport__V1__Route *r)
{
    for (size_t i = 0; i < r->n_hosts; i++)
        if (strchr(r->hosts[i], '*'))
            return false;
    return r->n_hosts > 0;
}

struct dp_weight dp_weigh(const Sallyport__V1__Route *r, const char *path)
{
    bool regex = path && path[0] == '~';
    return (struct dp_weight){
        .kinds = (r->n_methods > 0) + (r->n_hosts > 0) + (r->n_headers > 0) + (r->n_snis > 0) + (path != NULL),
        .plain_hosts = only_plain_hosts(r),
        .headers = r->n_headers > 255 ? 255 : (unsigned)r->n_headers,
        .regex = regex,
        .regex_priority = regex ? r->regex_priority : INT32_MIN,
        .length = path && !regex ? strlen(path) : 0,
    };
}

/* kong-behaviour 4.2, traditional_compatible: kinds of criteria (3 bits), plain hosts only (1), number of headers (8),
 * has a regex path (1), regex_priority (32), length of the plain path (19). */
static uint64_t priority_of(const Sallyport__V1__Route *r, const char *path)
{
    struct dp_weight w = dp_weigh(r, path);
    uint64_t regex_priority = (uint32_t)w.regex_priority ^ 0x80000000u; /* signed order as unsigned */
    uint64_t length = w.length > 0x7ffff ? 0x7ffff : w.length;
    return (uint64_t)w.kinds << 61 | (uint64_t)w.plain_hosts << 60 | (uint64_t)w.headers << 52 |
           (uint64_t)w.regex << 51 | regex_priority << 19 | length;
}

static int by_rank(const void *x, const void *y)
{
    const struct draft *a = x, *b = y;
    if (a->priority != b->priority)
        return a->priority > b->priority ? -1 : 1;
    if (a->route->created_at != b->route->created_at)
        return a->route->created_at < b->route->created_at ? -1 : 1;
    int c = sp_str_cmp(sp_str_z(a->route->id), sp_str_z(b->route->id));
    return c ? c : (a->rule.order > b->rule.order) - (a->rule.order < b->rule.order);
}

static sp_result regex_of(struct sp_arena *a, struct drafts *d, struct sp_str pattern, const struct dp_regex **out,
                          struct sp_error *err)
{
    struct dp_regex *re = sp_map_get(d->regexes, pattern);
    if (!re) {
        SP_TRY(dp_regex_compile(a, pattern, DP_REGEX_ANCHORED, &re, err));
        sp_map_put(d->regexes, pattern, re);
    }
    *out = re;
    return sp_ok();
}

static sp_result add_draft(struct sp_arena *a, struct drafts *d, const struct dp_criteria *c,
                           const Sallyport__V1__Route *route, size_t order, struct sp_error *err)
{
    const char *path = route->n_paths ? route->paths[order] : NULL;
    struct draft draft = {.rule = {.criteria = c, .order = (uint32_t)order},
                          .priority = priority_of(route, path),
                          .route = route,
                          .literal = sp_str("", 0)};
    if (path && path[0] == '~') {
        struct sp_str pattern = sp_str_z(path + 1);
        if (sp_failed(regex_of(a, d, pattern, &draft.rule.regex, err)))
            return sp_fail_in(err, "paths[%zu]", order);
        draft.literal = dp_regex_literal(pattern);
    } else if (path) {
        draft.literal = sp_str_z(path);
        draft.rule.path_len = (uint32_t)draft.literal.len;
    }
    if (d->num == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 64;
        d->v = sp_realloc(d->v, d->cap * sizeof *d->v);
    }
    d->v[d->num++] = draft;
    return sp_ok();
}

static sp_result draft_all(struct sp_arena *a, const struct dp_route_spec *v, size_t num, struct drafts *d,
                           struct sp_error *err)
{
    struct dp_criteria *criteria = SP_NEW_N(a, struct dp_criteria, num + 1);
    for (size_t i = 0; i < num; i++) {
        const Sallyport__V1__Route *r = v[i].route;
        if (sp_failed(dp_criteria_compile(a, r, &criteria[i], err)))
            return sp_fail_in(err, "route %s", r->id ? r->id : "?");
        criteria[i].target = v[i].target;
        for (size_t p = 0; p < (r->n_paths ? r->n_paths : 1); p++)
            if (sp_failed(add_draft(a, d, &criteria[i], r, p, err)))
                return sp_fail_in(err, "route %s", r->id ? r->id : "?");
    }
    return sp_ok();
}

static void index_all(struct sp_arena *a, struct drafts *d, struct dp_router *r)
{
    if (d->num)
        qsort(d->v, d->num, sizeof *d->v, by_rank);
    sp_assert(d->num < UINT32_MAX);
    r->num_rules = (uint32_t)d->num;
    r->rules = SP_NEW_N(a, struct dp_rule, d->num + 1);
    struct dp_index_builder *b = dp_index_builder_new(a);
    for (uint32_t rank = 0; rank < r->num_rules; rank++) {
        const struct draft *draft = &d->v[rank];
        r->rules[rank] = draft->rule;
        for (size_t h = 0; h < draft->route->n_hosts; h++)
            dp_index_add(b, sp_str_z(draft->route->hosts[h]), draft->literal, rank);
        if (draft->route->n_hosts == 0)
            dp_index_add(b, sp_str("", 0), draft->literal, rank);
    }
    dp_index_build(b, &r->index);
    dp_index_builder_free(b);
}

sp_result dp_router_compile(struct sp_arena *a, const struct dp_route_spec *v, size_t num, struct dp_router **out,
                            struct sp_error *err)
{
    struct drafts d = {.scratch = sp_arena_new(4096)};
    d.regexes = sp_map_new(d.scratch, 16);
    sp_result result = draft_all(a, v, num, &d, err);
    if (!sp_failed(result)) {
        *out = SP_NEW(a, struct dp_router);
        index_all(a, &d, *out);
    }
    free(d.v);
    sp_arena_free(d.scratch);
    return result;
}

/* --- match --- */

struct search {
    const struct dp_router *router;
    const struct dp_match_input *in;
    uint32_t best, gave_up; /* lowest ranks that matched, and that nobody knows of */
    size_t matched;         /* bytes of path that the best one took */
};

static enum dp_regex_answer rule_matches(const struct dp_rule *rule, const struct dp_match_input *in, size_t *end)
{
    *end = rule->path_len;
    enum dp_regex_answer answer = dp_criteria_match(rule->criteria, in);
    if (answer != DP_REGEX_YES || !rule->regex)
        return answer;
    return dp_regex_match(rule->regex, in->path, end);
}

/* Entries stand by rank, so the first match is the best one and anything behind a better rank is not looked at. */
static void search_node(struct search *s, const struct dp_index_node *node)
{
    const struct dp_index_entry *e = s->router->index.entries + node->first;
    for (uint32_t i = 0; i < node->num && e[i].rank < s->best; i++) {
        if (e[i].port && e[i].port != s->in->port)
            continue;
        size_t end;
        enum dp_regex_answer answer = rule_matches(&s->router->rules[e[i].rank], s->in, &end);
        if (answer == DP_REGEX_GAVE_UP && e[i].rank < s->gave_up)
            s->gave_up = e[i].rank;
        if (answer != DP_REGEX_YES)
            continue;
        s->best = e[i].rank;
        s->matched = end;
        return;
    }
}

static void search_bucket(void *ctx, const struct dp_bucket *b)
{
    struct search *s = ctx;
    for (uint32_t n = dp_bucket_find(b, s->in->path); n != DP_NO_NODE; n = b->nodes[n].parent)
        search_node(s, &b->nodes[n]);
}

bool dp_router_match(const struct dp_router *r, const struct dp_match_input *in, struct dp_match *out)
{
    struct search s = {.router = r, .in = in, .best = UINT32_MAX, .gave_up = UINT32_MAX};
    dp_router_visit(&r->index, in->host, search_bucket, &s);
    /* Where a better rule could not be decided, the next one could be a laxer one: no match. */
    if (s.best == UINT32_MAX || s.gave_up < s.best)
        return false;
    out->target = r->rules[s.best].criteria->target;
    out->matched_prefix = sp_str(in->path.p, s.matched);
    return true;
}
