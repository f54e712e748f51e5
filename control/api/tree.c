#include "control/api/tree.h"
#include "model/message.h"

const struct cp_reference cp_references[] = {
    {"service", SP_SERVICES},         {"route", SP_ROUTES},
    {"consumer", SP_CONSUMERS},       {"consumer_group", SP_CONSUMER_GROUPS},
    {"certificate", SP_CERTIFICATES}, {"client_certificate", SP_CERTIFICATES},
    {"upstream", SP_UPSTREAMS},       {"ca_certificate", SP_CA_CERTIFICATES},
    {NULL, SP_NUM_ENTITY_KINDS},
};

struct sp_str cp_reference_of(const struct sp_entity *e, const char *field)
{
    if (!sp_msg_field(e->message->descriptor, field))
        return SP_STR("");
    const ProtobufCMessage *ref = sp_msg_child(e->message, field);
    return ref ? sp_msg_string(ref, "id") : SP_STR("");
}

const char *cp_parent_field(const struct sp_entity_info *child, enum sp_entity_kind parent)
{
    for (const struct cp_reference *r = cp_references; r->field; r++)
        if (r->target == parent && sp_msg_field(child->descriptor, r->field))
            return r->field;
    return NULL;
}

const struct sp_entity_info *cp_child_kind(struct sp_str word)
{
    const struct sp_entity_info *info = sp_entity_by_rest(word);
    for (int k = 0; !info && k < SP_NUM_ENTITY_KINDS; k++) {
        struct sp_str rest = sp_str_z(sp_entity_info((enum sp_entity_kind)k)->rest);
        if (memchr(rest.p, '-', rest.len) && rest.len == word.len + 1 && sp_str_starts(rest, word))
            info = sp_entity_info((enum sp_entity_kind)k);
    }
    return info;
}

bool cp_goes_with(enum sp_entity_kind child, const char *field)
{
    struct sp_str f = sp_str_z(field);
    if (child == SP_PLUGINS)
        return true; /* whatever it is attached to */
    if (child == SP_ROUTES || child == SP_SERVICES || child == SP_UPSTREAMS)
        return false;
    return sp_str_eq(f, SP_STR("consumer")) || sp_str_eq(f, SP_STR("upstream")) || sp_str_eq(f, SP_STR("certificate"));
}
