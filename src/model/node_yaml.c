#include "model/model.h"
#include "model/node.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <yaml.h>

/* A list or map that is still open. Children collect in a chain of blocks, so that nothing is copied twice. */
struct open_node {
    struct sp_node *node;
    struct sp_node **v;
    size_t num, cap;
    bool is_map;
};

struct yaml_reader {
    struct sp_arena *a;
    struct sp_str file;
    struct sp_problems *problems;
    struct sp_map *anchors; /* of the current document */
    struct open_node stack[SP_NODE_MAX_DEPTH + 1];
    unsigned depth;
    struct sp_node *root;
    size_t num, expanded;
    struct sp_node **docs;
    size_t num_docs, cap_docs;
    bool failed;
};

static void fail_at(struct yaml_reader *r, const char *code, yaml_mark_t at, const char *text)
{
    if (r->failed)
        return;
    r->failed = true;
    struct sp_problem *p = sp_problems_add(r->problems, SP_PROBLEM_ERROR, code, SP_STR(""), "%s", text);
    p->file = r->file;
    p->line = (unsigned)at.line + 1;
    p->column = (unsigned)at.column + 1;
}

/* --- plain scalars, by the YAML 1.2 core schema: "yes" and "no" are words --- */

static bool is_word(struct sp_str s, const char *words)
{
    struct sp_str rest = sp_str_z(words);
    while (rest.p)
        if (sp_str_eq(sp_str_split(&rest, ' '), s))
            return true;
    return false;
}

static bool looks_numeric(struct sp_str s)
{
    bool digit = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c >= '0' && c <= '9')
            digit = true;
        else if (!((c == '-' || c == '+') && (i == 0 || s.p[i - 1] == 'e' || s.p[i - 1] == 'E')) && c != '.' &&
                 !((c == 'e' || c == 'E') && digit))
            return false;
    }
    return digit;
}

static bool read_based(struct sp_node *n)
{
    struct sp_str s = n->text;
    int base = sp_str_starts(s, SP_STR("0x")) ? 16 : sp_str_starts(s, SP_STR("0o")) ? 8 : 0;
    char *end = NULL;
    if (base == 0 || s.len < 3 || s.len > 18 || s.p[2] == '-' || s.p[2] == '+' || s.p[2] == ' ')
        return false;
    errno = 0;
    n->integer = strtoll(s.p + 2, &end, base);
    return errno == 0 && end == s.p + s.len;
}

static void resolve_plain(struct sp_node *n)
{
    char *end = NULL;
    if (n->text.len == 0 || is_word(n->text, "~ null Null NULL")) {
        n->type = SP_NODE_NULL;
    } else if (is_word(n->text, "true True TRUE false False FALSE")) {
        n->type = SP_NODE_BOOL;
        n->boolean = sp_lower((unsigned char)n->text.p[0]) == 't';
    } else if (read_based(n)) {
        n->type = SP_NODE_INTEGER;
        n->number = (double)n->integer;
    } else if (looks_numeric(n->text)) {
        errno = 0;
        n->integer = strtoll(n->text.p, &end, 10);
        n->type = SP_NODE_INTEGER;
        if (errno || *end) {
            n->number = strtod(n->text.p, &end);
            n->type = *end || !isfinite(n->number) ? SP_NODE_STRING : SP_NODE_NUMBER;
        } else {
            n->number = (double)n->integer;
        }
    }
}

/* --- the tree --- */

static struct sp_node *new_node(struct yaml_reader *r, enum sp_node_type type, yaml_mark_t at)
{
    if (++r->num > SP_NODE_MAX)
        fail_at(r, "limit", at, "too many values");
    struct sp_node *n = SP_NEW(r->a, struct sp_node);
    n->type = type;
    n->line = (unsigned)at.line + 1;
    n->column = (unsigned)at.column + 1;
    n->weight = 1;
    return n;
}

