/* From a head to a route that lets it in: target and host, route, what its protocols demand, plugins, and the 421 of
 * DESIGN section 4. */
#include "proxy/exchange.h"

static bool split_target(struct dp_exchange *x)
{
    struct sp_str target = x->request.target;
    const char *mark = memchr(target.p, '?', target.len);
    size_t path_len = mark ? (size_t)(mark - target.p) : target.len;
    x->query = sp_str_skip(target, path_len);
    return dp_path_normalise(x->arena, sp_str(target.p, path_len), &x->path);
}

static struct sp_str lower(struct sp_arena *a, struct sp_str s)
{
    struct sp_str out = sp_arena_dup(a, s);
    for (size_t i = 0; i < out.len; i++)
        ((char *)(uintptr_t)out.p)[i] = (char)sp_lower((unsigned char)out.p[i]);
    return out;
}

/* Host as the router, the handshake map and the 421 check see it; IP literals are compared as text. */
static bool split_host(struct dp_exchange *x, struct sp_str *host, uint16_t *port)
{
    struct sp_str name;
    char *text = sp_arena_alloc_raw(x->arena, SP_HOST_MAX + 1);
    size_t len;
    *port = 0;
    *host = (struct sp_str){"", 0};
    if (x->request.authority.len == 0)
        return x->request.version == SP_HTTP_10;
    if (!sp_host_split(x->request.authority, &name, port))
        return false;
    *host = sp_host_normalise(name, text, &len) ? sp_str(text, len) : lower(x->arena, name);
    return true;
}

static bool is_grpc(const struct sp_fields *fields)
{
    const struct sp_field *f = sp_fields_find_id(fields, SP_FIELD_CONTENT_TYPE);
    return f && sp_str_starts(f->value, SP_STR("application/grpc"));
}

static bool find_route(const struct dp_exchange *x, struct sp_str host, uint16_t port, struct sp_str sni,
                       struct dp_match *out)
{
    const struct sp_peer *peer = x->conn->tls ? sp_tls_peer(x->conn->tls) : NULL;
    struct dp_match_input in = {
        .method = x->request.method,
        .host = host,
        .path = x->path,
        .sni = sni,
        .port = port   ? port
                : peer ? 443
                       : 80,
        .tls = peer != NULL,
        .grpc = x->grpc,
        .fields = &x->request.fields,
    };
    return dp_router_match(x->epoch->snapshot->router, &in, out);
}

/* Also the phase gap: a route of names that this connection did not name is not found on it, but a new connection would
 * be asked for a certificate and find it. */
static bool is_found_elsewhere(const struct dp_exchange *x, struct sp_str host, uint16_t port)
{
    const struct sp_peer *peer = x->conn->tls ? sp_tls_peer(x->conn->tls) : NULL;
    struct sp_handshake_policy p;
    struct dp_match m;
    if (!peer || sp_str_eq(peer->sni, host) || !find_route(x, host, port, host, &m))
        return false;
    sp_tls_names_policy(x->epoch->snapshot->names, host, &p);
    return p.ask && p.policy != peer->policy;
}

static void reply_with(struct dp_exchange *x, unsigned status, const char *message, struct sp_str name,
                       struct sp_str value)
{
    sp_fields_add(&x->call.reply_fields, x->arena, SP_FIELD_OTHER, name, value);
    dp_exchange_reply(x, status, message);
}

static void reply_misdirected(struct dp_exchange *x)
{
    dp_count(&x->worker->counters.misdirected_total, 1);
    reply_with(x, 421, NULL, SP_STR("Cache-Control"), SP_STR("no-store"));
}

/* False: answered. */
static bool match_route(struct dp_exchange *x, struct sp_str host, uint16_t port)
{
    const struct sp_peer *peer = x->conn->tls ? sp_tls_peer(x->conn->tls) : NULL;
    struct dp_match m;
    if (find_route(x, host, port, peer ? peer->sni : (struct sp_str){0}, &m)) {
        x->route = m.target;
        x->matched_prefix = m.matched_prefix;
        return true;
    }
    if (is_found_elsewhere(x, host, port))
        reply_misdirected(x);
    else
        dp_exchange_reply(x, 404, "no Route matched with those values");
    return false;
}

static bool has_protocol(const Sallyport__V1__Route *r, const char *name)
{
    for (size_t i = 0; i < r->n_protocols; i++)
        if (strcmp(r->protocols[i], name) == 0)
            return true;
    return false;
}

static void redirect_to_https(struct dp_exchange *x)
{
    unsigned status = (unsigned)x->route->conf->https_redirect_status_code;
    struct sp_str host = x->request.authority, name;
    uint16_t port;
    if (sp_host_split(host, &name, &port))
        host = name;
    if (status != 426) {
        reply_with(x, status, NULL, SP_STR("Location"),
                   sp_arena_printf(x->arena, "https://%.*s%.*s", SP_FMT(host), SP_FMT(x->request.target)));
        return;
    }
    x->request.keep_alive = false;
    x->upgrade_offer = SP_STR("TLS/1.2, HTTP/1.1");
    dp_exchange_reply(x, 426, "Please use HTTPS protocol");
}

