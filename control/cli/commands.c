#include "control/cli/cli.h"

extern const struct cp_command cp_command_apply, cp_command_diff, cp_command_get, cp_command_explain_handshake,
    cp_command_explain_request, cp_command_nodes, cp_command_history, cp_command_rollback, cp_command_export,
    cp_command_lint, cp_command_pki_init, cp_command_pki_issue, cp_command_password, cp_command_version;

/* In the order of the overview: what one does first comes first. A new command is a file and a row. */
const struct cp_command *const cp_commands[] = {
    &cp_command_apply,
    &cp_command_diff,
    &cp_command_get,
    &cp_command_explain_handshake,
    &cp_command_explain_request,
    &cp_command_lint,
    &cp_command_nodes,
    &cp_command_history,
    &cp_command_rollback,
    &cp_command_export,
    &cp_command_pki_init,
    &cp_command_pki_issue,
    &cp_command_password,
    &cp_command_version,
    NULL,
};
