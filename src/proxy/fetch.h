/* The fetcher behind struct dp_fetcher: a small HTTP/1.1 client on the worker's loop, one connection a document. For
 * what plugins look up now and then; requests of clients go through the pools. Worker thread. */
#pragma once
#include "net/resolver.h"
#include "net/wheel.h"
#include "plugin/fetch.h"

struct dp_fetcher *dp_fetcher_new(struct sp_loop *loop, struct sp_wheel *wheel, struct sp_resolver *resolver);
void dp_fetcher_free(struct dp_fetcher *f); /* what is under way ends without `done`; NULL is fine */
