/* Command-line options and the environment, from one table: `--admin-listen ADDR`, `--admin-listen=ADDR`, and the same
 * as PREFIX_ADMIN_LISTEN (upper case, '-' written '_'). A flag wins over the environment, the environment over what the
 * destination held before. Help is made of the same table. Main thread, at start. */
#pragma once
#include "base/buf.h"

struct sp_option {
    const char *name; /* long name without "--" */
    char letter;      /* also "-x"; 0: none */
    const char *arg;  /* what it takes, for the help ("ADDR"); NULL: a switch */
    /* Reads a value into `to`. A switch without a value gets "on". The value stays valid and NUL-terminated. */
    sp_result (*set)(const struct sp_option *o, const char *value, struct sp_error *err);
    void *to;
    const char *help;  /* sentences; '\n' breaks the line; the help text wraps by itself */
    uint64_t min, max; /* of numbers; max 0: no bound but the type's */
    bool no_env;       /* only on the command line */
};

/* A value that may be given several times, or once with commas. The first one of a source drops what weaker sources
 * (default, environment) have said. */
enum { SP_OPTION_LIST_MAX = 32 };
struct sp_option_list {
    struct sp_str v[SP_OPTION_LIST_MAX];
    size_t num;
    int source; /* for the parser */
};

/* Ready setters; the comment says what `to` points at. */
sp_result sp_option_text(const struct sp_option *o, const char *value, struct sp_error *err);      /* const char * */
sp_result sp_option_switch(const struct sp_option *o, const char *value, struct sp_error *err);    /* bool */
sp_result sp_option_u32(const struct sp_option *o, const char *value, struct sp_error *err);       /* uint32_t */
sp_result sp_option_list(const struct sp_option *o, const char *value, struct sp_error *err);      /* sp_option_list */
sp_result sp_option_log_level(const struct sp_option *o, const char *value, struct sp_error *err); /* sp_log_level */

struct sp_option_table {
    const char *title; /* heading in the help; may be NULL */
    const struct sp_option *v;
    size_t num;
};

struct sp_options {
    const char *program;    /* "sallyport-control" */
    const char *env_prefix; /* "SALLYPORT_CONTROL"; NULL: no environment */
    const char *usage;      /* after "usage: "; several lines are fine */
    const char *about;      /* what the program is and a first example, before the options; may be NULL */
    const char *epilog;     /* after the options; may be NULL */
    const struct sp_option_table *tables;
    size_t num_tables;
    /* Stop at the first word that is no option (a subcommand); off: options may stand anywhere before "--". */
    bool stop_at_word;
    char *const *environ_or_null; /* for tests; NULL: the process's */
};

struct sp_options_seen {
    bool help, version; /* --help, -h, --version, -V: always known; the caller prints */
    int next;           /* index of the first word in argv that was not consumed (stop_at_word) */
    const char **words; /* what is no option, in order; points into argv; the array is sp_alloc'ed: free() it */
    size_t num_words;
};

/* Every destination is set, or SP_E_USAGE with the option and a hint in the text. After --help or --version nothing
 * more is judged. */
SP_MUST sp_result sp_options_parse(const struct sp_options *o, int argc, char **argv, struct sp_options_seen *seen,
                                   struct sp_error *err);
/* The help text; width of the terminal in columns, 0: 100. */
void sp_options_help(const struct sp_options *o, unsigned width, struct sp_buf *out);
/* The environment variable of an option, into out (NUL-terminated, cut where it does not fit). */
void sp_option_env_name(const struct sp_options *o, const struct sp_option *opt, char *out, size_t cap);
/* Levenshtein distance of two short words, for "did you mean"; above `max` any larger number. */
unsigned sp_word_distance(struct sp_str a, struct sp_str b, unsigned max);
