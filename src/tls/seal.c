#include "tls/seal.h"
#include "tls/material.h"

#include <openssl/aead.h>
#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/hkdf.h>
#include <openssl/mem.h>

/* magic | salt | AES-256-GCM(plain). Each file has a key of its own, by its salt, so the nonce may be constant. The
 * label and the head are bound by the key's derivation and the additional data. */
enum { MAGIC = 8, SALT = 32, HEAD = MAGIC + SALT, TAG = 16, KEY = 32, NONCE = 12 };
static const char magic[MAGIC] = "SPSEAL1\n"; /* the digit is the version of all this */

static sp_result derive(struct sp_str node_key_pem, struct sp_str label, const uint8_t salt[SALT], uint8_t out[KEY],
                        struct sp_error *err)
{
    EVP_PKEY *key = NULL;
    uint8_t *secret = NULL;
    size_t len = 0;
    CBB cbb;
    struct sp_buf info = {0};
    SP_TRY(sp_key_read(node_key_pem, &key, err));
    sp_buf_printf(&info, "sallyport seal 1 %.*s", SP_FMT(label));
    CBB_zero(&cbb);
    int ok = CBB_init(&cbb, 256) && EVP_marshal_private_key(&cbb, key) && CBB_finish(&cbb, &secret, &len) &&
             HKDF(out, KEY, EVP_sha256(), secret, len, salt, SALT, (const uint8_t *)info.p, info.len);
    CBB_cleanup(&cbb);
    if (secret)
        sp_wipe(secret, len);
    OPENSSL_free(secret);
    sp_buf_fini(&info);
    EVP_PKEY_free(key);
    return ok ? sp_ok() : sp_fail_tls(err, SP_E_TLS, "cannot derive a sealing key");
}

static EVP_AEAD_CTX *cipher(uint8_t key[KEY])
{
    EVP_AEAD_CTX *c = EVP_AEAD_CTX_new(EVP_aead_aes_256_gcm(), key, KEY, TAG);
    sp_wipe(key, KEY);
    sp_assert(c);
    return c;
}

sp_result sp_seal(struct sp_str node_key_pem, struct sp_str label, struct sp_str plain, struct sp_buf *out,
                  struct sp_error *err)
{
    static const uint8_t nonce[NONCE];
    uint8_t key[KEY], *at = (uint8_t *)sp_buf_reserve(out, HEAD + plain.len + TAG);
    size_t len = 0;
    memcpy(at, magic, MAGIC);
    sp_random(at + MAGIC, SALT);
    SP_TRY(derive(node_key_pem, label, at + MAGIC, key, err));
    EVP_AEAD_CTX *c = cipher(key);
    int ok = EVP_AEAD_CTX_seal(c, at + HEAD, &len, plain.len + TAG, nonce, NONCE, (const uint8_t *)plain.p, plain.len,
                               at, HEAD);
    EVP_AEAD_CTX_free(c);
    if (!ok)
        return sp_fail_tls(err, SP_E_TLS, "cannot seal");
    sp_buf_commit(out, HEAD + len);
    return sp_ok();
}

sp_result sp_unseal(struct sp_str node_key_pem, struct sp_str label, struct sp_str sealed, struct sp_buf *out,
                    struct sp_error *err)
{
    static const uint8_t nonce[NONCE];
    const uint8_t *in = (const uint8_t *)sealed.p;
    uint8_t key[KEY];
    size_t len = 0;
    if (sealed.len < HEAD + TAG || memcmp(in, magic, MAGIC) != 0)
        return sp_fail(err, SP_E_PARSE, "not a sealed file of this version");
    SP_TRY(derive(node_key_pem, label, in + MAGIC, key, err));
    EVP_AEAD_CTX *c = cipher(key);
    uint8_t *at = (uint8_t *)sp_buf_reserve(out, sealed.len - HEAD);
    int ok = EVP_AEAD_CTX_open(c, at, &len, sealed.len - HEAD, nonce, NONCE, in + HEAD, sealed.len - HEAD, in, HEAD);
    EVP_AEAD_CTX_free(c);
    ERR_clear_error();
    if (!ok)
        return sp_fail(err, SP_E_INVALID, "sealed with another key, or damaged");
    sp_buf_commit(out, len);
    return sp_ok();
}
