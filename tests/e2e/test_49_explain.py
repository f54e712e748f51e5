"""explain request keeps its word: for each case what it says, offline, from a control plane and from the data plane itself, is what
the data plane then does to curl."""
import base64
import json
import pathlib
import re
import shlex
import types

import pytest
from test_01_readme import certificates, first_configuration

from sallytest.clients import curl
from sallytest.config import document, modifier, mtls_auth, plugin, route, service
from sallytest.programs import Control, cluster_pki, http_get, run


def named(name, **fields):
    """A route for a host, which clients have to name in the handshake."""
    return route(name, hosts=[f"{name}.a.test"], snis=[f"{name}.a.test"], protocols=["https"], **fields)


def configuration(pki, echo):
    auth = mtls_auth(pki.clients)
    web = service(
        "app", echo.url,
        route("guarded", hosts=["a.test"], snis=["a.test"], protocols=["https"], plugins=[auth]),
        named("staff", plugins=[auth, plugin("acl", allow=["staff"])]),
        named("default", plugins=[mtls_auth(pki.clients, default_consumer="guest")]),
        named("gone", plugins=[mtls_auth(pki.clients, default_consumer="nobody-at-all")]),
        named("anonymous", plugins=[mtls_auth(pki.clients, anonymous="guest")]),
        named("noanonymous", plugins=[mtls_auth(pki.clients, anonymous="nobody-at-all")]),
        named("mapped", plugins=[mtls_auth(pki.clients, consumer_by=[])]),
        named("any", plugins=[mtls_auth(pki.clients, skip_consumer_lookup=True), plugin("acl", allow=["nobody"])]),
        named("strict", plugins=[mtls_auth(pki.clients, revocation_check_mode="STRICT")]),
        named("either", plugins=[mtls_auth(pki.clients, anonymous="guest"), plugin("key-auth", anonymous="guest"),
                                 plugin("acl", allow=["staff"])]),
        named("blocked", plugins=[mtls_auth(pki.other)]),
        named("told", plugins=[modifier(), plugin("tls-metadata-headers", inject_client_cert_details=True)]),
        route("open", hosts=["b.test"]),
        route("secure", hosts=["c.test"], paths=["/secure"], protocols=["https"]),
        route("moved", hosts=["c.test"], paths=["/moved"], protocols=["https"], https_redirect_status_code=301),
        route("key", hosts=["b.test"], paths=["/key"], plugins=[plugin("key-auth", hide_credentials=True)]),
        route("preflight", hosts=["b.test"], paths=["/preflight"], plugins=[plugin("key-auth", run_on_preflight=False)]),
        route("ip", hosts=["b.test"], paths=["/ip"], plugins=[plugin("ip-restriction", deny=["127.0.0.0/8"])]),
        route("stop", hosts=["b.test"], paths=["/stop"], plugins=[plugin("request-termination", status_code=418, message="teapot")]),
        route("trigger", hosts=["b.test"], paths=["/trigger"], plugins=[plugin("request-termination", status_code=404, trigger="stop")]),
        route("rate", hosts=["b.test"], paths=["/rate"], plugins=[plugin("rate-limiting", year=1000, policy="local")]),
        route("size", hosts=["b.test"], paths=["/size"],
              plugins=[plugin("request-size-limiting", allowed_payload_size=10, size_unit="bytes")]),
        route("v2", hosts=["b.test"], headers={"X-Version": ["v2"]}, plugins=[plugin("request-termination", status_code=202)]),
        route("put", hosts=["b.test"], paths=["/put"], methods=["PUT"], plugins=[plugin("request-termination", status_code=201)]),
        route("regex", hosts=["b.test"], paths=[r"~/item/\d+$"], plugins=[plugin("request-termination", status_code=203)]),
        route("field", hosts=["b.test"], paths=["/field"], plugins=[
            plugin("header-cert-auth", ca_certificates=[pki.clients.id], certificate_header_name="X-Cert", secure_source=False,
                   certificate_header_format="base64_encoded", revocation_check_mode="SKIP")]),
        route("believed", hosts=["b.test"], paths=["/believed"], plugins=[
            plugin("header-cert-auth", ca_certificates=[pki.clients.id], certificate_header_name="X-Cert",
                   certificate_header_format="base64_encoded", revocation_check_mode="SKIP")]),
        route("whole", hosts=["c.test"], paths=["/whole"], strip_path=False, preserve_host=True),
        plugins=[plugin("correlation-id", header_name="X-Trace")])
    return document(
        pki, web,
        service("rpc", echo.url, route("grpc", hosts=["grpc.a.test"], protocols=["grpcs"])),
        service("empty", "http://empty.upstream:80", route("empty", hosts=["empty.a.test"])),
        upstreams=[{"name": "empty.upstream", "targets": [{"target": "127.0.0.1:9", "weight": 0}]}],
        routes=[route("lone", hosts=["lone.a.test"])],
        consumers=[{"username": "alice", "acls": [{"group": "staff"}], "keyauth_credentials": [{"key": "open-sesame"}]},
                   {"username": "bob"}, {"username": "guest"},
                   {"username": "carol", "plugins": [plugin("request-termination", status_code=403, message="not carol")]},
                   {"username": "dave", "mtls_auth_credentials": [
                       {"id": "00000001-1111-4222-8333-444444444444", "subject_name": "spiffe://example.org/ns/a/sa/b"},
                       {"id": "00000002-1111-4222-8333-444444444444", "subject_name": "sans.test", "ca_certificate": {"id": pki.clients.id}}]}])


