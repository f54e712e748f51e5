"""The end of a process: what is under way is finished, and the exit code is 0."""
import signal
import socket

import pytest

from sallytest import poll
from sallytest.clients import open_tls, read_answer
from sallytest.config import document, route, service


@pytest.fixture
def proxy(pki, echo, sallyport):
    return sallyport(document(pki, service("app", echo.url, route("r", hosts=["a.test"], strip_path=False))))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_finished(proxy, echo, number):
    hold = echo.hold("drain")
    with open_tls(proxy.port, "a.test") as connection:
        connection.sendall(b"GET /hold/drain HTTP/1.1\r\nHost: a.test\r\n\r\n")
        hold.wait_arrived()
        proxy.signal(number)
        proxy.wait_log("draining")
        assert proxy.running()
        hold.release()
        stream = connection.makefile("rb")
        answer = read_answer(stream)
        assert answer.status == 200
        assert stream.read() == b"" # and then it is closed
    assert proxy.process.wait(20) == 0


def test_idle_connections_do_not_delay_the_end(proxy):
    with open_tls(proxy.port, "a.test") as connection:
        stream = connection.makefile("rb")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert read_answer(stream).status == 200
        proxy.signal(signal.SIGTERM)
        assert proxy.process.wait(20) == 0


def test_ready_turns_off_first_and_it_still_accepts(pki, echo, sallyport):
    proxy = sallyport(document(pki, service("app", echo.url, route("r", hosts=["a.test"]))), "--drain-delay", "3600")
    proxy.signal(signal.SIGTERM)
    poll(lambda: proxy.status("/healthz/ready").status == 503, "not ready")
    assert proxy.status("/healthz/live").status == 200
    with open_tls(proxy.port, "a.test") as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert read_answer(connection.makefile("rb")).status == 200
    proxy.signal(signal.SIGINT) # cuts the delay short
    assert proxy.process.wait(20) == 0


def test_what_takes_too_long_is_cut(pki, echo, sallyport):
    proxy = sallyport(document(pki, service("app", echo.url, route("r", hosts=["a.test"], strip_path=False))), "--drain-grace", "1")
    hold = echo.hold("long")
    with open_tls(proxy.port, "a.test") as connection:
        connection.sendall(b"GET /hold/long HTTP/1.1\r\nHost: a.test\r\n\r\n")
        hold.wait_arrived()
        proxy.signal(signal.SIGTERM)
        assert proxy.process.wait(20) == 0
        hold.release()


def test_the_port_is_free_afterwards(proxy):
    port = proxy.port
    assert proxy.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


def test_drain_by_the_status_listener(proxy):
    from sallytest.programs import http_get
    for field, value in (("Origin", "http://evil.test"), ("Host", "evil.test")): # a page in somebody's browser
        assert http_get(proxy.status_url + "/drain", "POST", headers={field: value}).status == 403
        assert http_get(proxy.status_url + "/config", headers={field: value}).status == 403
    assert proxy.status("/healthz/ready").status == 200 and proxy.status("/config").status == 200
    assert http_get(proxy.status_url + "/drain", "POST").status == 202
    assert proxy.process.wait(20) == 0
