/* A listener as it is written in an option: "ADDR [flag ...]", with nginx's flags as Kong's *_listen take them
 * (kong-behaviour 6.2). Any thread. */
#pragma once
#include "net/address.h"

struct sp_listen_text {
    struct sp_address address;
    struct sp_listen_how how;
    bool ssl, http2;     /* the word was there; whether it fits is the caller's to say */
    bool proxy_protocol; /* every connection begins with a PROXY header (net/proxy_protocol.h) */
};

/* Flags: ssl, http2, proxy_protocol, deferred, bind, reuseport, backlog=N, ipv6only=on|off,
 * so_keepalive=on|off|[IDLE]:[INTERVAL]:[PROBES] (times in seconds, or with s, m or h). `bind` says nothing. Any other
 * word is an error. */
SP_MUST sp_result sp_listen_parse(struct sp_str text, struct sp_listen_text *out, struct sp_error *err);
