#include "control/discovery/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/discovery/debounce.h"
#include "rpc/server.h"

#include <stdlib.h>

enum { KEEP_GONE_S = 24 * 3600, MAX_GONE = 10000 };

struct node {
    struct node *next, **prev;
    struct cp_discovery *d;
    struct sp_arena *arena;
    struct sp_str identity, address;
    int64_t since, last_seen, not_after;
    struct cp_session *session;
    struct sp_rpc_stream *stream; /* NULL: disconnected */
    struct sp_bytes *stalled;     /* the frame that the stream had no room for */
    struct sp_timer wake;
    /* what the last `changed` has told */
    enum cp_node_state told_state;
    int64_t told_held, told_rejected;
};

struct cp_discovery {
    struct sp_loop *loop;
    struct sp_rpc *rpc;
    struct sp_rpc_server *server;
    struct sp_arena *arena;
    struct sp_str control_id;
    cp_node_fn *changed;
    void *ctx;
    struct node *nodes, **last; /* in order of coming */
    size_t num_gone;
    struct cp_snapshot *newest;   /* what was published last */
    struct cp_snapshot *released; /* what the nodes are to have by now */
    struct cp_debounce debounce;
    struct sp_timer window;
};

/* --- one node --- */

static void view(const struct node *n, struct cp_node *out)
{
    const struct cp_hello *h = cp_session_hello(n->session);
    *out = (struct cp_node){.identity = n->identity,
                            .address = n->address,
                            .state = cp_session_state(n->session),
                            .connected = n->stream,
                            .since = n->since,
                            .last_seen = n->last_seen,
                            .certificate_not_after = n->not_after,
                            .held = cp_session_held(n->session),
                            .sent = cp_session_sent(n->session),
                            .rejected = cp_session_rejected(n->session)};
    out->problems = cp_session_problems(n->session, &out->num_problems);
    if (!h)
        return;
    out->id = h->node_id;
    out->hostname = h->hostname;
    out->version = h->version;
    out->labels = h->labels;
    out->num_labels = h->num_labels;
}

/* Tells whoever waits for it, when there is something new to tell. */
static void tell(struct node *n)
{
    struct cp_node v;
    view(n, &v);
    if (!cp_session_hello(n->session) ||
        (v.state == n->told_state && v.held == n->told_held && v.rejected == n->told_rejected))
        return;
    if (v.state == CP_NODE_REJECTED && v.rejected != n->told_rejected)
        sp_log(SP_WARN, "node_rejected", "identity=\"%.*s\" revision=%lld problems=%zu reason=\"%.*s: %.*s\"",
               SP_FMT(n->identity), (long long)v.rejected, v.num_problems,
               SP_FMT(v.num_problems ? v.problems[0].name : SP_STR("")),
               SP_FMT(v.num_problems ? v.problems[0].reason : SP_STR("")));
    n->told_state = v.state;
    n->told_held = v.held;
    n->told_rejected = v.rejected;
    if (n->d->changed)
        n->d->changed(n->d->ctx, &v);
}

static void on_wake(struct sp_timer *t);

/* Writes what the session has to say, as far as there is room. */
static void push(struct node *n)
{
    uint64_t now = sp_loop_now(n->d->loop);
    struct sp_bytes *b;
    while (n->stream && (b = n->stalled ? SP_TAKE(n->stalled) : cp_session_next(n->session, now))) {
        if (sp_rpc_send(n->stream, b))
            continue;
        n->stalled = b;
        break;
    }
    uint64_t wake = cp_session_wake(n->session);
    if (n->stream && wake)
        sp_timer_start(&n->wake, n->d->loop, wake > now ? wake - now : 0, on_wake);
    tell(n);
}

static void on_wake(struct sp_timer *t)
{
    push((struct node *)(void *)((char *)t - offsetof(struct node, wake)));
}

