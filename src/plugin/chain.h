/* The plugins of one route, by priority, one instance per kind: the most specific scope wins (kong-behaviour 4.6).
 * Compiled into a snapshot, immutable. */
#pragma once
#include "plugin/plugin.h"

struct dp_chain;
/* Of the plugins in the directory, those that apply to (route, service); service may be NULL. Cannot fail: what could
 * go wrong did when the plugin was added. route and service need to live for the call only. */
struct dp_chain *dp_chain_compile(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Route *route,
                                  const Sallyport__V1__Service *service);
size_t dp_chain_len(const struct dp_chain *c);
/* Runs from the highest priority down until one replies, after removing the fields that tell the upstream who the
 * client is, unless the peer is trusted. `tls`: protocol of the request, for the instances' own protocols. */
enum dp_verdict dp_chain_access(const struct dp_chain *c, struct dp_call *call, bool tls);
/* After DP_PAUSE: goes on with the plugin that paused. */
enum dp_verdict dp_chain_resume(const struct dp_chain *c, struct dp_call *call, bool tls);

/* Some plugin of it knows clients by the certificate of their connection. */
bool dp_chain_identifies(const struct dp_chain *c);
/* Would it still? Of the certificate of call->peer; what the call must have: dp_plugin_kind.stands. */
bool dp_chain_stands(const struct dp_chain *c, struct dp_call *call);

/* Builder of the directory that plugins see; filled by the snapshot from resources before any chain is compiled. */
struct dp_directory *dp_directory_new(struct sp_arena *a);
/* CRLs that `previous` has read from the same text are not read again. It lives until every CA is added; NULL: none. */
void dp_directory_reuse(struct dp_directory *d, const struct dp_directory *previous);
/* The texts of its CRLs live as long as the directory. */
SP_MUST sp_result dp_directory_add_ca(struct dp_directory *d, const Sallyport__V1__CaCertificate *ca,
                                      struct sp_error *err);
void dp_directory_add_consumer(struct dp_directory *d, const Sallyport__V1__ConsumerResource *c);
/* After all CAs and consumers. Makes the plugin ready to run; errors carry a field path of the plugin. p lives as long
 * as the directory, and so do the keys of consumers; CA certificates and the rest of consumers are copied. */
SP_MUST sp_result dp_directory_add_plugin(struct dp_directory *d, const Sallyport__V1__Plugin *p, struct sp_error *err);
/* CRLs of the configuration, and those of them whose nextUpdate has passed. */
void dp_directory_count_crls(const struct dp_directory *d, int64_t now, size_t *num, size_t *stale);
