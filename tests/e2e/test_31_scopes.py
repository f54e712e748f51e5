"""Whose plugin runs: consumers, groups, anonymous; authentications that must all succeed, and those of which one is enough."""
import pytest

from sallytest.clients import curl, message
from sallytest.config import document, mtls_auth, plugin, route, service


def stop(message):
    return plugin("request-termination", status_code=403, message=message)


def person(name, *groups, **more):
    return {"username": name, "keyauth_credentials": [{"key": name}], "groups": [{"name": g} for g in groups], **more}


def ask(proxy, host, key=None, cert=None, *options):
    return curl(f"https://{host}/", *(["-H", f"apikey: {key}"] if key else []), *options, cert=cert, resolve=proxy.port)


@pytest.fixture(scope="module")
def proxy(pki, shared_echo, module_sallyport):
    """One service, one route for each scope; every plugin answers with the name of its scope."""
    def scoped(said, **scope):
        return {**stop(said), **scope}
    routes = [route(name, hosts=[f"{name}.test"]) for name in ("plain", "on-route", "group-route", "consumer-route", "off")]
    acls = route("acls", hosts=["acls.test"], plugins=[plugin("acl", allow=["gold"], include_consumer_groups=True)])
    return module_sallyport(document(
        pki, service("app", shared_echo.url, *routes, acls),
        plugins=[
            plugin("key-auth"),
            scoped("route", route="on-route"),
            scoped("route", route="group-route"), scoped("gold+route", route="group-route", consumer_group="gold"),
            scoped("route", route="consumer-route"), scoped("gold+route", route="consumer-route", consumer_group="gold"),
            scoped("alice+route", route="consumer-route", consumer="alice"),
            scoped("alice", consumer="alice"), scoped("beta", consumer_group="beta"), scoped("alpha", consumer_group="alpha"),
        ],
        consumer_groups=[{"name": n} for n in ("gold", "alpha", "beta")],
        consumers=[person("alice", "gold"), person("bob", "beta", "alpha"), person("carol", "gold"), person("dave")]))


@pytest.mark.parametrize("host, who, expected", [
    ("plain.test", "alice", "alice"), # consumer
    ("plain.test", "bob", "alpha"), # the first group by name
    ("plain.test", "dave", None), # nothing global
    ("on-route.test", "dave", "route"),
    ("on-route.test", "alice", "alice"), # consumer before route
    ("on-route.test", "bob", "alpha"), # group before route
    ("group-route.test", "carol", "gold+route"),
    ("group-route.test", "dave", "route"),
    ("consumer-route.test", "alice", "alice+route"), # consumer+route before group+route
    ("consumer-route.test", "carol", "gold+route"),
])
def test_the_most_specific_instance_runs(proxy, host, who, expected):
    answer = ask(proxy, host, who)
    assert (message(answer) if expected else answer.status) == ((403, expected) if expected else 200)


def test_groups_of_consumers_count_for_acl(proxy):
    answer = ask(proxy, "acls.test", "carol")
    assert answer.status == 200 and answer.upstream_header("x-consumer-groups") == ["gold"]
    answer = ask(proxy, "acls.test", "dave")
    assert message(answer) == (403, "You cannot consume this service")


def test_each_group_has_its_own_limit(pki, echo, sallyport):
    limit = {"name": "rate-limiting", "config": {"year": 2, "limit_by": "consumer-group"}}
    proxy = sallyport(document(pki, service("app", echo.url, route("r", hosts=["a.test"], plugins=[plugin("key-auth"), limit])),
                               consumer_groups=[{"name": "gold"}, {"name": "silver"}],
                               consumers=[person("alice", "gold"), person("bob", "gold"), person("carol", "silver")]))
    assert [ask(proxy, "a.test", who).status for who in ("alice", "bob", "alice", "carol")] == [200, 200, 429, 200]


def chain(pki, **anonymous):
    return [mtls_auth(pki.clients, **anonymous), plugin("key-auth", **anonymous)]


@pytest.mark.parametrize("by", ["id", "username"])
def test_one_of_several_is_enough(pki, echo, sallyport, by):
    anon = {"id": "6f1d6a62-6b9b-4d6c-9d6e-0b8f3f6b7a11", "username": "anon"}
    proxy = sallyport(document(pki, service("app", echo.url, route("r", hosts=["a.test"], plugins=chain(pki, anonymous=anon[by]))),
                               consumers=["alice", person("keyed"), {**anon, "custom_id": "nobody"}]))
    answer = ask(proxy, "a.test", "keyed", pki.alice) # the first that succeeds
    assert answer.upstream_header("x-consumer-username") == ["alice"]
    assert ask(proxy, "a.test", "keyed").upstream_header("x-consumer-username") == ["keyed"]
    answer = ask(proxy, "a.test", "wrong", pki.forged, "-H", "X-Credential-Identifier: forged")
    assert answer.upstream_header("x-consumer-username") == ["anon"] and answer.upstream_header("x-consumer-custom-id") == ["nobody"]
    assert answer.upstream_header("x-anonymous-consumer") == ["true"] and answer.upstream_header("x-credential-identifier") == []


def test_all_of_several_are_needed(pki, echo, sallyport):
    proxy = sallyport(document(pki, service("app", echo.url, route("r", hosts=["a.test"], plugins=chain(pki))),
                               consumers=["alice", person("keyed")]))
    assert message(ask(proxy, "a.test", "keyed")) == (401, "No required TLS certificate was sent")
    assert message(ask(proxy, "a.test", None, pki.alice)) == (401, "No API key found in request")
    answer = ask(proxy, "a.test", "keyed", pki.alice) # the last one's consumer
    assert answer.upstream_header("x-consumer-username") == ["keyed"] and answer.upstream_header("x-anonymous-consumer") == []


@pytest.mark.parametrize("first", [True, False], ids=["mtls-auth", "key-auth"])
def test_an_anonymous_consumer_that_is_not_there(pki, echo, sallyport, first):
    plugins = [mtls_auth(pki.clients, anonymous="ghost")] if first else [plugin("key-auth", anonymous="ghost")]
    proxy = sallyport(document(pki, service("app", echo.url, route("r", hosts=["a.test"], plugins=plugins)), consumers=["alice"]))
    answer = ask(proxy, "a.test")
    assert message(answer) == (500, "anonymous consumer ghost is configured but doesn't exist")
    assert list(answer.json()) == ["message", "request_id"]


def test_who_is_nobody_is_stopped(pki, echo, sallyport):
    """By a plugin on the anonymous consumer, and by one on the anonymous consumer's group."""
    for scope in ({"consumer": "anon"}, {"consumer_group": "nobodies"}):
        proxy = sallyport(document(pki, service("app", echo.url, route("r", hosts=["a.test"], plugins=[plugin("key-auth", anonymous="anon")])),
                                   plugins=[{**plugin("request-termination", status_code=401), **scope}],
                                   consumer_groups=[{"name": "nobodies"}], consumers=[person("keyed"), person("anon", "nobodies")]),
                          name=next(iter(scope)))
        answer = ask(proxy, "a.test")
        assert (answer.status, answer.text) == (401, '{"message":"Unauthorized"}')
        assert ask(proxy, "a.test", "keyed").status == 200
