#!/usr/bin/env python3
"""The architecture as a test: layers, fences, banned calls, prefixes, headers that stand alone, sizes, no foreign paths,
a number of its own for each e2e theme.

    tests/arch/check.py [--root DIR] [--build DIR]

Reads layers.txt beside it. --build gives the include folders for the compile of each header (without it that check is
skipped). Prints every violation as file:line: what; the closing line counts the rules. Exit code 1 on any violation.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

BANNED = "strcpy strcat strncat stpcpy sprintf vsprintf strtok gets atoi atol atoll atof alloca".split()
SHARED_ROOMS = ("src/base", "src/net", "src/tls", "src/http", "src/rpc", "src/model")
MAX_FUNCTION, MAX_FILE = 70, 800
# Folders of a workplace, in two parts each so that this file does not break its own rule
FOREIGN_PATHS = [re.compile(rb"(?<![\w.])/" + tail) for tail in (b"work/(wt|main|shared)\\b", b"tmp/plan\\b", b"root/")]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)


def bare(text):
    """The text with comments and the insides of literals blanked, line numbers kept."""
    return TOKENS.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def read_layers(path):
    layers, fences = {}, {}
    for line in path.read_text().splitlines():
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        name, _, allowed = line.partition(":")
        if name.startswith("FENCE "):
            fences[name[len("FENCE "):].strip()] = allowed.split()
        else:
            layers[name.strip()] = set(allowed.split())
    return layers, fences


class Tree:
    def __init__(self, root):
        self.root = root
        self.files = sorted(p for top in ("src", "control") for p in (root / top).rglob("*.[ch]"))
        self.text = {p: p.read_text(errors="replace") for p in self.files}

    def name(self, path):
        return path.relative_to(self.root).as_posix()

    def includes(self, path):
        for number, line in enumerate(self.text[path].splitlines(), 1):
            found = INCLUDE.match(line)
            if found:
                yield number, found.group(1) == '"', found.group(2)


def room_of(name):
    """src/tls/server.c -> src/tls; what stands beside a main.c, and itself -> src/main.c"""
    parts = name.split("/")
    return f"{parts[0]}/main.c" if len(parts) == 2 else "/".join(parts[:2])


def target_of(include):
    """The room and the file an #include names: tls/stream.h -> src/tls, src/tls/stream.h."""
    if include.startswith("sallyport/v1/"):
        return "proto", include
    path = include if include.startswith("control/") else "src/" + include
    return room_of(path), path


def check_layers(tree, layers):
    for path in tree.files:
        name = tree.name(path)
        room = room_of(name)
        if room not in layers:
            yield f"{name}:1: {room} has no row in tests/arch/layers.txt"
            continue
        for line, ours, include in tree.includes(path):
            target, file = target_of(include)
            if not ours:
                if target == "proto" and "proto" not in layers[room]:
                    yield f"{name}:{line}: {room} may not include <{include}>"
                continue
            if ("/" not in include and target != room) or ".." in include:
                yield f"{name}:{line}: \"{include}\" is not path-qualified from src/ (or control/)"
            elif target != room and target not in layers[room] and file not in layers[room]:
                yield f"{name}:{line}: {room} may not include \"{include}\": {target} is not in its row"


def check_fences(tree, fences):
    for path in tree.files:
        name = tree.name(path)
        for line, _, include in tree.includes(path):
            for fence, allowed in fences.items():
                inside = include == fence or (fence.endswith("/") and include.startswith(fence))
                if inside and not any(name == a or name.startswith(a + "/") for a in allowed):
                    yield f"{name}:{line}: {include} is fenced to {' '.join(allowed)}"


def check_banned(tree):
    call = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    for path in tree.files:
        for line, text in enumerate(bare(tree.text[path]).splitlines(), 1):
            for found in call.finditer(text):
                yield f"{tree.name(path)}:{line}: {found.group(1)}() is banned"


def check_prefixes(tree):
    cp, dp = re.compile(r"\b(cp_\w+)"), re.compile(r"\b(dp_\w+)")
    for path in tree.files:
        name = tree.name(path)
        rules = []
        if name.startswith("src/"):
            rules.append((cp, "the control plane's prefix in src/"))
        if name.startswith("control/") or name.startswith(tuple(r + "/" for r in SHARED_ROOMS)):
            rules.append((dp, "the data plane's prefix in code that it does not own alone"))
        for line, text in enumerate(bare(tree.text[path]).splitlines(), 1):
            for rule, what in rules:
                found = rule.search(text)
                if found:
                    yield f"{name}:{line}: {found.group(1)}: {what}"


