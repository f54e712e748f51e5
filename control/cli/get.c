/* sallyctl get KIND [NAME]: entities as the gateway has them. */
#include "control/cli/cli.h"
#include "http/server.h"
#include "model/model.h"
#include <string.h>

static struct {
    const char *workspace, *tags;
} set;

static const struct sp_option options[] = {
    {"workspace", 'w', "NAME", sp_option_text, &set.workspace, .help = "of another workspace than default"},
    {"tags", 0, "TAGS", sp_option_text, &set.tags, .no_env = true,
     .help = "only entities with all of these: a,b; with one of these: a/b"},
};

/* What a table shows beside the id; a path with a dot goes into an object. */
static const struct {
    enum sp_entity_kind kind;
    const char *fields[6];
} columns[] = {
    {SP_WORKSPACES, {"name", "comment"}},
    {SP_SERVICES, {"name", "protocol", "host", "port", "path", "enabled"}},
    {SP_ROUTES, {"name", "hosts", "paths", "methods", "snis", "service.id"}},
    {SP_UPSTREAMS, {"name", "algorithm", "slots"}},
    {SP_TARGETS, {"target", "weight", "upstream.id"}},
    {SP_CONSUMERS, {"username", "custom_id", "tags"}},
    {SP_CONSUMER_GROUPS, {"name", "tags"}},
    {SP_MTLS_AUTH_CREDENTIALS, {"subject_name", "consumer.id", "ca_certificate.id"}},
    {SP_HEADER_CERT_AUTH_CREDENTIALS, {"subject_name", "consumer.id", "ca_certificate.id"}},
    {SP_KEYAUTH_CREDENTIALS, {"consumer.id", "ttl", "tags"}},
    {SP_BASICAUTH_CREDENTIALS, {"username", "consumer.id", "tags"}},
    {SP_ACLS, {"group", "consumer.id"}},
    {SP_CERTIFICATES, {"snis", "tags"}},
    {SP_SNIS, {"name", "certificate.id"}},
    {SP_CA_CERTIFICATES, {"cert_digest", "tags"}},
    {SP_VAULTS, {"prefix", "name", "description", "tags"}},
    {SP_PLUGINS, {"name", "enabled", "service.id", "route.id", "consumer.id", "protocols"}},
};

/* "mtls-auths", "mtls_auth_credentials", "routes", "route": all of them name the kind. */
static const struct sp_entity_info *kind_of(const char *word)
{
    struct sp_str w = sp_str_z(word);
    const struct sp_entity_info *info = sp_entity_by_rest(w);
    if (!info)
        info = sp_entity_by_plural(w);
    for (int k = 0; !info && k < SP_NUM_ENTITY_KINDS; k++) {
        const struct sp_entity_info *one = sp_entity_info((enum sp_entity_kind)k);
        struct sp_str plural = sp_str_z(one->plural), rest = sp_str_z(one->rest);
        if ((plural.len == w.len + 1 && sp_str_starts(plural, w)) || (rest.len == w.len + 1 && sp_str_starts(rest, w)))
            info = one;
    }
    return info;
}

static int no_such_kind(struct cp_cli *cli, const char *word)
{
    struct sp_buf list = {0};
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        sp_buf_printf(&list, "%s%s", k ? ", " : "", sp_entity_info((enum sp_entity_kind)k)->plural);
    int code = cp_usage(cli, "get", "there is no kind '%s'; there are %.*s", word, SP_FMT(sp_buf_str(&list)));
    sp_buf_fini(&list);
    return code;
}

static void put_cell(const struct sp_node *n, struct sp_buf *out)
{
    if (!n || n->type == SP_NODE_NULL)
        return;
    if (n->type == SP_NODE_LIST) {
        for (size_t i = 0; i < n->num; i++) {
            if (i)
                sp_buf_putc(out, ',');
            put_cell(n->items[i], out);
        }
    } else if (n->type == SP_NODE_BOOL) {
        sp_buf_printf(out, n->boolean ? "yes" : "no");
    } else {
        sp_buf_add(out, n->text);
    }
}

static struct sp_str cell(struct cp_cli *cli, const struct sp_node *entity, const char *field)
{
    struct sp_str rest = sp_str_z(field);
    const struct sp_node *n = entity;
    struct sp_buf b = {0};
    while (n && rest.p)
        n = sp_node_get(n, sp_str_split(&rest, '.'));
    put_cell(n, &b);
    struct sp_str text = sp_arena_dup(cli->arena, sp_buf_str(&b));
    sp_buf_fini(&b);
    return text;
}

struct listing {
    const char *headings[7];
    const char *fields[7];
    size_t num;
    struct cp_grid *grid;
};

