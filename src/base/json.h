/* Writing JSON (RFC 8259) into a buffer: commas and escapes, nothing else. Reading: base/json_scan.h, and src/model's.
 * Any thread. */
#pragma once
#include "base/buf.h"

enum { SP_JSON_DEPTH = 32 };
struct sp_json {
    struct sp_buf *out;
    uint32_t filled;    /* bit of a level: something stands in it already */
    unsigned depth : 8; /* open objects and arrays; more than SP_JSON_DEPTH - 1 is a mistake of the caller */
    bool after_key : 1;
};

static inline struct sp_json sp_json(struct sp_buf *out)
{
    return (struct sp_json){.out = out};
}
void sp_json_object(struct sp_json *j); /* "{" */
void sp_json_array(struct sp_json *j);  /* "[" */
void sp_json_end_object(struct sp_json *j);
void sp_json_end_array(struct sp_json *j);
void sp_json_key(struct sp_json *j, const char *key);
/* Bytes that are no UTF-8 become U+FFFD, so that the text is always JSON. */
void sp_json_str(struct sp_json *j, struct sp_str s);
void sp_json_z(struct sp_json *j, const char *z); /* NULL: null */
void sp_json_int(struct sp_json *j, int64_t n);
void sp_json_bool(struct sp_json *j, bool b);
void sp_json_null(struct sp_json *j);
void sp_json_raw(struct sp_json *j, struct sp_str json); /* one value that is JSON already */

/* key and value at once */
void sp_json_put_str(struct sp_json *j, const char *key, struct sp_str s);
void sp_json_put_z(struct sp_json *j, const char *key, const char *z);
void sp_json_put_int(struct sp_json *j, const char *key, int64_t n);
void sp_json_put_bool(struct sp_json *j, const char *key, bool b);

/* Length of the UTF-8 sequence at p (RFC 3629: no overlong forms, no surrogates); left is not 0. 0: none. */
size_t sp_json_utf8(const char *p, size_t left);
