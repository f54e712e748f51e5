#include "route/criteria.h"

struct sp_str dp_lower(struct sp_arena *a, struct sp_str s)
{
    size_t i = 0;
    while (i < s.len && sp_lower((unsigned char)s.p[i]) == (unsigned char)s.p[i])
        i++;
    if (i == s.len)
        return s;
    char *p = sp_arena_alloc_raw(a, s.len + 1);
    for (i = 0; i < s.len; i++)
        p[i] = (char)sp_lower((unsigned char)s.p[i]);
    p[s.len] = '\0';
    return sp_str(p, s.len);
}

static const struct sp_str *strings(struct sp_arena *a, char *const *v, size_t num)
{
    struct sp_str *out = SP_NEW_N(a, struct sp_str, num ? num : 1);
    for (size_t i = 0; i < num; i++)
        out[i] = sp_str_z(v[i]);
    return out;
}

static void read_protocols(const Sallyport__V1__Route *route, struct dp_criteria *c)
{
    for (size_t i = 0; i < route->n_protocols; i++) {
        const char *p = route->protocols[i];
        c->plain |= strcmp(p, "http") == 0 || strcmp(p, "grpc") == 0;
        c->secure |= strcmp(p, "https") == 0 || strcmp(p, "grpcs") == 0;
    }
    if (route->n_protocols == 0)
        c->plain = c->secure = true;
}

static sp_result compile_header(struct sp_arena *a, const Sallyport__V1__HeaderEntry *h, struct dp_header_rule *out,
                                struct sp_error *err)
{
    *out = (struct dp_header_rule){.name = sp_str_z(h->key), .num_values = h->n_values};
    if (h->n_values == 1 && strncmp(h->values[0], "~*", 2) == 0) {
        struct dp_regex *re;
        if (sp_failed(dp_regex_compile(a, sp_str_z(h->values[0] + 2), DP_REGEX_CASELESS, &re, err)))
            return sp_fail_in(err, "headers.%s", h->key ? h->key : "");
        out->regex = re;
        return sp_ok();
    }
    out->values = strings(a, h->values, h->n_values);
    return sp_ok();
}

sp_result dp_criteria_compile(struct sp_arena *a, const Sallyport__V1__Route *route, struct dp_criteria *out,
                              struct sp_error *err)
{
    *out = (struct dp_criteria){.route = route,
                                .num_methods = (uint32_t)route->n_methods,
                                .num_snis = (uint32_t)route->n_snis,
                                .num_headers = (uint32_t)route->n_headers};
    read_protocols(route, out);
    out->methods = strings(a, route->methods, route->n_methods);
    struct sp_str *snis = SP_NEW_N(a, struct sp_str, route->n_snis + 1);
    for (size_t i = 0; i < route->n_snis; i++) {
        snis[i] = dp_lower(a, sp_str_z(route->snis[i]));
        if (snis[i].len > 1 && snis[i].p[snis[i].len - 1] == '.')
            snis[i].len--;
    }
    out->snis = snis;
    struct dp_header_rule *headers = SP_NEW_N(a, struct dp_header_rule, route->n_headers + 1);
    for (size_t i = 0; i < route->n_headers; i++)
        SP_TRY(compile_header(a, route->headers[i], &headers[i], err));
    out->headers = headers;
    return sp_ok();
}

/* "*.x" ends with ".x", "x.*" starts with "x.": any number of labels, at least one byte for the star. */
static bool sni_matches(struct sp_str pattern, struct sp_str sni)
{
    if (pattern.len == 1 && pattern.p[0] == '*')
        return sni.len != 0;
    if (pattern.len && pattern.p[0] == '*')
        return sni.len >= pattern.len && sp_str_ends(sni, sp_str_skip(pattern, 1));
    if (pattern.len && pattern.p[pattern.len - 1] == '*')
        return sni.len >= pattern.len && sp_str_starts(sni, sp_str(pattern.p, pattern.len - 1));
    return sp_str_eq(pattern, sni);
}

static enum dp_regex_answer value_matches(const struct dp_header_rule *h, struct sp_str value)
{
    if (h->regex)
        return dp_regex_match(h->regex, value, NULL);
    for (size_t i = 0; i < h->num_values; i++)
        if (sp_str_ieq(h->values[i], value))
            return DP_REGEX_YES;
    return DP_REGEX_NO;
}

/* A field that comes more than once is looked at value by value: joined values hide each other. */
static enum dp_regex_answer header_matches(const struct dp_header_rule *h, const struct sp_fields *fields)
{
    enum dp_regex_answer answer = DP_REGEX_NO;
    for (uint32_t i = 0; i < fields->len && answer == DP_REGEX_NO; i++) {
        const struct sp_field *f = &fields->v[i];
        if (!f->removed && sp_str_ieq(f->name, h->name))
            answer = value_matches(h, f->value);
    }
    return answer;
}

/* A route for TLS only still takes a plaintext request: it is answered with 426 or a redirect. */
bool dp_criteria_protocol(const struct dp_criteria *c, const struct dp_match_input *in)
{
    return !in->tls || c->secure;
}

bool dp_criteria_method(const struct dp_criteria *c, const struct dp_match_input *in)
{
    for (uint32_t i = 0; i < c->num_methods; i++)
        if (sp_str_eq(c->methods[i], in->method))
            return true;
    return c->num_methods == 0;
}

bool dp_criteria_sni(const struct dp_criteria *c, const struct dp_match_input *in)
{
    for (uint32_t i = 0; i < c->num_snis && in->tls; i++)
        if (sni_matches(c->snis[i], in->sni))
            return true;
    return c->num_snis == 0 || !in->tls;
}

enum dp_regex_answer dp_criteria_headers(const struct dp_criteria *c, const struct dp_match_input *in)
{
    for (uint32_t i = 0; i < c->num_headers; i++) {
        enum dp_regex_answer answer = header_matches(&c->headers[i], in->fields);
        if (answer != DP_REGEX_YES)
            return answer;
    }
    return DP_REGEX_YES;
}

/* For every rule that is tried: what it does not ask for costs no call. */
enum dp_regex_answer dp_criteria_match(const struct dp_criteria *c, const struct dp_match_input *in)
{
    if (!dp_criteria_protocol(c, in))
        return DP_REGEX_NO;
    if ((c->num_methods && !dp_criteria_method(c, in)) || (c->num_snis && !dp_criteria_sni(c, in)))
        return DP_REGEX_NO;
    return c->num_headers ? dp_criteria_headers(c, in) : DP_REGEX_YES;
}
