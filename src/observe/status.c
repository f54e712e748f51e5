#include "observe/status.h"

#include "base/json.h"
#include "explain/answer.h"
#include "observe/metrics.h"

#include <stdlib.h>

struct dp_status {
    struct sp_http_server *server;
    struct dp_status_source *source;
};

enum method { GET, POST, GET_OR_POST };

struct page {
    const char *path;
    enum method method;
    bool guarded; /* tells or changes something: not for pages of other sites */
    void (*serve)(struct dp_status *s, struct sp_http_exchange *x);
};

static void reply_json(struct sp_http_exchange *x, unsigned status, struct sp_buf *b)
{
    sp_http_reply(x, status, "application/json; charset=utf-8", sp_buf_str(b));
    sp_buf_fini(b);
}

static void reply_message(struct sp_http_exchange *x, unsigned status, const char *message)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    sp_json_object(&j);
    sp_json_put_z(&j, "message", message);
    sp_json_end_object(&j);
    sp_buf_putc(&b, '\n');
    reply_json(x, status, &b);
}

static void serve_live(struct dp_status *s, struct sp_http_exchange *x)
{
    (void)s;
    reply_message(x, 200, "live");
}

static void serve_ready(struct dp_status *s, struct sp_http_exchange *x)
{
    if (s->source->draining)
        reply_message(x, 503, "draining");
    else if (!s->source->proxy->current)
        reply_message(x, 503, "no configuration available");
    else
        reply_message(x, 200, "ready");
}

static void serve_metrics(struct dp_status *s, struct sp_http_exchange *x)
{
    struct sp_buf b = {0};
    dp_metrics_write(s->source, &b);
    sp_http_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", sp_buf_str(&b));
    sp_buf_fini(&b);
}

static void put_text(struct sp_buf *out, const char *text)
{
    for (; *text; text++)
        if (*text == '"' || *text == '\\' || (unsigned char)*text < 0x20)
            sp_buf_printf(out, "\\u%04x", (unsigned char)*text);
        else
            sp_buf_putc(out, *text);
}

static void serve_status(struct dp_status *s, struct sp_http_exchange *x)
{
    const struct dp_status_source *src = s->source;
    struct sp_buf b = {0};
    size_t crls = 0, stale_crls = 0;
    if (src->proxy->current)
        dp_directory_count_crls(src->proxy->current->directory, sp_clock_wall_s(&sp_clock_system), &crls, &stale_crls);
    sp_buf_printf(&b,
                  "{\"version\":\"%s\",\"mode\":\"%s\",\"revision\":%lld,\"ready\":%s,\"draining\":%s,\"stale\":%s,"
                  "\"connected\":%s,\"workers\":%u,\"crls\":%zu,\"stale_crls\":%zu,\"rejected_revision\":%lld,"
                  "\"last_error\":\"",
                  SP_VERSION, src->mode, (long long)(src->proxy->current ? src->proxy->current->revision : 0),
                  src->proxy->current && !src->draining ? "true" : "false", src->draining ? "true" : "false",
                  src->stale ? "true" : "false", src->connected ? "true" : "false", src->proxy->num_workers, crls,
                  stale_crls, (long long)src->rejected_revision);
    put_text(&b, src->last_error);
    sp_buf_add(&b, SP_STR("\"}\n"));
    reply_json(x, 200, &b);
}

/* Every resource as it runs, secrets redacted. */
static void serve_config(struct dp_status *s, struct sp_http_exchange *x)
{
    const struct dp_snapshot *snap = s->source->proxy->current;
    struct sp_buf b = {0};
    sp_buf_printf(&b, "{\"revision\":%lld,\"resources\":[", (long long)(snap ? snap->revision : 0));
    for (size_t i = 0; snap && i < snap->resources->num; i++) {
        const struct sp_resource *r = &snap->resources->v[i];
        const ProtobufCEnumValue *kind =
            protobuf_c_enum_descriptor_get_value(&sallyport__v1__kind__descriptor, (int)r->kind);
        char hash[33];
        sp_hex(r->hash, sizeof r->hash, hash);
        sp_buf_printf(&b, "%s{\"kind\":\"%s\",\"hash\":\"%s\",\"body\":", i ? "," : "", kind ? kind->name : "?", hash);
        sp_message_write_json(r->message, true, 0, &b);
        sp_buf_putc(&b, '}');
    }
    sp_buf_add(&b, SP_STR("]}\n"));
    reply_json(x, 200, &b);
}

