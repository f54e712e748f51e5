#include "upstream/service.h"

#include "base/names.h"
#include "tls/certificate.h"

enum { MAX_RING = 4096, DEFAULT_TARGET_PORT = 8000 };

static bool is_tls(const Sallyport__V1__Service *conf)
{
    struct sp_str p = sp_str_z(conf->protocol);
    return sp_str_eq(p, SP_STR("https")) || sp_str_eq(p, SP_STR("grpcs")) || sp_str_eq(p, SP_STR("wss"));
}

static void free_client(void *client)
{
    sp_tls_client_free(client);
}

static sp_result compile_tls(struct sp_arena *a, const struct dp_service_refs *refs, struct dp_service *out,
                             struct sp_error *err)
{
    const Sallyport__V1__Service *conf = out->conf;
    struct sp_tls_client_options o = {
        .verify = conf->has_tls_verify && conf->tls_verify,
        .verify_depth = conf->has_tls_verify_depth ? conf->tls_verify_depth : -1,
        .ca_pem = refs->ca_pem,
        .alpn = "http/1.1",
    };
    if (refs->client_certificate) {
        o.cert_pem = sp_str_z(refs->client_certificate->cert);
        o.key_pem = sp_str_z(refs->client_certificate->key);
    }
    sp_result r = sp_tls_client_new(&o, &out->tls, err);
    if (sp_failed(r))
        return sp_fail_in(err, "TLS towards the upstream");
    sp_arena_on_free(a, free_client, out->tls);
    if (refs->upstream && refs->upstream->upstream->host_header)
        out->tls_name = sp_str_z(refs->upstream->upstream->host_header);
    else if (!refs->upstream)
        out->tls_name = sp_str_z(conf->host);
    return r;
}

/* Two services share connections exactly when everything that decides about a connection is equal. */
static struct sp_str pool_key(struct sp_arena *a, const struct dp_service *s, const struct dp_service_refs *refs,
                              const struct dp_target *t)
{
    if (!s->tls)
        return sp_arena_printf(a, "tcp|%.*s:%u", SP_FMT(t->host), t->port);
    uint8_t digest[32];
    char hex[65];
    struct sp_str cert = sp_str_z(refs->client_certificate ? refs->client_certificate->cert : "");
    sp_sha256(sp_arena_printf(a, "%zu|%.*s|%.*s", cert.len, SP_FMT(cert), SP_FMT(refs->ca_pem)), digest);
    sp_hex(digest, sizeof digest, hex);
    return sp_arena_printf(a, "tls|%.*s:%u|%.*s|%d|%d|%s", SP_FMT(t->host), t->port, SP_FMT(s->tls_name),
                           s->conf->has_tls_verify && s->conf->tls_verify,
                           s->conf->has_tls_verify_depth ? s->conf->tls_verify_depth : -1, hex);
}

static sp_result parse_target(struct sp_arena *a, const Sallyport__V1__Target *t, struct dp_target *out,
                              struct sp_error *err)
{
    uint16_t port;
    struct sp_str host;
    if (!sp_host_split(sp_str_z(t->target), &host, &port) || host.len == 0)
        return sp_fail(err, SP_E_INVALID, "target '%s' is not host[:port]", t->target);
    out->host = sp_arena_dup(a, host);
    out->port = port ? port : DEFAULT_TARGET_PORT;
    out->weight = (uint32_t)t->weight;
    return sp_ok();
}

