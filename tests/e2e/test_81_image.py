"""The Dockerfile without a Docker: what it copies exists, what it installs is where its ENTRYPOINT looks, and the
run-time packages it names cover every library that the programs load."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SALLYPORT_BUILD", TOP / "build/dev"))
PROGRAMS = ("sallyport", "sallyport-control", "sallyctl")


def instructions():
    """(keyword, text) of each instruction, continuation lines joined, comments dropped."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (TOP / "Dockerfile").read_text())
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def test_what_is_copied_exists_and_is_committed():
    copied = [rest.split() for word, rest in instructions() if word == "COPY" and "--from=" not in rest]
    sources = [source for words in copied for source in words[:-1]]
    assert sources
    for source in sources:
        assert (TOP / source).exists(), source
        listed = subprocess.run(["git", "-C", TOP, "ls-files", "--", source], capture_output=True, text=True)
        if listed.returncode == 0:
            assert listed.stdout, f"{source} is not committed"


def test_stages_that_are_copied_from_are_named():
    names = {rest.split()[-1] for word, rest in instructions() if word == "FROM" and " AS " in rest}
    used = {found for word, rest in instructions() if word == "COPY" for found in re.findall(r"--from=(\S+)", rest)}
    assert used and used <= names


def test_it_runs_without_root():
    words = [word for word, _ in instructions()]
    user = next(rest for word, rest in instructions() if word == "USER")
    assert user == "65532:65532"
    assert words.index("USER") < words.index("ENTRYPOINT")


def built():
    missing = [p for p in PROGRAMS if not (BUILD / p).exists()]
    if missing:
        pytest.skip(f"not built: {', '.join(missing)}")


def test_install_lays_the_three_programs_where_the_image_copies_them_from(tmp_path):
    built()
    subprocess.run(["cmake", "--install", BUILD, "--prefix", tmp_path], check=True, capture_output=True)
    assert sorted(p.name for p in (tmp_path / "bin").iterdir()) == sorted(PROGRAMS)
    entry = next(rest for word, rest in instructions() if word == "ENTRYPOINT")
    assert entry == '["/usr/local/bin/sallyport"]'
    assert any("--from=build /opt/sallyport/bin/ /usr/local/bin/" in rest for _, rest in instructions())


def packages_of_the_image():
    last = [rest for word, rest in instructions() if word == "RUN"][-1]
    return set(re.search(r"--no-install-recommends\s+(.*?)&&", last).group(1).split())


@pytest.mark.skipif(not shutil.which("dpkg"), reason="no dpkg")
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_packages_of_the_image_cover_the_libraries(program):
    built()
    needed = subprocess.run(["readelf", "-d", BUILD / program], capture_output=True, text=True, check=True).stdout
    needed = set(re.findall(r"NEEDED.*\[(.+)\]", needed))
    loaded = subprocess.run(["ldd", BUILD / program], capture_output=True, text=True, check=True).stdout
    given = packages_of_the_image() | {"libc6", "libgcc-s1"}
    for library, path in re.findall(r"(\S+) => (/\S+)", loaded):
        if library not in needed or library.startswith(("libasan", "libubsan", "libtsan")):
            continue
        owner = ""
        for candidate in (path, "/usr" + path, os.path.realpath(path)):
            found = subprocess.run(["dpkg", "-S", candidate], capture_output=True, text=True)
            if found.returncode == 0:
                owner = found.stdout.split(":")[0]
                break
        assert owner in given, f"{program} loads {library} of the package {owner or '(none)'}"


def test_what_is_copied_is_enough_to_configure(tmp_path):
    """The build stage sees only what the Dockerfile copies; the program sources are all there, and so is all CMake reads."""
    if not shutil.which("cmake"):
        pytest.skip("no cmake")
    for word, rest in instructions():
        if word != "COPY" or "--from=" in rest:
            continue
        *sources, target = rest.split()
        for source in sources:
            place = tmp_path / target / pathlib.Path(source).name if target.endswith("/") else tmp_path / target
            place.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (TOP / source).is_dir() else shutil.copy
            if not target.startswith("/"):
                copy(TOP / source, place)
    command = next(rest for word, rest in instructions() if word == "RUN" and "cmake --preset" in rest)
    command = command.split("&&")[0].replace("cmake --preset release", "cmake --preset release -B build")
    run = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    listed = subprocess.run(["ninja", "-C", tmp_path / "build", "-t", "query", *PROGRAMS], capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
