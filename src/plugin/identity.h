/* Who the client is, as the upstream is told: the managed header fields of kong-behaviour 1.0. Shared by every
 * authentication plugin. */
#pragma once
#include "plugin/plugin.h"

/* Removes every managed field in every spelling, whatever the client sent, then adds those that the call's
 * authentication context says: consumer, credential_id, anonymous (a consumer without a credential). Empty values add
 * nothing. cert_dn and cert_san (may be empty) must be valid field values and live as long as the call. */
void dp_identity_publish(struct dp_call *call, struct sp_str cert_dn, struct sp_str cert_san);

/* Removes every managed field in every spelling. */
void dp_identity_clear(struct sp_fields *f);

/* When the last plugin has let a request pass: the fields of RFC 9440 are sent where the connection brought a verified
 * certificate and tls-metadata-headers tells of it, and otherwise by nobody but a trusted peer. */
void dp_identity_settle(struct dp_call *call);

/* Why a plugin with `anonymous` does nothing, for dp_skip. */
extern const char dp_already_authenticated[];

/* Outcomes of an authentication plugin; each replaces what an earlier plugin found. Groups of an earlier one's
 * certificate stay, as with Kong: acl takes them where always_use_authenticated_groups is set. */
void dp_identity_authenticated(struct dp_call *call, const struct dp_consumer *consumer, struct sp_str credential_id);
void dp_identity_anonymous(struct dp_call *call, const struct dp_consumer *consumer);

/* The fallback of a plugin that could not authenticate: 500 where the configured consumer does not exist (NULL). */
enum dp_verdict dp_identity_fall_back(struct dp_call *call, struct sp_str configured,
                                      const struct dp_consumer *consumer);
