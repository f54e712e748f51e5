"""Who the client is: listener flags, PROXY headers of real balancers, and whom we believe (kong-behaviour 6.2, 6.3)."""
import base64
import socket
import struct
import urllib.parse

import pytest
import yaml

from sallytest import poll
from sallytest.clients import client_context, curl, read_all, read_answer
from sallytest.config import app, document, header_cert_auth, plugin, route, service
from sallytest.programs import run

CLIENT, BALANCER, STRANGER = "127.0.0.5", "127.0.0.1", "127.0.0.9" # all of them are this machine


def config(pki, echo, *plugins):
    return document(pki, app(echo, *plugins))


def body_of(leaf):
    return "".join(line for line in leaf.pem.splitlines() if "-----" not in line)


PROXIED = ("--listen", "127.0.0.1:0 proxy_protocol", "--listen-plain", "127.0.0.1:0 proxy_protocol")
BELIEVED = ("--trusted-ips", BALANCER, "--real-ip-header", "proxy_protocol")


def v1(source):
    return f"PROXY {'TCP6' if ':' in source else 'TCP4'} {source} {'::1' if ':' in source else '127.0.0.1'} 4000 443\r\n".encode()


def v2(source, command=0x21):
    family, kind = (socket.AF_INET6, 0x21) if ":" in source else (socket.AF_INET, 0x11)
    address = socket.inet_pton(family, source)
    body = address + bytes(len(address)) + struct.pack(">HH", 4000, 443)
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", command, kind, len(body)) + body


def ask(port, *fields, before=b"", source=BALANCER, tls=False):
    """One request from an address of ours, behind some bytes. None: closed without an answer."""
    connection = socket.create_connection(("127.0.0.1", port), 20, (source, 0))
    connection.sendall(before)
    try:
        if tls:
            connection = client_context().wrap_socket(connection, server_hostname="a.test")
        with connection:
            connection.sendall("".join(f"{line}\r\n" for line in ("GET / HTTP/1.1", "Host: a.test", *fields, "")).encode())
            return read_answer(connection.makefile("rb"))
    except OSError: # ConnectionError and ssl.SSLError among them
        return None


def seen(echo, name):
    return [value for n, value in echo.seen[-1]["headers"] if n.lower() == name.lower()]


# --- listener flags ---

def test_kongs_words(pki, echo, sallyport):
    """What stands in proxy_listen of a kong.conf may stand here."""
    proxy = sallyport(config(pki, echo), "--listen", "127.0.0.1:0 http2 ssl reuseport backlog=16384, 127.0.0.1:0 ssl deferred bind",
                      "--listen-plain", "127.0.0.1:0 reuseport so_keepalive=30m:10s:5")
    for port in proxy.ports:
        assert curl("https://a.test/", resolve=port, http2=True).status == 200
    for port in proxy.plains:
        assert curl("http://a.test/", resolve=port).status == 200
    assert (len(proxy.ports), len(proxy.plains)) == (3, 2)


@pytest.mark.parametrize("option, value, says", [
    ("--listen", "127.0.0.1:0 proxyprotocol", "unknown flag 'proxyprotocol'"),
    ("--listen", "127.0.0.1:0 backlog=none", "'backlog=none'"),
    ("--listen-plain", "127.0.0.1:0 ssl", "ssl is for --listen"),
    ("--listen-plain", "127.0.0.1:0 http2", "http2 is for --listen"),
    ("--real-ip-header", "X Real", "neither a field name nor proxy_protocol"),
    ("--trusted-ips", "10.0.0.0/33", "no IP address or network"),
])
def test_what_is_wrong_is_told(pki, echo, tmp_path, option, value, says):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config(pki, echo)))
    said = run("sallyport", "--config", file, "--listen", "off", "--status-listen", "off", option, value)
    assert said.code == 2 and says in said.err and option in said.err
    said = run("sallyport", "--config", file, "--status-listen", "off", env={f"SALLYPORT_{option[2:].replace('-', '_').upper()}": value})
    assert said.code == 2 and says in said.err


# --- balancers ---

def front(in_front, kind, port):
    if kind == "nginx-stream":
        return in_front(kind, f"proxy_pass 127.0.0.1:{port}; proxy_protocol on;")
    return in_front(kind, "tcp", port, "send-proxy-v2 proxy-v2-options crc32c,unique-id" if kind == "haproxy" else "send-proxy",
                    lines=["unique-id-format %rt"])


