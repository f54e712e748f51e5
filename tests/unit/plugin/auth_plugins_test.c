/* acl, ip-restriction, request-termination, correlation-id, and several authentications in one chain. */
#include "calls.h"

#include "base/log.h"
#include "plugin/network.h"
#include "plugin/query.h"
#include "plugin/rate_table.h"

static char *words_a[8], *words_b[8];

static struct request *acl_call(struct lab *l, const void *i, const char *consumer, bool credential, const char *group)
{
    static struct sp_str groups[1];
    struct request *r = with_method(l, "GET");
    client_sends(r, "x-consumer-groups", "forged");
    client_sends(r, "X_Authenticated_Groups", "forged");
    r->call.consumer = consumer ? dp_directory_consumer_id(l->directory, sp_str_z(consumer)) : NULL;
    r->call.has_credential = credential;
    if (group) {
        groups[0] = sp_str_z(group);
        r->call.authenticated_groups = groups;
        r->call.num_authenticated_groups = 1;
    }
    dp_acl.access(i, &r->call);
    return r;
}

static void acl_passes(struct request *r, const char *field, const char *value)
{
    assert_int_equal(r->call.reply_status, 0);
    bool consumer = field && strcmp(field, "X-Consumer-Groups") == 0;
    assert_string_equal(sent(r, "X-Consumer-Groups"), consumer ? value : "");
    assert_string_equal(sent(r, "X-Authenticated-Groups"), field && !consumer ? value : "");
    request_free(r);
}

static void acl(void **state)
{
    struct lab *l = *state;
    add_key_owner(l, "c1", "alice", NULL, 0); /* acl-group, second */
    add_consumer(l, (struct person){.id = "c2", .username = "none", .groups = {"team"}});
    Sallyport__V1__AclConfig c = SALLYPORT__V1__ACL_CONFIG__INIT;
    assert_true(refuses(l, &dp_acl, &c, "allow and deny"));
    c.n_allow = words(words_a, "acl-group", "cn-group");
    c.allow = words_a;
    const void *allow = ready(l, &dp_acl, &c);
    acl_passes(acl_call(l, allow, "c1", true, NULL), "X-Consumer-Groups", "acl-group, second");
    answers(acl_call(l, allow, "c2", true, NULL), 403, "You cannot consume this service");
    answers(acl_call(l, allow, "c2", false, NULL), 401, "Unauthorized");
    answers(acl_call(l, allow, NULL, false, NULL), 401, "Unauthorized");
    answers(acl_call(l, allow, NULL, true, NULL), 403, "You cannot consume this service");
    acl_passes(acl_call(l, allow, NULL, true, "cn-group"), "X-Authenticated-Groups", "cn-group");
    answers(acl_call(l, allow, NULL, true, "other"), 403, "You cannot consume this service");
    answers(acl_call(l, allow, "c2", true, "cn-group"), 403, "You cannot consume this service");
    c.always_use_authenticated_groups = true;
    c.hide_groups_header = true;
    acl_passes(acl_call(l, ready(l, &dp_acl, &c), "c2", true, "cn-group"), NULL, "");

    Sallyport__V1__AclConfig d = SALLYPORT__V1__ACL_CONFIG__INIT;
    d.n_deny = words(words_b, "second", NULL);
    d.deny = words_b;
    const void *deny = ready(l, &dp_acl, &d);
    answers(acl_call(l, deny, "c1", true, NULL), 403, "You cannot consume this service");
    acl_passes(acl_call(l, deny, "c2", true, NULL), NULL, "");
    answers(acl_call(l, deny, NULL, false, NULL), 401, "Unauthorized");
    d.include_consumer_groups = true;
    words(words_b, "team", NULL);
    answers(acl_call(l, ready(l, &dp_acl, &d), "c2", true, NULL), 403, "You cannot consume this service");
    d.n_allow = 1;
    d.allow = words_a;
    assert_true(refuses(l, &dp_acl, &d, "allow and deny"));
}

