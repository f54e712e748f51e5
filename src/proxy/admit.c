/* An exchange finds its route and runs the plugins (src/admit decides): what that takes of connection and worker. */
#include "admit/admit.h"
#include "proxy/exchange.h"
#include "proxy/life.h"

#include <time.h>
#include <unistd.h>

static struct dp_admission admission(struct dp_exchange *x)
{
    const struct dp_conn *c = x->conn;
    return (struct dp_admission){
        .arena = x->arena,
        .snapshot = x->epoch->snapshot,
        .request = &x->request,
        .peer = c->tls ? sp_tls_peer(c->tls) : NULL,
        .ip = c->peer_ip,
        .client_ip = x->call.client_ip,
        .trusted = c->trusted,
        .listener_port = sp_address_port(&c->listener->address),
        .via = x->worker->options->via,
        .request_id = x->request_id,
    };
}

static void reply_refusal(struct dp_exchange *x, const struct dp_admission *a)
{
    sp_count(&x->worker->counters.misdirected_total, a->status == 421);
    if (a->field_name.len)
        sp_fields_add(&x->call.reply_fields, x->arena, SP_FIELD_OTHER, a->field_name, a->field_value);
    x->upgrade_offer = a->upgrade_offer;
    x->call.reply_as_is = a->status < 400; /* a redirect is a head and nothing else */
    dp_exchange_reply(x, a->status, a->message);
}

static void locate(const struct dp_call *call, struct dp_place *out)
{
    const struct dp_exchange *x = (const struct dp_exchange *)(const void *)call; /* its first member */
    static _Thread_local int thread;
    struct sp_address address;
    struct sp_error err;
    struct timespec now;
    if (!thread)
        thread = (int)gettid();
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct dp_place){.port = call->server_port,
                             .worker = thread,
                             .connection = x->conn->number,
                             .request = x->number,
                             .ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000};
    if (!sp_failed(sp_local_address(x->conn->watch.fd, &address, &err)))
        sp_address_ip(&address, out->ip);
}

static void fill_call(struct dp_exchange *x, const struct dp_admission *a)
{
    struct dp_call *call = &x->call;
    dp_admit_call(a, call);
    call->clock = x->worker->clock;
    call->cache = x->epoch->cache;
    call->fetcher = x->worker->fetcher;
    call->revocations = x->worker->revocations;
    call->passwords = x->worker->passwords;
    call->resume = dp_exchange_resume;
    call->locate = locate;
    call->body_state = x->request_done ? DP_BODY_WHOLE : DP_BODY_UNREAD;
}

/* False: answered, or paused. */
static bool act(struct dp_exchange *x, struct dp_admission *a, enum dp_verdict verdict)
{
    if (verdict == DP_PAUSE) {
        x->state = DP_EX_PAUSED;
        if (x->call.wants_body)
            dp_exchange_await_body(x);
        return false;
    }
    dp_life_judged(x);
    if (verdict == DP_NEXT)
        return true;
    sp_count(&x->worker->counters.unauthorized_total, x->call.reply_status == 401);
    if (dp_admit_misdirected(a, &x->call))
        reply_refusal(x, a);
    else
        dp_exchange_reply(x, x->call.reply_status, x->call.reply_message);
    return false;
}

/* Before anything is removed: nobody changes who he is by naming the field in Connection. */
static struct sp_str find_client(struct dp_exchange *x)
{
    struct sp_str told = {0};
    if (x->conn->trusted)
        told = dp_real_ip_text(x->arena, &x->worker->options->real_ip, &x->request.fields);
    return told.len ? told : sp_str_z(x->conn->ip);
}

bool dp_exchange_admit(struct dp_exchange *x)
{
    x->call.client_ip = find_client(x);
    struct dp_admission a = admission(x);
    bool in = dp_admit(&a);
    x->grpc = a.grpc;
    x->path = a.path;
    x->query = a.query;
    x->route = a.route;
    x->matched_prefix = a.matched_prefix;
    if (!in) {
        reply_refusal(x, &a);
        return false;
    }
    dp_admit_fields(&a);
    fill_call(x, &a);
    return act(x, &a, dp_chain_access(x->route->chain, &x->call, a.peer != NULL));
}

bool dp_exchange_readmit(struct dp_exchange *x)
{
    struct dp_admission a = admission(x);
    bool good = dp_admit_host(&a);
    sp_assert(good); /* it was, before the pause */
    return act(x, &a, dp_chain_resume(x->route->chain, &x->call, a.peer != NULL));
}