class Case:
    """One request. sni: in the ClientHello; None: the host; False: none."""

    def __init__(self, host, path="/", status=200, message=None, cert=None, sni=None, method="GET", headers=(), plain=False, http2=False,
                 body=None, trusted=False, reason=None, hint=None, plugin=None):
        self.host, self.path, self.status, self.message, self.cert, self.sni, self.method = host, path, status, message, cert, sni, method
        self.headers, self.plain, self.http2, self.body, self.trusted = list(headers), plain, http2, body, trusted
        self.reason, self.hint, self.plugin = reason, hint, plugin

    def ask(self, pki, proxy):
        name = "127.0.0.1" if self.sni is False else self.sni or self.host
        options = ["-X", self.method, "--path-as-is", "-H", f"Host: {self.host}"]
        for header in self.headers:
            options += ["-H", header]
        if self.body:
            options += ["--data-binary", self.body, "-H", "Content-Type: text/plain"]
        port = proxy.plain if self.plain else proxy.port
        return curl(f"{'http' if self.plain else 'https'}://{name}{self.path}", *options, resolve=port, http2=self.http2,
                    cert=self.cert and getattr(pki, self.cert))

    def question(self, pki):
        question = {"host": self.host, "path": self.path, "method": self.method, "plain": self.plain, "peer_trusted": self.trusted,
                    "headers": [*self.headers, "Accept: */*", "User-Agent: curl"], "http_version": "2" if self.http2 else "1.1"}
        if self.body:
            question["headers"] += [f"Content-Length: {len(self.body)}", "Content-Type: text/plain"]
        if self.sni is not None:
            question["sni"] = self.sni or None
        if self.cert:
            question["certificate"] = getattr(pki, self.cert).chain_pem
        return question

    def options(self, pki):
        question = self.question(pki)
        words = ["--host", self.host, "--path", self.path, "--method", self.method]
        for header in question["headers"]:
            words += ["-H", header]
        words += ["--no-sni"] if self.sni is False else ["--sni", self.sni] if self.sni else []
        words += [flag for flag, on in (("--plain", self.plain), ("--http2", self.http2), ("--peer-trusted", self.trusted)) if on]
        return words + (["--cert", getattr(pki, self.cert).chain] if self.cert else [])


NONE, BAD = "No required TLS certificate was sent", "TLS certificate failed verification"


