/* Certificates and keys of strangers, as PEM and as DER. */
#include "tls/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_one(struct sp_str der, struct sp_arena *a)
{
    struct sp_cert_info info;
    struct sp_error err;
    if (sp_failed(sp_cert_read(der, a, &info, &err)))
        return;
    for (size_t i = 0; i < info.num_names; i++)
        sp_assert(!info.names[i].text.len || !memchr(info.names[i].text.p, '\0', info.names[i].text.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_str in = sp_str(data, size);
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_der_list list;
    struct sp_error err;
    enum sp_key_type type;
    read_one(in, a);
    if (!sp_failed(sp_pem_certificates(in, a, &list, &err)))
        for (size_t i = 0; i < list.num; i++)
            read_one(list.v[i], a);
    if (!sp_failed(sp_pem_key_type(in, &type, &err)))
        sp_assert(type <= SP_KEY_ED25519);
    sp_arena_free(a);
    return 0;
}
