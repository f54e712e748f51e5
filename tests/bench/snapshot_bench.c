/* What a change costs a data plane: from resources to a snapshot that workers can use, and how much memory that is.
 * Each service has one route with a host, a path and an SNI, and an mtls-auth. Prints, asserts nothing. Usage:
 * snapshot_bench [routes] */
#include "config/snapshot.h"
#include "tls/pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void put_ca(struct sp_buf *out)
{
    struct sp_pki_request r = {.common_name = "Bench CA", .is_ca = true, .not_before = 0, .not_after = 4102444800};
    struct sp_buf cert = {0}, key = {0};
    struct sp_error err;
    struct sp_str none = sp_str("", 0);
    if (sp_failed(sp_pki_issue(&r, none, none, &cert, &key, &err))) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    sp_buf_printf(out, "\"ca_certificates\":[{\"id\":\"11111111-1111-4111-8111-111111111111\",\"cert\":\"");
    struct sp_str pem = sp_buf_str(&cert);
    for (size_t i = 0; i < pem.len; i++)
        if (pem.p[i] == '\n')
            sp_buf_printf(out, "\\n");
        else
            sp_buf_putc(out, pem.p[i]);
    sp_buf_printf(out, "\"}]");
    sp_buf_fini(&cert);
    sp_buf_wipe(&key);
}

static void put_document(struct sp_buf *out, int num)
{
    sp_buf_printf(out, "{\"_format_version\":\"3.0\",");
    put_ca(out);
    sp_buf_printf(out, ",\"services\":[");
    for (int i = 0; i < num; i++)
        sp_buf_printf(out,
                      "%s\n{\"name\":\"s%d\",\"url\":\"http://"
                      "127.0.0.1:9\",\"routes\":[{\"name\":\"r%d\",\"hosts\":[\"h%d.example.com\"],"
                      "\"paths\":[\"/api/v1/"
                      "svc%d\"],\"snis\":[\"h%d.example.com\"],\"protocols\":[\"https\"],\"plugins\":[{\"name\":"
                      "\"mtls-auth\",\"config\":{\"ca_certificates\":[\"11111111-1111-4111-8111-111111111111\"],"
                      "\"revocation_check_mode\":\"SKIP\"}}]}]}",
                      i ? "," : "", i, i, i, i, i);
    sp_buf_printf(out, "]}");
}

int main(int argc, char **argv)
{
    int num = argc > 1 ? atoi(argv[1]) : 10000;
    struct sp_arena *a = sp_arena_new(1 << 20);
    struct sp_buf text = {0};
    struct sp_problems problems;
    struct sp_model *model;
    struct sp_resources *resources;
    struct dp_snapshot_options options = {0};
    put_document(&text, num);
    sp_problems_init(&problems, a);
    double t0 = now_ms();
    if (sp_failed(sp_model_parse(a, sp_buf_str(&text), SP_STR("bench"), time(NULL), &model, &problems)))
        return 1;
    double t1 = now_ms();
    if (sp_failed(sp_compile(a, model, &resources, &problems)))
        return 1;
    double t2 = now_ms();
    printf("%d routes: parse %.1f ms, compile %.1f ms, %zu resources\n", num, t1 - t0, t2 - t1, resources->num);
    for (int round = 0; round < 5; round++) {
        struct dp_snapshot *s;
        double t = now_ms();
        if (sp_failed(dp_snapshot_compile(resources, 1, &options, &s, &problems)))
            return 1;
        double made = now_ms();
        size_t used = sp_arena_used(s->arena);
        dp_snapshot_unref(s);
        printf("snapshot %.1f ms, free %.1f ms, %.1f MB in its arena\n", made - t, now_ms() - made, (double)used / 1e6);
    }
    sp_buf_fini(&text);
    sp_arena_free(a);
    return 0;
}
