/* CRLs of CA certificates in a configuration: what is taken, what is refused and where, and how it is written. */
#include "../tls/revocation_fixtures.h"
#include "base/encoding.h"
#include "fixtures.h"
#include "tls/certificate.h"

#define DAY INT64_C(86400)

static const char *ca(struct world *w, const char *text)
{
    struct sp_buf SP_AUTO(sp_buf_fini) pem = {0};
    struct sp_str der;
    assert_true(sp_base64_decode(w->a, sp_str_z(text), &der));
    sp_pem_write_certificate(&pem, der);
    return quoted(w, sp_arena_dup(w->a, sp_buf_str(&pem)));
}

static struct sp_str crl(struct world *w, const char *text)
{
    return sp_arena_printf(w->a, "-----BEGIN X509 CRL-----\n%s\n-----END X509 CRL-----\n", text);
}

static void parse_at(struct world *w, const char *cert, const char *crls, int64_t now)
{
    struct sp_str text = sp_arena_printf(
        w->a, "_format_version: \"3.0\"\nca_certificates:\n- id: " CA_A "\n  cert: %s\n  crls: %s\n", cert, crls);
    sp_problems_init(&w->problems, w->a);
    sp_result r = sp_model_parse(w->a, text, SP_STR("t.yaml"), now, &w->model, &w->problems);
    assert_int_equal(sp_failed(r), w->problems.num_errors > 0);
}

static const char *list(struct world *w, struct sp_str first, struct sp_str second)
{
    return sp_arena_printf(w->a, "[%s, %s]", quoted(w, first), quoted(w, second)).p;
}

static void taken(void **state)
{
    struct world *w = *state;
    struct sp_str both = sp_arena_printf(w->a, "old: %s%s", crl(w, CRL_EMPTY).p, crl(w, CRL).p);
    parse_at(w, ca(w, CA), list(w, both, crl(w, CRL_USERS)), REVOCATION_NOW);
    assert_problems(w, 0, NULL, 0);
    assert_int_equal(w->problems.num_warnings, 0);
    parse_at(w, ca(w, RSA), list(w, crl(w, CRL_PSS), crl(w, CRL_RSA)), REVOCATION_NOW);
    assert_problems(w, 0, NULL, 0);
    parse_at(w, ca(w, CA), "[]", REVOCATION_NOW);
    assert_problems(w, 0, NULL, 0);
}

static void stale(void **state)
{
    struct world *w = *state;
    parse_at(w, ca(w, CA), list(w, crl(w, CRL_EMPTY), crl(w, CRL)), REVOCATION_NOW + 8 * DAY);
    static const char *const said[] = {"warning: ca_certificates[0].crls[0]: the CRL is out of date",
                                       "warning: ca_certificates[0].crls[1]: the CRL is out of date"};
    assert_problems(w, 0, said, 2);
    assert_int_equal(w->problems.num_warnings, 2);
}

static void refused(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *crl, *why;
    } bad[] = {{CRL_OTHER, "invalid CRL: the CRL is of another issuer"},
               {CRL_SHA1, "invalid CRL: the CRL is not signed by the certificate's issuer"},
               {CRL_DELTA, "invalid CRL: the CRL is a delta, indirect"},
               {OCSP_GOOD, "invalid CRL: the CRL is malformed"},
               {"A*A", "invalid CRL: broken PEM"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        parse_at(w, ca(w, CA), list(w, crl(w, CRL), crl(w, bad[i].crl)), REVOCATION_NOW);
        const char *const said[] = {sp_arena_printf(w->a, "error: ca_certificates[0].crls[1]: %s", bad[i].why).p};
        assert_problems(w, 1, said, 1);
    }
    parse_at(w, ca(w, CA), list(w, SP_STR("nonsense"), SP_STR("file://x.crl")), REVOCATION_NOW);
    static const char *const said[] = {"ca_certificates[0].crls[0]: invalid CRL: no CRL in PEM form",
                                       "ca_certificates[0].crls[1]: file://x.crl: sallyctl and a data plane's own"};
    assert_problems(w, 2, said, 2);
}

static struct sp_str written(struct world *w, bool yaml)
{
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    if (yaml)
        sp_model_write_yaml(w->model, false, &b);
    else
        sp_entity_write_json(&w->model->entities[SP_CA_CERTIFICATES][0], false, 0, &b);
    return sp_arena_dup(w->a, sp_buf_str(&b));
}

/* Tools made for Kong see the field only where it is used. */
static void writing(void **state)
{
    struct world *w = *state;
    parse_at(w, ca(w, CA), "[]", REVOCATION_NOW);
    assert_null(strstr(written(w, false).p, "crls"));
    parse_at(w, ca(w, CA), list(w, crl(w, CRL), crl(w, CRL_EMPTY)), REVOCATION_NOW);
    assert_non_null(strstr(written(w, false).p, "\"crls\":[\"-----BEGIN X509 CRL-----\\n"));
    struct sp_str once = written(w, false);
    struct sp_str yaml = written(w, true);
    sp_problems_init(&w->problems, w->a);
    assert_false(sp_failed(sp_model_parse(w->a, yaml, SP_STR("t.yaml"), REVOCATION_NOW, &w->model, &w->problems)));
    assert_string_equal(written(w, false).p, once.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {model_test(taken), model_test(stale), model_test(refused), model_test(writing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
