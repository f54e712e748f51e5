/* How long a connection may live with its client certificate: no longer than the certificate, and not when a
 * configuration no longer accepts it where it was accepted. Each request is judged by itself; this is for what requests
 * do not reach: idle connections, tunnels, answers that stream. Worker thread. */
#pragma once
#include "proxy/exchange.h"

void dp_life_begin(struct dp_conn *c);         /* the handshake is done; nothing to do without a certificate */
bool dp_life_is_over(const struct dp_conn *c); /* the certificate has ended since the handshake */
void dp_life_judged(struct dp_exchange *x);    /* the plugins are through with a request; before its answer */
