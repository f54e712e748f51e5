/* What a match costs: routes found by host, by prefix under one host, and by both, and the memory they take. Prints a
 * table, asserts nothing. Usage: router_bench [routes] */
#include "route/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { QUERIES = 1 << 14, ROUNDS = 16 };

struct shape {
    const char *name;
    int hosts;        /* distinct hosts; routes are spread over them */
    const char *path; /* takes the number of the route */
};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static char **one(struct sp_arena *a, struct sp_str s)
{
    char **v = SP_NEW_N(a, char *, 1);
    v[0] = (char *)s.p;
    return v;
}

static struct dp_route_spec *make_routes(struct sp_arena *a, const struct shape *shape, int num)
{
    struct dp_route_spec *specs = SP_NEW_N(a, struct dp_route_spec, num);
    for (int i = 0; i < num; i++) {
        Sallyport__V1__Route *r = SP_NEW(a, Sallyport__V1__Route);
        sallyport__v1__route__init(r);
        r->id = (char *)sp_arena_printf(a, "%08d-0000-4000-8000-000000000000", i).p;
        if (shape->hosts) {
            r->n_hosts = 1;
            r->hosts = one(a, sp_arena_printf(a, "h%d.example.com", i % shape->hosts));
        }
        r->n_paths = 1;
        r->paths = one(a, sp_arena_printf(a, shape->path, i));
        specs[i] = (struct dp_route_spec){r, r};
    }
    return specs;
}

static void measure(const struct shape *shape, int num)
{
    struct sp_arena *config = sp_arena_new(1 << 20), *arena = sp_arena_new(1 << 20);
    struct dp_route_spec *specs = make_routes(config, shape, num);
    struct dp_router *router;
    struct sp_error err;
    double t0 = now_ns();
    if (sp_failed(dp_router_compile(arena, specs, (size_t)num, &router, &err))) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    double compile_ms = (now_ns() - t0) / 1e6;
    struct sp_fields none = {0};
    struct dp_match_input *in = SP_NEW_N(config, struct dp_match_input, QUERIES);
    uint32_t x = 1;
    for (int i = 0; i < QUERIES; i++) {
        int n = (int)((x = x * 1664525 + 1013904223) >> 8) % num;
        in[i] = (struct dp_match_input){.method = SP_STR("GET"), .port = 443, .tls = true, .fields = &none};
        in[i].host = shape->hosts ? sp_arena_printf(config, "h%d.example.com", n % shape->hosts) : sp_str("", 0);
        in[i].path = sp_arena_printf(config, shape->path, n);
        in[i].path = sp_arena_printf(config, "%.*s/items/17", SP_FMT(in[i].path));
    }
    size_t found = 0;
    t0 = now_ns();
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < QUERIES; i++) {
            struct dp_match m;
            found += dp_router_match(router, &in[i], &m);
        }
    double ns = (now_ns() - t0) / ((double)QUERIES * ROUNDS);
    printf("%-28s %8d %10.0f ns %10.1f ms %8.0f bytes/route %s\n", shape->name, num, ns, compile_ms,
           (double)sp_arena_used(arena) / num, found == (size_t)QUERIES * ROUNDS ? "" : "MISSED");
    sp_arena_free(arena);
    sp_arena_free(config);
}

int main(int argc, char **argv)
{
    int num = argc > 1 ? atoi(argv[1]) : 100000;
    const struct shape shapes[] = {
        {"one host each", 100000, "/"},
        {"1000 hosts, prefixes", 1000, "/api/v1/service-%d"},
        {"one host, prefixes", 1, "/api/v1/service-%d"},
        {"no host, prefixes", 0, "/%x/api"},
        {"one host, deep prefixes", 1, "/tenants/acme/projects/%d/environments/prod"},
    };
    printf("%-28s %8s %13s %13s %s\n", "shape", "routes", "match", "compile", "memory");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        measure(&shapes[i], num);
    return 0;
}
