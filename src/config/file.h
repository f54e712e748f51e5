/* db-less mode: a declarative file to resources, on the data plane itself. Main thread. */
#pragma once
#include "model/compile.h"

/* Everything that is wrong with the file is in problems; *out is NULL then. References "file://NAME" in PEM fields are
 * read relative to the file's folder. */
SP_MUST sp_result dp_file_load(struct sp_arena *a, const char *path, int64_t now, struct sp_resources **out,
                               struct sp_problems *problems);
