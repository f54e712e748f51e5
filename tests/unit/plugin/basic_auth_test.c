/* basic-auth by itself with a checker that answers what a test says, and beside the other authentications. */
#include "calls.h"

#include "base/encoding.h"
#include "base/log.h"
#include "plugin/passwords.h"

#define CHEAP "$scrypt$ln=10,r=8,p=1$MTIzNDU2Nzg$8dnX/yuxrxutNDx0smRETeFQ6FQvY4DdpvWf/OFkhDA" /* "pw" */
#define CONSUMER "c0ffee00-0000-4000-8000-000000000001"
#define KONGS "e2fce1600375ebee2ee55cde3330edb9c8fbbc70" /* "pw" of CONSUMER */
#define CHEAP_SHA1 "$scrypt-sha1$ln=10,r=8,p=1$MTIzNDU2Nzg$ZiUyxeJgqHnUd4QF9iz8J1hkWufEnRJWgsOQrR13V10"

struct dp_password_check { /* an order that was given */
    struct sp_password password;
    char secret[SP_PASSWORD_MAX + 1];
    size_t len;
    dp_password_checked_fn *done; /* NULL: answered or cancelled */
    void *ctx;
};

struct world {
    struct dp_password_checker checker;
    struct lab *lab;
    struct dp_passwords *passwords;
    struct dp_password_check checks[32];
    size_t num, cancelled, resumed;
    bool full;
    struct dp_password_counters counters;
};
static struct world *world;

static struct dp_password_check *start(struct dp_password_checker *c, const struct dp_password_order *o,
                                       dp_password_checked_fn *done, void *ctx)
{
    (void)c;
    assert_true(world->num < 32);
    if (world->full)
        return NULL;
    struct dp_password_check *k = &world->checks[world->num++];
    *k = (struct dp_password_check){.password = *o->password, .len = o->secret.len, .done = done, .ctx = ctx};
    memcpy(k->secret, o->secret.p, o->secret.len);
    return k;
}

static void cancel(struct dp_password_checker *c, struct dp_password_check *k)
{
    (void)c;
    assert_non_null(k->done);
    k->done = NULL;
    world->cancelled++;
}

static void resume(struct dp_call *call)
{
    (void)call;
    world->resumed++;
}

/* The last order is done as it would be. */
static void answer(void)
{
    struct dp_password_check *k = &world->checks[world->num - 1];
    dp_password_checked_fn *done = SP_TAKE(k->done);
    assert_non_null(done);
    done(k->ctx, sp_password_matches(&k->password, sp_str(k->secret, k->len)));
}

static int setup(void **state)
{
    (void)state;
    world = sp_alloc(sizeof *world);
    world->lab = lab_new();
    world->checker = (struct dp_password_checker){start, cancel};
    world->passwords = dp_passwords_new(&world->checker, &world->counters);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dp_passwords_free(world->passwords);
    lab_free(world->lab);
    free(world);
    return 0;
}

static void add_login(const char *username, const char *hash)
{
    Sallyport__V1__Consumer c = SALLYPORT__V1__CONSUMER__INIT;
    Sallyport__V1__ConsumerResource r = SALLYPORT__V1__CONSUMER_RESOURCE__INIT;
    Sallyport__V1__BasicauthCredential b = SALLYPORT__V1__BASICAUTH_CREDENTIAL__INIT, *list[] = {&b};
    c.id = (char *)CONSUMER;
    c.username = (char *)"alice";
    b.id = (char *)"login-id";
    b.username = (char *)username;
    b.password = (char *)hash;
    r.consumer = &c;
    r.n_basicauth_credentials = 1;
    r.basicauth_credentials = list;
    dp_directory_add_consumer(world->lab->directory, &r);
}

static const char *sealed(const char *name, const char *secret, bool sha1)
{
    struct sp_password p;
    struct sp_buf b = {0};
    sp_password_seal(sp_str_z(name), sp_str_z(secret), sha1, &p);
    sp_password_write(&p, &b);
    const char *text = sp_arena_dup(world->lab->arena, sp_buf_str(&b)).p;
    sp_buf_fini(&b);
    return text;
}

static struct request *request(void)
{
    struct request *r = request_new(world->lab, NULL);
    r->call.passwords = world->passwords;
    r->call.resume = resume;
    return r;
}

