/* Certificates in header fields: header-cert-auth takes them from there, tls-metadata-headers puts them there. */
#include "calls.h"
#include "odd_certificates.h"

#include "base/encoding.h"
#include "base/log.h"
#include "plugin/kinds.h"
#include "plugin/trace.h"

static const char no_certificate[] = "No required TLS certificate was sent";
static const char not_verified[] = "TLS certificate failed verification";

static char ca_id[] = "ca", *cas[] = {ca_id};

static Sallyport__V1__HeaderCertAuthConfig header_config(const char *format)
{
    Sallyport__V1__HeaderCertAuthConfig c = SALLYPORT__V1__HEADER_CERT_AUTH_CONFIG__INIT;
    c.n_ca_certificates = 1;
    c.ca_certificates = cas;
    c.certificate_header_name = (char *)"X-Client-Cert";
    c.certificate_header_format = (char *)format;
    return c;
}

static const char *base64(struct lab *l, struct sp_str bytes)
{
    struct sp_buf b = {0};
    sp_base64_encode(&b, bytes);
    const char *z = sp_arena_dup(l->arena, sp_buf_str(&b)).p;
    sp_buf_fini(&b);
    return z;
}

static const char *percent(struct lab *l, struct sp_str text)
{
    struct sp_buf b = {0};
    sp_percent_encode(&b, text);
    const char *z = sp_arena_dup(l->arena, sp_buf_str(&b)).p;
    sp_buf_fini(&b);
    return z;
}

/* As load balancers do that escape only what breaks a line. */
static const char *lightly_escaped(struct lab *l, const char *pem)
{
    struct sp_buf b = {0};
    for (; *pem; pem++)
        if (*pem == '\n' || *pem == ' ')
            sp_buf_printf(&b, "%%%02X", (unsigned)*pem);
        else
            sp_buf_putc(&b, *pem);
    const char *z = sp_arena_dup(l->arena, sp_buf_str(&b)).p;
    sp_buf_fini(&b);
    return z;
}

static struct request *from_proxy(struct lab *l, const char *value)
{
    struct request *r = request_new(l, NULL);
    r->call.peer = NULL; /* plain HTTP is fine */
    r->call.peer_trusted = true;
    if (value)
        client_sends(r, "x-client-cert", value);
    return r;
}

static void replies(struct request *r, unsigned status, const char *message)
{
    assert_int_equal(r->call.reply_status, status);
    assert_string_equal(r->call.reply_message, message);
    assert_false(r->call.wants_certificate);
    request_free(r);
}

static void passes(struct request *r, const char *username)
{
    assert_int_equal(r->call.reply_status, 0);
    assert_string_equal(sent(r, "X-Consumer-Username"), username);
    assert_int_equal(r->call.client_verify, DP_VERIFY_SUCCESS);
    request_free(r);
}

static struct request *run(struct lab *l, const void *i, const char *value)
{
    struct request *r = from_proxy(l, value);
    dp_header_cert_auth.access(i, &r->call);
    return r;
}

static void only_from_trusted_peers(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->ca);
    Sallyport__V1__HeaderCertAuthConfig c = header_config("base64_encoded");
    for (int secure = 1; secure >= 0; secure--) {
        c.secure_source = secure;
        struct request *r = from_proxy(l, base64(l, leaf.der));
        r->call.peer_trusted = false;
        dp_header_cert_auth.access(ready(l, &dp_header_cert_auth, &c), &r->call);
        if (secure)
            replies(r, 401, no_certificate);
        else
            passes(r, "alice");
    }
    /* a connection's own certificate is not what this plugin looks at */
    struct request *r = request_new(l, CHAIN(&leaf));
    r->call.peer_trusted = true;
    dp_header_cert_auth.access(ready(l, &dp_header_cert_auth, &c), &r->call);
    replies(r, 401, no_certificate);
}

