"""key-auth with key_in_body: the request waits for its body, the upstream gets it as the client sent it or without the key."""
import json
import re

import pytest

from sallytest import poll
from sallytest.clients import curl, message, open_tls, read_answer
from sallytest.config import document, route, service

PEOPLE = [{"username": "alice", "keyauth_credentials": [{"key": "s3cret"}]}, {"username": "anon"}]


def keyed(name, **config):
    return route(name, hosts=[f"{name}.test"], plugins=[{"name": "key-auth", "config": {"key_in_body": True, **config}}])


@pytest.fixture(scope="module")
def proxy(pki, shared_echo, module_sallyport):
    return module_sallyport(document(pki, service("app", shared_echo.url, keyed("a"), keyed("hidden", hide_credentials=True),
                                                  keyed("open", anonymous="anon")), consumers=PEOPLE))


def post(proxy, body, *options, host="a.test", kind="application/json", http2=False, **how):
    return curl(f"https://{host}/", "--data-binary", "@-", "-H", f"Content-Type: {kind}", *options, stdin=body, resolve=proxy.port,
                http2=http2, **how)


WAYS = [(False, []), (False, ["-H", "Transfer-Encoding: chunked"]), (False, ["-H", "Expect: 100-continue"]), (True, []),
        (True, ["-H", "Content-Length:"])]
way = pytest.mark.parametrize("http2, options", WAYS, ids=["h1", "h1-chunked", "h1-expect", "h2", "h2-no-length"])


@way
def test_a_key_in_a_body(proxy, echo, http2, options):
    body = b'{"apikey":"s3cret","text":"' + b"x" * 3000 + b'"}'
    answer = post(proxy, body, *options, http2=http2)
    assert answer.status == 200 and answer.upstream_header("x-consumer-username") == ["alice"]
    assert answer.json()["body"] == body.decode()
    answer = post(proxy, b"a=1&apikey=s3cret", *options, kind="application/x-www-form-urlencoded", http2=http2)
    assert answer.status == 200 and answer.json()["body"] == "a=1&apikey=s3cret"
    echo.clear()
    answer = post(proxy, b'{"apikey":"wrong"}', *options, http2=http2)
    assert message(answer) == (401, "Unauthorized") and answer.header("www-authenticate") == "Key"
    assert message(post(proxy, b'{"apikey":["s3cret","s3cret"]}', *options, http2=http2)) == (401, "Duplicate API key found")
    assert message(post(proxy, b"{", *options, http2=http2)) == (401, "No API key found in request")
    assert echo.seen == []


@way
def test_the_upstream_does_not_see_a_hidden_key(proxy, echo, http2, options):
    answer = post(proxy, b'{"apikey":"s3cret","a":[1,2]}', *options, host="hidden.test", http2=http2)
    assert answer.status == 200 and answer.json()["body"] == '{"a":[1,2]}'
    answer = post(proxy, b"apikey=s3cret&a=1", "-H", "apikey: s3cret", *options, host="hidden.test", http2=http2,
                  kind="application/x-www-form-urlencoded")
    assert answer.status == 200 and answer.json()["body"] == "a=1" and answer.upstream_header("apikey") == []


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_a_key_in_a_part_of_a_form(proxy, echo, http2):
    for host, left in (("a.test", ["a", "apikey", "b"]), ("hidden.test", ["a", "b"])):
        answer = curl(f"https://{host}/", "-F", "a=1", "-F", "apikey=s3cret", "-F", "b=2", resolve=proxy.port, http2=http2)
        assert answer.status == 200 and re.findall(r'; name="(\w+)"', answer.json()["body"]) == left
    answer = curl("https://a.test/", "-F", "apikey=s3cret", "-F", "apikey=s3cret", resolve=proxy.port, http2=http2)
    assert message(answer) == (401, "Duplicate API key found")


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_a_large_body_is_not_looked_into(proxy, echo, http2):
    large = b'{"apikey":"s3cret","text":"' + b"x" * 400000 + b'"}'
    for options in ([], ["-H", "Transfer-Encoding: chunked"] if not http2 else ["-H", "Content-Length:"]):
        answer = post(proxy, large, "-H", "Expect:", *options, http2=http2, check=False)
        if answer.code != 92: # curl 7.88 takes the reset behind a complete answer (RFC 9113 8.1) for a failure
            assert message(answer) == (401, "No API key found in request")
        answer = post(proxy, large, "-H", "Expect:", *options, host="open.test", http2=http2) # and goes on to the upstream
        assert answer.status == 200 and answer.json()["length"] == len(large)
        assert answer.upstream_header("x-anonymous-consumer") == ["true"]


def test_many_bodies_on_one_connection(proxy, echo):
    """More of them at once than a connection's window holds: those that wait are given room."""
    body = b'{"apikey":"s3cret","text":"' + b"x" * 60000 + b'"}'
    urls = [f"https://a.test/{n}" for n in range(40)]
    answer = curl(urls[0], "--data-binary", "@-", "-H", "Content-Type: application/json", "--parallel", "--parallel-max", "40",
                  *[o for url in urls[1:] for o in ("-o", "/dev/null", url)], stdin=body, resolve=proxy.port, http2=True)
    assert answer.code == 0
    assert [seen["length"] for seen in echo.seen] == [len(body)] * 40


def test_trailers_follow_the_body(proxy, echo):
    with open_tls(proxy.port, "a.test") as connection:
        stream = connection.makefile("rb")
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"13\r\n{\"apikey\":\"s3cret\"}\r\n0\r\nX-Sum: 7\r\nX-Consumer-ID: forged\r\n\r\n")
        answer = read_answer(stream)
        seen = json.loads(answer.body)
        assert answer.status == 200 and seen["trailers"] == [["X-Sum", "7"]]
        connection.sendall(b"GET /?apikey=s3cret HTTP/1.1\r\nHost: a.test\r\n\r\n") # the connection goes on
        assert read_answer(stream).status == 200


HEAD = b"POST /slow HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n"
# SETTINGS and the same head as HTTP/2 has it, the stream open (RFC 9113 4.1, RFC 7541)
HEAD2 = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" +
         b"\0\0\x23\1\4\0\0\0\1" + b"\x83\x87\x44\x05/slow\x41\x06a.test\x5f\x10application/json")


def logged(proxy):
    return [line["status"] for line in proxy.access() if line["path"] == "/slow"]


@pytest.mark.parametrize("alpn, head", [("http/1.1", HEAD + b'{"api'), ("h2", HEAD2)], ids=["h1", "h2"])
def test_a_client_that_leaves_before_its_body_is_there(pki, echo, sallyport, alpn, head):
    proxy = sallyport(document(pki, service("app", echo.url, keyed("a")), consumers=PEOPLE))
    with open_tls(proxy.port, "a.test", alpn=[alpn]) as connection:
        connection.sendall(head)
        proxy.wait_metric("sallyport_requests", lambda n: n == 1)
    poll(lambda: logged(proxy), lambda: proxy.out[-2000:])
    assert echo.seen == []


@pytest.mark.parametrize("alpn, head", [("http/1.1", HEAD + b'{"api'), ("h2", HEAD2)], ids=["h1", "h2"])
def test_a_body_that_does_not_come(pki, echo, sallyport, alpn, head):
    proxy = sallyport(document(pki, service("app", echo.url, keyed("a")), consumers=PEOPLE), "--body-timeout", "1")
    with open_tls(proxy.port, "a.test", alpn=[alpn]) as connection:
        connection.sendall(head)
        poll(lambda: logged(proxy) == [408], lambda: proxy.out[-2000:])
    assert echo.seen == []
