/* Questions as they are written, and answers over a small configuration; that they are true is shown against a running
 * data plane (tests/e2e/test_49_explain.py). */
#include "test.h"

#include "explain/answer.h"
#include "model/node.h"
#include "tls/pki.h"

#include <stdlib.h>
#include <time.h>

#define CA_ID "5f1d7e5c-2f43-4c5f-9a3d-2a6f0b1c9e10"
#define HASH "$scrypt$ln=10,r=8,p=1$MTIzNDU2Nzg$8dnX/yuxrxutNDx0smRETeFQ6FQvY4DdpvWf/OFkhDA" /* "pw" */

struct issued {
    struct sp_buf cert, key;
};

struct fixture {
    struct sp_arena *arena;
    struct issued ca, alice, inter, bob;
    struct sp_explainer *explainer;
};

static void issue(struct issued *out, const struct issued *by, const char *cn, bool is_ca)
{
    struct sp_error err;
    int64_t now = time(NULL);
    struct sp_pki_request r = {
        .common_name = cn, .is_ca = is_ca, .client_auth = !is_ca, .not_before = now - 3600, .not_after = now + 86400};
    if (sp_failed(sp_pki_issue(&r, by ? sp_buf_str(&by->cert) : SP_STR(""), by ? sp_buf_str(&by->key) : SP_STR(""),
                               &out->cert, &out->key, &err)))
        fail_msg("%s", err.text);
}

static const char config[] = "_format_version: '3.0'\n"
                             "services:\n"
                             "- name: app\n"
                             "  url: http://127.0.0.1:8080/base\n"
                             "  routes:\n"
                             "  - name: guarded\n"
                             "    hosts: [api.test]\n"
                             "    snis: [api.test]\n"
                             "    protocols: [https]\n"
                             "    plugins:\n"
                             "    - name: mtls-auth\n"
                             "      config: {ca_certificates: [" CA_ID "], send_ca_dn: true}\n"
                             "  - name: keyed\n"
                             "    hosts: [key.test]\n"
                             "    plugins: [{name: key-auth}]\n"
                             "  - name: named\n"
                             "    hosts: [login.test]\n"
                             "    plugins: [{name: basic-auth}]\n"
                             "  - name: addresses\n"
                             "    hosts: ['192.0.2.1', '2001:db8::1']\n"
                             "consumers:\n"
                             "- username: alice\n"
                             "  keyauth_credentials: [{key: s3cret}]\n"
                             "  basicauth_credentials: [{username: al, password: '" HASH "'}]\n";

static void compile(struct fixture *f)
{
    struct sp_problems problems;
    struct sp_resources *resources;
    struct sp_model *model;
    struct sp_buf text = {0};
    sp_buf_printf(&text, "%sca_certificates:\n- id: " CA_ID "\n  cert: \"", config);
    for (size_t i = 0; i < f->ca.cert.len; i++)
        sp_buf_printf(&text, f->ca.cert.p[i] == '\n' ? "\\n" : "%c", f->ca.cert.p[i]);
    sp_buf_printf(&text, "\"\n");
    sp_problems_init(&problems, f->arena);
    struct sp_str owned = sp_arena_dup(f->arena, sp_buf_str(&text));
    sp_buf_fini(&text);
    sp_result r = sp_model_parse(f->arena, owned, SP_STR("t.yaml"), time(NULL), &model, &problems);
    if (!sp_failed(r))
        r = sp_compile(f->arena, model, &resources, &problems);
    if (!sp_failed(r))
        r = sp_explainer_new(resources, 7, false, &f->explainer, &problems);
    struct sp_buf SP_AUTO(sp_buf_fini) said = {0};
    sp_problems_print(&problems, &said);
    if (sp_failed(r))
        fail_msg("%.*s", SP_FMT(sp_buf_str(&said)));
}

