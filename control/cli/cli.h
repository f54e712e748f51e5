/* sallyctl: what its commands share. One file per command; a command is a row of cp_commands. One thread. */
#pragma once
#include "base/options.h"
#include "http/client.h"
#include "model/compile.h"
#include "model/node.h"
#include <stdio.h>

/* Stable: scripts may branch on them. */
enum {
    CP_EXIT_OK = 0,
    CP_EXIT_FAILED = 1,      /* refused, invalid, or something broke */
    CP_EXIT_USAGE = 2,       /* the command line makes no sense */
    CP_EXIT_UNREACHABLE = 3, /* no control plane at --url */
    CP_EXIT_DIFFERENT = 4,   /* diff: there are differences */
    CP_EXIT_NODE = 5,        /* apply --wait: a data plane refused, or did not answer in time */
};

enum cp_output { CP_TABLE, CP_JSON, CP_YAML };

struct cp_cli {
    const char *url;
    enum cp_output output;
    const char *color; /* auto, always, never */
    bool colored;      /* decided */
    bool live;         /* progress may be redrawn: standard error is a terminal */
    FILE *out, *err;
    struct sp_arena *arena; /* for the one command that runs */
    struct sp_http_client *client;
};

struct cp_command {
    const char *name; /* one word, or two: "explain handshake" */
    const char *usage;
    const char *summary; /* a line for the list */
    const char *about;
    struct sp_option_table options;
    void *settings; /* what the options write to: cleared before they are read */
    size_t settings_size;
    int (*run)(struct cp_cli *cli, const char **words, size_t num); /* exit code */
};
extern const struct cp_command *const cp_commands[]; /* NULL at the end */

/* The program without its process: for tests. */
int cp_cli_main(int argc, char **argv, FILE *out, FILE *err);

/* --- saying things */
int cp_fail(struct cp_cli *cli, const struct sp_error *err); /* prints; gives the exit code */
int cp_usage(struct cp_cli *cli, const char *command, const char *fmt, ...) SP_PRINTF(3, 4);
enum cp_color { CP_PLAIN, CP_RED, CP_GREEN, CP_YELLOW, CP_BOLD, CP_DIM };
const char *cp_color(const struct cp_cli *cli, enum cp_color c); /* "" when there is no colour */
/* Bytes from elsewhere: controls become \xNN, so that nobody's name drives the terminal. In the arena. */
struct sp_str cp_clean(struct cp_cli *cli, struct sp_str s);
/* Rows of cells under a heading, columns as wide as they need; cells are cleaned. */
struct cp_grid;
struct cp_grid *cp_grid_new(struct cp_cli *cli, const char *const *headings, size_t columns);
void cp_grid_row(struct cp_grid *g, const struct sp_str *cells);
void cp_grid_print(struct cp_grid *g);
/* A JSON tree as block-style YAML. */
void cp_write_yaml(const struct sp_node *n, struct sp_buf *out);
/* An answer as -o json or -o yaml wants it; false: a table is wanted. */
bool cp_print_tree(struct cp_cli *cli, const struct sp_node *tree);
/* The same for what this program says itself. */
bool cp_print_json(struct cp_cli *cli, struct sp_str json);

/* --- asking the control plane */
struct cp_answer {
    unsigned status;
    struct sp_str body;
    const struct sp_node *json; /* NULL: the body is no JSON */
};
/* Path with query, encoded. false: printed already, *exit_code says what to end with. */
bool cp_ask(struct cp_cli *cli, const char *method, struct sp_str path, const char *type, struct sp_str body,
            struct cp_answer *out, int *exit_code);
/* As cp_ask with GET, and every status but 200 is told to the user too. */
bool cp_get(struct cp_cli *cli, struct sp_str path, struct cp_answer *out, int *exit_code);
/* Tells the message of a refusal; gives the exit code. */
int cp_refused(struct cp_cli *cli, const struct cp_answer *a);

/* --- reading answers: absent, null and another type are empty, zero, false */
struct sp_str cp_text(const struct sp_node *map, const char *key);
int64_t cp_int(const struct sp_node *map, const char *key);
bool cp_bool(const struct sp_node *map, const char *key);
const struct sp_node *cp_list(const struct sp_node *map, const char *key);  /* never NULL: an empty list otherwise */
const struct sp_node *cp_read_json(struct cp_cli *cli, struct sp_str json); /* of our own making; copied */

/* --- files */
/* "-" is standard input. Bounded by SP_MODEL_MAX_FILE. */
SP_MUST sp_result cp_read_input(const char *path, struct sp_buf *out, struct sp_error *err);
/* -f. Not the last one wins: what only the others hold would be deleted. */
sp_result cp_file_option(const struct sp_option *o, const char *value, struct sp_error *err);
/* Reads a declarative file and checks it here; problems are printed with their places. false: *exit_code. text is what
 * may be sent: variables and file:// references are put in. */
struct cp_file {
    struct sp_buf text;
    struct sp_model *model;
};
bool cp_load_file(struct cp_cli *cli, const char *path, struct cp_file *out, int *exit_code);
/* The same, as a data plane would run it. */
bool cp_compile_file(struct cp_cli *cli, const char *path, struct sp_resources **out, int *exit_code);
