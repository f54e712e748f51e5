"""Command lines of the three programs: help, versions, refusals, exit codes, and every example in deploy/."""
import re
import shutil
import socket

import pytest
import yaml

from sallytest.clients import curl
from sallytest.config import document, mtls_auth, route, service
from sallytest.programs import TOP, DataPlane, run

PROGRAMS = ["sallyport", "sallyport-control", "sallyctl"]
EXAMPLES = sorted((TOP / "deploy/examples").glob("*.yaml"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_version(program):
    said = run(program, "--help")
    assert said.code == 0 and said.out.startswith("usage: ") and "SALLY" in said.out
    said = run(program, "--version")
    assert said.code == 0 and re.search(r"\d+\.\d+\.\d+", said.out)


def test_the_data_plane_says_which_tls_library_it_has():
    assert "BoringSSL" in run("sallyport", "--version").out


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_unknown_option_is_a_usage_error(program):
    said = run(program, "--no-such-option")
    assert said.code == 2 and "no-such-option" in said.err and "--help" in said.err + said.out


@pytest.mark.parametrize("args, word", [
    (["--config"], "--config"),
    (["--config", "x", "--workers", "many"], "workers"),
    (["--config", "x", "--workers", "0"], "workers"),
    (["--config", "x", "--listen", "nowhere"], "listen"),
    (["--config", "x", "--tls-min", "1.1"], "tls-min"),
    (["--config", "x", "--lisen", "127.0.0.1:0"], "listen"),
    ([], "--config"),
    (["--control", "127.0.0.1:1"], "cluster"),
])
def test_wrong_options_of_the_data_plane(args, word):
    said = run("sallyport", *args)
    assert said.code == 2 and word in said.err, said


def test_environment_and_flags(tmp_path, pki):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(document(pki)))
    assert run("sallyport", "--check", env={"SALLYPORT_CONFIG": str(file)}).code == 0
    assert run("sallyport", "--check", "--config", tmp_path / "missing", env={"SALLYPORT_CONFIG": str(file)}).code == 1


def guarded(pki):
    return document(pki, service("app", "http://127.0.0.1:9", route("r", hosts=["a.test"], plugins=[mtls_auth(pki.clients)])))


def check(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False))
    return run("sallyport", "--config", file, "--check")


def test_check_accepts_and_warns(tmp_path, pki):
    said = check(tmp_path, guarded(pki))
    assert said.code == 0, said
    assert "warning" in said.err + said.out and "a.test" in said.err + said.out # give it SNIs, from its hosts


def test_revocation_modes(tmp_path, pki):
    config = guarded(pki)
    plugin = config["services"][0]["routes"][0]["plugins"][0]["config"]
    for mode in ("SKIP", "STRICT", "IGNORE_CA_ERROR"):
        plugin["revocation_check_mode"] = mode
        said = check(tmp_path, config)
        assert said.code == 0 and "revocation_check_mode" not in said.err + said.out, said
    del plugin["revocation_check_mode"]
    assert check(tmp_path, config).code == 0
    plugin["revocation_check_mode"] = "strict"
    said = check(tmp_path, config)
    assert said.code == 1 and "revocation_check_mode" in said.err + said.out, said


def test_a_list_of_ca_names_that_no_handshake_can_carry_is_refused(tmp_path, pki):
    """Over 65,535 bytes encoded."""
    from sallytest.pki import Authority
    long = "/OU=" + "x" * 60
    authorities = [Authority(tmp_path, f"big-{i}", subject=f"/CN=big-{i}" + long * 14) for i in range(75)]
    config = document(pki, service("app", "http://127.0.0.1:9", route("r", hosts=["a.test"], snis=["a.test"], protocols=["https"],
                                                                      plugins=[mtls_auth(*authorities, send_ca_dn=True)])),
                      authorities=authorities)
    said = check(tmp_path, config)
    assert said.code == 1 and "65" in said.err + said.out and "a.test" in said.err + said.out, said


