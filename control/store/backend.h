/* What a kind of store implements; only for the files of this folder. Rows are temporal: a body is current from the
 * revision that wrote it until the one that replaced or removed it, so a revision costs what it changed and every old
 * state is one query. Settings are the row of kind "settings". */
#pragma once
#include "control/store/store.h"

enum { CP_KIND_SETTINGS = SP_NUM_ENTITY_KINDS };

struct cp_backend {
    sp_result (*read)(struct cp_store *s, int64_t revision, struct sp_arena *a, struct cp_state *out,
                      struct sp_error *err);
    sp_result (*history)(struct cp_store *s, int64_t before, size_t limit, struct sp_arena *a, struct cp_revision **out,
                         size_t *num, struct sp_error *err);
    /* settings are among v here; sets *changed when a revision was made */
    sp_result (*commit)(struct cp_store *s, const struct cp_commit *c, struct sp_arena *a, struct cp_revision *out,
                        bool *changed, struct sp_error *err);
    void (*close)(struct cp_store *s);
};

struct cp_store { /* first member of each backend's own */
    const struct cp_backend *backend;
    struct cp_store_watch *watches;
};

sp_result cp_store_memory_open(struct cp_store **out);
SP_MUST sp_result cp_store_sqlite_open(const char *path, struct cp_store **out, struct sp_error *err);

/* Counts one changed entity. */
void cp_revision_count(struct cp_revision *r, bool had, bool has);
sp_result cp_store_conflict(const struct cp_commit *c, int64_t newest, struct sp_error *err);