static struct listing listing_of(struct cp_cli *cli, const struct sp_entity_info *info)
{
    static const char *const other[] = {"name", "tags", NULL};
    const char *const *fields = other;
    struct listing l = {.headings = {"ID"}, .fields = {"id"}, .num = 1};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        if (columns[i].kind == info->kind)
            fields = columns[i].fields;
    for (size_t i = 0; i < 6 && fields[i]; i++, l.num++) {
        char *heading = sp_arena_strdup(cli->arena, fields[i]);
        heading[strcspn(heading, ".")] = '\0'; /* "service.id" is headed SERVICE */
        for (char *p = heading; *p; p++)
            *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
        l.headings[l.num] = heading;
        l.fields[l.num] = fields[i];
    }
    l.grid = cp_grid_new(cli, l.headings, l.num);
    return l;
}

static void add_row(struct cp_cli *cli, struct listing *l, const struct sp_node *entity)
{
    struct sp_str cells[7];
    for (size_t i = 0; i < l->num; i++)
        cells[i] = cell(cli, entity, l->fields[i]);
    cp_grid_row(l->grid, cells);
}

static void put_base(struct sp_buf *path, const struct sp_entity_info *info)
{
    if (set.workspace) {
        sp_buf_putc(path, '/');
        sp_url_encode(path, sp_str_z(set.workspace));
    }
    sp_buf_printf(path, "/%s", info->rest);
}

static int get_one(struct cp_cli *cli, const struct sp_entity_info *info, const char *name)
{
    struct sp_buf path = {0};
    struct cp_answer a;
    int code = CP_EXIT_OK;
    put_base(&path, info);
    sp_buf_putc(&path, '/');
    sp_url_encode(&path, sp_str_z(name));
    bool asked = cp_ask(cli, "GET", sp_arena_dup(cli->arena, sp_buf_str(&path)), NULL, SP_STR(""), &a, &code);
    sp_buf_fini(&path);
    if (!asked)
        return code;
    if (a.status == 404) {
        fprintf(cli->err, "sallyctl: there is no '%s' among the %s\n", name, info->plural);
        return CP_EXIT_FAILED;
    }
    if (a.status != 200 || !a.json)
        return cp_refused(cli, &a);
    if (cli->output == CP_TABLE)
        cli->output = CP_YAML; /* one entity reads best in full */
    cp_print_tree(cli, a.json);
    return CP_EXIT_OK;
}

static struct sp_str page_path(struct cp_cli *cli, const struct sp_entity_info *info, struct sp_str offset)
{
    struct sp_buf path = {0};
    put_base(&path, info);
    sp_buf_printf(&path, "?size=1000");
    if (set.tags) {
        sp_buf_printf(&path, "&tags=");
        sp_url_encode(&path, sp_str_z(set.tags));
    }
    if (offset.len) {
        sp_buf_printf(&path, "&offset=");
        sp_url_encode(&path, offset);
    }
    struct sp_str text = sp_arena_dup(cli->arena, sp_buf_str(&path));
    sp_buf_fini(&path);
    return text;
}

static void append(struct cp_cli *cli, struct sp_node *all, const struct sp_node *page)
{
    struct sp_node **items = SP_NEW_N(cli->arena, struct sp_node *, all->num + page->num + 1);
    if (all->num)
        memcpy(items, all->items, sizeof *items * all->num);
    if (page->num)
        memcpy(items + all->num, page->items, sizeof *items * page->num);
    all->items = items;
    all->num += page->num;
}

static int get_all(struct cp_cli *cli, const struct sp_entity_info *info)
{
    struct sp_node all = {.type = SP_NODE_LIST};
    struct sp_str offset = {0};
    int code = CP_EXIT_OK;
    do { /* every page */
        struct cp_answer a;
        if (!cp_get(cli, page_path(cli, info, offset), &a, &code))
            return code;
        append(cli, &all, cp_list(a.json, "data"));
        offset = cp_text(a.json, "offset");
    } while (offset.len);
    if (cp_print_tree(cli, &all))
        return code;
    struct listing l = listing_of(cli, info);
    for (size_t i = 0; i < all.num; i++)
        add_row(cli, &l, all.items[i]);
    cp_grid_print(l.grid);
    return code;
}

static int run_get(struct cp_cli *cli, const char **words, size_t num)
{
    if (num < 1 || num > 2)
        return cp_usage(cli, "get", "get what? sallyctl get KIND [NAME]");
    const struct sp_entity_info *info = kind_of(words[0]);
    if (!info)
        return no_such_kind(cli, words[0]);
    return num == 2 ? get_one(cli, info, words[1]) : get_all(cli, info);
}

const struct cp_command cp_command_get = {
    "get",
    "sallyctl get KIND [NAME] [-o table|json|yaml]",
    "list entities, or show one by name or id",
    "Kinds are the collections of a declarative file: services, routes, consumers, plugins, ca_certificates ...\n\n"
    "  sallyctl get routes\n"
    "  sallyctl get service orders -o json",
    {"Options", options, sizeof options / sizeof *options},
    &set,
    sizeof set,
    run_get,
};
