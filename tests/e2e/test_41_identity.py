"""The plugins that identity is used with, end to end: keys, groups, addresses, certificates in header fields."""
import base64
import urllib.parse
import uuid

import pytest

from sallytest import poll
from sallytest.clients import curl, message
from sallytest.config import app, document, header_cert_auth, mtls_auth, plugin, service


def ask(proxy, *options, cert=None, path="/", plain=False, **how):
    scheme, port = ("http", proxy.plain) if plain else ("https", proxy.port)
    return curl(f"{scheme}://a.test{path}", *options, cert=cert, resolve=port, **how)


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_keys(pki, echo, sallyport, http2):
    people = [{"username": "alice", "keyauth_credentials": [{"key": "s3cret"}]}]
    proxy = sallyport(document(pki, app(echo, plugin("key-auth", hide_credentials=True, realm="lab")), consumers=people))
    answer = ask(proxy, http2=http2)
    assert message(answer) == (401, "No API key found in request")
    assert answer.header("www-authenticate") == 'Key realm="lab"'
    assert message(ask(proxy, "-H", "apikey: wrong", http2=http2)) == (401, "Unauthorized")
    assert message(ask(proxy, "-H", "apikey: s3cret", "-H", "ApiKey: s3cret", http2=http2)) == (401, "Duplicate API key found")
    assert echo.seen == []
    answer = ask(proxy, "-H", "apikey: s3cret", "-H", "x-consumer-username: root", http2=http2)
    assert answer.status == 200 and answer.upstream_header("x-consumer-username") == ["alice"]
    assert answer.upstream_header("apikey") == []
    answer = ask(proxy, path="/p?a=1&apikey=s3cret&b=2", http2=http2)
    assert answer.status == 200 and answer.json()["path"] == "/p?a=1&b=2"


def test_certificate_or_key_and_no_anonymous(pki, echo, sallyport):
    """Logical OR; who is neither is the anonymous consumer, who is terminated."""
    people = [{"username": "alice"}, {"username": "keyed", "keyauth_credentials": [{"key": "k"}]},
              {"username": "anon", "plugins": [plugin("request-termination", status_code=403, message="who are you")]}]
    proxy = sallyport(document(pki, app(echo, mtls_auth(pki.clients, anonymous="anon"), plugin("key-auth", anonymous="anon")),
                               consumers=people))
    both = ask(proxy, "-H", "apikey: k", cert=pki.alice)
    assert both.upstream_header("x-consumer-username") == ["alice"] and both.upstream_header("x-anonymous-consumer") == []
    assert ask(proxy, "-H", "apikey: k").upstream_header("x-consumer-username") == ["keyed"]
    assert message(ask(proxy)) == (403, "who are you")


def test_groups(pki, echo, sallyport):
    people = [{"username": "alice", "acls": [{"group": "admins"}, {"group": "users"}]}, {"username": "bob", "acls": [{"group": "users"}]}]
    proxy = sallyport(document(pki, app(echo, mtls_auth(pki.clients), plugin("acl", allow=["admins"])), consumers=people))
    answer = ask(proxy, "-H", "X-Consumer-Groups: root", cert=pki.alice)
    assert answer.upstream_header("x-consumer-groups") == ["admins, users"]
    assert message(ask(proxy, cert=pki.bob)) == (403, "You cannot consume this service")


def test_groups_by_common_name(pki, echo, sallyport):
    proxy = sallyport(document(pki, app(echo, mtls_auth(pki.clients, skip_consumer_lookup=True), plugin("acl", allow=["alice"]))))
    assert ask(proxy, cert=pki.alice).upstream_header("x-authenticated-groups") == ["alice"]
    assert ask(proxy, cert=pki.bob).status == 403


def test_addresses(pki, echo, sallyport):
    proxy = sallyport(document(pki, app(echo, plugin("ip-restriction", deny=["127.0.0.0/8"]))))
    assert message(ask(proxy)) == (403, "IP address not allowed: 127.0.0.1")
    # only a trusted peer may say who is behind it
    assert ask(proxy, "-H", "X-Real-IP: 9.9.9.9").status == 403


def test_addresses_behind_a_trusted_peer(pki, echo, sallyport):
    proxy = sallyport(document(pki, app(echo, plugin("ip-restriction", allow=["9.9.9.0/24"]))), "--trusted-ips", "127.0.0.1")
    assert ask(proxy, "-H", "X-Real-IP: 9.9.9.9").status == 200
    assert message(ask(proxy, "-H", "X-Real-IP: 9.9.8.9")) == (403, "IP address not allowed: 9.9.8.9")


def test_correlation_ids(pki, echo, sallyport):
    proxy = sallyport(document(pki, app(echo, plugin("correlation-id", header_name="X-Trace", generator="uuid", echo_downstream=True))))
    answer = ask(proxy)
    assert answer.upstream_header("x-trace") == [answer.header("x-trace")] and uuid.UUID(answer.header("x-trace")).version == 4
    answer = ask(proxy, "-H", "x-trace: mine")
    assert answer.upstream_header("x-trace") == ["mine"] and answer.header("x-trace") == "mine"


def test_termination(pki, echo, sallyport):
    proxy = sallyport(document(pki, app(echo, plugin("request-termination", status_code=418, body="<b>tea</b>", content_type="text/html",
                                                     trigger="x-stop"))))
    assert ask(proxy).status == 200
    answer = ask(proxy, "-H", "X-Stop: 1")
    assert (answer.status, answer.text, answer.header("content-type")) == (418, "<b>tea</b>", "text/html")
    assert ask(proxy, path="/?x-stop=1").status == 418


