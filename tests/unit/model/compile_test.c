#include "fixtures.h"

static struct sp_resources *compile(struct world *w, const char *text)
{
    struct sp_resources *r = NULL;
    parse_good(w, text);
    sp_problems_init(&w->problems, w->a);
    if (sp_failed(sp_compile(w->a, w->model, &r, &w->problems)))
        fail_msg("%s", problems_text(w).p);
    return r;
}

/* --- kong-behaviour 2.3, row by row --- */

#define MTLS(rest) "{name: mtls-auth, config: {revocation_check_mode: SKIP, ca_certificates: [" CA_A "]}" rest "}"
#define MTLS_DN(ca, rest)                                                                                              \
    "{name: mtls-auth, config: {revocation_check_mode: SKIP, send_ca_dn: true, ca_certificates: [" ca "]}" rest "}"
#define MODIFIER(rest) "{name: tls-handshake-modifier" rest "}"

struct expectation {
    const char *sni;   /* "" is none; NULL ends the list */
    const char *names; /* NULL: not asked; else the CA names, "" is an empty list */
};
static const struct row {
    const char *row, *text;
    struct expectation expect[4];
} rows[] = {
    {"1 nothing", "routes: [{name: r, snis: [a.test]}]\n", {{"a.test", NULL}, {"", NULL}}},
    {"1 disabled", "plugins: [" MTLS(", enabled: false") "]\n", {{"a.test", NULL}, {"", NULL}}},
    {"2 global", "plugins: [" MTLS_DN(CA_A, "") "]\n", {{"a.test", "CN=CA A"}, {"", "CN=CA A"}}},
    {"3 global in another workspace",
     "---\n_format_version: \"3.0\"\n_workspace: other\nplugins: [" MTLS_DN(CA_A, "") "]\n",
     {{"a.test", "CN=CA A"}, {"", "CN=CA A"}}},
    {"4, 5, 6 route with SNIs",
     "routes: [{name: r, snis: [A.test, b.test.], plugins: [" MTLS_DN(CA_A, "") "]}]\n",
     {{"a.test", "CN=CA A"}, {"B.TEST.", "CN=CA A"}, {"c.test", NULL}, {"", NULL}}},
    {"7 route without SNIs",
     "routes: [{name: r, hosts: [a.test], plugins: [" MTLS_DN(CA_A, "") "]}]\n",
     {{"a.test", "CN=CA A"}, {"c.test", "CN=CA A"}, {"", "CN=CA A"}}},
    {"8, 9 service, all routes with SNIs",
     "services: [{name: s, host: h, plugins: [" MTLS_DN(CA_A, "") "], routes: [{name: r1, snis: [a.test]}, {name: r2, "
                                                                  "snis: [b.test]}]}]\n",
     {{"a.test", "CN=CA A"}, {"b.test", "CN=CA A"}, {"c.test", NULL}, {"", NULL}}},
    {"10 service, one route without SNIs",
     "services: [{name: s, host: h, plugins: [" MTLS_DN(CA_A, "") "], routes: [{name: r1, snis: [a.test]}, {name: r2, "
                                                                  "hosts: [b.test]}]}]\n",
     {{"a.test", "CN=CA A"}, {"c.test", "CN=CA A"}, {"", "CN=CA A"}}},
    {"11 service without routes",
     "services: [{name: s, host: h, plugins: [" MTLS("") "]}]\n",
     {{"a.test", NULL}, {"", NULL}}},
    {"12 two on one SNI",
     "routes: [{name: r1, snis: [a.test], plugins: [" MTLS_DN(
         CA_B, "") "]}, {name: r2, snis: [a.test], plugins: [" MTLS_DN(CA_A, "") "]}]\n",
     {{"a.test", "CN=CA A;CN=CA B"}, {"", NULL}}},
    {"13 route and global, different CAs",
     "plugins: [" MTLS_DN(CA_B, "") "]\nroutes: [{name: r, snis: [a.test], plugins: [" MTLS_DN(CA_A, "") "]}]\n",
     {{"a.test", "CN=CA A"}, {"b.test", "CN=CA B"}, {"", "CN=CA B"}}},
    {"14 without send_ca_dn", "routes: [{name: r, snis: [a.test], plugins: [" MTLS("") "]}]\n", {{"a.test", ""}}},
    {"15 one sends, one does not",
     "routes: [{name: r1, snis: [a.test], plugins: [" MTLS("") "]}, {name: r2, snis: [a.test], plugins: [" MTLS_DN(
         CA_B, "") "]}]\n",
     {{"a.test", "CN=CA B"}}},
    {"16 route and service",
     "services: [{name: s, host: h, routes: [{name: r, snis: [a.test]}, {name: q, hosts: [q.test]}]}]\n"
     "plugins: [" MTLS_DN(CA_A, ", route: r, service: s") "]\n",
     {{"a.test", "CN=CA A"}, {"q.test", NULL}, {"", NULL}}},
    {"18 unrelated route without SNIs",
     "routes: [{name: r, snis: [a.test], plugins: [" MTLS("") "]}, {name: u, hosts: [c.test]}]\n",
     {{"a.test", ""}, {"c.test", NULL}, {"", NULL}}},
    {"18 all_routes instead",
     "_sallyport: {handshake: {request_scope: all_routes}}\nroutes: [{name: r, snis: [a.test], plugins: [" MTLS_DN(
         CA_A, "") "]}, {name: u, hosts: [c.test]}]\n",
     {{"a.test", "CN=CA A"}, {"c.test", "CN=CA A"}, {"", "CN=CA A"}}},
    {"18 all_routes, all with SNIs",
     "_sallyport: {handshake: {request_scope: all_routes}}\nroutes: [{name: r, snis: [a.test], plugins: [" MTLS(
         "") "]}, {name: u, protocols: [http], hosts: [c.test]}]\n",
     {{"a.test", ""}, {"c.test", NULL}, {"", NULL}}},
    {"19 route that TLS does not reach",
     "routes: [{name: r, protocols: [http], hosts: [a.test], plugins: [" MTLS("") "]}]\n",
     {{"a.test", NULL}, {"", NULL}}},
    {"20 plugin not for TLS",
     "routes: [{name: r, hosts: [a.test], plugins: [" MTLS(", protocols: [http, grpc]") "]}]\n",
     {{"a.test", NULL}, {"", NULL}}},
    {"20 global and not for TLS", "plugins: [" MTLS(", protocols: [http]") "]\n", {{"a.test", NULL}, {"", NULL}}},
    {"21 route without a service",
     "routes: [{name: r, snis: [a.test], plugins: [" MODIFIER("") "]}]\n",
     {{"a.test", ""}}},
    {"22 disabled service, service scope",
     "services: [{name: s, host: h, enabled: false, plugins: [" MTLS("") "], routes: [{name: r, snis: [a.test]}]}]\n",
     {{"a.test", NULL}, {"", NULL}}},
    {"22 disabled service, route scope",
     "services: [{name: s, host: h, enabled: false, routes: [{name: r, hosts: [a.test], plugins: [" MTLS("") "]}]}]\n",
     {{"a.test", NULL}, {"", NULL}}},
    {"23 stream listener",
     "routes: [{name: r, protocols: [tls], snis: [a.test], plugins: [" MODIFIER(", protocols: [tls]") "]}]\n",
     {{"a.test", ""}, {"b.test", NULL}}},
    {"24 passthrough",
     "services: [{name: s, host: h, plugins: [" MODIFIER(
         "") "], routes: [{name: p, protocols: [tls_passthrough], snis: "
             "[p.test]}, {name: r, protocols: [https], snis: [a.test]}]}]\n",
     {{"a.test", ""}, {"p.test", NULL}, {"", NULL}}},
    /* 2.4: wildcards stand for any number of labels; exact before longest; "*" is "*" */
    {"wildcards",
     "routes: [{name: r1, snis: [\"*.a.test\"], plugins: [" MTLS_DN(
         CA_A, "") "]}, {name: r2, snis: [\"*.b.a.test\"], plugins: "
                   "[" MTLS_DN(CA_B, "") "]}]\n",
     {{"x.y.a.test", "CN=CA A"}, {"x.y.b.a.test", "CN=CA B"}, {"a.test", NULL}, {"", NULL}}},
    {"wildcard at the end",
     "routes: [{name: r1, snis: [\"api.*\"], plugins: [" MTLS("") "]}]\n",
     {{"api.test", ""}, {"api.co.test", ""}, {"x.api.test", NULL}}},
    {"a bare wildcard", "routes: [{name: r1, snis: [\"*\"], plugins: [" MTLS("") "]}]\n", {{"x.test", ""}, {"", ""}}},
    {"default names merged",
     "_sallyport: {handshake: {merge_default_names: true}}\nplugins: [" MTLS_DN(
         CA_B, "") "]\nroutes: [{name: r, snis: "
                   "[a.test], plugins: [" MTLS_DN(CA_A, "") "]}]\n",
     {{"a.test", "CN=CA A;CN=CA B"}, {"", "CN=CA B"}}},
};

