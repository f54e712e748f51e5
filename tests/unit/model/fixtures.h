/* Models for the tests of this room: parse text, see the problems, make CA certificates. */
#pragma once
#include "test.h"

#include "model/compile.h"
#include "tls/pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct world {
    struct sp_arena *a;
    struct sp_problems problems;
    struct sp_model *model; /* of the last parse */
};

static inline int world_setup(void **state)
{
    struct world *w = sp_alloc(sizeof *w);
    w->a = sp_arena_new(4096);
    *state = w;
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *w = *state;
    sp_arena_free(w->a);
    free(w);
    return 0;
}

static inline struct sp_str problems_text(struct world *w)
{
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    sp_problems_print(&w->problems, &b);
    return sp_arena_dup(w->a, sp_buf_str(&b));
}

static inline sp_result parse_str(struct world *w, struct sp_str text)
{
    sp_problems_init(&w->problems, w->a);
    return sp_model_parse(w->a, text, SP_STR("t.yaml"), time(NULL), &w->model, &w->problems);
}

/* The text after `_format_version`. */
static inline sp_result parse(struct world *w, const char *text)
{
    return parse_str(w, sp_arena_printf(w->a, "_format_version: \"3.0\"\n%s", text));
}

static inline void parse_good(struct world *w, const char *text)
{
    if (sp_failed(parse(w, text)))
        fail_msg("%s", problems_text(w).p);
    assert_non_null(w->model);
}

/* Every line of `expected` stands in the printed problems, and there are as many errors as given. */
static inline void assert_problems(struct world *w, size_t errors, const char *const *expected, size_t num)
{
    struct sp_str text = problems_text(w);
    for (size_t i = 0; i < num; i++)
        if (!strstr(text.p, expected[i]))
            fail_msg("wanted: %s\nbut problems are:\n%s", expected[i], text.p);
    if (w->problems.num_errors != errors)
        fail_msg("wanted %zu errors:\n%s", errors, text.p);
}
#define parse_bad(w, errors, text, ...)                                                                                \
    do {                                                                                                               \
        struct world *bad_ = (w);                                                                                      \
        const char *const wanted[] = {__VA_ARGS__};                                                                    \
        assert_true(sp_failed(parse(bad_, (text))));                                                                   \
        assert_null(bad_->model);                                                                                      \
        assert_problems(bad_, (errors), wanted, sizeof wanted / sizeof *wanted);                                       \
    } while (0)

/* A self-signed certificate; *key may be NULL. */
static inline struct sp_str make_cert(struct world *w, const char *cn, bool is_ca, int64_t not_after,
                                      struct sp_str *key)
{
    struct sp_buf SP_AUTO(sp_buf_fini) cert = {0}, k = {0};
    struct sp_error err = {0};
    struct sp_pki_request r = {.common_name = cn,
                               .is_ca = is_ca,
                               .server_auth = !is_ca,
                               .not_before = not_after - 864000,
                               .not_after = not_after};
    if (sp_failed(sp_pki_issue(&r, SP_STR(""), SP_STR(""), &cert, &k, &err)))
        fail_msg("%s", err.text);
    if (key)
        *key = sp_arena_dup(w->a, sp_buf_str(&k));
    return sp_arena_dup(w->a, sp_buf_str(&cert));
}

/* PEM as a double-quoted YAML scalar. */
static inline const char *quoted(struct world *w, struct sp_str pem)
{
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    sp_buf_putc(&b, '"');
    for (size_t i = 0; i < pem.len; i++)
        if (pem.p[i] == '\n')
            sp_buf_add(&b, SP_STR("\\n"));
        else
            sp_buf_putc(&b, pem.p[i]);
    sp_buf_putc(&b, '"');
    return sp_arena_dup(w->a, sp_buf_str(&b)).p;
}

static inline const char *ca_pem(struct world *w, const char *cn)
{
    return quoted(w, make_cert(w, cn, true, time(NULL) + 86400, NULL));
}

#define CA_A "11111111-1111-4111-8111-111111111111"
#define CA_B "22222222-2222-4222-8222-222222222222"

/* Both CAs, then what follows. */
static inline const char *with_cas(struct world *w, const char *rest)
{
    return sp_arena_printf(
               w->a, "ca_certificates:\n- {id: " CA_A ", cert: %s, tags: [partners]}\n- {id: " CA_B ", cert: %s}\n%s",
               ca_pem(w, "CA A"), ca_pem(w, "CA B"), rest)
        .p;
}

#define model_test(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
