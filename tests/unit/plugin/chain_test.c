#include "lab.h"

#include "base/log.h"
#include "plugin/trace.h"

/* Which instance answered shows in the message: each one misses an anonymous consumer of its own name. */
static Sallyport__V1__Plugin *plugin(struct lab *l, const char *id, const char *route, const char *service,
                                     const char *consumer)
{
    Sallyport__V1__Plugin *p = SP_NEW(l->arena, Sallyport__V1__Plugin);
    sallyport__v1__plugin__init(p);
    p->id = (char *)id;
    p->name = sp_arena_strdup(l->arena, "mtls-auth");
    p->config_case = SALLYPORT__V1__PLUGIN__CONFIG_MTLS_AUTH;
    p->mtls_auth = SP_NEW(l->arena, Sallyport__V1__MtlsAuthConfig);
    sallyport__v1__mtls_auth_config__init(p->mtls_auth);
    p->mtls_auth->n_ca_certificates = 1;
    p->mtls_auth->ca_certificates = SP_NEW_N(l->arena, char *, 1);
    p->mtls_auth->ca_certificates[0] = sp_arena_strdup(l->arena, "ca");
    p->mtls_auth->anonymous = (char *)id;
    const char *ids[] = {route, service, consumer};
    Sallyport__V1__Ref **refs[] = {&p->route, &p->service, &p->consumer};
    for (size_t i = 0; i < 3; i++) {
        if (!ids[i])
            continue;
        *refs[i] = SP_NEW(l->arena, Sallyport__V1__Ref);
        sallyport__v1__ref__init(*refs[i]);
        (*refs[i])->id = (char *)ids[i];
    }
    return p;
}

static char http[] = "http", https[] = "https", grpcs[] = "grpcs", grpc[] = "grpc";

static struct dp_chain *compile(struct lab *l, Sallyport__V1__Plugin **v, size_t num, const char *route,
                                const char *service)
{
    static char *web[] = {http, https}, *rpc[] = {grpc, grpcs};
    Sallyport__V1__Route r = SALLYPORT__V1__ROUTE__INIT;
    Sallyport__V1__Service s = SALLYPORT__V1__SERVICE__INIT;
    r.id = (char *)route;
    r.n_protocols = 2;
    r.protocols = strncmp(route, "grpc", 4) == 0 ? rpc : web;
    s.id = (char *)service;
    struct dp_directory *d = dp_directory_new(l->arena);
    l->directory = d;
    add_ca(l, "ca", l->ca.pem);
    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    add_consumer(l, (struct person){.id = "c2", .username = "bob"});
    struct sp_error err;
    for (size_t i = 0; i < num; i++)
        if (sp_failed(dp_directory_add_plugin(d, v[i], &err)))
            fail_msg("%s", err.text);
    return dp_chain_compile(l->arena, d, &r, service ? &s : NULL);
}

/* Id of the instance that ran; "none" when nothing did. */
static const char *ran(struct lab *l, const struct dp_chain *c, const char *consumer, bool tls)
{
    static char id[64];
    struct request *r = request_new(l, NULL);
    r->call.consumer = dp_directory_consumer_id(l->directory, sp_str_z(consumer));
    snprintf(id, sizeof id, "none");
    if (dp_chain_access(c, &r->call, tls) == DP_REPLY)
        assert_int_equal(sscanf(r->call.reply_message, "anonymous consumer %63s", id), 1);
    request_free(r);
    return id;
}

static void empty_chains(void **state)
{
    struct lab *l = *state;
    struct dp_chain *c = compile(l, NULL, 0, "r1", "s1");
    assert_int_equal(dp_chain_len(c), 0);
    assert_string_equal(ran(l, c, NULL, true), "none");
}

static void nobody_says_who_he_is(void **state)
{
    struct lab *l = *state;
    struct dp_chain *c = compile(l, NULL, 0, "r1", "s1");
    for (int trusted = 0; trusted < 2; trusted++) {
        struct request *r = request_new(l, NULL);
        client_sends(r, "x_consumer-ID", "forged");
        r->call.peer_trusted = trusted;
        assert_int_equal(dp_chain_access(c, &r->call, true), DP_NEXT);
        assert_string_equal(sent(r, "X-Consumer-ID"), trusted ? "forged" : "");
        request_free(r);
    }
}

