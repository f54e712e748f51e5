"""Clients that keep their connections, or resume their sessions, while the configuration takes something from them: the next request
is answered by the new truth, a connection whose certificate is not accepted any more ends, and none outlives its certificate."""
import json
import os
import re
import ssl
import subprocess
import time

import pytest

from sallytest import poll
from sallytest.clients import open_tls, read_answer, s_client
from sallytest.config import document, mtls_auth, route, service
from sallytest.pki import Authority, openssl
from sallytest.programs import http_get, tool
from sallytest.revocation import revoke

REQUEST = "GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n"
UPGRADE = REQUEST.format("Connection: Upgrade\r\nUpgrade: websocket\r\n").encode()
MAPPED = [{"subject_name": "alice"}]


def config(pki, url, people=("alice",), authority=None, **how):
    """One route for people with certificates. authority: the one that the plugin trusts and that the file has."""
    authority = authority or pki.clients
    return document(pki, service("app", url, route("r", hosts=["a.test"], plugins=[mtls_auth(authority, **how)])), consumers=people,
                    authorities=[authority])


class Change:
    """before, after: what config() takes. was, becomes: the consumer; None: refused. resumes: sessions from before do."""

    def __init__(self, before, after, was, becomes, resumes=True):
        self.before, self.after, self.was, self.becomes, self.resumes = before, after, was, becomes, resumes


def changes(pki):
    people = ["alice", {"username": "x", "custom_id": "alice"}]
    mapped = {"username": "mapped", "mtls_auth_credentials": MAPPED}
    guests = ["guest", "other"]
    return {
        "no consumer": Change({}, {"people": ["bob"]}, "alice", None),
        "no mapping": Change({"people": [mapped]}, {"people": ["mapped"]}, "mapped", None),
        "another mapping": Change({"people": ["other", mapped]}, {"people": ["mapped", {**mapped, "username": "other"}]}, "mapped", "other"),
        "consumer_by": Change({"people": people}, {"people": people, "consumer_by": ["custom_id"]}, "alice", "x", False),
        "default_consumer": Change({"people": guests, "default_consumer": "guest"}, {"people": guests, "default_consumer": "other"},
                                   "guest", "other", False),
        "no default_consumer": Change({"people": guests, "default_consumer": "guest"}, {"people": guests}, "guest", None, False),
        "no CA": Change({}, {"authority": pki.other}, "alice", None, False),
    }


CHANGES = ["no consumer", "no mapping", "another mapping", "consumer_by", "default_consumer", "no default_consumer", "no CA"]


def identity(status, body):
    if status != 200:
        return status, None
    names = [value for name, value in json.loads(body)["headers"] if name.lower() == "x-consumer-username"]
    return status, names[0] if names else None


class Kept:
    """An HTTP/1.1 client that keeps its connection, and makes another when it finds it closed."""

    def __init__(self, port, cert):
        self.port, self.cert, self.closed = port, cert, 0
        self.connect()

    def connect(self):
        self.connection = open_tls(self.port, "a.test", self.cert)
        self.stream = self.connection.makefile("rb")

    def once(self):
        self.connection.sendall(REQUEST.format("").encode())
        answer = read_answer(self.stream)
        self.last = answer.headers.get("connection") == "close"
        return identity(answer.status, answer.body)

    def ask(self):
        try:
            return self.once()
        except (ConnectionError, ssl.SSLError, BrokenPipeError):
            self.closed += 1
            self.connect()
            return self.once()

    def ends(self):
        """Waits for the end; whether it came in order."""
        try:
            return self.stream.read() == b""
        except (ConnectionError, ssl.SSLError):
            return False