@pytest.mark.parametrize("kind", ["nginx-stream", "haproxy"])
@pytest.mark.parametrize("how", ["plain", "h1", "h2"])
def test_balancers_that_relay_bytes(pki, echo, sallyport, in_front, kind, how):
    """nginx writes version 1, HAProxy version 2 with a checksum. The client is who came to them."""
    proxy = sallyport(config(pki, echo, plugin("ip-restriction", deny=[STRANGER])), *PROXIED, *BELIEVED)
    balancer = front(in_front, kind, proxy.plains[1] if how == "plain" else proxy.ports[1])
    url, http2 = ("http://a.test/", None) if how == "plain" else ("https://a.test/", how == "h2")

    def visit(source, *options):
        return curl(url, "--interface", source, *options, resolve=balancer.port, http2=http2)
    answer = visit(CLIENT)
    assert answer.upstream_header("x-real-ip") == [CLIENT] and answer.upstream_header("x-forwarded-for") == [CLIENT]
    answer = visit(CLIENT, "-H", "X-Forwarded-For: 1.1.1.1", "-H", "X-Real-IP: 1.1.1.1")
    assert answer.upstream_header("x-real-ip") == [CLIENT]
    assert answer.upstream_header("x-forwarded-for") == [f"1.1.1.1, {BALANCER}"]
    answer = visit(STRANGER)
    assert (answer.status, answer.json()["message"]) == (403, f"IP address not allowed: {STRANGER}")
    poll(lambda: len(proxy.access()) == 3, lambda: proxy.out)
    assert [(line["client"], line["peer"]) for line in proxy.access()] == [(CLIENT, BALANCER), (CLIENT, BALANCER), (STRANGER, BALANCER)]


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_curl_speaks_it(pki, echo, sallyport, http2):
    proxy = sallyport(config(pki, echo), *PROXIED, *BELIEVED)
    assert curl("https://a.test/", "--haproxy-protocol", resolve=proxy.ports[1], http2=http2).status == 200
    assert curl("http://a.test/", "--haproxy-protocol", resolve=proxy.plains[1]).status == 200
    assert curl("https://a.test/", resolve=proxy.ports[1], http2=http2, check=False).code != 0 # never taken for what it is not
    assert curl("http://a.test/", resolve=proxy.plains[1], check=False).code == 52 # empty reply
    assert proxy.metric("sallyport_proxy_headers_refused_total") == 2
    assert curl("https://a.test/", resolve=proxy.port, http2=http2).status == 200 # where the flag is not
    assert curl("http://a.test/", "--haproxy-protocol", resolve=proxy.plain, check=False).status == 400


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_headers_of_both_versions(pki, echo, sallyport, tls):
    proxy = sallyport(config(pki, echo), *PROXIED, *BELIEVED)
    port = (proxy.ports if tls else proxy.plains)[1]
    for before, client in [(v1("9.9.9.9"), "9.9.9.9"), (v1("2001:db8::9"), "2001:db8::9"), (v2("9.9.9.9"), "9.9.9.9"),
                           (v2("2001:db8::9"), "2001:db8::9"), (v2("::ffff:9.9.9.9"), "9.9.9.9"), (b"PROXY UNKNOWN\r\n", BALANCER),
                           (v2("9.9.9.9", 0x20), BALANCER)]:
        assert ask(port, before=before, tls=tls).status == 200
        assert seen(echo, "x-real-ip") == [client]
    assert ask(port, before=v1("9.9.9.9"), source=STRANGER, tls=tls).status == 200
    assert seen(echo, "x-real-ip") == [STRANGER] # who is not trusted is himself
    for before in (b"", b"PROXY TCP4 9.9.9.9 127.0.0.1 4000\r\n", v2("9.9.9.9", 0x22), v2("9.9.9.9")[:-1] + b"\n" + v1("9.9.9.9")):
        answer = ask(port, before=before, tls=tls)
        assert answer is None or answer.status == 400


def test_a_balancer_that_keeps_silent(pki, echo, sallyport):
    proxy = sallyport(config(pki, echo), *PROXIED, *BELIEVED, "--handshake-timeout", "1")
    for port in (proxy.ports[1], proxy.plains[1]):
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall(b"PROXY TCP4 9.9.9.9 ")
            assert read_all(connection) == b""
    assert curl("https://a.test/", resolve=proxy.port).status == 200


# --- fields ---

