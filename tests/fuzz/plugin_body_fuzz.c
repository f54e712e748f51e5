/* Bodies: a name that was taken out is not found again, and what is left is still of its kind. */
#include "base/json_scan.h"
#include "plugin/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_str body = sp_arena_dup(a, sp_str(data, size)), value, name = SP_STR("a");
    const struct dp_body_type types[] = {
        {.kind = DP_BODY_FORM}, {.kind = DP_BODY_JSON}, {DP_BODY_MULTIPART, SP_STR("--b")}};
    for (int k = 0; k < 3; k++) {
        dp_body_find(a, &types[k], body, name, &value);
        struct sp_str rest = dp_body_without(a, &types[k], body, name);
        sp_assert(dp_body_find(a, &types[k], rest, name, &value) == 0);
        sp_assert(rest.len <= body.len);
    }
    if (sp_json_valid(body))
        sp_assert(sp_json_valid(dp_body_without(a, &types[1], body, name)));
    sp_arena_free(a);
    return 0;
}