static void says(struct request *r, const char *field, const char *pair)
{
    struct sp_buf b = {0};
    sp_buf_printf(&b, "Basic ");
    sp_base64_encode(&b, sp_str_z(pair));
    client_sends(r, field, sp_arena_dup(r->arena, sp_buf_str(&b)).p);
    sp_buf_fini(&b);
}

static enum dp_verdict access(const void *in, struct request *r)
{
    r->call.cancel = NULL;
    return dp_basic_auth.access(in, &r->call);
}

static void is_401(const void *in, struct request *r)
{
    assert_int_equal(access(in, r), DP_REPLY);
    assert_int_equal(r->call.reply_status, 401);
    assert_string_equal(r->call.reply_message, "Unauthorized");
    assert_true(sp_str_eq(r->call.reply_fields.v[0].name, SP_STR("WWW-Authenticate")));
    assert_true(sp_str_eq(r->call.reply_fields.v[0].value, SP_STR("Basic realm=\"service\"")));
    assert_string_equal(sent(r, "X-Consumer-ID"), "");
    request_free(r);
}

static struct request *with(const char *field, const char *pair)
{
    struct request *r = request();
    says(r, field, pair);
    return r;
}

static void passes(const void *in, struct request *r)
{
    client_sends(r, "x-consumer-username", "forged");
    assert_int_equal(access(in, r), DP_NEXT);
    assert_true(r->call.has_credential);
    assert_string_equal(sent(r, "X-Consumer-ID"), CONSUMER);
    assert_string_equal(sent(r, "X-Consumer-Username"), "alice");
    assert_string_equal(sent(r, "X-Credential-Identifier"), "al");
    request_free(r);
}

/* --- tests --- */

static void fields(void **state)
{
    (void)state;
    Sallyport__V1__BasicAuthConfig c = SALLYPORT__V1__BASIC_AUTH_CONFIG__INIT;
    add_login("al", sealed("login-id", "p:w", false));
    const void *in = ready(world->lab, &dp_basic_auth, &c);
    passes(in, with("Authorization", "al:p:w"));
    passes(in, with("Proxy-Authorization", "al:p:w"));
    const char *raw[] = {"",           "Basic",        "Basic ",     "Bearer YWw6cDp3", "Basic YWw6cDp",
                         "Basic ****", "YWw6cDp3",     "Basic YWw=", "Basic OnA6dw==",  "Basic YWw6cDp3, x",
                         "Digest a=b", "BasicYWw6cDp3"};
    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
        struct request *r = request();
        client_sends(r, "Authorization", raw[i]);
        is_401(in, r);
    }
    is_401(in, request());
    const char *pairs[] = {"al:p", "al:P:W", "Al:p:w", "al:", "al:p:w ", " al:p:w", "\xff\xfe:\xff", "alice:p:w"};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        is_401(in, with("Authorization", pairs[i]));
    struct request *r = request();
    client_sends(r, "authorization", "bAsIc  YWw6cDp3"); /* any case, blanks */
    passes(in, r);
    r = request();
    client_sends(r, "Authorization", "Basic YWwAOnA6dw=="); /* "al", NUL */
    is_401(in, r);
    r = request();
    client_sends(r, "Authorization", "Basic YWw6cDp3AA==");
    is_401(in, r);
    r = with("Authorization", "al:p:w"); /* which one would the upstream believe? */
    says(r, "Authorization", "al:p:w");
    is_401(in, r);
    char *long_pair = sp_arena_alloc(world->lab->arena, SP_PASSWORD_MAX + 10);
    memset(long_pair, 'x', SP_PASSWORD_MAX + 9);
    memcpy(long_pair, "al:", 3);
    is_401(in, with("Authorization", long_pair));
    assert_int_equal(world->num, 0);
}

