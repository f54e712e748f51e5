/* The Admin API: Kong's paths and shapes (kong-behaviour section 5), ours below /sallyport/. On the loop's thread;
 * every request is answered at once.
 *
 * It has no authentication of its own, so it listens on loopback unless it is told otherwise. A browser must not be
 * made to speak to it: requests from another origin are refused, and on loopback the Host must be an address or
 * localhost (DNS rebinding). */
#pragma once
#include "base/json.h"
#include "control/api/control.h"
#include "net/address.h"
#include "net/loop.h"

struct cp_api;
struct cp_api_options {
    struct sp_loop *loop;
    struct cp_control *control; /* borrowed */
    /* Writes the JSON array of known data planes; NULL: there is no discovery service. */
    void (*nodes)(void *ctx, struct sp_json *j);
    void *ctx;
    const char *database; /* for GET /: "sqlite", "memory" */
    bool show_secrets;    /* private keys may be read (?secrets=1 on export, and in GET of certificates) */
};
struct cp_api *cp_api_new(const struct cp_api_options *o);
/* bound (may be NULL): with the port that was taken. */
SP_MUST sp_result cp_api_listen(struct cp_api *api, const struct sp_address *at, struct sp_address *bound,
                                struct sp_error *err);
void cp_api_drain(struct cp_api *api); /* no new connections, answers are finished */
bool cp_api_drained(const struct cp_api *api);
void cp_api_free(struct cp_api *api); /* NULL is fine */
