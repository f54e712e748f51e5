#include "model/rules.h"

#include "base/names.h"
#include "model/message.h"
#include "model/plugins.h"
#include "model/values.h"
#include "sallyport/v1/entities.pb-c.h"

#include <limits.h>
#include <stdlib.h>

/* One row per field; docs/generate reads these tables too, so a row stays `{"field", .key = value, ...}`. */

#define TIMEOUT_MAX 2147483646
#define ROUTE_PROTOCOLS "http https tcp tls udp tls_passthrough grpc grpcs ws wss"
#define HASH_INPUTS "none consumer ip header cookie path query_arg uri_capture"
#define PROBE_TYPES "tcp http https grpc grpcs"

static const struct sp_rule document_rules[] = {
    {"_format_version", .required = true, .one_of = "1.1 2.1 3.0"},
    {"_workspace", .check = sp_check_name, .says = "a name"},
};

static const struct sp_rule handshake_settings_rules[] = {
    {"request_scope", .one_of = "affected_routes all_routes"},
};

static const struct sp_rule workspace_rules[] = {
    {"id", .uuid = true},
    {"name", .required = true, .check = sp_check_workspace_name, .says = "a name that is no collection's"},
};

static const struct sp_rule service_rules[] = {
    {"id", .uuid = true},
    {"name", .check = sp_check_name, .says = "a name"},
    {"protocol", .one_of = "http https tcp tls udp grpc grpcs tls_passthrough ws wss"},
    {"host", .required = true, .check = sp_check_host, .says = "a host name, an address or an upstream's name"},
    {"port", .bounded = true, .min = 0, .max = 65535},
    {"path", .check = sp_check_plain_path, .says = "starts with /, no empty segment"},
    {"retries", .bounded = true, .min = 0, .max = 32767},
    {"connect_timeout", .bounded = true, .min = 1, .max = TIMEOUT_MAX},
    {"write_timeout", .bounded = true, .min = 1, .max = TIMEOUT_MAX},
    {"read_timeout", .bounded = true, .min = 1, .max = TIMEOUT_MAX},
    {"tls_verify_depth", .bounded = true, .min = 0, .max = 64},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule route_rules[] = {
    {"id", .uuid = true},
    {"name", .check = sp_check_name, .says = "a name"},
    {"protocols", .defaults = "http https", .one_of = ROUTE_PROTOCOLS},
    {"hosts", .check = sp_check_route_host, .says = "a host name; * may be its first or last label; may have a port"},
    {"paths", .check = sp_check_route_path, .says = "a prefix that starts with /, or ~ and a regular expression"},
    {"methods", .check = sp_check_method, .says = "an upper-case word"},
    {"snis", .check = sp_check_sni, .says = "a host name; * may be its first or last label, or all of it"},
    {"path_handling", .one_of = "v0 v1"},
    {"regex_priority", .bounded = true, .min = INT32_MIN, .max = INT32_MAX},
    {"https_redirect_status_code", .one_of = "426 301 302 307 308"},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule header_entry_rules[] = {
    {"key", .check = sp_check_route_header, .says = "a header name other than host"},
    {"values", .min_items = 1, .check = sp_check_header_value, .says = "not empty; ~* and a regular expression is one"},
};

static const struct sp_rule upstream_rules[] = {
    {"id", .uuid = true},
    {"name", .required = true, .check = sp_check_upstream_name, .says = "in the form of a host name, without a port"},
    {"algorithm", .one_of = "round-robin consistent-hashing least-connections latency"},
    {"slots", .bounded = true, .min = 10, .max = 65536},
    {"host_header", .check = sp_check_host_port, .says = "a host name, may have a port"},
    {"healthchecks", .record = true},
    {"hash_on", .one_of = HASH_INPUTS},
    {"hash_fallback", .one_of = HASH_INPUTS},
    {"hash_on_header", .check = sp_check_header_name, .says = "a header name"},
    {"hash_fallback_header", .check = sp_check_header_name, .says = "a header name"},
    {"hash_on_cookie", .check = sp_check_header_name, .says = "a cookie's name"},
    {"hash_on_cookie_path", .check = sp_check_plain_path, .says = "starts with /, no empty segment"},
    {"hash_on_query_arg", .check = sp_check_not_empty, .says = "not empty"},
    {"hash_fallback_query_arg", .check = sp_check_not_empty, .says = "not empty"},
    {"hash_on_uri_capture", .check = sp_check_not_empty, .says = "not empty"},
    {"hash_fallback_uri_capture", .check = sp_check_not_empty, .says = "not empty"},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule healthchecks_rules[] = {
    {"active", .record = true},
    {"passive", .record = true},
    {"threshold", .bounded = true, .min = 0, .max = 100},
};

static const struct sp_rule active_healthchecks_rules[] = {
    {"type", .one_of = PROBE_TYPES},
    {"timeout", .bounded = true, .min = 0, .max = 65535},
    {"concurrency", .bounded = true, .min = 1, .max = INT32_MAX},
    {"http_path", .check = sp_check_plain_path, .says = "starts with /, no empty segment"},
    {"https_sni", .check = sp_check_server_name, .says = "a host name"},
    {"healthy", .record = true},
    {"unhealthy", .record = true},
};

static const struct sp_rule probe_header_entry_rules[] = {
    {"key", .check = sp_check_header_name, .says = "a header name"},
    {"values", .check = sp_check_field_value, .says = "printable"},
};

static const struct sp_rule active_healthy_rules[] = {
    {"interval", .bounded = true, .min = 0, .max = 65535},
    {"http_statuses", .defaults = "200 302", .bounded = true, .min = 100, .max = 999},
    {"successes", .bounded = true, .min = 0, .max = 255},
};

static const struct sp_rule active_unhealthy_rules[] = {
    {"interval", .bounded = true, .min = 0, .max = 65535},
    {"http_statuses", .defaults = "429 404 500 501 502 503 504 505", .bounded = true, .min = 100, .max = 999},
    {"tcp_failures", .bounded = true, .min = 0, .max = 255},
    {"timeouts", .bounded = true, .min = 0, .max = 255},
    {"http_failures", .bounded = true, .min = 0, .max = 255},
};

static const struct sp_rule passive_healthchecks_rules[] = {
    {"type", .one_of = PROBE_TYPES},
    {"healthy", .record = true},
    {"unhealthy", .record = true},
};

static const struct sp_rule passive_healthy_rules[] = {
    {"http_statuses", .defaults = "200 201 202 203 204 205 206 207 208 226 300 301 302 303 304 305 306 307 308",
     .bounded = true, .min = 100, .max = 999},
    {"successes", .bounded = true, .min = 0, .max = 255},
};

static const struct sp_rule passive_unhealthy_rules[] = {
    {"http_statuses", .defaults = "429 500 503", .bounded = true, .min = 100, .max = 999},
    {"tcp_failures", .bounded = true, .min = 0, .max = 255},
    {"timeouts", .bounded = true, .min = 0, .max = 255},
    {"http_failures", .bounded = true, .min = 0, .max = 255},
};

static const struct sp_rule target_rules[] = {
    {"id", .uuid = true},
    {"target", .required = true, .check = sp_check_target, .says = "host or address, may have a port"},
    {"weight", .bounded = true, .min = 0, .max = 65535},
    {"upstream", .required = true},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule consumer_rules[] = {
    {"id", .uuid = true},
    {"username", .check = sp_check_not_empty, .says = "not empty"},
    {"custom_id", .check = sp_check_not_empty, .says = "not empty"},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule consumer_group_rules[] = {
    {"id", .uuid = true},
    {"name", .required = true, .check = sp_check_name, .says = "a name"},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule mtls_auth_credential_rules[] = {
    {"id", .uuid = true},
    {"subject_name", .required = true, .check = sp_check_not_empty, .says = "not empty"},
    {"consumer", .required = true},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule keyauth_credential_rules[] = {
    {"id", .uuid = true},
    {"key", .required = true, .made = true, .secret = true, .check = sp_check_not_empty, .says = "not empty"},
    {"ttl", .bounded = true, .min = 0, .max = 100000000},
    {"consumer", .required = true},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule basicauth_credential_rules[] = {
    {"id", .uuid = true},
    {"username", .required = true, .check = sp_check_basic_username, .says = "no colon, no control character"},
    {"password", .required = true, .secret = true, .check = sp_check_password,
     .says = "a password of up to 1024 bytes, or a hash"},
    {"consumer", .required = true},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule acl_rules[] = {
    {"id", .uuid = true},
    {"group", .required = true, .check = sp_check_not_empty, .says = "not empty"},
    {"consumer", .required = true},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule certificate_rules[] = {
    {"id", .uuid = true},
    {"cert", .required = true, .referenceable = true},
    {"key", .required = true, .secret = true, .referenceable = true},
    {"cert_alt", .referenceable = true},
    {"key_alt", .secret = true, .referenceable = true},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule sni_rules[] = {
    {"id", .uuid = true},
    {"name", .required = true, .check = sp_check_sni, .says = "a host name; * may be its first or last label"},
    {"certificate", .required = true},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule ca_certificate_rules[] = {
    {"id", .uuid = true},
    {"cert", .required = true, .referenceable = true},
    {"crls", .ours = true},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule vault_rules[] = {
    {"id", .uuid = true},
    {"name", .required = true, .check = sp_check_vault_name, .says = "env"},
    {"prefix", .required = true, .check = sp_check_vault_prefix,
     .says = "lower case letters, digits and -; begins with a letter, is no kind of vault"},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule env_vault_config_rules[] = {
    {"prefix", .check = sp_check_variable, .says = "letters, digits and _; does not begin with a digit"},
};

static const struct sp_rule plugin_rules[] = {
    {"id", .uuid = true},
    {"name", .required = true},
    {"instance_name", .check = sp_check_name, .says = "a name"},
    {"protocols", .one_of = ROUTE_PROTOCOLS},
    {"tags", .check = sp_check_tag, .says = "no comma, no slash, printable"},
};

static const struct sp_rule mtls_auth_config_rules[] = {
    {"ca_certificates", .required = true, .min_items = 1, .check = sp_check_not_empty,
     .says = "an id, a digest, or a tag that names one CA"},
    {"anonymous", .check = sp_check_not_empty, .says = "not empty"},
    {"consumer_by", .defaults = "username custom_id", .one_of = "username custom_id", .empty_list = true},
    {"authenticated_group_by", .one_of = "CN DN"},
    {"default_consumer", .check = sp_check_not_empty, .says = "not empty"},
    {"revocation_check_mode", .one_of = "SKIP IGNORE_CA_ERROR STRICT"},
    {"http_timeout", .bounded = true, .min = 0, .max = TIMEOUT_MAX},
    {"cert_cache_ttl", .bounded = true, .min = 0, .max = TIMEOUT_MAX},
    {"cache_ttl", .bounded = true, .min = 0, .max = TIMEOUT_MAX},
    {"http_proxy_host", .check = sp_check_host, .says = "a host name or an address"},
    {"http_proxy_port", .bounded = true, .min = 0, .max = 65535},
    {"https_proxy_host", .check = sp_check_host, .says = "a host name or an address"},
    {"https_proxy_port", .bounded = true, .min = 0, .max = 65535},
    {"san_dirname_matcher", .empty_list = true, .check = sp_check_not_empty, .says = "not empty"},
};

static const struct sp_rule tls_handshake_modifier_config_rules[] = {
    {"tls_client_certificate", .one_of = "REQUEST"},
};

static const struct sp_rule header_cert_auth_config_rules[] = {
    {"ca_certificates", .required = true, .min_items = 1, .check = sp_check_not_empty,
     .says = "an id, a digest, or a tag that names one CA"},
    {"anonymous", .check = sp_check_not_empty, .says = "not empty"},
    {"consumer_by", .defaults = "username custom_id", .one_of = "username custom_id", .empty_list = true},
    {"authenticated_group_by", .one_of = "CN DN"},
    {"default_consumer", .check = sp_check_not_empty, .says = "not empty"},
    {"revocation_check_mode", .one_of = "SKIP IGNORE_CA_ERROR STRICT"},
    {"http_timeout", .bounded = true, .min = 0, .max = TIMEOUT_MAX},
    {"cert_cache_ttl", .bounded = true, .min = 0, .max = TIMEOUT_MAX},
    {"cache_ttl", .bounded = true, .min = 0, .max = TIMEOUT_MAX},
    {"http_proxy_host", .check = sp_check_host, .says = "a host name or an address"},
    {"http_proxy_port", .bounded = true, .min = 0, .max = 65535},
    {"https_proxy_host", .check = sp_check_host, .says = "a host name or an address"},
    {"https_proxy_port", .bounded = true, .min = 0, .max = 65535},
    {"certificate_header_name", .required = true, .check = sp_check_end_to_end_name,
     .says = "a header name, but none of HTTP itself"},
    {"certificate_header_format", .required = true, .one_of = "base64_encoded url_encoded rfc9440 xfcc"},
    {"invalid_certificate_status", .one_of = "401 500"},
};

static const struct sp_rule tls_metadata_headers_config_rules[] = {
    {"client_cert_header_name", .check = sp_check_end_to_end_name, .says = "a header name, but none of HTTP itself"},
    {"client_serial_header_name", .check = sp_check_end_to_end_name, .says = "a header name, but none of HTTP itself"},
    {"client_cert_issuer_dn_header_name", .check = sp_check_end_to_end_name,
     .says = "a header name, but none of HTTP itself"},
    {"client_cert_subject_dn_header_name", .check = sp_check_end_to_end_name,
     .says = "a header name, but none of HTTP itself"},
    {"client_cert_fingerprint_header_name", .check = sp_check_end_to_end_name,
     .says = "a header name, but none of HTTP itself"},
    {"client_cert_chain_header_name", .check = sp_check_end_to_end_name,
     .says = "a header name, but none of HTTP itself"},
    {"format", .one_of = "kong rfc9440"},
};

static const struct sp_rule key_auth_config_rules[] = {
    {"key_names", .defaults = "apikey", .check = sp_check_header_name, .says = "a header name"},
    {"anonymous", .check = sp_check_not_empty, .says = "not empty"},
    {"realm", .check = sp_check_quotable, .says = "printable, no quotes"},
};

static const struct sp_rule basic_auth_config_rules[] = {
    {"anonymous", .check = sp_check_not_empty, .says = "not empty"},
    {"realm", .check = sp_check_quotable, .says = "printable, no quotes"},
    {"brute_force_protection", .record = true},
};

static const struct sp_rule brute_force_protection_rules[] = {
    {"strategy", .one_of = "cluster memory off redis"},
    {"redis", .record = true},
};

static const struct sp_rule acl_config_rules[] = {
    {"allow", .check = sp_check_not_empty, .says = "not empty"},
    {"deny", .check = sp_check_not_empty, .says = "not empty"},
};

static const struct sp_rule ip_restriction_config_rules[] = {
    {"allow", .check = sp_check_network, .says = "an address or a network in CIDR form"},
    {"deny", .check = sp_check_network, .says = "an address or a network in CIDR form"},
    {"status", .bounded = true, .min = 200, .max = 599},
    {"message", .check = sp_check_not_empty, .says = "not empty"},
};

static const struct sp_rule request_termination_config_rules[] = {
    {"status_code", .bounded = true, .min = 200, .max = 599},
    {"content_type", .check = sp_check_field_value, .says = "printable"},
    {"trigger", .check = sp_check_header_name, .says = "a header name"},
};

static const struct sp_rule correlation_id_config_rules[] = {
    {"header_name", .check = sp_check_header_name, .says = "a header name"},
    {"generator", .one_of = "tracker uuid uuid#counter"},
};

static const struct sp_rule request_size_limiting_config_rules[] = {
    {"allowed_payload_size", .bounded = true, .min = 0, .max = INT32_MAX},
    {"size_unit", .one_of = "megabytes kilobytes bytes"},
};

static const struct sp_rule rate_limiting_config_rules[] = {
    {"second", .bounded = true, .min = 1, .max = INT32_MAX},
    {"minute", .bounded = true, .min = 1, .max = INT32_MAX},
    {"hour", .bounded = true, .min = 1, .max = INT32_MAX},
    {"day", .bounded = true, .min = 1, .max = INT32_MAX},
    {"month", .bounded = true, .min = 1, .max = INT32_MAX},
    {"year", .bounded = true, .min = 1, .max = INT32_MAX},
    {"limit_by", .one_of = "consumer consumer-group credential header ip path service"},
    {"header_name", .check = sp_check_header_name, .says = "a header name"},
    {"path", .check = sp_check_plain_path, .says = "starts with /, no empty segment"},
    {"policy", .one_of = "cluster local redis"},
    {"error_code", .bounded = true, .min = 200, .max = 599},
    {"redis", .record = true},
    {"redis_password", .secret = true},
};

static const struct sp_rule redis_config_rules[] = {
    {"port", .bounded = true, .min = 0, .max = 65535},
    {"timeout", .bounded = true, .min = 0, .max = TIMEOUT_MAX},
    {"username", .referenceable = true},
    {"password", .secret = true, .referenceable = true},
};

#define ROWS(desc, table)                                                                                              \
    {                                                                                                                  \
        &sallyport__v1__##desc##__descriptor, table##_rules, sizeof(table##_rules) / sizeof(struct sp_rule)            \
    }
#define CONFIG_ROWS(id, ...) ROWS(id##_config, id##_config),
static const struct {
    const ProtobufCMessageDescriptor *of;
    const struct sp_rule *rows;
    size_t num;
} tables[] = {
    ROWS(document, document),
    ROWS(handshake_settings, handshake_settings),
    ROWS(workspace, workspace),
    ROWS(service, service),
    ROWS(route, route),
    ROWS(header_entry, header_entry),
    ROWS(upstream, upstream),
    ROWS(healthchecks, healthchecks),
    ROWS(active_healthchecks, active_healthchecks),
    ROWS(probe_header_entry, probe_header_entry),
    ROWS(active_healthy, active_healthy),
    ROWS(active_unhealthy, active_unhealthy),
    ROWS(passive_healthchecks, passive_healthchecks),
    ROWS(passive_healthy, passive_healthy),
    ROWS(passive_unhealthy, passive_unhealthy),
    ROWS(target, target),
    ROWS(consumer, consumer),
    ROWS(consumer_group, consumer_group),
    ROWS(mtls_auth_credential, mtls_auth_credential),
    ROWS(certificate, certificate),
    ROWS(sni, sni),
    ROWS(ca_certificate, ca_certificate),
    ROWS(vault, vault),
    ROWS(env_vault_config, env_vault_config),
    ROWS(plugin, plugin),
    ROWS(keyauth_credential, keyauth_credential),
    ROWS(basicauth_credential, basicauth_credential),
    ROWS(acl, acl),
    SP_PLUGIN_ROWS(CONFIG_ROWS) ROWS(redis_config, redis_config),
    ROWS(brute_force_protection, brute_force_protection),
};

const struct sp_rule *sp_rules_of(const ProtobufCMessageDescriptor *d, size_t *num)
{
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (tables[i].of == d) {
            *num = tables[i].num;
            return tables[i].rows;
        }
    *num = 0;
    return NULL;
}

const struct sp_rule *sp_rule_find(const ProtobufCMessageDescriptor *d, const char *field)
{
    size_t num;
    const struct sp_rule *rows = sp_rules_of(d, &num);
    for (size_t i = 0; i < num; i++)
        if (strcmp(rows[i].field, field) == 0)
            return &rows[i];
    return NULL;
}

/* --- plugins --- */

#define INFO_ROW(id, ID, its_name, its_priority, ...) {.name = (its_name), .priority = (its_priority), __VA_ARGS__},
static const struct sp_plugin_info plugins[] = {SP_PLUGIN_ROWS(INFO_ROW)};

const struct sp_plugin_info *sp_plugin_infos(size_t *num)
{
    *num = sizeof plugins / sizeof *plugins;
    return plugins;
}

const struct sp_plugin_info *sp_plugin_info(struct sp_str name)
{
    for (size_t i = 0; i < sizeof plugins / sizeof *plugins; i++)
        if (sp_str_eq(sp_str_z(plugins[i].name), name))
            return &plugins[i];
    return NULL;
}

/* --- defaults --- */

bool sp_words_have(const char *words, struct sp_str word)
{
    struct sp_str rest = sp_str_z(words);
    while (rest.p && word.len)
        if (sp_str_eq(sp_str_split(&rest, ' '), word))
            return true;
    return false;
}

static void fill_list(struct sp_arena *a, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const char *words)
{
    struct sp_str rest = sp_str_z(words);
    while (rest.p && rest.len) {
        struct sp_str word = sp_str_split(&rest, ' ');
        if (f->type == PROTOBUF_C_TYPE_INT32)
            *(int32_t *)sp_msg_append(a, m, f) = (int32_t)strtol(word.p, NULL, 10);
        else
            *(const char **)sp_msg_append(a, m, f) = sp_arena_dup(a, word).p;
    }
}

/* Strings are copied, so that a default is written out with the message and outlives a change of the schema. */
static void fill_scalar(struct sp_arena *a, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        const ProtobufCFieldDescriptor *null = sp_field_mark(m->descriptor, f, "_null");
        if (!null || !*(protobuf_c_boolean *)sp_msg_at(m, null))
            *(char **)sp_msg_at(m, f) = sp_arena_strdup(a, f->default_value);
        return;
    }
    memcpy(sp_msg_at(m, f), f->default_value, sp_msg_element_size(f));
    sp_msg_mark(m, f);
}

static const char *list_default(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const ProtobufCFieldDescriptor *none = sp_field_mark(m->descriptor, f, "_none");
    if (none && *(const protobuf_c_boolean *)sp_msg_at(m, none))
        return NULL;
    if (m->descriptor == &sallyport__v1__plugin__descriptor && strcmp(f->name, "protocols") == 0) {
        const struct sp_plugin_info *info = sp_plugin_info(sp_msg_string(m, "name"));
        return info ? info->protocols : NULL;
    }
    const struct sp_rule *r = sp_rule_find(m->descriptor, f->name);
    return r ? r->defaults : NULL;
}

/* A gRPC route keeps its path: its method name is in there. */
static void fill_strip_path(ProtobufCMessage *m)
{
    Sallyport__V1__Route *r = (Sallyport__V1__Route *)m;
    for (size_t i = 0; i < r->n_protocols && !r->has_strip_path; i++)
        if (sp_words_have("grpc grpcs", sp_str_z(r->protocols[i]))) {
            r->has_strip_path = true;
            r->strip_path = false;
        }
}

static void fill_message(struct sp_arena *a, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const struct sp_rule *r = sp_rule_find(m->descriptor, f->name);
    if (r && r->record && !sp_msg_has(m, f))
        *(ProtobufCMessage **)sp_msg_at(m, f) = sp_msg_new(a, f->descriptor);
    if (sp_msg_has(m, f))
        sp_msg_fill_defaults(a, *(ProtobufCMessage **)sp_msg_at(m, f));
}

void sp_msg_fill_defaults(struct sp_arena *a, ProtobufCMessage *m)
{
    if (m->descriptor == &sallyport__v1__route__descriptor)
        fill_strip_path(m);
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            const char *words = sp_msg_has(m, f) ? NULL : list_default(m, f);
            fill_list(a, m, f, words ? words : "");
        } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
            fill_message(a, m, f);
        } else if (f->default_value && !sp_msg_has(m, f)) {
            fill_scalar(a, m, f);
        }
    }
}
