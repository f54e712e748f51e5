/* Passwords as they may be kept: scrypt with a salt of its own, in the text form of PHC strings,
 * "$scrypt$ln=14,r=8,p=1$<salt>$<hash>" (base64 without padding; ln is the logarithm of N). The parameters stand in the
 * text, so that they can be raised one day without breaking what is there. Any thread.
 *
 * Kong keeps the SHA-1 of password and consumer id. Such a hash is accepted where one is imported, and kept as the
 * scrypt of its hex digits: "$scrypt-sha1$...". A process that keeps nothing on disk may use the cheap form: an HMAC
 * under a key that it drew for itself and that dies with it, "$local$..." (or "$local-sha1$..."). */
#pragma once
#include "base/buf.h"

enum { SP_PASSWORD_MAX = 1024 /* bytes of a password */, SP_PASSWORD_SALT_MAX = 32, SP_PASSWORD_HASH = 32 };
enum { SP_KONG_HASH = 40 /* hex digits */ };

struct sp_password { /* a hash, read */
    bool local;      /* the cheap form */
    bool sha1;       /* of Kong's hash of the password: of sp_kong_hash, not of the password itself */
    uint8_t log_n, r, p;
    uint8_t salt_len;
    uint8_t salt[SP_PASSWORD_SALT_MAX], hash[SP_PASSWORD_HASH];
};

/* False: no hash of ours, not in the one canonical way to write it, or dearer than we compute (64 MiB, eight times
 * today's parameters): a text must not decide how much memory and time it costs. */
SP_MUST bool sp_password_read(struct sp_str text, struct sp_password *out);
void sp_password_write(const struct sp_password *p, struct sp_buf *out);

/* `secret` is the password, or with `sha1` the hex digits of Kong's hash. Costs 16 MiB and tens of milliseconds. */
void sp_password_hash(struct sp_str secret, bool sha1, struct sp_password *out);
/* The cheap form. Equal names and secrets give equal hashes as long as the process lives; `name` keeps equal passwords
 * of several people apart. */
void sp_password_seal(struct sp_str name, struct sp_str secret, bool sha1, struct sp_password *out);
/* In time that does not depend on the bytes. As dear as sp_password_hash unless the form is the cheap one. */
SP_MUST bool sp_password_matches(const struct sp_password *p, struct sp_str secret);

void sp_kong_hash(struct sp_str password, struct sp_str consumer_id, char out[SP_KONG_HASH + 1]);
bool sp_is_kong_hash(struct sp_str text); /* 40 lower-case hex digits */

/* What a text in the place of a password is. */
enum sp_password_form {
    SP_PASSWORD_PLAIN,
    SP_PASSWORD_OURS,      /* $scrypt$..., $scrypt-sha1$...: not the cheap form, which nobody can write */
    SP_PASSWORD_KONGS,     /* $sha1$ and Kong's 40 digits: how it is told from a password of 40 digits */
    SP_PASSWORD_MALFORMED, /* begins like a hash and is none */
};
enum sp_password_form sp_password_form(struct sp_str text);
/* The digits of SP_PASSWORD_KONGS. */
struct sp_str sp_password_kong_digits(struct sp_str text);

/* Names a fact: this secret was held against this hash for this name. Under the process's own key, so it says nothing
 * outside. */
void sp_password_fingerprint(struct sp_str name, const struct sp_password *p, struct sp_str secret, uint8_t out[32]);
