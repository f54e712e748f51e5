/* The contract of every store, run against each kind of it; then what only SQLite promises: it outlives its process. */
#include "test.h"

#include "control/store/store.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    char dir[64], url[128], path[128];
    struct cp_store *store;
    struct sp_arena *arena;
    struct sp_error err;
};

static void remove_dir(const char *dir)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0)
        fail();
}

static struct fixture *new_fixture(const char *kind)
{
    struct fixture *f = sp_alloc(sizeof *f);
    strcpy(f->dir, "/tmp/sallyport-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/control.db", f->dir);
    snprintf(f->url, sizeof f->url, strcmp(kind, "memory") ? "sqlite:%s" : "memory:", f->path);
    f->arena = sp_arena_new(4096);
    if (sp_failed(cp_store_open(f->url, &f->store, &f->err)))
        fail_msg("%s", f->err.text);
    return f;
}

static int setup_memory(void **state)
{
    *state = new_fixture("memory");
    return 0;
}

static int setup_sqlite(void **state)
{
    *state = new_fixture("sqlite");
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cp_store_close(f->store);
    sp_arena_free(f->arena);
    remove_dir(f->dir);
    free(f);
    return 0;
}

static struct cp_write put(enum sp_entity_kind kind, const char *id, const char *body)
{
    return (struct cp_write){kind, sp_str_z(id), sp_str_z(body)};
}

static struct cp_write drop(enum sp_entity_kind kind, const char *id)
{
    return (struct cp_write){kind, sp_str_z(id), {NULL, 0}};
}

static sp_result commit(struct fixture *f, int64_t base, const struct cp_write *v, size_t num, struct cp_revision *out)
{
    struct cp_commit c = {.base = base,
                          .time_ms = 1000 + base,
                          .author = SP_STR("ann"),
                          .v = v,
                          .num = num,
                          .comment = SP_STR("because")};
    return cp_store_commit(f->store, &c, f->arena, out, &f->err);
}

static bool has(const struct cp_state *s, enum sp_entity_kind kind, const char *body)
{
    for (size_t i = 0; i < s->num; i++)
        if (s->v[i].kind == kind && sp_str_eq(s->v[i].bytes, sp_str_z(body)))
            return true;
    return false;
}

static struct cp_state read_at(struct fixture *f, int64_t revision)
{
    struct cp_state s;
    if (sp_failed(cp_store_read(f->store, revision, f->arena, &s, &f->err)))
        fail_msg("%s", f->err.text);
    return s;
}

/* --- the contract */

static void an_empty_store_has_revision_0_and_no_other(void **state)
{
    struct fixture *f = *state;
    struct cp_state s = read_at(f, 0);
    struct cp_revision r;
    assert_int_equal(s.revision.revision, 0);
    assert_int_equal(s.num, 0);
    assert_int_equal(cp_store_read(f->store, 1, f->arena, &s, &f->err).code, SP_E_NOT_FOUND);
    assert_int_equal(cp_store_read(f->store, -1, f->arena, &s, &f->err).code, SP_E_NOT_FOUND);
    assert_int_equal(cp_store_newest(f->store, f->arena, &r, &f->err).code, SP_OK);
    assert_int_equal(r.revision, 0);
}

static void a_stale_base_is_a_conflict_and_writes_nothing(void **state)
{
    struct fixture *f = *state;
    struct cp_revision r;
    struct cp_write a = put(SP_ROUTES, "1", "one"), b = put(SP_ROUTES, "2", "two");
    assert_int_equal(commit(f, 0, &a, 1, &r).code, SP_OK);
    assert_int_equal(commit(f, 0, &b, 1, &r).code, SP_E_CONFLICT);
    assert_int_equal(commit(f, 2, &b, 1, &r).code, SP_E_CONFLICT);
    struct cp_state s = read_at(f, 0);
    assert_int_equal(s.revision.revision, 1);
    assert_int_equal(s.num, 1);
}

