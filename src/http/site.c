/* Who may ask a listener that trusts whoever reaches it: no browser on behalf of somebody else's page. */
#include "http/server.h"

static struct sp_str host_of(struct sp_str authority)
{
    if (authority.len && authority.p[0] == '[') {
        const char *end = memchr(authority.p, ']', authority.len);
        return end ? sp_str(authority.p, (size_t)(end - authority.p) + 1) : authority;
    }
    return sp_str_split(&authority, ':');
}

/* A name that an attacker points to 127.0.0.1 would otherwise make his page the same origin as this API. */
static bool host_is_fine(const struct sp_http_exchange *x)
{
    struct sp_str host = host_of(x->request->authority);
    struct sp_address ip;
    if (!sp_address_is_loopback(&x->peer))
        return true;
    return sp_str_ieq(host, SP_STR("localhost")) || sp_str_ends(host, SP_STR(".localhost")) ||
           sp_address_parse_ip(host, 0, &ip);
}

static bool origin_is_fine(const struct sp_http_exchange *x)
{
    const struct sp_field *f = sp_fields_find(&x->request->fields, SP_STR("Origin"));
    struct sp_str origin = f ? f->value : SP_STR(""), own = x->request->authority;
    if (origin.len == 0)
        return true;
    if (sp_str_starts(origin, SP_STR("http://")))
        return sp_str_ieq(sp_str_skip(origin, 7), own);
    return sp_str_starts(origin, SP_STR("https://")) && sp_str_ieq(sp_str_skip(origin, 8), own);
}

bool sp_http_own_site(const struct sp_http_exchange *x)
{
    return host_is_fine(x) && origin_is_fine(x);
}
