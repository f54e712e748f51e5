/* One TLS connection, sans I/O, client or server: ciphertext in and out through a wire that all streams of a thread
 * share, so that one recv takes what the socket has and a whole flight leaves in one send (DESIGN section 11). One
 * thread per stream. */
#pragma once
#include "tls/server.h"

/* Where ciphertext comes from and goes to. The owner of the socket sets `in` to what it received before it calls a
 * stream, and sends and clears `out` afterwards. A call uses all of `in`. */
struct sp_wire {
    struct sp_str in;
    struct sp_buf out;
};

struct sp_tls_stream;
/* names (done) must outlive the handshake, not the stream. listener: resumption is bound to it. */
struct sp_tls_stream *sp_tls_accept(struct sp_tls_server *s, const struct sp_tls_names *names, uint64_t listener,
                                    struct sp_wire *wire);
void sp_tls_free(struct sp_tls_stream *t);

/* OK: done. AGAIN: send wire->out, come back with more. ERROR: send wire->out (the alert), close; sp_tls_fault says
 * why. */
enum sp_io sp_tls_handshake(struct sp_tls_stream *t);
/* Plaintext into to[cap]. OK: *got > 0. AGAIN: wire->in is used up. EOF: close_notify. Key updates and tickets are
 * answered into wire->out. */
enum sp_io sp_tls_read(struct sp_tls_stream *t, char *to, size_t cap, size_t *got);
/* Before another stream uses the wire: what is left of wire->in moves into this stream and is read first by the next
 * call. For a reader that stops before AGAIN. */
void sp_tls_keep(struct sp_tls_stream *t);
/* Seals all of bytes (records of 16 KiB) to the end of wire->out. Never AGAIN. */
enum sp_io sp_tls_write(struct sp_tls_stream *t, struct sp_str bytes);
void sp_tls_close(struct sp_tls_stream *t);              /* close_notify into wire->out */
const char *sp_tls_fault(const struct sp_tls_stream *t); /* last error in words; constant or owned by the stream */

/* Who is at the other end. Valid after the handshake, as long as the stream. */
struct sp_peer {
    struct sp_str *chain; /* DER as sent, leaf first */
    size_t num_chain;     /* 0: no certificate */
    uint8_t digest[32];   /* SHA-256 over the lengths and bytes of the chain; zero without one */
    struct sp_str sni;    /* normalised; empty when none or malformed */
    uint64_t policy;      /* handshake policy that was in force; 0: not asked */
    bool asked;
    bool resumed;
    struct sp_str alpn;  /* "h2", "http/1.1" or empty */
    const char *version; /* "TLSv1.3" */
    const char *cipher;
};
const struct sp_peer *sp_tls_peer(const struct sp_tls_stream *t);
/* On a server with require_peer the verified leaf; seconds since 1970, 0 without a certificate. */
int64_t sp_tls_peer_not_after(const struct sp_tls_stream *t);
