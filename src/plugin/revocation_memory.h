/* What a worker knows of revocation, across snapshots: answers about certificates, and the CRLs that were fetched, by
 * URL and issuer. Bounded; failures have no place in it. Worker thread. */
#pragma once
#include "plugin/revocation.h"

struct dp_kept_crl {
    uint8_t key[32]; /* dp_crl_key */
    int64_t at;      /* when it was fetched, seconds since 1970 */
    struct sp_crl *crl;
};

struct dp_revocations {
    struct dp_known *known; /* made when the first answer comes */
    unsigned next_victim;
    struct dp_kept_crl *crls; /* oldest first; made when the first one comes */
    size_t num_crls, crl_bytes;
    struct dp_revocation_counters *counters;
    struct dp_crl_reader *reader;
};

struct dp_remembered {
    struct sp_revocation answer;
    int64_t at; /* when the issuer's word was fetched, seconds since 1970 */
};
/* Fetched in the last cache_s seconds, and not beyond its own end. */
bool dp_revocations_find(const struct dp_revocations *r, const uint8_t key[32], uint32_t cache_s, int64_t now,
                         struct dp_remembered *out);
void dp_revocations_learn(struct dp_revocations *r, const uint8_t key[32], const struct dp_remembered *what,
                          int64_t now);
/* NULL: none. Borrowed until the next CRL is kept. */
const struct sp_crl *dp_revocations_find_crl(const struct dp_revocations *r, const uint8_t key[32], uint32_t cache_s,
                                             int64_t now, int64_t *at);
/* Names a CRL by where it came from and who must have signed it. */
void dp_crl_key(struct sp_str url, struct sp_str issuer, uint8_t out[32]);
