/* What mtls-auth costs a request: the first time a worker sees a certificate, each time after that, with the fields
 * that tell the upstream; and a look at a connection between requests. Prints, asserts nothing. With a number N: N
 * requests of a known certificate in each world and nothing else, for a counter of instructions. */
#include "../unit/plugin/lab.h"

#include <time.h>

enum { BATCHES = 101, BATCH = 2000, FEW = 5, WORLDS = 4 };

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static const struct world {
    const char *what, *username, *mapped, *fallback; /* NULL: none */
    bool skip;
} worlds[WORLDS] = {
    {"consumer by username", "alice", NULL, NULL, false},
    {"consumer by mapping", "bob", "alice", NULL, false},
    {"default consumer", "bob", NULL, "bob", false},
    {"skip_consumer_lookup", "bob", NULL, NULL, true},
};

static struct dp_chain *make_chain(struct lab *l, const struct world *w)
{
    Sallyport__V1__MtlsAuthConfig m = SALLYPORT__V1__MTLS_AUTH_CONFIG__INIT;
    Sallyport__V1__Plugin *p = SP_NEW(l->arena, Sallyport__V1__Plugin);
    static char ca[] = "ca", *cas[] = {ca};
    sallyport__v1__plugin__init(p);
    m.n_ca_certificates = 1;
    m.ca_certificates = cas;
    m.skip_consumer_lookup = w->skip;
    m.default_consumer = (char *)(uintptr_t)w->fallback;
    p->config_case = SALLYPORT__V1__PLUGIN__CONFIG_MTLS_AUTH;
    p->mtls_auth = &m;
    struct sp_error err;
    if (sp_failed(dp_directory_add_plugin(l->directory, p, &err)))
        fail_msg("%s", err.text);
    p->mtls_auth = NULL; /* read by now */
    Sallyport__V1__Route r = SALLYPORT__V1__ROUTE__INIT;
    return dp_chain_compile(l->arena, l->directory, &r, NULL);
}

static const char *const usual[] = {
    "user-agent",    "accept",       "accept-encoding", "accept-language",   "cookie",    "x-trace-id",
    "cache-control", "content-type", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "sec-fetch-mode"};

static void prepare(struct request *r)
{
    sp_arena_reset(r->arena);
    r->head.fields = (struct sp_fields){0};
    for (size_t f = 0; f < sizeof usual / sizeof *usual; f++)
        client_sends(r, usual[f], "value");
    r->call.consumer = NULL;
    r->call.has_credential = false;
}

static double batch_ns(const struct dp_chain *c, struct request *r, int rounds, int *forget)
{
    double spent = 0;
    for (int i = 0; i < rounds; i++) {
        prepare(r);
        if (forget)
            memcpy(r->peer.digest, forget, sizeof *forget), ++*forget;
        double t = now_ns();
        dp_chain_access(c, &r->call, true);
        spent += now_ns() - t;
        assert_int_equal(r->call.reply_status, 0);
    }
    return spent / rounds;
}

static double look_ns(const struct dp_chain *c, struct request *r, int rounds)
{
    unsigned stand = 0;
    double t = now_ns();
    for (int i = 0; i < rounds; i++)
        stand += dp_chain_stands(c, &r->call);
    t = now_ns() - t;
    assert_int_equal(stand, rounds);
    return t / rounds;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A busy machine takes the processor away in some batches: the median knows nothing of it. */
static double median(double *v)
{
    qsort(v, BATCHES, sizeof *v, by_size);
    return v[BATCHES / 2];
}

static void measure(const struct world *w, const struct dp_chain *c, struct request *r)
{
    double first[BATCHES], again[BATCHES], look[BATCHES], clock[BATCHES];
    int forget = 0;
    for (int i = 0; i < BATCHES; i++) {
        double t = now_ns();
        for (int k = 0; k < BATCH; k++)
            (void)now_ns();
        clock[i] = (now_ns() - t) / BATCH;
        first[i] = batch_ns(c, r, FEW, &forget);
        again[i] = batch_ns(c, r, BATCH, NULL);
        look[i] = look_ns(c, r, BATCH);
    }
    double none = median(clock);
    printf("%-22s first %8.0f ns   again %6.0f ns   a look between %6.0f ns\n", w->what, median(first) - none,
           median(again) - none, median(look));
}

int main(int argc, char **argv)
{
    struct lab *l = lab_new();
    struct issued leaf = issue(l, (struct leaf){.cn = "alice", .o = "Lab"}, &l->ca);
    for (int i = 0; i < WORLDS; i++) {
        const struct world *w = &worlds[i];
        struct lab *world = lab_new();
        world->directory = dp_directory_new(world->arena);
        add_ca(world, "ca", l->ca.pem);
        add_consumer(world,
                     (struct person){.id = "0a1b2c3d-0000-4000-8000-000000000000",
                                     .username = w->username,
                                     .map = {{.id = "0a1b2c3d-0000-4000-8000-000000000001", .subject = w->mapped}}});
        struct dp_chain *c = make_chain(world, w);
        struct request *r = request_new(world, CHAIN(&leaf));
        if (argc > 1)
            printf("%-22s %.0f ns\n", w->what, batch_ns(c, r, atoi(argv[1]), NULL));
        else
            measure(w, c, r);
        request_free(r);
        lab_free(world);
    }
    lab_free(l);
    return 0;
}
