"""Clients that are slow, greedy or hostile: they lose their connection, nobody else notices."""
import resource
import signal
import socket
import struct

import pytest
import yaml

from sallytest import poll
from sallytest.clients import curl, open_tls, read_all, read_answer
from sallytest.config import document, route, service
from sallytest.programs import Control, DataPlane, cluster_pki, run

HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
GET = b"\x82\x87\x84\x41\x06a.test" # :method GET, :scheme https, :path /, :authority a.test in HPACK


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class H2:
    """A client that says what it likes."""

    def __init__(self, port):
        self.connection = open_tls(port, "a.test", alpn=["h2"])
        self.connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS))

    def send(self, data):
        """False once the other side has closed."""
        try:
            self.connection.sendall(data)
            return True
        except OSError:
            return False

    def goaway(self):
        """The error code of the GOAWAY that ends the connection; None: closed without one."""
        data, code = read_all(self.connection), None
        while len(data) >= 9:
            length, kind = int.from_bytes(data[:3], "big"), data[3]
            if kind == GOAWAY:
                code = int.from_bytes(data[13:17], "big")
            data = data[9 + length:]
        self.connection.close()
        return code


@pytest.fixture
def proxy(pki, echo, sallyport):
    return sallyport(document(pki, service("app", echo.url, route("r", hosts=["a.test"], strip_path=False))), "--head-timeout", "1",
                     "--handshake-timeout", "1", "--idle-timeout", "1", "--body-timeout", "1")


def still_serves(proxy):
    assert curl("https://a.test/", resolve=proxy.port, http2=True).status == 200


ENHANCE_YOUR_CALM = 11


def flood(client, pieces):
    for piece in pieces:
        if not client.send(piece):
            break
    return client.goaway()


def test_rapid_reset(proxy):
    """CVE-2023-44487."""
    def pieces():
        for stream in range(1, 40001, 2):
            yield frame(HEADERS, END_STREAM | END_HEADERS, stream, GET) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
    assert flood(H2(proxy.port), pieces()) in (ENHANCE_YOUR_CALM, None)
    still_serves(proxy)


def test_resets_that_we_are_made_to_send(proxy):
    """CVE-2025-8671: a window update of zero is a stream error, and ours to send."""
    def pieces():
        for stream in range(1, 40001, 2):
            yield frame(HEADERS, END_STREAM | END_HEADERS, stream, GET) + frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0))
    flood(H2(proxy.port), pieces())
    still_serves(proxy)


def test_continuation_without_end(proxy):
    """CVE-2024-28182."""
    def pieces():
        yield frame(HEADERS, 0, 1, GET)
        for _ in range(20000):
            yield frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 100)
    client = H2(proxy.port)
    flood(client, pieces())
    still_serves(proxy)


def test_many_small_fields(proxy, echo):
    """Each cookie crumb counts (CVE-2026-49975): one byte on the wire each, refused before they cost."""
    crumbs = b"\x60\x01a" + b"\xbe" * 4000 # one literal cookie into the table, then its index
    client = H2(proxy.port)
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, GET + crumbs))
    client.connection.settimeout(20)
    client.goaway() # answered or ended; the idle time ends it
    assert echo.seen == []
    still_serves(proxy)


TOO_LARGE = (400, "Request header or cookie too large")


def app_with(pki, echo, sallyport, name, *options):
    return sallyport(document(pki, service("app", echo.url, route("r", hosts=["a.test"]))), *map(str, options), name=name)


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_a_field_of_24_kib(pki, echo, sallyport, http2):
    """A certificate chain in one field: passes where the head may be so large, and is refused where not."""
    value = "x" * 24576
    for limit, fits in ((65536, True), (25000, True), (24000, False), (16384, False)):
        options = [] if limit == 65536 else ["--max-head-bytes", limit] # the default
        proxy = app_with(pki, echo, sallyport, f"limit-{limit}", *options)
        answer = curl("https://a.test/", "-H", f"X-Large: {value}", resolve=proxy.port, http2=http2)
        if fits:
            assert answer.status == 200 and answer.upstream_header("x-large") == [value]
        else:
            assert (answer.status, answer.json()["message"]) == TOO_LARGE
        answer = curl("https://a.test/", "-H", f"Cookie: a={value}", resolve=proxy.port, http2=http2)
        assert answer.status == (200 if fits else 400)
        still_serves(proxy)


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_the_number_of_fields(pki, echo, sallyport, http2):
    proxy = app_with(pki, echo, sallyport, "few", "--max-fields", 20)
    fields = [part for i in range(20) for part in ("-H", f"X-{i}: 1")]
    assert curl("https://a.test/", *fields[:20], resolve=proxy.port, http2=http2).status == 200
    answer = curl("https://a.test/", *fields, resolve=proxy.port, http2=http2)
    assert (answer.status, answer.json()["message"]) == TOO_LARGE


