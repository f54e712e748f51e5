/* Is a password right? A hash is dear to check by design, so it is checked on somebody else's thread while the call
 * pauses, and the worker remembers for its life which password was right for which hash: no configuration changes that
 * (a changed password has another hash), so a returning client costs an HMAC, also after a new configuration. Wrong
 * ones are not remembered here, so that nobody can push out the right ones. Worker thread. */
#pragma once
#include "plugin/plugin.h"

/* Who checks: the worker makes it happen; a test puts something of its own in its place. */
struct dp_password_order { /* copied */
    const struct sp_password *password;
    struct sp_str secret;
    uint8_t fingerprint[32]; /* of name, hash and secret: equal ones have one answer */
    uint64_t client;         /* whose share of the queue it takes */
};
struct dp_password_check;
typedef void dp_password_checked_fn(void *ctx, bool right);
struct dp_password_checker {
    /* NULL: too many wait already. Otherwise `done` comes exactly once, never inside start, unless the check is
     * cancelled before. */
    struct dp_password_check *(*start)(struct dp_password_checker *c, const struct dp_password_order *o,
                                       dp_password_checked_fn *done, void *ctx);
    void (*cancel)(struct dp_password_checker *c, struct dp_password_check *check);
};

struct dp_password_counters { /* written by the worker, read by anyone */
    uint64_t checks, refused; /* asked of the checker; not taken by it */
};
struct dp_passwords *dp_passwords_new(struct dp_password_checker *checker, struct dp_password_counters *counters);
void dp_passwords_free(struct dp_passwords *p); /* NULL is fine */

enum dp_password_answer { DP_PASSWORD_WRONG, DP_PASSWORD_RIGHT, DP_PASSWORD_BUSY };
/* DP_NEXT: *out tells. DP_PAUSE: return it; the plugin will be called again and asks again. owner: the plugin's
 * instance, so that several of them in one call do not take each other's answers. The secret may be wiped afterwards.
 */
enum dp_verdict dp_password_check(struct dp_call *call, const void *owner, struct sp_str username,
                                  const struct sp_password *p, struct sp_str secret, enum dp_password_answer *out);
