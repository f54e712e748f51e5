/* A declarative file of strangers: parsed, and when it is good written, parsed again and compiled. The same bytes as a
 * body of the Admin API. */
#include "model/compile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void dump_and_compile(struct sp_arena *a, const struct sp_model *m)
{
    struct sp_buf SP_AUTO(sp_buf_fini) yaml = {0};
    struct sp_problems problems;
    struct sp_model *again;
    struct sp_change *changes;
    struct sp_resources *resources;
    size_t num;
    sp_problems_init(&problems, a);
    sp_model_write_yaml(m, false, &yaml);
    sp_result r = sp_model_parse(a, sp_buf_str(&yaml), SP_STR(""), 0, &again, &problems);
    sp_assert(!sp_failed(r));
    sp_model_diff(a, m, again, &changes, &num);
    sp_assert(num == 0);
    if (!sp_failed(sp_compile(a, m, &resources, &problems)))
        sp_handshake_effects(a, NULL, resources, &(struct sp_effect *){NULL}, &num);
}

static void read_body(struct sp_arena *a, enum sp_entity_kind kind, struct sp_str text)
{
    struct sp_problems problems;
    ProtobufCMessage *m;
    sp_problems_init(&problems, a);
    if (sp_failed(sp_message_parse(a, sp_entity_info(kind)->descriptor, text, SP_STR(""), &m, &problems)))
        return;
    struct sp_buf SP_AUTO(sp_buf_fini) json = {0};
    sp_message_write_json(m, false, 0, &json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_problems problems;
    struct sp_model *m;
    struct sp_str text = sp_str(data, size);
    struct sp_buf SP_AUTO(sp_buf_fini) out = {0};
    sp_problems_init(&problems, a);
    if (!sp_failed(sp_model_parse(a, text, SP_STR("f"), 0, &m, &problems)))
        dump_and_compile(a, m);
    else
        sp_assert(problems.num_errors > 0);
    sp_problems_print(&problems, &out);
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        read_body(a, k, text);
    sp_arena_free(a);
    return 0;
}
