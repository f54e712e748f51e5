/* The names of a certificate that may name a consumer (kong-behaviour 1.1.4). */
#pragma once
#include "tls/certificate.h"

/* All SANs, or the CN where there is no SAN extension, in order. Attributes of a directoryName count when `matcher` is
 * empty or has their OID, short or long name. Names borrow from info. */
size_t dp_cert_names(struct sp_arena *a, const struct sp_cert_info *info, char *const *matcher, size_t num_matcher,
                     struct sp_str **out);
struct sp_str dp_cert_names_join(struct sp_arena *a, const struct sp_str *names, size_t num); /* with ',' */
