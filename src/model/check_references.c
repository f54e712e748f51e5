/* Texts that stand for others. Vault references: only where they are resolved, well-formed, and of a vault that is
 * there. What stands behind them is known to data planes alone. */
#include "model/build.h"

#include "model/rules.h"
#include "model/vault.h"

struct checking {
    struct sp_builder *b;
    const struct sp_entity *e;
};

static void refuse(const struct checking *c, const struct sp_string *s, const char *code, const char *why)
{
    sp_entity_problem(c->b, c->e, SP_PROBLEM_ERROR, code, sp_string_path(c->b->arena, s).p, "%s", why);
}

/* The prefixes are one space for all workspaces, as the names of servers are. */
static const struct sp_entity *find_vault(const struct sp_builder *b, struct sp_str prefix)
{
    for (size_t i = 0; i < b->kinds[SP_VAULTS].num; i++)
        if (sp_str_eq(b->kinds[SP_VAULTS].v[i]->key, prefix))
            return b->kinds[SP_VAULTS].v[i];
    return NULL;
}

static void check_reference(const struct checking *c, const struct sp_string *s, struct sp_str text)
{
    struct sp_vault_reference ref;
    const struct sp_rule *rule = sp_rule_find(s->of, s->field->name);
    if (!rule || !rule->referenceable) {
        refuse(c, s, "invalid_value",
               "a vault reference is not resolved in this field: its value itself must stand here");
        return;
    }
    const char *why = sp_vault_reference_parse(text, &ref);
    if (why) {
        refuse(c, s, "invalid_value", why);
        return;
    }
    if (sp_str_eq(ref.vault, SP_STR("env")) || find_vault(c->b, ref.vault))
        return;
    why = sp_vault_not_served(ref.vault);
    refuse(
        c, s, "invalid_reference",
        sp_arena_printf(c->b->arena, "vault '%.*s': %s", SP_FMT(ref.vault), why ? why : "no such entry in 'vaults'").p);
}

/* ${{ env "DECK_NAME" }}: a file on its way through decK or sallyctl, which did not go through them. */
static bool has_variable(const char *text)
{
    const char *p = strstr(text, "${{");
    for (; p; p = strstr(p, "${{")) {
        p += strlen("${{");
        p += strspn(p, " ");
        if (strncmp(p, "env ", 4) == 0 && strncmp(p + 4 + strspn(p + 4, " "), "\"DECK_", 6) == 0)
            return true;
    }
    return false;
}

bool sp_stands_for_another(const char *text)
{
    return sp_is_vault_reference(sp_str_z(text)) || has_variable(text);
}

static void check_string(void *ctx, const struct sp_string *s)
{
    const struct checking *c = ctx;
    struct sp_str text = sp_str_z(*s->at);
    if (sp_is_vault_reference(text))
        check_reference(c, s, text);
    else if (has_variable(*s->at))
        refuse(c, s, "invalid_value",
               "a variable of decK that was not put in: sallyctl does that, with its environment");
}

void sp_check_references(struct sp_builder *b)
{
    for (int k = 0; k < SP_NUM_ENTITY_KINDS; k++)
        for (size_t i = 0; i < b->kinds[k].num; i++) {
            struct checking c = {b, b->kinds[k].v[i]};
            sp_msg_each_string(c.e->message, check_string, &c);
        }
}
