"""The first door, seen by openssl s_client: who is asked for a certificate, with which CA names, and what may resume."""
import socket
import ssl

import pytest

from sallytest.clients import curl, open_tls, read_answer, s_client
from sallytest.config import document, modifier, mtls_auth, route, service

NO_SNI = None


def sni_route(name, *snis, plugins=(), **fields):
    protocols = fields.pop("protocols", ["https"])
    return route(name, snis=list(snis) or None, paths=[f"/{name}"], protocols=protocols, plugins=list(plugins), **fields)


def clean(value):
    """Without the None fields."""
    if isinstance(value, dict):
        return {k: clean(v) for k, v in value.items() if v is not None}
    return [clean(v) for v in value] if isinstance(value, list) else value


def svc(*routes, **fields):
    return service("app", "http://127.0.0.1:9", *routes, **fields)


# Rows of the decision table: a configuration, then for each name whether it is asked and with the names of which CAs.
# "clients" and "other" stand for the CAs; an empty list: asked, no names; False: not asked.
def row_1(p):
    return document(p, svc(sni_route("r", "a.test"))), {"a.test": False, "c.test": False, NO_SNI: False}


def row_1_disabled(p):
    plugin = {**mtls_auth(p.clients), "enabled": False}
    return document(p, svc(sni_route("r", "a.test", plugins=[plugin]))), {"a.test": False, NO_SNI: False}


def row_2(p):
    return (document(p, svc(sni_route("r", "a.test")), plugins=[mtls_auth(p.clients, send_ca_dn=True)]),
            {"a.test": ["clients"], "unknown.test": ["clients"], NO_SNI: ["clients"]})


def row_4(p):
    r = sni_route("r", "a.test", "b.test", plugins=[mtls_auth(p.clients, send_ca_dn=True)])
    return document(p, svc(r)), {"a.test": ["clients"], "B.Test": ["clients"], "c.test": False, NO_SNI: False}


def row_7(p):
    r = sni_route("r", plugins=[mtls_auth(p.clients, send_ca_dn=True)])
    return document(p, svc(r)), {"a.test": ["clients"], "unknown.test": ["clients"], NO_SNI: ["clients"]}


def row_8(p):
    s = svc(sni_route("r1", "a.test"), sni_route("r2", "b.test"), plugins=[mtls_auth(p.clients, send_ca_dn=True)])
    return document(p, s), {"a.test": ["clients"], "b.test": ["clients"], "c.test": False, NO_SNI: False}


def row_10(p):
    s = svc(sni_route("r1", "a.test"), sni_route("r2"), plugins=[mtls_auth(p.clients, send_ca_dn=True)])
    return document(p, s), {"a.test": ["clients"], "c.test": ["clients"], NO_SNI: ["clients"]}


def row_11(p):
    return document(p, svc(plugins=[mtls_auth(p.clients)])), {"a.test": False, NO_SNI: False}


def row_12(p):
    r1 = sni_route("r1", "a.test", plugins=[mtls_auth(p.clients, send_ca_dn=True)])
    r2 = sni_route("r2", "a.test", "b.test", plugins=[mtls_auth(p.other, send_ca_dn=True)])
    return document(p, svc(r1, r2)), {"a.test": ["clients", "other"], "b.test": ["other"]}


def row_13(p):
    r = sni_route("r", "a.test", plugins=[mtls_auth(p.clients, send_ca_dn=True)])
    return (document(p, svc(r), plugins=[mtls_auth(p.other, send_ca_dn=True)]),
            {"a.test": ["clients"], "c.test": ["other"], NO_SNI: ["other"]})


def row_14(p):
    r = sni_route("r", "a.test", plugins=[mtls_auth(p.clients)])
    return document(p, svc(r)), {"a.test": [], "c.test": False}


def row_15(p):
    r1 = sni_route("r1", "a.test", plugins=[mtls_auth(p.clients, send_ca_dn=True)])
    r2 = sni_route("r2", "a.test", plugins=[mtls_auth(p.other)])
    return document(p, svc(r1, r2)), {"a.test": ["clients"]}


def row_16(p):
    r = sni_route("r", "a.test", plugins=[mtls_auth(p.clients, send_ca_dn=True)])
    s = svc(r, sni_route("r2", "b.test"), plugins=[mtls_auth(p.other, send_ca_dn=True)])
    return document(p, s), {"b.test": ["other"], "c.test": False}


