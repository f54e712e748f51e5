/* An HTTP/2 connection of a client that sends anything. The first byte chooses how the bytes arrive and what the
 * application does; the rest goes to the session, after a proper preface unless the first byte says otherwise. Every
 * stream is opened, asked and closed once, in this order, and the session ends or waits: it never spins. */
#include "http/h1.h"
#include "http/h2.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    RAW = 1,
    SLOW = 2,
    NO_CREDIT = 4,
    RESETS = 8,
    TRAILERS = 16,
    REFUSES = 32,
    MAX_OWNERS = 4096,
    MAX_TURNS = 100000
};

struct owner {
    struct sp_h2_stream *s;
    struct sp_arena *arena;
    struct app *app;
    bool asked, ended, closed;
};

struct app {
    struct sp_h2 *h;
    struct sp_buf out;
    unsigned what;
    struct owner *owners[MAX_OWNERS];
    size_t num;
};

static char big[40000];

static void *app_open(void *conn, struct sp_h2_stream *s, struct sp_arena **arena)
{
    struct app *app = conn;
    if (app->num == MAX_OWNERS || (app->what & REFUSES && app->num % 3 == 2))
        return NULL;
    struct owner *o = sp_alloc(sizeof *o);
    *o = (struct owner){.s = s, .arena = sp_arena_new(1024), .app = app};
    *arena = o->arena;
    app->owners[app->num++] = o;
    return o;
}

static void answer(struct owner *o)
{
    struct app *app = o->app;
    struct sp_fields f = {0};
    struct sp_response_head head = {.status = 200, .framing = SP_BODY_STREAM};
    sp_fields_add(&f, o->arena, SP_FIELD_OTHER, SP_STR("Grpc-Status"), SP_STR("0"));
    head.fields = f;
    if (!sp_h2_respond(o->s, &head, false))
        return;
    bool sent = sp_h2_data(o->s, sp_str(big, sizeof big), !(app->what & TRAILERS), &app->out, 65536);
    if (app->what & TRAILERS)
        sp_h2_trailers(o->s, &f);
    if (!sent && app->what & RESETS)
        sp_h2_reset(o->s, 8);
}

/* What every request must be when it comes out, whatever went in: we could write it as HTTP/1. */
static void app_request(void *owner, struct sp_request_head *head, bool end)
{
    struct owner *o = owner;
    struct sp_buf text = {0};
    sp_assert(!o->asked && !o->closed);
    o->asked = true;
    o->ended = end;
    sp_assert(sp_authority_valid(head->authority));
    bool written = sp_h1_write_request(&text, head);
    sp_assert(written);
    sp_buf_fini(&text);
    if (end)
        answer(o);
}

static void app_data(void *owner, struct sp_str bytes, bool end)
{
    struct owner *o = owner;
    sp_assert(o->asked && !o->ended && !o->closed);
    o->ended = end;
    if (!(o->app->what & NO_CREDIT))
        sp_h2_credit(o->s, bytes.len);
    if (end || bytes.len > 100)
        answer(o);
}

static void app_trailers(void *owner, const struct sp_fields *trailers)
{
    struct owner *o = owner;
    sp_assert(o->asked && !o->ended && trailers->len);
    o->ended = true;
    answer(o);
}

static void app_writable(void *owner)
{
    struct owner *o = owner;
    sp_assert(!o->closed);
}

static void app_closed(void *owner, bool clean)
{
    struct owner *o = owner;
    (void)clean;
    sp_assert(!o->closed);
    o->closed = true;
    o->s = NULL;
}

static const struct sp_h2_events events = {.request = app_request,
                                           .data = app_data,
                                           .trailers = app_trailers,
                                           .writable = app_writable,
                                           .closed = app_closed,
                                           .open = app_open};

static void flush(struct app *app)
{
    unsigned turns = 0;
    do {
        sp_assert(turns++ < MAX_TURNS);
        sp_h2_send(app->h, &app->out, 65536);
        sp_assert(app->out.len < 65536 + 16384 + 65536);
        sp_buf_clear(&app->out);
    } while (sp_h2_wants_write(app->h));
}

static bool feed(struct app *app, struct sp_str bytes)
{
    struct sp_error err;
    size_t step = app->what & SLOW ? 3 : bytes.len;
    while (bytes.len) {
        size_t n = step < bytes.len ? step : bytes.len;
        bool ok = !sp_failed(sp_h2_recv(app->h, sp_str(bytes.p, n), &err));
        flush(app);
        if (!ok) {
            sp_assert(sp_h2_finished(app->h));
            return false;
        }
        bytes = sp_str_skip(bytes, n);
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    struct app *app = sp_alloc(sizeof *app);
    if (size)
        app->what = data[0];
    app->h = sp_h2_new(&events, &sp_h2_default_limits, app);
    if (app->what & RAW || feed(app, sp_str(preface, sizeof preface - 1)))
        feed(app, size ? sp_str(data + 1, size - 1) : sp_str("", 0));
    sp_h2_free(app->h);
    for (size_t i = 0; i < app->num; i++) {
        sp_arena_free(app->owners[i]->arena);
        free(app->owners[i]);
    }
    sp_buf_fini(&app->out);
    free(app);
    return 0;
}
