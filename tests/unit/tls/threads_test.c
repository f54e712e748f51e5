/* Workers share server, names, client and ticket keys; a timer rotates the keys and a change of trust resets them. */
#include "ends.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 3, ROUNDS = 40 };

static struct sp_tls_server *server;
static struct sp_tls_names *names;
static struct sp_tls_client *client;
static atomic_int rounds, good, resumed;

static void *worker(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct end c = {0}, s = {0};
        struct sp_buf plain = {0};
        c.tls = sp_tls_connect(client, i % 2 ? SP_STR("a.t.example") : SP_STR("b.t.example"), &c.wire);
        s.tls = sp_tls_accept(server, names, 1, &s.wire);
        shake(&c, &s, SIZE_MAX);
        if (c.state == SP_IO_OK && s.state == SP_IO_OK && sp_tls_write(s.tls, SP_STR("x")) == SP_IO_OK) {
            carry(&s, &c);
            good += drain(&c, &plain) == SP_IO_AGAIN && plain.len == 1;
            resumed += sp_tls_peer(s.tls)->resumed;
        }
        sp_buf_fini(&plain);
        rounds++;
        end_fini(&c);
        end_fini(&s);
    }
    return NULL;
}

static void keys_change_under_way(void **state)
{
    (void)state;
    static const uint8_t trust[32] = {1};
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_error err;
    struct pair ca, leaf;
    pthread_t threads[THREADS];
    pair_ca(&ca, NULL, "CA");
    pair_leaf(&leaf, &ca, "leaf", "DNS:*.t.example", 3600);
    struct sp_str cert = sp_buf_str(&leaf.cert), key = sp_buf_str(&leaf.key), ca_pem = sp_buf_str(&ca.cert);
    struct sp_tls_client_options o = {
        .cert_pem = cert, .key_pem = key, .ca_pem = ca_pem, .verify = true, .verify_depth = -1};
    names = sp_tls_names_new(a, 0);
    assert_int_equal(sp_tls_names_default_certificate(names, cert, key, &err).code, SP_OK);
    assert_int_equal(sp_tls_names_ask(names, SP_STR("a.t.example"), NULL, 0, trust, &err).code, SP_OK);
    sp_tls_names_done(names);
    assert_int_equal(sp_tls_server_new(&(struct sp_tls_server_options){0}, &server, &err).code, SP_OK);
    assert_int_equal(sp_tls_client_new(&o, &client, &err).code, SP_OK);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, worker, NULL);
    while (rounds < THREADS * ROUNDS / 2) {
        sp_tls_server_rotate_tickets(server);
        if (rounds % 16 == 0)
            sp_tls_server_reset_tickets(server);
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(good, THREADS * ROUNDS);
    assert_true(resumed > 0);
    sp_tls_client_free(client);
    sp_tls_server_free(server);
    sp_arena_free(a);
    pair_fini(&ca);
    pair_fini(&leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys_change_under_way)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
