#include "config/delta.h"

#include "base/map.h"
#include "config/resource.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_PROBLEMS = 1000, MAX_NONCE = 128, MAX_HELLO_HELD = 3 << 20, DEFAULT_MAX_BYTES = 256 << 20 };

/* A set of resources and the memory of each. */
struct state {
    struct sp_arena *arena;
    int64_t revision;
    struct dp_held **held; /* one reference each; held[i]->resource is set.v[i] */
    struct sp_resources set;
};

struct change {
    Sallyport__V1__Kind kind;
    struct sp_str name;
    struct dp_held *held; /* NULL: a removal */
};

struct refusal {
    struct refusal *next;
    struct dp_problem problem;
};

struct transaction {
    struct sp_arena *arena;
    int64_t revision, base;
    struct sp_str nonce;
    struct sp_map *seen; /* kind byte and name: named twice is an error */
    struct change *changes;
    size_t num, cap, bytes;
    uint32_t num_upserts, num_removals; /* as received, to see a lost chunk */
    struct refusal *refusals, **last_refusal;
    size_t num_refusals;
    struct state *candidate;
    struct dp_candidate shown;
};

struct dp_delta {
    size_t max_bytes;
    struct state *current; /* never NULL */
    int64_t refused;       /* revision */
    struct transaction *open;
};

static struct state *state_new(int64_t revision, size_t cap)
{
    struct sp_arena *a = sp_arena_new(cap * (sizeof(struct sp_resource) + sizeof(struct dp_held *)) + 256);
    struct state *s = SP_NEW(a, struct state);
    s->arena = a;
    s->revision = revision;
    s->held = sp_arena_alloc_raw(a, cap * sizeof *s->held);
    s->set.v = sp_arena_alloc_raw(a, cap * sizeof *s->set.v);
    return s;
}

static void state_free(struct state *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->set.num; i++)
        dp_held_unref(s->held[i]);
    sp_arena_free(s->arena);
}

static void state_add(struct state *s, struct dp_held *h)
{
    s->set.v[s->set.num] = h->resource;
    s->held[s->set.num++] = dp_held_ref(h);
}

static struct dp_held *state_find(const struct state *s, Sallyport__V1__Kind kind, struct sp_str name)
{
    size_t low = 0, high = s->set.num;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = dp_resource_cmp(s->set.v[mid].kind, s->set.v[mid].name, kind, name);
        if (c == 0)
            return s->held[mid];
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static struct transaction *transaction_new(int64_t revision, int64_t base, struct sp_str nonce)
{
    struct sp_arena *a = sp_arena_new(1024);
    struct transaction *t = SP_NEW(a, struct transaction);
    t->arena = a;
    t->revision = revision;
    t->base = base;
    t->nonce = sp_arena_dup(a, nonce);
    t->seen = sp_map_new(a, 16);
    t->last_refusal = &t->refusals;
    return t;
}

static void transaction_free(struct transaction *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->num; i++)
        dp_held_unref(t->changes[i].held);
    free(t->changes);
    state_free(t->candidate);
    sp_arena_free(t->arena);
}

struct dp_delta *dp_delta_new(size_t max_bytes)
{
    struct dp_delta *d = sp_alloc(sizeof *d);
    d->max_bytes = max_bytes ? max_bytes : DEFAULT_MAX_BYTES;
    d->current = state_new(0, 0);
    return d;
}

void dp_delta_free(struct dp_delta *d)
{
    if (!d)
        return;
    transaction_free(d->open);
    state_free(d->current);
    free(d);
}

const struct sp_resources *dp_delta_current(const struct dp_delta *d)
{
    return &d->current->set;
}

int64_t dp_delta_revision(const struct dp_delta *d)
{
    return d->current->revision;
}

int64_t dp_delta_refused_revision(const struct dp_delta *d)
{
    return d->refused;
}

bool dp_delta_idle(const struct dp_delta *d)
{
    return !d->open;
}

const struct dp_candidate *dp_delta_candidate(const struct dp_delta *d)
{
    return d->open && d->open->candidate ? &d->open->shown : NULL;
}

/* --- staging --- */

