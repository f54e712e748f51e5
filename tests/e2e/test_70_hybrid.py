"""Both planes together: what the CLI applies is live in the data planes, and stays live when things die."""
import threading

import yaml

from sallytest import poll
from sallytest.clients import curl, s_client
from sallytest.config import document, mtls_auth, route, service
from sallytest.hybrid import Cluster
from sallytest.programs import Control, cluster_pki, run


def guarded(pki, echo, path="", **more):
    return document(pki, service("app", echo.url + path, route("guarded", hosts=["a.test"], snis=["a.test"], protocols=["https"],
                                                               plugins=[mtls_auth(pki.clients, send_ca_dn=True)]),
                                 route("open", hosts=["b.test"])), **more)


def ask(node, cert=None, host="a.test"):
    return curl(f"https://{host}/x", cert=cert, resolve=node.port)


def test_from_the_cli_to_the_upstream(pki, echo, cluster):
    """The main job, end to end."""
    node = cluster.node(ready=False)
    assert node.status("/healthz/ready").status == 503
    said = cluster.apply(guarded(pki, echo), "--wait")
    assert said.code == 0 and "a.test" in said.out and "node-1" in said.out, said
    node.wait_ready()
    assert ask(node, pki.alice).upstream_header("x-consumer-username") == ["alice"]
    assert ask(node).status == 401 and ask(node, pki.forged).status == 401
    assert ask(node, host="b.test").status == 200
    assert s_client(node.port, sni="a.test").ca_names == [pki.clients.subject_line()]
    assert not s_client(node.port, sni="b.test").asked
    why = cluster.ctl("explain", "handshake", "--sni", "a.test", "-o", "json").json()
    assert why["asks"] is True and why["matched"] == "a.test" and why["because"], why


def test_wait_means_live_in_every_node(pki, echo, cluster):
    nodes = [cluster.node(name, ready=False) for name in ("node-1", "node-2")]
    for number in range(10):
        said = cluster.apply(guarded(pki, echo, f"/{number}"), "--wait")
        assert said.code == 0, said
        for node in nodes: # at once, without another wait
            assert ask(node, pki.alice).json()["path"] == f"/{number}/x"


def test_a_bad_file_changes_nothing_and_everything_bad_is_named(pki, echo, cluster):
    node = cluster.node(ready=False)
    assert cluster.apply(guarded(pki, echo), "--wait").code == 0
    bad = guarded(pki, echo)
    bad["services"][0]["routes"][0]["hostz"] = ["x"]
    bad["services"][0]["routes"][1]["path_handling"] = "v7"
    bad["plugins"] = [{"name": "mtls-aut"}, mtls_auth(pki.stranger)]
    said = cluster.apply(bad)
    assert said.code == 1, said
    for word in ("hostz", "hosts", "path_handling", "mtls-aut", pki.stranger.id):
        assert word in said.out + said.err, f"{word}: {said}"
    assert ask(node, pki.alice).status == 200
    assert len(cluster.ctl("history", "-o", "json").json()) >= 1


def test_dry_run_and_diff_change_nothing(pki, echo, cluster):
    assert cluster.apply(guarded(pki, echo)).code == 0
    other = guarded(pki, echo, "/other")
    said = cluster.apply(other, "--dry-run")
    assert said.code == 0 and "app" in said.out
    assert cluster.ctl("diff", "-f", cluster.folder / "config.yaml").code == 4
    assert cluster.apply(guarded(pki, echo), "--dry-run").code == 0
    assert cluster.ctl("diff", "-f", cluster.folder / "config.yaml").code == 0


def test_the_control_plane_dies_and_comes_back(pki, echo, cluster):
    """kill -9 at any moment leaves the last committed revision; the data plane serves on and comes back by itself."""
    node = cluster.node(ready=False)
    assert cluster.apply(guarded(pki, echo, "/one"), "--wait").code == 0
    cluster.control.kill()
    assert ask(node, pki.alice).json()["path"] == "/one/x"
    cluster.control.again()
    poll(lambda: node.metric("sallyport_control_connected") == 1, "the node is back")
    assert cluster.apply(guarded(pki, echo, "/two"), "--wait").code == 0
    assert ask(node, pki.alice).json()["path"] == "/two/x"


def test_a_control_plane_killed_while_it_writes_keeps_whole_revisions(pki, echo, cluster):
    over = threading.Event()
    applied = []

    def write():
        number = 0
        while not over.is_set():
            number += 1
            try:
                said = cluster.apply(guarded(pki, echo, f"/n{number}"))
            except OSError:
                continue
            if said.code == 0:
                applied.append(number)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for round_ in range(4):
            enough = len(applied) + 2
            poll(lambda: len(applied) >= enough, "two more revisions")
            cluster.control.kill()
            cluster.control.again()
    finally:
        over.set()
        writer.join(30)
    service_path = cluster.control.get("/services/app").json()["path"]
    assert int(service_path.removeprefix("/n")) >= applied[-1], "what was acknowledged is there"
    node = cluster.node()
    poll(lambda: ask(node, pki.alice).json()["path"] == f"{service_path}/x", "the newest revision")