static void networks(void **state)
{
    (void)state;
    const char *bad[] = {"",  "10.0.0",       "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1",
                         "x", "10.0.0.0/8/8", "1.2.3.4 "};
    struct dp_network n, a;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(dp_network_parse(sp_str_z(bad[i]), &n));
    const struct {
        const char *network, *address;
        bool in;
    } rows[] = {
        {"10.0.0.0/8", "10.255.1.2", true},      {"10.0.0.0/8", "11.0.0.1", false},
        {"10.1.2.3", "10.1.2.3", true},          {"10.1.2.3", "10.1.2.4", false},
        {"0.0.0.0/0", "200.1.1.1", true},        {"0.0.0.0/0", "::1", false},
        {"192.168.4.0/22", "192.168.7.9", true}, {"192.168.4.0/22", "192.168.8.9", false},
        {"fd00::/8", "fd12::1", true},           {"::1", "::1", true},
        {"127.0.0.1", "::ffff:127.0.0.1", true}, {"::ffff:10.0.0.0/104", "10.9.9.9", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(dp_network_parse(sp_str_z(rows[i].network), &n));
        assert_true(dp_network_parse(sp_str_z(rows[i].address), &a));
        assert_int_equal(dp_network_has(&n, &a), rows[i].in);
    }
}

static void ip_restriction(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__IpRestrictionConfig c = SALLYPORT__V1__IP_RESTRICTION_CONFIG__INIT;
    assert_true(refuses(l, &dp_ip_restriction, &c, "allow and deny"));
    c.n_allow = words(words_a, "10.0.0.0/8", "::1");
    c.allow = words_a;
    c.n_deny = words(words_b, "10.6.6.6", NULL);
    c.deny = words_b;
    const void *i = ready(l, &dp_ip_restriction, &c);
    const struct {
        const char *ip;
        bool passes;
    } rows[] = {{"10.1.1.1", true}, {"10.6.6.6", false}, {"11.1.1.1", false},
                {"::1", true},      {"", false},         {"unix:", false}};
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        struct request *r = with_method(l, "GET");
        r->call.client_ip = sp_str_z(rows[n].ip);
        assert_int_equal(dp_ip_restriction.access(i, &r->call) == DP_NEXT, rows[n].passes);
        if (rows[n].passes)
            request_free(r);
        else if (!strchr(rows[n].ip, '.'))
            answers(r, 403, "Cannot identify the client IP address, unix domain sockets are not supported.");
        else
            answers(r, 403, sp_arena_printf(l->arena, "IP address not allowed: %s", rows[n].ip).p);
    }
    c.status = 404;
    c.message = (char *)"nothing here";
    struct request *r = with_method(l, "GET");
    r->call.client_ip = SP_STR("1.1.1.1");
    dp_ip_restriction.access(ready(l, &dp_ip_restriction, &c), &r->call);
    answers(r, 404, "nothing here");
    words(words_a, "10.0.0.0/8", "nonsense");
    assert_true(refuses(l, &dp_ip_restriction, &c, "config.allow[1]"));
}

/* message: what gRPC clients are told; NULL: nothing */
static void terminates_with(struct lab *l, Sallyport__V1__RequestTerminationConfig *c, const char *body,
                            const char *message)
{
    struct request *r = with_method(l, "GET");
    assert_int_equal(dp_request_termination.access(ready(l, &dp_request_termination, c), &r->call), DP_REPLY);
    assert_int_equal(r->call.reply_status, c->status_code);
    assert_true(sp_str_eq(r->call.reply_body, sp_str_z(body)));
    assert_int_equal(r->call.reply_content_type.len, *body == '{' ? 31 : 0);
    if (message)
        assert_string_equal(r->call.reply_message, message);
    else
        assert_null(r->call.reply_message);
    request_free(r);
}

static void request_termination(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__RequestTerminationConfig c = SALLYPORT__V1__REQUEST_TERMINATION_CONFIG__INIT;
    struct request *r = with_method(l, "GET");
    assert_int_equal(dp_request_termination.access(ready(l, &dp_request_termination, &c), &r->call), DP_REPLY);
    assert_int_equal(r->call.reply_status, 503);
    assert_true(r->call.reply_as_is);
    assert_true(sp_str_eq(r->call.reply_body, SP_STR("{\"message\":\"Service unavailable\"}")));
    assert_true(sp_str_eq(r->call.reply_content_type, SP_STR("application/json; charset=utf-8")));
    request_free(r);
    c.status_code = 502;
    terminates_with(l, &c, "{\"message\":\"Bad Gateway\"}", "Bad Gateway");
    c.status_code = 403; /* Kong has no text for it */
    terminates_with(l, &c, "", NULL);
    c.message = (char *)"So \"no\"";
    terminates_with(l, &c, "{\"message\":\"So \\\"no\\\"\"}", "So \"no\"");
    c.message = NULL;
    c.body = (char *)"raw";
    terminates_with(l, &c, "raw", "raw");
    c.status_code = 418;
    c.body = (char *)"<p>no</p>";
    c.content_type = (char *)"text/html";
    c.trigger = (char *)"x-stop";
    const void *i = ready(l, &dp_request_termination, &c);
    r = with_method(l, "GET");
    assert_int_equal(dp_request_termination.access(i, &r->call), DP_NEXT);
    r->call.query = SP_STR("?x-stop");
    assert_int_equal(dp_request_termination.access(i, &r->call), DP_REPLY);
    assert_true(sp_str_eq(r->call.reply_body, SP_STR("<p>no</p>")));
    assert_true(sp_str_eq(r->call.reply_content_type, SP_STR("text/html")));
    request_free(r);
    c.message = (char *)"both";
    assert_true(refuses(l, &dp_request_termination, &c, "config.message"));
    c.message = c.body = NULL;
    assert_true(refuses(l, &dp_request_termination, &c, "config.content_type"));
    c.content_type = NULL;
    c.status_code = 99;
    assert_true(refuses(l, &dp_request_termination, &c, "config.status_code"));
}

