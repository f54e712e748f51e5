/* Errors of a wrong world: configuration, peers, files, remote calls.
 *
 * A function that can fail for such a reason returns sp_result and takes `struct sp_error *err` last. Whoever started
 * the operation owns the sp_error; it is filled once, where the fact is known, and prefixed on the way up (sp_fail_in).
 * Callers branch on the code, never on the text. The two other kinds of failure are not told here: "not yet" on a byte
 * stream is an sp_io value, and the impossible is sp_assert, which stays in release builds. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sp_code {
    SP_OK = 0,
    SP_E_USAGE,       /* the caller of an external interface (flag, API) broke its contract */
    SP_E_PARSE,       /* bytes are not in the grammar */
    SP_E_INVALID,     /* grammar fine, meaning not */
    SP_E_NOT_FOUND,   /* no such thing */
    SP_E_CONFLICT,    /* exists already, or changed meanwhile */
    SP_E_LIMIT,       /* a configured bound was hit */
    SP_E_TIMEOUT,     /* gave up waiting */
    SP_E_CLOSED,      /* the peer went away in order */
    SP_E_IO,          /* the system said no; text carries errno's words */
    SP_E_TLS,         /* TLS or X.509 failure */
    SP_E_PROTO,       /* the peer broke the protocol */
    SP_E_UNAVAILABLE, /* try later or elsewhere */
};

/* A struct, so that the compiler refuses to mix it up with a count or a bool. */
typedef struct sp_result {
    enum sp_code code;
} sp_result;

#define SP_MUST __attribute__((warn_unused_result))
#define SP_PRINTF(f, a) __attribute__((format(printf, f, a)))

struct sp_error {
    enum sp_code code;
    char text[512]; /* NUL-terminated; never holds a secret */
};

static inline sp_result sp_ok(void)
{
    return (sp_result){SP_OK};
}

static inline bool sp_failed(sp_result r)
{
    return r.code != SP_OK;
}

/* Fills err (may be NULL) and returns the code as a result. */
sp_result sp_fail(struct sp_error *err, enum sp_code code, const char *fmt, ...) SP_PRINTF(3, 4);
/* As sp_fail with ": " and strerror(errnum) appended. */
sp_result sp_fail_errno(struct sp_error *err, int errnum, const char *fmt, ...) SP_PRINTF(3, 4);
/* Puts "where: " before the text of an error that is already filled; returns its code. */
sp_result sp_fail_in(struct sp_error *err, const char *fmt, ...) SP_PRINTF(2, 3);
/* A stable lower-case word for a code ("not_found"). */
const char *sp_code_name(enum sp_code code);

/* The only macro of the project that returns from the function it stands in. */
#define SP_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        sp_result sp_try_ = (expr);                                                                                    \
        if (sp_failed(sp_try_))                                                                                        \
            return sp_try_;                                                                                            \
    } while (0)
/* Runs fn(&var) when the variable leaves its scope. */
#define SP_AUTO(fn) __attribute__((cleanup(fn)))
/* Takes ownership out of a variable. */
#define SP_TAKE(ptr)                                                                                                   \
    ({                                                                                                                 \
        __typeof__(ptr) sp_take_ = (ptr);                                                                              \
        (ptr) = NULL;                                                                                                  \
        sp_take_;                                                                                                      \
    })

/* What a byte stream can say. */
enum sp_io { SP_IO_OK, SP_IO_AGAIN, SP_IO_EOF, SP_IO_ERROR };

/* Broken invariants end the process, in release builds too. Untrusted bytes must never decide one. */
_Noreturn void sp_panic(const char *file, int line, const char *what);
#define sp_assert(cond) ((cond) ? (void)0 : sp_panic(__FILE__, __LINE__, #cond))

/* Heap memory that cannot fail: out of memory ends the process. Bound every size that a peer can choose before calling.
 */
void *sp_alloc(size_t size);            /* zeroed */
void *sp_realloc(void *p, size_t size); /* not zeroed */
char *sp_strdup(const char *s);
