/* Our own answers, in the shape that Kong's clients know: kong-behaviour 1.0 and 6.4. */
#include "proxy/exchange.h"

const char *dp_reply_text(unsigned status)
{
    switch (status) {
    case 400:
        return "Bad request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not found";
    case 405:
        return "Method not allowed";
    case 408:
        return "Request timeout";
    case 411:
        return "Length required";
    case 412:
        return "Precondition failed";
    case 413:
        return "Payload too large";
    case 414:
        return "URI too long";
    case 417:
        return "Expectation failed";
    case 421:
        return "Misdirected Request";
    case 429:
        return "Too many requests";
    case 431:
    case 494:
        return "Request header or cookie too large";
    case 500:
        return "An unexpected error occurred";
    case 501:
        return "Not implemented";
    case 502:
        return "An invalid response was received from the upstream server";
    case 503:
        return "The upstream server is currently unavailable";
    case 504:
        return "The upstream server is timing out";
    case 505:
        return "HTTP version not supported";
    default:
        return sp_status_phrase(status);
    }
}

enum reply_type { REPLY_JSON, REPLY_TEXT, REPLY_HTML, REPLY_XML, NUM_REPLY_TYPES };

static const struct {
    struct sp_str media, content_type;
} reply_types[NUM_REPLY_TYPES] = {
    [REPLY_JSON] = {{"application/json", 16}, {"application/json; charset=utf-8", 31}},
    [REPLY_TEXT] = {{"text/plain", 10}, {"text/plain; charset=utf-8", 25}},
    [REPLY_HTML] = {{"text/html", 9}, {"text/html; charset=utf-8", 24}},
    [REPLY_XML] = {{"application/xml", 15}, {"application/xml; charset=utf-8", 30}},
};

/* "q=0.8" in thousandths; 1000 when absent or malformed. */
static unsigned quality(struct sp_str params)
{
    while (params.p) {
        struct sp_str p = sp_str_trim(sp_str_split(&params, ';'));
        if (!sp_str_starts(p, SP_STR("q=")) || p.len < 3)
            continue;
        unsigned q = p.p[2] == '1' ? 1000 : 0, unit = 100;
        for (size_t i = 4; i < p.len && i < 7 && p.p[i] >= '0' && p.p[i] <= '9'; i++, unit /= 10)
            q += (unsigned)(p.p[i] - '0') * unit;
        return q > 1000 ? 1000 : q;
    }
    return 1000;
}

static bool media_matches(struct sp_str range, struct sp_str media)
{
    if (sp_str_eq(range, SP_STR("*/*")) || sp_str_ieq(range, media))
        return true;
    return range.len > 2 && range.p[range.len - 1] == '*' && range.p[range.len - 2] == '/' && media.len >= range.len &&
           sp_str_ieq(sp_str(range.p, range.len - 1), sp_str(media.p, range.len - 1));
}

/* The type that the client likes best; JSON when it does not say, or likes nothing of ours. */
static enum reply_type wanted_type(const struct sp_fields *fields)
{
    const struct sp_field *accept = sp_fields_find_id(fields, SP_FIELD_ACCEPT);
    enum reply_type best = REPLY_JSON;
    unsigned best_quality = 0;
    struct sp_str rest = accept ? accept->value : (struct sp_str){0};
    while (rest.len) {
        struct sp_str params = sp_str_split(&rest, ',');
        struct sp_str range = sp_str_trim(sp_str_split(&params, ';'));
        unsigned q = quality(params);
        for (int t = 0; t < NUM_REPLY_TYPES; t++)
            if (q > best_quality && media_matches(range, reply_types[t].media)) {
                best = (enum reply_type)t;
                best_quality = q;
            }
    }
    return best;
}

struct sp_str dp_reply_body(struct dp_exchange *x, unsigned status, const char *message, struct sp_str *content_type)
{
    enum reply_type type = wanted_type(&x->request.fields);
    (void)status;
    *content_type = reply_types[type].content_type;
    switch (type) {
    case REPLY_TEXT:
        return sp_arena_printf(x->arena, "%s\nrequest_id: %s\n", message, x->request_id);
    case REPLY_HTML:
        return sp_arena_printf(
            x->arena,
            "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  "
            "</head>\n  <body>\n    <h1>Error</h1>\n    <p>%s.</p>\n    <p>request_id: %s</p>\n  "
            "</body>\n</html>\n",
            message, x->request_id);
    case REPLY_XML:
        return sp_arena_printf(x->arena,
                               "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>%s</message>\n  "
                               "<requestid>%s</requestid>\n</error>\n",
                               message, x->request_id);
    default:
        return sp_arena_printf(x->arena, "{\n  \"message\":\"%s\",\n  \"request_id\":\"%s\"\n}", message,
                               x->request_id);
    }
}
