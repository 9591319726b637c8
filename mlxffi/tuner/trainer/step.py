"""The training step: a pure function of a state and a batch, compiled once for each width of batches.

Gradients are those of the sum of a batch's losses. The batches of a window add theirs up, and its last one divides by
the number of targets in all of them: an update is then the same however its records were cut into batches, and however
these were spread over processes. What is not finite makes the update be left out, which needs no wait for a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeAlias

from ... import core as mx
from ..._errors import ArgumentError
from ..datasets.examples import Batch
from ..distributed import World
from ..losses import default_loss
from ..models.checkpointing import random_numbers_from
from ..models.functional import Tunable
from ..optimizers.base import clip_grad_norm, working_dtype
from ..trees import Tree, flatten, refilled, tree_map
from .args import TrainingArgs
from .packing import Packing

# From logits and a batch to the sum of its losses and the number of its targets, each float32 [].
Loss: TypeAlias = Callable[[mx.array, Batch], tuple[mx.array, mx.array]]
Gradients: TypeAlias = dict[str, mx.array]

# A norm that no gradient exceeds.
NO_LIMIT = 3e38


class Optimizer(Protocol):
    """Pure functions over trees of arrays; a state has a `learning_rate`, float32 []."""

    def init(self, parameters: Tree) -> Tree:
        """The state before the first update."""
        ...

    def update(self, gradients: Tree, state: Tree, parameters: Tree) -> tuple[Tree, Tree]:
        """The parameters and the state after an update."""
        ...


class Window(NamedTuple):
    """What the batches since the last update came to.

    Args:
      gradients: sums over targets, by path.
      targets: float32 []: how many; NaN after a loss that was not finite.
    """

    gradients: Gradients
    targets: mx.array


class State(NamedTuple):
    """All that a step reads and replaces; while a run trains, in packed form.

    Args:
      trained: the parameters, as the model's `trainable()` gives them; packed, arrays by name.
      optimizer: its state.
      random: the key that dropout draws from, uint32 [2].
      window: None right after an update.
    """

    trained: Tree
    optimizer: Tree
    random: mx.array
    window: Window | None


class Metrics(NamedTuple):
    """What a step tells, as numbers: sum of losses, targets, norm of the update's gradient, whether it was applied."""

    loss: float
    targets: float
    norm: float
    applied: float


Step: TypeAlias = Callable[[State, Batch, bool], tuple[State, mx.array]]
Apply: TypeAlias = Callable[[State], tuple[State, mx.array, mx.array]]
Score: TypeAlias = Callable[[Tree, Batch], mx.array]


def initial_state(model: Tunable, optimizer: Optimizer, seed: int, world: World) -> State:
    """The state before the first step: parameters those of the writing process, keys of dropout everybody's own."""
    trained = refilled(model.trainable(), world.from_writer(flatten(model.trainable())))
    keys = mx.random.split(mx.random.key(seed), world.size)
    return State(trained, optimizer.init(flatten(trained)), keys[world.rank], None)


def packing_of(model: Tunable, optimizer: Optimizer) -> Packing:
    """How the parameters lie while they are trained with this optimizer."""
    return Packing(model.trainable(), whole=not getattr(optimizer, "elementwise", False))


def packed(state: State, packing: Packing) -> State:
    """A state as steps take it."""
    window = state.window and state.window._replace(gradients=packing.pack(state.window.gradients))
    return State(packing.pack(flatten(state.trained)), packing.pack_moments(state.optimizer), state.random, window)


def unpacked(state: State, packing: Packing) -> State:
    """The state of which `packed` gave the packed form."""
    window = state.window and state.window._replace(gradients=packing.unpack(state.window.gradients))
    return State(packing.tree(state.trained), packing.unpack_moments(state.optimizer), state.random, window)


def make_step(model: Tunable, optimizer: Optimizer, loss: Loss, args: TrainingArgs, world: World) -> Step:
    """A function of (packed state, batch, whether an update is due) to the new state and `Metrics` as float32 [4]."""
    apply, packing = _make_apply(optimizer, args, world), packing_of(model, optimizer)

    def step(state: State, batch: Batch, due: bool) -> tuple[State, mx.array]:
        with random_numbers_from(state.random):
            total, count, gradients = _gradients(model, loss, args, packing, state.trained, batch)
            random = mx.random.state[0]
        window = _added(state.window, gradients, mx.where(mx.isfinite(total), count, mx.nan), args)
        state = state._replace(random=random, window=window)
        norm = applied = mx.zeros([])
        if due:
            state, norm, applied = apply(state)
        return state, mx.stack([total, count, norm, applied])

    return mx.compile(step) if args.compile else step