static void assert_answer(struct world *w, const struct row *row, const struct sp_resources *r,
                          const struct expectation *x)
{
    struct sp_handshake_answer h;
    sp_explain_handshake(w->a, r, sp_str_z(x->sni), &h);
    if (h.ask != (x->names != NULL))
        fail_msg("row %s: '%s' is %sasked", row->row, x->sni, h.ask ? "" : "not ");
    if (!h.ask)
        return;
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    for (size_t i = 0; i < h.num_ca_names; i++)
        sp_buf_printf(&b, "%s%.*s", i ? ";" : "", SP_FMT(h.ca_names[i]));
    if (!sp_str_eq(sp_buf_str(&b), sp_str_z(x->names)))
        fail_msg("row %s: '%s' gets the names '%.*s'", row->row, x->sni, SP_FMT(sp_buf_str(&b)));
    assert_true(h.entry->n_provenance > 0);
}

static void the_decision_table_holds(void **state)
{
    struct world *w = *state;
    const char *cas = with_cas(w, "");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_resources *r = compile(w, sp_arena_printf(w->a, "%s%s", cas, rows[i].text).p);
        for (const struct expectation *x = rows[i].expect; x < rows[i].expect + 4 && x->sni; x++)
            assert_answer(w, &rows[i], r, x);
    }
}

