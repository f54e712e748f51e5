#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void sp_buf_fini(struct sp_buf *b)
{
    free(b->p);
    *b = (struct sp_buf){0};
}

void sp_buf_wipe(struct sp_buf *b)
{
    if (b->p)
        sp_wipe(b->p, b->cap);
    sp_buf_fini(b);
}

char *sp_buf_reserve(struct sp_buf *b, size_t n)
{
    if (b->off && (b->len == 0 || b->cap - b->off - b->len < n)) {
        if (b->len)
            memmove(b->p, b->p + b->off, b->len);
        b->off = 0;
    }
    if (b->cap - b->off - b->len < n) {
        size_t want = b->len + n;
        size_t cap = b->cap ? b->cap : 256;
        while (cap < want)
            cap *= 2;
        b->p = sp_realloc(b->p, cap);
        b->cap = cap;
    }
    return b->p + b->off + b->len;
}

void sp_buf_append(struct sp_buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    memcpy(sp_buf_reserve(b, n), p, n);
    b->len += n;
}

void sp_buf_printf(struct sp_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    sp_assert(n >= 0);
    char *at = sp_buf_reserve(b, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(at, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

void sp_buf_consume(struct sp_buf *b, size_t n)
{
    sp_assert(n <= b->len);
    b->off += n;
    b->len -= n;
    if (b->len == 0)
        b->off = 0;
}

static sp_result read_fd(struct sp_buf *b, int fd, const char *path, size_t max, struct sp_error *err)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uintmax_t)st.st_size > max)
        return sp_fail(err, SP_E_LIMIT, "%s: %jd bytes, more than the limit of %zu", path, (intmax_t)st.st_size, max);
    for (;;) {
        ssize_t n = read(fd, sp_buf_reserve(b, 65536), 65536);
        if (n == 0)
            return sp_ok();
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sp_fail_errno(err, errno, "cannot read %s", path);
        sp_buf_commit(b, (size_t)n);
        if (b->len > max)
            return sp_fail(err, SP_E_LIMIT, "%s: more than the limit of %zu bytes", path, max);
    }
}

sp_result sp_buf_read_file(struct sp_buf *b, const char *path, size_t max, struct sp_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sp_fail_errno(err, errno, "cannot open %s", path);
    sp_result r = read_fd(b, fd, path, max, err);
    close(fd);
    return r;
}

static sp_result write_all(int fd, struct sp_str bytes, const char *path, struct sp_error *err)
{
    while (bytes.len) {
        ssize_t n = write(fd, bytes.p, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sp_fail_errno(err, errno, "cannot write %s", path);
        bytes = sp_str_skip(bytes, (size_t)n);
    }
    if (fsync(fd) != 0)
        return sp_fail_errno(err, errno, "cannot sync %s", path);
    return sp_ok();
}

static void sync_folder_of(const char *path)
{
    char *copy = sp_strdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

sp_result sp_write_file(const char *path, struct sp_str bytes, unsigned mode, struct sp_error *err)
{
    struct sp_buf tmp = {0};
    sp_buf_printf(&tmp, "%s.XXXXXX", path);
    sp_buf_putc(&tmp, '\0');
    int fd = mkostemp(tmp.p, O_CLOEXEC);
    sp_result r = sp_ok();
    if (fd < 0) {
        r = sp_fail_errno(err, errno, "cannot create a file beside %s", path);
    } else {
        if (fchmod(fd, mode) != 0)
            r = sp_fail_errno(err, errno, "cannot set the mode of %s", tmp.p);
        else
            r = write_all(fd, bytes, tmp.p, err);
        close(fd);
        if (!sp_failed(r) && rename(tmp.p, path) != 0)
            r = sp_fail_errno(err, errno, "cannot rename %s to %s", tmp.p, path);
        if (sp_failed(r))
            unlink(tmp.p);
        else
            sync_folder_of(path);
    }
    sp_buf_fini(&tmp);
    return r;
}
