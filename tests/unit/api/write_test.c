/* Writes of single entities as Kong's clients send them: statuses, bodies, errors, references. */
#include "fixture.h"

#include "tls/pki.h"

static const struct sp_node *send_as(struct fixture *f, const char *type, const char *method, const char *path,
                                     const char *body, unsigned status)
{
    struct sp_http_answer a;
    struct sp_error err;
    struct sp_http_call c = {.method = method, .path = sp_str_z(path), .body = sp_str_z(body), .content_type = type};
    must(sp_http_client_call(f->client, &c, f->arena, &a, &err), &err);
    if (a.status != status)
        fail_msg("%s %s: %u, not %u: %.*s", method, path, a.status, status, SP_FMT(a.body));
    return a.body.len ? json(f, &a) : NULL;
}

static const struct sp_node *ask(struct fixture *f, const char *method, const char *path, const char *body,
                                 unsigned status)
{
    return send_as(f, "application/json", method, path, body, status);
}

static int64_t revision(struct fixture *f)
{
    return number(at(get(f, "/", 200), "sallyport"), "revision");
}

/* --- refusals: nothing is written, and the body says why in Kong's shape */

static void bad_bodies_are_schema_violations(void **state)
{
    struct fixture *f = *state;
    const struct sp_node *e = ask(f, "POST", "/services", "{\"name\":\"a\"}", 400);
    assert_int_equal(number(e, "code"), 2);
    says(e, "name", "schema violation");
    says(e, "message", "schema violation (host: required field missing)");
    says(at(e, "fields"), "host", "required field missing");
    e = ask(f, "POST", "/services", "{\"hots\":\"a\",\"port\":\"x\"}", 400);
    assert_true(sp_str_starts(at(e, "message")->text, SP_STR("2 schema violations (")));
    e = ask(f, "POST", "/plugins", "{\"name\":\"mtls-auth\",\"config\":{\"anonymous\":\"x\"}}", 400);
    says(e, "message", "schema violation (config.ca_certificates: required field missing)");
    says(at(at(e, "fields"), "config"), "ca_certificates", "required field missing");
    ask(f, "POST", "/services", "{\"name\":", 400);
    ask(f, "POST", "/services", "[]", 400);
    ask(f, "PUT", "/services/00000000-0000-4000-8000-000000000001", "{\"port\":70000,\"host\":\"h\"}", 400);
    send_as(f, "text/plain", "POST", "/services", "{}", 415);
    send_as(f, "application/x-www-form-urlencoded", "POST", "/services", "name=%zz", 400);
    assert_int_equal(revision(f), 0);
}

static void duplicates_and_dangling_references_are_refused(void **state)
{
    struct fixture *f = *state;
    struct sp_str id = at(ask(f, "POST", "/services", "{\"name\":\"a\",\"host\":\"h\"}", 201), "id")->text;
    const struct sp_node *e = ask(f, "POST", "/services", "{\"name\":\"a\",\"host\":\"h\"}", 409);
    assert_int_equal(number(e, "code"), 5);
    says(e, "message", "UNIQUE violation detected on '{name=\"a\"}'");
    struct sp_str same = sp_arena_printf(f->arena, "{\"id\":\"%.*s\",\"host\":\"h\"}", SP_FMT(id));
    assert_int_equal(number(ask(f, "POST", "/services", same.p, 400), "code"), 3);
    e = ask(f, "POST", "/routes", "{\"paths\":[\"/x\"],\"service\":{\"name\":\"nobody\"}}", 400);
    assert_int_equal(number(e, "code"), 4);
    says(e, "name", "foreign key violation");
    assert_int_equal(revision(f), 1);
}

