#include "control/discovery/snapshot.h"

#include "tls/certificate.h"

#include <stdlib.h>

int cp_resource_cmp(const struct sp_resource *a, const struct sp_resource *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return sp_str_cmp(a->name, b->name);
}

static void digest_of(const struct sp_resources *r, uint8_t out[32])
{
    struct sp_buf b = {0};
    for (size_t i = 0; i < r->num; i++) {
        uint32_t head[2] = {(uint32_t)r->v[i].kind, (uint32_t)r->v[i].name.len};
        sp_buf_append(&b, head, sizeof head);
        sp_buf_add(&b, r->v[i].name);
        sp_buf_append(&b, r->v[i].hash, sizeof r->v[i].hash);
    }
    sp_sha256(sp_buf_str(&b), out);
    sp_buf_fini(&b);
}

struct cp_snapshot *cp_snapshot_new(int64_t revision, const struct sp_resources *r, struct sp_arena *a)
{
    static uint64_t last_serial;
    for (size_t i = 1; i < r->num; i++)
        sp_assert(cp_resource_cmp(&r->v[i - 1], &r->v[i]) < 0); /* sp_compile promises it */
    struct cp_snapshot *s = sp_alloc(sizeof *s);
    s->refs = 1;
    s->serial = ++last_serial;
    s->revision = revision;
    s->resources = r;
    s->arena = a;
    digest_of(r, s->digest);
    return s;
}

struct cp_snapshot *cp_snapshot_ref(struct cp_snapshot *s)
{
    s->refs++;
    return s;
}

void cp_snapshot_superseded(struct cp_snapshot *s)
{
    for (size_t i = 0; i < CP_NUM_CACHED; i++)
        cp_push_unref(SP_TAKE(s->cache[i]));
}

void cp_snapshot_unref(struct cp_snapshot *s)
{
    if (!s || --s->refs)
        return;
    cp_snapshot_superseded(s);
    sp_arena_free(s->arena);
    free(s);
}

static bool is_trust(Sallyport__V1__Kind kind)
{
    return kind == SALLYPORT__V1__KIND__CA_CERTIFICATE || kind == SALLYPORT__V1__KIND__CONSUMER ||
           kind == SALLYPORT__V1__KIND__PLUGIN || kind == SALLYPORT__V1__KIND__VAULT;
}

bool cp_snapshot_tightens(const struct cp_snapshot *from, const struct cp_snapshot *to)
{
    const struct sp_resources *a = from ? from->resources : NULL, *b = to->resources;
    for (size_t i = 0, k = 0; a && i < a->num; i++) {
        if (!is_trust(a->v[i].kind))
            continue;
        while (k < b->num && cp_resource_cmp(&b->v[k], &a->v[i]) < 0)
            k++;
        if (k == b->num || cp_resource_cmp(&b->v[k], &a->v[i]) != 0 || memcmp(b->v[k].hash, a->v[i].hash, 16) != 0)
            return true;
    }
    return false;
}

/* --- pushes --- */

/* Gathers resources and removals and closes a chunk when the next would make it too large. */
struct chunker {
    struct cp_push *push;
    struct sp_arena *arena; /* messages of the chunk under way */
    Sallyport__V1__Resource **upserts;
    Sallyport__V1__Removal **removals;
    size_t num_upserts, num_removals, bytes, cap_upserts, cap_removals, cap_chunks;
};

static void close_chunk(struct chunker *c)
{
    if (!c->num_upserts && !c->num_removals)
        return;
    Sallyport__V1__Chunk chunk = SALLYPORT__V1__CHUNK__INIT;
    chunk.n_upserts = c->num_upserts;
    chunk.upserts = c->upserts;
    chunk.n_removals = c->num_removals;
    chunk.removals = c->removals;
    Sallyport__V1__ControlMessage m = SALLYPORT__V1__CONTROL_MESSAGE__INIT;
    m.message_case = SALLYPORT__V1__CONTROL_MESSAGE__MESSAGE_CHUNK;
    m.chunk = &chunk;
    struct cp_push *p = c->push;
    if (p->num_chunks == c->cap_chunks) {
        c->cap_chunks = c->cap_chunks ? 2 * c->cap_chunks : 4;
        p->chunks = sp_realloc(p->chunks, c->cap_chunks * sizeof(struct sp_bytes *));
    }
    struct sp_bytes *b = sp_bytes_new(sallyport__v1__control_message__get_packed_size(&m));
    sallyport__v1__control_message__pack(&m, (uint8_t *)b->p);
    p->chunks[p->num_chunks++] = b;
    c->num_upserts = c->num_removals = c->bytes = 0;
    sp_arena_reset(c->arena);
}

