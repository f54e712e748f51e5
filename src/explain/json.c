/* The explanation as JSON. Its fields are a contract: docs/explain.md. Values of the client's own fields are left out,
 * whatever they are: keys and cookies are among them. */
#include "base/json.h"
#include "explain/answer.h"

static void put(struct sp_json *j, const char *key, struct sp_str s)
{
    sp_json_key(j, key);
    if (s.len)
        sp_json_str(j, s);
    else
        sp_json_null(j);
}

static void put_list(struct sp_json *j, const char *key, const struct sp_str *v, size_t num)
{
    sp_json_key(j, key);
    sp_json_array(j);
    for (size_t i = 0; i < num; i++)
        sp_json_str(j, v[i]);
    sp_json_end_array(j);
}

static void put_words(struct sp_json *j, const char *key, char *const *v, size_t num)
{
    sp_json_key(j, key);
    sp_json_array(j);
    for (size_t i = 0; i < num; i++)
        sp_json_z(j, v[i]);
    sp_json_end_array(j);
}

/* --- in one line */

static struct sp_str consumer_name(const struct dp_consumer *c)
{
    return c->username.len ? c->username : c->custom_id.len ? c->custom_id : c->id;
}

static struct sp_str as_whom(const struct dp_explanation *e)
{
    const struct dp_consumer *c = e->call.consumer;
    if (!c)
        return e->call.has_credential ? SP_STR(", authenticated without a consumer") : SP_STR("");
    return sp_arena_printf(e->arena, ", as %s%.*s", e->call.has_credential ? "" : "the anonymous consumer ",
                           SP_FMT(consumer_name(c)));
}

static struct sp_str summary(const struct dp_explanation *e)
{
    const char *by = e->plugin ? e->plugin : "", *from = e->plugin ? " from " : "";
    if (e->end == DP_END_FORWARDED)
        return sp_arena_printf(e->arena, "forwarded to service %.*s%.*s", SP_FMT(e->admission.route->service->name),
                               SP_FMT(as_whom(e)));
    if (e->end == DP_END_UNDECIDED)
        return sp_arena_printf(e->arena, "undecided: %s: %.*s", by, SP_FMT(e->reason));
    const char *message = e->message ? e->message : sp_status_phrase(e->status);
    bool more = e->reason.len && !sp_str_eq(e->reason, sp_str_z(message));
    return sp_arena_printf(e->arena, "%u %s%s%s%s%.*s", e->status, message, from, by, more ? ": " : "",
                           SP_FMT(more ? e->reason : SP_STR("")));
}

static void put_end(const struct dp_explanation *e, struct sp_json *j)
{
    static const char *const words[] = {
        [DP_END_ANSWERED] = "answered", [DP_END_FORWARDED] = "forwarded", [DP_END_UNDECIDED] = "undecided"};
    sp_json_put_z(j, "outcome", words[e->end]);
    sp_json_key(j, "status");
    if (e->end == DP_END_ANSWERED)
        sp_json_int(j, e->status);
    else
        sp_json_null(j);
    sp_json_put_z(j, "message", e->message);
    put(j, "reason", e->reason);
    sp_json_put_z(j, "plugin", e->plugin);
    sp_json_put_str(j, "summary", summary(e));
    put_list(j, "hints", e->hints, e->num_hints);
    sp_json_put_int(j, "revision", e->snapshot->revision);
}

/* --- request and handshake */

static struct sp_str without_query(struct sp_str path)
{
    return sp_str_split(&path, '?');
}

static void put_request(const struct dp_explanation *e, struct sp_json *j)
{
    const struct sp_explain_question *q = e->q;
    sp_json_key(j, "request");
    sp_json_object(j);
    sp_json_put_str(j, "method", q->method);
    sp_json_put_z(j, "scheme", q->plain ? "http" : "https");
    sp_json_put_str(j, "host", q->host);
    sp_json_put_str(j, "path", without_query(q->path));
    sp_json_put_z(j, "http_version", q->http2 ? "2" : "1.1");
    put(j, "sni", q->sni);
    sp_json_put_str(j, "client_ip", q->client_ip);
    sp_json_put_bool(j, "peer_trusted", e->trusted);
    sp_json_end_object(j);
}

static void put_handshake(const struct dp_explanation *e, struct sp_json *j)
{
    struct sp_buf SP_AUTO(sp_buf_fini) answer = {0};
    sp_json_key(j, "handshake");
    if (e->q->plain) {
        sp_json_null(j);
        return;
    }
    sp_handshake_answer_json(&e->handshake, e->q->sni, &answer);
    sp_json_raw(j, sp_buf_str(&answer));
}