def test_rates(pki, echo, sallyport):
    proxy = sallyport(document(pki, app(echo, mtls_auth(pki.clients), plugin("rate-limiting", year=3))))
    left = [ask(proxy, cert=pki.alice) for _ in range(3)] # new connections, so of any worker
    assert [(a.status, a.header("x-ratelimit-remaining-year")) for a in left] == [(200, "2"), (200, "1"), (200, "0")]
    answer = ask(proxy, cert=pki.alice)
    assert message(answer) == (429, "API rate limit exceeded") and int(answer.header("retry-after")) > 0
    assert proxy.reload(document(pki, app(echo, mtls_auth(pki.clients), plugin("rate-limiting", year=3)), consumers=["alice", "bob"]))
    assert ask(proxy, cert=pki.alice).status == 429 # a new configuration does not forget
    assert ask(proxy, cert=pki.bob).status == 200


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_bodies_have_a_measure(pki, echo, sallyport, tmp_path, http2):
    proxy = sallyport(document(pki, app(echo, plugin("request-size-limiting", allowed_payload_size=1, size_unit="megabytes"))))
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(b"x" * (3 << 20))
    small.write_bytes(b"x" * (1 << 20))
    chunked = ["-H", "Transfer-Encoding: chunked"] if not http2 else ["-H", "Content-Length:"]
    assert ask(proxy, "--data-binary", f"@{small}", http2=http2).json()["length"] == 1 << 20
    assert ask(proxy, "-X", "POST", "-T", small, *chunked, http2=http2).json()["length"] == 1 << 20
    for body in (["--data-binary", f"@{large}"], ["-X", "POST", "-T", large, *chunked]):
        answer = ask(proxy, "-H", "Expect:", *body, http2=http2, check=False)
        if answer.code != 92: # curl 7.88 takes the reset behind a complete answer (RFC 9113 8.1) for a failure
            assert message(answer) == (413, "Request size limit exceeded")
    poll(lambda: proxy.out.count('"status":413') == 2, lambda: proxy.out)
    assert [seen["length"] for seen in echo.seen] == [1 << 20, 1 << 20]


def test_metadata_of_a_certificate(pki, echo, sallyport):
    spoofed = ["-H", "X-Client-Cert: forged", "-H", "X_Client_Cert_Serial: 1", "-H", "Client-Cert: :AAAA:", "-H",
               "Connection: close, X-Client-Cert"]
    config = [{"name": "tls-handshake-modifier"}, plugin("tls-metadata-headers", inject_client_cert_details=True)]
    proxy = sallyport(document(pki, app(echo, *config)))
    answer = ask(proxy, *spoofed, cert=pki.forged, http2=False) # asked for, and never judged
    assert answer.status == 200
    [text] = answer.upstream_header("x-client-cert")
    assert urllib.parse.unquote(text) == pki.forged.pem
    assert len(answer.upstream_header("x-client-cert-serial")) == 1 and answer.upstream_header("client-cert") == []
    answer = ask(proxy, *spoofed, http2=False)
    assert answer.status == 200
    assert [n for n, _ in answer.json()["headers"] if n.lower().replace("_", "-").startswith(("x-client-cert", "client-cert"))] == []


def test_rfc9440_tells_of_verified_certificates(pki, echo, sallyport):
    proxy = sallyport(document(pki, app(echo, mtls_auth(pki.clients),
                                        plugin("tls-metadata-headers", inject_client_cert_details=True, format="rfc9440"))))
    answer = ask(proxy, cert=pki.alice)
    [text] = answer.upstream_header("client-cert")
    assert text.startswith(":") and text.endswith(":")
    der = base64.b64decode(text[1:-1])
    assert base64.b64encode(der).decode() in pki.alice.pem.replace("\n", "")


FORMATS = {
    "base64_encoded": lambda leaf: "".join(line for line in leaf.pem.splitlines() if "-----" not in line),
    "url_encoded": lambda leaf: urllib.parse.quote(leaf.chain_pem, safe=""),
    "rfc9440": lambda leaf: ":" + "".join(line for line in leaf.pem.splitlines() if "-----" not in line) + ":",
    "xfcc": lambda leaf: f'By=spiffe://x;Hash=1;Cert="{urllib.parse.quote(leaf.chain_pem, safe="")}";Subject="CN=x"',
}


@pytest.mark.parametrize("form", FORMATS)
def test_certificates_in_fields(pki, echo, sallyport, form):
    config = document(pki, app(echo, header_cert_auth(pki.clients, form=form)))
    field = ["-H", f"X-Forwarded-Cert: {FORMATS[form](pki.alice)}"]
    proxy = sallyport(config, "--trusted-ips", "127.0.0.0/8")
    for plain in (False, True):
        answer = ask(proxy, *field, plain=plain)
        assert answer.status == 200 and answer.upstream_header("x-consumer-username") == ["alice"]
    assert message(ask(proxy)) == (401, "No required TLS certificate was sent")
    assert message(ask(proxy, "-H", "X-Forwarded-Cert: 12345invalidcert67890")) == (401, "TLS certificate failed verification")
    assert message(ask(proxy, "-H", f"X-Forwarded-Cert: {FORMATS[form](pki.forged)}")) == (401, "TLS certificate failed verification")


def test_certificates_in_fields_of_strangers(pki, echo, sallyport):
    form = "base64_encoded"
    proxy = sallyport(document(pki, app(echo, header_cert_auth(pki.clients, form=form))))
    answer = ask(proxy, "-H", f"X-Forwarded-Cert: {FORMATS[form](pki.alice)}")
    assert message(answer) == (401, "No required TLS certificate was sent")
    proxy.wait_log("[header-cert-auth]")
