#include "model/build.h"

#include "base/clock.h"
#include "model/rules.h"

#include <stdlib.h>

void sp_builder_init(struct sp_builder *b, struct sp_arena *a, struct sp_str file, int64_t now,
                     struct sp_problems *problems)
{
    *b = (struct sp_builder){.arena = a, .problems = problems, .file = sp_arena_dup(a, file), .now = now};
    b->parents = sp_map_new(a, 64);
    b->spoken_for = sp_map_new(a, 4);
    b->copies = sp_map_new(a, 64);
    b->settings = (Sallyport__V1__Settings *)sp_msg_new(a, &sallyport__v1__settings__descriptor);
}

static void fill_settings(struct sp_builder *b)
{
    if (!b->settings->handshake)
        b->settings->handshake =
            (Sallyport__V1__HandshakeSettings *)sp_msg_new(b->arena, &sallyport__v1__handshake_settings__descriptor);
    sp_msg_fill_defaults(b->arena, &b->settings->base);
}

static int by_id(const void *a, const void *b)
{
    const struct sp_entity *x = a, *y = b;
    return sp_str_cmp(x->id, y->id);
}

static struct sp_model *finish(struct sp_builder *b)
{
    struct sp_model *m = SP_NEW(b->arena, struct sp_model);
    m->arena = b->arena;
    m->settings = b->settings;
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++) {
        const struct sp_entity_list *l = &b->kinds[k];
        m->num[k] = l->num;
        m->entities[k] = SP_NEW_N(b->arena, struct sp_entity, l->num + 1);
        for (size_t i = 0; i < l->num; i++)
            m->entities[k][i] = *l->v[i];
        if (l->num)
            qsort(m->entities[k], l->num, sizeof(struct sp_entity), by_id);
    }
    m->spoken_for = b->reader ? b->spoken_for : NULL;
    return m;
}

/* From flat lists to a model. `errors` is how many problems there were before. */
static sp_result build(struct sp_builder *b, size_t errors, struct sp_model **out)
{
    *out = NULL;
    sp_flatten_end(b);
    fill_settings(b);
    sp_check_certificates(b); /* a CA's digest is a name of it */
    sp_link(b);
    sp_check_references(b);
    sp_check_fields(b);
    sp_check_unique(b);
    sp_check_plugins(b);
    if (b->problems->num_errors > errors)
        return (sp_result){SP_E_INVALID};
    *out = finish(b);
    return sp_ok();
}

/* --- a file --- */

static bool is_json_file(struct sp_str text, struct sp_str file)
{
    size_t i = 0;
    if (sp_str_ends(file, SP_STR(".json")))
        return true;
    if (sp_str_ends(file, SP_STR(".yaml")) || sp_str_ends(file, SP_STR(".yml")))
        return false;
    while (i < text.len && strchr(" \t\r\n", text.p[i]) && text.p[i])
        i++;
    return i < text.len && text.p[i] == '{';
}

/* JSON is read as YAML for the sake of lines and columns. What only a JSON reader takes (surrogate pairs) goes to one.
 */
static bool read_nodes(struct sp_builder *b, struct sp_str text, struct sp_node ***docs, size_t *num)
{
    struct sp_problems first;
    sp_problems_init(&first, b->arena);
    if (sp_nodes_read_yaml(b->arena, text, b->file, docs, num, &first))
        return true;
    bool syntax = first.first && strcmp(first.first->code, "syntax") == 0;
    if (syntax && is_json_file(text, b->file) && sp_utf8_check(text) == text.len) {
        struct sp_problems second;
        sp_problems_init(&second, b->arena);
        struct sp_node *n = sp_node_read_json(b->arena, text, b->file, &second);
        if (n) {
            *docs = SP_NEW_N(b->arena, struct sp_node *, 1);
            **docs = n;
            *num = 1;
            return true;
        }
    }
    *b->problems->last = first.first;
    b->problems->last = first.last;
    b->problems->num_errors += first.num_errors;
    return false;
}

static void check_version(struct sp_builder *b, const struct sp_node *doc, const Sallyport__V1__Document *d)
{
    const struct sp_node *at = sp_node_get(doc, SP_STR("_format_version"));
    struct sp_problem *p = NULL;
    if (doc->type != SP_NODE_MAP)
        return;
    if (!at)
        p = sp_problems_add(b->problems, SP_PROBLEM_ERROR, "required", SP_STR("_format_version"),
                            "required field missing: write _format_version: \"3.0\"");
    else if (d->_format_version && !sp_words_have("1.1 2.1 3.0", sp_str_z(d->_format_version)))
        p = sp_problems_add(b->problems, SP_PROBLEM_ERROR, "invalid_value", SP_STR("_format_version"),
                            "expected one of: 1.1, 2.1, 3.0");
    if (!p)
        return;
    p->file = b->file;
    p->line = at ? at->line : doc->line;
    p->column = at ? at->column : doc->column;
}

