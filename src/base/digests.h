/* A bounded set of digests: what was found out about bytes that are not kept. Old ones make room for new ones, so "not
 * there" only means "find out again". One thread at a time. */
#pragma once
#include "base/error.h"

struct sp_digests;
/* Holds up to 4 * sets of 32 bytes; their memory is taken when the first comes. */
struct sp_digests *sp_digests_new(size_t sets);
void sp_digests_free(struct sp_digests *d); /* NULL is fine */
/* Digests must be as good as random: part of them is the place in the table. */
bool sp_digests_has(const struct sp_digests *d, const uint8_t digest[32]);
void sp_digests_add(struct sp_digests *d, const uint8_t digest[32]);
