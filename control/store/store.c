#include "control/store/store.h"
#include "control/store/backend.h"

sp_result cp_store_open(const char *url, struct cp_store **out, struct sp_error *err)
{
    struct sp_str u = sp_str_z(url);
    *out = NULL;
    if (sp_str_eq(u, SP_STR("memory:")))
        return cp_store_memory_open(out);
    if (sp_str_starts(u, SP_STR("sqlite:")) && u.len > 7)
        return cp_store_sqlite_open(url + 7, out, err);
    return sp_fail(err, SP_E_USAGE, "'%s' is no store: use sqlite:PATH or memory:", url);
}

void cp_store_close(struct cp_store *s)
{
    if (s)
        s->backend->close(s);
}

sp_result cp_store_read(struct cp_store *s, int64_t revision, struct sp_arena *a, struct cp_state *out,
                        struct sp_error *err)
{
    return s->backend->read(s, revision, a, out, err);
}

sp_result cp_store_history(struct cp_store *s, int64_t before, size_t limit, struct sp_arena *a,
                           struct cp_revision **out, size_t *num, struct sp_error *err)
{
    return s->backend->history(s, before, limit, a, out, num, err);
}

sp_result cp_store_newest(struct cp_store *s, struct sp_arena *a, struct cp_revision *out, struct sp_error *err)
{
    struct cp_revision *v;
    size_t num;
    *out = (struct cp_revision){0};
    SP_TRY(s->backend->history(s, 0, 1, a, &v, &num, err));
    if (num)
        *out = v[0];
    return sp_ok();
}

sp_result cp_store_commit(struct cp_store *s, const struct cp_commit *c, struct sp_arena *a, struct cp_revision *out,
                          struct sp_error *err)
{
    struct cp_commit all = *c;
    bool changed = false;
    if (c->settings) {
        struct cp_write *v = sp_arena_alloc(a, sizeof *v * (c->num + 1));
        if (c->num)
            memcpy(v, c->v, sizeof *v * c->num);
        v[all.num++] = (struct cp_write){(enum sp_entity_kind)CP_KIND_SETTINGS, SP_STR(""),
                                         c->settings->p ? *c->settings : SP_STR("")};
        all.v = v;
    }
    SP_TRY(s->backend->commit(s, &all, a, out, &changed, err));
    for (struct cp_store_watch *w = changed ? s->watches : NULL, *next; w; w = next) {
        next = w->next; /* it may take itself off */
        w->committed(w, out);
    }
    return sp_ok();
}

void cp_store_watch(struct cp_store *s, struct cp_store_watch *w)
{
    w->next = s->watches;
    s->watches = w;
}

void cp_store_unwatch(struct cp_store *s, struct cp_store_watch *w)
{
    for (struct cp_store_watch **at = &s->watches; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            return;
        }
}

void cp_revision_count(struct cp_revision *r, bool had, bool has)
{
    r->created += !had && has;
    r->updated += had && has;
    r->deleted += had && !has;
}

struct cp_revision cp_revision_dup(struct sp_arena *a, const struct cp_revision *r)
{
    struct cp_revision copy = *r;
    copy.author = sp_arena_dup(a, r->author);
    copy.comment = sp_arena_dup(a, r->comment);
    return copy;
}

sp_result cp_store_conflict(const struct cp_commit *c, int64_t newest, struct sp_error *err)
{
    return sp_fail(err, SP_E_CONFLICT,
                   "based on revision %lld, but the newest is %lld: somebody else committed meanwhile",
                   (long long)c->base, (long long)newest);
}
