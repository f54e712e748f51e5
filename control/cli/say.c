#include "base/json.h"
#include "control/cli/cli.h"
#include <stdarg.h>
#include <string.h>

int cp_fail(struct cp_cli *cli, const struct sp_error *err)
{
    fprintf(cli->err, "%ssallyctl: %s%s\n", cp_color(cli, CP_RED), err->text, cp_color(cli, CP_PLAIN));
    return err->code == SP_E_USAGE ? CP_EXIT_USAGE : CP_EXIT_FAILED;
}

int cp_usage(struct cp_cli *cli, const char *command, const char *fmt, ...)
{
    va_list ap;
    fprintf(cli->err, "sallyctl: ");
    va_start(ap, fmt);
    vfprintf(cli->err, fmt, ap);
    va_end(ap);
    fprintf(cli->err, "\n'sallyctl help %s' tells more\n", command);
    return CP_EXIT_USAGE;
}

const char *cp_color(const struct cp_cli *cli, enum cp_color c)
{
    static const char *const codes[] = {"\033[0m", "\033[31m", "\033[32m", "\033[33m", "\033[1m", "\033[2m"};
    return cli->colored ? codes[c] : "";
}

struct sp_str cp_clean(struct cp_cli *cli, struct sp_str s)
{
    char *out = sp_arena_alloc(cli->arena, s.len * 4 + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == 0x7f)
            n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
        else
            out[n++] = (char)c;
    }
    return sp_str(out, n);
}

/* --- tables */

struct cp_grid {
    struct cp_cli *cli;
    size_t columns, num, cap;
    struct sp_str *cells;
};

struct cp_grid *cp_grid_new(struct cp_cli *cli, const char *const *headings, size_t columns)
{
    struct cp_grid *g = SP_NEW(cli->arena, struct cp_grid);
    struct sp_str *cells = SP_NEW_N(cli->arena, struct sp_str, columns);
    g->cli = cli;
    g->columns = columns;
    for (size_t i = 0; i < columns; i++)
        cells[i] = sp_str_z(headings[i]);
    cp_grid_row(g, cells);
    return g;
}

void cp_grid_row(struct cp_grid *g, const struct sp_str *cells)
{
    if (g->num == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 32;
        struct sp_str *grown = SP_NEW_N(g->cli->arena, struct sp_str, cap * g->columns);
        if (g->num)
            memcpy(grown, g->cells, sizeof *grown * g->num * g->columns);
        g->cells = grown;
        g->cap = cap;
    }
    for (size_t i = 0; i < g->columns; i++)
        g->cells[g->num * g->columns + i] = cp_clean(g->cli, cells[i].len ? cells[i] : SP_STR("-"));
    g->num++;
}

static size_t width_of(struct sp_str s) /* characters, not bytes */
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

void cp_grid_print(struct cp_grid *g)
{
    FILE *out = g->cli->out;
    size_t *widths = SP_NEW_N(g->cli->arena, size_t, g->columns);
    for (size_t i = 0; i < g->num * g->columns; i++) {
        size_t w = width_of(g->cells[i]);
        if (w > widths[i % g->columns])
            widths[i % g->columns] = w;
    }
    for (size_t r = 0; r < g->num; r++) {
        fprintf(out, "%s", r == 0 ? cp_color(g->cli, CP_BOLD) : "");
        for (size_t i = 0; i < g->columns; i++) {
            struct sp_str cell = g->cells[r * g->columns + i];
            bool last = i + 1 == g->columns;
            fprintf(out, "%.*s%*s", SP_FMT(cell), last ? 0 : (int)(widths[i] - width_of(cell) + 2), "");
        }
        fprintf(out, "%s\n", r == 0 ? cp_color(g->cli, CP_PLAIN) : "");
    }
}

/* null, true, a number: the same in JSON and in YAML. */
static struct sp_str scalar(const struct sp_node *n)
{
    if (n->type == SP_NODE_NULL)
        return SP_STR("null");
    if (n->type == SP_NODE_BOOL)
        return n->boolean ? SP_STR("true") : SP_STR("false");
    return n->text;
}

/* --- YAML */

static void yaml_value(const struct sp_node *n, size_t indent, bool in_list, struct sp_buf *out);

