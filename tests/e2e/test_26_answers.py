"""What clients see of the plugins and of errors, byte for byte as Kong answers."""
import re

import pytest

from sallytest.clients import curl, open_tls, read_answer
from sallytest.config import document, plugin, route, service

JSON = "application/json; charset=utf-8"


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
        on("echo.test", plugin(stop, echo=True, status_code=404)),
        on("debug.test", plugin(stop, echo=True, status_code=200, trigger="gimme-an-echo", message="here you are")),
        on("traced.test", plugin("correlation-id", generator="tracker", echo_downstream=True)),
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


# --- copies of requests ---

@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
@pytest.mark.parametrize("options", [[], ["-H", "Expect: 100-continue"]], ids=["plain", "expect"])
def test_an_echo(proxy, http2, options):
    answer = ask(proxy, "echo.test", "-d", "cool body", "-H", "X-A: 1", "-H", "Content-Type: text/plain", *options,
                 path="/status/../200?hello=there&x&hello=you", http2=http2)
    copy = answer.json()
    assert (answer.status, answer.header("content-type"), copy["message"]) == (404, JSON, "Not found")
    request = copy["request"]
    assert request["headers"].pop("user-agent").startswith("curl/")
    request["headers"].pop("expect", None)
    assert request == {
        "scheme": "https", "host": "echo.test", "port": proxy.port, "method": "POST", "path": "/200", "raw_body": "cool body",
        "query": {"hello": ["there", "you"], "x": True},
        "headers": {"host": "echo.test", "accept": "*/*", "x-a": "1", "content-type": "text/plain", "content-length": "9"}}
    assert copy["matched_route"]["hosts"] == ["echo.test"] and copy["matched_service"]["name"] == "app"
    assert copy["kong"]["worker_pid"] > 0 and copy["kong"]["hostname"]


def test_an_echo_of_forms_and_json(proxy):
    def body(kind, text):
        return ask(proxy, "echo.test", "-d", text, "-H", f"Content-Type: {kind}").json()["request"].get("body")
    assert body("application/json", '{"a": [1, null]}') == {"a": [1, None]}
    assert body("application/x-www-form-urlencoded", "a=%31&b") == {"a": "1", "b": True}
    assert body("application/json", "{") is None


def test_an_echo_of_a_body_that_is_too_large(proxy, tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 200000)
    request = ask(proxy, "echo.test", "--data-binary", f"@{tmp_path / 'large'}", "-H", "Expect:", http2=False).json()["request"]
    assert "raw_body" not in request and request["headers"]["content-length"] == "200000"


def test_an_echo_for_those_who_ask(proxy, echo):
    assert ask(proxy, "debug.test").json()["method"] == "GET" and len(echo.seen) == 1
    for answer in (ask(proxy, "debug.test", "-H", "Gimme-An-Echo: 1"), ask(proxy, "debug.test", path="/?gimme-an-echo")):
        assert (answer.status, answer.json()["message"]) == (200, "here you are")
    assert len(echo.seen) == 1
    answer = ask(proxy, "debug.test", "-X", "POST", "-H", "Gimme-An-Echo: 1", "-H", "Content-Type: application/grpc", http2=True)
    assert (answer.header("grpc-status"), answer.header("grpc-message"), answer.body) == ("0", "here you are", b"")


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_a_tracker_names_connection_and_request(proxy, http2):
    answer = ask(proxy, "traced.test", http2=http2)
    name = answer.header("kong-request-id")
    assert answer.upstream_header("kong-request-id") == [name]
    address, port, worker, connection, request, when = name.split("-")
    assert (address, int(port), request) == ("127.0.0.1", proxy.port, "1")
    assert int(worker) > 0 and int(connection) > 0 and re.fullmatch(r"\d{10}\.\d{3}", when)


def test_a_tracker_counts_requests_of_a_connection(proxy):
    with open_tls(proxy.port, "traced.test") as connection:
        stream, names = connection.makefile("rb"), []
        for _ in range(3):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: traced.test\r\n\r\n")
            names.append(read_answer(stream).headers["kong-request-id"].split("-"))
    assert [n[4] for n in names] == ["1", "2", "3"] and len({tuple(n[:4]) for n in names}) == 1
