/* The store in memory: for tests and for trying out. Rows are kept sorted by kind, id and revision. */
#include "control/store/backend.h"
#include <stdlib.h>

struct row {
    unsigned kind;
    struct sp_str id, body;
    int64_t since, until; /* until 0: current */
};

struct memory {
    struct cp_store store;
    struct sp_arena *arena; /* nothing is ever forgotten */
    struct row *rows;
    size_t num_rows, cap_rows;
    struct cp_revision *revisions; /* [0] is revision 1 */
    size_t num_revisions;
};

static int order(const struct row *r, unsigned kind, struct sp_str id)
{
    if (r->kind != kind)
        return r->kind < kind ? -1 : 1;
    return sp_str_cmp(r->id, id);
}

/* Index of the first row behind all of (kind, id). */
static size_t upper(const struct memory *m, unsigned kind, struct sp_str id)
{
    size_t low = 0, high = m->num_rows;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (order(&m->rows[middle], kind, id) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct row *current(const struct memory *m, const struct cp_write *w)
{
    size_t at = upper(m, w->kind, w->id);
    if (at == 0 || order(&m->rows[at - 1], w->kind, w->id) != 0 || m->rows[at - 1].until)
        return NULL;
    return &m->rows[at - 1];
}

static void insert(struct memory *m, const struct cp_write *w, int64_t revision)
{
    size_t at = upper(m, w->kind, w->id);
    if (m->num_rows == m->cap_rows) {
        m->cap_rows = m->cap_rows ? m->cap_rows * 2 : 64;
        m->rows = sp_realloc(m->rows, sizeof *m->rows * m->cap_rows);
    }
    memmove(&m->rows[at + 1], &m->rows[at], sizeof *m->rows * (m->num_rows - at));
    m->rows[at] = (struct row){w->kind, sp_arena_dup(m->arena, w->id), sp_arena_dup(m->arena, w->body), revision, 0};
    m->num_rows++;
}

static bool is_change(const struct memory *m, const struct cp_write *w, struct row **old)
{
    *old = current(m, w);
    if (!w->body.p)
        return *old != NULL;
    return !*old || !sp_str_eq((*old)->body, w->body);
}

static sp_result memory_commit(struct cp_store *s, const struct cp_commit *c, struct sp_arena *a,
                               struct cp_revision *out, bool *changed, struct sp_error *err)
{
    struct memory *m = (struct memory *)s;
    int64_t newest = (int64_t)m->num_revisions;
    struct cp_revision r = {newest + 1, c->time_ms, c->author, c->comment, c->rollback, 0, 0, 0};
    *out = newest ? cp_revision_dup(a, &m->revisions[newest - 1]) : (struct cp_revision){0};
    if (c->base != newest)
        return cp_store_conflict(c, newest, err);
    for (size_t i = 0; i < c->num; i++) {
        struct row *old;
        if (!is_change(m, &c->v[i], &old))
            continue;
        *changed = true;
        if ((int)c->v[i].kind != CP_KIND_SETTINGS)
            cp_revision_count(&r, old != NULL, c->v[i].body.p != NULL);
        if (old)
            old->until = r.revision;
        if (c->v[i].body.p)
            insert(m, &c->v[i], r.revision);
    }
    if (!*changed)
        return sp_ok();
    m->revisions = sp_realloc(m->revisions, sizeof *m->revisions * (m->num_revisions + 1));
    m->revisions[m->num_revisions++] = cp_revision_dup(m->arena, &r);
    *out = cp_revision_dup(a, &r);
    return sp_ok();
}

static sp_result memory_read(struct cp_store *s, int64_t revision, struct sp_arena *a, struct cp_state *out,
                             struct sp_error *err)
{
    struct memory *m = (struct memory *)s;
    *out = (struct cp_state){0};
    if (revision < 0 || revision > (int64_t)m->num_revisions)
        return sp_fail(err, SP_E_NOT_FOUND, "there is no revision %lld", (long long)revision);
    if (revision == 0)
        revision = (int64_t)m->num_revisions;
    if (revision)
        out->revision = cp_revision_dup(a, &m->revisions[revision - 1]);
    out->v = SP_NEW_N(a, struct sp_stored_entity, m->num_rows + 1);
    for (size_t i = 0; i < m->num_rows; i++) {
        const struct row *r = &m->rows[i];
        if (r->since > revision || (r->until && r->until <= revision))
            continue;
        if ((int)r->kind == CP_KIND_SETTINGS)
            out->settings = sp_arena_dup(a, r->body);
        else
            out->v[out->num++] = (struct sp_stored_entity){(enum sp_entity_kind)r->kind, sp_arena_dup(a, r->body)};
    }
    return sp_ok();
}

static sp_result memory_history(struct cp_store *s, int64_t before, size_t limit, struct sp_arena *a,
                                struct cp_revision **out, size_t *num, struct sp_error *err)
{
    struct memory *m = (struct memory *)s;
    size_t from = before > 0 && (size_t)before - 1 < m->num_revisions ? (size_t)before - 1 : m->num_revisions;
    (void)err;
    *num = from < limit ? from : limit;
    *out = SP_NEW_N(a, struct cp_revision, *num + 1);
    for (size_t i = 0; i < *num; i++)
        (*out)[i] = cp_revision_dup(a, &m->revisions[from - 1 - i]);
    return sp_ok();
}

static void memory_close(struct cp_store *s)
{
    struct memory *m = (struct memory *)s;
    sp_arena_free(m->arena);
    free(m->rows);
    free(m->revisions);
    free(m);
}

static const struct cp_backend memory_backend = {memory_read, memory_history, memory_commit, memory_close};

sp_result cp_store_memory_open(struct cp_store **out)
{
    struct memory *m = sp_alloc(sizeof *m);
    m->store.backend = &memory_backend;
    m->arena = sp_arena_new(4096);
    *out = &m->store;
    return sp_ok();
}