/* Kong: Proxy-Authorization counts where it names somebody, else Authorization does. */
static void two_fields(void **state)
{
    (void)state;
    Sallyport__V1__BasicAuthConfig c = SALLYPORT__V1__BASIC_AUTH_CONFIG__INIT;
    add_login("al", sealed("login-id", "pw", false));
    const void *in = ready(world->lab, &dp_basic_auth, &c);
    struct request *r = with("Authorization", "al:wrong");
    says(r, "Proxy-Authorization", "al:pw");
    sp_fields_strip_hop_by_hop(&r->head.fields); /* it is for us, and never goes on */
    passes(in, r);
    r = with("Authorization", "al:pw");
    says(r, "Proxy-Authorization", "nobody:pw");
    passes(in, r);
    r = with("Authorization", "al:pw");
    client_sends(r, "Proxy-Authorization", "Bearer x");
    passes(in, r);
    r = with("Authorization", "al:pw");
    says(r, "Proxy-Authorization", "al:wrong");
    is_401(in, r);
    is_401(in, with("Proxy-Authorization", "nobody:pw"));
}

static void settings(void **state)
{
    (void)state;
    Sallyport__V1__BasicAuthConfig c = SALLYPORT__V1__BASIC_AUTH_CONFIG__INIT;
    add_login("al", sealed("login-id", "pw", false));
    add_consumer(world->lab, (struct person){.id = "a-id", .username = "anon"});
    struct request *r = with("Authorization", "al:pw");
    assert_int_equal(access(ready(world->lab, &dp_basic_auth, &c), r), DP_NEXT);
    assert_string_equal(sent(r, "Authorization"), "Basic YWw6cHc=");
    request_free(r);
    c.hide_credentials = true;
    r = with("Authorization", "al:pw");
    assert_int_equal(access(ready(world->lab, &dp_basic_auth, &c), r), DP_NEXT);
    assert_string_equal(sent(r, "Authorization"), "");
    request_free(r);
    c.anonymous = (char *)"anon";
    r = with("Authorization", "al:wrong");
    assert_int_equal(access(ready(world->lab, &dp_basic_auth, &c), r), DP_NEXT);
    assert_string_equal(sent(r, "X-Anonymous-Consumer"), "true");
    assert_string_equal(sent(r, "Authorization"), "");
    request_free(r);
    c.anonymous = (char *)"missing";
    r = request();
    assert_int_equal(access(ready(world->lab, &dp_basic_auth, &c), r), DP_REPLY);
    assert_int_equal(r->call.reply_status, 500);
    request_free(r);
    c.anonymous = NULL;
    c.realm = (char *)"the lab";
    r = request();
    access(ready(world->lab, &dp_basic_auth, &c), r);
    assert_true(sp_str_eq(r->call.reply_fields.v[0].value, SP_STR("Basic realm=\"the lab\"")));
    request_free(r);
    c.realm = (char *)"a\nb";
    assert_true(refuses(world->lab, &dp_basic_auth, &c, "config.realm"));
}

static void wait_and_finish(const void *in, struct request *r, bool right)
{
    assert_int_equal(access(in, r), DP_PAUSE);
    size_t before = world->resumed;
    answer();
    assert_int_equal(world->resumed, before + 1);
    if (right)
        passes(in, r);
    else
        is_401(in, r);
}

/* What is dear is asked once for each password that is right, and each time for one that is wrong. */
static void dear_hashes(void **state)
{
    (void)state;
    Sallyport__V1__BasicAuthConfig c = SALLYPORT__V1__BASIC_AUTH_CONFIG__INIT;
    add_login("al", CHEAP);
    const void *in = ready(world->lab, &dp_basic_auth, &c);
    wait_and_finish(in, with("Authorization", "al:pw"), true);
    passes(in, with("Authorization", "al:pw"));
    passes(ready(world->lab, &dp_basic_auth, &c),
           with("Authorization", "al:pw")); /* another instance, another configuration: the same fact */
    assert_int_equal(world->num, 1);
    wait_and_finish(in, with("Authorization", "al:pv"), false);
    wait_and_finish(in, with("Authorization", "al:pv"), false);
    passes(in, with("Authorization", "al:pw"));
    assert_int_equal(world->num, 3);
    assert_int_equal(world->counters.checks, 3);
    assert_string_equal(world->checks[2].secret, "pv");
}

static void dear_hashes_of_kong(void **state)
{
    (void)state;
    Sallyport__V1__BasicAuthConfig c = SALLYPORT__V1__BASIC_AUTH_CONFIG__INIT;
    add_login("al", CHEAP_SHA1);
    const void *in = ready(world->lab, &dp_basic_auth, &c);
    wait_and_finish(in, with("Authorization", "al:pw"), true);
    assert_string_equal(world->checks[0].secret, KONGS);
    wait_and_finish(in, with("Authorization", "al:" KONGS), false); /* the hash is no password */
    passes(in, with("Authorization", "al:pw"));
}

