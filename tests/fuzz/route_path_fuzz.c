/* Paths: the normal form is its own normal form and climbs nowhere. */
#include "route/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool climbs(struct sp_str path)
{
    for (struct sp_str rest = path; rest.p;) {
        struct sp_str segment = sp_str_split(&rest, '/');
        if (sp_str_eq(segment, SP_STR("..")) || sp_str_eq(segment, SP_STR(".")))
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_str once, twice;
    if (dp_path_normalise(a, sp_str(data, size), &once)) {
        sp_assert(once.len && once.p[0] == '/' && !climbs(once));
        sp_assert(dp_path_normalise(a, once, &twice) && sp_str_eq(once, twice));
    }
    sp_arena_free(a);
    return 0;
}
