#include "plugin/passwords.h"
#include "base/counter.h"
#include "base/digests.h"

#include <stdlib.h>

enum { SETS = 1024 }; /* of four: 132 KiB a worker, once there is one */

struct dp_passwords {
    struct sp_digests *right;
    struct dp_password_checker *checker;
    struct dp_password_counters *counters;
};

/* Lives in the call's arena while the call waits. */
struct wait {
    struct dp_call *call;
    const void *owner;
    uint8_t fingerprint[32];
    struct dp_password_check *check;
    bool done, right;
};

struct dp_passwords *dp_passwords_new(struct dp_password_checker *checker, struct dp_password_counters *counters)
{
    struct dp_passwords *p = sp_alloc(sizeof *p);
    p->right = sp_digests_new(SETS);
    p->checker = checker;
    p->counters = counters;
    return p;
}

void dp_passwords_free(struct dp_passwords *p)
{
    if (!p)
        return;
    sp_digests_free(p->right);
    free(p);
}

static void cancel(struct dp_call *call)
{
    struct wait *w = call->waiting;
    struct dp_password_checker *c = call->passwords->checker;
    if (w->check)
        c->cancel(c, SP_TAKE(w->check));
}

static void on_checked(void *ctx, bool right)
{
    struct wait *w = ctx;
    w->check = NULL;
    w->done = true;
    w->right = right;
    if (right)
        sp_digests_add(w->call->passwords->right, w->fingerprint);
    w->call->resume(w->call);
}

/* What the call has waited for, if it was about this. */
static bool take_answer(struct dp_call *call, const void *owner, const uint8_t fingerprint[32],
                        enum dp_password_answer *out)
{
    const struct wait *w = SP_TAKE(call->waiting);
    if (!w || !w->done || w->owner != owner || memcmp(w->fingerprint, fingerprint, 32) != 0)
        return false;
    *out = w->right ? DP_PASSWORD_RIGHT : DP_PASSWORD_WRONG;
    return true;
}

static enum dp_verdict ask(struct dp_call *call, const void *owner, const struct dp_password_order *o,
                           enum dp_password_answer *out)
{
    struct dp_passwords *p = call->passwords;
    struct wait *w = SP_NEW(call->arena, struct wait);
    *w = (struct wait){.call = call, .owner = owner};
    memcpy(w->fingerprint, o->fingerprint, 32);
    w->check = p->checker->start(p->checker, o, on_checked, w);
    if (!w->check) {
        sp_count(&p->counters->refused, 1);
        *out = DP_PASSWORD_BUSY;
        return DP_NEXT;
    }
    sp_count(&p->counters->checks, 1);
    call->waiting = w;
    call->cancel = cancel;
    return DP_PAUSE;
}

enum dp_verdict dp_password_check(struct dp_call *call, const void *owner, struct sp_str username,
                                  const struct sp_password *p, struct sp_str secret, enum dp_password_answer *out)
{
    struct dp_password_order o = {.password = p, .secret = secret, .client = sp_str_hash(call->client_ip)};
    sp_password_fingerprint(username, p, secret, o.fingerprint);
    if (take_answer(call, owner, o.fingerprint, out))
        return DP_NEXT;
    *out = DP_PASSWORD_RIGHT;
    if (sp_digests_has(call->passwords->right, o.fingerprint))
        return DP_NEXT;
    return ask(call, owner, &o, out);
}