def row_18(p):
    r = sni_route("r", "a.test", plugins=[mtls_auth(p.clients)])
    return document(p, svc(r, sni_route("plain"))), {"a.test": [], "c.test": False, NO_SNI: False}


def row_19(p):
    r = sni_route("r", protocols=["http"], plugins=[mtls_auth(p.clients)])
    return document(p, svc(r)), {"a.test": False, NO_SNI: False}


def row_20(p):
    plugin = {**mtls_auth(p.clients), "protocols": ["http"]}
    r = sni_route("r", plugins=[plugin], protocols=["http", "https"])
    return document(p, svc(r)), {"a.test": False, NO_SNI: False}


def row_21(p):
    r = sni_route("r", "a.test", plugins=[mtls_auth(p.clients)])
    return document(p, routes=[r]), {"a.test": [], "c.test": False}


def row_22(p):
    s = svc(sni_route("r", "a.test"), plugins=[mtls_auth(p.clients)], enabled=False)
    return document(p, s), {"a.test": False, NO_SNI: False}


def modifier_asks(p):
    r = sni_route("r", "a.test", plugins=[modifier()])
    return document(p, svc(r)), {"a.test": [], "c.test": False, NO_SNI: False}


def modifier_and_names(p):
    r1 = sni_route("r1", "a.test", plugins=[modifier()])
    r2 = sni_route("r2", "a.test", plugins=[mtls_auth(p.clients, send_ca_dn=True)])
    return document(p, svc(r1, r2)), {"a.test": ["clients"]}


def wildcard_names(p):
    r = sni_route("r", "*.a.test", "b.*", plugins=[mtls_auth(p.clients, send_ca_dn=True)])
    return (document(p, svc(r)), {"x.a.test": ["clients"], "x.y.a.test": ["clients"], "a.test": False, "b.test": ["clients"],
                                  "b.c.test": ["clients"], "xa.test": False})


def literal_scope(p):
    r = sni_route("r", "a.test", plugins=[mtls_auth(p.clients)])
    return (document(p, svc(r, sni_route("plain")), _sallyport={"handshake": {"request_scope": "all_routes"}}),
            {"a.test": [], "c.test": [], NO_SNI: []})


ROWS = [row_1, row_1_disabled, row_2, row_4, row_7, row_8, row_10, row_11, row_12, row_13, row_14, row_15, row_16, row_18, row_19,
        row_20, row_21, row_22, modifier_asks, modifier_and_names, wildcard_names, literal_scope]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_who_is_asked(row, pki, sallyport):
    config, expected = row(pki)
    proxy = sallyport(clean(config))
    for version in ("1.2", "1.3"):
        seen, wanted = {}, {}
        for sni, cas in expected.items():
            handshake = s_client(proxy.port, sni=sni, version=version)
            assert handshake.done, handshake.text
            seen[sni] = sorted(handshake.ca_names) if handshake.asked else False
            wanted[sni] = cas if cas is False else sorted(getattr(pki, name).subject_line() for name in cas)
        assert seen == wanted, f"TLS {version}"


def asking_for(pki, echo, *snis, **config):
    """Each name with a route of its own that wants a certificate."""
    return document(pki, service("app", echo.url, *[
        route(f"r{i}", snis=[sni], hosts=[sni], protocols=["https"], plugins=[mtls_auth(pki.clients, **config)])
        for i, sni in enumerate(snis)]))


def test_a_map_change_reaches_new_handshakes_and_leaves_old_connections(pki, echo, sallyport):
    plain = document(pki, service("app", echo.url, route("r", hosts=["a.test"], snis=["a.test"], protocols=["https"])))
    proxy = sallyport(plain)
    with open_tls(proxy.port, "a.test") as connection:
        stream = connection.makefile("rb")
        assert proxy.reload(asking_for(pki, echo, "a.test"))
        assert s_client(proxy.port, sni="a.test").asked
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        answer = read_answer(stream)
        # never asked, and a new connection would be: go and make one
        assert (answer.status, answer.headers["cache-control"]) == (421, "no-store")
    assert proxy.reload(plain)
    assert not s_client(proxy.port, sni="a.test").asked


