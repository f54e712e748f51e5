"""The corpus in smuggling/: requests that two servers may read differently. The manifest there says what ours answers; whatever
that is, what is hidden in a request never becomes a request of its own behind it."""
import pathlib
import re

import pytest

from sallytest.clients import exchange
from sallytest.config import document, route, service

FOLDER = pathlib.Path(__file__).parent / "smuggling"


def manifest():
    for line in (FOLDER / "manifest").read_text().splitlines():
        if line and not line.startswith("#"):
            name, statuses, _ = (part.strip() for part in line.split("|"))
            yield pytest.param(name, [int(status) for status in statuses.split()], id=name)


@pytest.fixture(scope="module")
def proxy(pki, shared_echo, module_sallyport):
    return module_sallyport(document(pki, service("app", shared_echo.url,
                                                  route("all", hosts=["smuggling.example"], strip_path=False))))


def test_the_manifest_names_every_file():
    assert {param.id for param in manifest()} == {path.stem for path in FOLDER.glob("*.txt")}


@pytest.mark.parametrize("name, statuses", list(manifest()))
def test_one_connection_has_one_meaning(proxy, echo, name, statuses):
    got = exchange(proxy.plain, (FOLDER / f"{name}.txt").read_bytes())
    assert [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", got)] == statuses, got[:500]
    assert [seen["path"] for seen in echo.seen] == ["/asked"] * statuses.count(200)
