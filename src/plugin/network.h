/* An address or a network in CIDR form, IPv4 and IPv6; IPv4 in IPv6 counts as IPv4. */
#pragma once
#include "base/str.h"

struct dp_network {
    uint8_t bytes[16];
    uint8_t len;  /* 4 or 16 */
    uint8_t bits; /* of the prefix */
};
SP_MUST bool dp_network_parse(struct sp_str text, struct dp_network *out); /* "10.0.0.0/8", "::1" */
bool dp_network_has(const struct dp_network *n, const struct dp_network *address);
