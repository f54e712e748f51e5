#include "route/why.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Lists are written as words: "GET POST". */
struct r {
    const char *id, *hosts, *paths, *methods, *snis, *protocols;
    const char *headers; /* "name:value,value name2:value" */
    int regex_priority;
    int64_t created_at;
};

static char **words(struct sp_arena *a, const char *text, size_t *n)
{
    *n = 0;
    char **v = SP_NEW_N(a, char *, 64);
    struct sp_str rest = sp_str_z(text);
    while (rest.len) {
        struct sp_str w = sp_str_split(&rest, ' ');
        v[(*n)++] = sp_arena_strdup(a, sp_arena_dup(a, w).p);
    }
    return v;
}

static void add_headers(struct sp_arena *a, Sallyport__V1__Route *m, const char *text)
{
    size_t n;
    char **w = words(a, text, &n);
    m->headers = SP_NEW_N(a, Sallyport__V1__HeaderEntry *, n + 1);
    for (size_t i = 0; i < n; i++) {
        Sallyport__V1__HeaderEntry *h = SP_NEW(a, Sallyport__V1__HeaderEntry);
        sallyport__v1__header_entry__init(h);
        struct sp_str rest = sp_str_z(w[i]);
        h->key = (char *)sp_arena_dup(a, sp_str_split(&rest, ':')).p;
        h->values = SP_NEW_N(a, char *, 8);
        while (rest.len)
            h->values[h->n_values++] = (char *)sp_arena_dup(a, sp_str_split(&rest, ',')).p;
        m->headers[m->n_headers++] = h;
    }
}

static Sallyport__V1__Route *route(struct sp_arena *a, const struct r *r)
{
    Sallyport__V1__Route *m = SP_NEW(a, Sallyport__V1__Route);
    sallyport__v1__route__init(m);
    m->id = sp_arena_strdup(a, r->id);
    m->hosts = words(a, r->hosts, &m->n_hosts);
    m->paths = words(a, r->paths, &m->n_paths);
    m->methods = words(a, r->methods, &m->n_methods);
    m->snis = words(a, r->snis, &m->n_snis);
    m->protocols = words(a, r->protocols ? r->protocols : "http https", &m->n_protocols);
    m->regex_priority = r->regex_priority;
    m->created_at = r->created_at;
    add_headers(a, m, r->headers);
    return m;
}

struct world {
    struct sp_arena *arena;
    struct dp_router *router;
};

static struct world world(const struct r *v, size_t num)
{
    struct world w = {.arena = sp_arena_new(4096)};
    struct dp_route_spec *specs = SP_NEW_N(w.arena, struct dp_route_spec, num + 1);
    for (size_t i = 0; i < num; i++) {
        Sallyport__V1__Route *m = route(w.arena, &v[i]);
        specs[i] = (struct dp_route_spec){m, m->id};
    }
    struct sp_error err;
    assert_false(sp_failed(dp_router_compile(w.arena, specs, num, &w.router, &err)));
    return w;
}
#define WORLD(...) world((struct r[]){__VA_ARGS__}, sizeof((struct r[]){__VA_ARGS__}) / sizeof(struct r))

struct q {
    const char *host, *path, *method, *sni;
    bool tls;
    uint16_t port;
    const char *header[2], *value[2];
};

static const char *ask(const struct world *w, struct q q, struct dp_match *m)
{
    struct sp_field fields[2];
    struct sp_fields list = {fields, 0, 2};
    for (size_t i = 0; i < 2 && q.header[i]; i++)
        fields[list.len++] = (struct sp_field){.name = sp_str_z(q.header[i]), .value = sp_str_z(q.value[i])};
    struct dp_match_input in = {.method = sp_str_z(q.method ? q.method : "GET"),
                                .host = sp_str_z(q.host),
                                .path = sp_str_z(q.path ? q.path : "/"),
                                .sni = sp_str_z(q.sni),
                                .port = q.port  ? q.port
                                        : q.tls ? 443
                                                : 80,
                                .tls = q.tls,
                                .fields = &list};
    const char *target = dp_router_match(w->router, &in, m) ? m->target : "none";
    struct sp_arena *a = sp_arena_new(4096); /* the explanation has no opinion of its own */
    struct dp_why why;
    dp_router_why(w->router, &in, a, &why);
    assert_string_equal(why.winner.route ? why.winner.target : "none", target);
    sp_arena_free(a);
    return target;
}

