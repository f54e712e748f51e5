/* Asynchronous DNS over c-ares, one per loop. IP literals and "localhost" answer at once, without a query. */
#pragma once
#include "net/address.h"
#include "net/loop.h"

struct sp_resolver;
SP_MUST sp_result sp_resolver_new(struct sp_loop *l, struct sp_resolver **out, struct sp_error *err);
void sp_resolver_free(struct sp_resolver *r); /* queries under way end with SP_E_CLOSED */

struct sp_query;
/* A and AAAA of host, IPv4 first; `done` comes exactly once, possibly before this call returns; num is 0 on failure.
 * Addresses are borrowed for the call and carry `port`. Answers are cached for their TTL (1 s to 60 s), failures 1 s.
 * Returns NULL when done was called already. */
typedef void sp_resolved_fn(void *ctx, const struct sp_address *addresses, size_t num, const char *why);
struct sp_query *sp_resolve(struct sp_resolver *r, struct sp_str host, uint16_t port, sp_resolved_fn *done, void *ctx);
void sp_query_cancel(struct sp_query *q); /* done will not be called */