static void an_api_key_is_made_where_none_is_given(void **state)
{
    struct fixture *f = *state;
    ask(f, "POST", "/consumers", "{\"username\":\"alice\"}", 201);
    const struct sp_node *e = ask(f, "POST", "/consumers/alice/key-auth", "", 201);
    struct sp_str key = at(e, "key")->text, id = at(e, "id")->text;
    assert_int_equal(key.len, 32); /* here, and never again */
    const char *path = sp_arena_printf(f->arena, "/consumers/alice/key-auth/%.*s", SP_FMT(id)).p;
    says(get(f, path, 200), "key", "[redacted]");
    e = ask(f, "POST", "/key-auths", "{\"key\":null,\"consumer\":{\"username\":\"alice\"}}", 201);
    assert_false(sp_str_eq(at(e, "key")->text, key));
    says(ask(f, "POST", "/consumers/alice/key-auth", "{\"key\":\"mine\"}", 201), "key", "[redacted]");
    says(ask(f, "PATCH", path, "{\"tags\":[\"x\"]}", 200), "key", "[redacted]");
    ask(f, "POST", "/consumers/alice/key-auth", "{\"key\":\"\"}", 400);
    ask(f, "PATCH", path, "{\"key\":null}", 400);
    e = ask(f, "PUT", path, "{}", 200); /* a whole new one, as any PUT */
    assert_int_equal(at(e, "key")->text.len, 32);
    assert_false(sp_str_eq(at(e, "key")->text, key));
    assert_int_equal(at(get(f, "/key-auths", 200), "data")->num, 3);
}

/* decK sends the whole entity where a reference stands. */
static void references_may_carry_the_rest_of_their_entity(void **state)
{
    struct fixture *f = *state;
    struct sp_str id = at(ask(f, "POST", "/consumers", "{\"username\":\"alice\"}", 201), "id")->text;
    const char *more =
        "{\"consumer\":{\"username\":\"a\",\"custom_id\":null,\"id\":\"%.*s\",\"tags\":[\"x\"]},\"group\":\"g\"}";
    struct sp_str body = sp_arena_printf(f->arena, more, SP_FMT(id));
    const struct sp_node *e = ask(f, "POST", "/acls", body.p, 201);
    assert_true(sp_str_eq(at(at(e, "consumer"), "id")->text, id));
    ask(f, "POST", "/acls", "{\"consumer\":{\"custom_id\":\"x\",\"tags\":[]},\"group\":\"h\"}", 400);
    ask(f, "POST", "/acls", "{\"consumer\":{\"id\":7,\"username\":\"alice\"},\"group\":\"h\"}", 400);
    ask(f, "POST", "/acls", "{\"consumer\":{\"id\":\"\",\"username\":\"alice\"},\"group\":\"h\"}", 400);
}

static void what_is_needed_cannot_be_deleted(void **state)
{
    struct fixture *f = *state;
    ask(f, "POST", "/services", "{\"name\":\"a\",\"host\":\"h\"}", 201);
    ask(f, "POST", "/services/a/routes", "{\"name\":\"r\",\"paths\":[\"/x\"]}", 201);
    const struct sp_node *e = ask(f, "DELETE", "/services/a", "", 400);
    assert_int_equal(number(e, "code"), 4);
    says(e, "message", "an existing 'routes' entity references this 'services' entity");
    ask(f, "DELETE", "/services/a/routes/r", "", 204);
    ask(f, "DELETE", "/services/a", "", 204);
    ask(f, "DELETE", "/services/a", "", 204); /* also when it is gone */
    ask(f, "DELETE", "/services/a/routes/r", "", 404);
    get(f, "/services/a", 404);
}

/* --- the life of an entity */

