#include "plugin/cert_header.h"
#include "base/encoding.h"

/* All of these give NULL, or why not: constants for the log. */
static const char *append(struct sp_der_list *out, struct sp_str der)
{
    if (out->num == DP_CERT_HEADER_MAX)
        return "more certificates in the field than are read";
    out->v[out->num++] = der;
    return NULL;
}

static const char *append_base64(struct sp_arena *a, struct sp_str text, struct sp_der_list *out)
{
    struct sp_str der;
    if (!sp_base64_decode(a, text, &der) || der.len == 0)
        return "the field is not base64 of a certificate";
    return append(out, der);
}

static struct sp_str without(struct sp_str s, struct sp_str prefix, struct sp_str suffix)
{
    if (sp_str_starts(s, prefix))
        s = sp_str_skip(s, prefix.len);
    if (sp_str_ends(s, suffix))
        s.len -= suffix.len;
    return s;
}

static const char *read_base64(struct sp_arena *a, struct sp_str value, struct sp_der_list *out)
{
    const char *why = NULL;
    while (value.p && !why) {
        struct sp_str item = sp_str_trim(sp_str_split(&value, ','));
        item = without(item, SP_STR("-----BEGIN CERTIFICATE-----"), SP_STR("-----END CERTIFICATE-----"));
        why = append_base64(a, item, out);
    }
    return why;
}

static const char *read_url(struct sp_arena *a, struct sp_str value, struct sp_der_list *out)
{
    struct sp_str pem;
    struct sp_der_list list;
    const char *why = NULL;
    if (!sp_percent_decode(a, value, false, &pem))
        return "the field is not percent-encoded";
    if (sp_failed(sp_pem_certificates(pem, a, &list, NULL)))
        return "the field is not a certificate in PEM form";
    for (size_t i = 0; i < list.num && !why; i++)
        why = append(out, list.v[i]);
    return why;
}

/* RFC 8941 byte sequences; parameters mean nothing here. */
static const char *read_byte_sequences(struct sp_arena *a, struct sp_str value, struct sp_der_list *out)
{
    const char *why = NULL;
    while (value.p && !why) {
        struct sp_str params = sp_str_split(&value, ','), item = sp_str_trim(sp_str_split(&params, ';'));
        if (item.len < 2 || item.p[0] != ':' || item.p[item.len - 1] != ':')
            return "the field is not a byte sequence between colons";
        why = append_base64(a, sp_str(item.p + 1, item.len - 2), out);
    }
    return why;
}

static const char *read_rfc9440(struct sp_arena *a, const struct sp_fields *fields, const struct sp_field *leaf,
                                struct sp_str name, struct sp_der_list *out)
{
    struct sp_str chain = sp_arena_printf(a, "%.*s-Chain", SP_FMT(name));
    const char *why = read_byte_sequences(a, leaf->value, out);
    if (!why && out->num != 1)
        return "more than one certificate where the client's own belongs";
    for (uint32_t i = 0; i < fields->len && !why; i++) {
        const struct sp_field *f = &fields->v[i];
        if (!f->removed && sp_field_name_same(f->name, chain))
            why = read_byte_sequences(a, f->value, out);
    }
    return why;
}

/* Cuts at `sep` outside of double quotes. */
static struct sp_str split_unquoted(struct sp_str *s, char sep)
{
    bool quoted = false;
    for (size_t i = 0; i < s->len; i++) {
        if (s->p[i] == '\\' && quoted)
            i++;
        else if (s->p[i] == '"')
            quoted = !quoted;
        else if (s->p[i] == sep && !quoted) {
            struct sp_str head = sp_str(s->p, i);
            *s = sp_str_skip(*s, i + 1);
            return head;
        }
    }
    struct sp_str head = *s;
    *s = (struct sp_str){0};
    return head;
}

static const char *read_xfcc(struct sp_arena *a, struct sp_str value, struct sp_der_list *out)
{
    struct sp_str last = {0}, cert = {0}, chain = {0};
    while (value.p)
        last = sp_str_trim(split_unquoted(&value, ','));
    while (last.p) {
        struct sp_str text = split_unquoted(&last, ';'), key = sp_str_trim(sp_str_split(&text, '='));
        text = without(sp_str_trim(text), SP_STR("\""), SP_STR("\""));
        if (sp_str_ieq(key, SP_STR("Cert")))
            cert = text;
        else if (sp_str_ieq(key, SP_STR("Chain")))
            chain = text;
    }
    if (!chain.len && !cert.len)
        return "the last element of the field has neither Cert nor Chain";
    return read_url(a, chain.len ? chain : cert, out); /* Envoy's Chain begins with the leaf */
}

const char *dp_cert_header_read(struct sp_arena *a, const struct sp_fields *fields, struct sp_str name,
                                enum dp_cert_format format, struct sp_der_list *out)
{
    *out = (struct sp_der_list){SP_NEW_N(a, struct sp_str, DP_CERT_HEADER_MAX), 0};
    const struct sp_field *field = NULL;
    for (uint32_t i = 0; i < fields->len; i++) {
        const struct sp_field *f = &fields->v[i];
        if (f->removed || !sp_field_name_same(f->name, name))
            continue;
        if (field)
            return "the field is there more than once";
        field = f;
    }
    if (!field || !sp_str_trim(field->value).len)
        return NULL;
    switch (format) {
    case DP_CERT_BASE64:
        return read_base64(a, field->value, out);
    case DP_CERT_URL:
        return read_url(a, field->value, out);
    case DP_CERT_RFC9440:
        return read_rfc9440(a, fields, field, name, out);
    case DP_CERT_XFCC:
        return read_xfcc(a, field->value, out);
    }
    return "unknown format";
}
