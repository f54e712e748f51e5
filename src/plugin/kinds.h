/* What runs the plugins of model/plugins.h. The file of each defines dp_<id>, and begins it with DP_KIND(id): the rest
 * of its row. Constants, any thread. */
#pragma once
#include "model/plugins.h"
#include "plugin/plugin.h"

#define DP_KIND_ROW(id, ID, its_name, its_priority, ...)                                                               \
    extern const struct dp_plugin_kind dp_##id;                                                                        \
    extern const char dp_name_of_##id[];                                                                               \
    enum { DP_PRIORITY_OF_##id = (its_priority), DP_CASE_OF_##id = SALLYPORT__V1__PLUGIN__CONFIG_##ID };
SP_PLUGIN_ROWS(DP_KIND_ROW)
#undef DP_KIND_ROW

#define DP_KIND(id)                                                                                                    \
    .name = dp_name_of_##id, .priority = DP_PRIORITY_OF_##id,                                                          \
    .config_case = (Sallyport__V1__Plugin__ConfigCase)DP_CASE_OF_##id
