/* The data plane's half of the control protocol under a control plane gone mad. Input: frames, each a length of two
 * bytes (little endian) and a ControlMessage. Hashes are put right first, else nothing would come past them. The lowest
 * bit of a length says whether its frame's candidate is refused. */
#include "config/delta.h"
#include "config/resource.h"
#include "tls/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The frame with true hashes, packed anew into out. false: not a ControlMessage. */
static bool mend(struct sp_str frame, struct sp_buf *out)
{
    Sallyport__V1__ControlMessage *m =
        sallyport__v1__control_message__unpack(NULL, frame.len, (const uint8_t *)frame.p);
    if (!m)
        return false;
    bool chunk = m->message_case == SALLYPORT__V1__CONTROL_MESSAGE__MESSAGE_CHUNK;
    for (size_t i = 0; chunk && i < m->chunk->n_upserts; i++) {
        Sallyport__V1__Resource *r = m->chunk->upserts[i];
        uint8_t digest[32];
        sp_sha256(sp_str(r->body.data, r->body.len), digest);
        if (r->hash.len == 16)
            memcpy(r->hash.data, digest, 16);
    }
    sp_buf_clear(out);
    size_t n = sallyport__v1__control_message__get_packed_size(m);
    sallyport__v1__control_message__pack(m, (uint8_t *)sp_buf_reserve(out, n));
    sp_buf_commit(out, n);
    sallyport__v1__control_message__free_unpacked(m, NULL);
    return true;
}

static void check(const struct sp_resources *r)
{
    for (size_t i = 0; i < r->num; i++) {
        sp_assert(r->v[i].message && r->v[i].name.len);
        sp_assert(i == 0 || dp_resource_cmp(r->v[i - 1].kind, r->v[i - 1].name, r->v[i].kind, r->v[i].name) < 0);
    }
}

static void receive(struct dp_delta *d, struct sp_str frame, bool refuse)
{
    struct sp_buf reply = {0};
    struct sp_error err;
    enum dp_delta_event e = dp_delta_receive(d, frame, &reply, &err);
    if (e == DP_DELTA_CANDIDATE) {
        struct dp_problem no = {.reason = SP_STR("no")};
        check(dp_delta_candidate(d)->resources);
        if (refuse)
            dp_delta_rejected(d, &no, 1, &reply);
        else
            dp_delta_applied(d, &reply);
    }
    sp_assert((reply.len > 0) == (e == DP_DELTA_CANDIDATE || e == DP_DELTA_REFUSED));
    sp_buf_fini(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dp_delta *d = dp_delta_new(1 << 20);
    struct sp_str rest = sp_str(data, size);
    struct sp_buf mended = {0}, hello = {0};
    while (rest.len > 2) {
        size_t n = (unsigned char)rest.p[0] | (size_t)(unsigned char)rest.p[1] << 8;
        rest = sp_str_skip(rest, 2);
        struct sp_str frame = sp_str(rest.p, n < rest.len ? n : rest.len);
        rest = sp_str_skip(rest, frame.len);
        receive(d, mend(frame, &mended) ? sp_buf_str(&mended) : frame, n & 1);
    }
    check(dp_delta_current(d));
    dp_delta_hello(d, &(struct dp_node){.id = SP_STR("n")}, &hello);
    sp_buf_fini(&hello);
    sp_buf_fini(&mended);
    dp_delta_free(d);
    return 0;
}
