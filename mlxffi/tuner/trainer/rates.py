"""Which learning rate: a short run whose rate grows with each step, and where its loss falls fastest.

Batches differ more than a step changes, so each loss is set against that of the same batch before the first step.

Source: Smith 2017, Cyclical learning rates, section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..._errors import OperationError
from ..checks import count, positive
from ..distributed import World
from ..losses import default_loss
from ..models.functional import Tunable
from ..schedules import Schedule, exponential_decay
from .args import TrainingArgs
from .data import Data, TrainSet
from .step import Loss, Metrics, Optimizer, initial_state, make_score, make_step, packed, packing_of

# How much of a smoothed change is that of the steps before, and to how many times the first loss it may grow.
SMOOTHING, DIVERGED = 0.9, 4.0
# What counts as a fall, as a part of the loss.
LEAST_FALL = 1e-5
ROWS, BAR = 25, 40


class RateTest(NamedTuple):
    """The losses by learning rate; as text, a table with bars.

    Args:
      rates: in ascending order.
      losses: mean over targets, in nats, of the step that was made with each rate: that of the model before the first
        step in the mean over all batches, and the smoothed change since.
      suggestion: the rate at which the loss falls fastest.
      lowest: the rate of the lowest loss, beyond which training is no longer stable.
    """

    rates: list[float]
    losses: list[float]
    suggestion: float
    lowest: float

    def __str__(self) -> str:
        every = -(-len(self.rates) // ROWS)
        least, most = min(self.losses), max(self.losses[0], min(self.losses) + 1e-9)
        rows = [f"{'rate':>10} {'loss':>9}"]
        for rate, loss in list(zip(self.rates, self.losses, strict=True))[::every]:
            length = round(BAR * min((loss - least) / (most - least), 1.0))
            rows.append(f"{rate:10.2e} {loss:9.4f} {'#' * length}".rstrip())
        rows.append(f"suggested learning rate: {self.suggestion:.1e} (the loss is lowest at {self.lowest:.1e})")
        return "\n".join(rows)


def find_learning_rate(
    model: Tunable,
    optimizer_at: Callable[[Schedule], Optimizer],
    train_set: TrainSet,
    args: TrainingArgs,
    *,
    loss: Loss = default_loss,
    steps: int = 100,
    lowest: float = 1e-7,
    highest: float = 1.0,
) -> RateTest:
    """Train a copy of a model's parameters with learning rates that grow by a constant factor; the model is unchanged.

    Args:
      model: whose `trainable()` parameters are where it begins.
      optimizer_at: makes the optimizer with a schedule.
      train_set: as in `train`; each step takes one batch.
      args: how to train.
      loss: as in `train`.
      steps: how many rates are tried, unless the loss grows to several times its lowest before.
      lowest, highest: the first rate and the last.

    Returns:
      The rates that were tried, their smoothed losses, and the rate to begin with.

    Raises:
      ValueError: an argument is out of its range, or there are too few records for a batch.
      RuntimeError: no rate makes the loss fall.
    """
    count("find_learning_rate", "steps", steps, 10)
    factor = positive("find_learning_rate", "highest", highest) / positive("find_learning_rate", "lowest", lowest)
    growth = factor ** (1 / (steps - 1))
    optimizer = optimizer_at(exponential_decay(lowest, growth))
    found = _smoothed(_losses(model, optimizer, train_set, args, loss, steps))
    return _judged([lowest * growth**step for step in range(len(found))], found)


def _losses(
    model: Tunable, optimizer: Optimizer, train_set: TrainSet, args: TrainingArgs, loss: Loss, steps: int
) -> Iterator[tuple[float, float]]:
    """The loss of each step, and what it was on the same batch before the first one."""
    world = World()
    data = Data(train_set, None, args, world, getattr(model, "vocab_size", None))
    fresh = initial_state(model, optimizer, args.seed, world, loss)
    score, first = make_score(model, loss, args.compile), fresh.trained
    step = make_step(model, optimizer, loss, args, world)
    state = packed(fresh, packing_of(model, optimizer, args.grad_checkpoint))
    for _ in range(steps):
        batch = data.next()
        before = score(first, batch, fresh.reference)
        state, results = step(state, batch, True)
        metrics = Metrics.of(results)
        total, targets, at_first = world.totals([metrics.loss, metrics.targets, before[0].item()])
        if targets:
            yield total / targets, at_first / targets


def _smoothed(losses: Iterator[tuple[float, float]]) -> list[float]:
    """Moving averages of what has changed, without the bias of their beginning, up to where the loss diverges."""
    changes: list[float] = []
    average = total = 0.0
    for number, (loss, before) in enumerate(losses, 1):
        average, total = SMOOTHING * average + (1 - SMOOTHING) * (loss - before), total + before
        change = average / (1 - SMOOTHING**number)
        if not change < (DIVERGED - 1) * total / number:
            break
        changes.append(change)
    return [total / number + change for change in changes] if changes else []


def _judged(rates: list[float], losses: list[float]) -> RateTest:
    """The rate of the steepest fall; rates grow by one factor, so that neighbours are equally far apart."""
    end = losses.index(min(losses)) if losses else 0
    falls = [losses[place - 1] - losses[place + 1] for place in range(1, end)]
    if not falls or max(falls) <= LEAST_FALL * losses[0]:
        raise OperationError(
            f"[find_learning_rate] expected a rate at which the loss falls, found none in {len(rates)} steps"
        )
    return RateTest(rates, losses, rates[1 + falls.index(max(falls))], rates[end])
