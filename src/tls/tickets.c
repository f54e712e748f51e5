#include "tls/internal.h"

#include <openssl/aead.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>

/* A ticket is name | nonce | AES-256-GCM(session). Nonces are random: 2^32 tickets under one key are safe, and keys are
 * rotated long before. The keys are shared by all workers; the lock is held for one seal or open. */
enum { NAME = 16, NONCE = 12, TAG = 16, KEY = 32 };

struct key {
    uint8_t name[NAME];
    EVP_AEAD_CTX *aead; /* NULL: no such key */
};

struct sp_tickets {
    pthread_rwlock_t lock;
    struct key current, previous;
};

static struct key key_new(void)
{
    struct key k;
    uint8_t secret[KEY];
    sp_random(k.name, sizeof k.name);
    sp_random(secret, sizeof secret);
    k.aead = EVP_AEAD_CTX_new(EVP_aead_aes_256_gcm(), secret, sizeof secret, TAG);
    sp_assert(k.aead);
    sp_wipe(secret, sizeof secret);
    return k;
}

struct sp_tickets *sp_tickets_new(void)
{
    struct sp_tickets *t = sp_alloc(sizeof *t);
    pthread_rwlock_init(&t->lock, NULL);
    t->current = key_new();
    return t;
}

void sp_tickets_free(struct sp_tickets *t)
{
    EVP_AEAD_CTX_free(t->current.aead);
    EVP_AEAD_CTX_free(t->previous.aead);
    pthread_rwlock_destroy(&t->lock);
    free(t);
}

static void replace(struct sp_tickets *t, bool keep)
{
    struct key fresh = key_new();
    pthread_rwlock_wrlock(&t->lock);
    EVP_AEAD_CTX_free(t->previous.aead);
    t->previous = (struct key){.aead = NULL};
    if (keep)
        t->previous = t->current;
    else
        EVP_AEAD_CTX_free(t->current.aead);
    t->current = fresh;
    pthread_rwlock_unlock(&t->lock);
}

void sp_tickets_rotate(struct sp_tickets *t)
{
    replace(t, true);
}

void sp_tickets_reset(struct sp_tickets *t)
{
    replace(t, false);
}

/* --- BoringSSL's side --- */

static struct sp_tickets *tickets_of(SSL *ssl)
{
    return sp_tls_server_tickets(sp_tls_stream_of(ssl)->server);
}

static size_t max_overhead(SSL *ssl)
{
    (void)ssl;
    return NAME + NONCE + TAG;
}

static int seal(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out, const uint8_t *in, size_t in_len)
{
    struct sp_tickets *t = tickets_of(ssl);
    size_t len = 0;
    if (max_out < NAME + NONCE)
        return 0;
    sp_random(out + NAME, NONCE);
    pthread_rwlock_rdlock(&t->lock);
    memcpy(out, t->current.name, NAME);
    int ok = EVP_AEAD_CTX_seal(t->current.aead, out + NAME + NONCE, &len, max_out - NAME - NONCE, out + NAME, NONCE, in,
                               in_len, NULL, 0);
    pthread_rwlock_unlock(&t->lock);
    *out_len = NAME + NONCE + len;
    return ok;
}

static const struct key *find_key(const struct sp_tickets *t, const uint8_t *name)
{
    if (memcmp(t->current.name, name, NAME) == 0)
        return &t->current;
    return t->previous.aead && memcmp(t->previous.name, name, NAME) == 0 ? &t->previous : NULL;
}

static enum ssl_ticket_aead_result_t open_ticket(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out,
                                                 const uint8_t *in, size_t in_len)
{
    struct sp_tickets *t = tickets_of(ssl);
    if (in_len < NAME + NONCE + TAG)
        return ssl_ticket_aead_ignore_ticket;
    pthread_rwlock_rdlock(&t->lock);
    const struct key *k = find_key(t, in);
    int ok = k && EVP_AEAD_CTX_open(k->aead, out, out_len, max_out, in + NAME, NONCE, in + NAME + NONCE,
                                    in_len - NAME - NONCE, NULL, 0);
    pthread_rwlock_unlock(&t->lock);
    if (ok)
        return ssl_ticket_aead_success;
    ERR_clear_error(); /* a ticket of another process, or a forged one: a full handshake, no failure */
    return ssl_ticket_aead_ignore_ticket;
}

const SSL_TICKET_AEAD_METHOD sp_ticket_method = {max_overhead, seal, open_ticket};
