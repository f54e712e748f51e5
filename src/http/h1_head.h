/* Private to src/http: pieces of the HTTP/1 head parser that the trailer section shares. */
#pragma once
#include "http/chars.h"
#include "http/h1.h"

enum { SP_H1_TOO_LARGE = 494 }; /* "Request header or cookie too large": the proxy answers it as 400 */

enum sp_h1_parse sp_h1_bad(struct sp_h1_fault *fault, unsigned status, const char *why);
/* One field line without its CRLF; out borrows from it. */
enum sp_h1_parse sp_h1_field_line(struct sp_str line, struct sp_field *out, struct sp_h1_fault *fault);
