#include "model/text.h"

#include "base/names.h"
#include "model/rules.h"
#include "sallyport/v1/entities.pb-c.h"

#include <math.h>

/* A place in the text while it is read. */
struct place {
    const struct sp_origin *in; /* the message */
    const char *field;          /* NULL: the message itself */
    size_t index;
    bool in_list;
};

void sp_reader_init(struct sp_reader *r, struct sp_arena *a, struct sp_str file, struct sp_problems *problems)
{
    *r = (struct sp_reader){.arena = a, .file = file, .problems = problems, .origins = sp_map_new(a, 64)};
}

/* --- places --- */

static void path_into(const struct sp_origin *o, struct sp_buf *b)
{
    if (!o || !o->field)
        return;
    path_into(o->parent, b);
    if (b->len)
        sp_buf_putc(b, '.');
    sp_buf_add(b, sp_str_z(o->field));
    if (o->in_list)
        sp_buf_printf(b, "[%zu]", o->index);
}

struct sp_str sp_origin_path(struct sp_arena *a, const struct sp_origin *o)
{
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    path_into(o, &b);
    return sp_arena_dup(a, sp_buf_str(&b));
}

static const struct sp_node *step(const struct sp_node *n, struct sp_str part)
{
    struct sp_str key = sp_str_split(&part, '[');
    n = sp_node_get(n, key);
    while (n && part.p && part.len) {
        struct sp_str digits = sp_str_split(&part, ']');
        uint64_t i;
        n = sp_str_to_u64(digits, &i) && n->type == SP_NODE_LIST && i < n->num ? n->items[i] : NULL;
        if (part.p && part.len)
            part = sp_str_skip(part, 1);
    }
    return n;
}

const struct sp_node *sp_node_walk(const struct sp_node *n, struct sp_str path)
{
    while (n && path.p && path.len) {
        const struct sp_node *next = step(n, sp_str_split(&path, '.'));
        if (!next)
            break;
        n = next;
    }
    return n;
}

static struct sp_str place_path(struct sp_reader *r, const struct place *at)
{
    if (!at->field)
        return sp_origin_path(r->arena, at->in);
    struct sp_origin o = {.parent = at->in, .field = at->field, .index = at->index, .in_list = at->in_list};
    return sp_origin_path(r->arena, &o);
}

static void problem(struct sp_reader *r, const char *code, const struct place *at, const struct sp_node *n,
                    struct sp_str text)
{
    bool full = sp_problems_full(r->problems, SP_PROBLEM_ERROR);
    struct sp_str path = full ? SP_STR("") : place_path(r, at);
    struct sp_problem *p = sp_problems_add(r->problems, SP_PROBLEM_ERROR, code, path, "%.*s", SP_FMT(text));
    p->file = r->file;
    p->line = n->line;
    p->column = n->column;
}

static void wrong_type(struct sp_reader *r, const struct place *at, const struct sp_node *n, const char *expected,
                       const char *hint)
{
    bool secret = at->in && at->field && sp_field_is_secret(at->in->message->descriptor, at->field);
    struct sp_str found = secret ? SP_STR("something else") : sp_node_describe(r->arena, n);
    problem(r, "wrong_type", at, n,
            sp_arena_printf(r->arena, "expected %s, found %.*s%s", expected, SP_FMT(found), hint));
}

/* --- did you mean --- */

enum { MAX_WORD = 48 };

/* Edits to get from a to b; swapping neighbours is one. */
static unsigned distance(struct sp_str a, struct sp_str b)
{
    unsigned rows[3][MAX_WORD + 1];
    if (a.len > MAX_WORD || b.len > MAX_WORD)
        return UINT32_MAX;
    for (unsigned j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *two = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned best = above[j - 1] + (a.p[i - 1] != b.p[j - 1]);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] && two[j - 2] + 1 < best)
                best = two[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[a.len % 3][b.len];
}

struct sp_str sp_did_you_mean(struct sp_str word, const char *(*next)(const void *ctx, size_t i), const void *ctx)
{
    struct sp_str best = SP_STR("");
    unsigned limit = word.len <= 3 ? 1 : word.len <= 6 ? 2 : 3;
    for (size_t i = 0; next(ctx, i); i++) {
        struct sp_str candidate = sp_str_z(next(ctx, i));
        unsigned d = candidate.len ? distance(word, candidate) : UINT32_MAX;
        if (d <= limit) {
            best = candidate;
            limit = d - (d > 0);
        }
    }
    return best;
}

