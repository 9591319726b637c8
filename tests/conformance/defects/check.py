"""Plant one defect at a time in a copy of the C runner: the suite must catch each, by the case that is about it.

usage: python tests/conformance/defects/check.py [NAME ...]
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1]
SOURCES = FOLDER / "runners/c"
LIMIT = 120
STRICT = "-std=c99 -D_POSIX_C_SOURCE=200809L -O1 -pthread -w"


def main(names: list[str]) -> int:
    defects = json.loads((FOLDER / "defects/defects.json").read_text(encoding="utf-8"))
    wanted = [each for each in defects if not names or each["name"] in names]
    with tempfile.TemporaryDirectory() as scratch:
        compiler = Compiler(Path(scratch))
        caught = [is_caught(compiler, each) for each in wanted]
    print(f"{sum(caught)} of {len(wanted)}")
    return sum(caught) != len(wanted)


def is_caught(compiler: Compiler, defect: dict[str, Any]) -> bool:
    """Whether the case fails that is about the defect; of a defect that ends the process, whether that ends."""
    ran = compiler.run(defect["edits"])
    failed = [line.split(": ")[1] for line in ran.stdout.splitlines() if line.startswith("failed: ")]
    finished = " of " in "".join(ran.stdout.splitlines()[-1:])
    caught = defect["by"] in failed if defect["by"] else not finished
    by = f"{defect['by']}, {len(failed)} cases in all" if failed else f"the runner ended with {ran.returncode}"
    print(f"{'caught' if caught else 'NOT CAUGHT'}: {defect['name']}, {defect['what']} ({by})", flush=True)
    return caught


class Compiler:
    """Objects of the runner's sources, of which a defect makes some anew."""

    def __init__(self, scratch: Path):
        self.scratch = scratch
        self.cflags = [*STRICT.split(), *_config("--cflags")]
        self.objects = {path.name: self._compiled(path, scratch / path.stem) for path in sorted(SOURCES.glob("*.c"))}

    def run(self, edits: list[list[str]]) -> subprocess.CompletedProcess[str]:
        copy = self.scratch / "copy"
        shutil.copytree(SOURCES, copy, dirs_exist_ok=True)
        for file, old, new in edits:
            _edit(copy / file, old, new)
        changed = {file: self._compiled(copy / file, copy / file) for file, _, _ in edits}
        objects = {**self.objects, **changed}.values()
        subprocess.run(
            ["cc", *objects, *_config("--libs"), "-ldl", "-lm", "-pthread", "-o", copy / "runner"], check=True
        )
        command = [copy / "runner", FOLDER]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LIMIT, check=False)

    def _compiled(self, source: Path, place: Path) -> str:
        target = f"{place}.o"
        subprocess.run(["cc", *self.cflags, f"-I{SOURCES}", "-c", source, "-o", target], check=True)
        return target


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise SystemExit(f"{path.name} has {text.count(old)} times: {old}")
    path.write_text(text.replace(old, new), encoding="utf-8")


def _config(what: str) -> list[str]:
    command = [sys.executable, "-m", "mlxffi", "config", what]
    return shlex.split(subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