static void place(struct yaml_reader *r, struct sp_node *n, yaml_mark_t at)
{
    if (r->depth == 0) {
        r->root = n;
        return;
    }
    struct open_node *o = &r->stack[r->depth - 1];
    if (o->is_map && o->num % 2 == 0 && n->type >= SP_NODE_LIST)
        fail_at(r, "syntax", at, "a key must be a word");
    if (o->num == o->cap) {
        size_t cap = o->cap ? o->cap * 2 : 8;
        struct sp_node **v = SP_NEW_N(r->a, struct sp_node *, cap);
        if (o->num)
            memcpy(v, o->v, o->num * sizeof *v);
        o->v = v;
        o->cap = cap;
    }
    o->v[o->num++] = n;
}

static void anchor(struct yaml_reader *r, const yaml_char_t *name, struct sp_node *n)
{
    if (!name)
        return;
    struct sp_str key = sp_arena_dup(r->a, sp_str_z((const char *)name));
    struct sp_node **slot = sp_map_get(r->anchors, key);
    if (!slot) {
        slot = SP_NEW(r->a, struct sp_node *);
        sp_map_put(r->anchors, key, slot);
    }
    *slot = n; /* YAML lets a later anchor take over the name */
}

static void on_alias(struct yaml_reader *r, const yaml_event_t *e)
{
    struct sp_node **slot = sp_map_get(r->anchors, sp_str_z((const char *)e->data.alias.anchor));
    if (!slot) {
        fail_at(r, "syntax", e->start_mark, "an alias of something that was not there before");
        return;
    }
    for (unsigned i = 0; i < r->depth; i++)
        if (r->stack[i].node == *slot) {
            fail_at(r, "syntax", e->start_mark, "an alias of what it stands in");
            return;
        }
    r->expanded += (*slot)->weight;
    if (r->expanded > 16 * r->num + SP_NODE_ALIAS_SLACK) {
        fail_at(r, "limit", e->start_mark, "aliases multiply this file beyond all measure");
        return;
    }
    place(r, *slot, e->start_mark);
}

static void on_scalar(struct yaml_reader *r, const yaml_event_t *e)
{
    struct sp_node *n = new_node(r, SP_NODE_STRING, e->start_mark);
    n->text = sp_arena_dup(r->a, sp_str(e->data.scalar.value, e->data.scalar.length));
    if (n->text.len && memchr(n->text.p, 0, n->text.len))
        fail_at(r, "syntax", e->start_mark, "a NUL byte");
    else if (e->data.scalar.plain_implicit)
        resolve_plain(n);
    anchor(r, e->data.scalar.anchor, n);
    place(r, n, e->start_mark);
}

static void on_start(struct yaml_reader *r, const yaml_event_t *e, bool is_map)
{
    if (r->depth >= SP_NODE_MAX_DEPTH) {
        fail_at(r, "limit", e->start_mark, "nested too deep");
        return;
    }
    struct sp_node *n = new_node(r, is_map ? SP_NODE_MAP : SP_NODE_LIST, e->start_mark);
    place(r, n, e->start_mark);
    anchor(r, is_map ? e->data.mapping_start.anchor : e->data.sequence_start.anchor, n);
    r->stack[r->depth++] = (struct open_node){.node = n, .is_map = is_map};
}

/* "<<": the pairs of another map, or of several, that are not written here. */
static void merge_pairs(struct yaml_reader *r, struct sp_node *n, const struct sp_node *from, yaml_mark_t at)
{
    if (from->type == SP_NODE_LIST) {
        for (size_t i = 0; i < from->num; i++)
            if (from->items[i]->type == SP_NODE_MAP)
                merge_pairs(r, n, from->items[i], at);
        return;
    }
    if (from->type != SP_NODE_MAP) {
        fail_at(r, "syntax", at, "'<<' takes a map");
        return;
    }
    struct sp_node **v = SP_NEW_N(r->a, struct sp_node *, 2 * (n->num + from->num));
    memcpy(v, n->items, 2 * n->num * sizeof *v);
    size_t num = n->num;
    for (size_t i = 0; i < from->num; i++)
        if (!sp_node_get(n, from->items[2 * i]->text)) {
            v[2 * num] = from->items[2 * i];
            v[2 * num++ + 1] = from->items[2 * i + 1];
        }
    n->items = v;
    n->num = num;
}