def test_certificates_are_chosen_by_name(pki, sallyport):
    own = pki.servers.server("own", "own.test", "*.own.test")
    config = document(pki, svc(sni_route("r")))
    config["certificates"].append({"cert": own.chain_pem, "key": own.key_pem, "snis": [{"name": "own.test"}, {"name": "*.own.test"}]})
    proxy = sallyport(clean(config))
    names = {name: s_client(proxy.port, sni=name).server for name in ("own.test", "x.own.test", "x.y.own.test", "a.test", NO_SNI)}
    assert names["own.test"] == names["x.own.test"] == "CN = own.test"
    assert names["a.test"] == "CN = a.test"
    assert names["x.y.own.test"] == names[NO_SNI] and names[NO_SNI] not in (names["own.test"], names["a.test"])


def test_rsa_and_ecdsa_pair(pki, sallyport, tmp_path):
    from sallytest.pki import openssl
    key, cert = tmp_path / "rsa.key", tmp_path / "rsa.pem"
    openssl("genrsa", "-out", key, "2048")
    pki.servers.sign(key, "/CN=rsa.pair.test", "subjectAltName=DNS:pair.test\n", cert)
    ecdsa = pki.servers.leaf("pair", "/CN=ecdsa.pair.test", ["DNS:pair.test"], "serverAuth")
    config = document(pki, svc(sni_route("r")))
    config["certificates"].append({"cert": ecdsa.pem, "key": ecdsa.key_pem, "cert_alt": cert.read_text(), "key_alt": key.read_text(),
                                   "snis": [{"name": "pair.test"}]})
    proxy = sallyport(clean(config))
    assert s_client(proxy.port, "-sigalgs", "ECDSA+SHA256", sni="pair.test").server == "CN = ecdsa.pair.test"
    assert s_client(proxy.port, "-sigalgs", "RSA-PSS+SHA256", sni="pair.test").server == "CN = rsa.pair.test"


def test_alpn(pki, sallyport):
    proxy = sallyport(document(pki, svc(sni_route("r", "a.test"))))
    assert s_client(proxy.port, "-alpn", "h2,http/1.1", sni="a.test").alpn == "h2"
    assert s_client(proxy.port, "-alpn", "http/1.1", sni="a.test").alpn == "http/1.1"
    assert s_client(proxy.port, sni="a.test").done


# --- resumption ---

REQUEST = "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n"
KINDS = {"1.2 tickets": ("1.2", []), "1.2 ids": ("1.2", ["-no_ticket"]), "1.3 tickets": ("1.3", [])}


def connect(proxy, kind, sni, *options, cert=None):
    """A handshake with a request through it, because TLS 1.3 tickets come after the handshake."""
    version, extra = KINDS[kind]
    return s_client(proxy.port, *extra, *options, sni=sni, cert=cert, version=version, send=REQUEST.format(sni))


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_resumes_on_its_own_name_and_keeps_the_identity(kind, pki, echo, sallyport, tmp_path):
    proxy = sallyport(asking_for(pki, echo, "a.test"), "--workers", "1")
    session = tmp_path / "session"
    first = connect(proxy, kind, "a.test", "-sess_out", session, cert=pki.alice)
    assert not first.resumed and "HTTP/1.1 200" in first.text
    again = connect(proxy, kind, "a.test", "-sess_in", session)
    assert again.resumed, again.text
    assert "HTTP/1.1 200" in again.text and '["X-Consumer-Username", "alice"]' in again.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_of_one_name_never_opens_another(kind, pki, echo, sallyport, tmp_path):
    """Not even where both ask: what they trust differs."""
    config = document(pki, service(
        "app", echo.url,
        route("a", snis=["a.test"], hosts=["a.test"], protocols=["https"], plugins=[mtls_auth(pki.clients)]),
        route("b", snis=["b.test"], hosts=["b.test"], protocols=["https"], plugins=[mtls_auth(pki.other)]),
        route("c", snis=["c.test"], hosts=["c.test"], protocols=["https"])))
    proxy = sallyport(config, "--workers", "1")
    session = tmp_path / "session"
    for start, cert in (("a.test", pki.alice), ("c.test", None)):
        first = connect(proxy, kind, start, "-sess_out", session, cert=cert)
        assert "HTTP/1.1 200" in first.text
        for other in {"a.test", "b.test"} - {start}:
            tried = connect(proxy, kind, other, "-sess_in", session)
            assert not tried.resumed and tried.asked, f"{start} -> {other}: {tried.text}"
            assert "HTTP/1.1 401" in tried.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_session_is_judged_by_todays_trust(kind, pki, echo, sallyport, tmp_path):
    proxy = sallyport(asking_for(pki, echo, "a.test"), "--workers", "1")
    session = tmp_path / "session"
    assert "HTTP/1.1 200" in connect(proxy, kind, "a.test", "-sess_out", session, cert=pki.alice).text
    config = document(pki, service("app", echo.url, route("r0", snis=["a.test"], hosts=["a.test"], protocols=["https"],
                                                          plugins=[mtls_auth(pki.other)])))
    assert proxy.reload(config)
    tried = connect(proxy, kind, "a.test", "-sess_in", session)
    assert "HTTP/1.1 401" in tried.text, tried.text


