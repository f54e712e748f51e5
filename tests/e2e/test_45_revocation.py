"""Revocation end to end (kong-behaviour 1.1.5): who is asked, what is remembered; lookups that wait, are shared, fail, and lose their
client. The matrix of modes and answers is in test_46_revocation_matrix.py."""
import base64
import socket
import struct
import threading
import time

import pytest

from sallytest import poll
from sallytest.clients import curl, open_tls
from sallytest.config import document, route, service
from sallytest.pki import openssl
from sallytest.programs import Program, free_port, tool
from sallytest.revocation import Authority, Responder, revoke, where

HOSTS = {"SKIP": "a.test", "IGNORE_CA_ERROR": "b.test", "STRICT": "c.test"}
BAD = "TLS certificate failed verification"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("revocation-ca"), "revoking")


@pytest.fixture(scope="module")
def responder(tmp_path_factory, ca, pki):
    server = Responder(tmp_path_factory.mktemp("responder"), ca, pki.other)
    yield server
    server.stop()


def guarded(pki, echo, ca, hosts=None, **config):
    """One route for each mode, by host."""
    routes = [route(mode, hosts=[host], snis=[host], protocols=["https"], plugins=[{"name": "mtls-auth", "config": {
        "ca_certificates": [ca.id], "skip_consumer_lookup": True, "revocation_check_mode": mode, "http_timeout": 1500, **config}}])
        for mode, host in (hosts or HOSTS).items()]
    return document(pki, service("app", echo.url, *routes), authorities=[ca])


@pytest.fixture(scope="module")
def shared(pki, ca, shared_echo, module_sallyport):
    return module_sallyport(guarded(pki, shared_echo, ca))


def ask(proxy, mode, leaf, *options, **more):
    return curl(f"https://{HOSTS[mode]}/", *options, cert=leaf, resolve=proxy.port, **more)


def outcome(answer):
    if answer.status == 401:
        assert answer.json()["message"] == BAD
        assert "x-consumer-id" not in answer.headers
    return answer.status == 200


class Conversation:
    """Requests one after another on one connection, so that one worker answers them all."""

    def __init__(self, proxy, mode, leaf):
        self.host = HOSTS[mode]
        self.connection = open_tls(proxy.port, self.host, leaf)
        self.file = self.connection.makefile("rb")

    def send(self, method="GET", body=b"", path="/"):
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\n" + (f"Content-Length: {len(body)}\r\n" if body else "") + "\r\n"
        self.connection.sendall(head.encode() + body)

    def status(self):
        status, length = int(self.file.readline().split()[1]), 0
        while (line := self.file.readline().strip()):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self.file.read(length)
        return status

    def ask(self):
        self.send()
        return self.status()

    def close(self):
        self.file.close()
        self.connection.close()


@pytest.fixture
def talk():
    made = []

    def start(*args):
        made.append(Conversation(*args))
        return made[-1]
    yield start
    for one in made:
        one.close()


# --- what is asked (the whole matrix of verdicts: test_46_revocation_matrix.py)

DEFINITE = {"good": True, "revoked": False}
ANSWERS = ["good", "revoked", "unknown", "slow", "500"]


def leaf_for(ca, responder, name, ocsp=None, crl=None, revoked=False):
    made = ca.leaf(name, extra=where([f"{responder.url}/ocsp/{o}/{name}" for o in [ocsp] if o],
                                     [f"{responder.url}/crl/{c}/{name}" for c in [crl] if c]))
    if revoked:
        revoke(ca, made)
    return made


def check(shared, leaf, ignore, strict):
    """What the modes make of it; twice, so that what is remembered is seen too."""
    for _ in range(2):
        assert outcome(ask(shared, "SKIP", leaf))
        assert outcome(ask(shared, "IGNORE_CA_ERROR", leaf)) == ignore
        assert outcome(ask(shared, "STRICT", leaf)) == strict


def test_no_url(ca, responder, shared):
    check(shared, ca.leaf("bare"), True, False)


@pytest.mark.parametrize("answer", ANSWERS)
def test_ocsp_comes_first(ca, responder, shared, answer):
    """The CRL is good, and asked only where nobody answers as OCSP."""
    leaf = leaf_for(ca, responder, f"both-{answer}", answer, "good" if answer != "revoked" else "unknown", answer == "revoked")
    silent = answer in ("slow", "500")
    good = True if silent else DEFINITE.get(answer)
    check(shared, leaf, good is not False, bool(good))
    assert (responder.hits(f"/crl/good/{leaf.name}") > 0) == silent
    assert responder.hits(f"/crl/unknown/{leaf.name}") == 0


