/* One resource as the data plane holds it: name, body and message in memory of its own, shared by the states (current,
 * candidate) that contain it, so that a change of one costs one. Main thread. */
#pragma once
#include "model/compile.h"

enum { DP_RESOURCE_MAX_NAME = 1024, DP_RESOURCE_MAX_BODY = 15 << 20, DP_RESOURCE_OVERHEAD = 256 };

struct dp_held {
    uint32_t refs;
    struct sp_arena *arena;
    struct sp_resource resource;
};

/* Order of a set: by kind, then by name. */
int dp_resource_cmp(Sallyport__V1__Kind kind_a, struct sp_str a, Sallyport__V1__Kind kind_b, struct sp_str b);
/* Foreign bytes to a resource: known kind, bounded name and body, hash == first 16 bytes of SHA-256 of body, and a body
 * that is wholly understood: a field this build does not know would be a rule silently not kept. */
SP_MUST sp_result dp_held_new(Sallyport__V1__Kind kind, struct sp_str name, struct sp_str hash, struct sp_str body,
                              struct dp_held **out, struct sp_error *err);
struct dp_held *dp_held_ref(struct dp_held *h);
void dp_held_unref(struct dp_held *h); /* NULL is fine; the last one wipes the body */
struct sp_str dp_resource_label(struct sp_arena *a, const struct sp_resource *r); /* "CERTIFICATE/<name>" */
/* What it counts against the bound of a state. */
size_t dp_resource_cost(const struct sp_resource *r);
