#include "model/values.h"

#include "base/names.h"
#include "model/model.h"
#include "tls/password.h"

#include <arpa/inet.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MAX_REGEX = 8192, MAX_NAME = 512 };

const char *sp_check_not_empty(const char *v)
{
    return *v ? NULL : "length must be at least 1";
}

const char *sp_check_basic_username(const char *v)
{
    for (const char *p = v; *p; p++)
        if (*p == ':' || (unsigned char)*p < 0x20 || *p == 0x7f)
            return "no ':' or control character may stand in the username of a basic-auth credential";
    return sp_check_not_empty(v);
}

const char *sp_check_password(const char *v)
{
    struct sp_str text = sp_str_z(v);
    enum sp_password_form form = sp_password_form(text);
    if (form == SP_PASSWORD_MALFORMED)
        return "begins like a hash of a password and is none that this program can check";
    if (form == SP_PASSWORD_PLAIN && text.len > SP_PASSWORD_MAX)
        return "longer than 1024 bytes";
    return sp_check_not_empty(v);
}

/* Kong: letters, digits, "-", "_", ".", "~" and everything beyond ASCII. */
const char *sp_check_name(const char *v)
{
    if (!*v)
        return "length must be at least 1";
    if (strlen(v) > MAX_NAME)
        return "longer than 512 bytes";
    for (const unsigned char *p = (const unsigned char *)v; *p; p++) {
        unsigned char c = sp_lower(*p);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80 || strchr("-_.~", c)))
            return "only letters, digits, '.', '-', '_' and '~' may stand in a name";
    }
    return NULL;
}

const char *sp_check_workspace_name(const char *v)
{
    const char *why = sp_check_name(v);
    struct sp_str name = sp_str_z(v);
    if (!why && (sp_entity_by_plural(name) || sp_entity_by_rest(name) || sp_str_eq(name, SP_STR("sallyport"))))
        why = "the name of a collection";
    return why;
}

const char *sp_check_tag(const char *v)
{
    if (!*v)
        return "length must be at least 1";
    for (const unsigned char *p = (const unsigned char *)v; *p; p++)
        if (*p < 0x20 || *p == 0x7f || *p == ',' || *p == '/')
            return "no ',', '/' or control character may stand in a tag";
    return NULL;
}

/* --- hosts --- */

static bool is_address(struct sp_str host)
{
    char z[64];
    struct in6_addr addr;
    if (host.len == 0 || host.len >= sizeof z)
        return false;
    memcpy(z, host.p, host.len);
    z[host.len] = '\0';
    return inet_pton(AF_INET, z, &addr) == 1 || inet_pton(AF_INET6, z, &addr) == 1;
}

static bool is_host_name(struct sp_str host)
{
    char out[SP_HOST_MAX + 1];
    size_t len;
    return sp_host_normalise(host, out, &len);
}

const char *sp_check_host(const char *v)
{
    struct sp_str host = sp_str_z(v);
    if (host.len > 2 && v[0] == '[' && v[host.len - 1] == ']')
        host = sp_str(v + 1, host.len - 2);
    return is_address(host) || is_host_name(host) ? NULL : "not a host name or an address";
}

static const char *check_host_port(const char *v, bool address)
{
    struct sp_str host;
    uint16_t port;
    if (is_address(sp_str_z(v)))
        return address ? NULL : "must not be an address";
    if (!sp_host_split(sp_str_z(v), &host, &port))
        return "not host[:port]";
    if (is_address(host))
        return address ? NULL : "must not be an address";
    return is_host_name(host) ? NULL : "not host[:port]";
}

const char *sp_check_host_port(const char *v)
{
    return check_host_port(v, true);
}

const char *sp_check_target(const char *v)
{
    return check_host_port(v, true) ? "Invalid target; not a valid hostname or ip address" : NULL;
}

const char *sp_check_upstream_name(const char *v)
{
    struct sp_str name = sp_str_z(v);
    if (is_address(name))
        return "Invalid name; no ip addresses allowed";
    if (memchr(v, ':', name.len))
        return "Invalid name; no port allowed";
    return is_host_name(name) ? NULL : "Invalid name; must be a valid hostname";
}

const char *sp_check_route_host(const char *v)
{
    struct sp_str host = sp_str_z(v);
    const char *colon = strrchr(v, ':');
    if (colon && !is_address(host)) {
        uint64_t port;
        if (!sp_str_to_u64(sp_str_z(colon + 1), &port) || port == 0 || port > 65535)
            return "invalid port";
        host.len = (size_t)(colon - v);
    }
    if (host.len > 2 && host.p[0] == '[' && host.p[host.len - 1] == ']')
        host = sp_str(host.p + 1, host.len - 2);
    if (is_address(host))
        return NULL;
    if (sp_str_eq(host, SP_STR("*")) || !sp_pattern_valid(host))
        return memchr(host.p, '*', host.len) ? "invalid wildcard: must be placed at leftmost or rightmost label"
                                             : "invalid hostname";
    return NULL;
}

const char *sp_check_sni(const char *v)
{
    struct sp_str name = sp_str_z(v);
    if (is_address(name))
        return "must not be an IP";
    if (memchr(v, ':', name.len))
        return "must not have a port";
    if (!sp_pattern_valid(name))
        return memchr(v, '*', name.len) ? "only one wildcard must be specified, as the first or the last label"
                                        : "invalid value: not a host name";
    return NULL;
}