def test_nobody_listens(ca, shared):
    port = free_port()
    urls = where([f"http://127.0.0.1:{port}/"], [f"http://127.0.0.1:{port}/", "http://does-not-exist.invalid/x.crl"])
    check(shared, ca.leaf("nobody-listens", extra=urls), True, False)
    shared.wait_log("revocation_failed")
    assert "mode=IGNORE_CA_ERROR" in shared.log and "mode=STRICT" in shared.log
    assert " url=http://does-not-exist.invalid/x.crl\n" in shared.log # who was asked last


def test_under_an_intermediate_that_the_client_sends(tmp_path, ca, responder, shared):
    middle = Authority(tmp_path, "revoking-middle", ca)
    own = Responder(tmp_path, middle)
    try:
        good, bad = (middle.leaf(name, extra=where([f"{own.url}/ocsp/good"])) for name in ("under-good", "under-bad"))
        revoke(middle, bad)
        check(shared, good, True, True)
        check(shared, bad, False, False)
    finally:
        own.stop()


# --- openssl's own responder, with a delegated signer

@pytest.mark.parametrize("usage, believed", [("OCSPSigning", True), ("clientAuth", False)])
def test_openssl_responder_with_a_delegate(tmp_path, ca, shared, usage, believed):
    signer = ca.leaf(f"signer-{usage}", usage=usage)
    port = free_port()
    good, bad = (ca.leaf(f"{name}-{usage}", extra=where([f"http://127.0.0.1:{port}"])) for name in ("delegated-good", "delegated-bad"))
    revoke(ca, bad)
    program = Program("responder", tmp_path, [tool("openssl"), "ocsp", "-port", port, "-index", ca.folder / "index.txt", "-CA", ca.cert,
                                              "-rsigner", signer.cert, "-rkey", signer.key, "-ndays", "1"]).launch()
    try:
        program.wait_log("waiting for OCSP client connections")
        check(shared, good, True, believed)
        check(shared, bad, not believed, False)
    finally:
        program.kill()


# --- what is remembered

def test_definite_answers_are_remembered(ca, responder, shared, talk):
    for name, status in (("once-good", 200), ("once-revoked", 401)):
        leaf = leaf_for(ca, responder, name, "good", revoked=status == 401)
        conversation = talk(shared, "STRICT", leaf)
        assert [conversation.ask() for _ in range(5)] == [status] * 5
        assert responder.hits(leaf.name) == 1


def same_crl(ca, responder, what, *names):
    """Certificates that name one CRL."""
    return [ca.leaf(name, extra=where(crl=[f"{responder.url}/{what}"])) for name in names]


def test_a_crl_is_fetched_once(pki, ca, echo, responder, sallyport):
    """For all certificates of its issuer, in every worker that has heard of it; and again when it is too old."""
    leaves = same_crl(ca, responder, "crl/good/many", *(f"many-{i}" for i in range(8)))
    for leaf in leaves[4:]:
        revoke(ca, leaf)
    proxy = sallyport(guarded(pki, echo, ca))
    assert outcome(ask(proxy, "STRICT", leaves[0]))
    poll(lambda: proxy.metric("sallyport_revocation_crls_read_total") == 1, "the CRL is read")
    assert [outcome(ask(proxy, "STRICT", leaf)) for leaf in leaves] == [True] * 4 + [False] * 4
    assert responder.hits("/crl/good/many") <= 2 # two workers may have asked at once
    short = sallyport(guarded(pki, echo, ca, cert_cache_ttl=1000), "--workers", "1", name="short")
    before = responder.hits("/crl/good/many")
    assert outcome(ask(short, "STRICT", leaves[0])) and not outcome(ask(short, "STRICT", leaves[4]))

    def again():
        assert outcome(ask(short, "STRICT", leaves[1]))
        return responder.hits("/crl/good/many") > before + 1
    poll(again, "it is fetched again")


def stamp(seconds):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))


def test_next_update_is_honoured(pki, ca, echo, responder, sallyport):
    """cert_cache_ttl would keep the CRL longer than its issuer wants."""
    leaf, = same_crl(ca, responder, "file/soon.crl", "soon")
    late, = same_crl(ca, responder, "file/late.crl", "late")
    for name, until in (("soon", 5), ("late", -3600)):
        made = ca.folder / f"{name}.pem"
        openssl("ca", "-config", ca.config, "-gencrl", "-crl_lastupdate", stamp(-7200), "-crl_nextupdate", stamp(until), "-out", made)
        responder.server.files[f"{name}.crl"] = openssl("crl", "-in", made, "-outform", "DER")
    proxy = sallyport(guarded(pki, echo, ca), "--workers", "1")
    before = responder.hits("soon.crl")

    def again():
        assert outcome(ask(proxy, "STRICT", leaf)) # clocks may differ a little
        return responder.hits("soon.crl") > before + 1
    poll(again, "it is fetched again")
    check(proxy, late, True, False)
    assert proxy.metric("sallyport_revocation_crls_stale_total") >= 4
    proxy.wait_log("the CRL is out of date")


