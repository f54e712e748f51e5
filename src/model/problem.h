/* Everything that is wrong with a piece of configuration, all of it at once, each with the place. Also warnings (lint).
 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

enum sp_severity { SP_PROBLEM_ERROR, SP_PROBLEM_WARNING };

struct sp_problem {
    struct sp_problem *next;
    enum sp_severity severity;
    const char *code;      /* stable snake_case word: "unknown_field", "invalid_reference", "ca_names_too_large" ... */
    struct sp_str file;    /* may be empty */
    unsigned line, column; /* 1-based; 0: not known */
    struct sp_str path;    /* "services[0].routes[1].paths[0]" */
    struct sp_str entity;  /* "routes/<name or id>"; may be empty */
    struct sp_str text;    /* for people: "unknown field 'hots', did you mean 'hosts'?" */
};

/* Of each severity so many are kept; those after them are only counted. */
enum { SP_PROBLEMS_MAX = 1000 };

struct sp_problems {
    struct sp_arena *arena; /* where the texts live */
    struct sp_problem *first, **last;
    size_t num_errors, num_warnings;
    struct sp_problem *spare; /* what sp_problems_add returns when it keeps nothing */
};
void sp_problems_init(struct sp_problems *p, struct sp_arena *a);
/* Never NULL, so that the caller can add the place. */
struct sp_problem *sp_problems_add(struct sp_problems *p, enum sp_severity severity, const char *code,
                                   struct sp_str path, const char *fmt, ...) SP_PRINTF(5, 6);
/* Adds what `from` has and `into` has not said yet of the same entity; texts stay where they are. */
void sp_problems_merge(struct sp_problems *into, const struct sp_problems *from);
/* In the order of the text, what has no place last: the checks go over it several times. */
void sp_problems_sort(struct sp_problems *p);
bool sp_problems_full(const struct sp_problems *p, enum sp_severity severity);
/* One line each: "file:line:column: error: path: text". */
void sp_problems_print(const struct sp_problems *p, struct sp_buf *out);
/* The first error as an sp_error ("... and 3 more"). */
sp_result sp_problems_result(const struct sp_problems *p, struct sp_error *err);
