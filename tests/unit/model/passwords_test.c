/* Passwords on their way from a file to what is kept. */
#include "fixtures.h"

#include "base/digests.h"
#include "tls/password.h"

#define CHEAP "$scrypt$ln=10,r=8,p=1$MTIzNDU2Nzg$8dnX/yuxrxutNDx0smRETeFQ6FQvY4DdpvWf/OFkhDA" /* "pw" */
#define CONSUMER "c0ffee00-0000-4000-8000-000000000001"
#define KONGS "e2fce1600375ebee2ee55cde3330edb9c8fbbc70" /* "pw" of CONSUMER */

static const char *people(struct world *w, const char *head, const char *password)
{
    return sp_arena_printf(w->a,
                           "%sconsumers:\n- id: " CONSUMER "\n  username: a\n"
                           "  basicauth_credentials: [{username: al, password: '%s'}]\n",
                           head, password)
        .p;
}

static const char *password_of(const struct sp_model *m, size_t i)
{
    return ((const Sallyport__V1__BasicauthCredential *)m->entities[SP_BASICAUTH_CREDENTIALS][i].message)->password;
}

/* Parses and hashes; the model of a control plane that has `current`. */
static struct sp_model *kept(struct world *w, const char *text, const struct sp_model *current,
                             struct sp_digests *known)
{
    parse_good(w, text);
    sp_model_hash_passwords(w->model, current, known);
    return w->model;
}

static bool belongs(const char *hash, const char *secret)
{
    struct sp_password p;
    return sp_password_read(sp_str_z(hash), &p) && sp_password_matches(&p, sp_str_z(secret));
}

static void fields_are_checked(void **state)
{
    struct world *w = *state;
    const struct {
        const char *credential, *problem;
    } rows[] = {
        {"{}", "basicauth_credentials[0].username: required field missing"},
        {"{username: a}", "basicauth_credentials[0].password: required field missing"},
        {"{username: a, password: ''}", "password: length must be at least 1"},
        {"{username: 'a:b', password: x}", "username: no ':' or control character"},
        {"{username: a, password: '$scrypt$ln=14'}", "password: begins like a hash"},
        {"{username: a, password: '$sha1$123'}", "password: begins like a hash"},
        {"{username: a, password: '[redacted]'}", "password: a redacted secret"},
        {"{username: a, password: topsecret, x: 1}", "unknown field 'x'"},
        {"{username: a, password: '{vault://env/x}'}", "password: a vault reference is not resolved in this field"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        parse_bad(
            w, i == 0 ? 2 : 1,
            sp_arena_printf(w->a, "consumers:\n- {username: c, basicauth_credentials: [%s]}\n", rows[i].credential).p,
            rows[i].problem);
        assert_null(strstr(problems_text(w).p, "topsecret"));
    }
    char *word = sp_arena_alloc(w->a, SP_PASSWORD_MAX + 2);
    memset(word, 'x', SP_PASSWORD_MAX + 1);
    parse_bad(w, 1, people(w, "", word), "password: longer than 1024 bytes");
    word[SP_PASSWORD_MAX] = '\0';
    parse_good(w, people(w, "", word));
    parse_bad(w, 1,
              "consumers:\n- {username: c, basicauth_credentials: [{username: a, password: x}]}\n"
              "- {username: d, basicauth_credentials: [{username: a, password: y}]}\n",
              "UNIQUE violation detected on '{username=\"a\"}'");
    parse_bad(w, 1, "plugins:\n- {name: basic-auth, config: {realm: 'a\"b'}}\n", "config.realm: must be printable");
}

static void plain_passwords_go_nowhere(void **state)
{
    struct world *w = *state;
    struct sp_resources *r;
    struct sp_digests *known = sp_digests_new(16);
    parse_good(w, people(w, "", "topsecret"));
    assert_true(sp_failed(sp_compile(w->a, w->model, &r, &w->problems)));
    assert_non_null(strstr(problems_text(w).p, "password: not hashed"));
    const struct sp_model *m = kept(w, people(w, "", "topsecret"), NULL, known);
    assert_true(belongs(password_of(m, 0), "topsecret"));
    assert_false(sp_failed(sp_compile(w->a, m, &r, &w->problems)));
    for (size_t i = 0; i < r->num; i++)
        assert_null(memmem(r->v[i].body.p, r->v[i].body.len, "topsecret", 9));
    struct sp_buf text = {0};
    sp_model_write_yaml(m, true, &text);
    assert_null(memmem(text.p, text.len, "scrypt", 6)); /* a hash is a secret too */
    sp_buf_fini(&text);
    sp_digests_free(known);
}

static void applying_twice_changes_nothing(void **state)
{
    struct world *w = *state;
    struct sp_digests *known = sp_digests_new(16), *forgetful = sp_digests_new(16);
    const struct sp_model *first = kept(w, people(w, "", "topsecret"), NULL, known);
    const struct sp_model *second = kept(w, people(w, "", "topsecret"), first, known);
    assert_string_equal(password_of(first, 0), password_of(second, 0));
    const struct sp_model *third = kept(w, people(w, "", "topsecret"), first, forgetful); /* after a restart */
    assert_string_equal(password_of(first, 0), password_of(third, 0));
    const struct sp_model *other = kept(w, people(w, "", "topsecreT"), first, known);
    assert_string_not_equal(password_of(first, 0), password_of(other, 0));
    assert_true(belongs(password_of(other, 0), "topsecreT"));
    sp_digests_free(known);
    sp_digests_free(forgetful);
}

static void hashes_are_taken_as_they_are(void **state)
{
    struct world *w = *state;
    struct sp_digests *known = sp_digests_new(16);
    assert_string_equal(password_of(kept(w, people(w, "", CHEAP), NULL, known), 0), CHEAP);
    assert_string_equal(password_of(kept(w, people(w, "_transform: false\n", CHEAP), NULL, known), 0), CHEAP);
    parse_bad(w, 1, people(w, "_transform: false\n", "topsecret"), "password: expected a hash");
    assert_null(strstr(problems_text(w).p, "topsecret"));
    /* 40 digits are a password where nobody says that they are none */
    const struct sp_model *m = kept(w, people(w, "", KONGS), NULL, known);
    assert_true(belongs(password_of(m, 0), KONGS) && !strstr(password_of(m, 0), "sha1"));
    sp_digests_free(known);
}

static void hashes_of_kong_are_wrapped(void **state)
{
    struct world *w = *state;
    struct sp_digests *known = sp_digests_new(16), *forgetful = sp_digests_new(16);
    const char *marked = people(w, "", "$sha1$" KONGS), *untransformed = people(w, "_transform: false\n", KONGS);
    const struct sp_model *first = kept(w, untransformed, NULL, known);
    assert_non_null(strstr(password_of(first, 0), "$scrypt-sha1$"));
    assert_null(strstr(password_of(first, 0), KONGS));
    assert_true(belongs(password_of(first, 0), KONGS));
    const char *same[] = {marked, untransformed, people(w, "", "pw")}; /* the password itself is the same, too */
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(password_of(kept(w, same[i], first, known), 0), password_of(first, 0));
        assert_string_equal(password_of(kept(w, same[i], first, forgetful), 0), password_of(first, 0));
    }
    const struct sp_model *plain = kept(w, people(w, "", "other"), first, known);
    assert_true(belongs(password_of(plain, 0), "other"));
    const struct sp_model *back = kept(w, marked, plain, known);
    assert_true(belongs(password_of(back, 0), KONGS));
    sp_digests_free(known);
    sp_digests_free(forgetful);
}

