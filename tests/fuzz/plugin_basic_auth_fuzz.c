/* The value of an Authorization field: it lets in exactly who says the right words. */
#include "base/log.h"
#include "plugin/chain.h"
#include "plugin/kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sp_arena *arena;
static struct dp_directory *directory;
static void *instance;

static void prepare(void)
{
    static Sallyport__V1__Consumer c = SALLYPORT__V1__CONSUMER__INIT;
    static Sallyport__V1__ConsumerResource r = SALLYPORT__V1__CONSUMER_RESOURCE__INIT;
    static Sallyport__V1__BasicauthCredential b = SALLYPORT__V1__BASICAUTH_CREDENTIAL__INIT, *list[] = {&b};
    static Sallyport__V1__BasicAuthConfig config = SALLYPORT__V1__BASIC_AUTH_CONFIG__INIT;
    static Sallyport__V1__Plugin p = SALLYPORT__V1__PLUGIN__INIT;
    struct sp_password hash;
    struct sp_buf text = {0};
    struct sp_error err;
    arena = sp_arena_new(4096);
    directory = dp_directory_new(arena);
    sp_log_min = SP_ERROR;
    sp_password_seal(SP_STR("al"), SP_STR("pw"), false, &hash);
    sp_password_write(&hash, &text);
    c.id = c.username = b.id = b.username = (char *)"al";
    b.password = (char *)sp_arena_dup(arena, sp_buf_str(&text)).p;
    sp_buf_fini(&text);
    r.consumer = &c;
    r.n_basicauth_credentials = 1;
    r.basicauth_credentials = list;
    dp_directory_add_consumer(directory, &r);
    p.config_case = dp_basic_auth.config_case;
    p.basic_auth = &config;
    sp_assert(!sp_failed(dp_basic_auth.compile(arena, directory, &p, &instance, &err)));
}

/* "al:pw" in base64, with blanks anywhere. */
static bool says_the_words(const uint8_t *data, size_t size)
{
    struct sp_buf b = {0};
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r\n", data[i]) || !data[i])
            sp_buf_putc(&b, (char)data[i]);
    bool found = b.len && memmem(b.p, b.len, "YWw6cHc", 7);
    sp_buf_fini(&b);
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!arena)
        prepare();
    struct sp_arena *a = sp_arena_new(1024);
    struct sp_request_head head = {0};
    struct dp_call call = {.arena = a, .directory = directory, .request = &head, .request_id = ""};
    sp_fields_add(&head.fields, a, SP_FIELD_AUTHORIZATION, SP_STR("Authorization"), sp_str(data, size));
    enum dp_verdict v = dp_basic_auth.access(instance, &call);
    sp_assert(v == DP_NEXT || (v == DP_REPLY && call.reply_status == 401));
    sp_assert(v != DP_NEXT || says_the_words(data, size));
    sp_assert((v == DP_NEXT) == (call.consumer != NULL));
    sp_arena_free(a);
    return 0;
}