static void garbage(void **state)
{
    struct lab *l = *state;
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->ca);
    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    const char *good = base64(l, leaf.der);
    const char *bad[] = {"12345invalidcert67890",
                         "AAAA",
                         "-----BEGIN CERTIFICATE----------END CERTIFICATE-----",
                         sp_arena_printf(l->arena, "%s,", good).p,
                         sp_arena_printf(l->arena, "%s*", good).p,
                         percent(l, leaf.pem)};
    Sallyport__V1__HeaderCertAuthConfig c = header_config("base64_encoded");
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++)
        replies(run(l, ready(l, &dp_header_cert_auth, &c), bad[n]), 401, not_verified);
    c = header_config("url_encoded");
    const char *bad_url[] = {"%", "%41", good, "-----BEGIN%20CERTIFICATE-----"};
    for (size_t n = 0; n < sizeof bad_url / sizeof *bad_url; n++)
        replies(run(l, ready(l, &dp_header_cert_auth, &c), bad_url[n]), 401, not_verified);
    /* twice, in whatever spelling: which one would it be? */
    c = header_config("base64_encoded");
    struct request *r = from_proxy(l, good);
    client_sends(r, "X_Client_Cert", good);
    dp_header_cert_auth.access(ready(l, &dp_header_cert_auth, &c), &r->call);
    replies(r, 401, not_verified);
    struct sp_buf many = {0};
    for (int n = 0; n < 12; n++)
        sp_buf_printf(&many, "%s%s", n ? "," : "", good);
    sp_buf_putc(&many, '\0');
    replies(run(l, ready(l, &dp_header_cert_auth, &c), many.p), 401, not_verified);
    sp_buf_fini(&many);
}

/* As HAProxy has it, whose set-header writes the field also for a client without a certificate. */
static void empty_field_is_no_certificate(void **state)
{
    struct lab *l = *state;
    const char *formats[] = {"base64_encoded", "url_encoded", "rfc9440", "xfcc"}, *empty[] = {"", " \t "};
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++)
        for (size_t e = 0; e < sizeof empty / sizeof *empty; e++) {
            Sallyport__V1__HeaderCertAuthConfig c = header_config(formats[f]);
            c.invalid_certificate_status = 500; /* nothing is not invalid either */
            replies(run(l, ready(l, &dp_header_cert_auth, &c), empty[e]), 401, no_certificate);
        }
}

/* The client learns none of this. */
static void reasons_are_for_the_log(void **state)
{
    struct lab *l = *state;
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->ca);
    const char *good = base64(l, leaf.der);
    struct sp_buf many = {0};
    for (int n = 0; n < 12; n++)
        sp_buf_printf(&many, "%s%s", n ? "," : "", good);
    sp_buf_putc(&many, '\0');
    const struct {
        const char *format, *value, *reason;
    } rows[] = {
        {"base64_encoded", "12345invalidcert67890", "not base64"},
        {"base64_encoded", many.p, "more certificates in the field than are read"},
        {"url_encoded", "%4", "not percent-encoded"},
        {"url_encoded", good, "not a certificate in PEM form"},
        {"rfc9440", good, "between colons"},
        {"rfc9440", sp_arena_printf(l->arena, ":%s:, :%s:", good, good).p, "where the client's own belongs"},
        {"xfcc", "By=spiffe://x;Hash=00", "neither Cert nor Chain"},
    };
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++)
        for (int status = 401; status <= 500; status += 99) {
            Sallyport__V1__HeaderCertAuthConfig c = header_config(rows[n].format);
            c.invalid_certificate_status = status;
            struct dp_trace_step step = {0};
            struct dp_trace trace = {.now = &step};
            struct request *r = from_proxy(l, rows[n].value);
            r->call.trace = &trace;
            dp_header_cert_auth.access(ready(l, &dp_header_cert_auth, &c), &r->call);
            assert_non_null(step.reason.p);
            assert_non_null(strstr(step.reason.p, rows[n].reason));
            replies(r, (unsigned)status, status == 500 ? "An unexpected error occurred" : not_verified);
        }
    sp_buf_fini(&many);
}

/* Kong's own answer to what is no certificate, for those who want it; everything else stays. */
static void garbage_may_be_an_error(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    add_consumer(l, (struct person){.id = "a-id", .username = "anon"});
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->ca);
    struct issued forged = issue(l, (struct leaf){.cn = "alice"}, &l->other_ca);
    Sallyport__V1__HeaderCertAuthConfig c = header_config("base64_encoded");
    c.invalid_certificate_status = 500;
    for (int anonymous = 0; anonymous < 2; anonymous++) {
        c.anonymous = anonymous ? (char *)"anon" : NULL;
        const void *i = ready(l, &dp_header_cert_auth, &c);
        replies(run(l, i, "12345invalidcert67890"), 500, "An unexpected error occurred"); /* no base64 */
        replies(run(l, i, "AAAA"), 500, "An unexpected error occurred");                  /* base64 of nothing */
        passes(run(l, i, base64(l, leaf.der)), "alice");
        struct request *r = from_proxy(l, "garbage!");
        r->call.peer_trusted = false; /* is not even looked at */
        dp_header_cert_auth.access(i, &r->call);
        assert_int_equal(r->call.reply_status, anonymous ? 0 : 401);
        request_free(r);
        if (!anonymous) {
            replies(run(l, i, base64(l, forged.der)), 401, not_verified);
            replies(run(l, i, NULL), 401, no_certificate);
            continue;
        }
        r = from_proxy(l, "garbage!");
        r->call.has_credential = true; /* somebody else has authenticated already */
        assert_int_equal(dp_header_cert_auth.access(i, &r->call), DP_NEXT);
        request_free(r);
    }
}

