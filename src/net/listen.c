#include "net/listen.h"

enum { MAX_BACKLOG = 65535, MAX_KEEP_S = 32767, MAX_PROBES = 127 }; /* the kernel's own bounds */

static bool read_switch(struct sp_str value, enum sp_choice *out)
{
    if (sp_str_eq(value, SP_STR("on")))
        *out = SP_CHOICE_ON;
    else if (sp_str_eq(value, SP_STR("off")))
        *out = SP_CHOICE_OFF;
    else
        return false;
    return true;
}

static bool read_number(struct sp_str text, uint32_t max, uint32_t *out)
{
    uint64_t n;
    if (!sp_str_to_u64(text, &n) || n == 0 || n > max)
        return false;
    *out = (uint32_t)n;
    return true;
}

/* "90", "90s", "30m", "2h"; empty: as the system has it. */
static bool read_seconds(struct sp_str text, uint32_t *out)
{
    static const struct {
        char letter;
        uint32_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}};
    uint32_t unit = 1;
    if (text.len == 0)
        return true;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (text.p[text.len - 1] == units[i].letter) {
            unit = units[i].seconds;
            text.len--;
            break;
        }
    if (!read_number(text, MAX_KEEP_S / unit, out))
        return false;
    *out *= unit;
    return true;
}

static bool read_keepalive(struct sp_str value, struct sp_listen_how *how)
{
    if (read_switch(value, &how->keepalive))
        return true;
    struct sp_str rest = value, idle = sp_str_split(&rest, ':');
    if (!rest.p)
        return false;
    struct sp_str interval = sp_str_split(&rest, ':');
    if (!rest.p || !read_seconds(idle, &how->keep_idle_s) || !read_seconds(interval, &how->keep_interval_s))
        return false;
    if (rest.len && !read_number(rest, MAX_PROBES, &how->keep_probes))
        return false;
    how->keepalive = SP_CHOICE_ON;
    return idle.len + interval.len + rest.len > 0;
}

static bool read_word(struct sp_str word, struct sp_listen_text *out)
{
    if (sp_str_eq(word, SP_STR("ssl")))
        return out->ssl = true;
    if (sp_str_eq(word, SP_STR("http2")))
        return out->http2 = true;
    if (sp_str_eq(word, SP_STR("proxy_protocol")))
        return out->proxy_protocol = true;
    if (sp_str_eq(word, SP_STR("reuseport")))
        return out->how.reuseport = true;
    if (sp_str_eq(word, SP_STR("deferred")))
        return out->how.deferred = true;
    return sp_str_eq(word, SP_STR("bind"));
}

static sp_result read_flag(struct sp_str flag, struct sp_listen_text *out, struct sp_error *err)
{
    struct sp_str value = flag, name = sp_str_split(&value, '=');
    if (!value.p && read_word(flag, out))
        return sp_ok();
    if (!value.p)
        return sp_fail(err, SP_E_USAGE,
                       "unknown flag '%.*s'; there are ssl, http2, proxy_protocol, deferred, bind, reuseport, "
                       "backlog=N, ipv6only=on|off and so_keepalive=on|off|IDLE:INTERVAL:PROBES",
                       SP_FMT(flag));
    bool good = false;
    if (sp_str_eq(name, SP_STR("backlog")))
        good = read_number(value, MAX_BACKLOG, &out->how.backlog);
    else if (sp_str_eq(name, SP_STR("ipv6only")))
        good = out->address.ss.ss_family == AF_INET6 && read_switch(value, &out->how.ipv6only);
    else if (sp_str_eq(name, SP_STR("so_keepalive")))
        good = read_keepalive(value, &out->how);
    else
        return sp_fail(err, SP_E_USAGE,
                       "unknown flag '%.*s'; those with a value are backlog, ipv6only and so_keepalive", SP_FMT(flag));
    return good ? sp_ok() : sp_fail(err, SP_E_USAGE, "flag '%.*s': not with this value, or not here", SP_FMT(flag));
}

sp_result sp_listen_parse(struct sp_str text, struct sp_listen_text *out, struct sp_error *err)
{
    struct sp_str rest = sp_str_trim(text), address = sp_str_split(&rest, ' ');
    *out = (struct sp_listen_text){0};
    SP_TRY(sp_address_parse(address, &out->address, err));
    while (rest.p) {
        struct sp_str flag = sp_str_trim(sp_str_split(&rest, ' '));
        if (flag.len == 0)
            continue;
        sp_result r = read_flag(flag, out, err);
        if (sp_failed(r))
            return sp_fail_in(err, "'%.*s'", SP_FMT(address));
    }
    return sp_ok();
}
