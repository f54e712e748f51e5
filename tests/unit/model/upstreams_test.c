/* Upstreams as dumps of Kong have them: what this release does not do yet is read, checked, shown, and said. */
#include "fixtures.h"

/* All of Kong's defaults, as decK writes them. */
#define DUMPED                                                                                                         \
    "upstreams:\n"                                                                                                     \
    "- name: u\n"                                                                                                      \
    "  algorithm: round-robin\n"                                                                                       \
    "  hash_fallback: none\n"                                                                                          \
    "  hash_fallback_header: null\n"                                                                                   \
    "  hash_on: none\n"                                                                                                \
    "  hash_on_cookie: null\n"                                                                                         \
    "  hash_on_cookie_path: /\n"                                                                                       \
    "  slots: 10000\n"                                                                                                 \
    "  use_srv_name: false\n"                                                                                          \
    "  healthchecks:\n"                                                                                                \
    "    active:\n"                                                                                                    \
    "      concurrency: 10\n"                                                                                          \
    "      headers: null\n"                                                                                            \
    "      healthy: {http_statuses: [200, 302], interval: 0, successes: 0}\n"                                          \
    "      http_path: /\n"                                                                                             \
    "      https_sni: null\n"                                                                                          \
    "      https_verify_certificate: true\n"                                                                           \
    "      timeout: 1\n"                                                                                               \
    "      type: http\n"                                                                                               \
    "      unhealthy: {http_failures: 0, http_statuses: [429, 404, 500, 501, 502, 503, 504, 505], interval: 0,\n"      \
    "        tcp_failures: 0, timeouts: 0}\n"                                                                          \
    "    passive:\n"                                                                                                   \
    "      healthy: {http_statuses: [200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304,\n"     \
    "        305, 306, 307, 308], successes: 0}\n"                                                                     \
    "      type: http\n"                                                                                               \
    "      unhealthy: {http_failures: 0, http_statuses: [429, 500, 503], tcp_failures: 0, timeouts: 0}\n"              \
    "    threshold: 0\n"

#define ACTIVE_HEALTHY "{name: u, healthchecks: {active: {healthy: "
#define PASSIVE_UNHEALTHY "{name: u, healthchecks: {passive: {unhealthy: "

static const Sallyport__V1__Upstream *parsed(struct world *w, const char *text)
{
    parse_good(w, text);
    assert_int_equal(w->model->num[SP_UPSTREAMS], 1);
    return (const Sallyport__V1__Upstream *)w->model->entities[SP_UPSTREAMS][0].message;
}

static const char *yaml(struct world *w)
{
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    sp_model_write_yaml(w->model, false, &b);
    return sp_arena_dup(w->a, sp_buf_str(&b)).p;
}

static struct sp_resources *compiled(struct world *w, const char *text)
{
    struct sp_resources *r;
    parse_good(w, text);
    if (sp_failed(sp_compile(w->a, w->model, &r, &w->problems)))
        fail_msg("%s", problems_text(w).p);
    return r;
}

static void a_dump_is_what_is_there_anyway(void **state)
{
    struct world *w = *state;
    parsed(w, DUMPED);
    const struct sp_model *dumped = w->model;
    const char *text = yaml(w);
    assert_null(strstr(text, "healthchecks"));
    assert_null(strstr(text, "hash_on"));
    const Sallyport__V1__Healthchecks *h = parsed(w, "upstreams: [{name: u}]\n")->healthchecks;
    struct sp_change *v;
    size_t num;
    sp_model_diff(w->a, dumped, w->model, &v, &num);
    assert_int_equal(num, 0);
    assert_int_equal(h->passive->healthy->n_http_statuses, 19);
    assert_int_equal(h->active->unhealthy->http_statuses[1], 404);
    struct sp_buf SP_AUTO(sp_buf_fini) json = {0};
    sp_entity_write_json(&w->model->entities[SP_UPSTREAMS][0], false, 0, &json);
    sp_buf_putc(&json, '\0');
    assert_non_null(strstr(json.p, "\"healthy\":{\"interval\":0,\"http_statuses\":[200,302],\"successes\":0}"));
    assert_non_null(strstr(json.p, "\"timeout\":1,"));
    assert_non_null(strstr(json.p, "\"headers\":null"));
    assert_non_null(strstr(json.p, "\"threshold\":0}"));
}

