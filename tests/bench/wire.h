/* TLS over two buffers that all connections of the thread share: ciphertext that was received stands in `in`,
 * ciphertext to send collects in `out`. So one recv takes what the socket has, and a whole flight leaves in one send.
 * For the bench programs only; one thread. */
#pragma once
#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_IN = 256 << 10, WIRE_OUT = 4 << 20 };

struct wire {
    uint8_t *in, *out;
    size_t in_at, in_len, out_len;
};
extern struct wire wire;

void wire_init(void);
void wire_attach(SSL *ssl); /* ssl reads and writes the wire from here on */

/* What could not be sent yet. */
struct backlog {
    uint8_t *bytes;
    size_t at, len;
};
/* Sends wire.out (behind what waits already) and empties it. 1: all is gone, 0: something waits for EPOLLOUT, -1: dead.
 */
int wire_flush(int fd, struct backlog *b);
void backlog_free(struct backlog *b);

/* Small things both programs need. Errors end the program with a message: these are tools, not servers. */
void die(const char *what) __attribute__((noreturn));
int net_listen(int port); /* 127.0.0.1; 0: any port. Prints nothing; see net_port */
int net_port(int fd);
int net_connect(int port);                              /* non-blocking */
const char *file_in(const char *dir, const char *name); /* static buffer */