static void refuse(struct transaction *t, Sallyport__V1__Kind kind, struct sp_str name, const char *reason)
{
    if (++t->num_refusals > MAX_PROBLEMS)
        return;
    struct refusal *r = SP_NEW(t->arena, struct refusal);
    name.len = name.len > DP_RESOURCE_MAX_NAME ? DP_RESOURCE_MAX_NAME : name.len;
    r->problem = (struct dp_problem){
        .kind = kind, .name = sp_arena_dup(t->arena, name), .reason = sp_str_z(sp_arena_strdup(t->arena, reason))};
    *t->last_refusal = r;
    t->last_refusal = &r->next;
}

/* false: was named before in this transaction, or the transaction is past its bound. */
static bool claim(struct dp_delta *d, struct transaction *t, Sallyport__V1__Kind kind, struct sp_str name, size_t cost)
{
    if (t->bytes > d->max_bytes)
        return false;
    t->bytes += cost;
    if (t->bytes > d->max_bytes) {
        char text[96];
        snprintf(text, sizeof text, "the transaction is larger than the %zu bytes allowed", d->max_bytes);
        refuse(t, SALLYPORT__V1__KIND__KIND_UNSPECIFIED, SP_STR(""), text);
        return false;
    }
    char *key = sp_arena_alloc_raw(t->arena, name.len + 1);
    key[0] = (char)kind;
    if (name.len)
        memcpy(key + 1, name.p, name.len);
    if (!sp_map_put(t->seen, sp_str(key, name.len + 1), t)) {
        refuse(t, kind, name, "named twice in one transaction");
        return false;
    }
    return true;
}

static void stage(struct transaction *t, Sallyport__V1__Kind kind, struct sp_str name, struct dp_held *held)
{
    if (t->num == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 16;
        t->changes = sp_realloc(t->changes, t->cap * sizeof *t->changes);
    }
    t->changes[t->num++] = (struct change){kind, held ? held->resource.name : sp_arena_dup(t->arena, name), held};
}

static void stage_upsert(struct dp_delta *d, struct transaction *t, const Sallyport__V1__Resource *r)
{
    struct sp_str name = sp_str_z(r->name), body = sp_str(r->body.data, r->body.len);
    struct dp_held *held = NULL;
    struct sp_error err = {0};
    t->num_upserts++;
    if (!claim(d, t, r->kind, name, DP_RESOURCE_OVERHEAD + name.len + body.len))
        return;
    if (sp_failed(dp_held_new(r->kind, name, sp_str(r->hash.data, r->hash.len), body, &held, &err)))
        refuse(t, r->kind, name, err.text);
    else
        stage(t, r->kind, name, held);
}

static void stage_removal(struct dp_delta *d, struct transaction *t, const Sallyport__V1__Removal *r)
{
    struct sp_str name = sp_str_z(r->name);
    t->num_removals++;
    if (claim(d, t, r->kind, name, DP_RESOURCE_OVERHEAD + name.len))
        stage(t, r->kind, name, NULL);
}

/* --- the candidate --- */

static int change_cmp(const void *a, const void *b)
{
    const struct change *x = a, *y = b;
    return dp_resource_cmp(x->kind, x->name, y->kind, y->name);
}

/* Current state and changes, both sorted, to the state that follows. */
static struct state *merge(const struct state *from, struct transaction *t)
{
    size_t kept = t->base ? from->set.num : 0;
    struct state *to = state_new(t->revision, kept + t->num);
    if (t->num) /* an empty transaction has no array at all */
        qsort(t->changes, t->num, sizeof *t->changes, change_cmp);
    for (size_t i = 0, k = 0; i < kept || k < t->num;) {
        const struct change *c = &t->changes[k];
        int order = i == kept     ? 1
                    : k == t->num ? -1
                                  : dp_resource_cmp(from->set.v[i].kind, from->set.v[i].name, c->kind, c->name);
        if (order < 0) {
            state_add(to, from->held[i++]);
            continue;
        }
        if (c->held)
            state_add(to, c->held);
        i += order == 0;
        k++;
    }
    return to;
}

static size_t state_cost(const struct state *s)
{
    size_t cost = 0;
    for (size_t i = 0; i < s->set.num; i++)
        cost += dp_resource_cost(&s->set.v[i]);
    return cost;
}

/* In a full transaction, what is held already with the same content stays the same object. */
static void share_with(const struct state *current, struct transaction *t)
{
    for (size_t i = 0; i < t->num; i++) {
        struct change *c = &t->changes[i];
        struct dp_held *old = c->held ? state_find(current, c->kind, c->name) : NULL;
        if (!old || memcmp(old->resource.hash, c->held->resource.hash, 16) != 0)
            continue;
        dp_held_unref(c->held);
        c->held = dp_held_ref(old);
        c->name = old->resource.name;
    }
}

