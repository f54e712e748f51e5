"""basic-auth with curl -u: from a file, beside other authentications, under load of those who guess."""
import base64
import hashlib
import threading

import pytest

from sallytest.clients import curl
from sallytest.config import app, document, mtls_auth, plugin, service
from sallytest.programs import run

ALICE = "c0ffee00-0000-4000-8000-000000000001"


def hashed(secret, log_n=10, salt=b"12345678", scheme="scrypt"):
    """As sallyport writes it; with little cost."""
    digest = hashlib.scrypt(secret.encode(), salt=salt, n=1 << log_n, r=8, p=1, maxmem=128 << 20, dklen=32)
    text = [base64.b64encode(b).decode().rstrip("=") for b in (salt, digest)]
    return f"${scheme}$ln={log_n},r=8,p=1${text[0]}${text[1]}"


def kong(password, consumer=ALICE):
    return hashlib.sha1((password + consumer).encode()).hexdigest()


def person(password, name="al", **fields):
    return {"username": "alice", "id": ALICE, "basicauth_credentials": [{"username": name, "password": password}], **fields}


def ask(proxy, *options, login=None, cert=None, **how):
    return curl("https://a.test/", *(["-u", login] if login else []), *options, cert=cert, resolve=proxy.port, **how)


def refused(answer, realm="service"):
    assert (answer.status, answer.json()["message"]) == (401, "Unauthorized")
    assert answer.header("www-authenticate") == f'Basic realm="{realm}"'
    return True


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
@pytest.mark.parametrize("stored", ["s3:cr=t ü", hashed("s3:cr=t ü")], ids=["plain", "hash"])
def test_passwords(pki, echo, sallyport, http2, stored):
    proxy = sallyport(document(pki, app(echo, plugin("basic-auth", hide_credentials=True, realm="lab")), consumers=[person(stored)]))
    for login in (None, "al:wrong", "nobody:s3:cr=t ü", "alice:s3:cr=t ü", "al:", ":s3:cr=t ü"):
        assert refused(ask(proxy, login=login, http2=http2), "lab")
    for field in ("Basic", "Basic !!!", "Basic YWw=", "Bearer YWw6eA==", "Basic AAAA", "Basic //79//79"):
        assert refused(ask(proxy, "-H", f"Authorization: {field}", http2=http2), "lab")
    assert echo.seen == []
    answer = ask(proxy, "-H", "X-Consumer-Username: root", "--data", "hello", login="al:s3:cr=t ü", http2=http2)
    assert answer.status == 200 and answer.json()["length"] == 5
    assert answer.upstream_header("x-consumer-username") == ["alice"]
    assert answer.upstream_header("x-credential-identifier") == ["al"]
    assert answer.upstream_header("authorization") == []
    field = base64.b64encode("al:s3:cr=t ü".encode()).decode()
    answer = ask(proxy, "-H", f"Proxy-Authorization: Basic {field}", "-H", "Authorization: Basic eDp5", http2=http2)
    assert answer.status == 200 and answer.upstream_header("proxy-authorization") == []


def test_the_cli_makes_hashes(pki, echo, sallyport):
    made = [run("sallyctl", "password", stdin="s3cret\nnot this\n") for _ in range(2)]
    assert all(m.code == 0 and m.out.startswith("$scrypt$ln=14,r=8,p=1$") for m in made) and made[0].out != made[1].out
    assert run("sallyctl", "password").code == 1 and run("sallyctl", "password", "s3cret").code == 2
    proxy = sallyport(document(pki, app(echo, plugin("basic-auth")), consumers=[person(made[0].out.strip())]))
    assert ask(proxy, login="al:s3cret").status == 200 and refused(ask(proxy, login=f"al:{made[0].out.strip()}"))


def test_a_returning_client_costs_no_check(pki, echo, sallyport):
    config = document(pki, app(echo, plugin("basic-auth")), consumers=[person(hashed("pw"))])
    proxy = sallyport(config, "--workers", "1")
    for _ in range(3):
        answer = ask(proxy, login="al:pw")
        assert answer.status == 200 and answer.upstream_header("authorization") == ["Basic YWw6cHc="]
    config["services"][0]["routes"][0]["tags"] = ["changed"]
    assert proxy.reload(config)
    assert ask(proxy, login="al:pw").status == 200
    assert proxy.metric("sallyport_password_checks_total") == 1
    config["consumers"] = [person(hashed("new"))] + config["consumers"][1:]
    assert proxy.reload(config)
    assert refused(ask(proxy, login="al:pw")) and ask(proxy, login="al:new").status == 200


def test_nothing_shows_a_password(pki, echo, sallyport):
    people = [person("topsecret"), {"username": "bob", "basicauth_credentials": [{"username": "b", "password": hashed("pw")}]}]
    proxy = sallyport(document(pki, app(echo, plugin("basic-auth")), consumers=people))
    assert refused(ask(proxy, login="al:wrongsecret")) and ask(proxy, login="al:topsecret").status == 200
    running = proxy.status("/config").body
    for shown in (running, proxy.out, proxy.log):
        assert "secret" not in shown and "$scrypt$" not in shown and "$local" not in shown
    assert '"username":"al","password":"[redacted]"' in running


