/* Questions to explain: whatever is read, in either form, can be answered, and the answer is JSON. */
#include "explain/explain.h"
#include "model/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sp_explainer *nothing(struct sp_arena *a)
{
    static struct sp_explainer *made; /* of an empty configuration; lives as long as the process */
    const struct sp_resources none = {0};
    struct sp_problems problems;
    sp_problems_init(&problems, a);
    sp_result r = made ? sp_ok() : sp_explainer_new(&none, 1, true, &made, &problems);
    sp_assert(!sp_failed(r));
    return made;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_explain_question q;
    struct sp_problems problems;
    struct sp_error err;
    struct sp_str text = sp_arena_dup(a, sp_str(data, size));
    sp_result r =
        size && data[0] == '{' ? sp_explain_read_json(a, text, &q, &err) : sp_explain_read_query(a, text, &q, &err);
    if (!sp_failed(r)) {
        struct sp_buf json = {0};
        sp_explain_request(nothing(a), &q, a, &json);
        sp_problems_init(&problems, a);
        sp_assert(sp_node_read_json(a, sp_buf_str(&json), SP_STR("answer"), &problems));
        sp_buf_fini(&json);
    }
    sp_arena_free(a);
    return 0;
}
