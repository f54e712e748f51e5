/* What today's BoringSSL has and Debian's of 2022 (API version 17) has not, as far as our sources use it. CMake puts this
 * in front of every source of ours when the BoringSSL it found is that old; the sources themselves know only today's. */
#ifndef SALLYPORT_BORINGSSL_COMPAT_2022_H
#define SALLYPORT_BORINGSSL_COMPAT_2022_H

#include <openssl/base.h>
#include <openssl/bytestring.h>
#include <sys/types.h>

typedef ssize_t ossl_ssize_t;
typedef unsigned CBS_ASN1_TAG;

#define ASN1_BOOLEAN_FALSE 0
#define ASN1_BOOLEAN_TRUE 0xff

#endif
