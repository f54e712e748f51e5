/* /basic-auths: passwords come in as they are and are never seen again. */
#include "fixture.h"

#include "tls/password.h"

#define CHEAP "$scrypt$ln=10,r=8,p=1$MTIzNDU2Nzg$8dnX/yuxrxutNDx0smRETeFQ6FQvY4DdpvWf/OFkhDA" /* "pw" */
#define CONSUMER "c0ffee00-0000-4000-8000-000000000001"
#define KONGS "e2fce1600375ebee2ee55cde3330edb9c8fbbc70" /* "pw" of CONSUMER */
#define ID "ba51c000-0000-4000-8000-000000000001"

static const struct sp_node *put_json(struct fixture *f, const char *method, const char *path, const char *body,
                                      unsigned status)
{
    struct sp_fields fields = {0};
    sp_fields_add(&fields, f->arena, SP_FIELD_OTHER, SP_STR("Content-Type"), SP_STR("application/json"));
    struct sp_http_answer a = call(f, method, path, sp_str_z(body), &fields);
    if (a.status != status)
        fail_msg("%s %s: %u, not %u: %.*s", method, path, a.status, status, SP_FMT(a.body));
    assert_null(memmem(a.body.p, a.body.len, "topsecret", 9));
    return a.body.len ? json(f, &a) : NULL;
}

static void add_alice(struct fixture *f)
{
    put_json(f, "PUT", "/consumers/" CONSUMER, "{\"username\": \"alice\"}", 200);
}

static int64_t revision(struct fixture *f)
{
    return cp_control_current(f->control)->revision.revision;
}

/* What is kept, read between calls. */
static const char *stored(struct fixture *f)
{
    const struct sp_model *m = cp_control_current(f->control)->model;
    assert_int_equal(m->num[SP_BASICAUTH_CREDENTIALS], 1);
    const void *c = m->entities[SP_BASICAUTH_CREDENTIALS][0].message;
    return sp_arena_strdup(f->arena, ((const Sallyport__V1__BasicauthCredential *)c)->password);
}

static void belongs(struct fixture *f, const char *secret)
{
    struct sp_password p;
    assert_true(sp_password_read(sp_str_z(stored(f)), &p));
    assert_true(sp_password_matches(&p, sp_str_z(secret)));
}

static void all_methods(void **state)
{
    struct fixture *f = *state;
    add_alice(f);
    const struct sp_node *n = put_json(f, "POST", "/consumers/alice/basic-auth",
                                       "{\"username\": \"al\", \"password\": \"topsecret\", \"tags\": [\"t\"]}", 201);
    says(n, "username", "al");
    says(n, "password", "[redacted]");
    says(at(n, "consumer"), "id", CONSUMER);
    assert_int_equal(at(n, "created_at")->type, SP_NODE_INTEGER);
    const char *id = sp_arena_dup(f->arena, at(n, "id")->text).p;
    belongs(f, "topsecret");
    const char *places[] = {"/basic-auths/%s", "/consumers/alice/basic-auth/%s",
                            "/consumers/" CONSUMER "/basic-auth/%s"};
    for (size_t i = 0; i < 3; i++) {
        char path[128];
        snprintf(path, sizeof path, places[i], id);
        says(get(f, path, 200), "id", id);
        snprintf(path, sizeof path, places[i], "al");
        says(get(f, path, 200), "id", id);
    }
    assert_int_equal(at(get(f, "/basic-auths?size=1000&tags=t", 200), "data")->num, 1);
    assert_int_equal(at(get(f, "/consumers/alice/basic-auth", 200), "data")->num, 1);
    says(get(f, "/basic-auths/al/consumer", 200), "username", "alice");

    n = put_json(f, "POST", "/basic-auths",
                 "{\"username\": \"al\", \"password\": \"x\", \"consumer\": {\"id\": \"" CONSUMER "\"}}", 409);
    says(n, "message", "UNIQUE violation detected on '{username=\"al\"}'");
    put_json(f, "POST", "/consumers/alice/basic-auth", "{\"username\": \"b\"}", 400);
    put_json(f, "POST", "/consumers/alice/basic-auth", "{\"username\": \"b\", \"password\": \"[redacted]\"}", 400);
    put_json(f, "POST", "/consumers/alice/basic-auth", "{\"username\": \"b\", \"password\": \"{vault://env/x}\"}", 400);
    put_json(f, "POST", "/consumers/alice/basic-auth?skip_hash=1",
             "{\"username\": \"b\", \"password\": \"${{ env \\\"DECK_X\\\" }}\"}", 400);
    put_json(f, "POST", "/consumers/nobody/basic-auth", "{\"username\": \"b\", \"password\": \"x\"}", 404);

    const char *before = stored(f);
    put_json(f, "PATCH", "/basic-auths/al", "{\"tags\": [\"u\"]}", 200);
    assert_string_equal(stored(f), before);
    put_json(f, "PATCH", "/consumers/alice/basic-auth/al", "{\"password\": \"topsecret2\"}", 200);
    belongs(f, "topsecret2");
    put_json(f, "PATCH", "/basic-auths/al", "{\"password\": null}", 400);
    call(f, "DELETE", "/consumers/alice/basic-auth/al", SP_STR(""), NULL);
    assert_int_equal(at(get(f, "/basic-auths", 200), "data")->num, 0);
}

