#include "control/api/config.h"
#include "model/handshake.h"
#include <stdlib.h>

/* Both models are sorted by id; `places` may hold fewer. */
static void lend_places(struct cp_config *c, const struct sp_model *places)
{
    struct sp_str from = {0}, copy = {0};
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        for (size_t i = 0, p = 0; i < c->model->num[k] && p < places->num[k]; i++) {
            struct sp_entity *e = &c->model->entities[k][i];
            const struct sp_entity *place = &places->entities[k][p];
            if (!sp_str_eq(e->id, place->id))
                continue;
            p++;
            if (place->file.len && !sp_str_eq(place->file, from)) {
                from = place->file;
                copy = sp_arena_dup(c->arena, from);
            }
            e->file = place->file.len ? copy : SP_STR("");
            e->line = place->line;
        }
}

struct cp_config *cp_config_new(const struct sp_stored_entity *v, size_t num, struct sp_str settings,
                                const struct sp_model *places)
{
    struct cp_config *c = sp_alloc(sizeof *c);
    c->refs = 1;
    c->arena = sp_arena_new(64 << 10);
    sp_problems_init(&c->problems, c->arena);
    if (sp_failed(sp_model_load(c->arena, v, num, settings, &c->model, &c->problems)))
        return c;
    if (places)
        lend_places(c, places);
    if (sp_failed(sp_compile(c->arena, c->model, &c->resources, &c->problems)))
        c->resources = NULL;
    sp_vault_lint(c->model, &c->problems);
    return c;
}

const struct sp_explainer *cp_config_explainer(struct cp_config *c, struct sp_error *err)
{
    struct sp_problems problems;
    if (c->explainer)
        return c->explainer;
    struct sp_arena *scratch = sp_arena_new(4096);
    sp_problems_init(&problems, scratch);
    if (sp_failed(sp_explainer_new(c->resources, c->revision.revision, false, &c->explainer, &problems)))
        (void)!sp_failed(sp_problems_result(&problems, err));
    sp_arena_free(scratch);
    return c->explainer;
}

struct cp_config *cp_config_ref(struct cp_config *c)
{
    c->refs++;
    return c;
}

void cp_config_unref(struct cp_config *c)
{
    if (!c || --c->refs)
        return;
    sp_explainer_free(c->explainer);
    sp_arena_free(c->arena);
    free(c);
}