static sp_result compile_targets(struct sp_arena *a, const struct dp_service_refs *refs, struct dp_service *out,
                                 struct sp_error *err)
{
    if (!refs->upstream) {
        out->num_targets = 1;
        out->targets = SP_NEW(a, struct dp_target);
        out->targets[0].host = sp_str_z(out->conf->host);
        out->targets[0].port = (uint16_t)out->conf->port;
        out->targets[0].weight = 1;
        return sp_ok();
    }
    out->num_targets = refs->upstream->n_targets;
    out->targets = SP_NEW_N(a, struct dp_target, out->num_targets);
    for (size_t i = 0; i < out->num_targets; i++)
        SP_TRY(parse_target(a, refs->upstream->targets[i], &out->targets[i], err));
    return sp_ok();
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

/* Sums of reduced weights can still be large (65535 and 65534): shrink them until the ring is of bounded size. */
static size_t ring_weights(const struct dp_service *s, uint32_t *weights)
{
    uint32_t divisor = 0;
    uint64_t total = 0;
    for (size_t i = 0; i < s->num_targets; i++)
        divisor = gcd(divisor, s->targets[i].weight);
    for (size_t i = 0; i < s->num_targets; i++)
        total += s->targets[i].weight / (divisor ? divisor : 1);
    uint64_t shrink = total / MAX_RING + 1;
    size_t sum = 0;
    for (size_t i = 0; i < s->num_targets; i++) {
        uint32_t w = s->targets[i].weight;
        weights[i] = w ? (uint32_t)((w / divisor + shrink - 1) / shrink) : 0;
        sum += weights[i];
    }
    return sum;
}

/* Smooth weighted round-robin, laid out once: no target waits longer than its weight demands. */
static void lay_ring(struct sp_arena *a, struct dp_service *s)
{
    uint32_t *weights = SP_NEW_N(a, uint32_t, s->num_targets);
    int64_t *credit = SP_NEW_N(a, int64_t, s->num_targets);
    s->num_ring = ring_weights(s, weights);
    s->ring = SP_NEW_N(a, uint16_t, s->num_ring);
    for (size_t at = 0; at < s->num_ring; at++) {
        size_t best = 0;
        for (size_t i = 0; i < s->num_targets; i++) {
            credit[i] += weights[i];
            if (credit[i] > credit[best])
                best = i;
        }
        credit[best] -= (int64_t)s->num_ring;
        s->ring[at] = (uint16_t)best;
    }
}

static struct sp_str host_header(struct sp_arena *a, const struct dp_service *s, const struct dp_service_refs *refs)
{
    if (refs->upstream && refs->upstream->upstream->host_header)
        return sp_str_z(refs->upstream->upstream->host_header);
    int usual = s->tls ? 443 : 80;
    if (s->conf->port == usual || refs->upstream)
        return sp_str_z(s->conf->host);
    return sp_arena_printf(a, "%s:%d", s->conf->host, s->conf->port);
}

sp_result dp_service_compile(struct sp_arena *a, const Sallyport__V1__Service *conf, const struct dp_service_refs *refs,
                             size_t *next_target, struct dp_service *out, struct sp_error *err)
{
    *out = (struct dp_service){
        .conf = conf,
        .name = sp_str_z(conf->name ? conf->name : conf->id),
        .index = refs->index,
        .path = sp_str_z(conf->path ? conf->path : "/"),
        .connect_ms = (uint32_t)conf->connect_timeout,
        .write_ms = (uint32_t)conf->write_timeout,
        .read_ms = (uint32_t)conf->read_timeout,
        .retries = (uint32_t)conf->retries,
    };
    if (is_tls(conf))
        SP_TRY(compile_tls(a, refs, out, err));
    SP_TRY(compile_targets(a, refs, out, err));
    if (out->num_targets > UINT16_MAX)
        return sp_fail(err, SP_E_LIMIT, "upstream '%s' has more than %d targets", conf->host, UINT16_MAX);
    for (size_t i = 0; i < out->num_targets; i++) {
        out->targets[i].index = (*next_target)++;
        out->targets[i].pool_key = pool_key(a, out, refs, &out->targets[i]);
    }
    lay_ring(a, out);
    out->host_header = host_header(a, out, refs);
    return sp_ok();
}

const struct dp_target *dp_service_pick(const struct dp_service *s, uint32_t *turn)
{
    if (s->num_ring == 0)
        return NULL;
    return &s->targets[s->ring[(*turn)++ % s->num_ring]];
}