static void what_differs_is_kept(void **state)
{
    struct world *w = *state;
    const char *text =
        "upstreams:\n- name: u\n  healthchecks: {threshold: 12.5, active: {type: grpcs, https_sni: a.test, headers: "
        "{X-Probe: [\"1\", b]}, healthy: {http_statuses: [], interval: 0.5}}, passive: {unhealthy: {http_statuses: "
        "[500], timeouts: 3}}}\n  hash_on: cookie\n  hash_on_cookie: c\n  algorithm: consistent-hashing\n";
    const Sallyport__V1__Healthchecks *h = parsed(w, text)->healthchecks;
    const struct sp_model *first = w->model;
    assert_int_equal(h->active->healthy->n_http_statuses, 0);
    assert_string_equal(h->active->headers[0]->key, "X-Probe"); /* as Kong shows it */
    assert_int_equal(h->active->unhealthy->n_http_statuses, 8);
    const char *dump = yaml(w);
    assert_non_null(strstr(dump, "http_statuses: []"));
    assert_null(strstr(dump, "concurrency"));
    if (sp_failed(parse_str(w, sp_str_z(dump))))
        fail_msg("%s\n%s", problems_text(w).p, dump);
    struct sp_change *v;
    size_t num;
    sp_model_diff(w->a, first, w->model, &v, &num);
    assert_int_equal(num, 0);
}

