#include "tls/path.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <string.h>

enum {
    SEARCH_CERTS = 64, /* untrusted certificates among which is searched: bits of `dead` */
    SEARCH_DEPTH = 10, /* intermediates of a path that is searched for */
    RSA_BITS_MIN = 2048,
    EC_BITS_MIN = 256
};

static bool is_ip(const char *name)
{
    uint8_t bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

bool sp_path_is_named(X509 *leaf, const char *name)
{
    if (is_ip(name))
        return X509_check_ip_asc(leaf, name, 0) == 1;
    unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    return *name && X509_check_host(leaf, name, strlen(name), flags, NULL) == 1;
}

/* --- what BoringSSL is laxer in --- */

/* RFC 5280 section 4.2.1.12: demanded only where the extension is there (kong-behaviour D12). Own check, because the
 * purpose of older BoringSSLs does not know anyExtendedKeyUsage. Absent extensions read as all bits. */
static bool may_be_client(X509 *x)
{
    return X509_get_extended_key_usage(x) & (XKU_SSL_CLIENT | XKU_ANYEKU);
}

static bool may_sign(X509 *leaf)
{
    return X509_get_key_usage(leaf) & (KU_DIGITAL_SIGNATURE | KU_KEY_AGREEMENT);
}

bool sp_path_is_strong_key(X509 *x)
{
    EVP_PKEY *key = X509_get0_pubkey(x);
    switch (key ? EVP_PKEY_id(key) : NID_undef) {
    case EVP_PKEY_RSA:
        return EVP_PKEY_bits(key) >= RSA_BITS_MIN;
    case EVP_PKEY_EC:
        return EVP_PKEY_bits(key) >= EC_BITS_MIN;
    case EVP_PKEY_ED25519:
        return true;
    default:
        return false;
    }
}

/* SHA-1 is broken for signatures since 2017, MD5 much longer. */
static bool is_strongly_signed(X509 *x)
{
    switch (X509_get_signature_nid(x)) {
    case NID_sha256WithRSAEncryption:
    case NID_sha384WithRSAEncryption:
    case NID_sha512WithRSAEncryption:
    case NID_ecdsa_with_SHA256:
    case NID_ecdsa_with_SHA384:
    case NID_ecdsa_with_SHA512:
    case NID_ED25519:
        return true;
    case NID_rsassaPss:
        return SP_PSS_IS_STRICT;
    default:
        return false;
    }
}

/* The last of several is the anchor: trusted as it is, except in what it forbids itself. */
static const char *find_fault_in(const struct sp_path_rules *r, X509 *x, size_t i, size_t num)
{
    bool last = i + 1 == num, anchor = last && i > 0;
    if (X509_get_extension_flags(x) & EXFLAG_CRITICAL)
        return X509_verify_cert_error_string(X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION);
    if (i > 0 && !X509_check_ca(x))
        return X509_verify_cert_error_string(X509_V_ERR_INVALID_CA);
    if (!sp_path_is_strong_key(x))
        return "key is too weak, or of an unknown kind";
    if (!last && !is_strongly_signed(x))
        return "signature is too weak, or of an unknown kind";
    if (!anchor && !r->server && !may_be_client(x))
        return "certificate is not for client authentication";
    if (i == 0 && !r->server && !may_sign(x))
        return "key usage does not allow signing";
    return NULL;
}

static const char *find_fault(const struct sp_path_rules *r, STACK_OF(X509) * chain)
{
    size_t num = sk_X509_num(chain);
    long below = 0; /* intermediates that count for a path length constraint: not self-issued */
    for (size_t i = 0; i < num; i++) {
        X509 *x = sk_X509_value(chain, i);
        const char *fault = find_fault_in(r, x, i, num);
        if (fault)
            return fault;
        long limit = X509_get_pathlen(x);
        if (i > 0 && limit >= 0 && below > limit)
            return X509_verify_cert_error_string(X509_V_ERR_PATH_LENGTH_EXCEEDED);
        below += i > 0 && !(X509_get_extension_flags(x) & EXFLAG_SI);
    }
    return sp_path_names_fault(chain);
}

/* --- one path --- */

static X509_STORE *nothing;

static void make_nothing(void)
{
    nothing = X509_STORE_new();
}

/* A verification wants a store; the trusted stack stands in its place. */
static X509_STORE *empty_store(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_nothing);
    return nothing;
}

static int leave_to_names_fault(int ok, X509_STORE_CTX *ctx)
{
    return ok || X509_STORE_CTX_get_error(ctx) == X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE;
}

/* BoringSSL stops at the depth, and then misses the issuer. */
static int error_of(const struct sp_path_rules *r, X509_STORE_CTX *ctx)
{
    int error = X509_STORE_CTX_get_error(ctx);
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    bool cut = r->depth >= 0 && chain && sk_X509_num(chain) > (size_t)r->depth;
    return error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY && cut ? X509_V_ERR_CERT_CHAIN_TOO_LONG : error;
}

