"""What the trainer tells its callbacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...core import array
from .._trees import Tree
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
      results: float32 [4]; see `metrics`.
      updated: whether the batch ended a window, so that parameters were updated.
    """

    iteration: int
    trained: Tree
    results: array
    updated: bool

    @property
    def metrics(self) -> Metrics:
        """Sum of losses, targets, and gradient norm of this process's batch and the update."""
        return Metrics(*self.results.tolist())


@dataclass(frozen=True)
class TrainReport:
    """The training since the last such report, in all processes together.

    Args:
      iteration: the last one that is in it.
      train_loss: mean over targets, in nats.
      learning_rate: at the last update.
      grad_norm: of the last update's gradient (mean over targets), before it was scaled down.
      iterations_per_second: without validations and saves.
      tokens_per_second: targets per second.
      trained_tokens: targets since the run began.
      skipped_steps: updates that were left out: their gradient was not finite, or there was no target.
      peak_memory: the most memory in use by arrays so far, in 1e9 bytes.
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


@dataclass(frozen=True)
class ValReport:
    """A validation.

    Args:
      iteration: how many iterations were done; 0 before the first.
      val_loss: mean over targets, in nats.
      val_time: seconds that it took.
      best: whether no validation before was as good.
    """

    iteration: int
    val_loss: float
    val_time: float
    best: bool


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