static void most_specific_scope_wins(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__Plugin *v[] = {plugin(l, "global", NULL, NULL, NULL), plugin(l, "service", NULL, "s1", NULL),
                                  plugin(l, "route", "r1", NULL, NULL),  plugin(l, "both", "r2", "s1", NULL),
                                  plugin(l, "route2", "r2", NULL, NULL), plugin(l, "consumer", NULL, NULL, "c1")};
    struct {
        const char *route, *service, *consumer, *want;
    } rows[] = {
        {"r1", "s1", NULL, "route"},    {"r2", "s1", NULL, "both"},    {"r2", "s2", NULL, "route2"},
        {"r3", "s1", NULL, "service"},  {"r3", "s2", NULL, "global"},  {"r3", NULL, NULL, "global"},
        {"r1", "s1", "c1", "consumer"}, {"r3", "s1", "c2", "service"}, {"r2", "s1", "c1", "both"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dp_chain *c = compile(l, v, 6, rows[i].route, rows[i].service);
        assert_int_equal(dp_chain_len(c), 1);
        assert_string_equal(ran(l, c, rows[i].consumer, true), rows[i].want);
    }
}

static void disabled_and_foreign_ones_do_not_count(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__Plugin *v[] = {plugin(l, "global", NULL, NULL, NULL), plugin(l, "off", "r1", NULL, NULL),
                                  plugin(l, "foreign", "r1", NULL, NULL)};
    v[1]->enabled = false;
    v[1]->has_enabled = true;
    v[2]->ws = sp_arena_strdup(l->arena, "other");
    assert_string_equal(ran(l, compile(l, v, 3, "r1", "s1"), NULL, true), "global");
}

/* An instance that does not speak the request's protocol makes room for the less specific one. */
static void protocols(void **state)
{
    struct lab *l = *state;
    char *secure[] = {https, grpcs}, *rpc[] = {grpcs};
    Sallyport__V1__Plugin *v[] = {plugin(l, "global", NULL, NULL, NULL), plugin(l, "secure", "r1", NULL, NULL)};
    v[1]->n_protocols = 2;
    v[1]->protocols = secure;
    struct dp_chain *c = compile(l, v, 2, "r1", NULL);
    assert_string_equal(ran(l, c, NULL, true), "secure");
    assert_string_equal(ran(l, c, NULL, false), "global");
    c = compile(l, v + 1, 1, "r1", NULL);
    assert_string_equal(ran(l, c, NULL, false), "none");
    v[1] = plugin(l, "rpc", NULL, NULL, NULL);
    v[1]->n_protocols = 1;
    v[1]->protocols = rpc;
    assert_string_equal(ran(l, compile(l, v + 1, 1, "grpc-route", NULL), NULL, true), "rpc");
    assert_string_equal(ran(l, compile(l, v + 1, 1, "r1", NULL), NULL, true), "none");
}

/* What a client calls itself must not choose the plugins: only the route's protocols do. */
static void content_type_does_not_choose(void **state)
{
    struct lab *l = *state;
    char *web[] = {http, https};
    Sallyport__V1__Plugin *v[] = {plugin(l, "web", NULL, NULL, NULL)};
    v[0]->n_protocols = 2;
    v[0]->protocols = web;
    struct dp_chain *c = compile(l, v, 1, "r1", NULL);
    struct request *r = request_new(l, NULL);
    r->call.grpc = true;
    assert_int_equal(dp_chain_access(c, &r->call, true), DP_REPLY);
    request_free(r);
}

/* The trace says which instance had the say and why the others had not; what is behind an answer is not reached. */
static void a_trace_tells_who_had_the_say(void **state)
{
    struct lab *l = *state;
    char *rpc[] = {grpcs};
    Sallyport__V1__RequestTerminationConfig stop = SALLYPORT__V1__REQUEST_TERMINATION_CONFIG__INIT;
    Sallyport__V1__Plugin last = SALLYPORT__V1__PLUGIN__INIT;
    last.id = sp_arena_strdup(l->arena, "last");
    last.config_case = SALLYPORT__V1__PLUGIN__CONFIG_REQUEST_TERMINATION;
    last.request_termination = &stop;
    Sallyport__V1__Plugin *v[] = {plugin(l, "global", NULL, NULL, NULL), plugin(l, "route", "r1", NULL, NULL),
                                  plugin(l, "rpc", "r1", "s1", NULL), plugin(l, "consumer", NULL, NULL, "c1"), &last};
    v[2]->n_protocols = 1;
    v[2]->protocols = rpc;
    struct dp_chain *c = compile(l, v, 5, "r1", "s1");
    struct request *r = request_new(l, NULL);
    struct dp_trace t = {0};
    r->call.trace = &t;
    assert_int_equal(dp_chain_access(c, &r->call, true), DP_REPLY);
    assert_int_equal(t.num, 2);
    struct dp_trace_step *s = &t.steps[0];
    assert_string_equal(s->kind->name, "mtls-auth");
    assert_int_equal(s->outcome, DP_REPLIED);
    assert_string_equal(s->chosen->id, "route");
    assert_string_equal(s->reason.p, "no certificate");
    assert_int_equal(s->num_instances, 4);
    const char *ids[] = {"rpc", "consumer", "route", "global"};
    const char *why[] = {"it does not speak the request's protocol", "it is for another consumer", NULL,
                         "a more specific instance has the say"};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(s->instances[i].plugin->id, ids[i]);
        assert_true(why[i] ? strcmp(s->instances[i].unfit, why[i]) == 0 : !s->instances[i].unfit);
    }
    assert_int_equal(t.steps[1].outcome, DP_NOT_REACHED);
    assert_null(t.steps[1].chosen);
    request_free(r);

    r = request_new(l, NULL);
    r->call.trace = &t;
    c = compile(l, v + 3, 2, "r2", NULL);
    assert_int_equal(dp_chain_access(c, &r->call, true), DP_REPLY);
    assert_int_equal(t.steps[0].outcome, DP_SKIPPED);
    assert_string_equal(t.steps[0].reason.p, "no instance is for this request");
    assert_int_equal(t.steps[1].outcome, DP_REPLIED);
    request_free(r);
}

