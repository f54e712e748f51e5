#include "model/model.h"
#include "model/node.h"

#include <jansson.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

struct json_reader {
    struct sp_arena *a;
    const char *limit; /* what was exceeded; NULL: nothing */
    size_t num;
};

static struct sp_node *from_json(struct json_reader *r, json_t *j, unsigned depth);

static void add_items(struct json_reader *r, struct sp_node *n, json_t *j, unsigned depth)
{
    const char *key;
    size_t i, len;
    json_t *value;
    if (n->type == SP_NODE_LIST) {
        n->num = json_array_size(j);
        n->items = SP_NEW_N(r->a, struct sp_node *, n->num + 1);
        json_array_foreach(j, i, value)
        {
            n->items[i] = from_json(r, value, depth + 1);
            n->weight += n->items[i]->weight;
        }
        return;
    }
    n->num = json_object_size(j);
    n->items = SP_NEW_N(r->a, struct sp_node *, 2 * n->num + 1);
    i = 0;
    json_object_keylen_foreach(j, key, len, value)
    {
        struct sp_node *k = SP_NEW(r->a, struct sp_node);
        *k = (struct sp_node){.type = SP_NODE_STRING, .text = sp_arena_dup(r->a, sp_str(key, len)), .weight = 1};
        n->items[2 * i] = k;
        n->items[2 * i + 1] = from_json(r, value, depth + 1);
        n->weight += 1 + n->items[2 * i + 1]->weight;
        i++;
    }
}

static struct sp_node *from_json(struct json_reader *r, json_t *j, unsigned depth)
{
    struct sp_node *n = SP_NEW(r->a, struct sp_node);
    n->weight = 1;
    if (depth > SP_NODE_MAX_DEPTH)
        r->limit = "is nested too deep";
    else if (++r->num > SP_NODE_MAX)
        r->limit = "has too many values";
    if (r->limit)
        return n;
    switch (json_typeof(j)) {
    case JSON_NULL:
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        n->type = SP_NODE_BOOL;
        n->boolean = json_is_true(j);
        break;
    case JSON_INTEGER:
        n->type = SP_NODE_INTEGER;
        n->integer = json_integer_value(j);
        n->number = (double)n->integer;
        n->text = sp_arena_printf(r->a, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
        break;
    case JSON_REAL:
        n->type = SP_NODE_NUMBER;
        n->number = json_real_value(j);
        n->text = sp_arena_printf(r->a, "%.17g", n->number);
        break;
    case JSON_STRING:
        n->type = SP_NODE_STRING;
        n->text = sp_arena_dup(r->a, sp_str(json_string_value(j), json_string_length(j)));
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        n->type = json_is_array(j) ? SP_NODE_LIST : SP_NODE_MAP;
        add_items(r, n, j, depth);
        break;
    }
    return n;
}

/* Brackets outside of strings: jansson itself recurses down to 2048, which is deeper than anybody asked for. */
static bool too_deep(struct sp_str text)
{
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '[' || c == '{') && ++depth > SP_NODE_MAX_DEPTH)
            return true;
        else if (!quoted && (c == ']' || c == '}') && depth > 0)
            depth--;
    }
    return false;
}

/* The text may hold keys, and the parser has copies of them. */
static void wipe_and_free(void *p)
{
    if (p)
        sp_wipe(p, malloc_usable_size(p));
    free(p);
}

static void prepare_jansson(void)
{
    json_set_alloc_funcs(malloc, wipe_and_free);
}

struct sp_node *sp_node_read_json(struct sp_arena *a, struct sp_str text, struct sp_str file,
                                  struct sp_problems *problems)
{
    const char *limit = text.len > SP_MODEL_MAX_FILE ? "is too large" : too_deep(text) ? "is nested too deep" : NULL;
    json_error_t why = {.line = -1};
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare_jansson);
    json_t *j =
        limit ? NULL : json_loadb(text.p ? text.p : "", text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    struct json_reader r = {.a = a, .limit = limit};
    struct sp_node *n = j ? from_json(&r, j, 0) : NULL;
    json_decref(j);
    if (n && !r.limit)
        return n;
    struct sp_problem *p =
        r.limit ? sp_problems_add(problems, SP_PROBLEM_ERROR, "limit", SP_STR(""), "the JSON text %s", r.limit)
                : sp_problems_add(problems, SP_PROBLEM_ERROR, "syntax", SP_STR(""), "not JSON: %s", why.text);
    p->file = file;
    p->line = !r.limit && why.line > 0 ? (unsigned)why.line : 0;
    p->column = !r.limit && why.column > 0 ? (unsigned)why.column : 0;
    return NULL;
}