/* --- route */

static const struct {
    unsigned bit;
    const char *word;
} misses[] = {{DP_MISS_PROTOCOL, "protocols"}, {DP_MISS_HOST, "hosts"},     {DP_MISS_PATH, "paths"},
              {DP_MISS_METHOD, "methods"},     {DP_MISS_HEADER, "headers"}, {DP_MISS_SNI, "snis"}};

static void put_route_name(struct sp_json *j, const Sallyport__V1__Route *r)
{
    sp_json_put_z(j, "id", r->id);
    sp_json_put_z(j, "name", r->name);
}

static void put_headers(struct sp_json *j, const Sallyport__V1__Route *r)
{
    sp_json_key(j, "wants");
    sp_json_array(j);
    for (size_t h = 0; h < r->n_headers; h++)
        sp_json_z(j, r->headers[h]->key);
    sp_json_end_array(j);
}

/* What the route has where the request does not fit. */
static void put_wants(struct sp_json *j, const struct dp_candidate *c)
{
    const Sallyport__V1__Route *r = c->route;
    switch (c->missed) {
    case DP_MISS_PROTOCOL:
        put_words(j, "wants", r->protocols, r->n_protocols);
        break;
    case DP_MISS_HOST:
        put_words(j, "wants", r->hosts, r->n_hosts);
        break;
    case DP_MISS_PATH:
        put_words(j, "wants", r->paths, r->n_paths);
        break;
    case DP_MISS_METHOD:
        put_words(j, "wants", r->methods, r->n_methods);
        break;
    case DP_MISS_SNI:
        put_words(j, "wants", r->snis, r->n_snis);
        break;
    default:
        put_headers(j, r);
        break;
    }
}

static void put_near(const struct dp_explanation *e, struct sp_json *j)
{
    sp_json_key(j, "near_misses");
    sp_json_array(j);
    for (size_t i = 0; i < e->why.num_near; i++) {
        const struct dp_candidate *c = &e->why.near[i];
        sp_json_object(j);
        put_route_name(j, c->route);
        for (size_t m = 0; m < sizeof misses / sizeof *misses; m++)
            if (c->missed == misses[m].bit)
                sp_json_put_z(j, "lacks", misses[m].word);
        put_wants(j, c);
        sp_json_end_object(j);
    }
    sp_json_end_array(j);
    sp_json_put_int(j, "near_misses_total", (int64_t)e->why.all_near);
}

static void put_others(const struct dp_explanation *e, struct sp_json *j)
{
    sp_json_key(j, "over");
    sp_json_array(j);
    for (size_t i = 0; i < e->why.num_others; i++) {
        sp_json_object(j);
        put_route_name(j, e->why.others[i].route);
        put(j, "path", sp_str_z(e->why.others[i].path));
        put(j, "because", e->why.others[i].lost);
        sp_json_end_object(j);
    }
    sp_json_end_array(j);
    sp_json_put_int(j, "over_total", (int64_t)e->why.all_others);
}

static void put_route(const struct dp_explanation *e, struct sp_json *j)
{
    const struct dp_candidate *w = &e->why.winner;
    sp_json_key(j, "route");
    if (!w->route) {
        sp_json_null(j);
    } else {
        sp_json_object(j);
        put_route_name(j, w->route);
        sp_json_put_z(j, "workspace", w->route->ws);
        put(j, "matched_path", sp_str_z(w->path));
        put_others(e, j);
        sp_json_end_object(j);
    }
    put_near(e, j);
}

/* --- plugins */

static struct sp_str add_scope(struct sp_arena *a, struct sp_str all, const char *kind, struct sp_str name)
{
    return sp_arena_printf(a, "%.*s%s%s %.*s", SP_FMT(all), all.len ? ", " : "", kind, SP_FMT(name));
}

/* A list of plugins is of this route and its service only, so their names are at hand. */
static struct sp_str scope_of(const struct dp_explanation *e, const Sallyport__V1__Plugin *p)
{
    const struct dp_route *r = e->admission.route;
    struct sp_str all = SP_STR("");
    if (p->consumer) {
        const struct dp_consumer *c = dp_directory_consumer_id(e->snapshot->directory, sp_str_z(p->consumer->id));
        all = add_scope(e->arena, all, "consumer", c ? consumer_name(c) : sp_str_z(p->consumer->id));
    }
    if (p->consumer_group)
        all = add_scope(e->arena, all, "group", sp_str_z(p->consumer_group->name));
    if (p->route)
        all = add_scope(e->arena, all, "route", r->name);
    if (p->service && r->service)
        all = add_scope(e->arena, all, "service", r->service->name);
    return all.len ? all : SP_STR("global");
}

