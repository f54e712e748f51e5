/* Certificates for the tests of this room: issue(&ca, "cn", {...}) and what comes with it. */
#pragma once
#include "tls/certificate.h"
#include "tls/pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

struct pair {
    struct sp_buf cert, key;
};

static inline void pair_fini(struct pair *p)
{
    sp_buf_fini(&p->cert);
    sp_buf_wipe(&p->key);
}

static inline void pair_request(struct pair *out, const struct pair *issuer, const struct sp_pki_request *r)
{
    struct sp_error err = {0};
    *out = (struct pair){0};
    struct sp_str cert = issuer ? sp_buf_str(&issuer->cert) : SP_STR(""),
                  key = issuer ? sp_buf_str(&issuer->key) : SP_STR("");
    if (sp_failed(sp_pki_issue(r, cert, key, &out->cert, &out->key, &err)))
        fail_msg("%s", err.text);
}

static inline void pair_ca(struct pair *out, const struct pair *issuer, const char *cn)
{
    time_t now = time(NULL);
    pair_request(
        out, issuer,
        &(struct sp_pki_request){.common_name = cn, .is_ca = true, .not_before = now - 60, .not_after = now + 86400});
}

/* A leaf for both client and server, with one name or none ("DNS:a"). */
static inline void pair_leaf(struct pair *out, const struct pair *issuer, const char *cn, const char *san,
                             int64_t seconds)
{
    time_t now = time(NULL);
    struct sp_str names[1] = {sp_str_z(san)};
    pair_request(out, issuer,
                 &(struct sp_pki_request){.common_name = cn,
                                          .sans = names,
                                          .num_sans = san ? 1 : 0,
                                          .server_auth = true,
                                          .client_auth = true,
                                          .not_before = now - 60,
                                          .not_after = now + seconds});
}

static inline struct sp_str pair_der(const struct pair *p, struct sp_arena *a)
{
    struct sp_der_list list;
    struct sp_error err;
    assert_int_equal(sp_pem_certificates(sp_buf_str(&p->cert), a, &list, &err).code, SP_OK);
    return list.v[0];
}
