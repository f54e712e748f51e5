"""CRLs in the configuration (ca_certificates[].crls): whom they list is refused, from the next request on, without asking anybody."""
import base64
import json
import subprocess

import pytest

from sallytest import poll
from sallytest.clients import curl, open_tls, read_answer, s_client
from sallytest.config import document, route, service
from sallytest.pki import Authority, openssl
from sallytest.programs import built, tool
from sallytest.revocation import Responder, revoke, where

HOSTS = {"SKIP": "a.test", "IGNORE_CA_ERROR": "b.test", "STRICT": "c.test"}
BAD = "TLS certificate failed verification"
LONG_AGO = ("-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z")


@pytest.fixture
def ca(tmp_path):
    return Authority(tmp_path, "listing")


def crl(ca, *more):
    out = ca.folder / "crl.pem"
    openssl("ca", "-config", ca.config, "-gencrl", "-out", out, *(more or ("-crldays", "1")))
    return out.read_text()


def guarded(pki, echo, *authorities, crls=(), plugin="mtls-auth", **config):
    """One route for each mode, by host. crls: of the first authority."""
    more = {"certificate_header_name": "X-Cert", "certificate_header_format": "base64_encoded",
            "secure_source": False} if plugin == "header-cert-auth" else {}
    routes = [route(mode, hosts=[host], snis=[host] if plugin == "mtls-auth" else None,
                    protocols=["https"] if plugin == "mtls-auth" else ["http", "https"], plugins=[{"name": plugin, "config": {
                        "ca_certificates": [a.id for a in authorities], "skip_consumer_lookup": True,
                        "revocation_check_mode": mode, "http_timeout": 1000, **more, **config}}]) for mode, host in HOSTS.items()]
    made = document(pki, service("app", echo.url, *routes), authorities=authorities)
    if crls:
        made["ca_certificates"][0]["crls"] = list(crls)
    return made


def ask(proxy, mode, leaf, *options, **more):
    return curl(f"https://{HOSTS[mode]}/", *options, cert=leaf, resolve=proxy.port, **more)


def passes(proxy, leaf):
    """By mode."""
    answers = [ask(proxy, mode, leaf) for mode in HOSTS]
    for answer in answers:
        assert answer.status in (200, 401)
        assert answer.status == 200 or answer.json()["message"] == BAD
    return tuple(answer.status == 200 for answer in answers)


def present(proxy, mode, leaf):
    der = base64.b64encode(base64.b64decode("".join(leaf.pem.splitlines()[1:-1]))).decode()
    return curl(f"http://{HOSTS[mode]}/", "-H", f"X-Cert: {der}", resolve=proxy.plain)


# --- what they decide

