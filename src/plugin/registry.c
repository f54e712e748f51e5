#include "plugin/kinds.h"

#define NAME_ROW(id, ID, its_name, ...) const char dp_name_of_##id[] = its_name;
SP_PLUGIN_ROWS(NAME_ROW)

#define KIND_ROW(id, ...) &dp_##id,
const struct dp_plugin_kind *const dp_plugin_kinds[] = {SP_PLUGIN_ROWS(KIND_ROW) NULL};

const struct dp_plugin_kind *dp_plugin_kind_of(Sallyport__V1__Plugin__ConfigCase config_case)
{
    for (size_t i = 0; dp_plugin_kinds[i]; i++)
        if (dp_plugin_kinds[i]->config_case == config_case)
            return dp_plugin_kinds[i];
    return NULL;
}

enum dp_verdict dp_reply(struct dp_call *call, unsigned status, const char *message)
{
    call->reply_status = status;
    call->reply_message = message;
    return DP_REPLY;
}
