/* decK's ${{ env "DECK_NAME" }} in a declarative file (kong-behaviour 5.1): put in by the CLI, from its own
 * environment, before anything reads the file. Any thread. */
#pragma once
#include "model/problem.h"

/* Copies text to out with the value of the variable in the place of each of them. `| toInt`, `| toFloat`, `| toBool`,
 * `| indent N` may follow the name. As with decK the text of the value is put in as it stands, so quotes around it are
 * the file's; but a value of several lines is refused without indent. false: problems tell what is wrong, with its
 * place, and never a value. The output may hold keys: sp_buf_wipe. */
SP_MUST bool cp_expand_variables(struct sp_str text, struct sp_str file, struct sp_buf *out,
                                 struct sp_problems *problems);
