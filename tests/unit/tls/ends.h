/* A client and a server that talk through memory. */
#pragma once
#include "issue.h"
#include "tls/client.h"
#include "tls/internal.h"

struct end {
    struct sp_tls_stream *tls;
    struct sp_wire wire;
    struct sp_buf inbox; /* what the other end sent and this one has not seen */
    enum sp_io state;
};

static inline void end_fini(struct end *e)
{
    sp_tls_free(e->tls);
    sp_buf_fini(&e->wire.out);
    sp_buf_fini(&e->inbox);
    *e = (struct end){0};
}

static inline void carry(struct end *from, struct end *to)
{
    sp_buf_add(&to->inbox, sp_buf_str(&from->wire.out));
    sp_buf_clear(&from->wire.out);
}

/* One call of the handshake with at most n bytes of the inbox. */
static inline void step(struct end *e, size_t n)
{
    if (e->state != SP_IO_AGAIN)
        return;
    if (n > e->inbox.len)
        n = e->inbox.len;
    e->wire.in = sp_str(sp_buf_str(&e->inbox).p, n);
    e->state = sp_tls_handshake(e->tls);
    sp_buf_consume(&e->inbox, n - e->wire.in.len);
    e->wire.in = SP_STR("");
}

/* Handshakes in pieces of `chunk` bytes until both ends are done or failed, or nothing moves any more. */
static inline void shake(struct end *client, struct end *server, size_t chunk)
{
    client->state = server->state = SP_IO_AGAIN;
    for (int quiet = 0; quiet < 2;) {
        size_t before = client->inbox.len + server->inbox.len;
        step(client, chunk);
        carry(client, server);
        step(server, chunk);
        carry(server, client);
        bool moved = before != client->inbox.len + server->inbox.len;
        quiet = moved || (client->state == SP_IO_AGAIN && client->inbox.len) ? 0 : quiet + 1;
    }
}

/* Everything that is readable at one end, as plaintext; returns what the last read said. */
static inline enum sp_io drain(struct end *e, struct sp_buf *plain)
{
    char some[1000];
    size_t got;
    enum sp_io io;
    e->wire.in = sp_buf_str(&e->inbox);
    while ((io = sp_tls_read(e->tls, some, sizeof some, &got)) == SP_IO_OK)
        sp_buf_append(plain, some, got);
    e->inbox.len = 0;
    e->inbox.off = 0;
    return io;
}
