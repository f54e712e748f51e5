/* Where configurations come from: a file (db-less) or a control plane (hybrid). Feeds them to the proxy and notes for
 * the status listener how that went. Main thread. */
#pragma once
#include "observe/status.h"
#include "settings.h"

struct dp_feed;
/* db-less: the file is loaded before this returns; a bad one is an error. hybrid: the cache and the control plane
 * follow on the loop. Everything is borrowed until dp_feed_stop. */
SP_MUST sp_result dp_feed_start(struct sp_loop *l, const struct dp_settings *set, struct dp_proxy *proxy,
                                struct dp_status_source *status, struct dp_feed **out, struct sp_error *err);
/* db-less: reads the file again; a bad one is logged and changes nothing. hybrid: nothing to do. */
void dp_feed_reload(struct dp_feed *f);
void dp_feed_stop(struct dp_feed *f); /* NULL is fine */
/* --check: prints every problem of the file; true when a data plane would run it. */
bool dp_feed_check(const struct dp_settings *set, const struct dp_snapshot_options *o);
