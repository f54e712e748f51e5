/* Vault references ({vault://env/NAME}) in what a data plane runs: resolved here, from its own environment, and nowhere
 * else; control planes, caches and dumps have the references. Main thread. */
#pragma once
#include "model/compile.h"

/* Resources with the values in the place of their references. What has none is shared with r; what has one is a copy in
 * `secrets`, whose hash covers the values, so that whatever follows from it changes with them. *out is r when nothing
 * refers. Each reference that cannot be resolved is a problem with its kind, name and field, and never with the value:
 * code "variable_not_set" where there is no such variable. An expired CA certificate is a warning. */
SP_MUST sp_result dp_vaults_resolve(const struct sp_resources *r, struct sp_arena *secrets,
                                    const struct sp_resources **out, struct sp_problems *problems);
/* For --check, which may run elsewhere than the data plane will: a variable that is not set is a warning, anything else
 * an error. false: something could not be resolved. */
bool dp_vaults_check(const struct sp_resources *r, struct sp_problems *problems);