static void dialects(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->inter);
    const char *b_leaf = base64(l, leaf.der), *b_inter = base64(l, l->inter.der);
    struct sp_str both = sp_arena_printf(l->arena, "%s%s", leaf.pem.p, l->inter.pem.p);
    struct {
        const char *format, *value;
    } rows[] = {
        {"base64_encoded", sp_arena_printf(l->arena, "%s, %s", b_leaf, b_inter).p},
        {"base64_encoded",
         sp_arena_printf(l->arena, "-----BEGIN CERTIFICATE-----%s-----END CERTIFICATE-----,%s", b_leaf, b_inter).p},
        {"url_encoded", percent(l, both)},
        {"url_encoded", lightly_escaped(l, both.p)},
        {"url_encoded", percent(l, sp_arena_printf(l->arena, "%s\r\n%s", leaf.pem.p, l->inter.pem.p))},
        {"xfcc", sp_arena_printf(l->arena, "By=spiffe://x;Cert=\"forged\",Hash=1;Chain=\"%s\";Cert=\"%s\"",
                                 percent(l, both), percent(l, leaf.pem))
                     .p},
    };
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        Sallyport__V1__HeaderCertAuthConfig c = header_config(rows[n].format);
        passes(run(l, ready(l, &dp_header_cert_auth, &c), rows[n].value), "alice");
    }
    Sallyport__V1__HeaderCertAuthConfig c = header_config("base64_encoded");
    replies(run(l, ready(l, &dp_header_cert_auth, &c), b_leaf), 401, not_verified); /* intermediate missing */
    replies(run(l, ready(l, &dp_header_cert_auth, &c), NULL), 401, no_certificate);

    c = header_config("rfc9440");
    const void *i = ready(l, &dp_header_cert_auth, &c);
    struct request *r = from_proxy(l, sp_arena_printf(l->arena, ":%s:", b_leaf).p);
    client_sends(r, "X-Client-Cert-Chain",
                 sp_arena_printf(l->arena, ":%s:;x=1, :%s:", b_inter, base64(l, l->ca.der)).p);
    dp_header_cert_auth.access(i, &r->call);
    passes(r, "alice");
    replies(run(l, i, b_leaf), 401, not_verified);
    replies(run(l, i, sp_arena_printf(l->arena, ":%s:, :%s:", b_leaf, b_inter).p), 401, not_verified);

    c = header_config("xfcc"); /* only what the peer itself says, which is last */
    const char *forged = sp_arena_printf(l->arena, "Chain=\"%s\",Hash=1", percent(l, both)).p;
    replies(run(l, ready(l, &dp_header_cert_auth, &c), forged), 401, not_verified);
}

