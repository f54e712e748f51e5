#include "fixtures.h"

static void add(struct sp_problems *p, enum sp_severity severity, const char *code, const char *entity,
                const char *text)
{
    sp_problems_add(p, severity, code, SP_STR("x.y"), "%s", text)->entity = sp_str_z(entity);
}

static void merging_says_nothing_twice(void **state)
{
    struct world *w = *state;
    struct sp_problems from;
    sp_problems_init(&w->problems, w->a);
    sp_problems_init(&from, w->a);
    add(&w->problems, SP_PROBLEM_WARNING, "a", "e", "text");
    add(&from, SP_PROBLEM_WARNING, "a", "e", "text");
    add(&from, SP_PROBLEM_WARNING, "a", "f", "text");
    add(&from, SP_PROBLEM_ERROR, "b", "e", "text");
    sp_problems_merge(&w->problems, &from);
    assert_int_equal(w->problems.num_warnings, 2);
    assert_int_equal(w->problems.num_errors, 1);
    assert_string_equal(problems_text(w).p, "warning: e: x.y: text\nwarning: f: x.y: text\nerror: e: x.y: text\n");
    assert_int_equal(from.num_warnings, 2);
}

static void the_first_error_stands_for_all(void **state)
{
    struct world *w = *state;
    struct sp_error err = {0};
    sp_problems_init(&w->problems, w->a);
    add(&w->problems, SP_PROBLEM_WARNING, "a", "e", "only a warning");
    assert_false(sp_failed(sp_problems_result(&w->problems, &err)));
    add(&w->problems, SP_PROBLEM_ERROR, "a", "e", "first");
    add(&w->problems, SP_PROBLEM_ERROR, "a", "e", "second");
    assert_int_equal(sp_problems_result(&w->problems, &err).code, SP_E_INVALID);
    assert_string_equal(err.text, "error: e: x.y: first (and 1 more)");
}

/* A file that is applied and then loaded as part of a store says its warnings in the same words of the same entity. */
static void a_loaded_model_repeats_the_warnings_of_the_text(void **state)
{
    struct world *w = *state;
    struct sp_stored_entity v[8];
    struct sp_problems again;
    struct sp_model *loaded;
    size_t num = 0;
    parse_good(w, "routes: [{name: r, hosts: [a.test, a.test]}]\n");
    assert_int_equal(w->problems.num_warnings, 1);
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        for (size_t i = 0; i < w->model->num[k]; i++) {
            const ProtobufCMessage *m = w->model->entities[k][i].message;
            uint8_t *bytes = sp_arena_alloc(w->a, protobuf_c_message_get_packed_size(m) + 1);
            v[num++] = (struct sp_stored_entity){k, sp_str(bytes, protobuf_c_message_pack(m, bytes))};
        }
    sp_problems_init(&again, w->a);
    assert_false(sp_failed(sp_model_load(w->a, v, num, SP_STR(""), &loaded, &again)));
    assert_int_equal(again.num_warnings, 1);
    sp_problems_merge(&w->problems, &again);
    assert_int_equal(w->problems.num_warnings, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        model_test(merging_says_nothing_twice),
        model_test(the_first_error_stands_for_all),
        model_test(a_loaded_model_repeats_the_warnings_of_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