/* Without what differs from machine to machine. */
static const char *echoed(struct request *r, const void *i)
{
    assert_int_equal(dp_request_termination.access(i, &r->call), DP_REPLY);
    const char *at = strstr(sp_arena_dup(r->arena, r->call.reply_body).p, "\"request\":");
    assert_non_null(at);
    return at;
}

static void termination_echoes(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__RequestTerminationConfig c = SALLYPORT__V1__REQUEST_TERMINATION_CONFIG__INIT;
    c.echo = true;
    c.status_code = 404;
    const void *i = ready(l, &dp_request_termination, &c);
    Sallyport__V1__Route route = SALLYPORT__V1__ROUTE__INIT;
    route.name = (char *)"r";
    route.n_hosts = words(words_a, "a.test", NULL);
    route.hosts = words_a;
    struct request *r = with_method(l, "POST");
    client_sends(r, "X-Twice", "1");
    client_sends(r, "Connection", "close");
    client_sends(r, "x-twice", "2");
    client_sends(r, "x-trace", "old");
    r->head.fields.v[1].removed = true; /* hop by hop: the client sent it all the same */
    r->call.num_sent = r->head.fields.len;
    client_sends(r, "Via", "ours");
    r->call.num_prepared = r->head.fields.len;
    r->head.fields.v[3].removed = true;
    client_sends(r, "X-Trace", "new");
    r->head.authority = SP_STR("A.test:8443");
    r->head.has_length = true;
    r->head.content_length = 10;
    r->call.query = SP_STR("?a=1&b&a=%32&c=");
    r->call.path = SP_STR("/p");
    r->call.server_port = 8443;
    r->call.route = &route;
    assert_int_equal(dp_request_termination.access(i, &r->call), DP_PAUSE); /* the body is part of it */
    assert_true(r->call.wants_body);
    r->call.body_state = DP_BODY_WHOLE;
    r->call.body = SP_STR("not \"json\"");
    assert_string_equal(
        echoed(r, i),
        "\"request\":{\"scheme\":\"https\",\"host\":\"a.test\",\"port\":8443,\"headers\":{\"host\":\"A.test:8443\","
        "\"x-twice\":[\"1\",\"2\"],\"connection\":\"close\",\"x-trace\":\"new\",\"content-length\":\"10\"},"
        "\"query\":{\"a\":[\"1\",\"2\"],\"b\":true,\"c\":\"\"},\"raw_body\":\"not \\\"json\\\"\",\"method\":\"POST\","
        "\"path\":\"/p\"},\"matched_route\":{\"name\":\"r\",\"hosts\":[\"a.test\"],\"strip_path\":true,"
        "\"preserve_host\":false,\"path_handling\":\"v0\",\"regex_priority\":0,\"https_redirect_status_code\":426}}");
    assert_string_equal(r->call.reply_message, "Not found");
    sp_fields_add(&r->head.fields, r->arena, SP_FIELD_CONTENT_TYPE, SP_STR("Content-Type"), SP_STR("application/json"));
    r->call.body = SP_STR("[1, {}]");
    assert_non_null(strstr(echoed(r, i), "\"body\":[1, {}],\"raw_body\":\"[1, {}]\""));
    r->call.body_state = DP_BODY_TOO_LARGE;
    assert_null(strstr(echoed(r, i), "body"));
    request_free(r);
    c.body = (char *)"b";
    assert_true(refuses(l, &dp_request_termination, &c, "config.echo"));
}

