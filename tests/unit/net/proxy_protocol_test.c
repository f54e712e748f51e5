/* PROXY headers: both versions, every split, and everything that is none. */
#include "test.h"

#include "net/proxy_protocol.h"
#include <stdlib.h>

#define V2 "\r\n\r\n\0\r\nQUIT\n"
/* a literal with its NULs */
#define B(lit) ((struct sp_str){(lit), sizeof(lit) - 1})

static enum sp_proxy_parse parse(struct sp_str in, struct sp_proxy_header *out, const char **why)
{
    char *exact = malloc(in.len + 1); /* so that a sanitizer sees one byte too far */
    memcpy(exact, in.p, in.len);
    exact[in.len] = 'x';
    *why = NULL;
    enum sp_proxy_parse r = sp_proxy_header_parse(sp_str(exact, in.len), out, why);
    free(exact);
    return r;
}

/* source: "ip:port"; NULL: the header names nobody. Whatever stands behind the header is left alone, and wherever the
 * header is cut there is more to come. */
static void passes(struct sp_str header, const char *source)
{
    struct sp_proxy_header h;
    const char *why;
    char text[SP_ADDRESS_TEXT];
    for (size_t n = 0; n < header.len; n++)
        assert_int_equal(parse(sp_str(header.p, n), &h, &why), SP_PROXY_MORE);
    char *more = malloc(header.len + 40);
    memcpy(more, header.p, header.len);
    memcpy(more + header.len, "PROXY TCP4 6.6.6.6 6.6.6.6 6 6\r\n\x16\x03\x01", 35);
    for (size_t n = 0; n <= 35; n++) {
        enum sp_proxy_parse r = parse(sp_str(more, header.len + n), &h, &why);
        if (r != SP_PROXY_DONE)
            fail_msg("%d %s", (int)r, why ? why : "");
        assert_int_equal(h.len, header.len);
        assert_int_equal(h.known, source != NULL);
        if (source) {
            sp_address_text(&h.source, text);
            assert_string_equal(text, source);
        }
    }
    free(more);
}

static void fails(struct sp_str bytes, const char *reason)
{
    struct sp_proxy_header h;
    const char *why;
    assert_int_equal(parse(bytes, &h, &why), SP_PROXY_BAD);
    assert_string_equal(why, reason);
}

