/* `cert: file://certs/server.pem` in a declarative file: the PEM stands in a file of its own. Only for whoever owns the
 * file system (the CLI, a data plane without control plane); a control plane never opens what a client names. Any
 * thread. */
#pragma once
#include "model/problem.h"

/* Copies text to out with every `file://PATH` under cert, key, cert_alt and key_alt replaced by that file's content,
 * written on the same line, so that places stay true. PATH is relative to the folder of `file`. false: problems tell
 * which could not be read; these stay as they are, so that the parser can still tell everything else that is wrong.
 * Text that is no YAML is copied as it is: the parser tells better what is wrong with it. The output may hold private
 * keys: sp_buf_wipe. */
SP_MUST bool sp_model_expand_files(struct sp_arena *a, struct sp_str text, struct sp_str file, struct sp_buf *out,
                                   struct sp_problems *problems);
