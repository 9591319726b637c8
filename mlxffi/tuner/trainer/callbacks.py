"""What a run calls at its turning points, and how these ask it to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .reports import SaveReport, StartReport, StepReport, TrainReport, TrainResult, ValReport


class Stop(Exception):
    """A wish to end the run in good order; callbacks return or raise it.

    Args:
      reason: a sentence for `TrainResult.stop`.
    """

    def __init__(self, reason: str = "a callback asked to stop"):
        super().__init__(reason)
        self.reason = reason


class Callback:
    """The base of callbacks, which do nothing. Every process calls its own; any may return or raise `Stop`.

    Where several processes train, a wish to stop holds for all of them from the next report, validation or save on.
    """

    def on_start(self, report: StartReport) -> Stop | None:
        """The run begins; nothing has been computed yet."""

    def on_step(self, report: StepReport) -> Stop | None:
        """A batch is being trained on; the report waits for its results only where they are read."""

    def on_train_report(self, report: TrainReport) -> Stop | None:
        """`steps_per_report` iterations are done, or all."""

    def on_val_report(self, report: ValReport) -> Stop | None:
        """The validation set has been evaluated."""

    def on_save(self, report: SaveReport) -> Stop | None:
        """Files have been written; only the process that wrote them calls this."""

    def on_exception(self, error: BaseException) -> None:
        """Something was raised, interrupts included; afterwards it reaches the caller of `train`."""

    def on_end(self, result: TrainResult) -> None:
        """The run has ended in good order."""


def tell(callbacks: Sequence[Callback], event: str, report: Any) -> str | None:
    """Call a method of all callbacks; the reason of the first that asks to stop."""
    reasons = [_reason(getattr(callback, event), report) for callback in callbacks]
    return next((reason for reason in reasons if reason is not None), None)


def _reason(method: Callable[[Any], Any], report: Any) -> str | None:
    try:
        answer = method(report)
    except Stop as stop:
        return stop.reason
    return answer.reason if isinstance(answer, Stop) else None
