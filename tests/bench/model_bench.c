/* What a configuration of many routes costs: reading the file, loading the store, compiling, comparing. */
#include "model/compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double lap(double *from)
{
    double at = now_ms(), took = at - *from;
    *from = at;
    return took;
}

static void write_file(struct sp_buf *b, unsigned routes)
{
    sp_buf_printf(b, "_format_version: \"3.0\"\nservices:\n");
    for (unsigned i = 0; i < routes; i++)
        sp_buf_printf(b,
                      "- name: s%u\n  host: h%u.test\n  routes:\n  - name: r%u\n    protocols: [https]\n    hosts: "
                      "[h%u.test]\n    snis: [h%u.test]\n    paths: [/a%u]\n    plugins:\n    - name: "
                      "tls-handshake-modifier\n",
                      i, i, i, i, i, i);
}

static struct sp_stored_entity *stored(struct sp_arena *a, const struct sp_model *m, size_t *num)
{
    size_t n = 0;
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        n += m->num[k];
    struct sp_stored_entity *v = SP_NEW_N(a, struct sp_stored_entity, n);
    *num = 0;
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        for (size_t i = 0; i < m->num[k]; i++) {
            const ProtobufCMessage *msg = m->entities[k][i].message;
            uint8_t *bytes = sp_arena_alloc(a, protobuf_c_message_get_packed_size(msg) + 1);
            v[(*num)++] = (struct sp_stored_entity){k, sp_str(bytes, protobuf_c_message_pack(msg, bytes))};
        }
    return v;
}

static void measure(unsigned routes)
{
    struct sp_arena *a = sp_arena_new(1 << 20), *b = sp_arena_new(1 << 20), *c = sp_arena_new(1 << 20);
    struct sp_buf SP_AUTO(sp_buf_fini) text = {0};
    struct sp_problems problems;
    struct sp_model *m, *again;
    struct sp_resources *r;
    struct sp_change *changes;
    size_t num;
    sp_problems_init(&problems, a);
    write_file(&text, routes);
    double at = now_ms();
    if (sp_failed(sp_model_parse(a, sp_buf_str(&text), SP_STR("bench.yaml"), 0, &m, &problems)))
        exit(1);
    double parsed = lap(&at);
    struct sp_stored_entity *v = stored(a, m, &num);
    lap(&at);
    if (sp_failed(sp_model_load(b, v, num, SP_STR(""), &again, &problems)))
        exit(1);
    double loaded = lap(&at);
    if (sp_failed(sp_compile(c, again, &r, &problems)))
        exit(1);
    double compiled = lap(&at);
    sp_model_diff(c, m, again, &changes, &num);
    double compared = lap(&at);
    printf("%7u routes: parse %.1f ms (%zu KiB), load %.1f ms (%zu KiB), compile %.1f ms (%zu KiB), diff %.1f ms\n",
           routes, parsed, sp_arena_used(a) / 1024, loaded, sp_arena_used(b) / 1024, compiled, sp_arena_used(c) / 1024,
           compared);
    sp_arena_free(a);
    sp_arena_free(b);
    sp_arena_free(c);
}

int main(void)
{
    measure(100);
    measure(10000);
    measure(50000);
    return 0;
}