static void request_size_limiting(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__RequestSizeLimitingConfig c = SALLYPORT__V1__REQUEST_SIZE_LIMITING_CONFIG__INIT;
    c.allowed_payload_size = 2;
    c.size_unit = (char *)"kilobytes";
    const void *i = ready(l, &dp_request_size_limiting, &c);
    struct request *r = with_method(l, "POST");
    r->head.has_length = true;
    r->head.content_length = 2048;
    assert_int_equal(dp_request_size_limiting.access(i, &r->call), DP_NEXT);
    r->head.content_length = 2049;
    dp_request_size_limiting.access(i, &r->call);
    answers(r, 413, "Request size limit exceeded");
    r = with_method(l, "POST");
    r->head.has_length = r->head.expect_continue = true;
    r->head.content_length = UINT64_MAX;
    dp_request_size_limiting.access(i, &r->call);
    answers(r, 417, "Request size limit exceeded");
    r = with_method(l, "POST");
    assert_int_equal(dp_request_size_limiting.access(i, &r->call), DP_NEXT);
    assert_true(r->call.limits_body);
    assert_int_equal(r->call.body_limit, 2048);
    request_free(r);
    c.require_content_length = true;
    r = with_method(l, "POST");
    dp_request_size_limiting.access(ready(l, &dp_request_size_limiting, &c), &r->call);
    answers(r, 411, "A valid Content-Length header is required");
    r = with_method(l, "POST"); /* as Kong: the chunks say where it ends */
    r->head.framing = SP_BODY_CHUNKED;
    assert_int_equal(dp_request_size_limiting.access(ready(l, &dp_request_size_limiting, &c), &r->call), DP_NEXT);
    assert_int_equal(r->call.body_limit, 2048);
    request_free(r);
    c.size_unit = (char *)"acres";
    assert_true(refuses(l, &dp_request_size_limiting, &c, "config.size_unit"));
    c.allowed_payload_size = -1;
    assert_true(refuses(l, &dp_request_size_limiting, &c, "config.allowed_payload_size"));
}

static void somewhere(const struct dp_call *call, struct dp_place *out)
{
    (void)call;
    *out = (struct dp_place){
        .ip = "10.0.0.7", .port = 8443, .worker = 4711, .connection = 12, .request = 3, .ms = LAB_NOW * 1000 + 42};
}

static void correlation_id(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__CorrelationIdConfig c = SALLYPORT__V1__CORRELATION_ID_CONFIG__INIT;
    const void *i = ready(l, &dp_correlation_id, &c);
    struct request *r = with_method(l, "GET");
    dp_correlation_id.access(i, &r->call);
    char first[80];
    snprintf(first, sizeof first, "%s", sent(r, "Kong-Request-ID"));
    assert_string_equal(first + 36, "#1");
    assert_int_equal(r->call.response_fields.len, 0);
    request_free(r);
    r = with_method(l, "GET");
    dp_correlation_id.access(i, &r->call);
    first[37] = '2';
    assert_string_equal(sent(r, "Kong-Request-ID"), first);
    request_free(r);

    c.generator = (char *)"uuid";
    c.header_name = (char *)"X-Trace";
    c.echo_downstream = true;
    i = ready(l, &dp_correlation_id, &c);
    r = with_method(l, "GET");
    dp_correlation_id.access(i, &r->call);
    assert_int_equal(strlen(sent(r, "X-Trace")), 36);
    assert_int_equal(sent(r, "X-Trace")[14], '4');
    assert_true(sp_str_eq(r->call.response_fields.v[0].value, sp_str_z(sent(r, "X-Trace"))));
    request_free(r);
    r = with_method(l, "GET");
    client_sends(r, "x-trace", "mine");
    client_sends(r, "X_Trace", "twin");
    dp_correlation_id.access(i, &r->call);
    assert_string_equal(sent(r, "X-Trace"), "mine");
    assert_true(sp_str_eq(r->call.response_fields.v[0].value, SP_STR("mine")));
    request_free(r);
    c.generator = (char *)"tracker";
    r = with_method(l, "GET");
    r->call.locate = somewhere;
    dp_correlation_id.access(ready(l, &dp_correlation_id, &c), &r->call);
    assert_string_equal(sent(r, "X-Trace"), "10.0.0.7-8443-4711-12-3-1830297600.042");
    request_free(r);
    c.generator = (char *)"moon";
    assert_true(refuses(l, &dp_correlation_id, &c, "config.generator"));
    c.header_name = (char *)"a b";
    assert_true(refuses(l, &dp_correlation_id, &c, "config.header_name"));
}

