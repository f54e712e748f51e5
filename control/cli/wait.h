/* Waiting for the data planes after a commit. */
#pragma once
#include "control/cli/cli.h"

struct cp_wait {
    bool on;
    uint32_t seconds;
};
sp_result cp_wait_option(const struct sp_option *o, const char *value, struct sp_error *err); /* to: cp_wait */
/* Shows each data plane that goes live or refuses. CP_EXIT_NODE: one refused, or some did not answer in time. */
int cp_wait_until_live(struct cp_cli *cli, const struct cp_wait *w, int64_t revision);
