/* What the CRLs of the configuration (ca_certificates[].crls) say about a chain that was verified: every certificate of
 * it but the anchor is looked up in those of the CA that signed it. They are in the snapshot, so nobody is asked, and
 * the word of a new configuration counts for the next request. Any thread. */
#pragma once
#include "plugin/directory.h"

struct dp_listed {
    const char *refused; /* constant; NULL: nothing speaks against the chain */
    bool good;           /* a current CRL covers the leaf, and does not list it */
    int64_t until;       /* time alone does not change it before that, seconds since 1970 */
};
/* chain, v: what was verified, and the verdict. strict: a CRL that is out of date refuses whomever it covers; otherwise
 * it only refuses whom it lists. */
void dp_listed_check(const struct dp_directory *d, const struct dp_trust *t, const struct sp_str *chain,
                     const struct sp_verdict *v, bool strict, int64_t now, struct dp_listed *out);
