/* The handshake map for people: what a name gets and why, and what a change does to it. */
#include "model/compile.h"

#include "base/json.h"
#include "base/names.h"
#include "model/handshake.h"
#include "model/vault.h"

/* --- lookups over resources --- */

static struct sp_name_map *handshake_names(struct sp_arena *a, const struct sp_resources *r)
{
    struct sp_name_map *names = sp_name_map_new(a, 64, true);
    for (size_t i = 0; r && i < r->num; i++)
        if (r->v[i].kind == SALLYPORT__V1__KIND__HANDSHAKE)
            sp_name_map_put(names, r->v[i].name, r->v[i].message);
    return names;
}

const struct sp_resource *sp_resources_find(const struct sp_resources *r, Sallyport__V1__Kind kind, struct sp_str name)
{
    size_t low = 0, high = r->num;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct sp_resource *x = &r->v[mid];
        int c = x->kind != kind ? (x->kind > kind) - (x->kind < kind) : sp_str_cmp(x->name, name);
        if (c == 0)
            return x;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

struct served {
    struct sp_str id, pattern;
};

static void find_certificate(struct sp_arena *a, const struct sp_resources *r, struct sp_str name,
                             struct sp_handshake_answer *out)
{
    struct sp_name_map *names = sp_name_map_new(a, 64, false);
    for (size_t i = 0; i < r->num; i++) {
        if (r->v[i].kind != SALLYPORT__V1__KIND__CERTIFICATE)
            continue;
        const Sallyport__V1__ServerCertificate *c = (const Sallyport__V1__ServerCertificate *)r->v[i].message;
        for (size_t j = 0; j < c->n_snis; j++) {
            struct served *s = SP_NEW(a, struct served);
            *s = (struct served){r->v[i].name, sp_str_z(c->snis[j])};
            sp_name_map_put(names, s->pattern, s);
        }
    }
    const struct served *s = sp_name_map_find(names, name);
    if (s) {
        out->certificate_id = s->id;
        out->certificate_pattern = s->pattern;
    }
}

/* The name of a CA as text; of one that is a vault reference, what can be said of it here. */
static struct sp_str ca_name(struct sp_arena *a, const Sallyport__V1__CaCertificate *ca, size_t *bytes)
{
    struct sp_str dn = SP_STR(""), subject = sp_ca_subject(a, ca, &dn);
    if (subject.len)
        *bytes += 2 + subject.len;
    else if (ca && sp_is_vault_reference(sp_str_z(ca->cert)))
        dn = sp_arena_printf(a, "the subject of %s", ca->cert);
    return dn;
}

static void add_names(struct sp_arena *a, const struct sp_resources *r, struct sp_handshake_answer *out)
{
    const Sallyport__V1__HandshakeEntry *e = out->entry;
    out->ca_names = SP_NEW_N(a, struct sp_str, e->n_ca_certificates + 1);
    for (size_t i = 0; i < e->n_ca_certificates; i++) {
        const struct sp_resource *ca =
            sp_resources_find(r, SALLYPORT__V1__KIND__CA_CERTIFICATE, sp_str_z(e->ca_certificates[i]));
        const Sallyport__V1__CaCertificate *conf = ca ? (const Sallyport__V1__CaCertificate *)ca->message : NULL;
        struct sp_str name = ca_name(a, conf, &out->ca_names_bytes);
        if (name.len)
            out->ca_names[out->num_ca_names++] = name;
    }
}

void sp_explain_handshake(struct sp_arena *a, const struct sp_resources *r, struct sp_str sni,
                          struct sp_handshake_answer *out)
{
    char name[SP_HOST_MAX + 1];
    size_t len = 0;
    *out = (struct sp_handshake_answer){0};
    bool named = sni.len && sp_host_normalise(sni, name, &len); /* an address is no SNI */
    struct sp_str normal = named ? sp_str(name, len) : SP_STR("");
    out->entry = sp_name_map_find(handshake_names(a, r), normal);
    find_certificate(a, r, normal, out);
    if (!out->entry)
        return;
    out->ask = true;
    out->matched = sp_str_z(out->entry->sni);
    add_names(a, r, out);
}

/* --- JSON --- */

static void put_or_null(struct sp_json *j, const char *key, struct sp_str s)
{
    sp_json_key(j, key);
    if (s.len)
        sp_json_str(j, s);
    else
        sp_json_null(j);
}

void sp_handshake_answer_json(const struct sp_handshake_answer *h, struct sp_str sni, struct sp_buf *out)
{
    struct sp_json j = sp_json(out);
    sp_json_object(&j);
    put_or_null(&j, "sni", sni);
    sp_json_put_bool(&j, "asks", h->ask);
    put_or_null(&j, "matched", h->matched);
    sp_json_key(&j, "ca_names");
    sp_json_array(&j);
    for (size_t i = 0; i < h->num_ca_names; i++)
        sp_json_str(&j, h->ca_names[i]);
    sp_json_end_array(&j);
    sp_json_put_int(&j, "ca_names_bytes", (int64_t)h->ca_names_bytes);
    sp_json_key(&j, "certificate");
    if (h->certificate_id.len) {
        sp_json_object(&j);
        sp_json_put_str(&j, "id", h->certificate_id);
        sp_json_put_str(&j, "pattern", h->certificate_pattern);
        sp_json_end_object(&j);
    } else {
        sp_json_null(&j);
    }
    sp_json_key(&j, "because");
    sp_json_array(&j);
    for (size_t i = 0; h->entry && i < h->entry->n_provenance; i++) {
        struct sp_buf SP_AUTO(sp_buf_fini) one = {0};
        sp_message_write_json(&h->entry->provenance[i]->base, true, 0, &one);
        sp_json_raw(&j, sp_buf_str(&one));
    }
    sp_json_end_array(&j);
    sp_json_end_object(&j);
}

/* --- effects --- */

struct effects {
    struct sp_arena *a;
    const struct sp_resources *before, *after;
    struct sp_name_map *was, *is;
    struct sp_effect *v;
    size_t num, cap;
};

static void add_effect(struct effects *e, enum sp_effect_kind kind, struct sp_str sni, struct sp_str why)
{
    if (e->num == e->cap) {
        size_t cap = e->cap ? 2 * e->cap : 16;
        struct sp_effect *v = SP_NEW_N(e->a, struct sp_effect, cap);
        if (e->num)
            memcpy(v, e->v, e->num * sizeof *v);
        e->v = v;
        e->cap = cap;
    }
    e->v[e->num++] = (struct sp_effect){kind, sni, why};
}

static const Sallyport__V1__HandshakeEntry *look(struct effects *e, const struct sp_name_map *names,
                                                 struct sp_str pattern)
{
    const Sallyport__V1__HandshakeEntry *found = sp_name_map_exact(names, pattern);
    return found ? found : sp_name_map_find(names, sp_pattern_sample(e->a, pattern));
}

/* The same names on the wire: ids may stay while what stands behind them changes. */
static bool same_names(const struct effects *e, const Sallyport__V1__HandshakeEntry *x,
                       const Sallyport__V1__HandshakeEntry *y)
{
    if (x->n_ca_certificates != y->n_ca_certificates)
        return false;
    for (size_t i = 0; i < x->n_ca_certificates; i++) {
        const Sallyport__V1__Kind kind = SALLYPORT__V1__KIND__CA_CERTIFICATE;
        const struct sp_resource *p = sp_resources_find(e->before, kind, sp_str_z(x->ca_certificates[i]));
        const struct sp_resource *q = sp_resources_find(e->after, kind, sp_str_z(y->ca_certificates[i]));
        if (strcmp(x->ca_certificates[i], y->ca_certificates[i]) != 0 || !p || !q ||
            memcmp(p->hash, q->hash, sizeof p->hash) != 0)
            return false;
    }
    return true;
}

static struct sp_str why(struct effects *e, const Sallyport__V1__HandshakeEntry *x)
{
    if (!x->n_provenance)
        return SP_STR("");
    const Sallyport__V1__Provenance *p = x->provenance[0];
    struct sp_str more =
        x->n_provenance > 1 ? sp_arena_printf(e->a, " (and %zu more)", x->n_provenance - 1) : SP_STR("");
    return sp_arena_printf(e->a, "%s (%s): %s%.*s", p->plugin ? p->plugin : "", p->scope ? p->scope : "",
                           p->reason ? p->reason : "", SP_FMT(more));
}

static void compare(struct effects *e, struct sp_str pattern)
{
    const Sallyport__V1__HandshakeEntry *was = look(e, e->was, pattern), *is = look(e, e->is, pattern);
    if (!was && is)
        add_effect(e, SP_EFFECT_STARTS, pattern, why(e, is));
    else if (was && !is)
        add_effect(e, SP_EFFECT_STOPS, pattern, why(e, was));
    else if (was && is && !same_names(e, was, is))
        add_effect(e, SP_EFFECT_CA_NAMES, pattern, why(e, is));
}

void sp_handshake_effects(struct sp_arena *a, const struct sp_resources *before, const struct sp_resources *after,
                          struct sp_effect **out, size_t *num)
{
    static const struct sp_resources nothing = {0};
    struct effects e = {.a = a, .before = before ? before : &nothing, .after = after};
    e.was = handshake_names(a, e.before);
    e.is = handshake_names(a, after);
    for (size_t i = 0; i < after->num; i++)
        if (after->v[i].kind == SALLYPORT__V1__KIND__HANDSHAKE)
            compare(&e, after->v[i].name);
    for (size_t i = 0; i < e.before->num; i++)
        if (e.before->v[i].kind == SALLYPORT__V1__KIND__HANDSHAKE && !sp_name_map_exact(e.is, e.before->v[i].name))
            compare(&e, e.before->v[i].name);
    *out = e.v;
    *num = e.num;
}