static void room_for(struct chunker *c, size_t bytes)
{
    enum { PER_RESOURCE = 64 }; /* tags, lengths and the hash */
    if (c->bytes && c->bytes + bytes + PER_RESOURCE > CP_CHUNK_BYTES - 1024)
        close_chunk(c);
    c->bytes += bytes + PER_RESOURCE;
}

static void add_upsert(struct chunker *c, const struct sp_resource *r)
{
    if (r->body.len > CP_MAX_BODY) {
        c->push->too_large = r;
        return;
    }
    room_for(c, r->name.len + r->body.len);
    if (c->num_upserts == c->cap_upserts) {
        c->cap_upserts = c->cap_upserts ? 2 * c->cap_upserts : 64;
        c->upserts = sp_realloc(c->upserts, c->cap_upserts * sizeof *c->upserts);
    }
    Sallyport__V1__Resource *m = SP_NEW(c->arena, Sallyport__V1__Resource);
    sallyport__v1__resource__init(m);
    m->has_kind = m->has_hash = m->has_body = true;
    m->kind = r->kind;
    m->name = (char *)sp_arena_dup(c->arena, r->name).p;
    m->hash = (ProtobufCBinaryData){sizeof r->hash, (uint8_t *)r->hash};
    m->body = (ProtobufCBinaryData){r->body.len, (uint8_t *)r->body.p};
    c->upserts[c->num_upserts++] = m;
    c->push->num_upserts++;
}

static void add_removal(struct chunker *c, const struct sp_resource *r)
{
    room_for(c, r->name.len);
    if (c->num_removals == c->cap_removals) {
        c->cap_removals = c->cap_removals ? 2 * c->cap_removals : 64;
        c->removals = sp_realloc(c->removals, c->cap_removals * sizeof *c->removals);
    }
    Sallyport__V1__Removal *m = SP_NEW(c->arena, Sallyport__V1__Removal);
    sallyport__v1__removal__init(m);
    m->has_kind = true;
    m->kind = r->kind;
    m->name = (char *)sp_arena_dup(c->arena, r->name).p;
    c->removals[c->num_removals++] = m;
    c->push->num_removals++;
}

static struct cp_push *encode(const struct sp_resource *from, size_t num, const struct sp_resources *to)
{
    struct chunker c = {.push = sp_alloc(sizeof *c.push), .arena = sp_arena_new(16384)};
    c.push->refs = 1;
    for (size_t i = 0, k = 0; i < num || k < to->num;) {
        int order = i == num ? 1 : k == to->num ? -1 : cp_resource_cmp(&from[i], &to->v[k]);
        if (order < 0)
            add_removal(&c, &from[i]);
        else if (order > 0 || memcmp(from[i].hash, to->v[k].hash, sizeof from[i].hash) != 0)
            add_upsert(&c, &to->v[k]);
        i += order <= 0;
        k += order >= 0;
    }
    close_chunk(&c);
    sp_arena_free(c.arena);
    free(c.upserts);
    free(c.removals);
    return c.push;
}

static void remember(struct cp_snapshot *to, struct cp_push *p)
{
    cp_push_unref(to->cache[CP_NUM_CACHED - 1]);
    memmove(to->cache + 1, to->cache, (CP_NUM_CACHED - 1) * sizeof *to->cache);
    to->cache[0] = p;
    p->refs++;
}

struct cp_push *cp_push_new(uint64_t from_serial, const struct sp_resource *from, size_t num, struct cp_snapshot *to)
{
    bool shared = from_serial || num == 0;
    for (size_t i = 0; shared && i < CP_NUM_CACHED && to->cache[i]; i++) {
        if (to->cache[i]->from != from_serial)
            continue;
        to->cache[i]->refs++;
        return to->cache[i];
    }
    struct cp_push *p = encode(from, num, to->resources);
    p->from = from_serial;
    if (shared)
        remember(to, p);
    return p;
}

void cp_push_unref(struct cp_push *p)
{
    if (!p || --p->refs)
        return;
    for (size_t i = 0; i < p->num_chunks; i++)
        sp_bytes_unref(p->chunks[i]);
    free(p->chunks);
    free(p);
}
