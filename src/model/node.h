/* Text as a tree of nodes with places, before anybody asks what it means: the one shape that YAML and JSON become.
 * Inside of src/model. Nodes live in the arena; an alias is a second pointer to the same node. Any thread. */
#pragma once
#include "model/problem.h"

enum sp_node_type {
    SP_NODE_NULL,
    SP_NODE_BOOL,
    SP_NODE_INTEGER,
    SP_NODE_NUMBER,
    SP_NODE_STRING,
    SP_NODE_LIST,
    SP_NODE_MAP
};

struct sp_node {
    enum sp_node_type type;
    bool boolean;
    unsigned line, column;  /* 1-based; 0: not known (JSON read without places) */
    struct sp_str text;     /* scalars: as written; NUL-terminated, no NUL inside */
    int64_t integer;        /* SP_NODE_INTEGER */
    double number;          /* SP_NODE_INTEGER and SP_NODE_NUMBER */
    struct sp_node **items; /* list: values; map: key, value, key, value */
    size_t num;             /* of values or of pairs */
    size_t weight;          /* nodes when every alias is written out */
};

enum {
    SP_NODE_MAX_DEPTH = 64,
    SP_NODE_MAX = 8 << 20,         /* nodes of one text */
    SP_NODE_ALIAS_SLACK = 1 << 16, /* aliases may multiply a text to 16 times its nodes plus this; more is a bomb */
};

/* All documents of a YAML stream. Problems carry `file`, line and column; *num is 0 after any. Refuses text over
 * SP_MODEL_MAX_FILE, bytes that are not UTF-8, NUL, recursion, more depth or nodes than the limits above. */
SP_MUST bool sp_nodes_read_yaml(struct sp_arena *a, struct sp_str text, struct sp_str file, struct sp_node ***docs,
                                size_t *num, struct sp_problems *problems);
/* One JSON value (RFC 8259), strictly; places are not known. NULL after a problem. */
struct sp_node *sp_node_read_json(struct sp_arena *a, struct sp_str text, struct sp_str file,
                                  struct sp_problems *problems);

/* The value of a key in a map; NULL: not there, or not a map. */
struct sp_node *sp_node_get(const struct sp_node *map, struct sp_str key);
/* "the string 'x'", "the number 80", "a list": what was found, for people. Long text is cut. */
struct sp_str sp_node_describe(struct sp_arena *a, const struct sp_node *n);
/* First byte that is no UTF-8 or is NUL; text.len when all is well. */
size_t sp_utf8_check(struct sp_str text);