static void post_put_patch_delete(void **state)
{
    struct fixture *f = *state;
    const struct sp_node *s =
        ask(f, "POST", "/services", "{\"name\":\"a\",\"host\":\"h\",\"port\":81,\"tags\":[\"t\"]}", 201);
    struct sp_str id = at(s, "id")->text;
    assert_int_equal(number(s, "retries"), 5);
    int64_t created = number(s, "created_at");

    s = ask(f, "PATCH", "/services/a", "{\"port\":82,\"tags\":null}", 200);
    assert_int_equal(number(s, "port"), 82);
    says(s, "host", "h");
    assert_int_equal(at(s, "tags")->type, SP_NODE_NULL);

    s = ask(f, "PUT", "/services/a", "{\"host\":\"other\"}", 200); /* what is not sent takes its default */
    assert_int_equal(number(s, "port"), 80);
    says(s, "name", "a");
    assert_true(sp_str_eq(at(s, "id")->text, id));
    assert_int_equal(number(s, "created_at"), created);

    s = ask(f, "PUT", "/services/00000000-0000-4000-8000-000000000001", "{\"host\":\"new\"}", 200);
    says(s, "id", "00000000-0000-4000-8000-000000000001");
    s = ask(f, "PUT", "/consumers/bob", "{\"custom_id\":\"b\"}", 200);
    says(s, "username", "bob");
    ask(f, "PATCH", "/services/nobody", "{}", 404);
    assert_int_equal(f->published, 5);
    const struct sp_node *last = at(get(f, "/sallyport/revisions?size=1", 200), "data")->items[0];
    says(last, "comment", "PUT /consumers/bob");
}

static void children_are_written_below_their_parents(void **state)
{
    struct fixture *f = *state;
    ask(f, "POST", "/services", "{\"name\":\"a\",\"host\":\"h\"}", 201);
    ask(f, "POST", "/consumers", "{\"username\":\"alice\"}", 201);
    const struct sp_node *r = ask(f, "POST", "/services/a/routes", "{\"name\":\"r\",\"paths\":[\"/x\"]}", 201);
    says(at(r, "service"), "id", sp_arena_dup(f->arena, at(get(f, "/services/a", 200), "id")->text).p);
    r = ask(f, "POST", "/consumers/alice/mtls-auth", "{\"subject_name\":\"a@x\"}", 201);
    struct sp_str path = sp_arena_printf(f->arena, "/consumers/alice/mtls-auth/%.*s", SP_FMT(at(r, "id")->text));
    says(ask(f, "PATCH", path.p, "{\"subject_name\":\"b@x\"}", 200), "subject_name", "b@x");
    ask(f, "POST", "/routes/r/plugins", "{\"name\":\"tls-handshake-modifier\",\"protocols\":[\"https\"]}", 201);
    assert_int_equal(at(get(f, "/routes/r/plugins", 200), "data")->num, 1);
    says(ask(f, "PATCH", "/routes/r/service", "{\"host\":\"z\"}", 200), "host", "z");
    ask(f, "POST", "/services/nobody/routes", "{\"paths\":[\"/x\"]}", 404);
    ask(f, "DELETE", "/routes/r", "", 204); /* its plugins go with it */
    assert_int_equal(at(get(f, "/plugins", 200), "data")->num, 0);
    ask(f, "DELETE", "/consumers/alice", "", 204);
    assert_int_equal(at(get(f, "/mtls-auths", 200), "data")->num, 0);
}

static void forms_as_curl_sends_them(void **state)
{
    struct fixture *f = *state;
    const char *form = "application/x-www-form-urlencoded";
    const struct sp_node *s =
        send_as(f, form, "POST", "/services", "name=a&host=h.example&port=81&enabled=false&tags=x", 201);
    assert_int_equal(number(s, "port"), 81);
    assert_false(at(s, "enabled")->boolean);
    assert_int_equal(at(s, "tags")->num, 1);
    s = send_as(f, form, "POST", "/services/a/routes",
                "name=80&paths[]=/a&paths[]=/b%2Bc&headers.x-v=1&headers.x-v=2&methods=GET&strip_path=false", 201);
    says(s, "name", "80");
    assert_int_equal(at(s, "paths")->num, 2);
    assert_int_equal(at(at(s, "headers"), "x-v")->num, 2);
    s = send_as(f, form, "POST", "/routes", "service.name=a&hosts=x.example", 201);
    assert_int_equal(at(s, "service")->type, SP_NODE_MAP);
    s = send_as(f, form, "POST", "/plugins", "name=ip-restriction&config.deny=10.0.0.1&config.status=404", 201);
    assert_int_equal(number(at(s, "config"), "status"), 404);
    send_as(f, form, "POST", "/services", "name.a.b.c.d.e.f.g.h.i=1", 400);
    send_as(f, form, "POST", "/services", "port=eighty&host=h", 400);
}

