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
