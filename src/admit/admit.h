/* From a head to a route that lets it in: target and host, route, what its protocols demand, the fields that tell the
 * upstream where the request comes from, and the 421 of DESIGN section 4. Knows neither connection nor exchange, so
 * that the proxy and the explanation of a request ask at one place. Nothing but the head's fields is changed. Any
 * thread. */
#pragma once
#include "config/snapshot.h"

struct dp_admission {
    /* What is known when the head has come; all of it borrowed. */
    struct sp_arena *arena; /* of the request: what follows lives there */
    const struct dp_snapshot *snapshot;
    struct sp_request_head *request;
    const struct sp_peer *peer; /* NULL: not TLS */
    const char *ip;             /* the TCP peer, as text */
    bool trusted;               /* it is in trusted_ips */
    struct sp_str client_ip;    /* whom it speaks for, an address as text; empty: for itself */
    uint16_t listener_port;
    const char *via, *request_id; /* ours: "1.1 sallyport/0.1.0"; 32 hex digits */
    /* What follows from it. */
    uint32_t num_sent;  /* fields of the head as it came */
    struct sp_str host; /* as the router, the handshake map and the 421 see it; empty: none (HTTP/1.0) */
    uint16_t port;      /* of the Host; 0: none */
    bool grpc;
    struct sp_str path, query; /* normalised path; query with its "?" */
    const struct dp_route *route;
    struct sp_str matched_prefix; /* of path */
    /* The answer where it is not let in. */
    unsigned status;
    const char *message;                                  /* NULL: the status's own text */
    struct sp_str field_name, field_value, upgrade_offer; /* a field of the answer; its Upgrade; empty: none */
};

/* Target, host, route, protocol. False: `status` and what stands behind it are the answer. */
SP_MUST bool dp_admit(struct dp_admission *a);
/* The host alone, for a request that was let in before. False: malformed. */
SP_MUST bool dp_admit_host(struct dp_admission *a);
/* What the router is asked for a connection that named `sni`. */
struct dp_match_input dp_admit_match_input(const struct dp_admission *a, struct sp_str sni);
/* Once, before plugins: hop-by-hop fields go, forwarded fields come (kong-behaviour 6.3). */
void dp_admit_fields(struct dp_admission *a);
/* After that: the request as plugins see it. Who runs them adds clock, cache, fetcher and resume. */
void dp_admit_call(const struct dp_admission *a, struct dp_call *call);
/* A plugin refused for want of a certificate, and a new connection to this Host would be asked in another way than this
 * one was: then `status` becomes 421, and a client that retries can succeed. */
bool dp_admit_misdirected(struct dp_admission *a, const struct dp_call *call);

/* Path and query at the upstream, of a request for `target`. */
struct sp_str dp_admit_target(struct sp_arena *a, const struct dp_route *r, struct sp_str target, struct sp_str path,
                              struct sp_str matched_prefix, struct sp_str query);
/* 503 of a route that leads nowhere. */
extern const char dp_admit_no_service[], dp_admit_no_target[];
