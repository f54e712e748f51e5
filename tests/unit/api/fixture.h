/* An Admin API on a loopback port, its loop in a thread of its own, our client against it. */
#pragma once
#include "test.h"

#include "control/api/api.h"
#include "http/client.h"
#include "model/node.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct cp_store *store;
    struct cp_control *control;
    struct cp_api *api;
    struct sp_loop *loop;
    pthread_t thread;
    struct sp_http_client *client;
    struct sp_arena *arena;
    int published;
    int64_t published_revision;
    char url[64];
};

static inline void published(void *ctx, const struct cp_config *c)
{
    struct fixture *f = ctx;
    f->published++;
    f->published_revision = c->revision.revision;
}

static inline void *run_loop(void *arg)
{
    sp_loop_run(arg);
    return NULL;
}

static inline void stop_loop(void *arg)
{
    sp_loop_stop(arg);
}

static inline void must(sp_result r, const struct sp_error *err)
{
    if (sp_failed(r))
        fail_msg("%s", err->text);
}

static inline void start(struct fixture *f)
{
    struct sp_error err;
    struct sp_address at, bound;
    char text[SP_ADDRESS_TEXT];
    must(sp_loop_new(&f->loop, &err), &err);
    struct cp_control_options control = {.store = f->store, .publish = published, .ctx = f};
    must(cp_control_new(&control, &f->control, &err), &err);
    struct cp_api_options api = {.loop = f->loop, .control = f->control, .database = "memory"};
    f->api = cp_api_new(&api);
    must(sp_address_parse(SP_STR("127.0.0.1:0"), &at, &err), &err);
    must(cp_api_listen(f->api, &at, &bound, &err), &err);
    sp_address_text(&bound, text);
    snprintf(f->url, sizeof f->url, "http://%s", text);
    struct sp_http_client_options client = {.url = f->url};
    must(sp_http_client_new(&client, &f->client, &err), &err);
    assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f->loop), 0);
}

static inline void stop(struct fixture *f)
{
    sp_http_client_free(f->client);
    sp_loop_post(f->loop, stop_loop, f->loop);
    pthread_join(f->thread, NULL);
    cp_api_free(f->api);
    cp_control_free(f->control);
    sp_loop_free(f->loop);
}

static inline int setup(void **state)
{
    struct fixture *f = sp_alloc(sizeof *f);
    struct sp_error err;
    f->arena = sp_arena_new(4096);
    must(cp_store_open("memory:", &f->store, &err), &err);
    start(f);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    stop(f);
    cp_store_close(f->store);
    sp_arena_free(f->arena);
    free(f);
    return 0;
}

/* --- asking */

static inline struct sp_http_answer call(struct fixture *f, const char *method, const char *path, struct sp_str body,
                                         const struct sp_fields *fields)
{
    struct sp_http_answer a;
    struct sp_error err;
    struct sp_http_call c = {.method = method, .path = sp_str_z(path), .body = body, .fields = fields};
    must(sp_http_client_call(f->client, &c, f->arena, &a, &err), &err);
    return a;
}

static inline const struct sp_node *json(struct fixture *f, const struct sp_http_answer *a)
{
    struct sp_problems problems;
    sp_problems_init(&problems, f->arena);
    const struct sp_node *n = sp_node_read_json(f->arena, a->body, SP_STR("answer"), &problems);
    if (!n)
        fail_msg("no JSON: %.*s", SP_FMT(a->body));
    return n;
}

static inline const struct sp_node *get(struct fixture *f, const char *path, unsigned status)
{
    struct sp_http_answer a = call(f, "GET", path, SP_STR(""), NULL);
    if (a.status != status)
        fail_msg("GET %s: %u, not %u: %.*s", path, a.status, status, SP_FMT(a.body));
    return json(f, &a);
}

static inline const struct sp_node *at(const struct sp_node *n, const char *key)
{
    const struct sp_node *v = sp_node_get(n, sp_str_z(key));
    if (!v)
        fail_msg("no '%s'", key);
    return v;
}

static inline int64_t number(const struct sp_node *n, const char *key)
{
    assert_int_equal(at(n, key)->type, SP_NODE_INTEGER);
    return at(n, key)->integer;
}

static inline void says(const struct sp_node *n, const char *key, const char *text)
{
    if (!sp_str_eq(at(n, key)->text, sp_str_z(text)))
        fail_msg("%s is '%.*s', not '%s'", key, SP_FMT(at(n, key)->text), text);
}

static inline const struct sp_node *apply(struct fixture *f, const char *query, const char *text, unsigned status)
{
    struct sp_str path = sp_arena_printf(f->arena, "/sallyport/apply?file=gateway.yaml&%s", query);
    struct sp_http_answer a = call(f, "POST", path.p, sp_str_z(text), NULL);
    if (a.status != status)
        fail_msg("apply: %u, not %u: %.*s", a.status, status, SP_FMT(a.body));
    return json(f, &a);
}

static const char gateway[] = "_format_version: \"3.0\"\n"
                              "services:\n"
                              "- name: orders\n"
                              "  host: 127.0.0.1\n"
                              "  port: 9000\n"
                              "  tags: [blue, shop]\n"
                              "  routes:\n"
                              "  - name: api\n"
                              "    protocols: [https]\n"
                              "    hosts: [api.example.com]\n"
                              "    snis: [api.example.com]\n"
                              "    plugins:\n"
                              "    - name: tls-handshake-modifier\n"
                              "  - name: web\n"
                              "    paths: [/web]\n"
                              "- name: stock\n"
                              "  host: stock.internal\n"
                              "  tags: [blue]\n"
                              "consumers:\n"
                              "- username: alice\n"
                              "  custom_id: a1\n";

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
