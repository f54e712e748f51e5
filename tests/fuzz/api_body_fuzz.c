/* A form of strangers as the body of an entity write: to a message of every kind, new and over an old one. */
#include "control/api/body.h"
#include "model/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_as(struct cp_call *c, enum sp_entity_kind kind)
{
    const ProtobufCMessageDescriptor *d = sp_entity_info(kind)->descriptor;
    struct sp_problems problems;
    ProtobufCMessage *m, *again;
    struct sp_buf json = {0};
    if (!cp_body_message(c, d, NULL, &m, &problems)) {
        sp_assert(problems.num_errors > 0);
        return;
    }
    sp_message_write_json(m, false, 0, &json);
    sp_buf_fini(&json);
    sp_assert(cp_body_message(c, d, m, &again, &problems)); /* what could be read can be read over itself */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_request_head head = {.method = SP_STR("POST")};
    struct sp_http_exchange x = {.request = &head, .body = sp_str(data, size), .arena = a};
    struct cp_call c = {.x = &x, .arena = a, .method = head.method};
    struct sp_str *names;
    size_t num;
    sp_fields_add(&head.fields, a, SP_FIELD_CONTENT_TYPE, SP_STR("Content-Type"),
                  SP_STR("application/x-www-form-urlencoded"));
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        read_as(&c, (enum sp_entity_kind)k);
    (void)!cp_body_names(&c, "consumer", &names, &num);
    sp_arena_free(a);
    return 0;
}
