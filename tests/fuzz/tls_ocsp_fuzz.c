/* OCSP responses and CRLs of strangers: whatever comes, it is never good and never revoked unless the issuer signed it.
 */
#include "../unit/tls/revocation_fixtures.h"
#include "base/encoding.h"
#include "tls/crl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sp_str der(struct sp_arena *a, const char *text)
{
    struct sp_str out;
    bool good = sp_base64_decode(a, sp_str_z(text), &out);
    sp_assert(good);
    return out;
}

/* What is read can be asked. */
static void try_crl(struct sp_str crl, struct sp_str issuer, struct sp_str leaf)
{
    struct sp_crl *c;
    struct sp_revocation r;
    const char *why = sp_crl_read(crl, issuer, &c);
    sp_assert(!why == !!c);
    if (c)
        sp_crl_ask(c, leaf, REVOCATION_NOW, &r);
    sp_assert(why || r.why);
    sp_crl_unref(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_str in = sp_str(data, size);
    struct sp_arena *a = sp_arena_new(8192);
    struct sp_revocation r;
    struct sp_revocation_urls urls;
    uint8_t key[32];
    sp_ocsp_judge(der(a, LEAF), der(a, CA), in, REVOCATION_NOW, &r);
    sp_assert(r.why);
    try_crl(in, der(a, CA), der(a, LEAF));
    sp_ocsp_judge(in, der(a, CA), der(a, OCSP_GOOD), REVOCATION_NOW, &r);
    sp_assert(r.why);
    try_crl(der(a, CRL), in, der(a, LEAF));
    try_crl(der(a, CRL_HERE), der(a, CA), in);
    if (!sp_failed(sp_revocation_urls_read(in, a, &urls, NULL)))
        sp_assert(urls.num_ocsp <= SP_REVOCATION_URLS && urls.num_crl <= SP_REVOCATION_URLS);
    bool named = sp_revocation_key(in, in, key);
    (void)named;
    sp_arena_free(a);
    return 0;
}
