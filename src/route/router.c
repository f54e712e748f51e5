#include "route/router.h"
#include "route/criteria.h"
#include "route/index.h"

#include <stdlib.h>

/* One path of one route (or the route itself when it has none). */
struct rule {
    const struct dp_criteria *criteria;
    const struct dp_regex *regex; /* NULL: a plain prefix, which the index has compared already */
    uint32_t path_len;            /* of the plain prefix */
};

struct dp_router {
    struct rule *rules; /* by rank */
    uint32_t num_rules;
    struct dp_index index;
};

/* --- compile --- */

struct draft {
    struct rule rule;
    uint64_t priority;
    const Sallyport__V1__Route *route;
    struct sp_str literal; /* what a path must begin with */
    uint32_t order;        /* of the path within its route */
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

/* kong-behaviour 4.2, traditional_compatible: kinds of criteria (3 bits), plain hosts only (1), number of headers (8),
 * has a regex path (1), regex_priority (32), length of the plain path (19). */
static uint64_t priority_of(const Sallyport__V1__Route *r, const char *path)
{
    uint64_t kinds = (r->n_methods > 0) + (r->n_hosts > 0) + (r->n_headers > 0) + (r->n_snis > 0) + (path != NULL);
    uint64_t headers = r->n_headers > 255 ? 255 : r->n_headers;
    bool regex = path && path[0] == '~';
    uint64_t regex_priority = regex ? (uint32_t)r->regex_priority ^ 0x80000000u : 0; /* signed order as unsigned */
    size_t len = path && !regex ? strlen(path) : 0;
    uint64_t length = len > 0x7ffff ? 0x7ffff : len;
    return kinds << 61 | (uint64_t)only_plain_hosts(r) << 60 | headers << 52 | (uint64_t)regex << 51 |
           regex_priority << 19 | length;
}

static int by_rank(const void *x, const void *y)
{
    const struct draft *a = x, *b = y;
    if (a->priority != b->priority)
        return a->priority > b->priority ? -1 : 1;
    if (a->route->created_at != b->route->created_at)
        return a->route->created_at < b->route->created_at ? -1 : 1;
    int c = sp_str_cmp(sp_str_z(a->route->id), sp_str_z(b->route->id));
    return c ? c : (a->order > b->order) - (a->order < b->order);
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
    struct draft draft = {.rule = {.criteria = c},
                          .priority = priority_of(route, path),
                          .route = route,
                          .literal = sp_str("", 0),
                          .order = (uint32_t)order};
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
    r->rules = SP_NEW_N(a, struct rule, d->num + 1);
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

static enum dp_regex_answer rule_matches(const struct rule *rule, const struct dp_match_input *in, size_t *end)
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

static void search_bucket(struct search *s, const struct dp_bucket *b)
{
    if (!b)
        return;
    for (uint32_t n = dp_bucket_find(b, s->in->path); n != DP_NO_NODE; n = b->nodes[n].parent)
        search_node(s, &b->nodes[n]);
}

static void search_wildcards(struct search *s, struct sp_str host)
{
    const struct dp_index *x = &s->router->index;
    bool suffixes = sp_map_len(x->suffix) != 0, prefixes = sp_map_len(x->prefix) != 0;
    if (!suffixes && !prefixes)
        return;
    for (size_t i = 1; i + 1 < host.len; i++) { /* the star stands for at least one byte */
        if (host.p[i] != '.')
            continue;
        if (suffixes)
            search_bucket(s, sp_map_get(x->suffix, sp_str_skip(host, i)));
        if (prefixes)
            search_bucket(s, sp_map_get(x->prefix, sp_str(host.p, i + 1)));
    }
}

bool dp_router_match(const struct dp_router *r, const struct dp_match_input *in, struct dp_match *out)
{
    struct search s = {.router = r, .in = in, .best = UINT32_MAX, .gave_up = UINT32_MAX};
    if (in->host.len) {
        search_bucket(&s, sp_map_get(r->index.exact, in->host));
        search_wildcards(&s, in->host);
        search_bucket(&s, r->index.star);
    }
    search_bucket(&s, r->index.any_host);
    /* Where a better rule could not be decided, the next one could be a laxer one: no match. */
    if (s.best == UINT32_MAX || s.gave_up < s.best)
        return false;
    out->target = r->rules[s.best].criteria->target;
    out->matched_prefix = sp_str(in->path.p, s.matched);
    return true;
}