/* A name that nobody has costs what a wrong password costs, and is wrong whatever the checker says. */
static void names_cannot_be_told(void **state)
{
    (void)state;
    Sallyport__V1__BasicAuthConfig c = SALLYPORT__V1__BASIC_AUTH_CONFIG__INIT;
    add_login("al", CHEAP);
    add_login("lo", sealed("login-id", "local", false));
    const void *in = ready(world->lab, &dp_basic_auth, &c);
    const char *pairs[] = {"nobody:pw", "al:wrong", "lo:wrong"};
    for (size_t i = 0; i < 3; i++) {
        struct request *r = with("Authorization", pairs[i]);
        assert_int_equal(access(in, r), DP_PAUSE);
        assert_int_equal(world->num, i + 1);
        assert_int_equal(world->checks[i].password.log_n, 10);
        struct dp_password_check *k = &world->checks[i];
        SP_TAKE(k->done)(k->ctx, i != 1);
        is_401(in, r);
    }
    struct request *r = with("Authorization", "lo:local");
    assert_int_equal(access(in, r), DP_NEXT);
    request_free(r);
}

static void a_full_queue(void **state)
{
    (void)state;
    Sallyport__V1__BasicAuthConfig c = SALLYPORT__V1__BASIC_AUTH_CONFIG__INIT;
    add_consumer(world->lab, (struct person){.id = "a-id", .username = "anon"});
    add_login("al", CHEAP);
    c.anonymous = (char *)"anon"; /* who could not be checked is not anonymous either */
    const void *in = ready(world->lab, &dp_basic_auth, &c);
    world->full = true;
    struct request *r = with("Authorization", "al:pw");
    assert_int_equal(access(in, r), DP_REPLY);
    assert_int_equal(r->call.reply_status, 503);
    assert_true(sp_str_eq(r->call.reply_fields.v[0].name, SP_STR("Retry-After")));
    assert_int_equal(world->counters.refused, 1);
    request_free(r);
}

static void a_client_that_goes_away(void **state)
{
    (void)state;
    Sallyport__V1__BasicAuthConfig c = SALLYPORT__V1__BASIC_AUTH_CONFIG__INIT;
    add_login("al", CHEAP);
    struct request *r = with("Authorization", "al:pw");
    assert_int_equal(access(ready(world->lab, &dp_basic_auth, &c), r), DP_PAUSE);
    assert_non_null(r->call.cancel);
    r->call.cancel(&r->call);
    assert_int_equal(world->cancelled, 1);
    assert_int_equal(world->resumed, 0);
    request_free(r);
}

/* --- all four together (kong-behaviour 8.1 point 5) --- */

static char ca_id[] = "ca", *cas[] = {ca_id};
static struct sp_str pem_field(struct lab *l, const struct issued *leaf)
{
    struct sp_buf b = {0};
    sp_base64_encode(&b, leaf->der);
    struct sp_str out = sp_arena_dup(l->arena, sp_buf_str(&b));
    sp_buf_fini(&b);
    return out;
}

