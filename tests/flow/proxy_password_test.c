/* Passwords that are checked on another thread while their requests wait. */
#include "flow.h"

#include <stdio.h>

/* "pw", at a cost that is nothing and at the greatest that is taken */
#define CHEAP "$scrypt$ln=10,r=8,p=1$MTIzNDU2Nzg$8dnX/yuxrxutNDx0smRETeFQ6FQvY4DdpvWf/OFkhDA"
#define DEAR "$scrypt$ln=16,r=8,p=2$MTIzNDU2Nzg$8dnX/yuxrxutNDx0smRETeFQ6FQvY4DdpvWf/OFkhDA"
#define AL_PW "Authorization: Basic YWw6cHc=\r\n"
#define DEAR_X "Authorization: Basic ZGVhcjp4\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n"

static void serve(struct flow_visit *v)
{
    struct sp_buf head = {0}, body = {0};
    while (flow_request(&v->end, &head, &body)) {
        char text[128];
        flow_keep_text(v->up, &head);
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%.*s", body.len,
                 SP_FMT(sp_buf_str(&body)));
        if (!flow_say(&v->end, text))
            break;
    }
    sp_buf_fini(&head);
    sp_buf_fini(&body);
}

static void configure(struct flow *f, uint16_t port, const char *comment)
{
    flow_config(f,
                "services:\n- name: s\n  url: http://127.0.0.1:%u\n  routes: [{name: r, paths: [/], tags: [%s]}]\n"
                "plugins: [{name: basic-auth}]\n"
                "consumers:\n- username: alice\n  basicauth_credentials:\n"
                "  - {username: al, password: '" CHEAP "'}\n  - {username: dear, password: '" DEAR "'}\n",
                port, comment);
}

static void asks(struct flow_end *e, const char *login)
{
    assert_true(flow_say(e, POST) && flow_say(e, login) && flow_say(e, "\r\nhello"));
}

static void gets(struct flow_end *e, unsigned status)
{
    struct flow_answer a = {0};
    assert_true(flow_answer(e, &a, false));
    assert_int_equal(a.status, status);
    assert_true(status != 200 || sp_str_eq(sp_buf_str(&a.body), SP_STR("hello")));
    flow_answer_fini(&a);
}

/* The body waits with its head; what was right is not checked again, under whatever configuration. */
static void once_is_enough(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u;
    struct flow_end e;
    flow_start(&f, NULL);
    flow_upstream_start(&u, serve, NULL);
    configure(&f, u.port, "one");
    flow_connect(&f, &e);
    asks(&e, AL_PW);
    gets(&e, 200);
    assert_true(flow_text_has(&u, "X-Credential-Identifier: al\r\n"));
    asks(&e, AL_PW);
    gets(&e, 200);
    configure(&f, u.port, "two");
    asks(&e, AL_PW);
    gets(&e, 200);
    assert_int_equal(flow_count(&f, passwords.checks), 1);
    asks(&e, "Authorization: Basic YWw6cHY=\r\n"); /* another password */
    gets(&e, 401);
    asks(&e, "Authorization: Basic bm9ib2R5OnB3\r\n"); /* another name */
    gets(&e, 401);
    asks(&e, "");
    gets(&e, 401);
    assert_int_equal(flow_count(&f, passwords.checks), 3);
    assert_int_equal(flow_count(&f, passwords.refused), 0);
    flow_shut(&e);
    flow_stop(&f);
    flow_upstream_stop(&u);
}

/* Clients leave while their passwords are checked or wait for it; others are served, and the end is an end. */
static void clients_leave(void **state)
{
    (void)state;
    enum { CLIENTS = 8 };
    struct flow f;
    struct flow_upstream u;
    struct flow_end gone[CLIENTS], e;
    struct flow_setup setup = {.workers = 2};
    flow_start(&f, &setup);
    flow_upstream_start(&u, serve, NULL);
    configure(&f, u.port, "one");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            flow_connect(&f, &gone[i]);
            asks(&gone[i], DEAR_X);
        }
        assert_true(flow_until_count(&f, passwords.checks, (uint64_t)((round + 1) * CLIENTS)));
        for (int i = 0; round == 0 && i < CLIENTS; i++) {
            i % 2 ? flow_reset(&gone[i]) : flow_shut(&gone[i]);
        }
        if (round == 0)
            assert_true(flow_until_count(&f, requests_active, 0));
    }
    flow_connect(&f, &e);
    asks(&e, AL_PW);
    flow_stop(&f); /* with all of them under way */
    for (int i = 0; i < CLIENTS; i++)
        flow_shut(&gone[i]);
    flow_shut(&e);
    flow_upstream_stop(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(once_is_enough), cmocka_unit_test(clients_leave)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
