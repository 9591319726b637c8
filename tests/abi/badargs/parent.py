"""Runs the calls in processes of their own, so that a crash or a hang is told with its call and ends nothing else."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from .child import cases
from .specs import Case

HERE = Path(__file__).resolve().parents[1]
# Seconds for an interpreter to start on a loaded machine.
STARTUP = 60.0


@dataclass(frozen=True)
class Outcome:
    """How a call went: `told` is ok, error, nothing, empty, NULL, value, zero, or what ended the process."""

    case: Case
    told: str
    evaluated: str = "ok"
    kind: int = 0
    text: str = ""
    leaked: int = 0

    @property
    def failed(self) -> bool:
        """Whether the call told an error."""
        return self.told in ("error", "empty", "NULL", "zero") and self.kind != 0

    @property
    def refused(self) -> bool:
        """Whether the call or the evaluation of its results told an error."""
        return self.failed or self.evaluated not in ("ok", "large")

    @property
    def ended(self) -> bool:
        """Whether the call ended the process or never came back."""
        return self.told.startswith(("signal", "exit", "hang"))


def run(names: list[str], folder: Path, patience: float = 60.0, child: str = "badargs.child") -> list[Outcome]:
    """All calls of some functions, with a new process after each one that died."""
    todo = list(cases(names))
    outcomes: list[Outcome] = []
    while len(outcomes) < len(todo):
        command = [sys.executable, "-m", child, str(folder), str(len(outcomes)), *names]
        outcomes += _run_process(command, todo, len(outcomes), folder, patience)
    return outcomes


def _run_process(command: list[str], todo: list[Case], start: int, folder: Path, patience: float) -> Iterator[Outcome]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    number, said = start - 1, True
    with TemporaryFile() as errors:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors)
        for words in _lines(process, patience):
            number, said = words[1], words[0] == "done"
            if said:
                yield Outcome(todo[number], *words[2:])
        end = _end(process)
        errors.seek(0)
        text = errors.read().decode(errors="replace")[-2000:]
    if not said:
        yield Outcome(todo[number], end, text=text)
    elif number == start - 1:
        raise AssertionError(f"the process made no call ({end}): {text}")


def _end(process: subprocess.Popen[bytes]) -> str:
    """What ended the process, which is killed if it is still there."""
    hangs = process.poll() is None
    process.kill()
    code = process.wait()
    return "hang" if hangs else f"signal {-code}" if code < 0 else f"exit {code}"


def _lines(process: subprocess.Popen[bytes], patience: float) -> Iterator[list]:
    """What the process tells, until it ends or, once it has started, is silent for too long."""
    assert process.stdout
    selector = selectors.DefaultSelector()
    selector.register(process.stdout, selectors.EVENT_READ)
    rest, last, limit = b"", time.monotonic(), STARTUP
    while time.monotonic() - last < limit:
        if not selector.select(timeout=1):
            continue
        chunk = os.read(process.stdout.fileno(), 1 << 16)
        if not chunk:
            process.wait()
            return
        last, limit = time.monotonic(), patience
        *whole, rest = (rest + chunk).split(b"\n")
        yield from map(json.loads, whole)