const char *sp_check_server_name(const char *v)
{
    return strchr(v, '*') ? "must not have a wildcard" : sp_check_sni(v);
}

/* --- paths, headers, methods --- */

static const char *check_prefix(const char *v)
{
    if (v[0] != '/')
        return "should start with: /";
    for (const char *p = v; *p; p++) {
        if (p[0] == '/' && p[1] == '/')
            return "must not have empty segments";
        if ((unsigned char)*p <= 0x20 || *p == 0x7f || *p == '?' || *p == '#')
            return "blanks, control characters, '?' and '#' must be percent-encoded";
        if (*p == '%') {
            bool hex = p[1] && p[2] && strspn(p + 1, "0123456789abcdefABCDEF") >= 2;
            if (!hex)
                return "invalid url-encoded value";
        }
    }
    return NULL;
}

const char *sp_check_plain_path(const char *v)
{
    return check_prefix(v);
}

/* The matcher compiles it again with its own limits; here only: is it one? */
static const char *check_regex(const char *v)
{
    static _Thread_local char why[160];
    int code;
    PCRE2_SIZE at;
    size_t len = strlen(v);
    if (len > MAX_REGEX)
        return "the regular expression is longer than 8192 bytes";
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)v, len, PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    if (re) {
        pcre2_code_free(re);
        return NULL;
    }
    PCRE2_UCHAR text[96] = {0};
    pcre2_get_error_message(code, text, sizeof text);
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    sp_buf_printf(&b, "invalid regex: %s at offset %zu", (char *)text, (size_t)at);
    size_t n = b.len < sizeof why ? b.len : sizeof why - 1;
    memcpy(why, b.p + b.off, n);
    why[n] = '\0';
    return why;
}

/* "/a/./b", "/a/../b" and "/%61" never match: requests are matched in normal form. */
static bool has_dot_segment(const char *v)
{
    for (const char *p = v; (p = strchr(p, '/')); p++) {
        const char *s = p + 1;
        size_t n = strcspn(s, "/");
        if ((n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
            return true;
    }
    return false;
}

static int hex_value(char c)
{
    unsigned char l = sp_lower((unsigned char)c);
    return l >= 'a' ? l - 'a' + 10 : l - '0';
}

static bool has_needless_escape(const char *v)
{
    for (const char *p = v; (p = strchr(p, '%')); p += 3) {
        int c = hex_value(p[1]) * 16 + hex_value(p[2]);
        bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                          c == '.' || c == '_' || c == '~';
        if (unreserved || (p[1] >= 'a' && p[1] <= 'f') || (p[2] >= 'a' && p[2] <= 'f'))
            return true;
    }
    return false;
}

const char *sp_check_route_path(const char *v)
{
    if (v[0] == '~')
        return v[1] ? check_regex(v + 1) : "an empty regular expression";
    const char *why = check_prefix(v);
    if (!why && (has_dot_segment(v) || has_needless_escape(v)))
        why = "non-normalized path: it would never match, because requests are matched in normal form";
    return why;
}

static bool is_token(const char *v)
{
    return *v &&
           strspn(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~") == strlen(v);
}

const char *sp_check_header_name(const char *v)
{
    return is_token(v) ? NULL : "not a header name";
}

/* What HTTP frames and routes messages by is written by nobody else, and what is hop-by-hop arrives nowhere. */
const char *sp_check_end_to_end_name(const char *v)
{
    static const char *const taken[] = {"Connection", "Content-Length",   "Host",
                                        "Keep-Alive", "Proxy-Connection", "TE",
                                        "Trailer",    "Upgrade",          "Transfer-Encoding"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (sp_str_ieq(sp_str_z(v), sp_str_z(taken[i])))
            return "HTTP itself needs this header";
    return sp_check_header_name(v);
}

const char *sp_check_quotable(const char *v)
{
    for (const char *p = v; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '"' || *p == '\\')
            return "must be printable, without quotes";
    return *v ? NULL : "length must be at least 1";
}

const char *sp_check_field_value(const char *v)
{
    for (const char *p = v; *p; p++)
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
            return "must be printable";
    return NULL;
}

const char *sp_check_network(const char *v)
{
    struct sp_str rest = sp_str_z(v), address = sp_str_split(&rest, '/');
    uint8_t bytes[16];
    char z[INET6_ADDRSTRLEN];
    if (address.len == 0 || address.len >= sizeof z)
        return "invalid ip or cidr range";
    memcpy(z, address.p, address.len);
    z[address.len] = '\0';
    uint64_t max = inet_pton(AF_INET, z, bytes) == 1 ? 32 : inet_pton(AF_INET6, z, bytes) == 1 ? 128 : 0, bits = 0;
    if (max == 0 || (rest.p && (!sp_str_to_u64(rest, &bits) || bits > max)))
        return "invalid ip or cidr range";
    return NULL;
}

const char *sp_check_route_header(const char *v)
{
    if (!is_token(v))
        return "not a header name";
    return sp_str_ieq(sp_str_z(v), SP_STR("host")) ? "cannot contain 'host' header, which must be specified in the "
                                                     "'hosts' attribute"
                                                   : NULL;
}

const char *sp_check_header_value(const char *v)
{
    if (!*v)
        return "length must be at least 1";
    return v[0] == '~' && v[1] == '*' ? check_regex(v + 2) : NULL;
}

const char *sp_check_method(const char *v)
{
    return *v && strspn(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(v) ? NULL : "an upper-case word is wanted";
}
