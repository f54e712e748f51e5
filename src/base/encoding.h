/* Text forms of bytes: base64 (RFC 4648 section 4) and percent-encoding (RFC 3986 section 2.1). Any thread. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

void sp_base64_encode(struct sp_buf *out, struct sp_str bytes); /* with padding, no line breaks */
/* Blanks and line breaks are skipped; padding may be missing but not wrong. false: any other byte, or bits left over.
 */
SP_MUST bool sp_base64_decode(struct sp_arena *a, struct sp_str text, struct sp_str *out);

void sp_percent_encode(struct sp_buf *out, struct sp_str bytes); /* all but unreserved characters */
/* plus: '+' is a blank, as in forms; otherwise it is itself. false: a '%' without two hex digits. */
SP_MUST bool sp_percent_decode(struct sp_arena *a, struct sp_str text, bool plus, struct sp_str *out);
