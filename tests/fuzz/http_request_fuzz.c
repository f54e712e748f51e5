/* A request head: whole or byte by byte is the same head, and what we would write of it we read again as the same. */
#include "http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_again(const struct sp_request_head *head, struct sp_arena *a)
{
    struct sp_buf out = {0};
    if (head->authority.len && sp_h1_write_request(&out, head)) { // HTTP/1.0 may come without, but never leaves so
        struct sp_request_head again;
        struct sp_h1_fault fault;
        size_t scanned = 0, consumed = 0;
        struct sp_h1_limits wide = {1u << 24, 1u << 24, 1u << 16};
        enum sp_h1_parse rc = sp_h1_parse_request(sp_buf_str(&out), &scanned, &wide, a, &again, &consumed, &fault);
        sp_assert(rc == SP_H1_DONE && consumed == out.len);
        sp_assert(sp_str_eq(again.method, head->method) && sp_str_eq(again.authority, head->authority));
        sp_assert(again.framing == head->framing && again.content_length == head->content_length);
    }
    sp_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_str in = sp_str(data, size);
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_request_head whole, slow;
    struct sp_h1_fault fault;
    size_t scanned = 0, consumed = 0, slow_consumed = 0;
    enum sp_h1_parse rc = sp_h1_parse_request(in, &scanned, &sp_h1_default_limits, a, &whole, &consumed, &fault);
    enum sp_h1_parse slow_rc = SP_H1_MORE;
    scanned = 0;
    for (size_t n = 0; n <= size && slow_rc == SP_H1_MORE; n++)
        slow_rc =
            sp_h1_parse_request(sp_str(data, n), &scanned, &sp_h1_default_limits, a, &slow, &slow_consumed, &fault);
    sp_assert((rc == SP_H1_DONE) == (slow_rc == SP_H1_DONE));
    if (rc == SP_H1_DONE) {
        sp_assert(consumed == slow_consumed && consumed <= size);
        sp_assert(sp_str_eq(whole.target, slow.target) && whole.framing == slow.framing);
        read_again(&whole, a);
    }
    sp_arena_free(a);
    return 0;
}