class CurlH2:
    """curl with two requests on one HTTP/2 connection; the first is held in the application."""

    def __init__(self, echo, folder, port, cert):
        self.hold = echo.hold(folder.name)
        self.bodies = [folder / "first", folder / "second"]
        urls = [f"https://a.test/hold/{folder.name}", "https://a.test/second"]
        command = [tool("curl"), "-sk", "--http2", "--max-time", "30", "--noproxy", "*", "--connect-to", f"::127.0.0.1:{port}", "--cert",
                   cert.chain, "--key", cert.key, "-w", "%{http_code} %{http_version} %{num_connects}\n"]
        for url, body in zip(urls, self.bodies):
            command += ["-o", body, url]
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]})
        self.hold.wait_arrived()

    def finish(self):
        """Both identities, and whether the second request needed a new connection."""
        self.hold.release()
        said, _ = self.process.communicate(timeout=30)
        lines = [line.split() for line in said.splitlines()]
        assert [line[1] for line in lines] == ["2", "2"], said
        return *[identity(int(line[0]), body.read_bytes()) for line, body in zip(lines, self.bodies)], lines[1][2] != "0"


def visit(port, version, cert, *options):
    """A handshake and a request by openssl: the identity, and whether a session was resumed."""
    seen = s_client(port, *options, sni="a.test", cert=cert, version=version, send=REQUEST.format("Connection: close\r\n"))
    status = int(re.search(r"HTTP/1.1 (\d+)", seen.text).group(1))
    return identity(status, re.search(r"^\{.*\}", seen.text, re.M).group(0) if status == 200 else ""), seen.resumed


def check(change, apply, port, pki, echo, folder):
    """apply(what config() takes) returns when it is live."""
    def expect(who):
        return (200, who) if who else (401, None)
    folder.mkdir()
    apply(change.before)
    kept = Kept(port, pki.alice)
    assert kept.ask() == expect(change.was)
    for version in ("1.2", "1.3"):
        session = folder / version
        assert visit(port, version, pki.alice, "-sess_out", session) == (expect(change.was), False)
        assert visit(port, version, pki.alice, "-sess_in", session) == (expect(change.was), True)
    h2 = CurlH2(echo, folder, port, pki.alice)
    apply(change.after)
    assert kept.ask() == expect(change.becomes)
    assert (kept.last or kept.closed > 0) == (change.becomes is None) # gone: the connection's last answer, or drained before
    for version in ("1.2", "1.3"):
        assert visit(port, version, pki.alice, "-sess_in", folder / version) == (expect(change.becomes), change.resumes)
    first, second, fresh = h2.finish()
    assert (first, second) == (expect(change.was), expect(change.becomes)) # the first was begun before
    if change.becomes:
        assert kept.ask() == expect(change.becomes) and kept.closed == 0 and not fresh


@pytest.mark.parametrize("what", CHANGES)
def test_the_next_request_is_answered_by_the_new_file(pki, echo, sallyport, tmp_path, what):
    change = changes(pki)[what]
    proxy = sallyport(config(pki, echo.url, **change.before))

    def apply(options):
        assert proxy.reload(config(pki, echo.url, **options))
    check(change, apply, proxy.port, pki, echo, tmp_path / what.replace(" ", "-"))
    assert (proxy.metric("sallyport_connections_identity_gone_total") > 0) == (change.becomes is None)


def test_the_next_request_is_answered_by_the_new_revision(pki, echo, cluster, tmp_path):
    node = cluster.node(ready=False)

    def apply(options):
        said = cluster.apply(config(pki, echo.url, **options), "--wait")
        assert said.code == 0, said
    for number, change in enumerate(changes(pki).values()):
        check(change, apply, node.port, pki, echo, tmp_path / f"hybrid-{number}")


