"""mtls-auth end to end: certificates in, identity or 401 out. The order of kong-behaviour 1.1.3 and 1.1.4."""
import re

import pytest

from sallytest import poll
from sallytest.clients import curl, open_tls, read_answer, s_client
from sallytest.config import document, modifier, mtls_auth, route, service
from sallytest.pki import Authority, Leaf, openssl

NONE = "No required TLS certificate was sent"
BAD = "TLS certificate failed verification"
SPOOF = ["-H", "X-Consumer-Username: root", "-H", "X-Consumer-ID: 1", "-H", "X_Consumer_Username: root", "-H", "x-consumer-custom-id: r",
         "-H", "X-Credential-Identifier: r", "-H", "X-Anonymous-Consumer: false", "-H", "X-Client-Cert-Dn: CN=root",
         "-H", "X-Client-Cert-San: root", "-H", "X-Authenticated-Groups: admin", "-H", "X-Consumer-Groups: admin"]


def guarded(pki, echo, *authorities, consumers=("alice", "bob", "carol"), **config):
    """a.test wants a certificate; b.test never does; both on one service."""
    return document(pki, service("app", echo.url,
                                 route("guarded", hosts=["a.test"], plugins=[mtls_auth(*(authorities or [pki.clients]), **config)],
                                       snis=["a.test"], protocols=["https"]),
                                 route("open", hosts=["b.test"])), consumers=consumers)


def ask(proxy, cert=None, *options, host="a.test", http2=False):
    return curl(f"https://{host}/", *options, cert=cert, resolve=proxy.port, http2=http2)


def identity(answer):
    """What of the managed headers the upstream got."""
    managed = re.compile(r"x[-_](consumer|credential|anonymous|client[-_]cert|authenticated)", re.I)
    return {name.lower(): value for name, value in answer.json()["headers"] if managed.match(name)}


def refused(answer, message):
    assert answer.status == 401, answer
    body = answer.json()
    assert list(body) == ["message", "request_id"] and body["message"] == message
    assert re.fullmatch(r"[0-9a-f]{32}", body["request_id"]) and body["request_id"] == answer.header("x-kong-request-id")
    assert answer.header("content-type") == "application/json; charset=utf-8"
    assert answer.header("www-authenticate") is None
    return body["request_id"]


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_a_known_certificate(pki, echo, sallyport, http2):
    proxy = sallyport(guarded(pki, echo))
    answer = ask(proxy, pki.alice, *SPOOF, http2=http2)
    got = identity(answer)
    assert answer.status == 200
    assert got.pop("x-consumer-id") and got.pop("x-credential-identifier") == "alice"
    assert got == {"x-consumer-username": "alice"}
    assert len(answer.upstream_header("x-consumer-username")) == 1


# who, message, what the log says
REFUSED = {
    "none": (NONE, None),
    "forged": (BAD, "issuer|self|trust"),
    "expired": (BAD, "expired"),
    "notyet": (BAD, "not yet valid"),
    "for_servers": (BAD, "client authentication"),
    "carol": (BAD, "issuer|trust"),
    "nobody": (BAD, "consumer"),
    "nameless": (BAD, "consumer|name"),
}


@pytest.mark.parametrize("who", REFUSED)
def test_who_is_refused_and_what_the_log_says(pki, echo, sallyport, who):
    message, reason = REFUSED[who]
    proxy = sallyport(guarded(pki, echo))
    request_id = refused(ask(proxy, None if who == "none" else getattr(pki, who)), message)
    assert echo.seen == []
    proxy.wait_log(request_id)
    line = next(line for line in proxy.log.splitlines() if request_id in line)
    assert "[mtls-auth]" in line or "mtls-auth" in line
    if reason:
        assert re.search(reason, line, re.I), line


def test_the_access_log_has_the_verdict(pki, echo, sallyport):
    proxy = sallyport(guarded(pki, echo))
    ids = [ask(proxy, cert).header("x-kong-request-id") for cert in (pki.alice, None, pki.expired)]

    def logged(): # a line is written at the end of the turn in which the answer left
        lines = {line["request_id"]: line for line in proxy.access()}
        return all(i in lines for i in ids) and [str(lines[i]) for i in ids]
    verdicts = poll(logged, lambda: proxy.out[-2000:])
    assert "SUCCESS" in verdicts[0] and "NONE" in verdicts[1] and "FAILED" in verdicts[2]


def test_plain_http_has_no_certificate(pki, echo, sallyport):
    config = document(pki, service("app", echo.url, route("r", hosts=["a.test"], plugins=[mtls_auth(pki.clients)])))
    proxy = sallyport(config)
    refused(curl("http://a.test/", resolve=proxy.plain), NONE)


