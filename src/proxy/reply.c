/* Our own answers, in the shape that Kong's clients know: kong-behaviour 1.0 and 6.4. */
#include "proxy/exchange.h"

#include "base/json.h"

const char *dp_reply_text(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } texts[] = {
        {400, "Bad request"},
        {401, "Unauthorized"},
        {402, "Payment required"},
        {403, "Forbidden"},
        {404, "Not found"},
        {405, "Method not allowed"},
        {406, "Not acceptable"},
        {407, "Proxy authentication required"},
        {408, "Request timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length required"},
        {412, "Precondition failed"},
        {413, "Payload too large"},
        {414, "URI too long"},
        {415, "Unsupported media type"},
        {416, "Range not satisfiable"},
        {417, "Expectation failed"},
        {418, "I'm a teapot"},
        {421, "Misdirected Request"},
        {422, "Unprocessable entity"},
        {423, "Locked"},
        {424, "Failed dependency"},
        {425, "Too early"},
        {426, "Upgrade required"},
        {428, "Precondition required"},
        {429, "Too many requests"},
        {431, "Request header or cookie too large"},
        {451, "Unavailable for legal reasons"},
        {494, "Request header or cookie too large"},
        {500, "An unexpected error occurred"},
        {501, "Not implemented"},
        {502, "An invalid response was received from the upstream server"},
        {503, "The upstream server is currently unavailable"},
        {504, "The upstream server is timing out"},
        {505, "HTTP version not supported"},
        {506, "Variant also negotiates"},
        {507, "Insufficient storage"},
        {508, "Loop detected"},
        {510, "Not extended"},
        {511, "Network authentication required"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].status == status)
            return texts[i].text;
    return NULL;
}

/* --- which type --- */

enum reply_type { REPLY_JSON, REPLY_TEXT, REPLY_HTML, REPLY_XML, NUM_REPLY_TYPES };

static const struct {
    struct sp_str media, content_type;
} reply_types[NUM_REPLY_TYPES] = {
    [REPLY_JSON] = {{"application/json", 16}, {"application/json; charset=utf-8", 31}},
    [REPLY_TEXT] = {{"text/plain", 10}, {"text/plain; charset=utf-8", 25}},
    [REPLY_HTML] = {{"text/html", 9}, {"text/html; charset=utf-8", 24}},
    [REPLY_XML] = {{"application/xml", 15}, {"application/xml; charset=utf-8", 30}},
};

/* A weight of RFC 9110 12.4.2 in thousandths, as far as it is one; -1: not at all. */
static int weight(struct sp_str text)
{
    if (text.len == 0 || (text.p[0] != '0' && text.p[0] != '1'))
        return -1;
    int q = text.p[0] == '1' ? 1000 : 0, unit = 100;
    if (text.len < 2 || text.p[1] != '.')
        return q;
    for (size_t i = 2; q < 1000 && i < text.len && i < 5 && text.p[i] >= '0' && text.p[i] <= '9'; i++, unit /= 10)
        q += (text.p[i] - '0') * unit;
    return q;
}

/* The last good "q" counts; without one it is 1. */
static int quality(struct sp_str params)
{
    int q = 1000;
    while (params.p) {
        struct sp_str p = sp_str_trim(sp_str_split(&params, ';'));
        bool named = p.len > 2 && sp_lower((unsigned char)p.p[0]) == 'q' && p.p[1] == '=';
        int w = named ? weight(sp_str_skip(p, 2)) : -1;
        q = w >= 0 ? w : q;
    }
    return q;
}

/* What is none of ours is answered in JSON, as if JSON had been asked for. */
static enum reply_type type_of(struct sp_str range)
{
    if (sp_str_eq(range, SP_STR("text/*")))
        return REPLY_TEXT;
    for (int t = 0; t < NUM_REPLY_TYPES; t++)
        if (sp_str_eq(range, reply_types[t].media))
            return (enum reply_type)t;
    return REPLY_JSON;
}

