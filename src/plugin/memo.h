/* What a plugin instance made of some bytes that it knows by digest. One worker's, inside one snapshot (struct
 * dp_plugin_cache), so a changed config never meets an old answer. Bounded, in number and in bytes: old values make
 * room for new ones, but what a client can have without a trusted certificate never displaces what others have with
 * one. */
#pragma once
#include "plugin/plugin.h"

/* NULL: not there. Valid until the next put. */
void *dp_memo_find(const struct dp_plugin_cache *c, const void *instance, const uint8_t digest[32]);
/* A zeroed value of this size in place of what the key had; *arena holds it and its strings, and dies with it. proven:
 * the digest is that of a certificate that was verified. */
void *dp_memo_put(struct dp_plugin_cache *c, const void *instance, const uint8_t digest[32], bool proven, size_t size,
                  struct sp_arena **arena);
size_t dp_memo_bytes(const struct dp_plugin_cache *c); /* of all values but those that were put last */

/* A number that this worker has not used before, and its own random UUID as text. */
uint64_t dp_worker_sequence(struct dp_plugin_cache *c);
const char *dp_worker_uuid(struct dp_plugin_cache *c);
void dp_uuid_make(char out[37]); /* version 4 */
