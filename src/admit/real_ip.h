/* Who the client is, in the words of a TCP peer that may say so: kong-behaviour 6.3, after nginx's real_ip module.
 * Immutable once the workers run. */
#pragma once
#include "http/message.h"
#include "net/address.h"

struct dp_real_ip {
    struct sp_network *trusted; /* peers that are believed; the owner of the options has it */
    size_t num_trusted;
    struct sp_str header; /* the field that tells; empty: none */
    enum sp_field_id id;  /* of that field */
    bool proxy_protocol;  /* instead of a field: the connection's PROXY header tells */
    bool recursive;       /* addresses of trusted peers in the field are hops, not the client */
};

bool dp_real_ip_trusts(const struct dp_real_ip *r, const struct sp_address *a);
/* The client's address by the fields of a request from a trusted peer. Lists are read from the end, where the peer
 * wrote; a port is dropped. False: there is no such field, or its last word is no address. */
SP_MUST bool dp_real_ip_read(const struct dp_real_ip *r, const struct sp_fields *fields, struct sp_address *out);
/* The same as text in the arena; empty: nobody told. */
struct sp_str dp_real_ip_text(struct sp_arena *a, const struct dp_real_ip *r, const struct sp_fields *fields);
