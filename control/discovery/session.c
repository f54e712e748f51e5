#include "control/discovery/session.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MAX_TEXT = 256,
    MAX_LABELS = 64,
    MAX_NAME = 1024,
    MAX_PROBLEMS = 200,
    MAX_REASON = 1024,
    BACKOFF_BASE_MS = 500,
    BACKOFF_CAP_MS = 30000
};

/* What was refused last, so that it is not sent again. */
struct refused {
    struct sp_arena *arena; /* NULL: nothing was */
    int64_t revision;
    uint8_t digest[32];
    struct cp_problem *problems;
    size_t num;
    unsigned in_a_row;
    uint64_t not_before_ms;
};

struct cp_session {
    struct sp_arena *arena;
    struct sp_str control_id;
    struct cp_hello hello;
    bool greeted, closed;

    /* What the node has: first what it said, then what it applied. */
    struct sp_arena *said_arena;
    struct sp_resource *said;
    size_t num_said;
    int64_t held_revision;
    struct cp_snapshot *live;

    struct cp_snapshot *target;
    struct cp_snapshot *sending; /* NULL: no transaction under way */
    struct cp_push *push;
    size_t next_frame; /* 0 is BEGIN; past the last: waiting for the answer */
    uint64_t nonces;
    char nonce[24];
    int64_t sent_revision;
    struct refused refused;
};

const char *cp_node_state_name(enum cp_node_state s)
{
    static const char *const names[] = {"disconnected", "sending", "live", "rejected"};
    return names[s];
}

struct cp_session *cp_session_new(struct sp_str control_id)
{
    struct sp_arena *a = sp_arena_new(1024);
    struct cp_session *s = SP_NEW(a, struct cp_session);
    s->arena = a;
    s->control_id = sp_arena_dup(a, control_id);
    return s;
}

static void end_transaction(struct cp_session *s)
{
    cp_snapshot_unref(SP_TAKE(s->sending));
    cp_push_unref(SP_TAKE(s->push));
    s->next_frame = 0;
}

void cp_session_close(struct cp_session *s)
{
    s->closed = true;
    end_transaction(s);
    cp_snapshot_unref(SP_TAKE(s->live));
    cp_snapshot_unref(SP_TAKE(s->target));
    sp_arena_free(SP_TAKE(s->said_arena));
}

void cp_session_free(struct cp_session *s)
{
    if (!s)
        return;
    cp_session_close(s);
    sp_arena_free(s->refused.arena);
    sp_arena_free(s->arena);
}

void cp_session_target(struct cp_session *s, struct cp_snapshot *newest)
{
    cp_snapshot_ref(newest);
    cp_snapshot_unref(s->target);
    s->target = newest;
}

/* --- what the node says --- */

static int said_cmp(const void *a, const void *b)
{
    return cp_resource_cmp(a, b);
}

static sp_result take_held(struct cp_session *s, const Sallyport__V1__Hello *h, struct sp_error *err)
{
    if (h->revision <= 0)
        return sp_ok(); /* holds nothing, or too much to say: gets the whole state */
    s->held_revision = h->revision;
    s->said_arena = sp_arena_new(h->n_held * (sizeof *s->said + 48) + 256);
    s->said = SP_NEW_N(s->said_arena, struct sp_resource, h->n_held + 1);
    for (size_t i = 0; i < h->n_held; i++) {
        const Sallyport__V1__Held *held = h->held[i];
        struct sp_str name = sp_str_z(held->name);
        if (held->hash.len != 16 || name.len == 0 || name.len > MAX_NAME)
            return sp_fail(err, SP_E_PROTO, "HELLO holds a resource without a proper name and hash");
        struct sp_resource *r = &s->said[s->num_said++];
        r->kind = held->kind;
        r->name = sp_arena_dup(s->said_arena, name);
        memcpy(r->hash, held->hash.data, 16);
    }
    qsort(s->said, s->num_said, sizeof *s->said, said_cmp);
    for (size_t i = 1; i < s->num_said; i++)
        if (cp_resource_cmp(&s->said[i - 1], &s->said[i]) == 0)
            return sp_fail(err, SP_E_PROTO, "HELLO holds '%.*s' twice", SP_FMT(s->said[i].name));
    return sp_ok();
}

/* Length of the UTF-8 sequence at p, 0 when it is none (RFC 3629: shortest form, no surrogates). */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : 4;
    if (n > left || p[0] > 0xf4 || (p[0] >= 0x80 && p[0] < 0xc2))
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool odd = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
               (p[0] == 0xf4 && p[1] > 0x8f);
    return odd ? 0 : n;
}

/* A node's text as it may be shown: at most max bytes, printable UTF-8; anything else becomes '?'. */
static struct sp_str bounded(struct sp_arena *a, const char *text, size_t max)
{
    struct sp_str s = sp_str_z(text);
    char *out = sp_arena_alloc(a, (s.len < max ? s.len : max) + 1);
    size_t used = 0;
    for (size_t i = 0, n; i < s.len; i += n) {
        const unsigned char *p = (const unsigned char *)s.p + i;
        n = utf8_len(p, s.len - i);
        bool bad = n == 0 || p[0] < 0x20 || p[0] == 0x7f;
        n = n ? n : 1;
        if (used + n > max)
            break;
        memcpy(out + used, bad ? "?" : (const char *)p, n);
        used += n;
    }
    return sp_str(out, used);
}