/* An export is a file that changes nothing. */
static void exports_come_back(void **state)
{
    struct world *w = *state;
    struct sp_digests *known = sp_digests_new(16);
    const char *files[] = {people(w, "", "topsecret"), people(w, "_transform: false\n", KONGS)};
    for (size_t i = 0; i < 2; i++) {
        const struct sp_model *m = kept(w, files[i], NULL, known);
        struct sp_buf text = {0};
        sp_model_write_yaml(m, false, &text);
        assert_false(sp_failed(parse_str(w, sp_arena_dup(w->a, sp_buf_str(&text)))));
        sp_model_hash_passwords(w->model, m, known);
        assert_string_equal(password_of(w->model, 0), password_of(m, 0));
        sp_buf_fini(&text);
    }
    sp_digests_free(known);
}

/* Many at once, on several threads; a YAML alias gives two of them one text. */
static void many(void **state)
{
    struct world *w = *state;
    struct sp_digests *known = sp_digests_new(16);
    struct sp_buf text = {0};
    enum { MANY = 5 };
    sp_buf_printf(&text, "consumers:\n- username: &name same\n  basicauth_credentials:\n");
    for (int i = 0; i < MANY; i++)
        sp_buf_printf(&text, "  - {username: u%d, password: *name}\n", i);
    sp_buf_putc(&text, '\0');
    const struct sp_model *m = kept(w, sp_buf_str(&text).p, NULL, known);
    for (size_t i = 0; i < MANY; i++) {
        assert_true(belongs(password_of(m, i), "same"));
        assert_true(i == 0 || strcmp(password_of(m, i), password_of(m, i - 1)) != 0);
    }
    assert_true(sp_str_eq(m->entities[SP_CONSUMERS][0].key, SP_STR("same")));
    sp_buf_fini(&text);
    sp_digests_free(known);
}

/* Without a store: the same text is the same resource as long as the process lives. */
static void the_cheap_form(void **state)
{
    struct world *w = *state;
    struct sp_resources *r[2];
    for (int i = 0; i < 2; i++) {
        parse_good(w, people(w, "", "topsecret"));
        sp_model_seal_passwords(w->model);
        assert_false(sp_failed(sp_compile(w->a, w->model, &r[i], &w->problems)));
    }
    assert_memory_equal(r[0]->v[0].hash, r[1]->v[0].hash, 16);
    assert_null(memmem(r[0]->v[0].body.p, r[0]->v[0].body.len, "topsecret", 9));
    assert_true(belongs(password_of(w->model, 0), "topsecret"));
    parse_good(w, people(w, "", CHEAP));
    sp_model_seal_passwords(w->model);
    assert_string_equal(password_of(w->model, 0), CHEAP);
    parse_good(w, people(w, "_transform: false\n", KONGS));
    sp_model_seal_passwords(w->model);
    assert_true(belongs(password_of(w->model, 0), KONGS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        model_test(fields_are_checked),
        model_test(plain_passwords_go_nowhere),
        model_test(applying_twice_changes_nothing),
        model_test(hashes_are_taken_as_they_are),
        model_test(hashes_of_kong_are_wrapped),
        model_test(exports_come_back),
        model_test(many),
        model_test(the_cheap_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