static void write_map(const struct dp_snapshot *snap, struct sp_buf *b)
{
    bool first = true;
    sp_buf_add(b, SP_STR("{\"entries\":["));
    for (size_t i = 0; snap && i < snap->resources->num; i++) {
        const struct sp_resource *r = &snap->resources->v[i];
        if (r->kind != SALLYPORT__V1__KIND__HANDSHAKE)
            continue;
        if (!first)
            sp_buf_putc(b, ',');
        first = false;
        sp_message_write_json(r->message, true, 0, b);
    }
    sp_buf_add(b, SP_STR("]}\n"));
}

/* /handshake is the whole map; /handshake?sni=NAME what happens to that name. */
static void serve_handshake(struct dp_status *s, struct sp_http_exchange *x)
{
    const struct dp_snapshot *snap = s->source->proxy->current;
    struct sp_handshake_answer answer;
    struct sp_str sni;
    struct sp_buf b = {0};
    if (!snap || !sp_query_get(x->arena, x->query, "sni", &sni)) {
        write_map(snap, &b);
    } else {
        sp_explain_handshake(x->arena, snap->resolved, sni, &answer);
        sp_handshake_answer_json(&answer, sni, &b);
    }
    reply_json(x, 200, &b);
}

/* A question in the query, or as JSON in the body. Off the workers: the snapshot is only read. */
static void serve_explanation(struct dp_status *s, struct sp_http_exchange *x)
{
    const struct dp_snapshot *snap = s->source->proxy->current;
    struct sp_explain_question q;
    struct sp_error err;
    struct sp_buf b = {0};
    bool post = sp_str_eq(x->request->method, SP_STR("POST"));
    sp_result r =
        post ? sp_explain_read_json(x->arena, x->body, &q, &err) : sp_explain_read_query(x->arena, x->query, &q, &err);
    if (sp_failed(r)) {
        reply_message(x, 400, err.text);
    } else if (!snap) {
        reply_message(x, 503, "no configuration available");
    } else {
        dp_explain(snap, &s->source->proxy->options->real_ip, &q, x->arena, &b);
        reply_json(x, 200, &b);
    }
}

static void serve_drain(struct dp_status *s, struct sp_http_exchange *x)
{
    s->source->drain(s->source->ctx);
    reply_message(x, 202, "draining");
}

static const struct page pages[] = {
    {"/healthz/live", GET, false, serve_live},  {"/healthz/ready", GET, false, serve_ready},
    {"/metrics", GET, false, serve_metrics},    {"/status", GET, true, serve_status},
    {"/status/ready", GET, false, serve_ready}, {"/config", GET, true, serve_config},
    {"/handshake", GET, true, serve_handshake}, {"/explain/request", GET_OR_POST, true, serve_explanation},
    {"/drain", POST, true, serve_drain},
};

static bool takes(const struct page *p, struct sp_str method)
{
    bool get = sp_str_eq(method, SP_STR("GET")) || sp_str_eq(method, SP_STR("HEAD"));
    return (get && p->method != POST) || (sp_str_eq(method, SP_STR("POST")) && p->method != GET);
}

static void handle(void *ctx, struct sp_http_exchange *x)
{
    struct dp_status_source *source = ((struct dp_status *)ctx)->source;
    if (source->refresh)
        source->refresh(source);
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (!sp_str_eq(x->path, sp_str_z(pages[i].path)))
            continue;
        if (pages[i].guarded && !sp_http_own_site(x)) {
            reply_message(x, 403, "this listener does not answer pages of other sites");
            return;
        }
        if (takes(&pages[i], x->request->method)) {
            pages[i].serve(ctx, x);
            return;
        }
        static const char *const allow[] = {[GET] = "GET, HEAD", [POST] = "POST", [GET_OR_POST] = "GET, HEAD, POST"};
        sp_http_reply_field(x, SP_STR("Allow"), sp_str_z(allow[pages[i].method]));
        reply_message(x, 405, "Method not allowed");
        return;
    }
    reply_message(x, 404, "Not found");
}

sp_result dp_status_start(struct sp_loop *l, const struct sp_address *at, struct dp_status_source *source,
                          struct sp_address *bound, struct dp_status **out, struct sp_error *err)
{
    struct dp_status *s = sp_alloc(sizeof *s);
    s->source = source;
    s->server = sp_http_server_new(
        &(struct sp_http_server_options){.loop = l, .handle = handle, .ctx = s, .max_body = SP_EXPLAIN_MAX});
    *out = s;
    return sp_http_server_listen(s->server, at, bound, err);
}

void dp_status_stop(struct dp_status *s)
{
    if (!s)
        return;
    sp_http_server_free(s->server);
    free(s);
}