static void pipeline_is_the_same(void **state)
{
    struct lab *l = *state;
    add_consumer(l, (struct person){.id = "c1", .username = "mapped-for-mtls", .map = {{"m1", "alice", NULL}}});
    add_consumer(l, (struct person){.id = "a-id", .username = "anon"});
    struct issued leaf = issue(l, (struct leaf){.cn = "alice", .o = "Lab"}, &l->ca);
    const char *value = base64(l, leaf.der);
    Sallyport__V1__HeaderCertAuthConfig c = header_config("base64_encoded");
    replies(run(l, ready(l, &dp_header_cert_auth, &c), value), 401, not_verified); /* its own mappings only */

    Sallyport__V1__Consumer person = SALLYPORT__V1__CONSUMER__INIT;
    Sallyport__V1__ConsumerResource res = SALLYPORT__V1__CONSUMER_RESOURCE__INIT;
    Sallyport__V1__MtlsAuthCredential m = SALLYPORT__V1__MTLS_AUTH_CREDENTIAL__INIT, *list[] = {&m};
    person.id = (char *)"c2";
    person.username = (char *)"mapped";
    m.id = (char *)"h1";
    m.subject_name = (char *)"alice";
    res.consumer = &person;
    res.n_header_cert_auth_credentials = 1;
    res.header_cert_auth_credentials = list;
    dp_directory_add_consumer(l->directory, &res);
    struct request *r = run(l, ready(l, &dp_header_cert_auth, &c), value);
    assert_string_equal(sent(r, "X-Credential-Identifier"), "h1");
    passes(r, "mapped");

    c.skip_consumer_lookup = true;
    r = run(l, ready(l, &dp_header_cert_auth, &c), value);
    assert_string_equal(sent(r, "X-Client-Cert-Dn"), "CN=alice,O=Lab");
    request_free(r);
    c.anonymous = (char *)"anon";
    r = run(l, ready(l, &dp_header_cert_auth, &c), "garbage!");
    assert_string_equal(sent(r, "X-Anonymous-Consumer"), "true");
    request_free(r);
    c.anonymous = (char *)"gone";
    replies(run(l, ready(l, &dp_header_cert_auth, &c), NULL), 500,
            "anonymous consumer gone is configured but doesn't exist");
    l->now += 365 * DAY;
    c.anonymous = NULL;
    replies(run(l, ready(l, &dp_header_cert_auth, &c), value), 401, not_verified);
}

static void bad_configs(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__HeaderCertAuthConfig c = header_config("der");
    assert_true(refuses(l, &dp_header_cert_auth, &c, "config.certificate_header_format"));
    c = header_config("xfcc");
    c.certificate_header_name = NULL;
    assert_true(refuses(l, &dp_header_cert_auth, &c, "config.certificate_header_name"));
    Sallyport__V1__TlsMetadataHeadersConfig m = SALLYPORT__V1__TLS_METADATA_HEADERS_CONFIG__INIT;
    m.client_serial_header_name = (char *)"a:b";
    assert_true(refuses(l, &dp_tls_metadata_headers, &m, "config.client_serial_header_name"));
}

/* --- tls-metadata-headers --- */

static Sallyport__V1__TlsMetadataHeadersConfig metadata_config(void)
{
    Sallyport__V1__TlsMetadataHeadersConfig c = SALLYPORT__V1__TLS_METADATA_HEADERS_CONFIG__INIT;
    c.inject_client_cert_details = true;
    return c;
}

