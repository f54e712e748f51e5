#include "../plugin/odd_certificates.h"
#include "fixtures.h"

/* --- what is refused, and where it says so --- */

static void unknown_fields_have_a_place_and_a_suggestion(void **state)
{
    parse_bad(*state, 2,
              "services:\n- name: a\n  host: h\n  routes:\n  - name: r\n    hots: [x.test]\n    paths: [/]\n    "
              "zzzzzzzz: 1\n",
              "t.yaml:7:5: error: services[0].routes[0].hots: unknown field 'hots', did you mean 'hosts'?",
              "t.yaml:9:5: error: services[0].routes[0].zzzzzzzz: unknown field 'zzzzzzzz'\n");
    parse_bad(*state, 1, "sevices: []\n",
              "t.yaml:2:1: error: sevices: unknown field 'sevices', did you mean 'services'?");
    /* marks of the loader, nesting by another name and oneof members are no text */
    parse_bad(*state, 2,
              "services:\n- {host: h, ws: x}\nplugins:\n- {name: tls-handshake-modifier, tls_handshake_modifier: {}}\n",
              "unknown field 'ws'", "unknown field 'tls_handshake_modifier'");
}

static void types_are_strict(void **state)
{
    parse_bad(
        *state, 5, "services:\n- host: 80\n  port: \"80\"\n  retries: 1.5\n  enabled: yes\n  tags: a\n",
        "t.yaml:3:9: error: services[0].host: expected a string, found the number 80: put it in quotes",
        "t.yaml:4:9: error: services[0].port: expected an integer, found the string '80': remove the quotes",
        "t.yaml:5:12: error: services[0].retries: expected an integer, found the number 1.5",
        "t.yaml:6:12: error: services[0].enabled: expected a boolean, found the string 'yes': write true or false",
        "t.yaml:7:9: error: services[0].tags: expected a list, found the string 'a'");
    parse_bad(*state, 2, "services: {}\nroutes: [x]\n", "services: expected a list, found a map",
              "t.yaml:3:10: error: routes[0]: expected a map, found the string 'x'");
    parse_bad(*state, 1, "upstreams:\n- {name: u, slots: 99999999999}\n",
              "upstreams[0].slots: value should be between");
}

static void the_version_is_required(void **state)
{
    struct world *w = *state;
    assert_true(sp_failed(parse_str(w, SP_STR("services: []\n"))));
    assert_non_null(strstr(problems_text(w).p, "_format_version: required field missing"));
    assert_true(sp_failed(parse_str(w, SP_STR("_format_version: \"9\"\n"))));
    assert_non_null(strstr(problems_text(w).p, "expected one of: 1.1, 2.1, 3.0"));
    assert_true(sp_failed(parse_str(w, SP_STR(""))));
    assert_non_null(strstr(problems_text(w).p, "an empty file"));
    assert_true(sp_failed(parse_str(w, SP_STR("just words\n"))));
    assert_int_equal(w->problems.num_errors, 1);
}

static void duplicates_are_refused(void **state)
{
    parse_bad(*state, 1, "services:\n- host: a\n  host: b\n",
              "t.yaml:4:3: error: services[0].host: 'host' is there twice");
    parse_bad(*state, 1, "services:\n- {name: a, host: h}\n- {name: a, host: h}\n",
              "UNIQUE violation detected on '{name=\"a\"}'");
    parse_bad(*state, 1, "services:\n- {id: " CA_A ", name: a, host: h}\n- {id: " CA_A ", name: b, host: h}\n",
              "t.yaml:4:8: error: services[1].id: primary key violation on key '{id=\"" CA_A "\"}'");
    parse_bad(*state, 1, "consumers:\n- {username: a, custom_id: x}\n- {username: b, custom_id: x}\n",
              "consumers[1].custom_id: UNIQUE violation");
    parse_bad(*state, 1, "upstreams:\n- name: u\n  targets: [{target: \"h:1\"}, {target: \"h:1\", id: " CA_A "}]\n",
              "upstreams[0].targets[");
}

static void references_must_resolve(void **state)
{
    struct world *w = *state;
    parse_bad(w, 1, "routes:\n- {name: r, paths: [/], service: nope}\n",
              "t.yaml:3:34: error: routes[0].service: invalid reference 'service: nope' (no such entry in 'services')");
    parse_bad(w, 1,
              "plugins:\n- name: mtls-auth\n  config: {ca_certificates: [" CA_A "], revocation_check_mode: SKIP}\n",
              "plugins[0].config.ca_certificates[0]: CA Certificate '" CA_A "' does not exist");
    parse_bad(w, 1, "consumers:\n- {username: a, groups: [{name: g}]}\n",
              "consumers[0].groups[0]: invalid reference 'consumer_group: g'");
    parse_bad(w, 1, "services:\n- {name: s, host: h, routes: [{paths: [/], service: s}]}\n",
              "services[0].routes[0].service: must not be set here");
}

