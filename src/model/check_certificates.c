/* Certificates and CA certificates: do the bytes hold what the fields say? (kong-behaviour 4.5) */
#include "model/build.h"

#include "model/vault.h"
#include "tls/crl.h"
#include "tls/verify.h"

/* The text is not the PEM. A file:// reference that is still there was not expanded: its file cannot be read, which is
 * said already, or it came to a control plane, which opens no files for its clients. */
static bool is_reference(struct sp_builder *b, const struct sp_entity *e, const char *field, struct sp_str pem)
{
    if (sp_is_vault_reference(pem))
        return true; /* its content is the data planes' affair */
    if (!sp_str_starts(pem, SP_STR("file://")))
        return false;
    for (const struct sp_problem *p = b->problems->first; p; p = p->next)
        if (strcmp(p->code, "file_reference") == 0 && sp_str_starts(p->text, pem))
            return true;
    sp_entity_problem(b, e, SP_PROBLEM_ERROR, "file_reference", field,
                      "%.*s: sallyctl and a data plane's own file may refer to files; here the PEM itself must stand",
                      SP_FMT(pem));
    return true;
}

static bool check_chain(struct sp_builder *b, const struct sp_entity *e, const char *field, const char *pem,
                        struct sp_der_list *list)
{
    struct sp_error err = {0};
    if (!pem || is_reference(b, e, field, sp_str_z(pem)))
        return false;
    struct sp_cert_info info;
    sp_result r = sp_pem_certificates(sp_str_z(pem), b->arena, list, &err);
    for (size_t i = 0; i < list->num && !sp_failed(r); i++) /* among others: no NUL in a name */
        r = sp_cert_read(list->v[i], b->arena, &info, &err);
    if (!sp_failed(r))
        return true;
    sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", field, "invalid certificate: %s", err.text);
    return false;
}

static bool check_key(struct sp_builder *b, const struct sp_entity *e, const char *field, const char *pem,
                      enum sp_key_type *type)
{
    struct sp_error err = {0};
    if (!pem || strcmp(pem, "[redacted]") == 0 || is_reference(b, e, field, sp_str_z(pem)))
        return false; /* said already */
    if (!sp_failed(sp_pem_key_type(sp_str_z(pem), type, &err)))
        return true;
    sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", field, "invalid key: %s", err.text);
    return false;
}

/* One pair; *type is what the key is. */
static bool check_pair(struct sp_builder *b, const struct sp_entity *e, const char *cert, const char *key,
                       const char *suffix, enum sp_key_type *type)
{
    struct sp_error err = {0};
    struct sp_der_list list = {0};
    struct sp_str cert_field = sp_arena_printf(b->arena, "cert%s", suffix),
                  key_field = sp_arena_printf(b->arena, "key%s", suffix);
    bool has_cert = check_chain(b, e, cert_field.p, cert, &list), has_key = check_key(b, e, key_field.p, key, type);
    if (!has_cert || !has_key)
        return false;
    if (sp_failed(sp_pem_key_matches(sp_str_z(cert), sp_str_z(key), &err))) {
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", key_field.p, "certificate does not match key");
        return false;
    }
    return true;
}

static void check_certificate(struct sp_builder *b, const struct sp_entity *e)
{
    const Sallyport__V1__Certificate *c = (const Sallyport__V1__Certificate *)e->message;
    enum sp_key_type type = SP_KEY_RSA, alt = SP_KEY_RSA;
    bool good = check_pair(b, e, c->cert, c->key, "", &type);
    if (!c->cert_alt && !c->key_alt)
        return;
    if (!c->cert_alt || !c->key_alt) {
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "required", c->cert_alt ? "key_alt" : "cert_alt",
                          "all or none of these fields must be set: 'cert_alt', 'key_alt'");
        return;
    }
    if (check_pair(b, e, c->cert_alt, c->key_alt, "_alt", &alt) && good && type == alt)
        sp_entity_problem(
            b, e, SP_PROBLEM_ERROR, "invalid_value", "cert_alt",
            "certificate and alternative certificate need to have different type (e.g. RSA and ECDSA), the "
            "provided certificates were both of the same type");
}