static void merge(struct yaml_reader *r, struct sp_node *n, yaml_mark_t at)
{
    for (size_t i = 0; i < n->num; i++) {
        if (!sp_str_eq(n->items[2 * i]->text, SP_STR("<<")))
            continue;
        struct sp_node *from = n->items[2 * i + 1];
        memmove(n->items + 2 * i, n->items + 2 * i + 2, 2 * (n->num - i - 1) * sizeof *n->items);
        n->num--;
        merge_pairs(r, n, from, at);
        return;
    }
}

static void on_end(struct yaml_reader *r, const yaml_event_t *e)
{
    struct open_node *o = &r->stack[--r->depth];
    struct sp_node *n = o->node;
    n->items = o->v;
    n->num = o->is_map ? o->num / 2 : o->num;
    for (size_t i = 0; i < o->num; i++)
        n->weight += o->v[i]->weight;
    if (o->is_map)
        merge(r, n, e->start_mark);
}

static void on_document_end(struct yaml_reader *r)
{
    if (r->num_docs == r->cap_docs) {
        size_t cap = r->cap_docs ? r->cap_docs * 2 : 4;
        struct sp_node **v = SP_NEW_N(r->a, struct sp_node *, cap);
        if (r->num_docs)
            memcpy(v, r->docs, r->num_docs * sizeof *v);
        r->docs = v;
        r->cap_docs = cap;
    }
    r->docs[r->num_docs++] = r->root;
}

static void on_event(struct yaml_reader *r, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        r->anchors = sp_map_new(r->a, 8);
        r->root = NULL;
        break;
    case YAML_DOCUMENT_END_EVENT:
        on_document_end(r);
        break;
    case YAML_ALIAS_EVENT:
        on_alias(r, e);
        break;
    case YAML_SCALAR_EVENT:
        on_scalar(r, e);
        break;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        on_start(r, e, e->type == YAML_MAPPING_START_EVENT);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_end(r, e);
        break;
    default:
        break;
    }
}

static bool check_bytes(struct yaml_reader *r, struct sp_str text)
{
    if (text.len > SP_MODEL_MAX_FILE) {
        fail_at(r, "limit", (yaml_mark_t){0}, "the file is too large");
        return false;
    }
    size_t bad = sp_utf8_check(text);
    if (bad == text.len)
        return true;
    yaml_mark_t at = {0};
    for (size_t i = 0; i < bad; i++) {
        at.column = text.p[i] == '\n' ? 0 : at.column + (((unsigned char)text.p[i] & 0xc0) != 0x80);
        at.line += text.p[i] == '\n';
    }
    fail_at(r, "syntax", at, text.p[bad] ? "not UTF-8" : "a NUL byte");
    return false;
}

bool sp_nodes_read_yaml(struct sp_arena *a, struct sp_str text, struct sp_str file, struct sp_node ***docs, size_t *num,
                        struct sp_problems *problems)
{
    struct yaml_reader r = {.a = a, .file = file, .problems = problems};
    yaml_parser_t parser;
    *num = 0;
    if (!check_bytes(&r, text))
        return false;
    sp_assert(yaml_parser_initialize(&parser));
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.p ? text.p : ""), text.len);
    for (bool end = false; !end && !r.failed;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&parser, &e)) {
            fail_at(&r, "syntax", parser.problem_mark, parser.problem ? parser.problem : "not YAML");
            break;
        }
        end = e.type == YAML_STREAM_END_EVENT;
        on_event(&r, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    if (r.failed)
        return false;
    *docs = r.docs;
    *num = r.num_docs;
    return true;
}