# --- bad handshakes ---

def client_hello(sni):
    """The bytes of a real ClientHello."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=sni)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_truncated_client_hello_gets_nothing_and_harms_nobody(pki, echo, sallyport):
    proxy = sallyport(asking_for(pki, echo, "a.test"))
    hello = client_hello("a.test")
    for cut in {1, 4, 5, 6, 40, len(hello) // 2, len(hello) - 1}:
        with socket.create_connection(("127.0.0.1", proxy.port), 10) as connection:
            connection.sendall(hello[:cut])
            connection.shutdown(socket.SHUT_WR)
            got = b""
            while (piece := connection.recv(4096)):
                got += piece
            assert got == b"" or got[0] == 21, "an alert at most" # never a ServerHello
    assert s_client(proxy.port, sni="a.test").asked


def test_a_client_hello_in_single_bytes_means_the_same(pki, echo, sallyport):
    """SNI is never peeked at beside the TLS stack: however it is cut, the name is asked."""
    proxy = sallyport(asking_for(pki, echo, "a.test"))
    raw = socket.create_connection(("127.0.0.1", proxy.port), 10)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(pki.alice.chain, pki.alice.key)
    client = context.wrap_bio(incoming, outgoing, server_hostname="a.test")
    with raw:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    raw.sendall(bytes([byte]))
                incoming.write(raw.recv(65536))
        client.write(REQUEST.format("a.test").encode())
        raw.sendall(outgoing.read())
        got = b""
        while b'"alice"' not in got:
            try:
                got += client.read(65536)
            except ssl.SSLWantReadError:
                piece = raw.recv(65536)
                assert piece, got
                incoming.write(piece)


def test_plain_http_on_the_tls_port_is_no_request(pki, echo, sallyport):
    proxy = sallyport(asking_for(pki, echo, "a.test"))
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert b"HTTP/1.1 2" not in connection.recv(4096)
    assert echo.seen == []


def test_old_versions_are_refused(pki, sallyport):
    proxy = sallyport(document(pki, svc(sni_route("r", "a.test"))))
    assert not s_client(proxy.port, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", sni="a.test").done
    strict = sallyport(document(pki, svc(sni_route("r", "a.test"))), "--tls-min", "1.3", name="strict")
    assert not s_client(strict.port, sni="a.test", version="1.2").done
    assert s_client(strict.port, sni="a.test", version="1.3").done


def test_the_map_is_visible_at_the_status_listener(pki, echo, sallyport):
    proxy = sallyport(asking_for(pki, echo, "a.test", send_ca_dn=True))
    answer = proxy.status("/handshake?sni=a.test").json()
    assert answer["asks"] is True and answer["matched"] == "a.test", answer
    assert any("clients" in name for name in answer["ca_names"]), answer
    assert proxy.status("/handshake?sni=c.test").json()["asks"] is False
    text = proxy.status("/config").body
    assert "PRIVATE KEY" not in text and '"kind"' in text


def test_curl_verifies_the_server(pki, echo, sallyport):
    proxy = sallyport(asking_for(pki, echo, "a.test"))
    assert curl("https://a.test/", cert=pki.alice, ca=pki.servers.cert, resolve=proxy.port).status == 200
