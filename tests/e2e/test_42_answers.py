"""What clients see of the plugins and of errors, byte for byte as Kong answers."""
import json

import pytest

from sallytest.clients import curl
from sallytest.config import document, route, service

JSON = "application/json; charset=utf-8"


def plugin(name, **config):
    return {"name": name, "config": config}


def on(host, *plugins, **fields):
    """A route of its own for each case, so that one data plane serves them all."""
    return route(host.split(".")[0], hosts=[host], plugins=list(plugins), **fields)


def ask(proxy, host, *options, path="/", plain=False, **how):
    scheme, port = ("http", proxy.plain) if plain else ("https", proxy.port)
    return curl(f"{scheme}://{host}{path}", *options, resolve=port, **how)


@pytest.fixture(scope="module")
def proxy(pki, shared_echo, module_sallyport):
    stop = "request-termination"
    routes = [
        on("key.test", plugin("key-auth")),
        on("down.test", plugin(stop)),
        on("forbidden.test", plugin(stop, status_code=403)),
        on("gateway.test", plugin(stop, status_code=502)),
        on("said.test", plugin(stop, status_code=406, message='no "way"')),
        on("raw.test", plugin(stop, status_code=418, body="<b>tea</b>")),
        on("empty.test", plugin(stop, status_code=204)),
        on("address.test", plugin("ip-restriction", deny=["127.0.0.1"], message="go <b>home</b>")),
        on("chunks.test", plugin("request-size-limiting", allowed_payload_size=4, size_unit="bytes", require_content_length=True)),
        on("moved.test", protocols=["https"], https_redirect_status_code=308),
    ]
    return module_sallyport(document(pki, service("app", shared_echo.url, *routes)))


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_the_bytes_of_an_error(proxy, http2):
    answer = ask(proxy, "key.test", http2=http2)
    assert (answer.status, answer.header("content-type"), answer.header("www-authenticate")) == (401, JSON, "Key")
    request_id = answer.header("x-kong-request-id")
    assert answer.text == f'{{\n  "message":"No API key found in request",\n  "request_id":"{request_id}"\n}}'
    assert answer.header("content-length") == str(len(answer.body))


@pytest.mark.parametrize("accept, kind", [
    (["text/html;q=0.2, text/plain;q=0.9"], "text/plain"),
    (["text/html"], "text/html"),
    (["image/webp, text/html;q=0.8"], "application/json"), # what it likes best is none of ours
    (["text/plain;q=0.3", "application/xml"], "application/xml"),
    (["text/*"], "text/plain"),
])
def test_accept_decides(proxy, accept, kind):
    answer = ask(proxy, "key.test", *[o for a in accept for o in ("-H", f"Accept: {a}")], http2=False)
    assert answer.header("content-type") == f"{kind}; charset=utf-8"
    request_id = answer.header("x-kong-request-id")
    if kind == "text/plain":
        assert answer.text == f"No API key found in request\nrequest_id: {request_id}\n"
    if kind == "application/xml":
        assert answer.text == ('<?xml version="1.0" encoding="UTF-8"?>\n<error>\n  <message>No API key found in request</message>\n'
                               f"  <requestid>{request_id}</requestid>\n</error>\n")


@pytest.mark.parametrize("host, code, message", [
    ("key.test", "16", "Unauthenticated"),
    ("address.test", "7", "PermissionDenied"),
    ("unknown.test", "5", "NotFound"),
    ("down.test", "14", "Service unavailable"),
    ("forbidden.test", "7", "PermissionDenied"),
    ("said.test", "3", 'no "way"'),
])
def test_grpc_clients_get_a_status(proxy, host, code, message):
    answer = ask(proxy, host, "-X", "POST", "-H", "Content-Type: application/grpc+proto", "-H", "TE: trailers", http2=True)
    assert (answer.header("grpc-status"), answer.header("grpc-message")) == (code, message)
    assert answer.header("content-type") == "application/grpc" and answer.body == b""


def test_grpc_is_not_spoken_over_http1(proxy):
    answer = ask(proxy, "key.test", "-X", "POST", "-H", "Content-Type: application/grpc", http2=False)
    assert answer.header("grpc-status") is None and answer.json()["message"] == "No API key found in request"


@pytest.mark.parametrize("host, status, kind, body", [
    ("down.test", 503, JSON, '{"message":"Service unavailable"}'),
    ("gateway.test", 502, JSON, '{"message":"Bad Gateway"}'),
    ("said.test", 406, JSON, '{"message":"no \\"way\\""}'),
    ("forbidden.test", 403, None, ""),
    ("raw.test", 418, None, "<b>tea</b>"),
    ("empty.test", 204, None, ""),
])
@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_termination_is_as_it_is(proxy, host, status, kind, body, http2):
    answer = ask(proxy, host, "-H", "Accept: text/html", http2=http2)
    assert (answer.status, answer.header("content-type"), answer.text) == (status, kind, body)
    assert answer.header("content-length") == (None if status == 204 else str(len(body)))


def test_markup_in_messages_stays_text(proxy):
    assert "<p>go &lt;b&gt;home&lt;/b&gt;.</p>" in ask(proxy, "address.test", "-H", "Accept: text/html").text
    assert ask(proxy, "address.test").json()["message"] == "go <b>home</b>"


def test_a_redirect_has_no_body(proxy):
    answer = ask(proxy, "moved.test", path="/x?y", plain=True)
    assert (answer.status, answer.header("location"), answer.body) == (308, "https://moved.test/x?y", b"")


def test_a_length_is_demanded_but_not_of_chunks(proxy, tmp_path):
    answer = ask(proxy, "chunks.test", http2=False)
    assert (answer.status, answer.json()["message"]) == (411, "A valid Content-Length header is required")
    chunked = ["-H", "Transfer-Encoding: chunked", "-H", "Expect:"]
    assert ask(proxy, "chunks.test", "-d", "1234", *chunked, http2=False).json()["length"] == 4
    answer = ask(proxy, "chunks.test", "-d", "12345", *chunked, http2=False)
    assert (answer.status, answer.json()["message"]) == (413, "Request size limit exceeded")
    answer = ask(proxy, "chunks.test", "-d", "12345", "-H", "Expect: 100-continue", http2=False)
    assert (answer.status, answer.json()["message"]) == (417, "Request size limit exceeded")