#define ASK(w, want, ...)                                                                                              \
    do {                                                                                                               \
        struct dp_match m_;                                                                                            \
        assert_string_equal(ask(&(w), (struct q){__VA_ARGS__}, &m_), want);                                            \
    } while (0)

static void matched(const struct world *w, struct q q, const char *want_prefix)
{
    struct dp_match m;
    assert_string_not_equal(ask(w, q, &m), "none");
    assert_int_equal(m.matched_prefix.len, strlen(want_prefix));
    assert_memory_equal(m.matched_prefix.p, want_prefix, m.matched_prefix.len);
}

static void nothing_matches_an_empty_router(void **state)
{
    (void)state;
    struct world w = world(NULL, 0);
    ASK(w, "none", .host = "a.com", .path = "/");
    ASK(w, "none", .path = "/");
    sp_arena_free(w.arena);
}

static void hosts(void **state)
{
    (void)state;
    struct world w = WORLD({.id = "plain", .hosts = "a.com B.com"}, {.id = "port", .hosts = "p.com:8443"},
                           {.id = "suffix", .hosts = "*.example.com"}, {.id = "prefix", .hosts = "example.*"},
                           {.id = "wildport", .hosts = "*.ported.com:9000"});
    ASK(w, "plain", .host = "a.com");
    ASK(w, "plain", .host = "a.com", .port = 1234);
    ASK(w, "plain", .host = "b.com");
    ASK(w, "none", .host = "xa.com");
    ASK(w, "none", .host = "a.com.evil");
    ASK(w, "none", .host = "");
    ASK(w, "none", .host = "p.com");
    ASK(w, "none", .host = "p.com", .port = 8444);
    ASK(w, "port", .host = "p.com", .port = 8443);
    ASK(w, "suffix", .host = "x.example.com");
    ASK(w, "suffix", .host = "y.x.example.com");
    ASK(w, "prefix", .host = "example.com.net.x");
    ASK(w, "none", .host = ".example.com");
    ASK(w, "none", .host = "xexample.com");
    ASK(w, "prefix", .host = "example.org");
    ASK(w, "prefix", .host = "example.co.uk");
    ASK(w, "none", .host = "examplex.org");
    ASK(w, "wildport", .host = "a.ported.com", .port = 9000);
    ASK(w, "none", .host = "a.ported.com", .port = 9001);
    sp_arena_free(w.arena);
}

static void addresses_as_hosts(void **state)
{
    (void)state;
    struct world w = WORLD({.id = "bare", .hosts = "::1"}, {.id = "brackets", .hosts = "[FE80::2]"},
                           {.id = "port", .hosts = "[::3]:8443"}, {.id = "v4", .hosts = "10.0.0.1:80"});
    ASK(w, "bare", .host = "::1", .port = 7);
    ASK(w, "brackets", .host = "fe80::2");
    ASK(w, "port", .host = "::3", .port = 8443);
    ASK(w, "none", .host = "::3");
    ASK(w, "v4", .host = "10.0.0.1");
    ASK(w, "none", .host = "10.0.0.1", .port = 81);
    ASK(w, "none", .host = ":");
    sp_arena_free(w.arena);
}

static void plain_paths(void **state)
{
    (void)state;
    struct world w = WORLD({.id = "root", .paths = "/"}, {.id = "foo", .paths = "/foo"},
                           {.id = "foobarbaz", .paths = "/foo/bar/baz"}, {.id = "zed", .paths = "/zed/"});
    ASK(w, "root", .path = "/");
    ASK(w, "root", .path = "/fo");
    ASK(w, "foo", .path = "/foo");
    ASK(w, "foo", .path = "/foobar");
    ASK(w, "foo", .path = "/foo/bar/ba");
    ASK(w, "foo", .path = "/foo/bar/bz");
    ASK(w, "foobarbaz", .path = "/foo/bar/baz/x");
    ASK(w, "root", .path = "/Foo");
    ASK(w, "root", .path = "/zed");
    ASK(w, "zed", .path = "/zed/x");
    matched(&w, (struct q){.path = "/foobar"}, "/foo");
    matched(&w, (struct q){.path = "/fo"}, "/");
    sp_arena_free(w.arena);
}

