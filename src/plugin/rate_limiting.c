/* rate-limiting, policy local: so many requests in a second, minute, hour, day, month or year, of a consumer, an
 * address or what else the config says. The counters are this data plane's, of all its workers. */
#include "plugin/kinds.h"
#include "plugin/rate_table.h"
#include "plugin/trace.h"

#include <time.h>

enum { SECOND, MINUTE, HOUR, DAY, MONTH, YEAR, NUM_PERIODS };
enum limit_by { BY_CONSUMER, BY_CREDENTIAL, BY_IP, BY_HEADER, BY_PATH, BY_SERVICE, BY_CONSUMER_GROUP };

static const struct {
    struct sp_str limit, remaining; /* names of response fields */
} fields[NUM_PERIODS] = {
    [SECOND] = {{"X-RateLimit-Limit-Second", 24}, {"X-RateLimit-Remaining-Second", 28}},
    [MINUTE] = {{"X-RateLimit-Limit-Minute", 24}, {"X-RateLimit-Remaining-Minute", 28}},
    [HOUR] = {{"X-RateLimit-Limit-Hour", 22}, {"X-RateLimit-Remaining-Hour", 26}},
    [DAY] = {{"X-RateLimit-Limit-Day", 21}, {"X-RateLimit-Remaining-Day", 25}},
    [MONTH] = {{"X-RateLimit-Limit-Month", 23}, {"X-RateLimit-Remaining-Month", 27}},
    [YEAR] = {{"X-RateLimit-Limit-Year", 22}, {"X-RateLimit-Remaining-Year", 26}},
};

struct rate_limiting {
    uint64_t id;                  /* of the plugin: keeps its counters apart, and across configurations */
    uint32_t limits[NUM_PERIODS]; /* 0: none */
    enum limit_by by;
    struct sp_str header, path;
    struct sp_str group; /* that the plugin stands on; empty: none */
    unsigned status;
    const char *message;
    bool hide;
};

static sp_result read_limit_by(const Sallyport__V1__RateLimitingConfig *c, struct rate_limiting *out,
                               struct sp_error *err)
{
    static const char *const words[] = {"consumer", "credential", "ip", "header", "path", "service", "consumer-group"};
    if (strcmp(c->policy, "local") != 0)
        return sp_fail(err, SP_E_INVALID, "config.policy: expected local");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(c->limit_by, words[i]) != 0)
            continue;
        out->by = (enum limit_by)i;
        if ((out->by == BY_HEADER && !out->header.len) || (out->by == BY_PATH && !out->path.len))
            return sp_fail(err, SP_E_INVALID, "config.%s: required field missing",
                           out->by == BY_PATH ? "path" : "header_name");
        return sp_ok();
    }
    return sp_fail(err, SP_E_INVALID,
                   "config.limit_by: expected one of: consumer, consumer-group, credential, header, ip, path, service");
}

static sp_result compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err)
{
    (void)d;
    const Sallyport__V1__RateLimitingConfig *c = p->rate_limiting;
    const int32_t limits[] = {c->second, c->minute, c->hour, c->day, c->month, c->year};
    struct rate_limiting *out = SP_NEW(a, struct rate_limiting);
    *instance = out;
    bool any = false;
    for (size_t i = 0; i < NUM_PERIODS; i++) {
        out->limits[i] = limits[i] > 0 ? (uint32_t)limits[i] : 0;
        any |= limits[i] > 0;
    }
    if (!any || c->error_code < 200 || c->error_code > 599)
        return sp_fail(err, SP_E_INVALID, any ? "config.error_code: expected 200 to 599" : "config: no limit is set");
    out->id = sp_str_hash(sp_str_z(p->id));
    out->header = sp_arena_dup(a, sp_str_z(c->header_name));
    out->path = sp_arena_dup(a, sp_str_z(c->path));
    out->group = sp_arena_dup(a, sp_str_z(p->consumer_group ? p->consumer_group->name : NULL));
    out->status = (unsigned)c->error_code;
    out->message = sp_arena_strdup(a, c->error_message);
    out->hide = c->hide_client_headers;
    return read_limit_by(c, out, err);
}

/* The group that the plugin stands on, or else the first by name that the consumer is in. */
static struct sp_str group_of(const struct rate_limiting *r, const struct dp_call *call)
{
    if (r->group.len || !call->consumer || call->consumer->num_groups == 0)
        return r->group;
    struct sp_str first = call->consumer->groups[0];
    for (size_t i = 1; i < call->consumer->num_groups; i++)
        if (sp_str_cmp(call->consumer->groups[i], first) < 0)
            first = call->consumer->groups[i];
    return first;
}

