#include "model/vault.h"

#include "model/rules.h"
#include "model/values.h"

/* --- kinds --- */

const char *sp_vault_not_served(struct sp_str name)
{
    static const char kinds[] = "aws azure conjur fs gcp hcv konnect";
    return sp_words_have(kinds, name) ? "this kind of vault is not served: only env is" : NULL;
}

const char *sp_check_vault_name(const char *v)
{
    const char *why = sp_vault_not_served(sp_str_z(v));
    return why || strcmp(v, "env") == 0 ? why : "expected one of: env";
}

static bool consists_of(struct sp_str s, const char *more)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = sp_lower((unsigned char)s.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr(more, c))))
            return false;
    }
    return s.len > 0 && s.len <= SP_VAULT_MAX_NAME;
}

/* It stands where a host stands in a reference. */
static bool is_prefix(struct sp_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] != (char)sp_lower((unsigned char)s.p[i]))
            return false;
    return consists_of(s, "-") && s.p[0] >= 'a' && s.p[s.len - 1] != '-';
}

const char *sp_check_vault_prefix(const char *v)
{
    struct sp_str prefix = sp_str_z(v);
    if (sp_str_eq(prefix, SP_STR("env")) || sp_vault_not_served(prefix))
        return "must not be a kind of vault";
    return prefix.len > 1 && is_prefix(prefix) ? NULL : "invalid value: lower case letters, digits and '-' are wanted";
}

const char *sp_check_variable(const char *v)
{
    if (*v >= '0' && *v <= '9')
        return "must not begin with a digit";
    return consists_of(sp_str_z(v), "_") ? NULL : "letters, digits and '_' are wanted";
}

/* --- references --- */

static bool is_key(struct sp_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] <= 0x20 || strchr("/{}\x7f", s.p[i]))
            return false;
    return s.len > 0 && s.len <= SP_VAULT_MAX_NAME;
}

static const char *parse_query(struct sp_str query, struct sp_vault_reference *out)
{
    struct sp_str name = sp_str_split(&query, '=');
    if (!sp_str_eq(name, SP_STR("prefix")) || !consists_of(query, "_"))
        return "the only option behind '?' is prefix=NAME";
    out->prefix = query;
    return NULL;
}

const char *sp_vault_reference_parse(struct sp_str text, struct sp_vault_reference *out)
{
    static const char malformed[] = "a malformed vault reference: write {vault://env/NAME} or {vault://env/NAME/KEY}";
    *out = (struct sp_vault_reference){0};
    if (!sp_is_vault_reference(text) || !sp_str_ends(text, SP_STR("}")))
        return malformed;
    text = sp_str_skip(text, strlen("{vault://"));
    text.len--;
    if (memchr(text.p, '#', text.len))
        return "secrets have no versions in a vault of kind env: leave out what follows '#'";
    struct sp_str path = sp_str_split(&text, '?');
    const char *why = text.p ? parse_query(text, out) : NULL;
    out->vault = sp_str_split(&path, '/');
    out->resource = path.p ? sp_str_split(&path, '/') : path;
    out->key = path;
    if (!is_prefix(out->vault) || !consists_of(out->resource, "-_") || (path.p && !is_key(out->key)))
        return malformed;
    return why;
}
