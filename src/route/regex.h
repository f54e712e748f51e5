/* Regular expressions of routes: PCRE2 with JIT and a match limit, because the subject comes from the network. A
 * compiled one lives in an arena and is shared by all threads; what a match needs is kept per thread. */
#pragma once
#include "base/arena.h"

struct dp_regex;
enum dp_regex_flags { DP_REGEX_ANCHORED = 1, DP_REGEX_CASELESS = 2 };
SP_MUST sp_result dp_regex_compile(struct sp_arena *a, struct sp_str pattern, unsigned flags, struct dp_regex **out,
                                   struct sp_error *err);

/* GAVE_UP: the match limit was hit, so nobody knows. Callers take the stricter side. */
enum dp_regex_answer { DP_REGEX_NO, DP_REGEX_YES, DP_REGEX_GAVE_UP };
/* end (may be NULL): offset behind the match. */
enum dp_regex_answer dp_regex_match(const struct dp_regex *r, struct sp_str subject, size_t *end);

/* The plain text that every match of an anchored pattern begins with; empty when there is none or it is hard to tell.
 * Escaped punctuation stops it, so that the result is a slice of the pattern. */
struct sp_str dp_regex_literal(struct sp_str pattern);