def test_the_next_request_is_answered_by_what_the_admin_api_says(pki, echo, cluster):
    node = cluster.node(ready=False)
    mapping = "00000000-0000-4000-8000-000000000001"
    people = ["alice", {"username": "mapped", "mtls_auth_credentials": [{**MAPPED[0], "id": mapping}]}]
    file = config(pki, echo.url, people)
    assert cluster.apply(file, "--wait").code == 0
    kept = Kept(node.port, pki.alice)
    assert kept.ask() == (200, "mapped")

    def change(method, path, body=None):
        before = node.metric("sallyport_config_revision")
        answer = http_get(cluster.control.url + path, method, json.dumps(body).encode() if body is not None else None,
                          {"Content-Type": "application/json"})
        assert answer.status in (200, 201, 204), answer.body
        node.wait_metric("sallyport_config_revision", lambda now: now > before)
    change("DELETE", f"/consumers/mapped/mtls-auth/{mapping}")
    assert kept.ask() == (200, "alice") and kept.closed == 0
    change("DELETE", "/consumers/alice")
    assert kept.ask() == (401, None) and (kept.closed or kept.ends())
    change("PUT", "/consumers/alice", {})
    kept.connect()
    assert kept.ask() == (200, "alice")
    [plugin] = cluster.control.get("/routes/r/plugins").json()["data"]
    change("PUT", f"/ca_certificates/{pki.other.id}", {"cert": pki.other.pem})
    change("PATCH", f"/plugins/{plugin['id']}", {"config": {"ca_certificates": [pki.other.id]}})
    change("DELETE", f"/ca_certificates/{pki.clients.id}")
    assert kept.ask() == (401, None)


# --- connections that end ---

