"""The README keeps its word: its first configuration is taken out of the page and run."""
import pathlib
import re
import shutil
import subprocess

from sallytest.clients import curl
from sallytest.programs import built

TOP = pathlib.Path(__file__).resolve().parents[2]


def first_configuration(folder, echo):
    text = (TOP / "README.md").read_text()
    yaml = re.search(r"```yaml\n(.*?)```", text, re.S).group(1)
    assert "http://127.0.0.1:8080" in yaml
    path = folder / "first.yaml"
    path.write_text(yaml.replace("http://127.0.0.1:8080", echo.url))
    return path


def certificates(folder):
    """With our own tool, as a reader would make them."""
    def pki(*args):
        subprocess.run([built("sallyctl"), "pki", *args, "--dir", str(folder / "pki")], check=True, capture_output=True)
    pki("init")
    pki("issue", "--name", "server", "--role", "server", "--san", "DNS:api.example.test", "--san", "DNS:public.example.test")
    pki("issue", "--name", "alice", "--role", "client")
    for name in ("ca.pem", "server.pem", "server.key"):
        shutil.copy(folder / "pki" / name, folder / name)
    return folder / "pki" / "alice.pem", folder / "pki" / "alice.key"


def test_01_01_the_first_configuration_of_the_readme_runs(tmp_path, echo, sallyport):
    cert, key = certificates(tmp_path)
    path = first_configuration(tmp_path, echo)
    checked = subprocess.run([built("sallyport"), "--config", path, "--check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    proxy = sallyport(None, "--config", path)
    alice = curl("https://api.example.test/", "--cert", str(cert), "--key", str(key), resolve=proxy.port)
    assert alice.status == 200 and alice.upstream_header("x-consumer-username") == ["alice"]
    assert curl("https://api.example.test/", resolve=proxy.port).status == 401
    assert curl("https://public.example.test/", resolve=proxy.port).status == 200


def test_01_02_every_document_that_the_readme_names_is_there():
    for link in re.findall(r"\]\(((?!http)[^)#]+)", (TOP / "README.md").read_text()):
        assert (TOP / link).exists(), link


def named_tests():
    """(file, test) of docs/conformance.md; the test is None where a file stands alone."""
    for place in re.findall(r"`((?:unit|flow|e2e|x509|bench)/[^`]+)`", (TOP / "docs/conformance.md").read_text()):
        file, _, tests = place.partition(":")
        for test in tests.split(",") if tests else [None]:
            yield file, test and test.strip()


def test_01_03_every_test_that_shows_conformance_is_there():
    named = list(named_tests())
    assert len(named) > 200
    for file, test in named:
        text = (TOP / "tests" / file).read_text()
        assert test is None or re.search(rf"^(?:def|static void) {test}\(", text, re.M), f"{file}: {test}"


def test_01_04_the_table_of_plugins_is_that_of_the_code():
    rows = re.findall(r"^\| ([a-z-]+) \| (\d+) \|", (TOP / "docs/plugins.md").read_text(), re.M)
    code = re.findall(r'ROW\(\w+, \w+, "([a-z-]+)", (\d+),', (TOP / "src/model/plugins.h").read_text())
    assert len(rows) > 10 and rows == sorted(code, key=lambda row: -int(row[1]))
