/* Changing the state: all or nothing, told before and after, kept as history. */
#include "fixture.h"

static void a_bad_file_is_refused_with_every_problem_and_its_place(void **state)
{
    struct fixture *f = *state;
    const struct sp_node *a = apply(f, "",
                                    "_format_version: \"3.0\"\n"
                                    "services:\n"
                                    "- name: s\n"
                                    "  hots: h\n"
                                    "routes:\n"
                                    "- name: r\n"
                                    "  paths: [/x]\n"
                                    "  service: nobody\n"
                                    "  strip_path: perhaps\n",
                                    400);
    assert_int_equal(number(a, "code"), 14);
    says(a, "name", "invalid declarative configuration");
    const struct sp_node *errors = at(a, "errors");
    assert_true(errors->num >= 2);
    bool misspelt = false;
    for (size_t i = 0; i < errors->num; i++) {
        says(errors->items[i], "file", "gateway.yaml");
        misspelt = misspelt || number(errors->items[i], "line") == 4;
    }
    assert_true(misspelt);
    apply(f, "", "", 400);
    apply(f, "", ": [", 400);
    assert_int_equal(f->published, 0);
    assert_int_equal(number(at(get(f, "/", 200), "sallyport"), "revision"), 0);
}

static void a_stale_base_is_409(void **state)
{
    struct fixture *f = *state;
    apply(f, "base_revision=1", gateway, 409);
    apply(f, "base_revision=x", gateway, 400);
    apply(f, "base_revision=0", gateway, 200);
    apply(f, "base_revision=0", gateway, 409);
}

static void apply_commits_once_and_publishes(void **state)
{
    struct fixture *f = *state;
    const struct sp_node *a = apply(f, "dry_run=1", gateway, 200);
    assert_true(at(a, "changed")->boolean);
    assert_true(at(a, "dry_run")->boolean);
    assert_int_equal(number(a, "revision"), 0);
    assert_int_equal(f->published, 0);
    assert_true(at(a, "changes")->num >= 5);

    a = apply(f, "author=ann&comment=first%20try", gateway, 200);
    assert_int_equal(number(a, "revision"), 1);
    assert_int_equal(f->published, 1);
    assert_int_equal(f->published_revision, 1);

    a = apply(f, "author=bob", gateway, 200);
    assert_false(at(a, "changed")->boolean);
    assert_int_equal(number(a, "revision"), 1);
    assert_int_equal(f->published, 1);

    const struct sp_node *history = at(get(f, "/sallyport/revisions", 200), "data");
    assert_int_equal(history->num, 1);
    says(history->items[0], "author", "ann");
    says(history->items[0], "comment", "first try");
}

static void apply_tells_what_it_does_to_handshakes(void **state)
{
    struct fixture *f = *state;
    const struct sp_node *effects = at(apply(f, "", gateway, 200), "effects");
    assert_int_equal(effects->num, 1);
    says(effects->items[0], "effect", "starts");
    says(effects->items[0], "sni", "api.example.com");
    assert_true(at(get(f, "/sallyport/explain/handshake?sni=API.example.com", 200), "asks")->boolean);
    assert_false(at(get(f, "/sallyport/explain/handshake?sni=other.example.com", 200), "asks")->boolean);
    assert_false(at(get(f, "/sallyport/explain/handshake", 200), "asks")->boolean);
}

static void requests_are_explained_by_the_current_state(void **state)
{
    struct fixture *f = *state;
    const char *path = "/sallyport/explain/request?host=api.example.com&path=/x";
    says(get(f, path, 200), "summary",
         "404 no Route matched with those values: no route matches, and none comes close");
    apply(f, "", gateway, 200);
    for (int i = 0; i < 2; i++) { /* the second one finds it compiled */
        const struct sp_node *n = get(f, path, 200);
        assert_int_equal(number(n, "revision"), 1);
        says(at(n, "route"), "name", "api");
    }
    struct sp_str question = SP_STR("{\"host\":\"api.example.com\",\"path\":\"/x\",\"plain\":true}");
    struct sp_http_answer a = call(f, "POST", "/sallyport/explain/request", question, NULL);
    assert_int_equal(a.status, 200);
    assert_int_equal(number(json(f, &a), "status"), 426);
    says(get(f, "/sallyport/explain/request?host=api.example.com", 400), "message", "path: required");
    a = call(f, "POST", "/sallyport/explain/request", SP_STR("{}"), NULL);
    assert_int_equal(a.status, 400);
    a = call(f, "DELETE", "/sallyport/explain/request", SP_STR(""), NULL);
    assert_int_equal(a.status, 405);
}

