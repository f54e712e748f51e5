"""Chains of authentications, acl and plugins of consumers, made by chance, against a model of what Kong says of them; and for each
request what the data plane explains."""
import base64
import json
import random

import pytest

from sallytest.clients import curl
from sallytest.config import document, mtls_auth, plugin, route, service
from sallytest.programs import http_get

KINDS = ("mtls-auth", "key-auth", "basic-auth", "header-cert-auth") # by priority
OWNER = {"mtls-auth": "alice", "key-auth": "keyed", "basic-auth": "named", "header-cert-auth": "bob"}
GROUPS = {"alice": ["staff"], "bob": ["field", "staff"], "keyed": ["gold"], "named": [], "guest": ["guests"], "other": []}
NO_CERTIFICATE = {"none": "No required TLS certificate was sent", "bad": "TLS certificate failed verification"}
MESSAGES = {"mtls-auth": NO_CERTIFICATE, "key-auth": {"none": "No API key found in request", "bad": "Unauthorized"},
            "basic-auth": {"none": "Unauthorized", "bad": "Unauthorized"}, "header-cert-auth": NO_CERTIFICATE}
ACLS = (None, {"allow": ["staff"]}, {"deny": ["staff"]}, {"allow": ["guests"]}, {"deny": ["alice"]},
        {"allow": ["alice"], "always_use_authenticated_groups": True},
        {"allow": ["staff"], "always_use_authenticated_groups": True, "hide_groups_header": True})
SEED, NUM_ROUTES, NUM_REQUESTS = 7, 60, 200


class Chain:
    def __init__(self, chance, number):
        self.number, self.acl = number, chance.choice(ACLS)
        guests = chance.choice((("guest",), (None,), (None, "guest", "other"))) # any of them is enough, all are needed, mixed
        self.steps = [(kind, chance.choice(guests), kind in ("mtls-auth", "header-cert-auth") and chance.random() < 0.3)
                      for kind in KINDS if chance.random() < 0.7] or [("key-auth", None, False)]
        self.stopped = chance.choice(("guest", "alice", "keyed", "named", None, None))

    def plugins(self, pki):
        for kind, anonymous, skip in self.steps:
            config = {"anonymous": anonymous} if anonymous else {}
            if skip:
                config["skip_consumer_lookup"] = True
            if kind == "mtls-auth":
                yield mtls_auth(pki.clients, **config)
            elif kind == "header-cert-auth":
                yield plugin(kind, ca_certificates=[pki.clients.id], revocation_check_mode="SKIP", certificate_header_name="X-Cert",
                             certificate_header_format="base64_encoded", **config)
            else:
                yield plugin(kind, **config)
        if self.acl:
            yield plugin("acl", **self.acl)

    def expect(self, brings):
        """(status, message, consumer, groups field)"""
        consumer = groups = None
        credential = False
        for kind, anonymous, skip in self.steps:
            if anonymous and credential:
                continue
            if brings[kind] == "good" and skip:
                consumer, credential, groups = None, True, [OWNER[kind]]
            elif brings[kind] == "good":
                consumer, credential = OWNER[kind], True
            elif anonymous:
                consumer, credential = anonymous, False
            else:
                return 401, MESSAGES[kind][brings[kind]], None, None
        told = None
        if self.acl:
            counts, told = self.judge(consumer, credential, groups)
            refused = not set(counts) & set(self.acl["allow"]) if "allow" in self.acl else set(counts) & set(self.acl["deny"])
            if refused or (not counts and consumer is None):
                return (403, "You cannot consume this service", None, None) if credential or counts else (401, "Unauthorized", None, None)
        if consumer and consumer == self.stopped:
            return 418, f"not {consumer}", None, None
        return 200, None, consumer, told

    def judge(self, consumer, credential, groups):
        theirs = groups and (not consumer or not credential or self.acl.get("always_use_authenticated_groups"))
        counts = groups if theirs else GROUPS.get(consumer, [])
        hidden = not counts or self.acl.get("hide_groups_header")
        return counts, None if hidden else ("x-authenticated-groups" if theirs else "x-consumer-groups", ", ".join(counts))