static void forge(struct request *r)
{
    const char *names[] = {"x-client-cert",
                           "X_Client_Cert_Serial",
                           "X-CLIENT-CERT-ISSUER-DN",
                           "x-client_cert-subject-dn",
                           "X-Client-Cert-Fingerprint",
                           "X-Client-Cert-Chain",
                           "Client-Cert",
                           "client_cert_chain"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        client_sends(r, names[i], "forged");
}

static size_t live(const struct request *r)
{
    size_t n = 0;
    for (uint32_t i = 0; i < r->head.fields.len; i++)
        n += !r->head.fields.v[i].removed;
    return n;
}

static void metadata_of_a_chain(void **state)
{
    struct lab *l = *state;
    struct issued leaf = issue(l, (struct leaf){.cn = "alice", .o = "Lab"}, &l->inter);
    Sallyport__V1__TlsMetadataHeadersConfig c = metadata_config();
    const void *i = ready(l, &dp_tls_metadata_headers, &c);
    struct sp_cert_info info;
    struct sp_error err;
    assert_false(sp_failed(sp_cert_read(leaf.der, l->arena, &info, &err)));
    char sha1[41];
    sp_hex(info.sha1, 20, sha1);
    for (int again = 0; again < 2; again++) { /* made, then remembered */
        struct request *r = request_new(l, CHAIN(&leaf, &l->inter));
        forge(r);
        assert_int_equal(dp_tls_metadata_headers.access(i, &r->call), DP_NEXT);
        assert_int_equal(live(r), 6);
        assert_string_equal(sent(r, "X-Client-Cert"), percent(l, leaf.pem));
        assert_memory_equal(sent(r, "X-Client-Cert"), "-----BEGIN%20CERTIFICATE-----%0A", 32);
        assert_string_equal(sent(r, "X-Client-Cert-Serial"), sp_arena_dup(l->arena, info.serial_hex).p);
        assert_string_equal(sent(r, "X-Client-Cert-Issuer-DN"), "CN=Lab Intermediate");
        assert_string_equal(sent(r, "X-Client-Cert-Subject-DN"), "CN=alice,O=Lab");
        assert_string_equal(sent(r, "X-Client-Cert-Fingerprint"), sha1);
        assert_string_equal(sent(r, "X-Client-Cert-Chain"),
                            percent(l, sp_arena_printf(l->arena, "%s%s", leaf.pem.p, l->inter.pem.p)));
        request_free(r);
    }
}

static void metadata_of_nothing(void **state)
{
    struct lab *l = *state;
    Sallyport__V1__TlsMetadataHeadersConfig c = metadata_config();
    const void *i = ready(l, &dp_tls_metadata_headers, &c);
    for (int tls = 0; tls < 2; tls++) {
        struct request *r = request_new(l, NULL);
        if (!tls)
            r->call.peer = NULL;
        forge(r);
        assert_int_equal(dp_tls_metadata_headers.access(i, &r->call), DP_NEXT);
        assert_int_equal(live(r), 0);
        request_free(r);
    }
    struct issued nobody = issue(l, (struct leaf){0}, &l->ca);
    struct request *r = request_new(l, CHAIN(&nobody));
    forge(r);
    assert_int_equal(dp_tls_metadata_headers.access(i, &r->call), DP_NEXT);
    assert_string_equal(sent(r, "X-Client-Cert-Subject-DN"), "");
    assert_int_equal(live(r), 5);
    request_free(r);
    struct issued odd = from_pem(l, odd_nul); /* whatever its names are, it is this certificate */
    r = request_new(l, CHAIN(&odd));
    dp_tls_metadata_headers.access(i, &r->call);
    assert_string_equal(sent(r, "X-Client-Cert"), percent(l, odd.pem));
    assert_int_equal(strlen(sent(r, "X-Client-Cert-Fingerprint")), 40);
    assert_string_equal(sent(r, "X-Client-Cert-Subject-DN"), "");
    request_free(r);
    c.inject_client_cert_details = false;
    r = request_new(l, CHAIN(&nobody));
    dp_tls_metadata_headers.access(ready(l, &dp_tls_metadata_headers, &c), &r->call);
    assert_int_equal(live(r), 0);
    request_free(r);
}

static void metadata_as_rfc9440(void **state)
{
    struct lab *l = *state;
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->inter);
    Sallyport__V1__TlsMetadataHeadersConfig c = metadata_config();
    c.format = (char *)"rfc9440";
    c.client_cert_header_name = (char *)"X-My-Cert";
    const void *i = ready(l, &dp_tls_metadata_headers, &c);
    for (int verified = 0; verified < 2; verified++) {
        struct request *r = request_new(l, CHAIN(&leaf, &l->inter));
        forge(r);
        client_sends(r, "x_my_cert", "forged");
        r->call.client_verify = DP_VERIFY_SUCCESS; /* also of a certificate in a field */
        r->call.accepted_until = verified ? LAB_NOW + 1 : 0;
        dp_tls_metadata_headers.access(i, &r->call);
        assert_string_equal(sent(r, "Client-Cert"),
                            verified ? sp_arena_printf(l->arena, ":%s:", base64(l, leaf.der)).p : "");
        assert_string_equal(sent(r, "Client-Cert-Chain"),
                            verified ? sp_arena_printf(l->arena, ":%s:", base64(l, l->inter.der)).p : "");
        assert_string_equal(sent(r, "X-My-Cert"), percent(l, leaf.pem));
        request_free(r);
    }
}

static struct request *through(struct lab *l, struct request *r, bool trusted)
{
    Sallyport__V1__Route route = SALLYPORT__V1__ROUTE__INIT;
    client_sends(r, "Client-Cert", ":Zm9yZ2Vk:");
    client_sends(r, "client_cert_chain", ":Zm9yZ2Vk:");
    r->call.peer_trusted = trusted;
    assert_int_equal(dp_chain_access(dp_chain_compile(l->arena, l->directory, &route, NULL), &r->call, true), DP_NEXT);
    return r;
}

