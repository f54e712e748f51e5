/* What mtls-auth costs a request: the first time a worker sees a certificate, and each time after that. Prints, asserts
 * nothing. */
#include "../unit/plugin/lab.h"

#include <time.h>

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct dp_chain *make_chain(struct lab *l, bool skip)
{
    static Sallyport__V1__MtlsAuthConfig m;
    static Sallyport__V1__Plugin p;
    static char ca[] = "ca", *cas[] = {ca};
    sallyport__v1__mtls_auth_config__init(&m);
    sallyport__v1__plugin__init(&p);
    m.n_ca_certificates = 1;
    m.ca_certificates = cas;
    m.skip_consumer_lookup = skip;
    p.config_case = SALLYPORT__V1__PLUGIN__CONFIG_MTLS_AUTH;
    p.mtls_auth = &m;
    struct sp_error err;
    if (sp_failed(dp_directory_add_plugin(l->directory, &p, &err)))
        fail_msg("%s", err.text);
    Sallyport__V1__Route r = SALLYPORT__V1__ROUTE__INIT;
    return dp_chain_compile(l->arena, l->directory, &r, NULL);
}

static const char *const usual[] = {
    "user-agent",    "accept",       "accept-encoding", "accept-language",   "cookie",    "x-trace-id",
    "cache-control", "content-type", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "sec-fetch-mode"};

static double access_ns(struct lab *l, const struct dp_chain *c, const struct issued *leaf, int rounds, bool forget)
{
    struct request *r = request_new(l, CHAIN(leaf));
    double spent = 0;
    for (int i = 0; i < rounds; i++) {
        sp_arena_reset(r->arena);
        r->head.fields = (struct sp_fields){0};
        for (size_t f = 0; f < sizeof usual / sizeof *usual; f++)
            client_sends(r, usual[f], "value");
        if (forget)
            memcpy(r->peer.digest, &i, sizeof i);
        r->call.consumer = NULL;
        r->call.has_credential = false;
        double t = now_ns();
        dp_chain_access(c, &r->call, true);
        spent += now_ns() - t;
        assert_int_equal(r->call.reply_status, 0);
    }
    request_free(r);
    return spent / rounds;
}

int main(void)
{
    struct lab *l = lab_new();
    add_consumer(l, (struct person){.id = "0a1b2c3d-0000-4000-8000-000000000000", .username = "alice"});
    struct issued leaf = issue(l, (struct leaf){.cn = "alice", .o = "Lab"}, &l->ca);
    double t = now_ns();
    for (int i = 0; i < 1000; i++)
        (void)now_ns();
    double clock_ns = (now_ns() - t) / 1000;
    for (int skip = 0; skip < 2; skip++) {
        struct lab *world = lab_new();
        world->ca = l->ca;
        world->directory = dp_directory_new(world->arena);
        add_ca(world, "ca", l->ca.pem);
        add_consumer(world, (struct person){.id = "0a1b2c3d-0000-4000-8000-000000000000", .username = "alice"});
        struct dp_chain *c = make_chain(world, skip);
        printf("%-22s first %8.0f ns   again %6.0f ns\n", skip ? "skip_consumer_lookup" : "consumer by username",
               access_ns(world, c, &leaf, 500, true) - clock_ns, access_ns(world, c, &leaf, 200000, false) - clock_ns);
        lab_free(world);
    }
    lab_free(l);
    return 0;
}