struct field_names {
    const ProtobufCMessageDescriptor *d;
    bool nested;
};

static bool readable(const struct sp_reader *r, const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f)
{
    if (sp_field_is_hidden(f))
        return false;
    return r->nested || !sp_field_is_nested(f) || d == &sallyport__v1__certificate__descriptor;
}

static const char *next_field(const void *ctx, size_t i)
{
    const struct field_names *names = ctx;
    if (i == names->d->n_fields)
        return sp_msg_field(names->d, "mtls_auth") ? "config" : NULL;
    if (i > names->d->n_fields)
        return NULL;
    const ProtobufCFieldDescriptor *f = &names->d->fields[i];
    return sp_field_is_hidden(f) || (sp_field_is_nested(f) && !names->nested) ? "" : f->name;
}

static void unknown_field(struct sp_reader *r, const struct place *at, const struct sp_node *key)
{
    const ProtobufCMessageDescriptor *d = at->in->message->descriptor;
    struct field_names names = {d, r->nested};
    struct sp_str near = sp_did_you_mean(key->text, next_field, &names);
    struct sp_str shown = key->text.len > 64 ? sp_str(key->text.p, 64) : key->text;
    struct place there = {at->in, sp_arena_dup(r->arena, shown).p, 0, false};
    struct sp_str text =
        near.len ? sp_arena_printf(r->arena, "unknown field '%.*s', did you mean '%.*s'?", SP_FMT(shown), SP_FMT(near))
                 : sp_arena_printf(r->arena, "unknown field '%.*s'", SP_FMT(shown));
    problem(r, "unknown_field", &there, key, text);
}

/* --- values --- */

static bool read_string(struct sp_reader *r, const struct place *at, const struct sp_node *n, const char **out)
{
    if (n->type != SP_NODE_STRING) {
        bool scalar = n->type < SP_NODE_STRING && n->type != SP_NODE_NULL;
        wrong_type(r, at, n, "a string", scalar && n->line ? ": put it in quotes" : "");
        return false;
    }
    if (n->text.len && memchr(n->text.p, 0, n->text.len)) {
        problem(r, "invalid_value", at, n, SP_STR("a NUL byte"));
        return false;
    }
    *out = n->text.p; /* in the arena, NUL-terminated */
    return true;
}

static bool read_integer(struct sp_reader *r, const struct place *at, const struct sp_node *n, int64_t min, int64_t max,
                         int64_t *out)
{
    bool whole = n->type == SP_NODE_NUMBER && fabs(n->number) < 9e15 && n->number == trunc(n->number);
    if (n->type != SP_NODE_INTEGER && !whole) {
        bool quoted = n->type == SP_NODE_STRING && n->text.len && strspn(n->text.p, "0123456789") == n->text.len;
        wrong_type(r, at, n, "an integer", quoted ? ": remove the quotes" : "");
        return false;
    }
    *out = whole ? (int64_t)n->number : n->integer;
    if (*out >= min && *out <= max)
        return true;
    problem(r, "invalid_value", at, n,
            sp_arena_printf(r->arena, "value should be between %lld and %lld", (long long)min, (long long)max));
    return false;
}

static bool read_scalar(struct sp_reader *r, const struct place *at, const struct sp_node *n,
                        const ProtobufCFieldDescriptor *f, void *out)
{
    int64_t integer;
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        return read_string(r, at, n, out);
    case PROTOBUF_C_TYPE_INT32:
        if (!read_integer(r, at, n, INT32_MIN, INT32_MAX, &integer))
            return false;
        *(int32_t *)out = (int32_t)integer;
        return true;
    case PROTOBUF_C_TYPE_INT64:
        return read_integer(r, at, n, INT64_MIN, INT64_MAX, out);
    case PROTOBUF_C_TYPE_DOUBLE:
        if (n->type != SP_NODE_INTEGER && n->type != SP_NODE_NUMBER) {
            wrong_type(r, at, n, "a number", "");
            return false;
        }
        *(double *)out = n->number;
        return true;
    case PROTOBUF_C_TYPE_BOOL:
        if (n->type != SP_NODE_BOOL) {
            wrong_type(r, at, n, "a boolean", ": write true or false");
            return false;
        }
        *(protobuf_c_boolean *)out = n->boolean;
        return true;
    default:
        sp_assert(!"a field type that no text has");
        return false;
    }
}

