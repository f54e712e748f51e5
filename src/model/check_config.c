/* Configs of plugins: what several of their fields say together, and what the data plane cannot do. */
#include "model/build.h"

#include "model/rules.h"

static void both_or_none(struct sp_builder *b, const struct sp_entity *e, bool host, bool port, const char *name)
{
    if (host == port)
        return;
    const char *missing = host ? "port" : "host";
    sp_entity_problem(
        b, e, SP_PROBLEM_ERROR, "required", sp_arena_printf(b->arena, "config.%s_proxy_%s", name, missing).p,
        "all or none of these fields must be set: 'config.%s_proxy_host', 'config.%s_proxy_port'", name, name);
}

static void check_mtls_auth(struct sp_builder *b, const struct sp_entity *e, const Sallyport__V1__MtlsAuthConfig *c)
{
    both_or_none(b, e, c->http_proxy_host, c->has_http_proxy_port, "http");
    both_or_none(b, e, c->https_proxy_host, c->has_https_proxy_port, "https");
}

static void check_header_cert_auth(struct sp_builder *b, const struct sp_entity *e,
                                   const Sallyport__V1__HeaderCertAuthConfig *c)
{
    both_or_none(b, e, c->http_proxy_host, c->has_http_proxy_port, "http");
    both_or_none(b, e, c->https_proxy_host, c->has_https_proxy_port, "https");
}

static void refuse(struct sp_builder *b, const struct sp_entity *e, const char *field, const char *why)
{
    sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", field, "%s", why);
}

static bool has_text(const char *v) /* Kong takes an empty text for none */
{
    return v && *v;
}

static void check_termination(struct sp_builder *b, const struct sp_entity *e,
                              const Sallyport__V1__RequestTerminationConfig *c)
{
    if (has_text(c->message) && (has_text(c->body) || has_text(c->content_type)))
        refuse(b, e, "config", "message cannot be used with content_type or body");
    if (has_text(c->content_type) && !has_text(c->body))
        refuse(b, e, "config", "content_type requires a body");
    if (c->echo && (has_text(c->content_type) || has_text(c->body)))
        refuse(b, e, "config", "echo cannot be used with content_type and body");
}

static void check_key_auth(struct sp_builder *b, const struct sp_entity *e, const Sallyport__V1__KeyAuthConfig *c)
{
    for (size_t i = 0; i < c->n_identity_realms; i++) {
        const Sallyport__V1__IdentityRealm *r = c->identity_realms[i];
        if (!r->scope || strcmp(r->scope, "cp") != 0 || r->id || r->region)
            refuse(b, e, "config.identity_realms",
                   "only {scope: cp} is supported: keys are those of our own consumers");
    }
}

static void check_basic_auth(struct sp_builder *b, const struct sp_entity *e, const Sallyport__V1__BasicAuthConfig *c)
{
    const char *strategy = c->brute_force_protection->strategy;
    if (sp_words_have("cluster memory redis", sp_str_z(strategy)))
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "config.brute_force_protection.strategy",
                          "strategy '%s' is not supported: nothing here counts wrong passwords; set it to off",
                          strategy);
}

/* What would be answered in another way than Kong answers it is refused; what only describes it is taken. */
static void check_rate_policy(struct sp_builder *b, const struct sp_entity *e,
                              const Sallyport__V1__RateLimitingConfig *c)
{
    bool redis = strcmp(c->policy, "redis") == 0;
    if (redis || strcmp(c->policy, "cluster") == 0)
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "config.policy",
                          "policy '%s' is not supported: each data plane counts for itself; set it to local",
                          c->policy);
    if (!redis && c->sync_rate != -1)
        refuse(b, e, "config", "sync_rate can only be used with the redis policy");
}

static void check_rates(struct sp_builder *b, const struct sp_entity *e, const Sallyport__V1__RateLimitingConfig *c)
{
    const bool has[] = {c->has_second, c->has_minute, c->has_hour, c->has_day, c->has_month, c->has_year};
    const int32_t limits[] = {c->second, c->minute, c->hour, c->day, c->month, c->year};
    static const char *const names[] = {"second", "minute", "hour", "day", "month", "year"};
    bool any = false, lower = false;
    for (int i = 0; i < 6; i++) {
        any |= has[i];
        for (int j = i + 1; j < 6 && !lower; j++) {
            lower = has[i] && has[j] && limits[j] < limits[i];
            if (lower)
                sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "config",
                                  "The limit for %s(%.1f) cannot be lower than the limit for %s(%.1f)", names[j],
                                  (double)limits[j], names[i], (double)limits[i]);
        }
    }
    check_rate_policy(b, e, c);
    if (!any)
        refuse(b, e, "config",
               "at least one of these fields must be non-empty: 'config.second', 'config.minute', 'config.hour', "
               "'config.day', 'config.month', 'config.year'");
    if (strcmp(c->limit_by, "header") == 0 && !c->header_name)
        refuse(b, e, "config.header_name", "required field missing");
    if (strcmp(c->limit_by, "path") == 0 && !c->path)
        refuse(b, e, "config.path", "required field missing");
}

void sp_check_config(struct sp_builder *b, const struct sp_entity *e, const Sallyport__V1__Plugin *p)
{
    switch (p->config_case) {
    case SALLYPORT__V1__PLUGIN__CONFIG_MTLS_AUTH:
        check_mtls_auth(b, e, p->mtls_auth);
        break;
    case SALLYPORT__V1__PLUGIN__CONFIG_HEADER_CERT_AUTH:
        check_header_cert_auth(b, e, p->header_cert_auth);
        break;
    case SALLYPORT__V1__PLUGIN__CONFIG_KEY_AUTH:
        check_key_auth(b, e, p->key_auth);
        break;
    case SALLYPORT__V1__PLUGIN__CONFIG_BASIC_AUTH:
        check_basic_auth(b, e, p->basic_auth);
        break;
    case SALLYPORT__V1__PLUGIN__CONFIG_ACL:
        if ((p->acl->n_allow == 0) == (p->acl->n_deny == 0))
            refuse(b, e, "config", "exactly one of these fields must be non-empty: 'config.allow', 'config.deny'");
        break;
    case SALLYPORT__V1__PLUGIN__CONFIG_IP_RESTRICTION:
        if (p->ip_restriction->n_allow == 0 && p->ip_restriction->n_deny == 0)
            refuse(b, e, "config", "at least one of these fields must be non-empty: 'config.allow', 'config.deny'");
        break;
    case SALLYPORT__V1__PLUGIN__CONFIG_RATE_LIMITING:
        check_rates(b, e, p->rate_limiting);
        break;
    case SALLYPORT__V1__PLUGIN__CONFIG_REQUEST_TERMINATION:
        check_termination(b, e, p->request_termination);
        break;
    default:
        break;
    }
}