static void regex_paths(void **state)
{
    (void)state;
    struct world w = WORLD({.id = "plain", .paths = "/users/12345"}, {.id = "user", .paths = "~/users/\\d+$"},
                           {.id = "any", .paths = "~/users/(?<name>[a-z]+)"},
                           {.id = "alt", .paths = "~/(left|right)/x"}, {.id = "anchored", .paths = "~^/top"});
    ASK(w, "user", .path = "/users/12345"); /* regexes before plain prefixes */
    ASK(w, "plain", .path = "/users/12345/orders");
    ASK(w, "any", .path = "/users/joe/orders");
    ASK(w, "none", .path = "/x/users/joe"); /* anchored at the start */
    ASK(w, "alt", .path = "/right/x/y");
    ASK(w, "anchored", .path = "/top/x");
    matched(&w, (struct q){.path = "/users/joe/orders"}, "/users/joe");
    matched(&w, (struct q){.path = "/right/x/y"}, "/right/x");
    sp_arena_free(w.arena);
}

static void no_paths_match_any(void **state)
{
    (void)state;
    struct world w = WORLD({.id = "h", .hosts = "a.com"});
    matched(&w, (struct q){.host = "a.com", .path = "/anything"}, "");
    sp_arena_free(w.arena);
}

static void methods(void **state)
{
    (void)state;
    struct world w = WORLD({.id = "rw", .methods = "POST PUT"}, {.id = "own", .methods = "PURGE"});
    ASK(w, "rw", .method = "PUT");
    ASK(w, "own", .method = "PURGE");
    ASK(w, "none", .method = "GET");
    ASK(w, "none", .method = "put");
    sp_arena_free(w.arena);
}

static void headers(void **state)
{
    (void)state;
    struct world w =
        WORLD({.id = "one", .headers = "x-version:v1,v2"}, {.id = "two", .headers = "x-version:v3 x-loc:us"},
              {.id = "re", .headers = "x-agent:~*chrome/\\d+"});
    ASK(w, "none", .header = {"x-version"}, .value = {"v9"});
    ASK(w, "none", .header = {"x_version"}, .value = {"v1"});
    ASK(w, "one", .header = {"X-Version"}, .value = {"V2"});
    ASK(w, "none", .header = {"X-Version"}, .value = {"v1,v2"});
    ASK(w, "none", .header = {"x-version"}, .value = {"v3"}); /* names AND */
    ASK(w, "two", .header = {"x-version", "x-loc"}, .value = {"v3", "US"});
    ASK(w, "one", .header = {"x-version", "x-version"}, .value = {"v9", "v1"}); /* each value on its own */
    ASK(w, "re", .header = {"x-agent"}, .value = {"Mozilla Chrome/120"});
    ASK(w, "none", .header = {"x-agent"}, .value = {"Mozilla"});
    sp_arena_free(w.arena);
}

static void snis(void **state)
{
    (void)state;
    struct world w = WORLD({.id = "eq", .paths = "/eq", .snis = "A.com.", .protocols = "https"},
                           {.id = "suffix", .paths = "/s", .snis = "*.a.com", .protocols = "https"},
                           {.id = "prefix", .paths = "/p", .snis = "a.*", .protocols = "https"},
                           {.id = "star", .paths = "/x", .snis = "*", .protocols = "https"});
    ASK(w, "eq", .path = "/eq", .sni = "a.com", .tls = true);
    ASK(w, "none", .path = "/eq", .sni = "b.com", .tls = true);
    ASK(w, "none", .path = "/eq", .sni = "", .tls = true);
    ASK(w, "eq", .path = "/eq", .tls = false); /* counts as matched: the exchange answers 426 */
    ASK(w, "suffix", .path = "/s", .sni = "y.x.a.com", .tls = true);
    ASK(w, "none", .path = "/s", .sni = "a.com", .tls = true);
    ASK(w, "none", .path = "/s", .sni = "xa.com", .tls = true);
    ASK(w, "prefix", .path = "/p", .sni = "a.co.uk", .tls = true);
    ASK(w, "none", .path = "/p", .sni = "b.a.com", .tls = true);
    ASK(w, "none", .path = "/x", .sni = "", .tls = true);
    ASK(w, "star", .path = "/x", .sni = "any", .tls = true);
    sp_arena_free(w.arena);
}

