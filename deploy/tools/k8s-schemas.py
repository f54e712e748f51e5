#!/usr/bin/env python3
"""Unpacks the Kubernetes JSON schemas of a kubernetes-validate wheel for kubeconform: k8s-schemas.py WHEEL DIR.

The wheel's schemas name each other by an absolute address that only its own program resolves; here they become
relative to the file, so that kubeconform reads them without a network. DIR gets one folder for each version.
"""
import json
import pathlib
import sys
import zipfile

VERSIONS = ("1.29.0", "1.33.0", "1.37.0")  # native sidecars: on by default, stable, newest


def relative(node):
    """The same schema with no $id and with references that start at the file's own folder."""
    if isinstance(node, list):
        return [relative(item) for item in node]
    if not isinstance(node, dict):
        return node
    out = {key: relative(value) for key, value in node.items()}
    if isinstance(out.get("$ref"), str):
        out["$ref"] = out["$ref"].replace("/api/_definitions.json", "_definitions.json")
    return out


def main():
    wheel, target = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
    for version in VERSIONS:
        folder = target / f"v{version}"
        folder.mkdir(parents=True)
        names = [n for n in wheel.namelist() if f"/v{version}-local-strict/" in n and n.endswith(".json")]
        if not names:
            sys.exit(f"the wheel carries no schemas of Kubernetes {version}")
        for name in names:
            schema = relative(json.loads(wheel.read(name)))
            schema.pop("$id", None)
            (folder / pathlib.PurePosixPath(name).name).write_text(json.dumps(schema))


if __name__ == "__main__":
    main()