def test_intermediates_come_from_the_client(pki, echo, sallyport):
    proxy = sallyport(guarded(pki, echo))
    assert identity(ask(proxy, pki.bob))["x-consumer-username"] == "bob"

    class WithoutChain:
        chain, key = pki.bob.cert, pki.bob.key
    refused(ask(proxy, WithoutChain), BAD)


def test_partial_chain(pki, echo, sallyport):
    config = guarded(pki, echo, pki.middle)
    config["ca_certificates"].append(pki.middle.entity())
    refused(ask(sallyport(config, name="full"), pki.bob), BAD)
    config["services"][0]["routes"][0]["plugins"][0]["config"]["allow_partial_chain"] = True
    assert ask(sallyport(config, name="partial"), pki.bob).status == 200


def test_a_renewed_ca_keeps_its_name(pki, echo, sallyport, tmp_path):
    """Two CAs of one name with different keys, and leaves that do not say which of them signed."""
    renewed = Authority(tmp_path, "renewed", subject=pki.clients.subject)
    config = guarded(pki, echo, pki.clients, renewed)
    config["ca_certificates"].append(renewed.entity())
    proxy = sallyport(config)
    for leaf in (pki.alice, renewed.leaf("alice")):
        assert identity(ask(proxy, leaf))["x-consumer-username"] == "alice"


@pytest.mark.parametrize("algorithm, digest, reason", [("rsa:1024", "-sha256", "key is too weak"), ("rsa:2048", "-sha1", "signature is too weak"),
                                                       ("rsa:2048", "-sha256", None)])
def test_weak_certificates(pki, echo, sallyport, tmp_path, algorithm, digest, reason):
    leaf = Leaf(tmp_path, "alice", pki.clients)
    openssl("req", "-new", "-newkey", algorithm, "-nodes", "-keyout", leaf.key, "-subj", "/CN=alice", "-out", tmp_path / "csr")
    openssl("x509", "-req", "-in", tmp_path / "csr", "-CA", pki.clients.cert, "-CAkey", pki.clients.key, "-set_serial", "77", digest,
            "-out", leaf.cert)
    leaf.above.touch()
    proxy = sallyport(guarded(pki, echo))
    request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
    seen = s_client(proxy.port, "-cipher", "DEFAULT@SECLEVEL=0", sni="a.test", cert=leaf, send=request) # curl would not show them
    if reason:
        assert "HTTP/1.1 401" in seen.text and BAD in seen.text
        proxy.wait_log(reason)
    else:
        assert "HTTP/1.1 200" in seen.text


def test_no_extended_key_usage_is_fine(pki, echo, sallyport):
    assert ask(sallyport(guarded(pki, echo)), pki.no_usage).status == 200


def test_only_the_plugins_own_cas_count(pki, echo, sallyport):
    proxy = sallyport(guarded(pki, echo, pki.other))
    refused(ask(proxy, pki.alice), BAD)
    assert ask(proxy, pki.carol).status == 200


# --- consumer matching ---

def test_consumer_by(pki, echo, sallyport):
    consumers = [{"username": "u", "custom_id": "alice"}]
    proxy = sallyport(guarded(pki, echo, consumers=consumers))
    got = identity(ask(proxy, pki.alice))
    assert (got["x-consumer-username"], got["x-consumer-custom-id"]) == ("u", "alice")
    assert proxy.reload(guarded(pki, echo, consumers=consumers, consumer_by=["username"]))
    refused(ask(proxy, pki.alice), BAD)
    assert proxy.reload(guarded(pki, echo, consumers=[{"username": "alice"}], consumer_by=[]))
    refused(ask(proxy, pki.alice), BAD)


def credential(number, name, ca=None):
    made = {"id": f"0000000{number}-1111-4222-8333-444444444444", "subject_name": name}
    return {**made, "ca_certificate": {"id": ca.id}} if ca else made


def test_mappings_beat_names_and_those_with_a_ca_come_first(pki, echo, sallyport):
    both = [{"username": "alice"}, {"username": "mapped", "mtls_auth_credentials": [credential(1, "alice")]}]
    proxy = sallyport(guarded(pki, echo, consumers=both))
    got = identity(ask(proxy, pki.alice))
    assert got["x-consumer-username"] == "mapped" and got["x-credential-identifier"] == credential(1, "alice")["id"]
    three = both + [{"username": "special", "mtls_auth_credentials": [credential(2, "alice", pki.clients)]}]
    assert proxy.reload(guarded(pki, echo, consumers=three))
    assert identity(ask(proxy, pki.alice))["x-consumer-username"] == "special"
    elsewhere = both + [{"username": "special", "mtls_auth_credentials": [credential(2, "alice", pki.other)]}]
    assert proxy.reload(guarded(pki, echo, consumers=elsewhere))
    assert identity(ask(proxy, pki.alice))["x-consumer-username"] == "mapped"


