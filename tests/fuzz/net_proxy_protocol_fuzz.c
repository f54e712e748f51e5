/* PROXY headers: whole, and byte by byte, which must come to the same. */
#include "net/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_proxy_header h, part;
    const char *why = NULL, *ignored;
    char text[SP_ADDRESS_TEXT];
    enum sp_proxy_parse whole = sp_proxy_header_parse(sp_str(data, size), &h, &why), r = SP_PROXY_MORE;
    size_t n = 0;
    for (; n <= size && r == SP_PROXY_MORE; n++)
        r = sp_proxy_header_parse(sp_str(data, n), &part, &ignored);
    sp_assert(r == whole);
    if (whole == SP_PROXY_MORE)
        sp_assert(size < SP_PROXY_HEADER_MAX);
    if (whole == SP_PROXY_BAD)
        sp_assert(why && !h.known);
    if (whole != SP_PROXY_DONE)
        return 0;
    sp_assert(h.len == n - 1 && h.len <= SP_PROXY_HEADER_MAX && part.len == h.len && part.known == h.known);
    if (h.known)
        sp_assert(sp_address_ip(&h.source, text) > 0);
    return 0;
}
