"""What a run tells at its turning points, what it tells this to, and how these ask it to stop."""

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
    """A run begins.

    Args:
      args: how it trains.
      iteration: how many iterations were done before: 0, or where it was resumed.
      parameters: how many numbers are trained.
    """

    args: TrainingArgs
    iteration: int
    parameters: int


@dataclass(frozen=True)
class StepReport:
    """A batch has been trained on, or will have been: reading `metrics` waits for that.

    Args:
      iteration: from 1.
      trained: the parameters after it, a tree.
      results: float32 [5 or more]; see `metrics`.
      updated: whether the batch ended a window, so that parameters were updated.
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
    """The training since the last such report, in all processes together.

    Args:
      iteration: the last one that is in it.
      train_loss: mean over targets, or over groups of sequences where the loss is one of such, in nats; NaN where
        there were none.
      learning_rate: at the last update.
      grad_norm: of the last update's gradient (mean over targets), before it was scaled down.
      iterations_per_second: without validations and saves.
      tokens_per_second: targets per second.
      trained_tokens: targets since the run began.
      skipped_steps: updates that were left out: their gradient was not finite, or there was no target.
      peak_memory: the most memory in use by arrays so far, in 1e9 bytes.
      seconds: that the iterations took, without validations and saves.
      figures: what the loss reports besides, by name: means over the same batches.
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
      iteration: how many iterations were done; 0 before the first.
      val_loss: mean over targets or groups, as `TrainReport.train_loss`; NaN where there were none.
      val_time: seconds that it took.
      best: whether no validation before was as good.
      without_targets: records of it in which nothing is to be learnt, in all processes.
      figures: what the loss reports besides, by name.
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
      iteration: whose parameters are in them.
      files: their paths.
    """

    iteration: int
    files: tuple[Path, ...]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Args:
      iteration: how many iterations were done.
      trained_tokens: targets, in all processes.
      val_loss: of the last validation, None where there was none.
      best_val_loss: the lowest one.
      best_iteration: after how many iterations it was.
      stop: the reason why it ended before all iterations were done, else None.
    """

    iteration: int
    trained_tokens: int
    val_loss: float | None
    best_val_loss: float | None
    best_iteration: int | None
    stop: str | None


# --- who is told ---


class Stop(Exception):
    """A wish to end the run in good order; callbacks return or raise it.

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
