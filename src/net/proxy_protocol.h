/* The PROXY protocol, versions 1 (text) and 2 (binary): what a load balancer that relays bytes writes before the first
 * of them, to say whose they are. Sans I/O. What it says is the balancer's word, and worth what the balancer is. Any
 * thread. */
#pragma once
#include "net/address.h"

enum { SP_PROXY_HEADER_MAX = 4096 }; /* bytes, with the TLVs of version 2; version 1 has 107 at most */

struct sp_proxy_header {
    size_t len; /* bytes of the input that it took */
    bool known; /* it names a TCP client; not with UNKNOWN, LOCAL, and families that are not IP */
    struct sp_address source;
};

enum sp_proxy_parse { SP_PROXY_DONE, SP_PROXY_MORE, SP_PROXY_BAD };
/* `in` is all that the connection has sent so far. SP_PROXY_MORE: it may still become a header, and is shorter than
 * SP_PROXY_HEADER_MAX. SP_PROXY_BAD: it will not; *why is a constant text. TLVs are skipped; a CRC32c among them must
 * be right. */
enum sp_proxy_parse sp_proxy_header_parse(struct sp_str in, struct sp_proxy_header *out, const char **why);