static void protocols(void **state)
{
    (void)state;
    struct world w =
        WORLD({.id = "http", .paths = "/h", .protocols = "http"}, {.id = "https", .paths = "/s", .protocols = "https"},
              {.id = "grpc", .paths = "/g", .protocols = "grpc"}, {.id = "grpcs", .paths = "/gs", .protocols = "grpcs"},
              {.id = "both", .paths = "/b"});
    ASK(w, "none", .path = "/h", .tls = true);
    ASK(w, "http", .path = "/h");
    ASK(w, "https", .path = "/s", .tls = true);
    ASK(w, "https", .path = "/s");
    ASK(w, "none", .path = "/g", .tls = true);
    ASK(w, "grpc", .path = "/g");
    ASK(w, "grpcs", .path = "/gs", .tls = true);
    ASK(w, "grpcs", .path = "/gs");
    ASK(w, "both", .path = "/b", .tls = true);
    sp_arena_free(w.arena);
}

/* Each rung of the ladder beats everything below it. */
static void priority_order(void **state)
{
    (void)state;
    struct world w = WORLD({.id = "kinds", .hosts = "*.k.com", .paths = "/", .methods = "GET", .created_at = 9},
                           {.id = "fewer", .hosts = "a.k.com", .paths = "~/.*", .regex_priority = 99});
    ASK(w, "kinds", .host = "a.k.com", .path = "/long/path");
    sp_arena_free(w.arena);

    w = WORLD({.id = "wild", .hosts = "*.p.com", .headers = "a:1 b:2"},
              {.id = "plain", .hosts = "a.p.com", .headers = "a:1"},
              {.id = "mixed", .hosts = "a.p.com *.q.com", .headers = "a:1 b:2"});
    ASK(w, "plain", .host = "a.p.com", .header = {"a", "b"}, .value = {"1", "2"});
    sp_arena_free(w.arena);

    w = WORLD({.id = "one", .headers = "a:1", .paths = "~/x.*"}, {.id = "two", .headers = "a:1 b:2", .paths = "/"});
    ASK(w, "two", .path = "/xyz", .header = {"a", "b"}, .value = {"1", "2"});
    sp_arena_free(w.arena);

    w = WORLD({.id = "plain", .paths = "/very/long/path"}, {.id = "regex", .paths = "~/v", .regex_priority = -5});
    ASK(w, "regex", .path = "/very/long/path");
    sp_arena_free(w.arena);

    w = WORLD({.id = "minus", .paths = "~/v", .regex_priority = -1}, {.id = "low", .paths = "~/ve"},
              {.id = "high", .paths = "~/v", .regex_priority = 3});
    ASK(w, "high", .path = "/very");
    sp_arena_free(w.arena);

    w = WORLD({.id = "newer", .paths = "/a", .created_at = 2}, {.id = "older", .paths = "/a", .created_at = 1});
    ASK(w, "older", .path = "/a");
    sp_arena_free(w.arena);

    w = WORLD({.id = "b", .paths = "/a"}, {.id = "a", .paths = "/a"});
    ASK(w, "a", .path = "/a");
    sp_arena_free(w.arena);
}