def test_a_large_crl_is_read_aside(tmp_path, pki, echo, sallyport):
    """Tens of thousands of entries; one worker."""
    big = Authority(tmp_path, "big")
    server = Responder(tmp_path, big)
    try:
        good, bad = (big.leaf(name, extra=where(crl=[f"{server.url}/crl/good/big"])) for name in ("good", "bad"))
        with open(big.folder / "index.txt", "a") as index:
            index.writelines(f"R\t300101000000Z\t260101000000Z\t{i * 7919 + (1 << 120):032X}\tunknown\t/CN=gone\n" for i in range(30_000))
        revoke(big, bad)
        proxy = sallyport(guarded(pki, echo, big, http_timeout=20000), "--workers", "1")
        results = {}
        threads = [threading.Thread(target=lambda leaf=leaf, n=n: results.__setitem__(n, outcome(ask(proxy, "STRICT", leaf))))
                   for n, leaf in enumerate([good, bad] * 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [results[n] for n in range(8)] == [True, False] * 4
        assert server.hits("/crl/good/big") == 1
        assert proxy.metric("sallyport_revocation_crls_read_total") == 1
    finally:
        server.stop()


@pytest.mark.parametrize("answer", ["500", "unknown", "badsig"])
def test_failures_are_not_remembered(ca, responder, shared, talk, answer):
    leaf = leaf_for(ca, responder, f"again-{answer}", answer)
    for mode, status in (("IGNORE_CA_ERROR", 200), ("STRICT", 401)):
        before = responder.hits(leaf.name)
        conversation = talk(shared, mode, leaf)
        assert [conversation.ask() for _ in range(3)] == [status] * 3
        assert responder.hits(leaf.name) - before == 3


def test_a_revocation_takes_effect_on_an_open_connection(pki, ca, echo, responder, sallyport, talk):
    proxy = sallyport(guarded(pki, echo, ca, cert_cache_ttl=1000))
    leaf = leaf_for(ca, responder, "soon-revoked", "good")
    conversation = talk(proxy, "STRICT", leaf)
    assert conversation.ask() == 200
    revoke(ca, leaf)
    poll(lambda: conversation.ask() == 401, "the revocation is noticed")


# --- a lookup that takes its time

def test_requests_wait_together(ca, responder, shared):
    """Several clients with one certificate: one lookup for each of the two workers at most."""
    hold = responder.hold("wait-together")
    leaf = leaf_for(ca, responder, "together", "wait-together")
    results = []
    threads = [threading.Thread(target=lambda: results.append(ask(shared, "STRICT", leaf).status)) for _ in range(6)]
    for thread in threads:
        thread.start()
    hold.wait_arrived()
    assert outcome(ask(shared, "SKIP", leaf)) # nobody else waits
    hold.release()
    for thread in threads:
        thread.join()
    assert results == [200] * 6
    assert responder.hits("/ocsp/wait-together") <= 2


def test_the_worker_serves_others_meanwhile(pki, ca, echo, responder, sallyport, talk):
    """One worker: another client, and another request of the same kind."""
    proxy = sallyport(guarded(pki, echo, ca, http_timeout=20000), "--workers", "1")
    hold = responder.hold("one-worker")
    waiting = talk(proxy, "STRICT", leaf_for(ca, responder, "one-worker", "one-worker"))
    other = talk(proxy, "STRICT", leaf_for(ca, responder, "other-client", "good"))
    waiting.send()
    hold.wait_arrived()
    assert [other.ask() for _ in range(3)] == [200] * 3
    assert outcome(ask(proxy, "SKIP", leaf_for(ca, responder, "third-client", "good")))
    assert responder.hits("/ocsp/one-worker") == 1
    hold.release()
    assert waiting.status() == 200


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
@pytest.mark.parametrize("size", [10, 1 << 20])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_waits_with_its_request(ca, responder, shared, echo, http2, size, chunked):
    name = f"body-{size}-{http2}-{chunked}"
    hold = responder.hold(name)
    leaf = leaf_for(ca, responder, name, name)
    threading.Timer(0.3, hold.release).start()
    body = bytes(range(256)) * (size // 256 + 1)
    options = ["--data-binary", "@-", *(["-H", "Transfer-Encoding: chunked"] if chunked and not http2 else []),
               *(["-H", "Content-Length:"] if chunked and http2 else [])]
    answer = ask(shared, "STRICT", leaf, *options, stdin=body, http2=http2)
    assert answer.status == 200
    import hashlib
    assert answer.json()["length"] == len(body) and answer.json()["sha256"] == hashlib.sha256(body).hexdigest()


def test_a_refused_body_does_not_harm_the_connection(ca, responder, shared, talk):
    hold = responder.hold("refused-body")
    leaf = leaf_for(ca, responder, "refused-body", "refused-body", revoked=True)
    conversation = talk(shared, "STRICT", leaf)
    conversation.send("POST", b"x" * 1000)
    hold.wait_arrived()
    hold.release()
    assert conversation.status() == 401
    assert conversation.ask() == 401


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
def test_a_large_body_is_refused_in_order(ca, responder, shared, echo, http2, length):
    """More than is held: the answer comes all the same, and nothing goes upstream."""
    name = f"large-refused-{http2}-{length}"
    hold = responder.hold(name)
    leaf = leaf_for(ca, responder, name, name, revoked=True)
    threading.Timer(0.3, hold.release).start()
    before = len(echo.seen)
    options = ["-H", "Expect:", *([] if length else ["-H", "Content-Length:" if http2 else "Transfer-Encoding: chunked"])]
    answer = ask(shared, "STRICT", leaf, "--data-binary", "@-", *options, stdin=b"z" * (4 << 20), http2=http2, check=False)
    assert answer.status == 401, answer
    assert len(echo.seen) == before


def test_expect_continue(ca, responder, shared, echo):
    hold = responder.hold("expect")
    leaf = leaf_for(ca, responder, "expect", "expect")
    threading.Timer(0.2, hold.release).start()
    answer = ask(shared, "STRICT", leaf, "--data-binary", "@-", "-H", "Expect: 100-continue", stdin=b"z" * 100000, http2=False)
    assert answer.status == 200 and answer.json()["length"] == 100000


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_client_leaves_meanwhile(ca, responder, shared, talk, method):
    """h1; run this with a build under the address sanitizer, too."""
    name = f"leaves-{method}"
    hold = responder.hold(name)
    leaf = leaf_for(ca, responder, name, name)
    conversation = talk(shared, "STRICT", leaf)
    conversation.send(method, b"y" * 100 if method == "POST" else b"", f"/{name}")
    hold.wait_arrived()
    conversation.close()

    def gone():
        return [line for line in shared.access() if line["path"] == f"/{name}" and line["status"] == 499]
    poll(gone, lambda: shared.out[-2000:])
    hold.release()
    assert outcome(ask(shared, "STRICT", leaf))


def test_the_client_leaves_meanwhile_h2(ca, responder, shared):
    hold = responder.hold("leaves-h2")
    leaf = leaf_for(ca, responder, "leaves-h2", "leaves-h2")
    answer = ask(shared, "STRICT", leaf, "--max-time", "0.7", http2=True, check=False)
    assert answer.code == 28
    hold.wait_arrived()
    poll(lambda: any(line["status"] == 499 and line["host"] == "c.test" for line in shared.access()), lambda: shared.out[-2000:])
    hold.release()
    assert outcome(ask(shared, "STRICT", leaf))


def h2_frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


@pytest.mark.parametrize("source", ["ocsp", "crl"])
@pytest.mark.parametrize("end", ["reset of the stream", "end of the connection", "abort of the connection"])
def test_a_stream_ends_meanwhile(ca, responder, shared, source, end):
    """HTTP/2, byte by byte; what the lookup finds out is nobody's any more, and harms nobody."""
    name = f"{end.split()[0]}-{source}"
    hold = responder.hold(name)
    leaf = leaf_for(ca, responder, name, **{source: name})
    with open_tls(shared.port, "c.test", leaf, alpn=["h2"]) as connection:
        get = b"\x82\x87\x84\x41\x06c.test" # :method GET, :scheme https, :path /, :authority c.test in HPACK
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2_frame(4, 0, 0) + h2_frame(1, 5, 1, get))
        hold.wait_arrived()
        if end.startswith("reset"):
            connection.sendall(h2_frame(3, 0, 1, struct.pack(">I", 8)) + h2_frame(1, 5, 3, get)) # and a second one waits for the same
            hold.release()
            stream = connection.makefile("rb")
            while (head := stream.read(9)): # of each frame, until the second is answered
                payload = stream.read(int.from_bytes(head[:3], "big"))
                if head[3] == 1 and head[5:] == b"\0\0\0\3":
                    break
            assert payload[:1] == b"\x88" # :status 200 in HPACK
        elif end.startswith("abort"):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    hold.release()
    assert outcome(ask(shared, "STRICT", leaf))


def test_the_end_comes_meanwhile(pki, ca, echo, responder, sallyport):
    """A data plane that is stopped during a lookup stops."""
    proxy = sallyport(guarded(pki, echo, ca, http_timeout=30000), "--drain-grace", "1")
    hold = responder.hold("the-end")
    leaf = leaf_for(ca, responder, "the-end", "the-end")
    thread = threading.Thread(target=lambda: ask(proxy, "STRICT", leaf, check=False))
    thread.start()
    hold.wait_arrived()
    assert proxy.stop() == 0
    thread.join()
    hold.release()


# --- https and proxies

def test_https_and_its_verification(tmp_path, pki, ca, echo, sallyport):
    secure = Responder(tmp_path, ca, tls=pki.servers.leaf("responder", "/CN=responder", ["IP:127.0.0.1"], "serverAuth"))
    try:
        leaf = leaf_for(ca, secure, "secure", "good")
        trusting = sallyport(guarded(pki, echo, ca, ssl_verify=False), name="trusting")
        assert outcome(ask(trusting, "STRICT", leaf))
        assert secure.hits("/ocsp/good") == 1
        careful = sallyport(guarded(pki, echo, ca), name="careful") # the test CA is not in the system's bundle
        assert not outcome(ask(careful, "STRICT", leaf))
        assert outcome(ask(careful, "IGNORE_CA_ERROR", leaf))
        assert secure.hits("/ocsp/good") == 1
        careful.wait_log("the TLS handshake failed")
        knowing = sallyport(guarded(pki, echo, ca), name="knowing", env={"SSL_CERT_FILE": str(pki.servers.cert)})
        assert outcome(ask(knowing, "STRICT", leaf))
        assert secure.hits("/ocsp/good") == 2
    finally:
        secure.stop()


def test_proxies(tmp_path, pki, ca, echo, responder, sallyport):
    for part in ("secure", "proxy"):
        (tmp_path / part).mkdir()
    secure = Responder(tmp_path / "secure", ca, tls=pki.web)
    proxy = Responder(tmp_path / "proxy", proxies=True)
    try:
        there = {"http_proxy_host": "127.0.0.1", "http_proxy_port": proxy.port, "https_proxy_host": "127.0.0.1",
                 "https_proxy_port": proxy.port, "ssl_verify": False}
        plane = sallyport(guarded(pki, echo, ca, **there))
        plain, over_tls = leaf_for(ca, responder, "proxied", "good"), leaf_for(ca, secure, "proxied-tls", "good")
        crl = leaf_for(ca, responder, "proxied-crl", crl="good", revoked=True)
        assert outcome(ask(plane, "STRICT", plain))
        assert proxy.server.hits == [f"POST {responder.url}/ocsp/good/proxied"]
        assert outcome(ask(plane, "STRICT", over_tls))
        assert proxy.server.hits[1] == f"CONNECT 127.0.0.1:{secure.port}" and secure.hits("/ocsp/good/proxied-tls") == 1
        assert not outcome(ask(plane, "STRICT", crl))
        assert proxy.server.hits[2] == f"GET {responder.url}/crl/good/proxied-crl"
    finally:
        proxy.stop()
        secure.stop()


# --- the header plugin uses the same

def test_header_cert_auth(pki, ca, echo, responder, sallyport):
    config = {"ca_certificates": [ca.id], "skip_consumer_lookup": True, "certificate_header_name": "X-Cert",
              "certificate_header_format": "base64_encoded", "secure_source": False, "revocation_check_mode": "STRICT"}
    plane = sallyport(document(pki, service("app", echo.url, route("r", hosts=["b.test"], plugins=[
        {"name": "header-cert-auth", "config": config}])), authorities=[ca]))

    def present(leaf):
        der = base64.b64encode(base64.b64decode("".join(leaf.pem.splitlines()[1:-1]))).decode()
        return curl("https://b.test/", "-H", f"X-Cert: {der}", resolve=plane.port)
    assert outcome(present(leaf_for(ca, responder, "header-good", "good")))
    assert not outcome(present(leaf_for(ca, responder, "header-revoked", "good", revoked=True)))
    assert not outcome(present(leaf_for(ca, responder, "header-500", "500")))
    assert not outcome(present(ca.leaf("header-bare")))
