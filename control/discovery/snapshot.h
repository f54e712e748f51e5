/* One revision's resources as the discovery service shares them between streams, and what differs between two states,
 * encoded once. Reference counted, immutable but for the counts. Control plane's main thread. */
#pragma once
#include "base/bytes.h"
#include "model/compile.h"
#include "sallyport/v1/discovery.pb-c.h"

enum { CP_CHUNK_BYTES = 1 << 20, CP_MAX_BODY = 15 << 20, CP_NUM_CACHED = 4 };

struct cp_push;
struct cp_snapshot {
    uint32_t refs;
    uint64_t serial; /* unique in this process, from 1: the same number is the same object */
    int64_t revision;
    bool rollback; /* set before publishing: nodes may go back to a lower revision */
    const struct sp_resources *resources;
    struct sp_arena *arena;
    uint8_t digest[32];                   /* over kinds, names and hashes: the same content */
    struct cp_push *cache[CP_NUM_CACHED]; /* towards this snapshot, newest first */
};
/* Takes over the arena that r lives in (freed with the last reference). One reference. */
struct cp_snapshot *cp_snapshot_new(int64_t revision, const struct sp_resources *r, struct sp_arena *a);
struct cp_snapshot *cp_snapshot_ref(struct cp_snapshot *s);
void cp_snapshot_unref(struct cp_snapshot *s);      /* NULL is fine */
void cp_snapshot_superseded(struct cp_snapshot *s); /* no new push will lead here: forgets the encoded ones */
/* Something that was allowed may not be any more: a CA certificate, consumer, mapping or plugin was removed or changed.
 * from NULL: nothing was. */
bool cp_snapshot_tightens(const struct cp_snapshot *from, const struct cp_snapshot *to);

/* Order of a set: by kind, then by name, bytewise. */
int cp_resource_cmp(const struct sp_resource *a, const struct sp_resource *b);

/* The chunks of a transaction: serialised ControlMessages. */
struct cp_push {
    uint32_t refs;
    uint64_t from; /* serial; 0: nothing */
    uint32_t num_upserts, num_removals;
    const struct sp_resource *too_large; /* cannot be sent: its body is over CP_MAX_BODY; borrowed from the snapshot */
    size_t num_chunks;
    struct sp_bytes **chunks;
};
/* From a sorted set (name and hash matter, bodies do not) to a snapshot. from_serial 0 with num > 0: not shared. */
struct cp_push *cp_push_new(uint64_t from_serial, const struct sp_resource *from, size_t num, struct cp_snapshot *to);
void cp_push_unref(struct cp_push *p); /* NULL is fine */