/* regex_priority says nothing about plain paths; a route with both kinds is split. */
static void paths_are_split(void **state)
{
    (void)state;
    struct world w = WORLD({.id = "mixed", .paths = "/a ~/r\\d", .regex_priority = 7, .created_at = 5},
                           {.id = "longer", .paths = "/a/b"}, {.id = "re", .paths = "~/r", .regex_priority = 3});
    ASK(w, "mixed", .path = "/a");
    ASK(w, "longer", .path = "/a/b");
    ASK(w, "mixed", .path = "/r1");
    ASK(w, "re", .path = "/rx");
    sp_arena_free(w.arena);
}

/* A route that asks for more stands in another bucket and still wins or loses by priority alone. */
static void buckets_merge_by_priority(void **state)
{
    (void)state;
    struct world w =
        WORLD({.id = "nohost", .paths = "/x", .methods = "GET", .headers = "h:1"},
              {.id = "exact", .hosts = "a.b.com", .paths = "/x"}, {.id = "wild", .hosts = "*.b.com", .paths = "/xyz"},
              {.id = "star", .hosts = "*", .paths = "/x/y/z"});
    ASK(w, "nohost", .host = "a.b.com", .path = "/xyz", .header = {"h"}, .value = {"1"});
    ASK(w, "exact", .host = "a.b.com", .path = "/xyz");
    ASK(w, "wild", .host = "c.b.com", .path = "/xyz");
    ASK(w, "star", .host = "other", .path = "/x/y/z");
    ASK(w, "none", .path = "/x/y/z");
    sp_arena_free(w.arena);
}

/* A regex that cannot be decided must neither hang nor let the request fall through to a laxer route. */
static void runaway_regex_is_no_match(void **state)
{
    (void)state;
    struct world w = WORLD({.id = "evil", .paths = "~/(a+)+$"}, {.id = "catchall", .paths = "/"},
                           {.id = "better", .paths = "/aaaa", .hosts = "h.com"});
    char path[512] = "/";
    memset(path + 1, 'a', 500);
    path[501] = '!';
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    ASK(w, "none", .path = path);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    assert_true(t1.tv_sec - t0.tv_sec < 5);
    ASK(w, "better", .host = "h.com", .path = path); /* ranks above the one in doubt */
    ASK(w, "evil", .path = "/aaa");
    ASK(w, "catchall", .path = "/b");
    sp_arena_free(w.arena);
}

static void bad_regex_is_an_error(void **state)
{
    (void)state;
    struct sp_arena *a = sp_arena_new(1024);
    struct dp_router *r;
    struct sp_error err;
    struct dp_route_spec spec = {route(a, &(struct r){.id = "r1", .paths = "/ok ~/("}), NULL};
    assert_int_equal(dp_router_compile(a, &spec, 1, &r, &err).code, SP_E_INVALID);
    assert_non_null(strstr(err.text, "route r1: paths[1]: regex '/('"));
    spec.route = route(a, &(struct r){.id = "r2", .headers = "x-a:~*["});
    assert_int_equal(dp_router_compile(a, &spec, 1, &r, &err).code, SP_E_INVALID);
    assert_non_null(strstr(err.text, "route r2: headers.x-a"));
    spec.route = route(a, &(struct r){.id = "r3", .paths = "~(*UTF)/x"});
    assert_true(sp_failed(dp_router_compile(a, &spec, 1, &r, &err)));
    sp_arena_free(a);
}

/* --- why */

static struct dp_why why(struct world *w, struct dp_match_input in)
{
    static struct sp_fields none;
    struct dp_why out;
    in.method = in.method.len ? in.method : SP_STR("GET");
    in.fields = in.fields ? in.fields : &none;
    in.port = in.tls ? 443 : 80;
    dp_router_why(w->router, &in, w->arena, &out);
    return out;
}
#define WHY(w, ...) why(&(w), (struct dp_match_input){__VA_ARGS__})

static void lost(const struct dp_why *y, size_t i, const char *id, const char *by)
{
    assert_true(i < y->num_others);
    assert_string_equal(y->others[i].route->id, id);
    assert_string_equal(y->others[i].lost.p, by);
}