static int setup(void **state)
{
    struct fixture *f = sp_alloc(sizeof *f);
    f->arena = sp_arena_new(4096);
    issue(&f->ca, NULL, "Root", true);
    issue(&f->alice, &f->ca, "alice", false);
    issue(&f->inter, &f->ca, "Middle", true);
    issue(&f->bob, &f->inter, "bob", false);
    compile(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct issued *all[] = {&f->ca, &f->alice, &f->inter, &f->bob};
    for (size_t i = 0; i < 4; i++) {
        sp_buf_fini(&all[i]->cert);
        sp_buf_wipe(&all[i]->key);
    }
    sp_explainer_free(f->explainer);
    sp_arena_free(f->arena);
    free(f);
    return 0;
}

/* --- questions */

static struct sp_explain_question read_query(struct fixture *f, const char *query)
{
    struct sp_explain_question q;
    struct sp_error err;
    if (sp_failed(sp_explain_read_query(f->arena, sp_str_z(query), &q, &err)))
        fail_msg("%s: %s", query, err.text);
    return q;
}

static void says(struct sp_str s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.p, want, s.len);
}

static void what_is_left_out_is_what_clients_do(void **state)
{
    struct sp_explain_question q = read_query(*state, "host=API.test.:8443&path=/a%3Fb=1");
    says(q.method, "GET");
    says(q.host, "API.test.:8443");
    says(q.path, "/a?b=1");
    says(q.sni, "api.test");
    says(q.client_ip, "127.0.0.1");
    assert_true(!q.plain && !q.http2 && !q.peer_trusted && !q.num_chain && !q.num_fields && !q.at);
    says(read_query(*state, "host=[2001:db8::1]:443&path=/").sni, ""); /* an address is no server name */
    says(read_query(*state, "host=a.test&path=/&sni=").sni, "");
    says(read_query(*state, "host=a.test&path=/&sni=B.test.").sni, "b.test");
    says(read_query(*state, "host=a.test&path=/&plain=1").sni, "");
}

static void both_forms_say_the_same(void **state)
{
    struct fixture *f = *state;
    const char *text =
        "{\"host\":\"a.test\",\"path\":\"/x\",\"method\":\"PUT\",\"headers\":[\"A: 1\",\"B:2\"],\"sni\":null,"
        "\"http_version\":\"2\",\"client_ip\":\"::1\",\"peer_trusted\":true,\"at\":\"2027-01-31T12:00:00Z\"}";
    struct sp_explain_question q[2];
    struct sp_error err;
    assert_false(sp_failed(sp_explain_read_json(f->arena, sp_str_z(text), &q[0], &err)));
    q[1] = read_query(f, "host=a.test&path=/x&method=PUT&header=A:+1&header=B:2&sni=&http_version=2&client_ip=::1"
                         "&peer_trusted=true&at=1801396800");
    for (int i = 0; i < 2; i++) {
        says(q[i].method, "PUT");
        says(q[i].sni, "");
        says(q[i].client_ip, "::1");
        assert_int_equal(q[i].num_fields, 2);
        says(q[i].fields[0], "A: 1");
        says(q[i].fields[1], "B: 2");
        assert_true(q[i].http2 && q[i].peer_trusted);
        assert_int_equal(q[i].at, 1801396800);
    }
}

static void refused(struct fixture *f, const char *query, const char *why)
{
    struct sp_explain_question q;
    struct sp_error err;
    assert_true(sp_failed(sp_explain_read_query(f->arena, sp_str_z(query), &q, &err)));
    assert_string_equal(err.text, why);
}

static void nonsense_is_named(void **state)
{
    struct fixture *f = *state;
    refused(f, "", "host: required");
    refused(f, "host=a.test", "path: required");
    refused(f, "host=a.test&path=/&path=/", "path: given twice");
    refused(f, "host=a.test&path=/&sni=a&sni=b", "sni: given twice");
    refused(f, "host=a.test&path=/%", "the query string is malformed");
    refused(f, "host=a.test&path=/%C3%A4", "path: byte 2 is no part of a path: write it as %C3");
    refused(f, "host=user@a.test&path=/", "host: 'user@a.test' is no host name or address, with or without a port");
    refused(f, "host=a.test&path=/&method=", "method: empty");
    refused(f, "host=a.test&path=/&method=G%0d%0aX",
            "method: 'G\r\nX' is no method; they are words in capitals: GET, POST ...");
    refused(f, "host=a.test&path=/&header=X:%0d%0aY:1", "header: 'X' is not 'Name: value'");
    refused(f, "host=a.test&path=/&client_ip=10.0.0.0/8", "client_ip: '10.0.0.0/8' is no IP address");
    refused(f, "host=a.test&path=/&plain=perhaps", "plain: expected true or false");
    refused(f, "host=a.test&path=/&plain=1&http_version=2",
            "http_version: only with TLS, and `plain` says that there is none");
    refused(f, "host=a.test&path=/&http_version=3", "http_version: expected 1.1 or 2");
    refused(f, "host=a.test&path=/&at=2027-01-31",
            "at: expected seconds since 1970, or a time like 2027-01-31T12:00:00Z");
    refused(f, "host=a.test&path=/&at=0", "at: expected seconds since 1970, or a time like 2027-01-31T12:00:00Z");
}

