#include "plugin/identity.h"
#include "plugin/trace.h"

const char dp_already_authenticated[] = "somebody is authenticated already, and `anonymous` is set";

/* Also those that only other plugins set: a client must not bring them past authentication. */
static const struct sp_str managed[] = {
    {"X-Consumer-ID", 13},           {"X-Consumer-Custom-ID", 20}, {"X-Consumer-Username", 19},
    {"X-Credential-Identifier", 23}, {"X-Anonymous-Consumer", 20}, {"X-Client-Cert-Dn", 16},
    {"X-Client-Cert-San", 17},       {"X-Consumer-Groups", 17},    {"X-Authenticated-Groups", 22},
    {"X-Credential-Username", 21},
};
enum {
    ID,
    CUSTOM_ID,
    USERNAME,
    CREDENTIAL,
    ANONYMOUS,
    CERT_DN,
    CERT_SAN,
    NUM_MANAGED = sizeof managed / sizeof *managed
};

bool dp_identity_is_managed(struct sp_str name)
{
    if (name.len < 13 || sp_lower((unsigned char)name.p[0]) != 'x')
        return false;
    for (size_t m = 0; m < NUM_MANAGED; m++)
        if (name.len == managed[m].len && sp_field_name_same(name, managed[m]))
            return true;
    return false;
}

/* One pass over the fields instead of one for each name. */
void dp_identity_clear(struct sp_fields *f)
{
    for (uint32_t i = 0; i < f->len; i++) {
        struct sp_field *field = &f->v[i];
        field->removed = field->removed || dp_identity_is_managed(field->name);
    }
}

bool dp_identity_allows_trailer(const struct dp_call *call, struct sp_str name)
{
    for (size_t i = 0; i < call->num_own_names; i++)
        if (sp_field_name_same(call->own_names[i], name))
            return false;
    return !dp_identity_is_managed(name);
}

void dp_identity_settle(struct dp_call *call)
{
    static const struct sp_str names[] = {{"Client-Cert", 11}, {"Client-Cert-Chain", 17}};
    struct sp_fields *f = &call->request->fields;
    if (call->peer_trusted || call->tells_certificate)
        return;
    for (uint32_t i = 0; i < f->len; i++) {
        struct sp_field *field = &f->v[i];
        for (int n = 0; n < 2; n++)
            if (field->name.len == names[n].len && sp_field_name_same(field->name, names[n]))
                field->removed = true;
    }
}

static void add(struct dp_call *call, int which, struct sp_str value)
{
    if (value.len && sp_field_value_valid(value)) /* a name that is no field value is not sent, rather than broken up */
        sp_fields_add(&call->request->fields, call->arena, SP_FIELD_OTHER, managed[which], value);
}

void dp_identity_publish(struct dp_call *call, struct sp_str cert_dn, struct sp_str cert_san)
{
    dp_identity_clear(&call->request->fields);
    const struct dp_consumer *c = call->consumer;
    if (c) {
        add(call, ID, c->id);
        add(call, CUSTOM_ID, c->custom_id);
        add(call, USERNAME, c->username);
    }
    if (c && !call->has_credential)
        add(call, ANONYMOUS, SP_STR("true"));
    else if (c)
        add(call, CREDENTIAL, call->credential_id);
    add(call, CERT_DN, cert_dn);
    add(call, CERT_SAN, cert_san);
}

void dp_identity_authenticated(struct dp_call *call, const struct dp_consumer *consumer, struct sp_str credential_id)
{
    call->consumer = consumer;
    call->has_credential = true;
    call->credential_id = credential_id;
}

void dp_identity_anonymous(struct dp_call *call, const struct dp_consumer *consumer)
{
    dp_identity_authenticated(call, consumer, sp_str("", 0));
    call->has_credential = false;
    call->authenticated_groups = NULL;
    call->num_authenticated_groups = 0;
    dp_identity_publish(call, sp_str("", 0), sp_str("", 0));
}

enum dp_verdict dp_identity_fall_back(struct dp_call *call, struct sp_str configured,
                                      const struct dp_consumer *consumer)
{
    if (!consumer)
        return dp_reply(
            call, 500,
            sp_arena_printf(call->arena, "anonymous consumer %.*s is configured but doesn't exist", SP_FMT(configured))
                .p);
    dp_note(call, "the request goes on as the anonymous consumer %.*s", SP_FMT(configured));
    dp_identity_anonymous(call, consumer);
    return DP_NEXT;
}
