#include "config/discovery.h"

#include "base/log.h"
#include "base/names.h"
#include "net/resolver.h"
#include "rpc/client.h"

#include <stdio.h>
#include <stdlib.h>

enum { BACKOFF_BASE_MS = 500, BACKOFF_CAP_MS = 30000 };

struct dp_discovery {
    struct sp_loop *loop;
    struct sp_arena *arena;
    struct dp_discovery_options o; /* strings in the arena; PEMs are not kept */
    struct sp_rpc *rpc;
    struct sp_tls_client *tls;
    struct sp_resolver *resolver;
    struct sp_query *query;
    struct sp_rpc_stream *stream;
    struct sp_timer retry;
    bool open;
    size_t tries;      /* since the start: which address is next */
    unsigned failures; /* rounds over all addresses since the last good one */
    char error[256];
};

static void try_next(struct dp_discovery *d);

static void on_retry(struct sp_timer *t)
{
    try_next((struct dp_discovery *)(void *)((char *)t - offsetof(struct dp_discovery, retry)));
}

/* The next address at once, until all have had their turn; then a random part of a wait that doubles, so that many
 * nodes that have lost the same control plane do not come back together. */
static void try_later(struct dp_discovery *d, const char *why, bool whole_round)
{
    uint64_t wait = 0;
    snprintf(d->error, sizeof d->error, "%s", why);
    sp_log(SP_WARN, "discovery_failed", "address=\"%.*s\" reason=\"%s\"", SP_FMT(dp_discovery_address(d)), why);
    if (whole_round || d->tries % d->o.num_addresses == 0) {
        uint64_t random, most = (uint64_t)BACKOFF_BASE_MS << (d->failures < 7 ? d->failures : 7);
        d->failures++;
        sp_random(&random, sizeof random);
        wait = random % (most < BACKOFF_CAP_MS ? most : BACKOFF_CAP_MS);
    }
    sp_timer_start(&d->retry, d->loop, wait, on_retry);
}

/* --- the stream --- */

static void on_open(void *ctx, struct sp_rpc_stream *s, const struct sp_rpc_peer *peer)
{
    struct dp_discovery *d = ctx;
    (void)s;
    d->open = true;
    d->error[0] = 0;
    sp_log(SP_NOTICE, "discovery_connected", "address=\"%.*s\" identity=\"%.*s\"", SP_FMT(peer->address),
           SP_FMT(peer->identity));
    d->o.opened(d->o.ctx);
}

static void on_message(void *ctx, struct sp_rpc_stream *s, struct sp_str bytes)
{
    struct dp_discovery *d = ctx;
    (void)s;
    d->o.message(d->o.ctx, bytes);
}

static void on_closed(void *ctx, struct sp_rpc_stream *s, const char *why)
{
    struct dp_discovery *d = ctx;
    bool was_open = d->open;
    (void)s;
    d->stream = NULL;
    d->open = false;
    try_later(d, why, was_open);
    if (was_open)
        d->o.lost(d->o.ctx, why);
}

/* --- a try --- */

static void connect_to(struct dp_discovery *d, const struct sp_address *to, struct sp_str host)
{
    static const struct sp_rpc_handlers handlers = {on_open, on_message, NULL, on_closed};
    struct sp_rpc_connect_options c = {.to = *to,
                                       .server_name = d->o.server_name.len ? d->o.server_name : host,
                                       .tls = d->tls,
                                       .keepalive_ms = d->o.keepalive_ms};
    d->stream = sp_rpc_connect(d->rpc, &c, d->loop, &handlers, d);
}

static void on_resolved(void *ctx, const struct sp_address *addresses, size_t num, const char *why)
{
    struct dp_discovery *d = ctx;
    struct sp_str host;
    uint16_t port;
    d->query = NULL;
    if (num == 0) {
        try_later(d, why ? why : "the name has no address", false);
        return;
    }
    bool split = sp_host_split(dp_discovery_address(d), &host, &port);
    sp_assert(split); /* checked at the start */
    connect_to(d, &addresses[((d->tries - 1) / d->o.num_addresses) % num], host);
}

static void try_next(struct dp_discovery *d)
{
    struct sp_str host;
    uint16_t port;
    d->tries++;
    bool split = sp_host_split(dp_discovery_address(d), &host, &port);
    sp_assert(split);
    struct sp_query *q = sp_resolve(d->resolver, host, port, on_resolved, d);
    if (q) /* else it has answered already */
        d->query = q;
}