@pytest.mark.parametrize("option, recursive, line, client", [
    ("X-Real-IP", False, "X-Real-IP: 9.9.9.9", "9.9.9.9"),
    ("X-Real-IP", False, "X-Real-IP: not-an-address", BALANCER),
    ("X-Real-IP", False, "X-Forwarded-For: 9.9.9.9", BALANCER),
    ("X-Forwarded-For", False, "X-Forwarded-For: 8.8.8.8, 9.9.9.9", "9.9.9.9"),
    ("X-Forwarded-For", False, f"X-Forwarded-For: 9.9.9.9, {BALANCER}", BALANCER),
    ("X-Forwarded-For", True, f"X-Forwarded-For: 8.8.8.8, 9.9.9.9, {BALANCER}", "9.9.9.9"),
    ("X-Forwarded-For", True, f"X-Forwarded-For: [2001:db8::9]:4000, {BALANCER}:80", "2001:db8::9"),
    ("CF-Connecting-IP", False, "CF-Connecting-IP: 9.9.9.9", "9.9.9.9"),
    ("proxy_protocol", False, "X-Real-IP: 9.9.9.9", BALANCER),
])
def test_fields_of_a_trusted_peer(pki, echo, sallyport, option, recursive, line, client):
    proxy = sallyport(config(pki, echo), "--trusted-ips", f"{BALANCER},unix:", "--real-ip-header", option,
                      *(["--real-ip-recursive"] if recursive else []))
    for tls in (False, True):
        assert ask(proxy.port if tls else proxy.plain, line, tls=tls).status == 200
        assert seen(echo, "x-real-ip") == [client]
        assert ask(proxy.port if tls else proxy.plain, line, source=STRANGER, tls=tls).status == 200
        assert seen(echo, "x-real-ip") == [STRANGER]
    poll(lambda: len(proxy.access()) == 4, lambda: proxy.out)
    assert [line["client"] for line in proxy.access()] == [client, STRANGER] * 2


def test_rates_are_counted_for_clients(pki, echo, sallyport):
    proxy = sallyport(config(pki, echo, plugin("rate-limiting", year=1, limit_by="ip")), *PROXIED, *BELIEVED)
    port = proxy.plains[1]
    assert [ask(port, before=v2(ip)).status for ip in ("9.9.9.9", "9.9.9.9", "8.8.8.8", "8.8.8.8")] == [200, 429, 200, 429]
    assert ask(port, "X-Real-IP: 7.7.7.7", "X-Forwarded-For: 7.7.7.7", before=v1("9.9.9.9")).status == 429


# --- certificates in fields: the TCP peer counts and nobody else ---

@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("option", ["proxy_protocol", "X-Forwarded-For"])
def test_trust_is_about_the_tcp_peer(pki, echo, sallyport, tls, option):
    proxy = sallyport(config(pki, echo, header_cert_auth(pki.clients)), *PROXIED, "--trusted-ips", BALANCER, "--real-ip-header", option)
    open_, behind = ((proxy.ports if tls else proxy.plains)[i] for i in (0, 1))
    field = f"X-Forwarded-Cert: {body_of(pki.alice)}"
    spoofed = [f"X-Forwarded-For: {BALANCER}", f"X-Real-IP: {BALANCER}", "X-Forwarded-Proto: https", f"Forwarded: for={BALANCER}"]
    for port, source, before, fields, expected in [
            (open_, BALANCER, b"", [], 200),
            (open_, BALANCER, b"", ["X-Forwarded-For: 9.9.9.9"], 200),
            (open_, STRANGER, b"", [], 401),
            (open_, STRANGER, b"", spoofed, 401),
            (behind, BALANCER, v1("9.9.9.9"), [], 200), # the balancer is who speaks: it vouches for what it sends
            (behind, BALANCER, v2("9.9.9.9"), spoofed, 200),
            (behind, STRANGER, v1(BALANCER), [], 401), # a forged address makes nobody trusted
            (behind, STRANGER, v2(BALANCER), spoofed, 401)]:
        answer = ask(port, field, *fields, before=before, source=source, tls=tls)
        assert answer.status == expected, (source, before, fields)
        if expected == 401:
            assert b"No required TLS certificate was sent" in answer.body
    proxy.wait_log("[header-cert-auth]", 4)


