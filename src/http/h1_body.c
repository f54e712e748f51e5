/* Message bodies of HTTP/1 (RFC 9112 6 and 7): spans out of the input, nothing is copied but trailer lines. */
#include "http/h1_head.h"

enum {
    MAX_CHUNK_LINE = 256, /* size and extensions */
    MAX_TRAILER_BYTES = 8192,
    MAX_TRAILER_FIELDS = 64,
    MAX_SIZE_DIGITS = 16,
};

enum chunk_step { /* zero is the start */
                  AT_SIZE,
                  AT_EXTENSION,
                  AT_SIZE_LF,
                  AT_DATA,
                  AT_DATA_CR,
                  AT_DATA_LF,
                  AT_TRAILER_LINE, /* at the start of one */
                  IN_TRAILER_LINE,
                  AT_TRAILER_LF,
                  AT_LAST_LF,
};

void sp_h1_body_init(struct sp_h1_body *b, enum sp_framing framing, uint64_t content_length)
{
    sp_assert(framing != SP_BODY_STREAM);
    *b = (struct sp_h1_body){.framing = framing};
    if (framing == SP_BODY_LENGTH)
        b->left = content_length;
    b->done = framing == SP_BODY_NONE || (framing == SP_BODY_LENGTH && content_length == 0);
}

void sp_h1_body_fini(struct sp_h1_body *b)
{
    sp_buf_fini(&b->trailers);
}

static struct sp_str take(struct sp_str *in, size_t n)
{
    struct sp_str s = {in->p, n};
    *in = sp_str_skip(*in, n);
    return s;
}

static struct sp_str take_left(struct sp_h1_body *b, struct sp_str *in)
{
    size_t n = b->left < in->len ? (size_t)b->left : in->len;
    b->left -= n;
    return take(in, n);
}

/* --- chunks: each step looks at one byte; *in is advanced by the caller */

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = sp_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum sp_h1_parse size_byte(struct sp_h1_body *b, unsigned char c, struct sp_h1_fault *fault)
{
    int digit = hex_digit(c);
    if (digit >= 0) {
        if (b->line_len >= MAX_SIZE_DIGITS || b->left > (uint64_t)INT64_MAX >> 4)
            return sp_h1_bad(fault, 400, "chunk size too large");
        b->left = b->left << 4 | (unsigned)digit;
        b->line_len++;
        return SP_H1_DONE;
    }
    if (b->line_len == 0)
        return sp_h1_bad(fault, 400, "bad chunk size");
    if (c != '\r' && c != ';')
        return sp_h1_bad(fault, 400, "bad byte after the chunk size");
    b->step = c == '\r' ? AT_SIZE_LF : AT_EXTENSION;
    return SP_H1_DONE;
}

static enum sp_h1_parse extension_byte(struct sp_h1_body *b, unsigned char c, struct sp_h1_fault *fault)
{
    if (c == '\r') {
        b->step = AT_SIZE_LF;
        return SP_H1_DONE;
    }
    if (!sp_chars_text_byte(c))
        return sp_h1_bad(fault, 400, "bad byte in a chunk extension");
    if (++b->line_len > MAX_CHUNK_LINE)
        return sp_h1_bad(fault, 400, "chunk extension too long");
    return SP_H1_DONE;
}

static enum sp_h1_parse trailer_byte(struct sp_h1_body *b, unsigned char c, struct sp_h1_fault *fault)
{
    if (c == '\r') {
        b->step = b->step == AT_TRAILER_LINE ? AT_LAST_LF : AT_TRAILER_LF;
        return SP_H1_DONE;
    }
    if (!sp_chars_text_byte(c))
        return sp_h1_bad(fault, 400, "bad byte in a trailer");
    if (++b->trailer_bytes > MAX_TRAILER_BYTES)
        return sp_h1_bad(fault, SP_H1_TOO_LARGE, "trailers too large");
    sp_buf_putc(&b->trailers, (char)c);
    b->step = IN_TRAILER_LINE;
    return SP_H1_DONE;
}

