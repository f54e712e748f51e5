/* The store in SQLite: write-ahead log, synchronous FULL (a commit that was acknowledged is on disk), one process at a
 * time (locking_mode EXCLUSIVE: no shared memory file, so that it also works on volumes that cannot map one). */
#include "control/store/backend.h"
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    APPLICATION_ID = 0x53505354, /* "SPST" */
    SCHEMA_VERSION = 1,
    BUSY_TIMEOUT_MS = 3000, /* a predecessor that is about to end */
};

static const char schema[] =
    "CREATE TABLE revisions (revision INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, author TEXT NOT NULL,"
    "  comment TEXT NOT NULL, rollback INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL,"
    "  deleted INTEGER NOT NULL);"
    /* kind is the name of the collection, not a number: numbers move when a kind is added */
    "CREATE TABLE entities (kind TEXT NOT NULL, id TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER, body BLOB NOT "
    "NULL);"
    "CREATE UNIQUE INDEX entities_history ON entities (kind, id, since);"
    "CREATE UNIQUE INDEX entities_current ON entities (kind, id) WHERE until IS NULL;";

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    NEWEST,
    REVISION,
    REVISIONS,
    READ_CURRENT,
    READ_AT,
    FIND,
    END_ROW,
    ADD_ROW,
    ADD_REVISION,
    NUM_STATEMENTS
};

#define REVISION_COLUMNS "revision, time_ms, author, comment, rollback, created, updated, deleted"
static const char *const sql[NUM_STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [NEWEST] = "SELECT coalesce(max(revision), 0) FROM revisions",
    [REVISION] = "SELECT " REVISION_COLUMNS " FROM revisions WHERE revision = ?1",
    [REVISIONS] = "SELECT " REVISION_COLUMNS " FROM revisions WHERE revision < ?1 ORDER BY revision DESC LIMIT ?2",
    [READ_CURRENT] = "SELECT kind, body FROM entities WHERE until IS NULL",
    [READ_AT] = "SELECT kind, body FROM entities WHERE since <= ?1 AND (until IS NULL OR until > ?1)",
    [FIND] = "SELECT rowid, body FROM entities WHERE kind = ?1 AND id = ?2 AND until IS NULL",
    [END_ROW] = "UPDATE entities SET until = ?2 WHERE rowid = ?1",
    [ADD_ROW] = "INSERT INTO entities (kind, id, since, body) VALUES (?1, ?2, ?3, ?4)",
    [ADD_REVISION] = "INSERT INTO revisions (" REVISION_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
};

struct sqlite {
    struct cp_store store;
    sqlite3 *db;
    char *path;
    sqlite3_stmt *statements[NUM_STATEMENTS];
};

static sp_result fail_db(const struct sqlite *s, struct sp_error *err)
{
    int code = sqlite3_extended_errcode(s->db) & 0xff;
    const char *text = sqlite3_errmsg(s->db);
    switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return sp_fail(err, SP_E_UNAVAILABLE, "store %s is in use by another process", s->path);
    case SQLITE_FULL:
        return sp_fail(err, SP_E_IO, "store %s: the disk is full; nothing was changed", s->path);
    case SQLITE_READONLY:
        return sp_fail(err, SP_E_IO, "store %s cannot be written (read-only); nothing was changed", s->path);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return sp_fail(err, SP_E_INVALID, "store %s is damaged or no database: %s", s->path, text);
    case SQLITE_IOERR:
        return sp_fail(err, SP_E_IO, "store %s: %s (%s); nothing was changed", s->path, text,
                       strerror(sqlite3_system_errno(s->db)));
    default:
        return sp_fail(err, SP_E_IO, "store %s: %s", s->path, text);
    }
}

static struct sp_str column(sqlite3_stmt *st, int i, struct sp_arena *a)
{
    const void *p = sqlite3_column_blob(st, i);
    return sp_arena_dup(a, sp_str(p ? p : "", (size_t)sqlite3_column_bytes(st, i)));
}

static void bind_text(sqlite3_stmt *st, int i, struct sp_str s)
{
    sqlite3_bind_text(st, i, s.p ? s.p : "", (int)s.len, SQLITE_STATIC);
}

/* One step of a statement that gives no rows; reset after it. */
static sp_result run(struct sqlite *s, enum statement which, struct sp_error *err)
{
    sqlite3_stmt *st = s->statements[which];
    int code = sqlite3_step(st);
    sp_result r = code == SQLITE_DONE || code == SQLITE_ROW ? sp_ok() : fail_db(s, err);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return r;
}