static void every_revision_stays_readable(void **state)
{
    struct fixture *f = *state;
    struct cp_revision r;
    struct cp_write first[] = {put(SP_SERVICES, "s", "service"), put(SP_ROUTES, "s", "route"),
                               put(SP_ROUTES, "t", "x")};
    struct cp_write second[] = {put(SP_ROUTES, "s", "route changed"), drop(SP_ROUTES, "t"), drop(SP_ROUTES, "nobody")};
    struct cp_write third[] = {put(SP_ROUTES, "t", "x"), drop(SP_SERVICES, "s")};
    assert_int_equal(commit(f, 0, first, 3, &r).code, SP_OK);
    assert_int_equal(r.created, 3);
    assert_int_equal(commit(f, 1, second, 3, &r).code, SP_OK);
    assert_int_equal(r.created, 0);
    assert_int_equal(r.updated, 1);
    assert_int_equal(r.deleted, 1);
    assert_int_equal(commit(f, 2, third, 2, &r).code, SP_OK);

    struct cp_state s = read_at(f, 1);
    assert_int_equal(s.num, 3);
    assert_true(has(&s, SP_SERVICES, "service") && has(&s, SP_ROUTES, "route") && has(&s, SP_ROUTES, "x"));
    s = read_at(f, 2);
    assert_int_equal(s.num, 2);
    assert_true(has(&s, SP_SERVICES, "service") && has(&s, SP_ROUTES, "route changed"));
    s = read_at(f, 0);
    assert_int_equal(s.revision.revision, 3);
    assert_int_equal(s.num, 2);
    assert_true(has(&s, SP_ROUTES, "x") && has(&s, SP_ROUTES, "route changed"));
    assert_int_equal(cp_store_read(f->store, 4, f->arena, &s, &f->err).code, SP_E_NOT_FOUND);
}

static void what_changes_nothing_makes_no_revision(void **state)
{
    struct fixture *f = *state;
    struct cp_revision r;
    struct cp_write same = put(SP_CONSUMERS, "c", "alice"), gone = drop(SP_CONSUMERS, "d");
    assert_int_equal(commit(f, 0, &gone, 1, &r).code, SP_OK);
    assert_int_equal(r.revision, 0);
    assert_int_equal(commit(f, 0, &same, 1, &r).code, SP_OK);
    assert_int_equal(commit(f, 1, &same, 1, &r).code, SP_OK);
    assert_int_equal(r.revision, 1);
    assert_int_equal(r.created, 1); /* it is revision 1 that is told */
    assert_int_equal(commit(f, 1, NULL, 0, &r).code, SP_OK);
    assert_int_equal(r.revision, 1);
}

static void settings_and_an_empty_body_are_kept(void **state)
{
    struct fixture *f = *state;
    struct cp_revision r;
    struct sp_str settings = SP_STR("handshake\0\x01");
    struct cp_write empty = {SP_ROUTES, SP_STR("1"), SP_STR("")};
    struct cp_commit c = {.base = 0, .v = &empty, .num = 1, .settings = &settings};
    assert_int_equal(cp_store_commit(f->store, &c, f->arena, &r, &f->err).code, SP_OK);
    struct cp_state s = read_at(f, 0);
    assert_int_equal(s.num, 1);
    assert_int_equal(s.v[0].bytes.len, 0);
    assert_true(sp_str_eq(s.settings, settings));
    assert_int_equal(r.created, 1);

    struct cp_write two = put(SP_ROUTES, "2", "two");
    assert_int_equal(commit(f, 1, &two, 1, &r).code, SP_OK);
    s = read_at(f, 0);
    assert_true(sp_str_eq(s.settings, settings));
}

static void history_is_newest_first_and_paged(void **state)
{
    struct fixture *f = *state;
    struct cp_revision r, *v;
    size_t num;
    for (int i = 0; i < 5; i++) {
        char body[16];
        snprintf(body, sizeof body, "body %d", i);
        struct cp_write w = put(SP_ROUTES, "1", body);
        struct cp_commit c = {.base = i,
                              .time_ms = 1700000000123 + i,
                              .author = SP_STR("ann 'o\" x"),
                              .v = &w,
                              .num = 1,
                              .comment = SP_STR("\xc3\xa4 comment"),
                              .rollback = i == 3};
        assert_int_equal(cp_store_commit(f->store, &c, f->arena, &r, &f->err).code, SP_OK);
    }
    assert_int_equal(cp_store_history(f->store, 0, 2, f->arena, &v, &num, &f->err).code, SP_OK);
    assert_int_equal(num, 2);
    assert_int_equal(v[0].revision, 5);
    assert_int_equal(v[1].revision, 4);
    assert_true(v[1].rollback);
    assert_false(v[0].rollback);
    assert_int_equal(v[1].time_ms, 1700000000126);
    assert_true(sp_str_eq(v[0].author, SP_STR("ann 'o\" x")));
    assert_true(sp_str_eq(v[0].comment, SP_STR("\xc3\xa4 comment")));
    assert_int_equal(cp_store_history(f->store, 4, 10, f->arena, &v, &num, &f->err).code, SP_OK);
    assert_int_equal(num, 3);
    assert_int_equal(v[2].revision, 1);
    assert_int_equal(cp_store_history(f->store, 1, 10, f->arena, &v, &num, &f->err).code, SP_OK);
    assert_int_equal(num, 0);
}