static void node_free(struct node *n)
{
    if (n->next)
        n->next->prev = n->prev;
    else
        n->d->last = n->prev;
    *n->prev = n->next;
    sp_timer_stop(&n->wake);
    sp_bytes_unref(n->stalled);
    cp_session_free(n->session);
    sp_arena_free(n->arena);
}

static void forget_gone(struct node *n)
{
    n->d->num_gone--;
    node_free(n);
}

/* The stream is over; what it said stays for a day. */
static void gone(struct node *n, const char *why)
{
    struct cp_discovery *d = n->d;
    bool greeted = cp_session_hello(n->session);
    sp_log(SP_NOTICE, "node_gone", "identity=\"%.*s\" address=%.*s reason=\"%s\"", SP_FMT(n->identity),
           SP_FMT(n->address), why);
    n->stream = NULL;
    n->last_seen = sp_clock_wall_s(&sp_clock_system);
    sp_timer_stop(&n->wake);
    sp_bytes_unref(SP_TAKE(n->stalled));
    cp_session_close(n->session);
    tell(n);
    if (!greeted) {
        node_free(n);
        return;
    }
    d->num_gone++;
    int64_t oldest = n->last_seen - KEEP_GONE_S;
    for (struct node *o = d->nodes, *next; o; o = next) {
        next = o->next;
        if (!o->stream && (o->last_seen < oldest || d->num_gone > MAX_GONE))
            forget_gone(o);
    }
}

/* What is known of earlier streams of the same node gives way to this one. */
static void replace_gone(struct node *n)
{
    const struct cp_hello *h = cp_session_hello(n->session);
    for (struct node *o = n->d->nodes, *next; o; o = next) {
        next = o->next;
        if (!o->stream && sp_str_eq(o->identity, n->identity) &&
            sp_str_eq(cp_session_hello(o->session)->node_id, h->node_id))
            forget_gone(o);
    }
}

/* --- events of the streams --- */

static void on_open(void *ctx, struct sp_rpc_stream *stream, const struct sp_rpc_peer *peer)
{
    struct cp_discovery *d = ctx;
    struct sp_arena *a = sp_arena_new(1024);
    struct node *n = SP_NEW(a, struct node);
    n->arena = a;
    n->d = d;
    n->identity = sp_arena_dup(a, peer->identity);
    n->address = sp_arena_dup(a, peer->address);
    n->not_after = peer->not_after;
    n->since = n->last_seen = sp_clock_wall_s(&sp_clock_system);
    n->session = cp_session_new(d->control_id);
    n->stream = stream;
    n->prev = d->last;
    *d->last = n;
    d->last = &n->next;
    sp_rpc_set_user(stream, n);
    if (d->released)
        cp_session_target(n->session, d->released);
}

static void on_message(void *ctx, struct sp_rpc_stream *stream, struct sp_str bytes)
{
    struct cp_discovery *d = ctx;
    struct node *n = sp_rpc_user(stream);
    struct sp_error err;
    bool greeted = cp_session_hello(n->session);
    n->last_seen = sp_clock_wall_s(&sp_clock_system);
    if (sp_failed(cp_session_receive(n->session, bytes, sp_loop_now(d->loop), &err))) {
        sp_rpc_close(stream, err.text);
        gone(n, err.text);
        return;
    }
    if (!greeted) {
        const struct cp_hello *h = cp_session_hello(n->session);
        replace_gone(n);
        sp_log(SP_NOTICE, "node_connected", "identity=\"%.*s\" address=%.*s id=\"%.*s\" version=\"%.*s\" held=%lld",
               SP_FMT(n->identity), SP_FMT(n->address), SP_FMT(h->node_id), SP_FMT(h->version),
               (long long)cp_session_held(n->session));
    }
    push(n);
}

static void on_writable(void *ctx, struct sp_rpc_stream *stream)
{
    (void)ctx;
    push(sp_rpc_user(stream));
}

static void on_closed(void *ctx, struct sp_rpc_stream *stream, const char *why)
{
    (void)ctx;
    gone(sp_rpc_user(stream), why);
}

