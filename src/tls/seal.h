/* Sealing a file with a key that only this node has: the last-good cache (DESIGN section 6). AES-256-GCM, key by
 * HKDF-SHA256 from the node's private key; the file says nothing without it. Any thread. */
#pragma once
#include "base/buf.h"

SP_MUST sp_result sp_seal(struct sp_str node_key_pem, struct sp_str label, struct sp_str plain, struct sp_buf *out,
                          struct sp_error *err);
SP_MUST sp_result sp_unseal(struct sp_str node_key_pem, struct sp_str label, struct sp_str sealed, struct sp_buf *out,
                            struct sp_error *err);