def cases(pki):
    field = "X-Cert: " + "".join(pki.alice.pem.split("-----")[2].split())
    return {
        "alice": Case("a.test", cert="alice"),
        "alice over h2": Case("a.test", cert="alice", http2=True),
        "intermediate": Case("a.test", cert="bob"),
        "no certificate": Case("a.test", status=401, message=NONE, reason="no certificate", plugin="mtls-auth"),
        "expired": Case("a.test", status=401, message=BAD, cert="expired", reason="certificate has expired", plugin="mtls-auth"),
        "not yet": Case("a.test", status=401, message=BAD, cert="notyet", reason="certificate is not yet valid"),
        "forged": Case("a.test", status=401, message=BAD, cert="forged", hint="No chain leads"),
        "for servers": Case("a.test", status=401, message=BAD, cert="for_servers", reason="certificate is not for client authentication"),
        "nobody": Case("a.test", status=401, message=BAD, cert="nobody", reason="no consumer has a name of this certificate"),
        "nameless": Case("a.test", status=401, message=BAD, cert="nameless"),
        "mapped, whatever consumer_by": Case("a.test", cert="sans"),
        "mapped": Case("mapped.a.test", cert="spiffe"),
        "mapped under the CA": Case("mapped.a.test", cert="sans"),
        "not mapped": Case("mapped.a.test", status=401, message=BAD, cert="nobody"),
        "default consumer": Case("default.a.test", cert="nobody"),
        "default consumer is gone": Case("gone.a.test", status=401, message="Unauthorized", cert="nobody",
                                         reason="default consumer nobody-at-all does not exist"),
        "anonymous": Case("anonymous.a.test", cert="forged"),
        "anonymous is gone": Case("noanonymous.a.test", status=500,
                                  message="anonymous consumer nobody-at-all is configured but doesn't exist"),
        "group": Case("staff.a.test", cert="alice"),
        "wrong group": Case("staff.a.test", status=403, message="You cannot consume this service", cert="bob", plugin="acl"),
        "common name as group": Case("any.a.test", cert="nobody"),
        "revocation, strict, nowhere to ask": Case("strict.a.test", status=401, message=BAD, cert="alice",
                                                   reason="certificate names neither an OCSP responder nor a CRL, by http or https"),
        "either: a key": Case("either.a.test", headers=["apikey: open-sesame"]),
        "either: a certificate": Case("either.a.test", cert="alice"),
        "either: neither": Case("either.a.test", status=401, message="Unauthorized", plugin="acl"),
        "a consumer's own plugin": Case("blocked.a.test", status=403, message="not carol", cert="carol", plugin="request-termination"),
        "fields of the certificate": Case("told.a.test", cert="forged"),
        "open": Case("b.test"),
        "open, a certificate in hand": Case("b.test", cert="alice", hint="does not ask for one"),
        "open, plain": Case("b.test", plain=True, cert="alice", hint="there is none without TLS"),
        "forged identity": Case("b.test", headers=["X-Consumer-Username: root", "x_consumer_id: 1"]),
        "misdirected": Case("a.test", status=421, cert="alice", sni="b.test", hint="new connection"),
        "no name": Case("a.test", status=421, sni=False),
        "another name, nothing there": Case("nowhere.a.test", status=404, message="no Route matched with those values", sni="b.test"),
        "unknown host": Case("z.a.test", status=404, message="no Route matched with those values"),
        "https only": Case("c.test", "/secure", status=426, message="Please use HTTPS protocol", plain=True),
        "https only, believed": Case("c.test", "/secure", plain=True, trusted=True, headers=["X-Forwarded-Proto: https"]),
        "https only, not believed": Case("c.test", "/secure", status=426, plain=True, headers=["X-Forwarded-Proto: https"]),
        "redirect": Case("c.test", "/moved", status=301, plain=True),
        "no key": Case("b.test", "/key/x", status=401, message="No API key found in request", plugin="key-auth"),
        "wrong key": Case("b.test", "/key/x", status=401, message="Unauthorized", headers=["apikey: wrong"]),
        "key": Case("b.test", "/key/x?a=1", headers=["apikey: open-sesame"]),
        "key in the query": Case("b.test", "/key/x?apikey=open-sesame&a=1"),
        "two keys": Case("b.test", "/key?apikey=open-sesame&apikey=x", status=401, message="Duplicate API key found"),
        "preflight": Case("b.test", "/preflight", method="OPTIONS"),
        "no preflight": Case("b.test", "/preflight", status=401, message="No API key found in request"),
        "address": Case("b.test", "/ip", status=403, message="IP address not allowed: 127.0.0.1", plugin="ip-restriction"),
        "address, told by a trusted peer": Case("b.test", "/ip", trusted=True, headers=["X-Real-IP: 192.0.2.1"]),
        "termination": Case("b.test", "/stop", status=418, message="teapot", plugin="request-termination"),
        "no trigger": Case("b.test", "/trigger"),
        "trigger": Case("b.test", "/trigger?stop=1", status=404),
        "rate": Case("b.test", "/rate"),
        "too large": Case("b.test", "/size", status=413, message="Request size limit exceeded", method="POST", body="x" * 100),
        "header": Case("b.test", status=202, headers=["X-Version: V2"]),
        "method": Case("b.test", "/put", status=201, method="PUT"),
        "other method": Case("b.test", "/put"),
        "regex": Case("b.test", "/item/42", status=203),
        "near the regex": Case("b.test", "/item/42x"),
        "certificate in a field": Case("b.test", "/field", headers=[field]),
        "garbage in a field": Case("b.test", "/field", status=401, message=BAD, headers=["X-Cert: 12345invalid"],
                                   reason="malformed certificate", plugin="header-cert-auth"),
        "field, not from there": Case("b.test", "/believed", status=401, message=NONE, headers=[field],
                                      reason="the peer is not in trusted_ips"),
        "field, from there": Case("b.test", "/believed", headers=[field], trusted=True),
        "whole path": Case("c.test", "/whole/a//b/../c"),
        "malformed path": Case("b.test", "/%00", status=400),
        "grpc route, no grpc": Case("grpc.a.test", status=415, message="Non-gRPC request matched gRPC route", http2=True),
        "grpc over h1": Case("grpc.a.test", status=426, headers=["Content-Type: application/grpc"], message="Please use HTTP2 protocol"),
        "grpcs over plain": Case("grpc.a.test", status=426, plain=True, headers=["Content-Type: application/grpc"],
                                 message="Please use HTTP2 protocol"),
        "no service": Case("lone.a.test", status=503, message="no Service found with those values"),
        "no target": Case("empty.a.test", status=503, message="failure to get a peer from the ring-balancer"),
    }