def base64_of(pem):
    """A chain as header-cert-auth reads it."""
    return ",".join("".join(part.split("-----END")[0].split()) for part in pem.split("-----BEGIN CERTIFICATE-----")[1:])


def fields(pki, brings):
    key = {"good": "the-good-key", "bad": "another-key"}
    login = {"good": b"al:the-good-password", "bad": b"al:another-password"}
    field = {"good": pki.bob.chain_pem, "bad": pki.forged.pem}
    made = {"key-auth": lambda v: f"apikey: {key[v]}", "header-cert-auth": lambda v: f"X-Cert: {base64_of(field[v])}",
            "basic-auth": lambda v: f"Authorization: Basic {base64.b64encode(login[v]).decode()}"}
    return [make(brings[kind]) for kind, make in made.items() if brings[kind] != "none"]


@pytest.fixture(scope="module")
def chains():
    chance = random.Random(SEED)
    return [Chain(chance, i) for i in range(NUM_ROUTES)]


@pytest.fixture(scope="module")
def proxy(pki, shared_echo, module_sallyport, chains):
    people = {name: {"username": name, "acls": [{"group": g} for g in groups]} for name, groups in GROUPS.items()}
    people["keyed"]["keyauth_credentials"] = [{"key": "the-good-key"}]
    people["named"]["basicauth_credentials"] = [{"username": "al", "password": "the-good-password"}]
    routes = [route(f"r{c.number}", hosts=["a.test"], paths=[f"/{c.number}/"], protocols=["https"], plugins=list(c.plugins(pki)))
              for c in chains]
    stops = [{**plugin("request-termination", status_code=418, message=f"not {c.stopped}"), "consumer": c.stopped, "route": f"r{c.number}"}
             for c in chains if c.stopped]
    return module_sallyport(document(pki, service("app", shared_echo.url, *routes), consumers=list(people.values()), plugins=stops),
                            "--trusted-ips", "127.0.0.1")


def happened(answer):
    if answer.status != 200:
        return answer.status, answer.json()["message"], None, None
    told = [(name, ", ".join(answer.upstream_header(name))) for name in ("x-consumer-groups", "x-authenticated-groups")
            if answer.upstream_header(name)]
    return 200, None, next(iter(answer.upstream_header("x-consumer-username")), None), next(iter(told), None)


def test_chains_of_chance(pki, proxy, chains):
    chance = random.Random(SEED)
    seen = set()
    for _ in range(NUM_REQUESTS):
        chain = chance.choice(chains)
        brings = {kind: chance.choice(("none", "good", "good", "bad")) for kind in KINDS}
        certificate = {"none": None, "good": pki.alice, "bad": pki.forged}[brings["mtls-auth"]]
        sent = fields(pki, brings)
        answer = curl(f"https://a.test/{chain.number}/", *(o for f in sent for o in ("-H", f)), cert=certificate, resolve=proxy.port)
        expected = chain.expect(brings)
        assert happened(answer) == expected, (vars(chain), brings)
        question = {"host": "a.test", "path": f"/{chain.number}/", "headers": sent, **({"certificate": certificate.chain_pem} if certificate else {})}
        said = http_get(proxy.status_url + "/explain/request", "POST", json.dumps(question).encode())
        told = said.json()
        assert (told["status"] or 200, told["message"]) == expected[:2], (vars(chain), brings, told["summary"])
        assert expected[0] != 200 or (told["consumer"] or {}).get("username") == expected[2], (vars(chain), brings, told["summary"])
        assert not any(f.partition(": ")[2] in json.dumps(told) for f in sent)
        seen.add(expected[0])
    assert seen == {200, 401, 403, 418}
