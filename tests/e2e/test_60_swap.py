"""A new configuration while requests are under way."""
import signal
import ssl
import threading
import time

from sallytest.clients import curl, open_tls, read_answer
from sallytest.config import document, mtls_auth, route, service

REQUEST = b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"


def numbered(pki, echo, number, **more):
    """Always the same for clients; inside, other objects each time."""
    return document(pki, service("app", f"{echo.url}/{number}", route("guarded", hosts=["a.test"], snis=["a.test"], protocols=["https"],
                                                                     plugins=[mtls_auth(pki.clients)])),
                    service(f"other-{number}", echo.url, *[route(f"r{number}-{i}", hosts=[f"h{i}-{number}.test"]) for i in range(number % 7)]),
                    **more)


def test_sighup_reads_the_file_again(pki, echo, sallyport):
    proxy = sallyport(numbered(pki, echo, 1))
    assert proxy.metric("sallyport_config_revision") == 1
    assert curl("https://a.test/x", cert=pki.alice, resolve=proxy.port).json()["path"] == "/1/x"
    assert proxy.reload(numbered(pki, echo, 2))
    assert curl("https://a.test/x", cert=pki.alice, resolve=proxy.port).json()["path"] == "/2/x"
    assert proxy.metric("sallyport_config_revision") == 2


def test_a_bad_file_keeps_the_old_one_and_says_why(pki, echo, sallyport):
    proxy = sallyport(numbered(pki, echo, 1))
    bad = numbered(pki, echo, 2)
    bad["services"][0]["routes"][0]["hostz"] = ["a.test"]
    bad["services"][0]["routes"][0]["path_handling"] = "v7"
    assert not proxy.reload(bad)
    assert not proxy.reload("services: [")
    assert curl("https://a.test/x", cert=pki.alice, resolve=proxy.port).json()["path"] == "/1/x"
    assert "hostz" in proxy.log and "hosts" in proxy.log and "path_handling" in proxy.log # all of them, with a hint
    assert proxy.status().json()["last_error"] != ""
    assert proxy.metric("sallyport_config_rejected_total") == 2
    assert proxy.reload(numbered(pki, echo, 3))
    assert proxy.status().json()["last_error"] == ""


def test_a_file_that_is_gone_keeps_the_old_one(pki, echo, sallyport):
    proxy = sallyport(numbered(pki, echo, 1))
    proxy.config_file.unlink()
    proxy.signal(signal.SIGHUP)
    proxy.wait_metric("sallyport_config_rejected_total", lambda n: n == 1)
    assert curl("https://a.test/x", cert=pki.alice, resolve=proxy.port).status == 200


def test_a_request_under_way_finishes_under_its_own_configuration(pki, echo, sallyport):
    proxy = sallyport(numbered(pki, echo, 1))
    hold = echo.hold("swap")
    config = numbered(pki, echo, 1)
    config["services"][0]["url"] = echo.url
    assert proxy.reload(config)
    with open_tls(proxy.port, "a.test", pki.alice) as connection:
        connection.sendall(REQUEST.replace(b"/x", b"/hold/swap"))
        hold.wait_arrived()
        assert proxy.reload(document(pki)) # no route at all
        hold.release()
        stream = connection.makefile("rb")
        assert read_answer(stream).status == 200
        connection.sendall(REQUEST)
        assert read_answer(stream).status == 404


class Load(threading.Thread):
    """Requests without a pause, on one connection or on a new one each; counts what is not a 200."""

    def __init__(self, proxy, cert, fresh, over):
        super().__init__(daemon=True)
        self.proxy, self.cert, self.fresh, self.over = proxy, cert, fresh, over
        self.good, self.bad = 0, []

    def run(self):
        connection = stream = None
        while not self.over.is_set():
            try:
                if connection is None:
                    connection = open_tls(self.proxy.port, "a.test", self.cert)
                    stream = connection.makefile("rb")
                connection.sendall(REQUEST)
                answer = read_answer(stream)
                if answer.status == 200 and b'"alice"' in answer.body:
                    self.good += 1
                else:
                    self.bad.append((answer.status, answer.body[:200]))
                if self.fresh or answer.headers.get("connection") == "close":
                    connection.close()
                    connection = None
            except (OSError, ssl.SSLError, ConnectionError) as error:
                self.bad.append(repr(error))
                connection = None


def test_changes_every_50_ms_under_load_fail_no_request(pki, echo, sallyport):
    proxy = sallyport(numbered(pki, echo, 0))
    over = threading.Event()
    loads = [Load(proxy, pki.alice, fresh, over) for fresh in (False, False, True)]
    for load in loads:
        load.start()
    for number in range(1, 101):
        due = time.monotonic() + 0.05
        assert proxy.reload(numbered(pki, echo, number))
        time.sleep(max(0, due - time.monotonic())) # the pace, not a wait
    over.set()
    for load in loads:
        load.join(20)
    assert [load.bad for load in loads] == [[], [], []]
    assert all(load.good > 10 for load in loads), [load.good for load in loads]
    assert proxy.metric("sallyport_config_revision") == 101