def make_apply(optimizer: Optimizer, args: TrainingArgs, world: World) -> Apply:
    """The update of a window that ends early: from a packed state to (state, gradient norm, whether applied)."""
    apply = _make_apply(optimizer, args, world)
    return mx.compile(apply) if args.compile else apply


def make_score(model: Tunable, loss: Loss, compile: bool) -> Score:
    """A function of (parameters, batch) to the sum of losses without dropout and the targets, float32 [2]."""

    def score(trained: Tree, batch: Batch) -> mx.array:
        return mx.stack(_loss(model, loss, trained, batch))

    return mx.compile(score) if compile else score


def _loss(
    model: Tunable, loss: Loss, trained: Tree, batch: Batch, *, training: bool = False, checkpoint: bool = False
) -> tuple[mx.array, mx.array]:
    options: dict[str, Any] = {"segments": batch.input_segments, "training": training, "checkpoint": checkpoint}
    found = _loss_of_hidden(model, loss, trained, batch, options)
    total, count = found or loss(model.logits(trained, batch.inputs, **options), batch)
    return total.astype(mx.float32), count.astype(mx.float32)


def _loss_of_hidden(
    model: Tunable, loss: Loss, trained: Tree, batch: Batch, options: dict[str, Any]
) -> tuple[mx.array, mx.array] | None:
    """The loss without logits; None where model or loss knows no such way."""
    of_hidden, hidden = getattr(loss, "of_hidden", None), getattr(model, "hidden", None)
    both = of_hidden and hidden and hidden(trained, batch.inputs, **options)
    found: tuple[mx.array, mx.array] | None = of_hidden(*both, batch) if of_hidden and both else None
    return found


def _gradients(
    model: Tunable, loss: Loss, args: TrainingArgs, packing: Packing, trained: Gradients, batch: Batch
) -> tuple[mx.array, mx.array, Gradients]:
    def of_packed(parameters: Gradients) -> tuple[mx.array, mx.array]:
        tree = packing.tree(parameters)
        return _loss(model, loss, tree, batch, training=True, checkpoint=args.grad_checkpoint)

    (total, count), gradients = mx.value_and_grad(of_packed)(trained)
    return total, count, gradients


def _added(window: Window | None, gradients: Gradients, count: mx.array, args: TrainingArgs) -> Window:
    """A window with one batch more; where there may be several, gradients are added up in float32."""
    if args.grad_accumulation_steps > 1:
        gradients = {path: item.astype(mx.float32) for path, item in gradients.items()}
    if window is None:
        return Window(gradients, count)
    return Window({path: window.gradients[path] + item for path, item in gradients.items()}, window.targets + count)


def _make_apply(optimizer: Optimizer, args: TrainingArgs, world: World) -> Apply:
    def apply(state: State) -> tuple[State, mx.array, mx.array]:
        assert state.window is not None
        gradients, targets = _of_all(state.window, world)
        parameters = state.trained
        share = mx.where(targets == 0, 0, 1 / targets)
        means = {path: (gradients[path] * share).astype(working_dtype(item)) for path, item in parameters.items()}
        means, norm = clip_grad_norm(means, NO_LIMIT if args.max_grad_norm is None else args.max_grad_norm)
        applied = mx.isfinite(norm) & (targets > 0)
        trained, made = optimizer.update(means, state.optimizer, parameters)
        # Where it is not applied, everything stays what it was.
        trained, made = tree_map(
            lambda new, old: mx.where(applied, new, old), (trained, made), (parameters, state.optimizer)
        )
        return State(trained, made, state.random, None), norm, applied.astype(mx.float32)

    return apply


def _of_all(window: Window, world: World) -> Window:
    found = world.summed({**window.gradients, "": window.targets})
    targets = found.pop("")
    return Window(found, targets)


# --- evaluation ---


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
    found = mean_loss(make_score(model, loss, compile), model.trainable(), batches, num_batches, World())
    if found is None:
        raise ArgumentError("evaluate: expected batches with a target, got none")
    return found


def mean_loss(score: Score, trained: Tree, batches: Iterable[Batch], num_batches: int, world: World) -> float | None:
    """`evaluate` with a function and parameters, None without a target; its processes wait for each other."""
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
    return total / count if count else None


def _plus(total: float, count: float, result: mx.array) -> tuple[float, float]:
    loss, targets = result.tolist()
    return total + loss, count + targets
