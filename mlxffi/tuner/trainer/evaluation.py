"""The loss of a model on a set of batches: the mean over all targets, whichever batch they are in."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from ... import core as mx
from ..._errors import ArgumentError
from .._trees import Tree
from ..datasets.examples import Batch
from ..distributed import World
from ..losses import default_loss
from ..models.tunable import Tunable
from .step import Loss, Score, make_score


def evaluate(
    model: Tunable, batches: Iterable[Batch], num_batches: int = -1, *, loss: Loss = default_loss, compile: bool = True
) -> float:
    """The mean loss per target, in nats.

    Args:
      model: evaluated with its own parameters, without dropout.
      batches: this process's, once through.
      num_batches: how many of them to take; -1 for all.
      loss: gives sums and counts, as `default_loss` does.
      compile: trace the model once for each width and run it as one graph.

    Raises:
      ValueError: there is no batch, or no target in any.
    """
    return mean_loss(make_score(model, loss, compile), model.trainable(), batches, num_batches, World())


def mean_loss(score: Score, trained: Tree, batches: Iterable[Batch], num_batches: int, world: World) -> float:
    """`evaluate` with a function that is there already, and parameters; its processes wait for each other."""
    total = count = 0.0
    running: list[mx.array] = []
    for batch in islice(batches, None if num_batches < 0 else num_batches):
        running.append(score(trained, batch))
        mx.async_eval(running[-1])
        if len(running) > 1:
            total, count = _plus(total, count, running.pop(0))
    for result in running:
        total, count = _plus(total, count, result)
    total, count = world.totals([total, count])
    if not count:
        raise ArgumentError("evaluate: expected batches with a target, got none")
    return total / count


def _plus(total: float, count: float, result: mx.array) -> tuple[float, float]:
    loss, targets = result.tolist()
    return total + loss, count + targets
