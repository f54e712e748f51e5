"""Routing as a client sees it: which service answers, and with which path."""
import pytest

from sallytest.clients import curl
from sallytest.config import document, route, service

# name: the fields of a route; each leads to a service of its own, whose path says the route's name
ROUTES = {
    "host": {"hosts": ["a.test"]},
    "host-path": {"hosts": ["a.test"], "paths": ["/one"]},
    "longer-path": {"hosts": ["a.test"], "paths": ["/one/two"]},
    "regex": {"hosts": ["a.test"], "paths": [r"~/item/\d+$"]},
    "regex-first": {"hosts": ["a.test"], "paths": [r"~/item/\d"], "regex_priority": 5},
    "post": {"hosts": ["a.test"], "methods": ["POST"]},
    "header": {"hosts": ["a.test"], "headers": {"x-version": ["2", "two"]}},
    "wildcard": {"hosts": ["*.wild.test"]},
    "wildcard-right": {"hosts": ["left.*"]},
    "sni": {"snis": ["c.test"], "protocols": ["https"]},
    "path-only": {"paths": ["/everywhere"]},
}

CASES = [
    ("a.test", "/", [], "host"),
    ("A.TEST", "/", [], "host"),
    ("a.test", "/one", [], "host-path"),
    ("a.test", "/onetwo", [], "host-path"),
    ("a.test", "/one/two/three", [], "longer-path"),
    ("a.test", "/one/../one/./two", ["--path-as-is"], "longer-path"),
    ("a.test", "/%6fne", ["--path-as-is"], "host-path"),
    ("a.test", "//one", ["--path-as-is"], "host-path"),
    ("a.test", "/item/42", [], "regex-first"),
    ("a.test", "/item/x", [], "host"),
    ("a.test", "/", ["-X", "POST"], "post"),
    ("a.test", "/", ["-H", "X-Version: TWO"], "header"),
    ("a.test", "/", ["-H", "X-Version: 3"], "host"),
    ("x.wild.test", "/", [], "wildcard"),
    ("x.y.wild.test", "/", [], "wildcard"),
    ("wild.test", "/", [], None),
    ("left.example.com", "/", [], "wildcard-right"),
    ("c.test", "/", [], "sni"),
    ("d.test", "/everywhere", [], "path-only"),
    ("d.test", "/nowhere", [], None),
]


@pytest.fixture(scope="module")
def proxy(pki, shared_echo, module_sallyport):
    return module_sallyport(document(pki, *[
        service(name, f"{shared_echo.url}/{name}", route(name, **fields)) for name, fields in ROUTES.items()]))


@pytest.mark.parametrize("host, path, options, expected", CASES)
@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_matching(proxy, host, path, options, expected, http2):
    answer = curl(f"https://{host}{path}", *options, resolve=proxy.port, http2=http2)
    if expected is None:
        assert answer.status == 404
    else:
        assert answer.json()["path"].split("/")[1] == expected


PATHS = [ # service path, route path, strip, request, what the upstream gets
    ("/", "/r", True, "/r", "/"),
    ("/", "/r", True, "/r/x", "/x"),
    ("/", "/r", True, "/rx", "/x"),
    ("/", "/r", False, "/r/x?q=%20", "/r/x?q=%20"),
    ("/base/", "/r", True, "/r", "/base"),
    ("/base/", "/r", True, "/r/", "/base/"),
    ("/base/", "/r", True, "/r/x", "/base/x"),
    ("/base/", "/r", False, "/r/x", "/base/r/x"),
    ("/base", "/r", True, "/r", "/base"),
    ("/base", "/r", True, "/r/x", "/base/x"),
    ("/base", "/r", True, "/rx", "/base/x"),
    ("/base", "/r", False, "/r/x", "/base/r/x"),
]


@pytest.mark.parametrize("base, prefix, strip, request_path, expected", PATHS)
def test_the_upstreams_path(pki, echo, sallyport, base, prefix, strip, request_path, expected):
    proxy = sallyport(document(pki, service("app", echo.url + base, route("r", paths=[prefix], strip_path=strip))))
    assert curl(f"http://a.test{request_path}", resolve=proxy.plain).json()["path"] == expected


def test_preserve_host(pki, echo, sallyport):
    proxy = sallyport(document(pki, service("app", echo.url, route("kept", hosts=["a.test"], preserve_host=True),
                                            route("changed", hosts=["b.test"]))))
    assert curl("http://a.test/", resolve=proxy.plain).upstream_header("host")[0].split(":")[0] == "a.test"
    assert curl("http://b.test/", resolve=proxy.plain).upstream_header("host") == [f"127.0.0.1:{echo.port}"]


def test_a_redirecting_route(pki, echo, sallyport):
    proxy = sallyport(document(pki, service("app", echo.url, route("r", hosts=["a.test"], protocols=["https"],
                                                                   https_redirect_status_code=301))))
    answer = curl("http://a.test/x?y=1", resolve=proxy.plain)
    assert answer.status == 301 and answer.header("location").startswith("https://a.test") and answer.header("location").endswith("/x?y=1")


def test_a_route_without_a_service(pki, sallyport):
    """Nothing to proxy to: 503, and no crash."""
    proxy = sallyport(document(pki, routes=[route("r", hosts=["a.test"])]))
    assert curl("http://a.test/", resolve=proxy.plain).status == 503


def test_targets_by_weight(pki, echo, sallyport):
    from sallytest.upstream import Echo
    second = Echo()
    try:
        config = document(pki, service("app", "http://pool/", route("r", hosts=["a.test"])), upstreams=[
            {"name": "pool", "targets": [{"target": f"127.0.0.1:{echo.port}", "weight": 100},
                                         {"target": f"127.0.0.1:{second.port}", "weight": 300},
                                         {"target": "127.0.0.1:1", "weight": 0}]}])
        proxy = sallyport(config, "--workers", "1")
        for _ in range(40):
            assert curl("http://a.test/", resolve=proxy.plain).status == 200
        assert (len(echo.seen), len(second.seen)) == (10, 30)
    finally:
        second.stop()