/* A trusted peer says, once and nothing else, that the client came by https (kong-behaviour 6.3). */
static bool is_believed_https(const struct dp_exchange *x)
{
    const struct sp_fields *f = &x->request.fields;
    unsigned said = 0, https = 0;
    for (uint32_t i = 0; x->conn->trusted && i < f->len; i++)
        if (f->v[i].id == SP_FIELD_X_FORWARDED_PROTO && !f->v[i].removed) {
            said++;
            https += sp_str_ieq(f->v[i].value, SP_STR("https"));
        }
    return said == 1 && https == 1;
}

/* What the route demands of the protocol (kong-behaviour 6.4). False: answered. */
static bool protocol_fits(struct dp_exchange *x)
{
    const Sallyport__V1__Route *r = x->route->conf;
    bool grpc_route = has_protocol(r, "grpc") || has_protocol(r, "grpcs");
    bool tls = x->conn->tls != NULL;
    if (!grpc_route && !tls && !has_protocol(r, "http") && !is_believed_https(x)) {
        redirect_to_https(x);
        return false;
    }
    if (grpc_route && !x->grpc) {
        dp_exchange_reply(x, 415, "Non-gRPC request matched gRPC route");
        return false;
    }
    if (grpc_route && !tls && !has_protocol(r, "grpc")) { /* never served below the protection that it asks for */
        dp_exchange_reply(x, 499, "gRPC request matched gRPCs route");
        return false;
    }
    if (grpc_route && x->request.version != SP_HTTP_2) {
        x->upgrade_offer = SP_STR("HTTP/2");
        dp_exchange_reply(x, 426, "Please use HTTP2 protocol");
        return false;
    }
    return true;
}

static void fill_call(struct dp_exchange *x)
{
    struct dp_call *call = &x->call;
    call->arena = x->arena;
    call->clock = x->worker->clock;
    call->cache = x->epoch->cache;
    call->directory = x->epoch->snapshot->directory;
    call->fetcher = x->worker->fetcher;
    call->revocations = x->worker->revocations;
    call->resume = dp_exchange_resume;
    call->request = &x->request;
    call->peer = x->conn->tls ? sp_tls_peer(x->conn->tls) : NULL;
    call->request_id = x->request_id;
    call->ws = sp_str_z(x->route->conf->ws);
    call->grpc = x->grpc;
    call->query = x->query;
    const struct sp_field *real = sp_fields_find_id(&x->request.fields, SP_FIELD_X_REAL_IP); /* ours, or believed */
    call->client_ip = real ? real->value : sp_str_z(x->conn->ip);
    call->peer_trusted = x->conn->trusted;
}

/* The phase gap (DESIGN section 4): a refusal for want of a certificate becomes 421 exactly when a new connection to
 * this Host would be asked in another way than this one was; then a client that retries can succeed. */
static bool is_misdirected(const struct dp_exchange *x, struct sp_str host)
{
    const struct dp_call *call = &x->call;
    struct sp_handshake_policy p;
    if (!call->wants_certificate)
        return false;
    sp_tls_names_policy(x->epoch->snapshot->names, host, &p);
    return p.ask && p.policy != call->peer->policy;
}

/* False: answered, or paused. */
static bool act(struct dp_exchange *x, enum dp_verdict verdict, struct sp_str host)
{
    if (verdict == DP_NEXT)
        return true;
    if (verdict == DP_PAUSE) {
        x->state = DP_EX_PAUSED;
        return false;
    }
    dp_count(&x->worker->counters.unauthorized_total, x->call.reply_status == 401);
    if (is_misdirected(x, host)) {
        reply_misdirected(x);
        return false;
    }
    dp_exchange_reply(x, x->call.reply_status, x->call.reply_message);
    return false;
}

bool dp_exchange_admit(struct dp_exchange *x)
{
    struct sp_str host;
    uint16_t port;
    x->grpc = is_grpc(&x->request.fields);
    if (!split_target(x) || !split_host(x, &host, &port)) {
        dp_exchange_reply(x, 400, NULL);
        return false;
    }
    if (!match_route(x, host, port) || !protocol_fits(x))
        return false;
    dp_forward_prepare(x);
    fill_call(x);
    return act(x, dp_chain_access(x->route->chain, &x->call, x->conn->tls != NULL), host);
}

bool dp_exchange_readmit(struct dp_exchange *x)
{
    struct sp_str host;
    uint16_t port;
    bool good = split_host(x, &host, &port);
    sp_assert(good); /* it was, before the pause */
    return act(x, dp_chain_resume(x->route->chain, &x->call, x->conn->tls != NULL), host);
}
