/* Certificates in header fields: the first byte chooses the dialect, a NUL ends the field and begins the chain's. */
#include "plugin/cert_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_str chain = sp_str(data + 1, size - 1), value = sp_str_split(&chain, '\0');
    struct sp_fields fields = {0};
    sp_fields_add(&fields, a, SP_FIELD_OTHER, SP_STR("X-Cert"), value);
    if (chain.p)
        sp_fields_add(&fields, a, SP_FIELD_OTHER, SP_STR("x-cert-chain"), chain);
    struct sp_der_list list;
    if (!dp_cert_header_read(a, &fields, SP_STR("x_cert"), (enum dp_cert_format)(data[0] % 4), &list)) {
        sp_assert(list.num <= DP_CERT_HEADER_MAX);
        for (size_t i = 0; i < list.num; i++)
            sp_assert(list.v[i].len > 0);
    }
    sp_arena_free(a);
    return 0;
}