static sp_result newest(struct sqlite *s, int64_t *out, struct sp_error *err)
{
    sqlite3_stmt *st = s->statements[NEWEST];
    sp_result r = sqlite3_step(st) == SQLITE_ROW ? sp_ok() : fail_db(s, err);
    *out = sp_failed(r) ? 0 : sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return r;
}

static struct cp_revision revision_row(sqlite3_stmt *st, struct sp_arena *a)
{
    return (struct cp_revision){
        .revision = sqlite3_column_int64(st, 0),
        .time_ms = sqlite3_column_int64(st, 1),
        .author = column(st, 2, a),
        .comment = column(st, 3, a),
        .rollback = sqlite3_column_int(st, 4) != 0,
        .created = (uint32_t)sqlite3_column_int64(st, 5),
        .updated = (uint32_t)sqlite3_column_int64(st, 6),
        .deleted = (uint32_t)sqlite3_column_int64(st, 7),
    };
}

static sp_result read_revision(struct sqlite *s, int64_t revision, struct sp_arena *a, struct cp_revision *out,
                               struct sp_error *err)
{
    sqlite3_stmt *st = s->statements[REVISION];
    sqlite3_bind_int64(st, 1, revision);
    int code = sqlite3_step(st);
    sp_result r = sp_ok();
    if (code == SQLITE_ROW)
        *out = revision_row(st, a);
    else if (code == SQLITE_DONE)
        r = sp_fail(err, SP_E_NOT_FOUND, "there is no revision %lld", (long long)revision);
    else
        r = fail_db(s, err);
    sqlite3_reset(st);
    return r;
}

/* --- reading */

static sp_result read_row(struct sqlite *s, sqlite3_stmt *st, struct sp_arena *a, struct cp_state *out, size_t *cap,
                          struct sp_error *err)
{
    struct sp_str kind = sp_str(sqlite3_column_text(st, 0), (size_t)sqlite3_column_bytes(st, 0));
    if (sp_str_eq(kind, SP_STR("settings"))) {
        out->settings = column(st, 1, a);
        return sp_ok();
    }
    const struct sp_entity_info *info = sp_entity_by_plural(kind);
    if (!info)
        return sp_fail(err, SP_E_INVALID, "store %s holds '%.*s', which this version does not know", s->path,
                       SP_FMT(kind));
    if (out->num == *cap) {
        *cap = *cap ? *cap * 2 : 64;
        out->v = sp_realloc(out->v, sizeof *out->v * *cap);
    }
    out->v[out->num++] = (struct sp_stored_entity){info->kind, column(st, 1, a)};
    return sp_ok();
}

static void free_memory(void *p)
{
    free(p);
}

static sp_result read_entities(struct sqlite *s, sqlite3_stmt *st, struct sp_arena *a, struct cp_state *out,
                               struct sp_error *err)
{
    sp_result r = sp_ok();
    size_t cap = 0;
    int code = SQLITE_DONE;
    while (!sp_failed(r) && (code = sqlite3_step(st)) == SQLITE_ROW)
        r = read_row(s, st, a, out, &cap, err);
    if (!sp_failed(r) && code != SQLITE_DONE)
        r = fail_db(s, err);
    sqlite3_reset(st);
    if (out->v)
        sp_arena_on_free(a, free_memory, out->v);
    return r;
}

static sp_result sqlite_read(struct cp_store *store, int64_t revision, struct sp_arena *a, struct cp_state *out,
                             struct sp_error *err)
{
    struct sqlite *s = (struct sqlite *)store;
    int64_t last;
    *out = (struct cp_state){0};
    if (revision < 0)
        return sp_fail(err, SP_E_NOT_FOUND, "there is no revision %lld", (long long)revision);
    SP_TRY(newest(s, &last, err));
    if (revision == 0)
        revision = last;
    if (revision == 0)
        return sp_ok();
    SP_TRY(read_revision(s, revision, a, &out->revision, err));
    sqlite3_stmt *st = s->statements[revision == last ? READ_CURRENT : READ_AT];
    if (revision != last)
        sqlite3_bind_int64(st, 1, revision);
    return read_entities(s, st, a, out, err);
}

static sp_result sqlite_history(struct cp_store *store, int64_t before, size_t limit, struct sp_arena *a,
                                struct cp_revision **out, size_t *num, struct sp_error *err)
{
    struct sqlite *s = (struct sqlite *)store;
    sqlite3_stmt *st = s->statements[REVISIONS];
    int64_t last;
    *out = NULL;
    *num = 0;
    SP_TRY(newest(s, &last, err));
    if (before <= 0 || before > last)
        before = last + 1;
    size_t most = (size_t)before - 1 < limit ? (size_t)before - 1 : limit;
    *out = SP_NEW_N(a, struct cp_revision, most + 1);
    sqlite3_bind_int64(st, 1, before);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)most);
    int code;
    while ((code = sqlite3_step(st)) == SQLITE_ROW && *num < most)
        (*out)[(*num)++] = revision_row(st, a);
    sp_result r = code == SQLITE_DONE || code == SQLITE_ROW ? sp_ok() : fail_db(s, err);
    sqlite3_reset(st);
    return r;
}

