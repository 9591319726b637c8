"""What every function and array method of mlxffi.core costs beside mlx.core, in turns, and which cost more than LIMIT.

Small arguments, so that the time is that of the call. The least of several rounds counts: noise only adds. What seems
too slow is timed again for longer. MLXFFI_CALLS=part times the calls that contain that part of text.
"""

from __future__ import annotations

import copy
import gc
import inspect
import math
import operator
import os
import pickle
import re
import time
from collections.abc import Callable
from typing import Any

# First: the BLAS bridge must come before libmlx binds its BLAS.
from mlxffi import core

# isort: split
import mlx.core as mx
import numpy as np

from . import _calls, _calls_of_arrays

LIMIT = 2.0
ROUNDS, ROUNDS_AGAIN = 15, 60
# How long one timing takes, in seconds, and the most calls in it: those in place make a longer graph each time.
SPAN, MOST = 0.0004, 1000
# Not metal, whose functions print that they are deprecated.
MODULES = ("", "random", "linalg", "fft", "fast", "cuda", "distributed")

Timer = Callable[[int], float]
Row = tuple[float, float, float, str]


def main() -> None:
    """Print the time of each call in nanoseconds and its ratio to mlx.core's, the greatest last; then the verdict."""
    gc.disable()
    wanted = os.environ.get("MLXFFI_CALLS", "")
    calls = [call for call in all_calls() if wanted in call]
    spaces = [namespace(core), namespace(mx)]
    rows, absent = [], []
    for call in calls:
        row = timed(call, spaces)
        rows.append(row) if row else absent.append(call)
    for ours, theirs, ratio, call in sorted(rows, key=lambda row: row[2]):
        print(f"{ratio:6.2f} {ours:9.0f} {theirs:9.0f}  {call}")
    for call in absent:
        print(f"not here: mlx.core refuses {call}")
    if not wanted:
        print_missing(calls)
    print_verdict(rows)


def print_verdict(rows: list[Row]) -> None:
    slow = [call for *_, ratio, call in rows if ratio > LIMIT]
    middle = sorted(ratio for *_, ratio, _ in rows)[len(rows) // 2]
    print(f"{len(rows)} calls measured, median {middle:.2f}, {len(slow)} above {LIMIT}: {'; '.join(slow) or 'none'}")


def timed(call: str, spaces: list[dict[str, Any]]) -> Row | None:
    """Nanoseconds for mlxffi.core and mlx.core, and their ratio; None for a call that mlx.core refuses here."""
    ours, theirs = (timer(call, space) for space in spaces)
    if not works(theirs):
        return None
    if not works(ours):
        return math.inf, theirs(1) * 1e9, math.inf, call
    row = least(call, ours, theirs, ROUNDS)
    return least(call, ours, theirs, ROUNDS_AGAIN) if row[2] > 0.9 * LIMIT else row


def works(run: Timer) -> bool:
    try:
        run(1)
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return False
    return True


def least(call: str, ours: Timer, theirs: Timer, rounds: int) -> Row:
    times = max(1, min(MOST, int(SPAN / (theirs(3) / 3))))
    pairs = [(ours(times), theirs(times)) for _ in range(rounds)]
    best, base = (min(side) / times * 1e9 for side in zip(*pairs, strict=True))
    return best, base, best / base, call


def timer(call: str, space: dict[str, Any]) -> Timer:
    """A function that makes a call so many times in a loop and returns the seconds."""
    *setup, body = (part.strip() for part in call.split(";;"))
    lines = ["def run(times):", *(f"    {line}" for line in setup), "    start = clock()"]
    lines += ["    for _ in range(times):", f"        {body}", "    return clock() - start"]
    made = dict(space)
    exec("\n".join(lines), made)
    run: Timer = made["run"]
    return run


def namespace(module: Any) -> dict[str, Any]:
    """The names in calls, with arrays of one library that are computed."""
    space: dict[str, Any] = {"mx": module, "np": np, "copy": copy, "pickle": pickle, "operator": operator}
    space["clock"] = time.perf_counter
    for statement in _calls.NAMES.split(";;"):
        exec(statement.strip(), space)
    module.eval([value for value in space.values() if isinstance(value, module.array)])
    return space


# --- which calls ---


def all_calls() -> list[str]:
    return [*made_calls(), *_calls.FUNCTIONS, *_calls_of_arrays.OF_ARRAYS, *_calls.EVALUATED]


# Calls that differ in the function's name alone.
MADE = (
    (_calls.UNARY, ("mx.{}(a)",)),
    (_calls.BINARY, ("mx.{}(a, b)",)),
    (_calls.INTEGER_BINARY, ("mx.{}(i, j)",)),
    (_calls.WITH_NUMBERS, ("mx.{}(a, 2.0)",)),
    (
        f"{_calls.REDUCTIONS} {_calls.FUNCTION_REDUCTIONS}",
        ("mx.{}(a)", "mx.{}(a, axis=0)", "mx.{}(a, axis=-1, keepdims=True)"),
    ),
    (
        _calls.REDUCTIONS,
        ("mx.{}(a, axis=(0, 1))", "a.{}()", "a.{}(axis=0)", "a.{}(-1, keepdims=True)", "a.{}((0, 1))"),
    ),
    (
        _calls.SCANS,
        ("mx.{}(a)", "mx.{}(a, axis=0)", "mx.{}(a, 1, reverse=True, inclusive=False)", "a.{}(1)", "a.{}(axis=0)"),
    ),
    (_calls.METHODS, ("a.{}()",)),
)


def made_calls() -> list[str]:
    return [form.format(name) for names, forms in MADE for name in names.split() for form in forms]


def print_missing(calls: list[str]) -> None:
    """Say which functions and methods no call has."""
    text = "\n".join(calls)
    for place in MODULES:
        module = getattr(mx, place) if place else mx
        for name, _ in inspect.getmembers(module, callable):
            if name.startswith("_") or name in _calls.LEFT_OUT.split():
                continue
            full = f"mx.{place}.{name}" if place else f"mx.{name}"
            if not re.search(rf"{re.escape(full)}\b", text):
                print(f"not measured: {full}")
    for name in dir(mx.array):
        if not name.startswith("_") and not re.search(rf"\.{name}\b(?!\()|[a-z]\.{name}\(", text):
            print(f"not measured: array.{name}")