@pytest.fixture(scope="module")
def doors(pki, shared_echo, module_sallyport, tmp_path_factory):
    """The data planes, and three ways to ask."""
    config = configuration(pki, shared_echo)
    proxy = module_sallyport(config)
    trusting = module_sallyport(config, "--trusted-ips", "127.0.0.1", name="trusting")
    folder = tmp_path_factory.mktemp("explain")
    cluster_pki(folder / "pki")
    control = Control(folder, folder / "pki").start()
    try:
        applied = run("sallyctl", "--url", control.url, "apply", "-f", proxy.config_file)
        assert applied.code == 0, applied
        yield proxy, trusting, control
    finally:
        control.stop()


def explanations(pki, case, proxy, control):
    """From the data plane, from the control plane, from the file."""
    for door, url in (("data plane", proxy.status_url), ("control plane", control.url + "/sallyport")):
        answer = http_get(url + "/explain/request", "POST", json.dumps(case.question(pki)).encode())
        assert answer.status == 200, answer.body
        yield door, answer.json()
    said = run("sallyctl", "-o", "json", "explain", "request", "-f", proxy.config_file, *case.options(pki))
    assert said.code == 0, said
    yield "file", said.json()


def own_fields(said):
    """What we add for the upstream and does not depend on ports and chance."""
    return {(f["name"].lower(), f["value"]) for f in said["upstream"]["fields"]
            if f["from"] == "sallyport" and f["name"].lower() not in ("x-trace", "x-forwarded-port")}


def compare(name, case, answer, said, plane):
    """The explanation against what happened."""
    forwarded = said["outcome"] == "forwarded"
    assert (said["status"] or 200) == answer.status == case.status, (name, said["summary"], answer)
    assert forwarded == (answer.header("x-upstream") == "echo"), name
    if case.message or said["message"]:
        told = answer.header("grpc-message") or answer.json()["message"]
        assert said["message"] == (case.message or said["message"]) == told, (name, said, answer)
    for key in ("reason", "plugin"):
        assert getattr(case, key) in (None, said[key]), (name, key, said[key])
    assert not case.hint or any(case.hint in hint for hint in said["hints"]), (name, said["hints"])
    if said["plugin"] in ("mtls-auth", "header-cert-auth") and said["status"] == 401:
        plane.wait_log(answer.header("x-kong-request-id"))
        line = next(line for line in plane.log.splitlines() if answer.header("x-kong-request-id") in line and "reason=" in line)
        assert f'reason="{said["reason"]}"' in line, (name, line)
    if not forwarded:
        return
    seen = answer.json()
    assert own_fields(said) <= {(n.lower(), v) for n, v in seen["headers"]}, (name, seen["headers"])
    expected = {f["name"].lower() for f in said["upstream"]["fields"]}
    assert {n.lower() for n, _ in seen["headers"]} - {"host", "connection", "accept", "user-agent", "te"} <= expected, (name, expected)
    assert said["upstream"]["url"].endswith(seen["path"].partition("?")[0]), (name, said["upstream"], seen["path"])


