/* Upstream paths: whatever prefix is stripped of whatever path, the result stays below the service's path. Input:
 * prefix length, path. */
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
    static const struct sp_str bases[] = {{"", 0}, {"/", 1}, {"/base", 5}, {"/base/", 6}};
    if (size == 0)
        return 0;
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_str path;
    if (dp_path_normalise(a, sp_str(data + 1, size - 1), &path)) {
        size_t cut = data[0] % (path.len + 1);
        for (size_t i = 0; i < 4; i++) {
            struct sp_str up = dp_upstream_path(a, bases[i], path, sp_str(path.p, cut), true);
            sp_assert(up.len && up.p[0] == '/' && !climbs(up));
            sp_assert(i < 2 || sp_str_starts(up, SP_STR("/base")));
            up = dp_upstream_path(a, bases[i], path, sp_str(path.p, cut), false);
            sp_assert(up.len && up.p[0] == '/' && !climbs(up));
        }
    }
    sp_arena_free(a);
    return 0;
}
