"""Reports of a run, the callbacks that get them, and how these stop it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core import array
from ..trees import Tree
from .args import TrainingArgs
from .step import Metrics


@dataclass(frozen=True)
class StartReport:
    """The start of a run.

    Args:
      args: how it trains.
      iteration: iterations done before: 0, or where it was resumed.
      parameters: how many numbers are trained.
    """

    args: TrainingArgs
    iteration: int
    parameters: int


@dataclass(frozen=True)
class StepReport:
    """One batch of training; reading `metrics` waits for its results.

    Args:
      iteration: the iteration, from 1.
      trained: the parameters after it, a tree.
      results: float32 [5 or more]; see `metrics`.
      updated: whether parameters were updated after this batch.
    """

    iteration: int
    trained: Tree
    results: array
    updated: bool

    @property
    def metrics(self) -> Metrics:
        """Sum of losses, targets, and gradient norm of this process's batch and the update."""
        return Metrics.of(self.results)


@dataclass(frozen=True)
class TrainReport:
    """Training since the last such report, over all processes.

    Args:
      iteration: the last iteration included.
      train_loss: the mean over targets, or over groups of sequences if the loss is one of groups, in nats; NaN if there
        were none.
      learning_rate: the rate of the last update.
      grad_norm: the norm of the last update's gradient (mean over targets), before clipping.
      iterations_per_second: not counting validations and saves.
      tokens_per_second: targets per second.
      trained_tokens: targets since the start of the run.
      skipped_steps: updates that were skipped because the gradient was not finite or there was no target.
      peak_memory: the peak of memory used by arrays so far, in 1e9 bytes.
      seconds: the time of the iterations, not counting validations and saves.
      figures: other metrics that the loss reports, by name: means over the same batches.
    """

    iteration: int
    train_loss: float
    learning_rate: float
    grad_norm: float
    iterations_per_second: float
    tokens_per_second: float
    trained_tokens: int
    skipped_steps: int
    peak_memory: float
    seconds: float
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ValReport:
    """A validation.

    Args:
      iteration: iterations done; 0 before the first.
      val_loss: the mean over targets or groups, as in `TrainReport.train_loss`; NaN if there were none.
      val_time: how long it took, in seconds.
      best: whether no earlier validation was as good.
      without_targets: records without targets, in all processes.
      figures: other metrics that the loss reports, by name.
    """

    iteration: int
    val_loss: float
    val_time: float
    best: bool
    without_targets: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SaveReport:
    """Files were written.

    Args:
      iteration: the iteration whose parameters were saved.
      files: the paths of the files.
    """

    iteration: int
    files: tuple[Path, ...]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Args:
      iteration: iterations done.
      trained_tokens: targets, in all processes.
      val_loss: the loss of the last validation; None if there was none.
      best_val_loss: the lowest validation loss.
      best_iteration: after how many iterations it was reached.
      stop: why the run ended early; None if it did not.
    """

    iteration: int
    trained_tokens: int
    val_loss: float | None
    best_val_loss: float | None
    best_iteration: int | None
    stop: str | None


# --- who is told ---


class Stop(Exception):
    """A request to end the run in an orderly way; callbacks return or raise it.

    Args:
      reason: a sentence for `TrainResult.stop`.
    """

    def __init__(self, reason: str = "a callback asked to stop"):
        super().__init__(reason)
        self.reason = reason


class Callback:
    """The base of callbacks, whose methods do nothing. Every process calls its own; any of them may return or raise
    `Stop`.

    If several processes train, a stop takes effect in all of them at the next report, validation or save.
    """

    def on_start(self, report: StartReport) -> Stop | None:
        """Called when the run begins, before anything is computed.

        Args:
          report: how the run begins.

        Returns:
          None, or `Stop` to end the run.
        """

    def on_step(self, report: StepReport) -> Stop | None:
        """Called after each batch is queued; reading the report's metrics waits for its results.

        Args:
          report: about the batch.

        Returns:
          None, or `Stop` to end the run.
        """

    def on_train_report(self, report: TrainReport) -> Stop | None:
        """Called every `steps_per_report` iterations, and at the end.

        Args:
          report: about the iterations since the last one.

        Returns:
          None, or `Stop` to end the run.
        """

    def on_val_report(self, report: ValReport) -> Stop | None:
        """Called after each validation.

        Args:
          report: its results.

        Returns:
          None, or `Stop` to end the run.
        """

    def on_save(self, report: SaveReport) -> Stop | None:
        """Called after files were written, only in the process that wrote them.

        Args:
          report: which files.

        Returns:
          None, or `Stop` to end the run.
        """

    def on_exception(self, error: BaseException) -> None:
        """Called with any exception, including interrupts, before it reaches the caller of `train`.

        Args:
          error: the exception.
        """

    def on_end(self, result: TrainResult) -> None:
        """Called when the run has ended without an exception.

        Args:
          result: how it ended.
        """


def tell(callbacks: Sequence[Callback], event: str, report: Any) -> str | None:
    """Call a method of all callbacks.

    Args:
      callbacks: whom to call.
      event: the method's name.
      report: its argument.

    Returns:
      The reason of the first that asks to stop, or None.
    """
    reasons = [_reason(getattr(callback, event), report) for callback in callbacks]
    return next((reason for reason in reasons if reason is not None), None)


def _reason(method: Callable[[Any], Any], report: Any) -> str | None:
    try:
        answer = method(report)
    except Stop as stop:
        return stop.reason
    return answer.reason if isinstance(answer, Stop) else None
