/* From what people write in the place of a password to what may be kept. */
#include "model/build.h"

#include "base/digests.h"
#include "tls/password.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { MAX_THREADS = 8 }; /* each takes 16 MiB while it hashes */

/* One password that is no hash yet. */
struct job {
    Sallyport__V1__BasicauthCredential *to;
    struct sp_str consumer; /* id; empty: not resolved yet */
    struct sp_str secret;   /* as it was given: the password, or with `sha1` Kong's digits */
    bool sha1;
    bool has_old, keep;
    struct sp_str old_text;
    struct sp_password old, made;
};

static const char *text_of(struct sp_arena *a, const struct sp_password *p)
{
    struct sp_buf b = {0};
    sp_password_write(p, &b);
    const char *text = sp_arena_dup(a, sp_buf_str(&b)).p;
    sp_buf_wipe(&b);
    return text;
}

static void set_password(Sallyport__V1__BasicauthCredential *c, const char *text)
{
    c->password = (char *)(uintptr_t)text;
}

/* Hashed, it would look like one: the checks refuse it as it is. */
static bool is_no_password(const char *text)
{
    return strcmp(text, "[redacted]") == 0 || sp_stands_for_another(text);
}

/* False: nothing to do, or nothing that could be hashed: the checks tell what is wrong with it. */
static bool prepare(struct sp_arena *a, ProtobufCMessage *m, struct job *j)
{
    if (m->descriptor != &sallyport__v1__basicauth_credential__descriptor)
        return false;
    Sallyport__V1__BasicauthCredential *c = (Sallyport__V1__BasicauthCredential *)m;
    struct sp_str text = sp_str_z(c->password);
    enum sp_password_form form = sp_password_form(text);
    bool plain = form == SP_PASSWORD_PLAIN && text.len && text.len <= SP_PASSWORD_MAX;
    if (text.len)
        sp_arena_mark_secret(a);
    if ((!plain && form != SP_PASSWORD_KONGS) || is_no_password(c->password))
        return false;
    *j = (struct job){.to = c, .secret = plain ? text : sp_password_kong_digits(text), .sha1 = !plain};
    j->consumer = c->consumer ? sp_str_z(c->consumer->id) : sp_str("", 0);
    return true;
}

/* --- hashes that may be stored --- */

/* What of the new password the old hash would have been made of. False: that cannot be told. */
static bool secret_for(const struct job *j, char digits[SP_KONG_HASH + 1], struct sp_str *secret)
{
    *secret = j->secret;
    if (!j->has_old || j->old.local || (j->sha1 && !j->old.sha1) || (!j->sha1 && j->old.sha1 && !j->consumer.len))
        return false;
    if (!j->sha1 && j->old.sha1) {
        sp_kong_hash(j->secret, j->consumer, digits);
        *secret = sp_str(digits, SP_KONG_HASH);
    }
    return true;
}

static void work(struct job *j)
{
    char digits[SP_KONG_HASH + 1];
    struct sp_str secret;
    if (j->keep)
        return;
    j->keep = secret_for(j, digits, &secret) && sp_password_matches(&j->old, secret);
    if (!j->keep)
        sp_password_hash(j->secret, j->sha1, &j->made);
    sp_wipe(digits, sizeof digits);
}

struct crew {
    struct job *jobs;
    size_t num;
    atomic_size_t next;
};

static void *take_jobs(void *arg)
{
    struct crew *c = arg;
    for (size_t i; (i = atomic_fetch_add(&c->next, 1)) < c->num;)
        work(&c->jobs[i]);
    return NULL;
}

static size_t helpers_for(const struct job *jobs, size_t num)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t hands = 0, most = processors < 1 ? 1 : processors > MAX_THREADS ? MAX_THREADS : (size_t)processors;
    for (size_t i = 0; i < num && hands < most; i++)
        hands += !jobs[i].keep;
    return hands ? hands - 1 : 0; /* the caller works too */
}

