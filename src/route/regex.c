#include "route/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    MATCH_LIMIT = 100000, /* about a millisecond; a sane path pattern needs a few hundred */
    HEAP_LIMIT_KIB = 4096,
    JIT_STACK_START = 32 << 10,
    JIT_STACK_MAX = 512 << 10,
};

struct dp_regex {
    pcre2_code *code;
};

struct scratch {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static _Thread_local struct scratch *thread_scratch;
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_free(void *arg)
{
    struct scratch *s = arg;
    pcre2_match_data_free(s->data);
    pcre2_match_context_free(s->context);
    pcre2_jit_stack_free(s->stack);
    free(s);
}

static void make_scratch_key(void)
{
    sp_assert(pthread_key_create(&scratch_key, scratch_free) == 0);
}

static struct scratch *scratch_get(void)
{
    if (__builtin_expect(thread_scratch != NULL, 1))
        return thread_scratch;
    pthread_once(&scratch_once, make_scratch_key);
    struct scratch *s = sp_alloc(sizeof *s);
    s->data = pcre2_match_data_create(1, NULL); /* only the whole match is of interest */
    s->context = pcre2_match_context_create(NULL);
    sp_assert(s->data && s->context);
    pcre2_set_match_limit(s->context, MATCH_LIMIT);
    pcre2_set_heap_limit(s->context, HEAP_LIMIT_KIB);
    s->stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MAX, NULL);
    if (s->stack) /* without it matches run on a small part of the thread's stack */
        pcre2_jit_stack_assign(s->context, NULL, s->stack);
    pthread_setspecific(scratch_key, s);
    thread_scratch = s;
    return s;
}

static void code_free(void *code)
{
    pcre2_code_free(code);
}

sp_result dp_regex_compile(struct sp_arena *a, struct sp_str pattern, unsigned flags, struct dp_regex **out,
                           struct sp_error *err)
{
    uint32_t options = PCRE2_NEVER_UTF; /* paths and field values are bytes */
    if (flags & DP_REGEX_ANCHORED)
        options |= PCRE2_ANCHORED;
    if (flags & DP_REGEX_CASELESS)
        options |= PCRE2_CASELESS;
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)(pattern.p ? pattern.p : ""), pattern.len, options, &code, &at, NULL);
    if (!re) {
        char words[160] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)words, sizeof words);
        return sp_fail(err, SP_E_INVALID, "regex '%.*s': %s at offset %zu", SP_FMT(pattern), words, (size_t)at);
    }
    pcre2_jit_compile(re, PCRE2_JIT_COMPLETE); /* where JIT is not allowed the interpreter does it */
    sp_arena_on_free(a, code_free, re);
    *out = SP_NEW(a, struct dp_regex);
    (*out)->code = re;
    return sp_ok();
}

enum dp_regex_answer dp_regex_match(const struct dp_regex *r, struct sp_str subject, size_t *end)
{
    struct scratch *s = scratch_get();
    int rc = pcre2_match(r->code, (PCRE2_SPTR)(subject.p ? subject.p : ""), subject.len, 0, 0, s->data, s->context);
    if (rc == PCRE2_ERROR_NOMATCH)
        return DP_REGEX_NO;
    if (rc < 0)
        return DP_REGEX_GAVE_UP;
    if (end)
        *end = pcre2_get_ovector_pointer(s->data)[1];
    return DP_REGEX_YES;
}

static bool is_literal(unsigned char c)
{
    return c > 0x20 && c < 0x7f && !strchr("\\^$.[]|()?*+{}#", c);
}

struct sp_str dp_regex_literal(struct sp_str pattern)
{
    if (pattern.len && memchr(pattern.p, '|', pattern.len)) /* each branch would have its own */
        return sp_str("", 0);
    if (pattern.len && pattern.p[0] == '^')
        pattern = sp_str_skip(pattern, 1);
    size_t n = 0;
    while (n < pattern.len && is_literal((unsigned char)pattern.p[n]))
        n++;
    /* A quantifier takes the last character with it; so may what stands behind a \E. */
    if (n && n < pattern.len && strchr("?*+{\\", pattern.p[n]))
        n--;
    return sp_str(pattern.p, n);
}
