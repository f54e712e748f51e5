/* Inside of src/explain: what plugins wait for. One explanation's, on its thread. */
#pragma once
#include "plugin/passwords.h"

struct dp_explain_wait {
    struct dp_password_checker checker; /* first */
    struct dp_password_counters counters;
    struct dp_passwords *passwords;
    struct dp_password_check *check; /* that a plugin waits for */
    bool assumed_body;               /* a plugin wanted to see the body, which nobody has: it is taken to be empty */
};
void dp_explain_wait_init(struct dp_explain_wait *w, struct dp_call *call);
/* After DP_PAUSE: true when what was waited for is there now, so that the chain can go on. A password costs tens of
 * milliseconds. */
bool dp_explain_wait_over(struct dp_explain_wait *w, struct dp_call *call);
void dp_explain_wait_fini(struct dp_explain_wait *w, struct dp_call *call);
