#include "control/cli/variables.h"
#include <errno.h>
#include <stdlib.h>

static const struct sp_str opening = {"${{", 3}, closing = {"}}", 2};

struct expansion {
    struct sp_str text, file;
    size_t at; /* of the opening that is looked at */
    struct sp_buf *out;
    struct sp_problems *problems;
};

static void say(struct expansion *e, const char *what, struct sp_str name)
{
    struct sp_problem *p = sp_problems_add(e->problems, SP_PROBLEM_ERROR, "variable", SP_STR(""), "%s%s%.*s", what,
                                           name.len ? ": " : "", SP_FMT(name));
    p->file = e->file;
    p->line = p->column = 1;
    for (size_t i = 0; i < e->at; i++) {
        p->column = e->text.p[i] == '\n' ? 1 : p->column + ((e->text.p[i] & 0xc0) != 0x80);
        p->line += e->text.p[i] == '\n';
    }
}

static struct sp_str find(struct sp_str in, struct sp_str what) /* what follows begins with it; p NULL: not there */
{
    const char *p = in.len ? memmem(in.p, in.len, what.p, what.len) : NULL;
    return p ? sp_str(p, in.len - (size_t)(p - in.p)) : (struct sp_str){0};
}

/* --- filters --- */

static bool is_number(const char *z, bool whole)
{
    char *end;
    errno = 0;
    if (whole)
        (void)strtoll(z, &end, 10);
    else
        (void)strtod(z, &end);
    return end != z && !*end && !errno;
}

/* A value that is not of the type that the file says is an error here, before it becomes another type there. */
static const char *check_type(struct sp_str filter, const char *value)
{
    static const char *const booleans[] = {"true", "false", "1",    "0",     "t",    "f",
                                           "T",    "F",     "TRUE", "FALSE", "True", "False"};
    if (sp_str_eq(filter, SP_STR("toInt")))
        return is_number(value, true) ? NULL : "not an integer";
    if (sp_str_eq(filter, SP_STR("toFloat")))
        return is_number(value, false) ? NULL : "not a number";
    for (size_t i = 0; i < sizeof booleans / sizeof *booleans; i++)
        if (strcmp(booleans[i], value) == 0)
            return NULL;
    return "not a boolean";
}

static void put_indented(struct sp_buf *out, struct sp_str value, size_t blanks)
{
    while (value.p) {
        struct sp_str line = sp_str_split(&value, '\n');
        sp_buf_add(out, line);
        if (value.p)
            sp_buf_printf(out, "\n%*s", (int)blanks, "");
    }
}

static bool one_line(const char *value)
{
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return true;
}

static const char *put_filtered(struct expansion *e, const char *value, struct sp_str filter)
{
    enum { MAX_INDENT = 64 };
    struct sp_str number = filter, word = sp_str_split(&number, ' ');
    uint64_t blanks;
    if (sp_str_eq(word, SP_STR("indent"))) {
        if (!sp_str_to_u64(sp_str_trim(number), &blanks) || blanks > MAX_INDENT)
            return "indent wants a number up to 64";
        put_indented(e->out, sp_str_z(value), (size_t)blanks);
        return NULL;
    }
    if (!sp_str_eq(filter, SP_STR("toInt")) && !sp_str_eq(filter, SP_STR("toFloat")) &&
        !sp_str_eq(filter, SP_STR("toBool")))
        return "known filters are toInt, toFloat, toBool and indent N";
    const char *why = check_type(filter, value);
    if (why)
        return why;
    bool boolean = sp_str_eq(filter, SP_STR("toBool"));
    sp_buf_add(e->out, boolean ? strchr("tT1", *value) ? SP_STR("true") : SP_STR("false") : sp_str_z(value));
    return NULL;
}

/* --- one of them --- */

/* Between the braces: env "DECK_NAME", and what may follow. */
static void put_one(struct expansion *e, struct sp_str inner)
{
    struct sp_str rest = sp_str_trim(inner), word = sp_str_split(&rest, '"');
    struct sp_str name = rest.p ? sp_str_split(&rest, '"') : rest;
    struct sp_str filter = rest.p ? sp_str_trim(rest) : rest;
    char z[256];
    if (!sp_str_eq(sp_str_trim(word), SP_STR("env")) || !rest.p || name.len >= sizeof z) {
        say(e, "write ${{ env \"DECK_NAME\" }}", SP_STR(""));
        return;
    }
    if (filter.len && filter.p[0] != '|') {
        say(e, "only a filter may follow: ${{ env \"DECK_NAME\" | toInt }}", name);
        return;
    }
    memcpy(z, name.p, name.len);
    z[name.len] = '\0';
    if (!sp_str_starts(name, SP_STR("DECK_"))) {
        say(e, "variables in a file begin with DECK_", name);
        return;
    }
    const char *value = getenv(z);
    const char *why = !value            ? "the environment variable is not set"
                      : filter.len      ? put_filtered(e, value, sp_str_trim(sp_str_skip(filter, 1)))
                      : one_line(value) ? NULL
                                        : "the value has several lines: put | indent N behind the name";
    if (why)
        say(e, why, name);
    else if (!filter.len)
        sp_buf_add(e->out, sp_str_z(value));
}

bool cp_expand_variables(struct sp_str text, struct sp_str file, struct sp_buf *out, struct sp_problems *problems)
{
    struct expansion e = {.text = text, .file = file, .out = out, .problems = problems};
    size_t errors = problems->num_errors;
    struct sp_str rest = text;
    for (struct sp_str from = find(rest, opening); from.p; from = find(rest, opening)) {
        struct sp_str inner = sp_str_skip(from, opening.len), end = find(inner, closing);
        e.at = (size_t)(from.p - text.p);
        sp_buf_add(out, sp_str(rest.p, (size_t)(from.p - rest.p)));
        if (!end.p) {
            say(&e, "no }} follows", SP_STR(""));
            rest = inner;
            break;
        }
        inner.len = (size_t)(end.p - inner.p);
        put_one(&e, inner);
        rest = sp_str_skip(end, closing.len);
    }
    sp_buf_add(out, rest);
    return problems->num_errors == errors;
}