/* --- writing */

static struct sp_str kind_name(unsigned kind)
{
    if ((int)kind == CP_KIND_SETTINGS)
        return SP_STR("settings");
    return sp_str_z(sp_entity_info((enum sp_entity_kind)kind)->plural);
}

/* The current row of (kind, id): its rowid, or 0; same tells whether it holds this body. */
static sp_result find_row(struct sqlite *s, const struct cp_write *w, int64_t *rowid, bool *same, struct sp_error *err)
{
    sqlite3_stmt *st = s->statements[FIND];
    bind_text(st, 1, kind_name(w->kind));
    bind_text(st, 2, w->id);
    int code = sqlite3_step(st);
    *rowid = 0;
    *same = false;
    if (code == SQLITE_ROW) {
        *rowid = sqlite3_column_int64(st, 0);
        const void *p = sqlite3_column_blob(st, 1);
        *same = w->body.p && sp_str_eq(w->body, sp_str(p ? p : "", (size_t)sqlite3_column_bytes(st, 1)));
    }
    sp_result r = code == SQLITE_ROW || code == SQLITE_DONE ? sp_ok() : fail_db(s, err);
    sqlite3_reset(st);
    return r;
}

static sp_result write_row(struct sqlite *s, const struct cp_write *w, struct cp_revision *r, bool *changed,
                           struct sp_error *err)
{
    int64_t rowid;
    bool same;
    SP_TRY(find_row(s, w, &rowid, &same, err));
    if (same || (!w->body.p && !rowid))
        return sp_ok();
    *changed = true;
    if ((int)w->kind != CP_KIND_SETTINGS)
        cp_revision_count(r, rowid != 0, w->body.p != NULL);
    if (rowid) {
        sqlite3_bind_int64(s->statements[END_ROW], 1, rowid);
        sqlite3_bind_int64(s->statements[END_ROW], 2, r->revision);
        SP_TRY(run(s, END_ROW, err));
    }
    if (!w->body.p)
        return sp_ok();
    sqlite3_stmt *st = s->statements[ADD_ROW];
    bind_text(st, 1, kind_name(w->kind));
    bind_text(st, 2, w->id);
    sqlite3_bind_int64(st, 3, r->revision);
    sqlite3_bind_blob(st, 4, w->body.p, (int)w->body.len, SQLITE_STATIC);
    return run(s, ADD_ROW, err);
}

static sp_result write_revision(struct sqlite *s, const struct cp_revision *r, struct sp_error *err)
{
    sqlite3_stmt *st = s->statements[ADD_REVISION];
    sqlite3_bind_int64(st, 1, r->revision);
    sqlite3_bind_int64(st, 2, r->time_ms);
    bind_text(st, 3, r->author);
    bind_text(st, 4, r->comment);
    sqlite3_bind_int(st, 5, r->rollback);
    sqlite3_bind_int64(st, 6, r->created);
    sqlite3_bind_int64(st, 7, r->updated);
    sqlite3_bind_int64(st, 8, r->deleted);
    return run(s, ADD_REVISION, err);
}

/* Between BEGIN and COMMIT. */
static sp_result write_all(struct sqlite *s, const struct cp_commit *c, struct cp_revision *r, bool *changed,
                           struct sp_error *err)
{
    int64_t last;
    SP_TRY(newest(s, &last, err));
    if (c->base != last)
        return cp_store_conflict(c, last, err);
    r->revision = last + 1;
    for (size_t i = 0; i < c->num; i++)
        SP_TRY(write_row(s, &c->v[i], r, changed, err));
    return *changed ? write_revision(s, r, err) : sp_ok();
}

