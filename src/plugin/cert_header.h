/* A certificate chain out of a header field, in the dialects of those who terminate TLS in front of us.
 * kong-behaviour 1.2.2. */
#pragma once
#include "http/message.h"
#include "tls/certificate.h"

enum dp_cert_format {
    DP_CERT_BASE64,  /* DER in base64, PEM delimiters tolerated; several separated by ',' */
    DP_CERT_URL,     /* percent-encoded PEM, leaf first; '+' is itself */
    DP_CERT_RFC9440, /* :base64: and the rest of the chain in the field of that name with -Chain */
    DP_CERT_XFCC,    /* Envoy's x-forwarded-client-cert: the last element, which the peer itself added */
};
enum { DP_CERT_HEADER_MAX = 10 }; /* certificates */

/* NULL: it was read; num 0: there is none, or nothing in it, as a balancer has it that always writes the field. Else
 * why it is no certificate: a constant for the log. Not more than once: two could not be told apart. */
SP_MUST const char *dp_cert_header_read(struct sp_arena *a, const struct sp_fields *fields, struct sp_str name,
                                        enum dp_cert_format format, struct sp_der_list *out);