/* decK: PUT with an id of its own making, for new ones and for changes. */
static void puts_are_quiet(void **state)
{
    struct fixture *f = *state;
    const char *body = "{\"username\": \"al\", \"password\": \"topsecret\"}";
    add_alice(f);
    put_json(f, "PUT", "/consumers/" CONSUMER "/basic-auth/" ID, body, 200);
    int64_t first = revision(f);
    const char *before = stored(f);
    put_json(f, "PUT", "/consumers/" CONSUMER "/basic-auth/" ID, body, 200);
    assert_int_equal(revision(f), first);
    assert_string_equal(stored(f), before);
    put_json(f, "PUT", "/consumers/" CONSUMER "/basic-auth/" ID, "{\"username\": \"al\", \"password\": \"other\"}",
             200);
    assert_int_equal(revision(f), first + 1);
    belongs(f, "other");
    put_json(f, "DELETE", "/consumers/" CONSUMER, "", 204); /* takes its credentials along */
    assert_int_equal(at(get(f, "/basic-auths", 200), "data")->num, 0);
}

static void hashes_are_taken(void **state)
{
    struct fixture *f = *state;
    add_alice(f);
    put_json(f, "PUT", "/consumers/alice/basic-auth/" ID, "{\"username\": \"al\", \"password\": \"" CHEAP "\"}", 200);
    assert_string_equal(stored(f), CHEAP);
    put_json(f, "PUT", "/consumers/alice/basic-auth/" ID, "{\"username\": \"al\", \"password\": \"" KONGS "\"}", 200);
    belongs(f, KONGS);
    assert_null(strstr(stored(f), "sha1"));
    put_json(f, "PUT", "/consumers/alice/basic-auth/" ID "?skip_hash=true",
             "{\"username\": \"al\", \"password\": \"" KONGS "\"}", 200);
    assert_non_null(strstr(stored(f), "$scrypt-sha1$"));
    int64_t first = revision(f);
    put_json(f, "PUT", "/consumers/alice/basic-auth/" ID, "{\"username\": \"al\", \"password\": \"$sha1$" KONGS "\"}",
             200);
    put_json(f, "PUT", "/consumers/alice/basic-auth/" ID, "{\"username\": \"al\", \"password\": \"pw\"}", 200);
    assert_int_equal(revision(f), first);
    const struct sp_node *n = put_json(f, "POST", "/consumers/alice/basic-auth?skip_hash=true",
                                       "{\"username\": \"b\", \"password\": \"topsecret\"}", 400);
    assert_non_null(strstr(at(n, "message")->text.p, "password: expected a hash"));
}

static void files_apply_twice(void **state)
{
    struct fixture *f = *state;
    const char *file = "_format_version: \"3.0\"\nconsumers:\n- username: alice\n  basicauth_credentials:\n"
                       "  - {username: al, password: topsecret}\n";
    const struct sp_node *n = apply(f, "", file, 200);
    assert_int_equal(number(n, "revision"), 1);
    assert_true(at(apply(f, "", file, 200), "changed")->boolean == false);
    assert_int_equal(revision(f), 1);
    n = apply(f, "dry_run=1",
              "_format_version: \"3.0\"\nconsumers:\n- username: alice\n  basicauth_credentials:\n"
              "  - {username: al, password: topsecreT}\n",
              200);
    assert_int_equal(at(n, "changes")->num, 1);
    says(at(n, "changes")->items[0], "kind", "basicauth_credentials");
    says(at(n, "changes")->items[0], "label", "al");
    struct sp_http_answer a = call(f, "GET", "/sallyport/export", SP_STR(""), NULL);
    assert_null(memmem(a.body.p, a.body.len, "scrypt", 6));
    assert_non_null(memmem(a.body.p, a.body.len, "[redacted]", 10));
}

static void schemas(void **state)
{
    struct fixture *f = *state;
    struct sp_http_answer a = call(f, "GET", "/schemas/plugins/basic-auth", SP_STR(""), NULL);
    assert_int_equal(a.status, 200);
    assert_non_null(memmem(a.body.p, a.body.len, "{\"realm\":{\"type\":\"string\",\"default\":\"service\"}}", 46));
    assert_non_null(
        memmem(a.body.p, a.body.len, "{\"hide_credentials\":{\"type\":\"boolean\",\"default\":false}}", 53));
    get(f, "/schemas/basicauth_credentials", 200);
    add_alice(f);
    put_json(f, "POST", "/schemas/basicauth_credentials/validate",
             "{\"username\": \"al\", \"password\": \"topsecret\", \"consumer\": {\"id\": \"" CONSUMER "\"}}", 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_methods), TEST(puts_are_quiet), TEST(hashes_are_taken), TEST(files_apply_twice), TEST(schemas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
