/* Private to src/http: which bytes may stand where. Tables and one vectorised check, shared by parsers and serialisers.
 * Pure functions: any thread. */
#pragma once
#include "base/str.h"

extern const uint8_t sp_chars_token[256]; /* tchar of RFC 9110 5.6.2 */
extern const uint8_t sp_chars_host[256];  /* letters, digits, '-', '_', '.': what a host name of ours may have */

/* No control byte but HTAB, and no DEL: RFC 9110 5.5 with obs-text. */
static inline bool sp_chars_text_byte(unsigned char c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

typedef uint8_t sp_chars16 __attribute__((vector_size(16)));

static inline sp_chars16 sp_chars_bad16(const char *p)
{
    const sp_chars16 space = {32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32};
    const sp_chars16 tab = {9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9};
    const sp_chars16 del = {127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127};
    sp_chars16 x;
    memcpy(&x, p, sizeof x);
    return (sp_chars16)((sp_chars16)(x < space) & (sp_chars16)(x != tab)) | (sp_chars16)(x == del);
}

/* Every byte of p[0..n) is text. */
static inline bool sp_chars_text(const char *p, size_t n)
{
    if (n < 16) {
        for (size_t i = 0; i < n; i++)
            if (!sp_chars_text_byte((unsigned char)p[i]))
                return false;
        return true;
    }
    sp_chars16 bad = sp_chars_bad16(p + n - 16); /* the last 16 overlap: no tail loop */
    for (size_t i = 0; i + 16 < n; i += 16)
        bad |= sp_chars_bad16(p + i);
    uint64_t words[2];
    memcpy(words, &bad, sizeof words);
    return (words[0] | words[1]) == 0;
}

/* How many bytes at the start of p[0..n) are token characters. */
static inline size_t sp_chars_token_span(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && sp_chars_token[(unsigned char)p[i]])
        i++;
    return i;
}