static void build_candidate(struct dp_delta *d, struct transaction *t)
{
    share_with(d->current, t);
    t->candidate = merge(d->current, t);
    size_t cost = state_cost(t->candidate);
    if (cost > d->max_bytes) {
        char text[128];
        snprintf(text, sizeof text, "the whole state is %zu bytes, more than the %zu allowed", cost, d->max_bytes);
        refuse(t, SALLYPORT__V1__KIND__KIND_UNSPECIFIED, SP_STR(""), text);
        return;
    }
    t->shown = (struct dp_candidate){t->revision, &t->candidate->set, t->num};
}

/* --- answers --- */

static void pack(const Sallyport__V1__NodeMessage *m, struct sp_buf *out)
{
    size_t size = sallyport__v1__node_message__get_packed_size(m);
    sallyport__v1__node_message__pack(m, (uint8_t *)sp_buf_reserve(out, size));
    sp_buf_commit(out, size);
}

static char *z(struct sp_arena *a, struct sp_str s)
{
    return (char *)sp_arena_dup(a, s).p;
}

static Sallyport__V1__Problem *to_message(struct sp_arena *a, const struct dp_problem *p)
{
    Sallyport__V1__Problem *m = SP_NEW(a, Sallyport__V1__Problem);
    sallyport__v1__problem__init(m);
    m->has_kind = true;
    m->kind = p->kind;
    m->name = z(a, p->name);
    m->field = p->field.len ? z(a, p->field) : NULL;
    struct sp_str reason = p->reason;
    reason.len = reason.len > 1024 ? 1024 : reason.len; /* MAX_PROBLEMS of these stay below the message bound */
    m->reason = z(a, reason);
    return m;
}

void dp_delta_rejected(struct dp_delta *d, const struct dp_problem *problems, size_t num, struct sp_buf *reply)
{
    struct transaction *t = d->open;
    sp_assert(t);
    size_t shown = num > MAX_PROBLEMS ? MAX_PROBLEMS : num;
    Sallyport__V1__Rejected rejected = SALLYPORT__V1__REJECTED__INIT;
    rejected.has_revision = true;
    rejected.revision = t->revision;
    rejected.nonce = z(t->arena, t->nonce);
    rejected.problems = SP_NEW_N(t->arena, Sallyport__V1__Problem *, shown + 1);
    for (size_t i = 0; i < shown; i++)
        rejected.problems[rejected.n_problems++] = to_message(t->arena, &problems[i]);
    if (num > shown) {
        struct dp_problem more = {.reason = sp_arena_printf(t->arena, "and %zu more", num - shown)};
        rejected.problems[rejected.n_problems++] = to_message(t->arena, &more);
    }
    Sallyport__V1__NodeMessage m = SALLYPORT__V1__NODE_MESSAGE__INIT;
    m.message_case = SALLYPORT__V1__NODE_MESSAGE__MESSAGE_REJECTED;
    m.rejected = &rejected;
    pack(&m, reply);
    transaction_free(t);
    d->open = NULL;
}

void dp_delta_applied(struct dp_delta *d, struct sp_buf *reply)
{
    struct transaction *t = d->open;
    sp_assert(t && t->candidate);
    Sallyport__V1__Applied applied = SALLYPORT__V1__APPLIED__INIT;
    applied.has_revision = true;
    applied.revision = t->revision;
    applied.nonce = z(t->arena, t->nonce);
    Sallyport__V1__NodeMessage m = SALLYPORT__V1__NODE_MESSAGE__INIT;
    m.message_case = SALLYPORT__V1__NODE_MESSAGE__MESSAGE_APPLIED;
    m.applied = &applied;
    pack(&m, reply);
    state_free(d->current);
    d->current = SP_TAKE(t->candidate);
    transaction_free(t);
    d->open = NULL;
}

/* --- frames --- */

static enum dp_delta_event broken(struct dp_delta *d, struct sp_error *err, const char *what)
{
    if (!dp_delta_candidate(d)) {
        transaction_free(d->open);
        d->open = NULL;
    }
    (void)sp_fail(err, SP_E_PROTO, "control plane: %s", what);
    return DP_DELTA_BROKEN;
}