BAD = {
    "not yaml": ("services: [", "config.yaml:"),
    "empty": ("", "empty"),
    "a list": ("- 1", "config.yaml:1"),
    "no version": ("services: []", "_format_version"),
    "unknown version": ('_format_version: "9"', "3.0"),
    "misspelt": ('_format_version: "3.0"\nservises: []', "services"),
    "wrong type": ('_format_version: "3.0"\nservices:\n- name: a\n  host: h\n  port: many', "services[0].port"),
    "out of range": ('_format_version: "3.0"\nservices:\n- name: a\n  host: h\n  port: 70000', "services[0].port"),
    "no such service": ('_format_version: "3.0"\nroutes:\n- name: r\n  paths: [/]\n  service: ghost', "ghost"),
    "unknown plugin": ('_format_version: "3.0"\nplugins:\n- name: mtls-outh', "mtls-auth"),
    "ordering": ('_format_version: "3.0"\nplugins:\n- name: key-auth\n  ordering: {before: {access: [acl]}}', "not supported: plugins run"),
    "bad pem": ('_format_version: "3.0"\nca_certificates:\n- cert: hello', "ca_certificates[0].cert"),
    "missing ca": ('_format_version: "3.0"\nplugins:\n- name: mtls-auth\n  config: {ca_certificates: '
                   '["11111111-2222-4333-8444-555555555555"], revocation_check_mode: SKIP}', "11111111-2222"),
    "bad regex": ('_format_version: "3.0"\nroutes:\n- name: r\n  paths: ["~/("]', "paths[0]"),
    "no anchors bomb": ('_format_version: "3.0"\na: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n'
                        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\n"
                        "g: [*f,*f,*f,*f,*f,*f,*f,*f]", "config.yaml:"),
    "binary": ("\x00\x01\x02", "config.yaml"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_with_the_place(tmp_path, name):
    text, word = BAD[name]
    said = check(tmp_path, text)
    assert said.code == 1 and word in said.err + said.out, said


def test_a_key_that_does_not_match(tmp_path, pki):
    config = document(pki)
    config["certificates"][0]["key"] = pki.alice.key_pem
    said = check(tmp_path, config)
    assert said.code == 1 and "certificates[0]" in said.err + said.out
    assert "BEGIN" not in said.err + said.out


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    file = tmp_path / "config.yaml"
    with open(file, "wb") as f:
        f.truncate(100 << 20)
    said = run("sallyport", "--config", file, "--check")
    assert said.code == 1 and "config.yaml" in said.err + said.out


def test_a_busy_port_is_said(tmp_path, pki):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(document(pki)))
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        for option in ("--listen", "--listen-plain", "--status-listen"):
            others = [word for o in ("--listen", "--status-listen") if o != option for word in (o, "127.0.0.1:0")]
            said = run("sallyport", "--config", file, option, f"127.0.0.1:{port}", *others)
            assert said.code == 1 and str(port) in said.err, said


# --- the control plane and the CLI ---

def test_the_cli_without_a_control_plane():
    for args in (["nodes"], ["get", "services"], ["history"]):
        said = run("sallyctl", "--url", "http://127.0.0.1:1", *args)
        assert said.code == 3 and "127.0.0.1:1" in said.err, said


def test_cli_usage_errors():
    assert run("sallyctl", "aply").code == 2 and "apply" in run("sallyctl", "aply").err
    assert run("sallyctl", "apply").code == 2
    assert run("sallyctl", "-o", "xml", "nodes").code == 2


def test_pki_makes_what_openssl_verifies(tmp_path):
    from sallytest.pki import openssl
    assert run("sallyctl", "pki", "init", "--dir", tmp_path).code == 0
    assert run("sallyctl", "pki", "issue", "--dir", tmp_path, "--role", "control", "--name", "cp", "--san", "cp.test").code == 0
    assert run("sallyctl", "pki", "issue", "--dir", tmp_path, "--role", "client", "--name", "dora").code == 0
    openssl("verify", "-CAfile", tmp_path / "ca.pem", "-purpose", "sslserver", "-verify_hostname", "cp.test", tmp_path / "cp.pem")
    openssl("verify", "-CAfile", tmp_path / "ca.pem", "-purpose", "sslclient", tmp_path / "dora.pem")
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600 and (tmp_path / "cp.key").stat().st_mode & 0o777 == 0o600
    again = run("sallyctl", "pki", "init", "--dir", tmp_path)
    assert again.code == 1, "an existing CA is not replaced"


# --- the examples ---

def example_folder(tmp_path, example):
    """The example with the files that it wants beside it."""
    text = example.read_text()
    (tmp_path / example.name).write_text(text)
    for folder, name, kind in re.findall(r"file://([\w-]+)/([\w-]+)\.(pem|key)", text):
        if not (tmp_path / folder / "ca.pem").exists():
            assert run("sallyctl", "pki", "init", "--dir", tmp_path / folder).code == 0
        if name != "ca" and not (tmp_path / folder / f"{name}.pem").exists():
            said = run("sallyctl", "pki", "issue", "--dir", tmp_path / folder, "--role", "server", "--name", name, "--san", f"{name}.test")
            assert said.code == 0, said
    return tmp_path / example.name


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid_and_run(tmp_path, example, sallyport):
    file = example_folder(tmp_path, example)
    said = run("sallyport", "--config", file, "--check")
    assert said.code == 0, said
    proxy = DataPlane(tmp_path / "run", None, ["--config", file])
    try:
        proxy.start()
        assert curl("https://nobody.test/", resolve=proxy.port).status in (401, 404)
    finally:
        assert proxy.stop() == 0


def test_there_are_examples():
    assert len(EXAMPLES) >= 1 and shutil.which("openssl")
