#include "admit/admit.h"

const char dp_admit_no_service[] = "no Service found with those values";
const char dp_admit_no_target[] = "failure to get a peer from the ring-balancer";

/* Gives false, so that a check can end with it. */
static bool answer(struct dp_admission *a, unsigned status, const char *message)
{
    a->status = status;
    a->message = message;
    return false;
}

static bool answer_with(struct dp_admission *a, unsigned status, struct sp_str name, struct sp_str value)
{
    a->field_name = name;
    a->field_value = value;
    return answer(a, status, NULL);
}

static bool answer_misdirected(struct dp_admission *a)
{
    return answer_with(a, 421, SP_STR("Cache-Control"), SP_STR("no-store"));
}

/* --- target and host --- */

static bool split_target(struct dp_admission *a)
{
    struct sp_str target = a->request->target;
    const char *mark = memchr(target.p, '?', target.len);
    size_t path_len = mark ? (size_t)(mark - target.p) : target.len;
    a->query = sp_str_skip(target, path_len);
    return dp_path_normalise(a->arena, sp_str(target.p, path_len), &a->path);
}

static struct sp_str lower(struct sp_arena *a, struct sp_str s)
{
    struct sp_str out = sp_arena_dup(a, s);
    for (size_t i = 0; i < out.len; i++)
        ((char *)(uintptr_t)out.p)[i] = (char)sp_lower((unsigned char)out.p[i]);
    return out;
}

/* IP literals are compared as text. */
bool dp_admit_host(struct dp_admission *a)
{
    struct sp_str name;
    char *text = sp_arena_alloc_raw(a->arena, SP_HOST_MAX + 1);
    size_t len;
    a->port = 0;
    a->host = (struct sp_str){"", 0};
    if (a->request->authority.len == 0)
        return a->request->version == SP_HTTP_10;
    if (!sp_host_split(a->request->authority, &name, &a->port))
        return false;
    a->host = sp_host_normalise(name, text, &len) ? sp_str(text, len) : lower(a->arena, name);
    return true;
}

static bool is_grpc(const struct sp_fields *fields)
{
    const struct sp_field *f = sp_fields_find_id(fields, SP_FIELD_CONTENT_TYPE);
    return f && sp_str_starts(f->value, SP_STR("application/grpc"));
}

/* --- route --- */

struct dp_match_input dp_admit_match_input(const struct dp_admission *a, struct sp_str sni)
{
    return (struct dp_match_input){
        .method = a->request->method,
        .host = a->host,
        .path = a->path,
        .sni = sni,
        .port = a->port   ? a->port
                : a->peer ? 443
                          : 80,
        .tls = a->peer != NULL,
        .grpc = a->grpc,
        .fields = &a->request->fields,
    };
}

static bool find_route(const struct dp_admission *a, struct sp_str sni, struct dp_match *out)
{
    struct dp_match_input in = dp_admit_match_input(a, sni);
    return dp_router_match(a->snapshot->router, &in, out);
}

static bool is_asked_otherwise(const struct dp_admission *a)
{
    struct sp_handshake_policy p;
    sp_tls_names_policy(a->snapshot->names, a->host, &p);
    return p.ask && p.policy != a->peer->policy;
}

/* Also the phase gap: a route of names that this connection did not name is not found on it, but a new connection would
 * be asked for a certificate and find it. */
static bool is_found_elsewhere(const struct dp_admission *a)
{
    struct dp_match m;
    if (!a->peer || sp_str_eq(a->peer->sni, a->host) || !find_route(a, a->host, &m))
        return false;
    return is_asked_otherwise(a);
}

static bool match_route(struct dp_admission *a)
{
    struct dp_match m;
    if (find_route(a, a->peer ? a->peer->sni : (struct sp_str){0}, &m)) {
        a->route = m.target;
        a->matched_prefix = m.matched_prefix;
        return true;
    }
    if (is_found_elsewhere(a))
        return answer_misdirected(a);
    return answer(a, 404, "no Route matched with those values");
}

/* --- protocol --- */

static bool has_protocol(const Sallyport__V1__Route *r, const char *name)
{
    for (size_t i = 0; i < r->n_protocols; i++)
        if (strcmp(r->protocols[i], name) == 0)
            return true;
    return false;
}

static bool redirect_to_https(struct dp_admission *a)
{
    unsigned status = (unsigned)a->route->conf->https_redirect_status_code;
    struct sp_str host = a->request->authority, name;
    uint16_t port;
    if (sp_host_split(host, &name, &port))
        host = name;
    if (status != 426)
        return answer_with(a, status, SP_STR("Location"),
                           sp_arena_printf(a->arena, "https://%.*s%.*s", SP_FMT(host), SP_FMT(a->request->target)));
    a->request->keep_alive = false;
    a->upgrade_offer = SP_STR("TLS/1.2, HTTP/1.1");
    return answer(a, 426, "Please use HTTPS protocol");
}

/* A trusted peer says, once and nothing else, that the client came by https (kong-behaviour 6.3). */
static bool is_believed_https(const struct dp_admission *a)
{
    const struct sp_fields *f = &a->request->fields;
    unsigned said = 0, https = 0;
    for (uint32_t i = 0; a->trusted && i < f->len; i++)
        if (f->v[i].id == SP_FIELD_X_FORWARDED_PROTO && !f->v[i].removed) {
            said++;
            https += sp_str_ieq(f->v[i].value, SP_STR("https"));
        }
    return said == 1 && https == 1;
}

/* What the route demands of the protocol (kong-behaviour 6.4). */
static bool protocol_fits(struct dp_admission *a)
{
    const Sallyport__V1__Route *r = a->route->conf;
    bool grpc_route = has_protocol(r, "grpc") || has_protocol(r, "grpcs");
    bool tls = a->peer != NULL;
    if (!grpc_route && !tls && !has_protocol(r, "http") && !is_believed_https(a))
        return redirect_to_https(a);
    if (grpc_route && !a->grpc)
        return answer(a, 415, "Non-gRPC request matched gRPC route");
    if (grpc_route && a->request->version != SP_HTTP_2) {
        a->upgrade_offer = SP_STR("HTTP/2");
        return answer(a, 426, "Please use HTTP2 protocol");
    }
    if (grpc_route && !tls && !has_protocol(r, "grpc")) /* never served below the protection that it asks for */
        return answer(a, 499, "gRPC request matched gRPCs route");
    return true;
}

bool dp_admit(struct dp_admission *a)
{
    a->grpc = is_grpc(&a->request->fields);
    a->num_sent = a->request->fields.len;
    if (!split_target(a) || !dp_admit_host(a))
        return answer(a, 400, NULL);
    return match_route(a) && protocol_fits(a);
}

bool dp_admit_misdirected(struct dp_admission *a, const struct dp_call *call)
{
    if (!call->wants_certificate || !is_asked_otherwise(a))
        return false;
    (void)answer_misdirected(a);
    return true;
}