static void work_together(struct job *jobs, size_t num)
{
    struct crew crew = {.jobs = jobs, .num = num};
    pthread_t threads[MAX_THREADS];
    size_t started = 0, helpers = helpers_for(jobs, num);
    while (started < helpers && pthread_create(&threads[started], NULL, take_jobs, &crew) == 0)
        started++; /* where a thread cannot be had, the others do its work */
    take_jobs(&crew);
    while (started)
        pthread_join(threads[--started], NULL);
}

/* Either way of asking `known` hashes nothing dear. */
static void fingerprint(const struct job *j, const struct sp_password *hash, uint8_t out[32])
{
    char digits[SP_KONG_HASH + 1];
    struct sp_str secret = j->secret;
    if (hash->sha1 && !j->sha1) {
        sp_kong_hash(j->secret, j->consumer, digits);
        secret = sp_str(digits, SP_KONG_HASH);
    }
    sp_password_fingerprint(sp_str_z(j->to->username), hash, secret, out);
    sp_wipe(digits, sizeof digits);
}

static void find_old(struct job *j, const ProtobufCMessage *old, const struct sp_digests *known)
{
    uint8_t digest[32];
    j->old_text = old ? sp_msg_string(old, "password") : sp_str("", 0);
    j->has_old = sp_password_read(j->old_text, &j->old);
    if (!j->has_old || (j->sha1 && !j->old.sha1))
        return;
    fingerprint(j, &j->old, digest);
    j->keep = sp_digests_has(known, digest);
}

static void finish(struct sp_arena *a, const struct job *j, struct sp_digests *known)
{
    uint8_t digest[32];
    fingerprint(j, j->keep ? &j->old : &j->made, digest);
    sp_digests_add(known, digest);
    set_password(j->to, j->keep ? sp_arena_dup(a, j->old_text).p : text_of(a, &j->made));
}

void sp_model_hash_passwords(struct sp_model *m, const struct sp_model *current, struct sp_digests *known)
{
    size_t num = m->num[SP_BASICAUTH_CREDENTIALS], n = 0;
    struct job *jobs = SP_NEW_N(m->arena, struct job, num + 1);
    for (size_t i = 0; i < num; i++) {
        const struct sp_entity *e = &m->entities[SP_BASICAUTH_CREDENTIALS][i];
        const struct sp_entity *old = current ? sp_model_by_id(current, e->kind, e->id) : NULL;
        if (prepare(m->arena, e->message, &jobs[n]))
            find_old(&jobs[n++], old ? old->message : NULL, known);
    }
    work_together(jobs, n);
    for (size_t i = 0; i < n; i++)
        finish(m->arena, &jobs[i], known);
}

void sp_message_hash_password(struct sp_arena *a, ProtobufCMessage *m, const ProtobufCMessage *current,
                              struct sp_digests *known)
{
    struct job j;
    if (!prepare(a, m, &j))
        return;
    find_old(&j, current, known);
    work(&j);
    finish(a, &j, known);
}

/* --- the cheap form --- */

void sp_model_seal_passwords(struct sp_model *m)
{
    for (size_t i = 0; i < m->num[SP_BASICAUTH_CREDENTIALS]; i++) {
        const struct sp_entity *e = &m->entities[SP_BASICAUTH_CREDENTIALS][i];
        struct job j;
        if (!prepare(m->arena, e->message, &j))
            continue;
        sp_password_seal(e->id, j.secret, j.sha1, &j.made);
        set_password(j.to, text_of(m->arena, &j.made));
    }
}

/* --- hashes that are given --- */

const char *sp_message_take_hash(struct sp_arena *a, ProtobufCMessage *m)
{
    Sallyport__V1__BasicauthCredential *c = (Sallyport__V1__BasicauthCredential *)m;
    struct sp_str text = sp_str_z(c->password);
    if (sp_is_kong_hash(text)) {
        set_password(c, sp_arena_printf(a, "$sha1$%.*s", SP_FMT(text)).p);
        return NULL;
    }
    if (text.len == 0 || is_no_password(c->password) || sp_password_form(text) != SP_PASSWORD_PLAIN)
        return NULL; /* a hash, or said by the checks */
    return "expected a hash: $scrypt$... or Kong's 40 lower-case hex digits, because passwords are not to be "
           "transformed here";
}
