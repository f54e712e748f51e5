/* What plugins wait for, without a client and a worker: the body is empty, a password is checked on the spot. */
#include "explain/wait.h"
#include "tls/password.h"

#include <stdlib.h>

struct dp_password_check {
    struct sp_password password;
    char secret[SP_PASSWORD_MAX];
    size_t len;
    dp_password_checked_fn *done;
    void *ctx;
};

static void drop(struct dp_explain_wait *w)
{
    if (!w->check)
        return;
    sp_wipe(w->check, sizeof *w->check);
    free(SP_TAKE(w->check));
}

static struct dp_password_check *start(struct dp_password_checker *c, const struct dp_password_order *o,
                                       dp_password_checked_fn *done, void *ctx)
{
    struct dp_explain_wait *w = (struct dp_explain_wait *)(void *)c;
    if (o->secret.len > SP_PASSWORD_MAX)
        return NULL;
    w->check = sp_alloc(sizeof *w->check);
    *w->check = (struct dp_password_check){.password = *o->password, .len = o->secret.len, .done = done, .ctx = ctx};
    memcpy(w->check->secret, o->secret.p, o->secret.len);
    return w->check;
}

static void cancel(struct dp_password_checker *c, struct dp_password_check *check)
{
    (void)check; /* there is never another one */
    drop((struct dp_explain_wait *)(void *)c);
}

static void resume(struct dp_call *call)
{
    (void)call; /* dp_explain_wait_over says it */
}

void dp_explain_wait_init(struct dp_explain_wait *w, struct dp_call *call)
{
    *w = (struct dp_explain_wait){.checker = {start, cancel}};
    w->passwords = dp_passwords_new(&w->checker, &w->counters);
    call->passwords = w->passwords;
    call->resume = resume;
}

bool dp_explain_wait_over(struct dp_explain_wait *w, struct dp_call *call)
{
    if (call->wants_body) {
        call->wants_body = false;
        call->body_state = DP_BODY_WHOLE;
        w->assumed_body = true;
        return true;
    }
    if (!w->check)
        return false;
    bool right = sp_password_matches(&w->check->password, sp_str(w->check->secret, w->check->len));
    dp_password_checked_fn *done = w->check->done;
    void *ctx = w->check->ctx;
    drop(w);
    done(ctx, right);
    return true;
}

void dp_explain_wait_fini(struct dp_explain_wait *w, struct dp_call *call)
{
    drop(w);
    dp_passwords_free(w->passwords);
    call->passwords = NULL;
}