static const char *told(const struct request *r, const char *name)
{
    for (uint32_t i = 0; i < r->call.response_fields.len; i++)
        if (sp_str_eq(r->call.response_fields.v[i].name, sp_str_z(name)))
            return sp_arena_dup(r->arena, r->call.response_fields.v[i].value).p;
    return "";
}

static struct request *limited(struct lab *l, const void *i, const char *ip, const char *consumer)
{
    struct request *r = with_method(l, "GET");
    r->head.target = SP_STR("//p?x=1");
    r->call.path = SP_STR("/p");
    r->call.client_ip = sp_str_z(ip);
    r->call.consumer = consumer ? dp_directory_consumer_id(l->directory, sp_str_z(consumer)) : NULL;
    dp_rate_limiting.access(i, &r->call);
    return r;
}

static void rate_limiting(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    Sallyport__V1__RateLimitingConfig c = SALLYPORT__V1__RATE_LIMITING_CONFIG__INIT;
    assert_true(refuses(l, &dp_rate_limiting, &c, "no limit is set"));
    c.minute = 2;
    c.hour = 3;
    const void *i = ready(l, &dp_rate_limiting, &c);
    l->now = LAB_NOW + 15; /* LAB_NOW is a midnight */
    struct request *r = limited(l, i, "10.0.0.1", NULL);
    assert_string_equal(told(r, "X-RateLimit-Limit-Minute"), "2");
    assert_string_equal(told(r, "X-RateLimit-Remaining-Minute"), "1");
    assert_string_equal(told(r, "X-RateLimit-Remaining-Hour"), "2");
    assert_string_equal(told(r, "RateLimit-Limit"), "2");
    assert_string_equal(told(r, "RateLimit-Remaining"), "1");
    assert_string_equal(told(r, "RateLimit-Reset"), "45");
    assert_string_equal(told(r, "Retry-After"), "");
    request_free(r);
    request_free(limited(l, i, "10.0.0.1", NULL));
    r = limited(l, i, "10.0.0.1", NULL);
    assert_string_equal(told(r, "Retry-After"), "45");
    assert_string_equal(told(r, "RateLimit-Remaining"), "0");
    answers(r, 429, "API rate limit exceeded");
    r = limited(l, i, "10.0.0.2", NULL); /* somebody else */
    assert_int_equal(r->call.reply_status, 0);
    request_free(r);
    r = limited(l, i, "10.0.0.1", "c1"); /* a consumer is not his address */
    assert_int_equal(r->call.reply_status, 0);
    request_free(r);
    l->now += 60; /* the next minute, the same hour */
    r = limited(l, i, "10.0.0.1", NULL);
    assert_int_equal(r->call.reply_status, 0);
    assert_string_equal(told(r, "X-RateLimit-Remaining-Hour"), "0");
    request_free(r);
    r = limited(l, i, "10.0.0.1", NULL);
    assert_string_equal(told(r, "Retry-After"), "3525");
    answers(r, 429, "API rate limit exceeded");
}

static void rate_limiting_settings(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__RateLimitingConfig c = SALLYPORT__V1__RATE_LIMITING_CONFIG__INIT;
    c.month = 1;
    c.limit_by = (char *)"path";
    assert_true(refuses(l, &dp_rate_limiting, &c, "config.path"));
    c.path = (char *)"/p";
    c.hide_client_headers = true;
    c.error_code = 503;
    c.error_message = (char *)"later";
    const void *i = ready(l, &dp_rate_limiting, &c);
    l->now = LAB_NOW + 30 * DAY; /* the last day of January */
    struct request *r = limited(l, i, "10.9.0.1", NULL);
    assert_int_equal(r->call.response_fields.len, 0);
    request_free(r);
    r = limited(l, i, "10.9.0.2", NULL);
    assert_int_equal(r->call.response_fields.len, 0); /* hidden is hidden, also from who is refused */
    answers(r, 503, "later");
    c.hide_client_headers = false;
    r = limited(l, ready(l, &dp_rate_limiting, &c), "10.9.0.2", NULL);
    assert_string_equal(told(r, "Retry-After"), "86400");
    answers(r, 503, "later");
    l->now += DAY;
    r = limited(l, i, "10.9.0.2", NULL);
    assert_int_equal(r->call.reply_status, 0);
    request_free(r);
    c.policy = (char *)"redis";
    assert_true(refuses(l, &dp_rate_limiting, &c, "config.policy"));
    c.policy = (char *)"local";
    c.limit_by = (char *)"moon";
    assert_true(refuses(l, &dp_rate_limiting, &c, "config.limit_by"));
}

