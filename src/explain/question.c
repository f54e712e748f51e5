#include "base/names.h"
#include "explain/explain.h"
#include "http/message.h"
#include "http/server.h"
#include "model/node.h"
#include "plugin/network.h"
#include "tls/certificate.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

enum { FIELDS_MAX = 128 };

/* While it is read. */
struct reading {
    struct sp_arena *arena;
    struct sp_explain_question *q;
    struct sp_error *err;
    uint32_t seen; /* bit of a row: it was there */
};

static sp_result bad(struct reading *r, const char *fmt, ...) SP_PRINTF(2, 3);
static sp_result bad(struct reading *r, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return sp_fail(r->err, SP_E_INVALID, "%s", text);
}

/* --- one field each; the text is what was written */

static sp_result read_host(struct reading *r, struct sp_str text)
{
    r->q->host = text;
    return sp_authority_valid(text)
               ? sp_ok()
               : bad(r, "host: '%.*s' is no host name or address, with or without a port", SP_FMT(text));
}

static sp_result read_path(struct reading *r, struct sp_str text)
{
    r->q->path = text;
    if (text.len == 0 || text.p[0] != '/')
        return bad(r, "path: '%.*s' does not begin with '/'", SP_FMT(text));
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.p[i] <= 0x20 || (unsigned char)text.p[i] >= 0x7f)
            return bad(r, "path: byte %zu is no part of a path: write it as %%%02X", i + 1, (unsigned char)text.p[i]);
    return sp_ok();
}

static sp_result read_method(struct reading *r, struct sp_str text)
{
    r->q->method = text;
    for (size_t i = 0; i < text.len; i++)
        if ((text.p[i] < 'A' || text.p[i] > 'Z') && text.p[i] != '-' && text.p[i] != '_')
            return bad(r, "method: '%.*s' is no method; they are words in capitals: GET, POST ...", SP_FMT(text));
    return text.len ? sp_ok() : bad(r, "method: empty");
}

static sp_result read_field(struct reading *r, struct sp_str text)
{
    struct sp_str value = text, name = sp_str_split(&value, ':');
    if (!value.p || !sp_token_valid(name) || !sp_field_value_valid(sp_str_trim(value)))
        return bad(r, "header: '%.*s' is not 'Name: value'", SP_FMT(name));
    if (sp_str_ieq(name, SP_STR("Host")))
        return bad(r, "header: the Host field is the question's `host`");
    if (r->q->num_fields == FIELDS_MAX)
        return bad(r, "header: more than %d fields", FIELDS_MAX);
    if (!r->q->fields)
        r->q->fields = SP_NEW_N(r->arena, struct sp_str, FIELDS_MAX);
    r->q->fields[r->q->num_fields++] =
        sp_arena_printf(r->arena, "%.*s: %.*s", SP_FMT(name), SP_FMT(sp_str_trim(value)));
    return sp_ok();
}

static sp_result read_sni(struct reading *r, struct sp_str text)
{
    char *name = sp_arena_alloc(r->arena, SP_HOST_MAX + 1);
    size_t len = 0;
    if (text.len && !sp_host_normalise(text, name, &len))
        return bad(r, "sni: '%.*s' cannot stand in a ClientHello (an address never does)", SP_FMT(text));
    r->q->sni = sp_str(name, len);
    return sp_ok();
}

static sp_result read_client_ip(struct reading *r, struct sp_str text)
{
    struct dp_network n;
    r->q->client_ip = text;
    if (memchr(text.p ? text.p : "", '/', text.len) || !dp_network_parse(text, &n))
        return bad(r, "client_ip: '%.*s' is no IP address", SP_FMT(text));
    return sp_ok();
}

static sp_result read_bool(struct reading *r, const char *name, struct sp_str text, bool *out)
{
    *out = sp_str_eq(text, SP_STR("true")) || sp_str_eq(text, SP_STR("1"));
    if (*out || sp_str_eq(text, SP_STR("false")) || sp_str_eq(text, SP_STR("0")))
        return sp_ok();
    return bad(r, "%s: expected true or false", name);
}

static sp_result read_plain(struct reading *r, struct sp_str text)
{
    return read_bool(r, "plain", text, &r->q->plain);
}

static sp_result read_trusted(struct reading *r, struct sp_str text)
{
    r->q->says_trusted = true;
    return read_bool(r, "peer_trusted", text, &r->q->peer_trusted);
}

