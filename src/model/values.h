/* Single values: NULL when the text is good, else why not, in Kong's words where Kong has some. Inside of src/model. */
#pragma once
#include "base/str.h"

const char *sp_check_not_empty(const char *v);
const char *sp_check_basic_username(const char *v); /* RFC 7617: the first colon ends it */
const char *sp_check_password(const char *v);       /* or a hash of one */
const char *sp_check_name(const char *v);
const char *sp_check_workspace_name(const char *v);
const char *sp_check_tag(const char *v);
const char *sp_check_host(const char *v); /* name, address, upstream's name */
const char *sp_check_host_port(const char *v);
const char *sp_check_target(const char *v);
const char *sp_check_upstream_name(const char *v);
const char *sp_check_plain_path(const char *v); /* of a service */
const char *sp_check_route_path(const char *v); /* prefix or ~regex */
const char *sp_check_route_host(const char *v);
const char *sp_check_header_name(const char *v);
const char *sp_check_end_to_end_name(const char *v);
const char *sp_check_quotable(const char *v);    /* may stand in a quoted string of a header field */
const char *sp_check_field_value(const char *v); /* may stand in a header field; may be empty */
const char *sp_check_network(const char *v);     /* address or CIDR */
const char *sp_check_route_header(const char *v);
const char *sp_check_header_value(const char *v);
const char *sp_check_method(const char *v);
const char *sp_check_sni(const char *v);
const char *sp_check_server_name(const char *v);  /* that a client says in its handshake: no wildcard */
const char *sp_check_vault_name(const char *v);   /* a kind of vault that data planes have */
const char *sp_check_vault_prefix(const char *v); /* what references call a vault */
const char *sp_check_variable(const char *v);     /* name of an environment variable, or its beginning */
