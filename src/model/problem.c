#include "model/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void sp_problems_init(struct sp_problems *p, struct sp_arena *a)
{
    *p = (struct sp_problems){.arena = a};
    p->last = &p->first;
}

bool sp_problems_full(const struct sp_problems *p, enum sp_severity severity)
{
    return (severity == SP_PROBLEM_ERROR ? p->num_errors : p->num_warnings) >= SP_PROBLEMS_MAX;
}

/* A hostile file may have a million errors: nobody reads them, and each costs memory. */
static struct sp_problem *only_count(struct sp_problems *p, enum sp_severity severity)
{
    if (severity == SP_PROBLEM_ERROR)
        p->num_errors++;
    else
        p->num_warnings++;
    if (!p->spare)
        p->spare = SP_NEW(p->arena, struct sp_problem);
    return p->spare;
}

struct sp_problem *sp_problems_add(struct sp_problems *p, enum sp_severity severity, const char *code,
                                   struct sp_str path, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    if (sp_problems_full(p, severity))
        return only_count(p, severity);
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sp_assert(n >= 0);
    struct sp_problem *one = SP_NEW(p->arena, struct sp_problem);
    one->severity = severity;
    one->code = code;
    one->path = sp_arena_dup(p->arena, path);
    one->text = sp_arena_dup(p->arena, sp_str(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
    *p->last = one;
    p->last = &one->next;
    if (severity == SP_PROBLEM_ERROR)
        p->num_errors++;
    else
        p->num_warnings++;
    return one;
}

static bool is_said(const struct sp_problems *p, const struct sp_problem *one)
{
    for (const struct sp_problem *q = p->first; q; q = q->next)
        if (strcmp(q->code, one->code) == 0 && sp_str_eq(q->entity, one->entity) && sp_str_eq(q->text, one->text))
            return true;
    return false;
}

void sp_problems_merge(struct sp_problems *into, const struct sp_problems *from)
{
    for (const struct sp_problem *p = from->first; p; p = p->next) {
        if (is_said(into, p))
            continue;
        struct sp_problem *copy = sp_problems_add(into, p->severity, p->code, SP_STR(""), "%s", "");
        struct sp_problem *next = copy->next;
        *copy = *p;
        copy->next = next;
    }
}

struct placed {
    struct sp_problem *problem;
    size_t at;
};

static int by_place(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    unsigned k = x->problem->line - 1, l = y->problem->line - 1; /* none becomes the largest */
    if (k != l)
        return k < l ? -1 : 1;
    if (x->problem->column != y->problem->column)
        return x->problem->column < y->problem->column ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

void sp_problems_sort(struct sp_problems *p)
{
    size_t num = 0, i = 0;
    for (const struct sp_problem *one = p->first; one; one = one->next)
        num++;
    struct placed *v = sp_alloc((num + 1) * sizeof *v);
    for (struct sp_problem *one = p->first; one; one = one->next, i++)
        v[i] = (struct placed){one, i};
    qsort(v, num, sizeof *v, by_place);
    p->last = &p->first;
    for (i = 0; i < num; i++) {
        *p->last = v[i].problem;
        p->last = &v[i].problem->next;
    }
    *p->last = NULL;
    free(v);
}

static void print_one(const struct sp_problem *one, struct sp_buf *out)
{
    if (one->file.len)
        sp_buf_printf(out, "%.*s:", SP_FMT(one->file));
    if (one->line)
        sp_buf_printf(out, "%u:%u:", one->line, one->column);
    if (one->file.len || one->line)
        sp_buf_putc(out, ' ');
    sp_buf_printf(out, "%s: ", one->severity == SP_PROBLEM_ERROR ? "error" : "warning");
    if (!one->line && one->entity.len && !sp_str_starts(one->path, one->entity))
        sp_buf_printf(out, "%.*s: ", SP_FMT(one->entity));
    if (one->path.len)
        sp_buf_printf(out, "%.*s: ", SP_FMT(one->path));
    sp_buf_printf(out, "%.*s", SP_FMT(one->text));
}

void sp_problems_print(const struct sp_problems *p, struct sp_buf *out)
{
    for (const struct sp_problem *one = p->first; one; one = one->next) {
        print_one(one, out);
        sp_buf_putc(out, '\n');
    }
    if (p->num_errors > SP_PROBLEMS_MAX)
        sp_buf_printf(out, "... and %zu more errors\n", p->num_errors - SP_PROBLEMS_MAX);
    if (p->num_warnings > SP_PROBLEMS_MAX)
        sp_buf_printf(out, "... and %zu more warnings\n", p->num_warnings - SP_PROBLEMS_MAX);
}

sp_result sp_problems_result(const struct sp_problems *p, struct sp_error *err)
{
    const struct sp_problem *one = p->first;
    while (one && one->severity != SP_PROBLEM_ERROR)
        one = one->next;
    if (!one)
        return sp_ok();
    struct sp_buf SP_AUTO(sp_buf_fini) text = {0};
    print_one(one, &text);
    if (p->num_errors > 1)
        sp_buf_printf(&text, " (and %zu more)", p->num_errors - 1);
    return sp_fail(err, SP_E_INVALID, "%.*s", SP_FMT(sp_buf_str(&text)));
}