/* Which pair of a map is the foreign key; n->num: none. Clients of the Admin API (decK) send the rest of the entity
 * along, which does not count. */
static size_t ref_pair(const struct sp_reader *r, const struct sp_node *n)
{
    for (size_t i = 0; !r->nested && i < n->num; i++)
        if (sp_str_eq(n->items[2 * i]->text, SP_STR("id")))
            return i;
    return n->num == 1 ? 0 : n->num;
}

/* A foreign key: "name or id", {id: ...}, {name: ...}, {username: ...}. */
static bool read_ref(struct sp_reader *r, const struct place *at, const struct sp_node *n, Sallyport__V1__Ref *ref)
{
    const char *value = NULL;
    size_t pair = n->type == SP_NODE_MAP ? ref_pair(r, n) : 0;
    if (n->type == SP_NODE_STRING) {
        if (!read_string(r, at, n, &value))
            return false;
        *(sp_is_uuid(n->text) ? &ref->id : &ref->name) = (char *)(uintptr_t)value;
    } else if (n->type == SP_NODE_MAP && pair < n->num) {
        const struct sp_node *key = n->items[2 * pair];
        bool id = sp_str_eq(key->text, SP_STR("id"));
        if (!id && !sp_str_eq(key->text, SP_STR("name")) && !sp_str_eq(key->text, SP_STR("username"))) {
            problem(
                r, "unknown_field", at, key,
                sp_arena_printf(r->arena, "unknown field '%.*s': a reference has 'id' or 'name'", SP_FMT(key->text)));
            return false;
        }
        if (!read_string(r, at, n->items[2 * pair + 1], &value))
            return false;
        *(id ? &ref->id : &ref->name) = (char *)(uintptr_t)value;
    } else {
        wrong_type(r, at, n, "a reference (a name, an id, {id: ...} or {name: ...})", "");
        return false;
    }
    if (*value)
        return true;
    problem(r, "invalid_value", at, n, SP_STR("an empty reference"));
    return false;
}

static bool read_message(struct sp_reader *r, const struct place *at, const struct sp_node *n,
                         const ProtobufCFieldDescriptor *f, ProtobufCMessage **out)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;
    if (sp_field_is_ref(f)) {
        *out = sp_msg_new(r->arena, d);
        return read_ref(r, at, n, (Sallyport__V1__Ref *)*out);
    }
    if (!*out)
        *out = sp_msg_new(r->arena, d);
    if (d == &sallyport__v1__sni__descriptor && n->type == SP_NODE_STRING) /* certificates[].snis: plain names too */
        return read_string(r, at, n, (const char **)&((Sallyport__V1__Sni *)*out)->name);
    sp_reader_read(r, *out, n, at->in, at->field, at->index, at->in_list);
    return true;
}

static void read_element(struct sp_reader *r, const struct place *at, const struct sp_node *n,
                         const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
    union {
        ProtobufCMessage *message;
        double align;
        char bytes[16];
    } value = {0};
    bool good = f->type == PROTOBUF_C_TYPE_MESSAGE ? read_message(r, at, n, f, &value.message)
                                                   : read_scalar(r, at, n, f, &value);
    if (good)
        memcpy(sp_msg_append(r->arena, m, f), &value, sp_msg_element_size(f));
}

static void read_list(struct sp_reader *r, const struct place *at, const struct sp_node *n,
                      const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
    if (n->type != SP_NODE_LIST) {
        wrong_type(r, at, n, "a list", n->type == SP_NODE_MAP ? "" : ": write it in [ ]");
        return;
    }
    for (size_t i = 0; i < n->num; i++)
        read_element(r, &(struct place){at->in, at->field, i, true}, n->items[i], f, m);
    const ProtobufCFieldDescriptor *none = sp_field_mark(m->descriptor, f, "_none");
    if (none && n->num == 0) {
        *(protobuf_c_boolean *)sp_msg_at(m, none) = true;
        sp_msg_mark(m, none);
    }
}