static sp_result sqlite_commit(struct cp_store *store, const struct cp_commit *c, struct sp_arena *a,
                               struct cp_revision *out, bool *changed, struct sp_error *err)
{
    struct sqlite *s = (struct sqlite *)store;
    struct cp_revision r = {0, c->time_ms, c->author, c->comment, c->rollback, 0, 0, 0};
    *out = (struct cp_revision){0};
    for (size_t i = 0; i < c->num; i++)
        if (c->v[i].body.len > INT32_MAX)
            return sp_fail(err, SP_E_LIMIT, "an entity of 2 GiB or more");
    SP_TRY(run(s, BEGIN, err));
    sp_result result = write_all(s, c, &r, changed, err);
    if (!sp_failed(result) && *changed)
        result = run(s, COMMIT, err);
    if (!sqlite3_get_autocommit(
            s->db)) { /* failed, or nothing to say; SQLite has rolled back itself after some errors */
        struct sp_error ignored;
        (void)!sp_failed(run(s, ROLLBACK, &ignored));
    }
    if (sp_failed(result)) {
        *changed = false;
        return result;
    }
    if (*changed) {
        *out = cp_revision_dup(a, &r);
        return sp_ok();
    }
    return c->base ? read_revision(s, c->base, a, out, err) : sp_ok();
}

/* --- opening */

static sp_result execute(struct sqlite *s, const char *text, struct sp_error *err)
{
    return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK ? sp_ok() : fail_db(s, err);
}

static sp_result pragma(struct sqlite *s, const char *text, int64_t *out, struct sp_error *err)
{
    sqlite3_stmt *st = NULL;
    sp_result r = sp_ok();
    if (sqlite3_prepare_v2(s->db, text, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        *out = sqlite3_column_int64(st, 0);
    else
        r = fail_db(s, err);
    sqlite3_finalize(st);
    return r;
}

static sp_result make_schema(struct sqlite *s, struct sp_error *err)
{
    char numbers[96];
    snprintf(numbers, sizeof numbers, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", APPLICATION_ID,
             SCHEMA_VERSION);
    SP_TRY(execute(s, "BEGIN IMMEDIATE", err));
    SP_TRY(execute(s, schema, err));
    return execute(s, numbers, err);
}

static sp_result check_schema(struct sqlite *s, struct sp_error *err)
{
    int64_t application = 0, version = 0, tables = 0;
    SP_TRY(pragma(s, "PRAGMA application_id", &application, err));
    SP_TRY(pragma(s, "PRAGMA user_version", &version, err));
    SP_TRY(pragma(s, "SELECT count(*) FROM sqlite_schema", &tables, err));
    if (application == 0 && version == 0 && tables == 0)
        return make_schema(s, err);
    if (application != APPLICATION_ID)
        return sp_fail(err, SP_E_INVALID, "%s is a database, but not a Sallyport store", s->path);
    if (version != SCHEMA_VERSION)
        return sp_fail(err, SP_E_INVALID,
                       "store %s has schema %lld, this program knows %d: run the version that wrote it", s->path,
                       (long long)version, SCHEMA_VERSION);
    return sp_ok();
}

/* The file holds private keys: it is made with mode 0600 before SQLite sees it (its log takes the same mode). */
static sp_result make_file(const char *path, struct sp_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return sp_fail_errno(err, errno, "cannot open store %s", path);
    close(fd);
    return sp_ok();
}

static sp_result prepare(struct sqlite *s, struct sp_error *err)
{
    for (int i = 0; i < NUM_STATEMENTS; i++)
        if (sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i], NULL) != SQLITE_OK)
            return fail_db(s, err);
    return sp_ok();
}

static sp_result open_database(struct sqlite *s, struct sp_error *err)
{
    SP_TRY(make_file(s->path, err));
    if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return s->db ? fail_db(s, err) : sp_fail(err, SP_E_IO, "store %s: out of memory", s->path);
    sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
    SP_TRY(execute(s, "PRAGMA locking_mode = EXCLUSIVE", err));
    SP_TRY(execute(s, "PRAGMA journal_mode = WAL", err));
    SP_TRY(execute(s, "PRAGMA synchronous = FULL", err));
    SP_TRY(execute(s, "PRAGMA secure_delete = ON", err)); /* old private keys do not linger in free pages */
    SP_TRY(execute(s, "BEGIN IMMEDIATE; COMMIT", err));   /* takes the lock now, not at the first write */
    SP_TRY(check_schema(s, err));
    return prepare(s, err);
}

static void sqlite_close(struct cp_store *store)
{
    struct sqlite *s = (struct sqlite *)store;
    for (int i = 0; i < NUM_STATEMENTS; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
    free(s->path);
    free(s);
}

static const struct cp_backend sqlite_backend = {sqlite_read, sqlite_history, sqlite_commit, sqlite_close};

sp_result cp_store_sqlite_open(const char *path, struct cp_store **out, struct sp_error *err)
{
    struct sqlite *s = sp_alloc(sizeof *s);
    s->store.backend = &sqlite_backend;
    s->path = sp_strdup(path);
    sp_result r = open_database(s, err);
    if (sp_failed(r)) {
        sqlite_close(&s->store);
        return r;
    }
    *out = &s->store;
    return sp_ok();
}