/* Of equal periods the longest is told, as Kong tells it. */
static void rate_limiting_equal_periods(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__RateLimitingConfig c = SALLYPORT__V1__RATE_LIMITING_CONFIG__INIT;
    c.minute = c.hour = 1;
    c.limit_by = (char *)"ip";
    const void *i = ready(l, &dp_rate_limiting, &c);
    l->now = LAB_NOW + 100 * DAY;
    struct request *r = limited(l, i, "10.8.0.1", NULL);
    assert_string_equal(told(r, "RateLimit-Limit"), "1");
    assert_string_equal(told(r, "RateLimit-Reset"), "3600");
    request_free(r);
    r = limited(l, i, "10.8.0.1", NULL);
    assert_string_equal(told(r, "Retry-After"), "3600");
    answers(r, 429, "API rate limit exceeded");
}

static unsigned limited_to(struct lab *l, const void *i, const Sallyport__V1__Service *service, const char *consumer)
{
    struct request *r = with_method(l, "GET");
    r->call.client_ip = SP_STR("10.7.0.1");
    r->call.service = service;
    r->call.consumer = consumer ? dp_directory_consumer_id(l->directory, sp_str_z(consumer)) : NULL;
    dp_rate_limiting.access(i, &r->call);
    unsigned status = r->call.reply_status;
    request_free(r);
    return status;
}

static void rate_limiting_by_service_and_group(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "alice", .groups = {"gold", "all"}});
    add_consumer(l, (struct person){.id = "c2", .username = "bob", .groups = {"gold"}});
    add_consumer(l, (struct person){.id = "c3", .username = "carol", .groups = {"all"}});
    Sallyport__V1__Service one = SALLYPORT__V1__SERVICE__INIT, two = SALLYPORT__V1__SERVICE__INIT;
    one.id = (char *)"s1";
    two.id = (char *)"s2";
    Sallyport__V1__RateLimitingConfig c = SALLYPORT__V1__RATE_LIMITING_CONFIG__INIT;
    c.year = 1;
    c.limit_by = (char *)"service";
    Sallyport__V1__Plugin *p = plugin(l, &dp_rate_limiting, &c);
    p->id = (char *)"by-service";
    void *i;
    struct sp_error err;
    assert_false(sp_failed(dp_rate_limiting.compile(l->arena, l->directory, p, &i, &err)));
    assert_int_equal(limited_to(l, i, &one, "c1"), 0);
    assert_int_equal(limited_to(l, i, &one, "c2"), 429); /* whoever it is */
    assert_int_equal(limited_to(l, i, &two, "c2"), 0);

    c.limit_by = (char *)"consumer-group"; /* the first by name, or the one that the plugin stands on */
    p->id = (char *)"by-group";
    assert_false(sp_failed(dp_rate_limiting.compile(l->arena, l->directory, p, &i, &err)));
    assert_int_equal(limited_to(l, i, NULL, "c1"), 0);
    assert_int_equal(limited_to(l, i, NULL, "c3"), 429);
    assert_int_equal(limited_to(l, i, NULL, "c2"), 0);
    Sallyport__V1__Ref gold = SALLYPORT__V1__REF__INIT;
    gold.name = (char *)"gold";
    p->consumer_group = &gold;
    p->id = (char *)"on-group";
    assert_false(sp_failed(dp_rate_limiting.compile(l->arena, l->directory, p, &i, &err)));
    assert_int_equal(limited_to(l, i, NULL, "c1"), 0);
    assert_int_equal(limited_to(l, i, NULL, "c2"), 429);
}

static void rate_table_is_bounded(void **state)
{
    (void)state;
    for (uint64_t k = 1; k < 300000; k++)
        dp_rate_add(k * 0x9e3779b97f4a7c15u, 1000, 999);
    dp_rate_add(77, 2000, 1500); /* what is over makes room */
    dp_rate_add(77, 2000, 1500);
    assert_int_equal(dp_rate_count(77, 2000), 2);
    assert_int_equal(dp_rate_count(77, 2001), 0);
}