static void a_file_replaces_the_whole_state_and_rollback_brings_it_back(void **state)
{
    struct fixture *f = *state;
    apply(f, "", gateway, 200);
    const struct sp_node *a = apply(f, "", "_format_version: \"3.0\"\nconsumers:\n- username: alice\n", 200);
    assert_int_equal(number(a, "revision"), 2);
    assert_int_equal(at(get(f, "/services", 200), "data")->num, 0);
    struct sp_http_answer r = call(f, "POST", "/sallyport/rollback?revision=7", SP_STR(""), NULL);
    assert_int_equal(r.status, 404);
    r = call(f, "POST", "/sallyport/rollback?revision=1", SP_STR(""), NULL);
    assert_int_equal(r.status, 200);
    assert_int_equal(number(json(f, &r), "revision"), 3);
    assert_int_equal(at(get(f, "/services", 200), "data")->num, 2);
    const struct sp_node *history = at(get(f, "/sallyport/revisions?size=1", 200), "data");
    assert_true(at(history->items[0], "rollback")->boolean);
    assert_int_equal(f->published, 3);
}

static void a_file_speaks_for_its_own_workspaces_only(void **state)
{
    struct fixture *f = *state;
    apply(f, "", gateway, 200);
    const struct sp_node *a =
        apply(f, "", "_format_version: \"3.0\"\n_workspace: team\nservices:\n- {name: orders, host: t}\n", 200);
    assert_int_equal(at(a, "changes")->num, 2); /* the workspace and its service */
    assert_int_equal(at(get(f, "/services", 200), "data")->num, 2);
    assert_int_equal(at(get(f, "/team/services", 200), "data")->num, 1);
    says(get(f, "/team/services/orders", 200), "host", "t");
    says(get(f, "/services/orders", 200), "host", "127.0.0.1");
    assert_false(at(apply(f, "", gateway, 200), "changed")->boolean);

    struct sp_http_answer e = call(f, "GET", "/sallyport/export", SP_STR(""), NULL);
    assert_false(at(apply(f, "", sp_arena_dup(f->arena, e.body).p, 200), "changed")->boolean);
    a = apply(f, "", "_format_version: \"3.0\"\n_workspace: team\n", 200);
    assert_int_equal(at(a, "changes")->num, 1);
    says(at(a, "changes")->items[0], "change", "delete");
    assert_int_equal(at(get(f, "/services", 200), "data")->num, 2);
}

static void an_export_applies_to_the_same_state(void **state)
{
    struct fixture *f = *state;
    apply(f, "", gateway, 200);
    struct sp_http_answer e = call(f, "GET", "/sallyport/export", SP_STR(""), NULL);
    assert_int_equal(e.status, 200);
    const struct sp_node *a = apply(f, "", sp_arena_dup(f->arena, e.body).p, 200);
    if (at(a, "changed")->boolean)
        fail_msg("%.*s", SP_FMT(e.body));
    struct sp_http_answer no = call(f, "GET", "/sallyport/export?secrets=1", SP_STR(""), NULL);
    assert_int_equal(no.status, 403);
}

static void a_restart_finds_what_was_committed(void **state)
{
    struct fixture *f = *state;
    apply(f, "", gateway, 200);
    stop(f);
    f->published = 0;
    start(f);
    assert_int_equal(f->published, 1);
    assert_int_equal(f->published_revision, 1);
    assert_int_equal(at(get(f, "/services", 200), "data")->num, 2);
    assert_false(at(apply(f, "", gateway, 200), "changed")->boolean);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bad_file_is_refused_with_every_problem_and_its_place),
        TEST(a_stale_base_is_409),
        TEST(apply_commits_once_and_publishes),
        TEST(apply_tells_what_it_does_to_handshakes),
        TEST(requests_are_explained_by_the_current_state),
        TEST(a_file_replaces_the_whole_state_and_rollback_brings_it_back),
        TEST(a_file_speaks_for_its_own_workspaces_only),
        TEST(an_export_applies_to_the_same_state),
        TEST(a_restart_finds_what_was_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