class Openssl:
    """openssl s_client that stays connected after one request."""

    def __init__(self, port, cert):
        command = [tool("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "a.test", "-quiet", "-cert", cert.cert,
                   "-key", cert.key, "-cert_chain", cert.chain]
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def ask(self):
        self.process.stdin.write(REQUEST.format("").encode())
        self.process.stdin.flush()
        return read_answer(self.process.stdout).status

    def stop(self):
        self.process.kill()
        self.process.communicate()


def test_an_idle_connection_ends_by_itself(pki, echo, sallyport):
    proxy = sallyport(config(pki, echo.url, ["alice", "bob"]))
    alice, bob = Openssl(proxy.port, pki.alice), Openssl(proxy.port, pki.bob)
    assert (alice.ask(), bob.ask()) == (200, 200)
    assert proxy.reload(config(pki, echo.url, ["bob"]))
    alice.process.wait(20) # it was told, and has asked for nothing
    assert proxy.metric("sallyport_connections_identity_gone_total") == 1 and "identity_gone client=127.0.0.1" in proxy.log
    assert bob.ask() == 200
    alice.stop(), bob.stop()


def nghttp(port, cert, path):
    command = [tool("nghttp"), "-v", "-n", "-y", f"--cert={cert.chain}", f"--key={cert.key}", "-H", ":authority: a.test",
               f"https://127.0.0.1:{port}{path}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_http2_is_sent_away_and_what_runs_is_finished(pki, echo, sallyport):
    proxy = sallyport(config(pki, echo.url))
    hold = echo.hold("gone")
    client = nghttp(proxy.port, pki.alice, "/hold/gone")
    hold.wait_arrived()
    assert proxy.reload(config(pki, echo.url, ["bob"]))
    proxy.wait_metric("sallyport_connections_identity_gone_total", lambda n: n == 1)
    hold.release()
    said, _ = client.communicate(timeout=30)
    assert "recv GOAWAY frame" in said and ":status: 200" in said, said


def socket_upstream(upstream, connection):
    upstream.read_head(connection)
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
    while (got := connection.recv(65536)):
        connection.sendall(got)
    upstream.got.append(b"end")


class Tunnel(Kept):
    def __init__(self, port, cert, path="/"):
        super().__init__(port, cert)
        self.connection.sendall(UPGRADE.replace(b" / ", f" {path} ".encode()))
        assert read_answer(self.stream).status == 101
        assert self.stream.read(5) == b"hello"

    def echoes(self):
        self.connection.sendall(b"still")
        return self.stream.read(5) == b"still"


def test_a_tunnel_is_cut_after_the_grace(pki, scripted, sallyport):
    upstream = scripted(socket_upstream)
    proxy = sallyport(config(pki, upstream.url, ["alice", "bob"]), "--drain-grace", "1")
    alice, bob = Tunnel(proxy.port, pki.alice), Tunnel(proxy.port, pki.bob)
    assert alice.echoes() and bob.echoes()
    assert proxy.reload(config(pki, upstream.url, ["bob"]))
    alice.ends()
    poll(lambda: b"end" in upstream.got, "the application sees the end")
    assert bob.echoes()


def two_services(pki, echo, upstream, authority, **more):
    """An ordinary application, and one for tunnels at /socket."""
    return document(pki, service("app", echo.url, route("r", hosts=["a.test"])),
                    service("ws", upstream.url, route("ws", hosts=["a.test"], paths=["/socket"])), plugins=[mtls_auth(authority)], **more)


def test_a_crl_entry_ends_idle_connections_and_tunnels(pki, echo, scripted, sallyport, tmp_path):
    ca, upstream = Authority(tmp_path, "listing"), scripted(socket_upstream)
    alice, bob = ca.leaf("alice"), ca.leaf("bob")

    def listing():
        made = two_services(pki, echo, upstream, ca, authorities=[ca])
        openssl("ca", "-config", ca.config, "-gencrl", "-crldays", "1", "-out", ca.folder / "crl.pem")
        made["ca_certificates"][0]["crls"] = [(ca.folder / "crl.pem").read_text()]
        return made
    proxy = sallyport(listing(), "--drain-grace", "1")
    idle, others, tunnels = Kept(proxy.port, alice), Kept(proxy.port, bob), [Tunnel(proxy.port, leaf, "/socket") for leaf in (alice, bob)]
    assert idle.ask() == (200, "alice") and others.ask() == (200, "bob")
    revoke(ca, alice)
    assert proxy.reload(listing())
    assert idle.ends()
    tunnels[0].ends()
    assert proxy.metric("sallyport_connections_identity_gone_total") == 2
    assert tunnels[1].echoes() and others.ask() == (200, "bob") and others.closed == 0


# --- certificates that end ---

def test_nothing_outlives_its_certificate(pki, echo, scripted, sallyport, tmp_path):
    upstream = scripted(socket_upstream)
    proxy = sallyport(two_services(pki, echo, upstream, pki.clients), "--workers", "1")
    holds, session = [echo.hold(name) for name in ("short-h1", "short-h2")], tmp_path / "session"
    seconds = 20
    short = pki.clients.leaf(f"short-{time.time_ns()}", "/CN=alice", days=(-1, seconds / 86400))
    over = time.time() + seconds + 1
    idle, busy = Kept(proxy.port, short), Kept(proxy.port, short)
    assert idle.ask() == busy.ask() == (200, "alice")
    tunnel = Tunnel(proxy.port, short, "/socket")
    busy.connection.sendall(b"GET /hold/short-h1 HTTP/1.1\r\nHost: a.test\r\n\r\n")
    h2 = nghttp(proxy.port, short, "/hold/short-h2")
    for hold in holds:
        hold.wait_arrived()
    first = s_client(proxy.port, "-sess_out", session, sni="a.test", cert=short, version="1.3", send=REQUEST.format("Connection: close\r\n"))
    assert "HTTP/1.1 200" in first.text
    hints = [int(n) for n in re.findall(r"lifetime hint: (\d+)", first.text)]
    assert hints and max(hints) <= seconds # a ticket ends with the certificate
    assert idle.ends() # in order
    tunnel.ends()
    said, _ = h2.communicate(timeout=30)
    assert "recv GOAWAY frame" in said and ":status:" not in said, said # cut: the application has not answered
    with pytest.raises((ConnectionError, ssl.SSLError)):
        read_answer(busy.stream)
    poll(lambda: b"end" in upstream.got, "the application sees the tunnel's end")
    assert proxy.metric("sallyport_connections_expired_total") == 4
    assert proxy.metric("sallyport_connections") == 0
    for hold in holds:
        hold.release()
    poll(lambda: time.time() > over, "the certificate has ended")
    assert visit(proxy.port, "1.3", short, "-sess_in", session) == ((401, None), False)
