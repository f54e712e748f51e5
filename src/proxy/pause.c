/* A request that waits for a plugin, which waits for something else (a revocation answer). Its body is held, within
 * bounds: h1 stops reading, h2 gives no credit. */
#include "proxy/exchange.h"

void dp_exchange_hold(struct dp_exchange *x, struct sp_str bytes, bool end)
{
    sp_buf_add(&x->held, bytes);
    x->held_any = true;
    x->held_end = end;
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
}

/* The body goes the way that it would have gone. */
static void release(struct dp_exchange *x, struct sp_str held)
{
    bool trailers = x->held_trailers.len > 0;
    if (!x->up) { /* answered */
        if (x->down->credit && held.len)
            x->down->credit(x, held.len);
        return;
    }
    x->down->pause(x, false);
    dp_exchange_data(x, held, x->held_end);
    if (trailers && x->up)
        dp_exchange_trailers(x, &x->held_trailers);
}

void dp_exchange_resume(struct dp_call *call)
{
    struct dp_exchange *x = (struct dp_exchange *)(void *)call; /* its first member */
    sp_assert(x->state == DP_EX_PAUSED);
    x->call.cancel = NULL;
    x->state = DP_EX_FORWARD;
    if (!dp_exchange_readmit(x))
        return;
    dp_exchange_go_on(x);
    if (!x->held_any)
        return;
    struct sp_buf held = x->held;
    x->held = (struct sp_buf){0};
    release(x, sp_buf_str(&held));
    sp_buf_fini(&held);
}
