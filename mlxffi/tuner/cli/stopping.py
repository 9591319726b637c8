"""What ends a training run before its time, in good order: Ctrl-C, SIGTERM and a limit of time; how to go on then."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from shlex import join
from types import FrameType
from typing import Any

from ..trainer import Callback, StartReport, StepReport, Stop, ValReport

INTERRUPTED = "interrupted"
# The signals of Ctrl-C and of whoever ends a job, a scheduler for one, and what they do otherwise: end it at once.
OTHERWISE: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Interruption(Callback):
    """Ends a run after the step that Ctrl-C or SIGTERM comes in; a second one ends it at once."""

    def __init__(self) -> None:
        self.is_wanted = False

    def on_step(self, report: StepReport) -> Stop | None:
        """Stop if Ctrl-C came; see `Callback`."""
        return Stop(INTERRUPTED) if self.is_wanted else None

    def on_val_report(self, report: ValReport) -> Stop | None:
        """Stop if Ctrl-C came; see `Callback`."""
        return Stop(INTERRUPTED) if self.is_wanted else None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Within the block, the first signal only asks to stop; in a thread that gets none, nothing changes."""
        before: dict[int, Any] = {}
        with suppress(ValueError):
            before = {number: signal.signal(number, self._note) for number in OTHERWISE}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.is_wanted = True
        # Not print, which a signal may have come into.
        os.write(2, b"\nstopping after this step; Ctrl-C once more stops at once\n")
        signal.signal(number, OTHERWISE[number])


class TimeLimit(Callback):
    """Ends a run after the step in which its time is up.

    Args:
      minutes: how long, from the start of this process's part of the run.
    """

    def __init__(self, minutes: float):
        self._seconds = minutes * 60
        self._start = 0.0

    def on_start(self, report: StartReport) -> None:
        """Look at the clock; see `Callback`."""
        self._start = time.monotonic()

    def on_step(self, report: StepReport) -> Stop | None:
        """Stop if the time is up; see `Callback`."""
        return self._judge()

    def on_val_report(self, report: ValReport) -> Stop | None:
        """Stop if the time is up; see `Callback`."""
        return self._judge()

    def _judge(self) -> Stop | None:
        is_up = time.monotonic() - self._start >= self._seconds
        return Stop(f"the time limit of {self._seconds / 60:g} minutes is up") if is_up else None


def how_to_go_on(program: str, given: Mapping[str, Any]) -> str:
    """The command that resumes a run.

    Args:
      program: the name of the command.
      given: the options with which the run was started, by name.

    Returns:
      a line for a shell.
    """
    kept = {name: value for name, value in given.items() if name not in ("resume", "resume_adapter_file")}
    return join([program, *(word for name, value in kept.items() for word in _words(name, value)), "--resume"])


def _words(name: str, value: Any) -> list[str]:
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    return [f"--{option}", *map(str, value if isinstance(value, list) else [value])]
