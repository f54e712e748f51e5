/* A request that waits: for a plugin, which waits for something else (a revocation answer), or for its own body, into
 * which a plugin wants to look. What comes of the body is held, within bounds: h1 stops reading, h2 gives no credit. */
#include "proxy/exchange.h"

/* What a plugin may know of the body by now. */
static void tell_of_body(struct dp_exchange *x)
{
    struct dp_call *call = &x->call;
    call->wants_body = false;
    if (call->body_changed || call->body_state != DP_BODY_UNREAD)
        return;
    if (x->held.len > DP_BODY_MAX)
        call->body_state = DP_BODY_TOO_LARGE;
    else if (x->request_done)
        call->body_state = DP_BODY_WHOLE;
    if (call->body_state == DP_BODY_WHOLE)
        call->body = sp_buf_str(&x->held);
}

static void go_on_when_known(struct dp_exchange *x)
{
    if (x->call.wants_body && (x->request_done || x->held.len > DP_BODY_MAX))
        dp_exchange_resume(&x->call);
}

/* The client may wait for a word before it sends it. */
static void invite_body(struct dp_exchange *x)
{
    struct sp_response_head go_on = {.status = 100, .version = SP_HTTP_11};
    if (!x->request.expect_continue || x->held_any)
        return;
    x->request.expect_continue = false;
    sp_fields_remove(&x->request.fields, SP_STR("Expect")); /* it has been met */
    x->down->respond(x, &go_on, false);
}

static void credit(struct dp_exchange *x, size_t n)
{
    if (x->down->credit && n)
        x->down->credit(x, n);
}

static size_t take_owed(struct dp_exchange *x)
{
    size_t n = x->held_owed;
    x->held_owed = 0;
    return n;
}

void dp_exchange_await_body(struct dp_exchange *x)
{
    x->waits_ms = sp_loop_now(x->worker->loop);
    credit(x, take_owed(x)); /* what is held is bounded otherwise now */
    invite_body(x);
    x->down->pause(x, false);
}

bool dp_exchange_is_slow(const struct dp_exchange *x, uint64_t now, uint32_t max_ms)
{
    return x->state == DP_EX_PAUSED && x->call.wants_body && now - x->waits_ms >= max_ms;
}

void dp_exchange_hold(struct dp_exchange *x, struct sp_str bytes, bool end)
{
    sp_buf_add(&x->held, bytes);
    x->held_any = true;
    x->held_end = end;
    if (x->call.wants_body) {
        credit(x, bytes.len);
        x->waits_ms = sp_loop_now(x->worker->loop);
        go_on_when_known(x);
        return;
    }
    x->held_owed += bytes.len;
    x->down->pause(x, !end); /* with all of it here a client that leaves is noticed */
}

void dp_exchange_hold_trailers(struct dp_exchange *x, const struct sp_fields *trailers)
{
    struct sp_arena *a = x->arena;
    for (uint32_t i = 0; trailers && i < trailers->len; i++) {
        const struct sp_field *f = &trailers->v[i];
        if (!f->removed)
            sp_fields_add(&x->held_trailers, a, f->id, sp_arena_dup(a, f->name), sp_arena_dup(a, f->value));
    }
    x->held_any = true;
    x->held_end = x->held_trailers.len == 0;
    x->down->pause(x, false);
    go_on_when_known(x);
}

static void change_body(struct dp_exchange *x)
{
    sp_buf_clear(&x->held);
    sp_buf_add(&x->held, x->call.body);
    if (x->request.has_length)
        x->request.content_length = x->call.body.len;
}

/* The body goes the way that it would have gone. */
static void release(struct dp_exchange *x, struct sp_str held)
{
    bool trailers = x->held_trailers.len > 0;
    size_t owed = take_owed(x);
    if (!x->up) { /* answered */
        credit(x, owed);
        return;
    }
    x->down->pause(x, false);
    dp_exchange_forward_body(x, held, x->held_end, owed);
    if (trailers && x->up)
        dp_exchange_trailers(x, &x->held_trailers);
}

void dp_exchange_resume(struct dp_call *call)
{
    struct dp_exchange *x = (struct dp_exchange *)(void *)call; /* its first member */
    sp_assert(x->state == DP_EX_PAUSED);
    x->call.cancel = NULL;
    x->state = DP_EX_FORWARD;
    tell_of_body(x);
    bool admitted = dp_exchange_readmit(x);
    if (x->state == DP_EX_PAUSED) /* the next plugin waits */
        return;
    if (x->call.body_changed)
        change_body(x);
    if (admitted)
        dp_exchange_go_on(x);
    if (!x->held_any)
        return;
    struct sp_buf held = x->held;
    x->held = (struct sp_buf){0};
    release(x, sp_buf_str(&held));
    sp_buf_fini(&held);
}