static enum dp_delta_event on_begin(struct dp_delta *d, const Sallyport__V1__Begin *b, struct sp_error *err)
{
    struct sp_str nonce = sp_str_z(b->nonce);
    if (d->open)
        return broken(d, err, "BEGIN inside a transaction");
    if (b->revision <= 0 || b->base_revision < 0 || nonce.len == 0 || nonce.len > MAX_NONCE)
        return broken(d, err, "BEGIN without a revision or nonce");
    if (b->base_revision && b->base_revision != d->current->revision)
        return broken(d, err, "the transaction builds on a revision that this node does not hold");
    d->open = transaction_new(b->revision, b->base_revision, nonce);
    if (b->revision < d->current->revision && !b->rollback) {
        char text[128];
        snprintf(text, sizeof text, "revision %lld is older than %lld, which is live, and is not marked as a rollback",
                 (long long)b->revision, (long long)d->current->revision);
        refuse(d->open, SALLYPORT__V1__KIND__KIND_UNSPECIFIED, SP_STR(""), text);
    }
    return DP_DELTA_MORE;
}

static enum dp_delta_event on_chunk(struct dp_delta *d, const Sallyport__V1__Chunk *c, struct sp_error *err)
{
    if (!d->open || d->open->candidate)
        return broken(d, err, "CHUNK outside a transaction");
    for (size_t i = 0; i < c->n_upserts; i++)
        stage_upsert(d, d->open, c->upserts[i]);
    for (size_t i = 0; i < c->n_removals; i++)
        stage_removal(d, d->open, c->removals[i]);
    return DP_DELTA_MORE;
}

/* REJECTED out of what staging has found. */
static enum dp_delta_event refused(struct dp_delta *d, struct sp_buf *reply, struct sp_error *err)
{
    struct transaction *t = d->open;
    struct dp_problem *v = SP_NEW_N(t->arena, struct dp_problem, t->num_refusals);
    size_t n = 0;
    d->refused = t->revision;
    for (const struct refusal *r = t->refusals; r; r = r->next)
        v[n++] = r->problem;
    (void)sp_fail(err, SP_E_INVALID, "'%.*s': %.*s", SP_FMT(v[0].name), SP_FMT(v[0].reason));
    dp_delta_rejected(d, v, t->num_refusals, reply); /* shows no more of v than were kept */
    return DP_DELTA_REFUSED;
}

static enum dp_delta_event on_commit(struct dp_delta *d, const Sallyport__V1__Commit *c, struct sp_buf *reply,
                                     struct sp_error *err)
{
    struct transaction *t = d->open;
    if (!t || t->candidate)
        return broken(d, err, "COMMIT outside a transaction");
    if (c->revision != t->revision)
        return broken(d, err, "COMMIT of another revision than BEGIN");
    if (c->num_upserts != t->num_upserts || c->num_removals != t->num_removals)
        return broken(d, err, "a chunk was lost or came twice: the totals of COMMIT are others");
    if (!t->num_refusals)
        build_candidate(d, t);
    return t->num_refusals ? refused(d, reply, err) : DP_DELTA_CANDIDATE;
}

/* Some of them hold private keys. */
static void wipe_bodies(const Sallyport__V1__ControlMessage *m)
{
    if (m->message_case != SALLYPORT__V1__CONTROL_MESSAGE__MESSAGE_CHUNK)
        return;
    for (size_t i = 0; i < m->chunk->n_upserts; i++) {
        ProtobufCBinaryData *body = &m->chunk->upserts[i]->body;
        if (body->len)
            sp_wipe(body->data, body->len);
    }
}

enum dp_delta_event dp_delta_receive(struct dp_delta *d, struct sp_str message, struct sp_buf *reply,
                                     struct sp_error *err)
{
    Sallyport__V1__ControlMessage *m =
        sallyport__v1__control_message__unpack(NULL, message.len, (const uint8_t *)message.p);
    if (!m)
        return broken(d, err, "the message is not a ControlMessage");
    enum dp_delta_event event;
    switch (m->message_case) {
    case SALLYPORT__V1__CONTROL_MESSAGE__MESSAGE_BEGIN:
        event = on_begin(d, m->begin, err);
        break;
    case SALLYPORT__V1__CONTROL_MESSAGE__MESSAGE_CHUNK:
        event = on_chunk(d, m->chunk, err);
        break;
    case SALLYPORT__V1__CONTROL_MESSAGE__MESSAGE_COMMIT:
        event = on_commit(d, m->commit, reply, err);
        break;
    default:
        event = broken(d, err, "a ControlMessage that this data plane does not know");
    }
    wipe_bodies(m);
    sallyport__v1__control_message__free_unpacked(m, NULL);
    return event;
}

