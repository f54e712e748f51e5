/* Socket addresses and sockets. Any thread. */
#pragma once
#include "base/str.h"
#include <sys/socket.h>

struct sp_address {
    struct sockaddr_storage ss;
    socklen_t len;
};

enum { SP_ADDRESS_TEXT = 64 }; /* enough for "[v6]:port" */

/* "127.0.0.1", "::1", "[::1]": IP literals only. */
SP_MUST bool sp_address_parse_ip(struct sp_str text, uint16_t port, struct sp_address *out);
/* From 4 or 16 bytes in network order. */
void sp_address_from_bytes(const uint8_t *bytes, size_t len, uint16_t port, struct sp_address *out);
/* "host:port", "[::1]:port", ":port" (all interfaces, v4), "*:port"; the host must be an IP literal or "localhost". */
SP_MUST sp_result sp_address_parse(struct sp_str text, struct sp_address *out, struct sp_error *err);
size_t sp_address_ip(const struct sp_address *a, char out[SP_ADDRESS_TEXT]);   /* without port; v4-mapped as v4 */
size_t sp_address_text(const struct sp_address *a, char out[SP_ADDRESS_TEXT]); /* with port */
uint16_t sp_address_port(const struct sp_address *a);
bool sp_address_eq(const struct sp_address *a, const struct sp_address *b); /* address and port */

/* A network, "10.0.0.0/8" or a single address. */
struct sp_network {
    uint8_t bytes[16]; /* v4 as v4-mapped */
    uint8_t bits;      /* of 128 */
};
SP_MUST bool sp_network_parse(struct sp_str text, struct sp_network *out);
bool sp_network_has(const struct sp_network *n, const struct sp_address *a);
bool sp_address_is_loopback(const struct sp_address *a);

/* How a listening socket is made; zero is the usual way. What is accepted inherits it. */
enum sp_choice { SP_CHOICE_DEFAULT, SP_CHOICE_ON, SP_CHOICE_OFF };
struct sp_listen_how {
    bool reuseport;                        /* several sockets on one address; the kernel spreads what comes */
    bool deferred;                         /* nothing is accepted before its first bytes are there */
    enum sp_choice ipv6only, keepalive;    /* default: as the system has it; ipv6only is for IPv6 */
    uint32_t backlog;                      /* 0: 4096 */
    uint32_t keep_idle_s, keep_interval_s; /* of keepalive; 0: as the system has it */
    uint32_t keep_probes;
};
/* Sockets are non-blocking and close-on-exec; TCP has NODELAY. */
SP_MUST sp_result sp_listen(const struct sp_address *at, const struct sp_listen_how *how, int *fd,
                            struct sp_error *err); /* how may be NULL */
SP_MUST sp_result sp_connect_start(const struct sp_address *to, int *fd,
                                   struct sp_error *err); /* connected when writable */
int sp_connect_result(int fd);                            /* errno of a finished connect; 0 is success */
SP_MUST sp_result sp_local_address(int fd, struct sp_address *out, struct sp_error *err);