/* Row 17, routes of the expressions flavour, is not in our schema and must not slip in. */
static void expressions_are_refused(void **state)
{
    parse_bad(*state, 2, "routes: [{name: r, expression: \"http.path == x\"}]\n", "unknown field 'expression'");
}

/* --- what travels --- */

static size_t count(const struct sp_resources *r, Sallyport__V1__Kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < r->num; i++)
        n += r->v[i].kind == kind;
    return n;
}

static void what_is_disabled_stays_home(void **state)
{
    struct world *w = *state;
    struct sp_resources *r =
        compile(w, "services:\n- {name: on, host: h, routes: [{name: a, paths: [/a], plugins: [" MODIFIER(
                       ", enabled: false") "]}]}\n"
                                           "- {name: off, host: h, enabled: false, routes: [{name: b, paths: [/b], "
                                           "plugins: [" MODIFIER("") "]}], plugins: [" MODIFIER("") "]}\n");
    assert_int_equal(count(r, SALLYPORT__V1__KIND__SERVICE), 1);
    assert_int_equal(count(r, SALLYPORT__V1__KIND__ROUTE), 1);
    assert_int_equal(count(r, SALLYPORT__V1__KIND__PLUGIN), 0);
    assert_int_equal(count(r, SALLYPORT__V1__KIND__HANDSHAKE), 0);
}

static const char *everything(struct world *w)
{
    struct sp_str key, cert = make_cert(w, "s.test", false, time(NULL) + 86400, &key);
    return with_cas(
        w, sp_arena_printf(w->a,
                           "certificates: [{cert: %s, key: %s, snis: [B.test, \"*.a.test\"]}]\n"
                           "services: [{name: s, host: u, routes: [{name: r, snis: [a.test]}]}]\n"
                           "upstreams: [{name: u, targets: [{target: \"h:1\"}, {target: \"h:2\"}]}]\n"
                           "consumer_groups: [{name: z}, {name: g, consumers: [alice]}]\n"
                           "consumers: [{username: alice, groups: [z, g], mtls_auth_credentials: [{subject_name: x}], "
                           "acls: [{group: y}, {group: b}], keyauth_credentials: [{key: k}], "
                           "header_cert_auth_credentials: [{subject_name: h}]}]\n"
                           "plugins: [" MTLS_DN(CA_A, ", service: s") "]\n",
                           quoted(w, cert), quoted(w, key))
               .p);
}