static void members_of_a_group(void **state)
{
    struct fixture *f = *state;
    ask(f, "POST", "/consumers", "{\"username\":\"alice\"}", 201);
    ask(f, "POST", "/consumers", "{\"username\":\"bob\"}", 201);
    ask(f, "POST", "/consumer_groups", "{\"name\":\"gold\"}", 201);
    const struct sp_node *g =
        ask(f, "POST", "/consumer_groups/gold/consumers", "{\"consumer\":[\"alice\",\"bob\"]}", 201);
    assert_int_equal(at(g, "consumers")->num, 2);
    ask(f, "POST", "/consumer_groups/gold/consumers", "{\"consumer\":\"nobody\"}", 400);
    ask(f, "POST", "/consumer_groups/gold/consumers", "{}", 400);
    ask(f, "DELETE", "/consumer_groups/gold/consumers/bob", "", 204);
    ask(f, "DELETE", "/consumer_groups/gold/consumers/bob", "", 404);
    assert_int_equal(at(get(f, "/consumer_groups/gold/consumers", 200), "data")->num, 1);
    says(get(f, "/consumer_groups/gold/consumers/alice", 200), "username", "alice");
    get(f, "/consumer_groups/gold/consumers/bob", 404);
    ask(f, "POST", "/consumer_groups/gold/plugins", "{\"name\":\"rate-limiting\",\"config\":{\"minute\":1}}", 201);
    assert_int_equal(at(get(f, "/consumer_groups/gold/plugins", 200), "data")->num, 1);
    g = get(f, "/consumer_groups/gold", 200); /* 4.4: the group, its consumers, its plugins */
    says(at(g, "consumer_group"), "name", "gold");
    says(at(g, "consumers")->items[0], "username", "alice");
    says(at(g, "plugins")->items[0], "name", "rate-limiting");
    g = get(f, "/consumers/alice/consumer_groups", 200);
    assert_int_equal(at(g, "data")->num, 1);
    says(at(g, "data")->items[0], "name", "gold");
    says(get(f, "/consumers/alice/consumer_groups/gold", 200), "name", "gold");
    assert_int_equal(at(get(f, "/consumers/bob/consumer_groups", 200), "data")->num, 0);
    get(f, "/consumers/bob/consumer_groups/gold", 404);
    ask(f, "DELETE", "/consumers/alice", "", 204); /* and its membership */
    assert_int_equal(at(get(f, "/consumer_groups/gold", 200), "consumers")->num, 0);
}

static struct sp_str json_pem(struct fixture *f, const struct sp_buf *pem)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    sp_json_str(&j, sp_buf_str(pem));
    struct sp_str text = sp_arena_dup(f->arena, sp_buf_str(&b));
    sp_buf_fini(&b);
    return text;
}

static void certificates_carry_their_names_and_hide_their_keys(void **state)
{
    struct fixture *f = *state;
    struct sp_buf cert = {0}, key = {0};
    struct sp_error err;
    struct sp_pki_request r = {.common_name = "x", .server_auth = true, .not_before = 1, .not_after = 4102444800};
    must(sp_pki_issue(&r, SP_STR(""), SP_STR(""), &cert, &key, &err), &err);
    struct sp_str body = sp_arena_printf(f->arena, "{\"cert\":%s,\"key\":%s,\"snis\":[\"a.example\",\"b.example\"]}",
                                         json_pem(f, &cert).p, json_pem(f, &key).p);
    const struct sp_node *c = ask(f, "POST", "/certificates", body.p, 201);
    assert_int_equal(at(c, "snis")->num, 2);
    says(c, "key", "[redacted]");
    struct sp_str id = at(c, "id")->text;
    says(at(get(f, "/snis/a.example", 200), "certificate"), "id", sp_arena_dup(f->arena, id).p);
    c = ask(f, "PATCH", sp_arena_printf(f->arena, "/certificates/%.*s", SP_FMT(id)).p, "{\"snis\":[\"b.example\"]}",
            200);
    assert_int_equal(at(c, "snis")->num, 1);
    get(f, "/snis/a.example", 404);
    ask(f, "DELETE", sp_arena_printf(f->arena, "/certificates/%.*s", SP_FMT(id)).p, "", 204);
    get(f, "/snis/b.example", 404);
    sp_buf_fini(&cert);
    sp_buf_wipe(&key);
}

