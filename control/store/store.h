/* The store: every committed state of the entities, as revisions. A commit is all or nothing, has an author, a time and
 * a comment, and stays readable for ever. Backends: SQLite, memory; one test suite (tests/unit/store) holds for all.
 *
 * One thread at a time. A commit that returned SP_OK is on disk: it outlives kill -9 and power loss. */
#pragma once
#include "base/arena.h"
#include "model/model.h"

struct cp_store;

/* "sqlite:PATH" (made when missing, mode 0600, one process at a time) or "memory:". SP_E_USAGE: no such kind of URL;
 * SP_E_UNAVAILABLE: another process has it; SP_E_INVALID: not our file, or from a newer version; SP_E_IO. */
SP_MUST sp_result cp_store_open(const char *url, struct cp_store **out, struct sp_error *err);
void cp_store_close(struct cp_store *s); /* NULL is fine */

/* What is known of a revision beside its entities. */
struct cp_revision {
    int64_t revision; /* 1, 2, ...; 0 is the empty state before the first commit */
    int64_t time_ms;  /* since 1970, as the committer gave it */
    struct sp_str author, comment;
    bool rollback;
    uint32_t created, updated, deleted; /* entities */
};

struct cp_revision cp_revision_dup(struct sp_arena *a, const struct cp_revision *r);

/* A whole state. In the arena of the call. */
struct cp_state {
    struct cp_revision revision;
    struct sp_stored_entity *v; /* in no particular order */
    size_t num;
    struct sp_str settings; /* serialised; empty when never set */
};

/* revision 0: the newest. SP_E_NOT_FOUND: there is no such revision. */
SP_MUST sp_result cp_store_read(struct cp_store *s, int64_t revision, struct sp_arena *a, struct cp_state *out,
                                struct sp_error *err);
/* Only what is known of the newest revision; also tells that the store can be read at all. */
SP_MUST sp_result cp_store_newest(struct cp_store *s, struct sp_arena *a, struct cp_revision *out,
                                  struct sp_error *err);
/* Newest first, those below `before` (0: from the newest), at most `limit`. */
SP_MUST sp_result cp_store_history(struct cp_store *s, int64_t before, size_t limit, struct sp_arena *a,
                                   struct cp_revision **out, size_t *num, struct sp_error *err);

struct cp_write {
    enum sp_entity_kind kind;
    struct sp_str id;
    struct sp_str body; /* serialised entity; p NULL: remove it */
};

struct cp_commit {
    int64_t base; /* the revision that the writer has seen: must still be the newest, else SP_E_CONFLICT */
    int64_t time_ms;
    struct sp_str author, comment;
    bool rollback;
    const struct cp_write *v; /* each (kind, id) once */
    size_t num;
    const struct sp_str *settings; /* NULL: as they are */
};

/* Commits. *out is the new revision; a commit that changes nothing succeeds, makes no revision, and gives the newest.
 * After any error nothing is written and the store can be used further. */
SP_MUST sp_result cp_store_commit(struct cp_store *s, const struct cp_commit *c, struct sp_arena *a,
                                  struct cp_revision *out, struct sp_error *err);

/* Called after each commit that made a revision, before cp_store_commit returns. Embedded by the caller; a store that
 * has several writers (etcd, later) calls it for theirs too. */
struct cp_store_watch {
    struct cp_store_watch *next;
    void (*committed)(struct cp_store_watch *w, const struct cp_revision *r);
};
void cp_store_watch(struct cp_store *s, struct cp_store_watch *w);
void cp_store_unwatch(struct cp_store *s, struct cp_store_watch *w);
