/* A response head and its body: spans stay inside the input, and a body ends once. */
#include "http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_body(const struct sp_response_head *head, struct sp_str in, struct sp_arena *a)
{
    struct sp_h1_body body;
    struct sp_h1_fault fault;
    struct sp_str data, end = sp_str(in.p + in.len, 0);
    struct sp_fields trailers = {0};
    enum sp_h1_parse rc = SP_H1_DONE;
    sp_h1_body_init(&body, head->framing, head->content_length);
    while (!body.done && in.len && rc == SP_H1_DONE) {
        size_t before = in.len;
        rc = sp_h1_body_next(&body, &in, &data, &fault);
        sp_assert(in.len <= before && in.p + in.len == end.p);
        sp_assert(rc != SP_H1_DONE || in.len < before || data.len || body.done);
    }
    if (body.done)
        rc = sp_h1_body_trailers(&body, a, &trailers, &fault);
    sp_h1_body_fini(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_str in = sp_str(data, size);
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_response_head head;
    struct sp_h1_fault fault;
    size_t scanned = 0, consumed = 0;
    bool was_head = size && (data[size - 1] & 1);
    if (sp_h1_parse_response(in, &scanned, &sp_h1_default_limits, was_head, a, &head, &consumed, &fault) ==
        SP_H1_DONE) {
        sp_assert(consumed <= size);
        read_body(&head, sp_str_skip(in, consumed), a);
    }
    sp_arena_free(a);
    return 0;
}
