#include "plugin/cert_header.h"
#include "base/encoding.h"

static bool append(struct sp_der_list *out, struct sp_str der)
{
    if (der.len == 0 || out->num == DP_CERT_HEADER_MAX)
        return false;
    out->v[out->num++] = der;
    return true;
}

static struct sp_str without(struct sp_str s, struct sp_str prefix, struct sp_str suffix)
{
    if (sp_str_starts(s, prefix))
        s = sp_str_skip(s, prefix.len);
    if (sp_str_ends(s, suffix))
        s.len -= suffix.len;
    return s;
}

static bool read_base64(struct sp_arena *a, struct sp_str value, struct sp_der_list *out)
{
    while (value.p) {
        struct sp_str item = sp_str_trim(sp_str_split(&value, ',')), der;
        item = without(item, SP_STR("-----BEGIN CERTIFICATE-----"), SP_STR("-----END CERTIFICATE-----"));
        if (!sp_base64_decode(a, item, &der) || !append(out, der))
            return false;
    }
    return true;
}

static bool read_url(struct sp_arena *a, struct sp_str value, struct sp_der_list *out)
{
    struct sp_str pem;
    struct sp_der_list list;
    if (!sp_percent_decode(a, value, false, &pem) || sp_failed(sp_pem_certificates(pem, a, &list, NULL)))
        return false;
    for (size_t i = 0; i < list.num; i++)
        if (!append(out, list.v[i]))
            return false;
    return true;
}

/* RFC 8941 byte sequences; parameters mean nothing here. */
static bool read_byte_sequences(struct sp_arena *a, struct sp_str value, struct sp_der_list *out)
{
    while (value.p) {
        struct sp_str params = sp_str_split(&value, ','), item = sp_str_trim(sp_str_split(&params, ';')), der;
        if (item.len < 2 || item.p[0] != ':' || item.p[item.len - 1] != ':')
            return false;
        if (!sp_base64_decode(a, sp_str(item.p + 1, item.len - 2), &der) || !append(out, der))
            return false;
    }
    return true;
}

static bool read_chain_field(struct sp_arena *a, const struct sp_fields *fields, struct sp_str name,
                             struct sp_der_list *out)
{
    struct sp_str chain = sp_arena_printf(a, "%.*s-Chain", SP_FMT(name));
    for (uint32_t i = 0; i < fields->len; i++) {
        const struct sp_field *f = &fields->v[i];
        if (!f->removed && sp_field_name_same(f->name, chain) && !read_byte_sequences(a, f->value, out))
            return false;
    }
    return true;
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

static bool read_xfcc(struct sp_arena *a, struct sp_str value, struct sp_der_list *out)
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
    return read_url(a, chain.len ? chain : cert, out); /* Envoy's Chain begins with the leaf */
}

bool dp_cert_header_read(struct sp_arena *a, const struct sp_fields *fields, struct sp_str name,
                         enum dp_cert_format format, struct sp_der_list *out)
{
    *out = (struct sp_der_list){SP_NEW_N(a, struct sp_str, DP_CERT_HEADER_MAX), 0};
    const struct sp_field *field = NULL;
    for (uint32_t i = 0; i < fields->len; i++) {
        const struct sp_field *f = &fields->v[i];
        if (f->removed || !sp_field_name_same(f->name, name))
            continue;
        if (field)
            return false;
        field = f;
    }
    if (!field)
        return true;
    switch (format) {
    case DP_CERT_BASE64:
        return read_base64(a, field->value, out);
    case DP_CERT_URL:
        return read_url(a, field->value, out);
    case DP_CERT_RFC9440:
        return read_byte_sequences(a, field->value, out) && out->num == 1 && read_chain_field(a, fields, name, out);
    case DP_CERT_XFCC:
        return read_xfcc(a, field->value, out) && out->num > 0;
    }
    return false;
}