/* The first range of the highest weight, of all Accept fields in a row; JSON when there is none. */
static enum reply_type wanted_type(const struct sp_fields *fields)
{
    enum reply_type best = REPLY_JSON;
    int best_quality = 0;
    for (uint32_t i = 0; i < fields->len; i++) {
        const struct sp_field *f = &fields->v[i];
        struct sp_str rest = f->id == SP_FIELD_ACCEPT && !f->removed ? f->value : (struct sp_str){0};
        while (rest.len) {
            struct sp_str params = sp_str_split(&rest, ',');
            struct sp_str range = sp_str_trim(sp_str_split(&params, ';'));
            int q = range.len && memchr(range.p, '/', range.len) ? quality(params) : 0;
            if (q > best_quality) {
                best = type_of(range);
                best_quality = q;
            }
        }
    }
    return best;
}

/* --- the body --- */

static struct sp_str json_text(struct sp_arena *a, const char *message)
{
    struct sp_buf out = {0};
    struct sp_json j = sp_json(&out);
    sp_json_z(&j, message);
    struct sp_str s = sp_arena_dup(a, sp_buf_str(&out));
    sp_buf_fini(&out);
    return s;
}

/* A message may hold what an operator or a trusted peer wrote: it must stay a text. */
static struct sp_str markup_text(struct sp_arena *a, const char *message)
{
    if (!message[strcspn(message, "<>&")])
        return sp_str_z(message);
    struct sp_buf out = {0};
    for (const char *p = message; *p; p++) {
        const char *entity = *p == '<' ? "&lt;" : *p == '>' ? "&gt;" : *p == '&' ? "&amp;" : NULL;
        if (entity)
            sp_buf_add(&out, sp_str_z(entity));
        else
            sp_buf_putc(&out, *p);
    }
    struct sp_str s = sp_arena_dup(a, sp_buf_str(&out));
    sp_buf_fini(&out);
    return s;
}

struct sp_str dp_reply_body(struct dp_exchange *x, const char *message, struct sp_str *content_type)
{
    enum reply_type type = wanted_type(&x->request.fields);
    *content_type = reply_types[type].content_type;
    switch (type) {
    case REPLY_TEXT:
        return sp_arena_printf(x->arena, "%s\nrequest_id: %s\n", message, x->request_id);
    case REPLY_HTML:
        return sp_arena_printf(
            x->arena,
            "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  "
            "</head>\n  <body>\n    <h1>Error</h1>\n    <p>%.*s.</p>\n    <p>request_id: %s</p>\n  "
            "</body>\n</html>\n",
            SP_FMT(markup_text(x->arena, message)), x->request_id);
    case REPLY_XML:
        return sp_arena_printf(x->arena,
                               "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>%.*s</message>\n  "
                               "<requestid>%s</requestid>\n</error>\n",
                               SP_FMT(markup_text(x->arena, message)), x->request_id);
    default:
        return sp_arena_printf(x->arena, "{\n  \"message\":%.*s,\n  \"request_id\":\"%s\"\n}",
                               SP_FMT(json_text(x->arena, message)), x->request_id);
    }
}

/* --- gRPC --- */

unsigned dp_reply_grpc_status(unsigned status)
{
    switch (status) {
    case 401:
        return 16;
    case 403:
        return 7;
    case 404:
        return 5;
    case 409:
        return 6;
    case 429:
        return 8;
    case 499:
        return 1;
    case 501:
        return 12;
    case 503:
        return 14;
    case 504:
        return 4;
    default:
        return status < 200 ? 2 : status < 300 ? 0 : status < 400 ? 2 : status < 500 ? 3 : 13;
    }
}

const char *dp_reply_grpc_name(unsigned grpc_status)
{
    static const char *const names[] = {
        "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
        "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
        "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
        "DataLoss", "Unauthenticated"};
    return names[grpc_status];
}

/* As gRPC writes a message on the wire: printable ASCII, the rest percent-encoded. */
struct sp_str dp_reply_grpc_text(struct sp_arena *a, struct sp_str message)
{
    struct sp_buf out = {0};
    for (size_t i = 0; i < message.len; i++) {
        unsigned char c = (unsigned char)message.p[i];
        if (c >= 0x20 && c < 0x7f && c != '%')
            sp_buf_putc(&out, (char)c);
        else
            sp_buf_printf(&out, "%%%02X", c);
    }
    struct sp_str s = sp_arena_dup(a, sp_buf_str(&out));
    sp_buf_fini(&out);
    return s;
}