static void json_that_is_none_of_ours(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"[]", "expected an object with at least host and path"},
        {"{\"host\":\"a.test\",\"path\":{}}", "path: a map is not expected here"},
        {"{\"host\":\"a.test\",\"path\":\"/\",\"headers\":\"A: 1\"}", "headers: expected a list of \"Name: value\""},
        {"{\"host\":\"a.test\",\"path\":\"/\",\"http_version\":1.1}", NULL},
        {"{\"host\":\"a.test\",\"path\":\"/\",\"path\":\"/\"}", NULL},
        {"{", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_explain_question q;
        struct sp_error err;
        assert_true(sp_failed(sp_explain_read_json(f->arena, sp_str_z(rows[i].text), &q, &err)));
        if (rows[i].why)
            assert_string_equal(err.text, rows[i].why);
    }
    struct sp_explain_question q;
    struct sp_error err;
    char *huge = sp_arena_alloc(f->arena, SP_EXPLAIN_MAX + 1);
    assert_true(sp_failed(sp_explain_read_json(f->arena, sp_str(huge, SP_EXPLAIN_MAX + 1), &q, &err)));
    assert_string_equal(err.text, "the question has more than 262144 bytes");
}

/* A question as JSON with this certificate text. */
static sp_result with_certificate(struct fixture *f, struct sp_str pem, struct sp_explain_question *q,
                                  struct sp_error *err)
{
    struct sp_buf b = {0};
    sp_buf_printf(&b, "host=api.test&path=/&certificate=");
    for (size_t i = 0; i < pem.len; i++)
        sp_buf_printf(&b, "%%%02X", (unsigned char)pem.p[i]);
    struct sp_str query = sp_arena_dup(f->arena, sp_buf_str(&b));
    sp_buf_fini(&b);
    return sp_explain_read_query(f->arena, query, q, err);
}

