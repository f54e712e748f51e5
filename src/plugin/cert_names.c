#include "plugin/cert_names.h"

/* X.520 and RFC 4519 attributes by their three names. */
static const struct {
    const char *oid, *brief, *full;
} attributes[] = {
    {"2.5.4.3", "CN", "commonName"},
    {"2.5.4.4", "SN", "surname"},
    {"2.5.4.5", "serialNumber", "serialNumber"},
    {"2.5.4.6", "C", "countryName"},
    {"2.5.4.7", "L", "localityName"},
    {"2.5.4.8", "ST", "stateOrProvinceName"},
    {"2.5.4.9", "street", "streetAddress"},
    {"2.5.4.10", "O", "organizationName"},
    {"2.5.4.11", "OU", "organizationalUnitName"},
    {"2.5.4.12", "title", "title"},
    {"2.5.4.13", "description", "description"},
    {"2.5.4.17", "postalCode", "postalCode"},
    {"2.5.4.41", "name", "name"},
    {"2.5.4.42", "GN", "givenName"},
    {"2.5.4.43", "initials", "initials"},
    {"2.5.4.44", "generationQualifier", "generationQualifier"},
    {"2.5.4.46", "dnQualifier", "dnQualifier"},
    {"2.5.4.65", "pseudonym", "pseudonym"},
    {"2.5.4.97", "organizationIdentifier", "organizationIdentifier"},
    {"0.9.2342.19200300.100.1.1", "UID", "userId"},
    {"0.9.2342.19200300.100.1.25", "DC", "domainComponent"},
    {"1.2.840.113549.1.9.1", "emailAddress", "emailAddress"},
};

static bool is_attribute(const struct sp_cert_name *n, const char *word)
{
    struct sp_str w = sp_str_z(word);
    if (sp_str_eq(w, n->oid) || sp_str_eq(w, n->attribute))
        return true;
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (sp_str_eq(n->oid, sp_str_z(attributes[i].oid)))
            return strcmp(word, attributes[i].brief) == 0 || strcmp(word, attributes[i].full) == 0;
    return false;
}

static bool counts(const struct sp_cert_name *n, char *const *matcher, size_t num)
{
    if (n->type != SP_NAME_DIRECTORY || num == 0)
        return true;
    for (size_t i = 0; i < num; i++)
        if (is_attribute(n, matcher[i]))
            return true;
    return false;
}

size_t dp_cert_names(struct sp_arena *a, const struct sp_cert_info *info, char *const *matcher, size_t num_matcher,
                     struct sp_str **out)
{
    *out = SP_NEW_N(a, struct sp_str, info->num_names + 1);
    size_t num = 0;
    for (size_t i = 0; i < info->num_names; i++)
        if (info->names[i].text.len && counts(&info->names[i], matcher, num_matcher))
            (*out)[num++] = info->names[i].text;
    return num;
}

struct sp_str dp_cert_names_join(struct sp_arena *a, const struct sp_str *names, size_t num)
{
    size_t len = 0;
    for (size_t i = 0; i < num; i++)
        len += names[i].len + 1;
    char *p = sp_arena_alloc(a, len + 1), *at = p;
    for (size_t i = 0; i < num; i++) {
        if (i)
            *at++ = ',';
        memcpy(at, names[i].p, names[i].len);
        at += names[i].len;
    }
    return sp_str(p, (size_t)(at - p));
}