def test_a_data_plane_restarts_without_its_control_plane(pki, echo, cluster):
    node = cluster.node(ready=False)
    assert cluster.apply(guarded(pki, echo), "--wait").code == 0
    sealed = cluster.folder / "cache-node-1" / "last-good.sealed"
    poll(sealed.exists, "the cache")
    assert sealed.stat().st_mode & 0o777 == 0o600 and b"PRIVATE KEY" not in sealed.read_bytes()
    cluster.control.kill()
    node.kill()
    node.start()
    assert ask(node, pki.alice).status == 200 and ask(node).status == 401
    assert node.metric("sallyport_config_stale") == 1 and node.status().json()["stale"] is True
    poll(lambda: "refused" in node.status().json()["last_error"], "why there is no control plane")
    cluster.control.again()
    poll(lambda: node.metric("sallyport_config_stale") == 0, "no longer stale")
    assert node.status().json()["last_error"] == "", "connected again: the error is over"


def test_a_cache_folder_that_cannot_be_made_is_said_at_once(pki, tmp_path):
    cluster_pki(tmp_path, "node")
    (tmp_path / "file").touch()
    for folder, why in (("absent/cache", "No such file or directory"), ("file", "is no folder")):
        said = run("sallyport", "--control", "127.0.0.1:1", "--cluster-cert", tmp_path / "node.pem", "--cluster-key",
                   tmp_path / "node.key", "--cluster-ca", tmp_path / "ca.pem", "--listen", "127.0.0.1:0", "--status-listen", "off",
                   "--cache-dir", tmp_path / folder)
        assert said.code == 1 and "--cache-dir" in said.err and why in said.err, said