def test_what_is_explained_is_what_happens(pki, doors):
    proxy, trusting, control = doors
    table = cases(pki)
    assert len(table) > 60
    for name, case in table.items():
        plane = trusting if case.trusted else proxy
        answer = case.ask(pki, plane)
        told = dict(explanations(pki, case, plane, control))
        for door, said in told.items():
            compare(f"{name}, {door}", case, answer, said, plane)
        for said in told.values(): # all doors lead to the same room
            said.pop("revision")
            for field in (said["upstream"] or {}).get("fields", ()):
                field["value"] = None if field["name"] == "X-Trace" else field["value"]
        assert told["file"] == told["control plane"] == told["data plane"], name


def test_no_secret_comes_back(pki, doors):
    proxy, _, control = doors
    case = Case("b.test", "/key/x?apikey=open-sesame&a=1", headers=["apikey: open-sesame", "Cookie: c00kie", "Authorization: Basic dTpw"])
    for door, said in explanations(pki, case, proxy, control):
        text = json.dumps(said)
        assert said["status"] is None and said["consumer"]["username"] == "alice", (door, said)
        for secret in ("open-sesame", "c00kie", "dTpw", "PRIVATE KEY"):
            assert secret not in text, (door, secret)


def test_nothing_is_counted(pki, sallyport, shared_echo):
    limited = plugin("rate-limiting", year=1, policy="local")
    proxy = sallyport(document(pki, service("app", shared_echo.url, route("r", hosts=["b.test"], plugins=[limited]))))
    question = json.dumps({"host": "b.test", "path": "/", "plain": True}).encode()

    def explained():
        return http_get(proxy.status_url + "/explain/request", "POST", question).json()
    assert [explained()["outcome"] for _ in range(3)] == ["forwarded"] * 3
    assert curl("http://b.test/", resolve=proxy.plain).status == 200
    assert explained()["status"] == 429 == curl("http://b.test/", resolve=proxy.plain).status
    assert proxy.metric("sallyport_requests_total") == 2


