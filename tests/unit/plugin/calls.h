/* What tests of single plugins say again and again: a plugin made ready, a call, its answer. */
#pragma once
#include "lab.h"
#include "plugin/kinds.h"

static inline size_t words(char **to, const char *a, const char *b)
{
    to[0] = (char *)a;
    to[1] = (char *)b;
    return (a != NULL) + (b != NULL);
}

static inline Sallyport__V1__Plugin *plugin(struct lab *l, const struct dp_plugin_kind *kind, void *config)
{
    Sallyport__V1__Plugin *p = SP_NEW(l->arena, Sallyport__V1__Plugin);
    sallyport__v1__plugin__init(p);
    p->config_case = kind->config_case;
    p->mtls_auth = config; /* the union's members are pointers all */
    return p;
}

static inline const void *ready(struct lab *l, const struct dp_plugin_kind *kind, void *config)
{
    void *out;
    struct sp_error err;
    if (sp_failed(kind->compile(l->arena, l->directory, plugin(l, kind, config), &out, &err)))
        fail_msg("%s", err.text);
    return out;
}

static inline bool refuses(struct lab *l, const struct dp_plugin_kind *kind, void *config, const char *field)
{
    void *out;
    struct sp_error err;
    bool failed = sp_failed(kind->compile(l->arena, l->directory, plugin(l, kind, config), &out, &err));
    return failed && strstr(err.text, field);
}

/* consumer: that it is attached to; NULL: global. */
static inline void add_plugin(struct lab *l, const struct dp_plugin_kind *kind, void *config, const char *consumer)
{
    Sallyport__V1__Plugin *p = plugin(l, kind, config);
    if (consumer) {
        p->consumer = SP_NEW(l->arena, Sallyport__V1__Ref);
        sallyport__v1__ref__init(p->consumer);
        p->consumer->id = (char *)consumer;
    }
    struct sp_error err;
    if (sp_failed(dp_directory_add_plugin(l->directory, p, &err)))
        fail_msg("%s", err.text);
}

static inline struct request *with_method(struct lab *l, const char *method)
{
    struct request *r = request_new(l, NULL);
    r->head.method = sp_str_z(method);
    return r;
}

static inline void answers(struct request *r, unsigned status, const char *message)
{
    assert_int_equal(r->call.reply_status, status);
    assert_string_equal(r->call.reply_message, message);
    request_free(r);
}

static inline void add_key_owner(struct lab *l, const char *id, const char *name, const char *key, int ttl)
{
    Sallyport__V1__Consumer c = SALLYPORT__V1__CONSUMER__INIT;
    Sallyport__V1__ConsumerResource r = SALLYPORT__V1__CONSUMER_RESOURCE__INIT;
    Sallyport__V1__KeyauthCredential k = SALLYPORT__V1__KEYAUTH_CREDENTIAL__INIT, *list[] = {&k};
    static char *groups[] = {NULL, NULL};
    c.id = (char *)id;
    c.username = (char *)name;
    k.id = (char *)"key-id";
    k.key = (char *)key;
    k.ttl = ttl;
    k.created_at = LAB_NOW - 10;
    r.consumer = &c;
    r.n_keyauth_credentials = key != NULL;
    r.keyauth_credentials = list;
    groups[0] = (char *)"acl-group";
    groups[1] = (char *)"second";
    r.n_acl_groups = 2;
    r.acl_groups = groups;
    dp_directory_add_consumer(l->directory, &r);
}
