/* What a plugin sees of a request, and what a plugin is. A plugin never sees a connection, a socket or an exchange, so
 * it is tested without any. Worker thread; instances are immutable in a snapshot's arena, so they are shared by
 * workers. */
#pragma once
#include "base/clock.h"
#include "http/message.h"
#include "plugin/fetch.h"
#include "sallyport/v1/resources.pb-c.h"
#include "tls/password.h"
#include "tls/stream.h"
#include "tls/verify.h"

/* Immutable, in the snapshot. */
struct dp_consumer {
    struct sp_str id, username, custom_id; /* empty: unset */
    struct sp_str *groups;
    size_t num_groups;
    struct sp_str *acl_groups; /* of the acls collection */
    size_t num_acl_groups;
};

struct sp_crl;
/* Immutable, in the snapshot. */
struct dp_ca {
    struct sp_str id, der;
    struct sp_crl **crls; /* references of the snapshot */
    size_t num_crls;
    const struct sp_str *crl_texts; /* what they were read from */
    size_t num_crl_texts;
};

/* The neighbours that an instance may ask when it is compiled and when it runs: the snapshot's tables. */
struct dp_directory;
const struct dp_ca *dp_directory_ca(const struct dp_directory *d, struct sp_str id);
const struct dp_consumer *dp_directory_consumer_id(const struct dp_directory *d, struct sp_str id);
const struct dp_consumer *dp_directory_consumer_username(const struct dp_directory *d, struct sp_str ws,
                                                         struct sp_str username);
const struct dp_consumer *dp_directory_consumer_custom_id(const struct dp_directory *d, struct sp_str ws,
                                                          struct sp_str custom_id);
struct dp_mapping { /* a manual certificate mapping */
    struct sp_str id;
    const struct dp_consumer *consumer;
};
enum dp_mapping_family { DP_MTLS_AUTH_MAPPINGS, DP_HEADER_CERT_AUTH_MAPPINGS, DP_NUM_MAPPING_FAMILIES };
/* ca_id empty: mappings without a CA. */
const struct dp_mapping *dp_directory_mapping(const struct dp_directory *d, enum dp_mapping_family family,
                                              struct sp_str ws, struct sp_str subject_name, struct sp_str ca_id);
struct dp_key { /* a key of key-auth */
    struct sp_str id;
    const struct dp_consumer *consumer;
    int64_t expires; /* seconds since 1970; 0: never */
};
const struct dp_key *dp_directory_key(const struct dp_directory *d, struct sp_str ws, struct sp_str key);
struct dp_login { /* a credential of basic-auth */
    struct sp_str username;
    const struct dp_consumer *consumer;
    struct sp_password password;
};
const struct dp_login *dp_directory_login(const struct dp_directory *d, struct sp_str ws, struct sp_str username);
/* A hash that nothing belongs to, as dear to check as the workspace's own: for usernames that nobody has. NULL: none of
 * them is dear. */
const struct sp_password *dp_directory_decoy(const struct dp_directory *d, struct sp_str ws);

/* Per worker, per snapshot: verdicts remembered by (instance, chain digest). Dies with the worker's epoch. */
struct dp_plugin_cache;
struct dp_plugin_cache *dp_plugin_cache_new(void);
void dp_plugin_cache_free(struct dp_plugin_cache *c);

/* Per worker, for its life: what is known of certificates that were looked up (plugin/revocation.h). */
struct dp_revocations;
/* Likewise: which passwords were right (plugin/passwords.h). */
struct dp_passwords;

/* More of a body is not looked at by plugins, and not kept for them. */
enum { DP_BODY_MAX = 65536 };
enum dp_body_state { DP_BODY_UNREAD, DP_BODY_WHOLE, DP_BODY_TOO_LARGE };

struct dp_call;
struct dp_place { /* where and when a request is served */
    char ip[64];  /* of ours, that the client has connected to */
    uint16_t port;
    int worker;          /* the kernel's number of the thread */
    uint64_t connection; /* of all of this worker's, counted from 1 */
    uint64_t request;    /* of all on this connection, counted from 1 */
    int64_t ms;          /* since 1970 */
};

enum dp_client_verify { DP_VERIFY_UNSET, DP_VERIFY_NONE, DP_VERIFY_SUCCESS, DP_VERIFY_FAILED };

struct dp_trace; /* plugin/trace.h */