def dialects(pki):
    everything_else = "+=/" # AWS ALB leaves these as they are
    large = pki.clients.leaf("large", "/CN=alice", [f"DNS:{'x' * 50}{i}.example" for i in range(180)] + ["DNS:alice"])
    return {
        "url leaf": ("url_encoded", urllib.parse.quote(pki.alice.pem, safe=""), "alice"),
        "url chain": ("url_encoded", urllib.parse.quote(pki.bob.chain_pem, safe=""), "bob"),
        "url chain incomplete": ("url_encoded", urllib.parse.quote(pki.bob.pem, safe=""), None),
        "ALB": ("url_encoded", urllib.parse.quote(pki.bob.chain_pem, safe=everything_else), "bob"),
        "url with CRLF": ("url_encoded", urllib.parse.quote(pki.alice.pem.replace("\n", "\r\n"), safe=""), "alice"),
        "url of 16 KiB": ("url_encoded", urllib.parse.quote(large.pem, safe=""), "alice"),
        "base64 of 12 KiB": ("base64_encoded", body_of(large), "alice"),
        "base64 chain": ("base64_encoded", f"{body_of(pki.bob)},{body_of(pki.middle)}", "bob"),
        "base64 in url": ("url_encoded", body_of(pki.alice), None),
        "url in base64": ("base64_encoded", urllib.parse.quote(pki.alice.pem, safe=""), None),
        "garbage": ("base64_encoded", "12345invalidcert67890", None),
        "cut off": ("url_encoded", urllib.parse.quote(pki.alice.pem, safe="")[:-40], None),
    }


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_dialects(pki, echo, sallyport, http2):
    rows = dialects(pki)
    assert len(rows["url of 16 KiB"][1]) > 16384 and len(rows["base64 of 12 KiB"][1]) > 8192
    forms = ("base64_encoded", "url_encoded")
    routes = [route(form[:3], paths=[f"/{form}"], plugins=[header_cert_auth(pki.clients, form=form)]) for form in forms]
    proxy = sallyport(document(pki, service("app", echo.url, *routes)), "--trusted-ips", BALANCER)
    for name, (form, value, consumer) in rows.items():
        for field in ("X-Forwarded-Cert", "x-FORWARDED-cert"):
            answer = curl(f"https://a.test/{form}", "-H", f"{field}: {value}", resolve=proxy.port, http2=http2)
            assert answer.status == (200 if consumer else 401), name
        if consumer:
            assert answer.upstream_header("x-consumer-username") == [consumer]
            assert answer.upstream_header("x-forwarded-cert") == [value] # kept, as Kong keeps it
        else:
            assert answer.json()["message"] == "TLS certificate failed verification", name
    good = f"X-Forwarded-Cert: {rows['url leaf'][1]}"
    for second in (good, "X-Forwarded-Cert: x", "x_forwarded_cert: x", "X_FORWARDED-CERT: " + rows["url leaf"][1]):
        answer = curl("https://a.test/url_encoded", "-H", good, "-H", second, resolve=proxy.port, http2=http2)
        assert (answer.status, answer.json()["message"]) == (401, "TLS certificate failed verification"), second
    assert curl("https://a.test/url_encoded", "-H", f"X-Other: {good}", resolve=proxy.port, http2=http2).status == 401


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_chains_of_the_other_dialects(pki, echo, sallyport, http2):
    """RFC 9440 has the chain in a field of its own, which may come in parts; Envoy writes the chain after what others said."""
    routes = [route("r", paths=["/rfc"], plugins=[header_cert_auth(pki.clients, form="rfc9440", certificate_header_name="Client-Cert")]),
              route("x", paths=["/xfcc"], plugins=[header_cert_auth(pki.clients, form="xfcc")])]
    proxy = sallyport(document(pki, service("app", echo.url, *routes)), "--trusted-ips", BALANCER)
    chain = urllib.parse.quote(pki.bob.chain_pem, safe="")

    def visit(path, *lines):
        fields = [part for line in lines for part in ("-H", line)]
        answer = curl(f"https://a.test{path}", *fields, resolve=proxy.port, http2=http2)
        return answer.upstream_header("x-consumer-username")[0] if answer.status == 200 else (answer.status, answer.json()["message"])
    leaf, middle, root = (f":{body_of(each)}:" for each in (pki.bob, pki.middle, pki.clients))
    failed = (401, "TLS certificate failed verification")
    assert visit("/rfc", f"Client-Cert: {leaf}", f"Client-Cert-Chain: {middle}, {root}") == "bob"
    assert visit("/rfc", f"Client-Cert: {leaf}", f"Client-Cert-Chain: {middle}", f"client-cert-chain: {root}") == "bob"
    assert visit("/rfc", f"Client-Cert: {leaf}") == failed
    assert visit("/rfc", f"Client-Cert: {leaf}", f"Client_Cert: {leaf}", f"Client-Cert-Chain: {middle}") == failed
    assert visit("/rfc", f"Client-Cert: {leaf}, {middle}") == failed
    assert visit("/rfc", f"Client-Cert: {body_of(pki.bob)}", f"Client-Cert-Chain: {middle}") == failed
    assert visit("/rfc", f"Client-Cert-Chain: {middle}") == (401, "No required TLS certificate was sent")
    assert visit("/xfcc", f'X-Forwarded-Cert: Hash=1;Cert="forged",By=spiffe://us;Hash=2;Chain="{chain}"') == "bob"
    assert visit("/xfcc", f'X-Forwarded-Cert: Chain="{chain}",By=spiffe://us;Hash=2') == failed # the last one has none


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_nginx_terminates_tls(pki, echo, sallyport, nginx, secure):
    """nginx asks for a certificate, judges nothing, and hands on what came in $ssl_client_escaped_cert."""
    proxy = sallyport(config(pki, echo, header_cert_auth(pki.clients, form="url_encoded")), "--trusted-ips", BALANCER, "--real-ip-header", "X-Forwarded-For")
    to = f"https://127.0.0.1:{proxy.port}" if secure else f"http://127.0.0.1:{proxy.plain}"
    outside = nginx(f"""ssl_verify_client optional_no_ca; location / {{ proxy_pass {to}; proxy_http_version 1.1; proxy_ssl_name a.test;
        proxy_ssl_server_name on; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Cert $ssl_client_escaped_cert; }}""", tls=pki.web)

    def visit(cert, *options):
        return curl("https://a.test/", "--interface", CLIENT, *options, cert=cert, resolve=outside.port)
    answer = visit(pki.alice)
    assert answer.status == 200 and answer.upstream_header("x-consumer-username") == ["alice"]
    assert answer.upstream_header("x-real-ip") == [CLIENT] and answer.upstream_header("x-forwarded-for") == [f"{CLIENT}, {BALANCER}"]
    assert urllib.parse.unquote(answer.upstream_header("x-forwarded-cert")[0]) == pki.alice.pem
    spoofed = ["-H", f"X-Forwarded-Cert: {urllib.parse.quote(pki.alice.pem, safe='')}"]
    for cert, message in [(None, "No required TLS certificate was sent"), (pki.forged, "TLS certificate failed verification"),
                          (pki.nobody, "TLS certificate failed verification")]: # one that has expired nginx refuses by itself
        answer = visit(cert, *spoofed) # nginx writes its own over it
        assert (answer.status, answer.json()["message"]) == (401, message)