static void queries(void **state)
{
    struct lab *l = *state;
    struct sp_str v = {0};
    assert_int_equal(dp_query_find(l->arena, SP_STR(""), SP_STR("a"), &v), 0);
    assert_int_equal(dp_query_find(l->arena, SP_STR("?"), SP_STR("a"), &v), 0);
    assert_int_equal(dp_query_find(l->arena, SP_STR("?a"), SP_STR("a"), &v), 1);
    assert_int_equal(v.len, 0);
    assert_int_equal(dp_query_find(l->arena, SP_STR("?b=1&a=x+%2B=y&a=2"), SP_STR("a"), &v), 2);
    assert_true(sp_str_eq(v, SP_STR("x +=y")));
    assert_int_equal(dp_query_find(l->arena, SP_STR("?a=%zz"), SP_STR("a"), &v), 1);
    assert_true(sp_str_eq(v, SP_STR("%zz")));
    assert_int_equal(dp_query_without(l->arena, SP_STR("?a=1&a=2"), SP_STR("a")).len, 0);
    assert_true(sp_str_eq(dp_query_without(l->arena, SP_STR("?a=1&b=&c&a=2"), SP_STR("a")), SP_STR("?b=&c")));
}

/* mtls-auth or key-auth; who is neither is anonymous, and anonymous is terminated. */
static void authentications_together(void **state)
{
    struct lab *l = *state;
    add_key_owner(l, "k-id", "by-key", "s3cret", 0);
    add_consumer(l, (struct person){.id = "c-id", .username = "by-cert"});
    add_consumer(l, (struct person){.id = "a-id", .username = "anon"});
    Sallyport__V1__MtlsAuthConfig m = SALLYPORT__V1__MTLS_AUTH_CONFIG__INIT;
    Sallyport__V1__KeyAuthConfig k = SALLYPORT__V1__KEY_AUTH_CONFIG__INIT;
    Sallyport__V1__RequestTerminationConfig t = SALLYPORT__V1__REQUEST_TERMINATION_CONFIG__INIT;
    m.n_ca_certificates = words(words_a, "ca", NULL);
    m.ca_certificates = words_a;
    m.anonymous = k.anonymous = (char *)"anon";
    t.status_code = 403;
    t.message = (char *)"no anonymous users";
    add_plugin(l, &dp_request_termination, &t, "a-id");
    add_plugin(l, &dp_key_auth, &k, NULL);
    add_plugin(l, &dp_mtls_auth, &m, NULL);
    Sallyport__V1__Route route = SALLYPORT__V1__ROUTE__INIT;
    struct dp_chain *c = dp_chain_compile(l->arena, l->directory, &route, NULL);
    assert_int_equal(dp_chain_len(c), 3);
    struct issued leaf = issue(l, (struct leaf){.cn = "by-cert"}, &l->ca);

    struct request *r = request_new(l, CHAIN(&leaf));
    client_sends(r, "apikey", "s3cret"); /* the first that succeeds counts */
    assert_int_equal(dp_chain_access(c, &r->call, true), DP_NEXT);
    assert_string_equal(sent(r, "X-Consumer-Username"), "by-cert");
    request_free(r);
    r = request_new(l, NULL);
    client_sends(r, "apikey", "s3cret");
    assert_int_equal(dp_chain_access(c, &r->call, true), DP_NEXT);
    assert_string_equal(sent(r, "X-Consumer-Username"), "by-key");
    assert_string_equal(sent(r, "X-Anonymous-Consumer"), "");
    request_free(r);
    r = request_new(l, NULL);
    assert_int_equal(dp_chain_access(c, &r->call, true), DP_REPLY);
    answers(r, 403, "no anonymous users");
}

/* Without anonymous both must succeed, and the last one's consumer counts. */
static void authentications_in_a_row(void **state)
{
    struct lab *l = *state;
    add_key_owner(l, "k-id", "by-key", "s3cret", 0);
    add_consumer(l, (struct person){.id = "c-id", .username = "by-cert"});
    Sallyport__V1__MtlsAuthConfig m = SALLYPORT__V1__MTLS_AUTH_CONFIG__INIT;
    Sallyport__V1__KeyAuthConfig k = SALLYPORT__V1__KEY_AUTH_CONFIG__INIT;
    m.n_ca_certificates = words(words_a, "ca", NULL);
    m.ca_certificates = words_a;
    add_plugin(l, &dp_key_auth, &k, NULL);
    add_plugin(l, &dp_mtls_auth, &m, NULL);
    Sallyport__V1__Route route = SALLYPORT__V1__ROUTE__INIT;
    struct dp_chain *c = dp_chain_compile(l->arena, l->directory, &route, NULL);
    struct issued leaf = issue(l, (struct leaf){.cn = "by-cert"}, &l->ca);
    struct request *r = request_new(l, CHAIN(&leaf));
    dp_chain_access(c, &r->call, true);
    answers(r, 401, "No API key found in request");
    r = request_new(l, CHAIN(&leaf));
    client_sends(r, "apikey", "s3cret");
    assert_int_equal(dp_chain_access(c, &r->call, true), DP_NEXT);
    assert_string_equal(sent(r, "X-Consumer-Username"), "by-key");
    request_free(r);
}