def test_hashes_of_kong(pki, echo, sallyport):
    people = [person(kong("s3cret")), {"username": "bob", "basicauth_credentials": [{"username": "b", "password": hashed("pw")}]}]
    proxy = sallyport({**document(pki, app(echo, plugin("basic-auth")), consumers=people), "_transform": False})
    assert ask(proxy, login="al:s3cret").upstream_header("x-consumer-username") == ["alice"]
    assert ask(proxy, login="b:pw").upstream_header("x-consumer-username") == ["bob"]
    assert refused(ask(proxy, login=f"al:{kong('s3cret')}")) and refused(ask(proxy, login="al:wrong"))
    # without the word it is a password like others
    assert proxy.reload(document(pki, app(echo, plugin("basic-auth")), consumers=people))
    assert refused(ask(proxy, login="al:s3cret")) and ask(proxy, login=f"al:{kong('s3cret')}").status == 200
    assert not proxy.reload({**document(pki, app(echo, plugin("basic-auth")), consumers=[person("topsecret")]), "_transform": False})
    assert "expected a hash" in proxy.log and "topsecret" not in proxy.log


def test_one_of_four(pki, echo, sallyport):
    """Logical OR over all authentications; who is nobody is a guest."""
    people = [{"username": "alice"}, {"username": "keyed", "keyauth_credentials": [{"key": "k"}]}, {"username": "bob"},
              {"username": "named", "basicauth_credentials": [{"username": "al", "password": "pw"}]}, {"username": "guest"}]
    field = plugin("header-cert-auth", ca_certificates=[pki.clients.id], revocation_check_mode="SKIP", anonymous="guest",
                   certificate_header_name="X-Cert", certificate_header_format="base64_encoded")
    chain = [mtls_auth(pki.clients, anonymous="guest"), plugin("key-auth", anonymous="guest"),
             plugin("basic-auth", anonymous="guest"), field]
    proxy = sallyport(document(pki, app(echo, *chain), consumers=people), "--trusted-ips", "127.0.0.1")
    alice = "".join(line for line in pki.alice.pem.splitlines() if "-----" not in line)
    brings = {"tls": dict(cert=pki.bob), "key": ["-H", "apikey: k"], "login": ["-u", "al:pw"], "field": ["-H", f"X-Cert: {alice}"]}
    rows = [("tls key login field", "bob"), ("key login field", "keyed"), ("login field", "named"), ("field", "alice"), ("", "guest")]
    for what, who in rows:
        options = [o for w in what.split() if w != "tls" for o in brings[w]]
        answer = ask(proxy, *options, **(brings["tls"] if "tls" in what else {}))
        assert (answer.status, answer.upstream_header("x-consumer-username")) == (200, [who]), what
        assert answer.upstream_header("x-anonymous-consumer") == (["true"] if who == "guest" else [])
    assert ask(proxy, "-u", "al:wrong").upstream_header("x-anonymous-consumer") == ["true"]


def test_all_of_them(pki, echo, sallyport):
    """Logical AND: each must succeed, and the last one that ran says who it is."""
    people = [{"username": "alice"}, {"username": "keyed", "keyauth_credentials": [{"key": "k"}]},
              {"username": "named", "basicauth_credentials": [{"username": "al", "password": "pw"}]}]
    proxy = sallyport(document(pki, app(echo, mtls_auth(pki.clients), plugin("key-auth"), plugin("basic-auth")), consumers=people))
    key = ["-H", "apikey: k"]
    assert ask(proxy, *key, login="al:pw", cert=pki.alice).upstream_header("x-consumer-username") == ["named"]
    assert ask(proxy, *key, login="al:pw").json()["message"] == "No required TLS certificate was sent"
    assert ask(proxy, login="al:pw", cert=pki.alice).json()["message"] == "No API key found in request"
    assert refused(ask(proxy, *key, cert=pki.alice))


def test_guessing_stops_nobody_else(pki, echo, sallyport):
    """Many wrong passwords at once, at full cost: who is known is served meanwhile, and every guess gets an answer."""
    proxy = sallyport(document(pki, app(echo, plugin("basic-auth")), consumers=[person(hashed("pw", 14))]), "--workers", "1")
    assert ask(proxy, login="al:pw").status == 200
    answers = []
    guesses = [threading.Thread(target=lambda n=n: answers.append(ask(proxy, login=f"al:{n}").status)) for n in range(12)]
    for guess in guesses:
        guess.start()
    served = [ask(proxy, login="al:pw").status for _ in range(5)]
    for guess in guesses:
        guess.join()
    assert served == [200] * 5 and answers == [401] * 12
    assert proxy.metric("sallyport_password_checks_total") == 13
    assert proxy.metric("sallyport_requests") == 0