static void version_1(void **state)
{
    (void)state;
    passes(SP_STR("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"), "192.168.0.1:56324");
    passes(SP_STR("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255:65535");
    passes(SP_STR("PROXY TCP6 2001:db8::7 ::1 0 1\r\n"), "[2001:db8::7]:0");
    passes(SP_STR("PROXY TCP6 ::ffff:10.1.2.3 ::1 9 1\r\n"), "10.1.2.3:9");
    passes(SP_STR("PROXY UNKNOWN\r\n"), NULL);
    passes(SP_STR("PROXY UNKNOWN anything at all\r\n"), NULL);
    /* the longest that the specification can make: 107 bytes */
    passes(SP_STR("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
                  "65535\r\n"),
           NULL);
}

static void not_version_1(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8  1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 -2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n",
        "PROXY TCP4 ::1 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
        "PROXY TCP4 1.2.3.4.5 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP6 ::1 localhost 1 2\r\n",
        "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n",
        "PROXY \n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rX\r\n",
        "PROXY UNKNOWN\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        fails(sp_str_z(lines[i]), "bad PROXY line");
    fails(B("PROXY TCP4 1.2.3.4\0 5.6.7.8 1 2\r\n"), "bad PROXY line");
    char line[160];
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    struct sp_proxy_header h;
    const char *why;
    assert_int_equal(parse(sp_str(line, 106), &h, &why), SP_PROXY_MORE);
    fails(sp_str(line, 107), "PROXY line too long");
    memcpy(line + 106, "\r\n", 2);
    fails(sp_str(line, 108), "PROXY line too long");
}

static void what_does_not_speak_it(void **state)
{
    (void)state;
    static const char *const greetings[] = {"G",          "GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "proxy TCP4 ",
                                            "PROXYTCP4 ", "\x16\x03\x01",       "\r\n\r\r",           " PROXY "};
    for (size_t i = 0; i < sizeof greetings / sizeof *greetings; i++)
        fails(sp_str_z(greetings[i]), "no PROXY header"); /* at the first byte that differs */
    fails(B("\0"), "no PROXY header");
}

#define A4 "\x0a\x01\x02\x03\x7f\0\0\1\x1f\x90\x20\xfb" /* 10.1.2.3:8080 to 127.0.0.1:8443 */
#define A6                                                                                                             \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7"                                                                         \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"                                                                                 \
    "\x1f\x90\x20\xfb"

static void version_2(void **state)
{
    (void)state;
    passes(B(V2 "\x21\x11\0\x0c" A4), "10.1.2.3:8080");
    passes(B(V2 "\x21\x21\0\x24" A6), "[2001:db8::7]:8080");
    passes(B(V2 "\x20\0\0\0"), NULL);        /* LOCAL: a health check */
    passes(B(V2 "\x20\x11\0\x0c" A4), NULL); /* LOCAL, whatever follows */
    passes(B(V2 "\x20\x11\0\5xxxxx"), NULL);
    passes(B(V2 "\x21\0\0\0"), NULL); /* UNSPEC */
    passes(B(V2 "\x21\0\0\3abc"), NULL);
    passes(B(V2 "\x21\x12\0\x0c" A4), NULL);                         /* datagrams: not this connection's client */
    passes(B(V2 "\x21\x11\0\x13" A4 "\4\0\4skip"), "10.1.2.3:8080"); /* NOOP */
    passes(B(V2 "\x21\x11\0\x16" A4 "\xea\0\4vpce\4\0\0"), "10.1.2.3:8080");
    char local[16 + 216 + 4] = V2 "\x21\x31\0\xdb"; /* a Unix socket's names, and an empty TLV */
    local[16 + 216] = 2;
    passes(sp_str(local, 16 + 216 + 3), NULL);
}

static void not_version_2(void **state)
{
    (void)state;
    fails(B(V2 "\x11"), "PROXY version or command unknown");
    fails(B(V2 "\x22"), "PROXY version or command unknown");
    fails(B(V2 "\x21\x41"), "PROXY address family unknown");
    fails(B(V2 "\x21\x13"), "PROXY address family unknown");
    fails(B(V2 "\x21\x11\0\x0b" A4), "PROXY header too short for its addresses");
    fails(B(V2 "\x21\x21\0\x0c" A4), "PROXY header too short for its addresses");
    fails(B(V2 "\x21\x11\x0f\xf1"), "PROXY header too long");
    fails(B(V2 "\x21\x11\xff\xff"), "PROXY header too long");
    fails(B(V2 "\x21\x11\0\x0e" A4 "\4\0"), "PROXY TLV cut off");
    fails(B(V2 "\x21\x11\0\x10" A4 "\4\0\2x"), "PROXY TLV cut off");
    fails(B("\r\n\r\n\0\r\nQUIT\r"), "no PROXY header");
}

/* The largest that is taken, all TLV. */
static void the_limit(void **state)
{
    (void)state;
    static char big[SP_PROXY_HEADER_MAX + 1] = V2 "\x21\x11\x0f\xf0" A4 "\4\x0f\xe1";
    struct sp_proxy_header h;
    const char *why;
    assert_int_equal(parse(sp_str(big, SP_PROXY_HEADER_MAX - 1), &h, &why), SP_PROXY_MORE);
    assert_int_equal(parse(sp_str(big, SP_PROXY_HEADER_MAX), &h, &why), SP_PROXY_DONE);
    assert_int_equal(h.len, SP_PROXY_HEADER_MAX);
    assert_true(h.known);
}

/* The sum is CRC-32C of the header with zeros in its place, by an implementation of somebody else. */
static void checksums(void **state)
{
    (void)state;
    passes(B(V2 "\x21\x11\0\x13" A4 "\3\0\4\x9d\x87\x32\xd0"), "10.1.2.3:8080");
    passes(B(V2 "\x21\x11\0\x1a" A4 "\3\0\4\x86\x65\x09\x76\4\0\4skip"), "10.1.2.3:8080");
    struct sp_str good = B(V2 "\x21\x11\0\x13" A4 "\3\0\4\x9d\x87\x32\xd0");
    char broken[64];
    for (size_t i = 16; i < good.len; i++) { /* addresses, TLV, sum: any bit */
        if (i >= 28 && i < 31)
            continue; /* another TLV, or cut off */
        memcpy(broken, good.p, good.len);
        broken[i] ^= 1;
        fails(sp_str(broken, good.len), "PROXY checksum is wrong");
    }
    fails(B(V2 "\x21\x11\0\x12" A4 "\3\0\3\x9d\x87\x32"), "PROXY checksum is wrong");
    fails(B(V2 "\x21\x11\0\x1a" A4 "\3\0\4\x9d\x87\x32\xd0\3\0\4\x9d\x87\x32\xd0"), "PROXY checksum is wrong");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1), cmocka_unit_test(not_version_1), cmocka_unit_test(what_does_not_speak_it),
        cmocka_unit_test(version_2), cmocka_unit_test(not_version_2), cmocka_unit_test(the_limit),
        cmocka_unit_test(checksums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
