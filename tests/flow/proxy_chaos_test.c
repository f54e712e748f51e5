/* Clients and upstreams that do anything at any time, by a seed: nothing may break, nothing may leak, and above all no
 * answer may reach another request than its own. SALLYPORT_CHAOS=<seed> repeats a run, SALLYPORT_CHAOS_ROUNDS makes it
 * longer. */
#include "flow_h2.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS = 4, BODY_MAX = 200000 };

static unsigned rounds = 60;
static uint64_t seed;

struct dice {
    uint64_t state;
};

static unsigned roll(struct dice *d, unsigned sides)
{
    d->state = d->state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(d->state >> 33) % sides;
}

/* --- upstreams --- */

static char filler[BODY_MAX];

/* Says bytes in pieces, or only some of them. */
static bool say_some(struct flow_visit *v, struct dice *d, const char *p, size_t n, bool all)
{
    size_t end = all ? n : roll(d, (unsigned)n + 1);
    unsigned pieces = 1 + (roll(d, 4) ? 0 : roll(d, 6));
    for (size_t at = 0; at < end;) {
        size_t part = (end - at) / pieces + 1;
        if (part > end - at)
            part = end - at;
        if (!flow_send(&v->end, p + at, part))
            return false;
        at += part;
    }
    return all;
}