static void yaml_indent(size_t indent, struct sp_buf *out)
{
    for (size_t i = 0; i < indent; i++)
        sp_buf_putc(out, ' ');
}

static void yaml_map(const struct sp_node *n, size_t indent, bool first_in_place, struct sp_buf *out)
{
    for (size_t i = 0; i < n->num; i++) {
        struct sp_json j = sp_json(out);
        struct sp_str key = n->items[2 * i]->text;
        if (i || !first_in_place)
            yaml_indent(indent, out);
        bool plain = key.len > 0;
        for (size_t k = 0; k < key.len; k++)
            plain = plain && (key.p[k] == '_' || (key.p[k] >= 'a' && key.p[k] <= 'z'));
        if (plain)
            sp_buf_add(out, key);
        else
            sp_json_str(&j, key);
        sp_buf_putc(out, ':');
        yaml_value(n->items[2 * i + 1], indent, false, out);
    }
}

static void yaml_list(const struct sp_node *n, size_t indent, struct sp_buf *out)
{
    for (size_t i = 0; i < n->num; i++) {
        yaml_indent(indent, out);
        sp_buf_putc(out, '-');
        yaml_value(n->items[i], indent, true, out);
    }
}

/* After "key:" or "-": the rest of the line, and what belongs below. */
static void yaml_value(const struct sp_node *n, size_t indent, bool in_list, struct sp_buf *out)
{
    struct sp_json j = sp_json(out);
    if (n->type == SP_NODE_MAP && n->num) {
        sp_buf_putc(out, in_list ? ' ' : '\n');
        yaml_map(n, indent + 2, in_list, out);
    } else if (n->type == SP_NODE_LIST && n->num) {
        sp_buf_putc(out, '\n');
        yaml_list(n, indent + 2, out);
    } else {
        sp_buf_putc(out, ' ');
        if (n->type == SP_NODE_STRING)
            sp_json_str(&j, n->text);
        else if (n->type == SP_NODE_MAP || n->type == SP_NODE_LIST)
            sp_buf_printf(out, n->type == SP_NODE_MAP ? "{}" : "[]");
        else
            sp_buf_add(out, scalar(n));
        sp_buf_putc(out, '\n');
    }
}

void cp_write_yaml(const struct sp_node *n, struct sp_buf *out)
{
    if (n->type == SP_NODE_MAP && n->num)
        yaml_map(n, 0, false, out);
    else if (n->type == SP_NODE_LIST && n->num)
        yaml_list(n, 0, out);
    else
        yaml_value(n, 0, false, out);
}

/* --- JSON */

static void json_value(struct sp_json *j, const struct sp_node *n)
{
    switch (n->type) {
    case SP_NODE_MAP:
        sp_json_object(j);
        for (size_t i = 0; i < n->num; i++) {
            sp_json_key(j, n->items[2 * i]->text.p);
            json_value(j, n->items[2 * i + 1]);
        }
        sp_json_end_object(j);
        return;
    case SP_NODE_LIST:
        sp_json_array(j);
        for (size_t i = 0; i < n->num; i++)
            json_value(j, n->items[i]);
        sp_json_end_array(j);
        return;
    case SP_NODE_STRING:
        sp_json_str(j, n->text);
        return;
    default:
        sp_json_raw(j, scalar(n));
    }
}

bool cp_print_tree(struct cp_cli *cli, const struct sp_node *tree)
{
    struct sp_buf b = {0};
    if (cli->output == CP_TABLE)
        return false;
    if (cli->output == CP_JSON) {
        struct sp_json j = sp_json(&b);
        json_value(&j, tree);
        sp_buf_putc(&b, '\n');
    } else {
        cp_write_yaml(tree, &b);
    }
    fwrite(sp_buf_str(&b).p, 1, b.len, cli->out);
    sp_buf_fini(&b);
    return true;
}

bool cp_print_json(struct cp_cli *cli, struct sp_str json)
{
    struct sp_problems problems;
    sp_problems_init(&problems, cli->arena);
    const struct sp_node *tree =
        sp_node_read_json(cli->arena, sp_arena_dup(cli->arena, json), SP_STR("answer"), &problems);
    sp_assert(tree);
    return cp_print_tree(cli, tree);
}