static void put_instances(const struct dp_explanation *e, struct sp_json *j, const struct dp_trace_step *s)
{
    sp_json_key(j, "instances");
    sp_json_array(j);
    for (size_t i = 0; i < s->num_instances; i++) {
        const Sallyport__V1__Plugin *p = s->instances[i].plugin;
        sp_json_object(j);
        sp_json_put_z(j, "id", p->id);
        sp_json_put_str(j, "scope", scope_of(e, p));
        sp_json_put_bool(j, "has_the_say", p == s->chosen);
        sp_json_put_z(j, "because", s->instances[i].unfit);
        sp_json_end_object(j);
    }
    sp_json_end_array(j);
}

static void put_step(const struct dp_explanation *e, struct sp_json *j, const struct dp_trace_step *s)
{
    static const char *const outcomes[] = {[DP_NOT_REACHED] = "not reached",
                                           [DP_SKIPPED] = "skipped",
                                           [DP_PASSED] = "passed",
                                           [DP_REPLIED] = "answered",
                                           [DP_WAITED] = "undecided"};
    sp_json_object(j);
    sp_json_put_z(j, "name", s->kind->name);
    sp_json_put_int(j, "priority", s->kind->priority);
    sp_json_put_z(j, "outcome", outcomes[s->outcome]);
    put(j, "scope", s->chosen ? scope_of(e, s->chosen) : SP_STR(""));
    put(j, "reason", s->reason);
    put_list(j, "notes", s->notes, s->num_notes);
    put_instances(e, j, s);
    sp_json_end_object(j);
}

static void put_plugins(const struct dp_explanation *e, struct sp_json *j)
{
    sp_json_key(j, "plugins");
    sp_json_array(j);
    for (size_t i = 0; e->ran && i < e->trace.num; i++)
        put_step(e, j, &e->trace.steps[i]);
    sp_json_end_array(j);
}

/* --- identity */

/* The step that judged a certificate: the one that found the consumer, else the last one that tried. */
static const struct dp_trace_step *judge_of(const struct dp_explanation *e)
{
    const struct dp_trace_step *found = NULL;
    for (size_t i = 0; i < e->trace.num; i++) {
        const struct dp_trace_step *s = &e->trace.steps[i];
        if (s->leaf.len || s->rule)
            found = s;
    }
    return found;
}

static void put_anchor(const struct dp_explanation *e, struct sp_json *j, struct sp_str id)
{
    const struct dp_ca *ca = id.len ? dp_directory_ca(e->snapshot->directory, id) : NULL;
    struct sp_cert_info info;
    sp_json_key(j, "anchor");
    if (!ca || sp_failed(sp_cert_read(ca->der, e->arena, &info, NULL))) {
        sp_json_null(j);
        return;
    }
    sp_json_object(j);
    sp_json_put_str(j, "id", id);
    sp_json_put_str(j, "subject", info.subject_dn);
    sp_json_end_object(j);
}

static void put_mapping(struct sp_json *j, const struct dp_trace_step *s)
{
    sp_json_key(j, "mapping");
    if (!s || !s->rule) {
        sp_json_null(j);
        return;
    }
    sp_json_object(j);
    sp_json_put_int(j, "step", s->rule);
    sp_json_put_z(j, "what", s->rule_what);
    put(j, "name", s->match);
    sp_json_end_object(j);
}

static void put_certificate(const struct dp_explanation *e, struct sp_json *j)
{
    const struct dp_trace_step *s = judge_of(e);
    struct sp_str leaf = s && s->leaf.len ? s->leaf : e->q->num_chain ? e->q->chain[0] : SP_STR("");
    struct sp_cert_info info;
    sp_json_key(j, "certificate");
    if (leaf.len == 0 || sp_failed(sp_cert_read(leaf, e->arena, &info, NULL))) {
        sp_json_null(j);
        return;
    }
    sp_json_object(j);
    sp_json_put_str(j, "subject", info.subject_dn);
    sp_json_put_str(j, "issuer", info.issuer_dn);
    sp_json_put_str(j, "serial", info.serial_hex);
    sp_json_put_int(j, "not_before", info.not_before);
    sp_json_put_int(j, "not_after", info.not_after);
    sp_json_put_bool(j, "shown", e->presented || (s && s->leaf.len));
    sp_json_key(j, "names");
    sp_json_array(j);
    for (size_t i = 0; s && s->names && i < s->num_names; i++)
        sp_json_str(j, s->names[i]);
    for (size_t i = 0; !(s && s->names) && i < info.num_names; i++)
        sp_json_str(j, info.names[i].text);
    sp_json_end_array(j);
    put_anchor(e, j, s ? s->anchor : SP_STR(""));
    sp_json_end_object(j);
}