/* --- publishing --- */

static void release(struct cp_discovery *d)
{
    struct cp_snapshot *old = d->released;
    d->released = cp_snapshot_ref(d->newest);
    if (old) {
        cp_snapshot_superseded(old);
        cp_snapshot_unref(old);
    }
    for (struct node *n = d->nodes, *next; n; n = next) {
        next = n->next;
        if (!n->stream)
            continue;
        cp_session_target(n->session, d->released);
        push(n);
    }
}

static void on_window(struct sp_timer *t)
{
    struct cp_discovery *d = (struct cp_discovery *)(void *)((char *)t - offsetof(struct cp_discovery, window));
    uint64_t now = sp_loop_now(d->loop);
    if (cp_debounce_due(&d->debounce, now))
        release(d);
    if (d->debounce.until_ms)
        sp_timer_start(t, d->loop, d->debounce.until_ms > now ? d->debounce.until_ms - now : 0, on_window);
}

void cp_discovery_publish(struct cp_discovery *d, struct cp_snapshot *s, bool urgent)
{
    bool same =
        d->newest && d->newest->revision == s->revision && memcmp(d->newest->digest, s->digest, sizeof s->digest) == 0;
    if (same)
        return;
    uint64_t now = sp_loop_now(d->loop);
    bool had_window = d->debounce.until_ms;
    urgent = urgent || cp_snapshot_tightens(d->released, s);
    cp_snapshot_ref(s);
    cp_snapshot_unref(d->newest);
    d->newest = s;
    if (cp_debounce_change(&d->debounce, now, urgent))
        release(d);
    if (!had_window)
        sp_timer_start(&d->window, d->loop, d->debounce.until_ms - now, on_window);
}

/* --- life --- */

sp_result cp_discovery_start(const struct cp_discovery_options *o, struct sp_loop *loop, struct cp_discovery **out,
                             struct sp_error *err)
{
    static const struct sp_rpc_handlers handlers = {on_open, on_message, on_writable, on_closed};
    struct cp_discovery *d = sp_alloc(sizeof *d);
    d->loop = loop;
    d->arena = sp_arena_new(256);
    d->control_id = sp_arena_dup(d->arena, o->control_id);
    d->changed = o->changed;
    d->ctx = o->ctx;
    d->last = &d->nodes;
    struct sp_rpc_server_options rpc = {.listen = o->listen,
                                        .cert_pem = o->cert_pem,
                                        .key_pem = o->key_pem,
                                        .ca_pem = o->ca_pem,
                                        .admit_per_s = o->admit_per_s,
                                        .admit_burst = o->admit_burst,
                                        .keepalive_ms = o->keepalive_ms};
    sp_result r = sp_rpc_new(&d->rpc, err);
    if (!sp_failed(r))
        r = sp_rpc_listen(d->rpc, &rpc, loop, &handlers, d, &d->server, err);
    if (sp_failed(r)) {
        cp_discovery_stop(d);
        return sp_fail_in(err, "discovery");
    }
    *out = d;
    return r;
}

const struct sp_address *cp_discovery_address(const struct cp_discovery *d)
{
    return sp_rpc_server_address(d->server);
}

void cp_discovery_nodes(const struct cp_discovery *d, cp_node_fn *fn, void *ctx)
{
    for (const struct node *n = d->nodes; n; n = n->next) {
        struct cp_node v;
        if (!cp_session_hello(n->session))
            continue;
        view(n, &v);
        fn(ctx, &v);
    }
}

void cp_discovery_stop(struct cp_discovery *d)
{
    if (!d)
        return;
    sp_rpc_server_stop(d->server);
    sp_rpc_free(d->rpc);
    sp_timer_stop(&d->window);
    while (d->nodes)
        node_free(d->nodes);
    cp_snapshot_unref(d->newest);
    cp_snapshot_unref(d->released);
    sp_arena_free(d->arena);
    free(d);
}
