"""The proxy between clients and an upstream: bodies, framing, forwarded headers, errors, HTTP/2."""
import hashlib
import re
import socket
import subprocess

import pytest

from sallytest.clients import curl, exchange, open_tls, read_answer, read_all
from sallytest.config import document, route, service
from sallytest.programs import tool
from sallytest.upstream import pattern

SIZES = [0, 1, 1000, 16384, 70000, 3 << 20]


@pytest.fixture(scope="module")
def proxy(pki, shared_echo, module_sallyport):
    """One data plane for the whole module: everything on a.test goes to the echo upstream, over TLS and plain."""
    return module_sallyport(document(
        pki,
        service("app", shared_echo.url,
                route("all", hosts=["a.test"], strip_path=False),
                route("stripped", hosts=["a.test"], paths=["/stripped"]),
                route("secure", hosts=["b.test"], protocols=["https"])),
        service("nobody", "http://127.0.0.1:1", route("dead", hosts=["dead.test"]), retries=0)))


def url(path="/", tls=True, host="a.test"):
    return f"{'https' if tls else 'http'}://{host}{path}"


def get(proxy, path="/", *options, tls=True, host="a.test", **kwargs):
    return curl(url(path, tls, host), *options, resolve=proxy.port if tls else proxy.plain, **kwargs)


WAYS = {"h1 plain": {"tls": False, "http2": False}, "h1 tls": {"http2": False}, "h2": {"http2": True}}


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


# --- bodies ---