/* The body begins with the path, so that whoever gets it knows whose it is. */
static void answer_text(struct sp_buf *out, struct dice *d, struct sp_str path)
{
    size_t more = roll(d, 3) ? roll(d, 100) : roll(d, BODY_MAX - 1000);
    if (roll(d, 8) == 0)
        sp_buf_printf(out, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    switch (roll(d, 3)) {
    case 0:
        sp_buf_printf(out, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%.*s", path.len + more, SP_FMT(path));
        sp_buf_append(out, filler, more);
        break;
    case 1:
        sp_buf_printf(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%.*s\r\n", path.len,
                      SP_FMT(path));
        if (more) {
            sp_buf_printf(out, "%zx\r\n", more);
            sp_buf_append(out, filler, more);
            sp_buf_append(out, "\r\n", 2);
        }
        sp_buf_printf(out, roll(d, 2) ? "0\r\n\r\n" : "0\r\nX-Sum: 1\r\n\r\n");
        break;
    default:
        sp_buf_printf(out, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%.*s", path.len,
                      SP_FMT(path));
    }
}

static void serve_somehow(struct flow_visit *v)
{
    struct dice d = {seed * 31 + v->number};
    struct sp_buf head = {0}, body = {0}, out = {0};
    for (bool on = true; on;) {
        unsigned mood = roll(&d, 20);
        if (mood == 0)
            break;       /* closes when it is used, or reused */
        if (mood == 1) { /* answers before the body */
            if (!flow_has(&v->end, "\r\n\r\n"))
                break;
            flow_say(&v->end, "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            break;
        }
        if (!flow_request(&v->end, &head, &body))
            break;
        struct sp_str line = sp_str_z(sp_buf_str(&head).p);
        (void)sp_str_split(&line, ' ');
        struct sp_str path = sp_str_split(&line, ' ');
        if (strstr(sp_buf_str(&head).p, "Upgrade: websocket") && roll(&d, 2)) {
            flow_say(&v->end, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
            flow_send(&v->end, path.p, path.len);
            while (v->end.in.len || flow_fill(&v->end)) {
                flow_send(&v->end, sp_buf_str(&v->end.in).p, v->end.in.len);
                flow_take(&v->end, v->end.in.len);
                if (roll(&d, 10) == 0)
                    break;
            }
            break;
        }
        sp_buf_clear(&out);
        answer_text(&out, &d, path);
        bool close = memmem(sp_buf_str(&out).p, out.len < 200 ? out.len : 200, "close", 5);
        if (mood == 4 && out.len < 1000 && !close) { /* in one piece: later, no one could tell it from an answer */
            sp_buf_printf(&out, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
            on = flow_send(&v->end, sp_buf_str(&out).p, out.len);
        } else {
            on = say_some(v, &d, sp_buf_str(&out).p, out.len, mood > 3) && !close;
        }
        if (mood == 5) {
            flow_reset(&v->end);
            on = false;
        }
    }
    sp_buf_fini(&head);
    sp_buf_fini(&body);
    sp_buf_fini(&out);
}

/* --- clients --- */

struct client {
    struct flow *f;
    struct sp_tls_client *tls, *tls_h2;
    struct dice d;
    unsigned number, asked, served, wrong, late;
    pthread_t thread;
};

static void put_request(struct client *c, struct sp_buf *out, unsigned id)
{
    unsigned kind = roll(&c->d, 6);
    size_t n = roll(&c->d, 3) ? roll(&c->d, 100) : roll(&c->d, BODY_MAX - 1);
    switch (kind) {
    case 0:
        sp_buf_printf(out, "POST /%u-%u HTTP/1.1\r\nHost: a.test\r\nContent-Length: %zu\r\n\r\n", c->number, id, n);
        sp_buf_append(out, filler, n);
        break;
    case 1:
        sp_buf_printf(out, "PUT /%u-%u HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
                      c->number, id, n + 1);
        sp_buf_append(out, filler, n + 1);
        sp_buf_printf(out, "\r\n0\r\n\r\n");
        break;
    case 2:
        sp_buf_printf(out, "GET /%u-%u HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                      c->number, id);
        break;
    case 3:
        sp_buf_printf(out, "GET /%u-%u HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n", c->number, id);
        break;
    default:
        sp_buf_printf(out, "GET /%u-%u HTTP/1.1\r\nHost: a.test\r\n\r\n", c->number, id);
    }
}

static void leave(struct client *c, struct flow_end *e)
{
    if (roll(&c->d, 2))
        flow_reset(e);
    else
        flow_shut(e);
}

/* True: the connection goes on. */
static bool judge(struct client *c, struct flow_end *e, struct flow_answer *a, unsigned id)
{
    char path[64];
    int n = snprintf(path, sizeof path, "/%u-%u", c->number, id);
    bool answered = flow_answer(e, a, false);
    if (e->late)
        c->late++;
    if (!answered)
        return false;
    if (a->status == 101 || !a->whole)
        return false;
    if (a->status == 200 && (a->body.len < (size_t)n || memcmp(sp_buf_str(&a->body).p, path, (size_t)n) != 0))
        c->wrong++;
    c->served += a->status == 200;
    const char *connection = flow_header(a, "Connection");
    return !connection || strncmp(connection, "close", 5) != 0;
}

static void visit_h1(struct client *c)
{
    struct flow_end e;
    struct flow_answer a = {0};
    struct sp_buf out = {0};
    if (roll(&c->d, 2))
        flow_connect(c->f, &e);
    else
        flow_connect_tls_with(c->f, &e, c->tls, "a.test");
    bool on = !e.broken;
    for (int i = 0; on && i < 10; i++) {
        unsigned first = c->asked, num = roll(&c->d, 4) ? 1 : 1 + roll(&c->d, 4);
        sp_buf_clear(&out);
        for (unsigned k = 0; k < num; k++)
            put_request(c, &out, c->asked++);
        bool whole = roll(&c->d, 10) != 0;
        size_t n = whole ? out.len : roll(&c->d, (unsigned)out.len);
        on = flow_send(&e, sp_buf_str(&out).p, n) && whole;
        if (roll(&c->d, 15) == 0)
            break; /* without waiting for the answer */
        for (unsigned k = 0; on && k < num; k++)
            on = judge(c, &e, &a, first + k);
    }
    leave(c, &e);
    flow_answer_fini(&a);
    sp_buf_fini(&out);
}

/* A reset ends its stream as soon as it is sent: then there may be nothing to wait for. */
static bool wait_for_some(struct flow_h2 *h)
{
    return flow_h2_flush(h) && (h->closed == h->num || flow_h2_turn(h));
}

static void visit_h2(struct client *c, struct flow_h2 *h)
{
    bool hold = roll(&c->d, 5) == 0;
    if (!flow_h2_open_with(c->f, h, c->tls_h2, hold)) {
        flow_h2_shut(h);
        return;
    }
    unsigned total = 1 + roll(&c->d, 60);
    bool on = true;
    while (on && h->num < total) {
        struct flow_h2_stream *s = flow_h2_ask(h, roll(&c->d, 3) ? "GET" : "POST", "/h2",
                                               roll(&c->d, 3) ? 0 : 1 + roll(&c->d, BODY_MAX), false);
        if (roll(&c->d, 6) == 0) {
            on = flow_h2_flush(h);
            flow_h2_reset(h, s);
        }
        if (roll(&c->d, 4) == 0)
            on = flow_h2_flush(h);
        if (on && !hold && roll(&c->d, 3) == 0)
            on = wait_for_some(h);
    }
    if (hold && roll(&c->d, 2))
        flow_h2_release(h);
    while (on && !h->hold && h->closed < h->num && roll(&c->d, 200))
        on = wait_for_some(h);
    c->served += h->ok;
    c->late += h->e.late;
    for (unsigned i = 0; i < h->num; i++)
        c->wrong += h->streams[i].whole && h->streams[i].status == 200 && h->streams[i].body < 3;
    if (roll(&c->d, 2))
        flow_reset(&h->e);
    flow_h2_shut(h);
}

static void *play(void *arg)
{
    struct client *c = arg;
    struct flow_h2 *h = sp_alloc(sizeof *h);
    for (unsigned i = 0; i < rounds; i++)
        if (roll(&c->d, 3))
            visit_h1(c);
        else
            visit_h2(c, h);
    free(h);
    return NULL;
}

static void nothing_breaks(void **state)
{
    (void)state;
    struct flow f;
    struct flow_upstream u;
    struct client c[THREADS];
    struct sp_error err;
    struct sp_tls_client_options h1 = {.alpn = "http/1.1"}, h2 = {.alpn = "h2"};
    struct flow_setup setup = {.workers = 2};
    struct flow_answer a = {0};
    unsigned served = 0;
    flow_start(&f, &setup);
    flow_upstream_start(&u, serve_somehow, NULL);
    flow_serve(&f, u.port, "retries: 2");
    for (unsigned i = 0; i < THREADS; i++) {
        c[i] = (struct client){.f = &f, .number = i, .d = {seed + i}};
        assert_false(sp_failed(sp_tls_client_new(&h1, &c[i].tls, &err)));
        assert_false(sp_failed(sp_tls_client_new(&h2, &c[i].tls_h2, &err)));
        assert_int_equal(pthread_create(&c[i].thread, NULL, play, &c[i]), 0);
    }
    for (unsigned i = 0; i < rounds; i++)
        flow_serve(&f, u.port, "retries: 2");
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(c[i].thread, NULL);
        sp_tls_client_free(c[i].tls);
        sp_tls_client_free(c[i].tls_h2);
        if (c[i].wrong)
            fail_msg("seed %llu: %u answers reached another request", (unsigned long long)seed, c[i].wrong);
        if (c[i].late)
            fail_msg("seed %llu: %u answers never came", (unsigned long long)seed, c[i].late);
        served += c[i].served;
    }
    assert_true(flow_until_count(&f, connections_active, 0));
    assert_int_equal(flow_count(&f, requests_active), 0);
    assert_true(served > rounds);
    unsigned status = 0;
    for (int i = 0; i < 100 && status != 200; i++) /* the upstream has its moods */
        status = flow_get(&f, "/", &a);
    assert_int_equal(status, 200);
    assert_int_equal(f.proxy.current->refs, 3);
    flow_answer_fini(&a);
    flow_stop(&f);
    flow_upstream_stop(&u);
}

int main(void)
{
    const char *s = getenv("SALLYPORT_CHAOS"), *r = getenv("SALLYPORT_CHAOS_ROUNDS");
    seed = s ? strtoull(s, NULL, 10) : 20;
    rounds = r ? (unsigned)strtoul(r, NULL, 10) : rounds;
    sp_log_min = SP_ERROR;
    memset(filler, 'x', sizeof filler);
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_breaks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