def test_whom_they_list_is_refused_in_every_mode(pki, ca, echo, sallyport):
    good, bad = ca.leaf("good"), ca.leaf("bad")
    revoke(ca, bad)
    without = sallyport(guarded(pki, echo, ca), name="without")
    assert passes(without, good) == passes(without, bad) == (True, True, False) # nothing to ask
    proxy = sallyport(guarded(pki, echo, ca, crls=[crl(ca)]))
    assert passes(proxy, good) == (True, True, True) # a current CRL is an answer for STRICT
    assert passes(proxy, bad) == (False, False, False)
    assert "revoked by a CRL of the configuration" in proxy.log
    assert proxy.metric("sallyport_crls") == 1 and proxy.metric("sallyport_crls_stale") == 0
    for version in ("1.2", "1.3"):
        said = s_client(proxy.port, sni="a.test", cert=bad, version=version,
                        send="GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        assert said.done and "HTTP/1.1 401" in said.text, said.text


def test_in_header_cert_auth_too(pki, ca, echo, sallyport):
    good, bad = ca.leaf("good"), ca.leaf("bad")
    revoke(ca, bad)
    proxy = sallyport(guarded(pki, echo, ca, crls=[crl(ca)], plugin="header-cert-auth"))
    for mode in HOSTS:
        assert present(proxy, mode, good).status == 200
        assert present(proxy, mode, bad).status == 401


def test_the_network_is_asked_as_ever(pki, ca, echo, sallyport, tmp_path):
    """A CRL adds to what responders say; where none can be reached, it stands in for them."""
    responder = Responder(tmp_path, ca, pki.other)
    try:
        def named(name, answer):
            return ca.leaf(name, extra=where([f"{responder.url}/ocsp/{answer}/{name}"]))
        listed, later, unknown, silent = named("listed", "good"), named("later", "good"), named("vague", "unknown"), named("silent", "500")
        revoke(ca, listed)
        proxy = sallyport(guarded(pki, echo, ca, crls=[crl(ca)]))
        assert passes(proxy, listed) == (False, False, False)
        assert responder.hits("listed") == 0
        revoke(ca, later) # the responder knows what the CRL does not
        assert passes(proxy, later) == (True, False, False)
        assert passes(proxy, unknown) == (True, True, False)
        assert passes(proxy, silent) == (True, True, True)
        assert responder.hits("silent") == 2
    finally:
        responder.stop()


def test_a_revoked_intermediate_takes_its_leaves_along(pki, ca, echo, sallyport, tmp_path):
    middle = Authority(tmp_path, "middle", ca)
    leaf = middle.leaf("under")
    empty = crl(ca)
    revoke(ca, middle)
    proxy = sallyport(guarded(pki, echo, ca, crls=[empty]))
    assert passes(proxy, leaf) == (True, True, False) # nobody answers for the leaf itself
    assert proxy.reload(guarded(pki, echo, ca, crls=[crl(ca)]))
    assert passes(proxy, leaf) == (False, False, False)


def test_crls_of_an_intermediate_that_is_configured_but_not_trusted(pki, ca, echo, sallyport, tmp_path):
    """They count for the chains through it, whoever sends it."""
    middle = Authority(tmp_path, "middle", ca)
    good, bad = middle.leaf("good"), middle.leaf("bad")
    revoke(middle, bad)
    config = guarded(pki, echo, ca)
    config["ca_certificates"].append({**middle.entity(), "crls": [crl(middle)]})
    proxy = sallyport(config)
    assert passes(proxy, good) == (True, True, True)
    assert passes(proxy, bad) == (False, False, False)


# --- out of date

def test_a_stale_crl(pki, ca, echo, sallyport, tmp_path):
    good, bad = ca.leaf("good"), ca.leaf("bad")
    revoke(ca, bad)
    stale = crl(ca, *LONG_AGO)
    config = guarded(pki, echo, ca, crls=[stale])
    proxy = sallyport(config)
    assert passes(proxy, good) == (True, True, False)
    assert passes(proxy, bad) == (False, False, False)
    assert "the CRL of the configuration is out of date" in proxy.log
    assert proxy.metric("sallyport_crls_stale") == 1
    assert proxy.status().json()["stale_crls"] == 1
    said = subprocess.run([built("sallyport"), "--check", "--config", proxy.config_file], capture_output=True, text=True)
    assert said.returncode == 0 and "crls[0]" in said.stdout + said.stderr and "out of date" in said.stdout + said.stderr
    assert proxy.reload(guarded(pki, echo, ca, crls=[stale, crl(ca)])) # one that is current is enough
    assert passes(proxy, good) == (True, True, True)
    assert proxy.status().json()["stale_crls"] == 1 and proxy.status().json()["crls"] == 2


# --- what is refused

@pytest.fixture
def broken(pki, ca):
    whole = crl(ca)
    body = whole.splitlines()
    letter = "A" if body[-2][-6] != "A" else "B"
    body[-2] = body[-2][:-6] + letter + body[-2][-5:]
    return {"of another issuer": crl(pki.other), "not signed": "\n".join(body), "broken PEM": whole.replace("-----END", "!----END"),
            "no CRL in PEM form": ca.pem}


def test_what_is_no_crl_of_the_ca_is_refused(pki, ca, echo, sallyport, broken):
    proxy = sallyport(guarded(pki, echo, ca, crls=[crl(ca)]))
    for why, text in broken.items():
        assert not proxy.reload(guarded(pki, echo, ca, crls=[crl(ca), text])), why
        error = proxy.status().json()["last_error"]
        assert "ca_certificates[0].crls[1]" in error and why in error, error
    assert passes(proxy, ca.leaf("still")) == (True, True, True)


def test_from_files(pki, ca, echo, sallyport):
    bad = ca.leaf("bad")
    revoke(ca, bad)
    (ca.folder / "empty.pem").write_text(crl(pki.other))
    config = guarded(pki, echo, ca, crls=[f"file://{ca.folder}/crl.pem"])
    crl(ca)
    proxy = sallyport(config)
    assert passes(proxy, bad) == (False, False, False)
    other = ca.leaf("other")
    assert passes(proxy, other) == (True, True, True)
    revoke(ca, other)
    crl(ca)
    assert proxy.reload(config) # the file is read again
    assert passes(proxy, other) == (False, False, False)


# --- the next request, on whatever connection

class Open:
    """Connections of a client that is about to be revoked, and its sessions."""

    def __init__(self, port, echo, leaf, folder):
        self.port, self.leaf, self.folder = port, leaf, folder
        self.connection = open_tls(port, "a.test", leaf)
        self.file = self.connection.makefile("rb")
        assert self.h1() == 200
        for version in ("1.2", "1.3"):
            assert "HTTP/1.1 200" in self.session(version, "-sess_out").text
            again = self.session(version, "-sess_in")
            assert again.resumed and "HTTP/1.1 200" in again.text
        self.hold = echo.hold("h2")
        self.h2 = subprocess.Popen(
            [tool("curl"), "-sS", "-k", "--http2", "--noproxy", "*", "--connect-to", f"::127.0.0.1:{port}", "--cert", leaf.chain,
             "--key", leaf.key, "-w", "%{http_version} %{http_code} %{num_connects}\n", "-o", folder / "1", "https://a.test/hold/h2",
             "-o", folder / "2", "https://a.test/"], stdout=subprocess.PIPE, text=True)
        self.hold.wait_arrived()

    def h1(self):
        self.connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        return read_answer(self.file).status

    def session(self, version, option):
        return s_client(self.port, option, self.folder / f"session-{version}", sni="a.test", version=version,
                        cert=self.leaf if option == "-sess_out" else None,
                        send="GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")

    def check_refused(self):
        assert self.h1() == 401
        self.hold.release()
        assert self.h2.communicate(timeout=20)[0].split() == ["2", "200", "1", "2", "401", "0"] # the second on the same connection
        for version in ("1.2", "1.3"):
            assert "HTTP/1.1 401" in self.session(version, "-sess_in").text
        self.file.close()
        self.connection.close()


def test_an_entry_counts_for_open_connections_and_resumed_sessions(pki, ca, echo, sallyport, tmp_path):
    leaf, friend = ca.leaf("leaf"), ca.leaf("friend")
    proxy = sallyport(guarded(pki, echo, ca, crls=[crl(ca)]))
    client = Open(proxy.port, echo, leaf, tmp_path)
    revoke(ca, leaf)
    assert proxy.reload(guarded(pki, echo, ca, crls=[crl(ca)]))
    client.check_refused()
    assert passes(proxy, friend) == (True, True, True)


def test_in_hybrid_mode(pki, ca, echo, cluster, tmp_path):
    leaf, friend = ca.leaf("leaf"), ca.leaf("friend")
    node = cluster.node(ready=False)
    assert cluster.apply(guarded(pki, echo, ca, crls=[crl(ca)]), "--wait").code == 0
    client = Open(node.port, echo, leaf, tmp_path)
    revoke(ca, leaf)
    said = cluster.apply(guarded(pki, echo, ca, crls=[crl(ca)]), "--wait")
    assert said.code == 0, said
    client.check_refused()
    assert passes(node, friend) == (True, True, True)
    wrong = cluster.apply(guarded(pki, echo, ca, crls=[crl(pki.other)]))
    assert wrong.code != 0 and "crls[0]" in wrong.out + wrong.err and "of another issuer" in wrong.out + wrong.err, wrong
    old = cluster.apply(guarded(pki, echo, ca, crls=[crl(ca, *LONG_AGO)]), "--wait")
    assert old.code == 0 and "out of date" in old.out + old.err, old
    assert passes(node, leaf) == (False, False, False)


def test_admin_api(pki, ca, echo, cluster):
    """Kong's tools see nothing of a field that is not used."""
    control = cluster.control
    node = cluster.node(ready=False)
    leaf = ca.leaf("leaf")
    assert cluster.apply(guarded(pki, echo, ca), "--wait").code == 0
    assert "crls" not in control.get(f"/ca_certificates/{ca.id}").json()
    assert "crls" not in control.get("/ca_certificates").json()["data"][0]
    revoke(ca, leaf)
    def patch(crls):
        return control.get(f"/ca_certificates/{ca.id}", "PATCH", json.dumps({"crls": crls}).encode(),
                           {"Content-Type": "application/json"})
    answer = patch([crl(ca)])
    assert answer.status == 200 and len(answer.json()["crls"]) == 1, answer.body
    poll(lambda: passes(node, leaf) == (False, False, False), "the node has heard of it")
    refused = patch([crl(pki.other)])
    assert refused.status == 400 and "another issuer" in json.dumps(refused.json()), refused.body
    answer = patch(None)
    assert answer.status == 200 and "crls" not in answer.json()
    poll(lambda: passes(node, leaf) == (True, True, False), "the node has heard of that, too")


# --- many

def test_a_hundred_thousand_entries(pki, ca, echo, cluster):
    """All the way: CLI, store, stream, data plane, and its cache after a restart."""
    leaf, bad = ca.leaf("leaf"), ca.leaf("bad")
    with open(ca.folder / "index.txt", "a") as index:
        index.writelines(f"R\t300101000000Z\t260101000000Z\t{i * 7919 + (1 << 120):032X}\tunknown\t/CN=gone\n" for i in range(100_000))
    revoke(ca, bad)
    node = cluster.node(ready=False)
    text = crl(ca)
    assert len(text) > 4_000_000
    said = cluster.apply(guarded(pki, echo, ca, crls=[text]), "--wait=240") # sanitizers take their time
    assert said.code == 0, said
    assert passes(node, leaf) == (True, True, True) and passes(node, bad) == (False, False, False)
    node.stop()
    cluster.control.kill()
    node = cluster.node(connected=False)
    assert passes(node, leaf) == (True, True, True) and passes(node, bad) == (False, False, False)
