#include "plugin/revocation_memory.h"
#include "tls/certificate.h"

#include <stdlib.h>

enum { WAYS = 4, SETS = 1024, MAX_CRLS = 256, MAX_CRL_BYTES = 64 << 20 };

struct dp_known {
    uint8_t key[32];
    int64_t at, until; /* seconds since 1970: fetched, and the answer's own end; until 0: free */
    bool revoked;
};

struct dp_revocations *dp_revocations_new(struct dp_revocation_counters *counters, struct dp_crl_reader *reader)
{
    struct dp_revocations *r = sp_alloc(sizeof *r);
    r->counters = counters;
    r->reader = reader;
    return r;
}

void dp_revocations_free(struct dp_revocations *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->num_crls; i++)
        sp_crl_unref(r->crls[i].crl);
    free(r->crls);
    free(r->known);
    free(r);
}

/* --- answers --- */

static struct dp_known *set_of(const struct dp_revocations *r, const uint8_t key[32])
{
    uint64_t h; /* the key is a SHA-256 */
    memcpy(&h, key, sizeof h);
    return r->known + (h % SETS) * WAYS;
}

/* A clock that went back makes what was fetched in the future worthless. */
static bool is_fresh(int64_t at, uint32_t cache_s, int64_t now)
{
    return at <= now && now - at < (int64_t)cache_s;
}

bool dp_revocations_find(const struct dp_revocations *r, const uint8_t key[32], uint32_t cache_s, int64_t now,
                         struct dp_remembered *out)
{
    if (!r->known)
        return false;
    const struct dp_known *set = set_of(r, key);
    for (size_t i = 0; i < WAYS; i++) {
        const struct dp_known *k = &set[i];
        if (k->until <= now || !is_fresh(k->at, cache_s, now) || memcmp(k->key, key, 32) != 0)
            continue;
        *out = (struct dp_remembered){.at = k->at};
        out->answer.status = k->revoked ? SP_REVOCATION_REVOKED : SP_REVOCATION_GOOD;
        out->answer.until = k->until;
        return true;
    }
    return false;
}

void dp_revocations_learn(struct dp_revocations *r, const uint8_t key[32], const struct dp_remembered *what,
                          int64_t now)
{
    const struct sp_revocation *answer = &what->answer;
    if (answer->status == SP_REVOCATION_UNKNOWN || answer->until <= now)
        return;
    if (!r->known)
        r->known = sp_alloc(sizeof *r->known * SETS * WAYS);
    struct dp_known *set = set_of(r, key), *to = NULL;
    for (size_t i = 0; i < WAYS; i++) {
        if (memcmp(set[i].key, key, 32) == 0) {
            to = &set[i];
            break;
        }
        if (set[i].until <= now)
            to = &set[i];
    }
    if (!to)
        to = &set[r->next_victim++ % WAYS];
    *to = (struct dp_known){.at = what->at, .until = answer->until, .revoked = answer->status == SP_REVOCATION_REVOKED};
    memcpy(to->key, key, 32);
}

/* --- CRLs --- */

void dp_crl_key(struct sp_str url, struct sp_str issuer, uint8_t out[32])
{
    struct sp_buf both = {0};
    uint8_t digest[32];
    sp_sha256(issuer, digest);
    sp_buf_append(&both, digest, sizeof digest);
    sp_buf_add(&both, url);
    sp_sha256(sp_buf_str(&both), out);
    sp_buf_fini(&both);
}

const struct sp_crl *dp_revocations_find_crl(const struct dp_revocations *r, const uint8_t key[32], uint32_t cache_s,
                                             int64_t now, int64_t *at)
{
    for (size_t i = 0; i < r->num_crls; i++) {
        const struct dp_kept_crl *k = &r->crls[i];
        if (memcmp(k->key, key, 32) != 0)
            continue;
        *at = k->at;
        return is_fresh(k->at, cache_s, now) && sp_crl_until(k->crl) > now ? k->crl : NULL;
    }
    return NULL;
}

static void drop_crl(struct dp_revocations *r, size_t i)
{
    r->crl_bytes -= sp_crl_bytes(r->crls[i].crl);
    sp_crl_unref(r->crls[i].crl);
    memmove(&r->crls[i], &r->crls[i + 1], (--r->num_crls - i) * sizeof *r->crls);
}

void dp_revocations_keep_crl(struct dp_revocations *r, const uint8_t key[32], struct sp_crl *crl, int64_t at)
{
    for (size_t i = r->num_crls; i-- > 0;)
        if (memcmp(r->crls[i].key, key, 32) == 0 || sp_crl_until(r->crls[i].crl) <= at)
            drop_crl(r, i);
    if (sp_crl_until(crl) <= at || sp_crl_bytes(crl) > MAX_CRL_BYTES)
        return;
    while (r->num_crls == MAX_CRLS || r->crl_bytes + sp_crl_bytes(crl) > MAX_CRL_BYTES)
        drop_crl(r, 0);
    if (!r->crls)
        r->crls = sp_alloc(sizeof *r->crls * MAX_CRLS);
    struct dp_kept_crl *to = &r->crls[r->num_crls++];
    *to = (struct dp_kept_crl){.at = at, .crl = sp_crl_ref(crl)};
    memcpy(to->key, key, 32);
    r->crl_bytes += sp_crl_bytes(crl);
}