/* One request as plugins see it. The exchange owns it; strings live in `arena`. */
struct dp_call {
    struct sp_arena *arena;
    struct dp_trace *trace; /* NULL: a request; else it is only being explained */
    const struct sp_clock *clock;
    struct dp_plugin_cache *cache;
    const struct dp_directory *directory;
    struct dp_fetcher *fetcher;         /* NULL: nothing can be fetched */
    struct dp_revocations *revocations; /* NULL: only where no plugin asks for revocation */
    struct dp_passwords *passwords;     /* NULL: only where no plugin asks for passwords */
    struct sp_request_head *request;    /* what the client sent, hop-by-hop fields removed; plugins change it */
    const struct sp_peer *peer;         /* NULL: not TLS */
    uint32_t num_sent, num_prepared;    /* its fields: the client's, and with those the proxy added */
    const char *request_id;             /* 32 hex digits */
    uint16_t server_port;               /* that the client has connected to */
    void (*locate)(const struct dp_call *call, struct dp_place *out); /* costs something; NULL: nowhere */
    struct sp_str ws;                                                 /* workspace of the matched route */
    const Sallyport__V1__Route *route;
    const Sallyport__V1__Service *service; /* NULL: the route has none */
    struct sp_str path;                    /* in normal form, as it was matched */
    struct sp_str query;                   /* with its '?', or empty; what a plugin puts here goes upstream */
    struct sp_str client_ip;               /* text: the client's address after trusted_ips and real_ip rules */
    bool peer_trusted; /* the TCP peer itself is in trusted_ips; whom it speaks for does not count */
    bool grpc;
    /* The request's body. A plugin that needs it calls dp_body_read (plugin/body.h); one that changes it sets both. */
    enum dp_body_state body_state;
    bool wants_body, body_changed;
    struct sp_str body; /* where it is whole */
    bool limits_body;   /* set by a plugin: a body of more than body_limit bytes is answered with 413 while it comes */
    uint64_t body_limit;

    /* authentication context (kong-behaviour 1.0) */
    const struct dp_consumer *consumer;
    bool has_credential;
    struct sp_str credential_id;
    struct sp_str *authenticated_groups;
    size_t num_authenticated_groups;
    enum dp_client_verify client_verify;
    const char *client_verify_reason; /* constant, or in the arena */
    /* The certificate of the connection itself was accepted, and is until then while the configuration stays (wall
     * seconds); 0: it was not. */
    int64_t accepted_until;
    bool tells_certificate;         /* what stands under the names of RFC 9440 is ours */
    const struct sp_str *own_names; /* fields that a plugin alone may write, so not the client's trailers */
    size_t num_own_names;

    /* set by a plugin that answers */
    unsigned reply_status;
    const char *reply_message; /* constant or in the arena */
    struct sp_fields reply_fields;
    bool reply_as_is;                             /* reply_body is sent, whatever the client accepts; may be empty */
    struct sp_str reply_body, reply_content_type; /* type empty: none is told */
    struct sp_fields response_fields; /* set by plugins that let the request pass: added to whatever the client gets */
    /* A plugin that answers 401 because this TLS connection brought no certificate says so: where a new connection
     * would be asked in another way, the exchange turns the answer into 421 (DESIGN section 4, the phase gap). */
    bool wants_certificate;

    /* A plugin that returns DP_PAUSE waits for the body, or has set `cancel`; it comes again, with `waiting` as it left
     * it, when somebody calls `resume` later (never inside `access`); or `cancel` is called once, and the call is over:
     * the client has gone, or got an answer. */
    void (*resume)(struct dp_call *call);
    void (*cancel)(struct dp_call *call);
    void *waiting;
    uint32_t slot; /* of the chain: where to go on */
};

enum dp_verdict { DP_NEXT, DP_REPLY, DP_PAUSE };

/* One kind of plugin; plugin/kinds.h declares them. */
struct dp_plugin_kind {
    const char *name;
    int priority;
    Sallyport__V1__Plugin__ConfigCase config_case;
    /* Message to instance; NULL config is possible only for kinds without one. Errors carry a field path. */
    sp_result (*compile)(struct sp_arena *a, const struct dp_directory *d, const Sallyport__V1__Plugin *p,
                         void **instance, struct sp_error *err);
    enum dp_verdict (*access)(const void *instance, struct dp_call *call); /* NULL: nothing to do at this phase */
    /* Of kinds whose `access` sets accepted_until: would it still accept the certificate of call->peer, as far as can
     * be said without asking anybody? Sets accepted_until if so. The call is no request: it has clock, cache, directory
     * and peer, nothing else. NULL: the kind knows nobody by his connection. */
    bool (*stands)(const void *instance, struct dp_call *call);
};
const struct dp_plugin_kind *dp_plugin_kind_of(Sallyport__V1__Plugin__ConfigCase config_case); /* NULL: cannot run it */
/* NULL-terminated. */
extern const struct dp_plugin_kind *const dp_plugin_kinds[];

/* Fields that tell the upstream who the client is: no client may bring them, in a head or in trailers. */
bool dp_identity_is_managed(struct sp_str field_name);
/* May a trailer of this name go to the upstream, after what plugins said of the request? */
bool dp_identity_allows_trailer(const struct dp_call *call, struct sp_str field_name);
/* Fills the reply of a call. Returns DP_REPLY. */
enum dp_verdict dp_reply(struct dp_call *call, unsigned status, const char *message);