static void resources_are_complete_sorted_and_stable(void **state)
{
    struct world *w = *state;
    const char *text = everything(w);
    struct sp_resources *r = compile(w, text), *again = compile(w, text);
    static const size_t counts[] = {0, 2, 1, 1, 1, 1, 1, 1, 1};
    for (size_t k = 1; k < 9; k++)
        assert_int_equal(count(r, (Sallyport__V1__Kind)k), counts[k]);
    assert_int_equal(r->num, again->num);
    for (size_t i = 0; i < r->num; i++) {
        assert_true(sp_str_eq(r->v[i].body, again->v[i].body));
        assert_memory_equal(r->v[i].hash, again->v[i].hash, 16);
        assert_ptr_equal(r->v[i].message->descriptor, sp_resource_descriptor(r->v[i].kind));
        if (i)
            assert_true(r->v[i - 1].kind < r->v[i].kind || sp_str_cmp(r->v[i - 1].name, r->v[i].name) < 0);
        if (r->v[i].kind == SALLYPORT__V1__KIND__CONSUMER) {
            const Sallyport__V1__ConsumerResource *c = (const Sallyport__V1__ConsumerResource *)r->v[i].message;
            assert_int_equal(c->n_groups, 2);
            assert_string_equal(c->groups[0], "g");
            assert_int_equal(c->n_mtls_auth_credentials, 1);
            assert_int_equal(c->n_header_cert_auth_credentials, 1);
            assert_string_equal(c->header_cert_auth_credentials[0]->subject_name, "h");
            assert_string_equal(c->keyauth_credentials[0]->key, "k");
            assert_int_equal(c->n_acl_groups, 2);
            assert_string_equal(c->acl_groups[0], "b");
        } else if (r->v[i].kind == SALLYPORT__V1__KIND__CERTIFICATE) {
            const Sallyport__V1__ServerCertificate *c = (const Sallyport__V1__ServerCertificate *)r->v[i].message;
            assert_int_equal(c->n_snis, 2);
        } else if (r->v[i].kind == SALLYPORT__V1__KIND__UPSTREAM) {
            assert_true(sp_str_eq(r->v[i].name, SP_STR("u")));
            assert_int_equal(((const Sallyport__V1__UpstreamResource *)r->v[i].message)->n_targets, 2);
        }
    }
}

static void explain_says_why(void **state)
{
    struct world *w = *state;
    struct sp_resources *r = compile(w, everything(w));
    struct sp_handshake_answer h;
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    sp_explain_handshake(w->a, r, SP_STR("A.test."), &h);
    assert_true(h.ask);
    assert_true(sp_str_eq(h.matched, SP_STR("a.test")));
    assert_int_equal(h.certificate_id.len, 0);
    sp_handshake_answer_json(&h, SP_STR("A.test."), &b);
    static const char *const parts[] = {
        "{\"sni\":\"A.test.\",\"asks\":true,\"matched\":\"a.test\",\"ca_names\":[\"CN=CA A\"],\"ca_names_bytes\":",
        "\"certificate\":null,\"because\":[{\"plugin\":\"mtls-auth\",\"plugin_id\":\"",
        ("\"scope\":\"service\",\"service\":\"s\",\"route\":\"r\",\"workspace\":\"default\",\"sends_names\":true,"
         "\"reason\":\"route r names this SNI\"}]}")};
    for (int i = 0; i < 3; i++)
        if (!memmem(b.p + b.off, b.len, parts[i], strlen(parts[i])))
            fail_msg("%s\nnot in\n%.*s", parts[i], SP_FMT(sp_buf_str(&b)));
    sp_explain_handshake(w->a, r, SP_STR("x.a.test"), &h);
    assert_false(h.ask);
    assert_true(sp_str_eq(h.certificate_pattern, SP_STR("*.a.test")));
    sp_explain_handshake(w->a, r, SP_STR("x.x.a.test"), &h); /* certificates: one label */
    assert_int_equal(h.certificate_id.len, 0);
}

