#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const code_names[] = {
    [SP_OK] = "ok",
    [SP_E_USAGE] = "usage",
    [SP_E_PARSE] = "parse",
    [SP_E_INVALID] = "invalid",
    [SP_E_NOT_FOUND] = "not_found",
    [SP_E_CONFLICT] = "conflict",
    [SP_E_LIMIT] = "limit",
    [SP_E_TIMEOUT] = "timeout",
    [SP_E_CLOSED] = "closed",
    [SP_E_IO] = "io",
    [SP_E_TLS] = "tls",
    [SP_E_PROTO] = "protocol",
    [SP_E_UNAVAILABLE] = "unavailable",
};

const char *sp_code_name(enum sp_code code)
{
    return code_names[code];
}

sp_result sp_fail(struct sp_error *err, enum sp_code code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
        err->code = code;
    }
    return (sp_result){code};
}

sp_result sp_fail_errno(struct sp_error *err, int errnum, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n < sizeof err->text)
            snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", strerror(errnum));
        err->code = SP_E_IO;
    }
    return (sp_result){SP_E_IO};
}

sp_result sp_fail_in(struct sp_error *err, const char *fmt, ...)
{
    if (!err)
        return (sp_result){SP_E_INVALID};
    char where[256], text[sizeof err->text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(where, sizeof where, fmt, ap);
    va_end(ap);
    memcpy(text, err->text, sizeof text);
    int n = snprintf(err->text, sizeof err->text, "%s: ", where);
    if (n >= 0 && (size_t)n < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, "%s", text);
    return (sp_result){err->code};
}

void sp_panic(const char *file, int line, const char *what)
{
    fprintf(stderr, "sallyport: invariant broken at %s:%d: %s\n", file, line, what);
    abort();
}

void *sp_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        sp_panic(__FILE__, __LINE__, "out of memory");
    return p;
}

void *sp_realloc(void *p, size_t size)
{
    void *q = realloc(p, size ? size : 1);
    if (!q)
        sp_panic(__FILE__, __LINE__, "out of memory");
    return q;
}

char *sp_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(sp_alloc(n), s, n);
}
