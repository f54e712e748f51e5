#include "model/expand.h"
#include "base/json.h"
#include "model/node.h"
#include <stdlib.h>

enum { MAX_PEM_FILE = 16 << 20 /* a CRL may be that large */, MAX_REFERENCES = 100000 };

struct reference {
    const struct sp_node *node;
    size_t at, len; /* in the text, with quotes */
};

struct expansion {
    struct sp_arena *arena;
    struct sp_str text, file;
    struct sp_problems *problems;
    struct reference *v;
    size_t num, cap;
};

static const struct sp_str scheme = {"file://", 7};

static void add_problem(struct expansion *e, const struct sp_node *n, const char *text)
{
    struct sp_problem *p =
        sp_problems_add(e->problems, SP_PROBLEM_ERROR, "file_reference", SP_STR(""), "%.*s: %s", SP_FMT(n->text), text);
    p->file = e->file;
    p->line = n->line;
    p->column = n->column;
}

/* Where line and column (in characters, from 1) stand in the text. */
static size_t offset_of(const struct expansion *e, unsigned line, unsigned column)
{
    size_t at = 0;
    for (unsigned l = 1; l < line && at < e->text.len; at++)
        l += e->text.p[at] == '\n';
    for (unsigned c = 1; c < column && at < e->text.len; c++) {
        at++;
        while (at < e->text.len && ((unsigned char)e->text.p[at] & 0xc0) == 0x80)
            at++;
    }
    return at;
}

static void found(struct expansion *e, const struct sp_node *n)
{
    size_t at = offset_of(e, n->line, n->column), len = n->text.len;
    struct sp_str raw = sp_str_skip(e->text, at);
    if (e->num == MAX_REFERENCES)
        return;
    if (raw.len && (raw.p[0] == '"' || raw.p[0] == '\'')) {
        raw = sp_str_skip(raw, 1);
        len += 2;
    }
    if (!sp_str_starts(raw, n->text)) {
        add_problem(e, n, "write the reference as a plain string on one line");
        return;
    }
    if (e->num == e->cap) {
        e->cap = e->cap ? e->cap * 2 : 16;
        e->v = sp_realloc(e->v, sizeof *e->v * e->cap);
    }
    e->v[e->num++] = (struct reference){n, at, len};
}

static bool holds_pem(struct sp_str key)
{
    static const char *const keys[] = {"cert", "key", "cert_alt", "key_alt"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (sp_str_eq(key, sp_str_z(keys[i])))
            return true;
    return false;
}

static bool is_reference(const struct sp_node *n)
{
    return n->type == SP_NODE_STRING && sp_str_starts(n->text, scheme);
}

/* A list of references, or of anything else. */
static void find_in_list(struct expansion *e, const struct sp_node *n)
{
    for (size_t i = 0; i < n->num; i++)
        if (is_reference(n->items[i]))
            found(e, n->items[i]);
}

static void walk(struct expansion *e, const struct sp_node *n)
{
    if (n->type == SP_NODE_LIST) {
        for (size_t i = 0; i < n->num; i++)
            walk(e, n->items[i]);
    } else if (n->type == SP_NODE_MAP) {
        for (size_t i = 0; i < n->num; i++) {
            const struct sp_node *value = n->items[2 * i + 1];
            struct sp_str key = n->items[2 * i]->text;
            if (is_reference(value) && holds_pem(key))
                found(e, value);
            else if (value->type == SP_NODE_LIST && sp_str_eq(key, SP_STR("crls")))
                find_in_list(e, value);
            else
                walk(e, value);
        }
    }
}

static int by_place(const void *x, const void *y)
{
    const struct reference *a = x, *b = y;
    return (a->at > b->at) - (a->at < b->at);
}

static const char *path_of(const struct expansion *e, const struct sp_node *n)
{
    struct sp_str path = sp_str_skip(n->text, scheme.len);
    const char *slash = e->file.len ? memrchr(e->file.p, '/', e->file.len) : NULL;
    if (path.len && path.p[0] != '/' && slash)
        return sp_arena_printf(e->arena, "%.*s/%.*s", (int)(slash - e->file.p), e->file.p, SP_FMT(path)).p;
    return sp_arena_dup(e->arena, path).p;
}

static void put_file(struct expansion *e, const struct reference *r, struct sp_buf *out)
{
    const struct sp_node *n = r->node;
    struct sp_buf content = {0};
    struct sp_error err;
    if (sp_failed(sp_buf_read_file(&content, path_of(e, n), MAX_PEM_FILE, &err))) {
        add_problem(e, n, err.text);
        sp_buf_add(out, sp_str(e->text.p + r->at, r->len));
    } else {
        struct sp_json j = sp_json(out); /* a JSON string is a YAML scalar on one line */
        sp_json_str(&j, sp_buf_str(&content));
    }
    sp_buf_wipe(&content);
}

bool sp_model_expand_files(struct sp_arena *a, struct sp_str text, struct sp_str file, struct sp_buf *out,
                           struct sp_problems *problems)
{
    struct expansion e = {.arena = a, .text = text, .file = file, .problems = problems};
    struct sp_problems ignored;
    struct sp_node **docs;
    size_t num, at = 0, errors = problems->num_errors;
    sp_problems_init(&ignored, a);
    if (memmem(text.p, text.len, scheme.p, scheme.len) && sp_nodes_read_yaml(a, text, file, &docs, &num, &ignored))
        for (size_t i = 0; i < num; i++)
            walk(&e, docs[i]);
    if (e.num)
        qsort(e.v, e.num, sizeof *e.v, by_place);
    for (size_t i = 0; i < e.num; i++) {
        if (e.v[i].at < at)
            continue; /* an alias leads here a second time */
        sp_buf_add(out, sp_str(text.p + at, e.v[i].at - at));
        put_file(&e, &e.v[i], out);
        at = e.v[i].at + e.v[i].len;
    }
    sp_buf_add(out, sp_str_skip(text, at));
    free(e.v);
    return problems->num_errors == errors;
}
