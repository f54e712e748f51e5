/* Query strings: what was taken out is not found again, and taking out twice changes nothing more. */
#include "plugin/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_str query = sp_arena_printf(a, "?%.*s", (int)size, (const char *)data), value, name = SP_STR("a");
    size_t num = dp_query_find(a, query, name, &value);
    struct sp_str rest = dp_query_without(a, query, name);
    sp_assert(dp_query_find(a, rest, name, &value) == 0);
    sp_assert(num || rest.len <= query.len);
    sp_assert(sp_str_eq(dp_query_without(a, rest, name), rest));
    sp_arena_free(a);
    return 0;
}
