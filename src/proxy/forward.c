/* The request as the upstream sees it: kong-behaviour 6.3. */
#include "admit/admit.h"
#include "proxy/exchange.h"

bool dp_forward_head(struct dp_exchange *x, const struct dp_service *s, struct sp_buf *out)
{
    struct sp_request_head up = x->request;
    up.target = dp_admit_target(x->arena, x->route, up.target, x->path, x->matched_prefix, x->call.query);
    up.authority = x->route->conf->preserve_host ? x->request.authority : s->host_header;
    up.version = SP_HTTP_11;
    up.keep_alive = true;
    x->up_chunked = up.framing == SP_BODY_CHUNKED || (up.framing == SP_BODY_STREAM && !up.has_length);
    return sp_h1_write_request(out, &up);
}
