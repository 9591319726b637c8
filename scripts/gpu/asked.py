"""Processes that measure something each time they are asked, so that what is compared is measured in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

SCRIPTS = Path(__file__).parents[1]
LIMIT = 300  # seconds of an answer

Answer = dict[str, Any]


def answer(measure: Callable[[], Answer]) -> None:
    """Print what is measured as a line of JSON, once for each line that comes in."""
    for _ in sys.stdin:
        print(json.dumps(measure()), flush=True)


class Asked:
    """A running module of this folder that answers.

    Args:
      command: the module's name and its arguments.
      environment: variables beside those there are.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None):
        path = os.pathsep.join(filter(None, (str(SCRIPTS), os.environ.get("PYTHONPATH"))))
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (until the process ends)
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env={**os.environ, **(environment or {}), "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def ask(self) -> None:
        """Ask for one answer more."""
        assert self._process.stdin
        with suppress(BrokenPipeError):  # the answer will be missing
            print(file=self._process.stdin, flush=True)

    def answer(self) -> Answer:
        """The next answer; {} from a process that has failed, whose last words are printed, or takes too long."""
        assert self._process.stdout
        timer = Timer(LIMIT, self._process.kill)
        timer.start()
        line = next((line for line in self._process.stdout if line.startswith("{")), "")
        timer.cancel()
        if line:
            return dict(json.loads(line))
        self._errors.seek(0)
        print(*self._errors.read().splitlines()[-3:], sep="\n", flush=True)
        return {}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()


class Together:
    """Processes that run the same command and wait for each other.

    Args:
      command: as of `Asked`.
      environments: of each.
    """

    def __init__(self, command: Sequence[str], environments: Sequence[Mapping[str, str]] = ({},)):
        self._processes = [Asked(command, environment) for environment in environments]

    def ask(self) -> None:
        """Ask each."""
        for process in self._processes:
            process.ask()

    def answers(self) -> list[Answer]:
        """The next answer of each."""
        return [process.answer() for process in self._processes]

    def close(self) -> None:
        """End them."""
        for process in self._processes:
            process.close()


def once(*running: Together) -> list[list[Answer]]:
    """One answer of each, all at once; then they end."""
    for processes in running:
        processes.ask()
    found = [processes.answers() for processes in running]
    for processes in running:
        processes.close()
    return found


def in_turns(running: Mapping[str, Together], turns: int) -> dict[str, list[Answer]]:
    """What each answers in so many turns after one, and ends; of several processes, the largest of each number."""
    for processes in running.values():
        processes.ask()
    alive = {name: processes for name, processes in running.items() if all(processes.answers())}
    found: dict[str, list[Answer]] = {name: [] for name in running}
    for _ in range(turns):
        for name, processes in alive.items():
            processes.ask()
            found[name].append(_largest(processes.answers()))
    for processes in running.values():
        processes.close()
    return found


def _largest(answers: Sequence[Answer]) -> Answer:
    return {key: max(answer[key] for answer in answers) for key in answers[0]} if all(answers) else {}