/* What stands here is what data planes will read: the same checks, but each with its place. */
static void check_crl(struct sp_builder *b, const struct sp_entity *e, const char *field, struct sp_str pem,
                      struct sp_str issuer)
{
    struct sp_arena *scratch = sp_arena_new(pem.len + 4096);
    struct sp_error err = {0};
    struct sp_der_list list = {0};
    if (sp_failed(sp_pem_crls(pem, scratch, &list, &err)))
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", field, "invalid CRL: %s", err.text);
    for (size_t i = 0; i < list.num && !err.code; i++) {
        struct sp_crl *crl;
        const char *why = sp_crl_read(list.v[i], issuer, &crl), *stale = why ? NULL : sp_crl_stale(crl, b->now);
        if (why)
            sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", field, "invalid CRL: %s", why);
        if (stale)
            sp_entity_problem(b, e, SP_PROBLEM_WARNING, "crl_stale", field,
                              "%s: whom it lists stays refused, and revocation_check_mode STRICT refuses everybody "
                              "under this CA",
                              stale);
        sp_crl_unref(crl);
    }
    sp_arena_free(scratch);
}

static void check_crls(struct sp_builder *b, const struct sp_entity *e, const Sallyport__V1__CaCertificate *c,
                       struct sp_str issuer)
{
    for (size_t i = 0; i < c->n_crls; i++) {
        struct sp_str pem = sp_str_z(c->crls[i]), field = sp_arena_printf(b->arena, "crls[%zu]", i);
        if (sp_is_vault_reference(pem) || !is_reference(b, e, field.p, pem)) /* a CRL is no secret */
            check_crl(b, e, field.p, pem, issuer);
    }
}

static void check_ca(struct sp_builder *b, const struct sp_entity *e)
{
    Sallyport__V1__CaCertificate *c = (Sallyport__V1__CaCertificate *)e->message;
    struct sp_error err = {0};
    struct sp_der_list list = {0};
    struct sp_cert_info info;
    if (sp_is_vault_reference(sp_str_z(c->cert)))
        c->cert_digest = NULL; /* computed, and not known */
    if (!check_chain(b, e, "cert", c->cert, &list))
        return;
    if (list.num != 1) {
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "cert",
                          "please submit only one certificate at a time");
        return;
    }
    if (sp_failed(sp_cert_read(list.v[0], b->arena, &info, &err))) {
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "cert", "invalid certificate: %s", err.text);
        return;
    }
    if (!info.is_ca)
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "cert",
                          "certificate does not appear to be a CA because it is missing the \"CA\" basic constraint");
    if (info.not_after < b->now)
        sp_entity_problem(
            b, e, SP_PROBLEM_WARNING, "ca_expired", "cert",
            "certificate expired, \"Not After\" time is in the past: %.*s stays, but no client certificate "
            "passes under it",
            SP_FMT(info.subject_dn));
    if (sp_ca_is_weak(list.v[0]))
        sp_entity_problem(b, e, SP_PROBLEM_WARNING, "ca_weak", "cert",
                          "the key of %.*s is too weak (RSA from 2048 bits, P-256 or better are wanted): no client "
                          "certificate passes under it",
                          SP_FMT(info.subject_dn));
    check_crls(b, e, c, list.v[0]);
    char *hex = sp_arena_alloc_raw(b->arena, 65);
    sp_hex(info.sha256, 32, hex);
    if (c->cert_digest && strcmp(c->cert_digest, hex) != 0)
        sp_entity_problem(b, e, SP_PROBLEM_ERROR, "invalid_value", "cert_digest",
                          "is not the digest of 'cert'; leave it out");
    c->cert_digest = hex;
}

void sp_check_certificates(struct sp_builder *b)
{
    for (size_t i = 0; i < b->kinds[SP_CERTIFICATES].num; i++)
        check_certificate(b, b->kinds[SP_CERTIFICATES].v[i]);
    for (size_t i = 0; i < b->kinds[SP_CA_CERTIFICATES].num; i++)
        check_ca(b, b->kinds[SP_CA_CERTIFICATES].v[i]);
}