def test_haproxy_terminates_tls(pki, echo, sallyport, in_front, tmp_path):
    """The address in a PROXY header of version 2, the certificate as base64 of DER, over TLS again."""
    proxy = sallyport(config(pki, echo, header_cert_auth(pki.clients)), *PROXIED, *BELIEVED)
    both = tmp_path / "web.pem"
    both.write_text(pki.web.chain_pem + pki.web.key_pem)
    ask_all = f"ssl crt {both} verify optional ca-file {pki.clients.cert} ca-ignore-err all crt-ignore-err all"
    outside = in_front("haproxy", "http", proxy.ports[1], "send-proxy-v2 proxy-v2-options ssl,cert-cn,crc32c ssl verify none sni str(a.test)",
                       bind=ask_all, lines=["http-request set-header X-Forwarded-Cert %[ssl_c_der,base64]"])

    def visit(cert):
        return curl("https://a.test/", "--interface", CLIENT, cert=cert, resolve=outside.port)
    answer = visit(pki.alice)
    assert answer.status == 200 and answer.upstream_header("x-consumer-username") == ["alice"]
    assert answer.upstream_header("x-real-ip") == [CLIENT]
    assert base64.b64decode(answer.upstream_header("x-forwarded-cert")[0])
    assert visit(pki.forged).status == 401
    answer = visit(None) # HAProxy writes the field all the same, with nothing in it
    assert (answer.status, answer.json()["message"]) == (401, "No required TLS certificate was sent")
