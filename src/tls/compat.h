/* What differs between the BoringSSL that is pinned and Debian's of 2022. Nothing else may look at the version. */
#pragma once
#include <openssl/ssl.h>
#include <openssl/x509.h>

#if BORINGSSL_API_VERSION >= 32
#define SP_BSSL_CREDENTIALS 1 /* SSL_CREDENTIAL: several certificates for one connection */
#else
#define SP_BSSL_CREDENTIALS 0
#endif

static inline X509 *sp_x509_from_buffer(const CRYPTO_BUFFER *b)
{
    return X509_parse_from_buffer((CRYPTO_BUFFER *)b); /* not const in 2022 */
}