@pytest.mark.parametrize("name, who", [("sans.test", "sans"), ("dave@example.com", "sans"), ("x.test", "sans"),
                                       ("spiffe://example.org/ns/a/sa/b", "spiffe")])
def test_alternative_names(pki, echo, sallyport, name, who):
    proxy = sallyport(guarded(pki, echo, consumers=[{"username": "by-name", "mtls_auth_credentials": [credential(1, name)]}]))
    assert identity(ask(proxy, getattr(pki, who)))["x-consumer-username"] == "by-name"


@pytest.mark.parametrize("san, extra, name", [
    (["otherName:1.3.6.1.4.1.311.20.2.3;UTF8:alice"], "", ""), # a user principal name is no name here
    (["RID:1.2.3.4"], "", ""),
    ([], "subjectAltName=DER:30:00\n", ""), # the extension is there, and empty
    (["RID:1.2.3.4", "DNS:bob"], "", "bob"),
    ([], "subjectAltName=DER:30:0d:a5:04:a1:02:0c:00:82:05:63:61:72:6f:6c\n", "carol"), # ediPartyName, then dNSName
    ([], "subjectAltName=DER:30:0b:a3:02:30:00:82:05:63:61:72:6f:6c\n", "carol"), # x400Address, then dNSName
], ids=["otherName", "registeredID", "empty", "registeredID-dns", "ediParty-dns", "x400-dns"])
def test_kinds_of_names_that_are_none(pki, echo, sallyport, san, extra, name):
    """They break nothing and name nobody; the common name, alice, does not stand in for them."""
    odd = pki.clients.leaf("odd-kind", "/CN=alice", san, extra=extra)
    answer = ask(sallyport(guarded(pki, echo)), odd)
    if name:
        assert identity(answer)["x-consumer-username"] == name
    else:
        refused(answer, BAD)
    answer = ask(sallyport(guarded(pki, echo, skip_consumer_lookup=True), name="any"), odd)
    assert identity(answer) == {"x-client-cert-dn": "CN=alice", **({"x-client-cert-san": name} if name else {})}


def test_with_alternative_names_the_common_name_is_nobody(pki, echo, sallyport):
    refused(ask(sallyport(guarded(pki, echo)), pki.sans), BAD) # its CN is alice


def test_default_consumer(pki, echo, sallyport):
    proxy = sallyport(guarded(pki, echo, default_consumer="carol"))
    got = identity(ask(proxy, pki.nobody))
    assert got["x-consumer-username"] == "carol" and got["x-client-cert-dn"] == "CN=nobody" and got["x-client-cert-san"] == "nobody"
    assert identity(ask(proxy, pki.alice))["x-consumer-username"] == "alice"
    refused(ask(proxy, None), NONE)
    assert proxy.reload(guarded(pki, echo, default_consumer="missing", anonymous="carol"))
    refused(ask(proxy, pki.nobody), "Unauthorized")


def test_skip_consumer_lookup(pki, echo, sallyport):
    proxy = sallyport(guarded(pki, echo, skip_consumer_lookup=True))
    got = identity(ask(proxy, pki.alice, *SPOOF))
    assert got == {"x-client-cert-dn": "CN=alice,O=Sallyport,ST=ON,C=CA", "x-client-cert-san": "alice"}
    assert identity(ask(proxy, pki.sans))["x-client-cert-san"] == "sans.test,dave@example.com,x.test"
    assert proxy.reload(guarded(pki, echo, skip_consumer_lookup=True, authenticated_group_by=None))
    assert ask(proxy, pki.alice).status == 200


def test_anonymous(pki, echo, sallyport):
    proxy = sallyport(guarded(pki, echo, consumers=["alice", "guest"], anonymous="guest"))
    for cert in (None, pki.expired, pki.nobody):
        got = identity(ask(proxy, cert, *SPOOF))
        assert got.pop("x-consumer-id")
        assert got == {"x-consumer-username": "guest", "x-anonymous-consumer": "true"}
    got = identity(ask(proxy, pki.alice))
    assert got["x-consumer-username"] == "alice" and "x-anonymous-consumer" not in got


def test_anonymous_by_id_and_missing(pki, echo, sallyport):
    guest = {"id": "5e0a2b1c-1111-4222-8333-444444444444", "username": "guest"}
    proxy = sallyport(guarded(pki, echo, consumers=[guest], anonymous=guest["id"]))
    assert identity(ask(proxy))["x-consumer-id"] == guest["id"]
    if proxy.reload(guarded(pki, echo, consumers=[guest], anonymous="missing")):
        answer = ask(proxy)
        assert answer.status == 500 and "anonymous consumer missing is configured but doesn't exist" in answer.text


