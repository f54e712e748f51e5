#include "config/resource.h"

#include "tls/certificate.h"

static const ProtobufCMessageDescriptor *const descriptors[] = {
    [SALLYPORT__V1__KIND__CA_CERTIFICATE] = &sallyport__v1__ca_certificate__descriptor,
    [SALLYPORT__V1__KIND__CERTIFICATE] = &sallyport__v1__server_certificate__descriptor,
    [SALLYPORT__V1__KIND__CONSUMER] = &sallyport__v1__consumer_resource__descriptor,
    [SALLYPORT__V1__KIND__UPSTREAM] = &sallyport__v1__upstream_resource__descriptor,
    [SALLYPORT__V1__KIND__SERVICE] = &sallyport__v1__service__descriptor,
    [SALLYPORT__V1__KIND__PLUGIN] = &sallyport__v1__plugin__descriptor,
    [SALLYPORT__V1__KIND__ROUTE] = &sallyport__v1__route__descriptor,
    [SALLYPORT__V1__KIND__HANDSHAKE] = &sallyport__v1__handshake_entry__descriptor,
    [SALLYPORT__V1__KIND__VAULT] = &sallyport__v1__vault__descriptor,
};

int dp_resource_cmp(Sallyport__V1__Kind kind_a, struct sp_str a, Sallyport__V1__Kind kind_b, struct sp_str b)
{
    if (kind_a != kind_b)
        return kind_a < kind_b ? -1 : 1;
    return sp_str_cmp(a, b);
}

struct sp_str dp_resource_label(struct sp_arena *a, const struct sp_resource *r)
{
    const ProtobufCEnumValue *kind =
        protobuf_c_enum_descriptor_get_value(&sallyport__v1__kind__descriptor, (int)r->kind);
    return sp_arena_printf(a, "%s/%.*s", kind ? kind->name : "?", SP_FMT(r->name));
}

size_t dp_resource_cost(const struct sp_resource *r)
{
    return DP_RESOURCE_OVERHEAD + r->name.len + r->body.len;
}

/* The message and all that hang below it: false and the path's last step when one has a field that is not in the
 * schema. */
static bool known_throughout(const ProtobufCMessage *m, const char **where, unsigned *tag)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    if (m->n_unknown_fields) {
        *where = d->name;
        *tag = m->unknown_fields[0].tag;
        return false;
    }
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        const char *at = (const char *)m + f->offset;
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t n = *(const size_t *)(const void *)((const char *)m + f->quantifier_offset);
            ProtobufCMessage *const *v = *(ProtobufCMessage *const *const *)(const void *)at;
            for (size_t k = 0; k < n; k++)
                if (!known_throughout(v[k], where, tag))
                    return false;
            continue;
        }
        bool other = (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
                     *(const uint32_t *)(const void *)((const char *)m + f->quantifier_offset) != f->id;
        const ProtobufCMessage *below = other ? NULL : *(ProtobufCMessage *const *)(const void *)at;
        if (below && !known_throughout(below, where, tag))
            return false;
    }
    return true;
}

static void *arena_alloc(void *arena, size_t size)
{
    return sp_arena_alloc_raw(arena, size ? size : 1);
}

static void arena_free(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

static sp_result unpack(struct dp_held *h, struct sp_error *err)
{
    struct sp_resource *r = &h->resource;
    ProtobufCAllocator allocator = {arena_alloc, arena_free, h->arena};
    r->message = protobuf_c_message_unpack(descriptors[r->kind], &allocator, r->body.len, (const uint8_t *)r->body.p);
    if (!r->message)
        return sp_fail(err, SP_E_PARSE, "the body is not a %s", descriptors[r->kind]->short_name);
    const char *where = "";
    unsigned tag = 0;
    if (!known_throughout(r->message, &where, &tag))
        return sp_fail(err, SP_E_INVALID, "%s has field %u, which this data plane (%s) does not know", where, tag,
                       SP_VERSION);
    /* A NUL inside a text would end it for us and not for whoever judged it. */
    if (protobuf_c_message_get_packed_size(r->message) != r->body.len)
        return sp_fail(err, SP_E_INVALID, "the body is not in its canonical form");
    return sp_ok();
}

static sp_result check(Sallyport__V1__Kind kind, struct sp_str name, struct sp_str hash, struct sp_str body,
                       struct sp_error *err)
{
    if ((unsigned)kind >= sizeof descriptors / sizeof *descriptors || !descriptors[kind])
        return sp_fail(err, SP_E_INVALID, "kind %d is not one that this data plane (%s) knows", (int)kind, SP_VERSION);
    if (name.len == 0 || name.len > DP_RESOURCE_MAX_NAME || memchr(name.p, 0, name.len))
        return sp_fail(err, SP_E_INVALID, "the name is empty, longer than %d bytes or has a NUL", DP_RESOURCE_MAX_NAME);
    if (body.len > DP_RESOURCE_MAX_BODY)
        return sp_fail(err, SP_E_LIMIT, "%zu bytes of body, more than %d", body.len, DP_RESOURCE_MAX_BODY);
    uint8_t digest[32];
    sp_sha256(body, digest);
    if (hash.len != 16 || memcmp(hash.p, digest, 16) != 0)
        return sp_fail(err, SP_E_INVALID, "the hash is not that of the body");
    return sp_ok();
}

sp_result dp_held_new(Sallyport__V1__Kind kind, struct sp_str name, struct sp_str hash, struct sp_str body,
                      struct dp_held **out, struct sp_error *err)
{
    SP_TRY(check(kind, name, hash, body, err));
    struct sp_arena *a = sp_arena_new(descriptors[kind]->sizeof_message + 3 * body.len + name.len + 256);
    struct dp_held *h = SP_NEW(a, struct dp_held);
    *h = (struct dp_held){.refs = 1, .arena = a};
    h->resource.kind = kind;
    h->resource.name = sp_arena_dup(a, name);
    h->resource.body = sp_arena_dup(a, body);
    memcpy(h->resource.hash, hash.p, 16);
    sp_result r = unpack(h, err);
    if (sp_failed(r)) {
        dp_held_unref(h);
        return r;
    }
    *out = h;
    return sp_ok();
}

struct dp_held *dp_held_ref(struct dp_held *h)
{
    h->refs++;
    return h;
}

static void wipe_text(char *s)
{
    if (s && *s)
        sp_wipe(s, strlen(s));
}

void dp_held_unref(struct dp_held *h)
{
    if (!h || --h->refs)
        return;
    if (h->resource.kind == SALLYPORT__V1__KIND__CERTIFICATE) {
        const Sallyport__V1__ServerCertificate *m = (const void *)h->resource.message;
        sp_wipe((char *)h->resource.body.p, h->resource.body.len);
        if (m && m->certificate) {
            wipe_text(m->certificate->key);
            wipe_text(m->certificate->key_alt);
        }
    }
    sp_arena_free(h->arena);
}
