/* Version-neutral HTTP message heads. Pseudo-header fields of HTTP/2 are members here, not fields. All bytes are
 * borrowed: they live in the arena or receive buffer of whoever made the head. One thread.
 *
 * Field names keep the spelling they came with (HTTP/2: lower case); compare with sp_field_is or by id. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

/* Fields that the proxy itself looks at; everything else is SP_FIELD_OTHER. */
enum sp_field_id {
    SP_FIELD_OTHER = 0,
    SP_FIELD_ACCEPT,
    SP_FIELD_AUTHORIZATION,
    SP_FIELD_CONNECTION,
    SP_FIELD_CONTENT_LENGTH,
    SP_FIELD_CONTENT_TYPE,
    SP_FIELD_COOKIE,
    SP_FIELD_DATE,
    SP_FIELD_EXPECT,
    SP_FIELD_HOST,
    SP_FIELD_HTTP2_SETTINGS,
    SP_FIELD_KEEP_ALIVE,
    SP_FIELD_PROXY_AUTHENTICATE,
    SP_FIELD_PROXY_AUTHORIZATION,
    SP_FIELD_PROXY_CONNECTION,
    SP_FIELD_SERVER,
    SP_FIELD_TE,
    SP_FIELD_TRAILER,
    SP_FIELD_TRANSFER_ENCODING,
    SP_FIELD_UPGRADE,
    SP_FIELD_VIA,
    SP_FIELD_X_FORWARDED_FOR,
    SP_FIELD_X_FORWARDED_HOST,
    SP_FIELD_X_FORWARDED_PATH,
    SP_FIELD_X_FORWARDED_PORT,
    SP_FIELD_X_FORWARDED_PREFIX,
    SP_FIELD_X_FORWARDED_PROTO,
    SP_FIELD_X_REAL_IP,
    SP_FIELD_COUNT
};

struct sp_field {
    struct sp_str name, value; /* value without surrounding blanks */
    uint16_t id;               /* enum sp_field_id */
    bool removed;              /* stays in the list, is not sent: removal costs nothing */
};

struct sp_fields {
    struct sp_field *v;
    uint32_t len, cap;
};

enum sp_http_version { SP_HTTP_10, SP_HTTP_11, SP_HTTP_2 };

/* How the end of a body is told. */
enum sp_framing { SP_BODY_NONE, SP_BODY_LENGTH, SP_BODY_CHUNKED, SP_BODY_CLOSE, SP_BODY_STREAM /* h2: END_STREAM */ };

struct sp_request_head {
    struct sp_str method;
    struct sp_str target;    /* origin-form: path and query as received ("*" for OPTIONS *) */
    struct sp_str authority; /* Host or :authority, absolute-form wins (RFC 9112 3.2.2) */
    enum sp_http_version version;
    enum sp_framing framing;
    uint64_t content_length; /* with SP_BODY_LENGTH; HTTP/2: also when the field was sent, see has_length */
    bool has_length;
    bool keep_alive; /* h1: what the client wants of the connection */
    bool expect_continue;
    struct sp_str upgrade;   /* h1: value of Upgrade when Connection names it, else empty */
    struct sp_fields fields; /* Host is not among them */
};

struct sp_response_head {
    unsigned status; /* 100 to 999 */
    enum sp_http_version version;
    enum sp_framing framing;
    uint64_t content_length;
    bool has_length;
    bool keep_alive;
    struct sp_str
        upgrade; /* h1, 101: the protocol switched to (426: those offered); else empty. Not among the fields */
    struct sp_fields fields;
};

/* id may be SP_FIELD_OTHER for any name: it is looked up then. */
void sp_fields_add(struct sp_fields *f, struct sp_arena *a, enum sp_field_id id, struct sp_str name,
                   struct sp_str value);
/* First live field of that name; NULL when there is none. */
struct sp_field *sp_fields_find(const struct sp_fields *f, struct sp_str name);
struct sp_field *sp_fields_find_id(const struct sp_fields *f, enum sp_field_id id);
/* Marks every field of that name as removed, in all spellings: case does not matter and '_' equals '-'. Returns how
 * many. */
uint32_t sp_fields_remove(struct sp_fields *f, struct sp_str name);
/* Removes hop-by-hop fields (RFC 9110 7.6.1): the standing list, and what Connection names. */
void sp_fields_strip_hop_by_hop(struct sp_fields *f);
enum sp_field_id sp_field_id_of(struct sp_str name); /* case-insensitive */
/* Case-insensitive, and '_' equals '-'. */
bool sp_field_name_same(struct sp_str a, struct sp_str b);
/* RFC 9110 5.1 token / 5.5 field-value without CR, LF, NUL and other controls. The gate that everything passes on its
 * way out, whatever side it came from (re-serialise, never forward raw). */
bool sp_token_valid(struct sp_str s);
bool sp_field_value_valid(struct sp_str s);
/* "host" or "host:port" as Host and :authority may carry it: a name of letters, digits, '-', '_' and '.', or an IP
 * literal; the port in digits, 1 to 65535. No user information, not empty. */
bool sp_authority_valid(struct sp_str s);
/* May a field of this name come in a trailer section? Not those that frame, route, authenticate or carry an identity
 * (RFC 9110 6.5.1, RFC 9440 2.4). */
bool sp_trailer_allowed(struct sp_str name);
/* The standard phrase of a status code; "Unknown" for others. */
const char *sp_status_phrase(unsigned status);
