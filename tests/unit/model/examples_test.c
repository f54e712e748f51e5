/* deploy/examples: each one is a good file without warnings, and does to the handshake what it says. */
#include "fixtures.h"

#include "model/expand.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXAMPLES "../deploy/examples"

static void put(const char *dir, const char *name, struct sp_str bytes)
{
    char path[512];
    struct sp_error err;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (sp_failed(sp_write_file(path, bytes, 0600, &err)))
        fail_msg("%s", err.text);
}

/* Every PEM that the examples name. */
static void make_pki(struct world *w, const char *dir)
{
    static const char *const servers[] = {"api", "public", "tenants", "shop", "ingest"};
    char path[256];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, i ? "servers" : "clients");
        assert_int_equal(mkdir(path, 0700), 0);
    }
    put(dir, "clients/ca.pem", make_cert(w, "Clients", true, time(NULL) + 86400, NULL));
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++) {
        struct sp_str key, cert = make_cert(w, servers[i], false, time(NULL) + 86400, &key);
        snprintf(path, sizeof path, "servers/%s.pem", servers[i]);
        put(dir, path, cert);
        snprintf(path, sizeof path, "servers/%s.key", servers[i]);
        put(dir, path, key);
    }
}

static struct sp_resources *load(struct world *w, const char *name)
{
    char dir[] = "/tmp/sallyport-examples-XXXXXX", command[128];
    struct sp_buf SP_AUTO(sp_buf_fini) text = {0}, whole = {0};
    struct sp_resources *r = NULL;
    struct sp_error err;
    assert_non_null(mkdtemp(dir));
    make_pki(w, dir);
    if (sp_failed(sp_buf_read_file(&text, sp_arena_printf(w->a, EXAMPLES "/%s", name).p, SP_MODEL_MAX_FILE, &err)))
        fail_msg("%s", err.text);
    sp_problems_init(&w->problems, w->a);
    struct sp_str file = sp_arena_printf(w->a, "%s/%s", dir, name);
    bool good = sp_model_expand_files(w->a, sp_buf_str(&text), file, &whole, &w->problems) &&
                !sp_failed(sp_model_parse(w->a, sp_buf_str(&whole), file, time(NULL), &w->model, &w->problems)) &&
                (sp_model_seal_passwords(w->model), true) && !sp_failed(sp_compile(w->a, w->model, &r, &w->problems));
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
    if (!good || w->problems.num_warnings)
        fail_msg("%s:\n%s", name, problems_text(w).p);
    return r;
}

static const struct fact {
    const char *file, *sni;
    bool asked;
} facts[] = {
    {"quickstart.yaml", "api.example.test", true},
    {"quickstart.yaml", "public.example.test", false},
    {"quickstart.yaml", "", false},
    {"wildcard-service.yaml", "a.b.tenants.example.test", true},
    {"wildcard-service.yaml", "tenants.example.test", false},
    {"anonymous.yaml", "shop.example.test", true},
    {"no-consumers.yaml", "ingest.example.test", true},
    {"no-consumers.yaml", "other.example.test", false},
    {"behind-waf.yaml", "app.example.test", false},
    {"behind-waf.yaml", "", false},
};

static void examples_do_what_they_say(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        struct sp_handshake_answer h;
        sp_explain_handshake(w->a, load(w, facts[i].file), sp_str_z(facts[i].sni), &h);
        if (h.ask != facts[i].asked)
            fail_msg("%s: '%s' is %sasked", facts[i].file, facts[i].sni, h.ask ? "" : "not ");
    }
}

static void no_example_is_left_out(void **state)
{
    (void)state;
    DIR *dir = opendir(EXAMPLES);
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));) {
        if (!sp_str_ends(sp_str_z(d->d_name), SP_STR(".yaml")))
            continue;
        bool known = false;
        for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
            known = known || strcmp(facts[i].file, d->d_name) == 0;
        if (!known)
            fail_msg("%s is in no test", d->d_name);
    }
    closedir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        model_test(examples_do_what_they_say),
        cmocka_unit_test(no_example_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