/* --- lint --- */

static void everybody_is_asked_only_with_a_warning(void **state)
{
    struct world *w = *state;
    compile(w, "routes: [{name: r, hosts: [a.test, \"b.test:8443\", 10.0.0.1], plugins: [" MODIFIER("") "]}]\n");
    assert_non_null(strstr(problems_text(w).p,
                           "warning: every handshake will ask for a certificate because route r, under plugin "
                           "tls-handshake-modifier (route scope), has no SNIs; give it SNIs a.test, b.test"));
    assert_non_null(strstr(problems_text(w).p, "t.yaml:2:"));
    compile(w, "plugins: [" MODIFIER("") "]\n");
    assert_non_null(strstr(problems_text(w).p, "because plugin tls-handshake-modifier is global"));
    compile(w, "routes: [{name: r, snis: [a.test], plugins: [" MODIFIER("") "]}]\n");
    assert_int_equal(w->problems.num_warnings, 0);
}

static void mixed_policies_are_noticed(void **state)
{
    struct world *w = *state;
    struct sp_str key, cert = make_cert(w, "s.test", false, time(NULL) + 86400, &key);
    const char *certificate =
        sp_arena_printf(w->a, "certificates: [{id: " CA_A ", cert: %s, key: %s, snis: [\"*.test\"]}]\n",
                        quoted(w, cert), quoted(w, key))
            .p;
    compile(
        w,
        sp_arena_printf(w->a, "%sroutes: [{name: r, snis: [a.test], plugins: [" MODIFIER("") "]}]\n", certificate).p);
    assert_int_equal(w->problems.num_warnings, 1);
    assert_string_equal(w->problems.first->code, "mixed_policies");
    assert_non_null(strstr(problems_text(w).p, "'a.test' is asked for a client certificate, '*.test' is not"));
    compile(w, sp_arena_printf(w->a, "%sroutes: [{name: r, snis: [\"*.test\"], plugins: [" MODIFIER("") "]}]\n",
                               certificate)
                   .p);
    assert_int_equal(w->problems.num_warnings, 0);
}

static void what_is_not_done_is_said(void **state)
{
    struct world *w = *state;
    compile(w, "services: [{name: s, host: h, protocol: tcp}]\n"
               "routes: [{name: r, protocols: [tls], snis: [a.test]}, {name: q, paths: [/], path_handling: v1}]\n"
               "upstreams: [{name: u, algorithm: latency}]\nconsumers: [{username: guest}]\n"
               "plugins: [{name: key-auth, config: {anonymous: guest}}, {name: key-auth, route: q, config: {anonymous: "
               "gest}}]\n");
    assert_int_equal(w->problems.num_warnings, 5);
    static const char *const parts[] = {
        "protocol tcp is not served", "protocol tls is not served", "path_handling v1",
        "algorithm latency is not there yet",
        "anonymous 'gest' is no consumer: requests that would be its own are answered 500"};
    for (int i = 0; i < 5; i++)
        assert_non_null(strstr(problems_text(w).p, parts[i]));
}