@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["bytes", "chunked"])
def test_answers_arrive_whole(proxy, echo, way, size, framing):
    answer = get(proxy, f"/{framing}/{size}", **way)
    assert (answer.status, len(answer.body)) == (200, size)
    assert answer.body == pattern(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_requests_arrive_whole(proxy, echo, way, size, framing, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(pattern(size))
    options = ["-X", "POST", "-H", "Expect:", "-T"]
    if framing == "length":
        answer = get(proxy, "/upload", *options, body, **way)
    else: # standard input: curl cannot know the size
        answer = get(proxy, "/upload", *options, "-", stdin=pattern(size), **way)
    seen = answer.json()
    assert (answer.status, seen["length"], seen["sha256"]) == (200, size, hashlib.sha256(pattern(size)).hexdigest())


def test_a_body_streams_before_it_is_whole(proxy, echo):
    """The upstream has the head, and the client can still decide about the body."""
    hold = echo.hold("stream")
    with open_tls(proxy.port, "a.test") as connection:
        connection.sendall(b"POST /hold/stream HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\n\r\nabc")
        connection.sendall(b"def")
        hold.wait_arrived()
        hold.release()
        assert read_answer(connection.makefile("rb")).status == 200
    assert echo.seen[-1]["body"] == "abcdef"


def test_a_slow_reader_gets_everything(proxy, echo):
    """Back-pressure: 24 MiB through a client that takes small bites."""
    size = 24 << 20
    with open_tls(proxy.port, "a.test") as connection:
        connection.sendall(f"GET /bytes/{size} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".encode())
        digest, got, head = hashlib.sha256(), 0, b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1000)
        piece = head.split(b"\r\n\r\n", 1)[1] or connection.recv(3001)
        while piece:
            digest.update(piece)
            got += len(piece)
            piece = connection.recv(3001)
    assert got == size and digest.hexdigest() == hashlib.sha256(pattern(size)).hexdigest()


def test_head_has_the_length_but_no_body(proxy, echo, way):
    answer = get(proxy, "/bytes/5000", "--head", **way)
    assert (answer.status, answer.header("content-length"), answer.body) == (200, "5000", b"")


@pytest.mark.parametrize("status", [204, 304, 404, 418, 500, 503])
def test_the_upstreams_status_passes(proxy, echo, way, status):
    assert get(proxy, f"/status/{status}", **way).status == status


def test_methods_pass(proxy, echo):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert get(proxy, "/", "-X", method).json()["method"] == method


def test_continue_is_sent_once_the_upstream_side_is_ready(proxy, echo):
    with open_tls(proxy.port, "a.test") as connection:
        stream = connection.makefile("rb")
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert read_answer(stream).status == 100
        connection.sendall(b"body")
        answer = read_answer(stream)
        while answer.status == 100: # the upstream's own
            answer = read_answer(stream)
        assert answer.status == 200
    assert echo.seen[-1]["body"] == "body"


def test_early_hints_pass(proxy, echo):
    with open_tls(proxy.port, "a.test") as connection:
        stream = connection.makefile("rb")
        connection.sendall(b"GET /early HTTP/1.1\r\nHost: a.test\r\n\r\n")
        first, last = read_answer(stream), read_answer(stream)
    assert (first.status, last.status, last.body) == (103, 200, b"late")
    assert "style.css" in first.headers["link"]


def test_trailers_pass_down(proxy, echo):
    got = exchange(proxy.plain, b"GET /trailers HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n")
    assert got.endswith(b"0\r\nX-Sum: 42\r\n\r\n") or b"\r\n0\r\nx-sum: 42\r\n\r\n" in got.lower()


def test_trailers_pass_up(proxy, echo):
    got = exchange(proxy.plain, b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                                b"3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n")
    assert b" 200 " in got
    assert echo.seen[-1]["body"] == "abc" and ["X-Sum", "42"] in [[n.title(), v] for n, v in echo.seen[-1]["trailers"]]


# --- connections ---

def test_keep_alive_and_pipelining(proxy, echo):
    with open_tls(proxy.port, "a.test") as connection:
        stream = connection.makefile("rb")
        connection.sendall(b"".join(f"GET /n/{i} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode() for i in range(20)))
        import json
        assert [json.loads(read_answer(stream).body)["path"] for _ in range(20)] == [f"/n/{i}" for i in range(20)]


def test_connection_close_is_honoured(proxy, echo):
    got = exchange(proxy.plain, b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    assert b"HTTP/1.1 200" in got and b"connection: close" in got.lower()


def test_http_1_0_is_closed_after_the_answer(proxy, echo):
    got = exchange(proxy.plain, b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
    assert got.startswith(b"HTTP/1.") and b" 200 " in got.split(b"\r\n")[0] and b"transfer-encoding" not in got.lower()


def test_upstream_connections_are_kept(proxy, echo):
    before = echo.opened
    with open_tls(proxy.port, "a.test") as connection:
        stream = connection.makefile("rb")
        for _ in range(10):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            assert read_answer(stream).status == 200
    assert echo.opened - before <= 1


def test_a_client_that_goes_away_is_only_its_own_problem(proxy, echo):
    hold = echo.hold("gone")
    connection = open_tls(proxy.port, "a.test")
    connection.sendall(b"GET /hold/gone HTTP/1.1\r\nHost: a.test\r\n\r\n")
    hold.wait_arrived()
    connection.close()
    assert get(proxy).status == 200
    hold.release()
    assert get(proxy).status == 200


# --- what the upstream sees ---

def test_forwarded_headers(proxy, echo):
    answer = get(proxy, "/some/path?q=1", "-H", "X-Forwarded-For: 203.0.113.9", "-H", "X-Forwarded-Proto: gopher",
                 "-H", "X-Forwarded-Host: evil.test", "-H", "X-Forwarded-Port: 1", "-H", "X-Real-IP: 203.0.113.9",
                 "-H", "X-Forwarded-Path: /x", "-H", "X-Forwarded-Prefix: /y")
    seen = {name.lower(): value for name, value in answer.json()["headers"]}
    assert answer.json()["path"] == "/some/path?q=1"
    assert seen["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
    assert seen["x-real-ip"] == "127.0.0.1"
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("https", "a.test")
    assert seen["x-forwarded-port"] == str(proxy.port)
    assert seen["x-forwarded-path"] == "/some/path"
    assert "x-forwarded-prefix" not in seen
    assert re.fullmatch(r"[0-9a-f]{32}", seen["x-kong-request-id"])
    assert seen["host"] == f"127.0.0.1:{echo.port}"
    assert "sallyport" in seen["via"]


def test_a_trusted_peer_is_believed(pki, echo, sallyport):
    proxy = sallyport(document(pki, service("app", echo.url, route("r", hosts=["a.test"]))), "--trusted-ips", "127.0.0.0/8")
    answer = get(proxy, "/", "-H", "X-Forwarded-Proto: https", "-H", "X-Forwarded-Host: front.test", tls=False)
    assert answer.upstream_header("x-forwarded-proto") == ["https"]
    assert answer.upstream_header("x-forwarded-host") == ["front.test"]


def test_the_stripped_prefix_is_told(proxy, echo):
    answer = get(proxy, "/stripped/rest")
    assert answer.json()["path"] == "/rest" and answer.upstream_header("x-forwarded-prefix") == ["/stripped"]


def test_hop_by_hop_headers_stay_here(proxy, echo):
    answer = get(proxy, "/", "-H", "Connection: keep-alive, X-Private", "-H", "X-Private: 1", "-H", "Keep-Alive: 5",
                 "-H", "Proxy-Authorization: x", "-H", "TE: gzip", http2=False)
    seen = {name.lower() for name, _ in answer.json()["headers"]}
    assert not seen & {"x-private", "keep-alive", "proxy-authorization", "te"}
    assert answer.header("x-upstream") == "echo" and answer.header("x-hop") is None


def test_a_connection_header_cannot_remove_ours(proxy, echo):
    answer = get(proxy, "/", "-H", "Connection: X-Forwarded-For, X-Real-IP, X-Kong-Request-Id", http2=False)
    seen = {name.lower() for name, _ in answer.json()["headers"]}
    assert {"x-forwarded-for", "x-real-ip", "x-kong-request-id"} <= seen


def test_the_client_gets_the_request_id(proxy, echo):
    answer = get(proxy)
    assert answer.header("x-kong-request-id") == answer.upstream_header("x-kong-request-id")[0]
    assert "sallyport" in answer.header("via")


# --- errors ---

def test_no_route(proxy, echo, way):
    answer = get(proxy, host="unknown.test", **way)
    body = answer.json()
    assert (answer.status, body["message"]) == (404, "no Route matched with those values")
    assert list(body) == ["message", "request_id"] and body["request_id"] == answer.header("x-kong-request-id")
    assert answer.header("content-type") == "application/json; charset=utf-8"


@pytest.mark.parametrize("accept, expected", [
    ("text/plain", "no Route matched with those values\nrequest_id: "),
    ("text/html", "<p>no Route matched with those values.</p>"),
    ("application/xml", "<message>no Route matched with those values</message>"),
    ("image/png", '"message"'),
    ("text/plain;q=0.1, application/xml", "<message>"),
])
def test_errors_speak_what_the_client_accepts(proxy, accept, expected):
    assert expected in get(proxy, "/", "-H", f"Accept: {accept}", host="unknown.test").text


def test_https_only_route_over_http(proxy, echo):
    answer = get(proxy, tls=False, host="b.test")
    assert (answer.status, answer.json()["message"]) == (426, "Please use HTTPS protocol")
    assert answer.header("upgrade") == "TLS/1.2, HTTP/1.1" and "upgrade" in answer.header("connection").lower()
    assert echo.seen == []


def test_upstream_down(proxy, echo, way):
    answer = get(proxy, host="dead.test", **way)
    assert (answer.status, answer.json()["message"]) == (502, "An invalid response was received from the upstream server")


def test_a_head_that_is_too_large(proxy, echo):
    big = [option for i in range(40) for option in ("-H", f"X-{i}: {'x' * 4000}")]
    answer = get(proxy, "/", *big, http2=False)
    assert (answer.status, answer.json()["message"]) == (400, "Request header or cookie too large")
    assert get(proxy, "/", *[o for i in range(400) for o in ("-H", f"X-{i}: 1")], http2=False).status == 400
    assert echo.seen == []
    assert get(proxy).status == 200


# Requests on which two servers could disagree: none of them may reach the upstream.
SMUGGLING = {
    "two lengths": b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a list of lengths": b"Content-Length: 3, 4\r\n\r\nabcd",
    "an empty length": b"Content-Length:\r\n\r\n",
    "a signed length": b"Content-Length: +3\r\n\r\nabc",
    "a hexadecimal length": b"Content-Length: 0x3\r\n\r\nabc",
    "an enormous length": b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "length and chunked": b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked misspelt": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked with a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "blank before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"X-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n",
    "a bare line feed": b"X-A: 1\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare carriage return": b"X-A: 1\rX-B: 2\r\n\r\n",
    "a NUL in a value": b"X-A: 1\x002\r\n\r\n",
    "an empty name": b": 1\r\n\r\n",
    "two hosts": b"Host: b.test\r\n\r\n",
    "a bad chunk size": b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "an overflowing chunk size": b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "no end after a chunk": b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_ambiguous_requests_are_refused(proxy, echo, name):
    request = b"POST /smuggled HTTP/1.1\r\nHost: a.test\r\n" + SMUGGLING[name]
    got = exchange(proxy.plain, request + b"GET /second HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert re.match(rb"HTTP/1\.1 (400|501) ", got), got[:300]
    assert got.count(b"HTTP/1.1 ") == 1, "the connection ends with the first answer"
    assert all(seen["path"] != "/second" for seen in echo.seen)


@pytest.mark.parametrize("head", [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET / HTTP/1.1 \r\nHost: a.test\r\n\r\n",
    b"GET /a b HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: a.test\r\n\r\n",
    b"GET /#fragment HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GE\x00T / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test/evil\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a.test\n\n",
    b"POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"\x16\x03\x01\x00\x05hello",
])
def test_malformed_heads_are_refused(proxy, echo, head):
    got = exchange(proxy.plain, head)
    assert re.match(rb"HTTP/1\.1 (400|501|505) ", got), got[:300]
    assert echo.seen == []


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
    b"HTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"not http at all\r\n\r\n",
    b"",
], ids=range(7))
def test_bad_upstream_answers_become_502(pki, scripted, sallyport, answer):
    from sallytest.upstream import says
    upstream = scripted(says(answer))
    proxy = sallyport(document(pki, service("app", upstream.url, route("r", hosts=["a.test"]), retries=0)))
    reply = get(proxy, http2=False)
    assert (reply.status, reply.json()["message"]) == (502, "An invalid response was received from the upstream server")


def test_an_answer_cut_short_is_not_whole_for_the_client(pki, scripted, sallyport):
    from sallytest.upstream import says
    upstream = scripted(says(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this"))
    proxy = sallyport(document(pki, service("app", upstream.url, route("r", hosts=["a.test"]))))
    for http2 in (False, True):
        reply = get(proxy, http2=http2, check=False)
        assert reply.code != 0, "curl must notice"


def test_an_answer_without_framing_ends_with_the_connection(pki, scripted, sallyport):
    from sallytest.upstream import says
    upstream = scripted(says(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"))
    proxy = sallyport(document(pki, service("app", upstream.url, route("r", hosts=["a.test"]))))
    for http2 in (False, True):
        assert get(proxy, http2=http2).body == b"until the end"


# --- HTTP/2 ---

def test_h2_many_streams_with_bodies(proxy, echo):
    """nghttp over one connection: sixty requests at once, each answer whole."""
    urls = [f"https://127.0.0.1:{proxy.port}/bytes/{1000 + i}" for i in range(60)]
    done = subprocess.run([tool("nghttp"), "-n", "-s", "-H", ":authority: a.test", "--no-verify-peer", *urls], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    sizes = re.findall(r"^\s*\d+.* 200 +(\S+) /bytes/(\d+)$", done.stdout, re.M)
    assert len(sizes) == 60, done.stdout


def test_h2_host_and_authority(proxy, echo):
    answer = get(proxy, http2=True)
    assert answer.version == "HTTP/2" and answer.upstream_header("host") == [f"127.0.0.1:{echo.port}"]
    assert answer.header("connection") is None and answer.header("x-hop") is None


def test_h2_cookies_are_one_header_upstream(proxy, echo):
    answer = get(proxy, "/", "-H", "Cookie: a=1; b=2; c=3", http2=True)
    assert answer.upstream_header("cookie") == ["a=1; b=2; c=3"]


# nghttp2 answers what comes for a stream that it has closed already by ignoring it, not with the error that h2spec wants, and
# it does not look at priorities, which RFC 9113 has taken out (we say so in SETTINGS). Whether a stream is closed already when the
# DATA frame of 6.1 comes is a matter of who is faster.
NGHTTP2_IGNORES = ("^closed: ", r"^half closed \(remote\): ", r'not in "open" or "half-closed \(local\)" state$', "numerically smaller than previous",
                   "depend on itself", "PRIORITY frame with 0x0 stream")


def test_h2spec(pki, echo, sallyport):
    """The conformance suite, against a proxied route and without SNI, so everything leads to the echo upstream."""
    h2spec = tool("h2spec")
    proxy = sallyport(document(pki, service("app", echo.url, route("all", paths=["/"]))), "--workers", "1")
    done = subprocess.run([h2spec, "-t", "-k", "-h", "127.0.0.1", "-p", str(proxy.port), "-o", "2"], capture_output=True, text=True,
                          timeout=300)
    assert re.search(r"^145 tests, 1[34]\d passed", done.stdout, re.M), done.stdout[-6000:]
    failed = set(re.findall(r"^\s*\u00d7 \d+: (.*)$", done.stdout.partition("Failures:")[2], re.M))
    unexpected = [what for what in failed if not any(re.search(known, what) for known in NGHTTP2_IGNORES)]
    assert unexpected == [], done.stdout[-6000:]


# --- upgrades ---

def upgrade_upstream(answer):
    def serve(upstream, connection):
        upstream.read_head(connection)
        connection.sendall(answer)
        while (got := connection.recv(4096)):
            connection.sendall(got.upper())
    return serve


UPGRADE = (b"GET /socket HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")


def test_websocket_becomes_a_tunnel_on_101(pki, scripted, sallyport):
    upstream = scripted(upgrade_upstream(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"))
    proxy = sallyport(document(pki, service("app", upstream.url, route("r", hosts=["a.test"]))))
    with socket.create_connection(("127.0.0.1", proxy.plain), 10) as connection:
        connection.sendall(UPGRADE)
        stream = connection.makefile("rb")
        answer = read_answer(stream)
        assert answer.status == 101 and answer.headers["upgrade"] == "websocket"
        connection.sendall(b"hello")
        assert stream.read(5) == b"HELLO"
    assert b"upgrade: websocket" in upstream.got[0].lower()


def test_only_101_makes_a_tunnel(pki, scripted, sallyport):
    """An upstream that answers 200 to an upgrade has not agreed: what the client sends next is no tunnel."""
    upstream = scripted(upgrade_upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"))
    proxy = sallyport(document(pki, service("app", upstream.url, route("r", hosts=["a.test"]))))
    with socket.create_connection(("127.0.0.1", proxy.plain), 10) as connection:
        connection.sendall(UPGRADE)
        stream = connection.makefile("rb")
        answer = read_answer(stream)
        assert (answer.status, answer.body) == (200, b"no")
        connection.sendall(b"GET /unknown HTTP/1.1\r\nHost: unknown.test\r\nConnection: close\r\n\r\n")
        assert b"404" in read_all(connection)[:20] or stream.read(20).startswith(b"HTTP/1.1 404")