# --- scopes ---

def test_the_route_beats_the_service_beats_the_global_one(pki, echo, sallyport):
    config = document(
        pki,
        service("one", echo.url, route("r1", hosts=["a.test"], plugins=[mtls_auth(pki.clients)]), route("r2", hosts=["b.test"]),
                plugins=[mtls_auth(pki.other)]),
        service("two", echo.url, route("r3", hosts=["c.test"])),
        plugins=[mtls_auth(pki.stranger, skip_consumer_lookup=True)], authorities=[pki.clients, pki.other, pki.stranger])
    proxy = sallyport(config)
    table = {("a.test", "alice"): 200, ("a.test", "carol"): 401, ("b.test", "alice"): 401, ("b.test", "carol"): 200,
             ("c.test", "alice"): 401, ("c.test", "forged"): 200}
    assert {key: ask(proxy, getattr(pki, key[1]), host=key[0]).status for key in table} == table


def test_disabled_and_other_protocols_do_not_run(pki, echo, sallyport):
    off = {**mtls_auth(pki.clients), "enabled": False}
    plain = {**mtls_auth(pki.clients), "protocols": ["http"]}
    proxy = sallyport(document(pki, service("app", echo.url, route("off", hosts=["a.test"], plugins=[off]),
                                            route("plain", hosts=["b.test"], plugins=[plain]))))
    assert ask(proxy).status == 200 and ask(proxy, host="b.test").status == 200
    assert curl("http://b.test/", resolve=proxy.plain).status == 401


def test_the_modifier_asks_and_judges_nothing(pki, echo, sallyport):
    proxy = sallyport(document(pki, service("app", echo.url, route("r", hosts=["a.test"], snis=["a.test"], protocols=["https"],
                                                                   plugins=[modifier()]))))
    for cert in (None, pki.alice, pki.forged, pki.expired):
        answer = ask(proxy, cert)
        assert answer.status == 200 and identity(answer) == {}
    assert proxy.metric("sallyport_handshakes_asked_total") >= 4


# --- the phase gap ---

def test_a_connection_that_was_never_asked_is_sent_to_a_new_one(pki, echo, sallyport):
    proxy = sallyport(guarded(pki, echo))
    with open_tls(proxy.port, "b.test", pki.alice) as connection:
        stream = connection.makefile("rb")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")
        assert read_answer(stream).status == 200
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        answer = read_answer(stream)
        # the guarded route has snis: on this connection it is not matched at all, on a new one it would be
        assert (answer.status, answer.headers["cache-control"]) == (421, "no-store")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: c.test\r\n\r\n")
        assert read_answer(stream).status == 404 # nobody's, here or elsewhere


def test_421_only_where_a_new_connection_would_be_asked(pki, echo, sallyport):
    """Two hosts on a service whose SNIs lead to different policies; routes are matched by host alone."""
    config = document(
        pki,
        service("app", echo.url, route("guarded", hosts=["a.test"], plugins=[mtls_auth(pki.clients)], protocols=["https"],
                                       snis=["a.test", "b.test"]),
                route("open", hosts=["c.test"])))
    config["services"][0]["routes"].append(route("by-host", hosts=["x.a.test"], plugins=[mtls_auth(pki.clients)], protocols=["https"],
                                                 snis=["*.a.test", "c.test"]))
    proxy = sallyport(config)
    with open_tls(proxy.port, "a.test") as connection: # asked, and sent none: that is a 401
        stream = connection.makefile("rb")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert read_answer(stream).status == 401


def test_h2_across_hosts(pki, echo, sallyport):
    """A certificate on the connection counts for every host that its policy covers."""
    config = document(pki, service("app", echo.url, route("r", hosts=["a.test", "b.test"], protocols=["https"],
                                                          plugins=[mtls_auth(pki.clients)])))
    proxy = sallyport(config)
    answer = curl("https://a.test/", "-H", "Host: b.test", cert=pki.alice, resolve=proxy.port, http2=True)
    assert answer.status == 200 and identity(answer)["x-consumer-username"] == "alice"


def test_one_connection_many_identities_never_mix(pki, echo, sallyport):
    proxy = sallyport(guarded(pki, echo, pki.clients, pki.other))
    connections = [open_tls(proxy.port, "a.test", cert) for cert in (pki.alice, pki.bob, pki.carol)]
    streams = [c.makefile("rb") for c in connections]
    for _ in range(5):
        for connection in connections:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        for stream, name in zip(streams, ("alice", "bob", "carol")):
            assert f'["X-Consumer-Username", "{name}"]'.encode() in read_answer(stream).body
    for connection in connections:
        connection.close()