static void values_are_checked(void **state)
{
    struct world *w = *state;
    const struct {
        const char *upstream, *problem;
    } rows[] = {
        {"{name: u, healthchecks: {threshold: 101}}", "healthchecks.threshold: value should be between 0 and 100"},
        {"{name: u, healthchecks: {active: {type: udp}}}",
         "healthchecks.active.type: expected one of: tcp, http, https, grpc, grpcs"},
        {"{name: u, healthchecks: {passive: {type: x}}}", "healthchecks.passive.type: expected one of: tcp, http"},
        {"{name: u, healthchecks: {active: {timeout: 65536}}}", "healthchecks.active.timeout: value should be between"},
        {"{name: u, healthchecks: {active: {concurrency: 0}}}", "healthchecks.active.concurrency: value should be"},
        {"{name: u, healthchecks: {active: {http_path: x}}}", "healthchecks.active.http_path: should start with: /"},
        {"{name: u, healthchecks: {active: {https_sni: \"*.test\"}}}", "https_sni: must not have a wildcard"},
        {"{name: u, healthchecks: {active: {headers: {\"a b\": [x]}}}}",
         "healthchecks.active.headers.a b.key: not a header name"},
        {"{name: u, healthchecks: {active: {headers: {a: [\"x\\n\"]}}}}",
         "healthchecks.active.headers.a.values[0]: must be printable"},
        {ACTIVE_HEALTHY "{interval: -1}}}}", "active.healthy.interval: value should be between 0 and 65535"},
        {ACTIVE_HEALTHY "{http_statuses: [200, 99]}}}}",
         "healthchecks.active.healthy.http_statuses[1]: value should be between 100 and 999"},
        {ACTIVE_HEALTHY "{http_statuses: [x]}}}}", "http_statuses[0]: expected an integer"},
        {ACTIVE_HEALTHY "3}}}", "healthchecks.active.healthy: expected a map"},
        {PASSIVE_UNHEALTHY "{tcp_failures: 256}}}}", "unhealthy.tcp_failures: value should be between 0 and 255"},
        {PASSIVE_UNHEALTHY "{http_failure: 1}}}}", "did you mean 'http_failures'?"},
        {"{name: u, hash_on: moon}", "hash_on: expected one of: none, consumer, ip"},
        {"{name: u, hash_on: header}", "hash_on_header: required field missing"},
        {"{name: u, hash_on: ip, hash_fallback: cookie}", "hash_on_cookie: required field missing"},
        {"{name: u, hash_on: ip, hash_fallback: query_arg}", "hash_fallback_query_arg: required field missing"},
        {"{name: u, hash_fallback: ip}", "hash_fallback: cannot be 'ip' when 'hash_on' is 'none'"},
        {"{name: u, hash_on: ip, hash_fallback: ip}", "hash_fallback: cannot be 'ip' when 'hash_on' is 'ip'"},
        {"{name: u, hash_on: cookie, hash_on_cookie: c, hash_fallback: ip}", "cannot be 'ip' when 'hash_on' is"},
        {"{name: u, hash_on: header, hash_on_header: x, hash_fallback: header, hash_fallback_header: x}",
         "values of these fields must be distinct: 'hash_on_header', 'hash_fallback_header'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        parse_bad(w, 1, sp_arena_printf(w->a, "upstreams:\n- %s\n", rows[i].upstream).p, rows[i].problem);
    parsed(w, "upstreams:\n- {name: u, hash_on: header, hash_on_header: x, hash_fallback: header, "
              "hash_fallback_header: y}\n");
}

static void what_would_have_an_effect_is_said(void **state)
{
    struct world *w = *state;
    static const char *const checks[] = {
        "{threshold: 1}",
        "{active: {healthy: {interval: 0.5}}}",
        "{active: {unhealthy: {interval: 5}}}",
        "{passive: {healthy: {successes: 1}}}",
        "{passive: {unhealthy: {tcp_failures: 1}}}",
        "{passive: {unhealthy: {timeouts: 1}}}",
        "{passive: {unhealthy: {http_failures: 1}}}",
    };
    compiled(w, DUMPED);
    assert_int_equal(w->problems.num_warnings, 0);
    compiled(w, "upstreams: [{name: u, healthchecks: {active: {unhealthy: {timeouts: 9}}}}]\n"); /* no probes */
    assert_int_equal(w->problems.num_warnings, 0);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        compiled(w, sp_arena_printf(w->a, "upstreams: [{name: u, healthchecks: %s}]\n", checks[i]).p);
        assert_int_equal(w->problems.num_warnings, 1);
        assert_string_equal(w->problems.first->code, "not_served");
        assert_non_null(strstr(problems_text(w).p, "health checks are not there yet"));
    }
    compiled(w, "upstreams: [{name: u, hash_on: ip, use_srv_name: true}]\n");
    assert_int_equal(w->problems.num_warnings, 2);
    assert_non_null(strstr(problems_text(w).p, "hash_on ip is not there yet"));
    assert_non_null(strstr(problems_text(w).p, "use_srv_name is not there yet"));
}

/* No data plane looks at these fields: a change of them changes nothing that is sent. */
static void data_planes_are_sent_nothing_of_it(void **state)
{
    struct world *w = *state;
    const struct sp_resources *plain = compiled(w, "upstreams: [{name: u}]\n");
    const struct sp_resources *checked =
        compiled(w, "upstreams: [{name: u, hash_on: header, hash_on_header: x, hash_fallback: uri_capture, "
                    "hash_fallback_uri_capture: y, hash_on_cookie_path: /a, use_srv_name: true, healthchecks: "
                    "{threshold: 5}}]\n");
    assert_int_equal(plain->num, 1);
    assert_int_equal(checked->num, 1);
    assert_true(sp_str_eq(plain->v[0].body, checked->v[0].body));
    const Sallyport__V1__UpstreamResource *u = (const Sallyport__V1__UpstreamResource *)plain->v[0].message;
    assert_string_equal(u->upstream->name, "u");
    assert_null(u->upstream->healthchecks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        model_test(a_dump_is_what_is_there_anyway),
        model_test(what_differs_is_kept),
        model_test(values_are_checked),
        model_test(what_would_have_an_effect_is_said),
        model_test(data_planes_are_sent_nothing_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