/* --- hello, and states from elsewhere --- */

static char **texts(struct sp_arena *a, const struct sp_str *v, size_t num)
{
    char **out = SP_NEW_N(a, char *, num + 1);
    for (size_t i = 0; i < num; i++)
        out[i] = z(a, v[i]);
    return out;
}

/* What is held, unless that alone would be a message beyond the bound: then the control plane sends the whole state,
 * and what is the same is kept by its hash. */
static void add_held(const struct state *s, struct sp_arena *a, Sallyport__V1__Hello *hello)
{
    size_t size = 0;
    for (size_t i = 0; i < s->set.num; i++)
        size += s->set.v[i].name.len + 32;
    if (size > MAX_HELLO_HELD)
        return;
    hello->has_revision = true;
    hello->revision = s->revision;
    hello->held = SP_NEW_N(a, Sallyport__V1__Held *, s->set.num + 1);
    for (size_t i = 0; i < s->set.num; i++) {
        Sallyport__V1__Held *h = SP_NEW(a, Sallyport__V1__Held);
        sallyport__v1__held__init(h);
        h->has_kind = h->has_hash = true;
        h->kind = s->set.v[i].kind;
        h->name = (char *)s->set.v[i].name.p; /* NUL-terminated: dp_held_new duplicates */
        h->hash = (ProtobufCBinaryData){16, s->set.v[i].hash};
        hello->held[hello->n_held++] = h;
    }
}

void dp_delta_hello(struct dp_delta *d, const struct dp_node *node, struct sp_buf *out)
{
    sp_assert(!dp_delta_candidate(d));
    transaction_free(d->open);
    d->open = NULL;
    struct sp_arena *a = sp_arena_new(4096);
    Sallyport__V1__Hello hello = SALLYPORT__V1__HELLO__INIT;
    Sallyport__V1__Kind kinds[SP_LAST_KIND];
    for (int i = 0; i < SP_LAST_KIND; i++)
        kinds[i] = (Sallyport__V1__Kind)(i + 1);
    hello.n_kinds = SP_LAST_KIND;
    hello.kinds = kinds;
    hello.node_id = z(a, node->id);
    hello.version = z(a, node->version);
    hello.hostname = z(a, node->hostname);
    hello.labels = texts(a, node->labels, node->num_labels);
    hello.n_labels = node->num_labels;
    hello.plugins = texts(a, node->plugins, node->num_plugins);
    hello.n_plugins = node->num_plugins;
    add_held(d->current, a, &hello);
    Sallyport__V1__NodeMessage m = SALLYPORT__V1__NODE_MESSAGE__INIT;
    m.message_case = SALLYPORT__V1__NODE_MESSAGE__MESSAGE_HELLO;
    m.hello = &hello;
    pack(&m, out);
    sp_arena_free(a);
}

sp_result dp_delta_seed(struct dp_delta *d, int64_t revision, const struct sp_resource *v, size_t num,
                        struct sp_error *err)
{
    sp_assert(!dp_delta_candidate(d));
    struct state *s = state_new(revision, num);
    sp_result result = revision > 0 ? sp_ok() : sp_fail(err, SP_E_INVALID, "a state without a revision");
    for (size_t i = 0; i < num && !sp_failed(result); i++) {
        struct dp_held *h = NULL;
        result = dp_held_new(v[i].kind, v[i].name, sp_str(v[i].hash, 16), v[i].body, &h, err);
        if (sp_failed(result))
            break;
        if (i && dp_resource_cmp(v[i - 1].kind, v[i - 1].name, v[i].kind, v[i].name) >= 0)
            result = sp_fail(err, SP_E_INVALID, "resources out of order");
        state_add(s, h);
        dp_held_unref(h);
    }
    if (!sp_failed(result) && state_cost(s) > d->max_bytes)
        result = sp_fail(err, SP_E_LIMIT, "the state is larger than the %zu bytes allowed", d->max_bytes);
    if (sp_failed(result)) {
        state_free(s);
        return result;
    }
    state_free(d->current);
    d->current = s;
    return result;
}

void dp_delta_forget(struct dp_delta *d)
{
    sp_assert(!dp_delta_candidate(d));
    state_free(d->current);
    d->current = state_new(0, 0);
}
