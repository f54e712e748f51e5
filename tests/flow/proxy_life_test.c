/* Configurations that change under load, and how a data plane ends: nothing that runs may notice either. */
#include "flow_h2.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 8 };

static void serve(struct flow_visit *v)
{
    struct sp_buf head = {0}, body = {0};
    while (flow_request(&v->end, &head, &body))
        if (!flow_say(&v->end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
            break;
    sp_buf_fini(&head);
    sp_buf_fini(&body);
}

/* Answers when the test has marked it. */
static void serve_later(struct flow_visit *v)
{
    struct sp_buf head = {0}, body = {0};
    while (flow_request(&v->end, &head, &body)) {
        v->up->bytes++;
        if (!flow_marked(v->up, 1) || !flow_say(&v->end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
            break;
    }
    sp_buf_fini(&head);
    sp_buf_fini(&body);
}

/* --- load --- */

struct load {
    struct flow *f;
    pthread_t threads[CLIENTS];
    _Atomic unsigned served, failed, refused;
    _Atomic bool stop;
};

/* Asks again and again, until it is told that nobody listens any more. That may also show as a reset of a connection
 * that the kernel took and nobody accepted; anything else that is no whole answer is a failure. */
static void *keep_asking(void *arg)
{
    struct load *l = arg;
    struct flow_answer a = {0};
    while (!l->stop) {
        struct flow_end e = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        struct timeval patience = {.tv_sec = FLOW_PATIENCE_MS / 1000};
        const struct sp_address *to = &l->f->listeners[0].address;
        setsockopt(e.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (connect(e.fd, (const struct sockaddr *)&to->ss, to->len) != 0) {
            l->refused++;
            flow_shut(&e);
            break; /* nobody listens any more */
        }
        bool again = true;
        for (int i = 0; again && !l->stop; i++) {
            bool whole =
                flow_say(&e, "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n") && flow_answer(&e, &a, false) && a.whole;
            if (whole && a.status == 200)
                l->served++;
            else if (i == 0 && e.in.len == 0)
                l->refused++;
            else
                l->failed++;
            again = whole && !(flow_header(&a, "Connection") && !strncmp(flow_header(&a, "Connection"), "close", 5));
        }
        flow_shut(&e);
    }
    flow_answer_fini(&a);
    return NULL;
}

static void load_start(struct load *l, struct flow *f)
{
    *l = (struct load){.f = f};
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&l->threads[i], NULL, keep_asking, l), 0);
}

static void load_stop(struct load *l)
{
    l->stop = true;
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(l->threads[i], NULL);
}

static void wait_served(struct load *l, unsigned n)
{
    uint64_t until = flow_now_ms() + FLOW_PATIENCE_MS;
    while (l->served < n && flow_now_ms() < until)
        usleep(1000);
    assert_true(l->served >= n);
}

/* --- configurations --- */

static void configurations_change_under_load(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u[2];
    struct load l;
    struct flow_setup setup = {.workers = 2};
    flow_start(&f, &setup);
    flow_upstream_start(&u[0], serve, NULL);
    flow_upstream_start(&u[1], serve, NULL);
    flow_serve(&f, u[0].port, NULL);
    load_start(&l, &f);
    for (unsigned i = 0; i < 200; i++) { /* services come and go, one connection pool stays, another changes */
        wait_served(&l, i * 5);
        flow_config(&f,
                    "services:\n"
                    "- {name: up%u, host: 127.0.0.1, port: %u, routes: [{name: all%u, paths: [/]}]}\n"
                    "- {name: other%u, host: pool, routes: [{name: o%u, paths: [/other%u]}]}\n"
                    "upstreams:\n- {name: pool, targets: [{target: \"127.0.0.1:%u\"}]}\n",
                    i % 7, u[i / 50 % 2].port, i, i, i, i, u[0].port);
    }
    load_stop(&l);
    assert_int_equal(l.failed, 0);
    assert_int_equal(l.refused, 0);
    assert_true(flow_until_count(&f, connections_active, 0));
    assert_int_equal(f.proxy.current->refs, 3); /* two workers' and the proxy's: every older one is gone */
    flow_stop(&f);
    flow_upstream_stop(&u[0]);
    flow_upstream_stop(&u[1]);
}

/* A request sees one configuration from its head to its end, however many come meanwhile. */
static void a_request_keeps_its_configuration(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u;
    struct flow_end e;
    struct flow_answer a = {0};
    flow_start(&f, NULL);
    flow_upstream_start(&u, serve_later, NULL);
    flow_serve(&f, u.port, NULL);
    flow_connect(&f, &e);
    assert_true(flow_say(&e, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    uint64_t until = flow_now_ms() + FLOW_PATIENCE_MS;
    while (u.bytes == 0 && flow_now_ms() < until)
        usleep(1000);
    struct dp_snapshot *old = dp_snapshot_ref(f.proxy.current);
    for (int i = 0; i < 10; i++)
        flow_config(&f, "services: []\n");
    assert_true(old->refs >= 2); /* ours and the request's */
    flow_mark(&u);
    assert_true(flow_answer(&e, &a, false));
    assert_int_equal(a.status, 200);
    assert_true(flow_say(&e, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    assert_true(flow_answer(&e, &a, false));
    assert_int_equal(a.status, 404);
    assert_int_equal(old->refs, 1);
    dp_snapshot_unref(old);
    flow_answer_fini(&a);
    flow_shut(&e);
    flow_stop(&f);
    flow_upstream_stop(&u);
}

static void a_bad_configuration_changes_nothing(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u;
    struct flow_answer a = {0};
    flow_start(&f, NULL);
    flow_upstream_start(&u, serve, NULL);
    flow_serve(&f, u.port, NULL);
    struct sp_arena *arena = sp_arena_new(4096);
    struct sp_problems problems;
    sp_problems_init(&problems, arena);
    Sallyport__V1__Service s = SALLYPORT__V1__SERVICE__INIT;
    Sallyport__V1__Ref none = SALLYPORT__V1__REF__INIT;
    none.id = (char *)(uintptr_t) "00000000-0000-4000-8000-000000000000";
    s.id = s.name = s.host = (char *)(uintptr_t) "x";
    s.client_certificate = &none;
    uint8_t body[512];
    size_t len = protobuf_c_message_pack(&s.base, body);
    struct sp_resource v[] = {{.kind = SALLYPORT__V1__KIND__SERVICE, .name = SP_STR("x"), .body = sp_str(body, len)},
                              {.kind = SALLYPORT__V1__KIND__ROUTE, .name = SP_STR("y"), .body = SP_STR("\xff\xff")}};
    struct sp_resources bad = {v, 1}, worse = {v, 2};
    assert_true(sp_failed(dp_proxy_publish(&f.proxy, &bad, 100, &problems, NULL, NULL)));
    assert_true(sp_failed(dp_proxy_publish(&f.proxy, &worse, 101, &problems, NULL, NULL)));
    assert_int_equal(problems.num_errors, 2);
    assert_int_equal(flow_get(&f, "/", &a), 200);
    sp_arena_free(arena);
    flow_answer_fini(&a);
    flow_stop(&f);
    flow_upstream_stop(&u);
}

/* A control plane of another version, or a broken one: a message without what it stands for is refused, not run. */
static void empty_messages_are_refused(void **state)
{
    (void)state;
    struct flow f;
    flow_start(&f, NULL);
    struct sp_arena *arena = sp_arena_new(4096);
    Sallyport__V1__Ref none = SALLYPORT__V1__REF__INIT;
    Sallyport__V1__Service service = SALLYPORT__V1__SERVICE__INIT;
    Sallyport__V1__Route route = SALLYPORT__V1__ROUTE__INIT;
    service.host = (char *)(uintptr_t) "a";
    service.client_certificate = route.service = &none;
    uint8_t service_bytes[64], route_bytes[64];
    struct sp_str bodies[2] = {sp_str(service_bytes, protobuf_c_message_pack(&service.base, service_bytes)),
                               sp_str(route_bytes, protobuf_c_message_pack(&route.base, route_bytes))};
    for (int kind = SALLYPORT__V1__KIND__CA_CERTIFICATE; kind <= SP_LAST_KIND; kind++)
        for (int i = 0; i < 3; i++) {
            bool fits = i == 0 || (i == 1 && kind == SALLYPORT__V1__KIND__SERVICE) ||
                        (i == 2 && kind == SALLYPORT__V1__KIND__ROUTE);
            struct sp_resource r = {.kind = (Sallyport__V1__Kind)kind, .name = SP_STR("x")};
            struct sp_resources set = {&r, 1};
            struct sp_problems problems;
            if (!fits)
                continue;
            if (i)
                r.body = bodies[i - 1];
            sp_problems_init(&problems, arena);
            bool refused = sp_failed(dp_proxy_publish(&f.proxy, &set, ++f.revision, &problems, NULL, NULL));
            if (!refused && kind != SALLYPORT__V1__KIND__ROUTE) /* a route of nothing matches everything, rightly */
                fail_msg("an empty message of kind %d runs", kind);
            assert_int_equal(refused, problems.num_errors > 0);
        }
    sp_arena_free(arena);
    flow_stop(&f);
}

static void ends_with_configurations_under_way(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct flow f;
        struct flow_setup setup = {.workers = 2};
        flow_start(&f, &setup);
        flow_publish(&f, "_format_version: \"3.0\"\nservices: []\n");
        if (i % 2)
            flow_drain(&f, 0);
        for (int k = 0; k < 5; k++)
            flow_publish(&f, "_format_version: \"3.0\"\nservices: []\n");
        flow_stop(&f); /* the leak check sees whether all were freed */
        assert_int_equal(f.live, 0);
    }
}

/* --- the end --- */

static void a_drain_under_load_loses_nothing(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        struct flow f;
        struct flow_upstream u;
        struct load l;
        flow_start(&f, NULL);
        flow_upstream_start(&u, serve, NULL);
        flow_serve(&f, u.port, NULL);
        load_start(&l, &f);
        wait_served(&l, 200);
        uint64_t began = flow_now_ms();
        flow_drain(&f, FLOW_PATIENCE_MS);
        for (int i = 0; i < CLIENTS; i++)
            pthread_join(l.threads[i], NULL); /* they end when nobody listens */
        assert_int_equal(l.failed, 0);
        assert_true(l.refused >= CLIENTS);
        flow_stop(&f);
        assert_true(flow_now_ms() - began < FLOW_PATIENCE_MS / 2);
        flow_upstream_stop(&u);
    }
}

static void what_stands_in_the_queue_is_served(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct flow f;
        struct flow_upstream u;
        struct flow_end e[8];
        struct flow_answer a = {0};
        flow_start(&f, NULL);
        flow_upstream_start(&u, serve, NULL);
        flow_serve(&f, u.port, NULL);
        for (int i = 0; i < 8; i++)
            flow_connect(&f, &e[i]);
        flow_drain(&f, FLOW_PATIENCE_MS);
        for (int i = 0; i < 8; i++) {
            assert_true(flow_say(&e[i], "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"));
            assert_true(flow_answer(&e[i], &a, false));
            assert_int_equal(a.status, 200);
            assert_int_equal(strncmp(flow_header(&a, "Connection"), "close", 5), 0);
            flow_shut(&e[i]);
        }
        flow_answer_fini(&a);
        flow_stop(&f);
        flow_upstream_stop(&u);
    }
}

static void running_requests_are_finished(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u;
    struct flow_end e, idle;
    struct flow_answer a = {0};
    flow_start(&f, NULL);
    flow_upstream_start(&u, serve_later, NULL);
    flow_serve(&f, u.port, NULL);
    flow_connect(&f, &e);
    flow_connect(&f, &idle);
    assert_true(flow_say(&idle, "GET / HTTP/2.0\r\n\r\n")); /* 505 and the end */
    assert_true(flow_until_end(&idle));
    flow_shut(&idle);
    assert_true(flow_say(&e, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    uint64_t until = flow_now_ms() + FLOW_PATIENCE_MS;
    while (u.bytes == 0 && flow_now_ms() < until)
        usleep(1000);
    flow_drain(&f, FLOW_PATIENCE_MS);
    flow_mark(&u);
    assert_true(flow_answer(&e, &a, false));
    assert_int_equal(a.status, 200);
    assert_int_equal(strncmp(flow_header(&a, "Connection"), "close", 5), 0);
    assert_true(flow_until_end(&e));
    flow_answer_fini(&a);
    flow_shut(&e);
    flow_stop(&f);
    flow_upstream_stop(&u);
}

static uint64_t cpu_ms(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000 +
           (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1000;
}

static void without_descriptors_it_waits(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u;
    struct flow_end e = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct flow_answer a = {0};
    struct rlimit before, none;
    flow_start(&f, NULL);
    flow_upstream_start(&u, serve, NULL);
    flow_serve(&f, u.port, NULL);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){3, before.rlim_max}; /* those that are open stay */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    const struct sp_address *to = &f.listeners[0].address;
    int connected = connect(e.fd, (const struct sockaddr *)&to->ss, to->len);
    uint64_t spent = cpu_ms(), until = flow_now_ms() + 500;
    while (flow_now_ms() < until)
        usleep(10000);
    spent = cpu_ms() - spent;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(connected, 0);
    assert_true(spent < 250); /* it does not spin */
    assert_true(flow_say(&e, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    assert_true(flow_answer(&e, &a, false));
    assert_int_equal(a.status, 200);
    flow_answer_fini(&a);
    flow_shut(&e);
    flow_stop(&f);
    flow_upstream_stop(&u);
}

/* Everything open at once, and the grace is over at once: the leak check and the sanitizers look at this one. */
static void an_end_without_grace(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u;
    struct flow_end e[20];
    static struct flow_h2 h;
    flow_start(&f, NULL);
    flow_upstream_start(&u, serve_later, NULL);
    flow_serve(&f, u.port, NULL);
    for (int i = 0; i < 20; i++) {
        flow_connect(&f, &e[i]);
        flow_say(&e[i], i % 4 == 0   ? "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
                        : i % 4 == 1 ? "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"
                        : i % 4 == 2 ? "GET / HT"
                                     : "");
    }
    flow_h2_open(&f, &h, false);
    for (int i = 0; i < 20; i++)
        flow_h2_ask(&h, "POST", "/", 100, i % 2);
    assert_true(flow_h2_flush(&h));
    uint64_t until = flow_now_ms() + FLOW_PATIENCE_MS;
    while (u.bytes < 5 && flow_now_ms() < until)
        usleep(1000);
    flow_stop(&f);
    for (int i = 0; i < 20; i++)
        flow_shut(&e[i]);
    flow_h2_shut(&h);
    flow_mark(&u);
    flow_upstream_stop(&u);
}

/* Resumption works across configurations and across workers. */
static void sessions_outlive_configurations(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u;
    struct flow_answer a = {0};
    struct sp_error err;
    struct flow_setup setup = {.workers = 2};
    flow_start(&f, &setup);
    flow_upstream_start(&u, serve, NULL);
    struct sp_tls_client_options o = {.alpn = "http/1.1"};
    assert_false(sp_failed(sp_tls_client_new(&o, &f.client, &err)));
    struct sp_tls_client *client = f.client;
    for (int i = 0; i < 10; i++) {
        struct flow_end e;
        flow_serve(&f, u.port, NULL);
        flow_connect(&f, &e);
        flow_shut(&e);
        flow_connect_tls_with(&f, &e, client, "a.test");
        assert_true(flow_say(&e, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n") && flow_answer(&e, &a, false));
        assert_int_equal(a.status, 200);
        assert_int_equal(sp_tls_peer(e.tls)->resumed, i > 0);
        flow_shut(&e);
    }
    flow_answer_fini(&a);
    flow_stop(&f);
    flow_upstream_stop(&u);
}

int main(void)
{
    sp_log_min = SP_ERROR; /* what upstreams do wrong here is meant */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations_change_under_load),    cmocka_unit_test(a_request_keeps_its_configuration),
        cmocka_unit_test(a_bad_configuration_changes_nothing), cmocka_unit_test(empty_messages_are_refused),
        cmocka_unit_test(ends_with_configurations_under_way),  cmocka_unit_test(a_drain_under_load_loses_nothing),
        cmocka_unit_test(what_stands_in_the_queue_is_served),  cmocka_unit_test(running_requests_are_finished),
        cmocka_unit_test(without_descriptors_it_waits),        cmocka_unit_test(an_end_without_grace),
        cmocka_unit_test(sessions_outlive_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