static void read_entry_value(struct sp_reader *r, const struct place *at, const struct sp_node *n, ProtobufCMessage *e)
{
    const ProtobufCFieldDescriptor *values = sp_msg_field(e->descriptor, "values");
    const ProtobufCFieldDescriptor *value = values ? values : sp_msg_field(e->descriptor, "value");
    sp_assert(value);
    if (values)
        read_list(r, at, n, values, e);
    else if (read_scalar(r, at, n, value, sp_msg_at(e, value)))
        sp_msg_mark(e, value);
}

static void read_map(struct sp_reader *r, const struct place *at, const struct sp_node *n,
                     const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
    if (n->type != SP_NODE_MAP) {
        wrong_type(r, at, n, "a map", "");
        return;
    }
    struct sp_map *seen = sp_map_new(r->arena, n->num);
    for (size_t i = 0; i < n->num; i++) {
        const struct sp_node *key = n->items[2 * i];
        char *name = sp_arena_strdup(r->arena, key->text.p);
        if (f->descriptor == &sallyport__v1__header_entry__descriptor) /* Kong keeps the others' case */
            for (char *p = name; *p; p++)
                *p = (char)sp_lower((unsigned char)*p);
        if (!sp_map_put(seen, sp_str_z(name), name)) {
            problem(r, "duplicate_key", at, key, sp_arena_printf(r->arena, "'%s' is there twice", name));
            continue;
        }
        ProtobufCMessage *e = sp_msg_new(r->arena, f->descriptor);
        *(char **)sp_msg_at(e, sp_msg_field(e->descriptor, "key")) = name;
        struct sp_str below = sp_arena_printf(r->arena, "%s.%s", at->field, name);
        read_entry_value(r, &(struct place){at->in, below.p, 0, false}, n->items[2 * i + 1], e);
        *(ProtobufCMessage **)sp_msg_append(r->arena, m, f) = e;
    }
}

static void read_null(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    sp_msg_clear(m, f);
    const ProtobufCFieldDescriptor *null = sp_field_mark(m->descriptor, f, "_null");
    if (!null)
        return;
    *(protobuf_c_boolean *)sp_msg_at(m, null) = true;
    sp_msg_mark(m, null);
    *(char **)sp_msg_at(m, f) = NULL;
}

static void clear_marks(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const ProtobufCFieldDescriptor *marks[] = {sp_field_mark(m->descriptor, f, "_none"),
                                               sp_field_mark(m->descriptor, f, "_null")};
    for (int i = 0; i < 2; i++)
        if (marks[i])
            sp_msg_clear(m, marks[i]);
}

static void read_field(struct sp_reader *r, const struct place *at, const struct sp_node *n,
                       const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
    clear_marks(m, f);
    if (n->type == SP_NODE_NULL) {
        read_null(m, f);
    } else if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        sp_msg_clear(m, f);
        if (sp_field_is_map(f))
            read_map(r, at, n, f, m);
        else
            read_list(r, at, n, f, m);
    } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        ProtobufCMessage *child = *(ProtobufCMessage **)sp_msg_at(m, f);
        if (read_message(r, at, n, f, &child))
            *(ProtobufCMessage **)sp_msg_at(m, f) = child;
    } else if (read_scalar(r, at, n, f, sp_msg_at(m, f))) {
        sp_msg_mark(m, f);
    }
}

/* --- plugins --- */