static void read_document(struct sp_builder *b, const struct sp_node *n)
{
    Sallyport__V1__Document *doc =
        (Sallyport__V1__Document *)sp_msg_new(b->arena, &sallyport__v1__document__descriptor);
    sp_reader_read(b->reader, &doc->base, n, NULL, NULL, 0, false);
    check_version(b, n, doc);
    sp_flatten_document(b, doc);
}

sp_result sp_model_parse(struct sp_arena *a, struct sp_str text, struct sp_str file, int64_t now, struct sp_model **out,
                         struct sp_problems *problems)
{
    struct sp_builder b;
    struct sp_reader reader;
    struct sp_node **docs = NULL;
    size_t num = 0, errors = problems->num_errors;
    *out = NULL;
    sp_builder_init(&b, a, file, now, problems);
    sp_reader_init(&reader, a, b.file, problems);
    reader.nested = true;
    b.reader = &reader;
    if (!read_nodes(&b, text, &docs, &num))
        return (sp_result){SP_E_PARSE};
    for (size_t i = 0; i < num; i++) /* several documents: several workspaces */
        if (docs[i] && (docs[i]->type != SP_NODE_NULL || num == 1))
            read_document(&b, docs[i]);
    if (num == 0) {
        sp_problems_add(problems, SP_PROBLEM_ERROR, "required", SP_STR(""), "an empty file")->file = b.file;
        return (sp_result){SP_E_INVALID};
    }
    sp_result r = build(&b, errors, out);
    sp_problems_sort(problems);
    return r;
}

/* --- the store --- */

sp_result sp_model_load(struct sp_arena *a, const struct sp_stored_entity *v, size_t num, struct sp_str settings_bytes,
                        struct sp_model **out, struct sp_problems *problems)
{
    struct sp_builder b;
    size_t errors = problems->num_errors;
    *out = NULL;
    sp_builder_init(&b, a, SP_STR(""), sp_clock_wall_s(&sp_clock_system), problems);
    ProtobufCMessage *settings = sp_msg_unpack(a, &sallyport__v1__settings__descriptor, settings_bytes);
    if (settings)
        b.settings = (Sallyport__V1__Settings *)settings;
    else
        sp_problems_add(problems, SP_PROBLEM_ERROR, "corrupt", SP_STR("_sallyport"), "settings that cannot be read");
    for (size_t i = 0; i < num; i++) {
        const struct sp_entity_info *info = sp_entity_info(v[i].kind);
        ProtobufCMessage *m = sp_msg_unpack(a, info->descriptor, v[i].bytes);
        if (!m) {
            sp_problems_add(problems, SP_PROBLEM_ERROR, "corrupt", sp_str_z(info->plural),
                            "an entity that cannot be read");
            continue;
        }
        struct sp_str ws = sp_msg_string(m, "ws");
        sp_flatten_entity(&b, v[i].kind, m, ws.len ? ws.p : SP_DEFAULT_WORKSPACE);
    }
    return build(&b, errors, out);
}

/* --- one message --- */

static sp_result read_one(struct sp_arena *a, ProtobufCMessage *m, struct sp_str text, struct sp_str file,
                          struct sp_problems *problems)
{
    struct sp_reader reader;
    size_t errors = problems->num_errors;
    sp_reader_init(&reader, a, sp_arena_dup(a, file), problems);
    struct sp_node *n = sp_node_read_json(a, text, reader.file, problems);
    if (n)
        sp_reader_read(&reader, m, n, NULL, NULL, 0, false);
    return (sp_result){problems->num_errors == errors ? SP_OK : n ? SP_E_INVALID : SP_E_PARSE};
}

sp_result sp_message_parse(struct sp_arena *a, const ProtobufCMessageDescriptor *d, struct sp_str text,
                           struct sp_str file, ProtobufCMessage **out, struct sp_problems *problems)
{
    ProtobufCMessage *m = sp_msg_new(a, d);
    *out = NULL;
    SP_TRY(read_one(a, m, text, file, problems));
    *out = m;
    return sp_ok();
}

sp_result sp_message_patch(struct sp_arena *a, const ProtobufCMessage *base, struct sp_str text, struct sp_str file,
                           ProtobufCMessage **out, struct sp_problems *problems)
{
    ProtobufCMessage *m = sp_msg_copy(a, base);
    *out = NULL;
    SP_TRY(read_one(a, m, text, file, problems));
    *out = m;
    return sp_ok();
}