/* *chain: what BoringSSL made of the certificates, good or not; NULL: nothing. */
static const char *try_path(const struct sp_path_rules *r, X509 *leaf, STACK_OF(X509) * untrusted,
                            STACK_OF(X509) * trusted, STACK_OF(X509) * *chain)
{
    const char *fault = NULL;
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int ok = X509_STORE_CTX_init(ctx, empty_store(), leaf, untrusted);
    sp_assert(ok);
    X509_STORE_CTX_set0_trusted_stack(ctx, trusted);
    X509_STORE_CTX_set_verify_cb(ctx, leave_to_names_fault);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)r->now);
    if (r->depth >= 0)
        X509_VERIFY_PARAM_set_depth(param, r->depth);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_POLICY_CHECK); /* newer BoringSSLs always do */
    if (r->partial)
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    if (r->server)
        X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
    if (X509_verify_cert(ctx) != 1)
        fault = X509_verify_cert_error_string(error_of(r, ctx));
    else
        fault = find_fault(r, X509_STORE_CTX_get0_chain(ctx));
    *chain = X509_STORE_CTX_get0_chain(ctx) ? X509_STORE_CTX_get1_chain(ctx) : NULL;
    X509_STORE_CTX_free(ctx);
    return fault;
}

/* --- other paths --- */

/* BoringSSL takes the first issuer by name and never looks back. This looks back: depth first, each path judged by
 * BoringSSL as if there were no other certificate. */
struct search {
    const struct sp_path_rules *rules;
    STACK_OF(X509) * untrusted;
    STACK_OF(X509) * first; /* what was tried before */
    STACK_OF(X509) * found;
    X509 *path[SEARCH_DEPTH + 1]; /* from the leaf */
    size_t num;
    uint64_t dead; /* bits of `untrusted`: leads to no anchor */
    int tries;
};

static bool was_first(const struct search *s, const X509 *anchor)
{
    if (sk_X509_num(s->first) <= s->num || sk_X509_value(s->first, s->num) != anchor)
        return false;
    if (s->rules->partial && sk_X509_num(s->first) > s->num + 1) /* then it went on above this anchor */
        return false;
    for (size_t i = 0; i < s->num; i++)
        if (sk_X509_value(s->first, i) != s->path[i])
            return false;
    return true;
}

/* Of the trusted ones the anchor comes first; where it is no root, its issuers are among the others. */
static bool try_anchor(struct search *s, X509 *anchor)
{
    if (was_first(s, anchor))
        return false;
    STACK_OF(X509) *between = sk_X509_new_null(), *trusted = sk_X509_new_null(), *chain = NULL;
    for (size_t i = 1; i < s->num; i++)
        sk_X509_push(between, s->path[i]);
    sk_X509_push(trusted, anchor);
    for (size_t i = 0; !s->rules->partial && i < sk_X509_num(s->rules->trusted); i++)
        sk_X509_push(trusted, sk_X509_value(s->rules->trusted, i));
    s->tries--;
    if (try_path(s->rules, s->path[0], between, trusted, &chain) == NULL)
        s->found = chain;
    else
        sk_X509_pop_free(chain, X509_free);
    sk_X509_free(between);
    sk_X509_free(trusted);
    return s->found;
}

static bool on_path(const struct search *s, const X509 *x)
{
    for (size_t i = 0; i < s->num; i++)
        if (s->path[i] == x)
            return true;
    return false;
}

/* False: no anchor can be reached from the end of the path. Ends when a path is found or the tries are used up. */
static bool extend(struct search *s)
{
    X509 *end = s->path[s->num - 1];
    bool alive = false;
    for (size_t i = 0; i < sk_X509_num(s->rules->trusted) && s->tries > 0; i++) {
        X509 *anchor = sk_X509_value(s->rules->trusted, i);
        if (X509_check_issued(anchor, end) != X509_V_OK)
            continue;
        alive = true;
        if (try_anchor(s, anchor))
            return true;
    }
    for (size_t i = 0; i < sk_X509_num(s->untrusted) && s->num <= SEARCH_DEPTH && s->tries > 0; i++) {
        X509 *x = sk_X509_value(s->untrusted, i);
        if (s->dead >> i & 1 || on_path(s, x) || X509_check_issued(x, end) != X509_V_OK)
            continue;
        s->path[s->num++] = x;
        if (!extend(s))
            s->dead |= UINT64_C(1) << i; /* never walked again: that keeps the walk short */
        else
            alive = true;
        s->num--;
        if (s->found)
            return true;
    }
    return alive;
}

const char *sp_path_verify(const struct sp_path_rules *r, X509 *leaf, STACK_OF(X509) * untrusted,
                           STACK_OF(X509) * *chain)
{
    STACK_OF(X509) *first = NULL;
    const char *fault = try_path(r, leaf, untrusted, r->trusted, &first);
    if (!fault) {
        *chain = first;
        return NULL;
    }
    struct search s = {
        .rules = r, .untrusted = untrusted, .first = first, .path = {leaf}, .num = 1, .tries = SP_PATH_TRIES - 1};
    if (sk_X509_num(untrusted) <= SEARCH_CERTS && extend(&s) && s.found) {
        *chain = s.found;
        fault = NULL;
    }
    sk_X509_pop_free(first, X509_free);
    return fault;
}
