#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINE = 8192 };

enum sp_log_level sp_log_min = SP_INFO;

static int log_fd = STDERR_FILENO;
static char *log_path;

static const char *const level_names[] = {"debug", "info", "notice", "warn", "error"};

static int open_log(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

sp_result sp_log_open(const char *path, enum sp_log_level min, struct sp_error *err)
{
    sp_log_min = min;
    if (!path || strcmp(path, "-") == 0)
        return sp_ok();
    int fd = open_log(path);
    if (fd < 0)
        return sp_fail_errno(err, errno, "cannot open log %s", path);
    free(log_path);
    log_path = sp_strdup(path);
    log_fd = fd;
    return sp_ok();
}

void sp_log_reopen(void)
{
    if (!log_path)
        return;
    int fd = open_log(log_path);
    if (fd < 0)
        return;
    dup3(fd, log_fd,
         O_CLOEXEC); /* same number: a line that is being written elsewhere goes to the old or the new file */
    close(fd);
}

bool sp_log_level_parse(const char *word, enum sp_log_level *out)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (strcmp(word, level_names[i]) == 0) {
            *out = (enum sp_log_level)i;
            return true;
        }
    return false;
}

static size_t put_time(char *out, size_t cap)
{
    struct timespec ts;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(out, cap, "%Y-%m-%dT%H:%M:%S", &tm);
    return n + (size_t)snprintf(out + n, cap - n, ".%03ldZ", ts.tv_nsec / 1000000);
}

static size_t put_escaped(char *out, size_t cap, const char *text)
{
    size_t n = 0;
    for (; *text && n + 5 < cap; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            n += (size_t)snprintf(out + n, cap - n, "\\x%02x", c);
        else
            out[n++] = (char)c;
    }
    return n;
}

void sp_log_line(enum sp_log_level level, const char *event, const char *fmt, ...)
{
    char text[MAX_LINE / 2], line[MAX_LINE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t n = put_time(line, sizeof line);
    n += (size_t)snprintf(line + n, sizeof line - n, " %s %s ", level_names[level], event);
    n += put_escaped(line + n, sizeof line - n - 1, text);
    line[n++] = '\n';
    ssize_t done = write(log_fd, line, n); /* one write: lines of several threads do not mix */
    (void)done;                            /* nobody is left to tell */
}