static void syntax_errors_have_a_place(void **state)
{
    struct world *w = *state;
    parse_bad(w, 1, "services: [\n", "error: ");
    assert_int_equal(w->problems.first->line, 3);
    parse_bad(w, 1, "services: *nope\n", "t.yaml:2:11: error: an alias of something that was not there before");
    parse_bad(w, 1, "services: &a [*a]\n", "an alias of what it stands in");
    assert_true(sp_failed(parse_str(w, SP_STR("_format_version: \"3.0\"\nservices:\n- name: \"a\\0b\"\n"))));
    assert_non_null(strstr(problems_text(w).p, "t.yaml:3:9: error: a NUL byte"));
    assert_true(sp_failed(parse_str(w, SP_STR("a: b\0c\n"))));
    assert_non_null(strstr(problems_text(w).p, "t.yaml:1:5: error: a NUL byte"));
    assert_true(sp_failed(parse_str(w, SP_STR("a: \xff\n"))));
    assert_non_null(strstr(problems_text(w).p, "t.yaml:1:4: error: not UTF-8"));
}

static void limits_hold_before_memory_is_taken(void **state)
{
    struct world *w = *state;
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    size_t before = sp_arena_used(w->a);
    char *huge = sp_alloc(100 << 20);
    memset(huge, ' ', 100 << 20);
    assert_true(sp_failed(parse_str(w, sp_str(huge, 100 << 20))));
    free(huge);
    assert_non_null(strstr(problems_text(w).p, "too large"));
    assert_true(sp_arena_used(w->a) < before + 65536);

    for (int i = 0; i < 100; i++)
        sp_buf_putc(&b, '[');
    assert_true(sp_failed(parse_str(w, sp_buf_str(&b))));
    assert_non_null(strstr(problems_text(w).p, "t.yaml:1:65: error: nested too deep"));

    sp_buf_clear(&b);
    sp_buf_printf(&b, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++)
        sp_buf_printf(&b, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1,
                      i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    assert_true(sp_failed(parse_str(w, sp_buf_str(&b))));
    assert_non_null(strstr(problems_text(w).p, "aliases multiply this file beyond all measure"));
}

static void problems_come_in_the_order_of_the_text(void **state)
{
    struct world *w = *state;
    parse_bad(w, 4, "routes:\n- {name: r, service: nope}\n- {paths: [x]}\nservices:\n- {host: h, x: 1}\n", "error");
    unsigned line = 0;
    for (const struct sp_problem *p = w->problems.first; p; p = p->next) {
        assert_true(p->line >= line);
        line = p->line;
    }
    assert_int_equal(line, 6);
}

static void many_errors_are_counted_not_kept(void **state)
{
    struct world *w = *state;
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    sp_buf_printf(&b, "_format_version: \"3.0\"\nservices:\n");
    for (int i = 0; i < 100000; i++)
        sp_buf_printf(&b, "- {x: 1}\n");
    assert_true(sp_failed(parse_str(w, sp_buf_str(&b))));
    assert_int_equal(w->problems.num_errors, 200000); /* unknown field; host is missing */
    size_t kept = 0;
    for (const struct sp_problem *p = w->problems.first; p; p = p->next)
        kept++;
    assert_int_equal(kept, SP_PROBLEMS_MAX);
    assert_non_null(strstr(problems_text(w).p, "... and 199000 more errors\n"));
}

static void values_are_checked_in_kongs_words(void **state)
{
    struct world *w = *state;
    parse_bad(w, 4, "services:\n- {name: a b, host: h, port: 70000, protocol: ftp, path: x}\n",
              "services[0].name: only letters", "services[0].port: value should be between 0 and 65535",
              "services[0].protocol: expected one of: http, https, tcp", "services[0].path: should start with: /");
    parse_bad(w, 1, "services:\n- {name: a}\n", "services[0].host: required field missing");
    parse_bad(w, 1, "services:\n- {host: h, protocol: grpc, path: /x}\n", "value must be null when protocol is grpc");
    parse_bad(w, 1, "services:\n- {host: h, tls_verify: true}\n", "services[0].tls_verify: value must be null");
    parse_bad(w, 1, "services:\n- {url: \"example.test/x\"}\n", "services[0].url: missing protocol");
    parse_bad(w, 1, "consumers:\n- {tags: [x]}\n",
              "at least one of these fields must be non-empty: 'custom_id', 'username'");
    parse_bad(w, 1, "consumers:\n- {username: u, tags: [\"a,b\"]}\n", "consumers[0].tags[0]: no ','");
    parse_bad(w, 1, "upstreams:\n- {name: 10.0.0.1}\n", "Invalid name; no ip addresses allowed");
    parse_bad(w, 1, "upstreams:\n- {name: u, targets: [{target: \"a b\"}]}\n",
              "upstreams[0].targets[0].target: Invalid target; not a valid hostname or ip address");
    parse_bad(w, 1, "snis:\n- {name: a.test, certificate: " CA_A "}\n", "invalid reference 'certificate: " CA_A "'");
}

static void routes_are_checked_in_kongs_words(void **state)
{
    struct world *w = *state;
    parse_bad(w, 1, "routes:\n- {name: r}\n",
              "routes[0]: must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'");
    parse_bad(
        w, 1, "routes:\n- {name: r, protocols: [http], paths: [/], snis: [a.test]}\n",
        "t.yaml:3:50: error: routes[0].snis: 'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or "
        "'tls_passthrough'");
    parse_bad(w, 1, "routes:\n- {protocols: [http, tcp], paths: [/]}\n", "these sets are mutually exclusive");
    parse_bad(w, 3, "routes:\n- {paths: [x, \"~(\", /a/../b]}\n", "routes[0].paths[0]: should start with: /",
              "routes[0].paths[1]: invalid regex: ", "routes[0].paths[2]: non-normalized path");
    parse_bad(w, 3, "routes:\n- {hosts: [\"a.*.test\", \"*\", \"b:99999\"]}\n", "routes[0].hosts[0]: invalid wildcard",
              "routes[0].hosts[1]: invalid wildcard", "routes[0].hosts[2]: invalid port");
    parse_bad(w, 3, "routes:\n- {snis: [10.0.0.1, \"a:1\", \"*x.test\"]}\n", "routes[0].snis[0]: must not be an IP",
              "routes[0].snis[1]: must not have a port", "routes[0].snis[2]: only one wildcard");
    parse_bad(w, 2, "routes:\n- {methods: [get], headers: {Host: [x]}}\n", "routes[0].methods[0]",
              "cannot contain 'host' header");
    parse_bad(w, 1, "routes:\n- {protocols: [grpc], strip_path: true, paths: [/]}\n", "cannot set 'strip_path'");
}

static void plugins_are_checked(void **state)
{
    struct world *w = *state;
    parse_bad(w, 1, "plugins:\n- {name: mtls-auht}\n",
              "t.yaml:3:10: error: plugins[0].name: plugin 'mtls-auht' is not known, did you mean 'mtls-auth'?");
    parse_bad(w, 1, "plugins:\n- {name: zipkin}\n",
              "plugin 'zipkin' is not known; known are mtls-auth, tls-handshake-modifier");
    parse_bad(w, 1, "plugins:\n- {config: {}}\n", "plugins[0].name: required field missing");
    parse_bad(w, 1, "plugins:\n- {name: mtls-auth}\n", "plugins[0].config.ca_certificates: required field missing");
    parse_bad(w, 1, "plugins:\n- {name: mtls-auth, config: {ca_certificates: []}}\n",
              "plugins[0].config.ca_certificates: required field missing");
    parse_bad(w, 1, "plugins:\n- {name: tls-handshake-modifier, config: {tls_client_certificate: REQUIRE}}\n",
              "plugins[0].config.tls_client_certificate: expected one of: REQUEST");
    parse_bad(w, 1, "plugins:\n- {name: tls-handshake-modifier, config: {tls_client_certifcate: REQUEST}}\n",
              "did you mean 'tls_client_certificate'?");
    parse_bad(w, 1, "plugins:\n- {name: tls-handshake-modifier, protocols: [http]}\n",
              "plugins[0].protocols[0]: expected one of: grpcs, https, tls");
    parse_bad(w, 1, "routes:\n- {protocols: [http], paths: [/], plugins: [{name: tls-handshake-modifier}]}\n",
              "routes[0].plugins[0].protocols: must match the associated route's protocols");
    parse_bad(w, 1,
              "services:\n- host: h\n  routes: [{protocols: [http], paths: [/]}]\n  plugins: [{name: "
              "tls-handshake-modifier}]\n",
              "must match the protocols of at least one route pointing to this Plugin's service");
    parse_bad(w, 1, "plugins:\n- {name: tls-handshake-modifier}\n- {name: tls-handshake-modifier, id: " CA_A "}\n",
              "UNIQUE violation detected on '{name=\"tls-handshake-modifier\"");
    parse_bad(w, 1, "consumers:\n- {username: a, plugins: [{name: tls-handshake-modifier}]}\n",
              "consumers[0].plugins[0].consumer: value must be null");
}

static void revocation_modes(void **state)
{
    struct world *w = *state;
    static const char *const modes[] = {"SKIP", "STRICT", "IGNORE_CA_ERROR", NULL};
    for (int i = 0; i < 4; i++) {
        struct sp_str text =
            sp_arena_printf(w->a, "plugins:\n- {name: mtls-auth, config: {ca_certificates: [" CA_A "]%s%s}}\n",
                            modes[i] ? ", revocation_check_mode: " : "", modes[i] ? modes[i] : "");
        parse_good(w, with_cas(w, text.p));
        assert_int_equal(w->problems.num_warnings, 0);
    }
    parse_bad(w, 1,
              with_cas(w, "plugins:\n- {name: mtls-auth, config: {ca_certificates: [" CA_A
                          "], revocation_check_mode: strict}}\n"),
              "config.revocation_check_mode: expected one of: SKIP, IGNORE_CA_ERROR, STRICT");
}

static void certificates_are_read(void **state)
{
    struct world *w = *state;
    int64_t now = time(NULL);
    struct sp_str key, other;
    struct sp_str cert = make_cert(w, "s.test", false, now + 86400, &key),
                  ca = make_cert(w, "CA", true, now + 86400, &other);
    parse_bad(w, 1,
              sp_arena_printf(w->a, "certificates:\n- {cert: %s, key: %s}\n", quoted(w, cert), quoted(w, other)).p,
              "t.yaml:3:", "certificates[0].key: certificate does not match key");
    parse_bad(w, 1, sp_arena_printf(w->a, "certificates:\n- {cert: %s, key: \"[redacted]\"}\n", quoted(w, cert)).p,
              "certificates[0].key: a redacted secret");
    parse_bad(w, 1,
              sp_arena_printf(w->a, "certificates:\n- {cert: %s, key: %s, cert_alt: %s, key_alt: %s}\n",
                              quoted(w, cert), quoted(w, key), quoted(w, cert), quoted(w, key))
                  .p,
              "need to have different type");
    parse_bad(w, 1, sp_arena_printf(w->a, "ca_certificates:\n- {cert: %s}\n", quoted(w, cert)).p,
              "missing the \"CA\" basic constraint");
    parse_bad(w, 1, sp_arena_printf(w->a, "ca_certificates:\n- {cert: \"%s%s\"}\n", "nonsense", "").p,
              "ca_certificates[0].cert: invalid certificate");
    parse_bad(w, 2, "certificates:\n- {cert: no, key: no}\n", "certificates[0].key: invalid key");
    parse_bad(w, 2, "certificates:\n- {cert: no}\n", "certificates[0].cert: invalid certificate");
    parse_bad(w, 2, "certificates:\n- {cert: \"file://a.pem\", key: \"file://a.key\"}\n",
              "certificates[0].key: file://a.key: sallyctl and a data plane's own file may refer to files");
    struct sp_str chain = sp_arena_printf(w->a, "%.*s%s", SP_FMT(cert), odd_nul);
    parse_bad(w, 1, sp_arena_printf(w->a, "certificates:\n- {cert: %s, key: %s}\n", quoted(w, chain), quoted(w, key)).p,
              "certificates[0].cert: invalid certificate: NUL byte in a");
    parse_bad(w, 1, sp_arena_printf(w->a, "ca_certificates:\n- {cert: %s}\n", quoted(w, sp_str_z(odd_nul))).p,
              "ca_certificates[0].cert: invalid certificate: NUL byte in a");
    struct sp_str two = sp_arena_printf(w->a, "%.*s%.*s", SP_FMT(ca), SP_FMT(ca));
    parse_bad(w, 1, sp_arena_printf(w->a, "ca_certificates:\n- {cert: %s}\n", quoted(w, two)).p,
              "please submit only one certificate at a time");
    parse_bad(w, 1,
              sp_arena_printf(w->a, "ca_certificates:\n- {cert: %s}\n- {cert: %s, id: " CA_A "}\n", quoted(w, ca),
                              quoted(w, ca))
                  .p,
              "UNIQUE violation detected on '{cert_digest=");
    /* an expired CA stays and is warned about */
    struct sp_str old = make_cert(w, "Old CA", true, now - 10, NULL);
    parse_good(w, sp_arena_printf(w->a, "ca_certificates:\n- {cert: %s}\n", quoted(w, old)).p);
    assert_int_equal(w->problems.num_warnings, 1);
    assert_string_equal(w->problems.first->code, "ca_expired");
    /* nor does one that anybody could have made the certificates of */
    parse_good(w, sp_arena_printf(w->a, "ca_certificates:\n- {cert: %s}\n", quoted(w, sp_str_z(odd_weak_ca))).p);
    assert_int_equal(w->problems.num_warnings, 1);
    assert_string_equal(w->problems.first->code, "ca_weak");
    /* the good ones, with names */
    parse_good(w,
               sp_arena_printf(w->a, "certificates:\n- cert: %s\n  key: %s\n  snis: [a.test, {name: \"*.b.test\"}]\n",
                               quoted(w, cert), quoted(w, key))
                   .p);
    assert_int_equal(w->model->num[SP_SNIS], 2);
}

static void names_of_servers_are_one_space(void **state)
{
    struct world *w = *state;
    struct sp_str key, cert = make_cert(w, "s.test", false, time(NULL) + 86400, &key);
    const char *text =
        sp_arena_printf(w->a, "certificates:\n- {cert: %s, key: %s, snis: [a.test]}\n", quoted(w, cert), quoted(w, key))
            .p;
    parse_bad(w, 1,
              sp_arena_printf(w->a, "%s---\n_format_version: \"3.0\"\n_workspace: other\n%s", text,
                              sp_arena_printf(w->a, "certificates:\n- {cert: %s, key: %s, snis: [A.test]}\n",
                                              quoted(w, cert), quoted(w, key))
                                  .p)
                  .p,
              "UNIQUE violation detected on '{name=\"a.test\"}'");
}

/* --- what is taken --- */

static const Sallyport__V1__Service *service(struct world *w, const char *name)
{
    const struct sp_entity *e = sp_model_find(w->model, SP_SERVICES, SP_STR(""), sp_str_z(name));
    assert_non_null(e);
    return (const Sallyport__V1__Service *)e->message;
}

static const Sallyport__V1__Route *route(struct world *w, const char *name)
{
    const struct sp_entity *e = sp_model_find(w->model, SP_ROUTES, SP_STR(""), sp_str_z(name));
    assert_non_null(e);
    return (const Sallyport__V1__Route *)e->message;
}

static void defaults_are_filled(void **state)
{
    struct world *w = *state;
    parse_good(w, "services:\n- {name: s, host: h.test}\nroutes:\n- {name: r, paths: [/]}\n- {name: g, protocols: "
                  "[grpc], paths: [/]}\n");
    const Sallyport__V1__Service *s = service(w, "s");
    assert_true(s->has_port && s->port == 80 && s->has_retries && s->retries == 5 && s->has_enabled && s->enabled);
    assert_string_equal(s->protocol, "http");
    assert_false(s->has_tls_verify);
    const Sallyport__V1__Route *r = route(w, "r");
    assert_int_equal(r->n_protocols, 2);
    assert_string_equal(r->protocols[0], "http");
    assert_string_equal(r->protocols[1], "https");
    assert_true(r->has_strip_path && r->strip_path && r->https_redirect_status_code == 426);
    assert_true(route(w, "g")->has_strip_path && !route(w, "g")->strip_path);
}

static void a_url_expands(void **state)
{
    struct world *w = *state;
    parse_good(w, "services:\n- {name: a, url: \"https://h.test/x\"}\n- {name: b, url: \"http://[::1]:81\"}\n");
    assert_string_equal(service(w, "a")->protocol, "https");
    assert_int_equal(service(w, "a")->port, 443);
    assert_string_equal(service(w, "a")->path, "/x");
    assert_null(service(w, "a")->url);
    assert_string_equal(service(w, "b")->host, "::1");
    assert_int_equal(service(w, "b")->port, 81);
    assert_null(service(w, "b")->path);
}

static const Sallyport__V1__MtlsAuthConfig *mtls(struct world *w)
{
    assert_int_equal(w->model->num[SP_PLUGINS], 1);
    return ((const Sallyport__V1__Plugin *)w->model->entities[SP_PLUGINS][0].message)->mtls_auth;
}

static void empty_and_null_are_not_unset(void **state)
{
    struct world *w = *state;
    parse_good(w, with_cas(w, "plugins:\n- {name: mtls-auth, config: {ca_certificates: [" CA_A "]}}\n"));
    assert_int_equal(mtls(w)->n_consumer_by, 2);
    assert_string_equal(mtls(w)->consumer_by[0], "username");
    assert_string_equal(mtls(w)->authenticated_group_by, "CN");
    parse_good(w, with_cas(w, "plugins:\n- {name: mtls-auth, config: {ca_certificates: [" CA_A
                              "], consumer_by: [], authenticated_group_by: null}}\n"));
    assert_int_equal(mtls(w)->n_consumer_by, 0);
    assert_true(mtls(w)->consumer_by_none);
    assert_null(mtls(w)->authenticated_group_by);
    assert_true(mtls(w)->authenticated_group_by_null);
}

static void cas_are_found_by_digest_tag_and_id(void **state)
{
    struct world *w = *state;
    const char *cas = with_cas(w, "");
    parse_good(w, cas);
    const struct sp_entity *a = sp_model_find(w->model, SP_CA_CERTIFICATES, SP_STR(""), SP_STR(CA_A));
    assert_non_null(a);
    struct sp_str digest = sp_str_z(((const Sallyport__V1__CaCertificate *)a->message)->cert_digest);
    assert_int_equal(digest.len, 64);
    const char *names[] = {CA_A, "partners", digest.p};
    for (int i = 0; i < 3; i++) {
        parse_good(w, sp_arena_printf(w->a, "%splugins:\n- {name: mtls-auth, config: {ca_certificates: [\"%s\"]}}\n",
                                      cas, names[i])
                          .p);
        assert_string_equal(mtls(w)->ca_certificates[0], CA_A);
    }
    parse_good(w, sp_arena_printf(w->a,
                                  "%sconsumers:\n- username: u\n  mtls_auth_credentials:\n  - {subject_name: x, "
                                  "ca_certificate: partners}\n",
                                  cas)
                      .p);
}

static void merges_and_aliases_work(void **state)
{
    struct world *w = *state;
    parse_good(w, "services:\n- &s {name: a, host: h.test, retries: 7}\n- {<<: *s, name: b}\n");
    assert_int_equal(service(w, "b")->retries, 7);
}

static void json_is_read_too(void **state)
{
    struct world *w = *state;
    parse_good(w, "---\n{\"_format_version\":\"3.0\",\"services\":[{\"name\":\"a\",\"host\":\"h\",\"port\":8080}]}\n");
    assert_int_equal(service(w, "a")->port, 8080);
    sp_problems_init(&w->problems, w->a);
    struct sp_str json =
        SP_STR("{\n\t\"_format_version\":\"3.0\",\n\t\"consumers\":[{\"username\":\"\\ud83d\\ude00\"}]}");
    assert_false(sp_failed(sp_model_parse(w->a, json, SP_STR("f.json"), 0, &w->model, &w->problems)));
    assert_int_equal(w->model->num[SP_CONSUMERS], 1);
    json = SP_STR("{\n \"_format_version\":\"3.0\",\n \"consumers\":[{\"usrname\":\"a\"}]}");
    sp_problems_init(&w->problems, w->a);
    assert_true(sp_failed(sp_model_parse(w->a, json, SP_STR("f.json"), 0, &w->model, &w->problems)));
    assert_non_null(strstr(problems_text(w).p, "f.json:3:16: error: consumers[0].usrname: unknown field"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        model_test(unknown_fields_have_a_place_and_a_suggestion),
        model_test(types_are_strict),
        model_test(the_version_is_required),
        model_test(duplicates_are_refused),
        model_test(references_must_resolve),
        model_test(syntax_errors_have_a_place),
        model_test(limits_hold_before_memory_is_taken),
        model_test(problems_come_in_the_order_of_the_text),
        model_test(many_errors_are_counted_not_kept),
        model_test(values_are_checked_in_kongs_words),
        model_test(routes_are_checked_in_kongs_words),
        model_test(plugins_are_checked),
        model_test(revocation_modes),
        model_test(certificates_are_read),
        model_test(names_of_servers_are_one_space),
        model_test(defaults_are_filled),
        model_test(a_url_expands),
        model_test(empty_and_null_are_not_unset),
        model_test(cas_are_found_by_digest_tag_and_id),
        model_test(merges_and_aliases_work),
        model_test(json_is_read_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