static void vaults_and_references_to_them(void **state)
{
    struct fixture *f = *state;
    const char *certificate = "{\"cert\":\"{vault://mine/C}\",\"key\":\"{vault://mine/K}\"}";
    const struct sp_node *e = ask(f, "POST", "/certificates", certificate, 400);
    assert_int_equal(number(e, "code"), 4);
    says(e, "message", "vault 'mine': no such entry in 'vaults'");
    e = ask(f, "POST", "/vaults", "{\"name\":\"aws\",\"prefix\":\"mine\",\"config\":{}}", 400);
    says(at(e, "fields"), "name", "this kind of vault is not served: only env is");
    const char *id = "/vaults/00000000-0000-4000-8000-000000000001";
    e = ask(f, "PUT", id, "{\"name\":\"env\",\"prefix\":\"mine\",\"config\":{\"prefix\":\"SECURE_\"}}", 200);
    says(at(e, "config"), "prefix", "SECURE_");
    e = ask(f, "POST", "/certificates", certificate, 201);
    says(e, "cert", "{vault://mine/C}");
    says(e, "key", "{vault://mine/K}"); /* no secret */
    says(at(get(f, "/sallyport/lint", 200), "data")->items[0], "code", "vault_reference");
    e = ask(f, "PATCH", "/vaults/mine", "{\"description\":\"ours\"}", 200);
    says(at(e, "config"), "prefix", "SECURE_");
    assert_int_equal(at(get(f, "/vaults?size=1000", 200), "data")->num, 1);
    e = ask(f, "DELETE", "/vaults/mine", "", 400);
    says(e, "message", "an existing 'certificates' entity references this 'vaults' entity");
    e = ask(f, "POST", "/consumers/x/key-auth", "{}", 404);
    ask(f, "POST", "/consumers", "{\"username\":\"x\"}", 201);
    e = ask(f, "POST", "/consumers/x/key-auth", "{\"key\":\"{vault://mine/K}\"}", 400);
    assert_true(sp_str_starts(at(at(e, "fields"), "key")->text, SP_STR("a vault reference is not resolved in this")));
}

static void workspaces_are_apart(void **state)
{
    struct fixture *f = *state;
    ask(f, "POST", "/team/services", "{\"name\":\"a\",\"host\":\"h\"}", 404);
    ask(f, "POST", "/workspaces", "{\"name\":\"team\"}", 201);
    ask(f, "POST", "/team/services", "{\"name\":\"a\",\"host\":\"h\"}", 201);
    get(f, "/services/a", 404);
    says(get(f, "/team/services/a", 200), "host", "h");
    ask(f, "POST", "/services", "{\"name\":\"a\",\"host\":\"mine\"}", 201);
    says(get(f, "/team/services/a", 200), "host", "h");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bad_bodies_are_schema_violations),
        TEST(duplicates_and_dangling_references_are_refused),
        TEST(an_api_key_is_made_where_none_is_given),
        TEST(references_may_carry_the_rest_of_their_entity),
        TEST(what_is_needed_cannot_be_deleted),
        TEST(post_put_patch_delete),
        TEST(children_are_written_below_their_parents),
        TEST(forms_as_curl_sends_them),
        TEST(members_of_a_group),
        TEST(certificates_carry_their_names_and_hide_their_keys),
        TEST(vaults_and_references_to_them),
        TEST(workspaces_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