/* RFC 9440 section 4: whoever does not come over a verified connection does not bring these fields. */
static void rfc9440_fields_are_nobodys(void **state)
{
    struct lab *l = *state;
    struct request *r = through(l, request_new(l, NULL), false);
    assert_int_equal(live(r), 0);
    request_free(r);
    r = through(l, request_new(l, NULL), true);
    assert_int_equal(live(r), 2);
    request_free(r);

    add_consumer(l, (struct person){.id = "c1", .username = "alice"});
    struct issued alice = issue(l, (struct leaf){.cn = "alice"}, &l->ca),
                  other = issue(l, (struct leaf){.cn = "eve"}, &l->other_ca);
    Sallyport__V1__HeaderCertAuthConfig h = SALLYPORT__V1__HEADER_CERT_AUTH_CONFIG__INIT;
    h.n_ca_certificates = 1;
    h.ca_certificates = cas;
    h.certificate_header_name = (char *)"X-Cert";
    h.certificate_header_format = (char *)"base64_encoded";
    h.revocation_check_mode = (char *)"SKIP";
    Sallyport__V1__TlsMetadataHeadersConfig c = metadata_config();
    c.format = (char *)"rfc9440";
    add_plugin(l, &dp_header_cert_auth, &h, NULL);
    add_plugin(l, &dp_tls_metadata_headers, &c, NULL);
    r = request_new(l, CHAIN(&other)); /* the field's certificate is verified, the connection's is not */
    client_sends(r, "X-Cert", base64(l, alice.der));
    through(l, r, true);
    assert_int_equal(r->call.client_verify, DP_VERIFY_SUCCESS);
    assert_string_equal(sent(r, "Client-Cert"), "");
    assert_string_equal(sent(r, "Client-Cert-Chain"), "");
    request_free(r);

    Sallyport__V1__MtlsAuthConfig m = SALLYPORT__V1__MTLS_AUTH_CONFIG__INIT;
    m.n_ca_certificates = 1;
    m.ca_certificates = cas;
    m.revocation_check_mode = (char *)"SKIP";
    add_plugin(l, &dp_mtls_auth, &m, NULL);
    r = request_new(l, CHAIN(&alice));
    client_sends(r, "X-Cert", base64(l, alice.der));
    through(l, r, true);
    assert_string_equal(sent(r, "Client-Cert"), sp_arena_printf(l->arena, ":%s:", base64(l, alice.der)).p);
    request_free(r);
}

/* Also a name that the config has made up, and one of RFC 9440 that it uses itself. */
static void names_of_the_config_are_ours(void **state)
{
    struct lab *l = *state;
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->ca);
    Sallyport__V1__TlsMetadataHeadersConfig c = metadata_config();
    c.client_cert_header_name = (char *)"Client-Cert";
    c.client_serial_header_name = (char *)"My-Serial";
    add_plugin(l, &dp_tls_metadata_headers, &c, NULL);
    struct request *r = through(l, request_new(l, CHAIN(&leaf)), false);
    assert_string_equal(sent(r, "Client-Cert"), percent(l, leaf.pem));
    assert_false(dp_identity_allows_trailer(&r->call, SP_STR("my_serial")));
    assert_false(dp_identity_allows_trailer(&r->call, SP_STR("X-Consumer-ID")));
    assert_true(dp_identity_allows_trailer(&r->call, SP_STR("My-Sum")));
    request_free(r);
}

/* Off: nothing is added, and no client tells in its place. */
static void metadata_turned_off(void **state)
{
    struct lab *l = *state;
    struct issued leaf = issue(l, (struct leaf){.cn = "alice"}, &l->ca);
    Sallyport__V1__TlsMetadataHeadersConfig c = metadata_config();
    c.inject_client_cert_details = false;
    const void *i = ready(l, &dp_tls_metadata_headers, &c);
    for (int trusted = 0; trusted < 2; trusted++) {
        struct request *r = request_new(l, CHAIN(&leaf));
        client_sends(r, "X-Client-Cert", "somebody's");
        r->call.peer_trusted = trusted;
        dp_tls_metadata_headers.access(i, &r->call);
        assert_int_equal(live(r), trusted);
        request_free(r);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, lab_setup, lab_teardown)

int main(void)
{
    sp_log_min = SP_ERROR;
    const struct CMUnitTest tests[] = {
        TEST(only_from_trusted_peers),       TEST(garbage),
        TEST(empty_field_is_no_certificate), TEST(reasons_are_for_the_log),
        TEST(garbage_may_be_an_error),       TEST(dialects),
        TEST(pipeline_is_the_same),          TEST(bad_configs),
        TEST(metadata_of_a_chain),           TEST(metadata_of_nothing),
        TEST(metadata_as_rfc9440),           TEST(rfc9440_fields_are_nobodys),
        TEST(names_of_the_config_are_ours),  TEST(metadata_turned_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
