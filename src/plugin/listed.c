#include "plugin/listed.h"

static struct sp_str bytes_of(const struct dp_directory *d, const struct dp_trust *t, const struct sp_str *chain,
                              const struct sp_signer *s)
{
    return s->in_set ? dp_directory_ca(d, t->ids[s->index])->der : chain[s->index];
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What the CRLs of one CA say about one certificate that it has signed. One current CRL is enough: an older one beside
 * it only adds what it lists. */
static void look(const struct dp_crls *crls, struct sp_str cert, int64_t now, bool strict, struct dp_listed *out)
{
    const char *stale = NULL;
    bool current = false;
    out->good = false;
    for (size_t i = 0; i < crls->num; i++) {
        const struct sp_crl *c = crls->v[i];
        if (sp_crl_lists(c, cert)) {
            out->refused = "certificate is revoked by a CRL of the configuration";
            return;
        }
        if (!sp_crl_covers(c, cert))
            continue;
        const char *why = sp_crl_stale(c, now);
        current |= !why;
        stale = why ? why : stale;
        out->until = sooner(out->until, why ? now + 1 : sp_crl_until(c) + SP_REVOCATION_SKEW_S);
    }
    out->good = current;
    if (stale && !current && strict)
        out->refused = "the CRL of the configuration is out of date";
}

void dp_listed_check(const struct dp_directory *d, const struct dp_trust *t, const struct sp_str *chain,
                     const struct sp_verdict *v, bool strict, int64_t now, struct dp_listed *out)
{
    struct sp_str cert = chain[0];
    bool leaf_is_good = false;
    *out = (struct dp_listed){.until = INT64_MAX};
    if (!dp_directory_has_crls(d))
        return;
    for (size_t i = 0; i < v->num_signers && !out->refused; i++) {
        struct sp_str signer = bytes_of(d, t, chain, &v->signers[i]);
        const struct dp_crls *crls = dp_directory_crls(d, signer);
        out->good = false;
        if (crls)
            look(crls, cert, now, strict, out);
        if (i == 0)
            leaf_is_good = out->good;
        cert = signer;
    }
    out->good = leaf_is_good;
}