static sp_result on_hello(struct cp_session *s, const Sallyport__V1__Hello *h, struct sp_error *err)
{
    if (s->greeted)
        return sp_fail(err, SP_E_PROTO, "a second HELLO");
    s->greeted = true;
    s->hello.node_id = bounded(s->arena, h->node_id, MAX_TEXT);
    s->hello.version = bounded(s->arena, h->version, MAX_TEXT);
    s->hello.hostname = bounded(s->arena, h->hostname, MAX_TEXT);
    size_t n = h->n_labels > MAX_LABELS ? MAX_LABELS : h->n_labels;
    s->hello.labels = SP_NEW_N(s->arena, struct sp_str, n + 1);
    for (size_t i = 0; i < n; i++)
        s->hello.labels[s->hello.num_labels++] = bounded(s->arena, h->labels[i], MAX_TEXT);
    return take_held(s, h, err);
}

/* The answer must be to the transaction that was sent, and after its COMMIT. */
static sp_result check_answer(const struct cp_session *s, int64_t revision, const char *nonce, struct sp_error *err)
{
    if (!s->sending || s->next_frame < s->push->num_chunks + 2)
        return sp_fail(err, SP_E_PROTO, "an answer to no transaction");
    if (revision != s->sending->revision || !nonce || strcmp(nonce, s->nonce) != 0)
        return sp_fail(err, SP_E_PROTO, "an answer to another transaction");
    return sp_ok();
}

static void forget_refusal(struct cp_session *s)
{
    sp_arena_free(s->refused.arena);
    s->refused = (struct refused){0};
}

static sp_result on_applied(struct cp_session *s, const Sallyport__V1__Applied *a, struct sp_error *err)
{
    SP_TRY(check_answer(s, a->revision, a->nonce, err));
    cp_snapshot_unref(s->live);
    s->live = SP_TAKE(s->sending);
    s->held_revision = s->live->revision;
    sp_arena_free(SP_TAKE(s->said_arena));
    s->said = NULL;
    s->num_said = 0;
    end_transaction(s);
    forget_refusal(s);
    return sp_ok();
}

/* The transaction under way is over, and bad: remembers it and waits longer each time in a row. */
static struct refused *refuse(struct cp_session *s, uint64_t now_ms)
{
    struct refused *r = &s->refused;
    unsigned in_a_row = r->in_a_row + 1;
    forget_refusal(s);
    r->arena = sp_arena_new(1024);
    r->revision = s->sending->revision;
    memcpy(r->digest, s->sending->digest, sizeof r->digest);
    r->in_a_row = in_a_row;
    uint64_t wait = in_a_row < 2 ? 0 : (uint64_t)BACKOFF_BASE_MS << (in_a_row < 9 ? in_a_row - 2 : 7);
    r->not_before_ms = now_ms + (wait > BACKOFF_CAP_MS ? BACKOFF_CAP_MS : wait);
    end_transaction(s);
    return r;
}

static sp_result on_rejected(struct cp_session *s, const Sallyport__V1__Rejected *m, uint64_t now_ms,
                             struct sp_error *err)
{
    SP_TRY(check_answer(s, m->revision, m->nonce, err));
    struct refused *r = refuse(s, now_ms);
    size_t n = m->n_problems > MAX_PROBLEMS ? MAX_PROBLEMS : m->n_problems;
    r->problems = SP_NEW_N(r->arena, struct cp_problem, n + 1);
    for (size_t i = 0; i < n; i++) {
        const Sallyport__V1__Problem *p = m->problems[i];
        r->problems[r->num++] =
            (struct cp_problem){p->kind, bounded(r->arena, p->name, MAX_NAME), bounded(r->arena, p->field, MAX_NAME),
                                bounded(r->arena, p->reason, MAX_REASON)};
    }
    return sp_ok();
}

sp_result cp_session_receive(struct cp_session *s, struct sp_str message, uint64_t now_ms, struct sp_error *err)
{
    Sallyport__V1__NodeMessage *m = sallyport__v1__node_message__unpack(NULL, message.len, (const uint8_t *)message.p);
    if (!m)
        return sp_fail(err, SP_E_PROTO, "not a NodeMessage");
    sp_result r;
    if (m->message_case == SALLYPORT__V1__NODE_MESSAGE__MESSAGE_HELLO)
        r = on_hello(s, m->hello, err);
    else if (!s->greeted)
        r = sp_fail(err, SP_E_PROTO, "the first message is not HELLO");
    else if (m->message_case == SALLYPORT__V1__NODE_MESSAGE__MESSAGE_APPLIED)
        r = on_applied(s, m->applied, err);
    else if (m->message_case == SALLYPORT__V1__NODE_MESSAGE__MESSAGE_REJECTED)
        r = on_rejected(s, m->rejected, now_ms, err);
    else
        r = sp_fail(err, SP_E_PROTO, "a NodeMessage that this control plane does not know");
    sallyport__v1__node_message__free_unpacked(m, NULL);
    return r;
}

