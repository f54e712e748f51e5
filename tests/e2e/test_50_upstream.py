"""Towards the application: a real nginx, TLS, time limits, retries."""
import re
import socket
import threading

import pytest

from sallytest.clients import curl, open_tls, read_answer
from sallytest.config import document, route, service
from sallytest.upstream import Echo, pattern

FILES = "location / { return 200 'from nginx $request_uri'; } location /upload { client_body_in_single_buffer on; return 200 'took'; }"


def through(pki, url, **fields):
    return document(pki, service("app", url, route("r", hosts=["a.test"], strip_path=False), **fields))


def ask(proxy, path="/", *options, **kwargs):
    return curl(f"https://a.test{path}", *options, resolve=proxy.port, **kwargs)


def test_nginx_serves_and_its_connections_are_reused(pki, nginx, sallyport):
    upstream = nginx(FILES)
    proxy = sallyport(through(pki, f"http://127.0.0.1:{upstream.port}"), "--workers", "1")
    with open_tls(proxy.port, "a.test") as connection:
        stream = connection.makefile("rb")
        for i in range(20):
            connection.sendall(f"GET /{i} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
            assert read_answer(stream).body == f"from nginx /{i}".encode()
    for i in range(5): # another client, the same upstream connection
        assert ask(proxy, f"/again/{i}").text == f"from nginx /again/{i}"
    lines = [line.split() for line in upstream.connections.read_text().splitlines() if "GET" in line]
    assert len(lines) == 25 and len({line[0] for line in lines}) == 1
    assert proxy.metric("sallyport_upstream_connects_total") == 1
    assert proxy.metric("sallyport_upstream_reuses_total") == 24


def test_nginx_sends_a_file(pki, nginx, sallyport, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "big").write_bytes(pattern(5 << 20))
    upstream = nginx(f"root {tmp_path}/files;")
    proxy = sallyport(through(pki, f"http://127.0.0.1:{upstream.port}"))
    for http2 in (False, True):
        assert ask(proxy, "/big", http2=http2).body == pattern(5 << 20)
    part = ask(proxy, "/big", "-r", "100-199")
    assert part.status == 206 and part.body == pattern(200)[100:]


def test_a_kept_connection_that_died_is_not_an_error(pki, nginx, sallyport):
    """nginx closes after every second request; clients must not see it."""
    upstream = nginx("keepalive_requests 2; " + FILES)
    proxy = sallyport(through(pki, f"http://127.0.0.1:{upstream.port}"), "--workers", "1")
    assert [ask(proxy).status for _ in range(12)] == [200] * 12


def test_an_upstream_that_is_down_and_comes_back(pki, nginx, sallyport):
    upstream = nginx(FILES)
    proxy = sallyport(through(pki, f"http://127.0.0.1:{upstream.port}", retries=1))
    assert ask(proxy).status == 200
    upstream.stop()
    answer = ask(proxy)
    assert (answer.status, answer.json()["message"]) == (502, "An invalid response was received from the upstream server")
    request_id = answer.json()["request_id"]
    proxy.wait_log(request_id)
    upstream.start()
    assert ask(proxy).status == 200


def test_an_unknown_name_is_503(pki, sallyport):
    proxy = sallyport(through(pki, "http://does-not-exist.invalid"))
    answer = ask(proxy)
    assert (answer.status, answer.json()["message"]) == (503, "name resolution failed")


def test_no_target_left_is_503(pki, sallyport):
    config = through(pki, "http://pool/")
    config["upstreams"] = [{"name": "pool", "targets": []}]
    answer = ask(sallyport(config))
    assert (answer.status, answer.json()["message"]) == (503, "failure to get a peer from the ring-balancer")


def test_a_silent_upstream_times_out(pki, scripted, sallyport):
    silent = threading.Event()

    def serve(upstream, connection):
        upstream.read_head(connection)
        silent.wait(60)
    proxy = sallyport(through(pki, scripted(serve).url, read_timeout=300, retries=0))
    answer = ask(proxy)
    silent.set()
    assert (answer.status, answer.json()["message"]) == (504, "The upstream server is timing out")


def test_a_request_without_side_effects_is_tried_again_elsewhere(pki, echo, sallyport):
    config = through(pki, "http://pool/", retries=5)
    config["upstreams"] = [{"name": "pool", "targets": [{"target": "127.0.0.1:1"}, {"target": f"127.0.0.1:{echo.port}"}]}]
    proxy = sallyport(config, "--workers", "1")
    assert [ask(proxy).status for _ in range(6)] == [200] * 6


def test_what_was_forwarded_is_not_sent_twice(pki, scripted, sallyport):
    def serve(upstream, connection):
        upstream.read_head(connection) # and then nothing: the connection breaks
    upstream = scripted(serve)
    proxy = sallyport(through(pki, upstream.url, retries=5))
    assert ask(proxy, "/", "-X", "POST", "-d", "pay once", http2=False).status == 502
    assert len(upstream.got) == 1


# --- TLS towards the upstream ---

@pytest.fixture
def secure(pki):
    """start(tls, clients): an echo upstream behind TLS."""
    started = []

    def start(leaf, clients=None):
        started.append(Echo(leaf, clients))
        return started[-1]
    yield start
    for upstream in started:
        upstream.stop()


def test_tls_without_verification(pki, secure, sallyport):
    upstream = secure(pki.web)
    proxy = sallyport(through(pki, upstream.url, tls_verify=False))
    assert ask(proxy).json()["method"] == "GET"


def test_tls_with_verification(pki, secure, sallyport):
    upstream = secure(pki.web)
    config = through(pki, f"https://localhost:{upstream.port}", tls_verify=True, ca_certificates=[pki.servers.id])
    config["ca_certificates"].append(pki.servers.entity())
    proxy = sallyport(config)
    assert ask(proxy).status == 200
    config["services"][0]["ca_certificates"] = [pki.other.id]
    assert proxy.reload(config)
    answer = ask(proxy)
    assert (answer.status, answer.json()["message"]) == (502, "An invalid response was received from the upstream server")


def test_tls_verifies_the_name(pki, secure, sallyport):
    upstream = secure(pki.servers.server("elsewhere", "elsewhere.test"))
    config = through(pki, f"https://localhost:{upstream.port}", tls_verify=True, ca_certificates=[pki.servers.id])
    config["ca_certificates"].append(pki.servers.entity())
    assert ask(sallyport(config)).status == 502


def test_our_own_client_certificate(pki, secure, sallyport):
    upstream = secure(pki.web, pki.clients.cert)
    config = through(pki, upstream.url, tls_verify=False)
    assert ask(sallyport(config, name="without")).status == 502
    config["certificates"].append({"id": "7b1f6c30-1111-4222-8333-444444444444", "cert": pki.alice.pem, "key": pki.alice.key_pem})
    config["services"][0]["client_certificate"] = {"id": "7b1f6c30-1111-4222-8333-444444444444"}
    assert ask(sallyport(config, name="with")).status == 200


def test_nothing_is_read_before_the_upstreams_handshake(pki, sallyport, scripted):
    """Plain text in front of the handshake is no answer (CVE-2026-1642)."""
    def serve(upstream, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        connection.settimeout(5)
        connection.recv(4096)
    upstream = scripted(serve)
    proxy = sallyport(through(pki, f"https://127.0.0.1:{upstream.port}", tls_verify=False, retries=0))
    answer = ask(proxy)
    assert answer.status == 502 and "evil" not in answer.text


def test_a_large_upload_to_a_slow_reader_is_bounded(pki, scripted, sallyport):
    """Back-pressure upwards: 64 MiB towards an upstream that reads nothing may not end up in our memory."""
    gate, total = threading.Event(), 64 << 20

    def serve(upstream, connection):
        head = upstream.read_head(connection)
        gate.wait(60)
        got = len(head.split(b"\r\n\r\n", 1)[1])
        while got < total:
            piece = connection.recv(1 << 20)
            if not piece:
                return
            got += len(piece)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
    proxy = sallyport(through(pki, scripted(serve).url), "--workers", "1")

    def resident():
        status = open(f"/proc/{proxy.process.pid}/status", encoding="ascii").read()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))
    before = resident()
    with open_tls(proxy.port, "a.test") as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {total}\r\n\r\n".encode())
        connection.settimeout(1)
        sent, block = 0, b"x" * 65536
        with pytest.raises(socket.timeout): # until nobody takes any more
            while sent < total:
                connection.sendall(block)
                sent += len(block)
        assert resident() - before < 8192, "KiB"
        gate.set()
