/* Texts in the place of a password: what is read as a hash is written back as it came, and never costs too much. */
#include "tls/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_str text = sp_str(data, size);
    struct sp_password p;
    bool good = sp_password_read(text, &p);
    enum sp_password_form form = sp_password_form(text);
    sp_assert(!good || form == (p.local ? SP_PASSWORD_PLAIN : SP_PASSWORD_OURS));
    sp_assert(good || form != SP_PASSWORD_OURS);
    if (good) {
        struct sp_buf b = {0};
        sp_password_write(&p, &b);
        sp_assert(sp_str_eq(sp_buf_str(&b), text));
        sp_buf_fini(&b);
        sp_assert(p.local || ((uint64_t)128 << p.log_n) * p.r <= 64 << 20);
    }
    if (form == SP_PASSWORD_KONGS)
        sp_assert(sp_is_kong_hash(sp_password_kong_digits(text)));
    return 0;
}
