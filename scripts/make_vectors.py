#!/usr/bin/env python3
"""Make the vectors of tests/conformance for the installed MLX; every value is checked against the library.

usage: python scripts/make_vectors.py [--check | --again] [SET ...]

A version's sets are frozen: what is there is replaced with --again alone, and only as long as no release has it. With
--check the files are made in memory and compared byte for byte with those that are there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from vectors import classes, sets, write  # noqa: E402

FOLDER = ROOT / "tests/conformance"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--again", action="store_true", help="replace what is frozen")
    parser.add_argument("sets", nargs="*", metavar="SET", help="only these sets")
    options = parser.parse_args()
    names = options.sets or list(sets.SETS)
    made = {path: data for name in names for path, data in files(name).items()}
    made[FOLDER / "classes.json"] = prototypes()
    made[FOLDER / "runners/c/classes.h"] = classes.c_table().encode()
    if options.check:
        return compare(made)
    if (FOLDER / "vectors" / write.version() / "FROZEN").exists() and not options.again:
        raise SystemExit(f"the sets of {write.version()} are frozen; --again replaces them")
    for path, data in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    freeze()
    return 0


def files(name: str) -> dict[Path, bytes]:
    """By path: what a set consists of."""
    version = write.version()
    made = write.rendered(name, version, sets.SETS[name]())
    return {FOLDER / "vectors" / version / file: data for file, data in made.items()}


def prototypes() -> bytes:
    """classes.json: the C types of each class."""
    lines = [f"  {json.dumps(letters)}: {json.dumps(types)}" for letters, types in classes.prototypes().items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def compare(made: dict[Path, bytes]) -> int:
    different = [path for path, data in made.items() if not path.exists() or path.read_bytes() != data]
    for path in different:
        print(f"{path.relative_to(ROOT)} differs from what this makes", file=sys.stderr)
    return bool(different)


def freeze() -> None:
    """FROZEN: the digest of each file of the version."""
    folder = FOLDER / "vectors" / write.version()
    paths = sorted(path for path in folder.iterdir() if path.name != "FROZEN")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    (folder / "FROZEN").write_text("".join(lines))


if __name__ == "__main__":
    sys.exit(main())
