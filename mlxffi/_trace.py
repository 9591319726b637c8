"""`python -m mlxffi trace diff`: where two traces of the C ABI's calls part.

Traces are what MLXFFI_TRACE writes. Two runs are compared thread by thread: how threads take turns, and so in which
order their handles get numbers and how many objects live at a time, is no difference.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

ABOUT = "Compare what MLXFFI_TRACE wrote of two runs, and print the first call that differs."
_THREAD = re.compile(r'\[(\d+)\]|\{"thread": (\d+)')
_HANDLE = re.compile(r"\b(\w+)#\d+")
_LIVE = re.compile(r'  live \{.*|, "live": \{.*')


class Line(NamedTuple):
    """A call of a trace: where it stands, as it stands there, and what of it is compared."""

    number: int
    text: str
    compared: str


class _Numbers(dict[str, str]):
    """Handles by their order of appearance."""

    def __call__(self, handle: re.Match[str]) -> str:
        return self.setdefault(handle[0], f"{handle[1]}#{len(self)}")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `python -m mlxffi`."""
    parser = commands.add_parser("trace", help="compare traces of the C ABI's calls", description=ABOUT)
    diff = parser.add_subparsers(required=True, metavar="diff").add_parser("diff", description=ABOUT, help=ABOUT)
    diff.add_argument("traces", nargs=2, type=Path, metavar="TRACE")
    diff.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the first difference; 0 where there is none."""
    paths: list[Path] = options.traces
    try:
        first, second = (path.read_text(encoding="utf-8", errors="replace").splitlines() for path in paths)
    except OSError as error:
        print(f"mlxffi: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    found = difference(first, second)
    if found is None:
        print(f"no difference in {len(first)} calls")
        return 0
    for path, line in zip(paths, found, strict=True):
        print(f"{path}:{line.number}: {line.text}" if line else f"{path}: ends")
    return 1


def difference(first: list[str], second: list[str]) -> tuple[Line | None, Line | None] | None:
    """The first calls that differ, None for one that is missing; None where all are alike."""
    threads = [by_thread(lines) for lines in (first, second)]
    counted = max(map(len, threads)) < 2
    parted = [
        pair
        for thread in sorted({*threads[0], *threads[1]})
        for pair in [_parting(threads[0][thread], threads[1][thread], counted)]
        if pair
    ]
    return min(parted, key=lambda pair: min(line.number for line in pair if line), default=None)


def by_thread(lines: list[str]) -> dict[str, list[Line]]:
    """The calls of each thread, their handles numbered as they come there."""
    threads: dict[str, list[Line]] = defaultdict(list)
    numbers: dict[str, _Numbers] = defaultdict(_Numbers)
    for number, text in enumerate(lines, 1):
        found = _THREAD.match(text)
        thread = (found[1] or found[2]) if found else ""
        threads[thread].append(Line(number, text, _HANDLE.sub(numbers[thread], text)))
    return threads


def _parting(first: list[Line], second: list[Line], counted: bool) -> tuple[Line | None, Line | None] | None:
    for pair in zip_longest(first, second):
        one, other = (line and (line.compared if counted else _LIVE.sub("", line.compared)) for line in pair)
        if one != other:
            return pair
    return None