const ProtobufCFieldDescriptor *sp_plugin_config_field(const ProtobufCMessageDescriptor *d, struct sp_str name)
{
    char z[64];
    if (name.len >= sizeof z || !sp_plugin_info(name))
        return NULL;
    for (size_t i = 0; i < name.len; i++)
        z[i] = name.p[i] == '-' ? '_' : name.p[i];
    z[name.len] = '\0';
    const ProtobufCFieldDescriptor *f = sp_msg_field(d, z);
    return f && (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ? f : NULL;
}

static const char *next_plugin(const void *ctx, size_t i)
{
    size_t num;
    const struct sp_plugin_info *v = sp_plugin_infos(&num);
    (void)ctx;
    return i < num ? v[i].name : NULL;
}

static void unknown_plugin(struct sp_reader *r, const struct sp_origin *o, struct sp_str name, const struct sp_node *n)
{
    struct sp_str near = sp_did_you_mean(name, next_plugin, NULL);
    struct sp_buf SP_AUTO(sp_buf_fini) b = {0};
    sp_buf_printf(&b, "plugin '%.*s' is not known", SP_FMT(name));
    if (near.len)
        sp_buf_printf(&b, ", did you mean '%.*s'?", SP_FMT(near));
    else
        for (size_t i = 0; next_plugin(NULL, i); i++)
            sp_buf_printf(&b, "%s%s", i ? ", " : "; known are ", next_plugin(NULL, i));
    problem(r, "unknown_plugin", &(struct place){o, "name", 0, false}, n, sp_buf_str(&b));
}

/* A plugin has a config of its kind also when the text has none: its defaults and what it requires apply. */
static void read_plugin_config(struct sp_reader *r, ProtobufCMessage *m, const struct sp_node *n,
                               const struct sp_origin *o)
{
    struct sp_str name = sp_msg_string(m, "name");
    const struct sp_node *config = sp_node_get(n, SP_STR("config")), *where = sp_node_get(n, SP_STR("name"));
    if (name.len == 0)
        return; /* "required field missing" says the check */
    const ProtobufCFieldDescriptor *f = sp_plugin_config_field(m->descriptor, name), *old = sp_msg_oneof(m);
    if (!f) {
        unknown_plugin(r, o, name, where ? where : n);
        return;
    }
    ProtobufCMessage *child = old == f ? *(ProtobufCMessage **)sp_msg_at(m, f) : NULL;
    if (!child || (config && config->type == SP_NODE_NULL))
        child = sp_msg_new(r->arena, f->descriptor);
    *(ProtobufCMessage **)sp_msg_at(m, f) = child;
    sp_msg_mark(m, f);
    if (config && config->type != SP_NODE_NULL)
        sp_reader_read(r, child, config, o, "config", 0, false);
}

/* --- one message --- */

static bool is_ignored(const ProtobufCMessageDescriptor *d, struct sp_str key)
{
    if (sp_str_eq(key, SP_STR("_comment")) || sp_str_eq(key, SP_STR("_ignore")))
        return true;
    return d == &sallyport__v1__document__descriptor &&
           (sp_str_eq(key, SP_STR("_info")) || sp_str_eq(key, SP_STR("_konnect")));
}

/* Kong's fields that nothing here does: NULL is no such field. Null, which dumps write, says nothing. */
static const char *why_not_supported(const ProtobufCMessageDescriptor *d, struct sp_str key)
{
    static const struct {
        const ProtobufCMessageDescriptor *of;
        const char *field, *why;
    } rows[] = {
        {&sallyport__v1__plugin__descriptor, "ordering", "not supported: plugins run in the order of their priorities"},
        {&sallyport__v1__plugin__descriptor, "condition",
         "not supported: a plugin runs for all that it is attached to"},
        {&sallyport__v1__plugin__descriptor, "partials", "not supported: write their fields into config"},
        {&sallyport__v1__redis_config__descriptor, "cloud_authentication", "not supported: nothing here asks Redis"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].of == d && sp_str_eq(key, sp_str_z(rows[i].field)))
            return rows[i].why;
    return NULL;
}

static void note_ignored(struct sp_reader *r, const struct sp_origin *o, const struct sp_node *key)
{
    if (sp_str_eq(key->text, SP_STR("_comment")) || sp_str_eq(key->text, SP_STR("_ignore")))
        return;
    struct sp_problem *p =
        sp_problems_add(r->problems, SP_PROBLEM_WARNING, "ignored_field", sp_origin_path(r->arena, o),
                        "'%.*s' is decK's own and has no effect here", SP_FMT(key->text));
    p->file = r->file;
    p->line = key->line;
    p->column = key->column;
}

static struct sp_origin *remember(struct sp_reader *r, const ProtobufCMessage *m, const struct sp_origin *where)
{
    struct sp_origin *o = SP_NEW(r->arena, struct sp_origin);
    *o = *where;
    o->message = m;
    o->file = r->file;
    sp_map_put(r->origins, sp_str(&o->message, sizeof o->message), o);
    return o;
}

const struct sp_origin *sp_reader_origin(const struct sp_reader *r, const ProtobufCMessage *m)
{
    return sp_map_get(r->origins, sp_str(&m, sizeof m));
}

static void read_pair(struct sp_reader *r, ProtobufCMessage *m, const struct sp_node *key, const struct sp_node *value,
                      const struct sp_origin *o, uint64_t seen[2])
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    const ProtobufCFieldDescriptor *f = sp_msg_field(d, key->text.p);
    struct place at = {o, key->text.p, 0, false};
    bool nul = key->text.len != strlen(key->text.p);
    if (!nul && is_ignored(d, key->text)) {
        note_ignored(r, o, key);
        return;
    }
    if (d == &sallyport__v1__plugin__descriptor && sp_str_eq(key->text, SP_STR("config")))
        return; /* read last: its type is the plugin's name */
    const char *why = why_not_supported(d, key->text);
    if (why) {
        if (value->type != SP_NODE_NULL)
            problem(r, "not_supported", &at, key, sp_str_z(why));
        return;
    }
    if (nul || !f || !readable(r, d, f)) {
        unknown_field(r, &at, key);
        return;
    }
    size_t i = (size_t)(f - d->fields);
    sp_assert(i < 128);
    if (seen[i / 64] & (1ull << (i % 64))) {
        problem(r, "duplicate_key", &at, key, sp_arena_printf(r->arena, "'%s' is there twice", f->name));
        return;
    }
    seen[i / 64] |= 1ull << (i % 64);
    read_field(r, &at, value, f, m);
}