def literal(name, value):
    """A field in HPACK that is neither indexed nor compressed (RFC 7541 6.2.2)."""
    left, length = len(value) - 127, b"\x7f"
    while left >= 128:
        length, left = length + bytes([left % 128 + 128]), left // 128
    return b"\x00" + bytes([len(name)]) + name + length + bytes([left]) + value


def test_a_head_of_many_frames(pki, echo, sallyport):
    """The limit on CONTINUATION does not cut what the limit on heads allows."""
    proxy = app_with(pki, echo, sallyport, "wide", "--max-head-bytes", 400000)
    head = GET + b"".join(literal(b"x-%d" % i, b"y" * 10000) for i in range(30))
    pieces = [head[i:i + 16384] for i in range(0, len(head), 16384)]
    client = H2(proxy.port)
    client.send(frame(HEADERS, END_STREAM, 1, pieces[0]))
    for i, piece in enumerate(pieces[1:], 2):
        client.send(frame(CONTINUATION, END_HEADERS if i == len(pieces) else 0, 1, piece))
    stream = client.connection.makefile("rb")
    while (begin := stream.read(9))[3] != HEADERS:
        stream.read(int.from_bytes(begin[:3], "big"))
    assert stream.read(1) == b"\x88" # :status 200
    client.connection.close()
    assert len(echo.seen) == 1


def test_pings_and_settings_without_reading(proxy):
    for piece in (frame(PING, payload=b"12345678"), frame(SETTINGS)):
        client = H2(proxy.port)
        flood(client, (piece * 1000 for _ in range(200)))
        still_serves(proxy)


def test_a_head_that_trickles(proxy):
    with socket.create_connection(("127.0.0.1", proxy.plain), 20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a.te")
        got = read_all(connection)
    assert got == b"" or b" 408 " in got
    still_serves(proxy)


def test_a_handshake_that_never_comes(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), 20) as connection:
        assert read_all(connection) == b""


def test_an_idle_connection_is_closed(proxy):
    with open_tls(proxy.port, "a.test") as connection:
        stream = connection.makefile("rb")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert read_answer(stream).status == 200
        assert stream.read() == b""


def test_a_body_that_stalls(proxy, echo):
    with open_tls(proxy.port, "a.test") as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\nabc")
        got = read_all(connection)
    assert got == b"" or b" 408 " in got
    still_serves(proxy)


# --- a disk that takes no more ---

class SmallDisk:
    """Files may not grow beyond some bytes: what a full disk looks like from inside."""

    def __init__(self, limit):
        self.limit = limit

    def __enter__(self):
        self.handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN) # inherited
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, self.before[1]))

    def __exit__(self, *args):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)
        signal.signal(signal.SIGXFSZ, self.handler)


def test_a_full_disk_under_the_store(pki, echo, tmp_path):
    config = document(pki, service("app", echo.url, route("r", hosts=["a.test"])))
    huge = document(pki, *[service(f"s{i}", echo.url, route(f"r{i}", hosts=[f"h{i}.test"])) for i in range(2000)])
    control = Control(tmp_path / "control", cluster_pki(tmp_path / "pki"))

    def apply(what):
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(what))
        return run("sallyctl", "--url", control.url, "apply", "-f", file)
    with SmallDisk(200_000):
        control.start()
    try:
        assert apply(config).code == 0
        said = apply(huge)
        assert said.code == 1 and said.err, said
        assert [s["name"] for s in control.get("/services").json()["data"]] == ["app"]
        control.kill()
        control.start() # on a disk with room again
        assert [s["name"] for s in control.get("/services").json()["data"]] == ["app"]
        assert apply(huge).code == 0
    finally:
        assert control.stop() == 0


def test_a_full_disk_under_the_cache(pki, echo, tmp_path):
    folder = cluster_pki(tmp_path / "pki", "node-1")
    control = Control(tmp_path / "control", folder).start()
    (tmp_path / "cache").mkdir()
    node = DataPlane(tmp_path / "node", None, [
        "--control", control.cluster, "--cluster-cert", folder / "node-1.pem", "--cluster-key", folder / "node-1.key", "--cluster-ca",
        folder / "ca.pem", "--cache-dir", tmp_path / "cache", "--log-level", "info"])
    try:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(document(pki, service("app", echo.url, route("r", hosts=["a.test"])))))
        assert run("sallyctl", "--url", control.url, "apply", "-f", file).code == 0
        with SmallDisk(3000):
            node.start()
        node.wait_log("cache_not_written")
        assert curl("https://a.test/", resolve=node.port).status == 200
        poll(lambda: list((tmp_path / "cache").iterdir()) == [], "no half of a cache")
    finally:
        assert node.stop() == 0 and control.stop() == 0