def test_passwords_and_bodies(pki, sallyport, shared_echo):
    """Passwords are checked as for a request; a body is taken to be empty, and a hint says so where somebody looked into it."""
    config = document(pki, service("app", shared_echo.url, route("basic", hosts=["b.test"], plugins=[plugin("basic-auth")]),
                                   route("body", hosts=["c.test"], plugins=[plugin("key-auth", key_in_body=True)])),
                      consumers=[{"username": "alice", "basicauth_credentials": [{"username": "al", "password": "wonder"}]}])
    proxy = sallyport(config)

    def said(host, *headers, method="GET"):
        question = {"host": host, "path": "/", "method": method, "headers": list(headers)}
        return http_get(proxy.status_url + "/explain/request", "POST", json.dumps(question).encode()).json()
    for pair, status, reason in ((None, 401, "no credentials"), ("al:wonder", 200, None), ("al:wrong", 401, "no such user, or another password"),
                                 ("who:wonder", 401, "no such user, or another password")):
        headers = [f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}"] if pair else []
        told = said("b.test", *headers)
        assert (told["status"] or 200, told["reason"]) == (status, reason), told
        assert curl("https://b.test/", *(w for h in headers for w in ("-H", h)), resolve=proxy.port).status == status
        assert "wonder" not in json.dumps(told)
    about_bodies = "A plugin looks into the request's body, which is not known here: it is taken to be empty."
    assert about_bodies not in said("c.test")["hints"]
    told = said("c.test", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 10", method="POST")
    assert told["status"] == 401 and about_bodies in told["hints"]


def test_whom_a_data_plane_trusts(doors):
    """Where the question does not say it, the data plane looks into its own --trusted-ips."""
    _, trusting, _ = doors
    query = "/explain/request?host=b.test&path=/ip&header=X-Real-IP:+192.0.2.1"
    assert trusting.status(query).json()["outcome"] == "forwarded"
    assert trusting.status(query + "&peer_trusted=false").json()["status"] == 403
    assert trusting.status(query + "&client_ip=192.0.2.9").json()["request"]["peer_trusted"] is False


def test_another_time(pki, sallyport, shared_echo):
    proxy = sallyport(document(pki, service("app", shared_echo.url, route("r", hosts=["a.test"], plugins=[mtls_auth(pki.clients)]))))

    short = pki.clients.leaf("short", "/CN=alice", days=(-1, 2))

    def at(when):
        question = {"host": "a.test", "path": "/", "certificate": short.pem, "at": when}
        return http_get(proxy.status_url + "/explain/request", "POST", json.dumps(question).encode()).json()
    end = at("2000-01-01T00:00:00Z")["certificate"]["not_after"]
    assert at(end - 1)["summary"] == "forwarded to service app, as alice"
    assert at(end + 1)["reason"] == "certificate has expired"


@pytest.mark.parametrize("change, message", [
    ({"path": "x"}, "path: 'x' does not begin with '/'"),
    ({"path": "/a b"}, "path: byte 3 is no part of a path: write it as %20"),
    ({"path": None}, "path: required"),
    ({"method": "get"}, "method: 'get' is no method; they are words in capitals: GET, POST ..."),
    ({"host": "a b"}, "host: 'a b' is no host name or address, with or without a port"),
    ({"headers": ["no colon"]}, "header: 'no colon' is not 'Name: value'"),
    ({"headers": ["Host: b.test"]}, "header: the Host field is the question's `host`"),
    ({"sni": "127.0.0.1"}, "sni: '127.0.0.1' cannot stand in a ClientHello (an address never does)"),
    ({"certificate": "hello"}, "certificate: no certificate in PEM form"),
    ({"certificate": "\n-----BEGIN CERTIFICATE-----\nMIIB"}, "certificate: line 2: no END CERTIFICATE follows"),
    ({"certificate": "-----BEGIN PRIVATE KEY-----"},
     "certificate: line 1: a private key is not needed, and belongs nowhere but to its client"),
    ({"plain": True, "sni": "a.test"}, "sni: only with TLS, and `plain` says that there is none"),
    ({"at": "tomorrow"}, "at: expected seconds since 1970, or a time like 2027-01-31T12:00:00Z"),
    ({"hots": "a"}, "'hots' is no field of a question"),
])
def test_questions_that_make_no_sense(doors, change, message):
    proxy, _, control = doors
    question = {"host": "a.test", "path": "/", **change}
    for url in (proxy.status_url + "/explain/request", control.url + "/sallyport/explain/request"):
        answer = http_get(url, "POST", json.dumps(question).encode())
        assert (answer.status, answer.json()["message"]) == (400, message)


def test_the_query_form_and_its_guards(pki, doors):
    proxy, _, control = doors
    for url in (proxy.status_url + "/explain/request", control.url + "/sallyport/explain/request"):
        said = http_get(url + "?host=b.test&path=/key&header=apikey:%20open-sesame&header=X-Other:%201").json()
        assert said["consumer"]["username"] == "alice" and "open-sesame" not in json.dumps(said)
        assert http_get(url + "?host=b.test&host=b.test&path=/").json()["message"] == "host: given twice"
        assert http_get(url, "PUT", b"{}").status == 405
        assert http_get(url + "?host=b.test&path=/", headers={"Origin": "https://evil.test"}).status == 403
        assert http_get(url, "POST", b"x" * (300 << 10)).status in (400, 413)


def test_before_there_is_a_configuration(sallyport, tmp_path):
    cluster_pki(tmp_path / "pki", "edge")
    files = ["--cluster-cert", tmp_path / "pki/edge.pem", "--cluster-key", tmp_path / "pki/edge.key", "--cluster-ca", tmp_path / "pki/ca.pem"]
    proxy = sallyport(None, "--control", "127.0.0.1:1", *files, ready=False)
    assert proxy.status("/explain/request?host=a.test&path=/").status == 503


def test_near_misses_and_winners(pki, doors):
    proxy = doors[0]
    said = proxy.status("/explain/request?host=b.test&path=/put").json()
    assert said["route"]["name"] == "open"
    assert [(n["name"], n["lacks"], n["wants"]) for n in said["near_misses"] if n["name"] == "put"] == [("put", "methods", ["PUT"])]
    said = proxy.status("/explain/request?host=b.test&path=/put&method=PUT").json()
    assert said["route"]["over"] == [{"id": said["route"]["over"][0]["id"], "name": "open", "path": None,
                                      "because": "more kinds of criteria: hosts, paths, methods against hosts"}]


def test_the_page_keeps_its_word(tmp_path):
    """Every command of docs/explain.md's transcript, and what it said."""
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs/explain.md").read_text()
    certificates(tmp_path)
    first_configuration(tmp_path, types.SimpleNamespace(url="http://127.0.0.1:8080"))
    parts = re.split(r"^\$ (.*)\n", re.search(r"```console\n(.*?)```", page, re.S).group(1), flags=re.M)
    commands = list(zip(parts[1::2], parts[2::2]))
    assert len(commands) == 2
    for command, said in commands:
        program, *words = shlex.split(command)
        assert run(program, *words, cwd=tmp_path).out.strip() == said.strip()