static sp_result read_version(struct reading *r, struct sp_str text)
{
    r->q->http2 = sp_str_eq(text, SP_STR("2"));
    if (r->q->http2 || sp_str_eq(text, SP_STR("1.1")))
        return sp_ok();
    return bad(r, "http_version: expected 1.1 or 2");
}

static sp_result read_at(struct reading *r, struct sp_str text)
{
    struct tm t = {0};
    int end = 0;
    uint64_t seconds;
    if (sp_str_to_u64(text, &seconds) && seconds && seconds < INT64_C(253402300800)) { /* the year 10000 */
        r->q->at = (int64_t)seconds;
        return sp_ok();
    }
    const char *z = sp_arena_dup(r->arena, text).p;
    int n = sscanf(z, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min, &t.tm_sec,
                   &end);
    if (n != 6 || end != 20 || text.len != 20)
        return bad(r, "at: expected seconds since 1970, or a time like 2027-01-31T12:00:00Z");
    t.tm_year -= 1900;
    t.tm_mon--;
    r->q->at = (int64_t)timegm(&t);
    return r->q->at > 0 ? sp_ok() : bad(r, "at: before 1970");
}

/* --- certificates */

static unsigned line_of(struct sp_str text, const char *at)
{
    unsigned line = 1;
    for (const char *p = text.p; p < at; p++)
        line += *p == '\n';
    return line;
}

static const char *find_in(struct sp_str text, struct sp_str what)
{
    return text.len ? memmem(text.p, text.len, what.p, what.len) : NULL;
}

/* A certificate whose names are odd is for the plugins to judge; bytes that are no certificate, no client could show.
 */
static sp_result add_block(struct reading *r, struct sp_str block, unsigned line)
{
    struct sp_der_list list;
    struct sp_cert_info info;
    struct sp_error why;
    sp_result good = sp_pem_certificates(block, r->arena, &list, &why);
    if (!sp_failed(good)) {
        good = sp_cert_read(list.v[0], r->arena, &info, &why);
        good.code = good.code == SP_E_INVALID ? SP_OK : good.code;
    }
    if (sp_failed(good))
        return bad(r, "certificate: line %u: %s", line, why.text);
    for (size_t i = 0; i < r->q->num_chain; i++)
        if (sp_str_eq(r->q->chain[i], list.v[0]))
            return bad(r, "certificate: line %u: this one is there already", line);
    r->q->chain[r->q->num_chain++] = list.v[0];
    return sp_ok();
}

static sp_result read_certificate(struct reading *r, struct sp_str text)
{
    enum { CHAIN = 32 };
    const struct sp_str begin = SP_STR("-----BEGIN CERTIFICATE-----"), end = SP_STR("-----END CERTIFICATE-----");
    const char *key = find_in(text, SP_STR("PRIVATE KEY-----"));
    struct sp_str rest = text;
    if (key)
        return bad(r, "certificate: line %u: a private key is not needed, and belongs nowhere but to its client",
                   line_of(text, key));
    r->q->chain = SP_NEW_N(r->arena, struct sp_str, CHAIN);
    for (const char *at; (at = find_in(rest, begin)) != NULL;) {
        rest = sp_str(at, rest.len - (size_t)(at - rest.p));
        const char *stop = find_in(rest, end);
        if (!stop)
            return bad(r, "certificate: line %u: no END CERTIFICATE follows", line_of(text, at));
        if (r->q->num_chain == CHAIN)
            return bad(r, "certificate: more than %d certificates, which no data plane verifies", CHAIN);
        size_t len = (size_t)(stop - at) + end.len;
        SP_TRY(add_block(r, sp_str(at, len), line_of(text, at)));
        rest = sp_str_skip(rest, len);
    }
    return r->q->num_chain ? sp_ok() : bad(r, "certificate: no certificate in PEM form");
}

/* --- the whole */

enum { HOST, PATH, METHOD, HEADER, CERTIFICATE, SNI, PLAIN, VERSION, CLIENT_IP, TRUSTED, AT, NUM_ROWS };
static const struct {
    const char *name;
    sp_result (*read)(struct reading *r, struct sp_str text);
} rows[NUM_ROWS] = {
    [HOST] = {"host", read_host},
    [PATH] = {"path", read_path},
    [METHOD] = {"method", read_method},
    [HEADER] = {"header", read_field},
    [CERTIFICATE] = {"certificate", read_certificate},
    [SNI] = {"sni", read_sni},
    [PLAIN] = {"plain", read_plain},
    [VERSION] = {"http_version", read_version},
    [CLIENT_IP] = {"client_ip", read_client_ip},
    [TRUSTED] = {"peer_trusted", read_trusted},
    [AT] = {"at", read_at},
};