/* The line that has just ended; an error is still told as one of the body. */
static enum sp_h1_parse check_trailer_line(const struct sp_h1_body *b, struct sp_h1_fault *fault)
{
    struct sp_str all = sp_buf_str(&b->trailers);
    const char *before = memrchr(all.p, '\n', all.len);
    struct sp_field f;
    return sp_h1_field_line(before ? sp_str_skip(all, (size_t)(before + 1 - all.p)) : all, &f, fault);
}

static enum sp_h1_parse after_line_end(struct sp_h1_body *b, struct sp_h1_fault *fault)
{
    switch ((enum chunk_step)b->step) {
    case AT_SIZE_LF:
        b->step = b->left ? AT_DATA : AT_TRAILER_LINE;
        break;
    case AT_TRAILER_LF:
        if (check_trailer_line(b, fault) != SP_H1_DONE)
            return SP_H1_BAD;
        sp_buf_putc(&b->trailers, '\n');
        b->step = AT_TRAILER_LINE;
        break;
    case AT_DATA_LF:
        b->step = AT_SIZE;
        b->line_len = 0;
        break;
    default:
        b->done = true;
    }
    return SP_H1_DONE;
}

static enum sp_h1_parse framing_byte(struct sp_h1_body *b, unsigned char c, struct sp_h1_fault *fault)
{
    switch ((enum chunk_step)b->step) {
    case AT_SIZE:
        return size_byte(b, c, fault);
    case AT_EXTENSION:
        return extension_byte(b, c, fault);
    case AT_DATA_CR:
        if (c != '\r')
            return sp_h1_bad(fault, 400, "no CRLF after the chunk");
        b->step = AT_DATA_LF;
        return SP_H1_DONE;
    case AT_TRAILER_LINE:
    case IN_TRAILER_LINE:
        return trailer_byte(b, c, fault);
    default:
        if (c != '\n')
            return sp_h1_bad(fault, 400, "bare CR in the chunk framing");
        return after_line_end(b, fault);
    }
}

static enum sp_h1_parse chunked_next(struct sp_h1_body *b, struct sp_str *in, struct sp_str *data,
                                     struct sp_h1_fault *fault)
{
    while (in->len && !b->done) {
        if (b->step == AT_DATA) {
            *data = take_left(b, in);
            if (b->left == 0)
                b->step = AT_DATA_CR;
            return SP_H1_DONE;
        }
        if (framing_byte(b, (unsigned char)in->p[0], fault) != SP_H1_DONE)
            return SP_H1_BAD;
        *in = sp_str_skip(*in, 1);
    }
    return b->done ? SP_H1_DONE : SP_H1_MORE;
}

enum sp_h1_parse sp_h1_body_next(struct sp_h1_body *b, struct sp_str *in, struct sp_str *data,
                                 struct sp_h1_fault *fault)
{
    *data = sp_str(in->p, 0);
    if (b->done)
        return SP_H1_DONE;
    if (in->len == 0)
        return SP_H1_MORE;
    if (b->framing == SP_BODY_CHUNKED)
        return chunked_next(b, in, data, fault);
    if (b->framing == SP_BODY_CLOSE) {
        *data = take(in, in->len);
        return SP_H1_DONE;
    }
    *data = take_left(b, in);
    b->done = b->left == 0;
    return SP_H1_DONE;
}

enum sp_h1_parse sp_h1_body_trailers(struct sp_h1_body *b, struct sp_arena *a, struct sp_fields *out,
                                     struct sp_h1_fault *fault)
{
    *out = (struct sp_fields){0};
    if (b->trailers.len == 0)
        return SP_H1_DONE;
    struct sp_str rest = sp_arena_dup(a, sp_buf_str(&b->trailers));
    uint32_t num = 0;
    while (rest.len) {
        struct sp_field f;
        if (++num > MAX_TRAILER_FIELDS)
            return sp_h1_bad(fault, SP_H1_TOO_LARGE, "too many trailers");
        if (sp_h1_field_line(sp_str_split(&rest, '\n'), &f, fault) != SP_H1_DONE)
            return SP_H1_BAD;
        if (sp_trailer_allowed(f.name))
            sp_fields_add(out, a, f.id, f.name, f.value);
    }
    return SP_H1_DONE;
}
