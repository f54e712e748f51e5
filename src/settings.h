/* The options of the data plane: one table, from which flags, environment and help follow. Main thread, at start. */
#pragma once
#include "base/log.h"
#include "base/options.h"

struct dp_settings {
    const char *config;
    bool check;
    struct sp_option_list control, labels;
    const char *control_name, *cluster_cert, *cluster_key, *cluster_ca, *cache_dir, *node_id;
    struct sp_option_list listen, listen_plain, trusted;
    const char *status_listen, *ports_file, *log_file, *access_log, *cert, *key, *tls_min, *real_ip_header;
    bool real_ip_recursive;
    enum sp_log_level log_level;
    uint32_t workers, max_connections, max_requests, idle_s, head_s, body_s, handshake_s, drain_s, grace_s, max_head,
        max_fields;
};
extern struct dp_settings dp_settings; /* defaults, until sp_options_parse has run over dp_options */
extern const struct sp_options dp_options;