static void instances_are_shared(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__Plugin *v[] = {plugin(l, "global", NULL, NULL, NULL)};
    compile(l, v, 1, "r1", NULL);
    size_t used = sp_arena_used(l->arena);
    Sallyport__V1__Route r = SALLYPORT__V1__ROUTE__INIT;
    for (int i = 0; i < 100; i++)
        assert_int_equal(dp_chain_len(dp_chain_compile(l->arena, l->directory, &r, NULL)), 1);
    assert_true(sp_arena_used(l->arena) - used < 64 * 1024);
}

static void handshake_plugins_have_no_link(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__TlsHandshakeModifierConfig m = SALLYPORT__V1__TLS_HANDSHAKE_MODIFIER_CONFIG__INIT;
    Sallyport__V1__Plugin p = SALLYPORT__V1__PLUGIN__INIT, *v[] = {&p};
    p.config_case = SALLYPORT__V1__PLUGIN__CONFIG_TLS_HANDSHAKE_MODIFIER;
    p.tls_handshake_modifier = &m;
    assert_int_equal(dp_chain_len(compile(l, v, 1, "r1", NULL)), 0);
}

static void what_cannot_run_is_an_error(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__Plugin p = SALLYPORT__V1__PLUGIN__INIT;
    p.name = sp_arena_strdup(l->arena, "from-the-future");
    struct sp_error err;
    assert_int_equal(dp_directory_add_plugin(l->directory, &p, &err).code, SP_E_INVALID);
    assert_string_equal(err.text, "name: this data plane cannot run plugin 'from-the-future'");
}

static void registry_rows_are_whole(void **state)
{
    (void)state;
    for (size_t i = 0; dp_plugin_kinds[i]; i++) {
        assert_non_null(dp_plugin_kinds[i]->name);
        assert_non_null(dp_plugin_kinds[i]->compile);
        assert_ptr_equal(dp_plugin_kind_of(dp_plugin_kinds[i]->config_case), dp_plugin_kinds[i]);
    }
    const ProtobufCMessageDescriptor *d = &sallyport__v1__plugin__descriptor;
    for (unsigned i = 0; i < d->n_fields; i++)
        if (d->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            assert_non_null(dp_plugin_kind_of((Sallyport__V1__Plugin__ConfigCase)d->fields[i].id));
    assert_null(dp_plugin_kind_of(SALLYPORT__V1__PLUGIN__CONFIG__NOT_SET));
}

static void directory_refuses_bad_cas(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__CaCertificate m = SALLYPORT__V1__CA_CERTIFICATE__INIT;
    struct sp_error err;
    m.id = sp_arena_strdup(l->arena, "x");
    m.cert = sp_arena_strdup(l->arena, "garbage");
    assert_true(sp_failed(dp_directory_add_ca(l->directory, &m, &err)));
    m.cert = (char *)sp_arena_printf(l->arena, "%s%s", l->ca.pem.p, l->inter.pem.p).p;
    assert_int_equal(dp_directory_add_ca(l->directory, &m, &err).code, SP_E_INVALID);
    m.cert = (char *)l->ca.pem.p;
    assert_false(sp_failed(dp_directory_add_ca(l->directory, &m, &err)));
    assert_int_equal(dp_directory_add_ca(l->directory, &m, &err).code, SP_E_CONFLICT);
    assert_non_null(dp_directory_ca(l->directory, SP_STR("x")));
    assert_null(dp_directory_ca(l->directory, SP_STR("y")));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, lab_setup, lab_teardown)

int main(void)
{
    sp_log_min = SP_ERROR;
    const struct CMUnitTest tests[] = {
        TEST(empty_chains),
        TEST(nobody_says_who_he_is),
        TEST(most_specific_scope_wins),
        TEST(disabled_and_foreign_ones_do_not_count),
        TEST(protocols),
        TEST(content_type_does_not_choose),
        TEST(a_trace_tells_who_had_the_say),
        TEST(instances_are_shared),
        TEST(handshake_plugins_have_no_link),
        TEST(what_cannot_run_is_an_error),
        TEST(registry_rows_are_whole),
        TEST(directory_refuses_bad_cas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
