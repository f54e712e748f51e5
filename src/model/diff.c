#include "model/build.h"

struct paths {
    struct sp_arena *a;
    struct sp_str *v;
    size_t num, cap;
};

static void add_path(struct paths *p, const char *prefix, const char *name)
{
    if (p->num == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 4;
        struct sp_str *v = SP_NEW_N(p->a, struct sp_str, cap);
        if (p->num)
            memcpy(v, p->v, p->num * sizeof *v);
        p->v = v;
        p->cap = cap;
    }
    p->v[p->num++] = sp_arena_printf(p->a, "%s%s", prefix, name);
}

static bool same_message(const ProtobufCMessage *x, const ProtobufCMessage *y);

static bool same_value(const ProtobufCFieldDescriptor *f, const void *x, const void *y)
{
    if (f->type == PROTOBUF_C_TYPE_STRING)
        return sp_str_eq(sp_str_z(*(char *const *)x), sp_str_z(*(char *const *)y));
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return same_message(*(ProtobufCMessage *const *)x, *(ProtobufCMessage *const *)y);
    return memcmp(x, y, sp_msg_element_size(f)) == 0;
}

static bool same_field(const ProtobufCMessage *x, const ProtobufCMessage *y, const ProtobufCFieldDescriptor *f)
{
    if (f->label != PROTOBUF_C_LABEL_REPEATED)
        return sp_msg_has(x, f) == sp_msg_has(y, f) &&
               (!sp_msg_has(x, f) || same_value(f, sp_msg_at(x, f), sp_msg_at(y, f)));
    size_t num = *sp_msg_count(x, f), size = sp_msg_element_size(f);
    if (num != *sp_msg_count(y, f))
        return false;
    for (size_t i = 0; i < num; i++)
        if (!same_value(f, *(char *const *)sp_msg_at(x, f) + i * size, *(char *const *)sp_msg_at(y, f) + i * size))
            return false;
    return true;
}

static bool same_message(const ProtobufCMessage *x, const ProtobufCMessage *y)
{
    if (x->descriptor != y->descriptor)
        return false;
    for (unsigned i = 0; i < x->descriptor->n_fields; i++)
        if (!same_field(x, y, &x->descriptor->fields[i]))
            return false;
    return true;
}

static void differing(struct paths *p, const ProtobufCMessage *x, const ProtobufCMessage *y, const char *prefix)
{
    const ProtobufCFieldDescriptor *config = sp_msg_oneof(x);
    for (unsigned i = 0; i < x->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &x->descriptor->fields[i];
        if (f->id == 80 || f->id == 81 || sp_field_is_nested(f)) /* timestamps */
            continue;
        if (f == config && sp_msg_oneof(y) == config) {
            differing(p, *(ProtobufCMessage **)sp_msg_at(x, f), *(ProtobufCMessage **)sp_msg_at(y, f), "config.");
            continue;
        }
        if (same_field(x, y, f))
            continue;
        size_t n = strlen(f->name);
        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            add_path(p, prefix, "config");
        else if (sp_field_is_hidden(f) && n > 5 && f->id >= 100) /* "x_none" and "x_null" are about x */
            add_path(p, prefix, sp_arena_dup(p->a, sp_str(f->name, n - 5)).p);
        else
            add_path(p, prefix, f->name);
    }
}

struct changes {
    struct sp_arena *a;
    struct sp_change *v;
    size_t num, cap;
};

static struct sp_change *add_change(struct changes *c)
{
    if (c->num == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 16;
        struct sp_change *v = SP_NEW_N(c->a, struct sp_change, cap);
        if (c->num)
            memcpy(v, c->v, c->num * sizeof *v);
        c->v = v;
        c->cap = cap;
    }
    return &c->v[c->num++];
}

static void compare_entities(struct changes *c, const struct sp_entity *before, const struct sp_entity *after)
{
    struct paths p = {.a = c->a};
    differing(&p, before->message, after->message, "");
    size_t num = 0;
    for (size_t i = 0; i < p.num; i++) { /* a field and its mark may both differ */
        size_t j = 0;
        while (j < num && !sp_str_eq(p.v[j], p.v[i]))
            j++;
        if (j == num)
            p.v[num++] = p.v[i];
    }
    if (num)
        *add_change(c) = (struct sp_change){SP_UPDATED, before, after, p.v, num};
}

void sp_model_diff(struct sp_arena *a, const struct sp_model *before, const struct sp_model *after,
                   struct sp_change **out, size_t *num)
{
    struct changes c = {.a = a};
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++) {
        size_t i = 0, j = 0, n = before ? before->num[k] : 0, m = after->num[k];
        while (i < n || j < m) { /* both are sorted by id */
            const struct sp_entity *x = i < n ? &before->entities[k][i] : NULL,
                                   *y = j < m ? &after->entities[k][j] : NULL;
            int order = !x ? 1 : !y ? -1 : sp_str_cmp(x->id, y->id);
            if (order < 0)
                *add_change(&c) = (struct sp_change){.change = SP_DELETED, .before = x};
            else if (order > 0)
                *add_change(&c) = (struct sp_change){.change = SP_CREATED, .after = y};
            else
                compare_entities(&c, x, y);
            i += order <= 0;
            j += order >= 0;
        }
    }
    *out = c.v;
    *num = c.num;
}
