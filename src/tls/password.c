#include "tls/password.h"
#include "base/encoding.h"
#include "tls/certificate.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

/* scrypt's own choice for logins: 16 MiB and some 50 ms on a core. Twice the memory would be twice the time
 * for a whole file of passwords, and for whoever makes us check wrong ones. */
enum { LOG_N = 14, R = 8, P = 1, SALT = 16, SALT_MIN = 8 };
enum {
    LOG_N_MIN = 10,
    LOG_N_MAX = 16,
    R_MAX = 16,
    P_MAX = 16,
    COST_MAX = 1 << 20,
    MEMORY_MAX = 64 << 20,
    SLACK = 1 << 20
};

static const struct prefix {
    struct sp_str text;
    bool local, sha1;
} prefixes[] = {
    {{"$scrypt$", 8}, false, false},
    {{"$scrypt-sha1$", 13}, false, true},
    {{"$local$", 7}, true, false},
    {{"$local-sha1$", 12}, true, true},
};
static const struct sp_str kong_prefix = {"$sha1$", 6};

/* --- the process's own key --- */

static uint8_t own_key[32];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void draw_key(void)
{
    sp_random(own_key, sizeof own_key);
}

static void add_part(HMAC_CTX *c, const void *p, size_t n)
{
    uint64_t len = n; /* with lengths, no two lists of parts are one text */
    int ok = HMAC_Update(c, (const uint8_t *)&len, sizeof len) && HMAC_Update(c, p, n);
    sp_assert(ok);
}

static void start_mac(HMAC_CTX *c, const char *purpose)
{
    pthread_once(&key_once, draw_key);
    HMAC_CTX_init(c);
    int ok = HMAC_Init_ex(c, own_key, sizeof own_key, EVP_sha256(), NULL);
    sp_assert(ok);
    add_part(c, purpose, strlen(purpose));
}

static void end_mac(HMAC_CTX *c, uint8_t out[32])
{
    unsigned len = 32;
    int ok = HMAC_Final(c, out, &len);
    sp_assert(ok && len == 32);
    HMAC_CTX_cleanup(c);
}

/* --- text --- */

static void put_base64(struct sp_buf *out, const uint8_t *p, size_t n)
{
    sp_base64_encode(out, sp_str(p, n));
    while (out->len && out->p[out->off + out->len - 1] == '=')
        out->len--;
}

void sp_password_write(const struct sp_password *p, struct sp_buf *out)
{
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (prefixes[i].local == p->local && prefixes[i].sha1 == p->sha1)
            sp_buf_add(out, prefixes[i].text);
    if (!p->local)
        sp_buf_printf(out, "ln=%u,r=%u,p=%u$", p->log_n, p->r, p->p);
    put_base64(out, p->salt, p->salt_len);
    sp_buf_putc(out, '$');
    put_base64(out, p->hash, sizeof p->hash);
}

/* "key=number" and its separator; 0: something else. */
static unsigned take_number(struct sp_str *rest, const char *key, char sep)
{
    struct sp_str number = sp_str_split(rest, sep);
    uint64_t v;
    if (!sp_str_starts(number, sp_str_z(key)) || !sp_str_to_u64(sp_str_skip(number, strlen(key)), &v) || v > 255)
        return 0;
    return (unsigned)v;
}

static bool read_cost(struct sp_str *rest, struct sp_password *p)
{
    p->log_n = (uint8_t)take_number(rest, "ln=", ',');
    p->r = (uint8_t)take_number(rest, "r=", ',');
    p->p = (uint8_t)take_number(rest, "p=", '$');
    if (p->log_n < LOG_N_MIN || p->log_n > LOG_N_MAX || p->r < 1 || p->r > R_MAX || p->p < 1 || p->p > P_MAX)
        return false;
    uint64_t block = ((uint64_t)1 << p->log_n) * p->r;
    return block * p->p <= COST_MAX && block * 128 <= MEMORY_MAX;
}

/* The decoder wants an arena; both values are short. */
static bool read_bytes(struct sp_str text, uint8_t *out, size_t min, size_t max, size_t *len)
{
    struct sp_str bytes;
    if (text.len > 2 * SP_PASSWORD_SALT_MAX)
        return false;
    struct sp_arena *a = sp_arena_new(256);
    bool good = sp_base64_decode(a, text, &bytes) && bytes.len >= min && bytes.len <= max;
    if (good)
        memcpy(out, bytes.p, bytes.len);
    *len = good ? bytes.len : 0;
    sp_arena_free(a);
    return good;
}

static bool is_canonical(const struct sp_password *p, struct sp_str text)
{
    struct sp_buf b = {0};
    sp_password_write(p, &b);
    bool same = sp_str_eq(sp_buf_str(&b), text);
    sp_buf_fini(&b);
    return same;
}

