"""deploy/quickstart with the programs of this build: what the README promises first."""
import os
import re
import subprocess

from sallytest.clients import curl
from sallytest.programs import BUILD, TOP, built


def quickstart(tmp_path, *args):
    env = {**os.environ, "SALLYPORT_BUILD": str(BUILD)}
    return subprocess.run([TOP / "deploy/quickstart", *args, "--dir", tmp_path / "state"], capture_output=True, text=True, timeout=120,
                          env=env, cwd=tmp_path)


def test_the_first_command_of_the_readme(tmp_path):
    for program in ("sallyport", "sallyport-control", "sallyctl"):
        built(program)
    try:
        for _ in range(2): # it can be run again
            done = quickstart(tmp_path)
            assert done.returncode == 0, done.stdout + done.stderr
            assert done.stderr == ""
            assert done.stdout.count("HTTP status 200") == 3 and done.stdout.count("HTTP status 401") == 2
            assert "X-Consumer-Username: alice" in done.stdout
            assert re.search(r"api\.example\.test: a client is asked", done.stdout)
            assert re.search(r"public\.example\.test: a client is not asked", done.stdout)
        assert quickstart(tmp_path, "status").returncode == 0
        port = int(re.search(r"data plane +https://127\.0\.0\.1:(\d+)", done.stdout).group(1))
        assert curl("https://public.example.test/", resolve=port).status == 200
    finally:
        stopped = quickstart(tmp_path, "stop")
    assert stopped.returncode == 0 and quickstart(tmp_path, "status").returncode == 1