void sp_reader_read(struct sp_reader *r, ProtobufCMessage *m, const struct sp_node *n, const struct sp_origin *parent,
                    const char *field, size_t index, bool in_list)
{
    struct sp_origin *o = remember(
        r, m, &(struct sp_origin){.node = n, .parent = parent, .field = field, .index = index, .in_list = in_list});
    if (n->type != SP_NODE_MAP) {
        wrong_type(r, &(struct place){o, NULL, 0, false}, n, "a map", "");
        return;
    }
    uint64_t seen[2] = {0};
    for (size_t i = 0; i < n->num; i++)
        read_pair(r, m, n->items[2 * i], n->items[2 * i + 1], o, seen);
    if (m->descriptor == &sallyport__v1__plugin__descriptor)
        read_plugin_config(r, m, n, o);
    const char *why = m->descriptor == &sallyport__v1__service__descriptor ? sp_service_expand_url(r->arena, m) : NULL;
    if (why) {
        const struct sp_node *url = sp_node_get(n, SP_STR("url"));
        problem(r, "invalid_value", &(struct place){o, "url", 0, false}, url ? url : n, sp_str_z(why));
    }
}

/* --- url --- */

const char *sp_service_expand_url(struct sp_arena *a, ProtobufCMessage *m)
{
    Sallyport__V1__Service *s = (Sallyport__V1__Service *)m;
    struct sp_str rest = sp_str_z(s->url), host;
    const char *colon = s->url ? strstr(s->url, "://") : NULL;
    uint16_t port;
    if (!s->url)
        return NULL;
    s->url = NULL; /* write-only */
    if (!colon || colon == rest.p)
        return "missing protocol: write protocol://host[:port][/path]";
    struct sp_str scheme = sp_str(rest.p, (size_t)(colon - rest.p));
    rest = sp_str_skip(rest, scheme.len + 3);
    size_t end = strcspn(rest.p, "/?#");
    if (!sp_host_split(sp_str(rest.p, end), &host, &port) || host.len == 0)
        return "missing host in url";
    if (rest.p[end] == '?' || rest.p[end] == '#' || strpbrk(rest.p + end, "?#"))
        return "a url of a service has no query and no fragment";
    s->protocol = (char *)(uintptr_t)sp_arena_dup(a, scheme).p;
    s->host = (char *)(uintptr_t)sp_arena_dup(a, host).p;
    s->path = rest.p[end] ? sp_arena_strdup(a, rest.p + end) : NULL;
    s->port = port ? port : sp_words_have("https grpcs wss tls", scheme) ? 443 : 80;
    s->has_port = true;
    return NULL;
}
