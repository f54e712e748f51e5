/* What a stranger may send: to a server before and in the handshake, to a client as its server, and a chain to the
 * verifier. The first byte says which. */
#include "tls/client.h"
#include "tls/pki.h"
#include "tls/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sp_tls_server *server;
static struct sp_tls_client *client;
static struct sp_tls_names *names;
static struct sp_ca_set *set;

static void set_up(void)
{
    static const uint8_t trust[32] = {1};
    struct sp_arena *a = sp_arena_new(4096);
    struct sp_error err;
    struct sp_buf cert = {0}, key = {0};
    struct sp_der_list list;
    struct sp_pki_request r = {.common_name = "CA", .is_ca = true, .not_after = 4000000000};
    sp_result ok = sp_pki_issue(&r, SP_STR(""), SP_STR(""), &cert, &key, &err);
    sp_assert(!sp_failed(ok));
    names = sp_tls_names_new(a, 0);
    ok = sp_tls_names_ask(names, SP_STR("asked.example"), NULL, 0, trust, &err);
    sp_assert(!sp_failed(ok));
    sp_tls_names_done(names);
    ok = sp_tls_server_new(&(struct sp_tls_server_options){.alpn = "h2,http/1.1"}, &server, &err);
    sp_assert(!sp_failed(ok));
    ok = sp_tls_client_new(&(struct sp_tls_client_options){.ca_pem = sp_buf_str(&cert), .verify = true}, &client, &err);
    sp_assert(!sp_failed(ok));
    ok = sp_pem_certificates(sp_buf_str(&cert), a, &list, &err);
    sp_assert(!sp_failed(ok));
    ok = sp_ca_set_compile(a, list.v, list.num, true, &set, &err);
    sp_assert(!sp_failed(ok));
    sp_buf_fini(&cert);
    sp_buf_wipe(&key);
}

/* In pieces, and without ever getting through: nobody here knows a key. */
static void talk(struct sp_tls_stream *t, struct sp_wire *wire, struct sp_str in)
{
    enum sp_io io = SP_IO_AGAIN;
    for (size_t n = 1; in.len && io == SP_IO_AGAIN; n *= 7) {
        wire->in = sp_str(in.p, n < in.len ? n : in.len);
        in = sp_str_skip(in, wire->in.len);
        io = sp_tls_handshake(t);
        sp_assert(io == SP_IO_ERROR || (io == SP_IO_AGAIN && wire->in.len == 0));
    }
    sp_tls_free(t);
    sp_buf_fini(&wire->out);
}

static void judge(struct sp_str in)
{
    struct sp_str chain[3] = {in, in, in};
    struct sp_verdict v;
    chain[0].len = in.len / 2;
    sp_verify_chain(set, chain, 3, 1900000000, &v);
    sp_assert(!v.ok);
    sp_verify_chain(set, &in, 1, 1900000000, &v);
    sp_assert(!v.ok);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_wire wire = {0};
    if (!server)
        set_up();
    if (size == 0)
        return 0;
    struct sp_str in = sp_str(data + 1, size - 1);
    if (data[0] == 's')
        talk(sp_tls_accept(server, names, 1, &wire), &wire, in);
    else if (data[0] == 'c')
        talk(sp_tls_connect(client, SP_STR("up.example"), &wire), &wire, in);
    else
        judge(in);
    return 0;
}