static void why_it_won(void **state)
{
    (void)state;
    struct world w =
        WORLD({.id = "three", .hosts = "a.com", .paths = "/v1", .methods = "GET"},
              {.id = "wild", .hosts = "*.com", .paths = "/v1 /v1/long", .methods = "GET"},
              {.id = "long", .hosts = "a.com", .paths = "/v1/x"}, {.id = "regex", .hosts = "a.com", .paths = "~/v"},
              {.id = "regex9", .hosts = "a.com", .paths = "~/v\\d", .regex_priority = 9},
              {.id = "old", .paths = "/v1", .created_at = 1}, {.id = "new", .paths = "/v1", .created_at = 2},
              {.id = "new2", .paths = "/v1", .created_at = 2});
    struct dp_why y = WHY(w, .host = SP_STR("a.com"), .path = SP_STR("/v1/x"));
    assert_string_equal(y.winner.route->id, "three");
    assert_string_equal(y.winner.path, "/v1");
    assert_int_equal(y.num_others, 7);
    lost(&y, 0, "wild", "its hosts are all plain names, without a wildcard");
    lost(&y, 1, "regex9", "more kinds of criteria: hosts, paths, methods against hosts, paths");
    y = WHY(w, .host = SP_STR("a.com"), .path = SP_STR("/v1/x"), .method = SP_STR("PUT"));
    assert_string_equal(y.winner.route->id, "regex9");
    lost(&y, 0, "regex", "higher regex_priority: 9 against 0");
    lost(&y, 1, "long", "its path is a regex, and those come before plain prefixes");
    y = WHY(w, .host = SP_STR("b.org"), .path = SP_STR("/v1"));
    assert_string_equal(y.winner.route->id, "old");
    lost(&y, 0, "new", "it is older (created_at), and nothing else tells them apart");
    sp_arena_free(w.arena);
    w = WORLD({.id = "b", .paths = "/v1/x"}, {.id = "c", .paths = "/v1"}, {.id = "a", .paths = "/v1"},
              {.id = "h", .paths = "/v1/x", .headers = "h:1"}, {.id = "hh", .paths = "/v1/x", .headers = "h:1 i:1"});
    y = WHY(w, .path = SP_STR("/v1/x"));
    assert_string_equal(y.winner.route->id, "b");
    lost(&y, 0, "a", "longer path: /v1/x against /v1");
    lost(&y, 1, "c", "longer path: /v1/x against /v1");
    y = WHY(w, .path = SP_STR("/v1"));
    lost(&y, 0, "c", "its id comes first, and nothing else tells them apart");
    struct sp_field fields[] = {{.name = SP_STR("h"), .value = SP_STR("1")},
                                {.name = SP_STR("i"), .value = SP_STR("1")}};
    struct sp_fields both = {fields, 2, 2};
    y = WHY(w, .path = SP_STR("/v1/x"), .fields = &both);
    lost(&y, 0, "h", "more header criteria: 2 against 1");
    sp_arena_free(w.arena);
}

static void missed(const struct dp_why *y, size_t i, const char *id, unsigned what)
{
    assert_true(i < y->num_near);
    assert_string_equal(y->near[i].route->id, id);
    assert_int_equal(y->near[i].missed, what);
}

static void what_was_missing(void **state)
{
    (void)state;
    struct world w =
        WORLD({.id = "host", .hosts = "b.com", .paths = "/v1"}, {.id = "path", .hosts = "a.com", .paths = "/v2 /v3"},
              {.id = "method", .hosts = "a.com", .paths = "/v1 /v2", .methods = "PUT"},
              {.id = "header", .hosts = "a.com", .headers = "h:1"},
              {.id = "sni", .hosts = "a.com", .snis = "b.com", .protocols = "https"},
              {.id = "plain", .hosts = "a.com", .protocols = "http"}, {.id = "two", .hosts = "b.com", .paths = "/v2"});
    struct dp_why y = WHY(w, .host = SP_STR("a.com"), .path = SP_STR("/v1"), .sni = SP_STR("a.com"), .tls = true);
    assert_null(y.winner.route);
    assert_int_equal(y.all_near, 6);
    missed(&y, 0, "method", DP_MISS_METHOD);
    missed(&y, 1, "header", DP_MISS_HEADER);
    missed(&y, 2, "path", DP_MISS_PATH);
    missed(&y, 3, "sni", DP_MISS_SNI);
    missed(&y, 4, "plain", DP_MISS_PROTOCOL);
    missed(&y, 5, "host", DP_MISS_HOST);
    y = WHY(w, .host = SP_STR("a.com"), .path = SP_STR("/v1")); /* plain: SNIs count as matched, so does https */
    assert_string_equal(y.winner.route->id, "sni");
    assert_int_equal(y.num_near, 3); /* they would have won; what is for another host is nobody's business */
    missed(&y, 0, "method", DP_MISS_METHOD);
    missed(&y, 2, "path", DP_MISS_PATH);
    sp_arena_free(w.arena);
}