def test_a_broken_cache_is_not_used(pki, echo, cluster):
    node = cluster.node(ready=False)
    assert cluster.apply(guarded(pki, echo), "--wait").code == 0
    sealed = cluster.folder / "cache-node-1" / "last-good.sealed"
    poll(sealed.exists, "the cache")
    cluster.control.kill()
    node.kill()
    content = bytearray(sealed.read_bytes())
    content[len(content) // 2] ^= 1
    sealed.write_bytes(content)
    node.start(ready=False)
    node.wait_log("cache_ignored")
    assert node.status("/healthz/ready").status == 503
    cluster.control.again()
    node.wait_ready()


def test_what_was_deleted_while_it_was_away_is_gone(pki, echo, cluster):
    """A consumer that is removed may not live on in a data plane that was away."""
    node = cluster.node(ready=False)
    assert cluster.apply(guarded(pki, echo), "--wait").code == 0
    poll((cluster.folder / "cache-node-1" / "last-good.sealed").exists, "the cache")
    node.kill()
    assert cluster.apply(guarded(pki, echo, consumers=["bob"])).code == 0
    node.start()
    poll(lambda: ask(node, pki.alice).status == 401, "alice is gone")
    assert ask(node, pki.bob).status == 200


def test_a_foreign_certificate_is_refused(pki, echo, cluster, tmp_path):
    assert cluster.apply(guarded(pki, echo)).code == 0
    foreign = cluster_pki(tmp_path / "foreign", "node-1")
    node = cluster.node(ready=False, cache=False, pki=foreign, connected=False)
    cluster.control.wait_log("rpc_refused")
    node.wait_log("discovery_failed")
    assert node.status("/healthz/ready").status == 503
    assert cluster.control.nodes() == []


def test_a_wrong_control_plane_is_refused(pki, echo, tmp_path):
    """The node does not tell, nor believe, one whose certificate is not the cluster's."""
    one, two = Cluster(tmp_path / "one").start(), Cluster(tmp_path / "two")
    two.control = one.control
    try:
        assert one.apply(guarded(pki, echo)).code == 0
        node = two.node(ready=False, cache=False, connected=False)
        node.wait_log("discovery_failed")
        assert node.status("/healthz/ready").status == 503
    finally:
        one.stop()
        for node in two.nodes.values():
            node.stop()


def test_rollback(pki, echo, cluster):
    node = cluster.node(ready=False)
    assert cluster.apply(guarded(pki, echo, "/one"), "--wait", "-m", "first").code == 0
    assert cluster.apply(guarded(pki, echo, "/two"), "--wait", "-m", "second").code == 0
    said = cluster.ctl("rollback", "1")
    assert said.code == 0, said
    poll(lambda: ask(node, pki.alice).json()["path"] == "/one/x", "the first is back")
    history = cluster.ctl("history").out
    assert "first" in history and "second" in history


def test_a_store_that_was_lost_is_obeyed_only_when_it_takes_over(pki, echo, cluster):
    """A stale replica must not bring old configurations back; an operator who restored a backup may."""
    node = cluster.node(cache=False, ready=False)
    for path in ("/one", "/two", "/three"):
        assert cluster.apply(guarded(pki, echo, path), "--wait").code == 0
    cluster.control.stop()
    for file in cluster.control.store.parent.glob("control.db*"):
        file.unlink()
    cluster.control.again()
    poll(lambda: '"node-1"' in cluster.control.get("/sallyport/nodes").body, "node-1 is connected")
    said = cluster.apply(guarded(pki, echo, "/new"), "--wait")
    assert said.code == 5 and "older" in said.err, said
    assert ask(node, pki.alice).json()["path"] == "/three/x"
    cluster.control.stop()
    cluster.control.command.append("--takeover")
    cluster.control.again()
    poll(lambda: ask(node, pki.alice).json()["path"] == "/new/x", "the new store's configuration is live")
    assert cluster.control.nodes()[0]["revision"] == 1


def test_nodes_are_listed(pki, echo, cluster):
    node = cluster.node(ready=False)
    assert cluster.apply(guarded(pki, echo), "--wait").code == 0
    text = cluster.ctl("nodes").out
    assert "node-1" in text and "live" in text
    node.stop()
    poll(lambda: "live" not in cluster.ctl("nodes").out, "it is gone")


def test_a_store_that_is_no_database(pki, cluster, tmp_path):
    broken = Control(tmp_path / "broken", cluster.pki)
    broken.store.write_bytes(b"this is no database" * 100)
    broken.launch()
    assert broken.process.wait(20) == 1
    assert "control.db" in broken.log


def test_the_admin_api_reads(pki, echo, cluster):
    assert cluster.apply(guarded(pki, echo)).code == 0
    services = cluster.control.get("/services").json()
    assert [s["name"] for s in services["data"]] == ["app"] and services["next"] is None
    assert cluster.control.get("/services/app").json()["retries"] == 5
    assert cluster.control.get("/services/nobody").status == 404
    assert cluster.control.get("/status").status == 200
    secrets = cluster.control.get("/certificates").body
    assert "PRIVATE KEY" not in secrets


def test_an_export_is_the_same_configuration(pki, echo, cluster):
    assert cluster.apply(guarded(pki, echo)).code == 0
    said = cluster.ctl("export")
    assert said.code == 0 and "PRIVATE KEY" not in said.out
    assert yaml.safe_load(said.out)["services"][0]["name"] == "app"


def test_health_checks_of_a_dump_are_kept_and_sent_to_nobody(pki, echo, cluster):
    def config(**healthchecks):
        return document(pki, service("app", "http://u", route("r", hosts=["a.test"])),
                        upstreams=[{"name": "u", "targets": [{"target": f"127.0.0.1:{echo.port}"}], **healthchecks}])

    assert cluster.apply(config()).code == 0
    node = cluster.node()
    assert curl("https://a.test/", resolve=node.port).status == 200
    shown = cluster.control.get("/upstreams/u").json()
    assert shown["healthchecks"]["active"]["healthy"] == {"http_statuses": [200, 302], "interval": 0, "successes": 0}
    assert cluster.apply(config(healthchecks=shown["healthchecks"])).code == 0 # Kong's defaults, as in a dump: no change
    assert cluster.control.get("/sallyport/revisions").json()["data"][0]["revision"] == 1
    said = cluster.apply(config(healthchecks={"threshold": 50, "active": {"healthy": {"interval": 5}}}), "--wait")
    assert said.code == 0 and "health checks are not there yet" in said.err + said.out
    assert cluster.control.get("/upstreams/u").json()["healthchecks"]["threshold"] == 50
    assert curl("https://a.test/", resolve=node.port).status == 200


def test_passwords_are_hashed_before_they_go_anywhere(pki, echo, cluster):
    people = [{"username": "alice", "basicauth_credentials": [{"username": "al", "password": "topsecret"}]}]
    config = document(pki, service("app", echo.url, route("r", hosts=["a.test"], plugins=[{"name": "basic-auth"}])), consumers=people)
    node = cluster.node(ready=False)

    def login(password):
        return curl("https://a.test/", "-u", f"al:{password}", resolve=node.port).status

    assert cluster.apply(config, "--wait").code == 0
    assert (login("topsecret"), login("wrong")) == (200, 401)
    assert cluster.apply(config).code == 0 # the same password: nothing changes
    assert cluster.control.get("/sallyport/revisions").json()["data"][0]["revision"] == 1
    listed = cluster.control.get("/basic-auths").json()["data"]
    assert [(c["username"], c["password"]) for c in listed] == [("al", "[redacted]")]
    places = [*cluster.control.folder.glob("control.db*"), *(cluster.folder / "cache-node-1").glob("*")]
    assert len(places) >= 2
    for place in places:
        assert b"topsecret" not in place.read_bytes()
    assert any(b"$scrypt$ln=14,r=8,p=1$" in place.read_bytes() for place in places)
    for shown in (cluster.control.log, node.log, node.out, node.status("/config").body, cluster.ctl("export").out):
        assert "topsecret" not in shown and "$scrypt$" not in shown
    put = cluster.control.get("/consumers/alice/basic-auth/al", "PUT", b"username=al&password=new")
    assert put.status == 200, put.body
    poll(lambda: login("new") == 200, "the new password is live")
    assert login("topsecret") == 401