static void ca_names_have_a_limit(void **state)
{
    struct world *w = *state;
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0}, ids = {0};
    char name[65];
    memset(name, 'x', 64);
    name[64] = '\0';
    sp_buf_printf(&b, "ca_certificates:\n");
    for (unsigned i = 0; i < 900; i++) { /* a common name has 64 bytes: about 80 with what is around it */
        char number[8];
        snprintf(number, sizeof number, "%06u", i);
        memcpy(name, number, 6);
        sp_buf_printf(&b, "- {id: 00000000-0000-4000-8000-000000%s, cert: %s}\n", number, ca_pem(w, name));
        sp_buf_printf(&ids, "%s00000000-0000-4000-8000-000000%s", i ? ", " : "", number);
    }
    struct sp_str all = sp_arena_dup(w->a, sp_buf_str(&b));
    struct sp_resources *r;
    compile(
        w,
        sp_arena_printf(
            w->a,
            "%.*sroutes: [{name: r, snis: [a.test], plugins: [{name: mtls-auth, config: {revocation_check_mode: SKIP, "
            "send_ca_dn: true, ca_certificates: [%.*s]}}]}]\n",
            SP_FMT(all), 38 * 200 - 2, ids.p)
            .p);
    assert_int_equal(w->problems.num_warnings, 1);
    assert_string_equal(w->problems.first->code, "ca_names_too_large");
    parse_good(w,
               sp_arena_printf(
                   w->a,
                   "%.*sroutes: [{name: r, snis: [a.test], plugins: [{name: mtls-auth, config: {revocation_check_mode: "
                   "SKIP, send_ca_dn: true, ca_certificates: [%.*s]}}]}]\n",
                   SP_FMT(all), SP_FMT(sp_buf_str(&ids)))
                   .p);
    sp_problems_init(&w->problems, w->a);
    sp_result result = sp_compile(w->a, w->model, &r, &w->problems);
    assert_true(sp_failed(result));
    assert_null(r);
    assert_string_equal(w->problems.first->code, "ca_names_too_large");
}

static void one_name_is_sent_once(void **state)
{
    struct world *w = *state;
    const char *text =
        sp_arena_printf(w->a,
                        "ca_certificates: [{id: " CA_A ", cert: %s}, {id: " CA_B ", cert: %s}]\n"
                        "routes: [{name: r, snis: [a.test], plugins: [" MTLS_DN(CA_A ", " CA_B, "") "]}]\n",
                        ca_pem(w, "Same"), ca_pem(w, "Same"))
            .p;
    struct sp_handshake_answer h;
    sp_explain_handshake(w->a, compile(w, text), SP_STR("a.test"), &h);
    assert_int_equal(h.num_ca_names, 1);
}

/* --- effects --- */

static void effects_are_told(void **state)
{
    struct world *w = *state;
    const char *cas = with_cas(w, "");
    struct sp_effect *v;
    size_t num;
    struct sp_resources *before = compile(
        w,
        sp_arena_printf(w->a, "%sroutes: [{name: r, snis: [a.test, b.test], plugins: [" MTLS_DN(CA_A, "") "]}]\n", cas)
            .p);
    struct sp_resources *after = compile(
        w,
        sp_arena_printf(w->a, "%sroutes: [{name: r, snis: [b.test, c.test], plugins: [" MTLS_DN(CA_B, "") "]}]\n", cas)
            .p);
    sp_handshake_effects(w->a, before, after, &v, &num);
    assert_int_equal(num, 3);
    assert_true(v[0].effect == SP_EFFECT_CA_NAMES && sp_str_eq(v[0].sni, SP_STR("b.test")));
    assert_true(v[1].effect == SP_EFFECT_STARTS && sp_str_eq(v[1].sni, SP_STR("c.test")));
    assert_true(v[2].effect == SP_EFFECT_STOPS && sp_str_eq(v[2].sni, SP_STR("a.test")));
    assert_true(sp_str_eq(v[1].why, SP_STR("mtls-auth (route): route r names this SNI")));
    sp_handshake_effects(w->a, NULL, before, &v, &num);
    assert_int_equal(num, 2);
    sp_handshake_effects(w->a, after, after, &v, &num);
    assert_int_equal(num, 0);
    /* an entry of its own under a "*" that asked already is no change of policy */
    struct sp_resources *all = compile(w, "plugins: [" MODIFIER("") "]\n");
    struct sp_resources *more =
        compile(w, "plugins: [" MODIFIER("") "]\nroutes: [{name: r, snis: [a.test], plugins: [" MODIFIER("") "]}]\n");
    sp_handshake_effects(w->a, all, more, &v, &num);
    assert_int_equal(num, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        model_test(the_decision_table_holds),
        model_test(expressions_are_refused),
        model_test(what_is_disabled_stays_home),
        model_test(resources_are_complete_sorted_and_stable),
        model_test(explain_says_why),
        model_test(everybody_is_asked_only_with_a_warning),
        model_test(mixed_policies_are_noticed),
        model_test(what_is_not_done_is_said),
        model_test(ca_names_have_a_limit),
        model_test(one_name_is_sent_once),
        model_test(effects_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