static void a_regex_in_doubt(void **state)
{
    (void)state;
    struct world w = WORLD({.id = "evil", .paths = "~/(a+)+$"}, {.id = "catchall", .paths = "/"});
    char path[512] = "/";
    memset(path + 1, 'a', 500);
    path[501] = '!';
    struct dp_why y = WHY(w, .path = sp_str_z(path));
    assert_null(y.winner.route);
    assert_string_equal(y.undecided.route->id, "evil");
    sp_arena_free(w.arena);
}

/* Against the plain reading of the rules: every route, by priority, one by one. */
static void agrees_with_a_linear_scan(void **state)
{
    (void)state;
    enum { N = 400 };
    static char paths[N][64], hosts_of[N][32], ids[N][16];
    struct r v[N];
    uint32_t x = 12345;
    for (int i = 0; i < N; i++) {
        int depth = 1 + (int)((x = x * 1664525 + 1013904223) >> 28) % 5, n = 0;
        for (int d = 0; d < depth; d++)
            n += snprintf(paths[i] + n, sizeof paths[i] - (size_t)n, "/%c", "ab"[(x = x * 1664525 + 1013904223) >> 31]);
        snprintf(hosts_of[i], sizeof hosts_of[i], "%s", (const char *[]){"", "h.a.com", "*.a.com", "h.*"}[i % 4]);
        snprintf(ids[i], sizeof ids[i], "%04d", i);
        v[i] = (struct r){.id = ids[i], .paths = paths[i], .hosts = hosts_of[i]};
    }
    struct world w = world(v, N);
    for (int t = 0; t < 500; t++) {
        char path[64];
        int n = 0;
        for (int d = 0; d < 6; d++)
            n += snprintf(path + n, sizeof path - (size_t)n, "/%c", "ab"[(x = x * 1664525 + 1013904223) >> 31]);
        int best = -1, best_score = -1;
        for (int i = 0; i < N; i++) {
            if (strncmp(path, paths[i], strlen(paths[i])) != 0)
                continue;
            int score = (i % 4 ? 10000 : 0) + (i % 4 == 1 ? 1000 : 0) + (int)strlen(paths[i]);
            if (score > best_score) {
                best_score = score;
                best = i;
            }
        }
        ASK(w, best < 0 ? "none" : ids[best], .host = "h.a.com", .path = path);
    }
    sp_arena_free(w.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_matches_an_empty_router),
        cmocka_unit_test(hosts),
        cmocka_unit_test(addresses_as_hosts),
        cmocka_unit_test(plain_paths),
        cmocka_unit_test(regex_paths),
        cmocka_unit_test(no_paths_match_any),
        cmocka_unit_test(methods),
        cmocka_unit_test(headers),
        cmocka_unit_test(snis),
        cmocka_unit_test(protocols),
        cmocka_unit_test(priority_order),
        cmocka_unit_test(paths_are_split),
        cmocka_unit_test(buckets_merge_by_priority),
        cmocka_unit_test(runaway_regex_is_no_match),
        cmocka_unit_test(bad_regex_is_an_error),
        cmocka_unit_test(why_it_won),
        cmocka_unit_test(what_was_missing),
        cmocka_unit_test(a_regex_in_doubt),
        cmocka_unit_test(agrees_with_a_linear_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
