/* The control plane's half of the control protocol under a data plane gone mad. Input: frames, each a length of two
 * bytes (little endian) and a NodeMessage; the lowest bit of a length says whether a newer snapshot comes before it. */
#include "control/discovery/session.h"
#include "tls/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cp_snapshot *snapshot(int64_t revision)
{
    struct sp_arena *a = sp_arena_new(1024);
    struct sp_resources *r = SP_NEW(a, struct sp_resources);
    r->num = 1 + (size_t)revision % 3;
    r->v = SP_NEW_N(a, struct sp_resource, r->num);
    for (size_t i = 0; i < r->num; i++) {
        uint8_t digest[32];
        r->v[i].kind = SALLYPORT__V1__KIND__ROUTE;
        r->v[i].name = sp_arena_printf(a, "r%zu", i);
        r->v[i].body = sp_arena_printf(a, "body %lld", (long long)revision);
        sp_sha256(r->v[i].body, digest);
        memcpy(r->v[i].hash, digest, 16);
    }
    return cp_snapshot_new(revision, r, a);
}

static void target(struct cp_session *s, int64_t revision)
{
    struct cp_snapshot *newest = snapshot(revision);
    cp_session_target(s, newest);
    cp_snapshot_unref(newest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cp_session *s = cp_session_new(SP_STR("cp"));
    struct sp_str rest = sp_str(data, size);
    struct sp_error err;
    int64_t revision = 1;
    uint64_t now = 1;
    target(s, revision);
    while (rest.len > 2) {
        size_t n = (unsigned char)rest.p[0] | (size_t)(unsigned char)rest.p[1] << 8;
        rest = sp_str_skip(rest, 2);
        struct sp_str frame = sp_str(rest.p, n < rest.len ? n : rest.len);
        rest = sp_str_skip(rest, frame.len);
        if (n & 1)
            target(s, ++revision);
        if (sp_failed(cp_session_receive(s, frame, now, &err)))
            break;
        now += 10000;
        for (struct sp_bytes *b; (b = cp_session_next(s, now));)
            sp_bytes_unref(b);
        size_t num;
        (void)cp_session_problems(s, &num);
        sp_assert(cp_session_hello(s) || num == 0);
        sp_assert(cp_session_state(s) != CP_NODE_REJECTED || num > 0 || cp_session_rejected(s) == revision);
    }
    cp_session_free(s);
    return 0;
}