static void certificates_with_their_lines(void **state)
{
    struct fixture *f = *state;
    struct sp_explain_question q;
    struct sp_error err;
    struct sp_str alice = sp_buf_str(&f->alice.cert), middle = sp_buf_str(&f->inter.cert);
    struct sp_str both = sp_arena_printf(f->arena, "# the leaf\n%.*s%.*s", SP_FMT(alice), SP_FMT(middle));
    assert_false(sp_failed(with_certificate(f, both, &q, &err)));
    assert_int_equal(q.num_chain, 2);
    assert_true(
        sp_failed(with_certificate(f, sp_arena_printf(f->arena, "%.*s%.*s", SP_FMT(alice), SP_FMT(alice)), &q, &err)));
    assert_non_null(strstr(err.text, ": this one is there already"));
    assert_true(sp_failed(with_certificate(f, sp_buf_str(&f->alice.key), &q, &err)));
    assert_non_null(strstr(err.text, "certificate: line 1: a private key is not needed"));
    struct sp_str broken = sp_arena_dup(f->arena, both);
    *strstr((char *)(uintptr_t)broken.p + 200, "\n") = '!';
    assert_true(sp_failed(with_certificate(f, broken, &q, &err)));
    assert_non_null(strstr(err.text, "certificate: line 2: "));
    assert_true(sp_failed(
        with_certificate(f, SP_STR("\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), &q, &err)));
    assert_non_null(strstr(err.text, "certificate: line 2: "));
    struct sp_buf SP_AUTO(sp_buf_fini) many = {0};
    for (int i = 0; i < 40; i++) {
        struct issued one = {0};
        issue(&one, &f->ca, "x", false);
        sp_buf_add(&many, sp_buf_str(&one.cert));
        sp_buf_fini(&one.cert);
        sp_buf_wipe(&one.key);
    }
    assert_true(sp_failed(with_certificate(f, sp_buf_str(&many), &q, &err)));
    assert_string_equal(err.text, "certificate: more than 32 certificates, which no data plane verifies");
}

/* --- answers */

static const struct sp_node *explain(struct fixture *f, const struct sp_explain_question *q)
{
    struct sp_problems problems;
    struct sp_buf json = {0};
    sp_problems_init(&problems, f->arena);
    sp_explain_request(f->explainer, q, f->arena, &json);
    struct sp_str text = sp_arena_dup(f->arena, sp_buf_str(&json));
    sp_buf_fini(&json);
    assert_null(strstr(text.p, "s3cret"));
    const struct sp_node *n = sp_node_read_json(f->arena, text, SP_STR("answer"), &problems);
    if (!n)
        fail_msg("no JSON: %s", text.p);
    return n;
}

/* "a.b" below an answer; the text of what stands there. */
static const char *at(const struct sp_node *n, const char *path)
{
    struct sp_str rest = sp_str_z(path);
    while (rest.p && n)
        n = sp_node_get(n, sp_str_split(&rest, '.'));
    return !n || n->type == SP_NODE_NULL ? "" : n->type == SP_NODE_BOOL ? (n->boolean ? "true" : "false") : n->text.p;
}

static const char *hint(const struct sp_node *n, size_t i)
{
    const struct sp_node *hints = sp_node_get(n, SP_STR("hints"));
    return i < hints->num ? hints->items[i]->text.p : "";
}

static void a_certificate_and_who_it_is(void **state)
{
    struct fixture *f = *state;
    struct sp_explain_question q;
    struct sp_error err;
    assert_false(sp_failed(with_certificate(f, sp_buf_str(&f->alice.cert), &q, &err)));
    const struct sp_node *n = explain(f, &q);
    assert_string_equal(at(n, "outcome"), "forwarded");
    assert_string_equal(at(n, "summary"), "forwarded to service app, as alice");
    assert_string_equal(at(n, "revision"), "7");
    assert_string_equal(at(n, "handshake.asks"), "true");
    assert_string_equal(at(n, "certificate.anchor.subject"), "CN=Root");
    assert_string_equal(at(n, "mapping.what"), "consumer_by username");
    assert_string_equal(at(n, "mapping.step"), "3");
    assert_string_equal(at(n, "upstream.url"), "http://127.0.0.1:8080/base/");
    assert_string_equal(hint(n, 0), "");
    q.sni = SP_STR("other.test");
    n = explain(f, &q);
    assert_string_equal(at(n, "status"), "421");
    assert_string_equal(at(n, "certificate.shown"), "false");
    assert_non_null(strstr(hint(n, 0), "The certificate is never shown: the handshake for 'other.test' does not ask"));
    q.sni = SP_STR("");
    assert_non_null(strstr(hint(explain(f, &q), 0), "names no server"));
    assert_false(sp_failed(with_certificate(f, sp_buf_str(&f->bob.cert), &q, &err)));
    n = explain(f, &q);
    assert_string_equal(at(n, "reason"), "unable to get local issuer certificate");
    assert_non_null(strstr(hint(n, 0), "Browsers would not offer this certificate"));
    assert_non_null(strstr(hint(n, 1), "No chain leads from this certificate"));
}

static void addresses_as_hosts(void **state)
{
    struct fixture *f = *state;
    struct sp_explain_question q = read_query(f, "host=[2001:DB8::1]:8443&path=/");
    assert_string_equal(at(explain(f, &q), "route.name"), "addresses");
    q = read_query(f, "host=192.0.2.1&path=/&plain=true");
    assert_string_equal(at(explain(f, &q), "route.name"), "addresses");
    assert_string_equal(at(explain(f, &q), "handshake"), "");
}

/* The parser of requests has its word too: what it refuses never reaches a route. */
static void heads_that_are_refused(void **state)
{
    struct fixture *f = *state;
    struct sp_explain_question q =
        read_query(f, "host=key.test&path=/&header=Content-Length:+1&header=Content-Length:+2");
    const struct sp_node *n = explain(f, &q);
    assert_string_equal(at(n, "status"), "400");
    assert_true(strlen(at(n, "reason")) > 0);
    struct sp_buf b = {0};
    sp_buf_printf(&b, "host=key.test&path=/&header=X:+");
    for (int i = 0; i < 70000; i++)
        sp_buf_putc(&b, 'x');
    sp_buf_putc(&b, '\0');
    q = read_query(f, sp_arena_dup(f->arena, sp_buf_str(&b)).p);
    sp_buf_fini(&b);
    n = explain(f, &q);
    assert_string_equal(at(n, "status"), "400");
    assert_string_equal(at(n, "message"), "Request header or cookie too large");
}

static void keys_do_not_come_back(void **state)
{
    struct fixture *f = *state;
    struct sp_explain_question q = read_query(f, "host=key.test&path=/x%3Fapikey=s3cret&header=Other:+s3cret");
    const struct sp_node *n = explain(f, &q); /* which looks for it */
    assert_string_equal(at(n, "consumer.username"), "alice");
    assert_string_equal(at(n, "upstream.query"), "as the client sent it");
    q = read_query(f, "host=key.test&path=/&header=apikey:+s3cret");
    n = explain(f, &q);
    assert_string_equal(at(n, "consumer.username"), "alice");
    const struct sp_node *first = sp_node_get(sp_node_get(n, SP_STR("upstream")), SP_STR("fields"))->items[0];
    assert_string_equal(at(first, "name"), "apikey");
    assert_string_equal(at(first, "value"), "");
    assert_string_equal(at(first, "from"), "client");
}

/* An explanation has no worker whose threads could check a password: it does that itself. */
static void passwords_are_checked(void **state)
{
    struct fixture *f = *state;
    struct sp_explain_question q = read_query(f, "host=login.test&path=/&header=Authorization:+Basic+YWw6cHc=");
    const struct sp_node *n = explain(f, &q);
    assert_string_equal(at(n, "consumer.username"), "alice");
    const char *wrong[] = {"YWw6cHY=", "bm9ib2R5OnB3"};
    for (size_t i = 0; i < 2; i++) {
        q = read_query(f,
                       sp_arena_printf(f->arena, "host=login.test&path=/&header=Authorization:+Basic+%s", wrong[i]).p);
        n = explain(f, &q);
        assert_string_equal(at(n, "status"), "401");
        assert_string_equal(at(n, "reason"), "no such user, or another password");
    }
}

static void what_cannot_run_cannot_be_explained(void **state)
{
    struct fixture *f = *state;
    struct sp_resource one = {.kind = SALLYPORT__V1__KIND__ROUTE, .name = SP_STR("r"), .body = SP_STR("\xff")};
    struct sp_resources set = {&one, 1};
    struct sp_problems problems;
    struct sp_explainer *e;
    sp_problems_init(&problems, f->arena);
    assert_true(sp_failed(sp_explainer_new(&set, 1, false, &e, &problems)));
    assert_null(e);
    assert_int_equal(problems.num_errors, 1);
    one.body = SP_STR("\x0a\x0e{vault://env/X}");
    sp_problems_init(&problems, f->arena);
    assert_true(sp_failed(sp_explainer_new(&set, 1, false, &e, &problems)));
    assert_string_equal(problems.first->code, "vault_reference");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_left_out_is_what_clients_do),
        TEST(both_forms_say_the_same),
        TEST(nonsense_is_named),
        TEST(json_that_is_none_of_ours),
        TEST(certificates_with_their_lines),
        TEST(a_certificate_and_who_it_is),
        TEST(addresses_as_hosts),
        TEST(heads_that_are_refused),
        TEST(keys_do_not_come_back),
        TEST(passwords_are_checked),
        TEST(what_cannot_run_cannot_be_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