/* acl over skip_consumer_lookup: the CN is the group. */
static void acl_by_common_name(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__MtlsAuthConfig m = SALLYPORT__V1__MTLS_AUTH_CONFIG__INIT;
    Sallyport__V1__AclConfig a = SALLYPORT__V1__ACL_CONFIG__INIT;
    m.n_ca_certificates = words(words_a, "ca", NULL);
    m.ca_certificates = words_a;
    m.skip_consumer_lookup = true;
    a.n_allow = words(words_b, "good", NULL);
    a.allow = words_b;
    add_plugin(l, &dp_acl, &a, NULL);
    add_plugin(l, &dp_mtls_auth, &m, NULL);
    Sallyport__V1__Route route = SALLYPORT__V1__ROUTE__INIT;
    struct dp_chain *c = dp_chain_compile(l->arena, l->directory, &route, NULL);
    struct issued good = issue(l, (struct leaf){.cn = "good"}, &l->ca),
                  bad = issue(l, (struct leaf){.cn = "bad"}, &l->ca);
    struct request *r = request_new(l, CHAIN(&good));
    assert_int_equal(dp_chain_access(c, &r->call, true), DP_NEXT);
    assert_string_equal(sent(r, "X-Authenticated-Groups"), "good");
    assert_string_equal(sent(r, "X-Client-Cert-Dn"), "CN=good");
    request_free(r);
    r = request_new(l, CHAIN(&bad));
    dp_chain_access(c, &r->call, true);
    answers(r, 403, "You cannot consume this service");
}

/* The certificate's group counts also where a later authentication says who it is: what always_use_... is for. */
static void acl_by_common_name_of_a_consumer(void **state)
{
    struct lab *l = *state;
    add_key_owner(l, "k-id", "by-key", "s3cret", 0); /* acl-group, second */
    Sallyport__V1__MtlsAuthConfig m = SALLYPORT__V1__MTLS_AUTH_CONFIG__INIT;
    Sallyport__V1__KeyAuthConfig k = SALLYPORT__V1__KEY_AUTH_CONFIG__INIT;
    Sallyport__V1__AclConfig a = SALLYPORT__V1__ACL_CONFIG__INIT;
    m.n_ca_certificates = words(words_a, "ca", NULL);
    m.ca_certificates = words_a;
    m.skip_consumer_lookup = true;
    a.n_allow = words(words_b, "good", "second");
    a.allow = words_b;
    a.always_use_authenticated_groups = true;
    add_plugin(l, &dp_acl, &a, NULL);
    add_plugin(l, &dp_key_auth, &k, NULL);
    add_plugin(l, &dp_mtls_auth, &m, NULL);
    Sallyport__V1__Route route = SALLYPORT__V1__ROUTE__INIT;
    struct dp_chain *c = dp_chain_compile(l->arena, l->directory, &route, NULL);
    struct issued good = issue(l, (struct leaf){.cn = "good"}, &l->ca),
                  bad = issue(l, (struct leaf){.cn = "bad"}, &l->ca);
    struct request *r = request_new(l, CHAIN(&good));
    client_sends(r, "apikey", "s3cret");
    assert_int_equal(dp_chain_access(c, &r->call, true), DP_NEXT);
    assert_string_equal(sent(r, "X-Authenticated-Groups"), "good");
    assert_string_equal(sent(r, "X-Consumer-Username"), "by-key");
    request_free(r);
    r = request_new(l, CHAIN(&bad));
    client_sends(r, "apikey", "s3cret");
    dp_chain_access(c, &r->call, true);
    answers(r, 403, "You cannot consume this service");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, lab_setup, lab_teardown)

int main(void)
{
    sp_log_min = SP_ERROR;
    const struct CMUnitTest tests[] = {
        TEST(acl),
        TEST(networks),
        TEST(ip_restriction),
        TEST(request_termination),
        TEST(termination_echoes),
        TEST(request_size_limiting),
        TEST(rate_limiting),
        TEST(rate_limiting_settings),
        TEST(rate_limiting_equal_periods),
        TEST(rate_limiting_by_service_and_group),
        TEST(rate_table_is_bounded),
        TEST(correlation_id),
        TEST(queries),
        TEST(authentications_together),
        TEST(authentications_in_a_row),
        TEST(acl_by_common_name),
        TEST(acl_by_common_name_of_a_consumer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
