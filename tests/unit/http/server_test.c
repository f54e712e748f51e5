#include "http_test.h"

#include "http/client.h"
#include "http/server.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct fixture {
    struct sp_loop *loop;
    struct sp_http_server *server;
    struct sp_address at;
    struct sp_http_exchange *later; /* the handler keeps it */
    bool keep;
    unsigned handled, peers; /* peers: how often another connection asked than the last time */
    struct sp_address last_peer;
    char log[400];
};

static void handle(void *ctx, struct sp_http_exchange *x)
{
    struct fixture *f = ctx;
    f->handled++;
    f->peers += !sp_address_eq(&x->peer, &f->last_peer);
    f->last_peer = x->peer;
    snprintf(f->log, sizeof f->log, "%.*s %.*s ?%.*s %zu", SP_FMT(x->request->method), SP_FMT(x->path),
             SP_FMT(x->query), x->body.len);
    if (f->keep) {
        f->later = x;
        return;
    }
    if (sp_str_eq(x->path, SP_STR("/bad-field")))
        sp_http_reply_field(x, SP_STR("X"), SP_STR("a\r\nb: c"));
    if (sp_str_eq(x->path, SP_STR("/empty"))) {
        sp_http_reply(x, 204, NULL, SP_STR(""));
        return;
    }
    sp_http_reply_field(x, SP_STR("X-Mine"), SP_STR("1"));
    sp_http_reply(x, 200, "text/plain", x->body.len ? x->body : SP_STR("hello"));
}

static void start(struct fixture *f, struct sp_http_server_options o)
{
    struct sp_error err;
    assert_false(sp_failed(sp_loop_new(&f->loop, &err)));
    o.loop = f->loop;
    o.handle = handle;
    o.ctx = f;
    f->server = sp_http_server_new(&o);
    struct sp_address any;
    assert_true(sp_address_parse_ip(SP_STR("127.0.0.1"), 0, &any));
    assert_false(sp_failed(sp_http_server_listen(f->server, &any, &f->at, &err)));
}

static void stop(struct fixture *f)
{
    sp_http_server_free(f->server);
    sp_loop_free(f->loop);
}

/* --- a client of bytes */

static int dial(struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&f->at.ss, f->at.len), 0);
    return fd;
}

static void say(struct fixture *f, int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    for (int i = 0; i < 5; i++)
        sp_loop_run_once(f->loop, false);
}

/* Runs the loop until the client has got `what`. */
static void expect(struct fixture *f, int fd, struct sp_buf *got, const char *what)
{
    for (int i = 0; i < 2000; i++) {
        sp_loop_run_once(f->loop, false);
        ssize_t n = recv(fd, sp_buf_reserve(got, 65536), 65535, MSG_DONTWAIT);
        if (n > 0)
            sp_buf_commit(got, (size_t)n);
        *sp_buf_reserve(got, 1) = '\0';
        if (strstr(got->p + got->off, what))
            return;
        usleep(500);
    }
    fail_msg("expected %s, got %s", what, got->p + got->off);
}