static void put_consumer(const struct dp_explanation *e, struct sp_json *j)
{
    const struct dp_consumer *c = e->call.consumer;
    put_mapping(j, judge_of(e));
    put_list(j, "authenticated_groups", e->call.authenticated_groups, e->call.num_authenticated_groups);
    sp_json_key(j, "consumer");
    if (!c) {
        sp_json_null(j);
        return;
    }
    sp_json_object(j);
    sp_json_put_str(j, "id", c->id);
    put(j, "username", c->username);
    put(j, "custom_id", c->custom_id);
    sp_json_put_bool(j, "anonymous", !e->call.has_credential);
    put(j, "credential", e->call.credential_id);
    put_list(j, "groups", c->groups, c->num_groups);
    put_list(j, "acl_groups", c->acl_groups, c->num_acl_groups);
    sp_json_end_object(j);
}

/* --- upstream */

static bool is_clients(const struct dp_explanation *e, struct sp_str value)
{
    for (size_t i = 0; i < e->num_sent; i++)
        if (value.p == e->sent[i].p && value.len == e->sent[i].len)
            return true;
    return false;
}

static void put_field(const struct dp_explanation *e, struct sp_json *j, const struct sp_field *f)
{
    bool clients = is_clients(e, f->value), each = f->value.p == e->admission.request_id;
    sp_json_object(j);
    sp_json_put_str(j, "name", f->name);
    sp_json_key(j, "value");
    if (clients || each)
        sp_json_null(j);
    else
        sp_json_str(j, f->value);
    sp_json_put_z(j, "from", clients ? "client" : each ? "each request" : "sallyport");
    sp_json_end_object(j);
}

static void put_targets(struct sp_json *j, const struct dp_service *s)
{
    sp_json_key(j, "targets");
    sp_json_array(j);
    for (size_t i = 0; i < s->num_targets; i++) {
        sp_json_object(j);
        sp_json_put_str(j, "host", s->targets[i].host);
        sp_json_put_int(j, "port", s->targets[i].port);
        sp_json_put_int(j, "weight", s->targets[i].weight);
        sp_json_end_object(j);
    }
    sp_json_end_array(j);
}

static void put_upstream(const struct dp_explanation *e, struct sp_json *j)
{
    const struct dp_admission *a = &e->admission;
    const struct dp_service *s = a->route ? a->route->service : NULL;
    sp_json_key(j, "upstream");
    if (e->end == DP_END_ANSWERED || !s) {
        sp_json_null(j);
        return;
    }
    bool preserve = a->route->conf->preserve_host;
    struct sp_str path = dp_admit_target(e->arena, a->route, e->head.target, a->path, a->matched_prefix, SP_STR(""));
    sp_json_object(j);
    sp_json_put_str(j, "service", s->name);
    sp_json_put_str(
        j, "url",
        sp_arena_printf(e->arena, "%s://%s:%d%.*s", s->conf->protocol, s->conf->host, s->conf->port, SP_FMT(path)));
    sp_json_put_z(j, "query",
                  !a->query.len                        ? "none"
                  : sp_str_eq(e->call.query, a->query) ? "as the client sent it"
                                                       : "changed by a plugin");
    sp_json_put_str(j, "host", preserve ? e->head.authority : s->host_header);
    put_targets(j, s);
    sp_json_key(j, "fields");
    sp_json_array(j);
    for (uint32_t i = 0; i < e->head.fields.len; i++)
        if (!e->head.fields.v[i].removed)
            put_field(e, j, &e->head.fields.v[i]);
    sp_json_end_array(j);
    sp_json_end_object(j);
}

void dp_explain_write(const struct dp_explanation *e, struct sp_buf *json)
{
    struct sp_json j = sp_json(json);
    sp_json_object(&j);
    put_end(e, &j);
    put_request(e, &j);
    put_handshake(e, &j);
    put_route(e, &j);
    put_plugins(e, &j);
    put_certificate(e, &j);
    put_consumer(e, &j);
    put_upstream(e, &j);
    sp_json_end_object(&j);
}