struct counter {
    struct cp_store_watch watch;
    int calls;
    int64_t last;
};

static void count(struct cp_store_watch *w, const struct cp_revision *r)
{
    struct counter *c = (struct counter *)w;
    c->calls++;
    c->last = r->revision;
}

static void watchers_hear_of_revisions_only(void **state)
{
    struct fixture *f = *state;
    struct cp_revision r;
    struct counter c = {.watch.committed = count};
    struct cp_write w = put(SP_ROUTES, "1", "one"), x = put(SP_ROUTES, "1", "two");
    cp_store_watch(f->store, &c.watch);
    assert_int_equal(commit(f, 7, &w, 1, &r).code, SP_E_CONFLICT);
    assert_int_equal(c.calls, 0);
    assert_int_equal(commit(f, 0, &w, 1, &r).code, SP_OK);
    assert_int_equal(commit(f, 1, &w, 1, &r).code, SP_OK);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.last, 1);
    cp_store_unwatch(f->store, &c.watch);
    assert_int_equal(commit(f, 1, &x, 1, &r).code, SP_OK);
    assert_int_equal(c.calls, 1);
}

/* --- opening */

static void wrong_urls_are_refused(void **state)
{
    struct cp_store *s;
    struct sp_error err;
    (void)state;
    assert_int_equal(cp_store_open("postgres://x", &s, &err).code, SP_E_USAGE);
    assert_int_equal(cp_store_open("sqlite:", &s, &err).code, SP_E_USAGE);
    assert_int_equal(cp_store_open("sqlite:/no/such/folder/x.db", &s, &err).code, SP_E_IO);
    assert_non_null(strstr(err.text, "/no/such/folder/x.db"));
    assert_null(s);
}

/* --- SQLite */

static void reopen(struct fixture *f)
{
    cp_store_close(f->store);
    f->store = NULL;
    if (sp_failed(cp_store_open(f->url, &f->store, &f->err)))
        fail_msg("%s", f->err.text);
}

static void sqlite_is_private_and_outlives_its_process(void **state)
{
    struct fixture *f = *state;
    struct cp_revision r;
    struct stat st;
    struct cp_write w = put(SP_CERTIFICATES, "1", "key");
    assert_int_equal(commit(f, 0, &w, 1, &r).code, SP_OK);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    char wal[160];
    snprintf(wal, sizeof wal, "%s-wal", f->path);
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    reopen(f);
    struct cp_state s = read_at(f, 0);
    assert_int_equal(s.revision.revision, 1);
    assert_true(has(&s, SP_CERTIFICATES, "key"));
}

static void sqlite_refuses_a_second_process_and_foreign_files(void **state)
{
    struct fixture *f = *state;
    struct cp_store *second;
    assert_int_equal(cp_store_open(f->url, &second, &f->err).code, SP_E_UNAVAILABLE);
    assert_non_null(strstr(f->err.text, "another process"));
    cp_store_close(f->store);
    f->store = NULL;
    int fd = open(f->path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "this is no database, it is a text file of some length......................\n", 76),
                     76);
    close(fd);
    assert_int_equal(cp_store_open(f->url, &f->store, &f->err).code, SP_E_INVALID);
    assert_null(f->store);
}

/* Child: commits as fast as it can and tells each acknowledged revision. */
static void commit_for_ever(const struct fixture *f, int out)
{
    struct cp_store *s;
    struct sp_error err;
    struct cp_revision r;
    struct sp_arena *a = sp_arena_new(4096);
    if (sp_failed(cp_store_open(f->url, &s, &err)) || sp_failed(cp_store_newest(s, a, &r, &err)))
        _exit(1);
    for (int64_t n = r.revision;; n++) {
        char body[2000], id[8];
        memset(body, 'a' + (int)(n % 26), sizeof body);
        snprintf(id, sizeof id, "%d", (int)(n % 7));
        struct cp_write v[] = {put(SP_ROUTES, id, ""), put(SP_SERVICES, "counter", "")};
        char count_text[24];
        snprintf(count_text, sizeof count_text, "%lld", (long long)n + 1);
        v[0].body = sp_str(body, sizeof body);
        v[1].body = sp_str_z(count_text);
        struct cp_commit c = {.base = n, .v = v, .num = 2};
        if (sp_failed(cp_store_commit(s, &c, a, &r, &err)) || r.revision != n + 1)
            _exit(1);
        if (write(out, &r.revision, sizeof r.revision) != sizeof r.revision)
            _exit(1);
        sp_arena_reset(a);
    }
}

