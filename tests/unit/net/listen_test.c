/* Listeners as options write them: every flag of Kong, and what is none. */
#include "test.h"

#include "net/listen.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

static struct sp_listen_text parsed(const char *text)
{
    struct sp_listen_text out;
    struct sp_error err;
    if (sp_failed(sp_listen_parse(sp_str_z(text), &out, &err)))
        fail_msg("%s", err.text);
    return out;
}

static void kongs_own_defaults(void **state)
{
    (void)state;
    struct sp_listen_text l = parsed("0.0.0.0:8443 http2 ssl reuseport backlog=16384");
    char text[SP_ADDRESS_TEXT];
    sp_address_text(&l.address, text);
    assert_string_equal(text, "0.0.0.0:8443");
    assert_true(l.ssl && l.http2 && l.how.reuseport);
    assert_int_equal(l.how.backlog, 16384);
    assert_false(l.proxy_protocol || l.how.deferred);
    l = parsed(" 127.0.0.1:0 ");
    assert_false(l.ssl || l.http2 || l.proxy_protocol || l.how.reuseport || l.how.deferred);
    assert_int_equal(l.how.backlog + l.how.ipv6only + l.how.keepalive, 0);
}

static void every_flag(void **state)
{
    (void)state;
    struct sp_listen_text l = parsed("[::]:8443  proxy_protocol deferred bind ipv6only=on so_keepalive=30m:10s:5");
    assert_true(l.proxy_protocol && l.how.deferred);
    assert_int_equal(l.how.ipv6only, SP_CHOICE_ON);
    assert_int_equal(l.how.keepalive, SP_CHOICE_ON);
    assert_int_equal(l.how.keep_idle_s, 1800);
    assert_int_equal(l.how.keep_interval_s, 10);
    assert_int_equal(l.how.keep_probes, 5);
    assert_int_equal(parsed("[::]:1 ipv6only=off").how.ipv6only, SP_CHOICE_OFF);
    assert_int_equal(parsed(":1 so_keepalive=off").how.keepalive, SP_CHOICE_OFF);
    l = parsed(":1 so_keepalive=::3");
    assert_int_equal(l.how.keepalive, SP_CHOICE_ON);
    assert_int_equal(l.how.keep_idle_s, 0);
    assert_int_equal(l.how.keep_probes, 3);
}

static void what_is_no_flag(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"0.0.0.0:1 proxyprotocol", "unknown flag 'proxyprotocol'; there are ssl"},
        {"0.0.0.0:1 quic", "unknown flag 'quic'"},
        {"0.0.0.0:1 ssl=on", "unknown flag 'ssl=on'"},
        {"0.0.0.0:1 fastopen=3", "unknown flag 'fastopen=3'; those with a value are backlog"},
        {"0.0.0.0:1 backlog", "unknown flag 'backlog'"},
        {"0.0.0.0:1 backlog=0", "'backlog=0': not with this value"},
        {"0.0.0.0:1 backlog=-1", "'backlog=-1'"},
        {"0.0.0.0:1 backlog=65536", "'backlog=65536'"},
        {"0.0.0.0:1 ipv6only=on", "'ipv6only=on': not with this value, or not here"},
        {"[::]:1 ipv6only=yes", "'ipv6only=yes'"},
        {"0.0.0.0:1 so_keepalive=::", "'so_keepalive=::'"},
        {"0.0.0.0:1 so_keepalive=1:2", "'so_keepalive=1:2'"},
        {"0.0.0.0:1 so_keepalive=10d::", "'so_keepalive=10d::'"},
        {"0.0.0.0:1 so_keepalive=99999::", "'so_keepalive=99999::'"},
        {"0.0.0.0:1 so_keepalive=10h::", "'so_keepalive=10h::'"},
        {"proxy_protocol", "expected host:port"},
        {"", "expected host:port"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_listen_text out;
        struct sp_error err = {0};
        assert_int_equal(sp_listen_parse(sp_str_z(cases[i].text), &out, &err).code, SP_E_USAGE);
        if (!strstr(err.text, cases[i].says))
            fail_msg("%s: %s", cases[i].text, err.text);
    }
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void flags_reach_the_socket(void **state)
{
    (void)state;
    struct sp_listen_text l = parsed("127.0.0.1:0 deferred so_keepalive=90:9:4 reuseport");
    struct sp_error err;
    int fd;
    assert_false(sp_failed(sp_listen(&l.address, &l.how, &fd, &err)));
    assert_true(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0);
    assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEPORT), 1);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 90);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 9);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 4);
    close(fd);
    assert_false(sp_failed(sp_listen(&l.address, NULL, &fd, &err)));
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
    assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEPORT) + option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    close(fd);
    l = parsed("[::1]:0 ipv6only=on"); /* off is to be seen on [::] only, where no test listens */
    if (sp_failed(sp_listen(&l.address, &l.how, &fd, &err)))
        return; /* a machine without IPv6 */
    assert_int_equal(option(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kongs_own_defaults),
        cmocka_unit_test(every_flag),
        cmocka_unit_test(what_is_no_flag),
        cmocka_unit_test(flags_reach_the_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