static void expect_closed(struct fixture *f, int fd)
{
    char byte[65536];
    for (int i = 0; i < 2000; i++) {
        sp_loop_run_once(f->loop, false);
        ssize_t n = recv(fd, byte, sizeof byte, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return;
        usleep(500);
    }
    fail_msg("still open");
}

static void answered(const char *request, const char *answer, bool closes)
{
    struct fixture f = {0};
    struct sp_buf got = {0};
    start(&f, (struct sp_http_server_options){.max_body = 1000});
    int fd = dial(&f);
    say(&f, fd, request);
    expect(&f, fd, &got, answer);
    if (closes)
        expect_closed(&f, fd);
    close(fd);
    sp_buf_fini(&got);
    stop(&f);
}

static void refuses_without_the_handler(void **state)
{
    (void)state;
    answered("GARBAGE\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", true);
    answered("GET / HTTP/1.1\r\n\r\n", "{\"message\":\"Bad Request\"}", true);
    answered("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 ", true);
    answered("GET / HTTP/3.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 ", true);
    answered("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", "HTTP/1.1 413 ", true);
    answered("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "HTTP/1.1 400 ", true);
    answered("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 ", true);
    char text[70000];
    snprintf(text, sizeof text, "GET /%020000d", 0);
    answered(text, "HTTP/1.1 414 ", true);
}

static void limits_a_chunked_body(void **state)
{
    (void)state;
    char text[1400];
    snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n%01001d\r\n",
             0);
    answered(text, "HTTP/1.1 413 ", true);
}

static void limits_all_bodies_together(void **state)
{
    (void)state;
    struct fixture f = {.keep = true};
    struct sp_buf got = {0};
    start(&f, (struct sp_http_server_options){.max_bodies = 15});
    int a = dial(&f), b = dial(&f);
    say(&f, a, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    for (int i = 0; i < 2000 && !f.later; i++)
        sp_loop_run_once(f.loop, false);
    say(&f, b, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    expect(&f, b, &got, "HTTP/1.1 503 ");
    sp_http_reply(f.later, 200, NULL, SP_STR(""));
    f.keep = false;
    int c = dial(&f); /* the first has given its share back */
    say(&f, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    expect(&f, c, &got, "HTTP/1.1 200 ");
    close(a), close(b), close(c);
    sp_buf_fini(&got);
    stop(&f);
}

static void limits_connections(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct sp_buf got = {0};
    start(&f, (struct sp_http_server_options){.max_connections = 1});
    int a = dial(&f);
    say(&f, a, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(&f, a, &got, "hello");
    int b = dial(&f);
    expect_closed(&f, b);
    assert_int_equal(sp_http_server_connections(f.server), 1);
    close(a), close(b);
    sp_buf_fini(&got);
    stop(&f);
}

static void closes_slow_heads_and_idle_connections(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct sp_buf got = {0};
    start(&f, (struct sp_http_server_options){.head_timeout_ms = 30, .idle_timeout_ms = 60});
    int slow = dial(&f), idle = dial(&f);
    say(&f, slow, "GET / HTTP/1.1\r\n");
    expect(&f, slow, &got, "HTTP/1.1 408 ");
    expect_closed(&f, idle);
    close(slow), close(idle);
    sp_buf_fini(&got);
    stop(&f);
}

static void a_field_that_would_split_the_answer_is_a_500(void **state)
{
    (void)state;
    answered("GET /bad-field HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 500 ", true);
}

static void answers_keep_alive_and_pipelined(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct sp_buf got = {0};
    start(&f, (struct sp_http_server_options){0});
    int fd = dial(&f);
    say(&f, fd, "GET /a?x=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(&f, fd, &got, "\r\nX-Mine: 1\r\nContent-Type: text/plain\r\nDate: ");
    assert_string_equal(f.log, "GET /a ?x=1 0");
    expect(&f, fd, &got, "Content-Length: 5\r\n\r\nhello");
    say(&f, fd,
        "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        "HEAD /c HTTP/1.1\r\nHost: a\r\n\r\nGET /empty HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect(&f, fd, &got, "abcHTTP/1.1 200 OK\r\n");
    expect(&f, fd, &got, "Content-Length: 5\r\n\r\nHTTP/1.1 204 No Content\r\n");
    expect(&f, fd, &got, "Connection: close\r\n\r\n");
    expect_closed(&f, fd);
    assert_int_equal(f.handled, 4);
    close(fd);
    sp_buf_fini(&got);
    stop(&f);
}

static void many_pipelined_do_not_nest(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct sp_buf text = {0};
    start(&f, (struct sp_http_server_options){0});
    int fd = dial(&f);
    for (int i = 0; i < 1000; i++)
        sp_buf_printf(&text, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(send(fd, text.p, text.len, 0), text.len);
    for (int i = 0; i < 4000 && f.handled < 1000; i++)
        sp_loop_run_once(f.loop, false);
    assert_int_equal(f.handled, 1000);
    close(fd);
    sp_buf_fini(&text);
    stop(&f);
}

static void expect_continue_is_answered(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct sp_buf got = {0};
    start(&f, (struct sp_http_server_options){0});
    int fd = dial(&f);
    say(&f, fd, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    expect(&f, fd, &got, "HTTP/1.1 100 Continue\r\n\r\n");
    say(&f, fd, "xyz");
    expect(&f, fd, &got, "\r\n\r\nxyz");
    close(fd);
    sp_buf_fini(&got);
    stop(&f);
}

static void answers_later(void **state)
{
    (void)state;
    struct fixture f = {.keep = true};
    struct sp_buf got = {0};
    start(&f, (struct sp_http_server_options){0});
    int fd = dial(&f);
    say(&f, fd, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 2000 && !f.later; i++)
        sp_loop_run_once(f.loop, false);
    assert_int_equal(f.handled, 1); /* one at a time */
    assert_false(sp_http_gone(f.later));
    sp_http_reply(f.later, 200, NULL, SP_STR("first"));
    assert_int_equal(f.handled, 2);
    sp_http_reply(f.later, 200, NULL, SP_STR("second"));
    expect(&f, fd, &got, "second");
    close(fd);
    sp_buf_fini(&got);
    stop(&f);
}

static void client_may_go_before_the_answer(void **state)
{
    (void)state;
    struct fixture f = {.keep = true};
    start(&f, (struct sp_http_server_options){0});
    int fd = dial(&f);
    say(&f, fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    for (int i = 0; i < 2000 && !f.later; i++)
        sp_loop_run_once(f.loop, false);
    struct linger hard = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    for (int i = 0; i < 2000 && !sp_http_gone(f.later); i++) {
        sp_loop_run_once(f.loop, false);
        usleep(500);
    }
    assert_true(sp_http_gone(f.later));
    assert_str(f.later->body, "abc"); /* still there */
    sp_http_reply(f.later, 200, "text/plain", SP_STR("nobody reads this"));
    stop(&f);
}

static void server_may_go_before_the_answer(void **state)
{
    (void)state;
    struct fixture f = {.keep = true};
    start(&f, (struct sp_http_server_options){0});
    int fd = dial(&f);
    say(&f, fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 2000 && !f.later; i++)
        sp_loop_run_once(f.loop, false);
    stop(&f);
    sp_http_reply(f.later, 200, "text/plain", SP_STR("late"));
    close(fd);
}

static void drain_closes_what_is_idle(void **state)
{
    (void)state;
    struct fixture f = {.keep = true};
    struct sp_buf got = {0};
    start(&f, (struct sp_http_server_options){0});
    int idle = dial(&f), busy = dial(&f);
    say(&f, busy, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 2000 && !f.later; i++)
        sp_loop_run_once(f.loop, false);
    sp_http_server_drain(f.server);
    expect_closed(&f, idle);
    sp_http_reply(f.later, 200, NULL, SP_STR("done"));
    expect(&f, busy, &got, "Connection: close\r\n\r\ndone");
    expect_closed(&f, busy);
    close(idle), close(busy);
    sp_buf_fini(&got);
    stop(&f);
}

/* --- the blocking client against it */

struct thread {
    struct fixture f;
    pthread_t id;
};

static void *run_loop(void *arg)
{
    sp_loop_run(((struct thread *)arg)->f.loop);
    return NULL;
}

static void stop_loop(void *arg)
{
    sp_loop_stop(arg);
}

static void thread_start(struct thread *t)
{
    start(&t->f, (struct sp_http_server_options){0});
    assert_int_equal(pthread_create(&t->id, NULL, run_loop, t), 0);
}

static void thread_stop(struct thread *t)
{
    sp_loop_post(t->f.loop, stop_loop, t->f.loop);
    pthread_join(t->id, NULL);
    stop(&t->f);
}

static void client_calls(void **state)
{
    (void)state;
    struct thread t = {0};
    struct sp_error err;
    struct sp_http_client *c;
    struct sp_arena *a = sp_arena_new(1024);
    thread_start(&t);
    struct sp_str url = sp_arena_printf(a, "http://127.0.0.1:%u/prefix/", sp_address_port(&t.f.at));
    assert_false(sp_failed(sp_http_client_new(&(struct sp_http_client_options){.url = url.p}, &c, &err)));
    struct sp_buf big = {0};
    memset(sp_buf_reserve(&big, 3000000), 'b', 3000000);
    sp_buf_commit(&big, 3000000);
    const struct sp_http_call calls[] = {
        {.method = "GET", .path = SP_STR("/x?y")},
        {.method = "POST", .path = SP_STR("/x"), .content_type = "text/plain", .body = sp_buf_str(&big)},
        {.method = "HEAD", .path = SP_STR("/x")},
        {.method = "DELETE", .path = SP_STR("/empty")},
    };
    for (size_t i = 0; i < 4; i++) {
        struct sp_http_answer answer;
        assert_false(sp_failed(sp_http_client_call(c, &calls[i], a, &answer, &err)));
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.body.len, i == 1 ? 3000000 : i == 2 ? 0 : 5);
        assert_str(sp_fields_find(&answer.fields, SP_STR("x-mine"))->value, "1");
    }
    struct sp_http_call bad = {.method = "GET", .path = SP_STR("/a b")};
    struct sp_http_answer none;
    assert_int_equal(sp_http_client_call(c, &bad, a, &none, &err).code, SP_E_USAGE);
    sp_http_client_free(c);
    sp_buf_fini(&big);
    sp_arena_free(a);
    thread_stop(&t);
    assert_int_equal(t.f.handled, 4);
    assert_int_equal(t.f.peers, 1); /* the connection was kept */
    assert_string_equal(t.f.log, "DELETE /prefix/empty ? 0");
}

static void client_refuses_bad_urls(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "a", "https://a", "http://", "http://a:0", "http://u@a", "ftp://a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sp_http_client *c;
        struct sp_error err;
        assert_int_equal(sp_http_client_new(&(struct sp_http_client_options){.url = bad[i]}, &c, &err).code,
                         SP_E_USAGE);
    }
}

static sp_result call_once(struct sp_address *at, const struct sp_http_client_options *more, struct sp_error *err)
{
    struct sp_arena *a = sp_arena_new(512);
    struct sp_http_client_options o = *more;
    o.url = sp_arena_printf(a, "http://127.0.0.1:%u", sp_address_port(at)).p;
    struct sp_http_client *c;
    assert_false(sp_failed(sp_http_client_new(&o, &c, err)));
    struct sp_http_call call = {.method = "GET", .path = SP_STR("/")};
    struct sp_http_answer answer;
    sp_result r = sp_http_client_call(c, &call, a, &answer, err);
    sp_http_client_free(c);
    sp_arena_free(a);
    return r;
}

struct scripted { /* answers one connection with fixed bytes */
    int fd;
    const char *answer;
};

static void *answer_with(void *arg)
{
    struct scripted *s = arg;
    char buf[1000];
    int fd = accept(s->fd, NULL, NULL);
    if (recv(fd, buf, sizeof buf, 0) > 0 && send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL) >= 0)
        shutdown(fd, SHUT_WR);
    close(fd);
    return NULL;
}

static void client_tells_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        enum sp_code code;
    } rows[] = {
        {"", SP_E_CLOSED},
        {"HTTP/1.1 200 OK\r\n", SP_E_CLOSED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", SP_E_CLOSED},
        {"SSH-2.0-x\r\n", SP_E_PROTO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx", SP_E_PROTO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n"
         "12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901",
         SP_E_LIMIT},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nabc", SP_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_address at;
        struct sp_error err;
        struct scripted s = {.answer = rows[i].answer};
        assert_true(sp_address_parse_ip(SP_STR("127.0.0.1"), 0, &at));
        s.fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(s.fd, (struct sockaddr *)&at.ss, at.len), 0);
        assert_int_equal(listen(s.fd, 1), 0);
        assert_false(sp_failed(sp_local_address(s.fd, &at, &err)));
        pthread_t id;
        pthread_create(&id, NULL, answer_with, &s);
        assert_int_equal(call_once(&at, &(struct sp_http_client_options){.max_body = 100}, &err).code, rows[i].code);
        pthread_join(id, NULL);
        close(s.fd);
        if (i == 0) /* nobody listens there now */
            assert_int_equal(call_once(&at, &(struct sp_http_client_options){0}, &err).code, SP_E_UNAVAILABLE);
    }
}

static void client_speaks_over_a_unix_socket(void **state)
{
    (void)state;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char folder[] = "/tmp/http_test_XXXXXX";
    assert_non_null(mkdtemp(folder));
    snprintf(at.sun_path, sizeof at.sun_path, "%s/socket", folder);
    struct scripted s = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"};
    s.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(s.fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(s.fd, 1), 0);
    pthread_t id;
    pthread_create(&id, NULL, answer_with, &s);
    struct sp_address nowhere;
    struct sp_error err;
    assert_true(sp_address_parse_ip(SP_STR("127.0.0.1"), 1, &nowhere));
    assert_int_equal(call_once(&nowhere, &(struct sp_http_client_options){.unix_path = at.sun_path}, &err).code, SP_OK);
    pthread_join(id, NULL);
    close(s.fd);
    unlink(at.sun_path);
    assert_int_equal(call_once(&nowhere, &(struct sp_http_client_options){.unix_path = at.sun_path}, &err).code,
                     SP_E_UNAVAILABLE);
    rmdir(folder);
}

static void client_gives_up_in_time(void **state)
{
    (void)state;
    struct thread t = {.f.keep = true};
    struct sp_error err;
    thread_start(&t);
    assert_int_equal(call_once(&t.f.at, &(struct sp_http_client_options){.timeout_ms = 50}, &err).code, SP_E_TIMEOUT);
    thread_stop(&t);
    sp_http_reply(t.f.later, 200, NULL, SP_STR(""));
}

/* --- URLs */

static void urls(void **state)
{
    (void)state;
    struct sp_arena *a = sp_arena_new(256);
    struct sp_str out, name;
    static const char *const bad[] = {"%", "%4", "%4g", "%g4", "a%00b", "%-1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sp_url_decode(a, sp_str_z(bad[i]), true, &out));
    assert_true(sp_url_decode(a, SP_STR("a%2fb+c%C3"), false, &out));
    assert_str(out, "a/b+c\xc3");
    assert_true(sp_url_decode(a, SP_STR("a+%2B"), true, &out));
    assert_str(out, "a +");
    struct sp_str path = SP_STR("//services/a%2Fb//c%20d/");
    assert_true(sp_url_next_segment(a, &path, &out));
    assert_str(out, "services");
    assert_true(sp_url_next_segment(a, &path, &out));
    assert_str(out, "a/b");
    assert_true(sp_url_next_segment(a, &path, &out));
    assert_str(out, "c d");
    assert_false(sp_url_next_segment(a, &path, &out));
    assert_int_equal(path.len, 0);
    path = SP_STR("/%zz");
    assert_false(sp_url_next_segment(a, &path, &out));
    assert_true(path.len > 0);
    struct sp_str query = SP_STR("&size=10&&offset=a%3D%26b&flag&=x");
    assert_true(sp_query_get(a, query, "offset", &out));
    assert_str(out, "a=&b");
    assert_true(sp_query_get(a, query, "flag", &out));
    assert_str(out, "");
    assert_false(sp_query_get(a, query, "fla", &out));
    int num = 0;
    while (sp_query_next(a, &query, &name, &out))
        num++;
    assert_int_equal(num, 4);
    struct sp_buf b = {0};
    sp_url_encode(&b, SP_STR("a/b c~\xc3"));
    assert_str(sp_buf_str(&b), "a%2Fb%20c~%C3");
    sp_buf_fini(&b);
    sp_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_without_the_handler),
        cmocka_unit_test(limits_a_chunked_body),
        cmocka_unit_test(limits_all_bodies_together),
        cmocka_unit_test(limits_connections),
        cmocka_unit_test(closes_slow_heads_and_idle_connections),
        cmocka_unit_test(a_field_that_would_split_the_answer_is_a_500),
        cmocka_unit_test(answers_keep_alive_and_pipelined),
        cmocka_unit_test(many_pipelined_do_not_nest),
        cmocka_unit_test(expect_continue_is_answered),
        cmocka_unit_test(answers_later),
        cmocka_unit_test(client_may_go_before_the_answer),
        cmocka_unit_test(server_may_go_before_the_answer),
        cmocka_unit_test(drain_closes_what_is_idle),
        cmocka_unit_test(client_calls),
        cmocka_unit_test(client_refuses_bad_urls),
        cmocka_unit_test(client_tells_what_is_wrong),
        cmocka_unit_test(client_speaks_over_a_unix_socket),
        cmocka_unit_test(client_gives_up_in_time),
        cmocka_unit_test(urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
