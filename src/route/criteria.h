/* What a route asks of a request beside host and path. Immutable, in the router's arena. */
#pragma once
#include "route/regex.h"
#include "route/router.h"

struct dp_header_rule {
    struct sp_str name;
    const struct sp_str *values; /* any of them will do */
    size_t num_values;
    const struct dp_regex *regex; /* instead of values */
};

struct dp_criteria {
    void *target;
    const Sallyport__V1__Route *route;
    const struct sp_str *methods, *snis;
    const struct dp_header_rule *headers;
    uint32_t num_methods, num_snis, num_headers;
    bool plain, secure; /* protocols: http or grpc; https or grpcs */
};
SP_MUST sp_result dp_criteria_compile(struct sp_arena *a, const Sallyport__V1__Route *route, struct dp_criteria *out,
                                      struct sp_error *err);
enum dp_regex_answer dp_criteria_match(const struct dp_criteria *c, const struct dp_match_input *in);
/* One by one. */
bool dp_criteria_protocol(const struct dp_criteria *c, const struct dp_match_input *in);
bool dp_criteria_method(const struct dp_criteria *c, const struct dp_match_input *in);
bool dp_criteria_sni(const struct dp_criteria *c, const struct dp_match_input *in);
enum dp_regex_answer dp_criteria_headers(const struct dp_criteria *c, const struct dp_match_input *in);

/* Lower-case ASCII copy in the arena; s itself when it is lower-case already. */
struct sp_str dp_lower(struct sp_arena *a, struct sp_str s);