static int64_t kill_in_the_middle(const struct fixture *f, unsigned after_us)
{
    int fds[2], status;
    int64_t acknowledged = 0, one;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        commit_for_ever(f, fds[1]);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &one, sizeof one), sizeof one); /* it is at work */
    acknowledged = one;
    usleep(after_us);
    kill(pid, SIGKILL);
    while (read(fds[0], &one, sizeof one) == sizeof one)
        acknowledged = one;
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    return acknowledged;
}

static void sqlite_keeps_what_it_acknowledged_when_it_is_killed(void **state)
{
    struct fixture *f = *state;
    static const unsigned delays_us[] = {0, 700, 5000, 2300, 17000, 900, 11000, 300};
    for (size_t i = 0; i < sizeof delays_us / sizeof *delays_us; i++) {
        cp_store_close(f->store);
        f->store = NULL;
        int64_t acknowledged = kill_in_the_middle(f, delays_us[i]);
        if (sp_failed(cp_store_open(f->url, &f->store, &f->err)))
            fail_msg("%s", f->err.text);
        struct cp_state s = read_at(f, 0);
        /* one more may be on disk: committed, but killed before it could say so */
        assert_true(s.revision.revision == acknowledged || s.revision.revision == acknowledged + 1);
        char expected[24];
        snprintf(expected, sizeof expected, "%lld", (long long)s.revision.revision);
        assert_true(has(&s, SP_SERVICES, expected)); /* the whole revision is there, not a part */
        s = read_at(f, s.revision.revision > 1 ? s.revision.revision - 1 : 1);
        assert_true(s.num >= 2);
    }
}

static void sqlite_survives_a_full_disk(void **state)
{
    struct fixture *f = *state;
    struct cp_revision r;
    struct cp_write small = put(SP_ROUTES, "1", "one");
    assert_int_equal(commit(f, 0, &small, 1, &r).code, SP_OK);

    static char large[4 << 20];
    struct rlimit old, tight = {256 << 10, 256 << 10};
    memset(large, 'x', sizeof large);
    struct cp_write v[] = {put(SP_ROUTES, "1", "changed"), {SP_ROUTES, SP_STR("2"), sp_str(large, sizeof large)}};
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    tight.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &tight);
    sp_result refused = commit(f, 1, v, 2, &r);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(refused.code, SP_E_IO);
    assert_non_null(strstr(f->err.text, "nothing was changed"));

    struct cp_state s = read_at(f, 0);
    assert_int_equal(s.revision.revision, 1);
    assert_int_equal(s.num, 1);
    assert_true(has(&s, SP_ROUTES, "one"));
    assert_int_equal(commit(f, 1, v, 2, &r).code, SP_OK);
    reopen(f);
    s = read_at(f, 0);
    assert_int_equal(s.revision.revision, 2);
    assert_int_equal(s.num, 2);
}

#define CONTRACT(test)                                                                                                 \
    {#test " (memory)", test, setup_memory, teardown, NULL},                                                           \
    {                                                                                                                  \
#test " (sqlite)", test, setup_sqlite, teardown, NULL                                                          \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT(an_empty_store_has_revision_0_and_no_other),
        CONTRACT(a_stale_base_is_a_conflict_and_writes_nothing),
        CONTRACT(every_revision_stays_readable),
        CONTRACT(what_changes_nothing_makes_no_revision),
        CONTRACT(settings_and_an_empty_body_are_kept),
        CONTRACT(history_is_newest_first_and_paged),
        CONTRACT(watchers_hear_of_revisions_only),
        cmocka_unit_test(wrong_urls_are_refused),
        cmocka_unit_test_setup_teardown(sqlite_is_private_and_outlives_its_process, setup_sqlite, teardown),
        cmocka_unit_test_setup_teardown(sqlite_refuses_a_second_process_and_foreign_files, setup_sqlite, teardown),
        cmocka_unit_test_setup_teardown(sqlite_keeps_what_it_acknowledged_when_it_is_killed, setup_sqlite, teardown),
        cmocka_unit_test_setup_teardown(sqlite_survives_a_full_disk, setup_sqlite, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