def check_sizes(tree):
    for path in tree.files:
        lines = tree.text[path].count("\n")
        if lines > MAX_FILE:
            yield f"{tree.name(path)}:{lines}: {lines} lines, more than {MAX_FILE}"


def check_functions(tree):
    sources = [str(p) for p in tree.files]
    if not sources:
        return
    tags = subprocess.run(["ctags", "--output-format=json", "--languages=C", "--langmap=C:.c.h", "--kinds-C=f",
                           "--fields=+ne", "-f", "-", *sources], check=True, capture_output=True, text=True)
    for line in tags.stdout.splitlines():
        tag = json.loads(line)
        if tag.get("end") and tag["end"] - tag["line"] + 1 > MAX_FUNCTION:
            length = tag["end"] - tag["line"] + 1
            name = pathlib.Path(tag["path"]).relative_to(tree.root).as_posix()
            yield f"{name}:{tag['line']}: {tag['name']}() has {length} lines, more than {MAX_FUNCTION}"


def include_flags(build):
    """Every -I and -isystem and -D of the build, once."""
    flags = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        for index, word in enumerate(words):
            if word.startswith(("-I", "-D")) and len(word) > 2:
                flags.setdefault((word,))
            elif word == "-isystem":
                flags.setdefault((word, words[index + 1]))
    return [word for flag in flags for word in flag]


def check_headers(tree, build):
    flags = include_flags(build)
    cc = os.environ.get("CC") or "cc"

    def compile_alone(path):
        source = f'#include "{path}"\n'
        run = subprocess.run([cc, "-std=gnu17", "-Wall", "-Wextra", "-fsyntax-only", "-x", "c", "-", *flags],
                             input=source, capture_output=True, text=True)
        if run.returncode:
            first = next((li for li in run.stderr.splitlines() if "error" in li), run.stderr.strip()[:200])
            return f"{tree.name(path)}:1: does not compile alone: {first}"
        return None

    headers = [p for p in tree.files if p.suffix == ".h"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield from filter(None, pool.map(compile_alone, headers))


def committed(root):
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True)
    if listed.returncode:
        return []
    return [root / os.fsdecode(n) for n in listed.stdout.split(b"\0") if n]


def check_paths(root):
    for path in committed(root):
        if not path.is_file() or path.is_symlink():
            continue
        data = path.read_bytes()
        if b"\0" in data[:8000]:
            continue
        for line, text in enumerate(data.splitlines(), 1):
            for pattern in FOREIGN_PATHS:
                found = pattern.search(text)
                if found:
                    yield f"{path.relative_to(root)}:{line}: names a folder of one machine: {os.fsdecode(found.group(0))}"


def check_numbers(root):
    """tests/e2e/test_<nn>_<theme>.py: the number says where a theme stands, so no two have the same."""
    seen = {}
    for path in sorted((root / "tests/e2e").glob("test_*.py")):
        number = path.name.split("_")[1]
        if number in seen:
            yield f"tests/e2e/{path.name}:1: {number} is the number of {seen[number]} already"
        seen.setdefault(number, path.name)


def rules(root, build):
    """(name, generator of violations, or None and why it is skipped)"""
    layers, fences = read_layers(pathlib.Path(__file__).resolve().parent / "layers.txt")
    tree = Tree(root)
    yield "layers", check_layers(tree, layers), ""
    yield "fences", check_fences(tree, fences), ""
    yield "banned calls", check_banned(tree), ""
    yield "prefixes", check_prefixes(tree), ""
    yield "file sizes", check_sizes(tree), ""
    yield "paths", check_paths(root), ""
    yield "numbers", check_numbers(root), ""
    if shutil.which("ctags"):
        yield "function sizes", check_functions(tree), ""
    else:
        yield "function sizes", None, "no universal-ctags"
    if build and (build / "compile_commands.json").exists():
        yield "headers alone", check_headers(tree, build), ""
    else:
        yield "headers alone", None, "no build folder given"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--build", type=pathlib.Path)
    args = parser.parse_args()
    passed = failed = 0
    for name, violations, skipped in rules(args.root.resolve(), args.build):
        if violations is None:
            print(f"arch: {name}: skipped, {skipped}")
            continue
        found = list(violations)
        for violation in found:
            print(violation)
        passed, failed = passed + (not found), failed + bool(found)
        print(f"arch: {name}: " + (f"{len(found)} violations" if found else "ok"))
    print(f"arch: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
