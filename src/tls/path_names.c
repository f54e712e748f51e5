/* RFC 5280 section 4.2.1.10 for iPAddress. BoringSSL knows the other kinds of names; asked about an address under a
 * constraint of addresses it says that it does not support it, so here it is asked again without them. */
#include "tls/path.h"

#include <openssl/x509v3.h>

enum { CHECKS_MAX = 1 << 16 /* names times constraints: as BoringSSL has it, a bound on the work */ };

static bool is_inside(const ASN1_OCTET_STRING *ip, const ASN1_OCTET_STRING *range)
{
    const uint8_t *a = ASN1_STRING_get0_data(ip), *base = ASN1_STRING_get0_data(range);
    int len = ASN1_STRING_length(ip);
    for (int i = 0; i < len; i++)
        if ((a[i] ^ base[i]) & base[len + i])
            return false;
    return true;
}

/* An address and its mask, the ones of the mask before its noughts. */
static bool is_range(const GENERAL_SUBTREE *t)
{
    const uint8_t *p = ASN1_STRING_get0_data(t->base->d.iPAddress);
    int len = ASN1_STRING_length(t->base->d.iPAddress);
    if ((len != 8 && len != 32) || t->minimum || t->maximum)
        return false;
    bool ended = false;
    for (int bit = len * 4; bit < len * 8; bit++) {
        bool one = p[bit / 8] >> (7 - bit % 8) & 1;
        if (one && ended)
            return false;
        ended = !one;
    }
    return true;
}

/* RFC 5280 section 4.2.1.10: of several subtrees of a kind one must hold it, or none of the excluded ones may. IPv4 and
 * IPv6 are one kind of name: where only ranges of one are permitted, no address of the other is. */
static const char *check_ip(const ASN1_OCTET_STRING *ip, STACK_OF(GENERAL_SUBTREE) * trees, bool permitted)
{
    bool any = false;
    for (size_t i = 0; i < sk_GENERAL_SUBTREE_num(trees); i++) {
        const GENERAL_SUBTREE *t = sk_GENERAL_SUBTREE_value(trees, i);
        if (t->base->type != GEN_IPADD)
            continue;
        if (!is_range(t))
            return X509_verify_cert_error_string(X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX);
        any = true;
        if (ASN1_STRING_length(t->base->d.iPAddress) == 2 * ASN1_STRING_length(ip) &&
            is_inside(ip, t->base->d.iPAddress))
            return permitted ? NULL : X509_verify_cert_error_string(X509_V_ERR_EXCLUDED_VIOLATION);
    }
    return permitted && any ? X509_verify_cert_error_string(X509_V_ERR_PERMITTED_VIOLATION) : NULL;
}

static const char *check_ips(X509 *x, const NAME_CONSTRAINTS *nc)
{
    const char *fault = NULL;
    GENERAL_NAMES *sans = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    size_t trees = sk_GENERAL_SUBTREE_num(nc->permittedSubtrees) + sk_GENERAL_SUBTREE_num(nc->excludedSubtrees);
    if (trees && sk_GENERAL_NAME_num(sans) > CHECKS_MAX / trees)
        fault = "too many names under name constraints";
    for (size_t i = 0; i < sk_GENERAL_NAME_num(sans) && !fault; i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(sans, i);
        if (g->type != GEN_IPADD)
            continue;
        if (ASN1_STRING_length(g->d.iPAddress) != 4 && ASN1_STRING_length(g->d.iPAddress) != 16)
            fault = X509_verify_cert_error_string(X509_V_ERR_UNSUPPORTED_NAME_SYNTAX);
        if (!fault)
            fault = check_ip(g->d.iPAddress, nc->excludedSubtrees, false);
        if (!fault)
            fault = check_ip(g->d.iPAddress, nc->permittedSubtrees, true);
    }
    GENERAL_NAMES_free(sans);
    return fault;
}

static void drop_ips(STACK_OF(GENERAL_SUBTREE) * trees)
{
    for (size_t i = sk_GENERAL_SUBTREE_num(trees); i-- > 0;)
        if (sk_GENERAL_SUBTREE_value(trees, i)->base->type == GEN_IPADD)
            GENERAL_SUBTREE_free(sk_GENERAL_SUBTREE_delete(trees, i));
}

/* Everything below chain[n] under its constraints. Self-issued certificates are exempt, except the leaf. */
static const char *check_below(STACK_OF(X509) * chain, size_t n, NAME_CONSTRAINTS *nc)
{
    const char *fault = NULL;
    for (int others = 0; others < 2 && !fault; others++) {
        for (size_t i = 0; i < n && !fault; i++) {
            X509 *x = sk_X509_value(chain, i);
            if (i > 0 && X509_get_extension_flags(x) & EXFLAG_SI)
                continue;
            int code = others ? NAME_CONSTRAINTS_check(x, nc) : X509_V_OK;
            fault = code != X509_V_OK ? X509_verify_cert_error_string(code) : others ? NULL : check_ips(x, nc);
        }
        drop_ips(nc->permittedSubtrees);
        drop_ips(nc->excludedSubtrees);
    }
    return fault;
}

/* RFC 5280 section 4.2.1.10 has no empty lists, and none without any. Whoever writes one meant something else. */
static bool says_something(const NAME_CONSTRAINTS *nc)
{
    return (nc->permittedSubtrees || nc->excludedSubtrees) &&
           (!nc->permittedSubtrees || sk_GENERAL_SUBTREE_num(nc->permittedSubtrees)) &&
           (!nc->excludedSubtrees || sk_GENERAL_SUBTREE_num(nc->excludedSubtrees));
}

const char *sp_path_names_fault(STACK_OF(X509) * chain)
{
    const char *fault = NULL;
    for (size_t n = 1; n < sk_X509_num(chain) && !fault; n++) {
        X509 *x = sk_X509_value(chain, n);
        if (X509_get_ext_by_NID(x, NID_name_constraints, -1) < 0)
            continue;
        NAME_CONSTRAINTS *nc = X509_get_ext_d2i(x, NID_name_constraints, NULL, NULL);
        fault = nc && says_something(nc) ? check_below(chain, n, nc) : "malformed name constraints";
        NAME_CONSTRAINTS_free(nc);
    }
    return fault;
}
