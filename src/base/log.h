/* The error log: one line is one event, on standard error or a file. Any thread.
 *
 *   2026-11-21T08:00:00.123Z warn config_rejected revision=12 message="..."
 *
 * `event` is a stable snake_case word that tests may wait for; the text may change. Nothing per request at info or
 * above: that is the access log's job. Never log a secret. */
#pragma once
#include "base/error.h"

enum sp_log_level { SP_DEBUG, SP_INFO, SP_NOTICE, SP_WARN, SP_ERROR };

extern enum sp_log_level sp_log_min; /* set once at start, before threads */

/* path NULL or "-": standard error. Reopened by sp_log_reopen (log rotation). */
SP_MUST sp_result sp_log_open(const char *path, enum sp_log_level min, struct sp_error *err);
void sp_log_reopen(void);
/* "debug", "info", "notice", "warn", "error". */
SP_MUST bool sp_log_level_parse(const char *word, enum sp_log_level *out);
/* fmt is the rest of the line: key=value pairs, text values in quotes by the caller's format ("reason=\"%s\""). Control
 * bytes in the expansion are written as \xNN, so a peer cannot forge a line. */
void sp_log_line(enum sp_log_level level, const char *event, const char *fmt, ...) SP_PRINTF(3, 4);
#define sp_log(level, event, ...)                                                                                      \
    do {                                                                                                               \
        if ((level) >= sp_log_min)                                                                                     \
            sp_log_line((level), (event), __VA_ARGS__);                                                                \
    } while (0)
