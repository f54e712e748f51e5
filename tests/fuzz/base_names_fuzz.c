/* Names: a normal form is its own normal form, and a pattern finds itself in a map. */
#include "base/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_str in = sp_str(data, size), host;
    char once[SP_HOST_MAX + 1], twice[SP_HOST_MAX + 1];
    size_t n, m;
    uint16_t port;
    if (sp_host_normalise(in, once, &n))
        sp_assert(sp_host_normalise(sp_str(once, n), twice, &m) && n == m && memcmp(once, twice, n) == 0);
    if (sp_host_split(in, &host, &port))
        sp_assert(host.len <= in.len);
    sp_assert(sp_pattern_valid(in) == sp_pattern_normalise(in, once, &n));
    if (sp_pattern_valid(in)) {
        struct sp_arena *a = sp_arena_new(4096);
        struct sp_name_map *map = sp_name_map_new(a, 1, true);
        sp_assert(sp_name_map_put(map, in, a) && !sp_name_map_put(map, in, a));
        sp_assert(sp_name_map_exact(map, sp_str(once, n)) == a);
        sp_arena_free(a);
    }
    return 0;
}
