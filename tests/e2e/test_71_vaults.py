"""Vault references: the secret is in the environment of the data planes, and nowhere else."""
import signal

import yaml

from sallytest import poll
from sallytest.clients import curl, s_client
from sallytest.config import document, mtls_auth, route, service
from sallytest.programs import run
from sallytest.upstream import Echo

NAMES = [{"name": "a.test"}, {"name": "b.test"}]
REFERENCES = {"cert": "{vault://env/web-cert}", "key": "{vault://mine/web-key/pem}", "snis": NAMES}


def secret(leaf):
    """A line in the middle of its key."""
    return leaf.key_pem.splitlines()[2]


def environment(pki, leaf=None, clients=None):
    leaf = leaf or pki.web
    as_json = '{"pem": "%s", "other": 1}' % leaf.key_pem.replace("\n", "\\n")
    return {"WEB_CERT": leaf.chain_pem, "SECURE_WEB_KEY": as_json, "CLIENTS": (clients or pki.clients).pem}


def guarded(pki, echo, **more):
    """The server certificate, its key and the CA of the clients are references."""
    config = document(pki, service("app", echo.url, route("guarded", hosts=["a.test"], snis=["a.test"], protocols=["https"],
                                                          plugins=[mtls_auth(pki.clients, send_ca_dn=True)]),
                                   route("open", hosts=["b.test"])), consumers=["alice"], **more)
    config["certificates"] = [dict(REFERENCES)]
    config["ca_certificates"] = [{"id": pki.clients.id, "cert": "{vault://env/clients}"}]
    config["vaults"] = [{"name": "env", "prefix": "mine", "config": {"prefix": "SECURE_"}}]
    return config


def ask(node, cert=None, host="a.test"):
    return curl(f"https://{host}/x", cert=cert, resolve=node.port)


def files_below(folder):
    return [f for f in folder.rglob("*") if f.is_file()]


def test_hybrid(pki, echo, cluster, tmp_path):
    """A control plane without the variables, a data plane with them, and one that lacks one."""
    node = cluster.node("node-1", ready=False, env=environment(pki))
    said = cluster.apply(guarded(pki, echo), "--wait")
    assert said.code == 0 and "each data plane reads that from its own environment" in said.err, said
    node.wait_ready()
    assert ask(node, pki.alice).upstream_header("x-consumer-username") == ["alice"]
    assert ask(node).status == 401 and ask(node, pki.forged).status == 401
    assert s_client(node.port, sni="a.test").ca_names == [pki.clients.subject_line()]
    assert cluster.ctl("diff", "-f", cluster.folder / "config.yaml").code == 0, "a reference is text: no difference"
    why = cluster.ctl("explain", "handshake", "--sni", "a.test")
    assert "the subject of {vault://env/clients}" in why.out, why
    assert "CN=clients" in node.status("/handshake?sni=a.test").body, "the data plane knows the name"

    lacking = {**environment(pki), "SECURE_WEB_KEY": '{"key": 1}'}
    lacking.pop("CLIENTS")
    other = cluster.node("node-2", ready=False, env=lacking)
    other.wait_log("config_rejected")
    poll(lambda: "node-2 refused" in cluster.ctl("nodes").out, "the refusal is known")
    nodes = cluster.ctl("nodes").out
    assert "{vault://env/clients}: the environment variable CLIENTS is not set" in nodes, nodes
    assert "certificate.key: {vault://mine/web-key/pem}: the environment variable SECURE_WEB_KEY has no key 'pem'" in nodes, nodes
    assert other.status("/healthz/ready").status == 503

    sealed = cluster.folder / "cache-node-1" / "last-good.sealed"
    poll(sealed.exists, "the cache")
    config, export = node.status("/config").body, cluster.ctl("export").out
    assert "{vault://mine/web-key/pem}" in config and "{vault://mine/web-key/pem}" in export
    assert "BEGIN" not in config and "BEGIN" not in export
    assert cluster.control.get("/certificates").json()["data"][0]["key"] == REFERENCES["key"]
    for file in files_below(tmp_path):
        if "pki" not in file.parts: # which are the cluster's own
            assert secret(pki.web).encode() not in file.read_bytes(), file


def test_the_cache_has_references_which_a_restart_resolves(pki, echo, cluster):
    """The control plane is away: the environment of the new process counts, and without it nothing is served."""
    node = cluster.node(ready=False, env=environment(pki))
    assert cluster.apply(guarded(pki, echo), "--wait").code == 0
    poll((cluster.folder / "cache-node-1" / "last-good.sealed").exists, "the cache")
    cluster.control.kill()
    node.kill()
    node.env.update(environment(pki, clients=pki.other))
    node.start()
    assert ask(node, pki.alice).status == 401, "another CA stands behind the reference"
    node.kill()
    node.env.pop("CLIENTS")
    node.start(ready=False)
    node.wait_log("cache_ignored")
    assert node.status("/healthz/ready").status == 503
    cluster.control.again()