/* mtls-auth, key-auth, basic-auth, header-cert-auth on a workspace; anonymous may be NULL. */
static struct dp_chain *chain_of_four(const char *anonymous)
{
    struct lab *l = world->lab;
    static Sallyport__V1__MtlsAuthConfig m;
    static Sallyport__V1__KeyAuthConfig k;
    static Sallyport__V1__BasicAuthConfig b;
    static Sallyport__V1__HeaderCertAuthConfig h;
    static Sallyport__V1__Route route;
    sallyport__v1__mtls_auth_config__init(&m);
    sallyport__v1__key_auth_config__init(&k);
    sallyport__v1__basic_auth_config__init(&b);
    sallyport__v1__header_cert_auth_config__init(&h);
    sallyport__v1__route__init(&route);
    m.n_ca_certificates = h.n_ca_certificates = 1;
    m.ca_certificates = h.ca_certificates = cas;
    m.anonymous = k.anonymous = b.anonymous = h.anonymous = (char *)anonymous;
    m.revocation_check_mode = h.revocation_check_mode = (char *)"SKIP";
    h.certificate_header_name = (char *)"X-Cert";
    h.certificate_header_format = (char *)"base64_encoded";
    h.secure_source = false;
    Sallyport__V1__Consumer c = SALLYPORT__V1__CONSUMER__INIT;
    Sallyport__V1__ConsumerResource r = SALLYPORT__V1__CONSUMER_RESOURCE__INIT;
    Sallyport__V1__KeyauthCredential key = SALLYPORT__V1__KEYAUTH_CREDENTIAL__INIT, *keys[] = {&key};
    c.id = c.username = (char *)"by-key";
    key.id = key.key = (char *)"k3y";
    r.consumer = &c;
    r.n_keyauth_credentials = 1;
    r.keyauth_credentials = keys;
    dp_directory_add_consumer(l->directory, &r);
    add_login("al", sealed("login-id", "pw", false));
    add_consumer(l, (struct person){.id = "t-id", .username = "by-tls"});
    add_consumer(l, (struct person){.id = "h-id", .username = "by-field"});
    add_consumer(l, (struct person){.id = "a-id", .username = "anon"});
    add_plugin(l, &dp_header_cert_auth, &h, NULL);
    add_plugin(l, &dp_basic_auth, &b, NULL);
    add_plugin(l, &dp_key_auth, &k, NULL);
    add_plugin(l, &dp_mtls_auth, &m, NULL);
    return dp_chain_compile(l->arena, l->directory, &route, NULL);
}

/* Bits: what the client brings. */
enum { TLS = 1, KEY = 2, LOGIN = 4, FIELD = 8 };

static struct request *bringing(unsigned what)
{
    struct lab *l = world->lab;
    struct issued leaf = issue(l, (struct leaf){.cn = "by-tls"}, &l->ca);
    struct issued other = issue(l, (struct leaf){.cn = "by-field"}, &l->ca);
    struct request *r = request_new(l, what & TLS ? CHAIN(&leaf) : NULL);
    r->call.passwords = world->passwords;
    if (what & KEY)
        client_sends(r, "apikey", "k3y");
    if (what & LOGIN)
        says(r, "Authorization", "al:pw");
    if (what & FIELD)
        client_sends(r, "X-Cert", pem_field(l, &other).p);
    return r;
}

/* With anonymous the first that knows the client counts, in the order of priorities. */
static void one_of_four(void **state)
{
    (void)state;
    struct dp_chain *c = chain_of_four("anon");
    assert_int_equal(dp_chain_len(c), 4);
    for (unsigned what = 0; what < 16; what++) {
        const char *who = what & TLS     ? "by-tls"
                          : what & KEY   ? "by-key"
                          : what & LOGIN ? "alice"
                          : what & FIELD ? "by-field"
                                         : "anon";
        struct request *r = bringing(what);
        assert_int_equal(dp_chain_access(c, &r->call, true), DP_NEXT);
        assert_string_equal(sent(r, "X-Consumer-Username"), who);
        assert_string_equal(sent(r, "X-Anonymous-Consumer"), what ? "" : "true");
        request_free(r);
    }
}

/* Without it all must, and the last one's consumer counts. */
static void all_four(void **state)
{
    (void)state;
    struct dp_chain *c = chain_of_four(NULL);
    for (unsigned what = 0; what < 16; what++) {
        const char *missing = !(what & TLS)     ? "No required TLS certificate was sent"
                              : !(what & KEY)   ? "No API key found in request"
                              : !(what & LOGIN) ? "Unauthorized"
                              : !(what & FIELD) ? "No required TLS certificate was sent"
                                                : NULL;
        struct request *r = bringing(what);
        assert_int_equal(dp_chain_access(c, &r->call, true), missing ? DP_REPLY : DP_NEXT);
        if (missing) {
            assert_int_equal(r->call.reply_status, 401);
            assert_string_equal(r->call.reply_message, missing);
        } else {
            assert_string_equal(sent(r, "X-Consumer-Username"), "by-field");
        }
        request_free(r);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    sp_log_min = SP_ERROR;
    const struct CMUnitTest tests[] = {
        TEST(fields),
        TEST(two_fields),
        TEST(settings),
        TEST(dear_hashes),
        TEST(dear_hashes_of_kong),
        TEST(names_cannot_be_told),
        TEST(a_full_queue),
        TEST(a_client_that_goes_away),
        TEST(one_of_four),
        TEST(all_four),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
