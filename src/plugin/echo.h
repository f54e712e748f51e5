/* A copy of a request as JSON, for request-termination's echo. Kong's members; worker thread. */
#pragma once
#include "plugin/plugin.h"

/* Lives in the call's arena. message may be NULL. The body must be known (dp_body_read). */
struct sp_str dp_echo(struct dp_call *call, const char *message);