/* --- what it is sent --- */

static bool is_refused(const struct cp_session *s, const struct cp_snapshot *snapshot)
{
    const struct refused *r = &s->refused;
    return r->arena && r->revision == snapshot->revision && memcmp(r->digest, snapshot->digest, 32) == 0;
}

static bool has_newest(const struct cp_session *s)
{
    return s->live && s->target && s->live->serial == s->target->serial;
}

static bool may_start(const struct cp_session *s, uint64_t now_ms)
{
    return s->greeted && s->target && !has_newest(s) && !is_refused(s, s->target) && now_ms >= s->refused.not_before_ms;
}

static void start_transaction(struct cp_session *s, uint64_t now_ms)
{
    s->sending = cp_snapshot_ref(s->target);
    s->next_frame = 0;
    snprintf(s->nonce, sizeof s->nonce, "%llu", (unsigned long long)++s->nonces);
    if (s->live)
        s->push = cp_push_new(s->live->serial, s->live->resources->v, s->live->resources->num, s->sending);
    else
        s->push = cp_push_new(0, s->said, s->num_said, s->sending);
    const struct sp_resource *bad = s->push->too_large;
    if (!bad)
        return;
    Sallyport__V1__Kind kind = bad->kind;
    struct sp_str name = bad->name; /* the target keeps it alive */
    struct refused *r = refuse(s, now_ms);
    r->problems = SP_NEW(r->arena, struct cp_problem);
    r->problems[0] = (struct cp_problem){
        .kind = kind, .name = sp_arena_dup(r->arena, name), .reason = SP_STR("the resource is too large to be sent")};
    r->num = 1;
}

static struct sp_bytes *encode(const Sallyport__V1__ControlMessage *m)
{
    struct sp_bytes *b = sp_bytes_new(sallyport__v1__control_message__get_packed_size(m));
    sallyport__v1__control_message__pack(m, (uint8_t *)b->p);
    return b;
}

static struct sp_bytes *begin(const struct cp_session *s)
{
    Sallyport__V1__Begin b = SALLYPORT__V1__BEGIN__INIT;
    b.has_revision = b.has_base_revision = true;
    b.revision = s->sending->revision;
    b.base_revision = s->held_revision;
    b.nonce = (char *)s->nonce;
    b.has_rollback = s->sending->rollback;
    b.rollback = s->sending->rollback;
    b.control_id = (char *)s->control_id.p;
    Sallyport__V1__ControlMessage m = SALLYPORT__V1__CONTROL_MESSAGE__INIT;
    m.message_case = SALLYPORT__V1__CONTROL_MESSAGE__MESSAGE_BEGIN;
    m.begin = &b;
    return encode(&m);
}

static struct sp_bytes *commit(const struct cp_session *s)
{
    Sallyport__V1__Commit c = SALLYPORT__V1__COMMIT__INIT;
    c.has_revision = c.has_num_upserts = c.has_num_removals = true;
    c.revision = s->sending->revision;
    c.num_upserts = s->push->num_upserts;
    c.num_removals = s->push->num_removals;
    Sallyport__V1__ControlMessage m = SALLYPORT__V1__CONTROL_MESSAGE__INIT;
    m.message_case = SALLYPORT__V1__CONTROL_MESSAGE__MESSAGE_COMMIT;
    m.commit = &c;
    return encode(&m);
}

struct sp_bytes *cp_session_next(struct cp_session *s, uint64_t now_ms)
{
    if (!s->sending && may_start(s, now_ms))
        start_transaction(s, now_ms);
    if (!s->sending || s->next_frame > s->push->num_chunks + 1)
        return NULL;
    size_t frame = s->next_frame++;
    if (frame == 0)
        return begin(s);
    if (frame <= s->push->num_chunks)
        return sp_bytes_ref(s->push->chunks[frame - 1]);
    s->sent_revision = s->sending->revision;
    return commit(s);
}

uint64_t cp_session_wake(const struct cp_session *s)
{
    bool waits = !s->sending && s->refused.not_before_ms && may_start(s, UINT64_MAX);
    return waits ? s->refused.not_before_ms : 0;
}

/* --- what others ask --- */

const struct cp_hello *cp_session_hello(const struct cp_session *s)
{
    return s->greeted ? &s->hello : NULL;
}

enum cp_node_state cp_session_state(const struct cp_session *s)
{
    if (s->closed)
        return CP_NODE_DISCONNECTED;
    if (has_newest(s))
        return CP_NODE_LIVE;
    if (s->target && !s->sending && is_refused(s, s->target))
        return CP_NODE_REJECTED;
    return CP_NODE_SENDING;
}

int64_t cp_session_held(const struct cp_session *s)
{
    return s->held_revision;
}

int64_t cp_session_sent(const struct cp_session *s)
{
    return s->sent_revision;
}

int64_t cp_session_rejected(const struct cp_session *s)
{
    return s->refused.revision;
}

const struct cp_problem *cp_session_problems(const struct cp_session *s, size_t *num)
{
    *num = s->refused.num;
    return s->refused.problems;
}