bool sp_password_read(struct sp_str text, struct sp_password *out)
{
    const struct prefix *found = NULL;
    size_t len;
    *out = (struct sp_password){0};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (sp_str_starts(text, prefixes[i].text))
            found = &prefixes[i];
    if (!found)
        return false;
    struct sp_str rest = sp_str_skip(text, found->text.len);
    out->local = found->local;
    out->sha1 = found->sha1;
    if (!out->local && !read_cost(&rest, out))
        return false;
    if (!rest.p || !read_bytes(sp_str_split(&rest, '$'), out->salt, SALT_MIN, SP_PASSWORD_SALT_MAX, &len))
        return false;
    out->salt_len = (uint8_t)len;
    return rest.p && read_bytes(rest, out->hash, SP_PASSWORD_HASH, SP_PASSWORD_HASH, &len) && is_canonical(out, text);
}

bool sp_is_kong_hash(struct sp_str text)
{
    bool good = text.len == SP_KONG_HASH;
    for (size_t i = 0; good && i < text.len; i++)
        good = (text.p[i] >= '0' && text.p[i] <= '9') || (text.p[i] >= 'a' && text.p[i] <= 'f');
    return good;
}

struct sp_str sp_password_kong_digits(struct sp_str text)
{
    return sp_str_skip(text, kong_prefix.len);
}

enum sp_password_form sp_password_form(struct sp_str text)
{
    struct sp_password p;
    if (sp_str_starts(text, kong_prefix))
        return sp_is_kong_hash(sp_password_kong_digits(text)) ? SP_PASSWORD_KONGS : SP_PASSWORD_MALFORMED;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (!prefixes[i].local && sp_str_starts(text, prefixes[i].text))
            return sp_password_read(text, &p) ? SP_PASSWORD_OURS : SP_PASSWORD_MALFORMED;
    return SP_PASSWORD_PLAIN;
}

/* --- hashing --- */

static bool derive(const struct sp_password *p, struct sp_str secret, uint8_t out[SP_PASSWORD_HASH])
{
    if (!p->local) {
        int ok = EVP_PBE_scrypt(secret.p ? secret.p : "", secret.len, p->salt, p->salt_len, (uint64_t)1 << p->log_n,
                                p->r, p->p, MEMORY_MAX + SLACK, out, SP_PASSWORD_HASH);
        ERR_clear_error();
        return ok;
    }
    HMAC_CTX c;
    start_mac(&c, "hash");
    add_part(&c, p->salt, p->salt_len);
    add_part(&c, secret.p, secret.len);
    end_mac(&c, out);
    return true;
}

void sp_password_hash(struct sp_str secret, bool sha1, struct sp_password *out)
{
    *out = (struct sp_password){.sha1 = sha1, .log_n = LOG_N, .r = R, .p = P, .salt_len = SALT};
    sp_random(out->salt, SALT);
    bool good = derive(out, secret, out->hash);
    sp_assert(good); /* the parameters are ours: it can only be out of memory */
}

void sp_password_seal(struct sp_str name, struct sp_str secret, bool sha1, struct sp_password *out)
{
    uint8_t salt[32];
    HMAC_CTX c;
    start_mac(&c, "salt");
    add_part(&c, name.p, name.len);
    end_mac(&c, salt);
    *out = (struct sp_password){.local = true, .sha1 = sha1, .salt_len = SALT};
    memcpy(out->salt, salt, SALT);
    (void)derive(out, secret, out->hash);
}

bool sp_password_matches(const struct sp_password *p, struct sp_str secret)
{
    uint8_t hash[SP_PASSWORD_HASH];
    bool good = derive(p, secret, hash) && sp_equal_ct(hash, p->hash, sizeof hash);
    sp_wipe(hash, sizeof hash);
    return good;
}

void sp_kong_hash(struct sp_str password, struct sp_str consumer_id, char out[SP_KONG_HASH + 1])
{
    struct sp_buf b = {0};
    uint8_t digest[20];
    sp_buf_add(&b, password);
    sp_buf_add(&b, consumer_id);
    sp_sha1(sp_buf_str(&b), digest);
    sp_hex(digest, sizeof digest, out);
    sp_buf_wipe(&b);
}

void sp_password_fingerprint(struct sp_str name, const struct sp_password *p, struct sp_str secret, uint8_t out[32])
{
    const uint8_t kind[] = {p->local, p->sha1, p->log_n, p->r, p->p};
    HMAC_CTX c;
    start_mac(&c, "fingerprint");
    add_part(&c, name.p, name.len);
    add_part(&c, kind, sizeof kind);
    add_part(&c, p->salt, p->salt_len);
    add_part(&c, p->hash, sizeof p->hash);
    add_part(&c, secret.p, secret.len);
    end_mac(&c, out);
}