/* --- what its user asks for --- */

void dp_discovery_send(struct dp_discovery *d, struct sp_str bytes)
{
    struct sp_bytes *b;
    if (!d->open)
        return;
    if (bytes.len > SP_RPC_MAX_FROM_CLIENT) {
        dp_discovery_drop(d, "a message of ours is too large");
        return;
    }
    b = sp_bytes_copy(bytes);
    if (!sp_rpc_send(d->stream, b)) {
        sp_bytes_unref(b);
        dp_discovery_drop(d, "the control plane does not read");
    }
}

void dp_discovery_drop(struct dp_discovery *d, const char *why)
{
    if (!d->stream)
        return;
    sp_rpc_close(SP_TAKE(d->stream), why);
    d->open = false;
    try_later(d, why, true);
}

void dp_discovery_good(struct dp_discovery *d)
{
    d->failures = 0;
}

bool dp_discovery_connected(const struct dp_discovery *d)
{
    return d->open;
}

struct sp_str dp_discovery_address(const struct dp_discovery *d)
{
    return d->tries ? d->o.addresses[(d->tries - 1) % d->o.num_addresses] : SP_STR("");
}

struct sp_str dp_discovery_error(const struct dp_discovery *d)
{
    return sp_str_z(d->error);
}

/* --- life --- */

static sp_result copy_options(struct dp_discovery *d, const struct dp_discovery_options *o, struct sp_error *err)
{
    struct sp_str *v = SP_NEW_N(d->arena, struct sp_str, o->num_addresses + 1);
    if (o->num_addresses == 0)
        return sp_fail(err, SP_E_USAGE, "no address of a control plane");
    for (size_t i = 0; i < o->num_addresses; i++) {
        struct sp_str host;
        uint16_t port;
        if (!sp_host_split(o->addresses[i], &host, &port) || port == 0)
            return sp_fail(err, SP_E_USAGE, "\"%.*s\" is not host:port", SP_FMT(o->addresses[i]));
        v[i] = sp_arena_dup(d->arena, o->addresses[i]);
    }
    d->o = *o;
    d->o.addresses = v;
    d->o.server_name = sp_arena_dup(d->arena, o->server_name);
    d->o.cert_pem = d->o.key_pem = d->o.ca_pem = SP_STR("");
    return sp_ok();
}

static sp_result prepare(struct dp_discovery *d, const struct dp_discovery_options *o, struct sp_error *err)
{
    struct sp_tls_client_options tls = {.cert_pem = o->cert_pem,
                                        .key_pem = o->key_pem,
                                        .ca_pem = o->ca_pem,
                                        .verify = true,
                                        .verify_depth = -1,
                                        .alpn = "h2"};
    SP_TRY(copy_options(d, o, err));
    if (!o->cert_pem.len || !o->key_pem.len || !o->ca_pem.len) /* without a CA the system's would be trusted */
        return sp_fail(err, SP_E_USAGE, "a certificate, its key and a CA are needed");
    SP_TRY(sp_tls_client_new(&tls, &d->tls, err));
    SP_TRY(sp_resolver_new(d->loop, &d->resolver, err));
    return sp_rpc_new(&d->rpc, err);
}

sp_result dp_discovery_start(struct sp_loop *loop, const struct dp_discovery_options *o, struct dp_discovery **out,
                             struct sp_error *err)
{
    struct dp_discovery *d = sp_alloc(sizeof *d);
    d->loop = loop;
    d->arena = sp_arena_new(512);
    sp_result r = prepare(d, o, err);
    if (sp_failed(r)) {
        dp_discovery_stop(d);
        return sp_fail_in(err, "control plane");
    }
    sp_timer_start(&d->retry, loop, 0, on_retry);
    *out = d;
    return r;
}

void dp_discovery_stop(struct dp_discovery *d)
{
    if (!d)
        return;
    sp_timer_stop(&d->retry);
    if (d->query)
        sp_query_cancel(d->query);
    if (d->stream)
        sp_rpc_close(d->stream, "the data plane stops");
    sp_rpc_free(d->rpc);
    if (d->resolver)
        sp_resolver_free(d->resolver);
    sp_tls_client_free(d->tls);
    sp_arena_free(d->arena);
    free(d);
}
