#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static struct sockaddr_in *v4(const struct sp_address *a)
{
    return (struct sockaddr_in *)(void *)&((struct sp_address *)(uintptr_t)a)->ss;
}

static struct sockaddr_in6 *v6(const struct sp_address *a)
{
    return (struct sockaddr_in6 *)(void *)&((struct sp_address *)(uintptr_t)a)->ss;
}

bool sp_address_parse_ip(struct sp_str text, uint16_t port, struct sp_address *out)
{
    char z[SP_ADDRESS_TEXT];
    if (text.len >= 2 && text.p[0] == '[' && text.p[text.len - 1] == ']')
        text = sp_str(text.p + 1, text.len - 2);
    if (text.len == 0 || text.len >= sizeof z || memchr(text.p, '\0', text.len))
        return false;
    memcpy(z, text.p, text.len);
    z[text.len] = '\0';
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, z, &v4(out)->sin_addr) == 1) {
        out->ss.ss_family = AF_INET;
        v4(out)->sin_port = htons(port);
        out->len = sizeof(struct sockaddr_in);
        return true;
    }
    if (inet_pton(AF_INET6, z, &v6(out)->sin6_addr) == 1) {
        out->ss.ss_family = AF_INET6;
        v6(out)->sin6_port = htons(port);
        out->len = sizeof(struct sockaddr_in6);
        return true;
    }
    return false;
}

void sp_address_from_bytes(const uint8_t *bytes, size_t len, uint16_t port, struct sp_address *out)
{
    memset(out, 0, sizeof *out);
    if (len == sizeof(struct in_addr)) {
        out->ss.ss_family = AF_INET;
        memcpy(&v4(out)->sin_addr, bytes, len);
        v4(out)->sin_port = htons(port);
        out->len = sizeof(struct sockaddr_in);
        return;
    }
    sp_assert(len == sizeof(struct in6_addr));
    out->ss.ss_family = AF_INET6;
    memcpy(&v6(out)->sin6_addr, bytes, len);
    v6(out)->sin6_port = htons(port);
    out->len = sizeof(struct sockaddr_in6);
}

static bool split_port(struct sp_str text, struct sp_str *host, uint64_t *port)
{
    for (size_t i = text.len; i-- > 0;)
        if (text.p[i] == ':') {
            *host = sp_str(text.p, i);
            return sp_str_to_u64(sp_str_skip(text, i + 1), port) && *port <= 65535;
        }
    return false;
}

sp_result sp_address_parse(struct sp_str text, struct sp_address *out, struct sp_error *err)
{
    struct sp_str host;
    uint64_t port;
    if (!split_port(text, &host, &port))
        return sp_fail(err, SP_E_USAGE, "address '%.*s': expected host:port with a port from 0 to 65535", SP_FMT(text));
    if (host.len == 0 || sp_str_eq(host, SP_STR("*")))
        host = SP_STR("0.0.0.0");
    else if (sp_str_ieq(host, SP_STR("localhost")))
        host = SP_STR("127.0.0.1");
    if (!sp_address_parse_ip(host, (uint16_t)port, out))
        return sp_fail(err, SP_E_USAGE, "address '%.*s': the host must be an IP address, \"*\" or \"localhost\"",
                       SP_FMT(text));
    return sp_ok();
}

static void to_16(const struct sp_address *a, uint8_t out[16])
{
    if (a->ss.ss_family == AF_INET) {
        memcpy(out, v4_mapped, 12);
        memcpy(out + 12, &v4(a)->sin_addr, 4);
    } else {
        memcpy(out, &v6(a)->sin6_addr, 16);
    }
}

size_t sp_address_ip(const struct sp_address *a, char out[SP_ADDRESS_TEXT])
{
    uint8_t b[16];
    to_16(a, b);
    if (memcmp(b, v4_mapped, 12) == 0)
        inet_ntop(AF_INET, b + 12, out, SP_ADDRESS_TEXT);
    else
        inet_ntop(AF_INET6, b, out, SP_ADDRESS_TEXT);
    return strlen(out);
}

uint16_t sp_address_port(const struct sp_address *a)
{
    return ntohs(a->ss.ss_family == AF_INET ? v4(a)->sin_port : v6(a)->sin6_port);
}

size_t sp_address_text(const struct sp_address *a, char out[SP_ADDRESS_TEXT])
{
    char ip[SP_ADDRESS_TEXT];
    sp_address_ip(a, ip);
    int n = snprintf(out, SP_ADDRESS_TEXT, strchr(ip, ':') ? "[%.46s]:%u" : "%.46s:%u", ip, sp_address_port(a));
    return (size_t)n;
}