/* What the request counts for; empty: nobody and nothing in particular. */
static struct sp_str identify(const struct rate_limiting *r, const struct dp_call *call)
{
    const struct sp_field *f;
    switch (r->by) {
    case BY_CONSUMER:
        return call->consumer ? call->consumer->id : call->credential_id;
    case BY_CREDENTIAL:
        return call->credential_id;
    case BY_HEADER:
        f = sp_fields_find(&call->request->fields, r->header);
        return f ? f->value : sp_str("", 0);
    case BY_PATH:
        return sp_str_eq(call->path, r->path) ? r->path : sp_str("", 0);
    case BY_SERVICE:
        return sp_str_z(call->service ? call->service->id : NULL);
    case BY_CONSUMER_GROUP:
        return group_of(r, call);
    default:
        return sp_str("", 0);
    }
}

/* End of the period that `now` is in: periods begin where the calendar's do, in UTC. */
static int64_t window_end(int period, int64_t now)
{
    static const int64_t lengths[] = {[SECOND] = 1, [MINUTE] = 60, [HOUR] = 3600, [DAY] = 86400};
    if (period < MONTH)
        return now - now % lengths[period] + lengths[period];
    time_t t = (time_t)now;
    struct tm tm;
    gmtime_r(&t, &tm);
    tm = (struct tm){
        .tm_year = tm.tm_year + (period == YEAR), .tm_mon = period == YEAR ? 0 : tm.tm_mon + 1, .tm_mday = 1};
    return (int64_t)timegm(&tm);
}

static void tell(struct dp_call *call, struct sp_str name, uint64_t value)
{
    sp_fields_add(&call->response_fields, call->arena, SP_FIELD_OTHER, name,
                  sp_arena_printf(call->arena, "%llu", (unsigned long long)value));
}

struct standing {
    uint64_t keys[NUM_PERIODS];
    int64_t ends[NUM_PERIODS];
    uint32_t used[NUM_PERIODS];
    bool exceeded;
};

static void look_up(const struct rate_limiting *r, struct sp_str who, int64_t now, struct standing *s)
{
    uint64_t h = sp_str_hash(who) ^ (r->id << 1 | r->id >> 63);
    for (int p = 0; p < NUM_PERIODS; p++) {
        if (!r->limits[p])
            continue;
        s->keys[p] = (h ^ (uint64_t)(p + 1)) * 0x9e3779b97f4a7c15u;
        s->ends[p] = window_end(p, now);
        s->used[p] = dp_rate_count(s->keys[p], s->ends[p]);
        s->exceeded |= s->used[p] >= r->limits[p];
    }
}

/* Kong's fields: one pair for each period, and the draft's three for the period with the least left, the longest of
 * such. */
static void publish(const struct rate_limiting *r, struct dp_call *call, const struct standing *s, int64_t now)
{
    int least = -1;
    uint32_t least_left = 0;
    for (int p = 0; p < NUM_PERIODS; p++) {
        if (!r->limits[p])
            continue;
        uint32_t used = s->used[p] + !s->exceeded, left = used < r->limits[p] ? r->limits[p] - used : 0;
        tell(call, fields[p].limit, r->limits[p]);
        tell(call, fields[p].remaining, left);
        if (least < 0 || left <= least_left) {
            least = p;
            least_left = left;
        }
    }
    uint64_t reset = (uint64_t)(s->ends[least] - now);
    tell(call, SP_STR("RateLimit-Limit"), r->limits[least]);
    tell(call, SP_STR("RateLimit-Remaining"), least_left);
    tell(call, SP_STR("RateLimit-Reset"), reset);
    if (s->exceeded)
        tell(call, SP_STR("Retry-After"), reset);
}

static enum dp_verdict access(const void *instance, struct dp_call *call)
{
    const struct rate_limiting *r = instance;
    int64_t now = sp_clock_wall_s(call->clock);
    struct standing s = {.exceeded = false};
    struct sp_str who = identify(r, call);
    look_up(r, who.len ? who : call->client_ip, now, &s);
    if (!r->hide)
        publish(r, call, &s, now);
    if (s.exceeded)
        return dp_reply(call, r->status, r->message);
    if (call->trace)
        dp_note(call, "this request is not counted");
    for (int p = 0; p < NUM_PERIODS; p++)
        if (r->limits[p] && !call->trace)
            dp_rate_add(s.keys[p], s.ends[p], now);
    return DP_NEXT;
}

const struct dp_plugin_kind dp_rate_limiting = {
    DP_KIND(rate_limiting),
    .compile = compile,
    .access = access,
};
