/* Certificates of a small cluster for tests: a CA, and leaves under it. Include after test.h. */
#pragma once
#include "tls/pki.h"

#include <time.h>

struct cert {
    struct sp_buf cert, key;
};

static inline void cert_make(struct cert *out, const struct cert *issuer, const char *cn, const char *san, bool is_ca,
                             int64_t seconds)
{
    struct sp_error err = {0};
    int64_t now = time(NULL);
    struct sp_str sans[1] = {sp_str_z(san)};
    *out = (struct cert){0};
    struct sp_pki_request r = {.common_name = cn,
                               .sans = sans,
                               .num_sans = san ? 1 : 0,
                               .is_ca = is_ca,
                               .server_auth = !is_ca,
                               .client_auth = !is_ca,
                               .not_before = now - 3600,
                               .not_after = now + seconds};
    if (sp_failed(sp_pki_issue(&r, issuer ? sp_buf_str(&issuer->cert) : SP_STR(""),
                               issuer ? sp_buf_str(&issuer->key) : SP_STR(""), &out->cert, &out->key, &err)))
        fail_msg("%s", err.text);
}

static inline void cert_fini(struct cert *c)
{
    sp_buf_fini(&c->cert);
    sp_buf_wipe(&c->key);
}
