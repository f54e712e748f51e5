"""Fixtures of the end-to-end tests. Everything binds the loopback and takes free ports; every program that a test starts is
stopped after it, and one of ours that does not end cleanly fails the test."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from sallytest.hybrid import Cluster # noqa: E402
from sallytest.pki import Pki # noqa: E402
from sallytest.programs import DataPlane, HAProxy, Nginx, NginxStream # noqa: E402
from sallytest.upstream import Echo, Scripted # noqa: E402


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def shared_echo():
    upstream = Echo()
    yield upstream
    upstream.stop()


@pytest.fixture
def echo(shared_echo):
    shared_echo.clear()
    return shared_echo


def finish(programs):
    """Stops all, then says what went wrong."""
    wrong = []
    for program in reversed(programs):
        try:
            code = program.stop()
            if isinstance(program, DataPlane) and not program.killed and code != 0:
                wrong.append(f"{program.name} ended with {code}:\n{program.log[-4000:]}")
        except AssertionError as error:
            wrong.append(str(error))
        if "Sanitizer" in program.log:
            wrong.append(f"{program.name}:\n{program.log[-6000:]}")
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def module_sallyport(tmp_path_factory):
    """As sallyport, for one that all tests of a module share."""
    started = []

    def start(config=None, *more, name="sallyport", **kwargs):
        program = DataPlane(tmp_path_factory.mktemp(name), config, more, name, **kwargs)
        started.append(program)
        return program.start()
    yield start
    finish(started)


@pytest.fixture
def sallyport(tmp_path):
    """start(config, *options): a running data plane."""
    started = []

    def start(config=None, *more, name="sallyport", ready=True, **kwargs):
        program = DataPlane(tmp_path / name, config, more, name, **kwargs)
        started.append(program)
        return program.start(ready)
    yield start
    finish(started)


@pytest.fixture
def cluster(tmp_path):
    """A control plane, to which a test adds nodes."""
    made = Cluster(tmp_path / "cluster").start()
    yield made
    made.stop()


@pytest.fixture
def nginx(tmp_path):
    started = []

    def start(server, **kwargs):
        started.append(Nginx(tmp_path, server, **kwargs).start())
        return started[-1]
    yield start
    finish(started)


@pytest.fixture
def in_front(tmp_path):
    """start(kind, ...): a balancer in front of us."""
    started = []

    def start(kind, *how, **kwargs):
        started.append({"nginx": Nginx, "nginx-stream": NginxStream, "haproxy": HAProxy}[kind](tmp_path, *how, **kwargs).start())
        return started[-1]
    yield start
    finish(started)


@pytest.fixture
def scripted():
    started = []

    def start(serve):
        started.append(Scripted(serve))
        return started[-1]
    yield start
    for upstream in started:
        upstream.stop()
