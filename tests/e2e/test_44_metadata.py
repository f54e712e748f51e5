"""tls-metadata-headers: what the upstream learns of a certificate, and that no client tells it in our place, in no spelling, by no
Connection field and in no trailer."""
import base64
import json
import subprocess
import urllib.parse

import pytest

from sallytest import poll
from sallytest.clients import curl, open_tls, read_answer
from sallytest.config import document, modifier, mtls_auth, route, service
from sallytest.programs import tool

NAMES = {"client_cert_header_name": "My-Cert", "client_serial_header_name": "My-Serial", "client_cert_issuer_dn_header_name": "My-Issuer",
         "client_cert_subject_dn_header_name": "My-Subject", "client_cert_fingerprint_header_name": "My-Print",
         "client_cert_chain_header_name": "My-Chain"}
OURS = [n.lower() for n in NAMES.values()] + ["client-cert", "client-cert-chain"]


def metadata(**config):
    return {"name": "tls-metadata-headers", "config": {"inject_client_cert_details": True, **config}}


@pytest.fixture(scope="module")
def proxy(pki, shared_echo, module_sallyport):
    def on(name, *plugins):
        return route(name, hosts=[f"{name}.test"], protocols=["https"], plugins=list(plugins))
    return module_sallyport(document(
        pki, service("app", shared_echo.url, on("a", modifier(), metadata(**NAMES)),
                     on("rfc", mtls_auth(pki.clients, anonymous="anon"), metadata(format="rfc9440")), on("none")),
        consumers=["alice", "bob", "anon"]))


def ask(proxy, host, *options, cert=None, http2=None):
    return curl(f"https://{host}.test/", *options, cert=cert, resolve=proxy.port, http2=http2)


def told(headers):
    """Fields under our names, whatever their spelling."""
    return {n.lower().replace("_", "-"): v for n, v in headers if n.lower().replace("_", "-") in OURS}


def spoofs(http2):
    fields = [o for name in OURS for spelling in (name, name.replace("-", "_"), name.upper()) for o in ("-H", f"{spelling}: forged")]
    return fields if http2 else fields + ["-H", "Connection: keep-alive, My-Cert, my_serial, Client-Cert, My-Chain"]


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_each_field_once_and_ours(pki, proxy, echo, http2):
    answer = ask(proxy, "a", *spoofs(http2), cert=pki.alice, http2=http2)
    headers = answer.json()["headers"]
    assert sorted(n.lower() for n, _ in headers if n.lower().replace("_", "-") in OURS) == sorted(n.lower() for n in NAMES.values())
    text = told(headers)
    assert urllib.parse.unquote(text["my-cert"]) == pki.alice.pem
    assert urllib.parse.unquote(text["my-chain"]) == pki.alice.chain_pem
    assert "%2B" in text["my-cert"] or "+" not in urllib.parse.unquote(text["my-cert"])
    said = subprocess.run([tool("openssl"), "x509", "-in", pki.alice.cert, "-noout", "-serial", "-fingerprint", "-sha1", "-subject", "-issuer",
                           "-nameopt", "RFC2253"], capture_output=True, text=True, check=True).stdout
    facts = dict(line.split("=", 1) for line in said.splitlines())
    assert text["my-serial"] == facts["serial"]
    assert text["my-print"] == next(v for k, v in facts.items() if "ingerprint" in k).replace(":", "").lower()
    assert text["my-subject"] == facts["subject"].strip() and text["my-issuer"] == facts["issuer"].strip()


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_without_a_certificate_nobody_tells(proxy, echo, http2):
    assert told(ask(proxy, "a", *spoofs(http2), http2=http2).json()["headers"]) == {}


def test_trailers_of_http1_do_not_tell(pki, proxy, echo):
    forged = b"".join(f"{name}: forged\r\n".encode() for name in [*OURS, *(n.replace("-", "_") for n in OURS)])
    for cert in (None, pki.alice):
        with open_tls(proxy.port, "a.test", cert) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + forged +
                               b"X-Sum: 7\r\n\r\n")
            seen = json.loads(read_answer(connection.makefile("rb")).body)
        assert seen["body"] == "abc" and seen["trailers"] == [["X-Sum", "7"]]


def test_trailers_of_http2_do_not_tell(pki, proxy, echo, tmp_path):
    (tmp_path / "body").write_bytes(b"abc")
    forged = [f"--trailer={spelling}: forged" for name in OURS for spelling in (name, name.replace("-", "_"))]
    for cert in ([], [f"--cert={pki.alice.chain}", f"--key={pki.alice.key}"]):
        echo.clear()
        done = subprocess.run([tool("nghttp"), "-n", "--no-verify-peer", "--no-content-length", "-H", ":authority: a.test", "-d",
                               tmp_path / "body", *cert, *forged,
                               "--trailer=x-sum: 7", f"https://127.0.0.1:{proxy.port}/"], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        [seen] = poll(lambda: echo.seen[:], "the request")
        assert seen["body"] == "abc" and [[n.lower(), v] for n, v in seen["trailers"]] == [["x-sum", "7"]]


def base64_of(pem):
    return "".join(line for line in pem.splitlines() if "-----" not in line)


def test_rfc9440_tells_of_verified_connections_only(pki, proxy, echo):
    forged = ["-H", "Client-Cert: :Zm9yZ2Vk:", "-H", "client_cert_chain: :Zm9yZ2Vk:"]
    answer = ask(proxy, "rfc", *forged, cert=pki.alice)
    assert answer.upstream_header("client-cert") == [f":{base64_of(pki.alice.pem)}:"]
    above = pki.alice.chain_pem.removeprefix(pki.alice.pem).split("-----BEGIN CERTIFICATE-----")[1:]
    expected = [", ".join(f":{base64_of('-----' + one)}:" for one in above)] if above else []
    assert answer.upstream_header("client-cert-chain") == expected and answer.upstream_header("client_cert_chain") == []
    base64.b64decode(answer.upstream_header("client-cert")[0].strip(":"), validate=True)
    for cert in (None, pki.forged):
        answer = ask(proxy, "rfc", *forged, cert=cert)
        assert answer.upstream_header("x-anonymous-consumer") == ["true"]
        assert told(answer.json()["headers"]) == {}


def test_rfc9440_fields_of_a_stranger_reach_nobody(pki, proxy, echo, sallyport):
    forged = ["-H", "Client-Cert: :Zm9yZ2Vk:", "-H", "Client_Cert-Chain: :Zm9yZ2Vk:"]
    assert told(ask(proxy, "none", *forged).json()["headers"]) == {} # no plugin on this route at all
    trusting = sallyport(document(pki, service("app", echo.url, route("none", hosts=["none.test"]))), "--trusted-ips", "127.0.0.1")
    assert told(ask(trusting, "none", *forged).json()["headers"]) == {"client-cert": ":Zm9yZ2Vk:", "client-cert-chain": ":Zm9yZ2Vk:"}