static sp_result take(struct reading *r, struct sp_str name, struct sp_str text)
{
    for (int i = 0; i < NUM_ROWS; i++) {
        if (!sp_str_eq(name, sp_str_z(rows[i].name)))
            continue;
        if (i != HEADER && r->seen & UINT32_C(1) << i)
            return bad(r, "%s: given twice", rows[i].name);
        r->seen |= UINT32_C(1) << i;
        return rows[i].read(r, text);
    }
    return bad(r, "'%.*s' is no field of a question", SP_FMT(name));
}

static bool was_seen(const struct reading *r, int row)
{
    return r->seen & UINT32_C(1) << row;
}

/* A client names the host in its ClientHello, unless that is an address. */
static void name_the_host(struct reading *r)
{
    struct sp_str name;
    uint16_t port;
    char *text = sp_arena_alloc(r->arena, SP_HOST_MAX + 1);
    size_t len = 0;
    if (sp_host_split(r->q->host, &name, &port) && sp_host_normalise(name, text, &len))
        r->q->sni = sp_str(text, len);
}

static sp_result finish(struct reading *r)
{
    struct sp_explain_question *q = r->q;
    if (!was_seen(r, HOST) || !was_seen(r, PATH))
        return bad(r, "%s: required", was_seen(r, HOST) ? "path" : "host");
    if (q->plain && (q->http2 || q->sni.len))
        return bad(r, "%s: only with TLS, and `plain` says that there is none", q->sni.len ? "sni" : "http_version");
    if (!was_seen(r, SNI) && !q->plain)
        name_the_host(r);
    return sp_ok();
}

static struct reading begin(struct sp_arena *a, struct sp_explain_question *out, struct sp_error *err)
{
    *out = (struct sp_explain_question){.method = SP_STR("GET"), .client_ip = SP_STR("127.0.0.1")};
    return (struct reading){.arena = a, .q = out, .err = err};
}

sp_result sp_explain_read_query(struct sp_arena *a, struct sp_str query, struct sp_explain_question *out,
                                struct sp_error *err)
{
    struct reading r = begin(a, out, err);
    struct sp_str name, value;
    while (sp_query_next(a, &query, &name, &value))
        SP_TRY(take(&r, name, value));
    return query.len ? bad(&r, "the query string is malformed") : finish(&r);
}

static sp_result take_node(struct reading *r, struct sp_str name, const struct sp_node *n)
{
    static const char *const words[] = {"false", "true"};
    if (n->type == SP_NODE_NULL)
        return sp_str_eq(name, SP_STR("sni")) ? take(r, name, SP_STR("")) : sp_ok();
    if (n->type == SP_NODE_BOOL)
        return take(r, name, sp_str_z(words[n->boolean]));
    if (n->type == SP_NODE_STRING || n->type == SP_NODE_INTEGER)
        return take(r, name, n->text);
    return bad(r, "%.*s: %.*s is not expected here", SP_FMT(name), SP_FMT(sp_node_describe(r->arena, n)));
}

static sp_result take_headers(struct reading *r, const struct sp_node *list)
{
    if (list->type != SP_NODE_LIST)
        return list->type == SP_NODE_NULL ? sp_ok() : bad(r, "headers: expected a list of \"Name: value\"");
    for (size_t i = 0; i < list->num; i++)
        SP_TRY(take_node(r, SP_STR("header"), list->items[i]));
    return sp_ok();
}

sp_result sp_explain_read_json(struct sp_arena *a, struct sp_str text, struct sp_explain_question *out,
                               struct sp_error *err)
{
    struct reading r = begin(a, out, err);
    struct sp_problems problems;
    sp_problems_init(&problems, a);
    if (text.len > SP_EXPLAIN_MAX)
        return bad(&r, "the question has more than %d bytes", SP_EXPLAIN_MAX);
    const struct sp_node *root = sp_node_read_json(a, text, SP_STR("question"), &problems);
    if (!root)
        return sp_problems_result(&problems, err);
    if (root->type != SP_NODE_MAP)
        return bad(&r, "expected an object with at least host and path");
    for (size_t i = 0; i < root->num; i++) {
        struct sp_str name = root->items[2 * i]->text;
        const struct sp_node *n = root->items[2 * i + 1];
        SP_TRY(sp_str_eq(name, SP_STR("headers")) ? take_headers(&r, n) : take_node(&r, name, n));
    }
    return finish(&r);
}