def test_a_refused_revision_changes_nothing(pki, echo, cluster):
    node = cluster.node(ready=False, env=environment(pki))
    assert cluster.apply(guarded(pki, echo), "--wait").code == 0
    bad = guarded(pki, echo)
    bad["certificates"][0]["key"] = "{vault://env/nobody-set-this}"
    said = cluster.apply(bad, "--wait")
    assert said.code != 0 and "NOBODY_SET_THIS is not set" in said.err, said
    assert ask(node, pki.alice).status == 200
    assert cluster.ctl("rollback", "1", "--wait").code == 0
    for name, field in (("aws", "this kind of vault is not served"), ("nobodys", "no such entry in 'vaults'")):
        bad["certificates"][0]["key"] = "{vault://%s/x}" % name
        said = cluster.apply(bad)
        assert said.code == 1 and field in said.err and "certificates[0].key" in said.err, said


def test_db_less(pki, echo, sallyport, tmp_path):
    node = sallyport(guarded(pki, echo), env=environment(pki))
    assert ask(node, pki.alice).status == 200 and ask(node).status == 401
    assert "{vault://mine/web-key/pem}" in node.status("/config").body and "BEGIN" not in node.status("/config").body
    bad = guarded(pki, echo)
    bad["certificates"][0]["cert"] = "{vault://env/clients}" # is there, and is no pair with the key
    assert not node.reload(bad)
    node.wait_log("certificate does not match key")
    bad["certificates"][0]["cert"] = "{vault://env/absent}"
    assert not node.reload(bad)
    assert "{vault://env/absent}: the environment variable ABSENT is not set" in node.status().json()["last_error"]
    assert ask(node, pki.alice).status == 200, "the last good one serves on"
    assert node.reload(guarded(pki, echo))
    node.signal(signal.SIGTERM)
    assert node.process.wait(20) == 0
    for file in files_below(tmp_path):
        assert secret(pki.web).encode() not in file.read_bytes(), file


def test_a_check_needs_no_secrets(pki, echo, tmp_path):
    """It may run where the file is written; where the variables are, they are looked at."""
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(guarded(pki, echo)))
    said = run("sallyport", "--config", file, "--check")
    assert said.code == 0 and "warning" in said.err and "CLIENTS is not set" in said.err, said
    assert said.err.count("is not set") == 3
    said = run("sallyport", "--config", file, "--check", env=environment(pki))
    assert said.code == 0 and "is not set" not in said.err, said
    said = run("sallyport", "--config", file, "--check", env={**environment(pki), "CLIENTS": pki.web.pem})
    assert said.code == 1 and 'missing the "CA" basic constraint' in said.err, said
    assert run("sallyctl", "explain", "handshake", "--sni", "a.test", "-f", file).code == 0


def test_towards_the_upstream(pki, sallyport):
    """What Sallyport shows to an upstream, and the CA that it trusts there, may be references too."""
    upstream = Echo(pki.web, pki.clients.cert)
    shown = "7b1f6c30-1111-4222-8333-444444444444"
    config = document(pki, service("app", f"https://localhost:{upstream.port}", route("r", hosts=["a.test"]), tls_verify=True,
                                   ca_certificates=[pki.servers.id], client_certificate={"id": shown}))
    config["certificates"].append({"id": shown, "cert": "{vault://env/c}", "key": "{vault://env/k}"})
    config["ca_certificates"].append({"id": pki.servers.id, "cert": "{vault://env/server-ca}"})
    try:
        node = sallyport(config, env={"C": pki.alice.pem, "K": pki.alice.key_pem, "SERVER_CA": pki.servers.pem})
        assert ask(node).status == 200
        other = sallyport(config, env={"C": pki.carol.pem, "K": pki.carol.key_pem, "SERVER_CA": pki.servers.pem}, name="other")
        assert ask(other).status == 502, "the upstream does not know that one"
    finally:
        upstream.stop()


def test_variables_of_deck(pki, echo, cluster):
    """Files of decK move unchanged: the CLI puts its own environment in."""
    node = cluster.node(ready=False)
    file = cluster.folder / "config.yaml"
    config = document(pki, service("app", "the-url", route("r", hosts=["a.test"], plugins=[{"name": "key-auth"}]), retries="the-retries"),
                      consumers=[{"username": "alice", "keyauth_credentials": [{"key": "the-key"}]}])
    config["certificates"][0]["key"] = "the-pem"
    text = yaml.safe_dump(config).replace("the-url", '${{ env "DECK_URL" }}').replace("the-retries", '${{ env "DECK_RETRIES" | toInt }}')
    file.write_text(text.replace("key: the-key", 'key: ${{ env "DECK_KEY" }}').replace("the-pem", '|\n    ${{ env "DECK_PEM" | indent 4 }}'))
    env = {"DECK_URL": echo.url, "DECK_RETRIES": "3", "DECK_KEY": "open-sesame", "DECK_PEM": pki.web.key_pem}
    said = cluster.ctl("apply", "-f", file, env={k: v for k, v in env.items() if k != "DECK_KEY"})
    assert said.code == 1 and "the environment variable is not set: DECK_KEY" in said.err, said
    said = cluster.ctl("apply", "-f", file, "--wait", env=env)
    assert said.code == 0, said
    node.wait_ready()
    assert curl("https://a.test/x", "-H", "apikey: open-sesame", resolve=node.port).status == 200
    assert cluster.control.get("/services/app").json()["retries"] == 3
    assert cluster.ctl("diff", "-f", file, env=env).code == 0
    said = run("sallyport", "--config", file, "--check", env=env)
    assert said.code == 1, "a data plane's own file has none"