bool sp_address_eq(const struct sp_address *a, const struct sp_address *b)
{
    uint8_t x[16], y[16];
    to_16(a, x);
    to_16(b, y);
    return memcmp(x, y, 16) == 0 && sp_address_port(a) == sp_address_port(b);
}

bool sp_network_parse(struct sp_str text, struct sp_network *out)
{
    struct sp_str rest = text, ip = sp_str_split(&rest, '/');
    struct sp_address a;
    if (!sp_address_parse_ip(ip, 0, &a))
        return false;
    unsigned width = a.ss.ss_family == AF_INET ? 32 : 128;
    uint64_t bits = width;
    if (rest.p && (!sp_str_to_u64(rest, &bits) || bits > width))
        return false;
    to_16(&a, out->bytes);
    out->bits = (uint8_t)(bits + 128 - width);
    return true;
}

bool sp_network_has(const struct sp_network *n, const struct sp_address *a)
{
    uint8_t b[16];
    to_16(a, b);
    unsigned whole = n->bits / 8, rest = n->bits % 8;
    if (memcmp(b, n->bytes, whole) != 0)
        return false;
    return rest == 0 || ((b[whole] ^ n->bytes[whole]) >> (8 - rest)) == 0;
}

static int new_socket(const struct sp_address *a)
{
    int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static bool set_choice(int fd, int level, int name, enum sp_choice choice)
{
    int on = choice == SP_CHOICE_ON;
    return choice == SP_CHOICE_DEFAULT || setsockopt(fd, level, name, &on, sizeof on) == 0;
}

static bool set_number(int fd, int level, int name, uint32_t n)
{
    int value = (int)n;
    return n == 0 || setsockopt(fd, level, name, &value, sizeof value) == 0;
}

static bool set_how(int fd, const struct sp_listen_how *how)
{
    return set_number(fd, SOL_SOCKET, SO_REUSEPORT, how->reuseport) &&
           set_number(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, how->deferred) &&
           set_choice(fd, IPPROTO_IPV6, IPV6_V6ONLY, how->ipv6only) &&
           set_choice(fd, SOL_SOCKET, SO_KEEPALIVE, how->keepalive) &&
           set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, how->keep_idle_s) &&
           set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, how->keep_interval_s) &&
           set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, how->keep_probes);
}

sp_result sp_listen(const struct sp_address *at, const struct sp_listen_how *how, int *out, struct sp_error *err)
{
    static const struct sp_listen_how usual;
    char text[SP_ADDRESS_TEXT];
    int one = 1, fd = new_socket(at);
    sp_address_text(at, text);
    if (fd < 0)
        return sp_fail_errno(err, errno, "cannot create a socket for %s", text);
    if (!how)
        how = &usual;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (!set_how(fd, how) || bind(fd, (const struct sockaddr *)&at->ss, at->len) != 0 ||
        listen(fd, how->backlog ? (int)how->backlog : BACKLOG) != 0) {
        int errnum = errno;
        close(fd);
        return sp_fail_errno(err, errnum, "cannot listen on %s", text);
    }
    *out = fd;
    return sp_ok();
}

sp_result sp_connect_start(const struct sp_address *to, int *out, struct sp_error *err)
{
    char text[SP_ADDRESS_TEXT];
    int fd = new_socket(to);
    if (fd < 0)
        return sp_fail_errno(err, errno, "cannot create a socket");
    if (connect(fd, (const struct sockaddr *)&to->ss, to->len) != 0 && errno != EINPROGRESS) {
        int errnum = errno;
        close(fd);
        sp_address_text(to, text);
        return sp_fail_errno(err, errnum, "cannot connect to %s", text);
    }
    *out = fd;
    return sp_ok();
}

int sp_connect_result(int fd)
{
    int errnum = 0;
    socklen_t len = sizeof errnum;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len) != 0)
        return errno;
    return errnum;
}

sp_result sp_local_address(int fd, struct sp_address *out, struct sp_error *err)
{
    out->len = sizeof out->ss;
    if (getsockname(fd, (struct sockaddr *)&out->ss, &out->len) != 0)
        return sp_fail_errno(err, errno, "getsockname");
    return sp_ok();
}

bool sp_address_is_loopback(const struct sp_address *a)
{
    static const char *const networks[] = {"127.0.0.0/8", "::1/128"};
    for (size_t i = 0; i < 2; i++) {
        struct sp_network n;
        if (sp_network_parse(sp_str_z(networks[i]), &n) && sp_network_has(&n, a))
            return true;
    }
    return false;
}
